"""A frozen view is the state at its index, byte for byte, whatever is applied while it is read."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from statemachine import frozen, pages, snapshot
from statemachine.commands import (
    KEEP_CLIENT_KEY_MS,
    BirthCluster,
    CloseSession,
    OpenSession,
    RegisterUser,
    RotateSession,
)
from statemachine.occupancy import SeatDays
from statemachine.pages import Pages
from statemachine.records import CELLS_PER_DAY, Booking, Session, User
from statemachine.snapshot_rows import TABLES
from statemachine.state import State, restore
from statemachine.table_bookings import MAX_DAY_TUPLE
from tests.statemachine.builders import FREE_CELL, HOUR, MONTH_MS, SEATS, TODAY, World, new_space
from tests.statemachine.checker import complaints
from tests.statemachine.logs import Batch, encoded, logs

OLD_FILE = Path(__file__).parent / "files" / "snapshot-version-1.bin"
OLD_DIGEST = "bbfe0c7f7167ac7b153002c302ea8e3e"  # of the state that version 1 wrote into it


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of three items, runs of two, chunks of a few rows: everything that is cut somewhere is cut often."""
    for module in (pages, frozen):
        monkeypatch.setattr(module, "RUN_ITEMS", 2)
    monkeypatch.setattr(pages, "PAGE_ITEMS", 3)
    monkeypatch.setattr(frozen, "USERS_EXAMINED", 2)
    monkeypatch.setattr(snapshot, "CHUNK_BYTES", 150)


def written(state: State) -> bytes:
    return b"".join(state.freeze().chunks())


def departures(batches: list[Batch], steps: list[int], make_state: type[State] = State) -> list[str]:
    """Apply a log with a view taken before each entry; each view's chunks are read a few at a time between
    entries. Where a view's bytes are not those of a state that never went further.
    """
    state, twin = make_state(), State()
    found: list[str] = []
    views = []
    for index, batch in enumerate(batches, 1):
        whole = written(twin)
        views.append((index - 1, state.freeze().chunks(), bytearray(), whole))
        state.apply(index, encoded(batch))
        twin.apply(index, encoded(batch))
        for number, (_, chunks, got, _) in enumerate(views):
            for _ in range(steps[(index + number) % len(steps)]):
                got += next(chunks, b"")
    for index, chunks, got, whole in views:
        got += b"".join(chunks)
        if got != whole:
            found.append(f"the view of entry {index} differs")
    return found


STEPS = st.lists(st.integers(0, 6), min_size=1, max_size=5)
QUICK = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,  # it only sets constants, the same each time
    ],
)


@QUICK
@given(logs(), STEPS)
def test_views_that_overlap_stay_as_they_were(small: None, batches: list[Batch], steps: list[int]) -> None:
    assert departures(batches, steps) == []


@QUICK
@given(logs())
def test_equal_states_have_equal_bytes(small: None, batches: list[Batch]) -> None:
    """However they came to be: by the whole log, or from a snapshot at any place and the rest."""
    straight, broken = State(), State()
    for index, batch in enumerate(batches, 1):
        straight.apply(index, encoded(batch))
        broken = restore(broken.freeze().chunks())
        broken.apply(index, encoded(batch))
        assert written(straight) == written(broken)


class NoBookingsKept(State):
    def end_booking(self, booking: Booking, days: SeatDays) -> None:
        views, self._views = self._views, []
        super().end_booking(booking, days)
        self._views = views


class NoUsersKept(State):
    def put_user(self, user: User) -> None:
        views, self._views = self._views, []
        super().put_user(user)
        self._views = views


class NoSessionsKept(State):
    def _keep_sessions(self, user_id: str) -> None:
        pass


class LastSessionsKept(State):
    def _keep_sessions(self, user_id: str) -> None:
        for view in self._living_views():
            view.sessions_before.pop(user_id, None)
        super()._keep_sessions(user_id)


class NoSessionsKeptAtEnd(State):
    def drop_session(self, session: Session) -> None:
        views, self._views = self._views, []
        super().drop_session(session)
        self._views = views


@pytest.mark.parametrize(
    "broken",
    [NoBookingsKept, NoUsersKept, NoSessionsKept, LastSessionsKept, NoSessionsKeptAtEnd],
    ids=lambda broken: broken.__name__,
)
def test_a_planted_bug_is_found(small: None, broken: type[State]) -> None:
    def parted(batches: list[Batch]) -> bool:
        try:
            return bool(departures(batches, [1], broken))
        except KeyError:  # a row that is not there any more
            return True

    search = settings(
        max_examples=400, deadline=None, phases=[Phase.generate], database=None, derandomize=True
    )
    assert find(logs(), parted, settings=search)


