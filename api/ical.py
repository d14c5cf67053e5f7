"""A user's bookings as an iCalendar object: RFC 5545, with the properties of RFC 7986 that make it a feed.

What readers rely on.
- `UID` is the booking's id and the cluster's name: the same for as long as the booking exists, moved or cancelled.
- `SEQUENCE` is the log index of the booking's revision: it grows with every change. RFC 5545 gives it 31 bits.
- A booking that was cancelled, or released because nobody came, stays for CANCELLED_DAYS with `STATUS:CANCELLED`; a reader that
  only merges, and never deletes what a feed no longer names, would otherwise keep it for ever.
- Times are UTC, so no `VTIMEZONE` has to be right.
- The same bookings give the same bytes: `DTSTAMP` is the time of the last change and not of the reading.

Bounded: MAX_EVENTS, of the newest MAX_SCANNED bookings, of which what is over is kept for PAST_DAYS.
"""

from __future__ import annotations

from datetime import UTC, datetime

from statemachine.records import CELL_MS, Booking, Space
from statemachine.state import State

PAST_DAYS = 90
CANCELLED_DAYS = 30
MAX_EVENTS = 1_000
MAX_SCANNED = 5_000
MAX_SEQUENCE = 2**31 - 1
MAX_LINE_OCTETS = 75  # without the line break (RFC 5545, 3.1)
REFRESH = "PT1H"
_DAY_MS = 24 * 3600 * 1000


def calendar_of(state: State, user_id: str, cluster: str, now_ms: int) -> bytes:
    """The feed of a user."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        f"PRODID:-//Deskraft//{_text(cluster)}//EN",
        "CALSCALE:GREGORIAN",
        "METHOD:PUBLISH",
        f"NAME:Deskraft {_text(cluster)}",
        f"X-WR-CALNAME:Deskraft {_text(cluster)}",  # readers older than RFC 7986
        f"REFRESH-INTERVAL;VALUE=DURATION:{REFRESH}",
        f"X-PUBLISHED-TTL:{REFRESH}",
    ]
    for booking in _shown(state, user_id, now_ms):
        lines += _event(state, booking, cluster)
    lines.append("END:VCALENDAR")
    return b"".join(_folded(line) for line in lines)


def _shown(state: State, user_id: str, now_ms: int) -> list[Booking]:
    """Oldest first."""
    shown = []
    ids = state.user_bookings(user_id)
    for number in range(len(ids) - 1, max(-1, len(ids) - 1 - MAX_SCANNED), -1):
        booking = state.bookings[ids[number]]
        if booking.end_cell * CELL_MS < now_ms - PAST_DAYS * _DAY_MS:
            continue
        given_up = booking.status != "confirmed"  # by somebody, or released because nobody came
        if given_up and _changed_ms(state, booking) < now_ms - CANCELLED_DAYS * _DAY_MS:
            continue
        shown.append(booking)
        if len(shown) >= MAX_EVENTS:
            break
    return shown[::-1]


def _event(state: State, booking: Booking, cluster: str) -> list[str]:
    space = state.spaces.get(booking.space_id)
    place = space.name if space else booking.space_id
    label = _label(space, booking.seat_id)
    changed_ms = _changed_ms(state, booking)
    cancelled = booking.status != "confirmed"
    return [
        "BEGIN:VEVENT",
        f"UID:{_text(booking.id)}@{_text(cluster)}.deskraft",
        f"DTSTAMP:{_instant(changed_ms)}",
        f"LAST-MODIFIED:{_instant(changed_ms)}",
        f"CREATED:{_instant(booking.created_at_ms)}",
        f"SEQUENCE:{sequence_of(booking.revision)}",
        f"DTSTART:{_instant(booking.start_cell * CELL_MS)}",
        f"DTEND:{_instant(booking.end_cell * CELL_MS)}",
        f"SUMMARY:{_text(label)} – {_text(place)}",
        f"LOCATION:{_text(place)}\\, {_text(label)}",
        f"STATUS:{'CANCELLED' if cancelled else 'CONFIRMED'}",
        f"TRANSP:{'TRANSPARENT' if cancelled else 'OPAQUE'}",
        "END:VEVENT",
    ]


def _changed_ms(state: State, booking: Booking) -> int:
    steps = state.steps_by_booking.get(booking.id)
    return steps[-1].at_ms if steps else booking.cancelled_at_ms or booking.created_at_ms


def sequence_of(revision: str) -> int:
    """A number that grows with the revisions of one booking."""
    return min(int(revision.partition(".")[0]), MAX_SEQUENCE)


def _label(space: Space | None, seat_id: str) -> str:
    for seat in space.seats if space else ():
        if seat.id == seat_id:
            return seat.label
    return seat_id


def _instant(instant_ms: int) -> str:
    return datetime.fromtimestamp(instant_ms // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")


def _text(value: str) -> str:
    """A TEXT value (RFC 5545, 3.3.11). Other control characters may not stand in one and are left out."""
    escaped = value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    escaped = escaped.replace("\r\n", "\\n").replace("\n", "\\n")
    return "".join(each for each in escaped if each >= " " and each != "\x7f")


def _folded(line: str) -> bytes:
    """One content line with its break; cut between characters where it is too long."""
    pieces: list[bytes] = []
    piece = b""
    for each in line:
        octets = each.encode()
        if len(piece) + len(octets) > MAX_LINE_OCTETS:
            pieces.append(piece)
            piece = b" "
        piece += octets
    pieces.append(piece)
    return b"\r\n".join(pieces) + b"\r\n"
