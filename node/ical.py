"""iCalendar (RFC 5545) as Deskraft writes it: a booking as a `VEVENT`, for the calendar feeds and for mails alike.

Why here: a program that has a booking from a mail and from a feed must see one event. So both take its name and number from here.

What readers rely on.
- `UID` is the booking's id and the cluster's name: the same for as long as the booking exists, moved or cancelled.
- `SEQUENCE` is the log index of the booking's revision: it grows with every change. RFC 5545 gives it 31 bits.
- Times are UTC, so no `VTIMEZONE` has to be right.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from statemachine.records import CELL_MS, Booking, Space

MAX_SEQUENCE = 2**31 - 1
MAX_LINE_OCTETS = 75  # without the line break (RFC 5545, 3.1)


def event_lines(
    booking: Booking, space: Space | None, cluster: str, changed_ms: int, extra: Iterable[str] = ()
) -> list[str]:
    """The `VEVENT` of a booking whose last change was at `changed_ms`, not folded; `extra` are properties besides."""
    place = text(space.name if space else booking.space_id)
    label = text(label_of(space, booking.seat_id))
    cancelled = booking.status != "confirmed"  # by somebody, or released because nobody came
    return [
        "BEGIN:VEVENT",
        f"UID:{uid_of(booking.id, cluster)}",
        f"DTSTAMP:{instant(changed_ms)}",
        f"LAST-MODIFIED:{instant(changed_ms)}",
        f"CREATED:{instant(booking.created_at_ms)}",
        f"SEQUENCE:{sequence_of(booking.revision)}",
        f"DTSTART:{instant(booking.start_cell * CELL_MS)}",
        f"DTEND:{instant(booking.end_cell * CELL_MS)}",
        f"SUMMARY:{label} – {place}",
        f"LOCATION:{place}\\, {label}",
        f"STATUS:{'CANCELLED' if cancelled else 'CONFIRMED'}",
        f"TRANSP:{'TRANSPARENT' if cancelled else 'OPAQUE'}",
        *extra,
        "END:VEVENT",
    ]


def uid_of(booking_id: str, cluster: str) -> str:
    """The name of a booking in calendars."""
    return f"{text(booking_id)}@{text(cluster)}.deskraft"


def sequence_of(revision: str) -> int:
    """A number that grows with the revisions of one booking."""
    return min(int(revision.partition(".")[0]), MAX_SEQUENCE)


def label_of(space: Space | None, seat_id: str) -> str:
    """What people read on a seat."""
    for seat in space.seats if space else ():
        if seat.id == seat_id:
            return seat.label
    return seat_id


def instant(instant_ms: int) -> str:
    """A DATE-TIME in UTC (RFC 5545, 3.3.5)."""
    return datetime.fromtimestamp(instant_ms // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")


def text(value: str) -> str:
    """A TEXT value (RFC 5545, 3.3.11). Other control characters may not stand in one and are left out."""
    escaped = value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    escaped = escaped.replace("\r\n", "\\n").replace("\n", "\\n")
    return "".join(each for each in escaped if each >= " " and each != "\x7f")


def parameter(value: str) -> str:
    """A quoted parameter value (RFC 5545, 3.2); what may not stand in one is written by RFC 6868 or left out."""
    escaped = value.replace("^", "^^").replace('"', "^'").replace("\r\n", "^n").replace("\n", "^n")
    return '"' + "".join(each for each in escaped if each >= " " and each != "\x7f") + '"'


def content(lines: Iterable[str]) -> bytes:
    """The object that these content lines are."""
    return b"".join(folded(line) for line in lines)


def folded(line: str) -> bytes:
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
