"""What every call heeds alike: ETags and 304, `If-Match` and 412, pages and their `Link`, keys, and the signs of a call that will go."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api.answers import json_answer
from api.app import API_CALLS, SERVICES
from api.calls import Call, Deprecation
from api.exchange import Exchange
from api.gate import Gate
from api.openapi import document, operation_id
from api.shapes import LiveView
from tests.api.conftest import Node, expect_problem

BOOKINGS = "/api/v1/bookings"
HQ = "/api/v1/admin/spaces/hq"
AT_TEN = {"space_id": "hq", "seat_id": "A1", "starts_at": "2026-12-01T10:00:00+03:00"}
QUERIES = {
    "/api/v1/spaces/{space_id}/availability": "?date=2026-12-01",
    "/api/v1/spaces/{space_id}/seats/{seat_id}/day": "?date=2026-12-01",
    "/api/v1/admin/reports/occupancy": "?space_id=hq&from=2026-12-01&to=2026-12-01",
}
TAGGED = [call for call in API_CALLS if call.tagged]


async def ids_of(node: Node, admin: str) -> dict[str, str]:
    """Something of every kind that a path may name, all of it the administrator's."""
    booking = await (await node.post(BOOKINGS, AT_TEN, admin)).json()
    weekly = {**AT_TEN, "seat_id": "A2", "rrule": "FREQ=WEEKLY;COUNT=2"}
    series = await (await node.post("/api/v1/series", weekly, admin)).json()
    rival = await node.user()
    taken = {**AT_TEN, "seat_id": "A3"}
    assert (await node.post(BOOKINGS, taken, rival)).status == 201
    waiting = await (await node.post("/api/v1/waitlist", taken, admin)).json()
    calendar = await (await node.post("/api/v1/me/calendar", None, admin)).json()
    hook = await (await node.post("/api/v1/admin/webhooks", {"url": "https://8.8.8.8/hook"}, admin)).json()
    return {
        "webhook_id": hook["id"],
        "sink_id": hook["id"],
        "booking_id": booking["id"],
        "series_id": series["id"],
        "waiting_id": waiting["id"],
        "user_id": booking["user_id"],
        "space_id": "hq",
        "seat_id": "A1",
        "secret": calendar["path"].removeprefix("/calendar/").removesuffix(".ics"),
    }


@pytest.mark.parametrize("call", TAGGED, ids=operation_id)
async def test_what_is_read_is_tagged_and_not_sent_twice(node: Node, call: Call) -> None:
    admin = await node.admin()
    path = call.path.format_map(await ids_of(node, admin)) + QUERIES.get(call.path, "")
    first = await node.get(path, admin)
    assert first.status == 200, await first.text()
    tag = first.headers["ETag"]
    for wanted in (tag, f'"other", W/{tag}', "*"):
        again = await node.get(path, admin, If_None_Match=wanted)
        assert (again.status, again.headers["ETag"], await again.read()) == (304, tag, b""), wanted
        assert again.headers["Deskraft-Index"].isdigit()
        assert "Content-Type" not in again.headers
    other = await node.get(path, admin, If_None_Match='"other"')
    assert (other.status, await other.read()) == (200, await first.read())
    head = await node.client.head(path, headers={"Authorization": f"Bearer {admin}", "If-None-Match": tag})
    assert head.status == 304
    shared = "private, no-cache" if call.access != "user" else "no-store"
    if call.media_type == "application/json":
        assert first.headers["Cache-Control"] == shared
    await_nobody = await node.get(path, If_None_Match=tag)
    assert await_nobody.status == (401 if call.access == "user" else await_nobody.status)


async def test_what_a_node_tells_of_itself_has_no_tag(node: Node) -> None:
    admin = await node.admin()
    for path in ("/api/v1/cluster", "/livez", "/readyz", "/metrics", "/api/v1/cluster/backup"):
        assert "ETag" not in (await node.get(path, admin)).headers, path


async def test_a_tag_is_the_revision_until_the_view_depends_on_more(node: Node) -> None:
    """Time ends a booking and a space changes its zone: the revision stays, and the bytes do not."""
    booking = await (await node.post(BOOKINGS, AT_TEN, await node.user())).json()
    path = f"{BOOKINGS}/{booking['id']}"
    seen: dict[str, bytes] = {}

    async def look() -> str:
        answer = await node.get(path, await node.admin())
        tag, text = answer.headers["ETag"], await answer.read()
        assert seen.setdefault(tag, text) == text
        return tag

    first = await look()
    assert first == f'"{booking["revision"]}"'
    node.replica.set_clock("2026-12-02T10:00:00+00:00")
    completed = await look()
    assert completed.startswith(first[:-1] + "-")
    assert (await node.patch(HQ, {"timezone": "Asia/Dubai"}, await node.admin())).status == 200
    moved = await look()
    assert len({first, completed, moved}) == 3
    assert len(set(seen.values())) == 3


