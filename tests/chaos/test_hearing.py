"""What is held against the feed and the webhooks: a judge that has never found anything has proven nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from tests.chaos.faults import crowds
from tests.chaos.hearing import Event, Hearing, Receiver
from tests.checking.history import Book, Cancel, Listed, Operation, ReadUser

BOOKED = Event("7.0", "deskraft.booking.confirmed", "bookings/b1")
OTHER = Event("8.0", "deskraft.booking.confirmed", "bookings/b2")
CANCELLED = Event("10.1", "deskraft.booking.cancelled", "bookings/b1")
STORY = [BOOKED, OTHER, CANCELLED]


def _operations() -> list[Operation]:
    lines = frozenset(
        [Listed("b1", "cancelled", "S1@2027-01-04", 0), Listed("b2", "confirmed", "S2@2027-01-04", 0)]
    )
    asked: list[tuple[Any, Any]] = [
        (Book("u", "S1@2027-01-04", 0, 12, "b1"), "ok"),
        (Book("u", "S2@2027-01-04", 0, 12, "b2"), "ok"),
        (Cancel("u", "S1@2027-01-04", "b1"), "ok"),
        (ReadUser("u"), lines),
    ]
    return [
        Operation(number, "p", number, number + 0.5, ask, answer)
        for number, (ask, answer) in enumerate(asked)
    ]


def _heard(folder: Path, told: list[Event]) -> Hearing:
    """Everybody was told the story, and the receiver `told`."""
    lines = [{"body": {"id": event.id, "subject": event.subject}} for event in told]
    (folder / "told.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"body": {"i', encoding="utf-8")
    nobody = cast("Any", None)
    made = Hearing(nobody, nobody, Receiver("127.0.0.1", 1, folder), "0.0", list(STORY), list(STORY))
    made.kept = {"n1": list(STORY), "n2": list(STORY)}
    return made


def test_what_is_right_is_not_complained_of(tmp_path: Path) -> None:
    """Repeats of a delivery are allowed; so is a line that a kill has cut off, and a node that keeps less."""
    made = _heard(tmp_path, [BOOKED, OTHER, BOOKED, CANCELLED])
    made.kept["n2"] = STORY[1:]
    assert made.judge(_operations()) == []
    assert (made.told, made.repeats) == (4, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("by_library[1:2] = []", "was not told of"),
        ("by_wandering[1:2] = []", "was not told of"),
        ("by_wandering.append(made.by_wandering[0])", "after (10, 1)"),
        ("by_wandering.reverse()", "after (8, 0)"),
        ("kept['n2'].append(Event('11.0', 'deskraft.booking.confirmed', 'bookings/b3'))", "which the feed of n2 has"),
        ("resets.append('told to begin anew')", "begin anew"),
    ],
)  # fmt: skip
def test_a_feed_that_is_wrong_is_found_out(change: str, words: str, tmp_path: Path) -> None:
    """An event left out, told twice, out of order, not told of, or a reader that has to begin anew."""
    made = _heard(tmp_path, STORY)
    exec(f"made.{change}", {"made": made, "Event": Event})
    assert any(words in complaint for complaint in made.judge(_operations()))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([BOOKED, OTHER], "never told of 10.1"),
        ([CANCELLED, OTHER, BOOKED], "came after a later one"),
        ([*STORY, Event("12.0", "deskraft.booking.confirmed", "bookings/b9")], "never committed"),
    ],
)
def test_a_receiver_that_was_told_something_else_is_found_out(
    told: list[Event], words: str, tmp_path: Path
) -> None:
    """Not everything, not in order, or what did not happen."""
    assert any(words in complaint for complaint in _heard(tmp_path, told).judge(_operations()))


def test_answers_and_events_tell_the_same(tmp_path: Path) -> None:
    """A booking that was answered has its event, and an event has its booking."""
    operations = _operations()
    assert any("b2" in each for each in _heard(tmp_path, STORY).judge(operations[:3]))
    more = Operation(4, "p", 4.0, 4.5, Book("u", "S3@2027-01-04", 0, 12, "b4"), "ok")
    assert any("0 events say that b4" in each for each in _heard(tmp_path, STORY).judge([*operations, more]))


def test_streams_of_a_crowd_are_compared() -> None:
    """A stream may end earlier than another; it has no holes and no repeats."""
    whole = [(7, 0), (8, 0), (8, 1), (10, 0)]
    assert crowds.complaints("n1", [whole, whole[:2], whole[1:], []]) == []
    assert crowds.complaints("n1", [whole, [(7, 0), (10, 0)]])
    assert crowds.complaints("n1", [whole, [(7, 0), (7, 0)]])
