"""The checker finds what it is for, accepts what is right, and agrees with brute force on everything small.

A checker that says yes to everything would make the whole simulation worthless, so every kind of damage has a hand-made history here, and
random histories are judged a second time by trying all orders.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checking.history import Answer, Ask, Book, Cancel, Listed, Operation, ReadSeat, ReadUser, settled
from tests.checking.linearizability import Verdict, check, check_history
from tests.checking.models import NOT_FOUND, TAKEN, SeatModel, UserModel

FOREVER = math.inf


class Story:
    """Writes a history by hand."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def add(self, invoked: float, returned: float, ask: Ask, answer: Answer | None) -> Story:
        """One operation."""
        number = len(self.operations)
        self.operations.append(Operation(number, f"c{number}", invoked, returned, ask, answer))
        return self


def book(start: int, name: str, user: str = "ann", cells: int = 1) -> Book:
    """A booking of the one seat there is."""
    return Book(user, "A1", start, start + cells, name)


READ = ReadSeat("A1", 0, 8)
LIST = ReadUser("ann")
CANCEL_B1 = Cancel("ann", "A1", "b1")


def listed(*lines: tuple[str, str, int]) -> frozenset[Listed]:
    """An answer to `LIST`."""
    return frozenset(Listed(name, status, "A1", start) for name, status, start in lines)


GOOD = {
    "one after the other": Story()
    .add(0, 1, book(3, "b1"), "ok")
    .add(2, 3, READ, 0b1000)
    .add(4, 5, CANCEL_B1, "ok")
    .add(6, 7, READ, 0),
    "a read beside a write sees it or not": Story()
    .add(0, 10, book(3, "b1"), "ok")
    .add(1, 2, READ, 0)
    .add(3, 4, READ, 0b1000),
    "an unknown one took effect late": Story()
    .add(0, FOREVER, book(3, "b1"), None)
    .add(1, 2, READ, 0)
    .add(5, 6, book(3, "b2"), TAKEN)
    .add(7, 8, READ, 0b1000),
    "an unknown one never took effect": Story()
    .add(0, FOREVER, book(3, "b1"), None)
    .add(1, 2, book(3, "b2"), "ok")
    .add(3, 4, Cancel("ann", "A1", "b2"), "ok")
    .add(5, 6, READ, 0),
    "an unknown one without a name shows up in the list": Story()
    .add(0, FOREVER, book(3, ""), None)
    .add(1, 2, LIST, listed())
    .add(3, 4, LIST, listed(("b7", "confirmed", 3)))
    .add(5, 6, Cancel("ann", "A1", "b7"), "ok")
    .add(7, 8, LIST, listed(("b7", "cancelled", 3)))
    .add(9, 10, READ, 0),
    "an unknown cancel": Story()
    .add(0, 1, book(3, "b1"), "ok")
    .add(2, FOREVER, CANCEL_B1, None)
    .add(3, 4, READ, 0b1000)
    .add(5, 6, book(3, "b2"), "ok")
    .add(7, 8, LIST, listed(("b1", "cancelled", 3), ("b2", "confirmed", 3))),
    "equal times are concurrent": Story().add(0, 1, book(3, "b1"), "ok").add(1, 2, READ, 0),
    "cancelling twice": Story()
    .add(0, 1, book(3, "b1"), "ok")
    .add(2, 3, CANCEL_B1, "ok")
    .add(4, 5, CANCEL_B1, "ok"),
    "several cells at once": Story()
    .add(0, 1, book(2, "b1", cells=3), "ok")
    .add(2, 3, book(4, "b2"), TAKEN)
    .add(4, 5, READ, 0b11100),
    "a race has one winner, whoever returns first": Story()
    .add(0, 5, book(3, "b1"), TAKEN)
    .add(0, 6, book(3, "b2", "bob"), "ok")
    .add(0, 7, READ, 0),
}

