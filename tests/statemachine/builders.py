"""A small world to try the rules in: one space, an administrator, two people, and a clock that the test moves."""

from __future__ import annotations

from statemachine.commands import (
    KEEP_NODE_KEY_MS,
    BirthCluster,
    BookSeat,
    CancelBooking,
    Command,
    DayGrid,
    Envelope,
    FoundCluster,
    NewSpace,
    OpenSession,
    RegisterUser,
    encode_batch,
    encode_envelope,
)
from statemachine.outcomes import Outcome
from statemachine.records import CELL_MS, CELLS_PER_DAY, Booking, Seat
from statemachine.state import Applied, State

NOW_MS = 1_800_000_000_000  # 2027-01-15 08:00 UTC
TODAY = NOW_MS // CELL_MS // CELLS_PER_DAY
NOW_CELL = NOW_MS // CELL_MS
HOUR = 12  # cells
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
OPEN_CELL = TODAY * CELLS_PER_DAY + 6 * HOUR  # 06:00 UTC, two hours ago
FREE_CELL = TODAY * CELLS_PER_DAY + 10 * HOUR  # 10:00 UTC, in two hours
SEATS = ("A1", "A2", "A3", "A4", "A5", "A6")
MONTH_MS = 30 * DAY_MS


def new_space(space_id: str = "hq", slot_minutes: int = 60, seats: tuple[str, ...] = SEATS) -> NewSpace:
    return NewSpace(
        space_id, "HQ", "Europe/Moscow", 480, 1320, slot_minutes, tuple(Seat(seat, seat) for seat in seats)
    )


def birth(*spaces: NewSpace, kind: type[BirthCluster] = FoundCluster) -> BirthCluster:
    return kind("root", "Admin", "admin", "hash-root", spaces or (new_space(),))


class World:
    """A state with shorthands. `do` sends one command in an entry of its own."""

    def __init__(
        self,
        state: State | None = None,
        *,
        populated: bool = True,
        spaces: tuple[NewSpace, ...] = (),
        kind: type[BirthCluster] = FoundCluster,
    ) -> None:
        self.state = State() if state is None else state
        self.now_ms = NOW_MS
        self.requests = 0
        self.applied = Applied([], [])
        if populated:
            assert self.do(birth(*spaces, kind=kind)).ok
            for user in ("ann", "bob"):
                assert self.do(RegisterUser(user, user, user, f"hash-{user}"), scope=f"login:{user}").ok
            for user in ("root", "ann", "bob"):
                session = OpenSession(f"s-{user}", user, f"hash-{user}", "", MONTH_MS)
                assert self.do(session, scope=f"login:{user}").ok

    def envelope(
        self,
        command: Command,
        *,
        scope: str | None = None,
        key: str | None = None,
        fingerprint: bytes = b"",
        keep_ms: int = KEEP_NODE_KEY_MS,
        deadline_ms: int | None = None,
        session: str = "",
    ) -> bytes:
        self.requests += 1
        if scope is None:
            scope = session.removeprefix("s-") or "x"  # keys belong to the user of the session
        deadline_ms = self.now_ms + 2_000 if deadline_ms is None else deadline_ms
        key = f"made-{self.requests}" if key is None else key
        return encode_envelope(
            Envelope(self.requests, scope, key, fingerprint, keep_ms, deadline_ms, session, command)
        )

    def batch(self, *envelopes: bytes) -> list[Outcome]:
        return self.raw(encode_batch(self.now_ms, list(envelopes)))

    def raw(self, payload: bytes) -> list[Outcome]:
        self.applied = self.state.apply(self.state.index + 1, payload)
        return [outcome for _, _, _, outcome in self.applied.results]

    def do(self, command: Command, **terms: object) -> Outcome:
        (outcome,) = self.batch(self.envelope(command, **terms))  # type: ignore[arg-type]
        return outcome

    def grid(self, *windows: tuple[int, int], space: str = "hq", slot_cells: int = HOUR) -> DayGrid:
        """Windows of slots; without any, today from 06:00 to 20:00 UTC."""
        return DayGrid(self.state.spaces[space].revision, slot_cells, windows or ((OPEN_CELL, 14),))

    def booking(
        self, booking_id: str = "b1", seat: str = "A1", start: int = FREE_CELL, slots: int = 1, **more: object
    ) -> BookSeat:
        space = str(more.get("space", "hq"))
        grid = more.get("grid") or self.grid(space=space)
        assert isinstance(grid, DayGrid)
        return BookSeat(booking_id, space, seat, start, slots, grid)

    def book(
        self,
        booking_id: str = "b1",
        seat: str = "A1",
        start: int = FREE_CELL,
        slots: int = 1,
        *,
        user: str = "ann",
        **more: object,
    ) -> Outcome:
        return self.do(self.booking(booking_id, seat, start, slots, **more), scope=user, session=f"s-{user}")

    def booked(self, *args: object, **more: object) -> Booking:
        outcome = self.book(*args, **more)  # type: ignore[arg-type]
        assert outcome.code == "ok", outcome
        assert isinstance(outcome.result, Booking)
        return outcome.result

    def cancel(self, booking_id: str, *, user: str = "ann") -> Outcome:
        return self.do(CancelBooking(booking_id), scope=user, session=f"s-{user}")
