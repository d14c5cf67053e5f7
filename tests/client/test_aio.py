"""The asynchronous client against fake nodes: failover, one key through all attempts, own writes read, tokens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from client.aio import Client
from client.answers import Session
from client.errors import BadAnswer, NoNodeAnswers, OutcomeUnknown, Refused, Unauthenticated
from tests.client.fake import (
    ANSWER_INDEX,
    BOOKING,
    SPACE,
    FakeNode,
    cluster,
    fake_node,
    free_url,
    no_content,
    ok,
    problem,
    tokens,
)

STARTS = datetime(2026, 12, 1, 7, tzinfo=UTC)
BOOK = "POST /api/v1/bookings"
REFRESH = "POST /api/v1/auth/refresh"


class _First:
    """Chance that always takes the first and the middle, so that a test knows which node is asked first."""

    def choice(self, items: list[str]) -> str:
        return items[0]

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2


def _client(*urls: str, **options: Any) -> Client:
    return Client(urls, random=_First(), **options)  # type: ignore[arg-type]  # a Random with less chance


def _session(name: str = "old", seconds: float = 900) -> Session:
    return Session("ada", f"access-{name}", time.time() + seconds, f"refresh-{name}", f"key-{name}")


@pytest_asyncio.fixture
async def nodes() -> AsyncIterator[list[FakeNode]]:
    """Three fake nodes."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(fake_node()) for _ in range(3)]


def _introduce(nodes: list[FakeNode]) -> None:
    """Each is the member that all say it is."""
    apis = [node.url.removeprefix("http://") for node in nodes]
    for number, node in enumerate(nodes, start=1):
        node.on("GET /api/v1/cluster", ok(cluster(f"n{number}", apis)))


def _cut() -> web.StreamResponse:
    """Accept the request, then cut the connection: a node killed in the middle."""
    raise ConnectionAbortedError


async def test_a_dead_node_costs_little_and_is_not_asked_again(nodes: list[FakeNode]) -> None:
    """Connection refused: the next node answers within 50 ms, and stays the one that is asked."""
    nodes[0].on("GET /api/v1/spaces", ok({"items": [SPACE], "next": None}))
    async with _client(free_url(), nodes[0].url) as client:
        await client.cluster_as_seen_by(nodes[0].url)  # connections and imports are warm
        begun = time.monotonic()
        assert [space.id for space in await client.spaces()] == ["hq"]
        assert time.monotonic() - begun < 0.05
        await client.spaces()
    assert len(nodes[0].asked("GET /api/v1/spaces")) == 2


async def test_the_same_key_through_every_attempt(nodes: list[FakeNode]) -> None:
    """A lost answer, an unknown outcome and no leader: one key, one booking; another write has another key."""
    nodes[0].on(BOOK, lambda: web.Response(status=502, text="<html>"))
    nodes[1].on(BOOK, problem(503, "outcome-unknown", retry_after=1))
    nodes[2].on(BOOK, problem(503, "unavailable", retry_after=1), ok(BOOKING, 201))
    async with _client(*(node.url for node in nodes), session=_session()) as client:
        booking = await client.book("hq", "A1", STARTS)
        await client.book("hq", "A1", STARTS)
    assert booking.starts_at.isoformat() == "2026-12-01T10:00:00+03:00"
    seen = [request for node in nodes for request in node.asked(BOOK)]
    keys = [request.headers["idempotency-key"] for request in seen]
    assert len(set(keys)) == 2
    assert len(keys) > 4
    first = {"space_id": "hq", "seat_id": "A1", "starts_at": "2026-12-01T07:00:00+00:00", "slots": 1}
    assert all(request.body == first for request in seen)


async def test_a_stopped_node_costs_one_attempt(nodes: list[FakeNode]) -> None:
    """A process that accepts and says nothing is given up after one attempt and then left alone for a while."""
    nodes[0].silent = True
    nodes[1].on(BOOK, problem(503, "unavailable"), problem(503, "unavailable"), ok(BOOKING, 201))
    async with _client(nodes[0].url, nodes[1].url, session=_session(), attempt_seconds=0.3) as client:
        assert (await client.book("hq", "A1", STARTS)).id == "b1"
        assert (await client.book("hq", "A1", STARTS)).id == "b1"
    assert len(nodes[0].asked(BOOK)) == 1
    assert (
        nodes[0].asked(BOOK)[0].headers["idempotency-key"]
        == nodes[1].asked(BOOK)[0].headers["idempotency-key"]
    )


