"""Birth, registration and sessions."""

from __future__ import annotations

import pytest

from statemachine import limits, users
from statemachine.commands import (
    BirthCluster,
    CloseSession,
    NewSpace,
    OpenSession,
    RegisterUser,
    RotateSession,
)
from statemachine.events import (
    ClusterBorn,
    PasswordRehashed,
    SessionEnded,
    SessionOpened,
    SessionRotated,
    SpaceCreated,
    UserRegistered,
)
from statemachine.records import Seat, Session
from tests.statemachine.builders import DAY_MS, HOUR_MS, MONTH_MS, NOW_MS, World, birth, new_space


def test_birth_makes_the_administrator_and_the_spaces() -> None:
    world = World(populated=False)
    assert not world.state.born
    outcome = world.do(birth(new_space("hq"), new_space("loft", 30)))
    assert outcome.ok
    assert world.state.born
    assert world.state.users["root"].role == "admin"
    assert list(world.state.spaces) == ["hq", "loft"]
    assert [type(event) for _, event in world.applied.events] == [
        UserRegistered,
        SpaceCreated,
        SpaceCreated,
        ClusterBorn,
    ]
    assert [position for position, _ in world.applied.events] == [0, 1, 2, 3]
    assert [space.revision for space in world.state.spaces.values()] == ["1.1", "1.2"]
    assert (outcome.index, outcome.position) == (1, 3)


def test_birth_happens_once() -> None:
    world = World()
    before = world.state.spaces.copy()
    assert world.do(birth(new_space("other"))).code == "already-born"
    assert world.state.spaces == before


def test_nothing_happens_before_birth() -> None:
    world = World(populated=False)
    command = RegisterUser("ann", "ann", "ann", "hash")
    assert world.do(command, key="k").code == "not-born"
    assert world.do(birth()).ok
    assert world.do(command, key="k").ok, "not-born is not remembered"


@pytest.mark.parametrize(
    "space",
    [
        new_space("", 60),
        new_space("x" * 65, 60),
        new_space("hq", 0),
        new_space("hq", 7),
        new_space("hq", 1445),
        new_space("hq", 60, ()),
        new_space("hq", 60, ("A1", "A1")),
        new_space("hq", 60, tuple(f"S{i}" for i in range(limits.MAX_SEATS_PER_SPACE + 1))),
        NewSpace("hq", "HQ", "Europe/Moscow", -1, 600, 60, (Seat("A1", "A1"),)),
        NewSpace("hq", "HQ", "Europe/Moscow", 0, 1441, 60, (Seat("A1", "A1"),)),
    ],
)
def test_a_senseless_space_is_malformed(space: NewSpace) -> None:
    world = World(populated=False)
    assert world.do(birth(space)).code == "malformed"
    assert world.do(birth(new_space("hq"), new_space("hq"))).code == "malformed"
    assert not world.state.born
    assert not world.state.users


def test_birth_without_an_administrator_is_malformed() -> None:
    world = World(populated=False)
    assert world.do(BirthCluster("", "Admin", "admin", "hash", (new_space(),))).code == "malformed"
    assert world.do(BirthCluster("root", "Admin", "admin", "", (new_space(),))).code == "malformed"


def test_register_and_find_by_login() -> None:
    world = World()
    outcome = world.do(RegisterUser("eve", "Ève", "eve", "hash"))
    assert outcome.ok
    user = world.state.user_by_login_key("eve")
    assert user is not None
    assert user == outcome.result
    assert (user.login, user.role, user.created_at_ms) == ("Ève", "user", NOW_MS)
    assert user.revision == f"{outcome.index}.{outcome.position}"
    assert world.state.user_by_login_key("nobody") is None


def test_a_login_belongs_to_one() -> None:
    world = World()
    assert world.do(RegisterUser("other", "ANN", "ann", "hash")).code == "login-taken"
    assert world.do(RegisterUser("ann", "Ann2", "ann2", "hash")).code == "duplicate-id"
    assert len(world.state.users) == 3


def test_users_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "MAX_USERS", 3)
    assert World().do(RegisterUser("eve", "eve", "eve", "hash")).code == "too-many-users"


def test_only_an_administrator_makes_an_administrator() -> None:
    world = World()
    command = RegisterUser("eve", "eve", "eve", "hash", "admin")
    assert world.do(command).code == "unauthenticated"
    assert world.do(command, session="s-ann").code == "unauthenticated"
    assert world.do(command, session="s-root").ok


def test_a_user_without_a_name_is_malformed() -> None:
    world = World()
    assert world.do(RegisterUser("eve", "", "eve", "hash")).code == "malformed"
    assert world.do(RegisterUser("eve", "eve", "eve", "h" * 513)).code == "malformed"


def test_log_in_makes_a_session_until_it_expires() -> None:
    world = World()
    outcome = world.do(OpenSession("s1", "ann", "hash-ann", "", HOUR_MS))
    session = outcome.result
    assert isinstance(session, Session)
    assert session == Session("s1", "ann", 0, NOW_MS, NOW_MS, NOW_MS + HOUR_MS, f"{outcome.index}.0")
    assert isinstance(world.applied.events[0][1], SessionOpened)
    assert world.state.session("s1", NOW_MS + HOUR_MS - 1) == session
    assert world.state.session("s1", NOW_MS + HOUR_MS) is None
    world.now_ms += HOUR_MS
    assert world.do(CloseSession(), session="s1").code == "unauthenticated"
    assert "s1" not in world.state.sessions


