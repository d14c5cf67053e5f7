"""The tables of people: who they are, what is special about them, what they hold open. No rules here."""

from __future__ import annotations

from collections import OrderedDict
from heapq import heapify, heappop, heappush

from statemachine.feeds import CalendarFeed
from statemachine.pages import Pages
from statemachine.records import Failures, Session, Standing, User
from statemachine.table_base import TableBase

STALE_ENDS_KEPT = 1_000  # places of ended sessions that may wait in the heap beyond the number of living ones


class PeopleTables(TableBase):
    """Users, standings, sessions, failed log-ins and calendar feeds."""

    def __init__(self) -> None:
        super().__init__()
        self.users: dict[str, User] = {}
        self.sessions: dict[str, Session] = {}
        self.standings: dict[str, Standing] = {}  # by user, in the order of their revisions
        self.failures: OrderedDict[str, Failures] = OrderedDict()  # by throttle key, quiet for longest first
        self.calendars: dict[str, CalendarFeed] = {}  # by user, in the order of their revisions
        # Derived from here on.
        self.user_ids: Pages[str] = Pages()  # in the order in which they came; none is dropped
        self.users_by_login: dict[str, str] = {}
        self.administrators: dict[str, None] = {}  # ids
        self.sessions_by_user: dict[str, list[str]] = {}  # oldest first
        self.session_ends: list[tuple[int, str]] = []  # heap; an entry is never later than the session's end
        self.calendars_by_hash: dict[bytes, CalendarFeed] = {}

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

    def _keep_sessions(self, user_id: str) -> None:
        for view in self._living_views():
            if user_id not in view.sessions_before:
                open_ids = self.sessions_by_user.get(user_id, ())
                view.sessions_before[user_id] = [self.sessions[session_id] for session_id in open_ids]

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

    def expire_sessions(self) -> None:
        """Forget the sessions whose time is over by log time."""
        now_ms = self.now_ms
        while self.session_ends and self.session_ends[0][0] <= now_ms:
            _, session_id = heappop(self.session_ends)
            session = self.sessions.get(session_id)
            if session is None:
                continue  # ended before its time
            if session.expires_at_ms <= now_ms:
                self.drop_session(session)
            else:
                heappush(self.session_ends, (session.expires_at_ms, session_id))  # rotated meanwhile
