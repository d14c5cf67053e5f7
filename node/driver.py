"""What makes the sans-I/O core a running process: an event loop, a journal thread, links to peers, snapshot files.

A *turn* is: let the core take a step, submit its journal frames, and queue its effects behind them. Effects leave when the journal
thread has synced the frames before them (`_release`): messages go to the links, everything else to the owner (`node.member`).

Fail-stop: a disk error, a contradiction in the log, or a digest that differs from the majority's ends the driver. `failed` then
completes with one line that says why; no effect leaves after that.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import secrets
import sys
import time
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from typing import Protocol

from node import messages as m
from node import snapshots, storage
from node.config import Config
from node.core import Answer, Core, Effect, Fail, ReadReady, Send
from node.disk import RealDisk, StorageError
from node.guard import FailStopError, ProtocolError
from node.journal import Entry, RaftJournal
from node.membership import Introduction, Verdict, judge
from node.peers import Mesh
from node.secret import Secret
from node.snapshots import CorruptSnapshotError, SnapshotHead, SnapshotWriter
from node.transfer import SnapshotFetcher, SnapshotSender
from node.writer import JournalWriter
from statemachine.state import State

log = logging.getLogger("deskraft.member")

TICK_SECONDS = 0.01
REDIAL_AFTER_SECONDS = 3.0
SNAPSHOT_JOURNAL_BYTES = 64 << 20  # a snapshot is due after that much journal, however few entries it holds
SNAPSHOT_PAUSE_SECONDS = 0.002  # between two pieces, so that writing one never holds up the loop
SWITCH_INTERVAL_SECONDS = 0.0005  # the journal thread must not wait 5 ms for the interpreter after each sync


class Owner(Protocol):
    """Who drives a driver: gets the effects that concern this node's own clients."""

    def perform(self, effect: Answer | Fail | ReadReady) -> None:
        """An effect whose journal frames are durable."""
        ...

    def turned(self, applied: bool) -> None:
        """A turn has ended; `applied` when the state moved."""
        ...

    def ended(self) -> None:
        """Nothing will be performed any more."""
        ...


