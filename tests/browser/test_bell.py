"""The bell of the page in a real browser: one's own events as they happen, each once, also when the node that told them goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient
from msgspec.structs import replace

from api.app import SERVICES, build_app
from tests.api.conftest import CHEAP, CONFIG, PASSWORD, SECRET, Node, _Server
from tests.browser.chromium import CHROMIUM, NEEDED, open_page

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason=NEEDED), pytest.mark.timeout(90)]
ITEMS = "[...document.querySelectorAll('#bell-list li')].map((each) => each.textContent)"
START = datetime(2026, 11, 23, 9, tzinfo=UTC)


@pytest.fixture
async def other(node: Node) -> AsyncIterator[Node]:
    """A second node with the same state; the record of the members names both."""
    async with TestClient(
        _Server(build_app(node.replica, SECRET, CONFIG, "n2", password_cost=CHEAP), node.replica)
    ) as client:
        addresses = [f"{each.host}:{each.port}" for each in (node.client, client)]
        seats = [
            replace(seat, api=address)
            for seat, address in zip(node.replica.configuration.seats, addresses, strict=False)
        ]
        node.replica.configuration = replace(node.replica.configuration, seats=tuple(seats))
        yield Node(client, node.replica)


async def book(node: Node, token: str, hours: int) -> None:
    starts_at = (START + timedelta(hours=hours)).isoformat()
    body = {"space_id": "hq", "seat_id": "A1", "starts_at": starts_at}
    answer = await node.post("/api/v1/bookings", body, token)
    assert answer.status == 201, await answer.text()


async def test_it_rings_once_for_each_event_and_goes_on_at_another_node(
    node: Node, other: Node, tmp_path: Path
) -> None:
    await node.register("alice")
    await node.register("bob")
    alice, bob = [(await other.tokens(name))["access_token"] for name in ("alice", "bob")]
    async with open_page(tmp_path / "profile", "Pacific/Honolulu") as page:
        url = str(node.client.make_url("/"))
        await page.open(url)
        await page.wait_for("document.readyState === 'complete' && location.protocol === 'http:'")
        await page.run("localStorage.setItem('language', 'en')")
        await page.open(url)
        await page.wait_for(
            "document.documentElement?.lang === 'en' && document.querySelector('#space option') !== null"
        )
        await page.run(
            f"""byId = (id) => document.getElementById(id);
            byId('login').value = 'alice'; byId('password').value = {PASSWORD!r};
            byId('login-form').requestSubmit()"""
        )
        await page.wait_for("JSON.parse(sessionStorage.getItem('bell') || '{}').place")
        assert await page.run("byId('bell').hidden") is False
        await book(other, bob, 5)
        await book(other, alice, 0)
        await page.wait_for("byId('bell-count').textContent === '1'")
        assert await page.run(ITEMS) == [
            "Booked: Коворкинг: Desk A1, Nov 23, 2026, 12:00–13:00 (Europe/Moscow, UTC+03:00)"
        ]
        streams = node.client.server.app[SERVICES].streams  # type: ignore[attr-defined]  # the base class has no app
        assert len(streams) == 1
        streams.close()  # as a node that stops does
        await book(other, alice, 1)
        await page.wait_for("byId('bell-count').textContent === '2'")
        assert len(other.client.server.app[SERVICES].streams) == 1  # type: ignore[attr-defined]  # the same
        await page.run("byId('bell').click()")
        await page.wait_for("!byId('bell-panel').hidden && byId('bell-count').textContent === ''")
        await page.run("byId('language').click()")
        await page.wait_for("document.documentElement.lang === 'ru'")
        told = await page.run(ITEMS)
        assert [text.split(":")[0] for text in told] == ["Забронировано", "Забронировано"]
        await page.wait_for("!byId('logout').hidden && byId('notice').hidden")
        await page.run("byId('logout').click()")
        await page.wait_for("byId('bell').hidden && sessionStorage.getItem('bell') === null")
