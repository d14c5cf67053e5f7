"""Baskets, moves, reasons and histories over HTTP."""

from __future__ import annotations

from typing import Any

from api.timegrid import MAX_SLOTS
from statemachine.limits import MAX_BASKET_ITEMS
from tests.api.conftest import Node, expect_problem

BOOKINGS = "/api/v1/bookings"
BASKET = f"{BOOKINGS}/basket"
TEN = "2026-12-01T10:00:00+03:00"
ELEVEN = "2026-12-01T11:00:00+03:00"


def place(seat: str, starts_at: str = TEN, **more: Any) -> dict[str, Any]:
    return {"space_id": "hq", "seat_id": seat, "starts_at": starts_at, **more}


async def booked(node: Node, token: str, seat: str = "A1", starts_at: str = TEN) -> dict[str, Any]:
    answer = await node.post(BOOKINGS, place(seat, starts_at), token)
    assert answer.status == 201, await answer.text()
    booking: dict[str, Any] = await answer.json()
    return booking


async def test_a_basket_is_booked_whole(node: Node) -> None:
    token = await node.user()
    local = {"space_id": "hq", "seat_id": "A2", "date": "2026-12-01", "time": "10:00", "slots": 2}
    answer = await node.post(BASKET, {"items": [place("A1"), local]}, token, Idempotency_Key="k")
    assert answer.status == 201, await answer.text()
    items = (await answer.json())["items"]
    assert [(each["seat_id"], each["starts_at"]) for each in items] == [("A1", TEN), ("A2", TEN)]
    again = await node.post(BASKET, {"items": [place("A1"), local]}, token, Idempotency_Key="k")
    assert (await again.json())["items"] == items
    page = await (await node.get(BOOKINGS, token)).json()
    assert len(page["items"]) == 2


async def test_series_and_bookings_are_listed_by_what_is_asked(node: Node) -> None:
    """Pages of one's own series, and bookings by space and by the local days on which they begin."""
    token = await node.user()
    weekly = place("A1", TEN, rrule="FREQ=WEEKLY;COUNT=2")
    made = [
        await (await node.post("/api/v1/series", {**weekly, "seat_id": seat}, token)).json()
        for seat in ("A1", "A2")
    ]
    first, second = (
        {"id": each["id"], "ids": [day["booking"]["id"] for day in each["items"]]} for each in made
    )
    page = await (await node.get("/api/v1/series?when=upcoming&limit=1", token)).json()
    assert [(each["id"], each["booking_ids"]) for each in page["items"]] == [(second["id"], second["ids"])]
    rest = await (await node.get(f"/api/v1/series?when=upcoming&cursor={page['next']}", token)).json()
    assert ([each["id"] for each in rest["items"]], rest["next"]) == ([first["id"]], None)
    assert (await node.post(f"/api/v1/series/{second['id']}/cancel", None, token)).status == 200
    for when, expected in (("past", second), ("upcoming", first)):
        page = await (await node.get(f"/api/v1/series?when={when}", token)).json()
        assert [each["id"] for each in page["items"]] == [expected["id"]]
    await expect_problem(await node.get("/api/v1/series?cursor=x", token), 422, "invalid-parameter")

    for query, expected_ids in (
        ("from=2026-12-02", [second["ids"][1], first["ids"][1]]),
        ("to=2026-12-01&space_id=hq", [second["ids"][0], first["ids"][0]]),
        ("from=2026-12-08&to=2026-12-08&status=confirmed", [first["ids"][1]]),
        ("space_id=elsewhere", []),
    ):
        page = await (await node.get(f"/history?{query}", token)).json()
        assert sorted(each["id"] for each in page["items"]) == sorted(expected_ids), query
    for query in ("from=tomorrow", "space_id=", "to=2026-02-30"):
        await expect_problem(await node.get(f"/history?{query}", token), 422, "invalid-parameter")


