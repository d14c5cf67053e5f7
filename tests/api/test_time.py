"""Local days with 23, 23.5, 24.5 and 25 hours, and the pages that show them. Dates are those of the IANA database:
Berlin jumps on 2027-03-28 and falls back on 2026-10-25 and 2027-10-31; New York on 2027-03-14 and 2026-11-01; Lord Howe moves
half an hour, on 2027-04-04 (back) and 2027-10-03 (forward); Kolkata never moves.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.problems import Refusal
from api.timegrid import cell_of_local, first_instant, grid_for, parse_date, window_of
from statemachine.bookings import misfit_of
from statemachine.records import CELL_SECONDS, Seat, Space
from tests.api.conftest import Node, expect_problem


def space(zone: str, opens: int = 0, closes: int = 1440, slot: int = 60) -> Space:
    return Space("s", "S", zone, opens, closes, slot, (Seat("1", "1"),), "1.0")


@pytest.mark.parametrize(
    ("zone", "day", "slot", "slots"),
    [
        ("Europe/Berlin", "2027-03-27", 60, 24),
        ("Europe/Berlin", "2027-03-28", 60, 23),
        ("Europe/Berlin", "2027-10-31", 60, 25),
        ("America/New_York", "2027-03-14", 60, 23),
        ("America/New_York", "2027-11-07", 60, 25),
        ("Australia/Lord_Howe", "2027-04-04", 60, 24),  # 24.5 hours: the half hour left over is no slot
        ("Australia/Lord_Howe", "2027-04-04", 30, 49),
        ("Australia/Lord_Howe", "2027-10-03", 30, 47),
        ("Asia/Kolkata", "2027-03-28", 60, 24),
        ("Asia/Kathmandu", "2027-03-28", 60, 24),  # UTC+05:45
        ("Pacific/Apia", "2011-12-30", 60, 0),  # the day that Samoa skipped
        ("America/Havana", "2027-11-07", 60, 25),  # midnight itself comes twice
        ("Asia/Beirut", "2027-03-28", 60, 23),  # midnight is jumped over
    ],
)
def test_a_day_around_the_clock_has_the_slots_that_it_has(zone: str, day: str, slot: int, slots: int) -> None:
    assert slots == window_of(space(zone, slot=slot), date.fromisoformat(day)).slot_count


ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Africa/Casablanca",
    "America/Havana",
    "Pacific/Apia",
    "Asia/Beirut",
    "Pacific/Chatham",
]


@given(
    st.sampled_from(ZONES),
    st.dates(date(2000, 1, 2), date(2100, 12, 30)),
    st.integers(0, 287),
    st.integers(1, 288),
    st.sampled_from([5, 15, 30, 45, 60, 90, 720]),
)
def test_windows_follow_each_other_and_suit_the_state_machine(
    zone: str, day: date, opens: int, length: int, slot: int
) -> None:
    closes = min(1440, opens * 5 + length * 5)
    here = space(zone, opens * 5, closes, slot)
    window, after = window_of(here, day), window_of(here, day + timedelta(days=1))
    assert window.start_cell + window.slot_count * here.slot_cells <= after.start_cell
    if window.slot_count:
        start = datetime.fromtimestamp(window.start_cell * CELL_SECONDS, ZoneInfo(zone))
        assert day == start.date()
        assert opens * 5 <= start.hour * 60 + start.minute
        assert misfit_of(grid_for(here, window.start_cell, 3, None), slot, window.start_cell, 1) is None


@given(st.sampled_from(ZONES), st.dates(date(2000, 1, 2), date(2100, 12, 30)), st.integers(0, 1440))
def test_the_first_instant_is_the_first(zone: str, day: date, minutes: int) -> None:
    info = ZoneInfo(zone)
    wanted = datetime(day.year, day.month, day.day) + timedelta(minutes=minutes)
    instant = first_instant(info, day, minutes)
    assert datetime.fromtimestamp(instant, info).replace(tzinfo=None) >= wanted
    assert datetime.fromtimestamp(instant - 1, info).replace(tzinfo=None) < wanted


def test_local_times_that_do_not_exist_or_exist_twice() -> None:
    for zone, day, at, code in (
        ("Europe/Berlin", "2027-03-28", "02:00", "nonexistent-time"),
        ("Europe/Berlin", "2027-03-28", "02:30", "nonexistent-time"),
        ("Europe/Berlin", "2027-10-31", "02:00", "ambiguous-time"),
        ("Europe/Berlin", "2027-10-31", "02:55", "ambiguous-time"),
        ("America/New_York", "2027-03-14", "02:00", "nonexistent-time"),
        ("America/New_York", "2027-11-07", "01:00", "ambiguous-time"),
        ("Australia/Lord_Howe", "2027-10-03", "02:00", "nonexistent-time"),
        ("Australia/Lord_Howe", "2027-04-04", "01:30", "ambiguous-time"),
    ):
        with pytest.raises(Refusal, match=code):
            cell_of_local(space(zone), date.fromisoformat(day), datetime.strptime(at, "%H:%M").time())
    for zone, day, at, utc in (
        ("Europe/Berlin", "2027-03-28", "01:55", "2027-03-28T00:55"),
        ("Europe/Berlin", "2027-03-28", "03:00", "2027-03-28T01:00"),
        ("Europe/Berlin", "2027-10-31", "03:00", "2027-10-31T02:00"),
        ("Australia/Lord_Howe", "2027-10-03", "02:30", "2027-10-02T15:30"),
        ("Asia/Kolkata", "2027-10-31", "09:30", "2027-10-31T04:00"),
    ):
        cell = cell_of_local(space(zone), date.fromisoformat(day), datetime.strptime(at, "%H:%M").time())
        assert datetime.fromisoformat(utc).replace(tzinfo=UTC).timestamp() == cell * CELL_SECONDS


def test_dates_outside_the_century_are_none() -> None:
    for text in ("1999-12-31", "2101-01-01", "2026-13-01", "2026-1-1", "+026-01-01", "", "x" * 10):
        assert parse_date(text) is None, text


# Over HTTP.


async def _day(node: Node, space_id: str, day: str) -> dict[str, Any]:
    answer = await node.get(f"/api/v1/spaces/{space_id}/availability?date={day}")
    assert answer.status == 200, await answer.text()
    page: dict[str, Any] = await answer.json()
    for seat in page["seats"]:
        assert len(page["slots"]) == len(seat["slots"])
    return page


async def test_the_day_when_an_hour_comes_twice_can_be_booked_hour_by_hour(node: Node) -> None:
    token = await node.user()
    page = await _day(node, "berlin", "2027-10-31")
    starts = [slot["starts_at"] for slot in page["slots"]]
    assert starts[2:4] == ["2027-10-31T02:00:00+02:00", "2027-10-31T02:00:00+01:00"]
    assert len(starts) == 25
    for start in starts[2:4]:
        answer = await node.post(
            "/api/v1/bookings", {"space_id": "berlin", "seat_id": "D1", "starts_at": start}, token
        )
        assert (201, start) == (answer.status, (await answer.json())["starts_at"])
    page = await _day(node, "berlin", "2027-10-31")
    assert page["seats"][0]["slots"][:5] == ["free", "free", "taken", "taken", "free"]
    body = {"seat": "D1", "space": "berlin", "date": "2027-10-31", "time": "02:00"}
    await expect_problem(await node.post("/book", body, token), 422, "ambiguous-time")


async def test_the_day_when_an_hour_is_missing(node: Node) -> None:
    token = await node.user()
    page = await _day(node, "berlin", "2027-03-28")
    assert len(page["slots"]) == 23
    assert page["slots"][1] == {
        "starts_at": "2027-03-28T01:00:00+01:00",
        "ends_at": "2027-03-28T03:00:00+02:00",
    }
    body = {"seat": "D1", "space": "berlin", "date": "2027-03-28", "time": "02:00"}
    await expect_problem(await node.post("/book", body, token), 422, "nonexistent-time")
    answer = await node.post("/book", body | {"time": "01:00", "slots": 2}, token)
    assert (answer.status, (await answer.json())["ends_at"]) == (201, "2027-03-28T04:00:00+02:00")


async def test_half_hours_of_lord_howe_and_quarters_elsewhere(node: Node) -> None:
    token = await node.user()
    page = await _day(node, "howe", "2027-04-04")
    assert len(page["slots"]) == 49
    assert {"2027-04-04T01:30:00+11:00", "2027-04-04T01:30:00+10:30"} <= {
        slot["starts_at"] for slot in page["slots"]
    }
    assert len((await _day(node, "howe", "2027-10-03"))["slots"]) == 47
    body = {"seat": "L1", "date": "2027-10-03", "time": "02:15"}
    await expect_problem(await node.post("/book", body, token), 422, "nonexistent-time")
    assert (await node.post("/book", body | {"time": "02:30"}, token)).status == 201
    body = {"seat": "K1", "date": "2026-12-01", "time": "09:30"}
    answer = await node.post("/book", body, token)
    assert (answer.status, (await answer.json())["starts_at"]) == (201, "2026-12-01T09:30:00+05:30")


async def test_a_booking_across_local_midnight_shows_on_both_days(node: Node) -> None:
    token = await node.user()
    body = {"space_id": "york", "seat_id": "Y1", "starts_at": "2026-12-01T23:00:00-05:00", "slots": 3}
    assert (await node.post("/api/v1/bookings", body, token)).status == 201
    before, after = await _day(node, "york", "2026-12-01"), await _day(node, "york", "2026-12-02")
    assert before["seats"][0]["slots"][-2:] == ["free", "taken"]
    assert after["seats"][0]["slots"][:3] == ["taken", "taken", "free"]
    answer = await node.get("/api/v1/spaces/york/availability?date=2026-12-02", token)
    assert (await answer.json())["seats"][0]["slots"][:3] == ["mine", "mine", "free"]


async def test_slots_are_past_once_begun_and_the_page_keeps_up(node: Node) -> None:
    for clock, past in (
        ("2026-12-01T07:59:59+03:00", 0),
        ("2026-12-01T08:00:00+03:00", 1),
        ("2026-12-01T09:30:00+03:00", 2),
        ("2026-12-02T00:00:00+03:00", 14),
    ):
        node.replica.set_clock(clock)
        states = (await _day(node, "hq", "2026-12-01"))["seats"][0]["slots"]
        assert ["past"] * past + ["free"] * (14 - past) == states, clock
    page = await _day(node, "hq", "2020-01-01")
    assert {"past"} == {how for seat in page["seats"] for how in seat["slots"]}


async def test_availability_follows_changed_rules_and_ends_of_bookings(node: Node) -> None:
    token = await node.user()
    body = {"space_id": "hq", "seat_id": "A1", "starts_at": "2026-12-01T10:00:00+03:00"}
    booking = await (await node.post("/api/v1/bookings", body, token)).json()
    spaces = node.replica.state.spaces
    spaces["hq"] = msgspec.structs.replace(spaces["hq"], slot_minutes=30, revision="50.0")
    page = await _day(node, "hq", "2026-12-01")
    assert page["seats"][0]["slots"][3:7] == ["free", "taken", "taken", "free"]
    await node.post("/cancel", {"booking_id": booking["id"]}, token)
    assert "taken" not in (await _day(node, "hq", "2026-12-01"))["seats"][0]["slots"]


async def test_availability_of_nothing_and_of_odd_dates(node: Node) -> None:
    await expect_problem(await node.get("/api/v1/spaces/no/availability?date=2026-12-01"), 404, "not-found")
    await expect_problem(await node.get("/api/v1/spaces/no"), 404, "not-found")
    for query in (
        "",
        "?date=",
        "?date=2026-02-30",
        "?date=tomorrow",
        "?date=1999-01-01",
        "?date=20261201",
        "?date=2026-12-01T00:00",
    ):
        problem = await expect_problem(
            await node.get(f"/api/v1/spaces/hq/availability{query}"), 422, "invalid-parameter"
        )
        assert problem["parameter"] == "date"


async def test_a_token_on_a_public_page_must_be_a_good_one(node: Node) -> None:
    path = "/api/v1/spaces/hq/availability?date=2026-12-01"
    await expect_problem(await node.get(path, "forged"), 401, "unauthenticated")
    token = await node.user()
    assert (await node.get(path, token)).status == 200
    await node.post("/api/v1/auth/logout", None, token)
    await expect_problem(await node.get(path, token), 401, "unauthenticated")


async def test_spaces_as_the_contract_shows_them(node: Node) -> None:
    listed = (await (await node.get("/api/v1/spaces")).json())["items"]
    assert [each["id"] for each in listed] == ["hq", "berlin", "kolkata", "howe", "york"]
    hq = await (await node.get("/api/v1/spaces/hq")).json()
    assert listed[0] == hq
    expected = {
        "id": "hq",
        "timezone": "Europe/Moscow",
        "opens": "08:00",
        "closes": "22:00",
        "slot_minutes": 60,
    }
    assert expected == {name: hq[name] for name in expected}
    assert hq["seats"][0].items() >= {"id": "A1", "label": "Desk A1"}.items()
    assert listed[1]["closes"] == "24:00"
