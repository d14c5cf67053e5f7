"""Reads of the past: undoing what happened since is the same as having looked then."""

from __future__ import annotations

import random

from statemachine.occupancy import Occupancy, cells_between
from statemachine.recent import Recent
from statemachine.records import CELLS_PER_DAY, Seat, Space
from statemachine.state import restore
from tests.statemachine.builders import FREE_CELL, HOUR, TODAY, World

DAY_CELL = TODAY * CELLS_PER_DAY


def cells(world: World, index: int, seat: str = "A1") -> int:
    days = world.state.occupancy.seat("hq", seat)
    assert days is not None
    return world.state.occupancy.recent.cells_as_of(index, days, DAY_CELL, DAY_CELL + CELLS_PER_DAY)


def test_a_seat_is_seen_as_it_was() -> None:
    world = World()
    before = world.state.index
    booking = world.booked()
    booked = world.state.index
    assert world.cancel(booking.id).ok
    hour = ((1 << HOUR) - 1) << (FREE_CELL - DAY_CELL)
    assert (cells(world, before), cells(world, booked), cells(world, world.state.index)) == (0, hour, 0)
    assert cells(world, booked, "A2") == 0


def test_a_restored_state_knows_nothing_of_what_was_before() -> None:
    world = World()
    world.booked()
    restored = World(restore(world.state.freeze().chunks()), populated=False)
    recent = restored.state.occupancy.recent
    assert recent.floor == restored.state.index == world.state.index
    assert cells(restored, recent.floor) == cells(world, world.state.index) != 0


def test_any_history_is_undone_exactly() -> None:
    """Two seats, bookings across midnight, few changes kept: every index from the floor on reads as it was then."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    occupancy = Occupancy()
    occupancy.recent = Recent(limit=100)
    occupancy.put_space(Space("hq", "HQ", "UTC", 0, 1440, 60, (Seat("A", "A"), Seat("B", "B")), "1.0"))
    window = (0, 3 * CELLS_PER_DAY)
    seats = [days for each in "AB" if (days := occupancy.seat("hq", each)) is not None]
    live: list[tuple[int, int, int]] = []
    seen = [(0, 0)]
    for index in range(1, 400):
        occupancy.recent.index = index
        for _ in range(chance.randrange(3)):
            if live and chance.random() < 0.5:
                seat, start, end = live.pop(chance.randrange(len(live)))
                occupancy.release(seats[seat], start, end)
            else:
                seat, start = chance.randrange(2), chance.randrange(window[1] - 40)
                end = start + chance.randrange(1, 40)
                if occupancy.claim(seats[seat], start, end):
                    live.append((seat, start, end))
        seen.append((cells_between(seats[0], *window), cells_between(seats[1], *window)))
    recent = occupancy.recent
    assert 0 < recent.floor < 399
    for index in range(recent.floor, 400):
        assert seen[index] == tuple(recent.cells_as_of(index, days, *window) for days in seats), index
