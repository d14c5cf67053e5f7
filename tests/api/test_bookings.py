"""Booking, cancelling and history over HTTP: the contract's rows, races, idempotency and bad input."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from tests.api.conftest import Node, expect_problem

BOOKINGS = "/api/v1/bookings"
AT_TEN = {"space_id": "hq", "seat_id": "A1", "starts_at": "2026-12-01T10:00:00+03:00"}


async def test_book_see_cancel_and_look_back(node: Node) -> None:
    token = await node.user()
    answer = await node.post(BOOKINGS, AT_TEN, token)
    booking = await answer.json()
    assert answer.status == 201
    assert f"{BOOKINGS}/{booking['id']}" == answer.headers["Location"]
    assert f'"{booking["revision"]}"' == answer.headers["ETag"]
    assert booking["revision"].startswith(answer.headers["Deskraft-Index"] + ".")
    me = await (await node.get("/api/v1/me", token)).json()
    expected = {
        "space_id": "hq", "seat_id": "A1", "seat_label": "Desk A1", "user_id": me["id"], "timezone": "Europe/Moscow",
        "starts_at": "2026-12-01T10:00:00+03:00", "ends_at": "2026-12-01T11:00:00+03:00", "status": "confirmed",
        "cancelled_at": None, "created_at": "2026-11-22T15:00:00.000+03:00",
    }  # fmt: skip
    assert expected == {name: booking[name] for name in expected}
    assert booking == await (await node.get(f"{BOOKINGS}/{booking['id']}", token)).json()
    assert await _row(node, "A1", token) == ["free", "free", "mine", "free"]
    assert await _row(node, "A1") == ["free", "free", "taken", "free"]

    for _ in range(2):  # the same again when repeated
        answer = await node.post(f"{BOOKINGS}/{booking['id']}/cancel", None, token)
        cancelled = await answer.json()
        assert (answer.status, cancelled["status"]) == (200, "cancelled")
        assert cancelled["cancelled_at"]
    assert await _row(node, "A1", token) == ["free", "free", "free", "free"]
    history = await (await node.get("/history", token)).json()
    assert {"items": [cancelled], "next": None} == history


async def _row(node: Node, seat: str, token: str | None = None) -> list[str]:
    """The first four slots of a seat on the first of December."""
    page = await (await node.get("/api/v1/spaces/hq/availability?date=2026-12-01", token)).json()
    return next(list(each["slots"][:4]) for each in page["seats"] if each["id"] == seat)


async def test_the_users_own_names_do_the_same(node: Node) -> None:
    token = await node.user()
    answer = await node.post(
        "/book", {"seat": "A1", "date": "2026-12-01", "time": "10:00", "slots": 2}, token
    )
    booking = await answer.json()
    assert (answer.status, booking["ends_at"]) == (201, "2026-12-01T12:00:00+03:00")
    assert f"{BOOKINGS}/{booking['id']}" == answer.headers["Location"]
    answer = await node.post("/cancel", {"booking_id": booking["id"]}, token)
    assert (answer.status, (await answer.json())["status"]) == (200, "cancelled")
    assert len((await (await node.get("/history", token)).json())["items"]) == 1


async def test_book_needs_the_space_only_when_two_have_the_seat(node: Node) -> None:
    token = await node.user()
    body: dict[str, Any] = {"seat": "D1", "date": "2026-12-01", "time": "10:00"}
    problem = await expect_problem(await node.post("/book", body, token), 422, "space-needed")
    assert "berlin" in problem["detail"] and "york" in problem["detail"]
    assert (await node.post("/book", body | {"space": "york"}, token)).status == 201
    await expect_problem(await node.post("/book", body | {"seat": "no"}, token), 422, "unknown-seat")
    await expect_problem(await node.post("/book", body | {"space": "no"}, token), 422, "unknown-space")
    await expect_problem(await node.post("/book", body | {"space": "hq"}, token), 422, "unknown-seat")


async def test_hundred_ask_for_one_seat_and_one_gets_it(node: Node) -> None:
    token = await node.user()
    answers = await asyncio.gather(*(node.post(BOOKINGS, AT_TEN, token) for _ in range(100)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 99
    taken = next(answer for answer in answers if answer.status == 409)
    problem = await expect_problem(taken, 409, "seat-taken")
    assert problem["alternatives"]
    other = await node.user("bob")
    for each in problem["alternatives"]:  # each is really free, and its slots are whole hours of the grid
        assert {"space_id", "seat_id", "starts_at", "ends_at"} == set(each)
        body = {name: each[name] for name in ("space_id", "seat_id", "starts_at")}
        assert (await node.post(BOOKINGS, body, other)).status == 201, each


BAD_BOOKINGS: list[tuple[dict[str, Any], str, str]] = [
    ({"space_id": "no"}, "unknown-space", ""),
    ({"seat_id": "no"}, "unknown-seat", ""),
    ({"starts_at": "2026-12-01T10:30:00+03:00"}, "off-grid", ""),
    ({"starts_at": "2026-12-01T10:00:01+03:00"}, "off-grid", "/starts_at"),
    ({"starts_at": "2026-12-01T10:00:00.5+03:00"}, "off-grid", "/starts_at"),
    ({"starts_at": "2026-12-01T07:00:00+03:00"}, "closed", ""),
    ({"starts_at": "2026-12-01T22:00:00+03:00"}, "closed", ""),
    ({"starts_at": "2026-12-01T21:00:00+03:00", "slots": 2}, "off-grid", ""),
    ({"starts_at": "2026-11-20T10:00:00+03:00"}, "past", ""),
    ({"starts_at": "2026-11-22T15:00:00+03:00"}, "past", ""),  # has begun this very moment
    ({"starts_at": "1999-12-01T10:00:00+03:00"}, "invalid-body", "/starts_at"),
    ({"starts_at": "9999-12-31T23:00:00-03:00"}, "invalid-body", "/starts_at"),
    ({"starts_at": "0001-01-01T00:00:00+14:00"}, "invalid-body", "/starts_at"),
    ({"starts_at": "2026-12-01T10:00:00"}, "invalid-body", "/starts_at"),
    ({"starts_at": "tomorrow"}, "invalid-body", "/starts_at"),
    ({"starts_at": 1764590400}, "invalid-body", "/starts_at"),
    ({"starts_at": None}, "invalid-body", "/starts_at"),
    ({"slots": 0}, "invalid-body", "/slots"),
    ({"slots": -1}, "invalid-body", "/slots"),
    ({"slots": 10**9}, "invalid-body", "/slots"),
    ({"slots": 10**30}, "invalid-body", "/slots"),
    ({"slots": 1.5}, "invalid-body", "/slots"),
    ({"slots": "1"}, "invalid-body", "/slots"),
    ({"slots": True}, "invalid-body", "/slots"),
    ({"slots": 288}, "off-grid", ""),
    ({"seat_id": 7}, "invalid-body", "/seat_id"),
    ({"seat_id": ""}, "invalid-body", "/seat_id"),
    ({"seat_id": "x" * 1000}, "invalid-body", "/seat_id"),
    ({"seat_id": ["A1"]}, "invalid-body", "/seat_id"),
    ({"colour": "red"}, "invalid-body", "/colour"),
    ({"a/b~c": 1}, "invalid-body", "/a~1b~0c"),
]


@pytest.mark.parametrize(("change", "code", "pointer"), BAD_BOOKINGS)
async def test_bookings_that_can_never_be(
    node: Node, change: dict[str, Any], code: str, pointer: str
) -> None:
    token = await node.user()
    problem = await expect_problem(await node.post(BOOKINGS, AT_TEN | change, token), 422, code)
    if pointer:
        assert [pointer] == [error["pointer"] for error in problem["errors"]]


async def test_every_wrong_field_is_named_at_once(node: Node) -> None:
    token = await node.user()
    answer = await node.post(BOOKINGS, {"seat_id": 1, "slots": 0, "x": 1}, token)
    problem = await expect_problem(answer, 422, "invalid-body")
    assert {"/x", "/space_id", "/seat_id", "/starts_at", "/slots"} == {
        error["pointer"] for error in problem["errors"]
    }


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"date": "2026-02-30"}, "/date"),
        ({"date": "01.12.2026"}, "/date"),
        ({"date": "20261201"}, "/date"),
        ({"date": "2026-W49-2"}, "/date"),
        ({"date": "1999-12-31"}, "/date"),
        ({"date": "２０２６-12-01"}, "/date"),
        ({"time": "25:00"}, "/time"),
        ({"time": "10"}, "/time"),
        ({"time": "10:00Z"}, "/time"),
        ({"time": "24:00"}, "/time"),
        ({"time": ""}, "/time"),
        ({"time": "10:00:01"}, "/time"),
        ({"time": "10:02"}, "/time"),
    ],
)
async def test_dates_and_times_that_are_none(node: Node, change: dict[str, str], pointer: str) -> None:
    token = await node.user()
    body = {"seat": "A1", "date": "2026-12-01", "time": "10:00"} | change
    answer = await node.post("/book", body, token)
    problem = await answer.json(content_type=None)
    assert (422, pointer) == (answer.status, problem["errors"][0]["pointer"])


async def test_anothers_booking_is_as_good_as_none(node: Node) -> None:
    alice, bob = await node.user(), await node.user("bob")
    booking = await (await node.post(BOOKINGS, AT_TEN, alice)).json()
    for name in (booking["id"], "018f-nothing", "я", "%00", "x" * 500, "..%2f.."):
        await expect_problem(await node.get(f"{BOOKINGS}/{name}", bob), 404, "booking-not-found")
        await expect_problem(
            await node.post(f"{BOOKINGS}/{name}/cancel", None, bob), 404, "booking-not-found"
        )
    await expect_problem(
        await node.post("/cancel", {"booking_id": booking["id"]}, bob), 404, "booking-not-found"
    )
    assert (await (await node.get("/history", bob)).json())["items"] == []


async def test_a_booking_whose_end_is_past_is_completed_and_stays(node: Node) -> None:
    await node.register("alice")
    token = (await node.tokens("alice"))["access_token"]
    booking = await (await node.post(BOOKINGS, AT_TEN, token, Idempotency_Key="once")).json()
    node.replica.set_clock("2026-12-01T11:00:00+03:00")
    token = (await node.tokens("alice"))["access_token"]
    completed = await (await node.get(f"{BOOKINGS}/{booking['id']}", token)).json()
    assert booking | {"status": "completed"} == completed
    await expect_problem(
        await node.post("/cancel", {"booking_id": booking["id"]}, token), 409, "booking-completed"
    )
    for query, count in (
        ("when=upcoming", 0),
        ("when=past", 1),
        ("status=completed", 1),
        ("status=confirmed", 0),
    ):
        page = await (await node.get(f"{BOOKINGS}?{query}", token)).json()
        assert count == len(page["items"]), query


# Idempotency.


async def test_the_same_key_and_body_book_once_with_the_same_answer(node: Node) -> None:
    token = await node.user()
    once = await node.post(BOOKINGS, AT_TEN, token, Idempotency_Key="k1")
    node.replica.advance(60)
    again = await node.post(BOOKINGS, AT_TEN, token, Idempotency_Key="k1")
    assert (201, await once.read()) == (again.status, await again.read())
    assert once.headers["Location"] == again.headers["Location"]
    spaced = msgspec.json.format(
        msgspec.json.encode(AT_TEN | {"slots": 1})
    )  # the parsed body counts, not its text
    assert await once.read() == await (await node.post(BOOKINGS, spaced, token, Idempotency_Key="k1")).read()
    assert len((await (await node.get("/history", token)).json())["items"]) == 1


async def test_a_key_with_another_body_or_call_is_refused(node: Node) -> None:
    token = await node.user()
    await node.post(BOOKINGS, AT_TEN, token, Idempotency_Key="k1")
    other = AT_TEN | {"seat_id": "A2"}
    await expect_problem(await node.post(BOOKINGS, other, token, Idempotency_Key="k1"), 422, "key-reused")
    body = {"seat": "A1", "date": "2026-12-01", "time": "10:00", "space": "hq"}
    await expect_problem(await node.post("/book", body, token, Idempotency_Key="k1"), 422, "key-reused")
    bob = await node.user("bob")  # keys belong to a user
    assert (await node.post(BOOKINGS, other, bob, Idempotency_Key="k1")).status == 201


async def test_refusals_of_the_log_are_kept_and_others_are_not(node: Node) -> None:
    alice, bob = await node.user(), await node.user("bob")
    booking = await (await node.post(BOOKINGS, AT_TEN, alice)).json()
    refused = await node.post(BOOKINGS, AT_TEN, bob, Idempotency_Key="k")
    await node.post("/cancel", {"booking_id": booking["id"]}, alice)
    again = await node.post(BOOKINGS, AT_TEN, bob, Idempotency_Key="k")
    assert (409, await refused.json(content_type=None)) == (again.status, await again.json(content_type=None))
    await expect_problem(await node.post(BOOKINGS, b"{", bob, Idempotency_Key="m"), 400, "broken-json")
    assert (await node.post(BOOKINGS, AT_TEN, bob, Idempotency_Key="m")).status == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "я", "a\tb"])
async def test_odd_keys(node: Node, key: str) -> None:
    token = await node.user()
    problem = await expect_problem(
        await node.post(BOOKINGS, AT_TEN, token, Idempotency_Key=key), 422, "invalid-parameter"
    )
    assert problem["parameter"] == "Idempotency-Key"
    assert (await node.post(BOOKINGS, AT_TEN, token, Idempotency_Key="x" * 255)).status == 201


async def test_rules_that_change_meanwhile_are_resolved_again(node: Node) -> None:
    token = await node.user()
    state, execute, spaces = node.replica.state, node.replica.execute, node.replica.state.spaces
    calls = 0

    async def changing(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            spaces["hq"] = msgspec.structs.replace(spaces["hq"], revision="99.0", slot_minutes=30)
        return await execute(*args, **named)

    node.replica.execute = changing  # type: ignore[method-assign]
    answer = await node.post(BOOKINGS, AT_TEN, token, Idempotency_Key="k")
    assert (answer.status, calls) == (201, 2)
    assert (await answer.json())["ends_at"] == "2026-12-01T10:30:00+03:00"
    assert len(state.bookings) == 1


# Lists.


async def test_pages_are_newest_first_and_do_not_overlap(node: Node) -> None:
    token = await node.user()
    made = []
    for hour in range(8, 15):
        body = AT_TEN | {"starts_at": f"2026-12-01T{hour:02}:00:00+03:00"}
        made.append((await (await node.post(BOOKINGS, body, token)).json())["id"])
    seen: list[str] = []
    path = "/history?limit=3&status=confirmed"
    for size in (3, 3, 1):
        answer = await node.get(path, token)
        page = await answer.json()
        assert size == len(page["items"])
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            assert "Link" not in answer.headers
            break
        link = answer.headers["Link"]
        assert link.startswith("</history?limit=3&status=confirmed&cursor=") and link.endswith(
            '>; rel="next"'
        )
        path = link[1 : link.index(">")]
    assert made[::-1] == seen


async def test_a_page_that_ends_exactly_at_the_end_has_no_next(node: Node) -> None:
    token = await node.user()
    for hour in (8, 9):
        await node.post(BOOKINGS, AT_TEN | {"starts_at": f"2026-12-01T{hour:02}:00:00+03:00"}, token)
    assert (await (await node.get("/history?limit=2", token)).json())["next"] is None


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"), ("limit=-1", "limit"), ("limit=%D9%A1", "limit"),
        ("limit=" + "9" * 5000, "limit"), ("cursor=", "cursor"), ("cursor=x", "cursor"), ("cursor=0.nothing", "cursor"),
        ("cursor=" + "x" * 300, "cursor"), ("when=never", "when"), ("status=lost", "status"), ("consistency=eventual", "consistency"),
        ("limit=1&limit=2", "limit"), ("colour=red", "colour"), ("when=past%00", "when"),
    ],
)  # fmt: skip
async def test_odd_query_parameters(node: Node, query: str, name: str) -> None:
    token = await node.user()
    for path in (BOOKINGS, "/history"):
        problem = await expect_problem(await node.get(f"{path}?{query}", token), 422, "invalid-parameter")
        assert name == problem["parameter"]
