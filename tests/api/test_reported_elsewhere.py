"""Defects that users of other booking systems reported, where no other test shows how they end here. The reports: docs/double-bookings.md."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.api.conftest import Node, expect_problem
from tests.api.test_days import BOOKINGS, SPACES, good, make_space, states

DAY = "2026-12-01"


def hq(hour: int, seat: str = "A1", offset: str = "+03:00") -> dict[str, str]:
    return {"space_id": "hq", "seat_id": seat, "starts_at": f"{DAY}T{hour:02}:00:00{offset}"}


async def test_administrators_do_not_overlap_either(node: Node) -> None:
    """They are above every policy, and nobody is above the one rule: neither by booking nor by moving, basket, series or line."""
    admin, alice = await node.admin(), await node.user()
    await good(await node.post(BOOKINGS, hq(10), alice), 201)
    mine = await good(await node.post(BOOKINGS, hq(12), admin), 201)
    await expect_problem(await node.post(BOOKINGS, hq(10), admin), 409, "seat-taken")
    body = {"seat": "A1", "date": DAY, "time": "10:00"}
    await expect_problem(await node.post("/book", body, admin), 409, "seat-taken")
    move = {"starts_at": hq(10)["starts_at"]}
    await expect_problem(await node.post(f"{BOOKINGS}/{mine['id']}/move", move, admin), 409, "seat-taken")
    longer = move | {"starts_at": hq(9)["starts_at"], "slots": 2}
    await expect_problem(await node.post(f"{BOOKINGS}/{mine['id']}/move", longer, admin), 409, "seat-taken")
    basket = {"items": [hq(10, "A2"), hq(10)]}
    await expect_problem(await node.post(f"{BOOKINGS}/basket", basket, admin), 409, "seat-taken")
    series = hq(10) | {"rrule": "FREQ=WEEKLY;COUNT=2"}
    await expect_problem(await node.post("/api/v1/series", series, admin), 409, "seat-taken")
    waiting = await good(await node.post("/api/v1/waitlist", hq(10), admin), 201)
    assert waiting["status"] == "waiting"
    assert (await states(node, DAY, space="hq")).count("taken") == 2


async def test_neighbours_may_touch(node: Node) -> None:
    """A booking ends when the next begins: ranges are half-open, for booking, moving and the page alike."""
    alice, bob = await node.user(), await node.user("bob")
    await good(await node.post(BOOKINGS, hq(10), alice), 201)
    before = await good(await node.post(BOOKINGS, hq(9), bob), 201)
    await good(await node.post(BOOKINGS, hq(11), bob), 201)
    assert (await states(node, DAY, alice, "hq"))[:5] == ["free", "taken", "mine", "taken", "free"]
    move = {"starts_at": hq(12)["starts_at"]}
    await good(await node.post(f"{BOOKINGS}/{before['id']}/move", move, bob))
    await good(await node.post(BOOKINGS, hq(9), alice), 201)


@pytest.mark.parametrize("offset", ["+00:00", "-06:00", "+05:45", "+14:00"])
async def test_an_instant_is_an_instant_whatever_offset_it_is_written_with(node: Node, offset: str) -> None:
    """The client's zone plays no part: the same instant is the same slot, and is told by the clocks of the space."""
    alice, bob = await node.user(), await node.user("bob")
    instant = datetime.fromisoformat(hq(10)["starts_at"])
    hours, minutes = int(offset[:3]), int(offset[4:])
    written = instant.astimezone(UTC) + timedelta(hours=hours, minutes=minutes)
    foreign = f"{written:%Y-%m-%dT%H:%M:%S}{offset}"
    assert datetime.fromisoformat(foreign) == instant
    made = await good(await node.post(BOOKINGS, hq(10) | {"starts_at": foreign}, alice), 201)
    assert (made["starts_at"], made["timezone"]) == (hq(10)["starts_at"], "Europe/Moscow")
    await expect_problem(await node.post(BOOKINGS, hq(10), bob), 409, "seat-taken")
    other = await good(await node.post(BOOKINGS, hq(15), bob), 201)
    path = f"{BOOKINGS}/{other['id']}/move"
    await expect_problem(await node.post(path, {"starts_at": foreign}, bob), 409, "seat-taken")
    moved = await good(await node.post(path, {"starts_at": foreign, "seat_id": "A2"}, bob))
    assert moved["starts_at"] == hq(10)["starts_at"]


@pytest.mark.parametrize("zone", ["America/Chicago", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Kiritimati"])
async def test_past_cutoffs_and_lists_go_by_instants(node: Node, zone: str) -> None:
    """At a booking's start, its end and two hours before it, and not at those of UTC, whichever side of it the space is on."""
    await make_space(node, zone)
    admin, alice = await node.admin(), await node.user()
    await good(await node.patch(SPACES + "/s", {"policy": {"cancel_cutoff_minutes": 120}}, admin))
    body = {"space": "s", "seat": "S1", "date": DAY}
    early = await good(await node.post("/book", body | {"time": "08:00"}, alice), 201)
    late = await good(await node.post("/book", body | {"time": "10:00", "slots": 2}, alice), 201)
    start = datetime.fromisoformat(late["starts_at"])
    assert start == datetime(2026, 12, 1, 10, tzinfo=ZoneInfo(zone))

    def at(**before: int) -> None:
        node.replica.set_clock((start - timedelta(**before)).isoformat())

    async def listed(when: str) -> list[str]:
        found = await good(await node.get(f"{BOOKINGS}?when={when}", alice))
        return [each["id"] for each in found["items"]]

    at(hours=4, seconds=1)
    alice = (await node.tokens("alice"))["access_token"]
    await good(await node.post(f"{BOOKINGS}/{early['id']}/cancel", None, alice))
    at(hours=2, seconds=-1)
    alice = (await node.tokens("alice"))["access_token"]
    await expect_problem(
        await node.post(f"{BOOKINGS}/{late['id']}/cancel", None, alice), 409, "too-late-to-cancel"
    )
    at(seconds=-1)
    alice = (await node.tokens("alice"))["access_token"]
    assert (await states(node, DAY, alice))[9:13] == ["past", "past", "mine", "free"]
    assert late["id"] in await listed("upcoming"), "it has begun and is not over"
    await expect_problem(await node.post("/book", body | {"time": "09:00"}, alice), 422, "past")
    at(hours=-2)
    alice = (await node.tokens("alice"))["access_token"]
    assert (late["id"] in await listed("upcoming"), late["id"] in await listed("past")) == (False, True)
    await good(await node.post("/book", body | {"time": "13:00"}, alice), 201)
