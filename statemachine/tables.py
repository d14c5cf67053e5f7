"""The tables of the state and everything derived from them. No rules here: only how a record enters and
leaves.

**Primary** tables are the state: they go into snapshots and checksums. **Derived** indexes follow from the
primary tables alone; every change to both goes through a method of this class, and `restore` calls the same
methods, so a restored state cannot have indexes that a living one would not.

**Frozen views.** Whatever replaces or drops a user, a session or a booking first hands the old record to the
views that have been taken and still live (`frozen.py`, which also says in what order rows are walked). Rows
that are added need no such care.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from weakref import ref

from statemachine import throttle
from statemachine.alternatives import Finder
from statemachine.audit import AuditRecord
from statemachine.commands import KEEP_CLIENT_KEY_MS, KEEP_NODE_KEY_MS
from statemachine.events import Event
from statemachine.feeds import CalendarFeed
from statemachine.frozen import FrozenTables
from statemachine.occupancy import Occupancy, SeatDays
from statemachine.outcomes import Code, Outcome, Remembered
from statemachine.pages import Pages
from statemachine.premises import Affected, Limit, SeatDetails, SpaceRules, seat_name
from statemachine.records import (
    CELL_MS,
    CELLS_PER_DAY,
    ERASED,
    Alternative,
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
from statemachine.waiters import Waiter

WAITER_DUE, BOOKING_DUE = "w:", "b:"  # before the id of whom something happens to by itself
DIGEST_BYTES = 16
STALE_ENDS_KEPT = 1_000  # places of ended sessions that may wait in the heap beyond the number of living ones

MAX_DAY_TUPLE = (
    8  # live bookings of one user and day that are kept as a tuple, which is copied for each change
)

LiveOfDay = tuple[str, ...] | dict[str, None]  # ids, oldest first; a dictionary exactly beyond MAX_DAY_TUPLE


class Entry:
    """The log entry being applied: where changes get their names, and where events gather."""

    __slots__ = ("events", "index", "now_ms")

    def __init__(self, index: int, now_ms: int) -> None:
        self.index = index
        self.now_ms = now_ms
        self.events: list[tuple[int, Event]] = []

    @property
    def revision(self) -> str:
        """The name of the next change."""
        return f"{self.index}.{len(self.events)}"

    def record(self, event: Event) -> int:
        """Note a change that was made; its position."""
        position = len(self.events)
        self.events.append((position, event))
        return position

    def refuse(
        self,
        code: Code,
        alternatives: tuple[Alternative, ...] = (),
        ground: Limit | Affected | None = None,
    ) -> Outcome:
        """A refusal, decided at this place in the log; `ground` is what it rests on."""
        return Outcome(code, self.index, len(self.events), ground, alternatives)


class Tables:
    """Primary tables with their derived indexes."""

    def __init__(self) -> None:
        self.born = False
        self.now_ms = 0
        self.index = 0
        self.digest = bytes(DIGEST_BYTES)
        self.spaces: dict[str, Space] = {}
        self.space_rules: dict[str, SpaceRules] = {}  # by space; only those that an administrator has changed
        self.seat_details: dict[str, SeatDetails] = {}  # by `seat_name`; the same
        self.users: dict[str, User] = {}
        self.sessions: dict[str, Session] = {}
        self.bookings: dict[str, Booking] = {}
        self.outcomes: dict[str, Remembered] = {}  # by `key_name`
        self.audit: Pages[AuditRecord] = Pages()  # oldest first
        self.steps: Pages[Step] = Pages()  # of all histories, in the order of the log; none is dropped
        self.series: dict[str, Series] = {}
        self.standings: dict[str, Standing] = {}  # by user, in the order of their revisions
        self.failures: OrderedDict[str, Failures] = OrderedDict()  # by throttle key, quiet for longest first
        self.waiters: dict[str, Waiter] = {}  # in a line, or promoted and not begun
        self.check_in_rules: dict[str, CheckInRule] = {}  # by space
        self.expected: dict[str, Expected] = {}  # by booking
        self.calendars: dict[str, CalendarFeed] = {}  # by user, in the order of their revisions
        # Derived from here on.
        self.calendars_by_hash: dict[bytes, CalendarFeed] = {}
        self.audit_count = 0  # records ever made
        self.user_ids: Pages[str] = Pages()  # in the order in which they came; none is dropped
        self.booking_ids: Pages[str] = Pages()  # the same
        self.series_list: Pages[Series] = Pages()  # the same
        self.series_by_user: dict[str, list[Series]] = {}  # oldest first
        self.occupancy = Occupancy()
        self.alternatives = Finder(self.occupancy)
        self.administrators: dict[str, None] = {}  # ids
        self.erasing: dict[
            str, None
        ] = {}  # erased users who still have bookings, by the order of the erasures
        self.users_by_login: dict[str, str] = {}
        self.sessions_by_user: dict[str, list[str]] = {}  # oldest first
        self.bookings_by_user: dict[str, list[str]] = {}  # oldest first
        self.steps_by_booking: dict[
            str, tuple[Step, ...]
        ] = {}  # oldest first; of those that were ever changed
        self.live_by_day: dict[
            str, LiveOfDay
        ] = {}  # by `day_name`; tuples of text cost the collector nothing
        self.live_by_user: dict[str, LiveOfDay] = {}  # oldest first; those that are over may be left out
        self.live_by_seat: dict[
            str, dict[int, tuple[str, ...]]
        ] = {}  # by `seat_name` and UTC day of the start; by start
        self.keys_by_scope: dict[str, list[str]] = {}  # by `key_name`, oldest first; clients' keys only
        self.client_keys: Pages[Remembered] = Pages()  # in order of expiry: one class has one keeping time
        self.node_keys: Pages[Remembered] = Pages()
        self.waiters_by_user: dict[str, dict[str, None]] = {}
        self.waiting_by_day: dict[
            str, dict[str, None]
        ] = {}  # by `day_name` of the space; without the promoted
        self.dues: list[tuple[int, str]] = []  # heap: when something happens by itself, and to whom
        self.session_ends: list[tuple[int, str]] = []  # heap; an entry is never later than the session's end
        self._views: list[ref[FrozenTables]] = []  # those that live

    # --- frozen views ---------------------------------------------------------------------------------------

    def frozen_tables(self) -> FrozenTables:
        """The primary tables as they are now. Later changes keep it so for as long as somebody holds it."""
        view = FrozenTables(self)
        self._views.append(ref(view, self._views.remove))
        return view

    def _living_views(self) -> list[FrozenTables]:
        return [view for each in self._views if (view := each()) is not None]

    def _keep_sessions(self, user_id: str) -> None:
        for view in self._living_views():
            if user_id not in view.sessions_before:
                open_ids = self.sessions_by_user.get(user_id, ())
                view.sessions_before[user_id] = [self.sessions[session_id] for session_id in open_ids]

    # --- records in and out ---------------------------------------------------------------------------------

    def put_space(self, space: Space) -> None:
        """Add a space, or replace the record under the same id."""
        self.spaces[space.id] = space
        self.occupancy.put_space(space)

    def put_space_rules(self, rules: SpaceRules) -> None:
        """Set the rules of a space."""
        self.space_rules[rules.space_id] = rules

    def put_seat_details(self, details: SeatDetails) -> None:
        """Set what is known of a seat of a space that is here."""
        self.seat_details[seat_name(details.space_id, details.seat_id)] = details
        self.occupancy.put_outages(details.space_id, details.seat_id, details.outages)

    def details_of(self, space_id: str, seat_id: str) -> SeatDetails | None:
        """What an administrator has told of a seat, or None."""
        return self.seat_details.get(seat_name(space_id, seat_id))

    def put_user(self, user: User) -> None:
        """Add a user, or replace the record under the same id and login."""
        before = self.users.get(user.id)
        if before is None:
            self.user_ids.append(user.id)
        else:
            for view in self._living_views():
                view.users_before.setdefault(user.id, before)
            if before.login_key != user.login_key:
                del self.users_by_login[before.login_key]
        self.users[user.id] = user
        if user.login_key:
            self.users_by_login[user.login_key] = user.id
        if user.role == "admin":
            self.administrators[user.id] = None
        else:
            self.administrators.pop(user.id, None)

    def put_standing(self, standing: Standing) -> None:
        """Set what is special about a user."""
        self.drop_standing(standing.user_id)  # so that the order is that of the changes
        self.standings[standing.user_id] = standing

    def drop_standing(self, user_id: str) -> None:
        """Nothing is special about a user any more."""
        self.standings.pop(user_id, None)

    def put_failures(self, failures: Failures) -> None:
        """Set the failed log-ins under a throttle key: the last ones so far."""
        self.failures[failures.key] = failures
        self.failures.move_to_end(failures.key)

    def drop_failures(self, key: str) -> None:
        """Forget the failed log-ins under a throttle key."""
        self.failures.pop(key, None)

    def drop_oldest_failures(self) -> None:
        """Forget the throttle key that has been quiet for longest."""
        self.failures.popitem(last=False)

    def add_session(self, session: Session) -> None:
        """Add a session."""
        if self._views:
            self._keep_sessions(session.user_id)
        self.sessions[session.id] = session
        self.sessions_by_user.setdefault(session.user_id, []).append(session.id)
        heappush(self.session_ends, (session.expires_at_ms, session.id))

    def replace_session(self, session: Session) -> None:
        """Replace a session's record."""
        if self._views:
            self._keep_sessions(session.user_id)
        before = self.sessions[session.id]
        self.sessions[session.id] = session
        if session.expires_at_ms < before.expires_at_ms:  # a later end is found when the earlier one comes up
            heappush(self.session_ends, (session.expires_at_ms, session.id))

    def drop_session(self, session: Session) -> None:
        """Forget a session; its place in the heap is passed over when it comes up, or swept out with many
        others.
        """
        if self._views:
            self._keep_sessions(session.user_id)
        del self.sessions[session.id]
        if len(self.session_ends) > 2 * len(self.sessions) + STALE_ENDS_KEPT:
            self.session_ends = [(live.expires_at_ms, live.id) for live in self.sessions.values()]
            heapify(self.session_ends)
        of_user = self.sessions_by_user[session.user_id]
        of_user.remove(session.id)
        if not of_user:
            del self.sessions_by_user[session.user_id]

    def add_booking(self, booking: Booking) -> None:
        """Add a booking. The caller has claimed the cells of a live one."""
        booking_id = booking.id
        user_id = booking.user_id
        self.bookings[booking_id] = booking
        self.booking_ids.append(booking_id)
        if user_id == ERASED:  # nobody looks these up by their user
            if booking.status == "confirmed":
                self._note_seat(booking, booking.start_cell // CELLS_PER_DAY)
            return
        of_user = self.bookings_by_user.get(user_id)
        if of_user is None:
            self.bookings_by_user[user_id] = [booking_id]
        else:
            of_user.append(booking_id)
        if booking.status == "confirmed":
            live_by_day = self.live_by_day
            first = booking.start_cell // CELLS_PER_DAY
            # Nearly always one day; `_day_names` would say the same at the price of a call and a list.
            one_day = booking.end_cell <= (first + 1) * CELLS_PER_DAY
            for name in (f"{first}:{user_id}",) if one_day else _day_names(booking):
                others = live_by_day.get(name)
                if others is None:
                    live_by_day[name] = (booking_id,)
                elif isinstance(others, dict):
                    others[booking_id] = None
                else:
                    live_by_day[name] = _of_day((*others, booking_id))
            self._note_live(booking, first)

    def _note_live(self, booking: Booking, day: int) -> None:
        """Enter a live booking that starts on a UTC day where its user's and its seat's are looked up."""
        user_id, booking_id = booking.user_id, booking.id
        mine = self.live_by_user.get(user_id)
        if mine is None:
            self.live_by_user[user_id] = (booking_id,)
        elif isinstance(mine, dict):
            mine[booking_id] = None
            if not len(mine) & (
                len(mine) - 1
            ):  # at every doubling, so that those that are over do not gather
                self.upcoming_of(user_id)
        else:
            self.live_by_user[user_id] = _of_day((*mine, booking_id))
        self._note_seat(booking, day)

    def _note_seat(self, booking: Booking, day: int) -> None:
        name = seat_name(booking.space_id, booking.seat_id)
        days = self.live_by_seat.get(name)
        if days is None:
            self.live_by_seat[name] = {day: (booking.id,)}
            return
        others = days.get(day, ())
        ids = (*others, booking.id)
        bookings = self.bookings
        # By their starts, which differ on one seat: an order that does not depend on when who was moved here.
        in_order = not others or bookings[others[-1]].start_cell < booking.start_cell
        days[day] = ids if in_order else tuple(sorted(ids, key=lambda each: bookings[each].start_cell))

    def upcoming_of(self, user_id: str) -> LiveOfDay:
        """The ids of a user's live bookings that have not ended, oldest first. Forgets the others among the live."""
        ids = self.live_by_user.get(user_id, ())
        now_ms, bookings = self.now_ms, self.bookings
        left = tuple(each for each in ids if bookings[each].end_cell * CELL_MS > now_ms)
        if len(left) == len(ids):
            return ids
        if not left:
            del self.live_by_user[user_id]
            return ()
        self.live_by_user[user_id] = _of_day(left)
        return self.live_by_user[user_id]

    def _forget_live(self, booking: Booking) -> None:
        self._leave_user(booking)
        self._leave_seat(booking)

    def _leave_user(self, booking: Booking) -> None:
        mine = self.live_by_user.get(booking.user_id, ())
        if booking.id in mine:  # else it is over, and was left out
            if isinstance(mine, dict):
                del mine[booking.id]
                if len(mine) <= MAX_DAY_TUPLE:
                    self.live_by_user[booking.user_id] = tuple(mine)
            elif len(mine) > 1:
                self.live_by_user[booking.user_id] = tuple(each for each in mine if each != booking.id)
            else:
                del self.live_by_user[booking.user_id]

    def _leave_seat(self, booking: Booking) -> None:
        days = self.live_by_seat[seat_name(booking.space_id, booking.seat_id)]
        day = booking.start_cell // CELLS_PER_DAY
        others = tuple(each for each in days[day] if each != booking.id)
        if others:
            days[day] = others
        else:
            del days[day]

    def end_booking(self, booking: Booking, days: SeatDays) -> None:
        """Replace a live booking by its cancelled record and free its cells."""
        assert booking.status != "confirmed"
        self._replace_booking(booking)
        self.occupancy.release(days, booking.start_cell, booking.end_cell)
        self.expected.pop(booking.id, None)
        self._forget_live(booking)
        self._leave_days(booking)

    def move_booking(self, booking: Booking) -> None:
        """Replace a live booking by the same one at another place. The caller has seen to the cells of both."""
        assert booking.status == "confirmed"
        before = self.bookings[booking.id]
        self._leave_days(before)
        self._leave_seat(before)
        self._replace_booking(booking)
        self._note_seat(booking, booking.start_cell // CELLS_PER_DAY)
        for name in _day_names(booking):
            others = {*self.live_by_day.get(name, ()), booking.id}
            # The order of the log, as a restored state would have it.
            ordered = tuple(each for each in self.bookings_by_user[booking.user_id] if each in others)
            self.live_by_day[name] = _of_day(ordered)

    def add_series(self, series: Series) -> None:
        """Add a series. Its record never changes."""
        self.series[series.id] = series
        self.series_list.append(series)
        self.series_by_user.setdefault(series.user_id, []).append(series)

    def forget_series(self, user_id: str) -> None:
        """Forget the series of a user; their bookings are looked after by themselves."""
        for series in self.series_by_user.pop(user_id, ()):
            del self.series[series.id]
            self.series_list.forget(series)

    def take_bookings(self, user_id: str, count: int) -> list[str]:
        """The ids of the newest bookings of a user, newest first. They are no longer the user's: to be erased."""
        of_user = self.bookings_by_user[user_id]
        taken = of_user[-count:]
        if len(taken) == len(of_user):
            del self.bookings_by_user[user_id]
        else:
            del of_user[-count:]
        taken.reverse()
        return taken

    def erase_booking(self, booking: Booking) -> None:
        """Replace a booking by the same one of nobody, and forget its history, which may tell of whom it was."""
        assert booking.user_id == ERASED
        before = self.bookings[booking.id]
        if before.status == "confirmed":
            self._leave_days(before)
            self._leave_user(before)
        self._replace_booking(booking)
        for step in self.steps_by_booking.pop(booking.id, ()):
            self.steps.forget(step)

    def put_check_in_rule(self, rule: CheckInRule) -> None:
        """Set whether one has to check in."""
        self.check_in_rules[rule.space_id] = rule

    def expect(self, booking: Booking) -> None:
        """From now on the user of a live booking has to check in, if the space asks for it and it would matter."""
        rule = self.check_in_rules.get(booking.space_id)
        if rule is not None and rule.grace_minutes:
            due_ms = booking.start_cell * CELL_MS + rule.grace_minutes * 60_000
            if due_ms < booking.end_cell * CELL_MS:
                self.put_expected(Expected(booking.id, due_ms))

    def put_expected(self, expected: Expected) -> None:
        """Expect the user of a booking."""
        self.expected[expected.booking_id] = expected
        self._note_due(expected.due_ms, BOOKING_DUE + expected.booking_id)

    def drop_expected(self, booking_id: str) -> None:
        """Expect nobody for a booking any more."""
        self.expected.pop(booking_id, None)

    def put_waiter(self, waiter: Waiter) -> None:
        """Add somebody who waits, or replace the record."""
        before = self.waiters.get(waiter.id)
        if before is not None:
            self._leave_line(before)
        self.waiters[waiter.id] = waiter
        self.waiters_by_user.setdefault(waiter.user_id, {})[waiter.id] = None
        if waiter.status == "waiting":
            for name in _space_days(waiter.want.space_id, waiter.want.start_cell, waiter.end_cell):
                self.waiting_by_day.setdefault(name, {})[waiter.id] = None
        if before is None or before.begins_ms != waiter.begins_ms:
            self._note_due(waiter.begins_ms, WAITER_DUE + waiter.id)

    def drop_waiter(self, waiter: Waiter) -> None:
        """Forget somebody who waited."""
        self._leave_line(waiter)
        del self.waiters[waiter.id]
        mine = self.waiters_by_user[waiter.user_id]
        del mine[waiter.id]
        if not mine:
            del self.waiters_by_user[waiter.user_id]

    def _leave_line(self, waiter: Waiter) -> None:
        if waiter.status == "waiting":
            for name in _space_days(waiter.want.space_id, waiter.want.start_cell, waiter.end_cell):
                others = self.waiting_by_day[name]
                del others[waiter.id]
                if not others:
                    del self.waiting_by_day[name]

    def waiting_around(self, space_id: str, start_cell: int, end_cell: int) -> list[Waiter]:
        """Those who wait for something in the space on the UTC days of `[start_cell, end_cell)`, each once."""
        if not self.waiting_by_day:
            return []
        found: dict[str, None] = {}
        for name in _space_days(space_id, start_cell, end_cell):
            found.update(self.waiting_by_day.get(name, {}))
        return [self.waiters[each] for each in found]

    def add_step(self, step: Step) -> None:
        """Add a line to the history of a booking."""
        self.steps.append(step)
        self.steps_by_booking[step.booking_id] = (*self.steps_by_booking.get(step.booking_id, ()), step)

    def _replace_booking(self, booking: Booking) -> None:
        if self._views:
            before = self.bookings[booking.id]
            for view in self._living_views():
                view.bookings_before.setdefault(booking.id, before)
        self.bookings[booking.id] = booking

    def _leave_days(self, booking: Booking) -> None:
        if booking.user_id == ERASED:
            return
        for name in _day_names(booking):
            others = self.live_by_day[name]
            if isinstance(others, dict):
                del others[booking.id]
                if len(others) <= MAX_DAY_TUPLE:
                    self.live_by_day[name] = tuple(others)
            elif len(others) > 1:
                self.live_by_day[name] = tuple(other for other in others if other != booking.id)
            else:
                del self.live_by_day[name]

    def add_calendar(self, feed: CalendarFeed) -> None:
        """Give a user who has none a calendar feed."""
        self.calendars[feed.user_id] = feed
        self.calendars_by_hash[feed.secret_hash] = feed

    def drop_calendar(self, user_id: str) -> bool:
        """Take a user's calendar feed away; False when there is none."""
        feed = self.calendars.pop(user_id, None)
        if feed is None:
            return False
        del self.calendars_by_hash[feed.secret_hash]
        return True

    def add_audit(self, record: AuditRecord) -> None:
        """Add the next record; `audit.record` makes room for it."""
        self.audit.append(record)
        self.audit_count = record.number

    def remember(self, name: str, remembered: Remembered) -> None:
        """Keep the first outcome under a key that is not known yet."""
        self.outcomes[name] = remembered
        if remembered.lasting:
            names = self.keys_by_scope.get(remembered.scope)
            if names is None:
                self.keys_by_scope[remembered.scope] = [name]
            else:
                names.append(name)
            self.client_keys.append(remembered)
        else:
            self.node_keys.append(remembered)

    def forget_outcomes(self, scopes: Iterable[str]) -> None:
        """Forget every remembered outcome under these scopes."""
        wanted = frozenset(scopes)
        for remembered in [each for each in self.node_keys if each.scope in wanted]:  # those of 15 seconds
            self.node_keys.forget(remembered)
            del self.outcomes[key_name(remembered.scope, remembered.key)]
        for scope in wanted:  # in whatever order: nothing that is left depends on it
            for name in self.keys_by_scope.pop(scope, ()):
                self.client_keys.forget(self.outcomes.pop(name))

    # --- what happens by itself ---------------------------------------------------------------------------

    def _note_due(self, at_ms: int, subject: str) -> None:
        if len(self.dues) > 2 * (len(self.waiters) + len(self.expected)) + STALE_ENDS_KEPT:
            self.dues = [(waiter.begins_ms, WAITER_DUE + waiter.id) for waiter in self.waiters.values()]
            self.dues += [(each.due_ms, BOOKING_DUE + each.booking_id) for each in self.expected.values()]
            heapify(self.dues)
        heappush(self.dues, (at_ms, subject))

    def next_due(self, now_ms: int) -> str | None:
        """Whose time has come, the earliest first; None when nobody's has. Places in the heap that mean nothing any more are
        taken off on the way.
        """
        while self.dues:
            at_ms, subject = self.dues[0]
            if self._due_of(subject) == at_ms:
                return subject if at_ms <= now_ms else None
            heappop(self.dues)
        return None

    def _due_of(self, subject: str) -> int:
        """When something happens to a subject by itself; -1: never."""
        subject_id = subject[len(WAITER_DUE) :]
        if subject.startswith(WAITER_DUE):
            waiter = self.waiters.get(subject_id)
            return -1 if waiter is None else waiter.begins_ms
        expected = self.expected.get(subject_id)
        return -1 if expected is None else expected.due_ms

    # --- what time does -------------------------------------------------------------------------------------

    def expire(self) -> None:
        """Forget the keys and the sessions whose time is over by log time. Work grows with what is forgotten."""
        now_ms = self.now_ms
        node_keys = self.node_keys
        while (oldest := node_keys.first()) is not None and oldest.expires_at_ms <= now_ms:
            node_keys.drop_first()
            del self.outcomes[key_name(oldest.scope, oldest.key)]
        client_keys = self.client_keys
        while (oldest := client_keys.first()) is not None and oldest.expires_at_ms <= now_ms:
            client_keys.drop_first()
            scope = oldest.scope
            del self.outcomes[key_name(scope, oldest.key)]
            names = self.keys_by_scope[scope]
            if len(names) > 1:
                del names[0]
            else:
                del self.keys_by_scope[scope]
        while self.session_ends and self.session_ends[0][0] <= now_ms:
            _, session_id = heappop(self.session_ends)
            session = self.sessions.get(session_id)
            if session is None:
                continue  # ended before its time
            if session.expires_at_ms <= now_ms:
                self.drop_session(session)
            else:
                heappush(self.session_ends, (session.expires_at_ms, session_id))  # rotated meanwhile
        throttle.expire(self)


def key_name(scope: str, key: str) -> str:
    """One text for a scope and a key; the length in front keeps two pairs from having the same one."""
    return f"{len(scope)}:{scope}{key}"


def keep_class(keep_ms: int) -> tuple[bool, int]:
    """Whether a key is a client's, and how long it is kept: the class that keeps at least as long as asked."""
    if keep_ms <= KEEP_NODE_KEY_MS:
        return False, KEEP_NODE_KEY_MS
    return True, KEEP_CLIENT_KEY_MS


def day_name(user_id: str, day: int) -> str:
    """The name of a user's UTC day."""
    return f"{day}:{user_id}"


def _space_days(space_id: str, start_cell: int, end_cell: int) -> list[str]:
    return [
        day_name(space_id, day)
        for day in range(start_cell // CELLS_PER_DAY, (end_cell - 1) // CELLS_PER_DAY + 1)
    ]


def _of_day(ids: tuple[str, ...]) -> LiveOfDay:
    return ids if len(ids) <= MAX_DAY_TUPLE else dict.fromkeys(ids)


def _day_names(booking: Booking) -> list[str]:
    first = booking.start_cell // CELLS_PER_DAY
    last = (booking.end_cell - 1) // CELLS_PER_DAY
    return [day_name(booking.user_id, day) for day in range(first, last + 1)]
