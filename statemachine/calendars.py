"""The rules of calendar feeds: one for each user at most, taken away or replaced at once and everywhere."""

from __future__ import annotations

from statemachine.commands import Envelope
from statemachine.feeds import CalendarClosed, CalendarFeed, CalendarOpened, CloseCalendar, OpenCalendar
from statemachine.limits import MAX_CALENDARS, MAX_ID_CHARS
from statemachine.outcomes import Outcome
from statemachine.tables import Entry, Tables

SECRET_HASH_BYTES = 32


def open_calendar(tables: Tables, entry: Entry, envelope: Envelope, command: OpenCalendar) -> Outcome:
    """A feed for the session's user, instead of the one there was."""
    user_id = tables.sessions[envelope.session_id].user_id
    if not 0 < len(command.feed_id) <= MAX_ID_CHARS or len(command.secret_hash) != SECRET_HASH_BYTES:
        return entry.refuse("malformed")
    if command.secret_hash in tables.calendars_by_hash:
        return entry.refuse("duplicate-id")
    if user_id not in tables.calendars and len(tables.calendars) >= MAX_CALENDARS:
        return entry.refuse("too-many-calendars")
    feed = CalendarFeed(user_id, command.feed_id, command.secret_hash, entry.now_ms, entry.revision)
    tables.drop_calendar(user_id)
    tables.add_calendar(feed)
    position = entry.record(CalendarOpened(user_id, entry.now_ms))
    return Outcome("ok", entry.index, position, feed)


def close_calendar(tables: Tables, entry: Entry, envelope: Envelope, _command: CloseCalendar) -> Outcome:
    """No feed for the session's user any more."""
    user_id = tables.sessions[envelope.session_id].user_id
    if not tables.drop_calendar(user_id):
        return Outcome("ok", entry.index, len(entry.events))
    return Outcome("ok", entry.index, entry.record(CalendarClosed(user_id, entry.now_ms)))
