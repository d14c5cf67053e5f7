"""The blocking client: the same calls, from ordinary code and from several threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from client.errors import NoNodeAnswers
from client.sync import Client
from tests.client.fake import BOOKING, SPACE, FakeNode, free_url, no_content, ok, tokens


def test_every_call(node: FakeNode) -> None:
    """One after the other, as a script would."""
    node.on("POST /api/v1/auth/register", ok({"id": "u1", "login": "ada", "role": "user"}, 201))
    node.on("POST /api/v1/auth/login", tokens("one"))
    node.on("POST /api/v1/auth/refresh", tokens("two"))
    node.on("POST /api/v1/auth/logout", no_content)
    node.on("GET /api/v1/me", ok({"id": "u1", "login": "ada", "role": "user"}))
    node.on("GET /api/v1/spaces", ok({"items": [SPACE], "next": None}))
    node.on("GET /api/v1/spaces/hq", ok(SPACE))
    day = {"space_id": "hq", "date": "2026-12-01", "timezone": "Europe/Moscow", "slots": [], "seats": []}
    node.on("GET /api/v1/spaces/hq/availability", ok(day))
    node.on("POST /api/v1/bookings", ok(BOOKING, 201))
    node.on("POST /book", ok(BOOKING, 201))
    node.on("POST /api/v1/bookings/b1/cancel", ok(BOOKING | {"status": "cancelled"}))
    node.on("GET /api/v1/bookings/b1", ok(BOOKING))
    pages = [ok({"items": [BOOKING], "next": "c"}), ok({"items": [BOOKING], "next": None})]
    node.on("GET /api/v1/bookings", *pages)
    node.on("GET /history", *pages)
    with Client(node.url) as client:
        assert client.register("ada", "pw").login == "ada"
        assert client.login("ada", "pw").access_token == "access-one"
        assert client.refresh().access_token == "access-two"
        assert client.me().id == "u1"
        assert client.space("hq") == client.spaces()[0]
        assert client.availability("hq", "2026-12-01").date == "2026-12-01"
        assert client.book("hq", "A1", datetime(2026, 12, 1, 7, tzinfo=UTC)) == client.booking("b1")
        assert client.book_local("A1", "2026-12-01", "10:00").id == "b1"
        assert client.cancel("b1").status == "cancelled"
        assert len(list(client.bookings())) == len(list(client.history())) == 2
        assert client.cluster().cluster == "demo"
        assert client.servers == (node.url,)
        client.logout()
        assert client.session is None
        client.close()


def test_several_threads_share_one_client(node: FakeNode) -> None:
    """Calls of many threads run side by side."""
    node.on("GET /api/v1/spaces/hq", ok(SPACE))
    with Client(node.url) as client, ThreadPoolExecutor(8) as pool:
        assert {space.id for space in pool.map(client.space, ["hq"] * 40)} == {"hq"}


def test_exceptions_cross_the_thread() -> None:
    """What goes wrong on the loop is raised where the call was made."""
    with Client(free_url(), deadline_seconds=0.2) as client, pytest.raises(NoNodeAnswers):
        client.spaces()
