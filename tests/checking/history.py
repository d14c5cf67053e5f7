"""What clients saw, as plain records: the only thing that the checkers know of a system.

A history comes from the simulator or from real processes over HTTP alike. An `Operation` is what one client asked and was told, with
all its tries under one idempotency key counted as one: from the first try to the answer that the client believed. Times are seconds of one
monotonic clock; where clients sit on several clocks, `widened` makes every interval longer by how far apart they can be, which can hide a violation
but never invents one. **No answer** means an unknown outcome: the operation may take effect at any time after it was asked, or never.

Only what a client can know stands here: a booking whose answer was lost has no name (`Book.booking` is empty) until some list shows it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

Level = Literal["linearizable", "stale"]


class Book(NamedTuple):
    """Take the cells `[start, end)` of a seat. Answers: `ok`, `seat-taken`, another code that changed nothing."""

    user: str
    seat: str
    start: int
    end: int
    booking: str = ""  # the name of the booking, if the client knows it


class Cancel(NamedTuple):
    """Give a booking back. `user` owns it, whoever asks. Answers: `ok`, `booking-not-found`, another code."""

    user: str
    seat: str
    booking: str


class ReadSeat(NamedTuple):
    """Which cells of `[first, first + cells)` are taken? The answer has bit `i` for the cell `first + i`."""

    seat: str
    first: int
    cells: int


class ReadUser(NamedTuple):
    """All bookings of a user. The answer is a set of `Listed`."""

    user: str


class Listed(NamedTuple):
    """One line of a user's list."""

    booking: str
    status: str  # confirmed or cancelled
    seat: str
    start: int


Ask = Book | Cancel | ReadSeat | ReadUser
Answer = str | int | frozenset[Listed]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one client. `index` is where in the log it says it happened (0: not told), `floor` what the client had seen and sent."""

    number: int  # its name, unique in a history
    process: str
    invoked: float
    returned: float  # infinite while unknown
    ask: Ask
    answer: Answer | None  # None: unknown
    level: Level = "linearizable"
    floor: int = 0
    index: int = 0
    position: int = 0  # of a change, within its entry

    def __str__(self) -> str:
        end = "?" if math.isinf(self.returned) else f"{self.returned:.4f}"
        answer = "unknown" if self.answer is None else self._answer_text()
        at = f", entry {self.index}" if self.index else ""
        return f"#{self.number} {self.process} [{self.invoked:.4f}, {end}] {self._ask_text()} -> {answer}{at}"

    def _ask_text(self) -> str:
        match self.ask:
            case Book(user, seat, start, end, booking):
                return f"{user} books {seat} cells {start}..{end - 1} as {booking or '(no name)'}"
            case Cancel(user, seat, booking):
                return f"{user} cancels {booking} on {seat}"
            case ReadSeat(seat, first, cells):
                return f"reads {seat} cells {first}..{first + cells - 1}"
            case ReadUser(user):
                return f"reads the bookings of {user}"

    def _answer_text(self) -> str:
        match self.ask, self.answer:
            case ReadSeat(_, first, _), int(bits):
                return "taken " + cells_text(first, bits)
            case _, frozenset() as listed:
                return "{" + ", ".join(f"{line.booking} {line.status}" for line in sorted(listed)) + "}"
        return str(self.answer)


def cells_text(first: int, bits: int) -> str:
    """The numbers of the cells in a bitmap, runs as ranges."""
    runs = []
    place = 0
    while bits >> place:
        start = place + ((bits >> place) & -(bits >> place)).bit_length() - 1
        place = start
        while bits >> place & 1:
            place += 1
        runs.append(f"{first + start}" if place == start + 1 else f"{first + start}..{first + place - 1}")
    return "{" + ", ".join(runs) + "}"


def unknown(operation: Operation) -> bool:
    """Whether nobody knows what became of it."""
    return operation.answer is None


def widened(operations: Iterable[Operation], uncertainty_seconds: float) -> list[Operation]:
    """The same history for clients whose clocks may differ by that much."""
    return [
        replace(
            operation,
            invoked=operation.invoked - uncertainty_seconds,
            returned=operation.returned + uncertainty_seconds,
        )
        for operation in operations
    ]


def settled(operations: Sequence[Operation]) -> list[Operation]:
    """The same history with what its reads reveal about unknown outcomes. Sound: it only writes down what must have been.

    A booking in a list that no answered request made must be one of the unknown ones for that user, seat and time; it gets that name, and it
    took effect before the first answer that shows it. Without this, every unknown outcome would stay open to the end and double the search. Where
    several unknown requests asked for the same, names are given in their order, which is that of UUIDv7.
    """
    seen: dict[str, tuple[float, Listed, str]] = {}  # by booking: when it was first shown, and in whose list
    for operation in operations:
        if isinstance(operation.ask, ReadUser) and isinstance(operation.answer, frozenset):
            for line in operation.answer:
                if line.booking not in seen or operation.returned < seen[line.booking][0]:
                    seen[line.booking] = operation.returned, line, operation.ask.user
    cancelled = {
        operation.ask.booking: operation.returned
        for operation in sorted(operations, key=lambda operation: -operation.returned)
        if isinstance(operation.ask, Cancel) and operation.answer == "ok"
    }
    named = {operation.ask.booking for operation in operations if isinstance(operation.ask, Book)}
    free: dict[tuple[str, str, int], list[str]] = {}
    for booking in sorted(seen.keys() - named):
        _, line, user = seen[booking]
        free.setdefault((user, line.seat, line.start), []).append(booking)
    result = []
    for operation in sorted(operations, key=lambda operation: operation.invoked):
        ask = operation.ask
        if isinstance(ask, Book) and unknown(operation):
            names = free.get((ask.user, ask.seat, ask.start))
            if not ask.booking:
                ask = ask._replace(booking=names.pop(0) if names else f"?{operation.number}")
            shown = min(
                seen[ask.booking][0] if ask.booking in seen else math.inf,
                cancelled.get(ask.booking, math.inf),
            )
            answer = None if math.isinf(shown) else "ok"
            operation = replace(operation, ask=ask, answer=answer, returned=max(shown, operation.invoked))
        result.append(operation)
    return result
