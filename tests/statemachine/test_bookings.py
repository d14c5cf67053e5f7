"""Booking, cancelling, and what a grid allows."""

from __future__ import annotations

import pytest

from statemachine import limits
from statemachine.commands import DayGrid
from statemachine.events import BookingCancelled, SeatBooked
from statemachine.records import CELL_MS, CELLS_PER_DAY, Booking
from tests.statemachine.builders import FREE_CELL, HOUR, NOW_CELL, NOW_MS, OPEN_CELL, TODAY, World, new_space
from tests.statemachine.checker import complaints


def test_a_seat_is_booked() -> None:
    world = World()
    outcome = world.book("b1", "A1", FREE_CELL, 2)
    booking = world.state.bookings["b1"]
    revision = f"{outcome.index}.0"
    assert outcome.result == booking
    assert booking == Booking(
        "b1", "hq", "A1", "ann", FREE_CELL, FREE_CELL + 24, "confirmed", NOW_MS, 0, revision
    )
    assert world.applied.events == [(0, SeatBooked(booking, NOW_MS))]
    assert world.state.seat_cells("hq", "A1", TODAY) == ((1 << 24) - 1) << (FREE_CELL % CELLS_PER_DAY)
    assert world.state.seat_cells("hq", "A2", TODAY) == 0
    assert world.state.seat_cells("hq", "none", TODAY) == world.state.seat_cells("none", "A1", TODAY) == 0
    assert world.state.user_bookings("ann") == ["b1"]
    assert world.state.user_bookings_on_day("ann", TODAY) == ("b1",)
    assert not world.state.user_bookings("bob")
    assert not world.state.user_bookings_on_day("ann", TODAY + 1)


@pytest.mark.parametrize(
    ("start", "slots", "taken"),
    [
        (FREE_CELL, 1, True),
        (FREE_CELL + HOUR, 1, True),
        (FREE_CELL - HOUR, 2, True),
        (FREE_CELL - HOUR, 4, True),
        (FREE_CELL - HOUR, 1, False),
        (FREE_CELL + 2 * HOUR, 1, False),
    ],
)
def test_overlap(start: int, slots: int, *, taken: bool) -> None:
    world = World()
    world.booked("b1", "A1", FREE_CELL, 2)
    assert world.book("b2", "A1", start, slots, user="bob").code == ("seat-taken" if taken else "ok")
    assert world.book("b3", "A2", start, slots, user="bob").ok


def test_overlap_is_judged_by_cells_whatever_the_grid() -> None:
    world = World()
    world.booked("b1", "A1", FREE_CELL, 1)
    shifted = world.grid((FREE_CELL - 6, 4))  # a grid half an hour off the first one
    assert world.book("b2", "A1", FREE_CELL - 6, 1, grid=shifted).code == "seat-taken"
    assert world.book("b2", "A1", FREE_CELL + 6, 1, grid=shifted).code == "seat-taken"
    assert world.book("b2", "A1", FREE_CELL + 18, 1, grid=shifted).ok


def test_what_does_not_exist() -> None:
    world = World()
    grid = world.grid()
    assert world.book(space="none", grid=grid).code == "unknown-space"
    assert world.book(seat="Z9").code == "unknown-seat"
    world.booked("b1")
    assert world.book("b1", "A2").code == "duplicate-id"


def test_an_outdated_grid_is_asked_for_again() -> None:
    world = World()
    old = DayGrid("0.0", HOUR, ((OPEN_CELL, 14),))
    assert world.do(world.booking(grid=old), key="k", scope="ann", session="s-ann").code == "rules-changed"
    assert world.do(world.booking(), key="k", scope="ann", session="s-ann").ok, (
        "rules-changed is not remembered"
    )


