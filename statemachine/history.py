"""The history of a booking: every place and state that it has had.

A booking's record says how it is; what it was is kept as steps, which are only ever added. A booking that was made, and at
most given back by its own user without a word, has none: its record says all there is to say, but for the revision under
which it was made. Any other change brings two at first, the one it replaces and its own. Nothing is decided by the steps:
they are there to be read.
"""

from __future__ import annotations

import msgspec

from statemachine.records import Booking, Step, StepKind
from statemachine.tables import Entry, Tables


def note(
    tables: Tables,
    entry: Entry,
    before: Booking,
    after: Booking,
    kind: StepKind,
    by_user_id: str,
    reason: str = "",
) -> None:
    """Write down that `before` became `after`. To be called before the event is recorded: they share the revision."""
    if before.id not in tables.steps_by_booking:
        if kind == "cancelled" and by_user_id == before.user_id and not reason:
            return  # as the record will say
        tables.add_step(_step(before, "confirmed", before.created_at_ms, before.user_id, ""))
    tables.add_step(_step(after, kind, entry.now_ms, by_user_id, reason))


def steps_of(tables: Tables, booking: Booking) -> tuple[Step, ...]:
    """The history of a booking, oldest first."""
    steps = tables.steps_by_booking.get(booking.id)
    if steps is not None:
        return steps
    confirmed = _step(booking, "confirmed", booking.created_at_ms, booking.user_id, "")
    if booking.status == "confirmed":
        return (confirmed,)
    made = msgspec.structs.replace(confirmed, revision="")
    return made, _step(booking, booking.status, booking.cancelled_at_ms, booking.user_id, "")


def _step(booking: Booking, kind: StepKind, at_ms: int, by_user_id: str, reason: str) -> Step:
    return Step(
        booking.id,
        kind,
        at_ms,
        by_user_id,
        reason,
        booking.space_id,
        booking.seat_id,
        booking.start_cell,
        booking.end_cell,
        booking.revision,
    )
