"""The load of a world: clients that book and cancel through any member, try again with the same key when they do not know what became of it,
and read on every member.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from statemachine.commands import (
    BirthCluster,
    BookSeat,
    CancelBooking,
    Command,
    DayGrid,
    Envelope,
    NewSpace,
    OpenSession,
    encode_envelope,
)
from statemachine.outcomes import Outcome
from statemachine.records import Seat
from statemachine.state import State
from tests.simulation.events import stream
from tests.simulation.member import EPOCH_MS, SimNode, ViolationError

if TYPE_CHECKING:
    from tests.simulation.world import World

BIRTH_AT = 1.5
READ_SHARE = 0.25
CANCEL_SHARE = 0.2
FIRST_DAY = (EPOCH_MS // 300_000 // 288 + 2) * 288  # in cells of five minutes
DAY_CELLS = 24 * 8
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
    floor: int = 0  # newest log index that anybody had seen when this was asked (real-time order)
    attempts: int = 0
    outcome: Outcome | None = None
    done_at: float | None = None


class Clients:
    """Everybody outside the cluster."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = stream(world.seed, "clients")
        self.operations: list[Operation] = []
        self._acknowledged: deque[Operation] = deque(maxlen=MUST_SEE)
        self.reads_judged = 0
        self._next_id = 0

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def start(self) -> None:
        """The birth of the cluster's data, a login, and then the load."""
        self._world.at(BIRTH_AT, self._birth)

    def _birth(self) -> None:
        world = self._world
        seats = tuple(Seat(f"A{number}", f"A{number}") for number in range(world.settings.seats))
        space = NewSpace("hq", "HQ", "UTC", 0, 1440, 60, seats)
        birth = Operation(
            "birth", "birth", BirthCluster("admin", "admin", "admin", "hash", (space,)), world.now
        )
        login = Operation("login", "login", OpenSession("s1", "admin", "hash", "", 10**10), world.now)
        self._begin(birth, "x", "", lambda: self._begin(login, "x", "", self._operate))

    def _begin(
        self, operation: Operation, scope: str, session_id: str, then: Callable[[], None] | None = None
    ) -> None:
        operation.floor = self._world.judge.newest_seen
        self.operations.append(operation)
        self._attempt(operation, scope, session_id, then)

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
        envelope = encode_envelope(
            Envelope(
                request_id, scope, operation.key, b"f", 86_400_000, 1 << 50, session_id, operation.command
            )
        )
        finished = False

        def result(outcome: Outcome | None, _failure: str) -> None:
            nonlocal finished
            if finished:
                return
            finished = True
            if outcome is None or outcome.code in ("not-born", "rules-changed"):
                world.at(again, retry)
                return
            self._done(operation, outcome)
            if then is not None:
                then()

        node.results[request_id] = result
        if not node.core.execute(request_id, envelope, 1.0):
            world.at(again, retry)
            return
        world.at(0.0, node.turn)
        world.at(3.0, lambda: result(None, "lost"))  # the node died with the request

    def _done(self, operation: Operation, outcome: Outcome) -> None:
        if operation.outcome is not None:
            if operation.outcome != outcome:
                raise ViolationError(f"{operation.key} was answered twice: {operation.outcome} and {outcome}")
            return
        operation.outcome, operation.done_at = outcome, self._world.now
        self._world.note(f"{operation.key} {outcome.code} at {outcome.index}.{outcome.position}")
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
            assert isinstance(target.command, BookSeat)
            operation = Operation(f"k{number}", "cancel", CancelBooking(target.command.booking_id), world.now)
        else:
            cell = FIRST_DAY + 12 * rng.randrange(DAY_CELLS)
            seat = f"A{rng.randrange(world.settings.seats)}"
            revision = self._revision()
            if revision is None:
                return
            grid = DayGrid(revision, 12, ((FIRST_DAY, DAY_CELLS),))
            command = BookSeat(f"b{number}", "hq", seat, cell, 1, grid)
            operation = Operation(f"k{number}", "book", command, world.now, cell, seat)
        self._begin(operation, "admin", "s1")

    def _revision(self) -> str | None:
        """Of the space that is booked, as some member knows it."""
        for node in self._world.nodes.values():
            if node.core is not None and node.core.state.spaces:
                return node.core.state.spaces["hq"].revision
        return None

    def _read(self) -> None:
        world = self._world
        node = self._some_node()
        if node.core is None or world.now < node.paused_until:
            return
        token = self._new_id()
        must_see = tuple(self._acknowledged)
        floor = world.judge.newest_seen

        def judge(state: State, _index: int) -> None:
            self.reads_judged += 1
            assert node.core is not None
            world.judge.read(node, node.core.applied_index, floor)
            for operation in must_see:
                world.judge.must_hold(operation, state, f"linearizable read on {node.node_id}")

        node.reads[token] = judge
        node.core.read(token)
        world.at(0.0, node.turn)
