"""Administrators shape spaces and seats: every change, every refusal, what becomes of bookings, and days that trip others.

The clock stands at Sunday 2026-11-22 12:00 UTC, which is 15:00 in Moscow.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Node, expect_problem

ALL = "/api/v1/admin/spaces"
HQ = ALL + "/hq"
DAY = "2026-11-23"  # a Monday
AT_TEN = {"space_id": "hq", "seat_id": "A1", "starts_at": f"{DAY}T10:00:00+03:00"}
ROOF = {
    "id": "roof", "name": "Roof", "timezone": "Europe/Berlin", "opens": "09:00", "closes": "18:00", "slot_minutes": 60,
    "seats": [{"id": "R1"}, {"id": "R2", "label": "By the rail"}],
}  # fmt: skip


async def slots(node: Node, day: str = DAY, space: str = "hq", more: str = "") -> dict[str, list[str]]:
    """The states of the seats of a day, by seat."""
    answer = await node.get(f"/api/v1/spaces/{space}/availability?date={day}{more}")
    assert answer.status == 200, await answer.text()
    return {seat["id"]: seat["slots"] for seat in (await answer.json())["seats"]}


async def book(node: Node, token: str, **change: Any) -> Any:
    return await node.post("/api/v1/bookings", {**AT_TEN, **change}, token)


async def good(answer: Any, status: int = 200) -> dict[str, Any]:
    assert answer.status == status, await answer.text()
    body: dict[str, Any] = await answer.json()
    return body


async def space(node: Node, space_id: str = "hq") -> dict[str, Any]:
    return await good(await node.get(f"/api/v1/spaces/{space_id}"))


async def test_a_space_is_made_and_booked(node: Node) -> None:
    admin, alice = await node.admin(), await node.user()
    answer = await node.post(ALL, ROOF, admin, Idempotency_Key="k")
    made = await good(answer, 201)
    assert answer.headers["Location"] == ALL + "/roof"
    assert answer.headers["ETag"] == f'"{made["revision"]}"'
    again = await node.post(ALL, ROOF, admin, Idempotency_Key="k")
    assert await good(again, 201) == made
    await expect_problem(await node.post(ALL, ROOF, admin), 409, "space-exists")
    shown = await space(node, "roof")
    assert shown["hours"]["sun"] == {"opens": "09:00", "closes": "18:00"}
    assert [seat["label"] for seat in shown["seats"]] == ["R1", "By the rail"]
    assert shown["policy"]["horizon_days"] is None
    booked = await book(node, alice, space_id="roof", seat_id="R2", starts_at=f"{DAY}T09:00:00+01:00")
    assert (await good(booked, 201))["seat_label"] == "By the rail"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"timezone": "Mars/Olympus"}, "/timezone"),
        ({"opens": "25:00"}, "/opens"),
        ({"opens": "09:01"}, "/opens"),
        ({"closes": "08:00"}, "/closes"),
        ({"slot_minutes": 7}, "/slot_minutes"),
        ({"slot_minutes": 600}, "/slot_minutes"),
        ({"id": "Roof"}, "/id"),
        ({"seats": []}, "/seats"),
        ({"seats": [{"id": "R1"}, {"id": "R1"}]}, "/seats/1/id"),
        ({"colour": "red"}, "/colour"),
    ],
)
async def test_a_space_that_cannot_be(node: Node, change: dict[str, Any], pointer: str) -> None:
    problem = await expect_problem(
        await node.post(ALL, {**ROOF, **change}, await node.admin()), 422, "invalid-body"
    )
    assert problem["errors"][0]["pointer"] == pointer


async def test_everything_here_is_for_administrators(node: Node) -> None:
    alice = await node.user()
    for answer in (
        await node.get(ALL, alice),
        await node.get(HQ, alice),
        await node.post(ALL, ROOF, alice),
        await node.patch(HQ, {"name": "Mine"}, alice),
        await node.patch(HQ + "?dry_run=true", {"name": "Mine"}, alice),
        await node.post(HQ + "/days", {"first": DAY}, alice),
        await node.post(HQ + "/seats", {"id": "N1"}, alice),
        await node.patch(HQ + "/seats/A1", {"retired": True}, alice),
    ):
        await expect_problem(answer, 403, "forbidden")
    await expect_problem(await node.patch(HQ, {"name": "Mine"}), 401, "unauthenticated")
    assert (await space(node))["name"] == "Коворкинг"


async def test_what_is_not_there(node: Node) -> None:
    admin = await node.admin()
    for answer in (
        await node.get(ALL + "/none", admin),
        await node.patch(ALL + "/none", {"name": "x"}, admin),
        await node.patch(ALL + "/none?dry_run=true", {"name": "x"}, admin),
        await node.post(ALL + "/none/days", {"first": DAY}, admin),
        await node.post(ALL + "/none/seats", {"id": "N1"}, admin),
        await node.patch(HQ + "/seats/Z9", {"label": "x"}, admin),
    ):
        await expect_problem(answer, 404, "not-found")


async def test_if_match_refuses_what_has_changed(node: Node) -> None:
    admin = await node.admin()
    seen = await space(node)
    etag = f'"{seen["revision"]}"'
    answer = await node.patch(HQ, {"name": "One"}, admin, If_Match=etag, Idempotency_Key="k")
    assert (await good(answer))["revision"] != seen["revision"]
    await expect_problem(await node.patch(HQ, {"name": "Two"}, admin, If_Match=etag), 412, "revision-changed")
    again = await node.patch(HQ, {"name": "One"}, admin, If_Match=etag, Idempotency_Key="k")
    assert await again.text() == await answer.text(), "the same request is answered as the first time"
    await expect_problem(await node.patch(HQ, {"name": "Two"}, admin, If_Match="x"), 422, "invalid-parameter")
    await good(await node.patch(HQ, {"name": "Two"}, admin, If_Match=answer.headers["ETag"]))
    assert (await space(node))["name"] == "Two"


async def test_hours_by_weekday(node: Node) -> None:
    admin, alice = await node.admin(), await node.user()
    hours = {"mon": {"opens": "10:00", "closes": "12:00"}, "sun": None}
    await good(await node.patch(HQ, {"hours": hours}, admin))
    shown = await space(node)
    assert shown["hours"]["mon"] == {"opens": "10:00", "closes": "12:00"}
    assert shown["hours"]["sun"] is None
    assert shown["hours"]["tue"] == {"opens": "08:00", "closes": "22:00"}
    assert (shown["opens"], shown["closes"]) == ("08:00", "22:00")
    assert (await slots(node))["A1"] == ["free", "free"]
    assert (await slots(node, "2026-11-24"))["A1"] == ["free"] * 14
    assert (await slots(node, "2026-11-29"))["A1"] == []
    await expect_problem(await book(node, alice, starts_at=f"{DAY}T12:00:00+03:00"), 422, "closed")
    await expect_problem(await book(node, alice, starts_at="2026-11-29T12:00:00+03:00"), 422, "closed")
    await good(await book(node, alice), 201)


async def test_closures_and_exceptions(node: Node) -> None:
    admin, alice = await node.admin(), await node.user()
    await good(await node.post(HQ + "/days", {"first": DAY, "last": "2026-11-27", "reason": "paint"}, admin))
    await good(
        await node.post(HQ + "/days", {"first": "2026-11-25", "opens": "12:00", "closes": "15:00"}, admin)
    )
    await good(await node.post(HQ + "/days", {"first": "2026-11-27", "usual": True}, admin))
    shown = [
        (each["first"], each["last"], each["opens"], each["reason"])
        for each in (await space(node))["special_days"]
    ]
    assert shown == [
        (DAY, "2026-11-24", None, "paint"), ("2026-11-25", "2026-11-25", "12:00", None),
        ("2026-11-26", "2026-11-26", None, "paint"),
    ]  # fmt: skip
    for day, count in ((DAY, 0), ("2026-11-24", 0), ("2026-11-25", 3), ("2026-11-26", 0), ("2026-11-27", 14)):
        assert len((await slots(node, day))["A1"]) == count, day
    await expect_problem(await book(node, alice), 422, "closed")
    for wrong, pointer in (
        ({"first": "2026-11-31"}, "/first"),
        ({"first": DAY, "last": "2026-11-22"}, "/last"),
        ({"first": DAY, "last": "2028-11-22"}, "/last"),
        ({"first": DAY, "opens": "10:00"}, "/closes"),
        ({"first": DAY, "opens": "10:00", "closes": "09:00"}, "/closes"),
        ({"first": DAY, "opens": "10:00", "closes": "12:00", "usual": True}, "/opens"),
    ):
        problem = await expect_problem(await node.post(HQ + "/days", wrong, admin), 422, "invalid-body")
        assert problem["errors"][0]["pointer"] == pointer


async def test_a_change_that_touches_bookings(node: Node) -> None:
    admin, alice = await node.admin(), await node.user()
    booked = await good(await book(node, alice), 201)
    body = {"first": DAY, "reason": "a pipe has burst"}
    seen = await good(await node.post(HQ + "/days?dry_run=true", body, admin))
    assert (seen["dry_run"], seen["affected"], seen["cancelled"]) == (True, 1, 0)
    assert [each["id"] for each in seen["bookings"]] == [booked["id"]]
    assert seen["index"] == node.replica.applied_index
    assert len((await slots(node))["A1"]) == 14, "nothing was done"
    problem = await expect_problem(await node.post(HQ + "/days", body, admin), 409, "affected-changed")
    assert problem["affected"]["token"] == seen["token"]
    await good(await book(node, alice, seat_id="A2"), 201)  # the list changes
    agreed = {**body, "affected_token": seen["token"], "if_affected": "cancel"}
    problem = await expect_problem(
        await node.post(HQ + "/days", agreed, admin, Idempotency_Key="k"), 409, "affected-changed"
    )
    assert problem["affected"]["count"] == 2
    agreed["affected_token"] = problem["affected"]["token"]
    done = await good(await node.post(HQ + "/days", agreed, admin, Idempotency_Key="k"))
    assert (done["affected"], done["cancelled"]) == (2, 2)
    mine = await good(await node.get(f"/api/v1/bookings/{booked['id']}", alice))
    assert mine["status"] == "cancelled"
    told = await good(await node.get(f"/api/v1/bookings/{booked['id']}/history", alice))
    assert told["items"][-1]["reason"] == "a pipe has burst"


async def test_bookings_can_be_kept(node: Node) -> None:
    admin, alice = await node.admin(), await node.user()
    booked = await good(await book(node, alice, slots=2), 201)
    body = {"hours": {"mon": {"opens": "08:00", "closes": "11:00"}}}
    seen = await good(await node.patch(HQ + "?dry_run=true", body, admin))
    assert seen["affected"] == 1
    done = await good(await node.patch(HQ, {**body, "affected_token": seen["token"]}, admin))
    assert (done["affected"], done["cancelled"]) == (1, 0)
    assert (await good(await node.get(f"/api/v1/bookings/{booked['id']}", alice)))["status"] == "confirmed"
    later = await good(await node.patch(HQ, {"name": "Other"}, admin))
    assert later["affected"] == 0, "what has been decided is not asked again"
    assert (await slots(node))["A1"] == ["free", "free", "taken"]


async def test_a_space_moved_to_another_zone(node: Node) -> None:
    """Bookings stay at their instants; those that are called something else from then on are named."""
    admin, alice = await node.admin(), await node.user()
    early = await good(await book(node, alice, starts_at=f"{DAY}T08:00:00+03:00"), 201)
    later = await good(await book(node, alice, starts_at=f"{DAY}T12:00:00+03:00"), 201)
    same = await good(await node.patch(HQ + "?dry_run=true", {"timezone": "Europe/Minsk"}, admin))
    assert same["affected"] == 0, "clocks in Minsk show the same"
    seen = await good(await node.patch(HQ + "?dry_run=true", {"timezone": "Europe/Berlin"}, admin))
    assert [each["id"] for each in seen["bookings"]] == [early["id"], later["id"]]
    await good(await node.patch(HQ, {"timezone": "Europe/Berlin", "affected_token": seen["token"]}, admin))
    assert (await slots(node))["A1"][2] == "taken", "12:00 in Moscow is 10:00 in Berlin"


@pytest.mark.parametrize(
    ("space_id", "day", "opens", "closes", "count"),
    [
        ("berlin", "2027-03-28", "01:00", "04:00", 2),  # 02:00 to 03:00 does not exist
        ("berlin", "2027-10-31", "01:00", "04:00", 4),  # and then exists twice
        ("berlin", "2027-03-28", "02:00", "03:00", 0),
        ("howe", "2027-04-04", "01:00", "03:00", 5),  # the clock goes back half an hour
        ("kolkata", "2027-03-28", "09:30", "11:00", 3),
        ("york", "2028-02-29", "10:00", "12:00", 2),
    ],
)
async def test_exceptions_on_days_when_clocks_change(
    node: Node, space_id: str, day: str, opens: str, closes: str, count: int
) -> None:
    admin, alice = await node.admin(), await node.user()
    body = {"first": day, "opens": opens, "closes": closes}
    await good(await node.post(f"{ALL}/{space_id}/days", body, admin))
    answer = await good(await node.get(f"/api/v1/spaces/{space_id}/availability?date={day}"))
    assert len(answer["slots"]) == count
    for slot in answer["slots"]:
        wish = {"space_id": space_id, "seat_id": answer["seats"][0]["id"], "starts_at": slot["starts_at"]}
        await good(await node.post("/api/v1/bookings", wish, alice), 201)
    if count:
        closed = {"first": day}
        seen = await good(await node.post(f"{ALL}/{space_id}/days?dry_run=true", closed, admin))
        assert seen["affected"] == count


async def test_seats_come_move_and_go(node: Node) -> None:
    admin, alice = await node.admin(), await node.user()
    body = {"id": "N1", "label": "Nook", "zone": "attic", "attributes": ["quiet", "monitor"], "x": 3, "y": 4}
    answer = await node.post(HQ + "/seats", body, admin)
    assert (await good(answer, 201))["seat_id"] == "N1"
    await expect_problem(await node.post(HQ + "/seats", body, admin), 409, "seat-exists")
    await good(await node.patch(HQ + "/seats/A1", {"zone": "hall", "attributes": ["quiet"]}, admin))
    shown = await space(node)
    assert shown["zones"] == ["attic", "hall"]
    nook = shown["seats"][-1]
    assert nook == {**body, "attributes": ["monitor", "quiet"], "outages": []}
    for more, found in (
        ("&attributes=quiet", {"A1", "N1"}),
        ("&attributes=monitor,quiet", {"N1"}),
        ("&zone=hall", {"A1"}),
        ("&zone=attic&attributes=accessible", set()),
        ("", {"A1", "A2", "A3", "B1", "N1"}),
    ):
        assert set(await slots(node, more=more)) == found
    for wrong in ("attributes=red", "attributes=quiet,quiet", "zone="):
        path = f"/api/v1/spaces/hq/availability?date={DAY}&{wrong}"
        await expect_problem(await node.get(path), 422, "invalid-parameter")
    await good(await node.patch(HQ + "/seats/N1", {"label": "Corner", "x": None, "attributes": []}, admin))
    corner = (await space(node))["seats"][-1]
    assert (corner["label"], corner["x"], corner["y"], corner["attributes"]) == ("Corner", None, 4, [])
    booked = await good(await book(node, alice, seat_id="N1"), 201)
    problem = await expect_problem(
        await node.patch(HQ + "/seats/N1", {"retired": True}, admin), 409, "affected-changed"
    )
    agreed = {"retired": True, "affected_token": problem["affected"]["token"]}
    await good(await node.patch(HQ + "/seats/N1", agreed, admin))
    assert "N1" not in await slots(node)
    await expect_problem(await book(node, alice, seat_id="N1"), 422, "unknown-seat")
    mine = await good(await node.get(f"/api/v1/bookings/{booked['id']}", alice))
    assert (mine["status"], mine["seat_label"]) == ("confirmed", "Corner")
    managed = await good(await node.get(HQ, admin))
    assert [seat["id"] for seat in managed["retired_seats"]] == ["N1"]
    await good(await node.patch(HQ + "/seats/N1", {"retired": False}, admin))
    assert (await slots(node))["N1"][2] == "taken"


async def test_a_seat_out_of_service(node: Node) -> None:
    admin, alice = await node.admin(), await node.user()
    outage = {
        "starts_at": f"{DAY}T09:30:00+03:00",
        "ends_at": f"{DAY}T11:00:00+03:00",
        "reason": "a new chair",
    }
    await good(await node.patch(HQ + "/seats/A1", {"outages": [outage]}, admin))
    assert (await slots(node))["A1"][:4] == ["free", "closed", "closed", "free"]
    problem = await expect_problem(await book(node, alice), 409, "out-of-service")
    assert problem["alternatives"][0]["starts_at"] == f"{DAY}T11:00:00+03:00"
    assert (await space(node))["seats"][0]["outages"] == [outage]
    for wrong, pointer in (
        ({**outage, "ends_at": outage["starts_at"]}, "/outages/0/ends_at"),
        ({**outage, "ends_at": "2100-01-01T00:00:00Z"}, "/outages/0/ends_at"),
    ):
        answer = await node.patch(HQ + "/seats/A1", {"outages": [wrong]}, admin)
        problem = await expect_problem(answer, 422, "invalid-body")
        assert problem["errors"][0]["pointer"] == pointer
    answer = await node.patch(HQ + "/seats/A1", {"outages": [outage, outage]}, admin)
    assert (await expect_problem(answer, 422, "invalid-body"))["errors"][0]["pointer"] == "/outages/1"
    node.replica.set_clock(f"{DAY}T09:00:00+00:00")
    await good(await node.patch(HQ + "/seats/A1", {"zone": "hall"}, await node.admin()))
    details = node.replica.state.details_of("hq", "A1")
    assert details is not None
    assert details.outages == (), "what is over is left out"


async def test_a_retired_space(node: Node) -> None:
    admin, alice = await node.admin(), await node.user()
    await good(await book(node, alice), 201)
    seen = await good(await node.patch(HQ + "?dry_run=true", {"retired": True}, admin))
    agreed = {
        "retired": True,
        "affected_token": seen["token"],
        "if_affected": "cancel",
        "reason": "the lease has ended",
    }
    await good(await node.patch(HQ, agreed, admin))
    assert "hq" not in {each["id"] for each in (await good(await node.get("/api/v1/spaces")))["items"]}
    await expect_problem(await node.get("/api/v1/spaces/hq"), 404, "not-found")
    await expect_problem(await book(node, alice), 422, "unknown-space")
    named = await node.post("/book", {"seat": "A1", "date": DAY, "time": "10:00"}, alice)
    await expect_problem(named, 422, "unknown-seat")
    history = await good(await node.get("/history", alice))
    assert history["items"][0]["status"] == "cancelled"
    managed = await good(await node.get(ALL, admin))
    assert [each["retired"] for each in managed["items"]] == [True, False, False, False, False]
    await good(await node.patch(HQ, {"retired": False}, admin))
    await good(await book(node, alice), 201)


@pytest.mark.parametrize(
    ("policy", "code", "status", "limit", "wish"),
    [
        ({"horizon_days": 1}, "beyond-horizon", 409, 1, {"starts_at": "2026-11-24T10:00:00+03:00"}),
        ({"longest_minutes": 60}, "too-long", 422, 60, {"slots": 2}),
        ({"live_bookings": 1}, "too-many-live", 409, 1, {"starts_at": "2026-11-24T10:00:00+03:00"}),
        ({"daily_bookings": 1}, "too-many-that-day", 409, 1, {"starts_at": f"{DAY}T21:00:00+03:00"}),
        ({"one_seat_at_a_time": True}, "seated-elsewhere", 409, 1, {"seat_id": "A2"}),
    ],
)
async def test_policies(
    node: Node, policy: dict[str, Any], code: str, status: int, limit: int, wish: dict[str, Any]
) -> None:
    admin, alice, bob = await node.admin(), await node.user(), await node.user("bobby")
    await good(await node.patch(HQ, {"policy": policy}, admin))
    name = next(iter(policy))
    assert (await space(node))["policy"][name] == policy[name]
    first = await good(await book(node, alice), 201)
    assert (await expect_problem(await book(node, alice, **wish), status, code))["limit"] == limit
    basket = {"items": [{**AT_TEN, "seat_id": "A3"}, {**AT_TEN, "seat_id": "B1", **wish}]}
    if code in ("too-many-live", "too-many-that-day"):
        await expect_problem(await node.post("/api/v1/bookings/basket", basket, bob), status, code)
    await good(await book(node, admin, **{**wish, "seat_id": "B1"}), 201)  # administrators may break policy
    await good(await node.patch(HQ, {"policy": {name: False if name.startswith("one") else 0}}, admin))
    await good(await book(node, alice, **{**wish, "seat_id": "A3"}), 201)
    assert (await good(await node.get(f"/api/v1/bookings/{first['id']}", alice)))["status"] == "confirmed"


async def test_the_cutoff_of_cancelling(node: Node) -> None:
    admin, alice = await node.admin(), await node.user()
    await good(await node.patch(HQ, {"policy": {"cancel_cutoff_minutes": 60}}, admin))
    first, second = [await good(await book(node, alice, seat_id=seat), 201) for seat in ("A1", "A2")]
    node.replica.set_clock(f"{DAY}T06:00:00+00:00")  # an hour before
    tokens = await node.tokens("alice")
    alice = tokens["access_token"]
    await good(await node.post(f"/api/v1/bookings/{first['id']}/cancel", None, alice))
    node.replica.advance(1)
    path = f"/api/v1/bookings/{second['id']}"
    assert (await expect_problem(await node.post(path + "/cancel", None, alice), 409, "too-late-to-cancel"))[
        "limit"
    ] == 60
    await expect_problem(await node.post(path + "/move", {"seat_id": "A3"}, alice), 409, "too-late-to-cancel")
    await good(await node.post(f"/api/v1/bookings/{first['id']}/cancel", None, alice))  # cancelled already
    await good(await node.post(path + "/cancel", None, await node.admin()))


async def test_a_move_does_not_count_twice(node: Node) -> None:
    admin, alice = await node.admin(), await node.user()
    policy = {"live_bookings": 1, "daily_bookings": 1, "one_seat_at_a_time": True}
    await good(await node.patch(HQ, {"policy": policy}, admin))
    booked = await good(await book(node, alice), 201)
    moved = await node.post(f"/api/v1/bookings/{booked['id']}/move", {"seat_id": "A2"}, alice)
    assert (await good(moved))["seat_id"] == "A2"


async def test_a_change_that_reaches_too_far(node: Node) -> None:
    admin, alice = await node.admin(), await node.user()
    await good(await book(node, alice, starts_at="2035-11-23T10:00:00+03:00"), 201)
    answer = await node.patch(HQ, {"hours": {"sun": None}}, admin)
    await expect_problem(answer, 409, "change-too-wide")
    await good(await node.post(HQ + "/days", {"first": DAY}, admin))  # one date is one date


@pytest.mark.parametrize(
    "wrong",
    [
        {"policy": {"horizon_days": -1}},
        {"policy": {"horizon": 1}},
        {"hours": {"monday": None}},
        {"hours": {"mon": {"opens": "10:00"}}},
        {"if_affected": "ignore"},
        {"slot_minutes": 840 + 5},
        {"name": ""},
        {"timezone": "Europe"},
    ],
)
async def test_a_change_that_cannot_be(node: Node, wrong: dict[str, Any]) -> None:
    await expect_problem(await node.patch(HQ, wrong, await node.admin()), 422, "invalid-body")
