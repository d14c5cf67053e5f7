"""What was taken and given back lately, seat by seat: enough to say how a seat's day stood a while ago.

**Why.** "It was free when I was refused" can be answered only by looking at the seat as it was then. Replaying the log to
that place would take as long as the log is; undoing what has happened since takes as long as little has.

**How.** `Occupancy` notes every run of cells that it takes or frees, with the index of the entry that did it. The bitmap of a
seat as of an index is the present one with everything noted after that index undone, newest first. That is exact, whatever
command caused a change, because nothing else changes a bitmap.

**Bounded, and no part of the state.** RECENT_CHANGES are kept in memory only; a restored state begins with none. `floor` is the
oldest index that can still be asked for. Members may differ in it, so no rule may look here.
"""

from __future__ import annotations

from collections import deque

from statemachine.records import CELLS_PER_DAY

RECENT_CHANGES = 65_536  # of bitmaps; older ones are forgotten, and `floor` rises


class Recent:
    """The last changes. `index` is that of the entry being applied, set by whoever applies."""

    __slots__ = ("_changes", "_limit", "floor", "index")

    def __init__(self, limit: int = RECENT_CHANGES) -> None:
        self.index = 0
        self.floor = 0
        self._limit = limit
        # (index, identity of the seat's bitmaps, first cell, end, taken): plain numbers cost the collector nothing, and a
        # seat's bitmaps are one dictionary for as long as the state lives, so that its identity names the seat.
        self._changes: deque[tuple[int, int, int, int, bool]] = deque()

    def begin(self, index: int) -> None:
        """The state was restored as of `index`; what was before is not known."""
        self._changes.clear()
        self.index = self.floor = index

    def note(self, days: dict[int, int], start_cell: int, end_cell: int, taken: bool) -> None:
        """The cells `[start_cell, end_cell)`, all of which were the other way before, were taken or freed."""
        changes = self._changes
        changes.append((self.index, id(days), start_cell, end_cell, taken))
        if len(changes) > self._limit:
            self.floor = changes.popleft()[0]

    def cells_as_of(self, index: int, days: dict[int, int], start_cell: int, end_cell: int) -> int:
        """The cells of `[start_cell, end_cell)` that were taken when entry `index` had been applied, the next had not; bit 0
        is `start_cell`. `index` is not below `floor`. Takes a few milliseconds at worst.
        """
        assert index >= self.floor, "that long ago is forgotten"
        first_day = start_cell // CELLS_PER_DAY
        bits = 0
        for day in range(first_day, (end_cell - 1) // CELLS_PER_DAY + 1):
            bits |= days.get(day, 0) << ((day - first_day) * CELLS_PER_DAY)
        bits = (bits >> (start_cell - first_day * CELLS_PER_DAY)) & ((1 << (end_cell - start_cell)) - 1)
        seat = id(days)
        for at, of, first, end, taken in reversed(self._changes):
            if at <= index:
                break
            low, high = max(first, start_cell), min(end, end_cell)
            if of == seat and low < high:
                mask = ((1 << (high - low)) - 1) << (low - start_cell)
                bits = bits & ~mask if taken else bits | mask
        return bits
