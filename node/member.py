"""One running member: the core on an asyncio loop, its journal thread, its links, its snapshots. Implements `Replica`.

A *turn* is: let the core take a step, submit its journal frames, and queue its effects behind them. Effects leave when the journal
thread has synced the frames before them (`_release`). Everything else here turns effects into messages, futures and files.

Fail-stop: a disk error, a contradiction in the log, or a digest that differs from the majority's ends the member. `failed` then
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
from pathlib import Path

import msgspec

from node import messages as m
from node import snapshots, storage
from node.config import Config
from node.core import Answer, Core, Effect, Fail, ReadReady, Send
from node.disk import RealDisk, StorageError
from node.guard import FailStopError, ProtocolError
from node.journal import Entry, RaftJournal
from node.peers import Mesh
from node.replica import (
    ClusterStatus,
    MemberStatus,
    OutcomeUnknownError,
    OverloadedError,
    Role,
    Statistics,
    UnavailableError,
)
from node.requests import MAX_COMMAND_BYTES
from node.secret import Secret
from node.snapshots import CorruptSnapshotError, SnapshotHead, SnapshotWriter
from node.transfer import SnapshotFetcher, SnapshotSender
from node.writer import JournalWriter
from statemachine.commands import (
    KEEP_CLIENT_KEY_MS,
    KEEP_NODE_KEY_MS,
    Command,
    Envelope,
    encode_envelope,
)
from statemachine.outcomes import Outcome
from statemachine.state import State

log = logging.getLogger("deskraft.member")

TICK_SECONDS = 0.01
LATE_SECONDS = 0.15  # a future whose effect has not come that long after its deadline is ended here
DEADLINE_SLACK_MS = (
    5_000  # how long after its request gave up a command may still take effect; within KEEP_NODE_KEY_MS
)
REDIAL_AFTER_SECONDS = 3.0
PROBE_SECONDS = 1.0
LAG_LIMIT_ENTRIES = 1_000
SNAPSHOT_JOURNAL_BYTES = 64 << 20  # a snapshot is due after that much journal, however few entries it holds
SNAPSHOT_PAUSE_SECONDS = 0.002  # between two pieces, so that writing one never holds up the loop
HAND_OVER_SECONDS = 2.0
SWITCH_INTERVAL_SECONDS = 0.0005  # the journal thread must not wait 5 ms for the interpreter after each sync


class Member:
    """See the module. Made by `open`, ended by `stop`."""

    def __init__(self, config: Config, node_id: str, secret: Secret, disk: RealDisk) -> None:
        self._config = config
        self.node_id = node_id
        self._disk = disk
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[str] = self._loop.create_future()
        self.stopping = False
        self._gate: deque[tuple[int, list[Effect]]] = deque()
        self._synced = 0
        self._turn_due = False
        self._halted = False
        self._futures: dict[int, asyncio.Future[Outcome]] = {}
        self._give_up_at: dict[int, float] = {}  # by request id, in the order asked
        self._give_up_look_at = 0.0
        self._random = random.Random(secrets.randbits(64))  # noqa: S311 - request ids and timers must differ, not be secret
        self._read_futures: dict[int, asyncio.Future[int]] = {}
        self._open_read: tuple[int, asyncio.Future[int]] | None = None
        self._next_token = 0
        self._applied_waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._snapshot_task: asyncio.Task[None] | None = None
        self._leader_seen: tuple[str | None, int] = (None, 0)
        self._leader_changes = 0
        self._alarm_logged = ""
        self._snapshots_written = 0
        self._snapshots_installed = 0
        self._read_works_at = float("-inf")
        self._unreachable_since: dict[str, float] = {}
        opened = storage.open_storage(disk)
        self._segments = opened.log
        self._snapshot_index = opened.head.last_index if opened.head else 0
        self._journal_bytes_at_snapshot = opened.log.size_bytes
        self._core = self._make_core(
            opened.journal, opened.state, (opened.head.previous, opened.head.last) if opened.head else None
        )
        self._writer = JournalWriter(opened.log, self._on_synced, self._on_disk_error)
        self._sender = SnapshotSender(disk, self._send_now)
        self._fetcher = SnapshotFetcher(disk, self._send_now)
        self._mesh = Mesh(
            cluster=config.cluster,
            node_id=node_id,
            addresses={
                member_id: (address.raft_host, address.raft_port)
                for member_id, address in config.nodes.items()
            },
            secret=secret,
            on_frame=self._on_frame,
            on_up=self._on_link_up,
            on_down=self._on_link_down,
            on_silent=self._on_peer_silent,
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
            rng=self._random,
        )

    @classmethod
    async def open(cls, *, config: Config, node_id: str, data_dir: Path, secret: Secret) -> Member:
        """Read the member's data, listen and dial. Raises StorageError, or OSError when the peer port is taken."""
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        disk = RealDisk(data_dir)
        try:
            storage.check_identity(disk, config.cluster, node_id)
            member = cls(config, node_id, secret, disk)
        except (StorageError, OSError):
            disk.close()
            raise
        # The restored state is not garbage and will not become any: keep the collector from walking it.
        gc.collect()
        gc.freeze()
        try:
            await member._mesh.start()
        except OSError:
            await member._close()
            raise
        member._tick()
        member._spawn(member._probe())
        log.info(
            "%s opened: entry %d of term %d, applied %d",
            node_id,
            member._core.journal.last_index,
            member._core.guard.term,
            member._core.applied_index,
        )
        return member

    # Turns and the gate.

    def _wake(self) -> None:
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
        if self._halted or self.failed.done():
            return
        core = self._core
        self._open_read = None
        applied_before = core.applied_index
        try:
            core.step()
        except FailStopError as error:
            self._fail(str(error))
            return
        self._submit_frames(core)
        effects = core.take_effects()
        if effects:
            self._gate.append((self._writer.submitted, effects))
            self._release()
        if core.busy:
            self._wake()
        if core.applied_index != applied_before:
            self._wake_applied_waiters()
            self._snapshot_if_due()
        self._watch(core)

    def _submit_frames(self, core: Core) -> None:
        for payload, max_index in core.take_frames():
            self._writer.submit(payload, max_index, core.journal.preamble())

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
        match effect:
            case Send(peer_id, message):
                self._mesh.send(peer_id, m.encode(message))
            case Answer(request_id, outcome):
                future = self._futures.pop(request_id, None)
                if future is not None and not future.done():
                    future.set_result(outcome)
            case ReadReady(token, read_index):
                read = self._read_futures.pop(token, None)
                if read is not None and not read.done():
                    read.set_result(read_index)
            case Fail(request_id, failure):
                future = self._futures.pop(request_id, None)
                if future is not None and not future.done():
                    future.set_exception(_failure(failure))

    def _send_now(self, peer_id: str, message: m.Message) -> None:
        """Snapshot messages: they rest on published files alone."""
        self._mesh.send(peer_id, m.encode(message))
        self._mesh.flush()

    def _give_up(self, now: float) -> None:
        """End what has waited for too long: its effect may be stuck behind a disk that does not answer."""
        self._give_up_look_at = now + LATE_SECONDS / 2
        for request_id in [request_id for request_id, at in self._give_up_at.items() if at <= now]:
            self._perform(Fail(request_id, "unknown"))

    def _watch(self, core: Core) -> None:
        """What is looked at once a turn beside consensus."""
        now = time.monotonic()
        if now >= self._give_up_look_at:
            self._give_up(now)
        leader = (core.leader_id, core.guard.term)
        if leader[0] is not None and leader != self._leader_seen:
            self._leader_seen = leader
            self._leader_changes += 1
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

    # What the links report.

    def _on_frame(self, peer_id: str, payload: bytes) -> None:
        if self._halted or self.failed.done():
            return
        core = self._core
        try:
            message = m.decode(payload)
            match message:
                case m.SnapshotOffer():
                    self._fetcher.on_offer(core, peer_id, message)
                case m.SnapshotChunk():
                    self._fetcher.on_chunk(peer_id, message)
                case m.SnapshotWant():
                    self._sender.on_want(core, peer_id, message, time.monotonic())
                case _:
                    core.receive(peer_id, message)
        except (ProtocolError, msgspec.DecodeError) as error:
            self._mesh.drop(peer_id, str(error))
        except FailStopError as error:
            self._fail(str(error))
        except OSError as error:
            self._on_disk_error(error)
        else:
            if self._fetcher.ready is not None and not self._halted:
                self._halted = True
                self._spawn(self._install())
            self._wake()

    def _on_link_up(self, peer_id: str) -> None:
        self._core.link_up(peer_id)
        self._wake()

    def _on_link_down(self, peer_id: str) -> None:
        self._core.link_down(peer_id)
        self._wake()

    def _on_peer_silent(self, peer_id: str) -> None:
        self._core.peer_silent(peer_id)
        self._wake()

    # Failing.

    def _on_disk_error(self, error: BaseException) -> None:
        if isinstance(error, OSError):
            self._fail(
                f"the disk failed: {error.strerror or error} ({error.filename or 'journal'}); nothing was confirmed after that"
            )
        else:
            self._fail(f"the journal failed: {error!r}")

    def _fail(self, message: str) -> None:
        if self.failed.done():
            return
        log.critical("%s stops: %s", self.node_id, message)
        self._end(message)

    def _end(self, message: str) -> None:
        self.failed.set_result(message)
        self._gate.clear()
        for future in [*self._futures.values()]:
            if not future.done():
                future.set_exception(OutcomeUnknownError("this node has stopped"))
        for read in [*self._read_futures.values()]:
            if not read.done():
                read.set_exception(UnavailableError("this node has stopped"))
                read.exception()  # taken note of: perhaps nobody waits any more
        self._futures.clear()
        self._read_futures.clear()

    def _spawn(self, coroutine: object) -> None:
        task: asyncio.Task[None] = self._loop.create_task(coroutine)  # type: ignore[arg-type]  # coroutines of ours
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_disk_error(error)

    # Replica.

    @property
    def state(self) -> State:
        """See `Replica.state`."""
        return self._core.state

    @property
    def applied_index(self) -> int:
        """See `Replica.applied_index`."""
        return self._core.applied_index

    def now_ms(self) -> int:
        """See `Replica.now_ms`."""
        return self._core.now_ms()

    async def execute(
        self,
        command: Command,
        *,
        scope: str,
        key: str | None,
        fingerprint: bytes,
        session_id: str,
        timeout_seconds: float,
    ) -> Outcome:
        """See `Replica.execute`."""
        if self.failed.done():
            raise UnavailableError("this node has stopped")
        request_id = self._random.getrandbits(63)
        envelope = encode_envelope(
            Envelope(
                request_id,
                scope,
                f"node:{request_id:x}" if key is None else key,
                fingerprint,
                KEEP_NODE_KEY_MS if key is None else KEEP_CLIENT_KEY_MS,
                self._core.now_ms() + int(timeout_seconds * 1000) + DEADLINE_SLACK_MS,
                session_id,
                command,
            )
        )
        if len(envelope) > MAX_COMMAND_BYTES:
            raise ValueError(f"a command of {len(envelope)} bytes is over the limit of {MAX_COMMAND_BYTES}")
        if not self._core.execute(request_id, envelope, timeout_seconds):
            raise OverloadedError("too many commands are pending on this node")
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._futures[request_id] = future
        self._give_up_at[request_id] = time.monotonic() + timeout_seconds + LATE_SECONDS
        self._wake()
        try:
            return await future
        finally:
            self._futures.pop(request_id, None)
            self._give_up_at.pop(request_id, None)

    async def read_index(self, timeout_seconds: float) -> int:
        """See `Replica.read_index`."""
        if self.failed.done():
            raise UnavailableError("this node has stopped")
        if self._open_read is None or self._open_read[1].done():
            self._next_token += 1
            token = self._next_token
            future: asyncio.Future[int] = self._loop.create_future()
            self._read_futures[token] = future
            self._open_read = (token, future)
            self._core.read(token)
            self._wake()
            self._loop.call_later(timeout_seconds, self._end_read, token)
        shared = self._open_read[1]
        try:
            async with asyncio.timeout(timeout_seconds):
                return await asyncio.shield(shared)
        except TimeoutError:
            raise UnavailableError("no leader confirmed the read in time") from None

    def _end_read(self, token: int) -> None:
        future = self._read_futures.pop(token, None)
        if future is not None and not future.done():
            self._core.reads.drop(token)
            future.set_exception(UnavailableError("no leader confirmed the read in time"))
            future.exception()  # taken note of: perhaps nobody waits any more

    async def wait_until_applied(self, index: int, timeout_seconds: float) -> None:
        """See `Replica.wait_until_applied`."""
        if self._core.applied_index >= index:
            return
        future: asyncio.Future[None] = self._loop.create_future()
        self._applied_waiters.append((index, future))
        try:
            async with asyncio.timeout(timeout_seconds):
                await future
        except TimeoutError:
            raise UnavailableError(f"this node has not reached entry {index} in time") from None

    def _wake_applied_waiters(self) -> None:
        if not self._applied_waiters:
            return
        applied = self._core.applied_index
        waiting = []
        for index, future in self._applied_waiters:
            if future.done():
                continue
            if index <= applied:
                future.set_result(None)
            else:
                waiting.append((index, future))
        self._applied_waiters = waiting

    def status(self) -> ClusterStatus:
        """See `Replica.status`."""
        core = self._core
        members = [
            MemberStatus(
                id=member_id,
                raft=address.raft,
                api=address.api,
                role=self._role_of(member_id),
                reachable=member_id == self.node_id or core.reachable(member_id),
                match_index=self._match_of(member_id),
            )
            for member_id, address in self._config.nodes.items()
        ]
        return ClusterStatus(
            cluster=self._config.cluster,
            node_id=self.node_id,
            role=core.role,
            leader_id=core.leader_id,
            term=core.guard.term,
            commit_index=core.guard.commit_index,
            applied_index=core.applied_index,
            digest=core.state.digest.hex(),
            members=members,
        )

    def _role_of(self, member_id: str) -> Role | None:
        core = self._core
        if member_id == self.node_id:
            return core.role
        if member_id == core.leader_id:
            return "leader"
        return "follower" if core.reachable(member_id) else None

    def _match_of(self, member_id: str) -> int | None:
        core = self._core
        if member_id == self.node_id:
            return core.journal.last_index
        return core.guard.match_index(member_id) if core.guard.leading else None

    def not_ready_because(self) -> str | None:
        """See `Replica.not_ready_because`."""
        core = self._core
        if self.failed.done():
            return self.failed.result()
        if self.stopping:
            return "this node is stopping"
        if self._halted:
            return "this node is installing a snapshot"
        if core.alarm:
            return core.alarm
        if core.leader_id is None:
            return "no leader is known"
        if not core.state.born:
            return "the cluster has not been born yet"
        lag = core.guard.commit_index - core.applied_index
        if lag > LAG_LIMIT_ENTRIES:
            return f"this node is {lag} entries behind"
        if time.monotonic() - self._read_works_at > 3 * PROBE_SECONDS:
            return "no linearizable read has succeeded lately"
        return None

    async def _probe(self) -> None:
        """Keep knowing whether reads work here, for `not_ready_because`."""
        while True:
            try:
                await self.read_index(PROBE_SECONDS)
                self._read_works_at = time.monotonic()
            except UnavailableError:
                continue
            await asyncio.sleep(PROBE_SECONDS)

    def statistics(self) -> Statistics:
        """See `Replica.statistics`."""
        core = self._core
        return Statistics(
            journal_bytes=self._segments.size_bytes,
            journal_syncs=self._writer.syncs,
            journal_sync_seconds=self._writer.sync_seconds,
            entries_applied=core.entries_applied,
            commands_applied=core.commands_applied,
            snapshots_written=self._snapshots_written,
            snapshots_installed=self._snapshots_installed,
            elections=core.elections.started,
            leader_changes=self._leader_changes,
            read_rounds=core.leader_reads.rounds,
            commands_pending=len(core.requests),
            snapshot_index=self._snapshot_index,
            clock_skew_seconds=core.clock.skew_ms() / 1000,
        )

    # Snapshots.

    def _snapshot_if_due(self) -> None:
        entries = self._core.applied_index - self._snapshot_index
        journal_bytes = self._segments.size_bytes - self._journal_bytes_at_snapshot
        if entries >= self._config.snapshot_every_entries or (
            entries > 1 and journal_bytes >= SNAPSHOT_JOURNAL_BYTES
        ):
            self._snapshot_now()

    def _snapshot_now(self) -> None:
        if (
            self._snapshot_task is None
            and not self._halted
            and self._core.applied_index > max(2, self._snapshot_index)
        ):
            self._snapshot_task = self._loop.create_task(self._snapshot())
            self._tasks.add(self._snapshot_task)
            self._snapshot_task.add_done_callback(self._snapshot_done)

    def _snapshot_done(self, task: asyncio.Task[None]) -> None:
        self._snapshot_task = None
        self._task_done(task)

    async def _snapshot(self) -> None:
        core = self._core
        index = core.applied_index
        head = SnapshotHead(core.journal.entry_at(index - 1), core.journal.entry_at(index))
        writer = SnapshotWriter(self._disk, head, core.state.freeze())
        while not writer.step():
            await asyncio.sleep(SNAPSHOT_PAUSE_SECONDS)
            if self._core is not core:
                writer.abandon()
                return
        # What the snapshot reflects is applied, so it is durable on a majority; our own copy must be as well.
        await self._writer.run(lambda: None)
        await asyncio.to_thread(writer.publish)
        self._snapshot_index = index
        self._snapshots_written += 1
        self._journal_bytes_at_snapshot = self._segments.size_bytes
        await self._writer.run(lambda: storage.drop_old(self._disk, self._segments))
        if self._core is core:
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
            self._halted = False
            return
        old = self._core
        self._submit_frames(old)
        payload = old.journal.reset_frame(head.previous, head.last)
        await self._writer.run(lambda: self._segments.start_over(payload, head.last_index))
        await self._writer.run(lambda: storage.drop_old(self._disk, self._segments))
        journal = RaftJournal.rebased(old.journal, head.previous, head.last)
        core = self._make_core(journal, state, (head.previous, head.last))
        core.inherit(old)
        self._core = core
        self._snapshot_index = head.last_index
        self._journal_bytes_at_snapshot = self._segments.size_bytes
        self._snapshots_installed += 1
        self._halted = False
        self._fetcher.installed()
        gc.collect()
        gc.freeze()
        log.info("installed the leader's snapshot at entry %d", head.last_index)
        self._wake_applied_waiters()
        self._wake()

    # Ending.

    async def hand_over(self) -> None:
        """Stop leading, if this member leads: finish what is queued, then let the most caught-up follower take over."""
        self.stopping = True
        core = self._core
        core.draining = True
        deadline = self._loop.time() + HAND_OVER_SECONDS
        while core.guard.leading and self._loop.time() < deadline and not self.failed.done():
            core.transfer_leadership()
            self._wake()
            await asyncio.sleep(TICK_SECONDS)

    async def stop(self) -> None:
        """Graceful end. Requests still waiting get an answer; everything durable stays so."""
        await self.hand_over()
        await self._close()

    async def _close(self) -> None:
        if not self.failed.done():
            self._end("stopped")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._mesh.close()
        await asyncio.to_thread(self._writer.close)
        self._segments.close()
        self._disk.close()


def _failure(failure: str) -> Exception:
    if failure == "unknown":
        return OutcomeUnknownError("the command may or may not take effect; retry with the same key")
    if failure == "overloaded":
        return OverloadedError("the leader's queue is full")
    return UnavailableError("no leader took the command in time")
