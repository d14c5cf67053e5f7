"""What one client may expect while it moves from node to node, at both levels of reading.

Every answer says at which entry of the log it stands (`Deskraft-Index`); a client that sends the newest it has seen (`Deskraft-Min-Index`: its
*floor*) reads its own writes and never goes back in time (the session guarantees of Terry et al., 1994). These indexes are claims of the system
under test, so they are held against two things that it cannot make up: the order in which clients asked and were told, and what the answers contain.

1. **Floor:** no answer stands before the floor that was sent with its request.
2. **Session:** whatever a client asks after an answer, with its floor or linearizably, stands at or after that answer.
3. **Real time:** a change, and a linearizable read, stands at or after everything that anybody had been told before it was asked; a change after it.
4. **Honesty:** a read at entry N, linearizable or stale, shows exactly the changes up to N: a state that existed, whole. Cells and bookings that an
   operation of unknown outcome may have touched are left out.

Unlike the search in `linearizability` this takes no time to speak of, and it is the only judge of stale reads.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from tests.checking.history import Book, Cancel, Operation, ReadSeat, ReadUser, cells_text, settled, unknown


def check_sessions(operations: Sequence[Operation]) -> list[str]:
    """Every broken expectation, in words; empty when there is none."""
    told = [operation for operation in operations if operation.index and not unknown(operation)]
    return [
        *_floors(told),
        *_sessions(told),
        *_real_time(told),
        *_honesty(settled(operations)),
    ]


def _floors(told: Iterable[Operation]) -> list[str]:
    return [
        f"{operation} stands before the floor {operation.floor} that was sent"
        for operation in told
        if operation.index < operation.floor
    ]


def _sessions(told: Iterable[Operation]) -> list[str]:
    """Within one process, operations that do not overlap."""
    broken = []
    by_process: dict[str, list[Operation]] = {}
    for operation in told:
        by_process.setdefault(operation.process, []).append(operation)
    for mine in by_process.values():
        newest = _Newest(mine)
        for operation in mine:
            if operation.level == "linearizable" or operation.floor:
                before = newest.before(operation.invoked)
                # A stale read promises the floor that it was given, and no more.
                expected = (
                    before.index if operation.level == "linearizable" else min(before.index, operation.floor)
                )
                if operation.index < expected:
                    broken.append(
                        f"{operation} goes back behind what its client had seen: {before.operation}"
                    )
    return broken


def _real_time(told: Sequence[Operation]) -> list[str]:
    broken = []
    newest = _Newest(told)
    for operation in told:
        before = newest.before(operation.invoked)
        if operation.level == "linearizable" and operation.index < before.index + _changes(operation):
            broken.append(
                f"{operation} stands before what had been told when it was asked: {before.operation}"
            )
    return broken


def _changes(operation: Operation) -> bool:
    return operation.answer == "ok" and isinstance(operation.ask, Book | Cancel)


class _Seen:
    """The newest index told by some moment, and by whom."""

    __slots__ = ("index", "operation")

    def __init__(self, index: int, operation: Operation | None) -> None:
        self.index = index
        self.operation = operation


class _Newest:
    """Answers "the newest index told before that moment"."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._moments: list[float] = []
        self._seen: list[_Seen] = [_Seen(0, None)]
        for operation in sorted(operations, key=lambda operation: operation.returned):
            last = self._seen[-1]
            self._moments.append(operation.returned)
            self._seen.append(_Seen(operation.index, operation) if operation.index > last.index else last)

    def before(self, moment: float) -> _Seen:
        """At the moment itself counts as concurrent."""
        place = bisect_right(self._moments, moment)
        while place and self._moments[place - 1] == moment:
            place -= 1
        return self._seen[place]


# Honesty: the state at each index is made again from the changes that clients were told of.


def _honesty(operations: Sequence[Operation]) -> list[str]:
    broken = []
    seats: dict[str, list[Operation]] = {}
    users: dict[str, list[Operation]] = {}
    for operation in operations:
        ask = operation.ask
        if isinstance(ask, ReadSeat):
            if operation.index and not unknown(operation):
                seats.setdefault(ask.seat, []).append(operation)
        elif isinstance(ask, ReadUser):
            if operation.index and not unknown(operation):
                users.setdefault(ask.user, []).append(operation)
        elif operation.answer in (None, "ok"):
            seats.setdefault(ask.seat, []).append(operation)
            users.setdefault(ask.user, []).append(operation)
    for _, part in sorted(seats.items()):
        broken += _seat(part)
    for _, part in sorted(users.items()):
        broken += _user(part)
    return broken


def _in_log_order(part: list[Operation]) -> list[Operation]:
    """Changes by their place, each read after the whole of its entry; what has no place is left out."""
    placed = [operation for operation in part if operation.index]
    return sorted(
        placed,
        key=lambda operation: (
            operation.index,
            isinstance(operation.ask, ReadSeat | ReadUser),
            operation.position,
        ),
    )


def _doubtful(part: list[Operation]) -> set[str]:
    """Bookings whose making or ending has no known place in the log."""
    return {
        operation.ask.booking
        for operation in part
        if not operation.index and isinstance(operation.ask, Book | Cancel)
    }


def _seat(part: list[Operation]) -> list[str]:
    books = {operation.ask.booking: operation.ask for operation in part if isinstance(operation.ask, Book)}
    base = min(
        (
            ask.start if isinstance(ask, Book) else ask.first
            for ask in (operation.ask for operation in part)
            if isinstance(ask, Book | ReadSeat)
        ),
        default=0,
    )
    masks = {name: ((1 << (ask.end - ask.start)) - 1) << (ask.start - base) for name, ask in books.items()}
    ignored = 0
    for name in _doubtful(part):
        ignored |= masks.get(name, 0)
    broken = []
    taken = 0
    live: set[str] = set()
    for operation in _in_log_order(part):
        ask = operation.ask
        if isinstance(ask, Book):
            taken |= masks[ask.booking]
            live.add(ask.booking)
        elif isinstance(ask, Cancel):
            if (
                ask.booking in live
            ):  # cancelling twice is answered alike, and the cells may be somebody else's by then
                live.remove(ask.booking)
                taken &= ~masks[ask.booking]
        elif isinstance(ask, ReadSeat) and isinstance(operation.answer, int):
            window = (1 << ask.cells) - 1
            wrong = (
                ((taken >> (ask.first - base)) ^ operation.answer) & ~(ignored >> (ask.first - base)) & window
            )
            if wrong:
                broken.append(
                    f"{operation} differs in {cells_text(ask.first, wrong)} from the changes up to its entry"
                )
    return broken


def _user(part: list[Operation]) -> list[str]:
    ignored = _doubtful(part)
    broken = []
    lines: dict[str, str] = {}
    for operation in _in_log_order(part):
        ask = operation.ask
        if isinstance(ask, Book):
            lines[ask.booking] = "confirmed"
        elif isinstance(ask, Cancel):
            lines[ask.booking] = "cancelled"
        elif isinstance(operation.answer, frozenset):
            shown = {line.booking: line.status for line in operation.answer}
            wrong = sorted(name for name, _ in shown.items() ^ lines.items() if name not in ignored)
            if wrong:
                broken.append(
                    f"{operation} differs in {', '.join(dict.fromkeys(wrong))} from the changes up to its entry"
                )
    return broken
