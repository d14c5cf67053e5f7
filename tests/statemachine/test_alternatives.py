"""What is offered instead of a taken seat: near, bookable, and really free."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from statemachine import limits
from statemachine.records import CELLS_PER_DAY, Alternative
from tests.statemachine.builders import FREE_CELL, HOUR, NOW_CELL, OPEN_CELL, SEATS, TODAY, World, new_space


def test_the_nearest_times_and_the_next_seats() -> None:
    world = World()
    world.booked("b1", "A4")
    outcome = world.book("b2", "A4", user="bob")
    assert outcome.code == "seat-taken"
    assert outcome.alternatives == (
        Alternative("hq", "A4", FREE_CELL + HOUR, FREE_CELL + 2 * HOUR),
        Alternative("hq", "A4", FREE_CELL - HOUR, FREE_CELL),
        Alternative("hq", "A4", FREE_CELL + 2 * HOUR, FREE_CELL + 3 * HOUR),
        Alternative("hq", "A5", FREE_CELL, FREE_CELL + HOUR),
        Alternative("hq", "A6", FREE_CELL, FREE_CELL + HOUR),
        Alternative("hq", "A1", FREE_CELL, FREE_CELL + HOUR),
    )


def test_nothing_is_offered_when_nothing_is_free() -> None:
    world = World(spaces=(new_space("hq", 60, ("A1", "A2")),))
    grid = world.grid((FREE_CELL, 1))
    world.booked("b1", "A1", grid=grid)
    world.booked("b2", "A2", grid=grid)
    assert world.book("b3", "A1", grid=grid).alternatives == ()


def test_the_answer_to_a_crowd_is_made_once_and_again_after_a_change() -> None:
    world = World()
    world.booked("b1")
    first = world.book("b2").alternatives
    assert world.book("b3").alternatives is first
    world.booked("b4", "A2")
    assert Alternative("hq", "A2", FREE_CELL, FREE_CELL + HOUR) not in world.book("b5").alternatives
    world.now_ms += 3_600_000  # the slot before is past now
    assert all(other.start_cell >= FREE_CELL for other in world.book("b6").alternatives)


def test_only_so_many_seats_are_looked_at() -> None:
    seats = tuple(f"S{number}" for number in range(limits.MAX_SEATS_EXAMINED + 3))
    world = World(spaces=(new_space("hq", 60, seats),))
    for number in range(limits.MAX_SEATS_EXAMINED + 1):
        world.booked(f"b{number}", f"S{number}")
    assert {other.seat_id for other in world.book("x", "S0").alternatives} == {"S0"}
    assert {other.seat_id for other in world.book("x", "S3").alternatives} == {"S3", seats[-1], seats[-2]}


DAYS = tuple(TODAY * CELLS_PER_DAY + number * CELLS_PER_DAY for number in range(-1, 6))
GRIDS = (
    ((OPEN_CELL, 14),),
    tuple((day + 7 * HOUR + 6, 10) for day in DAYS),  # a zone half an hour off
    tuple((day, 24) for day in DAYS),  # around the clock
    ((OPEN_CELL, 3), (OPEN_CELL + 3 * HOUR, 4), (OPEN_CELL + 9 * HOUR, 23), (OPEN_CELL + 32 * HOUR + 3, 9)),
)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_alternatives_are_those_that_trying_everything_finds(data: st.DataObject) -> None:
    world = World()
    windows = data.draw(st.sampled_from(GRIDS))
    grid = world.grid(*windows)
    starts = [first + number * HOUR for first, count in windows for number in range(count)]
    starts = [start for start in starts if start > NOW_CELL]
    for number, (seat, start, slots) in enumerate(
        data.draw(
            st.lists(
                st.tuples(st.sampled_from(SEATS), st.sampled_from(starts), st.integers(1, 6)), max_size=25
            )
        )
    ):
        world.book(f"b{number}", seat, start, slots, grid=grid)
    seat, start, slots = data.draw(
        st.tuples(st.sampled_from(SEATS), st.sampled_from(starts), st.integers(1, 4))
    )
    outcome = world.book("x", seat, start, slots, grid=grid)
    if outcome.code != "seat-taken":
        assert outcome.alternatives == ()
        return
    reach = limits.ALTERNATIVES_REACH_CELLS
    near = [
        other
        for other in starts
        if start - reach <= other
        and other + slots * HOUR <= start + reach
        and _would_be_booked(world, seat, other, slots, windows)
    ]
    near.sort(key=lambda other: (abs(other - start), -other))
    place = SEATS.index(seat)
    others = [
        other
        for other in SEATS[place + 1 :] + SEATS[:place]
        if _would_be_booked(world, other, start, slots, windows)
    ]
    expected = [Alternative("hq", seat, other, other + slots * HOUR) for other in near[:3]]
    expected += [Alternative("hq", other, start, start + slots * HOUR) for other in others[:3]]
    assert list(outcome.alternatives) == expected
    for number, other in enumerate(outcome.alternatives):
        assert world.book(f"y{number}", other.seat_id, other.start_cell, slots, grid=grid).code in (
            "ok",
            "seat-taken",
        )
        if number == 0:
            assert world.state.bookings["y0"].seat_id == other.seat_id, "the first one is free for certain"


def _would_be_booked(
    world: World, seat: str, start: int, slots: int, windows: tuple[tuple[int, int], ...]
) -> bool:
    open_cells = {cell for first, count in windows for cell in range(first, first + count * HOUR)}
    taken = {
        cell
        for booking in world.state.bookings.values()
        if booking.seat_id == seat and booking.status == "confirmed"
        for cell in range(booking.start_cell, booking.end_cell)
    }
    wanted = range(start, start + slots * HOUR)
    return all(cell in open_cells and cell not in taken for cell in wanted)
