"""The outbox in the state: nothing is settled twice or skipped, a deposed runner changes nothing, every table is bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from statemachine import feed as feed_module
from statemachine import outbox
from statemachine.commands import Command
from statemachine.feed import Place
from statemachine.limits import MAX_DEAD_LETTERS, MAX_HELD_EVENTS, MAX_SINKS
from statemachine.outbox_commands import (
    Bury,
    CreateWebhook,
    DropLetters,
    HoldBack,
    OpenSink,
    RemoveSink,
    ReplayLetters,
    ReviseWebhook,
    RotateWebhook,
    SetSink,
    Settle,
)
from statemachine.outcomes import Outcome
from statemachine.people_commands import EraseAccount
from statemachine.sinks import Letters, Sink
from statemachine.state import restore
from tests.statemachine.builders import FREE_CELL, HOUR, World

HOOK = CreateWebhook("hook", "https://hooks.example/in", "mine", ("deskraft.booking",), (), "kid.1")


def settle(sink: Sink, cursor: Place, **more: object) -> Settle:
    fields = {"delivered": 0, "taken": (), "held": (), "buried": (), "trouble": "", "gone": ""} | more
    return Settle(sink.id, sink.turn, cursor, **fields)  # type: ignore[arg-type]


def with_hook() -> World:
    world = World()
    assert world.do(HOOK, session="s-root").ok
    return world


def booked(world: World, count: int) -> list[Place]:
    """The places of so many bookings, one after the other."""
    places = []
    for _ in range(count):
        number = len(world.state.bookings)
        outcome = world.book(f"b{number}", f"A{1 + number % 6}", FREE_CELL + HOUR * (number // 6))
        assert outcome.ok
        places.append((outcome.index, outcome.position))
    return places


def sink_of(world: World, sink_id: str = "hook") -> Sink:
    return world.state.sinks[sink_id]


def test_a_webhook_is_told_from_now_on_and_its_maker_is_on_record() -> None:
    world = with_hook()
    sink = sink_of(world)
    assert sink.cursor < world.state.feed.last, "the event of its own making comes after it"
    assert (sink.state, sink.kind, sink.turn, sink.revision) == (
        "active",
        "webhook",
        0,
        f"{sink.cursor[0] + 1}.0",
    )
    (place,) = booked(world, 1)
    assert [row[:2] for row in world.state.feed.after(sink.cursor, 9)] == [(place[0] - 1, 0), place]
    assert [(record.what, record.actor) for record in world.state.audit] == [("sink-created", "root")]


def test_sinks_of_cluster_yml_are_opened_once() -> None:
    world = World()
    assert world.do(OpenSink("broker", "broker", True), scope="outbox:").ok
    assert sink_of(world, "broker").cursor == (0, 0), "everything that is kept"
    assert world.do(OpenSink("mail", "mail", False), scope="outbox:").ok
    mail = sink_of(world, "mail")
    assert mail.cursor == (world.state.feed.last[0] - 1, 0), "from now on"
    assert world.do(OpenSink("mail", "mail", True), scope="outbox:").ok
    assert sink_of(world, "mail") == mail
    for bad in (OpenSink("mail", "broker", True), OpenSink("x", "webhook", True), OpenSink("", "mail", True)):
        assert world.do(bad, scope="outbox:").code == "malformed"


def test_a_settlement_moves_cursor_and_rows_together_and_once() -> None:
    """Two runners work from the same turn: the second is refused, whatever it says."""
    world = with_hook()
    one, two, three = booked(world, 3)
    before = sink_of(world)
    held = (HoldBack(two, 1, world.now_ms + 5_000, "HTTP 500"),)
    buried = (Bury(three, 1, "too large"),)
    first = settle(before, three, delivered=1, held=held, buried=buried)
    assert world.do(first, scope="outbox:").ok
    sink = sink_of(world)
    assert (sink.cursor, sink.turn, sink.delivered) == (three, 1, 1)
    assert world.state.held["hook"][two].event.booking.id == world.state.feed.after(one, 1)[0][2].booking.id
    assert list(world.state.dead_letters["hook"]) == [three]
    events = len(world.state.feed)
    assert world.do(settle(before, three, delivered=3), scope="outbox:").code == "outbox-moved"
    assert sink_of(world) == sink
    assert len(world.state.feed) == events, "a settlement is no event: it would have to be settled, for ever"
    assert world.do(settle(sink, sink.cursor, taken=(two,)), scope="outbox:").ok
    assert (sink_of(world).delivered, world.state.held["hook"]) == (2, {})


@pytest.mark.parametrize(
    "more",
    [
        {"delivered": -1},
        {"taken": ((1, 0), (1, 0))},
        {"held": (HoldBack((10**6, 0), 1, 1, ""),)},
        {"held": (HoldBack((1, 0), -1, 1, ""),)},
        {"buried": (Bury((1, 0), 1, "x" * 201),)},
        {"trouble": "x" * 201},
        {"cursor": (10**6, 0)},
    ],
)
def test_a_settlement_that_no_runner_makes_changes_nothing(more: dict[str, object]) -> None:
    world = with_hook()
    sink = sink_of(world)
    cursor = more.pop("cursor", sink.cursor)
    assert world.do(settle(sink, cursor, **more), scope="outbox:").code == "malformed"  # type: ignore[arg-type]
    assert sink_of(world) == sink


def test_trouble_is_known_since_when_and_goes_with_the_next_delivery() -> None:
    world = with_hook()
    assert world.do(settle(sink_of(world), sink_of(world).cursor, trouble="no route"), scope="outbox:").ok
    began_ms = world.now_ms
    world.now_ms += 60_000
    assert world.do(settle(sink_of(world), sink_of(world).cursor, trouble="still none"), scope="outbox:").ok
    assert (sink_of(world).troubled_ms, sink_of(world).why) == (began_ms, "still none")
    (place,) = booked(world, 1)
    assert world.do(settle(sink_of(world), place, delivered=1), scope="outbox:").ok
    assert (sink_of(world).troubled_ms, sink_of(world).why) == (0, "")


def test_a_sink_that_is_gone_is_disabled_until_an_administrator_enables_it() -> None:
    world = with_hook()
    assert world.do(settle(sink_of(world), sink_of(world).cursor, gone="HTTP 410"), scope="outbox:").ok
    assert (sink_of(world).state, sink_of(world).why) == ("disabled", "HTTP 410")
    assert world.applied.events[0][1].what == "disabled"
    assert world.do(SetSink("hook", "disabled"), session="s-root").code == "malformed"
    assert world.do(SetSink("hook", "active"), session="s-root").ok
    assert (sink_of(world).state, sink_of(world).why) == ("active", "")
    assert world.do(SetSink("hook", "paused"), session="s-root").ok
    assert [record.what for record in world.state.audit] == ["sink-created", "sink-resumed", "sink-paused"]


def test_what_falls_out_of_the_feed_is_counted_and_the_cursor_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sink that stood still has missed exactly what it did not get; one that kept up has missed nothing."""
    for module in (feed_module, outbox):
        monkeypatch.setattr(module, "FEED_EVENTS_KEPT", 10)
    world = World()
    assert world.do(OpenSink("broker", "broker", True), scope="outbox:").ok
    told = len(world.state.feed.after((0, 0), 99))
    assert told == 10 or sink_of(world, "broker").missed == 0
    assert world.do(HOOK, session="s-root").ok
    missed_by_hand = 0
    for _ in range(12):
        kept_before = {row[:2] for row in world.state.feed.after(sink_of(world, "broker").cursor, 99)}
        (place,) = booked(world, 1)
        assert world.do(settle(sink_of(world), place, delivered=1), scope="outbox:").ok
        kept_after = {row[:2] for row in world.state.feed.after((0, 0), 99)}
        missed_by_hand += len(kept_before - kept_after)
    late, prompt = sink_of(world, "broker"), sink_of(world)
    assert (late.missed, late.cursor) == (missed_by_hand, world.state.feed.lost_through)
    assert missed_by_hand >= 10
    assert prompt.missed == 0


