"""The case `core`: three members as processes without HTTP; commands and read indexes with 1 to 1,000 outstanding.

They are made on the leader, through a follower, and on all three at once. A process that makes the commands also pays for making
them and for a future and a task switch each; this is part of what is measured.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from node.config import load_config
from scripts.benchmarking.cases import HALL_SPACES
from scripts.benchmarking.processes import ROOT, cpu_seconds, write_cluster
from scripts.launch import say

MAX_RUN_SECONDS = 4.0  # every booking stays in the memory of three processes
READY_SECONDS = 30.0
ANSWER_SECONDS = 60.0
EQUAL_SECONDS = 20.0
POLL_SECONDS = 0.1
PLAN: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("book", "leader", (1, 10, 100, 1000)),
    ("book", "follower", (1, 10, 100)),
    ("book", "all", (100,)),
    ("read", "leader", (1, 100)),
    ("read", "follower", (1, 100)),
)


class CoreFigures(Struct):
    """One run. `outstanding` counts all processes that made commands."""

    what: str
    where: str
    outstanding: int
    count: int
    per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_s_per_1000: float  # of the three processes
    maker_cpu: float  # share of one core that the busiest maker used
    violations: list[str]


class _MemberProcess:
    """One of the three, and the pipe to it."""

    def __init__(self, node_id: str, process: asyncio.subprocess.Process) -> None:
        self.node_id = node_id
        self.process = process

    async def ask(self, **order: Any) -> dict[str, Any]:
        """One order and its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(msgspec.json.encode(order) + b"\n")
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"member {self.node_id} has died; its words are above")
        answer: dict[str, Any] = msgspec.json.decode(line)
        return answer


async def run(folder: Path, seconds: float) -> list[CoreFigures]:
    """All runs of the plan."""
    path = write_cluster(folder, HALL_SPACES)
    members: list[_MemberProcess] = []
    try:
        for node_id in load_config(path).nodes:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "scripts.benchmarking.core_member",
                str(path),
                node_id,
                str(folder / "core" / node_id),
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            members.append(_MemberProcess(node_id, process))
        return await _runs(members, min(seconds, MAX_RUN_SECONDS))
    finally:
        for member in members:
            if member.process.returncode is None:
                member.process.kill()
                await member.process.wait()


async def _runs(members: list[_MemberProcess], seconds: float) -> list[CoreFigures]:
    leader = await _leader(members)
    await leader.ask(do="prepare")
    followers = [member for member in members if member is not leader]
    makers = {"leader": [leader], "follower": followers[:1], "all": members}
    found = []
    lane = 0
    for what, where, levels in PLAN:
        for outstanding in levels:
            say(f"case core: {what}, {where}, {outstanding} outstanding")
            here = makers[where]
            orders = [
                {
                    "do": what,
                    "outstanding": outstanding // len(here) or 1,
                    "seconds": seconds,
                    "lane": lane + i,
                }
                for i in range(len(here))
            ]
            lane += len(here)
            found.append(await _one(members, here, orders, what, where))
    found[-1].violations += await _differences(members)
    return found


async def _one(
    members: list[_MemberProcess],
    makers: list[_MemberProcess],
    orders: list[dict[str, Any]],
    what: str,
    where: str,
) -> CoreFigures:
    before = [cpu_seconds(member.process.pid) for member in members]
    answers = await asyncio.gather(*(maker.ask(**order) for maker, order in zip(makers, orders, strict=True)))
    after = [cpu_seconds(member.process.pid) for member in members]
    total = sum(answer["count"] for answer in answers)
    refused = [code for answer in answers for code in answer.get("refused", [])]
    return CoreFigures(
        what,
        where,
        sum(order["outstanding"] for order in orders),
        total,
        sum(answer["count"] / answer["seconds"] for answer in answers),
        max(answer["p50_ms"] for answer in answers),
        max(answer["p99_ms"] for answer in answers),
        max(answer["max_ms"] for answer in answers),
        (sum(after) - sum(before)) * 1000 / max(total, 1),
        max(answer["cpu_seconds"] / answer["seconds"] for answer in answers),
        [f"core: a free slot was refused: {code}" for code in refused],
    )


async def _leader(members: list[_MemberProcess]) -> _MemberProcess:
    async with asyncio.timeout(READY_SECONDS):
        while True:
            seen = [await member.ask(do="status") for member in members]
            leaders = {each["leader_id"] for each in seen}
            if len(leaders) == 1 and None not in leaders:
                leader_id = leaders.pop()
                return next(member for member in members if member.node_id == leader_id)
            await asyncio.sleep(POLL_SECONDS)


async def _differences(members: list[_MemberProcess]) -> list[str]:
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + EQUAL_SECONDS
    while True:
        seen = [await member.ask(do="status") for member in members]
        failed = [f"{each['leader_id']}: {each['failed']}" for each in seen if each["failed"]]
        at = {(each["applied_index"], each["digest"]) for each in seen}
        if failed or len(at) == 1:
            return failed
        if len({index for index, _ in at}) == 1 or loop.time() > give_up_at:
            return [f"the members differ: {sorted(at)}"]
        await asyncio.sleep(POLL_SECONDS)
