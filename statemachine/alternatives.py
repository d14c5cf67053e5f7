"""What to offer instead of a seat that is taken, found in the very apply that refused it, so it is free for
certain.

Both searches are bounded: the same seat within a few days, where all candidates are weighed at once as one
bitmap, and a limited number of its neighbours at the same time.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import islice

from statemachine.commands import BookSeat, DayGrid
from statemachine.limits import (
    ALTERNATIVES_REACH_CELLS,
    MAX_ALTERNATIVES_OTHER_SEATS,
    MAX_ALTERNATIVES_SAME_SEAT,
)
from statemachine.occupancy import Occupancy, cells_between
from statemachine.records import CELL_MS, Alternative


class Finder:
    """Finds alternatives over one occupancy.

    A crowd after one seat asks the same question again and again while nothing changes, so the last answer is
    kept until the question or anything that it rests on changes. That spares the work, and the memory of as
    many equal answers. It cannot tell members apart: what is kept is what would be found.
    """

    __slots__ = ("_answer", "_occupancy", "_question")

    def __init__(self, occupancy: Occupancy) -> None:
        self._occupancy = occupancy
        self._question: tuple[object, ...] = ()
        self._answer: tuple[Alternative, ...] = ()

    def find(self, command: BookSeat, now_ms: int) -> tuple[Alternative, ...]:
        """Free places for the same number of slots: the nearest times on the seat, then other seats at the
        time.
        """
        question = (
            self._occupancy.changes,
            now_ms // CELL_MS,
            command.start_cell,
            command.slots,
            command.seat_id,
            command.space_id,
            command.grid.slot_cells,
            command.grid.windows,
        )
        if question != self._question:
            self._answer = find_alternatives(self._occupancy, command, now_ms)
            self._question = question
        return self._answer


def find_alternatives(occupancy: Occupancy, command: BookSeat, now_ms: int) -> tuple[Alternative, ...]:
    """Free places for the same number of slots: the nearest times on the seat, then other seats at the time."""
    space_id = command.space_id
    start = command.start_cell
    length = command.slots * command.grid.slot_cells
    days = occupancy.seat(space_id, command.seat_id)
    assert days is not None
    grid = command.grid
    first = max(start - ALTERNATIVES_REACH_CELLS, grid.windows[0][0], now_ms // CELL_MS + 1)
    last_window = grid.windows[-1]
    last = min(start + ALTERNATIVES_REACH_CELLS, last_window[0] + last_window[1] * grid.slot_cells)
    taken = cells_between(days, first, last) | occupancy.out_cells(space_id, command.seat_id, first, last)
    found = [
        Alternative(space_id, command.seat_id, other, other + length)
        for other in _nearest_starts(taken, first, last, command)
    ]
    others = occupancy.free_neighbours(space_id, command.seat_id, start, start + length)
    found += [
        Alternative(space_id, seat_id, start, start + length)
        for seat_id in islice(others, MAX_ALTERNATIVES_OTHER_SEATS)
    ]
    return tuple(found)


def _nearest_starts(taken: int, first: int, last: int, command: BookSeat) -> list[int]:
    """Cells at which the command's slots of its grid are free, the nearest to its start first, the later of two
    equals first. Bit 0 of `taken` is the cell `first`; nothing is looked for from `last` on.
    """
    grid, start, slots = command.grid, command.start_cell, command.slots
    free = taken ^ ((1 << (last - first)) - 1)
    good = _starts_of_runs(free, slots * grid.slot_cells) & _slot_starts(grid, slots, first)
    nearest: list[int] = []
    while good and len(nearest) < MAX_ALTERNATIVES_SAME_SEAT:
        here = start - first
        later = good >> here
        earlier = good & ((1 << here) - 1)
        after = (
            (later & -later).bit_length() - 1 if later else last
        )  # cells from `start` on to the next candidate
        before = here - earlier.bit_length() + 1 if earlier else last  # and back to the one before
        chosen = here + after if after <= before else here - before
        nearest.append(first + chosen)
        good ^= 1 << chosen
    return nearest


def _starts_of_runs(free: int, length: int) -> int:
    """The bits at which `length` set bits in a row begin."""
    have = 1
    while have < length:
        step = min(have, length - have)
        free &= free >> step
        have += step
    return free


def _slot_starts(grid: DayGrid, slots: int, first: int) -> int:
    """The bits, counted from cell `first`, at which `slots` slots in a row begin in one open stretch of the
    grid.
    """
    step = grid.slot_cells
    starts = 0
    at = 0
    while at < len(grid.windows):
        begin, count = grid.windows[at]
        at += 1
        while at < len(grid.windows) and grid.windows[at][0] == begin + count * step:  # windows that join
            count += grid.windows[at][1]
            at += 1
        if count < slots:
            continue
        comb = _comb(count - slots + 1, step)
        starts |= comb << (begin - first) if begin >= first else comb >> (first - begin)
    return starts


@lru_cache(maxsize=1024)
def _comb(teeth: int, step: int) -> int:
    """`teeth` set bits, `step` apart, the first at bit 0. A cache of a pure function: it cannot tell members
    apart.
    """
    return int(((1 << (teeth * step)) - 1) // ((1 << step) - 1))
