"""What a user is told about an event: a subject, some sentences and some facts, in their language. Pure: no mail, no SMTP.

A letter is a list of parts and not a text, so that the plain and the HTML form (`mime.py`) say the same.

Invariants.
- A letter about a booking tells of the booking as the event left it. Only the names of the space and the seat are of today.
- What goes to an address that is not confirmed holds nothing that whoever entered the address has chosen, but for its language: otherwise
  anybody could have their own words mailed to anybody.
- Nothing here has a line break or another control character in it: names come from people, and end up in headers.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from typing import NamedTuple

from node.couriers import wording
from node.couriers.wording import Language
from node.ical import label_of
from statemachine.checkin import EARLY_MS
from statemachine.events import (
    BookingAffected,
    BookingCancelled,
    BookingMoved,
    BookingReleased,
    Event,
    SeatBooked,
    WaiterPromoted,
)
from statemachine.records import CELL_MS, Booking
from statemachine.state import State

_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))  # general categories of Unicode
MAX_SUBJECT_NAME_CHARACTERS = 60  # of a seat or a space; what is longer is cut


class Fact(NamedTuple):
    """One line of a letter's table."""

    name: str
    value: str


@dataclass(frozen=True)
class Letter:
    """What a mail says. `struck` are facts that hold no more, such as the place before a move."""

    language: Language
    subject: str
    opening: str
    facts: tuple[Fact, ...] = ()
    struck: tuple[Fact, ...] = ()
    remarks: tuple[str, ...] = ()
    code: str = ""
    page: Fact | None = None  # what the page is called, and where it is
    footer: str = ""

    @property
    def before(self) -> str:
        """The heading over what is struck."""
        return _WORDS[self.language].before


class _Words(NamedTuple):
    place: str
    time: str
    length: str
    reason: str
    number: str
    before: str
    confirmed: tuple[str, str]  # subject, opening
    promoted: tuple[str, str]
    moved: tuple[str, str]
    moved_for_you: str
    cancelled: tuple[str, str]
    cancelled_for_you: str
    released: tuple[str, str]
    affected: tuple[str, str]
    still_valid: str
    reminder: tuple[str, str]
    begun: str
    check_in: str
    code: tuple[str, str]
    code_how: str
    code_ignore: str
    footer: str
    page: str


_WORDS: dict[Language, _Words] = {
    "en": _Words(
        place="Place",
        time="Time",
        length="Length",
        reason="Reason",
        number="Booking",
        before="Before",
        confirmed=("Booked: {what}", "Your booking is confirmed."),
        promoted=("You have the place: {what}", "The place that you waited for is yours: it is booked for you."),
        moved=("Moved: {what}", "You have moved your booking."),
        moved_for_you="An administrator has moved your booking.",
        cancelled=("Cancelled: {what}", "You have cancelled your booking."),
        cancelled_for_you="An administrator has cancelled your booking.",
        released=("Released: {what}", "Nobody checked in in time, so the seat was released. The booking has ended."),
        affected=("Please look: {what}", "The coworking has changed: at the time of your booking it is closed, or the seat is not in service."),
        still_valid="Your booking still stands. You can move or cancel it.",
        reminder=("Soon: {what}", "Your booking begins {in_time}."),
        begun="Your booking has begun.",
        check_in="Please check in between {first} and {last}; otherwise the seat is given to others.",
        code=("Code for your address: {code}", "This address was entered for messages from Deskraft. The code that confirms it:"),
        code_how="Enter it in the settings of your messages, or run: deskraft notifications confirm {code}",
        code_ignore="If that was not you, do nothing: without the code nothing more will be sent here.",
        footer="Sent by Deskraft ({cluster}) as you asked for. To choose what to be told, or nothing: deskraft notifications --help",
        page="Your bookings",
    ),
    "ru": _Words(
        place="Место",
        time="Время",
        length="Длительность",
        reason="Причина",
        number="Бронь",
        before="Было",
        confirmed=("Забронировано: {what}", "Ваша бронь подтверждена."),
        promoted=("Место ваше: {what}", "Место, которого вы ждали, освободилось и забронировано за вами."),
        moved=("Перенесено: {what}", "Вы перенесли бронь."),
        moved_for_you="Администратор перенёс вашу бронь.",
        cancelled=("Отменено: {what}", "Вы отменили бронь."),
        cancelled_for_you="Администратор отменил вашу бронь.",
        released=("Бронь снята: {what}", "Никто не отметился вовремя, поэтому место отдано другим. Бронь закончена."),
        affected=("Обратите внимание: {what}", "В коворкинге изменения: на время вашей брони он закрыт или место не работает."),
        still_valid="Ваша бронь остаётся в силе. Её можно перенести или отменить.",
        reminder=("Скоро: {what}", "Ваша бронь начнётся {in_time}."),
        begun="Ваша бронь началась.",
        check_in="Отметьтесь в коворкинге — не раньше {first} и не позже {last}, — иначе место отдадут другим.",
        code=("Код для вашего адреса: {code}", "Этот адрес указан для сообщений Deskraft. Код, который его подтверждает:"),
        code_how="Введите его в настройках сообщений или выполните команду: deskraft notifications confirm {code}",
        code_ignore="Если это были не вы, ничего не делайте: без кода сюда больше ничего не придёт.",
        footer="Отправлено Deskraft ({cluster}) по вашей просьбе. Выбрать, о чём сообщать, или отказаться: deskraft notifications --help",
        page="Ваши брони",
    ),
}  # fmt: skip


