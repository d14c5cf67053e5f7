"""One's own account, and what administrators do to other people's: each rule, its refusals, and what erasing leaves."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statemachine import limits, people, throttle
from statemachine.commands import (
    KEEP_CLIENT_KEY_MS,
    BookSeries,
    CancelBooking,
    CloseSession,
    Command,
    OpenSession,
    RegisterUser,
    RotateSession,
)
from statemachine.events import BookingCancelled, SessionEnded
from statemachine.feed import BEGINNING
from statemachine.people_commands import (
    ChangePassword,
    EndSessions,
    EndSessionsOf,
    EraseAccount,
    LogIn,
    NoteAct,
    NoteFailures,
    ResetPassword,
    SetBlocked,
    SetRole,
)
from statemachine.people_events import AccountErased, BookingsErased
from statemachine.records import ERASED
from statemachine.snapshot import table_checksums
from statemachine.state import State, restore
from tests.statemachine.builders import DAY_MS, FREE_CELL, HOUR, HOUR_MS, MONTH_MS, OPEN_CELL, World
from tests.statemachine.checker import complaints


def log_in(user: str, session: str = "", verified: str = "", forget: tuple[str, ...] = ()) -> LogIn:
    return LogIn(session or f"s-{user}", user, verified or f"hash-{user}", "", MONTH_MS, forget)


def same(world: World) -> None:
    """A restored state is the same, and nothing derived is off."""
    restored = restore(world.state.freeze().chunks())
    assert restored.checksum() == world.state.checksum()
    for name in (
        "erasing",
        "administrators",
        "keys_by_scope",
        "live_by_day",
        "bookings_by_user",
    ):
        assert getattr(restored, name) == getattr(world.state, name), name
    assert complaints(world.state) == []


def audited(world: World) -> list[tuple[str, str, str]]:
    return [(record.actor, record.what, record.subject) for record in world.state.audit]


# --- one's own account ------------------------------------------------------------------------------------------


def test_a_changed_password_ends_all_other_sessions() -> None:
    world = World()
    world.do(log_in("ann", "s-2"), scope="login:ann")
    assert world.do(ChangePassword("hash-ann", "newer"), session="s-ann").ok
    assert list(world.state.sessions) == ["s-root", "s-ann", "s-bob"]
    assert world.state.users["ann"].password_hash == "newer"
    assert world.do(log_in("ann", "s-3"), scope="login:ann").code == "credentials-changed"
    assert world.do(log_in("ann", "s-3", "newer"), scope="login:ann").ok
    assert world.do(ChangePassword("hash-ann", "newest"), session="s-ann").code == "credentials-changed"
    assert world.do(ChangePassword("newer", ""), session="s-ann").code == "malformed"
    assert world.do(ChangePassword("newer", "x" * 513), session="s-ann").code == "malformed"
    same(world)


def test_sessions_end_one_by_one_or_all() -> None:
    world = World()
    for number in range(3):
        world.do(log_in("ann", f"t{number}"), scope="login:ann")
    assert world.do(EndSessions("t1"), session="s-ann").ok
    assert world.do(EndSessions("t1"), session="s-ann").code == "session-not-found"
    assert world.do(EndSessions("s-bob"), session="s-ann").code == "session-not-found", "another user's"
    assert [session.id for session in world.state.user_sessions("ann")] == ["s-ann", "t0", "t2"]
    assert world.do(EndSessions(""), session="s-ann").ok
    assert world.state.user_sessions("ann") == []
    assert [event.reason for _, event in world.applied.events if isinstance(event, SessionEnded)] == [
        "logged-out-everywhere"
    ] * 3
    assert world.do(CancelBooking("b1"), session="s-ann").code == "unauthenticated"


def test_a_key_belongs_to_the_user_of_the_session() -> None:
    """A command under one user's key and another one's session is nobody's."""
    world = World()
    assert world.do(world.booking(), scope="bob", session="s-ann").code == "unauthenticated"
    assert not world.state.bookings


# --- administrators ---------------------------------------------------------------------------------------------


