"""Several places in one request: all of them or none.

Each place is judged as if it were alone; then they are claimed one after the other, so that two of the same basket cannot overlap
either. What is not to be had is told for each of them, with free places beside it that the rest of the basket does not want, or the
limit that it goes beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from statemachine import policies
from statemachine.bookings import claim, confirm, end_of, fault_of, obstacle_to
from statemachine.commands import BookSeat, BookTogether, Envelope
from statemachine.limits import MAX_BASKET_ITEMS
from statemachine.outcomes import Code, Outcome
from statemachine.records import Placed, Together, TogetherLimited
from statemachine.tables import Entry, Tables

RESOLVE_AGAIN: tuple[Code, ...] = (
    "malformed",
    "rules-changed",
    "duplicate-id",
)  # say nothing about the place


def book_together(tables: Tables, entry: Entry, envelope: Envelope, command: BookTogether) -> Outcome:
    """Take all places for the session's user. The dispatcher has made sure that the session lives."""
    items = command.items
    if not 0 < len(items) <= MAX_BASKET_ITEMS or len({item.booking_id for item in items}) != len(items):
        return entry.refuse("malformed")
    return book_all(tables, entry, tables.sessions[envelope.session_id].user_id, items)


def book_all(tables: Tables, entry: Entry, user_id: str, items: tuple[BookSeat, ...]) -> Outcome:
    """Take all places, or none and say why."""
    faults = [fault_of(tables, entry, item) for item in items]
    for code in RESOLVE_AGAIN:
        if code in faults:
            return entry.refuse(code)
    for fault in faults:
        if fault is not None:
            return _refusal(entry, fault, [Placed(each or "ok") for each in faults])
    breaches = [
        policies.breach_by_booking(tables, entry, user_id, item, beside=items[:place])
        for place, item in enumerate(items)
    ]
    for breach in breaches:
        if breach is not None:
            placed = [Placed(each[0] if each else "ok") for each in breaches]
            return _refusal(entry, breach[0], placed, [limit_of(each) for each in breaches])
    claimed = [claim(tables, item) for item in items]
    if not all(claimed):
        placed = [
            Placed("ok")
            if has
            else Placed(obstacle_to(tables, item), None, tables.alternatives.find(item, entry.now_ms))
            for item, has in zip(items, claimed, strict=True)
        ]
        for item, has in zip(items, claimed, strict=True):
            if has:
                unclaim(tables, item)
        out = any(each.code == "out-of-service" for each in placed)
        return _refusal(entry, "out-of-service" if out else "seat-taken", placed)
    placed = [Placed("ok", confirm(tables, entry, user_id, item)) for item in items]
    return Outcome("ok", entry.index, len(entry.events) - 1, Together(tuple(placed)))


def unclaim(tables: Tables, want: BookSeat) -> None:
    """Free the cells that `claim` has just taken."""
    days = tables.occupancy.seat(want.space_id, want.seat_id)
    assert days is not None, "it was claimed"
    tables.occupancy.release(days, want.start_cell, end_of(want))


def limit_of(breach: policies.Breach | None) -> int:
    """The limit of a policy that a wish goes beyond; 0: none."""
    return 0 if breach is None else breach[1].value


def refusal_of_several(entry: Entry, placed: tuple[Placed, ...], limits: Sequence[int]) -> Outcome:
    """None of several wishes could be had: the code of one that another try may bring, before one that nothing brings."""
    taken = any(each.code == "seat-taken" for each in placed)
    return _refusal(entry, "seat-taken" if taken else cast("Code", placed[0].code), placed, limits)


def _refusal(entry: Entry, code: Code, placed: Sequence[Placed], limits: Sequence[int] = ()) -> Outcome:
    items = tuple(placed)
    told = TogetherLimited(items, tuple(limits)) if any(limits) else Together(items)
    return Outcome(code, entry.index, len(entry.events), told)
