"""One member of a scenario: the shipped `node.pipeline` with its core, on a disk that does what it is told.

The pipeline takes turns and keeps effects back until the frames before them are on the disk. A `Member` is its port: the journal is written
at the end of each turn unless the scenario lets the disk wait; sequences (writing and installing snapshots) are done at once.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from node import messages as m
from node import storage
from node.core import Core
from node.effects import Answer, Changed, Fail, ReadReady
from node.guard import FailStopError
from node.journal import RaftJournal
from node.membership import Placed, birth
from node.pipeline import OnJournal, OnThread, Pipeline, Sequence
from node.snapshots import SnapshotHead
from statemachine.state import State
from tests.simulation.disk import SimDisk

if TYPE_CHECKING:
    from tests.scenarios.world import World

SEGMENT_BYTES = 64 << 10
NO_SNAPSHOT_BY_ITSELF = 1 << 40  # entries


class BrokenPromiseError(AssertionError):
    """Something that must never be, whatever a scenario does."""


class Parcel(NamedTuple):
    """A message on its way."""

    sender: str
    receiver: str
    message: m.Message


class Patience(random.Random):
    """Timers without chance: each wait lies in its range as far as the member stands in the order of patience."""

    def __init__(self, world: World, node_id: str) -> None:
        super().__init__(node_id)
        self._world, self._node_id = world, node_id

    def uniform(self, a: float, b: float) -> float:
        order = self._world.patience
        place = order.index(self._node_id) if self._node_id in order else len(order)
        return a + (b - a) * (place + 1) / (len(order) + 2)


class Member:
    """One member: its disk, and its pipeline while it lives."""

    def __init__(self, world: World, node_id: str) -> None:
        self.world = world
        self.node_id = node_id
        self.pipeline: Pipeline | None = None
        self.disk_waits = False
        self.frozen = False
        self.skew_ms = 0
        self.stopped_because = ""  # why it stopped by itself
        self.installs = 0
        self.disks = 0
        self.wants_vote = True
        self.joined_by: Placed | None = None  # the configuration that a joining member was shown
        self.wipe()

    def wipe(self) -> None:
        """A new, empty disk."""
        self.disks += 1
        self.disk = SimDisk(random.Random(self.node_id))

    @property
    def core(self) -> Core | None:
        return None if self.pipeline is None else self.pipeline.core

    @property
    def alive(self) -> Core:
        if self.core is None:
            raise ValueError(
                f"{self.node_id} is down" + (f": {self.stopped_because}" if self.stopped_because else "")
            )
        return self.core

    # Construction: the one place that knows how a member is made.

    def boot(self) -> None:
        """Start, with what is on the disk."""
        addresses = {id_: (f"{id_}:7000", f"{id_}:8000") for id_ in self.world.born}
        self.identity = storage.read_identity(
            self.disk,
            "desks",
            self.node_id,
            self.joined_by or Placed(0, birth(addresses)),
            lambda: f"disk {self.disks} of {self.node_id}",
        )
        opened = storage.open_storage(self.disk, self.identity, SEGMENT_BYTES)
        self.log = opened.log
        self.frames: list[tuple[bytes, int, bytes]] = []  # decided, not yet on the disk
        self.submitted = 0
        self.durable_index = opened.journal.last_index  # the last entry that would survive a crash now
        self.stopped_because, self.frozen, self.turn_due = "", False, False
        self.pipeline = Pipeline(
            self, self.disk, opened, self.identity.birth, NO_SNAPSHOT_BY_ITSELF, lambda: self.world.now
        )

    def make_core(self, journal: RaftJournal, state: State, head: SnapshotHead | None) -> Core:
        core = Core(
            node_id=self.node_id,
            incarnation=self.identity.incarnation,
            known_index=self.identity.known_index,
            wants_vote=self.wants_vote,
            journal=journal,
            state=state,
            applied_index=head.last_index if head else 1,
            restored=(head.previous, head.last) if head else None,
            monotonic=lambda: self.world.now,
            wall_ms=lambda: self.world.wall_ms() + self.skew_ms,
            rng=Patience(self.world, self.node_id),
        )
        core.trim = journal.trim_to  # type: ignore[method-assign]  # who was away needs a snapshot soon
        self.world.tamper(core)
        return core

    # The process.

    def turn(self) -> None:
        """What was received takes effect; what was decided goes towards the disk, and what rests on it waits for that."""
        self.turn_due = True
        while self.turn_due and self.pipeline is not None and not self.frozen:
            self.turn_due = False
            self.pipeline.turn()
            if not self.disk_waits:
                self.sync()

    def sync(self) -> None:
        """The disk does what it was asked to, and what rested on it leaves."""
        self.write()
        if self.pipeline is not None:
            self.pipeline.synced(self.submitted)

    def write(self) -> None:
        """What was decided gets onto the disk, and nobody is told."""
        if self.frames and self.core is not None:
            highest = max(top for _, top, _ in self.frames)
            self.log.append([payload for payload, _, _ in self.frames], highest, self.frames[-1][2])
            self.frames = []
            self.durable_index = self.core.journal.last_index

    def receive(self, peer_id: str, message: m.Message) -> None:
        if self.pipeline is not None:
            self.pipeline.receive(peer_id, m.encode(message))
            self.turn()

    def snapshot(self) -> None:
        """Write one of everything applied, and forget the log before it."""
        assert self.pipeline is not None
        self.pipeline.snapshot()

    # What the pipeline asks for: see `node.pipeline.Port`.

    def submit(self, payload: bytes, max_index: int, preamble: bytes) -> int:
        self.submitted += 1
        self.frames.append((payload, max_index, preamble))
        return self.submitted

    def send(self, peer_id: str, payload: bytes) -> None:
        self.world.sent(Parcel(self.node_id, peer_id, m.decode(payload)))

    def flush(self) -> None:
        pass

    def perform(self, effect: Answer | Fail | ReadReady | Changed) -> None:
        match effect:
            case Answer(request_id, outcome):
                self.world.answers[request_id] = outcome
            case Fail(request_id, failure):
                self.world.answers[request_id] = failure
            case Changed(request_id):
                self.world.changes[request_id] = effect
            case ReadReady(token, _):
                self.world.reads[token] = visible(self.alive.state)

    def run(self, sequence: Sequence) -> None:
        assert self.pipeline is not None
        work = self.pipeline.advance(sequence)
        while work is not None:
            result = None
            if isinstance(work, OnJournal):
                self.write()
            if isinstance(work, OnJournal | OnThread):
                result = work.task()
            work = self.pipeline.advance(sequence, result)

    def wake(self) -> None:
        self.turn_due = True

    def turned(self, applied: bool) -> None:
        self.world.check(self)
        if self.world.ungated and self.pipeline is not None:
            self.pipeline.synced(self.submitted)

    def installed(self) -> None:
        self.installs += 1
        self.durable_index = self.alive.journal.last_index

    def drop_link(self, peer_id: str, why: str) -> None:
        raise BrokenPromiseError(f"{self.node_id} drops {peer_id}, a correct member: {why}")

    def note(self, message: str) -> None:
        self.world.note(f"{self.node_id}: {message}")

    def alarm(self, message: str) -> None:
        self.world.note(f"{self.node_id} raises an alarm: {message}")

    def stopped(self, message: str, cause: BaseException) -> None:
        if not isinstance(cause, FailStopError):
            raise BrokenPromiseError(f"{self.node_id}: {message}") from cause
        self.world.crash(self.node_id)
        self.stopped_because = message
        self.world.note(f"{self.node_id} stops: {message}")


def visible(state: State) -> frozenset[str]:
    """What a reader sees: confirmed bookings and users, by id."""
    confirmed = (booking.id for booking in state.bookings.values() if booking.status == "confirmed")
    return frozenset([*confirmed, *state.users])