async def test_a_basket_with_one_taken_tells_which(node: Node) -> None:
    token = await node.user()
    await booked(node, token, "A2")
    answer = await node.post(BASKET, {"items": [place("A1"), place("A2")]}, token)
    problem = await expect_problem(answer, 409, "seat-taken")
    assert [item["code"] for item in problem["items"]] == ["ok", "seat-taken"]
    assert problem["errors"] == [{"pointer": "/items/1", "detail": "seat-taken"}]
    assert problem["items"][1]["alternatives"]
    page = await (await node.get(BOOKINGS, token)).json()
    assert len(page["items"]) == 1


async def test_several_wishes_say_which_goes_beyond_which_limit(node: Node) -> None:
    token, admin = await node.user(), await node.admin()
    policy = {"policy": {"live_bookings": 1}}
    assert (await node.patch("/api/v1/admin/spaces/hq", policy, admin)).status == 200
    answer = await node.post(BASKET, {"items": [place("A1"), place("A2")]}, token)
    problem = await expect_problem(answer, 409, "too-many-live")
    assert (problem["limit"], [item["limit"] for item in problem["items"]]) == (1, [None, 1])
    assert problem["errors"] == [{"pointer": "/items/1", "detail": "too-many-live"}]
    series = place("A1") | {"rrule": "FREQ=WEEKLY;COUNT=2"}
    problem = await expect_problem(await node.post("/api/v1/series", series, token), 409, "too-many-live")
    assert [item["limit"] for item in problem["items"]] == [None, 1]
    made = await (await node.post("/api/v1/series", series | {"mode": "free"}, token)).json()
    assert [(item["code"], item["limit"]) for item in made["items"]] == [("ok", None), ("too-many-live", 1)]


async def test_baskets_that_cannot_be(node: Node) -> None:
    token = await node.user()
    await expect_problem(await node.post(BASKET, {"items": []}, token), 422, "invalid-body")
    many = {"items": [place("A1")] * (MAX_BASKET_ITEMS + 1)}
    await expect_problem(await node.post(BASKET, many, token), 422, "invalid-body")
    odd = {"items": [place("A1"), place("A1", "2026-12-01T10:00:01+03:00")]}
    problem = await expect_problem(await node.post(BASKET, odd, token), 422, "off-grid")
    assert problem["errors"][0]["pointer"] == "/items/1/starts_at"
    both = {"items": [place("A1", date="2026-12-01")]}
    await expect_problem(await node.post(BASKET, both, token), 422, "invalid-body")
    neither = {"items": [{"space_id": "hq", "seat_id": "A1"}]}
    await expect_problem(await node.post(BASKET, neither, token), 422, "invalid-body")
    nowhere = {"items": [place("A1") | {"space_id": "none"}]}
    await expect_problem(await node.post(BASKET, nowhere, token), 422, "unknown-space")
    missing = await node.post(BASKET, {"items": [place("A1"), place("Z")]}, token)
    problem = await expect_problem(missing, 422, "unknown-seat")
    assert problem["errors"] == [{"pointer": "/items/1", "detail": "unknown-seat"}]
    long = {"items": [place("A1", slots=MAX_SLOTS)]}
    await expect_problem(await node.post(BASKET, long, token), 422, "off-grid")
    await expect_problem(await node.post(BASKET, {"items": [place("A1")]}), 401, "unauthenticated")


async def test_a_booking_moves_and_tells_its_history(node: Node) -> None:
    token = await node.user()
    booking = await booked(node, token)
    path = f"{BOOKINGS}/{booking['id']}"
    answer = await node.post(f"{path}/move", {"seat_id": "A2", "starts_at": ELEVEN}, token)
    moved = await answer.json()
    assert answer.status == 200, moved
    assert (moved["id"], moved["seat_id"], moved["starts_at"]) == (booking["id"], "A2", ELEVEN)
    assert answer.headers["ETag"] == f'"{moved["revision"]}"' != f'"{booking["revision"]}"'
    back = {"seat_id": "A1", "date": "2026-12-01", "time": "10:00", "slots": 2}
    moved = await (await node.post(f"{path}/move", back, token)).json()
    assert (moved["seat_id"], moved["ends_at"]) == ("A1", "2026-12-01T12:00:00+03:00")
    answer = await node.post(f"{path}/cancel", {"reason": "ill"}, token)
    assert (await answer.json())["status"] == "cancelled"
    steps = (await (await node.get(f"{path}/history", token)).json())["items"]
    assert [(step["kind"], step["seat_id"], step["reason"]) for step in steps] == [
        ("confirmed", "A1", None),
        ("moved", "A2", None),
        ("moved", "A1", None),
        ("cancelled", "A1", "ill"),
    ]
    assert steps[0]["revision"] == booking["revision"]
    await expect_problem(await node.post(f"{path}/move", {"seat_id": "A3"}, token), 409, "booking-cancelled")


