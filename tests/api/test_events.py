"""The feed over HTTP: streams that go on, pages, who sees what, and that nothing a reader does costs more than it may."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, TCPConnector

from api import events as events_module
from api import streams as streams_module
from api import telling
from api.app import SERVICES
from statemachine import feed as feed_module
from tests.api.conftest import PASSWORD, Node, expect_problem

STREAM = "/api/v1/events"
START = datetime(2026, 11, 23, 9, tzinfo=UTC)
WAIT_SECONDS = 5.0


class Reader:
    """Reads a stream by the rules of WHATWG HTML, 9.2.6, as far as they are used."""

    def __init__(self, answer: ClientResponse) -> None:
        self.answer = answer
        self.last_id = ""
        self.comments = 0

    async def next(self) -> tuple[str, Any] | None:
        """The next event as (kind, data), or None at the end."""
        kind, data, fresh_id = "message", "", self.last_id
        while True:
            line = (await asyncio.wait_for(self.answer.content.readline(), WAIT_SECONDS)).decode()
            if not line:
                return None
            name, _, value = line.rstrip("\n").partition(": ")
            if line == "\n":
                self.last_id = fresh_id
                if data:
                    return kind, json.loads(data)
                kind = "message"
            elif not name:
                self.comments += 1
            elif name == "id":
                assert not data, "the id comes first"
                fresh_id = value
            elif name == "event":
                kind = value
            elif name == "data":
                data += value

    async def types(self, count: int) -> list[str]:
        return [(await self.event())["type"].removeprefix("deskraft.") for _ in range(count)]

    async def event(self) -> Any:
        told = await self.next()
        assert told is not None
        kind, data = told
        assert kind == "message", told
        assert data["id"] == self.last_id
        return data


async def listen(node: Node, token: str | None = None, query: str = "", **headers: str) -> Reader:
    answer = await node.get(f"{STREAM}{query}", token, **headers)
    assert answer.status == 200, await answer.text()
    assert answer.content_type == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    reader = Reader(answer)
    before = reader.last_id
    while not reader.last_id:  # a stream begins by saying where it stands
        line = (await asyncio.wait_for(answer.content.readline(), WAIT_SECONDS)).decode().rstrip("\n")
        if line.startswith("id: "):
            reader.last_id = line.removeprefix("id: ")
    assert before == ""
    assert await answer.content.readline() == b"\n"
    return reader


async def book(node: Node, token: str, seat: str = "A1", hours: int = 0, space: str = "hq") -> dict[str, Any]:
    starts_at = (START + timedelta(hours=hours)).isoformat()
    body = {"space_id": space, "seat_id": seat, "starts_at": starts_at}
    answer = await node.post("/api/v1/bookings", body, token)
    assert answer.status == 201, await answer.text()
    booking: dict[str, Any] = await answer.json()
    return booking


async def cancel(node: Node, token: str, booking: dict[str, Any]) -> None:
    answer = await node.post(f"/api/v1/bookings/{booking['id']}/cancel", None, token)
    assert answer.status == 200


async def pages(node: Node, token: str | None = None, query: str = "after=0") -> list[Any]:
    """All pages, each found by the link of the one before."""
    path, items = f"{STREAM}?{query}", []
    while path:
        answer = await node.get(path, token)
        assert answer.status == 200, await answer.text()
        page = await answer.json()
        items += page["items"]
        assert (page["next"] is None) == ("next" not in answer.links)
        path = str(answer.links["next"]["url"].relative()) if page["next"] else ""
    return items


def streams_of(node: Node) -> streams_module.Streams:
    app = node.client.server.app  # type: ignore[attr-defined]  # the base class of test servers has none
    streams: streams_module.Streams = app[SERVICES].streams
    return streams


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in the node, which knows no event of the test's
            await asyncio.sleep(0.005)


async def test_each_sees_what_they_may(node: Node) -> None:
    ann, bob, root = await node.user("ann"), await node.user("bob"), await node.admin()
    readers = {
        name: await listen(node, token)
        for name, token in (("ann", ann), ("bob", bob), ("root", root), ("", None))
    }
    booking = await book(node, ann)
    await cancel(node, ann, booking)
    for name in ("ann", "root"):
        for kind, status in (
            ("deskraft.booking.confirmed", "confirmed"),
            ("deskraft.booking.cancelled", "cancelled"),
        ):
            told = await readers[name].event()
            assert (told["type"], told["subject"]) == (kind, f"bookings/{booking['id']}")
            assert (told["data"]["booking_id"], told["data"]["status"]) == (booking["id"], status)
            assert told["source"] == "/deskraft/demo"
    for name in ("bob", ""):
        for status in ("taken", "free"):
            told = await readers[name].event()
            assert told["type"] == "deskraft.seat.state"
            assert [each["state"] for each in told["data"]["places"]] == [status]
            assert booking["user_id"] not in json.dumps(told)
            assert booking["id"] not in json.dumps(told)
    assert len({reader.last_id for reader in readers.values()}) == 1, "one name for one change"


async def test_a_reader_goes_on_where_it_was(node: Node) -> None:
    ann = await node.user("ann")
    first = await listen(node, ann)
    bookings = [await book(node, ann, hours=number) for number in range(3)]
    ids = [(await first.event())["data"]["booking_id"]]
    first.answer.close()
    for place in ({"Last_Event_ID": first.last_id}, {}):
        again = await listen(node, ann, "" if place else f"?last_event_id={first.last_id}", **place)
        assert again.last_id == first.last_id
        assert ids + [(await again.event())["data"]["booking_id"] for _ in range(2)] == [
            each["id"] for each in bookings
        ]
        again.answer.close()


@pytest.mark.parametrize("asked", ["9999.0", "nonsense", "2.77", "-1.0", "1"])
async def test_an_unknown_place_is_a_reset(node: Node, asked: str) -> None:
    ann = await node.user("ann")
    answer = await node.get(STREAM, ann, Last_Event_ID=asked)
    reader = Reader(answer)
    told = await reader.next()
    assert told == ("reset", {"reason": "unknown", "id": reader.last_id})
    booking = await book(node, ann)
    assert (await reader.event())["data"]["booking_id"] == booking["id"], "it goes on from now"


async def test_a_place_that_is_no_longer_kept_is_a_reset(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await node.user("ann")
    reader = await listen(node, ann)
    old = reader.last_id
    reader.answer.close()
    monkeypatch.setattr(feed_module, "FEED_EVENTS_KEPT", 4)
    for number in range(6):
        await book(node, ann, hours=number)
    reader = Reader(await node.get(STREAM, ann, Last_Event_ID=old))
    told = await reader.next()
    assert told is not None
    assert (told[0], told[1]["reason"]) == ("reset", "too-old")
    page = await (await node.get(f"{STREAM}?after={old}", ann)).json()
    assert (page["reset"], len(page["items"])) == (True, 4)
    page = await (await node.get(f"{STREAM}?limit=9", ann)).json()
    assert (page["reset"], len(page["items"])) == (False, 4)


async def test_a_reader_that_falls_out_of_the_window_is_told(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await node.user("ann")
    reader = await listen(node, ann)
    (stream,) = streams_of(node)._open
    stream.place = (1, 0)
    monkeypatch.setattr(feed_module, "FEED_EVENTS_KEPT", 1)
    await book(node, ann)
    told = await reader.next()
    assert told is not None
    assert told[0] == "reset"


async def test_filters(node: Node) -> None:
    ann = await node.user("ann")
    hq = await listen(node, ann, "?space=hq")
    kinds = await listen(node, ann, "?type=deskraft.booking.cancelled,deskraft.user")
    anybody = await listen(node, None, "?space=berlin,kolkata&type=deskraft.seat")
    berlin = await book(node, ann, "D1", space="berlin")
    await cancel(node, ann, berlin)
    booking = await book(node, ann)
    assert (await hq.event())["data"]["booking_id"] == booking["id"]
    assert (await kinds.event())["data"]["booking_id"] == berlin["id"]
    assert await anybody.types(2) == ["seat.state", "seat.state"]
    assert len(await pages(node, ann, "after=0&space=berlin")) == 3, "created, booked, cancelled"
    await expect_problem(await node.get(f"{STREAM}?space=none"), 422, "unknown-space")
    for query in (
        "space=",
        "type=a,,b",
        "after=7",
        "after=x.y",
        "limit=0",
        "type=" + ",".join(map(str, range(21))),
    ):
        await expect_problem(await node.get(f"{STREAM}?{query}"), 422, "invalid-parameter")


async def test_pages_and_streams_tell_the_same(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, root = await node.user("ann"), await node.admin()
    streamed = []
    for number in range(4):
        await cancel(node, ann, await book(node, ann, hours=number))
    for token in (ann, root, None):
        answer = await node.get(STREAM, token, Last_Event_ID="0")
        reader = Reader(answer)
        items = await pages(node, token)
        streamed = [await reader.event() for _ in items]
        assert streamed == items
        places = [tuple(map(int, item["id"].split("."))) for item in items]
        assert places == sorted(set(places))
        for limit, examined in ((1, 3), (3, 1), (2, 2_000), (200, 2)):
            monkeypatch.setattr(events_module, "MAX_EXAMINED_EVENTS", examined)
            assert await pages(node, token, f"after=0&limit={limit}") == items
    assert len(streamed) > 8


async def test_a_page_says_how_far_it_has_looked(node: Node) -> None:
    ann = await node.user("ann")
    page = await (await node.get(f"{STREAM}?limit=200")).json()
    assert page["next"] is None
    assert page["position"] == (await listen(node)).last_id
    await node.user("carl")
    nothing = await (await node.get(f"{STREAM}?after={page['position']}")).json()
    assert nothing["items"] == []
    assert nothing["position"] > page["position"]
    await book(node, ann)
    later = await (await node.get(f"{STREAM}?after={nothing['position']}")).json()
    assert [item["type"] for item in later["items"]] == ["deskraft.seat.state"]


async def _log_out(node: Node, token: str) -> None:
    assert (await node.post("/api/v1/auth/logout", None, token)).status == 204


async def _block(node: Node, token: str) -> None:
    me = await (await node.get("/api/v1/me", token)).json()
    answer = await node.post(f"/api/v1/admin/users/{me['id']}/block", {}, await node.admin())
    assert answer.status in (200, 204), await answer.text()


async def _erase(node: Node, token: str) -> None:
    answer = await node.client.request(
        "DELETE", "/api/v1/me", json={"password": PASSWORD}, headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status == 204, await answer.text()


@pytest.mark.parametrize("end", [_log_out, _block, _erase])
async def test_a_session_that_ends_ends_its_streams(
    node: Node, end: Callable[[Node, str], Awaitable[None]]
) -> None:
    ann, bob = await node.user("ann"), await node.user("bob")
    mine, others = await listen(node, ann), await listen(node, bob)
    await end(node, ann)
    assert await mine.next() is None
    await book(node, bob)
    assert await others.types(1) == ["booking.confirmed"]
    assert len(streams_of(node)) == 1
    await expect_problem(await node.get(STREAM, ann), 401, "unauthenticated")


async def test_a_token_that_runs_out_ends_its_stream(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await node.user("ann")
    reader = await listen(node, ann)
    monkeypatch.setattr(streams_module, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(streams_module, "TICK_SECONDS", 0.01)
    node.replica.advance(15 * 60)
    assert await reader.next() is None
    assert not len(streams_of(node))


async def test_heartbeats_move_the_place(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(streams_module, "TICK_SECONDS", 0.01)
    reader = await listen(node, None, "?space=berlin")
    before = reader.last_id
    ann = await node.user("ann")
    await book(node, ann)
    reading = asyncio.ensure_future(reader.next())
    await until(lambda: reader.comments > 2 and reader.last_id > before)
    await book(node, ann, "D1", space="berlin")
    told = await reading
    assert told is not None
    assert told[1]["type"] == "deskraft.seat.state"


async def test_bounds_of_streams(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "MAX_STREAMS_PER_USER", 2)
    ann, bob = await node.user("ann"), await node.user("bob")
    streams = streams_of(node)
    streams.limit = 4
    mine = [await listen(node, ann) for _ in range(2)]
    problem = await expect_problem(await node.get(STREAM, ann), 429, "overloaded")
    assert problem["status"] == 429
    anybody = [await listen(node) for _ in range(2)]
    await expect_problem(await node.get(STREAM), 429, "overloaded")
    await expect_problem(await node.get(STREAM, bob), 429, "overloaded")
    head = await node.client.head(STREAM, headers={"Authorization": f"Bearer {bob}"})
    assert head.status == 429
    assert (await node.get(f"{STREAM}?limit=1", ann)).status == 200, "pages are no streams"
    mine.pop().answer.close()
    async with asyncio.timeout(WAIT_SECONDS):
        while (await node.get(STREAM, ann)).status != 200:  # noqa: ASYNC110 - the node has to notice first
            await asyncio.sleep(0.01)
    del anybody


async def test_a_slow_reader_is_cut_off_and_holds_nobody_up(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "STALLED_SECONDS", 0.05)
    monkeypatch.setattr(streams_module, "TICK_SECONDS", 0.01)
    ann = await node.user("ann")
    await listen(node, ann)
    quick = await listen(node, ann)
    streams = streams_of(node)
    stream = next(iter(streams._open))

    class Full:
        """A connection whose reader takes nothing."""

        aborted = False

        def is_closing(self) -> bool:
            return False

        def get_write_buffer_size(self) -> int:
            return streams_module.STREAM_BUFFER_BYTES + 1

        def write(self, data: bytes) -> None:
            raise AssertionError("it has enough")

        def abort(self) -> None:
            self.aborted = True

    real, full = stream.transport, Full()
    stream.transport = full  # type: ignore[assignment]  # as much of a transport as the hub uses
    for number in range(5):
        await book(node, ann, hours=number)
    assert await quick.types(5) == ["booking.confirmed"] * 5
    await until(lambda: full.aborted)
    assert streams.cut_off == 1
    assert list(streams._open) != [stream]
    real.close()


async def test_stopping_ends_all_streams_at_once(node: Node) -> None:
    ann = await node.user("ann")
    readers = [await listen(node, ann), await listen(node)]
    began = asyncio.get_running_loop().time()
    streams_of(node).close()
    for reader in readers:
        assert await reader.next() is None
    assert asyncio.get_running_loop().time() - began < 1.0
    await expect_problem(await node.get(STREAM, ann), 503, "unavailable")


async def test_a_node_that_has_lost_the_others_sends_its_readers_on(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "LOST_SECONDS", 0.05)
    monkeypatch.setattr(streams_module, "TICK_SECONDS", 0.01)
    reader = await listen(node)
    node.replica.not_ready = "no leader is known"
    assert await reader.next() is None


async def test_old_clients_get_it_without_chunks(node: Node) -> None:
    """HTTP/1.0 has none; the end of the connection is the end of the stream."""
    ann = await node.user("ann")
    reading, writing = await asyncio.open_connection(node.client.host, node.client.port)
    writing.write(f"GET {STREAM} HTTP/1.0\r\nAuthorization: Bearer {ann}\r\n\r\n".encode())
    head = await asyncio.wait_for(reading.readuntil(b"\r\n\r\n"), WAIT_SECONDS)
    assert b"chunked" not in head.lower()
    assert (await reading.readline()).startswith(b"retry: ")
    assert (await reading.readline()).startswith(b"id: ")
    assert await reading.readline() == b"\n"
    await book(node, ann)
    assert (await asyncio.wait_for(reading.readline(), WAIT_SECONDS)).startswith(b"id: ")
    assert (await reading.readline()).startswith(b'data: {"specversion":"1.0"')
    streams_of(node).close()
    assert await asyncio.wait_for(reading.read(), WAIT_SECONDS) == b"\n"
    writing.close()


async def test_without_a_majority_no_stream_begins(node: Node) -> None:
    from node.replica import UnavailableError

    node.replica.failure = UnavailableError("no leader")
    await expect_problem(await node.get(STREAM), 503, "unavailable")
    answer = await node.get(f"{STREAM}?consistency=stale")
    assert answer.status == 200
    ahead = {"Last_Event_ID": "9999.0"}
    await expect_problem(await node.get(f"{STREAM}?consistency=stale", **ahead), 503, "unavailable")
    await expect_problem(await node.get(STREAM, Deskraft_Min_Index="9999"), 503, "unavailable")


@pytest.mark.timeout(60)
async def test_five_hundred_streams(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them get everything, in order; each event is made into bytes once for all who see the same."""
    made: list[Any] = []
    real = telling.cloud_event
    monkeypatch.setattr(telling, "cloud_event", lambda *told: made.append(told) or real(*told))
    ann = await node.user("ann")
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        url = str(node.client.make_url(STREAM))
        answers = [
            await session.get(url, params={"space": "hq"} if number % 2 else {}) for number in range(500)
        ]
        bookings = [await book(node, ann, hours=number) for number in range(5)]
        for answer in answers:
            reader = Reader(answer)
            told = [await reader.event() for _ in bookings]
            starts = [datetime.fromisoformat(each["data"]["places"][0]["starts_at"]) for each in told]
            assert starts == [datetime.fromisoformat(each["starts_at"]) for each in bookings]
        assert len(streams_of(node)) == 500
    assert len(made) == 5
