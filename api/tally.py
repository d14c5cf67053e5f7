"""Counting how seats are used: taken and open cells of a space's local days, by hour, day and seat.

Read from the bitmaps of occupancy, so what counts is what is taken by bookings that were not given back, completed ones included.
A local day is cut into the hours that its wall clock shows: one that the clock skips is empty, one that it shows twice is
as long as two. *Open* are the cells within the opening hours by the rules of today, times the seats that are listed
today, without those out of service. So taken may exceed open where hours or seats have been taken away since.

The work is done in slices of SLICE_SECONDS between other requests. Each seat is read at one moment; seats that are read later may
show later bookings. Days that are over do not change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise
from time import perf_counter
from typing import NamedTuple

from api.timegrid import first_instant, window_of, zone_of
from statemachine.occupancy import SeatDays, cells_between
from statemachine.records import CELL_MINUTES, CELL_SECONDS, CELLS_PER_DAY, Space
from statemachine.state import State

SLICE_SECONDS = 0.003
HOURS = 24
MAX_REMEMBERED_DAYS = 2048


class _Day(NamedTuple):
    """A local day in cells: where it begins, and for each hour its first cell from there and its length."""

    start_cell: int
    end_cell: int
    hours: tuple[tuple[int, int], ...]


class Count:
    """Minutes taken and open."""

    __slots__ = ("open_minutes", "taken_minutes")

    def __init__(self) -> None:
        self.taken_minutes = 0
        self.open_minutes = 0

    def add(self, taken: int, opened: int) -> None:
        """Count some cells."""
        self.taken_minutes += taken * CELL_MINUTES
        self.open_minutes += opened * CELL_MINUTES


class Tally:
    """The counts of one space."""

    def __init__(self, days: int) -> None:
        self.all = Count()
        self.days = [Count() for _ in range(days)]
        self.seats: dict[str, Count] = {}
        self.cells = [[Count() for _ in range(HOURS)] for _ in range(7)]  # by weekday, Monday first, and hour


@lru_cache(maxsize=MAX_REMEMBERED_DAYS)
def _day(zone_name: str, day: date) -> _Day:
    zone = zone_of(zone_name)
    edges = [first_instant(zone, day, hour * 60) // CELL_SECONDS for hour in range(HOURS + 1)]
    hours = tuple((first - edges[0], end - first) for first, end in pairwise(edges))
    return _Day(edges[0], edges[-1], hours)


async def tally_of(state: State, space: Space, first: date, days: int, *, hourly: bool) -> Tally:
    """Count `days` local days of a space from `first` on. Without `hourly`, `cells` stay empty, and it is faster."""
    tally = Tally(days)
    dates = [first + timedelta(days=number) for number in range(days)]
    rules = state.space_rules.get(space.id)
    shapes = [_day(space.timezone, each) for each in dates]
    opened = []
    for each, shape in zip(dates, shapes, strict=True):
        window = window_of(space, each, rules)
        length = window.slot_count * space.slot_cells
        opened.append(((1 << length) - 1) << max(0, window.start_cell - shape.start_cell))
    listed = {seat.id for seat in space.seats}
    slice_ends = perf_counter() + SLICE_SECONDS
    for seat_id in list(state.occupancy.seat_ids(space.id)):
        seat_days = state.occupancy.seat(space.id, seat_id)
        assert seat_days is not None
        count = tally.seats[seat_id] = Count()
        for number, (shape, open_bits) in enumerate(zip(shapes, opened, strict=True)):
            out = state.occupancy.out_cells(space.id, seat_id, shape.start_cell, shape.end_cell)
            free_to_take = open_bits & ~out if seat_id in listed else 0
            bits = _bits(seat_days, shape)
            if not bits and not free_to_take:
                continue
            numbers = bits.bit_count(), free_to_take.bit_count()
            count.add(*numbers)
            tally.days[number].add(*numbers)
            tally.all.add(*numbers)
            if hourly:
                weekday = tally.cells[dates[number].weekday()]
                for hour, taken, opens in _by_hour(shape, bits, free_to_take):
                    weekday[hour].add(taken, opens)
            if perf_counter() >= slice_ends:
                await asyncio.sleep(0)
                slice_ends = perf_counter() + SLICE_SECONDS
    return tally


def _bits(days: SeatDays, shape: _Day) -> int:
    first, last = shape.start_cell // CELLS_PER_DAY, (shape.end_cell - 1) // CELLS_PER_DAY
    if not any(day in days for day in range(first, last + 1)):
        return 0
    return cells_between(days, shape.start_cell, shape.end_cell)


def _by_hour(shape: _Day, bits: int, opened: int) -> Iterator[tuple[int, int, int]]:
    for hour, (first, length) in enumerate(shape.hours):
        mask = (1 << length) - 1
        taken, opens = (bits >> first & mask).bit_count(), (opened >> first & mask).bit_count()
        if taken or opens:
            yield hour, taken, opens
