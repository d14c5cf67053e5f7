"""The feed of real nodes: followed through kills of the leader, alike on every node also after snapshots, and no hindrance to a stop."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from client.aio import Client
from client.events import Reset, Told
from tests.integration.cluster import ADMIN_LOGIN, ADMIN_PASSWORD, ProcessCluster, running_cluster

PASSWORD = "a long pass phrase"
BOOKINGS = 24
WAIT_SECONDS = 30.0
STOP_SECONDS = 5.0  # the bound of requests in flight: streams must not use it up


async def follow(client: Client, found: list[Told | Reset], **asked: str) -> None:
    async for told in client.events(after="0", **asked):  # type: ignore[arg-type]  # filters are not used here
        found.append(told)


async def feed_of(client: Client) -> list[Told]:
    items: list[Told] = []
    place: str | None = "0"
    while place is not None:
        page = await client.events_page(place, limit=20)
        items, place = items + page.items, page.next
    return items


async def wait_until_told(readers: list[list[Told | Reset]], count: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not all(len(found) >= count for found in readers):  # noqa: ASYNC110 - what comes, comes over sockets
            await asyncio.sleep(0.02)


async def book_through_kills(cluster: ProcessCluster, client: Client) -> None:
    start = (datetime.now(UTC) + timedelta(days=3)).replace(hour=9, minute=0, second=0, microsecond=0)
    for number in range(BOOKINGS):
        if number % 10 == 5:
            leader = await cluster.wait_for_leader()
            leader.kill()
            leader.start()
        await client.book(
            "hq", f"A{number % 3 + 1}", start + timedelta(days=1 + number // 12, hours=number // 3 % 4)
        )


@pytest.mark.timeout(180)
async def test_followed_through_kills(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, extra={"snapshot_every_entries": 8}) as cluster:
        async with Client(cluster.urls) as ada, Client(cluster.urls) as root, Client(cluster.urls) as anybody:
            await ada.register("ada", PASSWORD)
            await ada.login("ada", PASSWORD)
            await root.login(ADMIN_LOGIN, ADMIN_PASSWORD)
            readers: list[list[Told | Reset]] = [[] for _ in range(3)]
            following = [
                asyncio.create_task(follow(client, found))
                for client, found in zip((ada, root, anybody), readers, strict=True)
            ]
            await book_through_kills(cluster, ada)
            await cluster.wait_until_ready()
            await cluster.wait_until_equal()
            for url in cluster.urls:
                for client, found in zip((ada, root, anybody), readers, strict=True):
                    session = client.session
                    async with Client([url], session=session) as one:
                        wanted = await feed_of(one)
                    await wait_until_told([found], len(wanted))
                    assert found == wanted, f"as {url} tells it"
            booked = [
                told
                for told in readers[0]
                if isinstance(told, Told) and told.type == "deskraft.booking.confirmed"
            ]
            assert len({told.data["booking_id"] for told in booked}) == len(booked) == BOOKINGS
            assert {told.type for told in readers[2] if isinstance(told, Told)} <= {
                "deskraft.space.created",
                "deskraft.seat.state",
            }
            begun = time.monotonic()
            for node in cluster:
                assert await node.terminate() == 0
                assert time.monotonic() - begun < STOP_SECONDS, "a stop waits for no stream"
                begun = time.monotonic()
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
        cluster.assert_no_traceback()
