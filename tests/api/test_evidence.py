"""Receipts and looks into the past over HTTP."""

from __future__ import annotations

from tests.api.conftest import Node, expect_problem

BOOKING = {"space_id": "hq", "seat_id": "A1", "starts_at": "2026-12-01T10:00:00+03:00", "slots": 2}
DAY = "/api/v1/spaces/hq/seats/A1/day?date=2026-12-01"


async def test_an_answer_carries_what_any_member_can_confirm(node: Node) -> None:
    token = await node.user()
    booked = await node.post("/api/v1/bookings", BOOKING, token)
    index, digest = booked.headers["Deskraft-Index"], booked.headers["Deskraft-Digest"]
    await node.user("bob")
    later = await node.get("/api/v1/me", token)
    assert later.headers["Deskraft-Digest"] != digest
    answer = await node.get(f"/api/v1/cluster/receipts/{index}")
    seen = await answer.json()
    assert (seen["index"], seen["digest"]) == (int(index), digest)
    assert seen["oldest"] == 0
    assert seen["newest"] == node.replica.applied_index


async def test_a_receipt_of_another_time_is_refused_with_what_is_known(node: Node) -> None:
    newest = node.replica.applied_index
    problem = await expect_problem(
        await node.get(f"/api/v1/cluster/receipts/{newest + 1}"), 409, "not-applied-yet"
    )
    assert problem["newest"] == newest
    node.replica.receipts.oldest = newest
    problem = await expect_problem(await node.get(f"/api/v1/cluster/receipts/{newest - 1}"), 410, "forgotten")
    assert problem["oldest"] == newest
    await expect_problem(await node.get("/api/v1/cluster/receipts/one"), 404, "not-found")


async def test_a_seats_day_is_read_as_it_was(node: Node) -> None:
    token = await node.user()
    before = node.replica.applied_index
    booked = await node.post("/api/v1/bookings", BOOKING, token)
    index = int(booked.headers["Deskraft-Index"])
    await node.post(f"/api/v1/bookings/{(await booked.json())['id']}/cancel", {}, token)
    taken = [{"starts_at": "2026-12-01T10:00:00+03:00", "ends_at": "2026-12-01T12:00:00+03:00"}]
    for as_of, expected in ((before, []), (index, taken), (node.replica.applied_index, [])):
        answer = await node.get(f"{DAY}&as_of={as_of}")
        view = await answer.json()
        assert (view["as_of"], view["taken"]) == (as_of, expected)
        assert view["digest"] == answer.headers["Deskraft-Digest"]
        assert answer.headers["Deskraft-Index"] == str(as_of)
    now = await (await node.get(DAY)).json()
    assert (now["as_of"], now["taken"], now["timezone"]) == (node.replica.applied_index, [], "Europe/Moscow")


async def test_the_past_has_limits_that_are_named(node: Node) -> None:
    recent = node.replica.state.occupancy.recent
    await node.user()
    recent.floor = 3
    problem = await expect_problem(await node.get(f"{DAY}&as_of=2"), 410, "forgotten")
    assert problem["oldest"] == 3
    await expect_problem(await node.get(f"{DAY}&as_of=999"), 409, "not-applied-yet")
    await expect_problem(await node.get(f"{DAY}&as_of=-1"), 422, "invalid-parameter")
    await expect_problem(await node.get("/api/v1/spaces/hq/seats/Z9/day?date=2026-12-01"), 404, "not-found")
