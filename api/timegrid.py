"""The bookable slots of a local day, as instants.

The state machine knows no time zones (members may carry different versions of the database and would diverge). So the
zone is asked here, and the answer travels in the command as a `DayGrid` of UTC cells with the revision of the rules
it was made from.

How a day is made:
- It opens at the first instant whose wall clock shows the opening time or later, and closes likewise. So windows
  of successive days never overlap, and a time that the clock skips becomes the instant of the jump.
- Its slots are equal pieces of elapsed time from the opening; what is left over at the end is no slot. A day of 23 or 25
  hours has as many slots as fit.
- A space open around the clock opens at one local midnight and closes at the next, so its days join up.

Dates outside 2000-2100 are refused: zones of that century have offsets in whole cells, and nobody books outside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from api.problems import Refusal
from statemachine.commands import DayGrid
from statemachine.premises import Hours, SpaceRules, hours_on
from statemachine.records import CELL_SECONDS, Space

FIRST_YEAR = 2000
LAST_YEAR = 2100
MAX_SLOTS = 288
MAX_GRID_DAYS = 10  # windows that travel with one booking: the longest booking (a week) and a day around it
MAX_REMEMBERED_DAYS = 4096
MAX_REMEMBERED_TIMES = 16_384

_DAY = timedelta(days=1)


class Window(NamedTuple):
    """The slots of one local day: `slot_count` of them from `start_cell`."""

    start_cell: int
    slot_count: int


class UnknownZoneError(LookupError):
    """This node's time zone database lacks a zone that another member's has: the database here is older."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"This node's time zone database does not know {name}; ask another node, and update tzdata on this one."
        )


@lru_cache(maxsize=512)
def zone_of(name: str) -> ZoneInfo:
    """The zone of an IANA name. Raises UnknownZoneError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UnknownZoneError(name) from None


def first_instant(zone: tzinfo, day: date, minutes: int) -> int:
    """Epoch seconds of the first instant whose wall clock shows `minutes` after midnight of `day`, or later."""
    wanted = datetime.combine(day, time()) + timedelta(minutes=minutes)
    earlier = wanted.replace(tzinfo=zone).astimezone(UTC)  # fold 0: the first of two
    if earlier.astimezone(zone).replace(tzinfo=None) == wanted:
        return int(earlier.timestamp())
    # The wall clock jumps over `wanted`. Read with the offset from after the jump it is before the jump, and the
    # other way round; the jump is between the two.
    low = int(wanted.replace(tzinfo=zone, fold=1).astimezone(UTC).timestamp())
    high = int(earlier.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).replace(tzinfo=None) >= wanted:
            high = middle
        else:
            low = middle
    return high


@lru_cache(maxsize=MAX_REMEMBERED_DAYS)
def _window(zone_name: str, opens: int, closes: int, slot_cells: int, day: date) -> Window:
    zone = zone_of(zone_name)
    start_cell = -(-first_instant(zone, day, opens) // CELL_SECONDS)
    end_cell = first_instant(zone, day, closes) // CELL_SECONDS
    return Window(start_cell, max(0, end_cell - start_cell) // slot_cells)


def window_of(space: Space, day: date, rules: SpaceRules | None = None) -> Window:
    """The slots of a space on one local day, possibly none. `rules` are those that administrators have set, if any."""
    opens, closes = space.opens_minutes, space.closes_minutes
    if rules is not None:
        hours = hours_on(rules, Hours(opens, closes), day.toordinal())
        opens, closes = hours.opens_minutes, hours.closes_minutes
    return _window(space.timezone, opens, closes, space.slot_cells, day)


def open_cells(zone_name: str, hours: Hours, day: date) -> tuple[int, int]:
    """The whole cells between opening and closing on one local day; equal when there are none."""
    start_cell, count = _window(zone_name, hours.opens_minutes, hours.closes_minutes, 1, day)
    return start_cell, start_cell + count


def grid_for(space: Space, start_cell: int, slots: int, rules: SpaceRules | None) -> DayGrid:
    """The windows that a booking of `slots` from `start_cell` could touch, by the rules that administrators have set.

    Those are of the local days from the one before its start to the one after its end: a space open around the
    clock needs the neighbours, and the alternatives to a taken seat may lie on them.
    """
    day = local_date(space, start_cell)
    last = local_date(space, start_cell + slots * space.slot_cells) + _DAY
    days = _days(day - _DAY, min(last, day + _DAY * (MAX_GRID_DAYS - 2)))
    windows = [window_of(space, each, rules) for each in days]
    return DayGrid(
        space.revision, space.slot_cells, tuple((w.start_cell, w.slot_count) for w in windows if w.slot_count)
    )


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += _DAY


def local_date(space: Space, cell: int) -> date:
    """The date that a wall clock in the space shows at the beginning of a cell."""
    return datetime.fromtimestamp(cell * CELL_SECONDS, zone_of(space.timezone)).date()


def cell_of_instant(instant: datetime) -> int:
    """The cell that begins at an instant with an offset. Raises `Refusal` when none does, or in another century."""
    try:
        seconds = instant.timestamp()
        year = instant.astimezone(UTC).year
    except OverflowError:
        year, seconds = 0, 0.0
    if not FIRST_YEAR <= year <= LAST_YEAR:
        reason = f"must be within the years {FIRST_YEAR} to {LAST_YEAR}"
        raise Refusal("invalid-body", errors=[("/starts_at", reason)])
    cell, rest = divmod(seconds, CELL_SECONDS)
    if rest:
        raise Refusal("off-grid", errors=[("/starts_at", "is not on a slot boundary")])
    return int(cell)


def cell_of_local(space: Space, day: date, at: time) -> int:
    """The cell that begins when the space's wall clock shows `day` and `at`.

    Raises `Refusal` when the clock never shows it, shows it twice, or no cell begins then.
    """
    zone = zone_of(space.timezone)
    naive = datetime.combine(day, at)
    first, second = naive.replace(tzinfo=zone), naive.replace(tzinfo=zone, fold=1)
    if first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != naive:
        detail = f"On {day} the clocks of {space.timezone} jump over {at:%H:%M}."
        raise Refusal("nonexistent-time", detail, errors=[("/time", "does not exist on that day")])
    if first.utcoffset() != second.utcoffset():
        detail = (
            f"On {day} the clocks of {space.timezone} show {at:%H:%M} twice. "
            "Book with `starts_at` and an offset instead."
        )
        raise Refusal("ambiguous-time", detail, errors=[("/time", "exists twice on that day")])
    cell, rest = divmod(first.timestamp(), CELL_SECONDS)
    if rest:
        raise Refusal("off-grid", errors=[("/time", "is not on a slot boundary")])
    return int(cell)


def parse_date(text: str) -> date | None:
    """A date written as 2026-12-01 within the years that may be booked, or None."""
    if len(text) != 10 or not text.isascii():
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if FIRST_YEAR <= day.year <= LAST_YEAR and day.isoformat() == text else None


@lru_cache(maxsize=MAX_REMEMBERED_TIMES)
def rfc3339_of_cell(cell: int, zone: tzinfo) -> str:
    """The beginning of a cell as people in the zone write it, with the offset."""
    return datetime.fromtimestamp(cell * CELL_SECONDS, zone).isoformat()


def rfc3339_of_ms(instant_ms: int, zone: tzinfo) -> str:
    """An instant with milliseconds and the zone's offset."""
    whole = datetime.fromtimestamp(instant_ms // 1000, zone)
    return whole.replace(microsecond=instant_ms % 1000 * 1000).isoformat(timespec="milliseconds")