def about(event: Event, state: State, language: Language) -> Letter | None:
    """The letter to the user of the booking that an event is about; None for one that nobody is told of."""
    words = _WORDS[language]
    match event:
        case SeatBooked(booking=booking):
            return _letter(state, language, booking, *words.confirmed)
        case WaiterPromoted(booking=booking):
            return _letter(state, language, booking, *words.promoted)
        case BookingMoved(booking=booking, before=before, by_user_id=by):
            opening = words.moved[1] if by == booking.user_id else words.moved_for_you
            struck = _facts(state, language, before)[:2]
            return _letter(state, language, booking, words.moved[0], opening, struck=struck)
        case BookingCancelled(booking=booking, by_user_id=by, reason=reason):
            opening = words.cancelled[1] if by == booking.user_id else words.cancelled_for_you
            return _letter(state, language, booking, words.cancelled[0], opening, reason=reason)
        case BookingReleased(booking=booking):
            return _letter(state, language, booking, *words.released)
        case BookingAffected(booking=booking, reason=reason):
            return _letter(
                state, language, booking, *words.affected, reason=reason, remarks=(words.still_valid,)
            )
        case _:
            return None


def with_code(language: Language, code: str) -> Letter:
    """The letter that an address is confirmed by."""
    words = _WORDS[language]
    subject, opening = words.code
    remarks = (words.code_how.format(code=code), words.code_ignore)
    return Letter(language, subject.format(code=code), opening, remarks=remarks, code=code)


def reminding(booking: Booking, state: State, language: Language, now_ms: int) -> Letter | None:
    """The letter before the start; None when it is too late for one, or the booking has been changed since."""
    current = state.bookings.get(booking.id)
    start_ms = booking.start_cell * CELL_MS
    if current is None or current.revision != booking.revision or now_ms >= booking.end_cell * CELL_MS:
        return None
    words = _WORDS[language]
    subject, opening = words.reminder
    minutes = -(-(start_ms - now_ms) // 60_000)
    opening = opening.format(in_time=wording.from_now(language, minutes)) if minutes > 0 else words.begun
    remarks: tuple[str, ...] = ()
    due = state.expected.get(booking.id)
    if due is not None:
        zone = _zone_of(state, booking)
        first = wording.instant(language, start_ms - EARLY_MS, zone)
        remarks = (words.check_in.format(first=first, last=wording.instant(language, due.due_ms, zone)),)
    return _letter(state, language, booking, subject, opening, remarks=remarks)


def with_footer(letter: Letter, cluster: str, page_url: str) -> Letter:
    """The letter with the lines at its end."""
    words = _WORDS[letter.language]
    if letter.code:
        return letter  # its reader has asked for nothing yet
    page = Fact(words.page, page_url) if page_url else None
    return replace(letter, page=page, footer=words.footer.format(cluster=cluster))


def _letter(
    state: State,
    language: Language,
    booking: Booking,
    subject: str,
    opening: str,
    *,
    reason: str = "",
    struck: tuple[Fact, ...] = (),
    remarks: tuple[str, ...] = (),
) -> Letter:
    space = state.spaces.get(booking.space_id)
    label, place = label_of(space, booking.seat_id), space.name if space else booking.space_id
    at = wording.when_short(language, booking, _zone_of(state, booking))
    what = f"{_shortened(label)}, {_shortened(place)} – {at}"
    facts = _facts(state, language, booking)
    if reason:
        facts = (*facts, Fact(_WORDS[language].reason, _plain(reason)))
    # The subject's own braces are filled in once: what a name has in it is text.
    return Letter(language, subject.format(what=what), opening, facts, struck, remarks)


def _facts(state: State, language: Language, booking: Booking) -> tuple[Fact, ...]:
    """Place and time first."""
    words, space = _WORDS[language], state.spaces.get(booking.space_id)
    place = _plain(space.name if space else booking.space_id)
    return (
        Fact(words.place, f"{place}, {_plain(label_of(space, booking.seat_id))}"),
        Fact(words.time, wording.when(language, booking, _zone_of(state, booking))),
        Fact(words.length, wording.length(language, wording.minutes_of(booking))),
        Fact(words.number, _plain(booking.id)),
    )


def _zone_of(state: State, booking: Booking) -> str:
    space = state.spaces.get(booking.space_id)
    return space.timezone if space else "UTC"


def _shortened(name: str) -> str:
    name = _plain(name)
    return name if len(name) <= MAX_SUBJECT_NAME_CHARACTERS else name[: MAX_SUBJECT_NAME_CHARACTERS - 1] + "…"


def _plain(text: str) -> str:
    """One line without control and formatting characters, among them those that turn the direction of the text."""
    kept = "".join(each if unicodedata.category(each) not in _UNSEEN else " " for each in text)
    return " ".join(kept.split())