async def test_own_writes_are_read_on_another_node(nodes: list[FakeNode]) -> None:
    """The index of the last answer goes with every later request, and never falls."""
    nodes[0].on(BOOK, ok(BOOKING, 201, index=41))
    nodes[0].on("GET /api/v1/bookings/b1", ok(BOOKING, index=40))
    async with _client(nodes[0].url, session=_session()) as client:
        await client.book("hq", "A1", STARTS)
        await client.booking("b1")
        await client.booking("b1")
        assert client.min_index == 41
    assert "deskraft-min-index" not in nodes[0].asked(BOOK)[0].headers
    reads = nodes[0].asked("GET /api/v1/bookings/b1")
    assert [read.headers["deskraft-min-index"] for read in reads] == ["41", "41"]


async def test_other_nodes_are_learned_from_the_first_answer(nodes: list[FakeNode]) -> None:
    """Knowing one server is enough: when it goes, the members it told of are asked."""
    _introduce(nodes)
    nodes[0].on("GET /api/v1/spaces/hq", ok(SPACE), problem(503, "unavailable"))
    for node in nodes[1:]:
        node.on("GET /api/v1/spaces/hq", ok(SPACE))
    async with _client(nodes[0].url) as client:
        await client.space("hq")
        async with asyncio.timeout(5):
            while len(client.servers) < 3:  # noqa: ASYNC110 - the client has no event for it
                await asyncio.sleep(0.01)
        await client.space("hq")
        assert client.servers == tuple(node.url for node in nodes)
    assert sum(len(node.asked("GET /api/v1/spaces/hq")) for node in nodes[1:]) == 1


async def test_a_stranger_gets_no_token(nodes: list[FakeNode]) -> None:
    """A learned address that belongs to something else here is asked who it is, and nothing more."""
    apis = [node.url.removeprefix("http://") for node in nodes]
    nodes[0].on("GET /api/v1/cluster", ok(cluster("n1", apis)))
    nodes[1].on("GET /api/v1/cluster", lambda: web.Response(text="It works!"))
    nodes[2].on("GET /api/v1/cluster", ok(cluster("n9", apis)))
    nodes[0].on(
        "GET /api/v1/me", ok({"id": "u1", "login": "ada", "role": "user"}), problem(503, "unavailable")
    )
    async with _client(nodes[0].url, session=_session(), deadline_seconds=0.6) as client:
        await client.me()
        async with asyncio.timeout(5):
            while len(client.servers) < 3:  # noqa: ASYNC110 - the client has no event for it
                await asyncio.sleep(0.01)
        with pytest.raises(NoNodeAnswers) as caught:
            await client.me()
    assert "n9, another member" in caught.value.reasons[nodes[2].url]
    for stranger in nodes[1:]:
        assert {(seen.method, seen.path) for seen in stranger.seen} == {("GET", "/api/v1/cluster")}
        assert not any("authorization" in seen.headers for seen in stranger.seen)


async def test_members_that_cannot_be_reached_from_here_cost_nothing(nodes: list[FakeNode]) -> None:
    """Behind a forwarded port the members' own addresses lead nowhere: the given one goes on serving alone."""
    apis = [nodes[0].url.removeprefix("http://"), "10.255.255.1:8001", free_url().removeprefix("http://")]
    nodes[0].on("GET /api/v1/cluster", ok(cluster("n1", apis)))
    nodes[0].on("GET /api/v1/spaces/hq", ok(SPACE))
    async with _client(nodes[0].url) as client:
        await client.space("hq")
        begun = time.monotonic()
        for _ in range(20):
            await client.space("hq")
        assert time.monotonic() - begun < 1.0
        assert nodes[0].url in client.servers
    assert len(nodes[0].asked("GET /api/v1/spaces/hq")) == 21


async def test_the_nearest_node_is_asked(nodes: list[FakeNode]) -> None:
    """The given one is far, a learned one is near: once both are measured, calls go to the near one."""
    _introduce(nodes[:2])
    nodes[0].delay_seconds = 0.05
    for node in nodes[:2]:
        node.on("GET /api/v1/spaces/hq", ok(SPACE))
    async with _client(nodes[0].url) as client:
        async with asyncio.timeout(10):
            while not nodes[1].asked("GET /api/v1/spaces/hq"):
                await client.space("hq")
        before = len(nodes[0].seen)
        await client.space("hq")
        assert len(nodes[0].seen) == before


async def test_renewing_counts_towards_the_deadline(nodes: list[FakeNode]) -> None:
    """A refresh that hangs, for one call or for two that wait for each other, takes no longer than a call may."""
    nodes[0].silent = True
    async with _client(
        nodes[0].url, session=_session(seconds=3), deadline_seconds=0.6, attempt_seconds=0.4
    ) as client:
        begun = time.monotonic()
        ended = await asyncio.gather(client.me(), client.me(), return_exceptions=True)
        assert time.monotonic() - begun < 1.2
    assert all(isinstance(error, NoNodeAnswers) for error in ended), ended


