"""What a mail about each event says, in both languages; that it is a mail to somebody else's parser, and nothing can be smuggled into it."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.utils import parseaddr

import pytest
from msgspec import structs

from node.couriers import letters
from node.couriers.letters import Letter
from node.couriers.mime import CalendarPart, Sender, html_of, mail_of, plain_of
from node.couriers.wording import Language
from node.ical import uid_of
from statemachine.events import (
    BookingAffected,
    BookingCancelled,
    BookingCheckedIn,
    BookingMoved,
    BookingReleased,
    Event,
    SeatBooked,
    WaiterPromoted,
)
from statemachine.records import CELL_MS, Booking, Expected, Seat, Space
from statemachine.state import State
from tests.node.couriers.mail_server import Received, received

SPACE = Space("hq", "Коворкинг на Мясницкой", "Europe/Moscow", 480, 1320, 60, (Seat("A1", "Стол 1"),), "1.0")
START_CELL = int(datetime(2030, 12, 2, 7, tzinfo=UTC).timestamp()) // 300
START_MS = START_CELL * CELL_MS
BOOKED_MS = START_MS - 86_400_000
BOOKING = Booking("b-1", "hq", "A1", "ann", START_CELL, START_CELL + 24, "confirmed", BOOKED_MS, 0, "70.1")
CANCELLED = structs.replace(BOOKING, status="cancelled", cancelled_at_ms=BOOKED_MS + 1, revision="80.0")
RELEASED = structs.replace(BOOKING, status="released", cancelled_at_ms=BOOKED_MS + 1, revision="81.0")
MOVED = structs.replace(BOOKING, start_cell=START_CELL + 24, end_cell=START_CELL + 36, revision="75.0")
SENDER = Sender(Address("Дески, Инк.", "desk", "example.org"), "demo")
TO = "ann@example.com"


def world(space: Space = SPACE) -> State:
    state = State()
    state.spaces[space.id] = space
    state.bookings[BOOKING.id] = BOOKING
    return state


def told(event: Event, language: Language, state: State | None = None) -> Letter:
    letter = letters.about(event, state or world(), language)
    assert letter is not None
    return letters.with_footer(letter, "demo", "https://desk.example.org")


def mailed(letter: Letter, booking: Booking | None = None, state: State | None = None) -> Received:
    """The mail as another parser reads it."""
    part = None if booking is None else CalendarPart(booking, (state or world()).spaces["hq"], BOOKED_MS)
    data = mail_of(letter, SENDER, TO, "70.1.5", BOOKED_MS, thread="booking.b-1", calendar=part)
    assert all(len(line) <= 998 for line in data.split(b"\r\n")) and data.isascii()
    assert data.replace(b"\r\n", b"").count(b"\n") == data.replace(b"\r\n", b"").count(b"\r") == 0
    return received(SENDER.addr_spec, TO, data)


TABLE_RU = (
    "Место: Коворкинг на Мясницкой, Стол 1\n"
    "Время: понедельник, 2 декабря 2030 г., 10:00–12:00 (Europe/Moscow, UTC+03:00)\n"
    "Длительность: 2 часа\n"
    "Бронь: b-1"
)
TABLE_EN = (
    "Place: Коворкинг на Мясницкой, Стол 1\n"
    "Time: Monday, 2 December 2030, 10:00–12:00 (Europe/Moscow, UTC+03:00)\n"
    "Length: 2 hours\n"
    "Booking: b-1"
)
END_RU = (
    "Ваши брони: https://desk.example.org\n\n-- \n"
    "Отправлено Deskraft (demo) по вашей просьбе. Выбрать, о чём сообщать, или отказаться: deskraft notifications --help\n"
)
END_EN = (
    "Your bookings: https://desk.example.org\n\n-- \n"
    "Sent by Deskraft (demo) as you asked for. To choose what to be told, or nothing: deskraft notifications --help\n"
)
WHAT_RU = "Стол 1, Коворкинг на Мясницкой – 2 декабря 2030 г., 10:00 (UTC+03:00)"
WHAT_EN = "Стол 1, Коворкинг на Мясницкой – 2 December 2030, 10:00 (UTC+03:00)"


@pytest.mark.parametrize(
    ("event", "russian", "english"),
    [
        (
            SeatBooked(BOOKING, 5),
            (f"Забронировано: {WHAT_RU}", "Ваша бронь подтверждена.", TABLE_RU),
            (f"Booked: {WHAT_EN}", "Your booking is confirmed.", TABLE_EN),
        ),
        (
            BookingCancelled(CANCELLED, "ann", 5),
            (f"Отменено: {WHAT_RU}", "Вы отменили бронь.", TABLE_RU),
            (f"Cancelled: {WHAT_EN}", "You have cancelled your booking.", TABLE_EN),
        ),
        (
            BookingCancelled(CANCELLED, "root", 5, "Ремонт\r\nBcc: eve@example.com"),
            (
                f"Отменено: {WHAT_RU}",
                "Администратор отменил вашу бронь.",
                f"{TABLE_RU}\nПричина: Ремонт Bcc: eve@example.com",
            ),
            (
                f"Cancelled: {WHAT_EN}",
                "An administrator has cancelled your booking.",
                f"{TABLE_EN}\nReason: Ремонт Bcc: eve@example.com",
            ),
        ),
        (
            BookingReleased(RELEASED, 5),
            (
                f"Бронь снята: {WHAT_RU}",
                "Никто не отметился вовремя, поэтому место отдано другим. Бронь закончена.",
                TABLE_RU,
            ),
            (
                f"Released: {WHAT_EN}",
                "Nobody checked in in time, so the seat was released. The booking has ended.",
                TABLE_EN,
            ),
        ),
        (
            BookingAffected(BOOKING, "Санитарный день", 5),
            (
                f"Обратите внимание: {WHAT_RU}",
                "В коворкинге изменения: на время вашей брони он закрыт или место не работает.",
                f"{TABLE_RU}\nПричина: Санитарный день",
                "Ваша бронь остаётся в силе. Её можно перенести или отменить.",
            ),
            (
                f"Please look: {WHAT_EN}",
                "The coworking has changed: at the time of your booking it is closed, or the seat is not in service.",
                f"{TABLE_EN}\nReason: Санитарный день",
                "Your booking still stands. You can move or cancel it.",
            ),
        ),
        (
            BookingMoved(BOOKING, MOVED, "root", 5),
            (
                f"Перенесено: {WHAT_RU}",
                "Администратор перенёс вашу бронь.",
                TABLE_RU,
                "Было:\nМесто: Коворкинг на Мясницкой, Стол 1\nВремя: понедельник, 2 декабря 2030 г., 12:00–13:00 (Europe/Moscow, UTC+03:00)",
            ),
            (
                f"Moved: {WHAT_EN}",
                "An administrator has moved your booking.",
                TABLE_EN,
                "Before:\nPlace: Коворкинг на Мясницкой, Стол 1\nTime: Monday, 2 December 2030, 12:00–13:00 (Europe/Moscow, UTC+03:00)",
            ),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_said(event: Event, russian: tuple[str, ...], english: tuple[str, ...]) -> None:
    for language, expected, end in (("ru", russian, END_RU), ("en", english, END_EN)):
        letter = told(event, language)  # type: ignore[arg-type]  # one of the two
        subject, *blocks = expected
        assert letter.subject == subject
        assert plain_of(letter) == "\n\n".join([*blocks, end])
        mail = mailed(letter)
        assert mail.message["Subject"] == subject
        assert mail.body("plain") == "\n\n".join([*blocks, end])
        told_again = mail.body("html")
        for fact in letter.facts:
            assert f">{fact.value}</td>" in told_again
        assert (
            f'<html lang="{language}">' in told_again and '<a href="https://desk.example.org">' in told_again
        )


def test_own_moves_and_promotions_say_so() -> None:
    own = BookingMoved(BOOKING, MOVED, "ann", 5)
    assert [told(own, each).opening for each in ("ru", "en")] == [
        "Вы перенесли бронь.",
        "You have moved your booking.",
    ]
    promoted = WaiterPromoted(None, BOOKING, 5)  # type: ignore[arg-type]  # what was waited for is not told
    assert told(promoted, "en").subject == f"You have the place: {WHAT_EN}"
    assert told(promoted, "ru").opening == "Место, которого вы ждали, освободилось и забронировано за вами."


def test_other_events_are_no_mails() -> None:
    assert letters.about(BookingCheckedIn(BOOKING, "ann", 5), world(), "en") is None


def test_reminders_count_the_minutes_and_say_until_when_to_check_in() -> None:
    state = world()
    for before_minutes, english, russian in (
        (60, "in 1 hour", "через 1 час"),
        (21, "in 21 minutes", "через 21 минуту"),
        (24 * 60, "in 1 day", "через 1 день"),
    ):
        now_ms = START_MS - before_minutes * 60_000
        for language, said in (
            ("en", f"Your booking begins {english}."),
            ("ru", f"Ваша бронь начнётся {russian}."),
        ):
            letter = letters.reminding(BOOKING, state, language, now_ms)  # type: ignore[arg-type]  # one of the two
            assert letter is not None and letter.opening == said and not letter.remarks
    state.expected[BOOKING.id] = Expected(BOOKING.id, START_MS + 20 * 60_000)
    letter = letters.reminding(BOOKING, state, "en", START_MS + 1)
    assert letter is not None and letter.opening == "Your booking has begun."
    assert letter.remarks == (
        "Please check in between Monday, 2 December 2030, 09:45 (Europe/Moscow, UTC+03:00) "
        "and Monday, 2 December 2030, 10:20 (Europe/Moscow, UTC+03:00); otherwise the seat is given to others.",
    )


def test_nobody_is_reminded_of_what_is_no_more() -> None:
    state = world()
    assert letters.reminding(BOOKING, state, "en", BOOKING.end_cell * CELL_MS) is None
    for other in (CANCELLED, structs.replace(BOOKING, revision="90.0")):
        state.bookings[BOOKING.id] = other
        assert letters.reminding(BOOKING, state, "en", BOOKED_MS) is None
    del state.bookings[BOOKING.id]
    assert letters.reminding(BOOKING, state, "en", BOOKED_MS) is None


def test_the_mail_with_the_code_has_nothing_that_its_sender_chose() -> None:
    letter = letters.with_footer(letters.with_code("en", "7K2M9-QX4TD"), "demo", "https://desk.example.org")
    assert plain_of(letter) == (
        "This address was entered for messages from Deskraft. The code that confirms it:\n\n    7K2M9-QX4TD\n\n"
        "Enter it in the settings of your messages, or run: deskraft notifications confirm 7K2M9-QX4TD\n\n"
        "If that was not you, do nothing: without the code nothing more will be sent here.\n"
    )
    assert "<strong>7K2M9-QX4TD</strong>" in html_of(letter)
    assert letters.with_code("ru", "7K2M9-QX4TD").subject == "Код для вашего адреса: 7K2M9-QX4TD"
    assert not mailed(letter).has_event


def test_headers_of_a_notification() -> None:
    mail = mailed(told(SeatBooked(BOOKING, 5), "ru"), BOOKING)
    message = mail.message
    assert str(message["From"]) == '"Дески, Инк." <desk@example.org>' and message["To"] == TO
    assert message["Message-ID"] == "<70.1.5.demo.deskraft@example.org>"
    assert message["References"] == "<booking.b-1.demo.deskraft@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime == datetime.fromtimestamp(BOOKED_MS // 1000, UTC)
    assert message["Content-Language"] == "ru"
    kinds = [part.get_content_type() for part in message.walk()]
    assert kinds == [
        "multipart/mixed", "multipart/alternative", "text/plain", "text/html", "text/calendar", "application/ics",
    ]  # fmt: skip


def test_what_calendars_get() -> None:
    request = mailed(told(SeatBooked(BOOKING, 5), "ru"), BOOKING).event
    assert (request["METHOD"], request["STATUS"]) == ("REQUEST", "CONFIRMED")
    assert request["UID"] == uid_of("b-1", "demo")
    assert (request["DTSTART"].dt, request["DTEND"].dt) == (
        datetime(2030, 12, 2, 7, tzinfo=UTC),
        datetime(2030, 12, 2, 9, tzinfo=UTC),
    )
    assert request["SUMMARY"] == "Стол 1 – Коворкинг на Мясницкой"
    assert (
        request["ORGANIZER"] == "mailto:desk@example.org"
        and request["ORGANIZER"].params["CN"] == "Дески, Инк."
    )
    assert request["ATTENDEE"] == "mailto:ann@example.com"
    assert (request["ATTENDEE"].params["PARTSTAT"], request["ATTENDEE"].params["RSVP"]) == (
        "ACCEPTED",
        "FALSE",
    )
    for gone, event in (
        (CANCELLED, BookingCancelled(CANCELLED, "ann", 6)),
        (RELEASED, BookingReleased(RELEASED, 6)),
    ):
        cancel = mailed(told(event, "ru"), gone).event
        assert (cancel["METHOD"], cancel["STATUS"]) == ("CANCEL", "CANCELLED")
        assert cancel["UID"] == request["UID"] and cancel["ORGANIZER"] == request["ORGANIZER"]
        assert cancel["SEQUENCE"] > request["SEQUENCE"]


NASTY = "aЖ漢😀,;:\\\"'<>&=?_{}%\r\n\t\0\x7f\u2028\u202e @"


def test_no_name_can_do_more_than_be_a_name() -> None:
    """Whatever spaces, seats and reasons are called: the mail has the same headers and parts, and reads back as one line each."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    usual = [name for name, _ in mailed(told(SeatBooked(BOOKING, 5), "en"), BOOKING).message.items()]
    for _ in range(150):
        name, label, reason = (
            "".join(chance.choice(NASTY) for _ in range(chance.randrange(1, 130))) for _ in range(3)
        )
        state = world(structs.replace(SPACE, name=name, seats=(Seat("A1", label),)))
        letter = told(BookingCancelled(CANCELLED, "root", 5, reason), "en", state)
        clean = [letter.subject, *(fact.value for fact in letter.facts)]
        assert all(each.isprintable() for each in clean), clean
        mail = mailed(letter, CANCELLED, state)
        assert [each for each, _ in mail.message.items()] == usual
        assert mail.message["Subject"] == letter.subject
        assert letter.facts[0].value in mail.body("plain")
        html = mail.body("html")
        assert html.count("<td>") == len(letter.facts) and "<script" not in html
        assert mail.event["STATUS"] == "CANCELLED"