async def test_a_move_onto_somebody_loses_nothing(node: Node) -> None:
    alice, bob = await node.user(), await node.user("bob")
    booking = await booked(node, alice)
    await booked(node, bob, "A2")
    path = f"{BOOKINGS}/{booking['id']}"
    problem = await expect_problem(
        await node.post(f"{path}/move", {"seat_id": "A2"}, alice), 409, "seat-taken"
    )
    assert problem["alternatives"]
    assert (await (await node.get(path, alice)).json()) == booking
    await expect_problem(await node.post(f"{path}/move", {"seat_id": "A3"}, bob), 404, "booking-not-found")
    await expect_problem(await node.get(f"{path}/history", bob), 404, "booking-not-found")
    await expect_problem(
        await node.post(f"{BOOKINGS}/none/move", {"seat_id": "A3"}, bob), 404, "booking-not-found"
    )
    await expect_problem(await node.post(f"{path}/move", {}, alice), 422, "invalid-body")


async def test_a_move_may_insist_on_a_revision(node: Node) -> None:
    token = await node.user()
    booking = await booked(node, token)
    path = f"{BOOKINGS}/{booking['id']}/move"
    for wrong in ("12.0", '"1', 'W/"1.0"', '""'):
        answer = await node.post(path, {"seat_id": "A2"}, token, If_Match=wrong)
        await expect_problem(answer, 422, "invalid-parameter")
    tag = f'"{booking["revision"]}"'
    assert (await node.post(path, {"seat_id": "A2"}, token, If_Match=tag)).status == 200
    answer = await node.post(path, {"seat_id": "A3"}, token, If_Match=tag)
    await expect_problem(answer, 412, "revision-changed")
    assert (await node.post(path, {"seat_id": "A3"}, token, If_Match="*")).status == 200


async def test_a_booking_is_cancelled_as_one_has_seen_it(node: Node) -> None:
    token = await node.user()
    booking = await (
        await node.post(
            "/api/v1/bookings",
            {"space_id": "hq", "seat_id": "A1", "starts_at": "2026-12-01T10:00:00+03:00"},
            token,
        )
    ).json()
    path = f"/api/v1/bookings/{booking['id']}"
    tag = (await node.get(path, token)).headers["ETag"]
    assert (await node.post(f"{path}/move", {"seat_id": "A2"}, token)).status == 200
    await expect_problem(await node.post(f"{path}/cancel", {}, token, If_Match=tag), 412, "revision-changed")
    short = await node.post("/cancel", {"booking_id": booking["id"]}, token, If_Match=tag)
    await expect_problem(short, 412, "revision-changed")
    tag = (await node.get(path, token)).headers["ETag"]
    done = await node.post(f"{path}/cancel", {"reason": "rain"}, token, If_Match=tag)
    assert (done.status, (await done.json())["status"]) == (200, "cancelled")


async def test_a_completed_booking_says_so(node: Node) -> None:
    token = await node.user()
    booking = await booked(node, token)
    node.replica.set_clock("2026-12-01T12:00:00+03:00")
    tokens = await node.tokens("alice")
    answer = await node.get(f"{BOOKINGS}/{booking['id']}/history", tokens["access_token"])
    steps = (await answer.json())["items"]
    assert [(step["kind"], step["at"]) for step in steps][1:] == [("completed", ELEVEN)]