@pytest.mark.parametrize(
    ("start", "slots", "code"),
    [
        (FREE_CELL + 1, 1, "off-grid"),
        (FREE_CELL, 0, "off-grid"),
        (FREE_CELL, -1, "off-grid"),
        (FREE_CELL, 10**9, "off-grid"),
        (FREE_CELL, 10, "ok"),
        (FREE_CELL, 11, "off-grid"),
        (OPEN_CELL - HOUR, 1, "closed"),
        (OPEN_CELL + 14 * HOUR, 1, "closed"),
        (2**63, 1, "closed"),
        (-5, 1, "closed"),
        (OPEN_CELL, 1, "past"),
        (NOW_CELL, 1, "past"),
        (NOW_CELL + HOUR, 1, "ok"),
    ],
)
def test_what_the_grid_allows(start: int, slots: int, code: str) -> None:
    assert World().book("b1", "A1", start, slots).code == code


def test_a_slot_is_past_once_it_has_begun() -> None:
    world = World()
    world.now_ms = FREE_CELL * CELL_MS - 1
    assert world.book("b1").ok
    world.now_ms += 1
    assert world.book("b2", "A2").code == "past"


@pytest.mark.parametrize(
    "windows",
    [
        ((OPEN_CELL, 0),),
        ((OPEN_CELL, -1),),
        ((-1, 4),),
        ((OPEN_CELL, limits.MAX_WINDOW_SLOTS + 1),),
        ((OPEN_CELL, 4), (OPEN_CELL + 1, 4)),
        ((OPEN_CELL + 200, 2), (OPEN_CELL, 2)),
        ((2**62, 4),),
        tuple((OPEN_CELL + 24 * number, 1) for number in range(limits.MAX_GRID_WINDOWS + 1)),
    ],
)
def test_a_senseless_grid_is_malformed(windows: tuple[tuple[int, int], ...]) -> None:
    world = World()
    assert world.book(grid=world.grid(*windows)).code == "malformed"


def test_a_grid_of_another_slot_length_is_malformed() -> None:
    world = World()
    assert world.book(grid=world.grid((OPEN_CELL, 14), slot_cells=6)).code == "malformed"
    assert world.book(grid=world.grid((OPEN_CELL, 14), slot_cells=0)).code == "malformed"
    assert world.book("").code == world.book("b" * 65).code == "malformed"


def test_an_empty_grid_is_closed() -> None:
    world = World()
    grid = DayGrid(world.state.spaces["hq"].revision, HOUR, ())
    assert world.book(grid=grid).code == "closed"


@pytest.mark.parametrize("offset", [6, 9, 66, 69], ids=["half", "quarter", "+5:30", "+5:45"])
def test_zones_off_the_hour(offset: int) -> None:
    world = World()
    grid = world.grid((OPEN_CELL + offset, 14))
    assert world.book("b1", "A1", FREE_CELL + 72, 1, grid=grid).code == "off-grid"
    assert world.book("b1", "A1", OPEN_CELL + offset + 5 * HOUR, 1, grid=grid).ok


@pytest.mark.parametrize("hours", [23, 25])
def test_days_on_which_the_clock_changes(hours: int) -> None:
    """A space open around the clock: the day's window has as many slots as the day has hours, and joins the next."""
    world = World()
    day = (TODAY + 1) * CELLS_PER_DAY
    grid = world.grid((day, hours), (day + hours * HOUR, 24))
    assert world.book("b1", "A1", day + (hours - 1) * HOUR, 2, grid=grid).ok
    assert world.book("b2", "A2", day, hours, grid=grid).ok
    assert world.book("b3", "A3", day, hours + 24, grid=grid).ok
    assert world.book("b4", "A4", day, hours + 25, grid=grid).code == "off-grid"
    assert not complaints(world.state)


