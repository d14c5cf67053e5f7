"""Dates, lengths and plurals of both languages."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from node.couriers import wording
from node.couriers.wording import Language
from statemachine.records import CELL_SECONDS, Booking


def booking(starts_at: str, ends_at: str, zone: str = "Europe/Moscow") -> Booking:
    """A booking between two wall clocks; `fold` is the earlier of two."""
    cells = [
        int(datetime.fromisoformat(each).replace(tzinfo=ZoneInfo(zone)).timestamp()) // CELL_SECONDS
        for each in (starts_at, ends_at)
    ]
    return Booking("b1", "hq", "A1", "ann", cells[0], cells[1], "confirmed", 0, 0, "7.0")


@pytest.mark.parametrize(
    ("language", "minutes", "length", "from_now"),
    [
        ("en", 1, "1 minute", "in 1 minute"),
        ("en", 45, "45 minutes", "in 45 minutes"),
        ("en", 60, "1 hour", "in 1 hour"),
        ("en", 61, "1 hour 1 minute", "in 1 hour 1 minute"),
        ("en", 24 * 60, "1 day", "in 1 day"),
        ("en", 50 * 60 + 5, "2 days 2 hours 5 minutes", "in 2 days 2 hours 5 minutes"),
        ("ru", 1, "1 минута", "через 1 минуту"),
        ("ru", 2, "2 минуты", "через 2 минуты"),
        ("ru", 5, "5 минут", "через 5 минут"),
        ("ru", 11, "11 минут", "через 11 минут"),
        ("ru", 14, "14 минут", "через 14 минут"),
        ("ru", 21, "21 минута", "через 21 минуту"),
        ("ru", 60, "1 час", "через 1 час"),
        ("ru", 90, "1 час 30 минут", "через 1 час 30 минут"),
        ("ru", 22 * 60, "22 часа", "через 22 часа"),
        ("ru", 11 * 60, "11 часов", "через 11 часов"),
        ("ru", 24 * 60, "1 день", "через 1 день"),
        ("ru", 3 * 24 * 60 + 60, "3 дня 1 час", "через 3 дня 1 час"),
        ("ru", 21 * 24 * 60, "21 день", "через 21 день"),
        ("ru", 111 * 24 * 60, "111 дней", "через 111 дней"),
        ("ru", 0, "0 минут", "через 0 минут"),
    ],
)
def test_lengths(language: Language, minutes: int, length: str, from_now: str) -> None:
    assert wording.length(language, minutes) == length
    assert wording.from_now(language, minutes) == from_now


@pytest.mark.parametrize(
    ("zone", "starts_at", "ends_at", "english", "russian"),
    [
        (
            "Europe/Moscow",
            "2030-12-02T10:00",
            "2030-12-02T12:30",
            "Monday, 2 December 2030, 10:00–12:30 (Europe/Moscow, UTC+03:00)",
            "понедельник, 2 декабря 2030 г., 10:00–12:30 (Europe/Moscow, UTC+03:00)",
        ),
        (
            "America/St_Johns",  # an offset with minutes, west of Greenwich
            "2031-05-31T23:00",
            "2031-06-01T01:00",
            "Saturday, 31 May 2031, 23:00 – Sunday, 1 June 2031, 01:00 (America/St_Johns, UTC-02:30)",
            "суббота, 31 мая 2031 г., 23:00 – воскресенье, 1 июня 2031 г., 01:00 (America/St_Johns, UTC-02:30)",
        ),
        (
            "Europe/Berlin",  # the clocks go back in between: three hours from one to three
            "2030-10-27T01:00",
            "2030-10-27T03:00",
            "Sunday, 27 October 2030, 01:00 UTC+02:00–03:00 UTC+01:00 (Europe/Berlin)",
            "воскресенье, 27 октября 2030 г., 01:00 UTC+02:00–03:00 UTC+01:00 (Europe/Berlin)",
        ),
        (
            "Asia/Kolkata",
            "2032-02-29T09:30",
            "2032-02-29T10:00",
            "Sunday, 29 February 2032, 09:30–10:00 (Asia/Kolkata, UTC+05:30)",
            "воскресенье, 29 февраля 2032 г., 09:30–10:00 (Asia/Kolkata, UTC+05:30)",
        ),
    ],
)
def test_times_have_their_zone(zone: str, starts_at: str, ends_at: str, english: str, russian: str) -> None:
    given = booking(starts_at, ends_at, zone)
    assert wording.when("en", given, zone) == english
    assert wording.when("ru", given, zone) == russian


def test_short_times_and_moments() -> None:
    given = booking("2030-01-09T08:00", "2030-01-09T09:00")
    assert wording.when_short("en", given, "Europe/Moscow") == "9 January 2030, 08:00 (UTC+03:00)"
    assert wording.when_short("ru", given, "Europe/Moscow") == "9 января 2030 г., 08:00 (UTC+03:00)"
    assert wording.minutes_of(given) == 60
    at_ms = given.start_cell * CELL_SECONDS * 1000 + 15 * 60_000
    assert (
        wording.instant("ru", at_ms, "Asia/Tokyo") == "среда, 9 января 2030 г., 14:15 (Asia/Tokyo, UTC+09:00)"
    )
