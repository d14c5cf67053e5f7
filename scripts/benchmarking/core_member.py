"""One member without HTTP, as a process: takes orders on standard input, answers on standard output, a line of JSON each.

The orders are those of `core.py`. A command is a `BookSeat` for a free slot, made and executed as the API does.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from array import array
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from api.ids import uuid7
from api.timegrid import grid_for
from node.config import Config, load_config
from node.member import Member
from node.secret import Secret
from statemachine.commands import BookSeat, Command, DayGrid, FoundCluster, OpenSession, RegisterUser
from statemachine.outcomes import Outcome
from statemachine.records import CELL_SECONDS, Space

TIMEOUT_SECONDS = 2.2  # what the API gives to the cluster
USERS = 100
PASSWORD_HASH = "no hash at all"  # noqa: S105 - nobody verifies it here
SESSION_MS = 24 * 3600 * 1000
LANE_DAYS = 400  # days of slots between two runs, so that they never meet
QUANTILES = {"p50_ms": 0.5, "p99_ms": 0.99, "max_ms": 1.0}


class Worker:
    """What the orders do."""

    def __init__(self, member: Member, config: Config) -> None:
        self._member = member
        self._config = config

    async def status(self, _: dict[str, Any]) -> dict[str, Any]:
        """What the member knows."""
        status = self._member.status()
        return {
            "pid": os.getpid(),
            "leader_id": status.leader_id,
            "applied_index": status.applied_index,
            "digest": status.digest,
            "failed": self._member.failed.result() if self._member.failed.done() else None,
        }

    async def prepare(self, _: dict[str, Any]) -> dict[str, Any]:
        """Bear the cluster, with users who are logged in."""
        spaces = self._config.bootstrap.spaces
        await self._must(FoundCluster("bench-admin", "admin", "admin", PASSWORD_HASH, spaces))
        for user in map(_user_id, range(USERS)):
            await self._must(RegisterUser(user, user, user, PASSWORD_HASH))
            await self._must(OpenSession(user, user, PASSWORD_HASH, "", SESSION_MS))
        return {}

    async def _must(self, command: Command) -> None:
        outcome = await self._execute(command, "")
        assert outcome.ok, f"{command}: {outcome.code}"

    async def book(self, order: dict[str, Any]) -> dict[str, Any]:
        """Keep `outstanding` commands under way for `seconds`, on the slots of `lane`."""
        commands = self._commands(order["lane"])
        users = cycle([_user_id(number) for number in range(USERS)])
        refused: list[str] = []

        async def one() -> None:
            outcome = await self._execute(next(commands), next(users))
            if not outcome.ok:
                refused.append(outcome.code)

        return await self._repeat(one, order) | {"refused": refused[:10]}

    async def read(self, order: dict[str, Any]) -> dict[str, Any]:
        """Keep `outstanding` read indexes under way for `seconds`."""

        async def one() -> None:
            await self._member.read_index(TIMEOUT_SECONDS)

        return await self._repeat(one, order)

    async def _execute(self, command: Command, user_id: str) -> Outcome:
        return await self._member.execute(
            command,
            scope=user_id or "setup",
            key=None,
            fingerprint=b"",
            session_id=user_id,  # a session is called after its user here
            timeout_seconds=TIMEOUT_SECONDS,
        )

    async def _repeat(self, one: Callable[[], Awaitable[None]], order: dict[str, Any]) -> dict[str, Any]:
        latencies = array("d")
        clock = time.perf_counter
        began, cpu = clock(), time.process_time()
        until = began + order["seconds"]

        async def lane() -> None:
            while (start := clock()) < until:
                await one()
                latencies.append(clock() - start)

        await asyncio.gather(*(lane() for _ in range(order["outstanding"])))
        took = clock() - began
        ordered = sorted(latencies)
        figures = {
            name: ordered[min(len(ordered) - 1, int(len(ordered) * q))] * 1000
            for name, q in QUANTILES.items()
        }
        return figures | {"count": len(ordered), "seconds": took, "cpu_seconds": time.process_time() - cpu}

    def _commands(self, lane: int) -> Iterator[BookSeat]:
        """A free slot every time."""
        member = self._member
        spaces = list(member.state.spaces.values())
        first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(
            days=2 + lane * LANE_DAYS
        )
        grids: dict[tuple[str, int], DayGrid] = {}
        for hour in count():
            begins = first + timedelta(hours=hour)
            cell = int(begins.timestamp()) // CELL_SECONDS
            for space in spaces:
                grid = _grid(grids, space, cell)
                for seat in space.seats:
                    yield BookSeat(uuid7(member.now_ms()), space.id, seat.id, cell, 1, grid)


def _user_id(number: int) -> str:
    return f"bench-{number:03}"


def _grid(grids: dict[tuple[str, int], DayGrid], space: Space, cell: int) -> DayGrid:
    """The API takes the windows of a day from a cache; this is its stand-in."""
    name = (space.id, cell)
    if name not in grids:
        grids.clear()
        grids[name] = grid_for(space, cell, 1, None)
    return grids[name]


async def _main(config_path: Path, node_id: str, data_dir: Path) -> int:
    config = load_config(config_path)
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    member = await Member.open(
        config=config, node_id=node_id, data_dir=data_dir, secret=Secret.load(config.secret_file)
    )
    worker = Worker(member, config)
    gc.freeze()
    try:
        while line := await orders.readline():
            order = msgspec.json.decode(line)
            answer = await getattr(worker, order["do"])(order)
            print(msgspec.json.encode(answer).decode(), flush=True)
    finally:
        await member.stop()
    return 1 if member.failed.done() else 0


if __name__ == "__main__":
    sys.exit(uvloop.run(_main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))))
