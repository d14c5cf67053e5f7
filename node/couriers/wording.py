"""How times and lengths are said in Russian and in English.

No locale of the machine has a part in it: members may have different ones, and a mail must not change its language with the node
that leads. Two languages need few rules, so they are written out here: names of days and months, and the plural forms of CLDR
(English one/other; Russian one/few/many, with the accusative after "через").

A time is always printed with its zone and its offset: whoever reads a mail may be in another zone than the desk.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from statemachine.records import CELL_SECONDS, Booking

Language = Literal["ru", "en"]

_MINUTES_PER_HOUR = 60
_MINUTES_PER_DAY = 24 * 60

_DAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "ru": ("понедельник", "вторник", "среда", "четверг", "пятница", "суббота", "воскресенье"),
}
_MONTHS = {  # Russian: the genitive, as dates need it
    "en": (
        "January", "February", "March", "April", "May", "June",
        "July", "August", "September", "October", "November", "December",
    ),
    "ru": (
        "января", "февраля", "марта", "апреля", "мая", "июня",
        "июля", "августа", "сентября", "октября", "ноября", "декабря",
    ),
}  # fmt: skip
_Forms = tuple[str, str, str]
_UNITS: dict[str, tuple[_Forms, _Forms, _Forms]] = {  # days, hours, minutes: one, few, many
    "en": (("day", "days", "days"), ("hour", "hours", "hours"), ("minute", "minutes", "minutes")),
    "ru": (("день", "дня", "дней"), ("час", "часа", "часов"), ("минута", "минуты", "минут")),
}
_MINUTES_AFTER_IN: dict[str, _Forms] = {  # only the minute has an accusative of its own
    "en": ("minute", "minutes", "minutes"),
    "ru": ("минуту", "минуты", "минут"),
}


def form_of(language: Language, count: int) -> int:
    """Which form a noun has after a whole number: 0 one, 1 few, 2 many (CLDR plural rules, cardinals)."""
    if language == "en":
        return 0 if count == 1 else 2
    ones, tens = count % 10, count % 100
    if ones == 1 and tens != 11:
        return 0
    return 1 if 2 <= ones <= 4 and not 12 <= tens <= 14 else 2


def length(language: Language, minutes: int) -> str:
    """How long something is: `2 hours 30 minutes`, `2 часа 30 минут`."""
    return _parts(language, minutes, _UNITS[language][2])


def from_now(language: Language, minutes: int) -> str:
    """When something will be: `in 21 minutes`, `через 21 минуту`."""
    return f"{'in' if language == 'en' else 'через'} {_parts(language, minutes, _MINUTES_AFTER_IN[language])}"


def _parts(language: Language, minutes: int, of_minutes: _Forms) -> str:
    days, rest = divmod(max(0, minutes), _MINUTES_PER_DAY)
    hours, minutes = divmod(rest, _MINUTES_PER_HOUR)
    of_days, of_hours, _ = _UNITS[language]
    parts = [
        f"{count} {forms[form_of(language, count)]}"
        for count, forms in ((days, of_days), (hours, of_hours), (minutes, of_minutes))
        if count
    ]
    return " ".join(parts) or f"0 {of_minutes[2]}"


def when(language: Language, booking: Booking, zone_name: str) -> str:
    """The time of a booking in full, such as `Monday, 2 December 2030, 10:00–12:00 (Europe/Moscow, UTC+03:00)`.

    A day is named once unless the booking ends on another; the offset stands with each end when the clocks change in between.
    """
    start, end = _local(booking.start_cell, zone_name), _local(booking.end_cell, zone_name)
    one_offset = start.utcoffset() == end.utcoffset()
    first, last = (f"{start:%H:%M}", f"{end:%H:%M}")
    if not one_offset:
        first, last = f"{first} {_offset(start)}", f"{last} {_offset(end)}"
    if start.date() == end.date():
        span = f"{_day(language, start)}, {first}–{last}"
    else:
        span = f"{_day(language, start)}, {first} – {_day(language, end)}, {last}"
    return f"{span} ({zone_name}, {_offset(start)})" if one_offset else f"{span} ({zone_name})"


def when_short(language: Language, booking: Booking, zone_name: str) -> str:
    """The start of a booking for a subject line: `2 December 2030, 10:00 (UTC+03:00)`."""
    start = _local(booking.start_cell, zone_name)
    return f"{_date(language, start)}, {start:%H:%M} ({_offset(start)})"


def instant(language: Language, instant_ms: int, zone_name: str) -> str:
    """A moment in full."""
    at = datetime.fromtimestamp(instant_ms // 1000, _zone(zone_name))
    return f"{_day(language, at)}, {at:%H:%M} ({zone_name}, {_offset(at)})"


def minutes_of(booking: Booking) -> int:
    """How long a booking is."""
    return (booking.end_cell - booking.start_cell) * CELL_SECONDS // 60


def _day(language: Language, at: datetime) -> str:
    return f"{_DAYS[language][at.weekday()]}, {_date(language, at)}"


def _date(language: Language, at: datetime) -> str:
    year = f"{at.year} г." if language == "ru" else str(at.year)
    return f"{at.day} {_MONTHS[language][at.month - 1]} {year}"


def _offset(at: datetime) -> str:
    """`UTC+05:30`; offsets of this century are whole minutes."""
    offset = at.utcoffset()
    assert offset is not None, "a local time has a zone"
    minutes = int(offset.total_seconds()) // 60
    hours, rest = divmod(abs(minutes), _MINUTES_PER_HOUR)
    return f"UTC{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"


def _local(cell: int, zone_name: str) -> datetime:
    return datetime.fromtimestamp(cell * CELL_SECONDS, _zone(zone_name))


@lru_cache(maxsize=512)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
