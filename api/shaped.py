"""From what an administrator says shall be otherwise to how a space or seat is from then on. Pure: bodies and records in,
records out; what cannot be is a `Refusal` that points at the field.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import msgspec

from api.closing import MAX_SPECIAL_LENGTH_DAYS
from api.problems import Refusal
from api.space_shapes import (
    WEEKDAYS,
    DaysBody,
    HoursBody,
    NewSeatBody,
    NewSpaceBody,
    OutageBody,
    PolicyBody,
    SeatChangeBody,
    SpaceChangeBody,
    WeekBody,
)
from api.timegrid import FIRST_YEAR, LAST_YEAR, parse_date
from statemachine.commands import NewSpace
from statemachine.limits import MAX_SPECIAL_DAYS
from statemachine.premises import (
    CLOSED,
    DAYS_OF_WEEK,
    Attribute,
    Hours,
    Outage,
    SeatDetails,
    SpaceRules,
    SpecialDays,
)
from statemachine.records import CELL_MINUTES, CELL_MS, CELL_SECONDS, Seat, Space
from statemachine.state import State

MINUTES_PER_DAY = 24 * 60


def new_space(body: NewSpaceBody, zone: str) -> NewSpace:
    """The space that a body describes; its zone has been looked up."""
    hours = _hours(body.opens, body.closes, "")
    seats = tuple(Seat(seat.id, seat.label or seat.id) for seat in body.seats)
    for number, seat in enumerate(seats):
        if any(seat.id == other.id for other in seats[:number]):
            raise _wrong(f"/seats/{number}/id", "stands there more than once")
    _refuse_slot(body.slot_minutes, [hours])
    return NewSpace(
        body.id, body.name, zone, hours.opens_minutes, hours.closes_minutes, body.slot_minutes, seats
    )


def merged_rules(body: SpaceChangeBody, space: Space, rules: SpaceRules) -> SpaceRules:
    """The rules with what the body gives."""
    week = rules.week
    if isinstance(body.hours, WeekBody):
        usual = Hours(space.opens_minutes, space.closes_minutes)
        week = tuple(
            _day_of_week(body.hours, name, before)
            for name, before in zip(WEEKDAYS, week or (usual,) * DAYS_OF_WEEK, strict=True)
        )
    if isinstance(body.slot_minutes, int):
        _refuse_slot(body.slot_minutes, week or [Hours(space.opens_minutes, space.closes_minutes)])
    policy = rules.policy
    if isinstance(body.policy, PolicyBody):
        policy = _replaced(policy, body.policy)
    retired = body.retired if isinstance(body.retired, bool) else rules.retired
    return SpaceRules(rules.space_id, retired, week, rules.special_days, policy)


def rules_with_days(body: DaysBody, rules: SpaceRules) -> SpaceRules:
    """The rules with other hours on the dates of the body; what was set for these dates before gives way."""
    first = _ordinal(body.first, "/first")
    last = first if body.last is None else _ordinal(body.last, "/last")
    if last < first:
        raise _wrong("/last", "is before first")
    if last - first >= MAX_SPECIAL_LENGTH_DAYS:
        raise _wrong("/last", f"is more than {MAX_SPECIAL_LENGTH_DAYS} days from first")
    if (body.opens is None) != (body.closes is None):
        raise _wrong("/opens" if body.opens is None else "/closes", "is missing")
    if body.usual and body.opens is not None:
        raise _wrong("/opens", "stands beside usual")
    kept: list[SpecialDays] = []
    for days in rules.special_days:
        if days.first_day < first:
            kept.append(SpecialDays(days.first_day, min(days.last_day, first - 1), days.hours, days.reason))
        if days.last_day > last:
            kept.append(SpecialDays(max(days.first_day, last + 1), days.last_day, days.hours, days.reason))
    if not body.usual:
        closed = body.opens is None or body.closes is None
        hours = CLOSED if closed else _hours(body.opens or "", body.closes or "", "")
        kept.append(SpecialDays(first, last, hours, body.reason))
    if len(kept) > MAX_SPECIAL_DAYS:
        raise _wrong("/first", f"{MAX_SPECIAL_DAYS} stretches of dates have hours of their own already")
    special = tuple(sorted(kept, key=lambda days: days.first_day))
    return SpaceRules(rules.space_id, rules.retired, rules.week, special, rules.policy)


def new_details(body: NewSeatBody, space_id: str) -> SeatDetails:
    """The seat that a body describes."""
    attributes = _attributes(body.attributes)
    return SeatDetails(space_id, body.id, body.label or body.id, body.zone, attributes, body.x, body.y)


def details_after(body: SeatChangeBody, state: State, space: Space, seat_id: str) -> SeatDetails:
    """A known seat with what the body gives. Outages that are over are left out."""
    before = state.details_of(space.id, seat_id)
    if before is None:
        label = next(seat.label for seat in space.seats if seat.id == seat_id)
        before = SeatDetails(space.id, seat_id, label)
    given: SeatDetails = _replaced(before, body, leave={"attributes", "outages"})
    attributes = before.attributes
    if isinstance(body.attributes, tuple):
        attributes = _attributes(body.attributes)
    outages = tuple(each for each in before.outages if each.end_cell * CELL_MS > state.now_ms)
    if isinstance(body.outages, list):
        outages = _outages(body.outages)
    return SeatDetails(
        space.id, seat_id, given.label, given.zone, attributes, given.x, given.y, given.retired, outages
    )  # fmt: skip


def _outages(bodies: list[OutageBody]) -> tuple[Outage, ...]:
    found: list[Outage] = []
    for number, body in enumerate(bodies):
        start, end = _seconds(body.starts_at, number, "starts_at"), _seconds(body.ends_at, number, "ends_at")
        if end <= start:
            raise _wrong(f"/outages/{number}/ends_at", "is not after starts_at")
        outage = Outage(start // CELL_SECONDS, -(-end // CELL_SECONDS), body.reason)
        if any(outage.start_cell < each.end_cell and each.start_cell < outage.end_cell for each in found):
            raise _wrong(f"/outages/{number}", "overlaps another one")
        found.append(outage)
    return tuple(sorted(found, key=lambda outage: outage.start_cell))


def _seconds(instant: datetime, number: int, field: str) -> int:
    if not FIRST_YEAR < instant.year < LAST_YEAR:  # a year less on each side: no offset leads out
        raise _wrong(
            f"/outages/{number}/{field}", f"must be within the years {FIRST_YEAR + 1} to {LAST_YEAR - 1}"
        )
    return int(instant.timestamp())


def _day_of_week(body: WeekBody, name: str, before: Hours) -> Hours:
    given = getattr(body, name)
    if given is None:
        return CLOSED
    return _hours(given.opens, given.closes, f"/hours/{name}") if isinstance(given, HoursBody) else before


def _hours(opens_text: str, closes_text: str, pointer: str) -> Hours:
    opens, closes = _minutes(opens_text, pointer + "/opens"), _minutes(closes_text, pointer + "/closes")
    if closes <= opens:
        raise _wrong(pointer + "/closes", "is not after opens")
    return Hours(opens, closes)


def _minutes(text: str, pointer: str) -> int:
    if (
        len(text) != 5
        or text[2] != ":"
        or not (text[:2] + text[3:]).isascii()
        or not (text[:2] + text[3:]).isdigit()
    ):
        raise _wrong(pointer, "must be a local time such as 08:00")
    hour, minute = int(text[:2]), int(text[3:])
    minutes = hour * 60 + minute
    if minute > 59 or minutes > MINUTES_PER_DAY:
        raise _wrong(pointer, "must be a local time from 00:00 to 24:00")
    if minutes % CELL_MINUTES:
        raise _wrong(pointer, f"must be on a multiple of {CELL_MINUTES} minutes")
    return minutes


def _refuse_slot(slot_minutes: int, week: Any) -> None:
    longest = max((hours.closes_minutes - hours.opens_minutes for hours in week), default=0)
    if slot_minutes > longest > 0:
        raise _wrong("/slot_minutes", f"does not fit the {longest} minutes of the longest day")


def _ordinal(text: str, pointer: str) -> int:
    day: date | None = parse_date(text)
    if day is None:
        raise _wrong(pointer, f"must be a date such as 2026-12-01, from {FIRST_YEAR} to {LAST_YEAR}")
    return day.toordinal()


def _attributes(given: tuple[Attribute, ...]) -> tuple[Attribute, ...]:
    return tuple(sorted(set(given)))


def _replaced(record: Any, body: Any, leave: frozenset[str] | set[str] = frozenset()) -> Any:
    """The record with those of its fields that the body gives."""
    names = set(record.__struct_fields__) & set(body.__struct_fields__) - set(leave)
    given = {name: getattr(body, name) for name in names}
    return msgspec.structs.replace(record, **{n: v for n, v in given.items() if v is not msgspec.UNSET})


def _wrong(pointer: str, detail: str) -> Refusal:
    return Refusal("invalid-body", errors=[(pointer, detail)])
