"""Where races are run: three real nodes, several people, and a record of what everybody was told.

A round takes a day of its own, so rounds know nothing of each other. `Arena.at_once` lets requests go through different nodes in an
order that the seed decides, all under way together. An answer that is not final (a 503, a lost connection) is asked for again
with the same key, as docs/api.md tells clients to.

What was answered is written down (`Arena.told`), and `Arena.audit` asks every node afterwards: each booking that somebody was
told of is there as it was told, nothing else is, no seat is held twice, and all members have one digest.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp

from tests.integration.cluster import (
    ADMIN_LOGIN,
    ADMIN_PASSWORD,
    NodeProcess,
    ProcessCluster,
    running_cluster,
)
from tests.integration.raw import PASSWORD, Raw, Said, seed_of_run, slot

PEOPLE = 6
FIRST_DAY = date(2027, 2, 1)
LATEST_START_SECONDS = 0.004  # between the first and the last request of a race to be sent
READ_SECONDS = 20.0


class Arena:
    """The cluster, the administrator, people with tokens, and what they were told."""

    def __init__(self, cluster: ProcessCluster, seed: int) -> None:
        self.cluster = cluster
        self.rng = random.Random(seed)
        self.admin = Raw(cluster.session)
        self.people: list[Raw] = []
        self.told: dict[str, dict[str, str]] = {}  # by user: status by booking id
        self.ends: Counter[str] = Counter()  # how races ended that may end either way
        self._days = 0

    @property
    def nodes(self) -> list[NodeProcess]:
        """All members."""
        return list(self.cluster)

    async def fill(self) -> None:
        """Let people in."""
        self.people = [await self.newcomer(f"person{number}") for number in range(PEOPLE)]
        await self.log_in_again()

    async def log_in_again(self) -> None:
        """New tokens for the administrator and the people."""
        await self.log_in(self.admin, ADMIN_LOGIN, ADMIN_PASSWORD)
        for number, person in enumerate(self.people):
            await self.log_in(person, f"person{number}")

    async def log_in(self, person: Raw, login: str, password: str = PASSWORD) -> None:
        """A new token for somebody."""
        credentials = {"login": login, "password": password}
        said = await person.settle(self.nodes, "/api/v1/auth/login", credentials, new_key(), rng=self.rng)
        assert said.status == 200, said
        person.token = said.body["access_token"]

    async def newcomer(self, login: str) -> Raw:
        """Somebody new, logged in."""
        person = await Raw(self.cluster.session).sign_in(self.nodes, login, rng=self.rng)
        self.told[person.user_id] = {}
        return person

    def fresh_day(self) -> str:
        """A day that no other round has used."""
        self._days += 1
        return (FIRST_DAY + timedelta(days=self._days)).isoformat()

    def shuffled_nodes(self) -> list[NodeProcess]:
        """The members in an order of the seed's choice."""
        return self.rng.sample(self.nodes, len(self.nodes))

    async def send(
        self, person: Raw, path: str, body: Any = None, *, via: NodeProcess | None = None, key: str = "", method: str = "POST"
    ) -> Said:  # fmt: skip
        """A write through one node (any), repeated there with its key until the answer is final. Bookings are written down."""
        nodes = [via or self.rng.choice(self.nodes)]
        said = await settled(person, nodes, method, path, body, key or new_key(), self.rng)
        self.note(person, said)
        return said

    async def book(self, person: Raw, want: Mapping[str, Any], **options: Any) -> Said:
        """`POST /api/v1/bookings`."""
        return await self.send(person, "/api/v1/bookings", want, **options)

    async def booked(self, person: Raw, want: Mapping[str, Any]) -> str:
        """The id of a booking that nobody competes for."""
        said = await self.book(person, want)
        assert said.status == 201, said
        return str(said.body["id"])

    def note(self, person: Raw, said: Said) -> None:
        """Write down the bookings of an answer that is one."""
        if said.status not in (200, 201) or not isinstance(said.body, dict):
            return
        for booking in (said.body, *said.body.get("items", ())):
            booking = booking.get("booking") or booking
            if "seat_label" in booking:  # only bookings have it
                self.told[booking["user_id"]][booking["id"]] = booking["status"]

    async def at_once(
        self, *calls: Callable[[], Any], spread_seconds: float = LATEST_START_SECONDS
    ) -> list[Said]:
        """The answers to requests that are under way together, in the order of `calls`."""

        async def later(call: Callable[[], Any], seconds: float) -> Said:
            await asyncio.sleep(seconds)
            said: Said = await call()
            return said

        starts = [self.rng.uniform(0, spread_seconds) for _ in calls]
        return await asyncio.gather(
            *(later(call, seconds) for call, seconds in zip(calls, starts, strict=True))
        )

    async def everywhere(self, person: Raw, path: str) -> Any:
        """What every node answers to a GET, and it is the same."""
        bodies = [await read(person, node, path) for node in self.nodes]
        assert all(body == bodies[0] for body in bodies), f"the nodes differ on {path}: {bodies}"
        return bodies[0]

    async def booking(self, booking_id: str) -> dict[str, Any]:
        """A booking, as all nodes tell it to the administrator."""
        found: dict[str, Any] = await self.everywhere(self.admin, f"/api/v1/bookings/{booking_id}")
        return found

    async def kinds(self, booking_id: str) -> list[str]:
        """The history of a booking, as all nodes tell it."""
        steps = await self.everywhere(self.admin, f"/api/v1/bookings/{booking_id}/history")
        return [step["kind"] for step in steps["items"]]

    async def row(self, day: str, seat: str, space: str = "hq") -> list[str]:
        """A seat on the page of the day, as all nodes draw it for a stranger."""
        page = await self.everywhere(
            Raw(self.cluster.session), f"/api/v1/spaces/{space}/availability?date={day}"
        )
        return next((row["slots"] for row in page["seats"] if row["id"] == seat), [])

    async def waits(self, person: Raw, day: str) -> list[dict[str, Any]]:
        """What somebody waits for on a day, or got by waiting, as all nodes tell it."""
        found = await self.everywhere(person, "/api/v1/waitlist")
        return [each for each in found["items"] if each["starts_at"].startswith(day)]

    async def audit(self, people: Sequence[Raw] = ()) -> None:
        """What everybody was told holds on every node, nothing else is there, no seat is held twice, and digests are equal."""
        await self.cluster.wait_until_equal()
        for node in self.nodes:
            held: list[tuple[str, str, datetime, datetime]] = []
            for person in [*self.people, *people]:
                kept = await person.all_bookings(node)
                assert {each["id"]: each["status"] for each in kept} == self.told[person.user_id], node.id
                held += [
                    (each["space_id"], each["seat_id"], *map(datetime.fromisoformat, (each["starts_at"], each["ends_at"])))
                    for each in kept
                    if each["status"] == "confirmed"
                ]  # fmt: skip
            for one, other in pairwise(sorted(held)):
                assert one[:2] != other[:2] or one[3] <= other[2], f"{node.id}: held twice: {one}, {other}"


