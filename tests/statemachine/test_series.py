"""Series: all or what is free, an answer for each day, and giving up the rest."""

from __future__ import annotations

from statemachine.commands import BookSeries, CancelSeries
from statemachine.limits import MAX_SERIES_BOOKINGS
from statemachine.outcomes import Outcome
from statemachine.records import CELLS_PER_DAY, Planned, Together
from statemachine.snapshot import table_checksums
from statemachine.state import restore
from tests.statemachine.builders import DAY_MS, FREE_CELL, OPEN_CELL, World
from tests.statemachine.checker import complaints

WEEK = 7 * CELLS_PER_DAY


def plan(
    world: World, weeks: int = 4, *, whole: bool = True, user: str = "ann", series: str = "s1"
) -> Outcome:
    items = tuple(
        world.booking(
            f"{series}-{week}", "A1", FREE_CELL + week * WEEK, grid=world.grid((OPEN_CELL + week * WEEK, 14))
        )
        for week in range(weeks)
    )
    return world.do(BookSeries(series, "FREQ=WEEKLY", whole, items), scope=user, session=f"s-{user}")


def give_up(world: World, series: str = "s1", start: str = "", user: str = "ann") -> Outcome:
    return world.do(CancelSeries(series, start, "moving away"), scope=user, session=f"s-{user}")


def take_week(world: World, week: int) -> None:
    grid = world.grid((OPEN_CELL + week * WEEK, 14))
    world.booked(f"bob-{week}", "A1", FREE_CELL + week * WEEK, grid=grid, user="bob")


def test_a_whole_series() -> None:
    world = World()
    outcome = plan(world)
    assert outcome.ok
    assert isinstance(outcome.result, Planned)
    assert [item.code for item in outcome.result.items] == ["ok"] * 4
    series = world.state.series["s1"]
    assert series.booking_ids == ("s1-0", "s1-1", "s1-2", "s1-3")
    assert series.revision == f"{outcome.index}.{outcome.position}"
    restored = restore(world.state.freeze().chunks())
    assert restored.series == world.state.series
    assert not complaints(restored)


def test_a_whole_series_with_one_day_taken_is_nothing() -> None:
    world = World()
    take_week(world, 2)
    before = table_checksums(world.state)
    outcome = plan(world)
    assert outcome.code == "seat-taken"
    assert isinstance(outcome.result, Together)
    assert [item.code for item in outcome.result.items] == ["ok", "ok", "seat-taken", "ok"]
    after = table_checksums(world.state)
    assert [name for name in after if after[name] != before[name]] == ["outcomes"]


def test_whatever_is_free() -> None:
    world = World()
    take_week(world, 2)
    outcome = plan(world, whole=False)
    assert outcome.ok
    assert isinstance(outcome.result, Planned)
    assert [item.code for item in outcome.result.items] == ["ok", "ok", "seat-taken", "ok"]
    assert outcome.result.items[2].alternatives
    assert outcome.result.starts[2] == FREE_CELL + 2 * WEEK
    assert world.state.series["s1"].booking_ids == ("s1-0", "s1-1", "s1-3")
    assert not complaints(world.state)


def test_nothing_is_free() -> None:
    world = World()
    take_week(world, 0)
    take_week(world, 1)
    outcome = plan(world, 2, whole=False)
    assert outcome.code == "seat-taken"
    assert not world.state.series


def test_the_rest_is_given_up() -> None:
    world = World()
    plan(world)
    world.cancel("s1-1")
    outcome = give_up(world, start="s1-2")
    assert outcome.ok
    assert isinstance(outcome.result, Together)
    assert [item.booking.id for item in outcome.result.items if item.booking] == ["s1-2", "s1-3"]
    assert world.state.bookings["s1-0"].status == "confirmed"
    assert world.state.history_of(world.state.bookings["s1-3"])[-1].reason == "moving away"
    again = give_up(world, start="s1-2")
    assert again.ok
    assert isinstance(again.result, Together)
    assert not again.result.items
    assert not complaints(world.state)


def test_what_has_begun_is_not_given_up() -> None:
    world = World()
    plan(world)
    world.now_ms += 8 * DAY_MS
    outcome = give_up(world)
    assert isinstance(outcome.result, Together)
    assert [item.booking.id for item in outcome.result.items if item.booking] == ["s1-2", "s1-3"]


def test_whose_series_it_is() -> None:
    world = World()
    plan(world)
    assert give_up(world, user="bob").code == "series-not-found"
    assert give_up(world, "none").code == "series-not-found"
    assert give_up(world, start="none").code == "booking-not-found"
    assert give_up(world, user="root").ok


def test_bounds() -> None:
    world = World()
    assert plan(world, 0).code == "malformed"
    assert plan(world, MAX_SERIES_BOOKINGS + 1).code == "malformed"
    assert plan(world, 1).ok
    assert plan(world, 1).code == "duplicate-id"
