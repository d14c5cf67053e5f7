"""What a change of hours closes, and the slots that it leaves to those who wait.

The first is the time that is open before it and not after, as ranges of cells. When the zone changes it is all time that was open and
that clocks show differently from then on: bookings stay at their instants, so whoever booked ten o'clock has to be told that it
is called something else.

Found here, because the log knows no time zones. Only days on which the change makes a difference are looked at; a change of
the week or of the zone is followed until some time after the last accepted booking, and says so (`until_cell`): the log
refuses it when a booking has been made beyond that meanwhile, and it is found again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from api.problems import Refusal
from api.timegrid import FIRST_YEAR, LAST_YEAR, local_date, open_cells, window_of, zone_of
from statemachine.limits import MAX_BOOKING_CELLS, MAX_CELL, MAX_CLOSING_RANGES, MAX_LINE_WINDOWS
from statemachine.premises import Hours, SpaceRules, hours_on
from statemachine.records import CELL_MS, CELL_SECONDS, CELLS_PER_DAY, Space
from statemachine.refitting import line_of
from statemachine.spaces import live_bookings_of_seat, without
from statemachine.state import State

SLACK_CELLS = 14 * CELLS_PER_DAY  # beyond the last booking, so that few of those made meanwhile lie behind it
MAX_JUDGED_DAYS = 1_100  # about three years: change-too-wide
MAX_SPECIAL_LENGTH_DAYS = 400  # of one range of special days
_EPOCH_DAY = date(1970, 1, 1).toordinal()


def closing_of(
    state: State, space: Space, before: SpaceRules, after: SpaceRules, zone_after: str, now_ms: int
) -> tuple[tuple[tuple[int, int], ...], int]:
    """The ranges that the change closes, and the cell until which they were looked for. Raises `Refusal`."""
    if space.timezone == zone_after and before.week == after.week:
        days = _days_of_exceptions(before, after)
        until_cell = MAX_CELL
    else:
        until_cell = _last_end(state, space, now_ms) + SLACK_CELLS
        first = (now_ms // CELL_MS - MAX_BOOKING_CELLS) // CELLS_PER_DAY + _EPOCH_DAY - 1
        last = until_cell // CELLS_PER_DAY + _EPOCH_DAY + 1
        if last - first > MAX_JUDGED_DAYS:
            detail = f"Some booking ends more than {MAX_JUDGED_DAYS} days from now. Cancel it first."
            raise Refusal("change-too-wide", detail)
        days = range(first, last + 1)
    usual = Hours(space.opens_minutes, space.closes_minutes)
    same_zone = space.timezone == zone_after
    opened: list[tuple[int, int]] = []
    left: list[tuple[int, int]] = []
    renamed: list[tuple[int, int]] = []
    for day in days:
        was, becomes = hours_on(before, usual, day), hours_on(after, usual, day)
        if same_zone and was == becomes:
            continue
        open_then = _range_of(space.timezone, was, day)
        opened += open_then
        left += _range_of(zone_after, becomes, day)
        renamed += [each for each in open_then if not _same_clocks(space.timezone, zone_after, each)]
    closing = without(opened, without(left, renamed))
    if len(closing) > MAX_CLOSING_RANGES:
        raise Refusal("change-too-wide", "It closes too many stretches of time at once.")
    return tuple(closing), until_cell


def windows_of_line(state: State, space: Space, after: SpaceRules) -> tuple[tuple[int, int], ...]:
    """The slots by new rules of the days on which somebody waits, the earliest days if there are very many. `space` is as it
    will be.
    """
    days: set[date] = set()
    for waiter in line_of(state, space.id):
        day = local_date(space, waiter.want.start_cell) - timedelta(days=1)
        last = local_date(space, waiter.end_cell) + timedelta(days=1)
        while day <= last:
            days.add(day)
            day += timedelta(days=1)
    windows = (window_of(space, day, after) for day in sorted(days)[:MAX_LINE_WINDOWS])
    return tuple((each.start_cell, each.slot_count) for each in windows if each.slot_count)


def _days_of_exceptions(before: SpaceRules, after: SpaceRules) -> Iterable[int]:
    """The dates that belong to an exception on one side only, in order."""
    either = set(before.special_days) ^ set(after.special_days)
    return sorted({day for each in either for day in range(each.first_day, each.last_day + 1)})


def _last_end(state: State, space: Space, now_ms: int) -> int:
    ends = [
        booking.end_cell
        for seat_id in state.occupancy.seat_ids(space.id)
        for booking in live_bookings_of_seat(state, space.id, seat_id, now_ms)
    ]
    return max(ends, default=now_ms // CELL_MS)


def _range_of(zone: str, hours: Hours, day: int) -> list[tuple[int, int]]:
    where = date.fromordinal(day)
    if hours.closed or not FIRST_YEAR <= where.year <= LAST_YEAR:
        return []
    start_cell, end_cell = open_cells(zone, hours, where)
    return [(start_cell, end_cell)] if start_cell < end_cell else []


def _same_clocks(zone: str, other: str, cells: tuple[int, int]) -> bool:
    """Whether clocks of both zones show the same at the beginning and at the end of a range within one day."""
    ends = [datetime.fromtimestamp(cell * CELL_SECONDS, UTC) for cell in (cells[0], cells[1] - 1)]
    first, second = zone_of(zone), zone_of(other)
    return all(end.astimezone(first).utcoffset() == end.astimezone(second).utcoffset() for end in ends)