async def settled(
    person: Raw, nodes: Sequence[NodeProcess], method: str, path: str, body: Any, key: str, rng: random.Random
) -> Said:
    """`Raw.settle`, for any method."""
    if method == "POST":
        return await person.settle(nodes, path, body, key, rng=rng)
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + READ_SECONDS
    while True:
        said = await person.ask(nodes[0], method, path, body, key=key)
        if said.final:
            return said
        assert loop.time() < give_up_at, f"{method} {path} was not settled: {said}"
        await asyncio.sleep(0.02)


async def read(person: Raw, node: NodeProcess, path: str) -> Any:
    """A GET, asked again while the node cannot say."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + READ_SECONDS
    while True:
        try:
            said = await person.get(node, path)
        except (aiohttp.ClientError, TimeoutError, OSError):
            if loop.time() > give_up_at:
                raise
        else:
            if said.status == 200:
                return said.body
            assert said.status in (429, 503) and loop.time() < give_up_at, f"{node.id}: {path}: {said}"
        await asyncio.sleep(0.02)


def new_key() -> str:
    """An idempotency key."""
    return uuid.uuid4().hex


def place(day: str, hour: int = 10, seat: str = "A1", space: str = "hq") -> dict[str, Any]:
    """The body of a booking of one hour."""
    return slot(day, hour, seat, space)


def order(said: Said) -> tuple[int, int]:
    """Where in the log an answer to a change of one booking or space was decided."""
    index, position = said.body["revision"].split(".")
    return int(index), int(position)


def only(answers: Sequence[Said], status: int) -> Said:
    """The one answer with this status; every other one must be 409 and nothing else."""
    right = [said for said in answers if said.status == status]
    assert len(right) == 1, [(said.status, said.code) for said in answers]
    assert {said.status for said in answers} <= {status, 409}, [(said.status, said.code) for said in answers]
    return right[0]


@asynccontextmanager
async def running_arena(folder: Path, **options: Any) -> AsyncIterator[Arena]:
    """Three nodes with people in them; at the end all that was told is audited."""
    seed = seed_of_run()
    async with running_cluster(folder, **options) as cluster:
        arena = Arena(cluster, seed)
        await arena.fill()
        yield arena
        print(f"ends: {dict(arena.ends)}")
        await arena.audit()
        cluster.assert_no_traceback()
