"""One simulated member: the shipped `node.pipeline` with virtual time, a lossy disk and a hostile network for its port.

Simulated here are the process (it ticks, stands still, dies), the journal's thread (one after the other, each piece of work takes its time,
frames that wait are written together, as in `node.writer`) and the thread for what blocks on the disk. What the process does is the shipped
code, sequences and all; it dies between any two pieces of work, inside any call to the disk, and beside one that is under way.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from node import storage
from node.core import Core
from node.effects import Answer, Changed, Fail, ReadReady
from node.greetings import NoPlaceError
from node.guard import FailStopError
from node.journal import RaftJournal
from node.membership import Placed, birth
from node.pipeline import OnJournal, OnThread, Pause, Pipeline, Sequence, Work
from node.segments import SEGMENT_BYTES
from node.snapshots import SnapshotHead, snapshot_name
from node.transfer import SnapshotFetcher
from node.writer import GROUP_BYTES
from statemachine.outcomes import Outcome
from statemachine.state import State
from tests.simulation.disk import SimDisk, SimulatedCrashError

if TYPE_CHECKING:
    from tests.simulation.world import World

EPOCH_MS = 1_800_000_000_000
TICK_SECONDS = 0.02
RESTART_SECONDS = 0.2  # after a death at a failpoint


class ViolationError(AssertionError):
    """A promise was broken."""


class _Frame(NamedTuple):
    """A frame on its way to the journal."""

    number: int
    payload: bytes
    max_index: int
    preamble: bytes


class SimNode:
    """One member: a `node.pipeline.Port`."""

    def __init__(self, world: World, node_id: str) -> None:
        self.world = world
        self.node_id = node_id
        self.disk = SimDisk(world.rng, world.failpoints)
        self.pipeline: Pipeline | None = None
        self.boots = 0
        self.paused_until = 0.0
        self.next_turn_takes = 0.0  # seconds, when something holds the event loop up
        self.held_until = 0.0  # threads go on meanwhile, unlike in a pause
        self._late = 0.0  # what leaves in a turn that takes long leaves at its end
        self._turned_at = -TICK_SECONDS
        self.skew_ms = 0
        self.slow_until = 0.0
        self.ungated = False  # planted defect: effects leave before what they rest on is durable
        self.stopped_because: str | None = None
        self.no_place = False  # it stopped because the cluster has no place for it any more
        self.never_started = True
        self.had_identity = False  # a machine may die before its first start has given it one
        self.wants_vote = True
        self.joined_by: Placed | None = None  # what a member that joins a living cluster was told
        self.changes: dict[int, Callable[[Changed], None]] = {}
        self._links_looked_at = -1
        self.trims_as_usual()

    @property
    def paused(self) -> bool:
        return self.world.now < self.paused_until

    def trims_as_usual(self) -> None:
        """Some entries stay behind a snapshot: few, so that whoever was away needs one soon."""
        self.trim_behind = self.world.settings.trim_behind

    def lose_disk(self) -> None:
        """Nothing is left of it; the next start makes a new one."""
        self.disk.restore({})

    @property
    def alive(self) -> bool:
        return self.pipeline is not None

    @property
    def core(self) -> Core | None:
        return None if self.pipeline is None else self.pipeline.core

    @property
    def fetcher(self) -> SnapshotFetcher:
        assert self.pipeline is not None
        return self.pipeline.fetcher

    def boot(self) -> None:
        """Start the process; it may die while it starts."""
        self.disk.full = self.disk.failing = False  # nobody starts a member again before its disk is sound
        self.boots += 1
        self.never_started = self.no_place = False
        self.stopped_because = None
        try:
            self._start()
        except (SimulatedCrashError, OSError):
            self._die()

    def _start(self) -> None:
        addresses = {id_: (f"{id_}:7000", f"{id_}:8000") for id_ in self.world.born_ids}
        self.identity = storage.read_identity(
            self.disk,
            "desks",
            self.node_id,
            self.joined_by or Placed(0, birth(addresses)),
            lambda: f"{self.node_id}.{self.boots}",
        )
        self.had_identity = True
        opened = storage.open_storage(self.disk, self.identity, self.world.settings.segment_bytes)
        self.log = opened.log
        self.durable_index = opened.journal.last_index
        self._submitted = 0
        self._journal: deque[_Frame | Callable[[], None]] = deque()  # what the journal's thread has before it
        self._journal_busy = False
        self._under_way: list[Callable[[], object]] = []  # calls to the disk that have begun, on any thread
        self.results: dict[int, Callable[[Outcome | None, str], None]] = {}
        self.reads: dict[int, Callable[[State, int], None]] = {}
        self.pipeline = Pipeline(
            self,
            self.disk,
            opened,
            self.identity.birth,
            self.world.settings.snapshot_every,
            self.world.clock,
        )
        self._mutate()
        self._later(self.world.rng.uniform(0, TICK_SECONDS), self._tick)
        self._links_looked_at = -1
        self.world.sinks.attend(self)

    def _mutate(self) -> None:
        if self.world.settings.mutate is not None:
            self.world.settings.mutate(self)

    # The process.

    def _later(self, delay: float, action: Callable[[], None], *, thread: bool = False) -> None:
        """Do it then, if this very process still lives; one that stands still does it afterwards, a thread beside a loop that is held up does not."""
        pipeline = self.pipeline

        def act() -> None:
            if self.pipeline is not pipeline:
                return
            if self.world.now < self.paused_until and not (thread and self.held_until == self.paused_until):
                self.world.at(self.paused_until - self.world.now, act)
                return
            action()

        self.world.at(delay, act)

    def _tick(self) -> None:
        """A turn when there was none for a tick: one that a message brought has looked at all deadlines, too."""
        idle = self.world.now - self._turned_at
        if idle < TICK_SECONDS / 2:
            self._later(TICK_SECONDS - idle, self._tick)
            return
        self.turn()
        self._later(TICK_SECONDS, self._tick)

    def turn(self) -> None:
        if self.pipeline is not None and self.world.now >= self.paused_until:
            self._turned_at = self.world.now
            if self.next_turn_takes:
                self._long_turn(self.pipeline)
            else:
                self.pipeline.turn()

    def _long_turn(self, pipeline: Pipeline) -> None:
        """Time passes from one look at the clock to the next; threads go on, and nothing leaves before the end."""
        world = self.world
        self._late, self.next_turn_takes = self.next_turn_takes, 0.0
        with world.time_passes(self._late):
            pipeline.turn()
        if self.pipeline is pipeline:
            self.held_until = self.paused_until = max(self.paused_until, world.now + self._late)
            self.wake()
        self._late = 0.0

    def _on_loop(self, action: Callable[[], None]) -> None:
        """What a thread has to tell, as soon as the loop has time for it."""
        if self.world.now < self.paused_until:
            self._later(0.0, action)
        else:
            action()

    def receive(self, peer_id: str, payload: bytes) -> None:
        if self.pipeline is not None:
            self.pipeline.receive(peer_id, payload)

    def snapshot(self) -> None:
        if self.pipeline is not None:
            self.pipeline.snapshot()

    def crash(self, *, silent: bool = False) -> None:
        """The process dies, or (always when `silent`: then nobody is told) the machine stops.

        What the threads were about may have reached the disk in part, or whole, without anybody being told."""
        if self.pipeline is None:
            return
        disk = self.disk
        inside_call = disk.full or disk.failing or (disk.crash_in is not None and disk.crash_in < 0)
        if not inside_call and self.world.rng.random() < 0.7:
            for call in self._under_way:
                disk.crash_in = self.world.rng.randrange(5)
                with suppress(SimulatedCrashError, OSError):
                    call()
        self._die(silent=silent)

    def _die(self, *, silent: bool = False) -> None:
        self.pipeline = None
        self.next_turn_takes = 0.0
        struck = self.disk.struck
        self.disk.crash(True if silent else None)
        self.world.links_of_dead(self.node_id, silent)
        if struck:  # at a failpoint, nobody knew when
            self.world.note(f"{self.node_id} was struck at {struck}")
            self.world.faults.restart_later(self, RESTART_SECONDS)

    # The journal's thread.

    def _work_journal(self) -> None:
        if self._journal_busy or not self._journal:
            return
        self._journal_busy = True
        pipeline, first = self.pipeline, self._journal.popleft()
        assert pipeline is not None
        if isinstance(first, _Frame):
            group, size_bytes = [first], len(first.payload)
            group_bytes = GROUP_BYTES * self.world.settings.segment_bytes // SEGMENT_BYTES
            while self._journal and isinstance(self._journal[0], _Frame) and size_bytes < group_bytes:
                group.append(self._journal.popleft())  # type: ignore[arg-type] - it has just been looked at
                size_bytes += len(group[-1].payload)
            self._call(
                lambda: self._append(group),
                lambda _: pipeline.synced(group[-1].number),
                pipeline.fail,
                self._journal_done,
            )
        else:
            first()

    def _append(self, group: list[_Frame]) -> None:
        highest = max(frame.max_index for frame in group)
        self.log.append([frame.payload for frame in group], highest, group[-1].preamble)
        self.durable_index = max(self.durable_index, highest)

    def _journal_done(self) -> None:
        self._journal_busy = False
        self._work_journal()

    def _call(
        self,
        call: Callable[[], object],
        succeeded: Callable[[object], None],
        broke: Callable[[Exception], None],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Calls to the disk on a thread: they take their time, and the process may die meanwhile."""
        self._under_way.append(call)
        slow = self.world.now < self.slow_until
        delay = self.world.rng.uniform(0.05, 0.6) if slow else self.world.rng.uniform(0.0001, 0.003)

        def finish() -> None:
            self._under_way.remove(call)
            try:
                result = call()
            except Exception as error:  # noqa: BLE001 - handed to whoever asked for the call
                self._on_loop(partial(broke, error))
                return
            self._on_loop(partial(succeeded, result))
            if self.pipeline is not None:
                ended()

        self._later(delay, finish, thread=True)

    # Sequences.

    def run(self, sequence: Sequence) -> None:
        self._later(0.0, lambda: self._go_on(sequence))

    def _go_on(self, sequence: Sequence, result: object = None, error: Exception | None = None) -> None:
        if self.pipeline is None:
            return
        work = self.pipeline.advance(sequence, result, error)
        if work is not None:
            self._begin(sequence, work)

    def _begin(self, sequence: Sequence, work: Work) -> None:
        def succeeded(result: object) -> None:
            self._go_on(sequence, result)

        def broke(error: Exception) -> None:
            self._go_on(sequence, error=error)

        match work:
            case OnJournal(task):
                self._journal.append(lambda: self._call(task, succeeded, broke, self._journal_done))
                self._work_journal()
            case OnThread(task):
                self._call(task, succeeded, broke)
            case Pause(seconds):
                self._later(seconds, lambda: self._go_on(sequence))

    # What the pipeline asks for: see `node.pipeline.Port`.

    def make_core(self, journal: RaftJournal, state: State, head: SnapshotHead | None) -> Core:
        """The one place where a core is made."""
        core = Core(
            node_id=self.node_id,
            incarnation=self.identity.incarnation,
            known_index=self.identity.known_index,
            wants_vote=self.wants_vote,
            journal=journal,
            state=state,
            applied_index=head.last_index if head else 1,
            restored=(head.previous, head.last) if head else None,
            monotonic=self.world.clock,
            wall_ms=lambda: EPOCH_MS + int(self.world.clock() * 1000) + self.skew_ms,
            rng=random.Random(self.world.rng.getrandbits(64)),
        )
        core.trim = lambda index: journal.trim_to(index - self.trim_behind)  # type: ignore[method-assign]
        return core

    def submit(self, payload: bytes, max_index: int, preamble: bytes) -> int:
        self._submitted += 1
        self._journal.append(_Frame(self._submitted, payload, max_index, preamble))
        if not self._journal_busy:
            self._later(
                0.0, self._work_journal, thread=True
            )  # the thread takes what the turn leaves, as a rule
        return self._submitted

    def send(self, peer_id: str, payload: bytes) -> None:
        if self._late:
            self._later(self._late, partial(self.world.send, self.node_id, peer_id, payload))
        else:
            self.world.send(self.node_id, peer_id, payload)

    def flush(self) -> None:
        pass

    def perform(self, effect: Answer | Fail | ReadReady | Changed) -> None:
        if self._late:
            self._later(self._late, partial(self._perform, effect))
        else:
            self._perform(effect)

    def _perform(self, effect: Answer | Fail | ReadReady | Changed) -> None:
        match effect:
            case Answer(request_id, outcome):
                if (callback := self.results.pop(request_id, None)) is not None:
                    callback(outcome, "")
            case Fail(request_id, failure):
                if (callback := self.results.pop(request_id, None)) is not None:
                    callback(None, failure)
            case Changed(request_id):
                if (answer := self.changes.pop(request_id, None)) is not None:
                    answer(effect)
            case ReadReady(token, read_index):
                assert self.core is not None
                if (read := self.reads.pop(token, None)) is not None:
                    read(self.core.state, read_index)

    def wake(self) -> None:
        self.world.at(0.0, self.turn)

    def turned(self, applied: bool) -> None:
        assert self.core is not None
        if self.core.configuration_version != self._links_looked_at:
            self._links_looked_at = self.core.configuration_version
            self.world.network.members_changed(self.node_id)
        self.world.check(self)
        if self.ungated and self.pipeline is not None:
            self.pipeline.synced(self._submitted)

    def installed(self) -> None:
        self._mutate()
        assert self.pipeline is not None
        self.world.installs += 1
        self.world.installs_of[self.disk.beginning(snapshot_name(self.pipeline.snapshot_index))] += 1

    def drop_link(self, peer_id: str, why: str) -> None:
        raise ViolationError(f"{self.node_id} drops {peer_id}, a correct member: {why}")

    def note(self, message: str) -> None:
        self.world.note(f"{self.node_id} {message}")

    def alarm(self, message: str) -> None:
        if self.disk.spoiled and message.startswith("the fetched snapshot was refused"):
            self.disk.spoiled -= 1
        elif not (self.disk.full and message.startswith("the disk has 0 MiB left")):
            raise ViolationError(f"{self.node_id} raises an alarm without cause: {message}")
        self.note(message)

    def stopped(self, message: str, cause: BaseException) -> None:
        match cause:
            case SimulatedCrashError() | OSError():
                self.crash()  # a disk that fails stops the member, which is started again with a sound one
            case FailStopError():
                self.stopped_because = message
                self.world.note(f"{self.node_id} fail-stop: {message}")
                if isinstance(cause, NoPlaceError):
                    self.world.judge.no_place(self)
                    self.no_place = True
                self._die()
            case _:
                raise cause
