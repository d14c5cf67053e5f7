"""Waiting for a place that somebody has.

**No gap.** Whatever frees cells (cancelling, moving, releasing; a change of the space, by `refitting.py`) offers them to the line in
the same entry, before anything else can be decided. Nobody can be quicker than the line, however fast their program is.

**Order.** Who waited first is asked first; the order is that of the log, so every member promotes the same person. Somebody
whose wish does not fit what became free, or whom a policy forbids the booking at that moment, keeps their place and is
passed over. Who joins the line while the place is free gets it at once, unless somebody ahead of them may have it by now: what forbade it
(a quota, a block) may be over. A place that stays free because none of those who wait for it may have it can be booked by anybody.

**An end.** Waiting ends when its time begins: by itself (`due.py`). A wish that no longer fits the hours of its space is passed over, and
its owner is shown that it is outdated (`refitting.py`).
"""

from __future__ import annotations

from statemachine import policies
from statemachine.bookings import claim, confirm, fault_of
from statemachine.commands import BookSeat, Envelope, JoinWaitlist, LeaveWaitlist
from statemachine.events import WaiterPromoted, WaitingBegun, WaitingEnded
from statemachine.limits import (
    MAX_ID_CHARS,
    MAX_SEATS_EXAMINED,
    MAX_WAITING,
    MAX_WAITING_PER_DAY,
    MAX_WAITING_PER_SLOT,
    MAX_WAITING_PER_USER,
)
from statemachine.outcomes import Code, Outcome
from statemachine.records import Step
from statemachine.tables import Entry, Tables
from statemachine.waiters import Waiter, rivals

_NEVER: tuple[Code, ...] = (
    "beyond-horizon",
    "too-long",
)  # of policy; the others may be over when a place is free


def join_waitlist(tables: Tables, entry: Entry, envelope: Envelope, command: JoinWaitlist) -> Outcome:
    """Wait for a place, or get it when it is free. The dispatcher has made sure that the session lives."""
    want = command.want
    user_id = tables.sessions[envelope.session_id].user_id
    fault = _fault_of(tables, entry, command)
    if fault is not None:
        return entry.refuse(fault)
    breach = policies.breach_by_booking(tables, entry, user_id, want)
    if breach is not None and breach[0] in _NEVER:
        return entry.refuse(breach[0], ground=breach[1])
    waiter = Waiter(
        command.waiter_id, user_id, want, "waiting", entry.now_ms, entry.index, len(entry.events), entry.revision
    )  # fmt: skip
    mine = [tables.waiters[each] for each in tables.waiters_by_user.get(user_id, ())]
    for other in mine:
        if other.status == "waiting" and _same(other, waiter):
            return Outcome("ok", entry.index, len(entry.events), other)  # already in the line, further ahead
    full = _fullness(tables, waiter, sum(each.status == "waiting" for each in mine))
    if full is not None:
        return entry.refuse(full)
    for other in mine if len(mine) >= MAX_WAITING_PER_USER else ():
        if other.status == "promoted":
            tables.drop_waiter(other)  # what is kept only to be looked at makes room
    position = entry.record(WaitingBegun(waiter, entry.now_ms))
    tables.put_waiter(waiter)
    around = tables.waiting_around(want.space_id, want.start_cell, waiter.end_cell)
    for each in sorted(around, key=lambda each: each.place_in_line):
        if rivals(waiter, each):  # itself, too
            serve(tables, entry, each)
    return Outcome("ok", entry.index, position, tables.waiters[waiter.id])


def _fault_of(tables: Tables, entry: Entry, command: JoinWaitlist) -> Code | None:
    want = command.want
    if not 0 < len(command.waiter_id) <= MAX_ID_CHARS:
        return "malformed"
    space = tables.spaces.get(want.space_id)
    if space is not None and not want.seat_id:
        if not space.seats:
            return "unknown-seat"
        want = _with_seat(want, space.seats[0].id)  # any of them tells whether the time is one
    fault = fault_of(tables, entry, want)
    if fault is None and command.waiter_id in tables.waiters:
        return "duplicate-id"
    return fault


def _same(one: Waiter, other: Waiter) -> bool:
    first, second = one.want, other.want
    return (first.space_id, first.seat_id, first.start_cell, first.slots, first.grid.rules_revision) == (
        second.space_id, second.seat_id, second.start_cell, second.slots, second.grid.rules_revision,
    )  # fmt: skip


