"""The case `catchup`: a member that is far behind fetches a large snapshot while the others serve bookings.

Three nodes are born and users log in; then all are stopped, and two of them are given many bookings that the third has never seen
(`million.py`), at a log index that is far ahead of it. The two serve bookings at a fixed rate, well below what they can, so that what is
measured is disturbance: latency runs from the moment at which a request was *due*. Then the third starts, fetches, is paused half way for long
enough that its links break, goes on where it stopped, and installs. All processes and the load share the machine.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from itertools import count
from pathlib import Path

from msgspec import Struct

from scripts.benchmarking import cases, million, people
from scripts.benchmarking.over_http import quantile, until_ready
from scripts.benchmarking.people import Asker
from scripts.benchmarking.processes import Nodes
from scripts.launch import say

PER_SECOND = 150
LANES = 30  # connections; one that waits for an answer delays its own next requests only
SERVING = (0, 1)
LATE = 2
AHEAD_ENTRIES = 100_000
PAUSE_SECONDS = 5.0  # longer than a link may be silent
POLL_SECONDS = 0.02
CATCH_UP_SECONDS = 300.0
OPEN_SECONDS = 120.0
PHASES = ("before", "fetching", "paused", "installing", "after")


class Phase(Struct):
    """Bookings that were due in one part of the run."""

    name: str
    seconds: float
    answered: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class CatchupFigures(Struct):
    """What came of it."""

    bookings: int
    snapshot_bytes: int
    fetch_seconds: float  # without the pause
    bytes_per_second: float
    install_seconds: float  # check, restore, and what the log has meanwhile
    paused_at_bytes: int
    resumed_from_bytes: int
    phases: list[Phase]
    statuses: dict[int, int]
    violations: list[str]


class _Paced:
    """Bookings at a fixed rate; what became of each, with the moment at which it was due."""

    def __init__(self, world: cases.World, addresses: list[tuple[str, int]]) -> None:
        self._world = world
        self._addresses = addresses
        self.done: list[tuple[float, float]] = []  # due, latency
        self.statuses: Counter[int] = Counter()
        self.violations: list[str] = []
        self.ending = False

    async def run(self) -> None:
        """Until `ending`."""
        began = time.perf_counter()
        await asyncio.gather(*(self._lane(number, began) for number in range(LANES)))

    async def _lane(self, number: int, began: float) -> None:
        asker = Asker(self._addresses[number % len(self._addresses)])
        for turn in count():
            due = began + (turn * LANES + number) / PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if self.ending:
                break
            request = self._world.booking(number, next(self._world.hall_slots))
            status, body = await asker.raw(request.data)
            self.done.append((due, time.perf_counter() - due))
            self.statuses[status] += 1
            if status not in request.expected and len(self.violations) < 10:
                self.violations.append(f"catchup: status {status}: {body[:200]!r}")
        asker.close()

    def phase(self, name: str, spans: list[tuple[float, float]]) -> Phase:
        """The bookings that were due within the spans."""
        took = sorted(
            latency for due, latency in self.done if any(begin <= due < end for begin, end in spans)
        )
        return Phase(
            name,
            sum(end - begin for begin, end in spans),
            len(took),
            quantile(took, 0.5) * 1000,
            quantile(took, 0.99) * 1000,
            quantile(took, 1.0) * 1000,
        )


class _Watch:
    """The late member's file as it grows, seen from outside."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self._folder = folder
        self._size_bytes = size_bytes

    def fetched_bytes(self) -> int:
        """How much has arrived; the whole size once the file has its name."""
        for path in self._folder.glob("snapshot-*"):
            try:
                return path.stat().st_size if path.suffix == ".part" else self._size_bytes
            except FileNotFoundError:
                continue  # it is being renamed
        return 0

    async def until(self, fetched_bytes: int) -> float:
        """Wait for that much; the moment."""
        async with asyncio.timeout(CATCH_UP_SECONDS):
            while self.fetched_bytes() < fetched_bytes:  # noqa: ASYNC110 - another process writes the file
                await asyncio.sleep(POLL_SECONDS)
        return time.perf_counter()