class Driver:
    """See the module. Made by `open`, ended by `close`."""

    def __init__(
        self,
        owner: Owner,
        config: Config,
        node_id: str,
        secret: Secret,
        disk: RealDisk,
        identity: storage.Identity,
    ) -> None:
        self._owner = owner
        self._config = config
        self.node_id = node_id
        self._disk = disk
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[str] = self._loop.create_future()
        self.halted = False  # a snapshot is being installed: the core stands still
        self.random = random.Random(secrets.randbits(64))  # noqa: S311 - ids and timers must differ, not be secret
        self._gate: deque[tuple[int, list[Effect]]] = deque()
        self._synced = 0
        self._turn_due = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._snapshot_task: asyncio.Task[None] | None = None
        self._leader_seen: tuple[str | None, int] = (None, 0)
        self.leader_changes = 0
        self._alarm_logged = ""
        self.snapshots_written = 0
        self.snapshots_installed = 0
        self._unreachable_since: dict[str, float] = {}
        self._identity = identity
        opened = storage.open_storage(disk, identity)
        try:
            warning = storage.check_members(opened, identity, config.birth)
        except StorageError:
            opened.log.close()
            raise
        if warning:
            log.warning("%s", warning)
        self.segments = opened.log
        self.snapshot_index = opened.head.last_index if opened.head else 0
        self._journal_bytes_at_snapshot = opened.log.size_bytes
        self.core = self._make_core(
            opened.journal, opened.state, (opened.head.previous, opened.head.last) if opened.head else None
        )
        self.writer = JournalWriter(opened.log, self._on_synced, self._on_error)
        self._sender = SnapshotSender(disk, self._send_now)
        self._fetcher = SnapshotFetcher(disk, self._send_now)
        self._mesh = Mesh(
            cluster=config.cluster,
            node_id=node_id,
            listen=(config.nodes[node_id].raft_host, config.nodes[node_id].raft_port),
            secret=secret,
            introduce=self._introduction,
            judge=self._judge,
            on_frame=self._on_frame,
            on_up=self._on_link_up,
            on_down=self._on_link_down,
            on_accepted=lambda _peer_id, _introduction: None,
            on_silent=self._on_peer_silent,
            on_greeted=lambda _peer_id, _verdict: None,
        )
        self._mesh.set_peers(
            {member_id: (address.raft_host, address.raft_port) for member_id, address in config.nodes.items()}
        )
        if opened.log.torn_bytes:
            log.warning("erased %d bytes of an unfinished write at the journal's end", opened.log.torn_bytes)

    def _make_core(self, journal: RaftJournal, state: State, restored: tuple[Entry, Entry] | None) -> Core:
        return Core(
            node_id=self.node_id,
            voter_ids=list(self._config.nodes),
            journal=journal,
            state=state,
            applied_index=restored[1][1] if restored else 1,
            restored=restored,
            monotonic=time.monotonic,
            wall_ms=lambda: time.time_ns() // 1_000_000,
            rng=self.random,
        )

    @classmethod
    async def open(cls, owner: Owner, config: Config, node_id: str, data_dir: Path, secret: Secret) -> Driver:
        """Read the member's data, listen and dial. Raises StorageError, or OSError when the peer port is taken."""
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        disk = RealDisk(data_dir)
        try:
            identity = storage.read_identity(disk, config.cluster, node_id, config.birth)
            driver = cls(owner, config, node_id, secret, disk, identity)
        except (StorageError, OSError):
            disk.close()
            raise
        _settle_garbage()
        try:
            await driver._mesh.start()
        except OSError:
            await driver.close()
            raise
        log.info(
            "%s opened: entry %d of term %d, applied %d",
            node_id,
            driver.core.journal.last_index,
            driver.core.guard.term,
            driver.core.applied_index,
        )
        return driver

    def start(self) -> None:
        """Begin to take turns."""
        self._tick()

    # Turns and the gate.

    def wake(self) -> None:
        """Take a turn soon: something came in."""
        if not self._turn_due:
            self._turn_due = True
            self._loop.call_soon(self._turn)

    def _tick(self) -> None:
        if self.failed.done():
            return
        self._loop.call_later(TICK_SECONDS, self._tick)
        self._turn()

    def _turn(self) -> None:
        self._turn_due = False
        if self.halted or self.failed.done():
            return
        core = self.core
        applied_before = core.applied_index
        try:
            core.step()
            self._collect(core)
            core.propose()
            self._collect(core)
        except FailStopError as error:
            self.fail(str(error))
            return
        except Exception as error:  # noqa: BLE001 - a broken assumption ends the member; it must not limp on
            self._on_error(error)
            return
        self._release()
        if core.busy:
            self.wake()
        applied = core.applied_index != applied_before
        if applied:
            self._snapshot_if_due()
        self._watch(core)
        self._owner.turned(applied)

    def _collect(self, core: Core) -> None:
        self._submit_frames(core)
        effects = core.take_effects()
        if effects:
            self._gate.append((self.writer.submitted, effects))

    def _submit_frames(self, core: Core) -> None:
        for payload, max_index in core.take_frames():
            self.writer.submit(payload, max_index, core.journal.preamble())

    def _on_synced(self, number: int) -> None:
        self._synced = number
        if not self.failed.done():
            self._release()

    def _release(self) -> None:
        gate = self._gate
        while gate and gate[0][0] <= self._synced:
            for effect in gate.popleft()[1]:
                self._perform(effect)
        self._mesh.flush()

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Send):
            self._mesh.send(effect.peer_id, m.encode(effect.message))
        else:
            self._owner.perform(effect)

    def _send_now(self, peer_id: str, message: m.Message) -> None:
        """Snapshot messages: they rest on published files alone."""
        self._mesh.send(peer_id, m.encode(message))
        self._mesh.flush()

    def _watch(self, core: Core) -> None:
        """What is looked at once a turn beside consensus."""
        now = time.monotonic()
        leader = (core.leader_id, core.guard.term)
        if leader[0] is not None and leader != self._leader_seen:
            self._leader_seen = leader
            self.leader_changes += 1
            log.info("term %d: %s leads", leader[1], leader[0])
        if core.alarm and core.alarm != self._alarm_logged:
            self._alarm_logged = core.alarm
            log.error("%s", core.alarm)
        if core.guard.needs_snapshot:
            self._sender.look(core, now)
            if not snapshots.published(self._disk):
                self._snapshot_now()
        for peer_id in core.others:
            if core.reachable(peer_id) or peer_id not in core.linked:
                self._unreachable_since.pop(peer_id, None)
            elif now - self._unreachable_since.setdefault(peer_id, now) > REDIAL_AFTER_SECONDS:
                del self._unreachable_since[peer_id]
                self._mesh.redial(peer_id)
                self._mesh.drop(peer_id, "nothing has come over it for a while")

    # What the links report.

    def _introduction(self) -> Introduction:
        identity = self._identity
        raft = self._config.nodes[self.node_id].raft
        return Introduction(self.node_id, identity.incarnation, "", identity.known_index, raft)

    def _judge(self, introduction: Introduction) -> Verdict:
        placed = self.core.journal.placed
        return judge(placed, placed, introduction)

    def _on_frame(self, peer_id: str, payload: bytes) -> None:
        if self.halted or self.failed.done():
            return
        core = self.core
        try:
            message = m.decode(payload)
        except ValueError as error:
            self._mesh.drop(peer_id, f"not a message: {error}")
            return
        try:
            match message:
                case m.SnapshotOffer():
                    self._fetcher.on_offer(core, peer_id, message)
                case m.SnapshotChunk():
                    self._fetcher.on_chunk(peer_id, message)
                case m.SnapshotWant():
                    self._sender.on_want(core, peer_id, message, time.monotonic())
                case _:
                    core.receive(peer_id, message)
        except ProtocolError as error:
            self._mesh.drop(peer_id, str(error))
        except FailStopError as error:
            self.fail(str(error))
        except Exception as error:  # noqa: BLE001 - a broken assumption ends the member; it must not limp on
            self._on_error(error)
        else:
            if self._fetcher.ready is not None and not self.halted:
                self.halted = True
                self.spawn(self._install())
            self.wake()

    def _on_link_up(self, peer_id: str) -> None:
        self.core.link_up(peer_id)
        self.wake()

    def _on_link_down(self, peer_id: str) -> None:
        self.core.link_down(peer_id)
        self.wake()

    def _on_peer_silent(self, peer_id: str) -> None:
        self.core.peer_silent(peer_id)
        self.wake()

    # Failing.

    def _on_error(self, error: BaseException) -> None:
        if isinstance(error, OSError):
            what = f"{error.strerror or error} ({error.filename or 'journal'})"
            self.fail(f"the disk failed: {what}; nothing was confirmed after that")
        else:
            log.error("this is a defect of the program", exc_info=error)
            self.fail(f"unexpected {type(error).__name__}: {error}")

    def fail(self, message: str) -> None:
        """Stop for good, saying why."""
        if not self.failed.done():
            log.critical("%s stops: %s", self.node_id, message)
            self._end(message)

    def _end(self, message: str) -> None:
        self.failed.set_result(message)
        self._gate.clear()
        self._owner.ended()

    def spawn(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run a task for as long as the driver lives; its exception ends the driver."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(error)

    # Snapshots.

    def _snapshot_if_due(self) -> None:
        entries = self.core.applied_index - self.snapshot_index
        journal_bytes = self.segments.size_bytes - self._journal_bytes_at_snapshot
        if entries >= self._config.snapshot_every_entries or (
            entries > 1 and journal_bytes >= SNAPSHOT_JOURNAL_BYTES
        ):
            self._snapshot_now()

    def _snapshot_now(self) -> None:
        if (
            self._snapshot_task is None
            and not self.halted
            and self.core.applied_index > max(2, self.snapshot_index)
        ):
            self._snapshot_task = self.spawn(self._snapshot())
            self._snapshot_task.add_done_callback(self._snapshot_done)

    def _snapshot_done(self, _task: asyncio.Task[None]) -> None:
        self._snapshot_task = None

    async def _snapshot(self) -> None:
        core = self.core
        index = core.applied_index
        head = SnapshotHead(
            core.journal.entry_at(index - 1), core.journal.entry_at(index), core.journal.placed_at(index)
        )
        writer = SnapshotWriter(self._disk, head, core.state.freeze())
        while not writer.step():
            await asyncio.sleep(SNAPSHOT_PAUSE_SECONDS)
            if self.core is not core:
                writer.abandon()
                return
        # What the snapshot reflects is applied, so it is durable on a majority; our own copy must be as well.
        await self.writer.run(lambda: None)
        await asyncio.to_thread(writer.publish)
        self.snapshot_index = index
        self.snapshots_written += 1
        self._journal_bytes_at_snapshot = self.segments.size_bytes
        await self.writer.run(lambda: storage.drop_old(self._disk, self.segments))
        if self.core is core:
            core.trim(index)
        log.info("snapshot at entry %d written", index)

    async def _install(self) -> None:
        """Replace journal, state and core by the snapshot that has been fetched (the member is halted meanwhile)."""
        receiver = self._fetcher.ready
        assert receiver is not None
        try:
            head, state = await asyncio.to_thread(receiver.publish)
        except CorruptSnapshotError as error:
            log.warning("the fetched snapshot was refused: %s", error)
            self._fetcher.ready = None
            self.halted = False
            return
        old = self.core
        self._submit_frames(old)
        payload = old.journal.reset_frame(head.previous, head.last)
        await self.writer.run(lambda: self.segments.start_over(payload, head.last_index))
        await self.writer.run(lambda: storage.drop_old(self._disk, self.segments))
        placed = head.placed or self._identity.birth  # version 1 was written before there were others
        journal = RaftJournal.rebased(old.journal, head.previous, head.last, placed)
        core = self._make_core(journal, state, (head.previous, head.last))
        core.inherit(old)
        self.core = core
        self.snapshot_index = head.last_index
        self._journal_bytes_at_snapshot = self.segments.size_bytes
        self.snapshots_installed += 1
        self.halted = False
        self._fetcher.installed()
        _settle_garbage()
        log.info("installed the leader's snapshot at entry %d", head.last_index)
        self._owner.turned(True)
        self.wake()

    async def close(self) -> None:
        """End at once; what is durable stays so."""
        if not self.failed.done():
            self._end("stopped")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._mesh.close()
        await asyncio.to_thread(self.writer.close)
        self.segments.close()
        self._disk.close()


def _settle_garbage() -> None:
    """A restored state is not garbage and will not become any: keep the collector from walking it."""
    gc.collect()
    gc.freeze()
