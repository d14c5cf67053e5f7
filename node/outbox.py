"""The outbox of the node that leads: tells every sink what has happened. Decisions only; `node/outbox_runner.py` carries them out.

**Nothing early, nothing that did not happen.** Only events of applied entries are told, and only up to a *read index* that a majority has confirmed
for this leader (`Confirm`): so what is told is committed, durable on this node as well (the read index passes the gate of
`node/pipeline.py`), and a leader that has been cut off from the others tells nothing.

**Nothing untold.** What is known for good is in the replicated state; each sink's `Dispatch` (`node/dispatch.py`) keeps what was found out since,
and forgets it when this node leads no more. The next leader begins from the cursors, and may tell the last few events again.

**Nobody waits for it.** Deliveries take no lock and no command of anybody; a settlement is one command like those of clients, at most one
for each sink at a time. A sink that fails, hangs or is away costs its own attempts and nothing else.

The owner calls `turn` regularly and performs the actions that it returns; how they ended comes back through `delivered`, `executed` and
`confirmed`. The simulation drives this same class (`tests/simulation/outbox.py`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from node.couriers import Delivery, Result
from node.dispatch import AWAY_CAP_SECONDS, Dispatch, Flight
from statemachine.commands import Command
from statemachine.events import Event
from statemachine.feed import Place
from statemachine.outbox_commands import BeginFeed, OpenSink
from statemachine.sinks import Sink, SinkKind
from statemachine.state import State

FAILED_COMMAND_SECONDS = (
    0.5  # before a command of the outbox that did not succeed is followed by another one of its sink
)
OPENED_BY_THE_LEADER: tuple[SinkKind, ...] = ("mail", "broker")  # for what cluster.yml names
FEED = "feed"  # among the commands under way, beside the ids of sinks
FROM_BEGINNING = frozenset({"broker"})  # a broker is a copy of the feed; old mails are of no use to anybody

Wants = Callable[[Sink, Place, Event, State], bool]
Render = Callable[[Place, Event], Mapping[str, Any]]


@dataclass(frozen=True)
class Deliver:
    """Action: make one attempt, and call `delivered`."""

    flight: Flight
    delivery: Delivery


@dataclass(frozen=True)
class Execute:
    """Action: have a command carried out, and call `executed`."""

    sink_id: str
    command: Command


@dataclass(frozen=True)
class Confirm:
    """Action: ask for a read index, and call `confirmed`."""


@dataclass(frozen=True)
class Abandon:
    """Action: this node leads no more: end all attempts; nobody wants to know how."""


Action = Deliver | Execute | Confirm | Abandon


class Outbox:
    """See the module. `wants` are the kinds of sinks that this node can deliver to."""

    def __init__(
        self,
        wants: Mapping[SinkKind, Wants],
        render: Render,
        rng: random.Random,
        away_cap_seconds: float = AWAY_CAP_SECONDS,
    ) -> None:
        self._wants = wants
        self._render = render
        self._rng = rng
        self._away_cap_seconds = away_cap_seconds
        self.leading = False
        self.dispatches: dict[str, Dispatch] = {}
        self._through = 0  # the highest read index confirmed
        self._confirming = False
        self._executing: dict[
            str, float
        ] = {}  # by sink: until when no other command is made; infinity: one is under way

    def turn(self, leads: bool, state: State, now_ms: int, now: float) -> list[Action]:
        """What to do now. `leads`: this node leads and has applied an entry of its own term; `now` in seconds."""
        if not leads or not state.born:
            return self._step_down()
        self.leading = True
        actions: list[Action] = []
        if not state.feed.is_open:
            return [self._execute(FEED, BeginFeed())] if self._may_execute(FEED, now) else []
        last = state.feed.last
        if state.sinks and last is not None and last[0] > self._through and not self._confirming:
            self._confirming = True
            actions.append(Confirm())
        for kind in OPENED_BY_THE_LEADER:
            if kind in self._wants and kind not in state.sinks and self._may_execute(kind, now):
                actions.append(self._execute(kind, OpenSink(kind, kind, kind in FROM_BEGINNING)))
        for sink_id in [each for each in self.dispatches if each not in state.sinks]:
            del self.dispatches[sink_id]
        for sink in state.sinks.values():
            wants = self._wants.get(sink.kind)
            if wants is not None:
                actions += self._work(sink, wants, state, now_ms, now)
        return actions

    def _work(self, sink: Sink, wants: Wants, state: State, now_ms: int, now: float) -> list[Action]:
        dispatch = self.dispatches.get(sink.id)
        if dispatch is None:
            dispatch = self.dispatches[sink.id] = Dispatch(sink, self._rng, self._away_cap_seconds)
        actions: list[Action] = [
            Deliver(
                flight,
                Delivery(
                    sink,
                    flight.place,
                    flight.event,
                    self._render(flight.place, flight.event),
                    flight.attempt,
                    now_ms,
                    state,
                ),
            )
            for flight in dispatch.look(state, self._through, wants, now_ms, now)
        ]
        if self._may_execute(sink.id, now):
            settlement = dispatch.settlement(state, now_ms)
            if settlement is not None:
                actions.append(self._execute(sink.id, settlement))
        return actions

    def _step_down(self) -> list[Action]:
        if not self.leading:
            return []
        self.leading = False
        self.dispatches.clear()
        self._executing.clear()
        self._through = 0
        self._confirming = False
        return [Abandon()]

    def _may_execute(self, sink_id: str, now: float) -> bool:
        return self._executing.get(sink_id, float("-inf")) <= now

    def _execute(self, sink_id: str, command: Command) -> Execute:
        self._executing[sink_id] = float("inf")
        return Execute(sink_id, command)

    # --- how actions ended ----------------------------------------------------------------------------------

    def delivered(self, flight: Flight, result: Result, now: float) -> None:
        """An attempt has ended."""
        dispatch = self.dispatches.get(flight.sink_id)
        if dispatch is not None:
            dispatch.ended(flight, result, now)

    def executed(self, sink_id: str, good: bool, now: float) -> None:
        """A command has ended; `good`: it was carried out."""
        if sink_id in self._executing:
            self._executing[sink_id] = now if good else now + FAILED_COMMAND_SECONDS
        dispatch = self.dispatches.get(sink_id)
        if dispatch is not None:
            dispatch.settled()

    def confirmed(self, index: int | None) -> None:
        """A read index, or None: nobody confirmed that this node leads."""
        if self._confirming:
            self._confirming = False
            if index is not None:
                self._through = max(self._through, index)