def test_a_view_that_is_abandoned_costs_nothing() -> None:
    world = World()
    world.booked("b1")
    chunks = world.state.freeze().chunks()
    kept = world.state.freeze()
    next(chunks)
    assert len(world.state._views) == 2
    del chunks  # half read
    assert len(world.state._views) == 1, "known by reference count alone, no collection is needed"
    world.cancel("b1")
    (view,) = world.state._living_views()
    assert set(view.bookings_before) == {"b1"}
    del view, kept
    assert world.state._views == []


def test_freezing_copies_no_rows() -> None:
    """Of many rows a view holds the pages only, and applying adds to it what it replaces and nothing else."""
    seats = tuple(f"S{number}" for number in range(50))
    world = World(spaces=(new_space(seats=seats),))
    for number in range(2_000):
        start = FREE_CELL + HOUR * (number // 50)
        grid = world.grid((start, 14))
        assert world.book(f"b{number}", seats[number % 50], start, grid=grid).ok
    view = world.state.frozen_tables()
    assert view.counts[:7] == (1, 0, 0, 3, 3, 2_000, len(world.state.outcomes))
    counts = dict(zip(TABLES, view.counts, strict=True))
    assert counts.pop("feed") == len(world.state.feed)
    assert not any(list(counts.values())[7:])
    assert len(view._booking_ids._full) == 2_000 // pages.PAGE_ITEMS
    assert view._bookings is world.state.bookings
    world.do(RegisterUser("eve", "eve", "eve", "h"))
    world.do(OpenSession("s-eve", "eve", "h", "new", MONTH_MS))
    world.do(RotateSession("s-bob", 0, MONTH_MS))
    world.do(CloseSession(), session="s-bob")
    world.cancel("b0")
    assert set(view.bookings_before) == {"b0"}
    assert set(view.users_before) == {"eve"}, "a user who came later is not walked"
    assert {user: len(had) for user, had in view.sessions_before.items()} == {"eve": 0, "bob": 1}


def test_a_long_walk_over_users_without_sessions_lets_others_have_their_turn() -> None:
    world = World()
    for first in range(0, 5_000, 100):
        world.batch(
            *(world.envelope(RegisterUser(f"u{n}", f"u{n}", f"u{n}", "h")) for n in range(first, first + 100))
        )
    chunks = list(world.state.freeze().chunks())
    assert (
        chunks.count(b"") >= 5_000 // frozen.USERS_EXAMINED - 2
    )  # the first and the last have rows, or no full count
    assert restore(chunks).checksum() == world.state.checksum()


def test_a_file_of_the_version_before_is_read() -> None:
    """What version 1 wrote, with keys of both classes and ended sessions mixed; its state goes on in the present version."""
    old = restore([OLD_FILE.read_bytes()])
    assert old.digest.hex() == OLD_DIGEST
    assert (len(old.bookings), len(old.sessions), len(old.outcomes)) == (31, 36, 73)
    assert len(old.client_keys) > 5
    assert len(old.node_keys) > 5
    assert not complaints(old)
    assert [session.id for session in old.sessions.values()][-1] == "t-u1", "in the order in which they came"
    again = restore(old.freeze().chunks())
    assert again.checksum() == old.checksum()
    assert written(again) == written(old)
    assert [old.sessions_by_user[user] for user in old.users if user in old.sessions_by_user] == [
        again.sessions_by_user[user] for user in again.users if user in again.sessions_by_user
    ]


def _old_world() -> World:
    """The log whose state version 1 wrote into the file: keys of both classes, cancellations, ended and rotated sessions."""
    world = World(kind=BirthCluster)
    client = {"keep_ms": KEEP_CLIENT_KEY_MS}
    for n in range(30):
        lasting = {**client, "key": f"k{n}", "fingerprint": b"f" * 16} if n % 3 == 0 else {}
        world.do(RegisterUser(f"u{n}", f"u{n}", f"u{n}", f"hash-u{n}"), scope=f"login:u{n}", **lasting)
        new_hash = "newer" if n % 5 == 0 else ""
        world.do(OpenSession(f"s-u{n}", f"u{n}", f"hash-u{n}", new_hash, MONTH_MS), scope=f"login:u{n}")
        world.now_ms += 700
    for n in range(30):
        seat, start, other = SEATS[n % 6], FREE_CELL + HOUR * (n // 6), f"u{(n * 7) % 30}"
        world.book(f"b{n}", seat, start, user=other)
        terms = client if n % 2 else {}
        world.do(world.booking(f"c{n}", seat, start), scope=f"u{n}", session=f"s-u{n}", **terms)
        if n % 4 == 0:
            world.cancel(f"b{n}", user=other)
        if n % 6 == 0:
            world.do(CloseSession(), scope=f"u{n}", session=f"s-u{n}")
        if n % 6 == 1:
            world.do(RotateSession(f"s-u{n}", 0, MONTH_MS))
        world.now_ms += 700
    for n in [*range(0, 30, 6), 3, 9, 1]:
        verified = "newer" if n % 5 == 0 else f"hash-u{n}"
        world.do(OpenSession(f"t-u{n}", f"u{n}", verified, "", MONTH_MS), scope=f"login:u{n}")
    tomorrow = (TODAY + 1) * CELLS_PER_DAY
    grid = world.grid((tomorrow - HOUR, 6))
    world.booked("late", "A1", tomorrow - HOUR, 3, grid=grid, user="bob")
    return world


def test_a_recorded_log_still_means_the_same() -> None:
    """Its digest is the one of the time when the file was written, and its state is the one in the file."""
    state = _old_world().state
    assert state.digest.hex() == OLD_DIGEST
    assert written(state) == written(restore([OLD_FILE.read_bytes()]))


def test_a_damaged_file_of_the_version_before_is_refused() -> None:
    data = OLD_FILE.read_bytes()
    for at in range(0, len(data), 97):
        damaged = bytearray(data)
        damaged[at] ^= 1
        with pytest.raises(snapshot.SnapshotError):
            restore([bytes(damaged)])


def test_many_live_bookings_of_one_day() -> None:
    """The index by day keeps its order and its shape on both sides of the limit."""
    world = World(spaces=(new_space(seats=tuple(f"S{number}" for number in range(30))),))
    ids = [f"b{number}" for number in range(3 * MAX_DAY_TUPLE)]
    for number, booking_id in enumerate(ids):
        world.booked(booking_id, f"S{number}")
    state = world.state
    while ids:
        assert list(state.user_bookings_on_day("ann", TODAY)) == ids
        again = restore(state.freeze().chunks())
        assert again.live_by_day == state.live_by_day
        assert {type(value) for value in again.live_by_day.values()} == {
            type(value) for value in state.live_by_day.values()
        }
        world.cancel(ids.pop(len(ids) // 2))
    assert state.user_bookings_on_day("ann", TODAY) == ()


@given(st.lists(st.sampled_from(["add", "add", "add", "take", "look"]), max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_are_a_queue_with_views(small: None, steps: list[str]) -> None:
    queue: Pages[int] = Pages()
    plain: list[int] = []
    views = []
    for number, step in enumerate(steps):
        if step == "add":
            queue.append(number)
            plain.append(number)
        elif step == "look":
            views.append((queue.view(), list(plain)))
        elif plain:
            queue.drop_first()
            del plain[0]
        assert (len(queue), list(queue), queue.first()) == (len(plain), plain, plain[0] if plain else None)
        assert len(queue._full) <= len(plain) // 3 + 1, "pages that have been taken go"
    for view, was in views:
        assert [item for run in view.runs() for item in run] == was
        assert len(view) == len(was)


def test_pages_cost_a_collection_nothing() -> None:
    queue: Pages[str] = Pages()
    for number in range(3 * pages.PAGE_ITEMS):
        queue.append(str(number))
    gc.collect()
    assert not any(gc.is_tracked(page) for page in queue._full)


def test_a_restored_state_keeps_each_record_once() -> None:
    """As a state that applied the log does; an answer about a booking that has changed since keeps the old record."""
    world = World()
    world.do(world.booking("b1"), scope="ann", session="s-ann", key="k1")
    world.do(world.booking("b2", "A2"), scope="ann", session="s-ann", key="k2")
    world.cancel("b2")
    state = restore(world.state.freeze().chunks())
    first, second = state.outcome_of("ann", "k1"), state.outcome_of("ann", "k2")
    assert first is not None
    assert first.result is state.bookings["b1"]
    assert second is not None
    assert isinstance(second.result, Booking)
    assert second.result.status == "confirmed"
    assert state.checksum() == world.state.checksum()
