"""Is there an order in which one clerk could have given all these answers?

The search of Wing and Gong (1993) in the just-in-time form of Lowe ("Testing for linearizability", 2017), with memory of the configurations
that were tried, as Porcupine does it. Events are taken in the order of time. When an operation returns, it must have taken effect: if it has not,
it does so now, after as few of the others under way as will do. A **configuration** is the state and the set of operations under way that have taken
effect; one that was seen before at the same event is not tried again. Two more rules keep the search narrow, and lose nothing:

- an operation that leaves the state as it is (a read, a refusal) takes effect as soon as its answer is right: it can stand in nobody's way there;
- an operation of unknown outcome is only made to happen where it changes something: where it does not, it may as well happen later, or never.

Events at equal times are taken as concurrent. The search is bounded in steps; a history that needs more is **undecided**, which counts as a
failure: a promise that could not be checked was not kept. A **violation** comes with the smallest history found that has no order (the shortest
prefix, seen through a window that still shows it), and the longest order there is for a part of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Generic, Literal, TypeAlias

from tests.checking.history import Operation, ReadSeat, ReadUser, settled, unknown, widened
from tests.checking.models import Model, SeatModel, State, UserModel, by_seat, by_user, pure

MAX_STEPS = 400_000  # of one part: about a second
EASY_STEPS = (
    2_000  # with a few for each operation, enough for a history whose answers claim their true places
)
EASY_STEPS_EACH = 20
HINT_REACH = 200  # configurations tried to let one operation happen where it claims to have
STORY_LINES = 12
MAX_SHRINKING_RUNS = 60


@dataclass(frozen=True)
class Verdict:
    """What became of one part of a history."""

    part: str
    outcome: Literal["linearizable", "violation", "undecided"]
    steps: int
    operations: int
    story: str = ""  # for people: why not
    offending: tuple[Operation, ...] = ()  # the smallest history found that has no order

    @property
    def ok(self) -> bool:
        """Undecided is a failure."""
        return self.outcome == "linearizable"


@dataclass(slots=True)
class _Node(Generic[State]):
    """A configuration after a return, and how it was reached."""

    state: State
    done: int  # bit of each operation under way that has taken effect
    placed: tuple[Operation, ...]
    before: _Node[State] | None
    depth: int  # how many returns are behind it


@dataclass(slots=True)
class _Return:
    """One return, with what was under way when it came."""

    operation: Operation
    bit: int
    changing: list[tuple[int, Operation]]  # others under way that may change the state: their bits, and they
    unchanging: list[tuple[int, Operation]]  # those that do not, this one included
    claims: list[
        tuple[int, Operation]
    ]  # those that claim an earlier place in the log, in that order; then this one
    unclaimed: list[tuple[int, Operation]]  # of those that may change the state, those that claim no place
    bits: dict[int, int]  # by number of the operation

    def order(self, bit: int, bits: dict[int, int]) -> None:
        """Fill in what follows from the rest."""
        self.bits = bits
        place = _place(self.operation)
        everybody = {pair[0]: pair for pair in (*self.changing, *self.unchanging) if pair[0] != bit}
        earlier = [pair for pair in everybody.values() if pair[1].index > 0 and _place(pair[1]) < place]
        self.claims = [*sorted(earlier, key=lambda pair: _place(pair[1])), (bit, self.operation)]
        self.unclaimed = [pair for pair in self.changing if not pair[1].index]
        # What the clients know the answer of has to happen anyway; guesses come last.
        self.changing.sort(key=lambda pair: pair[1].returned)


def _place(operation: Operation) -> tuple[float, bool, int]:
    """Where an operation claims to stand: reads after the whole of their entry; without a claim, after all."""
    return (operation.index or math.inf, isinstance(operation.ask, ReadSeat | ReadUser), operation.position)


_Way: TypeAlias = tuple[
    State, int, tuple[Operation, ...]
]  # a state, what has taken effect, and in which order


class _UndecidedError(Exception):
    """Too many steps."""


class Search(Generic[State]):
    """One part of a history against one model."""

    def __init__(
        self, model: Model[State], operations: Sequence[Operation], max_steps: int = MAX_STEPS
    ) -> None:
        self._model = model
        self._max_steps = max_steps
        self.steps = 0
        self._returns = _schedule(operations)
        self.deepest: _Node[State] = _Node(model.initial(), 0, (), None, 0)

    def run(self) -> bool:
        """Whether there is an order. Raises `_UndecidedError`."""
        tried: list[set[Hashable]] = [set() for _ in self._returns]
        stack = [iter([self.deepest])]
        while stack:
            node = next(stack[-1], None)
            if node is None:
                stack.pop()
                continue
            if node.depth > self.deepest.depth:
                self.deepest = node
            if node.depth == len(self._returns):
                return True
            configuration = (node.done, node.state)
            if configuration in tried[node.depth]:
                continue
            tried[node.depth].add(configuration)
            stack.append(self._ways(node))
        return False

    def _step(self, state: State, operation: Operation) -> State | None:
        self.steps += 1
        if self.steps > self._max_steps:
            raise _UndecidedError
        return self._model.step(state, operation)

    def _absorb(self, state: State, done: int, event: _Return) -> tuple[int, tuple[Operation, ...]]:
        """Operations that change nothing take effect where their answers are right."""
        placed: tuple[Operation, ...] = ()
        for bit, operation in event.unchanging:
            if not done & bit and self._step(state, operation) is not None:
                done |= bit
                placed += (operation,)
        return done, placed

    def _ways(self, node: _Node[State]) -> Iterator[_Node[State]]:
        """How the next return can have come about: as the answers claim, and then in every other manner, the nearest first."""
        event = self._returns[node.depth]
        done, placed = self._absorb(node.state, node.done, event)
        claimed = self._as_claimed(node.state, done, placed, event)
        if claimed is not None:
            yield self._after(claimed, event, node)
        for way in self._reach(node.state, done, placed, event, event.operation, event.changing):
            yield self._after(way, event, node)

    @staticmethod
    def _after(way: _Way[State], event: _Return, node: _Node[State]) -> _Node[State]:
        state, done, placed = way
        return _Node(state, done & ~event.bit, placed, node, node.depth + 1)

    def _as_claimed(
        self, state: State, done: int, placed: tuple[Operation, ...], event: _Return
    ) -> _Way[State] | None:
        """Everything under way that claims an earlier place than the returning operation, in that order, and then itself.

        Claims are hints: a system that makes none, or lies, only costs time. What claims no place is used where nothing else helps.
        """
        for bit, operation in event.claims:
            if done & bit:
                continue
            way = next(self._reach(state, done, placed, event, operation, event.unclaimed, HINT_REACH), None)
            if way is None:
                return None
            state, done, placed = way
            done |= bit
            done, more = self._absorb(state, done, event)
            placed += more
        return state, done, placed

    def _reach(
        self,
        state: State,
        done: int,
        placed: tuple[Operation, ...],
        event: _Return,
        target: Operation,
        candidates: list[tuple[int, Operation]],
        limit: int = MAX_STEPS,
    ) -> Iterator[_Way[State]]:
        """Every way to let `target` take effect after some of the candidates: best first, by how far its answer is from being right."""
        bit = event.bits[target.number]
        heap = [(self._model.gap(state, target), 0, 0, state, done, placed)]
        seen: set[Hashable] = {(done, state)}
        pushed = 0
        while heap and pushed <= limit:
            _, length, _, state, done, placed = heappop(heap)
            way = self._take(state, done, placed, bit, target)
            if way is not None:
                yield way
            if done & bit:
                continue  # what comes after a return comes with the next one
            for other_bit, operation in candidates:
                if done & other_bit or operation is target:
                    continue
                after = self._step(state, operation)
                if after is None or (after == state and unknown(operation)):
                    continue
                mask, more = self._absorb(after, done | other_bit, event)
                if (mask, after) not in seen:
                    seen.add((mask, after))
                    pushed += 1
                    order = (*placed, operation, *more)
                    heappush(heap, (self._model.gap(after, target), length + 1, pushed, after, mask, order))

    def _take(
        self, state: State, done: int, placed: tuple[Operation, ...], bit: int, target: Operation
    ) -> _Way[State] | None:
        """The operation takes effect here, unless it has."""
        if done & bit:
            return state, done, placed
        if pure(target):
            return None  # it would have been absorbed
        after = self._step(state, target)
        return None if after is None else (after, done, (*placed, target))


def _schedule(operations: Sequence[Operation]) -> list[_Return]:
    """The returns in order, each with what was under way. Bits are used again when their operation has returned."""
    events = [(operation.invoked, 0, place, operation) for place, operation in enumerate(operations)]
    events += [
        (operation.returned, 1, place, operation)
        for place, operation in enumerate(operations)
        if not math.isinf(operation.returned)
    ]
    events.sort(key=lambda event: event[:3])
    free: list[int] = []
    bits: dict[int, int] = {}  # by place
    under_way: dict[int, Operation] = {}
    returns = []
    for _, is_return, place, operation in events:
        if not is_return:
            bits[place] = free.pop() if free else 1 << len(under_way)
            under_way[place] = operation
            continue
        event = _Return(operation, bits[place], [], [], [], [], {})
        for other, open_operation in under_way.items():
            if pure(open_operation):
                event.unchanging.append((bits[other], open_operation))
            elif other != place:
                event.changing.append((bits[other], open_operation))
        event.order(bits[place], {one.number: bits[where] for where, one in under_way.items()})
        returns.append(event)
        free.append(bits[place])
        del under_way[place]
    return returns


def check(
    part: str, model: Model[State], operations: Sequence[Operation], max_steps: int = MAX_STEPS
) -> Verdict:
    """Judge one part: first as a sound system can be judged, then through smaller windows, then by brute force."""
    easy = min(max_steps, EASY_STEPS + EASY_STEPS_EACH * len(operations))
    spent = 0
    for limit in (easy, max_steps):
        search = Search(model, operations, limit)
        try:
            if search.run():
                return Verdict(part, "linearizable", spent + search.steps, len(operations))
        except _UndecidedError:
            spent += search.steps
        else:
            prefix = _prefix(search, operations)
            return _violation(part, model, operations, _smallest(model, prefix, search), spent + search.steps)
        if limit == easy:
            # Through a smaller window there is less under way, and a contradiction that shows there is one of the whole.
            windows = _windows(model, operations)
            if windows:
                offending, failed = windows[0]
                smallest = _smallest(model, offending, failed)
                return _violation(part, model, operations, smallest, spent + failed.steps)
    story = f"{part}: undecided after {spent} steps; {search.deepest.depth} returns could be explained"
    return Verdict(part, "undecided", spent, len(operations), story)


def _violation(
    part: str,
    model: Model[State],
    operations: Sequence[Operation],
    found: tuple[list[Operation], Search[State]],
    steps: int,
) -> Verdict:
    offending, search = found
    story = _story(part, model, offending, search)
    return Verdict(part, "violation", steps, len(operations), story, tuple(offending))


def _prefix(search: Search[State], operations: Sequence[Operation]) -> list[Operation]:
    """Everything that had been asked when the first return came that has no explanation."""
    end = search._returns[search.deepest.depth].operation.returned
    return [operation for operation in operations if operation.invoked <= end]


def _windows(
    model: Model[State], operations: Sequence[Operation]
) -> list[tuple[list[Operation], Search[State]]]:
    """The projections that have no order, cut to their shortest prefixes, the smallest first."""
    found = []
    for projection in model.projections(operations):
        failed = _fails(model, projection)
        if failed is not None:
            found.append((_prefix(failed, projection), failed))
    return sorted(found, key=lambda window: len(window[0]))


def _smallest(
    model: Model[State], prefix: list[Operation], search: Search[State]
) -> tuple[list[Operation], Search[State]]:
    """A smaller history without an order: a projection of the prefix, then without the reads and refusals that do not matter.

    Both are sound: a linearizable history stays one when an object is looked at through a smaller window, or when an operation that
    changes nothing is left out.
    """
    best, failed = min([(prefix, search), *_windows(model, prefix)], key=lambda window: len(window[0]))
    pure_ones = [
        operation for operation in sorted(best, key=lambda operation: operation.invoked) if pure(operation)
    ]
    for operation in pure_ones[:MAX_SHRINKING_RUNS]:
        fewer = [other for other in best if other is not operation]
        candidate = _fails(model, fewer)
        if candidate is not None:
            best, failed = fewer, candidate
    return best, failed


def _fails(model: Model[State], operations: list[Operation]) -> Search[State] | None:
    """The search, if it shows soon that there is no order."""
    search = Search(model, operations, EASY_STEPS)
    try:
        return None if search.run() else search
    except _UndecidedError:
        return None


def _story(part: str, model: Model[State], offending: list[Operation], search: Search[State]) -> str:
    """The longest order found, what the state was then, and what could not be placed."""
    node: _Node[State] | None = search.deepest
    order: list[Operation] = []
    while node is not None:
        order = [*node.placed, *order]
        node = node.before
    failing = search._returns[search.deepest.depth].operation
    placed = {operation.number for operation in order}
    open_ones = [
        operation
        for operation in offending
        if operation.number not in placed
        and operation.number != failing.number
        and operation.invoked <= failing.returned
    ]
    omitted = [f"  … {len(order) - STORY_LINES} before"] if len(order) > STORY_LINES else []
    lines = [
        f"{part}: no order explains {len(offending)} operations. The longest one found:",
        *omitted,
        *(f"  {operation}" for operation in order[-STORY_LINES:]),
        f"  then {model.describe(search.deepest.state)}",
        "There is no place for:",
        f"  {failing}",
    ]
    if open_ones:
        lines += [
            "which also cannot be reached through what was under way:",
            *(f"  {operation}" for operation in open_ones[:STORY_LINES]),
        ]
    return "\n".join(lines)


# Whole histories.


@dataclass(frozen=True)
class Report:
    """All parts of a history."""

    verdicts: tuple[Verdict, ...]
    cpu_seconds: float

    @property
    def ok(self) -> bool:
        """Whether every part has an order."""
        return all(verdict.ok for verdict in self.verdicts)

    @property
    def steps(self) -> int:
        """Of all searches."""
        return sum(verdict.steps for verdict in self.verdicts)

    @property
    def story(self) -> str:
        """What is wrong: violations before what is undecided, the shortest first."""
        wrong = sorted(
            (verdict for verdict in self.verdicts if not verdict.ok),
            key=lambda verdict: (verdict.outcome != "violation", len(verdict.offending)),
        )
        return "\n\n".join(verdict.story for verdict in wrong)


def check_history(
    operations: Sequence[Operation], uncertainty_seconds: float = 0.0, max_steps: int = MAX_STEPS
) -> Report:
    """Judge a whole history, seat by seat and user by user. Stale reads are for `sessions`."""
    started = time.process_time()
    known = settled(widened(operations, uncertainty_seconds) if uncertainty_seconds else operations)
    verdicts = [
        check(f"seat {seat}", SeatModel(part), part, max_steps)
        for seat, part in sorted(by_seat(known).items())
    ]
    verdicts += [
        check(f"user {user}", UserModel(), part, max_steps) for user, part in sorted(by_user(known).items())
    ]
    return Report(tuple(verdicts), time.process_time() - started)