def _fullness(tables: Tables, waiter: Waiter, mine: int) -> Code | None:
    if mine >= MAX_WAITING_PER_USER:
        return "too-many-waiting"
    of_days = tables.waiting_around(waiter.want.space_id, waiter.want.start_cell, waiter.end_cell)
    if (
        len(tables.waiters) >= MAX_WAITING
        or len(of_days) >= MAX_WAITING_PER_DAY
        or sum(rivals(waiter, other) for other in of_days) >= MAX_WAITING_PER_SLOT
    ):
        return "waitlist-full"
    return None


def leave_waitlist(tables: Tables, entry: Entry, envelope: Envelope, command: LeaveWaitlist) -> Outcome:
    """Wait no longer; a booking that was got by waiting stays."""
    user_id = tables.sessions[envelope.session_id].user_id
    waiter = tables.waiters.get(command.waiter_id)
    if waiter is None or (waiter.user_id != user_id and not policies.is_administrator(tables, user_id)):
        return entry.refuse("waiting-not-found")
    tables.drop_waiter(waiter)
    position = entry.record(WaitingEnded(waiter, "left", entry.now_ms))
    return Outcome("ok", entry.index, position, waiter)


def forget_user(tables: Tables, entry: Entry, user_id: str) -> None:
    """Take everything of a user out of the line: for the erasing of a person."""
    for waiter_id in tuple(tables.waiters_by_user.get(user_id, ())):
        waiter = tables.waiters[waiter_id]
        tables.drop_waiter(waiter)
        entry.record(WaitingEnded(waiter, "left", entry.now_ms))


def offer(tables: Tables, entry: Entry, space_id: str, seat_id: str, start_cell: int, end_cell: int) -> None:
    """Cells of a seat have become free: whoever waits for some of them gets them, the first in the line first."""
    around = tables.waiting_around(space_id, start_cell, end_cell)
    for waiter in sorted(around, key=lambda each: each.place_in_line) if around else ():
        if (
            waiter.want.seat_id in ("", seat_id)
            and waiter.want.start_cell < end_cell
            and start_cell < waiter.end_cell
        ):
            promote(tables, entry, waiter, seat_id)


def serve(tables: Tables, entry: Entry, waiter: Waiter) -> None:
    """Give a waiter the first seat that they would take and may have, if there is one."""
    want = waiter.want
    seats = tables.spaces[want.space_id].seats[:MAX_SEATS_EXAMINED]
    for seat_id in [want.seat_id] if want.seat_id else [each.id for each in seats]:
        if promote(tables, entry, waiter, seat_id):
            break


def promote(tables: Tables, entry: Entry, waiter: Waiter, seat_id: str) -> bool:
    """Book the seat for the waiter, if it is to be had and they may have it."""
    want = _with_seat(waiter.want, seat_id)
    standing = tables.standings.get(waiter.user_id)
    if (
        (standing is not None and standing.blocked_at_ms > 0)
        or fault_of(tables, entry, want) is not None
        or policies.breach_by_booking(tables, entry, waiter.user_id, want) is not None
        or not claim(tables, want)
    ):
        return False
    booking = confirm(tables, entry, waiter.user_id, want)
    place = (booking.space_id, booking.seat_id, booking.start_cell, booking.end_cell)
    reason = f"waited as {waiter.id}"
    tables.add_step(
        Step(booking.id, "promoted", entry.now_ms, waiter.user_id, reason, *place, booking.revision)
    )
    promoted = Waiter(
        waiter.id, waiter.user_id, want, "promoted", waiter.created_at_ms, *waiter.place_in_line, entry.revision
    )  # fmt: skip
    tables.put_waiter(promoted)
    entry.record(WaiterPromoted(promoted, booking, entry.now_ms))
    return True


def _with_seat(want: BookSeat, seat_id: str) -> BookSeat:
    return BookSeat(want.booking_id, want.space_id, seat_id, want.start_cell, want.slots, want.grid)


def position_of(tables: Tables, waiter: Waiter) -> int:
    """How many in the line would be asked before this one for some place that could serve both, and one: 1 is the next."""
    around = tables.waiting_around(waiter.want.space_id, waiter.want.start_cell, waiter.end_cell)
    return 1 + sum(rivals(waiter, other) and other.place_in_line < waiter.place_in_line for other in around)
