"""Recurrence rules and series over HTTP: time zones that change, days that lack the time, answers for each day."""

from __future__ import annotations

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from api.problems import Refusal
from api.recurring import occurrences, parse_rule
from statemachine.limits import MAX_SERIES_BOOKINGS
from statemachine.records import Seat, Space
from tests.api.conftest import Node, expect_problem

SERIES = "/api/v1/series"
BERLIN = Space("b", "B", "Europe/Berlin", 0, 1440, 30, (Seat("A1", "A1"),), "1.1")
FIRST = {"space_id": "hq", "seat_id": "A1", "starts_at": "2026-12-01T10:00:00+03:00"}  # a Tuesday


def times(rule: str, first: date, at: time = time(9)) -> list[str]:
    cells = occurrences(parse_rule(rule), BERLIN, first, at).cells
    return [datetime.fromtimestamp(cell * 300, ZoneInfo("Europe/Berlin")).isoformat() for cell in cells]


def test_nine_stays_nine_when_the_clocks_change() -> None:
    found = times("FREQ=WEEKLY;COUNT=3", date(2027, 3, 21))
    assert found == ["2027-03-21T09:00:00+01:00", "2027-03-28T09:00:00+02:00", "2027-04-04T09:00:00+02:00"]


def test_a_day_without_the_time_is_passed_over_and_not_counted() -> None:
    rule = parse_rule("FREQ=WEEKLY;COUNT=2")
    found = occurrences(rule, BERLIN, date(2027, 3, 21), time(2, 30))
    assert found.passed_over == (date(2027, 3, 28),)
    assert [datetime.fromtimestamp(cell * 300, ZoneInfo("Europe/Berlin")).day for cell in found.cells] == [
        21,
        4,
    ]


def test_a_time_that_comes_twice_is_the_first_of_the_two() -> None:
    found = times("FREQ=WEEKLY;COUNT=1", date(2027, 10, 31), time(2, 30))
    assert found == ["2027-10-31T02:30:00+02:00"]


def test_days_intervals_and_ends() -> None:
    def days(rule: str) -> list[str]:
        return [text[5:10] for text in times(rule, date(2026, 12, 1))]

    assert days("FREQ=WEEKLY;BYDAY=TU,TH;COUNT=5") == ["12-01", "12-03", "12-08", "12-10", "12-15"]
    assert days("RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TU;COUNT=4") == ["12-01", "12-14", "12-15", "12-28"]
    assert days("freq=weekly;until=20261215") == ["12-01", "12-08", "12-15"]
    assert days("FREQ=WEEKLY;UNTIL=20261215T080000Z") == ["12-01", "12-08", "12-15"]
    assert days("FREQ=WEEKLY;UNTIL=20261215T075959Z") == ["12-01", "12-08"]
    assert len(days(f"FREQ=WEEKLY;COUNT={MAX_SERIES_BOOKINGS}")) == MAX_SERIES_BOOKINGS


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "FREQ=DAILY;COUNT=2",
        "FREQ=WEEKLY",
        "FREQ=WEEKLY;COUNT=2;UNTIL=20261231",
        "FREQ=WEEKLY;COUNT=0",
        "FREQ=WEEKLY;COUNT=61",
        "FREQ=WEEKLY;COUNT=2;COUNT=3",
        "FREQ=WEEKLY;COUNT=2;INTERVAL=53",
        "FREQ=WEEKLY;COUNT=2;BYDAY=1MO",
        "FREQ=WEEKLY;COUNT=2;BYDAY=TU,TU",
        "FREQ=WEEKLY;COUNT=2;BYMONTH=1",
        "FREQ=WEEKLY;UNTIL=20260231",
        "FREQ=WEEKLY;UNTIL=20261231T080000",
        "FREQ=WEEKLY;UNTIL=20991231",
        "FREQ=WEEKLY;COUNT=2;WKST=SU",
        "FREQ=WEEKLY;COUNT=2;BYDAY=MO",
    ],
)
def test_rules_that_are_refused(rule: str) -> None:
    with pytest.raises(Refusal) as caught:
        times(rule, date(2026, 12, 1))
    assert caught.value.code == "invalid-body"
    assert caught.value.errors[0][0] == "/rrule"


async def test_a_series_is_made_seen_and_given_up(node: Node) -> None:
    token = await node.user()
    body = {**FIRST, "rrule": "FREQ=WEEKLY;BYDAY=TU,TH;COUNT=4"}
    answer = await node.post(SERIES, body, token, Idempotency_Key="k")
    made = await answer.json()
    assert answer.status == 201, made
    assert answer.headers["Location"] == f"{SERIES}/{made['id']}"
    assert [item["starts_at"][:10] for item in made["items"]] == [
        "2026-12-01", "2026-12-03", "2026-12-08", "2026-12-10",
    ]  # fmt: skip
    assert made == await (await node.post(SERIES, body, token, Idempotency_Key="k")).json()
    seen = await (await node.get(f"{SERIES}/{made['id']}", token)).json()
    assert [booking["status"] for booking in seen["items"]] == ["confirmed"] * 4
    rest = {"from_booking_id": seen["items"][2]["id"], "reason": "moving away"}
    done = await (await node.post(f"{SERIES}/{made['id']}/cancel", rest, token)).json()
    assert [booking["id"] for booking in done["cancelled"]] == [each["id"] for each in seen["items"][2:]]
    assert done["kept"] == []
    done = await (await node.post(f"{SERIES}/{made['id']}/cancel", None, token)).json()
    assert len(done["cancelled"]) == 2
    bob = await node.user("bob")
    await expect_problem(await node.get(f"{SERIES}/{made['id']}", bob), 404, "series-not-found")
    await expect_problem(await node.post(f"{SERIES}/{made['id']}/cancel", {}, bob), 404, "series-not-found")


async def test_all_or_what_is_free(node: Node) -> None:
    alice, bob = await node.user(), await node.user("bob")
    taken = FIRST | {"starts_at": "2026-12-08T10:00:00+03:00"}
    assert (await node.post("/api/v1/bookings", taken, bob)).status == 201
    body = {
        "space_id": "hq",
        "seat_id": "A1",
        "date": "2026-12-01",
        "time": "10:00",
        "rrule": "FREQ=WEEKLY;COUNT=3",
    }
    problem = await expect_problem(await node.post(SERIES, body, alice), 409, "seat-taken")
    assert [item["code"] for item in problem["items"]] == ["ok", "seat-taken", "ok"]
    made = await (await node.post(SERIES, body | {"mode": "free"}, alice)).json()
    assert [item["code"] for item in made["items"]] == ["ok", "seat-taken", "ok"]
    assert made["items"][1]["booking"] is None
    assert made["items"][1]["alternatives"]
    await expect_problem(await node.post(SERIES, body | {"mode": "some"}, alice), 422, "invalid-body")
    await expect_problem(await node.post(SERIES, body | {"rrule": "x"}, alice), 422, "invalid-body")
    await expect_problem(await node.post(SERIES, body | {"space_id": "none"}, alice), 422, "unknown-space")