@pytest.mark.parametrize(
    "address", ["ann@example.com\r\nBcc: eve@example.com", "a@b\n", "ann", "a b@example.com"]
)
def test_an_address_with_a_line_break_is_no_mail(address: str) -> None:
    with pytest.raises(ValueError):
        mail_of(letters.with_code("en", "x"), SENDER, address, "1.0.0", 0)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Desk",
        'Desk "on", Ltd. <x@y>',
        "Д" * 90,
        "Коворкинг на Мясницкой, 20 «у (трёх) дубов» <eve@example.com>; и ещё слова",
        "=?utf-8?q?x?=",
    ],
)
def test_a_sender_is_called_what_the_operator_says(name: str) -> None:
    sender = replace(SENDER, address=Address(name, "desk", "example.org"))
    data = mail_of(letters.with_code("ru", "x"), sender, TO, "1.0.0", 0)
    # The newer parser of the library puts spaces between the encoded words of a phrase (CPython issue 92081); the older one does not.
    phrase, address = parseaddr(message_from_bytes(data)["From"])
    assert (str(make_header(decode_header(phrase))), address) == (name, "desk@example.org")
    (parsed,) = received("", TO, data).message["From"].addresses
    assert parsed.addr_spec == "desk@example.org"


def test_a_sender_with_a_line_break_is_none() -> None:
    with pytest.raises(ValueError):
        replace(SENDER, address=Address("Desk\r\nBcc: eve@example.com", "desk", "example.org"))
