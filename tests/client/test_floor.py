"""The plan of a space: where seats are drawn, which slot is shown, and that glyphs alone tell the state."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from client.answers import Availability, Seat, SeatDay, Slot
from client.floor import arrange, slot_at
from tests.client.fake import SPACE, FakeNode, ok
from tests.client.test_cli import DAY, Shell

NOW = datetime(2026, 12, 1, 6, 30, tzinfo=UTC)  # 09:30 in Moscow


def _seat(name: str, x: int | None = None, y: int | None = None) -> Seat:
    return Seat(name, name, x=x, y=y)


def test_aisles_stay_visible() -> None:
    """The smallest distance is one column: in steps of ten, 30 is an aisle wide."""
    plan = arrange([_seat("A", 10, 0), _seat("B", 20, 0), _seat("C", 40, 0), _seat("D", 10, 5)], 20)
    assert plan.rows == [["A", "B", None, "C"], ["D", None, None, None]]
    assert plan.unplaced == []


def test_what_is_too_wide_keeps_its_order() -> None:
    """A plan in millimetres is squeezed; one with more columns than there is room for becomes a list."""
    wide = [_seat("A", 0, 0), _seat("B", 1, 0), _seat("C", 9_000, 0)]
    assert arrange(wide, 5).rows == [["A", "B", "C"]]
    assert arrange(wide, 2) == arrange([_seat(name) for name in "ABC"], 2)


def test_two_seats_at_one_place() -> None:
    """The second stands below the plan, with those that have no place."""
    plan = arrange([_seat("A", 1, 1), _seat("B", 1, 1), _seat("C"), _seat("D", 1, None)], 5)
    assert plan.rows == [["A"]]
    assert sorted(plan.unplaced) == ["B", "C", "D"]


def _day() -> Availability:
    slots = [
        Slot(datetime.fromisoformat(f"2026-12-01T{hour:02}:00:00+03:00"), datetime.fromisoformat(f"2026-12-01T{hour + 1:02}:00:00+03:00"))
        for hour in (8, 9, 10)
    ]  # fmt: skip
    return Availability("hq", "2026-12-01", "Europe/Moscow", slots, [SeatDay("A1", "A1", ["free"] * 3)])


@pytest.mark.parametrize(("clock", "number"), [("10:00", 2), ("09:59", 1), ("11:00", None), (None, 1)])
def test_the_slot_that_is_shown(clock: str | None, number: int | None) -> None:
    """By the clocks of the space; without a time the first that is not over."""
    assert slot_at(_day(), clock, NOW) == number


def test_the_map(tmp_path: Path, node: FakeNode) -> None:
    """Glyphs tell the state without colour, letters the attributes, and the legend counts."""
    seats = [
        {"id": "A1", "label": "A1", "x": 0, "y": 0, "attributes": ["window"]},
        {"id": "A2", "label": "A2", "x": 2, "y": 0},
    ]
    node.on("GET /api/v1/spaces", ok({"items": [{**SPACE, "seats": seats}], "next": None}))
    node.on("GET /api/v1/spaces/hq/availability", ok(DAY))
    shell = Shell(tmp_path, node.url)
    lines = shell("seats", "--map", "--date", "2026-12-01", "--time", "09:00").stdout.splitlines()
    assert lines[1] == "2026-12-01 09:00–10:00 (Europe/Moscow)"
    assert lines[2].split() == ["★A1·w", "○A2"]
    assert "free 1" in lines[3]
    assert "mine 1" in lines[3]
    assert "\x1b[" not in "".join(lines)
    assert "no slot at 23:00" in shell("seats", "--map", "--date", "2026-12-01", "--time", "23:00").stdout
    assert shell("seats", "--time", "09:00").exit_code == 2
