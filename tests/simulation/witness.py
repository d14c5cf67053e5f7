"""What the clients of a world saw, as the plain history that `tests.checking` judges at the end of every seed.

The witness knows no more than a client does: what was asked, when, what the answer was and at which index it claims to stand. It looks into
no member; so whatever it finds would have been seen from outside, over HTTP, as well.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from statemachine.outcomes import Outcome
from statemachine.records import CELLS_PER_DAY, Booking
from statemachine.state import State
from tests.checking.history import Answer, Ask, Book, Level, Listed, Operation, ReadSeat, ReadUser
from tests.checking.linearizability import check_history
from tests.checking.sessions import check_sessions
from tests.simulation.member import ViolationError

if TYPE_CHECKING:
    from tests.simulation.world import World


class Witness:
    """Writes the history down. `floors` holds the newest index that each client has seen, as its session carries it along."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.history: list[Operation] = []
        self.floors: Counter[str] = Counter()
        self.cpu_seconds = 0.0
        self.steps = 0

    def asked(self, process: str, ask: Ask, level: Level = "linearizable", floor: int = 0) -> int:
        """A client asks; the number under which it will be told."""
        number = len(self.history)
        self.history.append(Operation(number, process, self._world.now, math.inf, ask, None, level, floor))
        return number

    def answered(self, number: int, outcome: Outcome) -> None:
        """A command was answered."""
        operation = self.history[number]
        ask = operation.ask
        if isinstance(ask, Book) and isinstance(outcome.result, Booking):
            operation = replace(operation, ask=ask._replace(booking=outcome.result.id))
        self._told(operation, outcome.code, outcome.index, outcome.position)

    def read(self, number: int, state: State, index: int, space_id: str) -> None:
        """A member answers a read from this state, which it says is that of `index`."""
        operation = self.history[number]
        ask = operation.ask
        answer: Answer
        if isinstance(ask, ReadSeat):
            answer = 0
            for day in range(ask.first // CELLS_PER_DAY, (ask.first + ask.cells) // CELLS_PER_DAY):
                answer |= state.seat_cells(space_id, ask.seat, day) << (day * CELLS_PER_DAY - ask.first)
        else:
            assert isinstance(ask, ReadUser)
            bookings = (state.bookings[name] for name in state.user_bookings(ask.user))
            answer = frozenset(Listed(it.id, it.status, it.seat_id, it.start_cell) for it in bookings)
        self._told(operation, answer, index, 0)

    def _told(self, operation: Operation, answer: Answer, index: int, position: int) -> None:
        self.history[operation.number] = replace(
            operation, returned=self._world.now, answer=answer, index=index, position=position
        )
        self.floors[operation.process] = max(self.floors[operation.process], index)

    def judge(self) -> None:
        """Both phases together: a history is linearizable only if each of its beginnings is. Raises ViolationError."""
        started = time.process_time()
        report = check_history(self.history)
        complaints = check_sessions(self.history)
        self.cpu_seconds += time.process_time() - started
        self.steps += report.steps
        story = [line for line in (*report.story.split("\n"), *complaints) if line]
        if story:
            for line in story:
                self._world.note(line)
            raise ViolationError(f"the history of the clients: {story[0]}")
