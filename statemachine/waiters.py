"""The record of somebody who waits for a place."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from statemachine.commands import BookSeat
from statemachine.records import CELL_MS

WaiterStatus = Literal["waiting", "promoted"]


class Waiter(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="waiter"):
    """A user who wants a place that somebody has. `want.seat_id` may be empty: any seat of the space; `want.booking_id` is
    the id that the booking gets. `index` and `position` name the change by which they began to wait: the order of the line.
    """

    id: str
    user_id: str
    want: BookSeat
    status: WaiterStatus
    created_at_ms: int
    index: int
    position: int
    revision: str

    @property
    def end_cell(self) -> int:
        """The cell at which the wanted time ends."""
        return self.want.start_cell + self.want.slots * self.want.grid.slot_cells

    @property
    def begins_ms(self) -> int:
        """When the wanted time begins, and waiting ends."""
        return self.want.start_cell * CELL_MS

    @property
    def place_in_line(self) -> tuple[int, int]:
        """Who waits for the same is served in this order."""
        return self.index, self.position


def rivals(one: Waiter, other: Waiter) -> bool:
    """Whether one free place could serve either of the two."""
    seats = (one.want.seat_id, other.want.seat_id)
    return (
        one.want.space_id == other.want.space_id
        and one.want.start_cell < other.end_cell
        and other.want.start_cell < one.end_cell
        and ("" in seats or seats[0] == seats[1])
    )
