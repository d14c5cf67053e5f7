"""What operators do while everybody works, by the public API alone: replace a lost disk, hand leadership over, ask for snapshots."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from client.aio import Client
from client.errors import NoNodeAnswers, Refused
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


async def _operator(at: Field) -> Client:
    client = Client(at.cluster.urls, random=random.Random(at.rng.random()))
    await patiently(lambda: client.login(ADMIN_LOGIN, ADMIN_PASSWORD))
    return client


async def replace(at: Field, seconds: float) -> None:
    """A member's disk is lost for good; it is given up, and the member begins again over an empty folder."""
    node = at.victim()
    with at.striking("replace", node.id):
        async with await _operator(at) as operator:
            node.kill()
            await asyncio.to_thread(shutil.rmtree, node.data_dir)
            await asyncio.sleep(seconds / 2)
            disk = await _disk_of(operator, node)
            await patiently(lambda: operator.replace_member(node.id, disk))
            await again(at, [node])
            give_up_at = time.monotonic() + READY_SECONDS
            while await _disk_of(operator, node) in ("", disk):
                if time.monotonic() > give_up_at:
                    raise TimeoutError(f"{node.id} does not vote again\n{node.tail()}")
                await asyncio.sleep(ASK_AGAIN_SECONDS)


async def _disk_of(operator: Client, node: NodeProcess) -> str:
    """The disk of a voter that counts; "" while it has none, or does not vote."""
    seen = await patiently(operator.cluster)
    member = next(each for each in seen.members if each.id == node.id)
    return member.incarnation if member.voter else ""


async def hand_over(at: Field, _seconds: float) -> None:
    """Leadership goes to another member because an operator says so; all go on."""
    with at.striking("hand-over", at.leader, down=False):
        async with await _operator(at) as operator:
            await patiently(operator.transfer_leadership)
