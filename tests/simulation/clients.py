"""The load of a world: clients that book and cancel through any member, try again with the same key when they do not know what became of it,
and read on every member, at both levels. Each user is one session that moves between members and carries along the newest index it has seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from statemachine.commands import (
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
    encode_envelope,
)
from statemachine.outcomes import Outcome
from statemachine.records import CELLS_PER_DAY, Booking, Seat
from statemachine.state import State
from tests.checking.history import Ask, Book, Cancel, ReadSeat, ReadUser
from tests.simulation.events import stream
from tests.simulation.member import EPOCH_MS, SimNode, ViolationError
from tests.simulation.settings import Settings

if TYPE_CHECKING:
    from tests.simulation.world import World

BIRTH_AT = 1.5
READ_SHARE = 0.25
CANCEL_SHARE = 0.2
FIRST_DAY = (EPOCH_MS // 300_000 // 288 + 2) * 288  # in cells of five minutes
DAY_CELLS = 24 * 8
AGAIN_SHARE = 0.3  # of what was asked before the run, what is asked again with its old key
AGAIN_SECONDS = 20.0
STALE_SHARE = 0.3  # of the reads
FLOOR_SHARE = 0.7  # of the stale reads: those that say what their session has seen
FLOOR_WAITS = 20  # so many times, a little apart, a stale read waits for a member to come up to its floor
MUST_SEE = (
    100  # of the newest acknowledged operations, those that every read must show (the end must show all)
)


@dataclass
class Operation:
    """One client operation of the history."""

    key: str
    kind: str
    command: Command
    invoked_at: float
    cell: int = 0
    seat: str = ""
    again: tuple[str, ...] = ("not-born", "rules-changed")  # with these answers it is asked again as it is
    floor: int = 0  # newest log index that anybody had seen when this was asked (real-time order)
    attempts: int = 0
    user: str = ""
    number: int = -1  # in the history of the witness
    outcome: Outcome | None = None
    done_at: float | None = None


def preparations(
    settings: Settings, now: float, birth: type[BirthCluster] = FoundCluster
) -> Iterator[Operation]:
    """What has to be done before the load, one after the other: the birth, and a session for each user."""
    seats = tuple(Seat(f"A{number}", f"A{number}") for number in range(settings.seats))
    space = NewSpace("hq", "HQ", "UTC", 0, 1440, 60, seats)
    yield Operation("birth", "birth", birth("admin", "admin", "admin", "hash", (space,)), now)
    for user in users_of(settings):
        yield Operation(f"register-{user}", "register", RegisterUser(user, user, user, "hash"), now)
        yield Operation(f"login-{user}", "login", OpenSession(f"s-{user}", user, "hash", "", 10**10), now)


def users_of(settings: Settings) -> list[str]:
    """Their ids."""
    return [f"u{number + 1}" for number in range(settings.users)]


class Clients:
    """Everybody outside the cluster."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = stream(world.seed, "clients")
        self.operations: list[Operation] = []
        self._acknowledged: deque[Operation] = deque(maxlen=MUST_SEE)
        self.reads_judged = 0
        self._next_id = 0
        self._users = users_of(world.settings)

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def start(self) -> None:
        """The birth of the cluster's data, a login, and then the load; data that are there already are asked about again instead."""
        older = self._world.older
        if older is None:
            self._world.at(
                BIRTH_AT, lambda: self._prepare(preparations(self._world.settings, self._world.now))
            )
            return
        self._world.at(BIRTH_AT, self._operate)
        for operation, scope, session_id in older.operations:
            if self._rng.random() < AGAIN_SHARE:
                delay = BIRTH_AT + self._rng.uniform(0.0, AGAIN_SECONDS)
                self._world.at(
                    delay, lambda known=(operation, scope, session_id): self._attempt(*known, None)
                )  # type: ignore[misc]  # mypy cannot infer such a lambda

    def from_before(self, operation: Operation) -> None:
        """Something that was asked before the run began."""
        self._noted(operation)

    def _prepare(self, left: Iterator[Operation]) -> None:
        operation = next(left, None)
        if operation is None:
            self._operate()
        else:
            self.begin(operation, "x", "", lambda: self._prepare(left))

    def begin(
        self, operation: Operation, scope: str, session_id: str, then: Callable[[], None] | None = None
    ) -> None:
        """Ask for something until there is an answer; `then` is called with it."""
        self._noted(operation)
        self._attempt(operation, scope, session_id, then)

    def _noted(self, operation: Operation) -> None:
        operation.floor = self._world.judge.newest_seen
        ask = self._ask_of(operation)
        if ask is not None:
            operation.number = self._world.witness.asked(operation.user, ask)
        self.operations.append(operation)

    @staticmethod
    def _ask_of(operation: Operation) -> Ask | None:
        """What the client knows of it: the name of a new booking is told with the answer."""
        match operation.command:
            case BookSeat(space_id="hq", seat_id=seat, start_cell=cell, slots=slots, grid=grid):
                return Book(operation.user, seat, cell, cell + slots * grid.slot_cells)
            case CancelBooking(booking_id=booking):
                return Cancel(operation.user, operation.seat, booking)
        return None

    def _some_node(self) -> SimNode:
        return self._world.nodes[self._rng.choice(self._world.ids)]

    def _attempt(
        self, operation: Operation, scope: str, session_id: str, then: Callable[[], None] | None
    ) -> None:
        """One try through some node; unknown and unavailable are retried with the same key, as a client does."""
        world = self._world
        operation.attempts += 1
        again = self._rng.uniform(0.05, 0.5)
        node = self._some_node()

        def retry() -> None:
            self._attempt(operation, scope, session_id, then)

        if node.core is None or world.now < node.paused_until:
            world.at(again, retry)
            return
        request_id = self._new_id()
        command = operation.command
        if isinstance(command, BookSeat):  # a node makes a new name for every request that reaches it
            command = msgspec.structs.replace(
                command, booking_id=f"{command.booking_id}.{operation.attempts}"
            )
        envelope = encode_envelope(
            Envelope(request_id, scope, operation.key, b"f", 86_400_000, 1 << 50, session_id, command)
        )
        finished = False

        def result(outcome: Outcome | None, _failure: str) -> None:
            nonlocal finished
            if finished:
                return
            finished = True
            if outcome is None or outcome.code in operation.again:
                world.at(again, retry)
                return
            self.answered(operation, outcome)
            if then is not None:
                then()

        node.results[request_id] = result
        if not node.core.execute(request_id, envelope, 1.0):
            world.at(again, retry)
            return
        world.at(0.0, node.turn)
        world.at(3.0, lambda: result(None, "lost"))  # the node died with the request

    def answered(self, operation: Operation, outcome: Outcome) -> None:
        """Its client believes this answer; another one may not come."""
        if operation.outcome is not None:
            if operation.outcome != outcome:
                raise ViolationError(f"{operation.key} was answered twice: {operation.outcome} and {outcome}")
            return
        operation.outcome, operation.done_at = outcome, self._world.now
        self._world.note(f"{operation.key} {outcome.code} at {outcome.index}.{outcome.position}")
        if operation.number >= 0:
            self._world.witness.answered(operation.number, outcome)
        self._world.judge.answered(operation, outcome.index)
        if outcome.ok:
            self._acknowledged.append(operation)

    def _operate(self) -> None:
        world, rng = self._world, self._rng
        if world.calm:
            return
        world.at(rng.expovariate(1 / world.settings.operation_every_seconds), self._operate)
        roll = rng.random()
        if roll < READ_SHARE:
            self._read()
            return
        number = len(self.operations)
        booked = [op for op in self._acknowledged if op.kind == "book"]
        if roll < READ_SHARE + CANCEL_SHARE and booked:
            target = rng.choice(booked)
            assert target.outcome is not None and isinstance(target.outcome.result, Booking)
            cancel = CancelBooking(target.outcome.result.id)
            operation = Operation(f"k{number}", "cancel", cancel, world.now, target.cell, target.seat)
            operation.user = target.user
        else:
            cell = FIRST_DAY + 12 * rng.randrange(DAY_CELLS)
            seat = f"A{rng.randrange(world.settings.seats)}"
            revision = self._revision()
            if revision is None:
                return
            shift = rng.choice(
                world.settings.zone_shifts
            )  # the node that resolved the day may have other time zone data
            grid = DayGrid(revision, 12, ((FIRST_DAY + shift, DAY_CELLS),))
            command = BookSeat(f"b{number}", "hq", seat, cell + shift, 1, grid)
            operation = Operation(f"k{number}", "book", command, world.now, cell, seat)
            operation.user = rng.choice(self._users)
        self.begin(operation, operation.user, f"s-{operation.user}")

    def _revision(self) -> str | None:
        """Of the space that is booked, as some member knows it."""
        for node in self._world.nodes.values():
            if node.core is not None and node.core.state.spaces:
                return node.core.state.spaces["hq"].revision
        return None

    def _read(self) -> None:
        rng = self._rng
        node = self._some_node()
        user = rng.choice(self._users)
        ask = ReadUser(user) if rng.random() < 0.3 else self._page(rng.randrange(self._world.settings.seats))
        if rng.random() < STALE_SHARE:
            floor = self._world.witness.floors[user] if rng.random() < FLOOR_SHARE else 0
            self._stale(node, self._world.witness.asked(user, ask, "stale", floor), floor, FLOOR_WAITS)
        elif node.core is not None and self._world.now >= node.paused_until:
            self._linearizable(node, self._world.witness.asked(user, ask))

    @staticmethod
    def _page(seat: int) -> ReadSeat:
        """All days that are booked in this world."""
        days = -(-DAY_CELLS * 12 // CELLS_PER_DAY)
        return ReadSeat(f"A{seat}", FIRST_DAY, days * CELLS_PER_DAY)

    def _stale(self, node: SimNode, number: int, floor: int, waits: int) -> None:
        """Answered from what a member has, as soon as that has come up to the floor; given up after a while."""
        world = self._world
        if node.core is None or world.now < node.paused_until or node.core.applied_index < floor:
            if waits:
                world.at(0.05, lambda: self._stale(self._some_node(), number, floor, waits - 1))
            return
        world.witness.read(number, node.core.state, node.core.applied_index, "hq")

    def _linearizable(self, node: SimNode, number: int) -> None:
        world = self._world
        assert node.core is not None
        token = self._new_id()
        must_see = tuple(self._acknowledged)
        floor = world.judge.newest_seen

        def judge(state: State, _index: int) -> None:
            self.reads_judged += 1
            assert node.core is not None
            world.witness.read(number, state, node.core.applied_index, "hq")
            world.judge.read(node, node.core.applied_index, floor)
            for operation in must_see:
                world.judge.must_hold(operation, state, f"linearizable read on {node.node_id}")

        node.reads[token] = judge
        node.core.read(token)
        world.at(0.0, node.turn)