async def run(folder: Path, seconds: float, bookings: int) -> CatchupFigures:
    """All of it; `seconds` before and `seconds` after."""
    say("starting three nodes")
    with Nodes(folder, cases.SPACES) as nodes:
        say(f"registering and logging in {people.USERS} users (two argon2 hashes each)")
        world = cases.World(await people.sign_in(nodes.addresses))
        await _settled(nodes)
        for number in range(len(nodes.addresses)):
            nodes.kill(number)
        say(f"giving two of them {bookings:,} bookings that the third has never seen")
        size_bytes = await asyncio.to_thread(_age, nodes, bookings)
        for number in SERVING:
            nodes.restart(number)
        for number in SERVING:
            await until_ready(nodes.addresses[number], OPEN_SECONDS)
        figures = await _measured(nodes, world, seconds, size_bytes)
        figures.bookings = bookings
        figures.violations += nodes.dead()
        await _settled(nodes, figures.violations)
        return figures


def _age(nodes: Nodes, bookings: int) -> int:
    names = list(nodes.config.nodes)
    index = min(million.last_index_of(nodes.config, node_id) for node_id in names)
    halls = [space["id"] for space in cases.HALL_SPACES]
    sizes = {
        million.age(nodes.config, names[number], index, AHEAD_ENTRIES, bookings, halls) for number in SERVING
    }
    (size_bytes,) = sizes  # equal states, equal files
    return size_bytes


async def _measured(nodes: Nodes, world: cases.World, seconds: float, size_bytes: int) -> CatchupFigures:
    load = _Paced(world, [nodes.addresses[number] for number in SERVING])
    loading = asyncio.create_task(load.run())
    watch = _Watch(million.directory_of(nodes.config, list(nodes.config.nodes)[LATE]), size_bytes)
    violations = load.violations
    try:
        await asyncio.sleep(1.0)
        say(f"{PER_SECOND} bookings a second, for {seconds:g} s")
        before = time.perf_counter()
        await asyncio.sleep(seconds)
        say("the third starts")
        nodes.restart(LATE)
        begun = await watch.until(1)
        paused = await watch.until(size_bytes // 2)
        nodes.signal(LATE, signal.SIGSTOP)
        paused_at_bytes = watch.fetched_bytes()
        await asyncio.sleep(PAUSE_SECONDS)
        nodes.signal(LATE, signal.SIGCONT)
        going_on = time.perf_counter()
        resumed_from_bytes = paused_at_bytes
        while (now_bytes := watch.fetched_bytes()) <= paused_at_bytes:
            resumed_from_bytes = min(resumed_from_bytes, now_bytes)
            if time.perf_counter() - going_on > CATCH_UP_SECONDS:
                raise TimeoutError("the transfer does not go on")
            await asyncio.sleep(POLL_SECONDS)
        fetched = await watch.until(size_bytes)
        await until_ready(nodes.addresses[LATE], CATCH_UP_SECONDS)
        installed = time.perf_counter()
        say(f"caught up; {seconds:g} s more")
        await asyncio.sleep(seconds)
        after = time.perf_counter()
    finally:
        load.ending = True
        await asyncio.wait([loading], timeout=10.0)
        loading.cancel()
    if resumed_from_bytes < paused_at_bytes:
        violations.append(f"catchup: begun anew after a cut at {paused_at_bytes} bytes")
    fetch_seconds = paused - begun + fetched - going_on
    return CatchupFigures(
        0,
        size_bytes,
        fetch_seconds,
        size_bytes / fetch_seconds,
        installed - fetched,
        paused_at_bytes,
        resumed_from_bytes,
        [
            load.phase("before", [(before, begun)]),
            load.phase("fetching", [(begun, paused), (going_on, fetched)]),
            load.phase("paused", [(paused, going_on)]),
            load.phase("installing", [(fetched, installed)]),
            load.phase("after", [(installed, after)]),
        ],
        dict(load.statuses),
        violations,
    )


async def _settled(nodes: Nodes, violations: list[str] | None = None) -> None:
    """Wait until all members have applied the same and have the same digest."""
    seen: set[tuple[int, str]] = set()
    try:
        async with asyncio.timeout(people.EQUAL_SECONDS):
            while True:
                seen = set()
                for address in nodes.addresses:
                    asker = Asker(address)
                    _, answer = await asker.ask("GET", "/api/v1/cluster")
                    asker.close()
                    seen.add((answer["applied_index"], answer["digest"]))
                if len(seen) == 1:
                    return
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        if violations is None:
            raise
        violations.append(f"catchup: the members differ: {sorted(seen)}")