def test_log_in_after_the_password_changed() -> None:
    world = World()
    assert world.do(OpenSession("s1", "ann", "old-hash", "", HOUR_MS)).code == "credentials-changed"
    assert world.do(OpenSession("s1", "nobody", "hash", "", HOUR_MS)).code == "credentials-changed"


def test_log_in_may_rehash() -> None:
    world = World()
    outcome = world.do(OpenSession("s1", "ann", "hash-ann", "newer", HOUR_MS))
    assert [type(event) for _, event in world.applied.events] == [PasswordRehashed, SessionOpened]
    user = world.state.users["ann"]
    assert (user.password_hash, user.revision) == ("newer", f"{outcome.index}.0")
    assert outcome.position == 1
    assert world.do(OpenSession("s2", "ann", "hash-ann", "", HOUR_MS)).code == "credentials-changed"


def test_a_session_id_exists_once() -> None:
    assert World().do(OpenSession("s-bob", "ann", "hash-ann", "", HOUR_MS)).code == "duplicate-id"


@pytest.mark.parametrize("lifetime_ms", [0, -1, limits.MAX_SESSION_LIFETIME_MS + 1])
def test_a_senseless_lifetime_is_malformed(lifetime_ms: int) -> None:
    world = World()
    assert world.do(OpenSession("s1", "ann", "hash-ann", "", lifetime_ms)).code == "malformed"
    assert world.do(RotateSession("s-ann", 0, lifetime_ms)).code == "malformed"
    assert world.do(OpenSession("", "ann", "hash-ann", "", HOUR_MS)).code == "malformed"
    assert world.do(OpenSession("s1", "ann", "hash-ann", "x" * 513, HOUR_MS)).code == "malformed"


def test_the_oldest_session_makes_room() -> None:
    world = World()
    for number in range(limits.MAX_SESSIONS_PER_USER - 1):
        assert world.do(OpenSession(f"s{number}", "ann", "hash-ann", "", MONTH_MS)).ok
    assert world.do(RotateSession("s-ann", 0, MONTH_MS)).ok, "a rotation makes nobody younger"
    outcome = world.do(OpenSession("last", "ann", "hash-ann", "", MONTH_MS))
    assert outcome.ok
    assert world.applied.events[0][1] == SessionEnded("s-ann", "ann", "displaced", NOW_MS)
    assert outcome.position == 1
    assert "s-ann" not in world.state.sessions
    assert "s0" in world.state.sessions
    assert len(world.state.sessions_by_user["ann"]) == limits.MAX_SESSIONS_PER_USER


def test_rotation_moves_the_end_and_the_generation() -> None:
    world = World()
    world.now_ms += DAY_MS
    outcome = world.do(RotateSession("s-ann", 0, MONTH_MS))
    session = world.state.sessions["s-ann"]
    assert outcome.result == session
    assert (session.generation, session.rotated_at_ms) == (1, world.now_ms)
    assert session.expires_at_ms == world.now_ms + MONTH_MS
    assert session.created_at_ms == NOW_MS
    assert isinstance(world.applied.events[0][1], SessionRotated)
    world.now_ms = NOW_MS + MONTH_MS  # the first end, which no longer counts
    world.batch()
    assert "s-ann" in world.state.sessions
    assert "s-bob" not in world.state.sessions
    world.now_ms = session.expires_at_ms
    world.batch()
    assert "s-ann" not in world.state.sessions


def test_a_shorter_lifetime_counts_from_the_rotation() -> None:
    world = World()
    assert world.do(RotateSession("s-ann", 0, HOUR_MS)).ok
    world.now_ms += HOUR_MS
    world.batch()
    assert "s-ann" not in world.state.sessions
    world.now_ms += MONTH_MS
    world.batch()


def test_an_old_refresh_token_ends_the_session() -> None:
    world = World()
    assert world.do(RotateSession("s-ann", 0, MONTH_MS)).ok
    outcome = world.do(RotateSession("s-ann", 0, MONTH_MS))
    assert outcome.code == "refresh-reused"
    assert world.applied.events[0][1] == SessionEnded("s-ann", "ann", "refresh-reused", NOW_MS)
    assert world.do(RotateSession("s-ann", 1, MONTH_MS)).code == "unauthenticated"


@pytest.mark.parametrize(("session_id", "generation"), [("s-ann", 1), ("s-ann", -1), ("nobody", 0)])
def test_a_refresh_token_never_given_is_refused(session_id: str, generation: int) -> None:
    world = World()
    assert world.do(RotateSession(session_id, generation, MONTH_MS)).code == "unauthenticated"
    assert "s-ann" in world.state.sessions


def test_log_out() -> None:
    world = World()
    assert world.do(CloseSession(), session="s-ann").ok
    assert world.applied.events == [(0, SessionEnded("s-ann", "ann", "logged-out", NOW_MS))]
    assert world.state.session("s-ann", NOW_MS) is None
    assert world.do(CloseSession(), session="s-ann").code == "unauthenticated"
    assert world.book(user="ann").code == "unauthenticated"
    assert world.cancel("b1").code == "unauthenticated"


def test_ended_sessions_do_not_pile_up() -> None:
    world = World()
    for number in range(1_500):
        world.batch(
            world.envelope(OpenSession(f"s{number}", "ann", "hash-ann", "", MONTH_MS)),
            world.envelope(CloseSession(), scope="ann", session=f"s{number}"),
        )
    assert len(world.state.sessions) == 3
    assert len(world.state.session_ends) < 1_100
