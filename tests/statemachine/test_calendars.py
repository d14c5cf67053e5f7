"""Calendar feeds: one for each user, replaced and taken away at once, kept by snapshots, gone with an account."""

from __future__ import annotations

import pytest

from statemachine import calendars
from statemachine.feeds import CalendarClosed, CalendarFeed, CalendarOpened, CloseCalendar, OpenCalendar
from statemachine.outcomes import Outcome
from statemachine.people_commands import EraseAccount
from statemachine.state import restore
from tests.statemachine.builders import World


def given(world: World, number: int, user: str = "ann") -> Outcome:
    return world.do(OpenCalendar(f"f{number}", bytes([number]) * 32), scope=user, session=f"s-{user}")


def test_a_feed_replaces_the_one_before() -> None:
    world = World()
    first = given(world, 1)
    assert first.ok and isinstance(first.result, CalendarFeed)
    assert [type(event) for _, event in world.applied.events] == [CalendarOpened]
    assert first.result.revision == f"{first.index}.{first.position}"
    assert given(world, 2).ok and given(world, 3, "bob").ok
    state = world.state
    assert (
        {feed.id for feed in state.calendars_by_hash.values()}
        == {"f2", "f3"}
        == {feed.id for feed in state.calendars.values()}
    )


def test_closing_is_for_ones_own_and_harmless_twice() -> None:
    world = World()
    given(world, 1)
    given(world, 2, "bob")
    for events in ([CalendarClosed], []):
        assert world.do(CloseCalendar(), scope="ann", session="s-ann").ok
        assert [type(event) for _, event in world.applied.events] == events
    assert list(world.state.calendars) == ["bob"]
    assert world.do(CloseCalendar(), scope="x", session="nobody").code == "unauthenticated"


def test_what_a_node_may_not_send_is_malformed() -> None:
    world = World()
    assert world.do(OpenCalendar("", b"x" * 32), scope="ann", session="s-ann").code == "malformed"
    assert world.do(OpenCalendar("f", b"x" * 31), scope="ann", session="s-ann").code == "malformed"
    assert given(world, 1).ok
    assert given(world, 1, "bob").code == "duplicate-id"


def test_the_limit_has_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calendars, "MAX_CALENDARS", 1)
    world = World()
    assert given(world, 1).ok
    assert given(world, 2, "bob").code == "too-many-calendars"
    assert given(world, 3).ok  # instead of one's own


def test_a_snapshot_keeps_feeds_in_their_order() -> None:
    world = World()
    given(world, 1)
    given(world, 2, "bob")
    frozen = world.state.freeze()
    given(world, 3)
    restored = restore(frozen.chunks())
    assert [feed.id for feed in restored.calendars.values()] == ["f1", "f2"]
    again = restore(world.state.freeze().chunks())
    assert again.checksum() == world.state.checksum()
    assert (again.calendars, again.calendars_by_hash) == (
        world.state.calendars,
        world.state.calendars_by_hash,
    )
    assert list(again.calendars) == ["bob", "ann"]


def test_erasing_an_account_takes_its_feed() -> None:
    world = World()
    given(world, 1)
    assert world.do(EraseAccount("hash-ann"), scope="ann", session="s-ann").ok
    assert not world.state.calendars and not world.state.calendars_by_hash
