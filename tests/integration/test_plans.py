"""Baskets, moves, series and the waitlist over three real nodes: each step on another one, and races with one right winner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from client.aio import Client
from client.answers import Booking, Wish
from client.errors import Refused
from tests.integration.cluster import ADMIN_LOGIN, ADMIN_PASSWORD, ProcessCluster, running_cluster

PASSWORD = "a long pass phrase"
DAY = "2027-02-02"  # a Tuesday


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[ProcessCluster]:
    """Three nodes, ready."""
    async with running_cluster(tmp_path) as running:
        yield running


async def _client(url: str, login: str) -> Client:
    client = Client(url)
    await client.register(login, PASSWORD)
    await client.login(login, PASSWORD)
    return client


async def test_plans_over_three_nodes(cluster: ProcessCluster) -> None:
    """What one node accepts, another one moves, gives to the line, gives up; and all members end alike."""
    n1, n2, n3 = cluster.urls
    async with (
        await _client(n1, "ada") as ada,
        await _client(n2, "bob") as bob,
        Client(n3, session=ada.session) as elsewhere,
    ):
        places = [Wish("hq", seat, date=DAY, time="10:00") for seat in ("A1", "A2")]
        first, second = await ada.basket(places)
        with pytest.raises(Refused) as caught:
            await bob.basket([Wish("hq", "A3", date=DAY, time="10:00"), places[0]])
        assert [item.code for item in caught.value.problem.items] == ["ok", "seat-taken"]
        waiting = await bob.wait_for("hq", "A1", date=DAY, clock="10:00")
        assert (waiting.status, waiting.position) == ("waiting", 1)
        moved = await elsewhere.move(first.id, date=DAY, clock="12:00")
        assert moved.id == first.id
        (got,) = await bob.waitings()
        assert got.status == "promoted", "the place that was left went to the line"
        assert got.booking_id is not None
        assert (await bob.booking(got.booking_id)).seat_id == "A1"
        assert [step.kind for step in await ada.steps(first.id)] == ["confirmed", "moved"]
        planned = await bob.plan(Wish("hq", "A2", date=DAY, time="14:00"), "FREQ=WEEKLY;COUNT=4")
        assert [item.code for item in planned.items] == ["ok"] * 4
        given_up = await bob.cancel_series(planned.id, reason="moving away")
        assert len(given_up.cancelled) == 4
        assert (await ada.cancel(second.id, reason="ill")).status == "cancelled"
    async with Client(n2) as administrator:
        await administrator.login(ADMIN_LOGIN, ADMIN_PASSWORD)
        assert (await administrator.set_grace("hq", 15)).grace_minutes == 15
    await cluster.wait_until_equal()


async def test_races_have_one_winner(cluster: ProcessCluster) -> None:
    """A cancellation against many who want the place: it goes to the line. A move against a move: one of them."""
    n1, n2, n3 = cluster.urls
    async with (
        await _client(n1, "ada") as ada,
        await _client(n2, "bob") as bob,
        await _client(n3, "eve") as eve,
    ):
        booking = await ada.book_local("A1", DAY, "10:00", space="hq")
        await bob.wait_for("hq", "A1", date=DAY, clock="10:00")

        async def snipe() -> str:
            try:
                return (await eve.book_local("A1", DAY, "10:00", space="hq")).user_id
            except Refused as refused:
                return refused.code

        outcomes = await asyncio.gather(
            *(snipe() for _ in range(5)), ada.cancel(booking.id), *(snipe() for _ in range(5))
        )
        assert {each for each in outcomes if isinstance(each, str)} == {"seat-taken"}, (
            "nobody was quicker than the line"
        )
        assert [each.status for each in await bob.waitings()] == ["promoted"]

        one = await ada.book_local("A2", DAY, "12:00", space="hq")
        other = await eve.book_local("A3", DAY, "12:00", space="hq")

        async def move(client: Client, target: Booking) -> str:
            try:
                return (await client.move(target.id, seat_id="A1", date=DAY, clock="13:00")).status
            except Refused as refused:
                return refused.code

        assert sorted(await asyncio.gather(move(ada, one), move(eve, other))) == ["confirmed", "seat-taken"]
        live = [await client.booking(each.id) for client, each in ((ada, one), (eve, other))]
        assert sorted(each.seat_id for each in live) in (["A1", "A2"], ["A1", "A3"]), (
            "the loser has the old place still"
        )
        assert {each.status for each in live} == {"confirmed"}
    await cluster.wait_until_equal()
