"""What a single desk clerk would do: the sequential rules that a history is held against.

Linearizability is local (Herlihy and Wing 1990, theorem 1): a history is linearizable if and only if its part for each object is. The objects
here are a **seat** (who holds which of its cells, and who held them once) and a **user** (the list of their bookings), so that the search never sees
more than one of them at a time. The price: a page of several seats, or a booking in the list that is not on the seat, is judged in each part alone.

`step(state, operation)` is the state after the operation took effect at that point, or None when its answer would be impossible there. An operation
of unknown outcome has whatever effect it would have. States are values. Refusals for other reasons than the state (opening hours, time, sessions)
say nothing about it, and are left out by `by_seat` and `by_user`, as are reads without an answer.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

from tests.checking.history import Book, Cancel, Listed, Operation, ReadSeat, ReadUser, unknown

TAKEN, NOT_FOUND = "seat-taken", "booking-not-found"
_CANCEL_ANSWERS = ("ok", NOT_FOUND)
_BUCKETS = (
    32  # a change copies one bucket, so that a thousand states of a thousand bookings are not a million lines
)

State = TypeVar("State", bound=Hashable)


class Model(Protocol[State]):
    """One object."""

    def initial(self) -> State:
        """Before the first operation."""
        ...

    def step(self, state: State, operation: Operation) -> State | None:
        """The state after `operation`, or None when it cannot have happened there with the answer it had."""
        ...

    def gap(self, state: State, operation: Operation) -> int:
        """How far the state is from one in which the operation could have happened: the search goes where this is small."""
        ...

    def describe(self, state: State) -> str:
        """For people."""
        ...

    def projections(self, operations: Sequence[Operation]) -> Iterator[list[Operation]]:
        """Smaller histories of the same object, each linearizable if the whole is."""
        ...


def pure(operation: Operation) -> bool:
    """Whether an operation, with the answer it had, leaves the state as it is."""
    return isinstance(operation.ask, ReadSeat | ReadUser) or operation.answer in (TAKEN, NOT_FOUND)


class SeatState(NamedTuple):
    """A seat at one moment."""

    taken: int  # bit i: cell i after the model's first
    live: frozenset[tuple[str, int, int]]  # (booking, start, end)
    gone: frozenset[str]  # bookings that were cancelled


class SeatModel:
    """Cells of one seat. `first` is a cell before all that occur, to keep the bitmaps short."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        starts = [
            ask.start if isinstance(ask, Book) else ask.first
            for ask in (operation.ask for operation in operations)
            if isinstance(ask, Book | ReadSeat)
        ]
        self._first = min(starts, default=0)

    def initial(self) -> SeatState:
        """Free."""
        return SeatState(0, frozenset(), frozenset())

    def step(self, state: SeatState, operation: Operation) -> SeatState | None:
        """See `Model.step`."""
        ask, answer = operation.ask, operation.answer
        match ask:
            case ReadSeat(_, first, cells):
                seen = state.taken >> (first - self._first) & ((1 << cells) - 1)
                return state if seen == answer else None
            case Book(_, _, start, end, booking):
                return self._book(state, start, end, booking, answer)
            case Cancel(_, _, booking):
                return self._cancel(state, booking, answer)
        raise TypeError(f"{operation} is not about a seat")

    def _book(self, state: SeatState, start: int, end: int, booking: str, answer: object) -> SeatState | None:
        mask = ((1 << (end - start)) - 1) << (start - self._first)
        if state.taken & mask:
            return None if answer == "ok" else state
        if answer == TAKEN:
            return None
        line = (booking, start, end)
        return SeatState(state.taken | mask, state.live | {line}, state.gone)

    def _cancel(self, state: SeatState, booking: str, answer: object) -> SeatState | None:
        for line in state.live:
            if line[0] == booking:
                if answer == NOT_FOUND:
                    return None
                mask = ((1 << (line[2] - line[1])) - 1) << (line[1] - self._first)
                return SeatState(state.taken & ~mask, state.live - {line}, state.gone | {booking})
        if answer is None or (answer == "ok") == (booking in state.gone):
            return state
        return None

    def gap(self, state: SeatState, operation: Operation) -> int:
        """Cells that are wrong."""
        ask = operation.ask
        if isinstance(ask, ReadSeat) and isinstance(operation.answer, int):
            return (
                (state.taken >> (ask.first - self._first) & ((1 << ask.cells) - 1)) ^ operation.answer
            ).bit_count()
        return int(self.step(state, operation) is None)

    def describe(self, state: SeatState) -> str:
        """Who holds what."""
        held = ", ".join(
            f"{start}..{end - 1} by {booking}"
            for booking, start, end in sorted(state.live, key=lambda line: line[1])
        )
        return f"held: {held or 'nothing'}; cancelled: {', '.join(sorted(state.gone)) or 'none'}"

    def projections(self, operations: Sequence[Operation]) -> Iterator[list[Operation]]:
        """One for each run of cells that bookings join: what happens on other cells does not matter to it."""
        bookings = [operation.ask for operation in operations if isinstance(operation.ask, Book)]
        for start, end in _joined(
            [(ask.start, ask.end) for ask in bookings] + list(_loose_cells(operations))
        ):
            names = {ask.booking for ask in bookings if start <= ask.start < end}
            chosen = []
            for operation in operations:
                ask = operation.ask
                if isinstance(ask, ReadSeat):
                    low, high = max(start, ask.first), min(end, ask.first + ask.cells)
                    if low < high and isinstance(operation.answer, int):
                        bits = operation.answer >> (low - ask.first) & ((1 << (high - low)) - 1)
                        chosen.append(_with(operation, ask._replace(first=low, cells=high - low), bits))
                elif (isinstance(ask, Book) and start <= ask.start < end) or (
                    isinstance(ask, Cancel) and ask.booking in names
                ):
                    chosen.append(operation)
            yield chosen