def test_windows_that_join_across_midnight() -> None:
    world = World()
    tomorrow = (TODAY + 1) * CELLS_PER_DAY
    grid = world.grid((tomorrow - 2 * HOUR, 2), (tomorrow, 4), (tomorrow + 5 * HOUR, 2))
    booking = world.booked("b1", "A1", tomorrow - HOUR, 3, grid=grid)
    assert booking.end_cell == tomorrow + 2 * HOUR
    assert world.state.seat_cells("hq", "A1", TODAY) == ((1 << HOUR) - 1) << 276
    assert world.state.seat_cells("hq", "A1", TODAY + 1) == (1 << 2 * HOUR) - 1
    assert world.state.user_bookings_on_day("ann", TODAY) == ("b1",)
    assert world.state.user_bookings_on_day("ann", TODAY + 1) == ("b1",)
    assert world.book("b2", "A1", tomorrow + HOUR, 1, grid=grid).code == "seat-taken"
    assert world.book("b2", "A1", tomorrow - 2 * HOUR, 2, grid=grid).code == "seat-taken"
    assert world.book("b2", "A2", tomorrow + 3 * HOUR, 2, grid=grid).code == "off-grid", (
        "windows apart do not join"
    )
    assert world.cancel("b1").ok
    assert world.state.seat_cells("hq", "A1", TODAY) == world.state.seat_cells("hq", "A1", TODAY + 1) == 0
    assert not complaints(world.state)


def test_bookings_over_many_days_are_limited() -> None:
    world = World(spaces=(new_space("hq", 24 * 60),))
    start = (TODAY + 1) * CELLS_PER_DAY
    grid = world.grid((start, 30), slot_cells=CELLS_PER_DAY)
    assert world.book("b1", "A1", start, 8, grid=grid).code == "off-grid"
    assert world.book("b1", "A1", start, 7, grid=grid).ok
    assert world.book("b2", "A1", start + 6 * CELLS_PER_DAY, 1, grid=grid).code == "seat-taken"
    assert not complaints(world.state)


def test_cancelling_frees_the_seat_at_once() -> None:
    world = World()
    booked = world.booked("b1")
    outcome = world.cancel("b1")
    cancelled = world.state.bookings["b1"]
    assert outcome.result == cancelled
    assert (cancelled.status, cancelled.cancelled_at_ms, cancelled.created_at_ms) == (
        "cancelled",
        NOW_MS,
        NOW_MS,
    )
    assert cancelled.revision == f"{outcome.index}.0" != booked.revision
    assert world.applied.events == [(0, BookingCancelled(cancelled, "ann", NOW_MS))]
    assert not world.state.user_bookings_on_day("ann", TODAY)
    assert world.state.user_bookings("ann") == ["b1"]
    assert world.book("b2", user="bob").ok


def test_cancelling_twice_answers_the_same_and_changes_nothing() -> None:
    world = World()
    world.booked("b1")
    first = world.cancel("b1")
    world.booked("b2", user="bob")
    again = world.cancel("b1")
    assert again.ok
    assert again.result == first.result
    assert not world.applied.events
    assert world.state.bookings["b2"].status == "confirmed"
    assert not complaints(world.state)


def test_cancelling_one_of_several_on_a_day() -> None:
    world = World()
    for number in range(3):
        world.booked(f"b{number}", f"A{number + 1}")
    assert world.cancel("b1").ok
    assert world.state.user_bookings_on_day("ann", TODAY) == ("b0", "b2")


def test_whose_booking_may_be_cancelled() -> None:
    world = World()
    world.booked("b1", user="ann")
    assert world.cancel("b1", user="bob").code == "booking-not-found"
    assert world.cancel("none", user="ann").code == "booking-not-found"
    assert world.cancel("b1", user="root").ok
    event = world.applied.events[0][1]
    assert isinstance(event, BookingCancelled)
    assert (event.by_user_id, event.booking.user_id) == ("root", "ann")


def test_a_booking_that_ended_stays() -> None:
    world = World()
    booking = world.booked("b1")
    world.now_ms = booking.end_cell * CELL_MS
    assert world.cancel("b1").code == "booking-completed"
    other = World()
    other.booked("b1")
    other.now_ms = booking.end_cell * CELL_MS - 1
    assert other.cancel("b1").ok, "until its end it may still be given back"