def test_a_blocked_user_is_out_at_once_and_comes_back_when_let_in() -> None:
    world = World()
    world.booked("b1")
    assert world.do(SetBlocked("ann", blocked=True), session="s-root").ok
    assert world.state.user_sessions("ann") == []
    assert world.book("b2", "A2").code == "unauthenticated"
    assert world.do(RotateSession("s-ann", 0, MONTH_MS), scope="session:s-ann").code == "unauthenticated"
    assert world.do(log_in("ann", "s-2"), scope="login:ann").code == "user-blocked"
    old = OpenSession("s-2", "ann", "hash-ann", "", MONTH_MS)
    assert world.do(old, scope="login:ann").code == "user-blocked"
    assert world.state.bookings["b1"].status == "confirmed", "what was booked stays"
    assert world.do(SetBlocked("ann", blocked=True), session="s-root").ok, "it is so already"
    same(world)
    assert world.do(SetBlocked("ann", blocked=False), session="s-root").ok
    assert not world.state.standings
    assert world.do(log_in("ann"), scope="login:ann").ok
    assert audited(world) == [("root", "user-blocked", "ann"), ("root", "user-unblocked", "ann")]


def test_a_one_time_password_can_only_be_changed() -> None:
    world = World()
    assert world.do(ResetPassword("ann", "once"), session="s-root").ok
    assert world.state.user_sessions("ann") == []
    assert world.do(log_in("ann", "s-ann", "once"), scope="login:ann").ok
    same(world)
    assert world.book().code == "password-change-needed"
    assert world.do(NoteAct("x", "y", ""), session="s-ann").code == "password-change-needed"
    assert world.do(ChangePassword("once", "own"), session="s-ann").ok
    assert world.book().ok
    assert not world.state.standings
    assert audited(world) == [("root", "password-reset", "ann")]


def test_roles_change_and_the_last_administrator_stays() -> None:
    world = World()
    assert world.do(SetRole("root", "user"), session="s-root").code == "last-administrator"
    assert world.do(SetBlocked("root", blocked=True), session="s-root").code == "last-administrator"
    assert world.do(EraseAccount("hash-root"), session="s-root").code == "last-administrator"
    assert world.do(SetRole("ann", "admin"), session="s-root").ok
    assert world.do(SetRole("ann", "admin"), session="s-root").ok, "it is so already"
    assert world.do(SetBlocked("ann", blocked=True), session="s-root").ok
    assert world.do(SetRole("root", "user"), session="s-root").code == "last-administrator", "ann is blocked"
    assert world.do(SetBlocked("ann", blocked=False), session="s-root").ok
    assert world.do(SetRole("root", "user"), session="s-root").ok
    assert world.do(SetRole("root", "admin"), session="s-root").code == "forbidden"
    assert [what for _, what, _ in audited(world)] == [
        "user-promoted",
        "user-blocked",
        "user-unblocked",
        "user-demoted",
    ]
    same(world)


def test_an_administrator_logs_a_user_out_everywhere() -> None:
    """They may come in again; when there is nothing to end there is no record."""
    world = World()
    world.do(log_in("ann", "t1"), scope="login:ann")
    assert world.do(EndSessionsOf("ann"), session="s-root").ok
    assert [event.reason for _, event in world.applied.events if isinstance(event, SessionEnded)] == [
        "ended-by-administrator"
    ] * 2
    assert world.state.user_sessions("ann") == []
    assert world.do(EndSessionsOf("ann"), session="s-root").ok
    assert [(each.what, each.subject) for each in world.state.audit] == [("sessions-ended", "ann")]
    assert world.do(log_in("ann", "t2"), scope="login:ann").ok
    assert world.do(EndSessionsOf("root"), session="s-root").ok, "oneself too"
    assert world.do(NoteAct("a", "b", "c"), session="s-root").code == "unauthenticated"


