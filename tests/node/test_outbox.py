"""The outbox decides: every event at least once, in order, nothing early, and a sink in trouble costs nobody but itself."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node import dispatch as dispatch_module
from node.cloudevents import story_of
from node.couriers import Delivered, Delivery, Gone, Rejected, Result, Retry
from node.dispatch import LAZY_EVENTS, MAX_AHEAD, MAX_ATTEMPTS, MAX_WIDTH
from node.outbox import Abandon, Outbox
from statemachine import outbox as rules
from statemachine.limits import MAX_HELD_EVENTS
from statemachine.outbox_commands import ReplayLetters, SetSink
from statemachine.people_commands import EraseAccount
from tests.node.outbox_world import HANGS, Desk, book, misordered, wanted, with_hooks


def test_what_happens_is_told_once_and_settled() -> None:
    world = with_hooks("hook")
    desk = Desk(world)
    places = [book(world) for _ in range(20)]
    desk.run(2)
    assert desk.heard == [("hook", place) for place in places]
    sink = world.state.sinks["hook"]
    assert (sink.cursor, sink.delivered) == (places[-1], 20)
    assert desk.commands <= 8, "several deliveries share one command"
    index, commands = world.state.index, desk.commands
    desk.run(60)
    assert (world.state.index, desk.commands) == (index, commands), "waiting costs no entries"


def test_nothing_is_told_that_a_majority_has_not_confirmed() -> None:
    world = with_hooks("hook")
    known = [world.state.index]
    desk = Desk(world, read_index=lambda: known[0])
    place = book(world)
    desk.run(5)
    assert desk.tried == []
    known[0] = world.state.index
    desk.run(1)
    assert desk.heard == [("hook", place)]


def test_who_does_not_lead_tells_nothing_and_forgets() -> None:
    world = with_hooks("hook")
    outbox = Outbox({"webhook": lambda *_: True}, lambda *_: {}, random.Random(1))
    assert outbox.turn(False, world.state, world.now_ms, 0.0) == []
    assert outbox.turn(True, world.state, world.now_ms, 0.0) != []
    assert outbox.turn(False, world.state, world.now_ms, 0.1) == [Abandon()]
    assert outbox.turn(False, world.state, world.now_ms, 0.2) == []
    assert outbox.dispatches == {}


def test_a_failing_event_holds_back_its_own_subject_only() -> None:
    """And is tried again with a growing pause in log time, until it is a dead letter."""
    world = with_hooks("hook")
    first, other = book(world), book(world)
    world.cancel("b0")
    second = (world.state.index, 0)

    def answer(delivery: Delivery) -> Result:
        return Retry("HTTP 500") if delivery.place == first else Delivered()

    desk = Desk(world, answer)
    desk.run(2)
    assert desk.heard == [("hook", other)]
    assert set(world.state.held["hook"]) == {first, second}
    assert world.state.sinks["hook"].cursor == second, "the cursor is not held up"
    row = world.state.held["hook"][first]
    assert (row.attempts, row.why) == (1, "HTTP 500")
    attempts = [desk.now]
    for _ in range(MAX_ATTEMPTS - 1):
        before = len(desk.tried)
        while len(desk.tried) == before:
            desk.turn(5)
            assert desk.now - attempts[-1] < 8 * 3600
        attempts.append(desk.now)
        desk.run(1)
    pauses = [late - early for early, late in itertools.pairwise(attempts)]
    assert pauses[4] > 4 * pauses[2] and pauses[-1] > 4 * 3600
    desk.run(1)
    assert list(world.state.dead_letters["hook"]) == [first]
    assert desk.heard == [("hook", other), ("hook", second)], "the rest of the subject goes on"
    desk.answer = lambda _: Delivered()
    assert world.do(ReplayLetters("hook", ()), session="s-root").ok
    desk.run(1)
    assert desk.heard[-1] == ("hook", first)
    assert (world.state.held["hook"], world.state.dead_letters["hook"]) == ({}, {})


def test_what_is_rejected_is_a_dead_letter_at_once() -> None:
    world = with_hooks("hook")
    place = book(world)
    desk = Desk(world, lambda _: Rejected("no such\nmailbox"))
    desk.run(1)
    assert world.state.dead_letters["hook"][place].why == "no such mailbox"
    assert len(desk.tried) == 1


def test_a_sink_that_is_away_costs_no_entries_and_is_caught_up_with() -> None:
    world = with_hooks("hook")
    places = [book(world) for _ in range(30)]
    desk = Desk(world, lambda _: Retry("no route", away=True))
    desk.run(1)
    sink = world.state.sinks["hook"]
    assert (sink.why, sink.cursor < places[0]) == ("no route", True)
    index = world.state.index
    desk.run(3600, step=1)
    assert world.state.index == index, "an hour away, and nothing in the log"
    assert 40 <= len(desk.tried) <= 90, "asked about once a minute"
    assert world.state.held["hook"] == {}
    desk.answer = lambda _: Delivered()
    desk.run(80)
    assert [place for _, place in desk.heard] == places
    assert (world.state.sinks["hook"].troubled_ms, world.state.sinks["hook"].why) == (0, "")


def test_a_sink_that_is_gone_is_left_alone_until_it_is_enabled() -> None:
    world = with_hooks("hook")
    place = book(world)
    desk = Desk(world, lambda _: Gone("HTTP 410"))
    desk.run(60)
    assert (len(desk.tried), world.state.sinks["hook"].state) == (1, "disabled")
    desk.answer = lambda _: Delivered()
    assert world.do(SetSink("hook", "active"), session="s-root").ok
    desk.run(1)
    assert desk.heard == [("hook", place)]


def test_a_sink_that_is_enabled_at_once_stays_enabled() -> None:
    """Before the outbox has looked again, and with an attempt of before that ends with the same answer afterwards."""
    world = with_hooks("hook")
    desk = Desk(world)
    book(world)
    desk.run(1)
    places = [book(world), book(world)]
    desk.answer = lambda delivery: HANGS if delivery.place == places[1] else Gone("HTTP 410")
    while world.state.sinks["hook"].state == "active":
        desk.turn()
    assert [(flight.place, type(result)) for _, flight, result in desk.pending] == [(places[1], Retry)]
    late = desk.pending.pop()[1]
    assert world.do(SetSink("hook", "active"), session="s-root").ok
    desk.answer = lambda _: Delivered()
    desk.turn()
    desk.outbox.delivered(late, Gone("HTTP 410"), desk.now)
    desk.run(1)
    assert world.state.sinks["hook"].state == "active"
    assert desk.heard[1:] == [("hook", place) for place in places]


def test_who_has_been_erased_is_named_to_no_sink_any_more() -> None:
    """Not even to one that was away meanwhile, whose events have been looked at."""
    world = with_hooks("hook")
    places = [book(world) for _ in range(3)]
    desk = Desk(world, lambda _: Retry("no route", away=True))
    desk.run(1)
    assert world.do(EraseAccount("hash-ann"), session="s-ann").ok
    named: list[str] = []

    def answer(delivery: Delivery) -> Result:
        named.extend(story_of(delivery.event).users)
        return Delivered()

    desk.answer = answer
    desk.run(80)
    assert [place for _, place in desk.heard[:3]] == places
    assert named == []


def test_a_dead_sink_delays_no_other_and_its_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One hangs, one fails every event, one is away, one is well: that one hears everything at once."""
    monkeypatch.setattr(dispatch_module, "MAX_HELD_EVENTS", 20)
    monkeypatch.setattr(rules, "MAX_HELD_EVENTS", 20)
    world = with_hooks("hanging", "failing", "away", "well")

    def answer(delivery: Delivery) -> Result | str:
        match delivery.sink.id:
            case "hanging":
                return HANGS
            case "failing":
                return Retry("HTTP 500")
            case "away":
                return Retry("no route", away=True)
        return Delivered()

    desk = Desk(world, answer)
    for _ in range(60):
        for _ in range(12):
            book(world)
        told = [row[:2] for row in world.state.feed.after(world.state.sinks["well"].cursor, 10**6)]
        desk.run(0.6)
        heard = {place for sink_id, place in desk.heard if sink_id == "well"}
        assert {place for place in told if place in wanted(world, (0, 0))} <= heard
        for dispatch in desk.outbox.dispatches.values():
            assert dispatch.in_flight <= MAX_WIDTH
            assert dispatch.kept <= 2 * MAX_AHEAD + 20 + MAX_WIDTH
        assert all(len(rows) <= 20 for rows in world.state.held.values())
    desk.run(600, step=1)
    assert len(world.state.held["failing"]) == 20
    assert world.state.sinks["failing"].cursor < wanted(world, (0, 0))[40], "its cursor has stopped"
    assert world.state.sinks["well"].delivered == 720


