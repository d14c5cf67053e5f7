"""What a scenario acts upon: shipped cores on a table, with a clock, a network and disks that only move when they are told to.

A `Member` does what `node.driver` does, with the same halves of a turn and the same gate: effects wait until the frames before them are
on the disk. The disk waits only when a scenario says so. Journal, snapshots, their transfer and recovery after a restart are the shipped code.

Nothing is left to chance. Election timers come from `Patience`: of two members the one that is named first always waits less.
Messages lie on `wire` in the order in which they were sent. What no step of a scenario may ever break is checked after every turn
(`World.check`): one leader in a term, committed entries stay as they are, one digest at one index.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from node import core as core_module
from node import engine, storage, transfer
from node import messages as m
from node.core import Answer, Core, Effect, Fail, ReadReady, Send
from node.guard import FailStopError
from node.journal import Entry, RaftJournal
from node.membership import Placed, birth
from node.snapshots import SnapshotHead, SnapshotReceiver, SnapshotWriter
from node.transfer import SnapshotFetcher, SnapshotSender
from statemachine.outcomes import Outcome
from statemachine.state import State
from tests.simulation.disk import SimDisk
from tests.statemachine.builders import NOW_MS

START_SECONDS = 100.0
STEP_SECONDS = 0.01
SEGMENT_BYTES = 64 << 10
TALK_LIMIT = 20_000  # messages at one moment, after which something is wrong
REQUEST_SECONDS = 30.0


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
    """One member: its disk, and its core while it lives."""

    def __init__(self, world: World, node_id: str) -> None:
        self.world = world
        self.node_id = node_id
        self.core: Core | None = None
        self.disk_waits = False
        self.frozen = False
        self.skew_ms = 0
        self.stopped = ""  # why it stopped by itself
        self.installs = 0
        self.wipe()

    def wipe(self) -> None:
        """A new, empty disk."""
        self.disk = SimDisk(random.Random(self.node_id))

    @property
    def alive(self) -> Core:
        if self.core is None:
            raise ValueError(f"{self.node_id} is down" + (f": {self.stopped}" if self.stopped else ""))
        return self.core

    # Construction: the one place that knows how a core is made.

    def boot(self) -> None:
        """Start, with what is on the disk."""
        addresses = {id_: (f"{id_}:7000", f"{id_}:8000") for id_ in self.world.ids}
        self.identity = storage.read_identity(
            self.disk, "desks", self.node_id, Placed(0, birth(addresses)), lambda: f"disk of {self.node_id}"
        )
        opened = storage.open_storage(self.disk, self.identity, SEGMENT_BYTES)
        self.log = opened.log
        self.gate: deque[tuple[int, list[Effect]]] = deque()
        self.frames: list[tuple[bytes, int]] = []  # decided, not yet on the disk
        self.submitted = self.synced = 0
        self.durable_index = opened.journal.last_index  # the last entry that would survive a crash now
        self.stopped, self.frozen = "", False
        self.sender = SnapshotSender(self.disk, self._send)
        self.fetcher = SnapshotFetcher(self.disk, self._send)
        self.core = self._make_core(
            opened.journal, opened.state, (opened.head.previous, opened.head.last) if opened.head else None
        )

    def _make_core(self, journal: RaftJournal, state: State, restored: tuple[Entry, Entry] | None) -> Core:
        core = Core(
            node_id=self.node_id,
            voter_ids=self.world.ids,
            journal=journal,
            state=state,
            applied_index=restored[1][1] if restored else 1,
            restored=restored,
            monotonic=lambda: self.world.now,
            wall_ms=lambda: self.world.wall_ms() + self.skew_ms,
            rng=Patience(self.world, self.node_id),
        )
        self.world.tamper(core)
        return core

    # Turns, the gate, the disk.

    def turn(self) -> None:
        """What was received takes effect; what was decided goes towards the disk, and what rests on it waits for that."""
        core = self.core
        if core is None or self.frozen:
            return
        try:
            core.step()
            self._collect(core)
            core.propose()
            self._collect(core)
            while core.busy:
                core.step()
                self._collect(core)
        except FailStopError as error:
            self.stop(str(error))
            return
        if not self.disk_waits:
            self.write()
        self.release()
        if core.guard.needs_snapshot:
            self.sender.look(core, self.world.now)
        self.world.check(self)

    def _collect(self, core: Core) -> None:
        frames = core.take_frames()
        self.frames.extend(frames)
        self.submitted += len(frames)
        if effects := core.take_effects():
            self.gate.append((self.submitted, effects))

    def write(self) -> None:
        """The disk does what it was asked to."""
        if self.frames:
            highest = max(top for _, top in self.frames)
            self.log.append([payload for payload, _ in self.frames], highest, self.alive.journal.preamble())
            self.frames = []
        self.synced = self.submitted
        self.durable_index = self.alive.journal.last_index

    def release(self) -> None:
        """What rests on what is durable happens."""
        while self.core is not None and self.gate and (self.gate[0][0] <= self.synced or self.world.ungated):
            for effect in self.gate.popleft()[1]:
                self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send(peer_id, message):
                self._send(peer_id, message)
            case Answer(request_id, outcome):
                self.world.answers[request_id] = outcome
            case Fail(request_id, failure):
                self.world.answers[request_id] = failure
            case ReadReady(token, _):
                self.world.reads[token] = visible(self.alive.state)

    def _send(self, peer_id: str, message: m.Message) -> None:
        self.world.sent(Parcel(self.node_id, peer_id, message))

    def stop(self, why: str) -> None:
        """It must not go on."""
        self.world.crash(self.node_id)
        self.stopped = why
        self.world.note(f"{self.node_id} stops: {why}")

    # Messages and snapshots.

    def receive(self, peer_id: str, message: m.Message) -> None:
        core = self.alive
        try:
            match message:
                case m.SnapshotOffer():
                    self.fetcher.on_offer(core, peer_id, message)
                case m.SnapshotChunk():
                    self.fetcher.on_chunk(peer_id, message)
                case m.SnapshotWant():
                    self.sender.on_want(core, peer_id, message, self.world.now)
                case _:
                    core.receive(peer_id, message)
        except FailStopError as error:
            self.stop(str(error))
            return
        if self.fetcher.ready is not None:
            self._install(self.fetcher.ready)
        self.turn()

    def snapshot(self) -> None:
        """Write one of everything applied, and forget the log before it."""
        core = self.alive
        index = core.applied_index
        head = SnapshotHead(
            core.journal.entry_at(index - 1), core.journal.entry_at(index), core.journal.placed_at(index)
        )
        writer = SnapshotWriter(self.disk, head, core.state.freeze())
        while not writer.step():
            pass
        writer.publish()
        storage.drop_old(self.disk, self.log)
        core.journal.trim_to(index)

    def _install(self, receiver: SnapshotReceiver) -> None:
        old = self.alive
        head, state = receiver.publish()
        self._collect(old)
        self.write()
        self.log.start_over(old.journal.reset_frame(head.previous, head.last), head.last_index)
        storage.drop_old(self.disk, self.log)
        placed = head.placed or self.identity.birth
        journal = RaftJournal.rebased(old.journal, head.previous, head.last, placed)
        self.core = self._make_core(journal, state, (head.previous, head.last))
        self.core.inherit(old)
        self.installs += 1
        self.world.note(f"{self.node_id} installs a snapshot")
        self.fetcher.installed()


def visible(state: State) -> frozenset[str]:
    """What a reader sees: confirmed bookings and users, by id."""
    confirmed = (booking.id for booking in state.bookings.values() if booking.status == "confirmed")
    return frozenset([*confirmed, *state.users])


class World:
    """All members, the clock, and what is on the way."""

    def __init__(self, tamper: Callable[[Core], None] | None = None) -> None:
        self.now = START_SECONDS
        self.ids: list[str] = []
        self.patience: list[str] = []
        self.members: dict[str, Member] = {}
        self.wire: list[Parcel] = []
        self.held: list[Parcel] = []
        self.holds: list[Callable[[Parcel], bool]] = []
        self.open: set[tuple[str, str]] = set()  # ways on which messages get through
        self.torn: set[tuple[str, str]] = set()  # ways on which something was lost that nobody has noticed yet
        self.answers: dict[int, Outcome | str] = {}
        self.reads: dict[int, frozenset[str]] = {}
        self.trace: list[str] = []
        self.describe: Callable[[m.Message], str] = str
        self.tamper = tamper or (lambda _core: None)
        self.ungated = False  # a control: effects leave before what they rest on is on the disk
        self.check_digests = True
        self._leaders: dict[int, str] = {}
        self._committed: dict[int, tuple[str, Entry]] = {}
        self._checked: dict[str, int] = {}
        self._digests: dict[int, tuple[str, bytes]] = {}
        self._patched: list[tuple[Any, str, Any]] = []
        engine.set_clock(lambda: self.now)
        random.seed(0)  # the library's own timers; they never fire, because it sees nobody then

    def patch(self, module: Any, name: str, value: Any) -> None:
        """Another value for a constant of the shipped code, until `close`."""
        self._patched.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    def close(self) -> None:
        """Put back what holds for the whole process."""
        while self._patched:
            setattr(*self._patched.pop())
        engine.set_clock(time.monotonic)

    def found(self, count: int) -> None:
        """That many members, new and connected."""
        self.ids = [f"n{number + 1}" for number in range(count)]
        self.patience = self.patience or list(self.ids)
        self.members = {node_id: Member(self, node_id) for node_id in self.ids}
        self.open = {(a, b) for a in self.ids for b in self.ids if a != b}
        for member in self.members.values():
            member.boot()
        for a, b in sorted(self.open):
            self.members[a].alive.link_up(b)

    def wall_ms(self) -> int:
        """What a right clock shows."""
        return NOW_MS + round((self.now - START_SECONDS) * 1000)

    def living(self) -> list[Core]:
        return [member.core for member in self.members.values() if member.core is not None]

    def core(self, node_id: str) -> Core:
        return self.members[node_id].alive

    def note(self, line: str) -> None:
        self.trace.append(f"{(self.now - START_SECONDS) * 1000:6.0f} ms  {line}")

    # Messages.

    def sent(self, parcel: Parcel) -> None:
        way = (parcel.sender, parcel.receiver)
        if way not in self.open:
            self.torn.add(way)
            return
        parcel = parcel._replace(message=m.decode(m.encode(parcel.message)))
        (self.held if any(rule(parcel) for rule in self.holds) else self.wire).append(parcel)

    def take(self, wanted: Callable[[Parcel], bool]) -> list[Parcel]:
        """Take these off the wire, in order."""
        taken = [parcel for parcel in self.wire if wanted(parcel)]
        self.wire = [parcel for parcel in self.wire if not wanted(parcel)]
        return taken

    def deliver(self, parcel: Parcel) -> None:
        """One message arrives, and what follows from it is sent."""
        member = self.members[parcel.receiver]
        if member.frozen:
            self.held.append(parcel)
            return
        if member.core is not None:
            self.note(f"{parcel.sender} -> {parcel.receiver}  {self.describe(parcel.message)}")
            member.receive(parcel.sender, parcel.message)

    def flow(self) -> None:
        """Deliver until nothing is on the way at this moment."""
        for _ in range(TALK_LIMIT):
            if not self.wire:
                return
            self.deliver(self.wire.pop(0))
        raise BrokenPromiseError(f"still talking after {TALK_LIMIT} messages at one moment")

    def turns(self) -> None:
        for member in self.members.values():
            member.turn()

    def run(self, seconds: float, until: Callable[[], bool] | None = None, *, flowing: bool = True) -> bool:
        """Time passes; True as soon as the condition holds."""
        end = self.now + seconds
        while True:
            self.turns()
            if flowing:
                self.flow()
            if until is not None and until():
                return True
            if self.now >= end - STEP_SECONDS / 2:
                return until is None
            self.now += STEP_SECONDS

    # Ways.

    def cut(self, ways: set[tuple[str, str]]) -> None:
        """What is sent on these ways is lost, and nobody notices."""
        lost = self.take(lambda parcel: (parcel.sender, parcel.receiver) in ways)
        self.torn |= {(parcel.sender, parcel.receiver) for parcel in lost}
        self.open -= ways

    def heal(self) -> None:
        """All ways are open; a connection that lost something breaks and is made anew, as TCP does it."""
        self.open = {(a, b) for a in self.ids for b in self.ids if a != b}
        for a, b in sorted(self.torn):
            self._down(a, b)
            self._up(a, b)
        self.torn.clear()

    def _down(self, a: str, b: str) -> None:
        """The connection from a to b breaks, and both notice."""
        self.take(lambda parcel: (parcel.sender, parcel.receiver) == (a, b))
        self.held = [parcel for parcel in self.held if (parcel.sender, parcel.receiver) != (a, b)]
        if (core := self.members[a].core) is not None:
            core.link_down(b)
        if (core := self.members[b].core) is not None:
            core.peer_silent(a)

    def _up(self, a: str, b: str) -> None:
        if self.members[a].core is not None and self.members[b].core is not None:
            self.core(a).link_up(b)

    def break_links(self, node_id: str) -> None:
        """All connections of a member break, and everybody notices."""
        for other in self.ids:
            for a, b in ((node_id, other), (other, node_id)):
                if a != b:
                    self.open.discard((a, b))
                    self.torn.discard((a, b))
                    self._down(a, b)

    def connect(self, node_id: str) -> None:
        """All connections of a member are made anew, to those that live."""
        for other in self.ids:
            if other != node_id and self.members[other].core is not None:
                for a, b in ((node_id, other), (other, node_id)):
                    self.open.add((a, b))
                    self._up(a, b)

    def crash(self, node_id: str) -> None:
        """A process dies with all that was not on its disk."""
        self.members[node_id].core = None
        self.break_links(node_id)

    def restart(self, node_id: str) -> None:
        """A process starts with what is on its disk, and connects."""
        self._checked.pop(node_id, None)
        self.members[node_id].boot()
        self.connect(node_id)

    def hurry(self, module_constant: str, value: int) -> None:
        """A smaller (or larger) limit of the core, so that a short scenario meets it."""
        self.patch(core_module, module_constant, value)

    def cut_snapshots_into(self, size_bytes: int) -> None:
        self.patch(transfer, "CHUNK_BYTES", size_bytes)

    # What must never be.

    def check(self, member: Member) -> None:
        """Election safety, committed entries stay, equal states at equal indexes (the Raft paper, figure 3)."""
        core = member.core
        if core is None:
            return
        if core.guard.leading:
            first = self._leaders.setdefault(core.guard.term, member.node_id)
            if first != member.node_id:
                raise BrokenPromiseError(f"two leaders in term {core.guard.term}: {first} and {member.node_id}")
        for index in range(max(self._checked.get(member.node_id, 1), core.journal.first_index), core.guard.commit_index + 1):
            entry = core.journal.entry_at(index)
            witness, known = self._committed.setdefault(index, (member.node_id, entry))
            if known != entry:
                raise BrokenPromiseError(
                    f"entry {index} was committed on {witness} with term {known[2]}, and {member.node_id} commits "
                    f"another one there, of term {entry[2]}"
                )
            self._checked[member.node_id] = index
        witness, digest = self._digests.setdefault(core.applied_index, (member.node_id, core.state.digest))
        if self.check_digests and digest != core.state.digest:
            raise BrokenPromiseError(f"{witness} and {member.node_id} differ at entry {core.applied_index}")
