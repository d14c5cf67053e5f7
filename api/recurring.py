"""The part of RFC 5545's recurrence rules that bookings need, and the days that a rule names.

`FREQ=WEEKLY` with `INTERVAL`, `BYDAY`, and an end by `COUNT` or `UNTIL`; anything else is refused by name. Days are those of the
space's calendar and the time is that of its clocks, so a series at nine stays at nine when the clocks change. As the RFC asks
(3.3.5, 3.3.10): weeks begin on Monday, a time that a day shows twice is the first of the two, and a day on which the clocks jump
over the time is passed over and not counted.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from api.problems import Refusal
from api.timegrid import LAST_YEAR, cell_of_local, zone_of
from statemachine.limits import MAX_SERIES_BOOKINGS
from statemachine.records import CELL_SECONDS, Space

MAX_INTERVAL = 52
MAX_RULE_CHARACTERS = 200
MAX_PASSED_OVER = 60  # days without that time; no zone has so many
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_WEEK = timedelta(days=7)


class Rule(NamedTuple):
    """A weekly rule. Exactly one of `times` and the two ends is set."""

    interval: int
    days: tuple[int, ...]  # of the week, Monday is 0; empty: that of the beginning
    times: int | None
    until_day: date | None
    until_instant: datetime | None


class Occurrences(NamedTuple):
    """What a rule names: the first cells, and the days that have no such time."""

    cells: tuple[int, ...]
    passed_over: tuple[date, ...]


def parse_rule(text: str) -> Rule:
    """A rule from its text. Raises `Refusal` that says which part is not understood."""
    parts: dict[str, str] = {}
    for piece in text.upper().removeprefix("RRULE:").split(";"):
        name, _, value = piece.partition("=")
        if not value or name in parts:
            raise _bad(f"{piece[:40]!r} is not a part of a rule, or stands there twice")
        parts[name] = value
    unknown = [name for name in parts if name not in ("FREQ", "INTERVAL", "BYDAY", "COUNT", "UNTIL", "WKST")]
    if unknown:
        raise _bad(f"{unknown[0][:40]} is not supported")
    if parts.get("FREQ") != "WEEKLY" or parts.get("WKST", "MO") != "MO":
        raise _bad("must be FREQ=WEEKLY, with weeks that begin on Monday")
    if ("COUNT" in parts) == ("UNTIL" in parts):
        raise _bad("must end by COUNT or by UNTIL, and not by both")
    days = parts["BYDAY"].split(",") if "BYDAY" in parts else []
    if any(day not in _DAYS for day in days) or len(set(days)) != len(days):
        raise _bad("BYDAY must list days such as MO,WE")
    until_day, until_instant = _until(parts["UNTIL"]) if "UNTIL" in parts else (None, None)
    return Rule(
        _number(parts.get("INTERVAL", "1"), "INTERVAL", MAX_INTERVAL),
        tuple(sorted(_DAYS.index(day) for day in days)),
        _number(parts["COUNT"], "COUNT", MAX_SERIES_BOOKINGS) if "COUNT" in parts else None,
        until_day,
        until_instant,
    )


def occurrences(rule: Rule, space: Space, first: date, at: time) -> Occurrences:
    """The cells at which the rule's bookings begin, from `first` on, which must be one of its days."""
    days = rule.days or (first.weekday(),)
    if first.weekday() not in days:
        raise _bad(f"the first day, {first}, is not one of BYDAY")
    monday = first - timedelta(days=first.weekday())
    cells: list[int] = []
    passed_over: list[date] = []
    while monday.year <= LAST_YEAR:
        for day in (monday + timedelta(days=each) for each in days):
            if day < first:
                continue
            cell = _cell(space, day, at) if day.year <= LAST_YEAR else None
            if rule.until_day is not None and day > rule.until_day:
                return Occurrences(tuple(cells), tuple(passed_over))
            if cell is None:
                passed_over.append(day)
                if len(passed_over) > MAX_PASSED_OVER:
                    raise _bad("names too many days that have no such time")
                continue
            if rule.until_instant is not None and cell * CELL_SECONDS > rule.until_instant.timestamp():
                return Occurrences(tuple(cells), tuple(passed_over))
            if len(cells) == MAX_SERIES_BOOKINGS:
                raise _bad(f"names more than {MAX_SERIES_BOOKINGS} days")
            cells.append(cell)
            if len(cells) == rule.times:
                return Occurrences(tuple(cells), tuple(passed_over))
        monday += _WEEK * rule.interval
    raise _bad(f"goes beyond the year {LAST_YEAR}")


def _cell(space: Space, day: date, at: time) -> int | None:
    """The first cell that begins when the clocks show that day and time; None when they never do."""
    try:
        return cell_of_local(space, day, at)
    except Refusal as refusal:
        if refusal.code == "nonexistent-time":
            return None
        if refusal.code != "ambiguous-time":
            raise
    earlier = datetime.combine(day, at, zone_of(space.timezone))  # fold 0: the first of two
    return int(earlier.timestamp()) // CELL_SECONDS


def _until(text: str) -> tuple[date | None, datetime | None]:
    try:
        if re.fullmatch(r"\d{8}", text):
            return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).date(), None
        if re.fullmatch(r"\d{8}T\d{6}Z", text):
            return None, datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        pass  # a day that no month has: told below like any other text that is no date
    raise _bad("UNTIL must be a date such as 20261231, or an instant in UTC such as 20261231T080000Z")


def _number(text: str, name: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= most):
        raise _bad(f"{name} must be a whole number from 1 to {most}")
    return int(text)


def _bad(detail: str) -> Refusal:
    return Refusal("invalid-body", errors=[("/rrule", detail)])
