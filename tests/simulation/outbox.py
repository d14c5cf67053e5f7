"""The shipped outbox in simulated clusters: sinks that fail, hang, are away and recover, while leaders die.

Every member drives a `node.outbox.Outbox`, as `node.outbox_runner` does, in virtual time; the sinks are the world's. What is checked at the end, when
everything has been calm for a while: each sink was told exactly what was committed, after repeats are dropped by id; of one subject
in the order of the log; nothing is held back; and while the world ran, that what an outbox keeps in memory stayed bounded.

Sinks fail in phases of a few seconds, and an event at its first attempt only, so that the pauses fit into the calm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.cloudevents import story_of
from node.couriers import Delivered, Result, Retry
from node.dispatch import MAX_AHEAD, MAX_WIDTH
from node.outbox import Abandon, Confirm, Deliver, Execute, Outbox
from statemachine.commands import Command, Envelope, encode_envelope
from statemachine.events import Event
from statemachine.feed import Place
from statemachine.limits import MAX_HELD_EVENTS
from statemachine.outbox_events import SinkChanged
from statemachine.outcomes import Outcome
from statemachine.records import ERASED
from statemachine.state import State
from tests.simulation.events import stream
from tests.simulation.member import SimNode, ViolationError

if TYPE_CHECKING:
    from tests.simulation.world import World

LOOK_SECONDS = 0.1
AWAY_CAP_SECONDS = 4.0  # instead of a minute: a longer pause would not fit into the calm
TIME_LIMIT_SECONDS = 3.0  # of an attempt, instead of ten seconds
ANSWER_SECONDS = 2.0
LOST_ANSWER_SHARE = 0.05  # the sink has taken it, and nobody hears of it
PHASE_SECONDS = (0.5, 3.0)
MODES = ("well", "well", "failing", "hanging", "away")
KINDS = ("mail", "broker")  # the leader opens them itself


class Sinks:
    """Where the events of a world go. `heard`: every arrival, in order."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.rng = stream(world.seed, "sinks")
        self.heard: list[tuple[str, Place, Event]] = []
        self._subjects: dict[
            Place, str
        ] = {}  # as a leader saw them first: before an account was erased, most often
        self._noted: Place = (0, 0)
        self._told = 0  # how many of these there were when it was last asked whether there are more
        self._modes = dict.fromkeys(KINDS, "well")
        self._tokens = 0

    def start(self) -> None:
        """Begin to change moods."""
        if self._world.settings.sinks:
            self._change()

    def _change(self) -> None:
        if self._world.calm:
            self._modes = dict.fromkeys(KINDS, "well")
            return
        self._modes = {kind: self.rng.choice(MODES) for kind in KINDS}
        self._world.at(self.rng.uniform(*PHASE_SECONDS), self._change)

    def attend(self, node: SimNode) -> None:
        """A member has started: it has an outbox from now on. Without sinks that does nothing but begin the feed of an older cluster."""
        if self._world.settings.sinks or self._world.older is not None:
            desk = Desk(self, node)
            self._world.at(self.rng.uniform(0, LOOK_SECONDS), desk.look)

    def token(self) -> int:
        """A number that no other request of this world has."""
        self._tokens += 1
        return 10**9 + self._tokens

    def ask(self, action: Deliver) -> tuple[float, Result]:
        """A sink is asked: after so long it answers so."""
        sink_id, place = action.delivery.sink.id, action.flight.place
        mode = "well" if self._world.calm else self._modes[sink_id]
        soon = self.rng.uniform(0.001, 0.1)
        if mode == "away":
            return soon, Retry("away", away=True)
        if mode == "failing" and action.flight.attempt == 1:
            return soon, Retry("fails")
        if mode == "hanging" and action.flight.attempt == 1:
            return TIME_LIMIT_SECONDS, Retry("hangs")
        self.heard.append((sink_id, place, action.flight.event))
        if self.rng.random() < LOST_ANSWER_SHARE and action.flight.attempt == 1 and not self._world.calm:
            return TIME_LIMIT_SECONDS, Retry("hangs")
        return soon, Delivered()

    def note(self, state: State) -> None:
        """What a leader sees: whom events were about when they happened."""
        for index, position, event in state.feed.after(self._noted, 10**9):
            self._noted = (index, position)
            self._subjects[self._noted] = story_of(event).subject

    def catching_up(self) -> bool:
        """Whether a sink has yet to hear of something, and some did hear of something since this was asked before."""
        before, self._told = self._told, len(self.heard)
        leaders = (
            n.core.state for n in self._world.nodes.values() if n.core is not None and n.core.guard.leading
        )
        state = next(leaders, None)
        behind = state is not None and any(sink.cursor != state.feed.last for sink in state.sinks.values())
        return behind and self._told > before

    def judge(self) -> None:
        """After the calm. Raises ViolationError."""
        if not self._world.settings.sinks:
            return
        state = next(
            node.core.state
            for node in self._world.nodes.values()
            if node.core is not None and node.core.guard.leading
        )
        for kind in KINDS:
            if kind not in state.sinks:
                raise ViolationError(f"the sink {kind} was never opened")
            self._judge(state, kind)

    def _judge(self, state: State, kind: str) -> None:
        heard: dict[Place, Event] = {}
        for sink_id, place, event in self.heard:
            if sink_id == kind and not _same(heard.setdefault(place, event), event):
                raise ViolationError(f"{kind} was told two things under the name {place}")
        committed = {row[:2]: row[2] for row in state.feed.after((0, 0), 10**9)}
        begins = next(
            (
                place[0]
                for place, event in committed.items()
                if isinstance(event, SinkChanged) and (event.sink_id, event.what) == (kind, "opened")
            ),
            0,
        )
        expected = {
            place: event for place, event in committed.items() if kind == "broker" or place[0] >= begins
        }
        sink = state.sinks[kind]
        # A majority of wrong clocks may have driven the time of the log ahead: it stands still until theirs get there, and pauses with it.
        waits = {} if self._world.judge.log_time_promised else state.held[kind]
        held = state.held[kind].keys() - waits.keys()
        if sink.cursor != state.feed.last or held or state.dead_letters[kind] or sink.missed:
            raise ViolationError(
                f"{kind} is not caught up with: {sink.cursor} of {state.feed.last}, {len(state.held[kind])} held back"
            )
        for place, event in expected.items():
            if place not in heard and place not in waits:
                raise ViolationError(f"{kind} was never told of {place}: {type(event).__name__}")
        for place, event in heard.items():
            if place not in committed or not _same(committed[place], event):
                raise ViolationError(f"{kind} was told of {place}, which was never committed")
        # `users/erased` is of several people, whose events had no order among them before. Those of each keep theirs.
        latest: dict[tuple[str, str], Place] = {}
        for place, event in heard.items():
            told, subject = story_of(event).subject, self._subjects[place]
            if subject == f"users/{ERASED}":
                continue  # nobody saw who it was
            if place < latest.get((told, subject), (0, 0)):
                raise ViolationError(
                    f"{kind} was told of {told}, which was {subject}, in another order than that of the log"
                )
            latest[told, subject] = place