async def test_an_outage_that_is_over_is_another_view(node: Node) -> None:
    admin = await node.admin()
    outage = {"starts_at": "2026-12-01T10:00:00+03:00", "ends_at": "2026-12-01T12:00:00+03:00"}
    assert (await node.patch(f"{HQ}/seats/A1", {"outages": [outage]}, admin)).status == 200
    before = await node.get("/api/v1/spaces/hq")
    node.replica.set_clock("2026-12-03T10:00:00+00:00")
    assert (await node.post("/api/v1/auth/register", {"login": "later", "password": "a fine phrase"})).ok
    after = await node.get("/api/v1/spaces/hq")
    assert await before.read() != await after.read()
    assert before.headers["ETag"] != after.headers["ETag"]
    assert (await before.json())["revision"] == (await after.json())["revision"]


async def test_a_change_takes_either_kind_of_tag(node: Node) -> None:
    admin = await node.admin()
    outage = {"starts_at": "2026-12-01T10:00:00+03:00", "ends_at": "2026-12-01T12:00:00+03:00"}
    await node.patch(f"{HQ}/seats/A1", {"outages": [outage]}, admin)
    tag = (await node.get(HQ, admin)).headers["ETag"]
    assert "-" in tag
    assert (await node.patch(HQ, {"name": "One"}, admin, If_Match=tag)).status == 200
    await expect_problem(await node.patch(HQ, {"name": "Two"}, admin, If_Match=tag), 412, "revision-changed")
    listed = (await node.get("/api/v1/spaces")).headers["ETag"]  # a good tag, of something else
    await expect_problem(
        await node.patch(HQ, {"name": "Two"}, admin, If_Match=listed), 412, "revision-changed"
    )
    for wrong in ("12.0", 'W/"12.0"', '"12.0", "13.0"', '"a b"', '""'):
        answer = await node.patch(HQ, {"name": "Two"}, admin, If_Match=wrong)
        await expect_problem(answer, 422, "invalid-parameter")


async def test_a_bad_key_is_refused_by_every_call_that_takes_one(node: Node) -> None:
    admin = await node.admin()
    for call in API_CALLS:
        if not call.takes_key:
            continue
        path = re.sub(r"\{\w+\}", "x", call.path)
        headers = {"Authorization": f"Bearer {admin}", "Idempotency-Key": "k" * 256}
        answer = await node.client.request(call.method, path, headers=headers)
        problem = await expect_problem(answer, 422, "invalid-parameter")
        assert problem["parameter"] == "Idempotency-Key"


async def test_a_parameter_that_only_reads_know_is_refused_elsewhere(node: Node) -> None:
    admin = await node.admin()
    path = f"{BOOKINGS}?consistency=stale"
    await expect_problem(await node.post(path, AT_TEN, admin), 422, "invalid-parameter")
    await expect_problem(await node.get("/livez?consistency=stale"), 422, "invalid-parameter")


async def test_pages_lead_to_each_other(node: Node) -> None:
    """Following `Link` from the first page shows everything once, for every call that has pages."""
    admin, token = await node.admin(), await node.user()
    for hour in range(10, 15):
        body = {**AT_TEN, "starts_at": f"2026-12-01T{hour}:00:00+03:00"}
        assert (await node.post(BOOKINGS, body, token)).status == 201
    for number in range(4):
        await node.register(f"user{number}")
        assert (await node.patch(HQ, {"name": f"Name {number}"}, admin)).status == 200
    elsewhere = (
        "/api/v1/me/export",
        "/api/v1/admin/sinks/{sink_id}/dead-letters",
        "/api/v1/series",
        "/api/v1/admin/users/{user_id}/bookings",
    )  # thousands; test_outbox.py; test_moves.py; test_people.py
    paged = [call for call in API_CALLS if call.paged and call.path not in elsewhere]
    assert len(paged) >= 4
    for call in paged:
        asking = admin if "/admin/" in call.path else token
        everything = await _items(node, f"{call.path}?limit=200", asking)
        assert await _items(node, f"{call.path}?limit=2", asking) == everything, call.path
        assert len(everything) >= 4, call.path


async def _items(node: Node, path: str, token: str) -> list[Any]:
    items: list[Any] = []
    while True:
        answer = await node.get(path, token)
        said = await answer.json()
        items += said["items"]
        if said["next"] is None:
            assert "Link" not in answer.headers
            return items
        path = answer.headers["Link"].partition(">")[0].removeprefix("<")
        assert said["next"] in path


async def test_a_call_that_will_go_says_so(node: Node) -> None:
    app = node.client.server.app  # type: ignore[union-attr]  # it is our own application

    async def live(exchange: Exchange, _: None) -> web.Response:
        return json_answer(LiveView("alive"), 0)

    going = Deprecation(
        datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC), "https://example.org/why"
    )
    call = Call("GET", "/old", "An old call", live, {200: LiveView}, access="node", deprecated=going)
    old = web.Application()
    old.router.add_route("*", "/old", Gate(app[SERVICES], "/old", (call,)).handle)
    async with TestClient(TestServer(old)) as client:
        for path in ("/old", "/old?what"):  # a refusal says it, too
            answer = await client.get(path)
            assert answer.headers["Deprecation"] == "@1798761600"
            assert answer.headers["Sunset"] == "Sat, 01 Jan 2028 00:00:00 GMT"
            assert 'rel="deprecation"' in answer.headers["Link"]
    told = document((call,), "test")["paths"]["/old"]["get"]
    assert told["deprecated"] is True
    assert {"Deprecation", "Sunset", "Link"} <= set(told["responses"]["200"]["headers"])