def _loose_cells(operations: Iterable[Operation]) -> Iterator[tuple[int, int]]:
    """Cells that some read shows as taken: a part of their own if nobody booked them."""
    shown = {
        ask.first + place
        for operation in operations
        if isinstance(ask := operation.ask, ReadSeat) and isinstance(operation.answer, int)
        for place in range(operation.answer.bit_length())
        if operation.answer >> place & 1
    }
    return ((cell, cell + 1) for cell in sorted(shown))


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The union of half-open ranges, as ranges that do not overlap."""
    result: list[tuple[int, int]] = []
    for start, end in sorted(set(ranges)):
        if result and start < result[-1][1]:
            result[-1] = result[-1][0], max(end, result[-1][1])
        else:
            result.append((start, end))
    return result


def _with(operation: Operation, ask: ReadSeat | ReadUser, answer: int | frozenset[Listed]) -> Operation:
    return Operation(operation.number, operation.process, operation.invoked, operation.returned, ask, answer)


UserState = tuple[frozenset[tuple[str, str]], ...]  # (booking, status), by bucket


class UserModel:
    """The bookings of one user, current and past. The order of the list is not judged."""

    def __init__(self) -> None:
        self._answers: dict[frozenset[Listed], UserState] = {}

    def initial(self) -> UserState:
        """None."""
        return (frozenset(),) * _BUCKETS

    def step(self, state: UserState, operation: Operation) -> UserState | None:
        """See `Model.step`."""
        ask, answer = operation.ask, operation.answer
        if isinstance(ask, ReadUser):
            return state if state == self._answer(operation) else None
        assert isinstance(ask, Book | Cancel)
        place = hash(ask.booking) % _BUCKETS
        bucket = state[place]
        live, gone = (ask.booking, "confirmed"), (ask.booking, "cancelled")
        there = live in bucket or gone in bucket
        if isinstance(ask, Book):
            if there:
                return None if answer == "ok" else state
            return (*state[:place], bucket | {live}, *state[place + 1 :])
        if answer is not None and there != (answer == "ok"):
            return None
        if live not in bucket:
            return state
        return (*state[:place], bucket - {live} | {gone}, *state[place + 1 :])

    def _answer(self, operation: Operation) -> UserState:
        assert isinstance(operation.answer, frozenset)
        known = self._answers.get(operation.answer)
        if known is None:
            buckets: list[set[tuple[str, str]]] = [set() for _ in range(_BUCKETS)]
            for line in operation.answer:
                buckets[hash(line.booking) % _BUCKETS].add((line.booking, line.status))
            known = self._answers[operation.answer] = tuple(frozenset(bucket) for bucket in buckets)
        return known

    def gap(self, state: UserState, operation: Operation) -> int:
        """Lines that are wrong."""
        if isinstance(operation.ask, ReadUser):
            return sum(
                len(mine ^ told)
                for mine, told in zip(state, self._answer(operation), strict=True)
                if mine != told
            )
        return int(self.step(state, operation) is None)

    def describe(self, state: UserState) -> str:
        """The list."""
        lines = sorted(line for bucket in state for line in bucket)
        return ", ".join(f"{booking} {status}" for booking, status in lines) or "no bookings"

    def projections(self, operations: Sequence[Operation]) -> Iterator[list[Operation]]:
        """One for each booking."""
        names = {
            line.booking
            for operation in operations
            if isinstance(operation.answer, frozenset)
            for line in operation.answer
        }
        names |= {
            operation.ask.booking for operation in operations if isinstance(operation.ask, Book | Cancel)
        }
        for name in sorted(names):
            chosen = []
            for operation in operations:
                if isinstance(operation.ask, ReadUser):
                    assert isinstance(operation.answer, frozenset)
                    lines = frozenset(line for line in operation.answer if line.booking == name)
                    chosen.append(_with(operation, operation.ask, lines))
                elif isinstance(operation.ask, Book | Cancel) and operation.ask.booking == name:
                    chosen.append(operation)
            yield chosen


# The parts of a history.


def by_seat(operations: Iterable[Operation]) -> dict[str, list[Operation]]:
    """What concerns each seat and can be judged."""
    parts: dict[str, list[Operation]] = {}
    for operation in operations:
        ask, answer = operation.ask, operation.answer
        match ask:
            case Book():
                judged = answer in (None, "ok", TAKEN)
            case Cancel():
                judged = answer is None or answer in _CANCEL_ANSWERS
            case ReadSeat():
                judged = not unknown(operation) and operation.level == "linearizable"
            case ReadUser():
                continue
        if judged:
            parts.setdefault(ask.seat, []).append(operation)
    return parts


def by_user(operations: Iterable[Operation]) -> dict[str, list[Operation]]:
    """What concerns each user and can be judged: whether a seat was free is not for the user's list to say."""
    parts: dict[str, list[Operation]] = {}
    for operation in operations:
        ask, answer = operation.ask, operation.answer
        match ask:
            case Book():
                judged = answer in (None, "ok")
            case Cancel():
                judged = answer is None or answer in _CANCEL_ANSWERS
            case ReadUser():
                judged = not unknown(operation) and operation.level == "linearizable"
            case ReadSeat():
                continue
        if judged:
            parts.setdefault(ask.user, []).append(operation)
    return parts