async def test_too_much_waits_as_long_as_it_is_told(nodes: list[FakeNode]) -> None:
    """429 with Retry-After is waited out when the deadline allows, else given back at once."""
    nodes[0].on("POST /api/v1/auth/login", problem(429, "overloaded", retry_after=1), tokens("new"))
    async with _client(nodes[0].url) as client:
        begun = time.monotonic()
        await client.login("ada", "pw")
        assert 1.0 <= time.monotonic() - begun < 2.5
    keys = [seen.headers["idempotency-key"] for seen in nodes[0].asked("POST /api/v1/auth/login")]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    nodes[0].on("POST /api/v1/auth/login", problem(429, "too-many-attempts", retry_after=60))
    async with _client(nodes[0].url) as client:
        with pytest.raises(Refused) as caught:
            await client.login("ada", "pw")
        assert caught.value.code == "too-many-attempts"
        assert caught.value.retry_after_seconds == 60


async def test_an_expired_token_is_renewed_once_for_all(nodes: list[FakeNode]) -> None:
    """Ten calls find the token ended: one refresh, with the key kept beside it, and all go through."""
    kept: list[Session | None] = []
    nodes[0].on(REFRESH, tokens("new"))
    nodes[0].on("GET /api/v1/me", ok({"id": "u1", "login": "ada", "role": "user"}))
    session = _session(seconds=3)
    async with _client(nodes[0].url, session=session, on_session=kept.append) as client:
        users = await asyncio.gather(*(client.me() for _ in range(10)))
    assert {user.login for user in users} == {"ada"}
    (refresh,) = nodes[0].asked(REFRESH)
    assert refresh.body == {"refresh_token": "refresh-old"}
    assert refresh.headers["idempotency-key"] == "key-old"
    assert {seen.headers["authorization"] for seen in nodes[0].asked("GET /api/v1/me")} == {
        "Bearer access-new"
    }
    (new,) = kept
    assert new is not None
    assert (new.refresh_token, new.refresh_key != "key-old") == ("refresh-new", True)


async def test_a_refused_token_is_renewed_and_the_write_keeps_its_key(nodes: list[FakeNode]) -> None:
    """401 in spite of a token that looks alive: refresh, then the same call with the same key."""
    nodes[0].on(BOOK, problem(401, "unauthenticated"), ok(BOOKING, 201))
    nodes[0].on(REFRESH, tokens("new"))
    async with _client(nodes[0].url, session=_session()) as client:
        await client.book("hq", "A1", STARTS)
    first, second = nodes[0].asked(BOOK)
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert second.headers["authorization"] == "Bearer access-new"


async def test_a_session_that_has_ended_is_forgotten(nodes: list[FakeNode]) -> None:
    """When the refresh is refused too, the client is logged out and says so."""
    kept: list[Session | None] = []
    nodes[0].on("GET /api/v1/me", problem(401, "unauthenticated"))
    nodes[0].on(REFRESH, problem(401, "refresh-invalid"))
    async with _client(nodes[0].url, session=_session(), on_session=kept.append) as client:
        with pytest.raises(Unauthenticated):
            await client.me()
        assert client.session is None
        with pytest.raises(Unauthenticated, match="not logged in"):
            await client.me()
    assert kept == [None]


async def test_logging_out_twice_is_harmless(nodes: list[FakeNode]) -> None:
    """The session ends here and there; a second time nobody is asked."""
    nodes[0].on("POST /api/v1/auth/logout", no_content)
    async with _client(nodes[0].url, session=_session()) as client:
        await client.logout()
        assert client.session is None
        await client.logout()
    assert len(nodes[0].asked("POST /api/v1/auth/logout")) == 1


async def test_a_refusal_brings_its_alternatives(nodes: list[FakeNode]) -> None:
    """409: decided, so no other node is asked, and the free places arrive typed."""
    place = {name: BOOKING[name] for name in ("space_id", "starts_at", "ends_at")} | {"seat_id": "A2"}
    nodes[0].on(BOOK, problem(409, "seat-taken", alternatives=[place]))
    async with _client(*(node.url for node in nodes), session=_session()) as client:
        with pytest.raises(Refused) as caught:
            await client.book("hq", "A1", STARTS)
    assert (caught.value.status, caught.value.code) == (409, "seat-taken")
    assert [place.seat_id for place in caught.value.alternatives] == ["A2"]
    assert not nodes[1].asked(BOOK)