@pytest.mark.parametrize(
    "command",
    [
        SetBlocked("bob", blocked=True),
        EndSessionsOf("bob"),
        ResetPassword("bob", "h"),
        SetRole("bob", "admin"),
        NoteAct("a", "b", "c"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_only_administrators_may(command: Command) -> None:
    world = World()
    before = world.state.users, world.state.sessions.copy()
    assert world.do(command, session="s-ann").code == "forbidden"
    assert (world.state.users, world.state.sessions) == before
    assert not len(world.state.audit)
    if not isinstance(command, NoteAct):
        nobody = msgspec.structs.replace(command, user_id="nobody")
        assert world.do(nobody, session="s-root").code == "user-not-found"


def test_an_act_elsewhere_is_recorded() -> None:
    world = World()
    assert world.do(NoteAct("member-removed", "n3", "why not"), session="s-root").ok
    (record,) = world.state.audit
    assert (record.actor, record.what, record.subject, record.detail) == (
        "root",
        "member-removed",
        "n3",
        "why not",
    )
    assert (record.index, record.position) == (world.state.index, 0)
    same(world)


# --- erasing ----------------------------------------------------------------------------------------------------


def everything_of(world: World) -> None:
    """Gives "walburga" what a person can have: past, cancelled, moved and live bookings, sessions, remembered keys."""
    keys = {"keep_ms": KEEP_CLIENT_KEY_MS, "fingerprint": b"f" * 16}
    register = RegisterUser("u-17", "Walburga", "walburga", "argon2-of-walburga")
    assert world.do(register, scope="login:walburga", key="k1", **keys).ok
    login = LogIn("s-u-17", "u-17", "argon2-of-walburga", "", MONTH_MS, ())
    assert world.do(login, scope="login:walburga", key="k2", **keys).ok
    rotate = RotateSession("s-u-17", 0, MONTH_MS)
    assert world.do(rotate, scope="session:s-u-17", key="k3", **keys).ok
    assert world.booked("live", "A1", FREE_CELL + 4 * HOUR, user="u-17")
    assert world.booked("over", "A2", FREE_CELL, user="u-17")
    assert world.booked("cancelled", "A3", user="u-17")
    assert world.cancel("cancelled", user="u-17").ok
    assert world.do(world.booking("keyed", "A4"), session="s-u-17", key="k4", **keys).ok
    assert world.cancel("keyed", user="root").ok, "by an administrator: it has a history"
    assert "keyed" in world.state.steps_by_booking
    weekly = (world.booking("weekly", "A5", FREE_CELL + 8 * HOUR),)
    assert world.do(BookSeries("series-1", "FREQ=WEEKLY;COUNT=1", True, weekly), session="s-u-17").ok
    world.now_ms += 4 * HOUR_MS
    world.batch()


def test_an_erased_user_leaves_no_personal_data() -> None:
    world = World()
    everything_of(world)
    written = b"".join(world.state.freeze().chunks())
    assert b"walburga" in written
    assert world.do(EraseAccount("argon2-of-walburga"), session="s-u-17").ok
    cancelled = [event for _, event in world.applied.events if isinstance(event, BookingCancelled)]
    assert [(event.booking.id, event.booking.user_id, event.by_user_id) for event in cancelled] == [
        ("weekly", ERASED, ERASED),
        ("live", ERASED, ERASED),
    ]
    (over,) = [event for _, event in world.applied.events if isinstance(event, BookingsErased)]
    assert sorted(over.booking_ids) == ["cancelled", "keyed", "over"]
    assert any(isinstance(event, AccountErased) for _, event in world.applied.events)
    written = b"".join(world.state.freeze().chunks())
    for text in (b"Walburga", b"walburga", b"argon2-of-walburga", b"s-u-17", b"series-1"):
        assert text not in written, text
    told = [event for _, _, event in world.state.feed.after(BEGINNING, 1_000)]
    mine = [event for event in told if b"u-17" in msgspec.msgpack.encode(event)]
    assert {type(event) for event in mine} == {SessionEnded, AccountErased}, "those of the erasure itself"
    assert {booking.user_id for booking in world.state.bookings.values()} == {ERASED}
    assert world.state.bookings["over"].status == "confirmed", "still counted"
    assert world.state.seat_cells("hq", "A1", FREE_CELL // 288) == 0, "the live one is free again"
    assert audited(world) == [(ERASED, "account-erased", "u-17")]
    same(world)
    world.now_ms += DAY_MS
    world.batch()
    same(world)
    assert not world.state.outcomes


def test_the_login_is_free_and_the_id_is_not() -> None:
    world = World()
    assert world.do(EraseAccount("hash-bob"), session="s-ann").code == "credentials-changed"
    assert world.do(EraseAccount("hash-ann"), session="s-ann").ok
    assert world.do(RegisterUser("ann", "ann", "ann", "h"), scope="login:ann").code == "duplicate-id"
    assert world.do(log_in("ann", "s-2", ""), scope="login:ann").code == "credentials-changed"
    empty = LogIn("s-2", "ann", "", "", MONTH_MS, ())
    assert world.do(empty, scope="login:ann").code == "credentials-changed"
    assert world.do(SetBlocked("ann", blocked=True), session="s-root").code == "user-not-found"
    assert world.do(RegisterUser("ann2", "ann", "ann", "h"), scope="login:ann").ok
    same(world)


def test_a_repeated_erasure_is_answered_once() -> None:
    world = World()
    terms: dict[str, object] = {"key": "k", "keep_ms": KEEP_CLIENT_KEY_MS, "session": "s-ann"}
    first = world.do(EraseAccount("hash-ann"), **terms)
    assert first.ok
    assert world.do(EraseAccount("hash-ann"), **terms) == first


def test_erasing_many_bookings_takes_several_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The person is gone at once, the bookings follow, newest first; a restored state goes on where it was."""
    monkeypatch.setattr(people, "ERASE_STEP", 3)
    world = World()
    for number in range(8):
        seat, hour = f"A{number % 4 + 1}", number // 4 * HOUR
        world.booked(f"b{number}", seat, FREE_CELL + hour)
    world.booked("bob1", "A5", user="bob")
    world.do(EraseAccount("hash-bob"), session="s-bob")
    assert not world.state.erasing
    world.do(EraseAccount("hash-ann"), session="s-ann")
    assert list(world.state.erasing) == ["ann"]
    other = World(restore(world.state.freeze().chunks()), populated=False)
    for left in (2, 0, 0):
        for each in (world, other):
            each.batch()
        assert len(world.state.bookings_by_user.get("ann", ())) == left
        assert world.state.checksum() == other.state.checksum()
        assert world.state.digest == other.state.digest
        same(world)
    assert {booking.status for booking in world.state.bookings.values()} == {"cancelled"}


def test_a_view_shows_what_was_before_the_erasure() -> None:
    world = World()
    everything_of(world)
    before = world.state.checksum()
    frozen = world.state.freeze()
    chunks = frozen.chunks()
    first = next(chunks)
    world.do(EraseAccount("argon2-of-walburga"), session="s-u-17")
    world.now_ms += 2 * DAY_MS
    world.batch()
    assert restore([first, *chunks]).checksum() == before


# --- failed log-ins ---------------------------------------------------------------------------------------------


def test_delays_double_up_to_a_short_cap() -> None:
    assert [throttle.delay_ms("n1", count) for count in range(4, 12)] == [
        0, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000
    ]  # fmt: skip
    assert throttle.delay_ms("l1", 19) == 0
    assert [throttle.delay_ms("l1", count) for count in (20, 21, 30, 1_000)] == [1_000, 2_000, 15_000, 15_000]
    assert throttle.delay_ms("d1", 1_000) == 60_000


def test_failures_add_up_and_a_log_in_forgets_them() -> None:
    world = World()
    assert world.do(NoteFailures((("n1", 4), ("l1", 4)))).ok
    world.now_ms += 1_000
    assert world.do(NoteFailures((("n1", 2),))).ok
    assert (world.state.failures["n1"].count, world.state.failures["n1"].last_ms) == (6, world.now_ms)
    assert list(world.state.failures) == ["l1", "n1"], "those that are quiet for longest stand first"
    same(world)
    assert world.do(log_in("ann", "s-2", forget=("n1", "l1", "d1")), scope="login:ann").ok
    assert not world.state.failures
    assert world.do(log_in("ann", "s-3", forget=("n1",) * 9), scope="login:ann").code == "malformed"


def test_failures_are_forgotten_by_log_time() -> None:
    world = World()
    world.do(NoteFailures((("n1", 4),)))
    world.now_ms += throttle.FORGET_MS - 1
    world.do(NoteFailures((("n2", 4),)))
    world.now_ms += 1
    world.batch()
    assert list(world.state.failures) == ["n2"]


def test_strangers_cannot_fill_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MAX_FAILURE_ROWS", 3)
    world = World()
    for number in range(9):
        world.do(NoteFailures(((f"n{number}", 1), ("l-victim", 1))))
    assert list(world.state.failures) == ["n7", "n8", "l-victim"], "who is attacked all the time stays"


@pytest.mark.parametrize(
    "failures",
    [(), (("n1", 0),), (("x1", 1),), (("n", 1),), (("n" * 65, 1),), (("n1", 1_001),), (("n1", 1),) * 65],
    ids=str,
)
def test_what_no_node_would_note(failures: tuple[tuple[str, int], ...]) -> None:
    assert len(failures) <= limits.MAX_FAILURES_NOTED + 1
    world = World()
    assert world.do(NoteFailures(failures)).code == "malformed"
    assert not world.state.failures


# --- every log --------------------------------------------------------------------------------------------------

_PEOPLE = st.sampled_from(["root", "ann", "bob", "nobody"])
_HASHES = st.sampled_from([f"hash-{user}" for user in ("root", "ann", "bob")] + ["newer"])
_SESSIONS = st.sampled_from(["s-root", "s-root", "s-ann", "s-bob", "t1", "t2"])
_KEYS = st.sampled_from(["n1", "n2", "l1", "d1"])


def _commands() -> st.SearchStrategy[Command]:
    return st.one_of(
        st.builds(
            lambda sid, user, h: LogIn(sid, user, h, "", MONTH_MS, ("n1",)), _SESSIONS, _PEOPLE, _HASHES
        ),
        st.builds(ChangePassword, _HASHES, st.just("newer")),
        st.builds(EndSessions, st.sampled_from(["", "t1", "t2", "s-ann"])),
        st.builds(SetBlocked, _PEOPLE, st.booleans()),
        st.builds(EndSessionsOf, _PEOPLE),
        st.builds(ResetPassword, _PEOPLE, st.just("newer")),
        st.builds(SetRole, _PEOPLE, st.sampled_from(["user", "admin"])),
        st.builds(EraseAccount, _HASHES),
        st.builds(lambda key, count: NoteFailures(((key, count),)), _KEYS, st.integers(1, 9)),
        st.builds(NoteAct, st.just("member-added"), st.just("n4"), st.just("")),
        st.builds(lambda user: RegisterUser(f"{user}2", user, user, f"hash-{user}"), _PEOPLE),
        st.builds(CancelBooking, st.sampled_from(["b0", "b1", "b2"])),
        st.just(CloseSession()),
        st.tuples(st.integers(0, 3), st.integers(1, 3)).map(
            lambda place: place
        ),  # a booking, made with its world
    )


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_members_never_part_and_an_administrator_is_always_there(data: st.DataObject) -> None:
    """Random acts on three people, one member straight on and one restored before some entries: equal digests, equal tables,
    repetitions that change nothing, and at every moment somebody who can administer.
    """
    one = World()
    other = World(restore(one.state.freeze().chunks()), populated=False)
    other.requests = one.requests
    booked = 0
    for number in range(data.draw(st.integers(3, 14), "entries")):
        command = data.draw(_commands(), "command")
        session = data.draw(_SESSIONS, "session")
        living = one.state.sessions.get(session)
        scope = living.user_id if living is not None else "ann"
        if isinstance(command, tuple):
            start = FREE_CELL + command[0] * HOUR
            command = one.booking(f"b{booked}", f"A{command[1]}", start, grid=one.grid((OPEN_CELL, 14)))
            booked += 1
        if data.draw(st.booleans(), "restored"):
            other.state = restore(other.state.freeze().chunks())
        terms: dict[str, object] = {"scope": scope, "session": session, "key": f"k{number}"}
        first = one.do(command, **terms)
        events = one.applied.events
        assert other.do(command, **terms) == first
        assert other.applied.events == events
        assert one.state.digest == other.state.digest
        assert one.state.checksum() == other.state.checksum()
        assert complaints(one.state) == []
        assert any(
            user.role == "admin" and not people.is_blocked(one.state, user.id)
            for user in one.state.users.values()
        )
        for blocked in one.state.standings.values():
            assert not (blocked.blocked_at_ms and one.state.user_sessions(blocked.user_id))
        if first.ok:
            before = table_checksums(one.state)
            again = one.do(command, **terms)
            other.do(command, **terms)
            assert again == first
            assert not one.applied.events
            assert table_checksums(one.state) == before


def test_an_empty_state_has_nobody_to_administer() -> None:
    assert not State().administrators
