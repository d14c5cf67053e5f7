"""The plan of a space in the terminal: every seat where it stands, with its state at one time.

Seats have whole numbers for places (`x` to the right, `y` downwards), in whatever unit the administrator had in mind. The
smallest distance between two columns (or rows) becomes one column of the picture, so that aisles stay visible; where that
would not fit, columns only keep their order. Seats without a place stand below the plan.

A glyph carries the state and colour only repeats it: pipes, `NO_COLOR` and colour-blind eyes lose nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from msgspec import Struct
from rich.console import Console
from rich.text import Text

from client import drawing
from client.answers import Availability, Seat, SlotState, Space

MAX_ROWS = 60
GAP_GLYPH = " "
STATES: dict[SlotState, tuple[str, str]] = {
    "free": ("○", "green"),
    "taken": ("█", "red"),
    "mine": ("★", "bold yellow"),
    "past": ("░", "dim"),
    "closed": ("×", "dim"),
}
ATTRIBUTE_LETTERS = {"monitor": "m", "window": "w", "quiet": "q", "accessible": "a"}


class Plan(Struct, frozen=True):
    """Seat ids by row and column; None: nothing stands there. `unplaced` have no place, or one that is another's."""

    rows: list[list[str | None]]
    unplaced: list[str]


def arrange(seats: Sequence[Seat], columns: int) -> Plan:
    """Where each seat is drawn when there is room for so many columns."""
    placed = [seat for seat in seats if seat.x is not None and seat.y is not None]
    column_of = _places([seat.x for seat in placed if seat.x is not None], columns)
    row_of = _places([seat.y for seat in placed if seat.y is not None], MAX_ROWS)
    unplaced = [seat.id for seat in seats if seat.x is None or seat.y is None]
    if not placed or max(column_of.values()) >= columns:
        return Plan([], [seat.id for seat in seats])
    width, height = max(column_of.values()) + 1, max(row_of.values()) + 1
    rows: list[list[str | None]] = [[None] * width for _ in range(height)]
    for seat in placed:
        assert seat.x is not None
        assert seat.y is not None
        row, column = rows[row_of[seat.y]], column_of[seat.x]
        if row[column] is None:
            row[column] = seat.id
        else:
            unplaced.append(seat.id)
    return Plan(rows, unplaced)


def _places(values: Sequence[int], most: int) -> dict[int, int]:
    """The column of each coordinate: to scale when that takes no more than `most`, else only in order."""
    ordered = sorted(set(values))
    if not ordered:
        return {}
    unit = min((after - before for before, after in pairwise(ordered)), default=1)
    scaled = {value: round((value - ordered[0]) / unit) for value in ordered}
    if max(scaled.values()) < most and len(set(scaled.values())) == len(ordered):
        return scaled
    return {value: number for number, value in enumerate(ordered)}


def slot_at(day: Availability, clock: str | None, now: datetime) -> int | None:
    """The slot in which that local time lies; without one, the first that is not over. None: there is none."""
    for number, slot in enumerate(day.slots):
        begin, end = slot.starts_at, slot.ends_at
        if clock is None and slot.ends_at > now:
            return number
        if clock is not None and (
            f"{begin:%H:%M}" <= clock < f"{end:%H:%M}"
            or (end.date() > begin.date() and f"{begin:%H:%M}" <= clock)
        ):
            return number
    return len(day.slots) - 1 if clock is None and day.slots else None


def draw_plan(out: Console, space: Space, day: Availability, number: int) -> None:
    """The plan at one slot of the day, with a legend that counts."""
    slot = day.slots[number]
    states = {seat.id: seat.slots[number] for seat in day.seats}
    seats = [seat for seat in space.seats if seat.id in states]
    out.print(Text(f"{space.name} ({space.id})", style="bold"))
    out.print(Text(drawing.span(slot.starts_at, slot.ends_at, day.timezone)))
    marks = {seat.id: _marks(seat) for seat in seats}
    width = max((len(seat.id) + len(marks[seat.id]) for seat in seats), default=0) + 3
    plan = arrange(seats, max(1, (out.width - 2) // width))
    for row in plan.rows:
        line = Text("  ")
        for seat_id in row:
            line.append(*_cell(seat_id, states, marks, width))
        out.print(line, no_wrap=True, overflow="crop")
    if plan.unplaced:
        if plan.rows:
            out.print(Text("without a place of their own:", style="dim"))
        per_line = max(1, (out.width - 2) // width)
        for first in range(0, len(plan.unplaced), per_line):
            line = Text("  ")
            for seat_id in plan.unplaced[first : first + per_line]:
                line.append(*_cell(seat_id, states, marks, width))
            out.print(line, no_wrap=True, overflow="crop")
    out.print(_legend(list(states.values()), any(marks.values())))


def _cell(
    seat_id: str | None, states: dict[str, SlotState], marks: dict[str, str], width: int
) -> tuple[str, str]:
    if seat_id is None:
        return GAP_GLYPH * width, ""
    glyph, style = STATES[states[seat_id]]
    text = f"{glyph}{seat_id}" + (f"·{marks[seat_id]}" if marks[seat_id] else "")
    return f"{text:<{width}}", style


def _marks(seat: Seat) -> str:
    return "".join(letter for name, letter in ATTRIBUTE_LETTERS.items() if name in seat.attributes)


def _legend(states: Sequence[SlotState], with_marks: bool) -> Text:
    legend = Text()
    for state, (glyph, style) in STATES.items():
        if count := sum(each == state for each in states):
            legend.append(f"{glyph} ", style=style).append(f"{state} {count}   ")
    if with_marks:
        letters = ", ".join(f"{letter} {name}" for name, letter in ATTRIBUTE_LETTERS.items())
        legend.append(f"\n{letters}", style="dim")
    return legend