async def test_no_node_answers(nodes: list[FakeNode]) -> None:
    """Nobody listens, or nobody leads: within the deadline, and with each server's reason."""
    async with _client(free_url(), free_url(), deadline_seconds=0.5) as client:
        begun = time.monotonic()
        with pytest.raises(NoNodeAnswers, match="no connection") as caught:
            await client.spaces()
        assert time.monotonic() - begun < 1.0
        assert len(caught.value.reasons) == 2
    nodes[0].on(BOOK, problem(503, "unavailable"))
    async with _client(nodes[0].url, session=_session(), deadline_seconds=0.3) as client:
        with pytest.raises(NoNodeAnswers, match="unavailable") as failed:
            await client.book("hq", "A1", STARTS)
        assert not isinstance(failed.value, OutcomeUnknown)


@pytest.mark.parametrize("answer", [problem(503, "outcome-unknown"), _cut], ids=["told", "cut"])
async def test_an_outcome_that_stays_unknown_gives_its_key(nodes: list[FakeNode], answer: Any) -> None:
    """A write that may have happened is not reported as one that has not; its key settles it later."""
    nodes[0].on(BOOK, answer)
    async with _client(nodes[0].url, session=_session(), deadline_seconds=0.3) as client:
        with pytest.raises(OutcomeUnknown) as caught:
            await client.book("hq", "A1", STARTS, key="mine")
        assert caught.value.key == "mine"
    assert {seen.headers["idempotency-key"] for seen in nodes[0].asked(BOOK)} == {"mine"}


async def test_pages_are_followed(nodes: list[FakeNode]) -> None:
    """History and bookings come as one stream of bookings."""
    pages = [ok({"items": [BOOKING] * 2, "next": "c1"}), ok({"items": [BOOKING], "next": None})]
    nodes[0].on("GET /history", *pages)
    nodes[0].on("GET /api/v1/bookings", *pages)
    async with _client(nodes[0].url, session=_session()) as client:
        assert [booking.id async for booking in client.history(limit=2)] == ["b1"] * 3
        assert len([booking async for booking in client.bookings(when="upcoming")]) == 3
    assert [seen.query for seen in nodes[0].asked("GET /history")] == [
        {"limit": "2"},
        {"limit": "2", "cursor": "c1"},
    ]
    assert nodes[0].asked("GET /api/v1/bookings")[0].query == {"when": "upcoming"}


async def test_an_answer_of_something_else(nodes: list[FakeNode]) -> None:
    """Another program on the port is called by its name."""
    nodes[0].on("GET /api/v1/spaces/hq", lambda: web.Response(text="It works!"))
    nodes[0].on("GET /api/v1/me", lambda: web.Response(status=302, headers={"Location": "http://else.where"}))
    async with _client(nodes[0].url, session=_session()) as client:
        with pytest.raises(BadAnswer, match="not an answer of a Deskraft node"):
            await client.space("hq")
        with pytest.raises(BadAnswer, match="status 302"):
            await client.me()


async def test_the_other_calls(nodes: list[FakeNode]) -> None:
    """What is sent for the calls that no other test sends."""
    nodes[0].on("POST /api/v1/auth/register", ok({"id": "u1", "login": "ada", "role": "user"}, 201))
    nodes[0].on("POST /book", ok(BOOKING, 201))
    nodes[0].on("POST /api/v1/bookings/b1/cancel", ok(BOOKING | {"status": "cancelled"}))
    day = {"space_id": "hq", "date": "2026-12-01", "timezone": "Europe/Moscow", "slots": [], "seats": []}
    nodes[0].on("GET /api/v1/spaces/hq/availability", ok(day))
    async with _client(nodes[0].url, session=_session()) as client:
        assert (await client.register("ada", "a long pass phrase")).id == "u1"
        await client.book_local("A1", "2026-12-01", "10:00", space="hq", slots=2)
        assert (await client.cancel("b1")).status == "cancelled"
        assert (await client.availability("hq", "2026-12-01")).timezone == "Europe/Moscow"
        with pytest.raises(ValueError, match="time zone"):
            await client.book("hq", "A1", datetime(2026, 12, 1))
    (book,) = nodes[0].asked("POST /book")
    assert book.body == {"seat": "A1", "date": "2026-12-01", "time": "10:00", "space": "hq", "slots": 2}
    assert nodes[0].asked("GET /api/v1/spaces/hq/availability")[0].query == {"date": "2026-12-01"}
    assert nodes[0].asked("POST /api/v1/auth/register")[0].headers["idempotency-key"]
    assert "authorization" not in nodes[0].asked("POST /api/v1/auth/register")[0].headers
    assert nodes[0].asked("POST /api/v1/bookings/b1/cancel")[0].headers["deskraft-min-index"] == str(
        ANSWER_INDEX
    )
