"""How the rows of a snapshot enter empty tables: through the methods that the rules use, each row checked for what the rules
promise (no key twice, no overlap, no row without its owner). Whatever is wrong raises SnapshotError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from statemachine.audit import AuditRecord
from statemachine.events import Event
from statemachine.feed import FeedRow
from statemachine.feeds import CalendarFeed
from statemachine.notices import Notifications, Reminder
from statemachine.outcomes import Outcome, Remembered
from statemachine.premises import SeatDetails, SpaceRules
from statemachine.records import (
    ERASED,
    Booking,
    CheckInRule,
    Expected,
    Failures,
    Series,
    Session,
    Space,
    Standing,
    Step,
    User,
)
from statemachine.sinks import DeadLetter, Held, Sink
from statemachine.snapshot_frames import SnapshotError, require
from statemachine.snapshot_rows import (
    AuditRows,
    BookingRows,
    CalendarRows,
    CheckInRuleRows,
    DeadLetterRows,
    ExpectedRows,
    FailureRows,
    FeedRows,
    HeldRows,
    NotificationsRows,
    OutcomeRows,
    ReminderRows,
    Rows,
    SeatDetailsRows,
    SeriesRows,
    SessionRows,
    SinkRows,
    SpaceRows,
    SpaceRulesRows,
    StandingRows,
    StepRows,
    UserRows,
    WaiterRows,
)
from statemachine.tables import Tables, key_name
from statemachine.waiters import Waiter


def _load_spaces(tables: Tables, rows: list[Space]) -> None:
    for space in rows:
        require(space.id not in tables.spaces, "a space twice")
        tables.put_space(space)


def _load_space_rules(tables: Tables, rows: list[SpaceRules]) -> None:
    for rules in rows:
        require(rules.space_id not in tables.space_rules, "rules of a space twice")
        require(rules.space_id in tables.spaces, "rules of no space")
        tables.put_space_rules(rules)


def _load_seat_details(tables: Tables, rows: list[SeatDetails]) -> None:
    for details in rows:
        require(tables.details_of(details.space_id, details.seat_id) is None, "details of a seat twice")
        space = tables.spaces.get(details.space_id)
        if space is None:
            raise SnapshotError("snapshot: details of no space")
        listed = any(seat.id == details.seat_id for seat in space.seats)
        require(listed != details.retired, "details of no seat")
        tables.put_seat_details(details)


def _load_users(tables: Tables, rows: list[User]) -> None:
    for user in rows:
        require(user.id not in tables.users and user.login_key not in tables.users_by_login, "a user twice")
        require(bool(user.login_key) == bool(user.password_hash), "a user who is half erased")
        tables.put_user(user)


def _load_sessions(tables: Tables, rows: list[Session]) -> None:
    for session in rows:
        require(session.id not in tables.sessions, "a session twice")
        require(session.user_id in tables.users, "a session of nobody")
        tables.add_session(session)


def _load_bookings(tables: Tables, rows: list[Booking]) -> None:
    for booking in rows:
        start, end = booking.start_cell, booking.end_cell
        days = tables.occupancy.seat(booking.space_id, booking.seat_id)
        if days is None:
            raise SnapshotError("snapshot: a booking of no seat")
        require(booking.id not in tables.bookings, "a booking twice")
        require(booking.user_id in tables.users or booking.user_id == ERASED, "a booking of nobody")
        require(0 <= start < end, "a booking of no time")
        if booking.status == "confirmed":
            require(tables.occupancy.claim(days, start, end), "two bookings of one seat and time")
        tables.add_booking(booking)


def _load_outcomes(tables: Tables, rows: list[Remembered]) -> None:
    for remembered in rows:
        name = key_name(remembered.scope, remembered.key)
        require(name not in tables.outcomes, "an idempotency key twice")
        tables.remember(name, _sharing(tables, remembered))


def _load_audit(tables: Tables, rows: list[AuditRecord]) -> None:
    for record in rows:
        require(not len(tables.audit) or record.number == tables.audit_count + 1, "an audit with gaps")
        tables.add_audit(record)


def _load_standings(tables: Tables, rows: list[Standing]) -> None:
    for standing in rows:
        require(standing.user_id not in tables.standings, "a standing twice")
        require(standing.user_id in tables.users, "a standing of nobody")
        tables.put_standing(standing)


def _load_failures(tables: Tables, rows: list[Failures]) -> None:
    for failures in rows:
        require(failures.key not in tables.failures, "a throttle key twice")
        tables.put_failures(failures)


def find_erasing(tables: Tables) -> None:
    """Who is being erased follows from who is erased and has bookings; the order is that of the erasures."""
    erased = [user for user_id in tables.bookings_by_user if not (user := tables.users[user_id]).login_key]
    for user in sorted(erased, key=lambda user: [int(part) for part in user.revision.split(".")]):
        tables.erasing[user.id] = None


def _sharing(tables: Tables, remembered: Remembered) -> Remembered:
    """The same, with the booking of the tables in it when that is the one it answered: a record is kept once, as it
    is in a state that applied the log. It spares a third of the memory of a restored state.
    """
    outcome = remembered.outcome
    booking = outcome.result
    if not isinstance(booking, Booking) or (known := tables.bookings.get(booking.id)) != booking:
        return remembered
    shared = Outcome(outcome.code, outcome.index, outcome.position, known, outcome.alternatives)
    terms = (remembered.scope, remembered.key, remembered.fingerprint, remembered.lasting)
    return Remembered(*terms, remembered.expires_at_ms, shared)


def _load_steps(tables: Tables, rows: list[Step]) -> None:
    for step in rows:
        require(step.booking_id in tables.bookings, "the history of no booking")
        tables.add_step(step)


def _load_series(tables: Tables, rows: list[Series]) -> None:
    for series in rows:
        require(series.id not in tables.series, "a series twice")
        require(all(each in tables.bookings for each in series.booking_ids), "a series of no bookings")
        tables.add_series(series)


def _load_waiters(tables: Tables, rows: list[Waiter]) -> None:
    for waiter in rows:
        require(waiter.id not in tables.waiters, "somebody waits twice")
        require(waiter.user_id in tables.users, "nobody waits")
        tables.put_waiter(waiter)


def _load_check_in_rules(tables: Tables, rows: list[CheckInRule]) -> None:
    for rule in rows:
        require(
            rule.space_id in tables.spaces and rule.space_id not in tables.check_in_rules,
            "a rule of no space",
        )
        tables.put_check_in_rule(rule)


def _load_expected(tables: Tables, rows: list[Expected]) -> None:
    for expected in rows:
        booking = tables.bookings.get(expected.booking_id)
        if booking is None or booking.status != "confirmed" or booking.id in tables.expected:
            raise SnapshotError("snapshot: nobody can be expected")
        tables.put_expected(expected)


def _load_calendars(tables: Tables, rows: list[CalendarFeed]) -> None:
    for feed in rows:
        require(feed.user_id not in tables.calendars, "two calendar feeds of one user")
        require(feed.secret_hash not in tables.calendars_by_hash, "one address of two calendar feeds")
        require(feed.user_id in tables.users, "a calendar feed of nobody")
        tables.add_calendar(feed)


def _load_feed(tables: Tables, rows: list[FeedRow]) -> None:
    for index, position, event in rows:
        require(tables.feed.load((index, position, _sharing_event(tables, event))), "a feed out of order")


def _sharing_event(tables: Tables, event: Event | None) -> Event | None:
    """The same, with the booking of the tables in it when that is the one it tells of: as `_sharing` does."""
    booking = getattr(event, "booking", None)
    if event is None or booking is None or (known := tables.bookings.get(booking.id)) != booking:
        return event
    return replace(event, booking=known)


def _load_sinks(tables: Tables, rows: list[Sink]) -> None:
    for sink in rows:
        require(sink.id not in tables.sinks, "a sink twice")
        require((sink.kind == "webhook") == (sink.webhook is not None), "a webhook that is none")
        tables.put_sink(sink)


def _load_held(tables: Tables, rows: list[Held]) -> None:
    for held in rows:
        require(
            held.place not in tables.held.get(held.sink_id, {held.place}),
            "an event held back twice, or for no sink",
        )
        tables.put_held(held)


def _load_dead_letters(tables: Tables, rows: list[DeadLetter]) -> None:
    for letter in rows:
        letters = tables.dead_letters.get(letter.sink_id, {letter.place})
        require(letter.place not in letters, "a dead letter twice, or of no sink")
        tables.put_dead_letter(letter)


def _load_notifications(tables: Tables, rows: list[Notifications]) -> None:
    for settings in rows:
        require(settings.user_id not in tables.notifications, "settings of a user twice")
        require(settings.user_id in tables.users, "settings of nobody")
        tables.put_notifications(settings)


def _load_reminders(tables: Tables, rows: list[Reminder]) -> None:
    for reminder in rows:
        booking = tables.bookings.get(reminder.booking_id)
        if booking is None or booking.status != "confirmed" or booking.id in tables.reminders:
            raise SnapshotError("snapshot: nobody can be reminded")
        tables.put_reminder(reminder)


LOADERS: dict[type[Rows], Callable[[Tables, Any], None]] = {
    SpaceRows: _load_spaces,
    SpaceRulesRows: _load_space_rules,
    SeatDetailsRows: _load_seat_details,
    UserRows: _load_users,
    SessionRows: _load_sessions,
    BookingRows: _load_bookings,
    OutcomeRows: _load_outcomes,
    StepRows: _load_steps,
    SeriesRows: _load_series,
    AuditRows: _load_audit,
    StandingRows: _load_standings,
    FailureRows: _load_failures,
    WaiterRows: _load_waiters,
    CheckInRuleRows: _load_check_in_rules,
    ExpectedRows: _load_expected,
    CalendarRows: _load_calendars,
    FeedRows: _load_feed,
    SinkRows: _load_sinks,
    HeldRows: _load_held,
    DeadLetterRows: _load_dead_letters,
    NotificationsRows: _load_notifications,
    ReminderRows: _load_reminders,
}
