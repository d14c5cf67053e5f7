"""Saying that one is there, and giving the seats of those who are not to others.

Off in every space until an administrator sets a grace. A booking that is made (or moved) while a grace is set is then *expected*: somebody
has to check in from EARLY_MS before its start until the grace is over, or it is released, by time in the log (`due.py`), and its seat is
offered to the waitlist in the same entry. Bookings that were made before the grace was set keep the rules they were made under;
when it is set to nothing, nobody is released any more.
"""

from __future__ import annotations

from statemachine import audit, history, policies
from statemachine.cancelling import booking_for, release
from statemachine.commands import CheckIn, Envelope, SetCheckIn
from statemachine.events import BookingCheckedIn, CheckInSet
from statemachine.limits import MAX_GRACE_MINUTES
from statemachine.outcomes import Outcome
from statemachine.records import CELL_MS, CheckInRule
from statemachine.tables import Entry, Tables

EARLY_MS = 15 * 60_000  # before the start, from when on one can check in


def set_check_in(tables: Tables, entry: Entry, envelope: Envelope, command: SetCheckIn) -> Outcome:
    """Set the grace of a space; 0: nobody has to check in."""
    actor_id = tables.sessions[envelope.session_id].user_id
    if not policies.is_administrator(tables, actor_id):
        return entry.refuse("forbidden")
    if command.space_id not in tables.spaces:
        return entry.refuse("unknown-space")
    if not 0 <= command.grace_minutes <= MAX_GRACE_MINUTES:
        return entry.refuse("malformed")
    rule = CheckInRule(command.space_id, command.grace_minutes, entry.revision)
    tables.put_check_in_rule(rule)
    position = entry.record(CheckInSet(rule, actor_id, entry.now_ms))
    detail = f"{rule.grace_minutes} minutes"
    audit.record(tables, entry.index, position, actor_id, "check-in-set", rule.space_id, detail)
    return Outcome("ok", entry.index, position, rule)


def check_in(tables: Tables, entry: Entry, envelope: Envelope, command: CheckIn) -> Outcome:
    """Say that one is there. Doing it twice, or where nobody has to, changes nothing."""
    user_id = tables.sessions[envelope.session_id].user_id
    booking = booking_for(tables, user_id, command.booking_id)
    if booking is None:
        return entry.refuse("booking-not-found")
    if booking.status != "confirmed":
        return entry.refuse("booking-cancelled")
    if booking.end_cell * CELL_MS <= entry.now_ms:
        return entry.refuse("booking-completed")
    if booking.start_cell * CELL_MS - EARLY_MS > entry.now_ms:
        return entry.refuse("too-early-to-check-in")
    if booking.id not in tables.expected:
        return Outcome("ok", entry.index, len(entry.events), booking)
    tables.drop_expected(booking.id)
    history.note(tables, entry, booking, booking, "checked-in", user_id)
    position = entry.record(BookingCheckedIn(booking, user_id, entry.now_ms))
    return Outcome("ok", entry.index, position, booking)


def nobody_came(tables: Tables, entry: Entry, booking_id: str) -> None:
    """The grace of a booking is over, and nobody has checked in."""
    tables.drop_expected(booking_id)
    booking = tables.bookings[booking_id]
    rule = tables.check_in_rules.get(booking.space_id)
    if rule is not None and rule.grace_minutes and booking.end_cell * CELL_MS > entry.now_ms:
        release(tables, entry, booking)
