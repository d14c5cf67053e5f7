"""A user's bookings as an iCalendar object: RFC 5545, with the properties of RFC 7986 that make it a feed.

How one booking is written, and what readers rely on there, is in `node.ical`. What they rely on besides:
- A booking that was cancelled, or released because nobody came, stays for CANCELLED_DAYS with `STATUS:CANCELLED`; a reader that
  only merges, and never deletes what a feed no longer names, would otherwise keep it for ever.
- The same bookings give the same bytes: `DTSTAMP` is the time of the last change and not of the reading.

Bounded: MAX_EVENTS, of the newest MAX_SCANNED bookings, of which what is over is kept for PAST_DAYS.
"""

from __future__ import annotations

from node.ical import content, event_lines, text
from statemachine.records import CELL_MS, Booking
from statemachine.state import State

PAST_DAYS = 90
CANCELLED_DAYS = 30
MAX_EVENTS = 1_000
MAX_SCANNED = 5_000
REFRESH = "PT1H"
_DAY_MS = 24 * 3600 * 1000


def calendar_of(state: State, user_id: str, cluster: str, now_ms: int) -> bytes:
    """The feed of a user."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        f"PRODID:-//Deskraft//{text(cluster)}//EN",
        "CALSCALE:GREGORIAN",
        "METHOD:PUBLISH",
        f"NAME:Deskraft {text(cluster)}",
        f"X-WR-CALNAME:Deskraft {text(cluster)}",  # readers older than RFC 7986
        f"REFRESH-INTERVAL;VALUE=DURATION:{REFRESH}",
        f"X-PUBLISHED-TTL:{REFRESH}",
    ]
    for booking in _shown(state, user_id, now_ms):
        space = state.spaces.get(booking.space_id)
        lines += event_lines(booking, space, cluster, _changed_ms(state, booking))
    lines.append("END:VCALENDAR")
    return content(lines)


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


def _changed_ms(state: State, booking: Booking) -> int:
    steps = state.steps_by_booking.get(booking.id)
    return steps[-1].at_ms if steps else booking.cancelled_at_ms or booking.created_at_ms
