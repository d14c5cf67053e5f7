"""Another seat or time for a booking, in one step.

The booking keeps its id, its user and its history. Nobody can come between giving the old place up and getting the new one,
because both happen in one command; when the new place is not to be had, the old one was never lost. Going back is moving back.
"""

from __future__ import annotations

from statemachine import history, policies
from statemachine.bookings import claim, end_of, fault_of, obstacle_to
from statemachine.cancelling import booking_for
from statemachine.commands import Envelope, MoveBooking
from statemachine.events import BookingMoved
from statemachine.limits import MAX_STEPS_PER_BOOKING
from statemachine.outcomes import Code, Outcome
from statemachine.records import CELL_MS, Booking
from statemachine.tables import Entry, Tables
from statemachine.waitlist import offer


def move_booking(tables: Tables, entry: Entry, envelope: Envelope, command: MoveBooking) -> Outcome:
    """Give a booking another place. The dispatcher has made sure that the session lives."""
    want = command.want
    user_id = tables.sessions[envelope.session_id].user_id
    before = booking_for(tables, user_id, want.booking_id)
    if before is None:
        return entry.refuse("booking-not-found")
    fault = _immovable(tables, entry, before)
    if fault is None and before.revision != command.from_revision:
        fault = "booking-changed"
    if fault is None:
        fault = fault_of(tables, entry, want, new=False)
    if fault is not None:
        return entry.refuse(fault)
    old = (before.space_id, before.seat_id, before.start_cell, before.end_cell)
    if old == (want.space_id, want.seat_id, want.start_cell, end_of(want)):
        return Outcome("ok", entry.index, len(entry.events), before)  # it is there already
    breach = policies.breach_by_giving_up(tables, entry, user_id, before) or policies.breach_by_booking(
        tables, entry, user_id, want, leaving=before
    )
    if breach is not None:
        return entry.refuse(breach[0], ground=breach[1])
    days = tables.occupancy.seat(before.space_id, before.seat_id)
    assert days is not None, "a booking's seat does not go away"
    tables.occupancy.release(days, before.start_cell, before.end_cell)
    if not claim(tables, want):
        regained = tables.occupancy.claim(days, before.start_cell, before.end_cell)
        assert regained, "nothing happened in between"
        return entry.refuse(obstacle_to(tables, want), tables.alternatives.find(want, entry.now_ms))
    booking = Booking(
        before.id,
        want.space_id,
        want.seat_id,
        before.user_id,
        want.start_cell,
        end_of(want),
        "confirmed",
        before.created_at_ms,
        0,
        entry.revision,
    )
    tables.move_booking(booking)
    tables.drop_expected(booking.id)
    tables.expect(booking)
    tables.remind(booking, entry.now_ms)
    history.note(tables, entry, before, booking, "moved", user_id)
    position = entry.record(BookingMoved(booking, before, user_id, entry.now_ms))
    offer(tables, entry, before.space_id, before.seat_id, before.start_cell, before.end_cell)
    return Outcome("ok", entry.index, position, booking)


def _immovable(tables: Tables, entry: Entry, booking: Booking) -> Code | None:
    if booking.status != "confirmed":
        return "booking-cancelled"
    if booking.end_cell * CELL_MS <= entry.now_ms:
        return "booking-completed"
    if booking.start_cell * CELL_MS <= entry.now_ms:
        return "booking-begun"
    if len(tables.steps_by_booking.get(booking.id, ())) >= MAX_STEPS_PER_BOOKING:
        return "too-many-changes"
    return None
