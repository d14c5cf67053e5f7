"""Leaders die under load while a webhook receiver is told of every booking: the campaign behind `scripts/outbox_campaign.py`.

At the end the feed is the judge: what was received, after repeats are dropped by id, is what was committed, none of it early or made up,
and of each booking in the order of the log.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from client.aio import Client
from client.errors import DeskraftError
from tests.integration.cluster import ADMIN_LOGIN, ADMIN_PASSWORD, ProcessCluster, running_cluster
from tests.integration.raw import PASSWORD
from tests.node.couriers.receiver import Receiver, receiving

WRITERS = 8
SEATS = [f"A{number}" for number in range(1, 9)]
FIRST_DAY = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0) + timedelta(days=2)
HOURS = 8  # of a day that are booked
CAUGHT_UP_SECONDS = 120.0


@dataclass(frozen=True)
class Verdict:
    """What came of it. `complaints`: every broken promise, in words."""

    kills: int
    bookings: int
    committed: int
    received: int
    repeats: int
    seconds: float
    complaints: tuple[str, ...]


class _Load:
    """Books one place after the other, each somewhere else."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._next = 0
        self.allowed = 0  # so many may be asked for by now: the load is to last for all of the kills
        self.done = 0

    async def write(self, client: Client) -> None:
        """One writer, a person of their own: keys are limited for each. What the client does not learn is the feed's to tell."""
        while self._next < self._wanted:
            if self._next >= self.allowed:
                await asyncio.sleep(0.02)
                continue
            number, self._next = self._next, self._next + 1
            seat, slot = SEATS[number % len(SEATS)], number // len(SEATS)
            start = FIRST_DAY + timedelta(days=slot // HOURS, hours=slot % HOURS)
            try:
                booking = await client.book("hq", seat, start)
                if number % 5 == 0:
                    await client.cancel(booking.id)
            except DeskraftError:
                await asyncio.sleep(0.1)
            self.done += 1


async def run(folder: Path, kills: int, bookings: int, tell: Callable[[str], None]) -> Verdict:
    """The whole campaign on a cluster of three processes."""
    began = time.monotonic()
    async with receiving() as receiver:
        extra = {"outbox": {"webhook_allow": [f"127.0.0.1:{receiver.port}"]}}
        async with (
            running_cluster(folder, extra=extra) as cluster,
            Client(cluster.urls) as admin,
            AsyncExitStack() as people,
        ):
            await admin.login(ADMIN_LOGIN, ADMIN_PASSWORD)
            hook = await admin.webhooks.create(receiver.url, types=["deskraft.booking"])
            load = _Load(bookings)
            writers = [
                asyncio.create_task(load.write(await _person(people, cluster, number)))
                for number in range(WRITERS)
            ]
            for number in range(kills):
                before, load.allowed = load.allowed, (number + 1) * bookings // (kills + 1)
                await _progress(load, (before + load.allowed) // 2)
                await _kill_the_leader(cluster)
                tell(
                    f"{number + 1} of {kills} leaders killed, {load.done} bookings, {len(receiver.received)} deliveries"
                )
            load.allowed = bookings
            await asyncio.gather(*writers)
            committed = await _caught_up(admin, receiver, hook.id)
            cluster.assert_no_traceback()
    arrived = [json.loads(each.body) for each in receiver.received]
    wrong = complaints(committed, arrived)
    once = len({each["id"] for each in arrived})
    seconds = round(time.monotonic() - began, 1)
    return Verdict(kills, bookings, len(committed), once, len(arrived) - once, seconds, tuple(wrong))


async def _person(people: AsyncExitStack, cluster: ProcessCluster, number: int) -> Client:
    client = await people.enter_async_context(Client(cluster.urls))
    await client.register(f"writer{number}", PASSWORD)
    await client.login(f"writer{number}", PASSWORD)
    return client


async def _progress(load: _Load, count: int) -> None:
    while load.done < count:  # noqa: ASYNC110 - what is waited for happens in other processes
        await asyncio.sleep(0.02)


async def _kill_the_leader(cluster: ProcessCluster) -> None:
    leader = await cluster.wait_for_leader()
    leader.kill()
    await cluster.wait_for_leader()
    leader.start()
    await cluster.wait_until_ready()


async def _committed(admin: Client) -> dict[str, str]:
    """The booking events of the feed: their ids and subjects, in order."""
    found: dict[str, str] = {}
    after: str | None = None
    while True:
        page = await admin.events_page(after)
        found |= {each.id: each.subject for each in page.items if each.type.startswith("deskraft.booking.")}
        if page.next is None:
            return found
        after = page.next


async def _caught_up(admin: Client, receiver: Receiver, hook_id: str) -> dict[str, str]:
    """Wait until everything that is committed has arrived, or for long enough to know that it will not."""
    async with asyncio.timeout(CAUGHT_UP_SECONDS * 2):
        end = time.monotonic() + CAUGHT_UP_SECONDS
        while True:
            committed = await _committed(admin)
            told = {each.headers["webhook-id"] for each in receiver.received}
            if committed.keys() <= told or time.monotonic() > end:
                return committed
            await asyncio.sleep(0.5)


def complaints(committed: dict[str, str], arrived: list[dict[str, str]]) -> list[str]:
    """What is wrong with what a receiver was told, given the subjects of all committed events by id. Repeats are not."""
    places = {event_id: tuple(map(int, event_id.split("."))) for event_id in committed}
    found = [f"never told of {event_id}" for event_id in committed.keys() - {each["id"] for each in arrived}]
    latest: dict[str, tuple[int, ...]] = {}
    for event_id in dict.fromkeys(each["id"] for each in arrived):
        if event_id not in committed:
            found.append(f"told of {event_id}, which was never committed")
            continue
        subject, place = committed[event_id], places[event_id]
        if place < latest.get(subject, (0, 0)):
            found.append(f"{subject}: {event_id} came after a later one")
        latest[subject] = max(place, latest.get(subject, (0, 0)))
    return found
