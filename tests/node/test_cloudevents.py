"""Every event has its outside form; it keeps secrets; and only those see it whom it concerns."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from node.cloudevents import _STORIES, Seen, cloud_event, instant, place_from, place_text, seen_by, story_of
from statemachine.events import (
    BookingCancelled,
    BookingMoved,
    Event,
    SeatBooked,
    UserRegistered,
    WaitingEnded,
)
from statemachine.records import ERASED, Booking
from tests.node.every_event import EVERY_EVENT

BOOKING = Booking("b1", "hq", "A1", "ann", 6_000_000, 6_000_012, "confirmed", 5, 0, "7.2")


def test_every_event_is_told() -> None:
    assert set(_STORIES) == set(get_args(Event))
    assert {type(event) for event in EVERY_EVENT} == set(get_args(Event))


@pytest.mark.parametrize("event", EVERY_EVENT, ids=lambda event: type(event).__name__)
def test_the_form_is_that_of_cloud_events_and_keeps_secrets(event: Event) -> None:
    """The required attributes of CloudEvents 1.0, section 3.1, are there and not empty; `time` is RFC 3339."""
    story = story_of(event)
    for seen in (story, story.public):
        if seen is None:
            continue
        told = json.loads(json.dumps(cloud_event("demo", (7, 2), story, seen)))
        assert (told["specversion"], told["id"], told["source"]) == ("1.0", "7.2", "/deskraft/demo")
        assert told["type"].startswith("deskraft.")
        assert told["type"].removeprefix("deskraft.").replace(".", "").replace("-", "").isalpha()
        assert told["subject"]
        assert told["time"] == "2027-01-15T08:00:00.005Z"
        text = json.dumps(told)
        for secret in ("a-session", "Ann Example"):
            assert secret not in text
        if isinstance(seen, Seen):
            for name in ("ann", "root", "b1", "w1"):
                assert f'"{name}"' not in text, "of other people"
                assert f"/{name}" not in text


def test_who_sees_what() -> None:
    story = story_of(SeatBooked(BOOKING, 5))
    assert seen_by(story, "root", administrator=True) is story
    assert seen_by(story, "ann") is story
    for stranger in ("bob", ""):
        seen = seen_by(story, stranger)
        assert seen is story.public
        assert seen is not None
        assert seen.type == "deskraft.seat.state"
        assert seen.subject == "spaces/hq/seats/A1"
        assert seen.data == {"places": [
            {"space_id": "hq", "seat_id": "A1", "starts_at": "2027-01-15T08:00:00.000Z",
             "ends_at": "2027-01-15T09:00:00.000Z", "state": "taken"},
        ]}  # fmt: skip
    registered = story_of(UserRegistered("ann", "Ann", "user", 5))
    assert seen_by(registered, "bob") is None
    assert seen_by(registered, "") is None


def test_a_move_frees_one_place_and_takes_another() -> None:
    before = Booking("b1", "loft", "B1", "ann", 6_000_000, 6_000_012, "confirmed", 5, 0, "6.0")
    story = story_of(BookingMoved(BOOKING, before, "ann", 5))
    assert story.spaces == ("loft", "hq")
    assert story.public is not None
    assert [(each["seat_id"], each["state"]) for each in story.public.data["places"]] == [
        ("B1", "free"),
        ("A1", "taken"),
    ]


def test_what_is_nobodys_belongs_to_nobody() -> None:
    booking = Booking("b1", "hq", "A1", ERASED, 6_000_000, 6_000_012, "cancelled", 5, 6, "7.2")
    story = story_of(BookingCancelled(booking, ERASED, 6))
    assert story.users == ()
    assert seen_by(story, ERASED) is story.public


def test_the_reason_of_waiting_no_longer_is_its_type() -> None:
    (ended,) = [event for event in EVERY_EVENT if isinstance(event, WaitingEnded)]
    assert story_of(ended).type == f"deskraft.waitlist.{ended.reason}"


@pytest.mark.parametrize(
    ("text", "place"),
    [("7.2", (7, 2)), ("7", None), ("0", (0, 0)), ("", None), ("7.", None), ("-1.0", None), ("7.x", None),
     ("7.2.3", None), ("٧.٢", None), ("9" * 17, None), (" 7", None)],
)  # fmt: skip
def test_places_as_text(text: str, place: Any) -> None:
    assert place_from(text) == place
    if place is not None:
        assert place_from(place_text(place)) == place


def test_no_instant_is_too_late() -> None:
    assert instant(0) == "1970-01-01T00:00:00.000Z"
    assert instant(2**60).startswith("9999-12-31T23:59:59")
