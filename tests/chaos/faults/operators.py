"""What operators do while everybody works, by the public API alone: replace a lost disk, hand leadership over, ask for snapshots."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from client.aio import Client
from client.errors import DeskraftError, NoNodeAnswers, Refused
from tests.chaos.faults.field import READY_SECONDS, Field, again
from tests.integration.cluster import ADMIN_LOGIN, ADMIN_PASSWORD, NodeProcess

ASK_AGAIN_SECONDS = 0.2
TRANSIENT = ("change-pending", "not-caught-up", "no-transfer", "member-alive", "would-lose-quorum")
T = TypeVar("T")


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """As somebody at a shell would: again, while the cluster is busy with something else."""
    give_up_at = time.monotonic() + READY_SECONDS
    while True:
        try:
            return await ask()
        except (Refused, NoNodeAnswers) as error:
            passing = isinstance(error, NoNodeAnswers) or error.code in TRANSIENT
            if not passing or time.monotonic() > give_up_at:
                raise
        await asyncio.sleep(ASK_AGAIN_SECONDS)


@contextlib.asynccontextmanager
async def operator(at: Field) -> AsyncIterator[Client]:
    """An administrator who has logged in, and logs out: a person has 50 sessions at most, and the oldest makes room."""
    async with Client(at.cluster.urls, random=random.Random(at.rng.random())) as client:
        await patiently(lambda: client.login(ADMIN_LOGIN, ADMIN_PASSWORD))
        yield client
        await patiently(client.logout)


async def replace(at: Field, seconds: float) -> None:
    """A member's disk is lost for good; it is given up, and the member begins again over an empty folder."""
    node = at.victim()
    with at.striking("replace", node.id):
        await fetch_anew(at, node, seconds / 2)


async def fetch_anew(at: Field, node: NodeProcess, away_seconds: float = 0.0) -> None:
    """The member ends at once, its files go, its disk is given up, and it is started again; returns when it votes."""
    async with operator(at) as client:
        node.kill()
        await asyncio.to_thread(_empty, node.data_dir)
        await asyncio.sleep(away_seconds)
        disk = await _disk_of(client, node)
        await patiently(lambda: client.replace_member(node.id, disk))
        await again(at, [node])
        give_up_at = time.monotonic() + READY_SECONDS
        while await _disk_of(client, node) in ("", disk):
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"{node.id} does not vote again\n{node.tail()}")
            await asyncio.sleep(ASK_AGAIN_SECONDS)


def _empty(folder: Path) -> None:
    """The folder itself stays: it may be a file system of its own."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


async def ask_for_snapshot(at: Field, node: NodeProcess) -> None:
    """Have that member write one now, so that its disk has something to do. It may fail: then there is none."""
    async with operator(at) as client:
        with contextlib.suppress(DeskraftError):
            await client.write_snapshot(node.url)


async def _disk_of(client: Client, node: NodeProcess) -> str:
    """The disk of a voter that counts; "" while it has none, or does not vote."""
    seen = await patiently(client.cluster)
    member = next(each for each in seen.members if each.id == node.id)
    return member.incarnation if member.voter else ""


async def hand_over(at: Field, _seconds: float) -> None:
    """Leadership goes to another member because an operator says so; all go on."""
    with at.striking("hand-over", at.leader, down=False):
        async with operator(at) as client:
            await patiently(client.transfer_leadership)
