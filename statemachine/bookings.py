"""The rules of booking and cancelling.

Whether a request fits the opening hours is judged against the grid that came with it, whose revision proves
that it was made from the present rules. Whether the seat is free is judged by occupancy alone.
"""

from __future__ import annotations

from typing import Literal

from statemachine.commands import BookSeat, CancelBooking, DayGrid, Envelope
from statemachine.events import BookingCancelled, SeatBooked
from statemachine.limits import (
    MAX_BOOKING_CELLS,
    MAX_BOOKING_SLOTS,
    MAX_CELL,
    MAX_GRID_WINDOWS,
    MAX_ID_CHARS,
    MAX_WINDOW_SLOTS,
)
from statemachine.outcomes import Outcome
from statemachine.records import CELL_MINUTES, CELL_MS, Booking
from statemachine.tables import Entry, Tables


def book_seat(tables: Tables, entry: Entry, envelope: Envelope, command: BookSeat) -> Outcome:
    """Take a seat for the session's user. The dispatcher has made sure that the session lives."""
    space = tables.spaces.get(command.space_id)
    if space is None:
        return entry.refuse("unknown-space")
    grid = command.grid
    if grid.rules_revision != space.revision:
        return entry.refuse("rules-changed")
    days = tables.occupancy.seat(command.space_id, command.seat_id)
    if days is None:
        return entry.refuse("unknown-seat")
    booking_id = command.booking_id
    if not 0 < len(booking_id) <= MAX_ID_CHARS:
        return entry.refuse("malformed")
    start_cell = command.start_cell
    misfit = misfit_of(grid, space.slot_minutes, start_cell, command.slots)
    if misfit is not None:
        return entry.refuse(misfit)
    now_ms = entry.now_ms
    if start_cell * CELL_MS <= now_ms:
        return entry.refuse("past")
    if booking_id in tables.bookings:
        return entry.refuse("duplicate-id")
    end_cell = start_cell + command.slots * grid.slot_cells
    if not tables.occupancy.claim(days, start_cell, end_cell):
        return entry.refuse("seat-taken", tables.alternatives.find(command, now_ms))
    booking = Booking(
        booking_id,
        command.space_id,
        command.seat_id,
        tables.sessions[envelope.session_id].user_id,
        start_cell,
        end_cell,
        "confirmed",
        now_ms,
        0,
        entry.revision,
    )
    tables.add_booking(booking)
    position = entry.record(SeatBooked(booking, now_ms))
    return Outcome("ok", entry.index, position, booking)


def cancel_booking(tables: Tables, entry: Entry, envelope: Envelope, command: CancelBooking) -> Outcome:
    """Give a booking back. The dispatcher has made sure that the session lives."""
    user_id = tables.sessions[envelope.session_id].user_id
    before = tables.bookings.get(command.booking_id)
    if before is None or (before.user_id != user_id and tables.users[user_id].role != "admin"):
        return entry.refuse("booking-not-found")
    if before.status == "cancelled":
        return Outcome("ok", entry.index, len(entry.events), before)  # nothing changes the second time
    now_ms = entry.now_ms
    if before.end_cell * CELL_MS <= now_ms:
        return entry.refuse("booking-completed")
    days = tables.occupancy.seat(before.space_id, before.seat_id)
    assert days is not None, "a booking's seat does not go away"
    booking = Booking(
        before.id,
        before.space_id,
        before.seat_id,
        before.user_id,
        before.start_cell,
        before.end_cell,
        "cancelled",
        before.created_at_ms,
        now_ms,
        entry.revision,
    )
    tables.end_booking(booking, days)
    position = entry.record(BookingCancelled(booking, user_id, now_ms))
    return Outcome("ok", entry.index, position, booking)


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
