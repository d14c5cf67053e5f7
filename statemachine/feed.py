"""The feed: the last FEED_EVENTS_KEPT events of the log, with the place of each.

**Why it is state.** Streams to people, mails, webhooks and the broker all tell what has happened, and all of them go on
from a place after a cut or a change of the leader. So every member keeps the same window of events, also right after a
restart or after it has been given a snapshot, and "what came after this place" has one answer in the cluster.

**Invariants.** Places rise. Nothing is missing between two events that are kept. Whatever was dropped stood at or before
`lost_through`; a reader who stands there or later has missed nothing. The window is bounded, and the oldest go first.

A **place** is (index, position): the entry of the log, and the event within it. Events hold records, not bytes: nothing
is encoded while an entry is applied. Logins and the ids of sessions are left out of what is kept, and when an account is
erased its id is taken out of everything that was kept before (`forget`): the places stay, and nobody can be found by them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import get_args

from msgspec.structs import replace

from statemachine.events import (
    BookingCancelled,
    Event,
    SessionEnded,
    SessionOpened,
    SessionRotated,
    UserRegistered,
)
from statemachine.limits import FEED_EVENTS_KEPT
from statemachine.pages import Pages, View
from statemachine.records import ERASED

Place = tuple[int, int]  # index, position
Told = tuple[int, int, Event]
FeedRow = tuple[int, int, Event | None]  # of a snapshot; without an event, in front: lost through here

_NAMING_USERS = ("user_id", "by_user_id", "admin_id")
_RECORDS_OF_USERS = ("booking", "before", "waiter", "session")

BEGINNING: Place = (0, 0)  # before every event: entries that change something have higher indexes
END_OF_ENTRY = 2**31 - 1  # as a position: after all events of its entry


class Feed:
    """Appended to by `apply` alone; read by everybody else, in between."""

    __slots__ = ("_rows", "erasures", "is_open", "last", "lost_through")

    def __init__(self) -> None:
        self._rows: Pages[Told] = Pages()
        self.lost_through: Place = BEGINNING
        self.last: Place | None = None  # of the newest event that is kept
        self.is_open = False  # whether what happens is kept: see `begin`
        self.erasures = (
            0  # calls of `forget` on this member: events that somebody holds on to may name people no more
        )

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def first(self) -> Place | None:
        """The place of the oldest event that is kept."""
        row = self._rows.first()
        return None if row is None else (row[0], row[1])

    def begin(self, index: int) -> None:
        """Keep what happens from that entry on: in a cluster whose first entries were made by a program without a feed.

        Some members have replayed those entries and others have restored a snapshot that holds no feed, so nothing of them is kept by
        anybody. A feed that holds a row is open, so this needs no room in a snapshot.
        """
        assert not self.is_open
        assert self.last is None
        self.lost_through = (index - 1, END_OF_ENTRY)
        self.is_open = True

    def extend(self, index: int, events: Iterable[tuple[int, Event]]) -> None:
        """Add what an entry did."""
        for position, event in events:
            self.append((index, position, _without_names(event)))

    def append(self, row: Told) -> None:
        """Add one event; the oldest makes room."""
        place = (row[0], row[1])
        assert place > (self.last or self.lost_through)
        self._rows.append(row)
        self.last = place
        while len(self._rows) > FEED_EVENTS_KEPT:
            oldest = self.first
            assert oldest is not None
            self.lost_through = oldest
            self._rows.drop_first()

    def after(self, place: Place, limit: int) -> list[Told]:
        """The next events after a place, oldest first. Whether some are lost in between, `lost_through` tells."""
        if self.last is None or place >= self.last:
            return []
        return self._rows.slice(self._count_through(place), limit)

    def count_after(self, place: Place) -> int:
        """How many of the kept events come after a place."""
        return len(self._rows) - self._count_through(place)

    def has(self, place: Place) -> bool:
        """Whether a reader can stand there: at an event, at the beginning, or where the window was cut."""
        if place in (BEGINNING, self.lost_through):
            return True
        at = self._count_through(place)
        return at > 0 and self._rows.slice(at - 1, 1)[0][:2] == place

    def _count_through(self, place: Place) -> int:
        rows = self._rows
        return bisect_right(range(len(rows)), place, key=lambda at: rows.slice(at, 1)[0][:2])

    def forget(self, user_id: str) -> None:
        """Take a user out of what is kept. Looks at all of it: accounts are erased once, and with a password's check."""
        self.erasures += 1

        def change(told: Told) -> Told:
            event = told[2]
            if user_id not in _USERS_OF[type(event)](event):
                return told
            return told[0], told[1], _anonymous(event, user_id)

        self._rows.rewrite(change)

    def view(self) -> FeedView:
        """The rows of a snapshot, as they are now."""
        return FeedView(self.lost_through, self._rows.view())

    def load(self, row: FeedRow) -> bool:
        """Add a row of a snapshot; whether it can stand here."""
        self.is_open = True
        index, position, event = row
        place = (index, position)
        if not 0 <= position <= END_OF_ENTRY or place <= (self.last or self.lost_through):
            return False
        if event is not None:
            self.append((index, position, event))
            return True
        if self.last is not None or self.lost_through != BEGINNING:
            return False
        self.lost_through = place
        return True


def _without_names(event: Event) -> Event:
    if isinstance(event, UserRegistered):
        return replace(event, login="")
    if isinstance(event, SessionOpened | SessionRotated):
        return replace(event, session=replace(event.session, id=""))
    return replace(event, session_id="") if isinstance(event, SessionEnded) else event


def _users_of(kind: type[Event]) -> Callable[[Event], tuple[str, ...]]:
    """What gives the users whom an event of this kind names: looked up once, for a hundred thousand are asked at once."""
    fields = kind.__struct_fields__
    names = [name for name in _NAMING_USERS if name in fields]
    names += [f"{record}.user_id" for record in _RECORDS_OF_USERS if record in fields]
    names += ["at_ms"] * (2 - len(names))  # with two names or more it is a tuple that is given
    return attrgetter(*names)


_USERS_OF: dict[type[Event], Callable[[Event], tuple[str, ...]]] = {
    kind: _users_of(kind) for kind in get_args(Event)
}


def without_user(event: Event, user_id: str) -> Event:
    """The same object when it does not name the user."""
    return _anonymous(event, user_id) if user_id in _USERS_OF[type(event)](event) else event


def _anonymous(event: Event, user_id: str) -> Event:
    """The event without the user, and without the reason that may name them."""
    changes: dict[str, object] = {}
    for name in _NAMING_USERS:
        if getattr(event, name, None) == user_id:
            changes[name] = ERASED
    for name in _RECORDS_OF_USERS:
        record = getattr(event, name, None)
        if record is not None and record.user_id == user_id:
            changes[name] = replace(record, user_id=ERASED)
    if isinstance(event, BookingCancelled):
        changes["reason"] = ""
    return replace(event, **changes)


class FeedView:
    """What the feed was; it may be walked any number of times."""

    __slots__ = ("_lost_through", "_rows")

    def __init__(self, lost_through: Place, rows: View[Told]) -> None:
        self._lost_through = lost_through
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows) + (self._lost_through != BEGINNING)

    def runs(self) -> Iterator[list[FeedRow]]:
        """Its rows, oldest first."""
        if self._lost_through != BEGINNING:
            yield [(*self._lost_through, None)]
        for run in self._rows.runs():
            yield [*run]
