"""How a booking ends before its time, and what follows from it.

Whatever ends a booking goes through `give_up`: the cells become free, the history gets its line, the event is recorded, and
those who wait are served, all in one place and one entry.
"""

from __future__ import annotations

from typing import Literal

from statemachine import history, policies
from statemachine.commands import CancelBooking, CancelBookingBecause, CancelUnchanged, Envelope
from statemachine.events import BookingCancelled, BookingReleased
from statemachine.limits import MAX_REASON_CHARS
from statemachine.outcomes import Outcome
from statemachine.records import CELL_MS, Booking
from statemachine.tables import Entry, Tables
from statemachine.waitlist import offer


def cancel_booking(
    tables: Tables,
    entry: Entry,
    envelope: Envelope,
    command: CancelBooking | CancelBookingBecause | CancelUnchanged,
) -> Outcome:
    """Give a booking back. The dispatcher has made sure that the session lives."""
    reason = "" if isinstance(command, CancelBooking) else command.reason
    if len(reason) > MAX_REASON_CHARS:
        return entry.refuse("malformed")
    user_id = tables.sessions[envelope.session_id].user_id
    before = booking_for(tables, user_id, command.booking_id)
    if before is None:
        return entry.refuse("booking-not-found")
    if before.status == "cancelled":
        return Outcome("ok", entry.index, len(entry.events), before)  # nothing changes the second time
    if isinstance(command, CancelUnchanged) and command.revision != before.revision:
        return entry.refuse("booking-changed")
    if before.end_cell * CELL_MS <= entry.now_ms:
        return entry.refuse("booking-completed")
    if before.status == "released":
        return entry.refuse("booking-cancelled")
    breach = policies.breach_by_giving_up(tables, entry, user_id, before)
    if breach is not None:
        return entry.refuse(breach[0], ground=breach[1])
    position = len(entry.events)
    booking = give_up(tables, entry, before, user_id, reason)
    return Outcome("ok", entry.index, position, booking)


def booking_for(tables: Tables, user_id: str, booking_id: str) -> Booking | None:
    """A booking that a user may change: one of their own, or anybody's for an administrator."""
    booking = tables.bookings.get(booking_id)
    if booking is None or (booking.user_id != user_id and tables.users[user_id].role != "admin"):
        return None
    return booking


def give_up(tables: Tables, entry: Entry, before: Booking, by_user_id: str, reason: str) -> Booking:
    """Cancel a live booking and free its cells."""
    booking = _end(tables, entry, before, "cancelled", by_user_id, reason)
    entry.record(BookingCancelled(booking, by_user_id, entry.now_ms, reason))
    offer(tables, entry, before.space_id, before.seat_id, before.start_cell, before.end_cell)
    return booking


def release(tables: Tables, entry: Entry, before: Booking) -> None:
    """Take a live booking from somebody who did not come, and free its cells."""
    booking = _end(tables, entry, before, "released", "", "")
    entry.record(BookingReleased(booking, entry.now_ms))
    offer(tables, entry, before.space_id, before.seat_id, before.start_cell, before.end_cell)


def _end(
    tables: Tables,
    entry: Entry,
    before: Booking,
    status: Literal["cancelled", "released"],
    by_user_id: str,
    reason: str,
) -> Booking:
    days = tables.occupancy.seat(before.space_id, before.seat_id)
    assert days is not None, "a booking's seat does not go away"
    booking = Booking(
        before.id,
        before.space_id,
        before.seat_id,
        before.user_id,
        before.start_cell,
        before.end_cell,
        status,
        before.created_at_ms,
        entry.now_ms,
        entry.revision,
    )
    tables.end_booking(booking, days)
    history.note(tables, entry, before, booking, status, by_user_id, reason)
    return booking
