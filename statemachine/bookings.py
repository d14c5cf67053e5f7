"""The rules of taking a place, which every way of booking shares.

Whether a request fits the opening hours is judged against the grid that came with it, whose revision proves
that it was made from the present rules. Whether the seat is free is judged by occupancy alone.
"""

from __future__ import annotations

from typing import Literal

from statemachine import policies
from statemachine.commands import BookSeat, DayGrid, Envelope
from statemachine.events import SeatBooked
from statemachine.limits import (
    MAX_BOOKING_CELLS,
    MAX_BOOKING_SLOTS,
    MAX_CELL,
    MAX_GRID_WINDOWS,
    MAX_ID_CHARS,
    MAX_WINDOW_SLOTS,
)
from statemachine.outcomes import Code, Outcome
from statemachine.records import CELL_MINUTES, CELL_MS, Booking
from statemachine.tables import Entry, Tables


def book_seat(tables: Tables, entry: Entry, envelope: Envelope, command: BookSeat) -> Outcome:
    """Take a seat for the session's user. The dispatcher has made sure that the session lives."""
    fault = fault_of(tables, entry, command)
    if fault is not None:
        return entry.refuse(fault)
    user_id = tables.sessions[envelope.session_id].user_id
    breach = policies.breach_by_booking(tables, entry, user_id, command)
    if breach is not None:
        return entry.refuse(breach[0], ground=breach[1])
    if not claim(tables, command):
        return entry.refuse(obstacle_to(tables, command), tables.alternatives.find(command, entry.now_ms))
    booking = confirm(tables, entry, user_id, command)
    return Outcome("ok", entry.index, len(entry.events) - 1, booking)


def fault_of(tables: Tables, entry: Entry, want: BookSeat, *, new: bool = True) -> Code | None:
    """Why nobody may have a place, taken or not; None when it is a place. `new`: for a booking that is still to be made."""
    space = tables.spaces.get(want.space_id)
    rules = tables.space_rules.get(want.space_id)  # None: nobody has changed the space since it was made
    if space is None or (rules is not None and rules.retired):
        return "unknown-space"
    grid = want.grid
    if grid.rules_revision != space.revision:
        return "rules-changed"
    if tables.occupancy.seat(want.space_id, want.seat_id) is None or (
        rules is not None and is_retired(tables, want.space_id, want.seat_id)
    ):
        return "unknown-seat"
    booking_id = want.booking_id
    if not 0 < len(booking_id) <= MAX_ID_CHARS:
        return "malformed"
    misfit = misfit_of(grid, space.slot_minutes, want.start_cell, want.slots)
    if misfit is not None:
        return misfit
    if want.start_cell * CELL_MS <= entry.now_ms:
        return "past"
    return "duplicate-id" if new and booking_id in tables.bookings else None


def claim(tables: Tables, want: BookSeat) -> bool:
    """Mark the cells of a faultless wish taken; False, and nothing changes, when any of them is, or out of service."""
    days = tables.occupancy.seat(want.space_id, want.seat_id)
    assert days is not None, "a faultless wish has a seat"
    if obstacle_to(tables, want) == "out-of-service":
        return False
    return tables.occupancy.claim(days, want.start_cell, end_of(want))


def obstacle_to(tables: Tables, want: BookSeat) -> Literal["out-of-service", "seat-taken"]:
    """Why a faultless wish that cannot be claimed cannot be."""
    end_cell = end_of(want)
    out = tables.occupancy.out_of_service(want.space_id, want.seat_id, want.start_cell, end_cell)
    return "out-of-service" if out else "seat-taken"


def is_retired(tables: Tables, space_id: str, seat_id: str) -> bool:
    """Whether a seat that once was there has been retired."""
    details = tables.details_of(space_id, seat_id)
    return details is not None and details.retired


def end_of(want: BookSeat) -> int:
    """The cell at which a wish ends."""
    return want.start_cell + want.slots * want.grid.slot_cells


def confirm(tables: Tables, entry: Entry, user_id: str, want: BookSeat) -> Booking:
    """Enter the booking whose cells have been claimed."""
    now_ms = entry.now_ms
    booking = Booking(
        want.booking_id,
        want.space_id,
        want.seat_id,
        user_id,
        want.start_cell,
        end_of(want),
        "confirmed",
        now_ms,
        0,
        entry.revision,
    )
    tables.add_booking(booking)
    if tables.check_in_rules:
        tables.expect(booking)
    if tables.notifications:
        tables.remind(booking, now_ms)
    entry.record(SeatBooked(booking, now_ms))
    return booking


def misfit_of(
    grid: DayGrid, slot_minutes: int, start_cell: int, slots: int
) -> Literal["malformed", "off-grid", "closed"] | None:
    """Why a request is not a run of slots within open windows, or None when it is one.

    `malformed`: the grid cannot have been made from the space's rules (slot length, order and bounds of the windows).
    """
    step = grid.slot_cells
    windows = grid.windows
    if step * CELL_MINUTES != slot_minutes or len(windows) > MAX_GRID_WINDOWS:
        return "malformed"
    end_cell = start_cell + slots * step
    on_grid = True
    open_until = (
        -1
    )  # the end of the open time around the start, as far as it is known; joining windows prolong it
    free_from = 0
    for first, count in windows:
        if first < free_from or not 0 < count <= MAX_WINDOW_SLOTS:
            return "malformed"
        free_from = first + count * step
        if first <= start_cell < free_from:
            on_grid = (start_cell - first) % step == 0
            open_until = free_from
        elif first == open_until:
            open_until = free_from
    if free_from > MAX_CELL:
        return "malformed"
    if not 0 < slots <= MAX_BOOKING_SLOTS or end_cell - start_cell > MAX_BOOKING_CELLS or not on_grid:
        return "off-grid"
    if open_until >= end_cell:
        return None
    return "closed" if open_until < 0 else "off-grid"