BAD = {
    "a stale read": Story().add(0, 1, book(3, "b1"), "ok").add(2, 3, READ, 0),
    "time goes back": Story().add(0, 10, book(3, "b1"), "ok").add(1, 2, READ, 0b1000).add(3, 4, READ, 0),
    "an acknowledged booking is lost": Story()
    .add(0, 1, book(3, "b1"), "ok")
    .add(2, 3, READ, 0b1000)
    .add(4, 5, book(3, "b2"), "ok"),
    "a booking is lost from the list": Story().add(0, 1, book(3, "b1"), "ok").add(2, 3, LIST, listed()),
    "booked twice": Story().add(0, 5, book(3, "b1"), "ok").add(0, 5, book(3, "b2", "bob"), "ok"),
    "they overlap in one cell": Story()
    .add(0, 5, book(2, "b1", cells=2), "ok")
    .add(0, 5, book(3, "b2", "bob", cells=2), "ok"),
    "refused though it was free": Story().add(0, 1, book(3, "b1"), TAKEN),
    "a cancelled one holds its seat": Story()
    .add(0, 1, book(3, "b1"), "ok")
    .add(2, 3, CANCEL_B1, "ok")
    .add(4, 5, READ, 0b1000),
    "a cancelled one comes back": Story()
    .add(0, 1, book(3, "b1"), "ok")
    .add(2, 3, CANCEL_B1, "ok")
    .add(4, 5, READ, 0)
    .add(6, 7, LIST, listed(("b1", "confirmed", 3))),
    "a booking that nobody asked for": Story().add(0, 1, READ, 0b100),
    "an unknown one happened twice": Story()
    .add(0, FOREVER, book(3, "b1"), None)
    .add(1, 2, READ, 0b1000)
    .add(3, 4, CANCEL_B1, "ok")
    .add(5, 6, READ, 0b1000),
    "an unknown one is seen and then not": Story()
    .add(0, FOREVER, book(3, "b1"), None)
    .add(1, 2, READ, 0b1000)
    .add(3, 4, READ, 0),
    "it took effect before it was asked": Story().add(0, 1, READ, 0b1000).add(2, 3, book(3, "b1"), "ok"),
    "half of a booking is seen": Story().add(0, 1, book(2, "b1", cells=2), "ok").add(2, 3, READ, 0b100),
    "not found though it was booked": Story().add(0, 1, book(3, "b1"), "ok").add(2, 3, CANCEL_B1, NOT_FOUND),
    "two readers see two orders": Story()
    .add(0, 20, book(1, "b1"), "ok")
    .add(0, 20, book(2, "b2"), "ok")
    .add(1, 2, READ, 0b010)
    .add(3, 4, READ, 0b100),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_right_is_accepted(name: str) -> None:
    """Each of these has an order."""
    report = check_history(GOOD[name].operations)
    assert report.ok, report.story


@pytest.mark.parametrize("name", BAD)
def test_damage_is_found_and_told(name: str) -> None:
    """Each of these has none, and the story names an operation that has no place."""
    report = check_history(BAD[name].operations)
    assert {verdict.outcome for verdict in report.verdicts if not verdict.ok} == {"violation"}
    assert "There is no place for:\n  #" in report.story


def test_the_smallest_history_is_shown() -> None:
    """Of sixty operations on the seat, the two that contradict each other."""
    story = Story()
    for number in range(20):
        at = number * 10
        name = f"x{number}"
        story.add(at, at + 1, book(number % 3, name), "ok").add(
            at + 2, at + 3, ReadSeat("A1", 0, 3), 1 << number % 3
        )
        story.add(at + 4, at + 5, Cancel("ann", "A1", name), "ok")
    story.add(300, 301, book(7, "b1"), "ok").add(302, 303, READ, 0).add(304, 305, READ, 0b10000000)
    (verdict,) = (verdict for verdict in check_history(story.operations).verdicts if not verdict.ok)
    assert [str(operation.ask) for operation in verdict.offending] == [
        str(book(7, "b1")),
        str(ReadSeat("A1", 7, 1)),
    ]


def test_clocks_that_differ_widen_every_interval() -> None:
    """A stale read of a tenth of a second is none for clients whose clocks may be that far apart."""
    story = Story().add(0, 1, book(3, "b1"), "ok").add(1.1, 2, READ, 0)
    assert not check_history(story.operations).ok
    assert check_history(story.operations, uncertainty_seconds=0.06).ok


def test_stale_reads_are_not_for_this_judge() -> None:
    """They are for `sessions`."""
    story = Story().add(0, 1, book(3, "b1"), "ok").add(2, 3, READ, 0)
    story.operations[1] = replace(story.operations[1], level="stale")
    assert check_history(story.operations).ok


def test_what_needs_too_many_steps_is_a_failure() -> None:
    """Twenty unknown bookings of two cells, and a page that shows one cell taken: all subsets would have to be tried."""
    story = Story()
    for number in range(20):
        story.add(0, FOREVER, book(number, f"b{number}", cells=2), None)
    story.add(1, 2, ReadSeat("A1", 0, 32), 1 << 10)
    report = check_history(story.operations, max_steps=5_000)
    assert [verdict.outcome for verdict in report.verdicts if not verdict.ok] == ["undecided"]
    assert not report.ok
    assert "undecided after" in report.story


def test_a_smaller_window_decides_what_the_whole_does_not() -> None:
    """Twenty unknown bookings, and a cell that is taken and that none of them asked for."""
    story = Story()
    for number in range(20):
        story.add(0, FOREVER, book(number, f"b{number}"), None)
    story.add(1, 2, ReadSeat("A1", 0, 32), 1 << 30)
    (verdict,) = (
        verdict for verdict in check_history(story.operations, max_steps=5_000).verdicts if not verdict.ok
    )
    assert verdict.outcome == "violation"
    assert [operation.ask for operation in verdict.offending] == [ReadSeat("A1", 30, 1)]


# Against brute force.

Drawn = tuple[list[Operation], bool]


def brute_force(operations: Sequence[Operation], model: SeatModel | UserModel) -> bool:
    """All subsets of the unknown ones, all orders."""
    unknown_ones = [operation for operation in operations if operation.answer is None]
    sure = [operation for operation in operations if operation.answer is not None]
    return any(
        _has_order([*sure, *chosen], model.initial(), model)
        for count in range(len(unknown_ones) + 1)
        for chosen in itertools.combinations(unknown_ones, count)
    )


def _has_order(left: list[Operation], state: object, model: SeatModel | UserModel) -> bool:
    if not left:
        return True
    earliest = min(operation.returned for operation in left)
    for operation in left:
        if operation.invoked <= earliest:
            after = model.step(state, operation)  # type: ignore[arg-type]  # the state is the model's own
            if after is not None and _has_order(
                [other for other in left if other is not operation], after, model
            ):
                return True
    return False


def random_history(seed: int, count: int, spread: float, lost: float, about: str) -> list[Operation]:
    """A sequential execution whose operations are told with intervals around the moments at which they took effect."""
    rng = random.Random(seed)
    taken: dict[int, str] = {}
    made: dict[str, tuple[str, int]] = {}
    operations = []
    for number in range(count):
        moment = float(number)
        ask, told = _one(rng, number, taken, made, about)
        answer: Answer | None = told
        invoked = moment - rng.uniform(0, spread)
        returned = moment + rng.uniform(0, spread)
        if not isinstance(ask, ReadSeat | ReadUser) and rng.random() < lost:
            answer, returned = None, FOREVER
        operations.append(Operation(number, f"c{number % 4}", invoked, returned, ask, answer))
    return operations


def _one(
    rng: random.Random, number: int, taken: dict[int, str], made: dict[str, tuple[str, int]], about: str
) -> tuple[Ask, Answer]:
    roll = rng.random()
    if roll < 0.3:
        if about == "seat":
            return ReadSeat("A1", 0, 3), sum(1 << cell for cell in taken)
        return LIST, frozenset(Listed(name, status, "A1", cell) for name, (status, cell) in made.items())
    if roll < 0.5 and made:
        name = rng.choice(sorted(made))
        cell = made[name][1]
        if taken.get(cell) == name:
            del taken[cell]
        made[name] = ("cancelled", cell)
        return Cancel("ann", "A1", name), "ok"
    if roll < 0.55:
        return Cancel("ann", "A1", "nobody's"), NOT_FOUND
    cell = rng.randrange(3)
    if cell in taken:
        return book(cell, f"b{number}"), TAKEN
    taken[cell] = f"b{number}"
    made[f"b{number}"] = ("confirmed", cell)
    return book(cell, f"b{number}"), "ok"


def mutated(operations: list[Operation], rng: random.Random) -> list[Operation]:
    """The same history with one answer that is probably wrong."""
    place = rng.randrange(len(operations))
    operation = operations[place]
    answer: Answer
    match operation.ask, operation.answer:
        case ReadSeat(), int(bits):
            answer = bits ^ (1 << rng.randrange(3))
        case ReadUser(), frozenset() as lines:
            answer = lines ^ {Listed("b0", "confirmed", "A1", 0)}
        case Book(), "ok":
            answer = TAKEN
        case Cancel(), "ok":
            answer = NOT_FOUND
        case _:
            answer = "ok"
    returned = operation.returned if not math.isinf(operation.returned) else operation.invoked + 1
    return [
        *operations[:place],
        replace(operation, answer=answer, returned=returned),
        *operations[place + 1 :],
    ]


def _judge(operations: list[Operation], about: str) -> Verdict:
    if about == "seat":
        return check("seat", SeatModel(operations), operations)
    return check("user", UserModel(), operations)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 1 << 30),
    st.integers(1, 7),
    st.sampled_from([0.2, 1.5, 4.0]),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from(["seat", "user"]),
    st.sampled_from(["none", "true", "any"]),
)
def test_it_agrees_with_brute_force(
    seed: int, count: int, spread: float, lost: float, about: str, claims: str
) -> None:
    """What was executed is accepted; with a wrong answer in it, both judges say the same. Claimed places, true or not, change no verdict."""
    rng = random.Random(seed)
    history = random_history(seed, count, spread, lost, about)
    if claims != "none":
        history = [
            replace(one, index=one.number + 1 if claims == "true" else rng.randrange(count + 1))
            for one in history
            if one.answer is not None
        ] + [one for one in history if one.answer is None]
    for operations, right in (
        (history, True),
        (mutated(history, rng), False),
        (mutated(mutated(history, rng), rng), False),
    ):
        judged = [operation for operation in operations if about == "seat" or operation.answer != TAKEN]
        verdict = _judge(judged, about)
        model = SeatModel(judged) if about == "seat" else UserModel()
        assert verdict.ok == brute_force(judged, model), verdict.story
        # What reads reveal about unknown outcomes changes no verdict.
        assert _judge(settled(judged), about).ok == verdict.ok
        assert verdict.ok or not right


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 30), st.sampled_from([0.5, 3.0, 8.0]), st.sampled_from([0.0, 0.02]))
def test_long_executions_are_accepted_quickly(seed: int, spread: float, lost: float) -> None:
    """Hundreds of operations, eight under way at a time, some of them for ever."""
    report = check_history(random_history(seed, 400, spread, lost, "seat"))
    assert report.ok, report.story
    assert report.steps < 400 * 400