def test_unwanted_events_move_the_cursor_lazily() -> None:
    world = with_hooks("hook")
    desk = Desk(world, wants={"webhook": lambda *_: False})
    for _ in range(3):
        book(world)
    desk.run(30)
    assert desk.commands == 0
    while len(world.state.feed.after(world.state.sinks["hook"].cursor, 10**6)) <= LAZY_EVENTS:
        book(world)
    desk.run(1)
    assert desk.commands == 1
    assert world.state.sinks["hook"].cursor == world.state.feed.last
    assert MAX_HELD_EVENTS >= MAX_WIDTH


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_at_least_once_in_order_whoever_leads(data: st.DataObject) -> None:
    """Leaders die between any two turns, commands get lost or take effect unheard, sinks fail, hang, go away and recover: at the end each
    sink has heard every event, once after repeats are dropped, and those of one booking in the order of the log.
    """
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    world = with_hooks("one", "two")
    start = {sink_id: sink.cursor for sink_id, sink in world.state.sinks.items()}
    calm = False

    def answer(delivery: Delivery) -> Result | str:
        if calm:
            return Delivered()
        results = [Delivered(), Delivered(), Retry("500"), Retry("away", away=True), HANGS, Retry("", 90_000)]
        return rng.choice(results)

    desk = Desk(
        world,
        answer,
        loses=lambda: not calm and rng.random() < 0.2,
        unheard=lambda: not calm and rng.random() < 0.2,
    )
    for _ in range(rng.randrange(20, 120)):
        fate = rng.random()
        if fate < 0.3:
            book(world)
        elif fate < 0.4 and world.state.bookings:
            world.cancel(rng.choice(list(world.state.bookings)))
        elif fate < 0.45:
            desk.begin()
        desk.turn(rng.choice([0.05, 0.05, 1, 11, 70]))
    calm = True
    desk.run(2 * 24 * 3600, step=300)
    desk.run(60)
    for sink_id, cursor in start.items():
        heard = [place for name, place in desk.heard if name == sink_id]
        assert sorted(set(heard)) == wanted(world, cursor)
        assert (world.state.held[sink_id], world.state.dead_letters[sink_id]) == ({}, {})
    assert misordered(world.state, desk.heard) == []