def _same(one: Event, other: Event) -> bool:
    """But for whom it is about: an account that was erased meanwhile is taken out of what is kept."""
    return (
        type(one) is type(other) and one.at_ms == other.at_ms and story_of(one).type == story_of(other).type
    )


class Desk:
    """The outbox of one process of a member: what `node.outbox_runner` is in production."""

    def __init__(self, sinks: Sinks, node: SimNode) -> None:
        self._sinks = sinks
        self._node = node
        self._world = node.world
        self._pipeline = node.pipeline
        wants = dict.fromkeys(KINDS if self._world.settings.sinks else (), lambda *_: True)
        self.outbox = Outbox(wants, lambda *_: {}, sinks.rng, AWAY_CAP_SECONDS)  # type: ignore[arg-type]  # KINDS are kinds
        self._leading = 0  # how often it has begun to: answers to an earlier one are nobody's

    def look(self) -> None:
        """A turn, as long as this process lives."""
        node, core = self._node, self._node.core
        if node.pipeline is not self._pipeline or core is None:
            return
        self._world.at(LOOK_SECONDS, self.look)
        if node.paused:
            return
        leads = core.own_term_applied() and not core.draining
        if leads:
            self._sinks.note(core.state)
        for action in self.outbox.turn(leads, core.state, core.now_ms(), self._world.now):
            match action:
                case Deliver():
                    self._deliver(action)
                case Execute(sink_id, command):
                    self._execute(sink_id, command)
                case Confirm():
                    self._confirm()
                case Abandon():
                    self._leading += 1
        for dispatch in self.outbox.dispatches.values():
            if dispatch.kept > MAX_AHEAD + MAX_HELD_EVENTS + MAX_WIDTH:
                raise ViolationError(f"the outbox of {node.node_id} keeps {dispatch.kept} events")

    def _later(self, seconds: float, action: object) -> None:
        """Unless the process has died or the leadership gone meanwhile; one that stands still hears it afterwards."""
        leading = self._leading
        assert callable(action)

        def act() -> None:
            if self._node.pipeline is not self._pipeline or self._leading != leading:
                return
            if self._node.paused:
                self._world.at(self._node.paused_until - self._world.now, act)
                return
            action()

        self._world.at(seconds, act)

    def _deliver(self, action: Deliver) -> None:
        seconds, result = self._sinks.ask(action)
        self._later(seconds, lambda: self.outbox.delivered(action.flight, result, self._world.now))

    def _execute(self, sink_id: str, command: Command) -> None:
        node, core = self._node, self._node.core
        assert core is not None
        request_id = self._sinks.token()
        ended: list[bool] = []

        def end(good: bool) -> None:
            if not ended:
                ended.append(good)
                self.outbox.executed(sink_id, good, self._world.now)

        def result(outcome: Outcome | None, _failure: str) -> None:
            end(outcome is not None and outcome.ok)

        node.results[request_id] = result
        key = f"outbox-{request_id}"
        envelope = Envelope(request_id, "outbox:", key, b"", 15_000, core.now_ms() + 7_000, "", command)
        if not core.execute(request_id, encode_envelope(envelope), ANSWER_SECONDS):
            end(False)
        self._later(0.0, node.turn)
        self._later(ANSWER_SECONDS + 1, lambda: end(False))

    def _confirm(self) -> None:
        node, core = self._node, self._node.core
        assert core is not None
        token = self._sinks.token()
        ended: list[int | None] = []

        def end(index: int | None) -> None:
            if not ended:
                ended.append(index)
                self.outbox.confirmed(index)

        node.reads[token] = lambda _state, index: end(index)
        core.read(token)
        self._later(0.0, node.turn)
        self._later(ANSWER_SECONDS, lambda: end(None))
