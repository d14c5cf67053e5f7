"""What stands between the consensus core and the world: turns, the gate, snapshots. The same object is shipped and simulated.

Why apart from `node.driver`: the order in which things are done here decides whether a promise survives a crash, so it must be this very
code that the simulator crashes. It does no I/O of its own. A `Port` does it: an event loop, a thread and sockets in production
(`node.driver`), virtual time and lossy disks in the simulation (`tests/simulation/member.py`).

A *turn* is: let the core take a step, submit its journal frames, and queue its effects behind the number of the last of them. That
queue is the *gate*: effects leave, in order, when `synced` says that everything they rest on is durable (F7 in
`docs/engine-guards.md`; Ongaro & Ousterhout 2014, figure 2: "updated on stable storage before responding").

What takes more than a turn, writing a snapshot and installing one, is a *sequence*: a generator that yields the next piece of `Work` and
goes on when that is done. A process may die before, inside and after any piece; so a sequence never cleans up on a disk when it is
closed (`storage.open_storage` does that at the next start), and its order alone must keep the disk readable at every point.

Invariants.
- One sequence touches the disk at a time: an installation waits for the snapshot that is being written, which gives up for it.
- From the moment a fetched snapshot is complete until it is in force the member is *halted*: no turn is taken and no message is
  received, so nothing is promised that the installation would take back.
- An installation never removes entries that agree with the snapshot: a member that holds its last entry keeps its log and needs none
  (figure 13 of the same paper, rule 6). Else what this member acknowledged to a later leader could be lost with the log.
- Fail-stop: after `fail` no effect leaves, and nothing is submitted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Generator
from typing import Any, NamedTuple, Protocol

from node import messages as m
from node import snapshots, storage
from node.core import Core
from node.disk import Disk
from node.effects import Answer, Changed, Effect, Fail, ReadReady, Send
from node.guard import FailStopError, ProtocolError
from node.journal import RaftJournal
from node.membership import Placed
from node.segments import SEGMENT_BYTES
from node.snapshots import CorruptSnapshotError, SnapshotHead, SnapshotReceiver, SnapshotWriter
from node.transfer import SnapshotFetcher, SnapshotSender
from statemachine.state import State

SNAPSHOT_JOURNAL_BYTES = 64 << 20  # a snapshot is due after that much journal, however few entries it holds
# A snapshot is begun only where a somewhat larger one than the last fits, and the journal keeps room of its own: a disk that is full ends the
# member, and members whose disks are alike would all end at about the same time.
SNAPSHOT_GROWTH = 1.25
JOURNAL_ROOM_BYTES = 8 * SEGMENT_BYTES
ROOM_LOOKED_AT_SECONDS = 10.0  # when there is none
SNAPSHOT_PAUSE_SECONDS = 0.002  # between two pieces, so that writing one never holds up the loop


class OnJournal(NamedTuple):
    """Work: done where the journal is written, after all frames submitted so far are durable."""

    task: Callable[[], object]


class OnThread(NamedTuple):
    """Work: blocks on the disk, so it is done beside the turns. Its result comes back into the sequence."""

    task: Callable[[], object]


class Pause(NamedTuple):
    """Work: let turns be taken for a while."""

    seconds: float


Work = OnJournal | OnThread | Pause
Sequence = Generator[Work, Any, None]


class Port(Protocol):
    """What a pipeline needs done."""

    def make_core(self, journal: RaftJournal, state: State, head: SnapshotHead | None) -> Core:
        """A core over that journal and state; `head` is where the state stands, None for the empty one."""
        ...

    def submit(self, payload: bytes, max_index: int, preamble: bytes) -> int:
        """Queue a frame for the journal; its number, by which `Pipeline.synced` will report it."""
        ...

    def send(self, peer_id: str, payload: bytes) -> None:
        """A message to a peer; it may wait for `flush`."""
        ...

    def flush(self) -> None:
        """Let the messages go."""
        ...

    def perform(self, effect: Answer | Fail | ReadReady | Changed) -> None:
        """An effect for this node's own clients whose frames are durable."""
        ...

    def run(self, sequence: Sequence) -> None:
        """Carry a sequence out, from soon on: work is what `Pipeline.advance` says, until there is none."""
        ...

    def wake(self) -> None:
        """Call `turn` soon."""
        ...

    def turned(self, applied: bool) -> None:
        """A turn has ended; `applied` when the state moved."""
        ...

    def installed(self) -> None:
        """There is a new core over a fetched snapshot."""
        ...

    def drop_link(self, peer_id: str, why: str) -> None:
        """Close the peer's connection: it sent what no correct member sends."""
        ...

    def note(self, message: str) -> None:
        """Something worth a line in the log."""
        ...

    def alarm(self, message: str) -> None:
        """Something that people must look at; the member goes on."""
        ...

    def stopped(self, message: str, cause: BaseException) -> None:
        """The member must not go on; called once."""
        ...


