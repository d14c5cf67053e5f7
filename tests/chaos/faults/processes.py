"""Processes that die, stand still, and are started again."""

from __future__ import annotations

import asyncio
import contextlib
import os

from tests.chaos.faults.field import Field, again
from tests.integration.cluster import NodeProcess


async def _kill(at: Field, nodes: list[NodeProcess], kind: str, seconds: float) -> None:
    with at.striking(kind, *(node.id for node in nodes)):
        for node in nodes:  # all at one moment, before any can notice the end of another
            with contextlib.suppress(
                ProcessLookupError
            ):  # it has ended by itself this moment: the watcher tells
                os.kill(node.pid, 9)
        for node in nodes:
            node.kill()
        try:
            await asyncio.sleep(seconds)
        finally:
            await again(at, nodes)


async def kill(at: Field, seconds: float) -> None:
    """SIGKILL of the leader or a follower; started again."""
    await _kill(at, [at.victim()], "kill", seconds)


async def kill_leader(at: Field, seconds: float) -> None:
    """SIGKILL of whoever leads."""
    await _kill(at, [at.victim(leader=True)], "kill-leader", seconds)


async def kill_majority(at: Field, seconds: float) -> None:
    """SIGKILL of a majority at one moment."""
    nodes = list(at.cluster)
    at.rng.shuffle(nodes)
    await _kill(at, nodes[: len(nodes) // 2 + 1], "kill-majority", min(seconds, 2.0))


async def kill_all(at: Field, seconds: float) -> None:
    """SIGKILL of all members at one moment."""
    await _kill(at, list(at.cluster), "kill-all", min(seconds, 1.0))


async def pause(at: Field, seconds: float) -> None:
    """SIGSTOP, later SIGCONT: connections stand, nothing is said, and then it goes on as if nothing had been."""
    node = at.victim()
    with at.striking("pause", node.id):
        node.pause()
        try:
            await asyncio.sleep(seconds)
        finally:
            node.resume()


async def rolling(at: Field, _seconds: float) -> None:
    """SIGTERM and a new start, one member after the other: what an upgrade does."""
    for node in list(at.cluster):
        with at.striking("rolling", node.id):
            try:
                await node.terminate()
            finally:
                await again(at, [node])


async def transfer(at: Field, _seconds: float) -> None:
    """Leadership is handed over by SIGTERM of the leader alone."""
    node = at.victim(leader=True)
    with at.striking("transfer", node.id):
        try:
            await node.terminate()
        finally:
            await again(at, [node])
