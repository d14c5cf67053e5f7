"""Reports: every minute is counted where it belongs, also on days of 23 and 25 hours and in zones of half hours."""

from __future__ import annotations

import csv
import io
import random
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from api import reports, tally
from api.reports import OccupancyRowView, csv_of
from statemachine.records import CELL_SECONDS
from tests.api.conftest import Node, expect_problem

PATH = "/api/v1/admin/reports/occupancy"


async def book(node: Node, token: str, space: str, seat: str, starts_at: str, slots: int = 1) -> str:
    body = {"space_id": space, "seat_id": seat, "starts_at": starts_at, "slots": slots}
    answer = await node.post("/api/v1/bookings", body, token)
    assert answer.status == 201, await answer.text()
    return str((await answer.json())["id"])


async def report(node: Node, query: str) -> dict[str, Any]:
    answer = await node.get(f"{PATH}?{query}", await node.admin())
    assert answer.status == 200, await answer.text()
    view: dict[str, Any] = await answer.json()
    return view


async def test_only_administrators_may(node: Node) -> None:
    query = f"{PATH}?space_id=hq&from=2026-12-01&to=2026-12-01"
    await expect_problem(await node.get(query), 401, "unauthenticated")
    await expect_problem(await node.get(query, await node.user()), 403, "forbidden")


async def test_each_way_of_cutting_counts_the_same_minutes(node: Node) -> None:
    token = await node.user()
    await book(node, token, "hq", "A1", "2026-12-01T10:00:00+03:00", 2)
    await book(node, token, "hq", "B1", "2026-12-02T21:00:00+03:00")
    given_up = await book(node, token, "hq", "A2", "2026-12-01T10:00:00+03:00")
    await node.post(f"/api/v1/bookings/{given_up}/cancel", {}, token)
    span = "space_id=hq&from=2026-12-01&to=2026-12-03"
    for by in ("day", "hour", "seat", "space", "weekday-hour"):
        view = await report(node, f"{span}&by={by}")
        assert (view["taken_minutes"], view["open_minutes"]) == (180, 3 * 4 * 14 * 60)
        assert sum(row["taken_minutes"] for row in view["rows"]) == 180, by
        assert sum(row["open_minutes"] for row in view["rows"]) == view["open_minutes"], by
    rows = {row["key"]: row for row in (await report(node, f"{span}&by=hour"))["rows"]}
    assert {key: row["taken_minutes"] for key, row in rows.items() if row["taken_minutes"]} == {
        "10": 60,
        "11": 60,
        "21": 60,
    }
    assert rows["07"]["share"] is None and rows["10"]["share"] == round(60 / (3 * 4 * 60), 4)
    days = {row["key"]: row["taken_minutes"] for row in (await report(node, span))["rows"]}
    assert days == {"2026-12-01": 120, "2026-12-02": 60, "2026-12-03": 0}
    seats = {row["key"]: row["taken_minutes"] for row in (await report(node, f"{span}&by=seat"))["rows"]}
    assert seats == {"A1": 120, "A2": 0, "A3": 0, "B1": 60}
    heat = {row["key"]: row for row in (await report(node, f"{span}&by=weekday-hour"))["rows"]}
    assert len(heat) == 168 and heat["2-10"]["taken_minutes"] == 60  # 2026-12-01 is a Tuesday
    assert (heat["2-10"]["weekday"], heat["2-10"]["hour"]) == (2, 10)


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2027-03-28", 23), ("2026-10-25", 25), ("2026-12-01", 24)],
    ids=["short", "long", "usual"],
)
async def test_days_of_23_and_25_hours(node: Node, day: str, hours: int) -> None:
    node.replica.set_clock("2026-10-01T00:00:00+00:00")
    view = await report(node, f"space_id=berlin&from={day}&to={day}&by=hour")
    assert view["open_minutes"] == 2 * hours * 60
    opened = {row["key"]: row["open_minutes"] // 2 for row in view["rows"]}
    assert opened["02"] == {23: 0, 24: 60, 25: 120}[hours]
    assert opened["03"] == 60


async def test_any_cells_are_counted_in_the_hour_that_the_wall_clock_shows(node: Node) -> None:
    """Against a count cell by cell with the zone's own clock, in a zone of half an hour that changes by half an hour."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    state, zone = node.replica.state, ZoneInfo("Australia/Lord_Howe")
    days = state.occupancy.seat("howe", "L1")
    assert days is not None
    first = date(2026, 10, 1)
    begin = int(datetime(2026, 9, 30, tzinfo=zone).timestamp()) // CELL_SECONDS
    expected: dict[tuple[date, int], int] = {}
    at = begin
    while at < begin + 12 * 288:
        end = at + chance.randrange(1, 200)
        if chance.random() < 0.5:
            assert state.occupancy.claim(days, at, end)
            for cell in range(at, end):
                shown = datetime.fromtimestamp(cell * CELL_SECONDS, zone)
                expected[shown.date(), shown.hour] = expected.get((shown.date(), shown.hour), 0) + 5
        at = end
    counted = await tally.tally_of(state, state.spaces["howe"], first, 7, hourly=True)
    for number in range(7):
        day = first + timedelta(days=number)
        for hour in range(24):  # seven days: each weekday is one of them
            assert counted.cells[day.weekday()][hour].taken_minutes == expected.get((day, hour), 0), (
                day,
                hour,
            )
        assert counted.days[number].taken_minutes == sum(expected.get((day, hour), 0) for hour in range(24))


async def test_limits_are_named(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = await node.admin()

    async def refused(query: str, status: int, code: str) -> dict[str, Any]:
        return await expect_problem(await node.get(f"{PATH}?{query}", admin), status, code)

    await refused("space_id=hq&from=2026-12-02&to=2026-12-01", 422, "invalid-parameter")
    await refused("space_id=hq&from=2026-01-01&to=2027-01-02", 422, "invalid-parameter")
    await refused("from=2026-12-01&to=2026-12-01", 422, "invalid-parameter")
    await refused("space_id=nowhere&from=2026-12-01&to=2026-12-01", 422, "unknown-space")
    monkeypatch.setattr(reports, "MAX_REPORT_SEAT_DAYS", 7)
    problem = await refused("space_id=hq&from=2026-12-01&to=2026-12-02", 422, "report-too-large")
    assert problem["limit"] == 7


async def test_all_spaces_and_csv(node: Node) -> None:
    token = await node.user()
    await book(node, token, "kolkata", "K1", "2026-12-01T09:30:00+05:30", 3)
    view = await report(node, "from=2026-12-01&to=2026-12-01&by=space")
    assert {row["key"]: row["taken_minutes"] for row in view["rows"]} == {
        "hq": 0, "berlin": 0, "kolkata": 90, "howe": 0, "york": 0,
    }  # fmt: skip
    assert view["space_id"] is None and view["timezone"] is None
    answer = await node.get(f"{PATH}?from=2026-12-01&to=2026-12-01&by=space&format=csv", await node.admin())
    assert answer.content_type == "text/csv"
    rows = list(csv.DictReader(io.StringIO(await answer.text())))
    assert [row["key"] for row in rows] == ["hq", "berlin", "kolkata", "howe", "york"]
    assert rows[0]["label"] == "Коворкинг" and rows[2]["taken_minutes"] == "90"


def test_a_name_never_becomes_a_formula() -> None:
    text = csv_of([OccupancyRowView("=1+1", '@x, "y"', None, None, 1, 2, 0.5)]).decode()
    assert list(csv.reader(io.StringIO(text)))[1] == ["'=1+1", '\'@x, "y"', "", "", "1", "2", "0.5"]