class Pipeline:
    """See the module. The owner calls `turn` regularly, `receive` and `synced` as they come, and inputs of `core` directly."""

    def __init__(
        self,
        port: Port,
        disk: Disk,
        opened: storage.Opened,
        birth: Placed,
        snapshot_every_entries: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._port = port
        self._disk = disk
        self._birth = birth
        self._snapshot_every_entries = snapshot_every_entries
        self._monotonic = monotonic
        self.log = opened.log
        self.core = port.make_core(opened.journal, opened.state, opened.head)
        self.sender = SnapshotSender(disk, self._send_now)
        self.fetcher = SnapshotFetcher(disk, self._send_now)
        self.stopped = False
        self.halted = False  # a snapshot is being installed: the core stands still
        self._gate: deque[tuple[int, list[Effect]]] = deque()
        self._submitted = self._synced = 0  # numbers of frames
        self._turn_due = False
        self._writing = False  # a snapshot
        self.no_room = ""  # for a snapshot: what is missing, in words
        self._room_looked_at = 0.0
        # The snapshots beyond the last two that peers were fetching when we last looked; after a start, whatever is there.
        self._held = set(map(snapshots.index_of, snapshots.published(disk)[: -snapshots.KEPT]))
        self._alarm = ""
        self.snapshot_index = opened.head.last_index if opened.head else 0
        self._journal_bytes_at_snapshot = opened.log.size_bytes
        self.snapshots_written = self.snapshots_installed = 0

    # Turns and the gate.

    def wake(self) -> None:
        """Have a turn taken soon: something came in."""
        if not self._turn_due:
            self._turn_due = True
            self._port.wake()

    def turn(self) -> None:
        """Let what came in take effect. Must be called every few hundredths of a second as well, for the sake of the timers."""
        self._turn_due = False
        if self.halted or self.stopped:
            return
        core = self.core
        applied_before = core.applied_index
        try:
            core.step()
            self._collect(core)
            core.propose()
            self._collect(core)
        except Exception as error:  # noqa: BLE001 - a broken assumption ends the member; it must not limp on
            self.fail(error)
            return
        self._release()
        if core.busy:
            self.wake()
        self._look_after_snapshots(core)
        if core.alarm != self._alarm:
            self._alarm = core.alarm
            if core.alarm:
                self._port.alarm(core.alarm)
        self._port.turned(core.applied_index != applied_before)

    def _collect(self, core: Core) -> None:
        self._submit_frames(core)
        effects = core.take_effects()
        if effects:
            self._gate.append((self._submitted, effects))

    def _submit_frames(self, core: Core) -> None:
        for payload, max_index in core.take_frames():
            self._submitted = self._port.submit(payload, max_index, core.journal.preamble())

    def synced(self, number: int) -> None:
        """All frames up to that number are durable."""
        self._synced = number
        self._release()

    def _release(self) -> None:
        gate = self._gate
        while gate and gate[0][0] <= self._synced:
            for effect in gate.popleft()[1]:
                if isinstance(effect, Send):
                    self._port.send(effect.peer_id, m.encode(effect.message))
                else:
                    self._port.perform(effect)
        self._port.flush()

    def _send_now(self, peer_id: str, message: m.Message) -> None:
        """Snapshot messages: they rest on published files alone."""
        self._port.send(peer_id, m.encode(message))
        self._port.flush()

    def receive(self, peer_id: str, payload: bytes) -> None:
        """A message of an authenticated peer."""
        if self.halted or self.stopped:
            return
        try:
            message = m.decode(payload)
        except ValueError as error:
            self._port.drop_link(peer_id, f"not a message: {error}")
            return
        try:
            self._dispatch(peer_id, message)
        except ProtocolError as error:
            self._port.drop_link(peer_id, str(error))
        except Exception as error:  # noqa: BLE001 - a broken assumption ends the member; it must not limp on
            self.fail(error)
        else:
            self.wake()

    def _dispatch(self, peer_id: str, message: m.Message) -> None:
        match message:
            case m.SnapshotOffer():
                self.fetcher.on_offer(self.core, peer_id, message)
            case m.SnapshotChunk():
                self.fetcher.on_chunk(peer_id, message)
            case m.SnapshotWant():
                self.sender.on_want(self.core, peer_id, message, self._monotonic())
            case _:
                self.core.receive(peer_id, message)
                return
        self.fetcher.drop_overtaken(self.core)
        if self.fetcher.ready is not None:
            self.halted = True
            self._port.run(self._install(self.fetcher.ready))

    # Failing.

    def fail(self, error: BaseException) -> None:
        """Stop for good. The first error counts."""
        if self.stopped:
            return
        self.stop()
        match error:
            case FailStopError():
                message = str(error)
            case OSError():
                what = f"{error.strerror or error} ({error.filename or 'journal'})"
                message = f"the disk failed: {what}; nothing was confirmed after that"
            case _:
                message = f"unexpected {type(error).__name__}: {error}"
        self._port.stopped(message, error)

    def stop(self) -> None:
        """No turn is taken and no effect leaves any more."""
        self.stopped = True
        self._gate.clear()

    # Sequences.

    def advance(
        self, sequence: Sequence, result: object = None, error: Exception | None = None
    ) -> Work | None:
        """The next piece of work of a sequence, given how the last one ended; None when there is none, or no more."""
        if self.stopped:
            sequence.close()
            return None
        try:
            return sequence.send(result) if error is None else sequence.throw(error)
        except StopIteration:
            pass
        except Exception as uncaught:  # noqa: BLE001 - most likely the disk's, and final
            self.fail(uncaught)
        return None

    def _look_after_snapshots(self, core: Core) -> None:
        if self._held and not self._writing:
            held = self.sender.held_indexes(core, self._monotonic())
            if not self._held <= held:
                self._port.run(self._drop_unheld(held))
            self._held = held
        if core.guard.needs_snapshot:
            self.sender.look(core, self._monotonic())
            if not self.snapshot_index:
                self.snapshot()
        entries = core.applied_index - self.snapshot_index
        journal_bytes = self.log.size_bytes - self._journal_bytes_at_snapshot
        if entries >= self._snapshot_every_entries or (
            entries > 1 and journal_bytes >= SNAPSHOT_JOURNAL_BYTES
        ):
            self.snapshot()

    def snapshot(self) -> None:
        """Write a snapshot of what is applied, unless one is under way, nothing is new, or the disk has no room for it."""
        ready = not (self._writing or self.halted or self.stopped)
        if ready and self.core.applied_index > max(2, self.snapshot_index) and self._has_room():
            self._writing = True
            self._port.run(self._write_snapshot())

    def disk_free_bytes(self) -> int:
        """What the disk takes yet."""
        return self._disk.free_bytes()

    def _has_room(self) -> bool:
        now = self._monotonic()
        if self.no_room and now < self._room_looked_at + ROOM_LOOKED_AT_SECONDS:
            return False
        self._room_looked_at = now
        last = snapshots.published(self._disk)[-1:]
        wanted = JOURNAL_ROOM_BYTES + int(SNAPSHOT_GROWTH * sum(map(self._disk.size_bytes, last)))
        free = self.disk_free_bytes()
        self.no_room = ""
        if free < wanted:
            self.no_room = (
                f"the disk has {free >> 20} MiB left, and a snapshot waits until there are {wanted >> 20}: make room "
                "before the journal has taken the rest, for then this member stops"
            )
            self._port.alarm(self.no_room)
        return not self.no_room

    def _write_snapshot(self) -> Sequence:
        try:
            if not self.halted:
                yield from self._write_slices(self.core)
        finally:
            self._writing = False

    def _write_slices(self, core: Core) -> Sequence:
        self.fetcher.drop_overtaken(core)  # its unfinished file may have the name of ours
        index = core.applied_index
        journal = core.journal
        head = SnapshotHead(journal.entry_at(index - 1), journal.entry_at(index), journal.placed_at(index))
        writer = SnapshotWriter(self._disk, head, core.state.freeze())
        while not writer.step():
            yield Pause(SNAPSHOT_PAUSE_SECONDS)
            if self.halted:
                writer.abandon()  # a newer one is about to be installed
                return
        # What the snapshot reflects is applied, so it is durable on a majority; our own copy must be as well.
        yield OnJournal(_nothing)
        yield OnThread(writer.publish)
        self.snapshot_index = index
        self.snapshots_written += 1
        held = self._held = self.sender.held_indexes(core, self._monotonic())
        yield OnJournal(lambda: self._drop_old(held))
        core.trim(min([index, *held]))
        self._port.note(f"snapshot at entry {index} written")

    def _drop_unheld(self, held: Collection[int]) -> Sequence:
        yield OnJournal(lambda: storage.drop_old_snapshots(self._disk, held))

    def _drop_old(self, held: Collection[int] = ()) -> None:
        storage.drop_old(self._disk, self.log, held)
        # Counted from here: what was kept for the older snapshot must not put off the next one.
        self._journal_bytes_at_snapshot = self.log.size_bytes

    def _install(self, receiver: SnapshotReceiver) -> Sequence:
        """Replace journal, state and core by the fetched snapshot."""
        while self._writing:
            yield Pause(SNAPSHOT_PAUSE_SECONDS)
        try:
            loaded: tuple[SnapshotHead, State] = yield OnThread(receiver.publish)
        except CorruptSnapshotError as error:
            self._port.alarm(f"the fetched snapshot was refused: {error}")
            self.fetcher.ready = None
            self.halted = False
            return
        head, state = loaded
        old = self.core
        self.snapshot_index = head.last_index
        if old.journal.term_at(head.last_index) != head.last[2]:
            # The old core's last frames come first: what the gate holds may rest on them.
            self._submit_frames(old)
            payload = old.journal.reset_frame(head.previous, head.last)
            yield OnJournal(lambda: self.log.start_over(payload, head.last_index))
            yield OnJournal(self._drop_old)
            placed = head.placed or self._birth  # version 1 of the file is from before there were others
            journal = RaftJournal.rebased(old.journal, head.previous, head.last, placed)
            self.core = self._port.make_core(journal, state, head)
            self.core.inherit(old)
            self.snapshots_installed += 1
            self._port.installed()
            self._port.note(f"installed the leader's snapshot at entry {head.last_index}")
        else:
            yield OnJournal(self._drop_old)
        self.halted = False
        self.fetcher.installed()
        self.wake()


def _nothing() -> None:
    """Reached when everything before it is durable."""
