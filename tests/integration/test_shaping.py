"""Administrators shape spaces over real processes: closures race bookings, quotas hold from two devices at once, the leader dies
in between, and members that come back have the same rules.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest_asyncio

from client.aio import Client
from client.answers import Booking
from client.errors import Refused
from client.premises import Agreed
from tests.integration.cluster import ADMIN_LOGIN, ADMIN_PASSWORD, ProcessCluster, running_cluster
from tests.integration.raw import seed_of_run

PASSWORD = "a long pass phrase"
ZONE = ZoneInfo("Europe/Moscow")
DAY = datetime(2027, 3, 1, 8, tzinfo=ZONE)
MAX_CLOSING_ATTEMPTS = 50


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[ProcessCluster]:
    """Three nodes, ready; at the end no log may hold a traceback."""
    async with running_cluster(tmp_path) as running:
        yield running
        running.assert_no_traceback()


async def _client(cluster: ProcessCluster, login: str, password: str = PASSWORD) -> Client:
    client = Client(cluster.urls)
    if login != ADMIN_LOGIN:
        await client.register(login, password)
    await client.login(login, password)
    return client


async def _book(client: Client, seat: str, start: datetime) -> Booking | str:
    """A booking, or the code of its refusal."""
    try:
        return await client.book("hq", seat, start)
    except Refused as refused:
        return refused.code


async def test_a_closure_against_bookings(cluster: ProcessCluster) -> None:
    """Five people book while an administrator closes the day and cancels what is in the way: no booking is left on the closed
    day that the closure has not named, whatever came first, with the leader killed meanwhile.
    """
    rng = random.Random(seed_of_run())
    admin = await _client(cluster, ADMIN_LOGIN, ADMIN_PASSWORD)
    people = [await _client(cluster, f"ada{number}") for number in range(5)]
    stop = asyncio.Event()

    async def crave(client: Client) -> set[str]:
        got = set()
        while not stop.is_set():
            answer = await _book(
                client, rng.choice(["A1", "A2", "A3"]), DAY + timedelta(hours=rng.randrange(14))
            )
            if isinstance(answer, Booking):
                got.add(answer.id)
            await asyncio.sleep(0.01)
        return got

    booked = [asyncio.create_task(crave(client)) for client in people]
    await asyncio.sleep(0.3)
    (await cluster.wait_for_leader()).kill()
    date, token, done = DAY.date().isoformat(), "", None
    for _ in range(MAX_CLOSING_ATTEMPTS):
        try:
            agreed = Agreed(token, "cancel")
            done = await admin.premises.set_days("hq", date, reason="a pipe has burst", agreed=agreed)
            break
        except Refused as refused:
            if refused.problem.affected is None:
                raise
            token = refused.problem.affected.token
    stop.set()
    got = set().union(*await asyncio.gather(*booked))
    assert done is not None, "the list never stood still"
    assert done.affected == done.cancelled == len(got)
    for client in people:
        mine = [booking async for booking in client.bookings()]
        assert {booking.status for booking in mine} <= {"cancelled"}
    assert await _book(people[0], "A1", DAY) == "closed"
    assert (await admin.availability("hq", date)).slots == []
    for node in cluster:
        if not node.alive:
            node.start()
    await cluster.wait_until_ready()
    await cluster.wait_until_equal()
    for client in (admin, *people):
        await client.close()


async def test_a_quota_from_two_devices_at_once(cluster: ProcessCluster) -> None:
    """Two devices of one user on different nodes: one booking of the two, every time; and after every node was killed."""
    admin = await _client(cluster, ADMIN_LOGIN, ADMIN_PASSWORD)
    await admin.premises.revise("hq", policy={"live_bookings": 1})
    await (await _client(cluster, "bob")).close()
    devices = [Client([url]) for url in cluster.urls[:2]]
    for device in devices:
        await device.login("bob", PASSWORD)
    for round_ in range(5):
        ends = await asyncio.gather(*(_book(device, f"A{n + 1}", DAY) for n, device in enumerate(devices)))
        won = [each for each in ends if isinstance(each, Booking)]
        assert len(won) == 1, (round_, ends)
        assert "too-many-live" in ends
        await devices[0].cancel(won[0].id)
    cluster.kill_all()
    for node in cluster:
        node.start()
    await cluster.wait_until_ready()
    assert isinstance(await _book(devices[0], "A1", DAY), Booking)
    assert await _book(devices[1], "A2", DAY) == "too-many-live"
    await cluster.wait_until_equal()
    for client in (admin, *devices):
        await client.close()
