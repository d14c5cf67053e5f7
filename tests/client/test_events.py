"""Following what happens: the reader of messages against the rules of the standard, the client against nodes that fail."""

from __future__ import annotations

import asyncio
import collections
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from api.console import main
from client import aio, events, sync
from client.errors import BadAnswer, NoNodeAnswers, Refused, Unauthenticated
from client.events import Reset, Told
from client.messages import MAX_MESSAGE_CHARACTERS, Message, MessageReader, TooLong
from tests.client.fake import FakeNode, fake_node, ok, problem, tokens

CALL = "GET /api/v1/events"


def event(place: str) -> dict[str, Any]:
    return {
        "id": place,
        "type": "deskraft.seat.state",
        "subject": "s",
        "time": "2026-12-01T07:00:00.000Z",
        "data": {"n": 1},
    }


def text(*places: str) -> str:
    return "".join(f"id: {place}\ndata: {json.dumps(event(place))}\n\n" for place in places)


def stream(body: str, status: int = 200) -> Callable[[], web.StreamResponse]:
    return lambda: web.Response(text=body, content_type="text/event-stream", status=status)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@given(cuts=st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_messages_however_they_are_cut(end: str, cuts: list[int]) -> None:
    lines = [
        "﻿: a comment", "id: 1.0", "data: é", "data:  two", "", "event: reset", "data", "", "id: 2.0", "", "nonsense", "retry: 5",
        "id: 3.0", "event: x", "", "id: 4\0.0", "data:x", "", "id: 9.9", "data: cut",
    ]  # fmt: skip
    whole = (end.join(lines) + end).encode()
    reader, found, at = MessageReader("0.5"), [], 0
    while at < len(whole):
        for cut in cuts:
            found += reader.feed(whole[at : at + cut])
            at += cut
    assert found == [
        Message("message", "é\n two", "1.0"),
        Message("reset", "", "1.0"),
        Message("message", "x", "3.0"),
    ]
    assert reader.last_id == "3.0", "what was cut off is not a message, and its id is not known"


def test_a_message_without_end_is_no_message() -> None:
    for piece in (b"data: " + b"x" * 1000, b"data: x\n" * 200):
        reader = MessageReader()
        pieces = itertools.repeat(piece, MAX_MESSAGE_CHARACTERS)
        with pytest.raises(TooLong):
            collections.deque(map(reader.feed, pieces), maxlen=0)


async def some(client: aio.Client, count: int, **asked: Any) -> list[Told | Reset]:
    found: list[Told | Reset] = []
    stream = client.events(**asked)
    async with asyncio.timeout(10):
        async for told in stream:
            found.append(told)
            if len(found) == count:
                break
    await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
    return found


async def test_it_goes_on_where_it_was_at_another_node() -> None:
    async with fake_node() as first, fake_node() as second:
        first.on(
            CALL, stream(text("1.0", "1.1") + "id: 2.0\n\n" + "id: 3.0\ndata: {"), problem(503, "unavailable")
        )
        second.on(
            CALL,
            stream(text("3.0") + 'event: reset\nid: 9.0\ndata: {"id":"9.0","reason":"too-old"}\n\n'),
            stream(text("9.1")),
        )
        async with aio.Client([first.url, second.url]) as client:
            client._servers._preferred = first.url
            found = await some(client, 5, after="0", spaces=("hq", "loft"), types=("deskraft.seat",))
    assert [told.id for told in found] == ["1.0", "1.1", "3.0", "9.0", "9.1"]
    assert found[3] == Reset("9.0", "too-old")
    asked = [seen.query for node in (first, second) for seen in node.asked(CALL)]
    assert asked[0] == {"space": "hq,loft", "type": "deskraft.seat", "last_event_id": "0"}
    places = [query["last_event_id"] for query in asked]
    assert set(places) <= {"0", "2.0", "9.0"}
    assert {"2.0", "9.0"} <= set(places), "the place of the last message that was whole"


async def test_a_token_that_has_ended_is_renewed_and_no_session_is_told() -> None:
    async with fake_node() as node:
        node.on("POST /api/v1/auth/login", tokens("t1"))
        node.on("POST /api/v1/auth/refresh", tokens("t2"))
        node.on(CALL, problem(401, "unauthenticated"), stream(text("1.0")), problem(401, "unauthenticated"))
        async with aio.Client([node.url]) as client:
            await client.login("ada", "x")
            assert [told.id for told in await some(client, 1)] == ["1.0"]
            authorized = [seen.headers["authorization"] for seen in node.asked(CALL)]
            assert authorized == ["Bearer access-t1", "Bearer access-t2"]
            with pytest.raises(Unauthenticated):
                await some(client, 1)


async def test_how_it_ends() -> None:
    async with fake_node() as node:
        node.on(CALL, problem(422, "unknown-space"))
        async with aio.Client([node.url]) as client:
            with pytest.raises(Refused):
                await some(client, 1)
            node.on(CALL, stream("id: 1.0\ndata: nonsense\n\n"))
            with pytest.raises(BadAnswer):
                await some(client, 1)
            node.on(CALL, problem(503, "unavailable"))
            with pytest.raises(NoNodeAnswers, match="unavailable"):
                await some(client, 1, patience_seconds=0.2)
    async with aio.Client([node.url]) as client:
        with pytest.raises(NoNodeAnswers):
            await some(client, 1, patience_seconds=0.2)


def test_the_blocking_client(node: FakeNode) -> None:
    node.on(CALL, stream(text("1.0", "1.1")), stream(text("2.0")))
    with sync.Client(node.url) as client:
        found = client.events()
        assert [next(found).id for _ in range(3)] == ["1.0", "1.1", "2.0"]
        found.close()  # type: ignore[attr-defined]  # it is a generator
        node.on(CALL, ok({"items": [event("1.0")], "next": None, "position": "1.0", "reset": False}))
        page = client.events_page("0", limit=3)
        assert [told.id for told in page.items] == ["1.0"]


def test_the_command(node: FakeNode, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "DESKRAFT_SERVER": node.url}
    page = {"items": [event("1.0")], "next": "1.0", "position": "1.0", "reset": False}
    node.on(CALL, ok(page), ok({**page, "items": [event("2.0")], "next": None, "reset": True}))
    ran = CliRunner().invoke(main, ["events", "--space", "hq", "--space", "loft", "--json"], env=environment)
    assert ran.exit_code == 0, ran.output
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [line.get("reset", line["id"]) for line in lines] == ["1.0", "too-old", "2.0"]
    assert [seen.query.get("after") for seen in node.asked(CALL)] == [None, "1.0"]
    node.on(CALL, stream(text("1.0")), problem(422, "unknown-space"))
    ran = CliRunner().invoke(main, ["events", "--follow", "--after", "0"], env=environment)
    assert ran.exit_code == 1, ran.output
    assert "seat.state" in ran.stdout
    assert node.asked(CALL)[-1].query["last_event_id"] == "1.0"
    ran = CliRunner().invoke(main, ["events", "--after", "yesterday"], env=environment)
    assert ran.exit_code == 2
    monkeypatch.setattr(events, "PAGE_EVENTS", 1)
