"""What users may take of a space: how far ahead, how long, how many, and until when they may give it back.

Every limit is off until an administrator sets it, and administrators themselves are above all of them: they may break
policy, and nobody may overlap. A change of policy never touches bookings that were accepted before it.

Limits count within their space. "That day" is the local day on which the booking begins, which is one window of the
grid that came with the request. Horizons and cutoffs are elapsed time by the clock of the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from statemachine.commands import BookSeat, DayGrid
from statemachine.outcomes import Code
from statemachine.premises import Limit, Policy
from statemachine.records import CELL_MINUTES, CELL_MS, CELLS_PER_DAY, Booking
from statemachine.tables import Entry, Tables, day_name

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS


def policy_of(tables: Tables, space_id: str) -> Policy | None:
    """The policy of a space that an administrator has changed, or None."""
    rules = tables.space_rules.get(space_id)
    return None if rules is None else rules.policy


def is_administrator(tables: Tables, user_id: str) -> bool:
    """Whether policies do not bind this user."""
    return tables.users[user_id].role == "admin"


Breach = tuple[Code, Limit]


def breach_by_booking(
    tables: Tables,
    entry: Entry,
    actor_id: str,
    want: BookSeat,
    leaving: Booking | None = None,
    beside: Sequence[BookSeat] = (),
) -> Breach | None:
    """What policy the actor would break by a place that fits its grid, or None.

    `leaving` is a booking that is given up for it and does not count; the place is then for that booking's user. `beside`
    are places that the same command takes as well.
    """
    policy = policy_of(tables, want.space_id)
    if policy is None or is_administrator(tables, actor_id):
        return None
    start_cell, step = want.start_cell, want.grid.slot_cells
    end_cell = start_cell + want.slots * step
    if policy.horizon_days and start_cell * CELL_MS > entry.now_ms + policy.horizon_days * DAY_MS:
        return "beyond-horizon", Limit(policy.horizon_days)
    if policy.longest_minutes and (end_cell - start_cell) * CELL_MINUTES > policy.longest_minutes:
        return "too-long", Limit(policy.longest_minutes)
    user_id = actor_id if leaving is None else leaving.user_id
    others = [
        (each.start_cell, each.start_cell + each.slots * each.grid.slot_cells)
        for each in beside
        if each.space_id == want.space_id
    ]
    if policy.live_bookings:
        ahead = (tables.bookings[each] for each in tables.upcoming_of(user_id))
        mine = [each for each in ahead if each.space_id == want.space_id and each != leaving]
        if len(mine) + len(others) >= policy.live_bookings:
            return "too-many-live", Limit(policy.live_bookings)
    if policy.daily_bookings:
        first, last = _window_of(want.grid, start_cell)
        places = [*_places_of(tables, user_id, want.space_id, first, last, leaving), *others]
        if sum(first <= start < last for start, _ in places) >= policy.daily_bookings:
            return "too-many-that-day", Limit(policy.daily_bookings)
    if policy.one_seat_at_a_time:
        places = [*_places_of(tables, user_id, want.space_id, start_cell, end_cell, leaving), *others]
        if any(start < end_cell and start_cell < end for start, end in places):
            return "seated-elsewhere", Limit(1)
    return None


def breach_by_giving_up(tables: Tables, entry: Entry, actor_id: str, booking: Booking) -> Breach | None:
    """What policy the actor would break by cancelling a booking or moving it away, or None."""
    policy = policy_of(tables, booking.space_id)
    if policy is None or not policy.cancel_cutoff_minutes or is_administrator(tables, actor_id):
        return None
    cutoff_ms = policy.cancel_cutoff_minutes * MINUTE_MS
    if entry.now_ms <= booking.start_cell * CELL_MS - cutoff_ms:
        return None
    return "too-late-to-cancel", Limit(policy.cancel_cutoff_minutes)


def _window_of(grid: DayGrid, cell: int) -> tuple[int, int]:
    for first, count in grid.windows:
        end = first + count * grid.slot_cells
        if first <= cell < end:
            return first, end
    raise AssertionError("a place that fits the grid begins in one of its windows")


def _places_of(
    tables: Tables, user_id: str, space_id: str, start_cell: int, end_cell: int, leaving: Booking | None
) -> Iterator[tuple[int, int]]:
    """Where the user's confirmed bookings of the space lie that touch `[start_cell, end_cell)`."""
    first_day = start_cell // CELLS_PER_DAY
    for day in range(first_day, (end_cell - 1) // CELLS_PER_DAY + 1):
        for booking_id in tables.live_by_day.get(day_name(user_id, day), ()):
            booking = tables.bookings[booking_id]
            if (
                booking.space_id == space_id
                and booking.start_cell < end_cell
                and start_cell < booking.end_cell
                and booking != leaving
                and day == max(first_day, booking.start_cell // CELLS_PER_DAY)  # each once
            ):
                yield booking.start_cell, booking.end_cell
