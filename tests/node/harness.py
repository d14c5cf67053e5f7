"""A few cores on a table: a clock that the test moves, and messages that the test delivers, holds back, drops or repeats.

`Table` does what the driver of a core must do, and nothing by chance: frames become durable at once, effects leave behind
them, and what is sent lies in `wire` until it is delivered. `run` lets everything flow; a scenario that needs an order of its
own calls `deliver` with what it picks. Nothing here waits, so a scenario of seconds takes milliseconds.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import pytest

from node import engine
from node import messages as m
from node.core import Core
from node.effects import Answer, Changed, Effect, Fail, ReadReady, Send
from node.guard import FailStopError
from node.journal import Entry, RaftJournal
from node.membership import Change, Placed, birth
from node.requests import Failure
from statemachine.commands import Command, Envelope, RegisterUser, encode_envelope
from statemachine.outcomes import Outcome
from statemachine.state import State
from tests.statemachine import builders

EPOCH_MS = 1_800_000_000_000
STEP_SECONDS = 0.01
BIRTH = builders.birth()
AFTER_BIRTH = 1 << 50


def envelope(request_id: int, command: Command, *, scope: str = "x", key: str | None = None) -> bytes:
    return encode_envelope(
        Envelope(request_id, scope, key or f"key {request_id}", b"f", 86_400_000, AFTER_BIRTH, "", command)
    )


def register(name: str, padding: str = "") -> RegisterUser:
    return RegisterUser(name, name, name, f"hash {padding}")


class Seat:
    """One member at the table: what survives a crash, and the core while it lives."""

    def __init__(self, table: Table, node_id: str) -> None:
        self.table = table
        self.node_id = node_id
        self.incarnation = f"disk of {node_id}"
        self.birth = table.birth
        self.wants_vote = True
        self.frames: list[bytes] = []  # durable
        self.core: Core | None = None
        self.answers: dict[int, Outcome] = {}
        self.failures: dict[int, Failure] = {}
        self.reads: dict[int, int] = {}
        self.changes: dict[int, Changed] = {}
        self.sent = 0
        self.failed = ""

    @property
    def alive(self) -> Core:
        assert self.core is not None, f"{self.node_id} is down: {self.failed}"
        return self.core

    def boot(self) -> Core:
        journal, _ = RaftJournal.replay(self.frames)
        journal.base = self.birth
        self.core = self.table.make_core(self.node_id, journal, State(), None)
        self.failed = ""
        return self.core

    def step(self) -> None:
        """One turn: what was decided becomes durable, then it leaves."""
        core = self.core
        if core is None:
            return
        try:
            core.step()
        except FailStopError as error:
            self.failed = str(error)
            self.core = None
            return
        self.flush()
        core.propose()
        self.flush()

    def flush(self) -> None:
        core = self.alive
        self.frames.extend(payload for payload, _ in core.take_frames())
        for effect in core.take_effects():
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send(peer_id, message):
                self.sent += 1
                self.table.sent(self.node_id, peer_id, message)
            case Answer(request_id, outcome):
                assert request_id not in self.answers
                assert request_id not in self.failures
                self.answers[request_id] = outcome
            case Fail(request_id, failure):
                assert request_id not in self.answers
                assert request_id not in self.failures
                self.failures[request_id] = failure
            case ReadReady(token, index):
                assert token not in self.reads
                self.reads[token] = index
            case Changed(request_id):
                self.changes[request_id] = effect

    def execute(
        self, request_id: int, command: Command, timeout_seconds: float = 5.0, key: str | None = None
    ) -> bool:
        return self.alive.execute(request_id, envelope(request_id, command, key=key), timeout_seconds)


class Table:
    """Members, the clock, and what is on the way between them."""

    def __init__(self, members: int = 3, seed: int = 1) -> None:
        self.now = 100.0
        self.rng = random.Random(seed)
        self.ids = [f"n{number + 1}" for number in range(members)]
        self.birth = Placed(
            0, birth({node_id: (f"{node_id}:7000", f"{node_id}:8000") for node_id in self.ids})
        )
        self.wire: list[tuple[str, str, m.Message]] = []
        self.latency_seconds = 0.0
        self._on_the_way: list[tuple[float, tuple[str, str, m.Message]]] = []
        self.hold: Callable[[str, str, m.Message], bool] = lambda _a, _b, _message: False
        self.held: list[tuple[str, str, m.Message]] = []  # what `hold` kept back
        self.links = {(a, b) for a in self.ids for b in self.ids if a != b}
        self.blocked: set[tuple[str, str]] = set()  # ways that `tending` does not open again
        self.tending = (
            False  # dial whom the configuration names and close links that it forbids, as the driver does
        )
        self._looked_at: dict[str, tuple[Core, int]] = {}
        self.log: list[tuple[float, str, str, m.Message]] = []  # everything ever sent
        self.leaders: dict[int, str] = {}  # by term
        engine.set_clock(lambda: self.now)
        random.seed(seed)
        self.seats = {node_id: Seat(self, node_id) for node_id in self.ids}
        for seat in self.seats.values():
            seat.boot()
        for a, b in sorted(self.links):
            self._connect(a, b)

    def make_core(
        self, node_id: str, journal: RaftJournal, state: State, restored: tuple[Entry, Entry] | None
    ) -> Core:
        return Core(
            node_id=node_id,
            incarnation=self.seats[node_id].incarnation,
            known_index=self.seats[node_id].birth.index,
            wants_vote=self.seats[node_id].wants_vote,
            journal=journal,
            state=state,
            applied_index=restored[1][1] if restored else 1,
            restored=restored,
            monotonic=lambda: self.now,
            wall_ms=lambda: EPOCH_MS + int(self.now * 1000),
            rng=random.Random(self.rng.getrandbits(64)),
        )

    def core(self, node_id: str) -> Core:
        return self.seats[node_id].alive

    def cores(self) -> list[Core]:
        return [seat.core for seat in self.seats.values() if seat.core is not None]

    # The network.

    def sent(self, a: str, b: str, message: m.Message) -> None:
        self.log.append((self.now, a, b, message))
        if (a, b) not in self.links:
            return
        item = (a, b, m.decode(m.encode(message)))
        if self.hold(a, b, message):
            self.held.append(item)
        elif self.latency_seconds:
            self._on_the_way.append((self.now + self.latency_seconds, item))
        else:
            self.wire.append(item)

    def deliver(self, item: tuple[str, str, m.Message]) -> None:
        """One message arrives; what follows from it is sent at once."""
        a, b, message = item
        seat = self.seats[b]
        if seat.core is None:
            return
        try:
            seat.core.receive(a, message)
        except FailStopError as error:
            seat.failed = str(error)
            seat.core = None
            return
        seat.step()
        self._note_leader(seat)

    def _note_leader(self, seat: Seat) -> None:
        if seat.core is not None and seat.core.guard.leading:
            leader = self.leaders.setdefault(seat.core.guard.term, seat.node_id)
            assert leader == seat.node_id, f"two leaders in term {seat.core.guard.term}"

    def take(
        self, kind: type, a: str | None = None, b: str | None = None
    ) -> list[tuple[str, str, m.Message]]:
        """Take messages of a kind off the wire, to deliver them later, or never."""
        taken = [
            item
            for item in self.wire
            if isinstance(item[2], kind) and a in (None, item[0]) and b in (None, item[1])
        ]
        self.wire = [item for item in self.wire if not any(item is other for other in taken)]
        return taken

    def flow(self, limit: int = 20_000) -> int:
        """Deliver everything in order until the wire is empty at this moment; how many messages it took."""
        for count in range(limit):
            if not self.wire:
                return count
            self.deliver(self.wire.pop(0))
        raise AssertionError(f"still talking after {limit} messages at one moment")

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass and everything flow, until the condition holds (True) or the time is over (False)."""
        end = self.now + seconds
        while True:
            if self.tending:
                self._tend()
            for seat in self.seats.values():
                seat.step()
                self._note_leader(seat)
            while self._on_the_way and self._on_the_way[0][0] <= self.now:
                self.wire.append(self._on_the_way.pop(0)[1])
            self.flow()
            if until is not None and until():
                return True
            if self.now >= end:
                return False
            self.now += STEP_SECONDS

    def cut(self, *pairs: tuple[str, str]) -> None:
        """Messages on these ways are lost and nobody notices."""
        self.links -= set(pairs)
        self.blocked |= set(pairs)
        self.wire = [item for item in self.wire if (item[0], item[1]) in self.links]
        self._on_the_way = [due for due in self._on_the_way if due[1][:2] in self.links]

    def isolate(self, *node_ids: str) -> None:
        """Nothing goes between these and the rest."""
        self.cut(*((a, b) for a, b in self.links if (a in node_ids) != (b in node_ids)))

    def heal(self) -> None:
        """All ways are open again; connections that stood through it go on with what is sent from now."""
        self.blocked.clear()
        if not self.tending:
            self.links = {(a, b) for a in self.ids for b in self.ids if a != b}

    def _tend(self) -> None:
        for seat in self.seats.values():
            core = seat.core
            if core is None:
                continue
            if self._looked_at.get(seat.node_id) != (core, core.configuration_version):
                self._looked_at[seat.node_id] = (core, core.configuration_version)
                for a, b in sorted(self.links):
                    if b == seat.node_id and core.judge(core.introductions[a]).code:
                        self._break(a, b)
            for other in core.addresses():
                way = (seat.node_id, other)
                known = other in self.seats and self.seats[other].core is not None
                if known and way not in self.links and way not in self.blocked:
                    self._connect(*way)

    def _break(self, a: str, b: str) -> None:
        self.links.discard((a, b))
        self.wire = [item for item in self.wire if (item[0], item[1]) != (a, b)]
        if (core := self.seats[a].core) is not None:
            core.link_down(b)
        if (core := self.seats[b].core) is not None:
            core.peer_silent(a)

    def wipe(self, node_id: str) -> None:
        """The disk of a stopped member is lost; the next start makes a new one."""
        seat = self.seats[node_id]
        assert seat.core is None
        seat.frames = []
        seat.incarnation += " again"

    def join(self, node_id: str, through: str, *, wants_vote: bool = True) -> Core:
        """A member that was added starts with the configuration that another one shows it."""
        seat = self.seats[node_id] = Seat(self, node_id)
        seat.birth = self.core(through).applied_placed
        seat.wants_vote = wants_vote
        self.ids = sorted({*self.ids, node_id})
        self.blocked = {way for way in self.blocked if node_id not in way}
        return seat.boot()

    def break_links(self, node_id: str) -> None:
        """All connections of a member break and both sides notice."""
        for other in self.ids:
            if other == node_id:
                continue
            for a, b in ((node_id, other), (other, node_id)):
                self.cut((a, b))
                if (core := self.seats[a].core) is not None:
                    core.link_down(b)
                if (core := self.seats[b].core) is not None:
                    core.peer_silent(a)

    def connect(self, node_id: str) -> None:
        """All connections of a member are made anew."""
        for other in self.ids:
            if other == node_id or self.seats[other].core is None or self.seats[node_id].core is None:
                continue
            for a, b in ((node_id, other), (other, node_id)):
                self._connect(a, b)

    def _connect(self, a: str, b: str) -> bool:
        """`a` dials `b` and introduces itself; False when it was refused."""
        introduction = self.core(a).introduction()
        verdict = self.core(b).judge(introduction)
        self.core(a).greeted(b, verdict)
        if verdict.code:
            return False
        self.blocked.discard((a, b))
        self.links.add((a, b))
        self.core(b).introduced(a, introduction)
        self.core(a).link_up(b)
        return True

    def crash(self, node_id: str) -> None:
        """A member dies with everything that was not durable; its connections break."""
        self.seats[node_id].core = None
        self.break_links(node_id)

    def restart(self, node_id: str) -> Core:
        core = self.seats[node_id].boot()
        self.connect(node_id)
        return core

    # What tests ask for.

    def leader(self) -> Core | None:
        """The leader of the latest term among the living."""
        leading = [core for core in self.cores() if core.guard.leading]
        return max(leading, key=lambda core: core.guard.term, default=None)

    def leads(self, node_id: str) -> bool:
        """Whether that member is the leader of the latest term."""
        core = self.leader()
        return core is not None and core.node_id == node_id

    def elect(self, node_id: str | None = None) -> Core:
        """Run until there is a leader that has applied its no-op everywhere; with an id, until that one leads."""

        def settled() -> bool:
            core = self.leader()
            return core is not None and core.own_term_applied() and self.agreed()

        assert self.run(10.0, settled), "no leader in 10 s"
        if node_id is not None:
            for _ in range(20):
                core = self.leader()
                assert core is not None
                if core.node_id == node_id:
                    break
                core.guard.engine.transferLeadership(engine.Peer(node_id))
                core.step()
                self.seats[core.node_id].flush()
                self.run(0.2)
                assert self.run(10.0, settled)
        leader = self.leader()
        assert leader is not None
        assert node_id in (None, leader.node_id)
        return leader

    def change(self, node_id: str, change: Change, seconds: float = 3.0) -> Changed:
        """Ask through a member, again while no leader could say; its end."""
        end = self.now + seconds
        seat = self.seats[node_id]
        while True:
            request_id = self.rng.getrandbits(40)
            seat.alive.change(request_id, change)
            self.run(0.5, lambda request_id=request_id: request_id in seat.changes)  # type: ignore[misc]  # a bound default
            ended = seat.changes.get(request_id, Changed(request_id, "silence", "", 0))
            if ended.code not in ("not-leader", "silence") or self.now >= end:
                return ended

    def agreed(self) -> bool:
        """All living members are in one term and have applied one log."""
        points = {
            (core.guard.term, core.applied_index, core.journal.last_index, core.state.digest)
            for core in self.cores()
        }
        return len(points) == 1

    def followers(self, leader: Core) -> list[str]:
        return [node_id for node_id in self.ids if node_id != leader.node_id]

    def execute(self, node_id: str, request_id: int, command: Command, key: str | None = None) -> Outcome:
        """A command with everything it takes."""
        seat = self.seats[node_id]
        assert seat.execute(request_id, command, key=key)
        assert self.run(5.0, lambda: request_id in seat.answers or request_id in seat.failures)
        return seat.answers[request_id]

    def born(self, node_id: str | None = None) -> Core:
        """A settled cluster that has been born; its leader."""
        leader = self.elect(node_id)
        assert self.execute(leader.node_id, 1, BIRTH).ok
        assert self.run(2.0, self.agreed)
        return leader


@pytest.fixture(autouse=True)
def real_clock_afterwards() -> Iterator[None]:
    """The library's clock is one for the process; a manual one must not outlive its test."""

    yield
    engine.set_clock(time.monotonic)
