"""Checking in over HTTP."""

from __future__ import annotations

from tests.api.conftest import Node, expect_problem

PLACE = {"space_id": "hq", "seat_id": "A1", "starts_at": "2026-12-01T10:00:00+03:00"}


async def test_check_in_and_release(node: Node) -> None:
    alice = await node.user()
    rule = "/api/v1/admin/spaces/hq/checkin"
    await expect_problem(await node.post(rule, {"grace_minutes": 15}, alice), 403, "forbidden")
    admin = await node.admin()
    await expect_problem(await node.post(rule, {"grace_minutes": -1}, admin), 422, "invalid-body")
    missing = await node.post("/api/v1/admin/spaces/none/checkin", {"grace_minutes": 1}, admin)
    await expect_problem(missing, 404, "not-found")
    assert (await node.post(rule, {"grace_minutes": 15}, admin)).status == 200
    seen = await (await node.get("/api/v1/spaces/hq/checkin")).json()
    assert (seen["space_id"], seen["grace_minutes"]) == ("hq", 15)
    await expect_problem(await node.get("/api/v1/spaces/none/checkin"), 404, "not-found")
    one = await (await node.post("/api/v1/bookings", PLACE, alice)).json()
    two = await (await node.post("/api/v1/bookings", PLACE | {"seat_id": "A2"}, alice)).json()
    early = await node.post(f"/api/v1/bookings/{one['id']}/checkin", None, alice)
    await expect_problem(early, 409, "too-early-to-check-in")
    node.replica.set_clock("2026-12-01T09:50:00+03:00")
    alice = (await node.tokens("alice"))["access_token"]
    answer = await node.post(f"/api/v1/bookings/{one['id']}/checkin", None, alice)
    assert (answer.status, (await answer.json())["status"]) == (200, "confirmed")
    node.replica.set_clock("2026-12-01T10:15:00+03:00")
    alice = (await node.tokens("alice"))["access_token"]  # any entry does what is due
    page = await (await node.get("/api/v1/bookings?status=released", alice)).json()
    assert [booking["id"] for booking in page["items"]] == [two["id"]]
    steps = (await (await node.get(f"/api/v1/bookings/{two['id']}/history", alice)).json())["items"]
    assert [(step["kind"], step["by_user_id"]) for step in steps][1:] == [("released", None)]
