"""Which cells of which seat are taken: the one judge of overlap.

For each seat and UTC day there is one integer of 288 bits; bit `i` is the cell `day * 288 + i`. It knows
nothing of grids, zones or opening hours, so it stays right when those change. It is derived from the live
bookings: never written to a snapshot, rebuilt on restore.

Beside the bitmaps it knows which seats a space lists now (retired ones keep their bitmaps) and when a seat is out of
service, so that nobody is offered a place that cannot be taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice

from statemachine.limits import MAX_SEATS_EXAMINED
from statemachine.premises import Outage
from statemachine.recent import Recent
from statemachine.records import CELLS_PER_DAY, Space

SeatDays = dict[int, int]  # UTC day -> bitmap of its taken cells


class Occupancy:
    """Bitmaps of all seats of all spaces. `changes` counts how often anything here has changed; `recent` tells what they were."""

    __slots__ = ("_order", "_outages", "_spaces", "changes", "recent")

    def __init__(self) -> None:
        self.changes = 0
        self.recent = Recent()
        self._spaces: dict[str, dict[str, SeatDays]] = {}
        self._order: dict[
            str, tuple[list[tuple[str, SeatDays]], dict[str, int]]
        ] = {}  # seats, and their places
        self._outages: dict[
            str, dict[str, tuple[Outage, ...]]
        ] = {}  # by space and seat; only seats that have some

    def put_space(self, space: Space) -> None:
        """Make room for the seats of a space, new or changed. Seats that are no longer listed keep their bitmaps."""
        self.changes += 1
        known = self._spaces.setdefault(space.id, {})
        listed = [(seat.id, known.setdefault(seat.id, {})) for seat in space.seats]
        self._order[space.id] = (listed, {seat_id: place for place, (seat_id, _) in enumerate(listed)})

    def seat_ids(self, space_id: str) -> Iterable[str]:
        """All seats that the space has or had, in the order in which they came."""
        return self._spaces[space_id].keys()

    def put_outages(self, space_id: str, seat_id: str, outages: tuple[Outage, ...]) -> None:
        """When a seat of the space is out of service, from now on; a seat that is not listed may be new here."""
        self.changes += 1
        self._spaces[space_id].setdefault(seat_id, {})
        of_space = self._outages.setdefault(space_id, {})
        if outages:
            of_space[seat_id] = outages
        else:
            of_space.pop(seat_id, None)

    def out_of_service(self, space_id: str, seat_id: str, start_cell: int, end_cell: int) -> bool:
        """Whether the seat is out of service at any cell of `[start_cell, end_cell)`."""
        of_space = self._outages.get(space_id)
        if not of_space:
            return False
        outages = of_space.get(seat_id, ())
        return any(each.start_cell < end_cell and start_cell < each.end_cell for each in outages)

    def out_cells(self, space_id: str, seat_id: str, start_cell: int, end_cell: int) -> int:
        """The cells of `[start_cell, end_cell)` at which the seat is out of service; bit 0 is `start_cell`."""
        bits = 0
        for each in self._outages.get(space_id, {}).get(seat_id, ()):
            low, high = max(each.start_cell, start_cell), min(each.end_cell, end_cell)
            if low < high:
                bits |= ((1 << (high - low)) - 1) << (low - start_cell)
        return bits

    def seat(self, space_id: str, seat_id: str) -> SeatDays | None:
        """The bitmaps of one seat, listed or retired, or None when there never was such a seat."""
        seats = self._spaces.get(space_id)
        return None if seats is None else seats.get(seat_id)

    def claim(self, days: SeatDays, start_cell: int, end_cell: int) -> bool:
        """Mark the cells `[start_cell, end_cell)` taken; False, and nothing changes, when any of them is taken."""
        day, low = divmod(start_cell, CELLS_PER_DAY)
        length = end_cell - start_cell
        if low + length <= CELLS_PER_DAY:  # nearly always: one day
            taken = days.get(day, 0)
            mask = ((1 << length) - 1) << low
            if taken & mask:
                return False
            days[day] = taken | mask
        else:
            masks = day_masks(start_cell, end_cell)
            if any(days.get(day, 0) & mask for day, mask in masks):
                return False
            for day, mask in masks:
                days[day] = days.get(day, 0) | mask
        self.changes += 1
        self.recent.note(days, start_cell, end_cell, True)
        return True

    def release(self, days: SeatDays, start_cell: int, end_cell: int) -> None:
        """Mark the cells free. A day without a taken cell keeps no bitmap."""
        self.changes += 1
        self.recent.note(days, start_cell, end_cell, False)
        for day, mask in day_masks(start_cell, end_cell):
            left = days.get(day, 0) & ~mask
            if left:
                days[day] = left
            else:
                days.pop(day, None)

    def free_neighbours(self, space_id: str, seat_id: str, start_cell: int, end_cell: int) -> Iterator[str]:
        """The other seats that are free for `[start_cell, end_cell)`: those after the seat in its space's
        list, then the list from its beginning. Looks at MAX_SEATS_EXAMINED of them at most.
        """
        order, places = self._order[space_id]
        place = places[seat_id]
        masks = day_masks(start_cell, end_cell)
        day, mask = masks[0]
        for other_id, days in islice(chain(order[place + 1 :], order[:place]), MAX_SEATS_EXAMINED):
            if (
                not days.get(day, 0) & mask
                and (len(masks) == 1 or not any(days.get(later, 0) & more for later, more in masks))
                and not self.out_of_service(space_id, other_id, start_cell, end_cell)
            ):
                yield other_id


def day_masks(start_cell: int, end_cell: int) -> list[tuple[int, int]]:
    """`[start_cell, end_cell)` cut into UTC days: the day and the bits of the range in it."""
    masks = []
    for day in range(start_cell // CELLS_PER_DAY, (end_cell - 1) // CELLS_PER_DAY + 1):
        low = max(start_cell - day * CELLS_PER_DAY, 0)
        high = min(end_cell - day * CELLS_PER_DAY, CELLS_PER_DAY)
        masks.append((day, ((1 << (high - low)) - 1) << low))
    return masks


def cells_between(days: SeatDays, start_cell: int, end_cell: int) -> int:
    """The taken cells of `[start_cell, end_cell)` as one bitmap whose bit 0 is `start_cell`."""
    first_day = start_cell // CELLS_PER_DAY
    bits = 0
    for day in range(first_day, (end_cell - 1) // CELLS_PER_DAY + 1):
        bits |= days.get(day, 0) << ((day - first_day) * CELLS_PER_DAY)
    bits >>= start_cell - first_day * CELLS_PER_DAY
    return bits & ((1 << (end_cell - start_cell)) - 1)
