"""A space on one local day: which slot of which seat is free.

This is the page that everybody looks at, so it is made cheap: what depends only on the rules of the space and the date
(slots with their times, the parts of the JSON text around the rows) is prepared once per day and revision, and a
row is looked up by the seat's occupancy bits, since most seats look alike. Only reading the bits and
joining the parts is left for a request.

A slot is `past` once it has begun, whoever has it; else `mine` or `taken`; else `closed` while the seat is out of
service; else `free`. A day on which the space is closed has no slots.
"""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import NamedTuple

import msgspec

from api.timegrid import rfc3339_of_cell, window_of, zone_of
from statemachine.premises import Attribute
from statemachine.records import CELL_MS, CELLS_PER_DAY, Space
from statemachine.state import State

MAX_REMEMBERED_PAGES = 512
MAX_REMEMBERED_ROWS = 256  # of one page; with all pages remembered some tens of megabytes


class Wanted(NamedTuple):
    """Which seats are asked for: those of a zone (empty: of all), with all of some attributes."""

    zone: str = ""
    attributes: tuple[Attribute, ...] = ()

    def has(self, state: State, space_id: str, seat_id: str) -> bool:
        """Whether this is such a seat."""
        if not self.zone and not self.attributes:
            return True
        details = state.details_of(space_id, seat_id)
        if details is None or (self.zone and details.zone != self.zone):
            return False
        return all(each in details.attributes for each in self.attributes)


class DayPage:
    """One space on one day, for one revision of its rules."""

    __slots__ = (
        "_first_bit", "_first_day", "_head", "_last_day", "_rows", "_seats", "_slot_cells", "_slot_count", "_slot_mask",
        "_start_cell", "revision",
    )  # fmt: skip

    def __init__(self, state: State, space: Space, day: date, wanted: Wanted) -> None:
        window = window_of(space, day, state.space_rules.get(space.id))
        zone = zone_of(space.timezone)
        edges = [window.start_cell + i * space.slot_cells for i in range(window.slot_count + 1)]
        names = [rfc3339_of_cell(edge, zone) for edge in edges]
        slots = [{"starts_at": start, "ends_at": end} for start, end in pairwise(names)]
        head = {"space_id": space.id, "date": day.isoformat(), "timezone": space.timezone, "slots": slots}
        self.revision = space.revision
        self._head = msgspec.json.encode(head)[:-1] + b',"seats":['
        self._seats = [
            (
                seat.id,
                msgspec.json.encode({"id": seat.id, "label": seat.label})[:-1] + b',"slots":',
                state.occupancy.out_cells(space.id, seat.id, edges[0], edges[-1]),
            )
            for seat in space.seats
            if wanted.has(state, space.id, seat.id)
        ]
        self._slot_cells = space.slot_cells
        self._slot_count = window.slot_count
        self._slot_mask = (1 << space.slot_cells) - 1
        self._start_cell = window.start_cell
        self._first_day, self._first_bit = divmod(window.start_cell, CELLS_PER_DAY)
        self._last_day = (max(edges[-1] - 1, window.start_cell)) // CELLS_PER_DAY
        self._rows: dict[tuple[int, int, int, int], bytes] = {}

    def encode(self, state: State, space: Space, user_id: str | None, now_ms: int) -> bytes:
        """The page as JSON."""
        begun = self._begun(now_ms)
        mine = self._bits_of_user(state, space.id, user_id) if user_id else {}
        parts = [self._head]
        space_id, days = space.id, range(self._first_day + 1, self._last_day + 1)
        for seat_id, seat_part, out in self._seats:
            bits = state.seat_cells(space_id, seat_id, self._first_day)
            shift = CELLS_PER_DAY
            for day in days:
                bits |= state.seat_cells(space_id, seat_id, day) << shift
                shift += CELLS_PER_DAY
            key = (begun, bits >> self._first_bit, mine.get(seat_id, 0), out)
            row = self._rows.get(key)
            parts.append(seat_part)
            parts.append(self._row(key) if row is None else row)
            parts.append(b"},")
        if len(parts) > 1:
            parts[-1] = b"}"
        parts.append(b"]}")
        return b"".join(parts)

    def _begun(self, now_ms: int) -> int:
        """How many slots have begun."""
        ahead_ms = now_ms - self._start_cell * CELL_MS
        if ahead_ms < 0:
            return 0
        return min(self._slot_count, ahead_ms // (self._slot_cells * CELL_MS) + 1)

    def _bits_of_user(self, state: State, space_id: str, user_id: str) -> dict[str, int]:
        """The cells of the user's live bookings by seat; bit 0 is the beginning of the window."""
        seats: dict[str, int] = {}
        for day in range(self._first_day, self._last_day + 1):
            for booking_id in state.user_bookings_on_day(user_id, day):
                booking = state.bookings[booking_id]
                if booking.space_id != space_id:
                    continue
                start = max(booking.start_cell - self._start_cell, 0)
                length = booking.end_cell - self._start_cell - start
                if length > 0:
                    seats[booking.seat_id] = seats.get(booking.seat_id, 0) | ((1 << length) - 1) << start
        return seats

    def _row(self, key: tuple[int, int, int, int]) -> bytes:
        begun, taken, mine, out = key
        states = []
        for number in range(self._slot_count):
            offset = number * self._slot_cells
            if number < begun:
                states.append("past")
            elif mine >> offset & self._slot_mask:
                states.append("mine")
            elif taken >> offset & self._slot_mask:
                states.append("taken")
            elif out >> offset & self._slot_mask:
                states.append("closed")
            else:
                states.append("free")
        row = msgspec.json.encode(states)
        if len(self._rows) >= MAX_REMEMBERED_ROWS:
            self._rows.clear()
        self._rows[key] = row
        return row


class DayPages:
    """The pages asked for lately. The oldest is forgotten when there are too many."""

    def __init__(self) -> None:
        self._pages: dict[tuple[str, date, Wanted], DayPage] = {}

    def page(self, state: State, space: Space, day: date, wanted: Wanted = Wanted()) -> DayPage:  # noqa: B008 - it cannot change
        """The page of a space and day with the seats that are asked for, made anew when the rules of the space have changed."""
        key = (space.id, day, wanted)
        page = self._pages.get(key)
        if page is None or page.revision != space.revision:
            page = DayPage(state, space, day, wanted)
            self._pages.pop(key, None)
            while len(self._pages) >= MAX_REMEMBERED_PAGES:
                del self._pages[next(iter(self._pages))]
            self._pages[key] = page
        return page
