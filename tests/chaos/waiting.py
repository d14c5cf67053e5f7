"""A cluster under a steady load, and probes that tell how long people wait: what `tests.chaos.targets` measures with.

The load is the client library's: people who book and cancel at a fixed rate, whatever happens. A probe is one write or one linearizable
read of one node, asked again with the same key until it is answered. Load and probes share one process, and the machine with
the members, so what is measured holds what a busy machine adds.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, TypeVar

import aiohttp

from client.aio import Client
from client.errors import DeskraftError, Refused
from tests.chaos.wires import Network, on_wires
from tests.integration.cluster import (
    ADMIN_LOGIN,
    ADMIN_PASSWORD,
    NodeProcess,
    ProcessCluster,
    running_cluster,
)
from tests.integration.raw import PASSWORD

SPACE = "targets"
WRITERS = 8
PROBE_SEATS = 8
CROWD_SEATS = 100
SEATS = [f"S{number}" for number in range(WRITERS + PROBE_SEATS + CROWD_SEATS)]
SPACE_RULES = {
    "id": SPACE, "name": "Targets", "timezone": "UTC", "opens": "00:00", "closes": "24:00", "slot_minutes": 60, "seats": SEATS,
}  # fmt: skip
FIRST_DAY = datetime(2027, 1, 4, tzinfo=UTC)
HOURS = 8000
WRITES_PER_SECOND = 100.0  # of all writers together
WRITES_PER_PERSON = 3000  # keys are limited for each; then somebody new comes
PROBE_AGAIN_SECONDS = 0.005
PROBE_SECONDS = 10.0
ATTEMPT_SECONDS = 3.0
CALM_SECONDS = (0.4, 0.9)  # between two rounds, so that faults do not fall into step with timers
T = TypeVar("T")


@dataclass
class Made:
    """A write of the load."""

    began: float
    ended: float


@dataclass
class Bench:
    """A cluster under load, and what was seen on it. Times are monotonic seconds."""

    cluster: ProcessCluster
    session: aiohttp.ClientSession
    admin: Client
    rng: random.Random
    network: Network | None = None
    writes: list[Made] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seen: dict[str, list[float]] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)  # answers a second
    _serial: int = 0

    def note(self, what: str, seconds: float) -> None:
        """One sample."""
        self.seen.setdefault(what, []).append(seconds)

    def others(self, *nodes: NodeProcess) -> list[NodeProcess]:
        """All but these."""
        return [node for node in self.cluster if node not in nodes]

    async def calm(self) -> NodeProcess:
        """Wait until all serve and one leads; the leader. The administrator's session is younger than a round then."""
        await self.cluster.wait_until_ready()
        leader = await self.cluster.wait_for_leader()
        await self.admin.login(ADMIN_LOGIN, ADMIN_PASSWORD)
        await asyncio.sleep(self.rng.uniform(*CALM_SECONDS))
        return leader

    @property
    def headers(self) -> dict[str, str]:
        """Of a request of the administrator."""
        assert self.admin.session is not None
        return {"Authorization": f"Bearer {self.admin.session.access_token}"}

    async def probe(self, node: NodeProcess, struck: float, *, write: bool) -> float:
        """Seconds from the fault until this node has answered something that was asked after it."""
        self._serial += 1
        number = self._serial
        start = FIRST_DAY + timedelta(hours=number % HOURS)
        seat = SEATS[WRITERS + number // HOURS % PROBE_SEATS]
        body = {"space_id": SPACE, "seat_id": seat, "starts_at": start.isoformat()}
        method, path = ("POST", "/api/v1/bookings") if write else ("GET", "/history?limit=1")
        headers = {**self.headers, **({"Idempotency-Key": f"probe-{number}"} if write else {})}
        timeout = aiohttp.ClientTimeout(total=ATTEMPT_SECONDS)
        while time.monotonic() - struck < PROBE_SECONDS:
            try:
                async with self.session.request(
                    method, node.url + path, json=body if write else None, headers=headers, timeout=timeout
                ) as answer:
                    text = await answer.text()
                    if answer.status < 400:
                        return time.monotonic() - struck
                    assert answer.status == 503, (answer.status, text)
            except (aiohttp.ClientError, TimeoutError):
                pass  # asked again, as people do
            await asyncio.sleep(PROBE_AGAIN_SECONDS)
        raise TimeoutError(f"{node.id} has not answered for {PROBE_SECONDS} s\n{self.cluster.logs()}")

    async def probes(self, struck: float, nodes: Sequence[NodeProcess]) -> None:
        """Ask all of these for a write and for a read at once, and note how long that took."""
        asked = [self.probe(node, struck, write=write) for write in (True, False) for node in nodes]
        took = await asyncio.gather(*asked)
        writes, reads = took[: len(nodes)], took[len(nodes) :]
        self.note("first write", min(writes))
        self.note("first read", min(reads))
        self.note("write on every node", max(writes))
        self.note("read on every node", max(reads))

    def note_pause(self, began: float) -> None:
        """Note the longest call of the library that was under way since then, and the longest time without any answer."""
        under_way = [made for made in self.writes if made.ended >= began]
        ends = sorted([began, *(made.ended for made in under_way)])
        self.note("longest call", max((made.ended - made.began for made in under_way), default=0.0))
        self.note("longest silence", max((later - one for one, later in itertools.pairwise(ends)), default=0))

    async def _counted(self, call: Awaitable[T]) -> T | None:
        began = time.monotonic()
        try:
            made = await call
        except Refused as error:
            self.failed.append(f"{error.status} {error.code}")
            return None
        except DeskraftError as error:
            self.failed.append(f"{type(error).__name__}: {error}")
            return None
        self.writes.append(Made(began, time.monotonic()))
        return made

    async def work(self, number: int, stop: asyncio.Event) -> None:
        """One person at a time through the library: book, cancel, book, cancel."""
        rng = random.Random(number)
        for person in itertools.count():
            async with Client(self.cluster.urls, random=rng) as client:
                await client.register(f"w{number}-{person}", PASSWORD)
                await client.login(f"w{number}-{person}", PASSWORD)
                for hour in range(WRITES_PER_PERSON // 2):
                    if stop.is_set():
                        return
                    start = FIRST_DAY + timedelta(hours=hour)
                    booking = await self._counted(client.book(SPACE, SEATS[number], start))
                    await asyncio.sleep(WRITERS / WRITES_PER_SECOND * rng.uniform(0.6, 1.4))
                    if booking is not None:
                        await self._counted(client.cancel(booking.id))
                        await asyncio.sleep(WRITERS / WRITES_PER_SECOND * rng.uniform(0.6, 1.4))


@asynccontextmanager
async def bench(members: int, seed: int, *, wires: bool, loaded: bool = True) -> AsyncIterator[Bench]:
    """A fresh cluster of so many members, with wires between them or without; at the end all of them agree."""
    connector = aiohttp.TCPConnector(limit=0)
    with tempfile.TemporaryDirectory(prefix="deskraft-targets-") as folder:
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            running_cluster(Path(folder), members, spaces=[SPACE_RULES]) as cluster,
            Client(cluster.urls) as admin,
            _maybe_wires(cluster, wires) as network,
        ):
            made = Bench(cluster, session, admin, random.Random(seed), network)
            async with _load(made, loaded):
                yield made
            await cluster.wait_until_equal()
            cluster.assert_no_traceback()


@asynccontextmanager
async def _maybe_wires(cluster: ProcessCluster, wires: bool) -> AsyncIterator[Network | None]:
    if wires:
        async with on_wires(cluster) as network:
            yield network
    else:
        yield None


@asynccontextmanager
async def _load(made: Bench, loaded: bool) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for number in range(WRITERS if loaded else 0):
            tasks.create_task(made.work(number, stop))
        try:
            yield
        finally:
            stop.set()


class Answered(NamedTuple):
    """What a crowd was told. Latencies are of what was answered."""

    per_second: float
    seconds: list[float]
    refused: int  # with one of the 503s, or 429


async def crowd(
    made: Bench, connections: int, seconds: float, ask: Callable[[int, int], tuple[str, str, object]]
) -> Answered:
    """So many connections that ask again as soon as they were answered. `ask` gives method, path and body by connection and turn."""
    nodes = list(made.cluster)
    took: list[float] = []
    refused = 0
    until = time.monotonic() + seconds

    async def one(number: int) -> None:
        nonlocal refused
        node = nodes[number % len(nodes)]
        for turn in itertools.count():
            began = time.monotonic()
            if began > until:
                return
            method, path, body = ask(number, turn)
            async with made.session.request(
                method, node.url + path, json=body, headers=made.headers
            ) as answer:
                text = await answer.text()
            assert answer.status < 400 or answer.status in (429, 503), (answer.status, text)
            if answer.status < 400:
                took.append(time.monotonic() - began)
            else:
                refused += 1

    await asyncio.gather(*(one(number) for number in range(connections)))
    return Answered(len(took) / seconds, took, refused)
