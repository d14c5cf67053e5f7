"""A place that is wanted again and again: its bookings are made in one entry, and can be given up together.

Which days a rule names was found outside (`api/recurring.py`), with the grid of each; here each day is a wish like any
other. Whoever asks chooses between all of them or none, and whatever is free, with an answer for each. The bookings are
ordinary ones: each can be moved or cancelled by itself, and the series only remembers which they were.
"""

from __future__ import annotations

from statemachine import policies
from statemachine.baskets import RESOLVE_AGAIN, book_all, limit_of, refusal_of_several
from statemachine.bookings import claim, confirm, fault_of, obstacle_to
from statemachine.cancelling import give_up
from statemachine.commands import BookSeat, BookSeries, CancelSeries, Envelope
from statemachine.limits import MAX_ID_CHARS, MAX_REASON_CHARS, MAX_SERIES_BOOKINGS, MAX_TEXT_CHARS
from statemachine.outcomes import Outcome
from statemachine.records import CELL_MS, Placed, Planned, PlannedLimited, Series, Together
from statemachine.tables import Entry, Tables


def book_series(tables: Tables, entry: Entry, envelope: Envelope, command: BookSeries) -> Outcome:
    """Take the places of a series for the session's user. The dispatcher has made sure that the session lives."""
    items = command.items
    if (
        not 0 < len(items) <= MAX_SERIES_BOOKINGS
        or len({item.booking_id for item in items}) != len(items)
        or not 0 < len(command.series_id) <= MAX_ID_CHARS
        or len(command.rule) > MAX_TEXT_CHARS
    ):
        return entry.refuse("malformed")
    if command.series_id in tables.series:
        return entry.refuse("duplicate-id")
    user_id = tables.sessions[envelope.session_id].user_id
    if command.whole:
        outcome = book_all(tables, entry, user_id, items)
        if not outcome.ok:
            return outcome
        assert isinstance(outcome.result, Together)
        placed, limits = outcome.result.items, (0,) * len(items)
    else:
        faults = [fault_of(tables, entry, item) for item in items]
        for code in RESOLVE_AGAIN:
            if code in faults:
                return entry.refuse(code)
        placed, limits = zip(*(_placed(tables, entry, user_id, item) for item in items), strict=True)
        if not any(each.booking for each in placed):
            return refusal_of_several(entry, placed, limits)
    made = tuple(each.booking.id for each in placed if each.booking is not None)
    revision = f"{entry.index}.{len(entry.events) - 1}"
    tables.add_series(Series(command.series_id, user_id, command.rule, made, entry.now_ms, revision))
    starts = tuple(item.start_cell for item in items)
    planned = (
        PlannedLimited(command.series_id, starts, placed, limits)
        if any(limits)
        else Planned(command.series_id, starts, placed)
    )
    return Outcome("ok", entry.index, len(entry.events) - 1, planned)


def _placed(tables: Tables, entry: Entry, user_id: str, item: BookSeat) -> tuple[Placed, int]:
    """Take one place if it is to be had; what became of it, and the limit that it goes beyond (0: none)."""
    fault = fault_of(tables, entry, item)
    if fault is not None:
        return Placed(fault), 0
    breach = policies.breach_by_booking(tables, entry, user_id, item)
    if breach is not None:
        return Placed(breach[0]), limit_of(breach)
    if not claim(tables, item):
        return Placed(obstacle_to(tables, item), None, tables.alternatives.find(item, entry.now_ms)), 0
    return Placed("ok", confirm(tables, entry, user_id, item)), 0


def cancel_series(tables: Tables, entry: Entry, envelope: Envelope, command: CancelSeries) -> Outcome:
    """Give up what has not begun of a series, or what is left from one of its bookings on."""
    if len(command.reason) > MAX_REASON_CHARS:
        return entry.refuse("malformed")
    user_id = tables.sessions[envelope.session_id].user_id
    series = tables.series.get(command.series_id)
    if series is None or (series.user_id != user_id and not policies.is_administrator(tables, user_id)):
        return entry.refuse("series-not-found")
    first_cell = entry.now_ms // CELL_MS + 1
    if command.from_booking_id:
        if command.from_booking_id not in series.booking_ids:
            return entry.refuse("booking-not-found")
        first_cell = max(first_cell, tables.bookings[command.from_booking_id].start_cell)
    placed: list[Placed] = []
    for booking_id in series.booking_ids:
        before = tables.bookings[booking_id]
        if before.status != "confirmed" or before.start_cell < first_cell:
            continue
        breach = policies.breach_by_giving_up(tables, entry, user_id, before)
        if breach is not None:
            placed.append(Placed(breach[0], before))
        else:
            placed.append(Placed("ok", give_up(tables, entry, before, user_id, command.reason)))
    position = len(entry.events) - any(each.code == "ok" for each in placed)
    return Outcome("ok", entry.index, position, Together(tuple(placed)))
