"""The waitlist over HTTP: joining, seeing the line move, leaving."""

from __future__ import annotations

from typing import Any

from tests.api.conftest import Node, expect_problem

BOOKINGS = "/api/v1/bookings"
WAITLIST = "/api/v1/waitlist"
PLACE = {"space_id": "hq", "seat_id": "A1", "starts_at": "2026-12-01T10:00:00+03:00"}


async def seen(node: Node, waiting_id: str, token: str) -> dict[str, Any]:
    view: dict[str, Any] = await (await node.get(f"{WAITLIST}/{waiting_id}", token)).json()
    return view


async def test_the_next_in_the_line_gets_what_is_given_back(node: Node) -> None:
    alice, bob, carol = await node.user(), await node.user("bob"), await node.user("carol")
    booking = await (await node.post(BOOKINGS, PLACE, alice)).json()
    answer = await node.post(WAITLIST, PLACE, bob, Idempotency_Key="k")
    first = await answer.json()
    assert answer.status == 201, first
    assert answer.headers["Location"] == f"{WAITLIST}/{first['id']}"
    assert (first["status"], first["position"], first["booking_id"]) == ("waiting", 1, None)
    again = await (await node.post(WAITLIST, PLACE, bob, Idempotency_Key="k")).json()
    assert again["id"] == first["id"]
    local = {"space_id": "hq", "seat_id": "A1", "date": "2026-12-01", "time": "10:00"}
    second = await (await node.post(WAITLIST, local, carol)).json()
    assert second["position"] == 2
    await node.post(f"{BOOKINGS}/{booking['id']}/cancel", None, alice)
    first, second = await seen(node, first["id"], bob), await seen(node, second["id"], carol)
    assert (first["status"], first["position"]) == ("promoted", None)
    assert (second["status"], second["position"]) == ("waiting", 1)
    got = await (await node.get(f"{BOOKINGS}/{first['booking_id']}", bob)).json()
    assert (got["seat_id"], got["status"]) == ("A1", "confirmed")
    await expect_problem(await node.post(BOOKINGS, PLACE, alice), 409, "seat-taken")
    steps = (await (await node.get(f"{BOOKINGS}/{got['id']}/history", bob)).json())["items"]
    assert [step["kind"] for step in steps] == ["promoted"]


async def test_waiting_for_any_seat_and_leaving(node: Node) -> None:
    alice, bob = await node.user(), await node.user("bob")
    anywhere = {name: value for name, value in PLACE.items() if name != "seat_id"}
    at_once = await (await node.post(WAITLIST, anywhere, alice)).json()
    assert at_once["status"] == "promoted", "some seat was free"
    await node.post(BOOKINGS, PLACE | {"seat_id": "A2"}, alice)
    one = await (await node.post(WAITLIST, PLACE | {"seat_id": "A2"}, bob)).json()
    assert one["status"] == "waiting"
    mine = (await (await node.get(WAITLIST, bob)).json())["items"]
    assert [each["id"] for each in mine] == [one["id"]]
    await expect_problem(await node.get(f"{WAITLIST}/{one['id']}", alice), 404, "waiting-not-found")
    await expect_problem(
        await node.post(f"{WAITLIST}/{one['id']}/leave", None, alice), 404, "waiting-not-found"
    )
    assert (await node.post(f"{WAITLIST}/{one['id']}/leave", None, bob)).status == 204
    await expect_problem(
        await node.post(f"{WAITLIST}/{one['id']}/leave", None, bob), 404, "waiting-not-found"
    )
    assert (await (await node.get(WAITLIST, bob)).json())["items"] == []


async def test_wishes_that_cannot_be(node: Node) -> None:
    token = await node.user()
    await expect_problem(await node.post(WAITLIST, PLACE | {"space_id": "none"}, token), 422, "unknown-space")
    await expect_problem(await node.post(WAITLIST, PLACE | {"seat_id": "Z"}, token), 422, "unknown-seat")
    past = PLACE | {"starts_at": "2026-11-01T10:00:00+03:00"}
    await expect_problem(await node.post(WAITLIST, past, token), 422, "past")
    await expect_problem(await node.post(WAITLIST, PLACE), 401, "unauthenticated")


async def test_the_line_through_changes_of_the_space(node: Node) -> None:
    """A name, other hours, a closure and its end, over HTTP: the slots of the days on which somebody waits travel along."""
    alice, bob, admin = await node.user(), await node.user("bob"), await node.admin()
    booking = await (await node.post(BOOKINGS, PLACE, alice)).json()
    waiting = (await (await node.post(WAITLIST, PLACE, bob)).json())["id"]
    hq = "/api/v1/admin/spaces/hq"
    assert (await node.patch(hq, {"name": "Another name"}, admin)).status == 200
    assert (
        await node.patch(hq, {"hours": {"tue": {"opens": "09:00", "closes": "21:00"}}}, admin)
    ).status == 200
    assert (await seen(node, waiting, bob))["status"] == "waiting"
    closing = {"first": "2026-12-01", "if_affected": "cancel"}
    problem = await expect_problem(await node.post(hq + "/days", closing, admin), 409, "affected-changed")
    assert (
        await node.post(hq + "/days", closing | {"affected_token": problem["affected"]["token"]}, admin)
    ).status == 200
    assert (await seen(node, waiting, bob))["status"] == "outdated"
    opening = {"first": "2026-12-01", "usual": True}
    assert (await node.post(hq + "/days", opening, admin)).status == 200
    assert (await seen(node, waiting, bob))["status"] == "promoted"
    view = await (await node.get(f"{BOOKINGS}/{booking['id']}", alice)).json()
    assert view["status"] == "cancelled"