def test_tables_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full table of held events refuses, dead letters push out the oldest and count it, sinks are few."""
    monkeypatch.setattr(outbox, "MAX_HELD_EVENTS", 2)
    monkeypatch.setattr(outbox, "MAX_DEAD_LETTERS", 2)
    world = with_hook()
    places = booked(world, 3)
    held = tuple(HoldBack(place, 1, 1, "") for place in places)
    assert world.do(settle(sink_of(world), places[2], held=held), scope="outbox:").code == "outbox-moved"
    assert world.state.held["hook"] == {}
    buried = tuple(Bury(place, 1, "") for place in places)
    assert world.do(settle(sink_of(world), places[2], buried=buried), scope="outbox:").ok
    assert (list(world.state.dead_letters["hook"]), sink_of(world).dropped) == (places[1:], 1)
    for number in range(MAX_SINKS - 1):
        assert world.do(structs.replace(HOOK, sink_id=f"h{number}"), session="s-root").ok
    assert world.do(structs.replace(HOOK, sink_id="more"), session="s-root").code == "too-many-sinks"
    assert world.do(OpenSink("mail", "mail", False), scope="outbox:").code == "too-many-sinks"
    assert MAX_HELD_EVENTS >= 100 and MAX_DEAD_LETTERS >= 100


def test_dead_letters_are_replayed_and_dropped_and_that_is_on_record() -> None:
    world = with_hook()
    places = booked(world, 3)
    buried = tuple(Bury(place, 12, "HTTP 500") for place in places)
    assert world.do(settle(sink_of(world), places[2], buried=buried), scope="outbox:").ok
    outcome = world.do(ReplayLetters("hook", (places[1], (9, 9))), session="s-root")
    assert outcome.result == Letters("hook", 1)
    (row,) = world.state.held["hook"].values()
    assert (row.place, row.attempts, row.due_ms) == (places[1], 0, world.now_ms)
    assert world.do(DropLetters("hook", (places[0],)), session="s-root").result == Letters("hook", 1)
    assert world.do(ReplayLetters("hook", ()), session="s-root").result == Letters("hook", 1)
    assert (world.state.dead_letters["hook"], set(world.state.held["hook"])) == ({}, set(places[1:]))
    assert world.do(DropLetters("hook", ()), session="s-root").result == Letters("hook", 0)
    assert [record.what for record in world.state.audit][1:] == [
        "sink-replayed",
        "sink-dropped",
        "sink-replayed",
    ]


def test_keys_rotate_with_an_overlap() -> None:
    world = with_hook()
    assert world.do(RotateWebhook("hook", "kid.2", 60_000), session="s-root").ok
    webhook = sink_of(world).webhook
    assert webhook.keys_at(world.now_ms) == ("kid.2", "kid.1")
    assert webhook.keys_at(world.now_ms + 60_000) == ("kid.2",)
    assert world.do(RotateWebhook("hook", "kid.3", 60_000), session="s-root").ok
    assert sink_of(world).webhook.keys_at(world.now_ms) == ("kid.3", "kid.2"), "the oldest ends"
    assert world.do(RotateWebhook("hook", "kid.4", 0), session="s-root").ok
    assert sink_of(world).webhook.keys_at(world.now_ms) == ("kid.4",)
    revised = ReviseWebhook("hook", "https://other.example/", "", (), ("hq",))
    assert world.do(revised, session="s-root").ok
    assert sink_of(world).webhook.keys_at(world.now_ms) == ("kid.4",)


ADMINISTRATIVE: list[Command] = [
    HOOK,
    ReviseWebhook("hook", "https://a.example/", "", (), ()),
    RotateWebhook("hook", "k", 1),
    SetSink("hook", "paused"),
    RemoveSink("hook"),
    ReplayLetters("hook", ()),
    DropLetters("hook", ()),
]


@pytest.mark.parametrize("command", ADMINISTRATIVE, ids=lambda command: type(command).__name__)
def test_only_administrators_tend_sinks(command: Command) -> None:
    world = with_hook()
    assert world.do(command, session="s-ann").code == "forbidden"
    assert world.do(command).code == "unauthenticated"
    assert list(world.state.sinks) == ["hook"]
    if command is not HOOK:
        assert world.do(structs.replace(command, sink_id="x"), session="s-root").code == "sink-not-found"
    assert world.do(OpenSink("mail", "mail", False), scope="outbox:").ok
    if isinstance(command, ReviseWebhook | RotateWebhook):
        assert world.do(structs.replace(command, sink_id="mail"), session="s-root").code == "not-a-webhook"


def test_an_erased_person_is_taken_out_of_what_is_still_to_be_delivered() -> None:
    world = with_hook()
    one, two = booked(world, 2)
    held, buried = (HoldBack(one, 1, 1, ""),), (Bury(two, 1, ""),)
    assert world.do(settle(sink_of(world), two, held=held, buried=buried), scope="outbox:").ok
    assert world.do(EraseAccount("hash-ann"), session="s-ann").ok
    events = [
        row.event for row in (*world.state.held["hook"].values(), *world.state.dead_letters["hook"].values())
    ]
    assert [event.booking.user_id for event in events] == ["erased", "erased"]
    assert restore(world.state.freeze().chunks()).checksum() == world.state.checksum()


@given(data=st.data())
def test_every_event_is_accounted_for_whatever_the_runners_do(data: st.DataObject) -> None:
    """Random runners, some of them late, against a plain model: what a sink was told, holds or lost is every event, once; and a
    restored state goes on the same.
    """
    world = with_hook()
    start = sink_of(world).cursor
    delivered: set[Place] = set()
    stale = settle(sink_of(world), sink_of(world).cursor)
    for _ in range(data.draw(st.integers(1, 8))):
        booked(world, data.draw(st.integers(0, 3)))
        sink = sink_of(world)
        waiting = [row[:2] for row in world.state.feed.after(sink.cursor, 99)]
        passed = waiting[: data.draw(st.integers(0, len(waiting)))]
        held_before = sorted(world.state.held["hook"])
        choose = st.sampled_from(["deliver", "hold", "bury", "wait"])
        fates = {place: data.draw(choose) for place in held_before} | {
            place: data.draw(choose.filter(lambda fate: fate != "wait")) for place in passed
        }
        of = {
            fate: [place for place, each in fates.items() if each == fate]
            for fate in ("deliver", "hold", "bury")
        }
        command = settle(
            sink,
            passed[-1] if passed else sink.cursor,
            delivered=len([place for place in of["deliver"] if place in passed]),
            taken=tuple(place for place in of["deliver"] if place in held_before),
            held=tuple(HoldBack(place, 1, 5, "") for place in of["hold"]),
            buried=tuple(Bury(place, 2, "") for place in of["bury"]),
        )
        if data.draw(st.booleans()):
            assert world.do(stale, scope="outbox:").code == (
                "ok" if stale.turn == sink.turn else "outbox-moved"
            )
            if stale.turn == sink.turn:
                continue  # it was the first of its turn, and ours is the late one
        assert world.do(command, scope="outbox:").ok
        delivered |= set(of["deliver"])
        stale = command
        if data.draw(st.booleans()):
            assert world.do(ReplayLetters("hook", ()), session="s-root").ok
        world.state = restore(world.state.freeze().chunks())
    state = world.state
    everything = {row[:2] for row in state.feed.after(start, 999)}
    kinds = [
        {row[:2] for row in state.feed.after(sink_of(world).cursor, 999)},
        set(state.held["hook"]),
        set(state.dead_letters["hook"]),
    ]
    left = set().union(*kinds)
    assert sum(map(len, kinds)) == len(left), "each in one place"
    assert left | delivered == everything
    assert sink_of(world).delivered == len(delivered) or stale.turn == 0


def test_outcomes_can_be_remembered_and_restored() -> None:
    """A remembered answer with a sink in it survives a snapshot."""
    world = World()
    outcome = world.do(HOOK, session="s-root", key="mine")
    assert isinstance(outcome, Outcome) and isinstance(outcome.result, Sink)
    again = World(restore(world.state.freeze().chunks()), populated=False)
    again.now_ms = world.now_ms
    assert again.do(HOOK, session="s-root", key="mine") == outcome
