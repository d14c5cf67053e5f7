"""Real processes and the client library: the first journey over three nodes, and no failed call while nodes
come and go.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from client.aio import Client
from client.answers import Booking
from client.errors import Refused, Unauthenticated
from tests.integration.cluster import ADMIN_LOGIN, ADMIN_PASSWORD, ProcessCluster, running_cluster

PASSWORD = "a long pass phrase"
SECONDS_OF_LOAD = 2.0


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[ProcessCluster]:
    """Three nodes, ready."""
    async with running_cluster(tmp_path) as running:
        yield running


async def test_register_here_log_in_there_book_elsewhere(cluster: ProcessCluster) -> None:
    """Each step on another node, each seen by the next at once; then all are equal."""
    n1, n2, n3 = cluster.urls
    async with Client(n1) as first:
        await first.register("ada", PASSWORD)
    async with Client(n2) as second:
        session = await second.login("ada", PASSWORD)
    async with Client(n3, session=session) as third:
        booked = await third.book_local("A1", "2026-12-01", "10:00")
    async with Client(n1, session=session) as again:
        assert [booking.id async for booking in again.history()] == [booked.id]
        assert (await again.cancel(booked.id)).status == "cancelled"
    async with Client(n2) as administrator:
        await administrator.login(ADMIN_LOGIN, ADMIN_PASSWORD)
        assert (await administrator.me()).role == "admin"
    await cluster.wait_until_equal()


async def _book_all_the_time(client: Client, seat: str, stop: asyncio.Event) -> list[Booking]:
    """Book one seat slot by slot until told to stop; any failure of the client library fails the test."""
    done: list[Booking] = []
    for day in range(1, 29):
        for hour in range(8, 22):
            if stop.is_set():
                return done
            done.append(await client.book_local(seat, f"2027-02-{day:02}", f"{hour:02}:00", space="hq"))
    return done


async def _under_load(cluster: ProcessCluster, trouble: object) -> list[Booking]:
    """Bookings of four clients while `trouble` (a coroutine) happens."""
    stop = asyncio.Event()
    async with Client(cluster.urls) as client:
        await client.register("ada", PASSWORD)
        await client.login("ada", PASSWORD)
        seats = [f"A{number}" for number in range(1, 5)]
        work = [asyncio.create_task(_book_all_the_time(client, seat, stop)) for seat in seats]
        try:
            await trouble  # type: ignore[misc]  # a coroutine made by the caller
            await asyncio.sleep(SECONDS_OF_LOAD)
        finally:
            stop.set()
            done = [booking for made in await asyncio.gather(*work) for booking in made]
        kept = {booking.id async for booking in client.history(limit=100)}
    assert len(done) > 20
    assert {booking.id for booking in done} == kept, "what was confirmed is what is there, once"
    return done


async def test_a_rolling_restart_fails_no_call(cluster: ProcessCluster) -> None:
    """SIGTERM to each node in turn under load, back again: exit status 0 each, no call fails, nothing is lost."""

    async def roll() -> None:
        for node in list(cluster):
            await asyncio.sleep(0.5)
            assert await node.terminate() == 0
            node.start()
            await cluster.wait_until_ready()

    await _under_load(cluster, roll())
    await cluster.wait_until_equal()


async def test_killing_the_leader_fails_no_call(cluster: ProcessCluster) -> None:
    """SIGKILL to the leader under load: the others go on, and it comes back equal."""

    async def kill() -> None:
        leader = await cluster.wait_for_leader()
        await asyncio.sleep(0.5)
        leader.kill()
        await cluster.wait_for_leader()
        await asyncio.sleep(SECONDS_OF_LOAD)
        leader.start()
        await cluster.wait_until_ready()

    await _under_load(cluster, kill())
    await cluster.wait_until_equal()


async def test_one_winner(cluster: ProcessCluster) -> None:
    """Thirty at once over all nodes for one seat and hour: one 201, the others 409 with places that are free."""
    async with Client(cluster.urls) as client:
        await client.register("ada", PASSWORD)
        session = await client.login("ada", PASSWORD)
    clients = [Client(cluster.urls[number % 3], session=session) for number in range(30)]

    async def attempt(one: Client) -> str:
        try:
            await one.book_local("A1", "2026-12-01", "10:00")
        except Refused as refused:
            return f"{refused.code}, {'others' if refused.alternatives else 'no others'} offered"
        return "won"

    try:
        begun = time.monotonic()
        ends = Counter(await asyncio.gather(*(attempt(one) for one in clients)))
        assert time.monotonic() - begun < 10
    finally:
        await asyncio.gather(*(one.close() for one in clients))
    assert ends == {"won": 1, "seat-taken, others offered": 29}


async def test_a_paused_leader_fails_no_call(cluster: ProcessCluster) -> None:
    """SIGSTOP to the leader under load: it accepts connections and says nothing, and yet every call ends well."""

    async def pause() -> None:
        leader = await cluster.wait_for_leader()
        await asyncio.sleep(0.5)
        leader.pause()
        await cluster.wait_for_leader(not_=leader)
        await asyncio.sleep(SECONDS_OF_LOAD)
        leader.resume()

    await _under_load(cluster, pause())
    await cluster.wait_until_equal()


async def test_two_programs_renew_one_kept_session(cluster: ProcessCluster) -> None:
    """Both hold the same ended access token and refresh key: neither is taken for a thief, also minutes later."""
    async with Client(cluster.urls) as client:
        await client.register("ada", PASSWORD)
        session = msgspec.structs.replace(await client.login("ada", PASSWORD), expires_at=0.0)
    async with (
        Client(cluster.urls[0], session=session) as one,
        Client(cluster.urls[1], session=session) as two,
    ):
        assert (await asyncio.gather(one.me(), two.me()))[0].login == "ada"
        assert one.session is not None
        assert two.session is not None
        assert one.session.refresh_token == two.session.refresh_token
        await one.refresh()
        assert (await two.me()).login == "ada"
    async with Client(cluster.urls[2], session=one.session) as three:
        await three.logout()
    async with Client(cluster.urls[0], session=one.session) as four:
        with pytest.raises(Unauthenticated):
            await four.me()
