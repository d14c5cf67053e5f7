"""The outbox over one state, with sinks that a test tells how to answer, in virtual time: no loop, no sockets."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from node.cloudevents import story_of
from node.couriers import DELIVERY_SECONDS, Delivered, Delivery, Result, Retry
from node.dispatch import Flight
from node.outbox import Abandon, Confirm, Deliver, Execute, Outbox
from statemachine.events import Event
from statemachine.feed import Place
from statemachine.outbox_commands import CreateWebhook
from statemachine.sinks import Sink, SinkKind
from statemachine.state import State
from tests.statemachine.builders import FREE_CELL, HOUR, World

HANGS = "hangs"
Answer = Callable[[Delivery], Result | str]  # HANGS: nothing until the time limit


def only_bookings(_sink: Sink, _place: Place, event: Event, _state: State) -> bool:
    return hasattr(event, "booking")


@dataclass
class Desk:
    """A leader with its outbox. `heard` is every event that a sink took, in order, repeats included."""

    world: World
    answer: Answer = lambda _: Delivered()
    seed: int = 0
    now: float = 0.0
    heard: list[tuple[str, Place]] = field(default_factory=list)
    tried: list[tuple[str, Place, int]] = field(default_factory=list)
    commands: int = 0
    loses: Callable[[], bool] = lambda: False  # whether the next command never gets into the log
    unheard: Callable[[], bool] = lambda: False  # whether its outcome never comes back
    read_index: Callable[[], int | None] | None = None
    wants: Mapping[SinkKind, Callable[[Sink, Place, Event, State], bool]] = field(
        default_factory=lambda: {"webhook": only_bookings}
    )

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Another leader, which knows what the state knows."""
        self.outbox = Outbox(self.wants, lambda place, event: {"id": place}, random.Random(self.seed))
        self.pending: list[tuple[float, Flight, Result]] = []

    def turn(self, seconds: float = 0.05) -> None:
        """Let time pass, and do what is due."""
        self.now += seconds
        self.world.now_ms += int(seconds * 1000)
        for at, flight, result in [each for each in self.pending if each[0] <= self.now]:
            self.pending.remove((at, flight, result))
            self.outbox.delivered(flight, result, self.now)
        state = self.world.state
        for action in self.outbox.turn(True, state, self.world.now_ms, self.now):
            match action:
                case Deliver(flight, delivery):
                    self._try(flight, delivery)
                case Execute(sink_id, command):
                    self.commands += 1
                    good = (
                        not self.loses() and self.world.do(command, scope="outbox:").ok and not self.unheard()
                    )
                    self.outbox.executed(sink_id, good, self.now)
                case Confirm():
                    self.outbox.confirmed(state.index if self.read_index is None else self.read_index())
                case Abandon():
                    raise AssertionError("this one leads")

    def _try(self, flight: Flight, delivery: Delivery) -> None:
        self.tried.append((flight.sink_id, flight.place, flight.attempt))
        result = self.answer(delivery)
        if isinstance(result, str):
            self.pending.append((self.now + DELIVERY_SECONDS, flight, Retry("no end within 10 s")))
            return
        if isinstance(result, Delivered):
            self.heard.append((flight.sink_id, flight.place))
        self.pending.append((self.now + 0.01, flight, result))

    def run(self, seconds: float, step: float = 0.05) -> None:
        for _ in range(int(seconds / step)):
            self.turn(step)


def with_hooks(*names: str) -> World:
    world = World()
    for name in names:
        hook = CreateWebhook(name, "https://hooks.example/", "", (), (), f"kid.{name}")
        assert world.do(hook, session="s-root").ok
    return world


def book(world: World) -> Place:
    """One more booking; the place of its event."""
    number = len(world.state.bookings)
    start = FREE_CELL + HOUR * (number // 6)
    outcome = world.book(f"b{number}", f"A{1 + number % 6}", start, grid=world.grid((start, 14)))
    assert outcome.ok, outcome
    return outcome.index, outcome.position


def wanted(world: World, after: Place) -> list[Place]:
    """The places of what a sink that wants bookings is to hear."""
    return [row[:2] for row in world.state.feed.after(after, 10**6) if hasattr(row[2], "booking")]


def misordered(state: State, heard: list[tuple[str, Place]]) -> list[str]:
    """First hearings of one subject that came in another order than that of the log."""
    events = {row[:2]: row[2] for row in state.feed.after((0, 0), 10**6)}
    latest: dict[tuple[str, str], Place] = {}
    found = []
    for sink_id, place in dict.fromkeys(heard):
        subject = (sink_id, story_of(events[place]).subject)
        if place < latest.get(subject, (0, 0)):
            found.append(f"{sink_id}: {place} after {latest[subject]}")
        latest[subject] = max(place, latest.get(subject, (0, 0)))
    return found
