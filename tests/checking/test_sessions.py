"""Clients that move between nodes: each guarantee has a history that breaks it, and one that comes close."""

from __future__ import annotations

import math

import pytest

from tests.checking.history import Answer, Ask, Book, Cancel, Level, Listed, Operation, ReadSeat, ReadUser
from tests.checking.sessions import check_sessions

READ = ReadSeat("A1", 0, 8)
BOOK_3 = Book("ann", "A1", 3, 4, "b1")
BOOK_5 = Book("ann", "A1", 5, 6, "b2")
CANCEL = Cancel("ann", "A1", "b1")
B1 = Listed("b1", "confirmed", "A1", 3)


def history(*lines: tuple[str, float, Ask, Answer | None, int, Level, int]) -> list[Operation]:
    """(process, invoked, ask, answer, index, level, floor) of operations that take a second, or for ever."""
    return [
        Operation(
            number, process, at, math.inf if answer is None else at + 1, ask, answer, level, floor, index
        )
        for number, (process, at, ask, answer, index, level, floor) in enumerate(lines)
    ]


GOOD = {
    "own writes and no way back": history(
        ("ann", 0, BOOK_3, "ok", 7, "linearizable", 0),
        ("ann", 2, READ, 0b1000, 7, "stale", 7),
        ("ann", 4, CANCEL, "ok", 9, "linearizable", 7),
        ("ann", 6, READ, 0, 9, "linearizable", 9),
    ),
    "a stale read without a floor shows the past": history(
        ("ann", 0, BOOK_3, "ok", 7, "linearizable", 0),
        ("ann", 2, READ, 0, 6, "stale", 0),
        ("bob", 4, READ, 0b1000, 8, "stale", 7),
    ),
    "an unknown outcome may be seen or not": history(
        ("ann", 0, BOOK_3, None, 0, "linearizable", 0),
        ("ann", 2, READ, 0b1000, 8, "linearizable", 0),
        ("bob", 2, ReadUser("ann"), frozenset([B1]), 8, "linearizable", 0),
        ("bob", 4, READ, 0, 7, "stale", 0),
    ),
    "what overlaps has no order": history(
        ("ann", 0, BOOK_3, "ok", 9, "linearizable", 0),
        ("bob", 1, READ, 0, 8, "linearizable", 0),
    ),
}

BAD = {
    "stands before the floor": history(("ann", 0, READ, 0, 6, "stale", 7)),
    "goes back behind": history(
        ("ann", 0, BOOK_3, "ok", 7, "linearizable", 0),
        ("ann", 2, READ, 0, 6, "linearizable", 0),
    ),
    "stands before what had been told": history(
        ("ann", 0, BOOK_3, "ok", 7, "linearizable", 0),
        ("bob", 2, BOOK_5, "ok", 7, "linearizable", 0),
    ),
    "differs in {3} from the changes": history(
        ("ann", 0, BOOK_3, "ok", 7, "linearizable", 0),
        ("ann", 2, READ, 0, 8, "stale", 7),
    ),
    "differs in {5} from the changes": history(
        ("ann", 0, BOOK_3, "ok", 7, "linearizable", 0),
        ("ann", 2, BOOK_5, "ok", 9, "linearizable", 0),
        (
            "bob",
            4,
            READ,
            0b101000,
            8,
            "stale",
            0,
        ),  # a mixture: the index of one state and the content of another
    ),
    "differs in b1 from the changes": history(
        ("ann", 0, BOOK_3, "ok", 7, "linearizable", 0),
        ("ann", 2, CANCEL, "ok", 9, "linearizable", 7),
        ("ann", 4, ReadUser("ann"), frozenset([B1]), 9, "stale", 9),
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_right_is_accepted(name: str) -> None:
    """Nothing to say."""
    assert check_sessions(GOOD[name]) == []


@pytest.mark.parametrize("words", BAD)
def test_what_is_broken_is_named(words: str) -> None:
    """One complaint of that kind."""
    assert [complaint for complaint in check_sessions(BAD[words]) if words in complaint]
