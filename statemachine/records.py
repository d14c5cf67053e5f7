"""The records that the replicated state is made of.

Every record is immutable: a change replaces the record in its table. That is what makes a frozen
view of the state cheap (see `frozen.py`), and lets an idempotent answer keep the record it gave.

Time of day is counted in **cells** of five minutes since the Unix epoch, UTC: cell = epoch seconds / 300.
Instants that are not about occupancy are milliseconds since the epoch (`_ms`). A **revision** is
`"index.position"`: the log index of the entry that made the change and the place of the change within that
entry.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

CELL_SECONDS = 300
CELL_MS = CELL_SECONDS * 1000
CELL_MINUTES = CELL_SECONDS // 60
CELLS_PER_DAY = 86_400 // CELL_SECONDS

ERASED = "erased"  # whose bookings are those of erased accounts; no id is a word

Role = Literal["user", "admin"]
BookingStatus = Literal["confirmed", "cancelled", "released"]
StepKind = Literal["confirmed", "promoted", "moved", "checked-in", "cancelled", "released"]


class Seat(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One desk of a space. `label` is what people read on the desk."""

    id: str
    label: str


class Space(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="space"):
    """A coworking. Opening hours are minutes after local midnight; `closes_minutes` may be 1440 (24:00)."""

    id: str
    name: str
    timezone: str
    opens_minutes: int
    closes_minutes: int
    slot_minutes: int
    seats: tuple[Seat, ...]
    revision: str

    @property
    def slot_cells(self) -> int:
        """Length of one slot in cells."""
        return self.slot_minutes * 60 // CELL_SECONDS


class User(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="user"):
    """A registered person. `login_key` is the canonical form that is unique; `password_hash` is an argon2
    string.
    """

    id: str
    login: str
    login_key: str
    password_hash: str
    role: Role
    created_at_ms: int
    revision: str


class Standing(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What is special about a user: blocked since (0: is not), and whether the password is a one-time one."""

    user_id: str
    blocked_at_ms: int = 0
    must_change: bool = False
    revision: str = ""


class Failures(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Log-ins that failed under a throttle key (`throttle.py`)."""

    key: str
    count: int
    last_ms: int


class Session(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="session"):
    """One log-in. `generation` counts rotations of the refresh token; a token of an older one is a reuse."""

    id: str
    user_id: str
    generation: int
    created_at_ms: int
    rotated_at_ms: int
    expires_at_ms: int
    revision: str


class Booking(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="booking"):
    """A seat taken by a user for the half-open range of cells `[start_cell, end_cell)`."""

    id: str
    space_id: str
    seat_id: str
    user_id: str
    start_cell: int
    end_cell: int
    status: BookingStatus
    created_at_ms: int
    cancelled_at_ms: int  # or released; 0 while confirmed
    revision: str


class Step(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One line of a booking's history: what became of it, by whom and why, and the place that it has had since."""

    booking_id: str
    kind: StepKind
    at_ms: int
    by_user_id: str  # empty: time did it
    reason: str
    space_id: str
    seat_id: str
    start_cell: int
    end_cell: int
    revision: str


class Alternative(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A free place to offer instead of a taken one."""

    space_id: str
    seat_id: str
    start_cell: int
    end_cell: int


class Placed(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What became of one of several wishes: a booking, or the code of its refusal with free places."""

    code: str  # of `outcomes.Code`
    booking: Booking | None = None
    alternatives: tuple[Alternative, ...] = ()


class Together(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="together"):
    """The answer to several wishes at once, in their order."""

    items: tuple[Placed, ...]


class TogetherLimited(
    Together, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="together-limited"
):
    """The same where policies refuse some: `limits` are those that each wish goes beyond, in their order; 0: none."""

    limits: tuple[int, ...]


class Planned(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="planned"):
    """The answer to a series: for each of its starts what became of it."""

    series_id: str
    starts: tuple[int, ...]
    items: tuple[Placed, ...]


class PlannedLimited(
    Planned, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="planned-limited"
):
    """The same where policies refuse some: `limits` are those that each start goes beyond, in their order; 0: none."""

    limits: tuple[int, ...]


class Series(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="series"):
    """Bookings that were made by one rule (RFC 5545, as it was asked for)."""

    id: str
    user_id: str
    rule: str
    booking_ids: tuple[str, ...]
    created_at_ms: int
    revision: str


class CheckInRule(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="check-in"):
    """How long after the start of a booking its seat is kept for somebody who has not checked in; 0: for ever."""

    space_id: str
    grace_minutes: int
    revision: str


class Expected(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A booking whose user has to check in before `due_ms`."""

    booking_id: str
    due_ms: int
