"""People who book and cancel without pause, each request with its key, and remember every answer that they got.

A request is repeated with its key on another node until its answer is final, so in the end it is known of every key what
became of it. `Load.check` then holds the nodes to all of those answers.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.integration.cluster import NodeProcess, ProcessCluster
from tests.integration.raw import Raw, Said, slot

CONTENDED_SEATS = ("A1", "A2")
FIRST_UNIQUE_SEAT = 3
SEATS = 16
HOURS = range(8, 22)
PROGRESS_SECONDS = 20.0
REPLAYED_KEYS = 40


@dataclass
class Writer:
    """One person, what they asked, and what they were told."""

    number: int
    raw: Raw
    bookings: dict[str, str] = field(default_factory=dict)  # id -> the status that was answered last
    answers: list[tuple[str, str, Any, Said]] = field(default_factory=list)  # path, key, body, answer
    unique: int = 0


class Load:
    """All writers and one reader. Made by `under_load`."""

    def __init__(self, cluster: ProcessCluster, writers: Sequence[Writer], seed: int) -> None:
        self.cluster = cluster
        self.writers = writers
        self.ends: Counter[str] = Counter()
        self._seed = seed
        self._stop = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def answered(self) -> int:
        """Writes answered so far."""
        return self.ends["201"] + self.ends["409"] + self.ends["200"]

    async def progress(self, answers: int) -> None:
        """Wait until that many more writes, and at least one more read on each running node, have been answered."""
        wanted = self.answered + answers
        reads = {node.id: self.ends[f"read {node.id}"] for node in self.cluster if node.running}

        async def reached() -> bool:
            return self.answered >= wanted and all(
                self.ends[f"read {node_id}"] > count for node_id, count in reads.items()
            )

        await self.cluster.wait_until(reached, PROGRESS_SECONDS, f"no progress: {dict(self.ends)}")

    async def write(self, writer: Writer) -> None:
        """Book a seat of one's own, a seat that all want, or give one back; again and again."""
        rng = random.Random(f"{self._seed} {writer.number}")
        number = 0
        while not self._stop.is_set():
            nodes = list(self.cluster)  # members come and go
            number += 1
            key = f"w{writer.number}-{number}"
            confirmed = [known for known, status in writer.bookings.items() if status == "confirmed"]
            path, body = "/api/v1/bookings", self._wish(writer, rng)
            if confirmed and rng.random() < 0.3:
                path, body = f"/api/v1/bookings/{rng.choice(confirmed)}/cancel", {}
            said = await writer.raw.settle(nodes, path, body, key, rng=rng)
            self.ends[str(said.status)] += 1
            writer.answers.append((path, key, body, said))
            assert said.status in {200, 201, 409}, (path, body, said)
            if said.status != 409:
                assert said.status == (200 if path.endswith("/cancel") else 201), said
                writer.bookings[said.body["id"]] = said.body["status"]

    def _wish(self, writer: Writer, rng: random.Random) -> dict[str, Any]:
        if rng.random() < 0.4:
            return slot("2027-04-01", rng.choice(HOURS), rng.choice(CONTENDED_SEATS))
        place, writer.unique = writer.unique, writer.unique + 1
        hour, day = place % len(HOURS), place // len(HOURS)
        seat = f"A{FIRST_UNIQUE_SEAT + writer.number % (SEATS - FIRST_UNIQUE_SEAT + 1)}"
        return slot(f"{2027 + day // 336}-{1 + day // 28 % 12:02}-{1 + day % 28:02}", HOURS[hour], seat)

    async def read(self, node: NodeProcess) -> None:
        """Linearizable reads on one node; only what it answers while it runs counts."""
        raw = self.writers[0].raw
        while not self._stop.is_set():
            if node.running:
                try:
                    said = await raw.get(node, "/history?limit=5")
                    assert said.status in {200, 503}, said
                    self.ends[f"read {node.id}"] += said.status == 200
                except (aiohttp.ClientError, TimeoutError, OSError):
                    self.ends["read cut off"] += 1
            await asyncio.sleep(0.02)

    def follow(self, node: NodeProcess) -> None:
        """Read on one more node from now on."""
        assert self._tasks is not None
        self._tasks.create_task(self.read(node))

    def stop(self) -> None:
        """Finish what is under way and begin nothing new."""
        self._stop.set()

    async def check(self) -> None:
        """Every answer that was given is kept on every node; nothing else is there; nothing is doubled; keys still hold."""
        await self.cluster.wait_until_equal()
        nodes = list(self.cluster)
        for node in nodes:
            held: Counter[tuple[str, str, str]] = Counter()
            for writer in self.writers:
                kept = await writer.raw.all_bookings(node, stale=True)
                assert {booking["id"]: booking["status"] for booking in kept} == writer.bookings, node.id
                assert len(kept) == len(writer.bookings), f"{node.id}: a key was executed twice"
                held.update(
                    (booking["space_id"], booking["seat_id"], booking["starts_at"])
                    for booking in kept
                    if booking["status"] == "confirmed"
                )
            assert not [place for place, count in held.items() if count > 1], f"{node.id}: a seat is doubled"
        rng = random.Random(self._seed)
        told = [(writer, *answer) for writer in self.writers for answer in writer.answers]
        for writer, path, key, body, said in rng.sample(told, min(REPLAYED_KEYS, len(told))):
            again = await writer.raw.post(rng.choice(nodes), path, body, key=key)
            assert (again.status, again.body, again.index) == (said.status, said.body, said.index), key
        for writer in self.writers:
            for booking_id in rng.sample(sorted(writer.bookings), min(5, len(writer.bookings))):
                for node in nodes:
                    one = await writer.raw.get(node, f"/api/v1/bookings/{booking_id}?consistency=stale")
                    assert (one.status, one.body["status"]) == (200, writer.bookings[booking_id])


@asynccontextmanager
async def under_load(cluster: ProcessCluster, writers: int, seed: int) -> AsyncIterator[Load]:
    """`writers` people at work while the body runs. After it they finish, and every answer they got is checked.

    An error of one of them ends the body at once.
    """
    rng = random.Random(seed)
    people = []
    for number in range(writers):
        raw = await Raw(cluster.session).sign_in(list(cluster), f"writer{number}", rng=rng)
        people.append(Writer(number, raw))
    load = Load(cluster, people, seed)
    async with asyncio.TaskGroup() as tasks:
        for writer in people:
            tasks.create_task(load.write(writer))
        load._tasks = tasks
        for node in cluster:
            load.follow(node)
        try:
            yield load
        finally:
            load.stop()
    print(f"answers: {dict(load.ends)}")
    await load.check()
