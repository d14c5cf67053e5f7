"""The primary tables as they were at one index, without a copy of them.

**How.** Records never change, so what a view has to protect itself against is records being replaced or
dropped. Nothing is copied when it is taken but the lists of pages (`pages.py`): spaces are few; the ids of
users and bookings are kept in the order in which they came, and none is ever dropped; remembered outcomes are
queues of the records themselves; rules of spaces, details of seats, standings of users and failed log-ins are few and
listed. Before a user, a
booking or the sessions of a user change, the tables hand every living view what it was (a *pre-image*), and the view
keeps the first it is given. A row of the view is its pre-image, or, where there is none, the row of the living
table. No dictionary that changes is ever walked.

**Order.** Users, bookings and outcomes stand in the order of the log (outcomes: those under keys of nodes,
then those under keys of clients, each in order of expiry). Sessions stand by their users, oldest first. The
order follows from the state alone, so equal states have equal snapshots.

**Overlapping views** are allowed: each has its own pre-images. The tables know views by weak references only,
so one that is abandoned costs nothing from that moment on.

A view is walked on the thread that applies; between two steps of a walk anything may be applied.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from statemachine.feeds import CalendarFeed
from statemachine.notices import Notifications, Reminder
from statemachine.outcomes import Remembered
from statemachine.pages import RUN_ITEMS
from statemachine.premises import SeatDetails, SpaceRules
from statemachine.records import Booking, CheckInRule, Expected, Failures, Session, Space, Standing, User
from statemachine.sinks import DeadLetter, Held, Sink
from statemachine.waiters import Waiter

if TYPE_CHECKING:
    from statemachine.tables import Tables

USERS_EXAMINED = 1024  # without a session, before a walk over sessions lets others have their turn

Runs = Iterator[list[Any]]  # rows in order, few at a time; an empty one says that looking took long enough


class FrozenTables:
    """The view. `users_before`, `bookings_before`, `sessions_before` are the pre-images; `Tables` fills them."""

    __slots__ = (
        "__weakref__",
        "_audit",
        "_booking_ids",
        "_bookings",
        "_calendars",
        "_check_in_rules",
        "_client_keys",
        "_dead_letters",
        "_expected",
        "_failures",
        "_feed",
        "_held",
        "_node_keys",
        "_notifications",
        "_reminders",
        "_seat_details",
        "_series",
        "_sessions",
        "_sessions_by_user",
        "_sinks",
        "_space_rules",
        "_spaces",
        "_standings",
        "_steps",
        "_user_ids",
        "_users",
        "_waiters",
        "bookings_before",
        "counts",
        "sessions_before",
        "users_before",
    )

    def __init__(self, tables: Tables) -> None:
        self.users_before: dict[str, User] = {}
        self.bookings_before: dict[str, Booking] = {}
        self.sessions_before: dict[str, list[Session]] = {}  # by user; an empty list: had none
        self._spaces: list[Space] = list(tables.spaces.values())
        self._space_rules: list[SpaceRules] = list(tables.space_rules.values())
        self._seat_details: list[SeatDetails] = list(tables.seat_details.values())
        self._users = tables.users
        self._user_ids = tables.user_ids.view()
        self._sessions = tables.sessions
        self._sessions_by_user = tables.sessions_by_user
        self._bookings = tables.bookings
        self._booking_ids = tables.booking_ids.view()
        self._node_keys = tables.node_keys.view()
        self._client_keys = tables.client_keys.view()
        self._steps = tables.steps.view()
        self._check_in_rules: list[CheckInRule] = list(tables.check_in_rules.values())
        self._expected: list[Expected] = list(tables.expected.values())
        self._waiters: list[Waiter] = list(tables.waiters.values())
        self._series = tables.series_list.view()
        self._audit = tables.audit.view()
        self._standings: list[Standing] = list(tables.standings.values())
        self._failures: list[Failures] = list(tables.failures.values())
        self._calendars: list[CalendarFeed] = list(tables.calendars.values())
        self._feed = tables.feed.view()
        self._sinks: list[Sink] = list(tables.sinks.values())
        self._held: list[Held] = [held for of_sink in tables.held.values() for held in of_sink.values()]
        self._dead_letters: list[DeadLetter] = [
            letter for of_sink in tables.dead_letters.values() for letter in of_sink.values()
        ]
        self._notifications: list[Notifications] = list(tables.notifications.values())
        self._reminders: list[Reminder] = list(tables.reminders.values())
        self.counts: tuple[int, ...] = (
            len(self._spaces),
            len(self._space_rules),
            len(self._seat_details),
            len(self._user_ids),
            len(tables.sessions),
            len(self._booking_ids),
            len(self._node_keys) + len(self._client_keys),
            len(self._steps),
            len(self._series),
            len(self._audit),
            len(self._standings),
            len(self._failures),
            len(self._waiters),
            len(self._check_in_rules),
            len(self._expected),
            len(self._calendars),
            len(self._feed),
            len(self._sinks),
            len(self._held),
            len(self._dead_letters),
            len(self._notifications),
            len(self._reminders),
        )

    def tables(self) -> tuple[Runs, ...]:
        """Walks over the tables in the order of a snapshot (`snapshot_rows.TABLES`)."""
        return (
            ([space] for space in self._spaces),  # one space may be as large as hundreds of other rows
            ([rules] for rules in self._space_rules),
            _runs_of(self._seat_details),
            self._walk_users(),
            self._walk_sessions(),
            self._walk_bookings(),
            self._walk_outcomes(),
            self._steps.runs(),
            self._series.runs(),
            self._audit.runs(),
            _runs_of(self._standings),
            _runs_of(self._failures),
            _runs_of(self._waiters),
            _runs_of(self._check_in_rules),
            _runs_of(self._expected),
            _runs_of(self._calendars),
            self._feed.runs(),
            _runs_of(self._sinks),
            _runs_of(self._held),
            _runs_of(self._dead_letters),
            _runs_of(self._notifications),
            _runs_of(self._reminders),
        )

    def _walk_users(self) -> Iterator[list[User]]:
        before, now = self.users_before, self._users
        for ids in self._user_ids.runs():
            yield [before[user_id] if user_id in before else now[user_id] for user_id in ids]

    def _walk_bookings(self) -> Iterator[list[Booking]]:
        before, now = self.bookings_before, self._bookings
        for ids in self._booking_ids.runs():
            yield [before[booking_id] if booking_id in before else now[booking_id] for booking_id in ids]

    def _walk_sessions(self) -> Iterator[list[Session]]:
        found: list[Session] = []
        examined = 0
        for ids in self._user_ids.runs():
            for user_id in ids:
                if user_id in self.sessions_before:
                    found += self.sessions_before[user_id]
                else:
                    open_ids = self._sessions_by_user.get(user_id, ())
                    found += [self._sessions[session_id] for session_id in open_ids]
                if len(found) >= RUN_ITEMS:
                    yield found
                    found = []
                    examined = 0
            examined += len(ids)
            if examined >= USERS_EXAMINED:
                yield found
                found = []
                examined = 0
        if found:
            yield found

    def _walk_outcomes(self) -> Iterator[list[Remembered]]:
        yield from self._node_keys.runs()
        yield from self._client_keys.runs()


def _runs_of(rows: list[Any]) -> Runs:
    """A list that was copied when the view was taken."""
    left = iter(rows)
    while run := list(islice(left, RUN_ITEMS)):
        yield run
