"""People with plans, beside the ordinary clients of a world: baskets, moves, cancellations and waitlists that race for a few hours of a few seats.

They keep to days that the witness never reads and to users of their own, so its history stays one of plain bookings. What they were
promised is held against the state at the end; that nothing overlaps is judged with everything else.
"""

from __future__ import annotations

from collections.abc import Iterator

from statemachine.commands import (
    BookSeat,
    BookTogether,
    CancelBookingBecause,
    Command,
    DayGrid,
    JoinWaitlist,
    LeaveWaitlist,
    MoveBooking,
    OpenSession,
    RegisterUser,
)
from statemachine.records import Booking, Together
from statemachine.state import State
from statemachine.waiters import Waiter
from tests.simulation.clients import BIRTH_AT, FIRST_DAY, Operation
from tests.simulation.events import stream
from tests.simulation.world import World

USERS = ("p1", "p2", "p3")
LATER = FIRST_DAY + 20 * 288
HOURS = 6  # that everybody wants
EVERY_SECONDS = 0.05


class Planners:
    """Attach them to a world before it runs; `complaints` afterwards."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = stream(world.seed, "plans")
        self.operations: list[Operation] = []
        world.at(BIRTH_AT + 1.0, lambda: self._prepare(self._preparations()))

    def _preparations(self) -> Iterator[Operation]:
        now = self._world.now
        for user in USERS:
            yield Operation(f"register-{user}", "register", RegisterUser(user, user, user, "hash"), now)
            yield Operation(f"login-{user}", "login", OpenSession(f"s-{user}", user, "hash", "", 10**10), now)

    def _prepare(self, left: Iterator[Operation]) -> None:
        operation = next(left, None)
        if operation is None:
            self._plan()
        else:
            self._world.clients._begin(operation, "x", "", lambda: self._prepare(left))

    def _plan(self) -> None:
        if self._world.calm:
            return
        self._world.at(self._rng.expovariate(1 / EVERY_SECONDS), self._plan)
        chosen = self._choose(f"plan{len(self.operations)}")
        if chosen is None:
            return
        kind, command, user = chosen
        operation = Operation(f"plan{len(self.operations)}", kind, command, self._world.now)
        operation.user = user
        self.operations.append(operation)
        self._world.clients._begin(operation, user, f"s-{user}")

    def _choose(self, name: str) -> tuple[str, Command, str] | None:
        rng = self._rng
        user = rng.choice(USERS)
        known = next((node.core.state for node in self._world.nodes.values() if node.core is not None), None)
        if known is None or "hq" not in known.spaces:
            return None
        grid = DayGrid(known.spaces["hq"].revision, 12, ((LATER, HOURS),))
        mine = [
            each for each in known.bookings.values() if each.user_id == user and each.status == "confirmed"
        ]
        roll = rng.random()
        if roll < 0.35:
            return (
                "basket",
                BookTogether(tuple(self._place(f"{name}.{i}", grid) for i in range(rng.randint(1, 3)))),
                user,
            )
        if roll < 0.6:
            want = self._place(f"{name}.w", grid)
            if rng.random() < 0.3:
                want = BookSeat(want.booking_id, "hq", "", want.start_cell, want.slots, grid)
            return "join", JoinWaitlist(name, want), user
        if roll < 0.65:
            waiting = list(known.waiters_by_user.get(user, ()))
            return ("leave", LeaveWaitlist(rng.choice(waiting)), user) if waiting else None
        if not mine:
            return None
        target = rng.choice(mine)
        if roll < 0.85:
            return "cancel", CancelBookingBecause(target.id, "plans change"), user
        return "move", MoveBooking(target.revision, self._place(target.id, grid)), user

    def _place(self, booking_id: str, grid: DayGrid) -> BookSeat:
        seat = f"A{self._rng.randrange(self._world.settings.seats)}"
        start = LATER + 12 * self._rng.randrange(HOURS)
        slots = self._rng.choice((1, 1, 2)) if start < LATER + 12 * (HOURS - 1) else 1
        return BookSeat(booking_id, "hq", seat, start, slots, grid)

    def complaints(self, state: State) -> list[str]:
        """Where the state is not what was promised."""
        found = []
        for operation in self.operations:
            outcome = operation.outcome
            if outcome is None:
                found.append(f"{operation.key} was never answered")
            elif not outcome.ok:
                if isinstance(operation.command, BookTogether) and any(
                    item.booking_id in state.bookings for item in operation.command.items
                ):
                    found.append(f"{operation.key}: a part of a refused basket is there")
            else:
                found += self._missing(operation, state)
        return found + _idle(state)

    @staticmethod
    def _missing(operation: Operation, state: State) -> list[str]:
        assert operation.outcome is not None
        result = operation.outcome.result
        match result:
            case Together(items=items):
                names = [each.booking.id for each in items if each.booking is not None]
                gone = [name for name in names if name not in state.bookings]
            case Booking(id=name, revision=revision):
                steps = (
                    [step.revision for step in state.history_of(state.bookings[name])]
                    if name in state.bookings
                    else []
                )
                gone = [] if revision in steps else [name]
                if operation.kind == "cancel" and state.bookings[name].status != "cancelled":
                    gone = [name]
            case Waiter(id=name, status="promoted", want=want) if operation.kind == "join":
                gone = [] if want.booking_id in state.bookings else [name]
            case _:
                gone = []
        return [f"{operation.key}: acknowledged, and {gone} is missing"] if gone else []


def _idle(state: State) -> list[str]:
    """Those who wait for one seat while all of their time there is free."""
    held = {
        (each.seat_id, cell)
        for each in state.bookings.values()
        if each.status == "confirmed"
        for cell in range(each.start_cell, each.end_cell)
    }
    return [
        f"{waiter.id} waits for what is free"
        for waiter in state.waiters.values()
        if waiter.status == "waiting"
        and waiter.want.seat_id
        and not {(waiter.want.seat_id, cell) for cell in range(waiter.want.start_cell, waiter.end_cell)}
        & held
    ]
