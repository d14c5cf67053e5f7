"""One simulated member: what `node.driver` does with asyncio, threads and sockets, done with virtual time.

The core, the journal, the snapshots and their transfer are the shipped ones; a turn here has the same halves, the same gate, and
the same order of disk operations as there.
"""

from __future__ import annotations

import contextlib
import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from node import messages as m
from node import snapshots, storage
from node.core import Answer, Core, Effect, Fail, ReadReady, Send
from node.guard import FailStopError, ProtocolError
from node.journal import RaftJournal
from node.membership import Placed, birth
from node.snapshots import CorruptSnapshotError, SnapshotHead, SnapshotWriter
from node.transfer import SnapshotFetcher, SnapshotSender
from statemachine.outcomes import Outcome
from statemachine.state import State
from tests.simulation.disk import SimDisk, SimulatedCrashError

if TYPE_CHECKING:
    from tests.simulation.world import World

EPOCH_MS = 1_800_000_000_000
TICK_SECONDS = 0.02
SEGMENT_BYTES = 512 << 10  # small, so that segments turn over


class ViolationError(AssertionError):
    """A promise was broken."""


class SimNode:
    """One member: what `node.member` does with asyncio, done with virtual time."""

    def __init__(self, world: World, node_id: str) -> None:
        self.world = world
        self.node_id = node_id
        self.disk = SimDisk(world.rng)
        self.core: Core | None = None
        self.boots = 0
        self.paused_until = 0.0
        self.skew_ms = 0
        self.slow_until = 0.0
        self.ungated = False  # planted defect: effects leave before what they rest on is durable
        self.stopped_because: str | None = None

    @property
    def alive(self) -> bool:
        return self.core is not None

    def boot(self) -> None:
        self.disk.full = self.disk.failing = False  # nobody starts a member again before its disk is sound
        self.boots += 1
        addresses = {id_: (f"{id_}:7000", f"{id_}:8000") for id_ in self.world.ids}
        self.identity = storage.read_identity(
            self.disk,
            "desks",
            self.node_id,
            Placed(0, birth(addresses)),
            lambda: f"{self.node_id}.{self.boots}",
        )
        opened = storage.open_storage(self.disk, self.identity, SEGMENT_BYTES)
        self.log = opened.log
        self.gate: deque[tuple[int, list[Effect]]] = deque()
        self.submitted = 0
        self.synced = 0
        self.unsynced: list[tuple[bytes, int]] = []
        self.syncing = False
        self.writer: SnapshotWriter | None = None
        self.snapshot_index = opened.head.last_index if opened.head else 0
        self.results: dict[int, Callable[[Outcome | None, str], None]] = {}
        self.reads: dict[int, Callable[[State, int], None]] = {}
        self.sender = SnapshotSender(self.disk, self._send_now)
        self.fetcher = SnapshotFetcher(self.disk, self._send_now)
        self.core = self._make_core(
            opened.journal, opened.state, (opened.head.previous, opened.head.last) if opened.head else None
        )
        if self.world.settings.mutate is not None:
            self.world.settings.mutate(self)
        boot = self.boots
        self.world.at(self.world.rng.uniform(0, TICK_SECONDS), lambda: self._tick(boot))
        for peer_id in self.core.others:
            self.world.connect_later(self.node_id, peer_id)
            self.world.connect_later(peer_id, self.node_id)

    def _make_core(
        self, journal: RaftJournal, state: State, restored: tuple[storage.Entry, storage.Entry] | None
    ) -> Core:
        return Core(
            node_id=self.node_id,
            voter_ids=self.world.ids,
            journal=journal,
            state=state,
            applied_index=restored[1][1] if restored else 1,
            restored=restored,
            monotonic=lambda: self.world.now,
            wall_ms=lambda: EPOCH_MS + int(self.world.now * 1000) + self.skew_ms,
            rng=random.Random(self.world.rng.getrandbits(64)),
        )

    def crash(self) -> None:
        if self.core is None:
            return
        inside_call = (
            self.disk.full or self.disk.failing or (self.disk.crash_in is not None and self.disk.crash_in < 0)
        )
        if self.syncing and self.unsynced and not inside_call and self.world.rng.random() < 0.7:
            # Died inside the write that was under way: some of it may be on the disk.
            self.disk.crash_in = self.world.rng.randrange(3)
            with contextlib.suppress(SimulatedCrashError):
                self._append(self.unsynced)
        self.core = None
        self.disk.crash()
        self.world.links_of_dead(self.node_id)

    def stop_failed(self, message: str) -> None:
        self.stopped_because = message
        self.world.note(f"{self.node_id} fail-stop: {message}")
        self.core = None
        self.disk.crash()
        self.world.links_of_dead(self.node_id)

    def _tick(self, boot: int) -> None:
        if self.core is None or boot != self.boots:
            return
        if self.world.now < self.paused_until:
            self.world.at(self.paused_until - self.world.now, lambda: self._tick(boot))
            return
        self.turn()
        self.world.at(TICK_SECONDS, lambda: self._tick(boot))

    def turn(self) -> None:
        core = self.core
        if core is None or self.world.now < self.paused_until:
            return
        try:
            core.step()
            self._collect(core)
            core.propose()
            self._collect(core)
        except FailStopError as error:
            self.stop_failed(str(error))
            return
        self.world.check(self)
        self._sync_if_needed()
        self.release()
        if core.guard.needs_snapshot:
            self.sender.look(core, self.world.now)
            if not snapshots.published(self.disk):
                self.snapshot()
        if core.applied_index - self.snapshot_index >= self.world.settings.snapshot_every:
            self.snapshot()
        if core.busy:
            self.world.at(0.0, self.turn)

    def _collect(self, core: Core) -> None:
        for payload, max_index in core.take_frames():
            self.submitted += 1
            self.unsynced.append((payload, max_index))
        effects = core.take_effects()
        if effects:
            self.gate.append((self.submitted, effects))

    def _sync_if_needed(self) -> None:
        if self.syncing or not self.unsynced:
            return
        self.syncing = True
        slow = self.world.now < self.slow_until
        delay = self.world.rng.uniform(0.05, 0.6) if slow else self.world.rng.uniform(0.0001, 0.003)
        frames, boot, number = self.unsynced, self.boots, self.submitted
        count = len(frames)

        def done() -> None:
            if self.core is None or boot != self.boots:
                return
            try:
                self._append(self.unsynced[:count])
            except (SimulatedCrashError, OSError):
                self.crash()  # a failed write or sync stops the member, whatever it was
                return
            del self.unsynced[:count]
            self.syncing = False
            self.synced = number
            self._sync_if_needed()
            self.release()

        self.world.at(delay, done)

    def _append(self, frames: list[tuple[bytes, int]]) -> None:
        assert self.core is not None
        if frames:
            highest = max(max_index for _, max_index in frames)
            self.log.append([payload for payload, _ in frames], highest, self.core.journal.preamble())

    def release(self) -> None:
        while self.core is not None and self.gate and (self.ungated or self.gate[0][0] <= self.synced):
            for effect in self.gate.popleft()[1]:
                self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send(peer_id, message):
                self.world.send(self.node_id, peer_id, m.encode(message))
            case Answer(request_id, outcome):
                if (callback := self.results.pop(request_id, None)) is not None:
                    callback(outcome, "")
            case Fail(request_id, failure):
                if (callback := self.results.pop(request_id, None)) is not None:
                    callback(None, failure)
            case ReadReady(token, read_index):
                assert self.core is not None
                if (read := self.reads.pop(token, None)) is not None:
                    read(self.core.state, read_index)

    def _send_now(self, peer_id: str, message: m.Message) -> None:
        self.world.send(self.node_id, peer_id, m.encode(message))

    def receive(self, peer_id: str, payload: bytes) -> None:
        core = self.core
        if core is None:
            return
        message = m.decode(payload)
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
            self.stop_failed(str(error))
            return
        except ProtocolError as error:
            raise ViolationError(f"protocol error between correct members: {error}") from error
        except (SimulatedCrashError, OSError):
            self.crash()
            return
        if self.fetcher.ready is not None:
            self._install()
        self.world.at(0.0, self.turn)

    def snapshot(self) -> None:
        core = self.core
        if core is None or core.applied_index <= max(2, self.snapshot_index) or self.writer is not None:
            return
        index = core.applied_index
        head = SnapshotHead(
            core.journal.entry_at(index - 1), core.journal.entry_at(index), core.journal.placed_at(index)
        )
        boot = self.boots
        try:
            writer = self.writer = SnapshotWriter(self.disk, head, core.state.freeze())
        except (SimulatedCrashError, OSError):
            self.crash()
            return

        def step() -> None:
            if boot != self.boots or self.core is None or self.writer is not writer:
                return
            try:
                if not writer.step():
                    self.world.at(0.002, step)
                    return
                if self.synced < needed:
                    self.world.at(0.002, step)
                    return
                writer.publish()
                self.snapshot_index = index
                self.writer = None
                storage.drop_old(self.disk, self.log)
            except (SimulatedCrashError, OSError):
                self.crash()
                return
            self.core.journal.trim_to(index - self.world.settings.trim_behind)

        needed = self.submitted
        self.world.at(0.002, step)

    def _install(self) -> None:
        old, receiver = self.core, self.fetcher.ready
        assert old is not None
        assert receiver is not None
        try:
            head, state = receiver.publish()
            for payload, max_index in old.take_frames():
                self.submitted += 1
                self.unsynced.append((payload, max_index))
            self._append(self.unsynced)
            self.log.start_over(old.journal.reset_frame(head.previous, head.last), head.last_index)
            storage.drop_old(self.disk, self.log)
        except CorruptSnapshotError as error:
            raise ViolationError(f"a snapshot broke on the way: {error}") from error
        except (SimulatedCrashError, OSError):
            self.crash()
            return
        self.writer = None
        self.unsynced = []
        self.synced = self.submitted
        self.boots += 1  # whatever was scheduled for the old core is void
        self.syncing = False
        placed = head.placed or self.identity.birth
        journal = RaftJournal.rebased(old.journal, head.previous, head.last, placed)
        self.core = self._make_core(journal, state, (head.previous, head.last))
        self.core.inherit(old)
        if self.world.settings.mutate is not None:
            self.world.settings.mutate(self)
        self.snapshot_index = head.last_index
        self.world.installs += 1
        self.fetcher.installed()
        boot = self.boots
        self.world.at(TICK_SECONDS, lambda: self._tick(boot))
