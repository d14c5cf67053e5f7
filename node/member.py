"""One running member as the API meets it: `Replica` over a driver. Futures in, outcomes and read indexes out.

`node.driver` runs the consensus core; this module turns its effects into answers, bounds how long anybody waits, and tells what the
member knows of itself: status, readiness, statistics. It also knows how to stop: hand leadership over first, then end.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from node.backups import BackupHead
from node.config import Config
from node.driver import TICK_SECONDS, Driver
from node.effects import Answer, Changed, Fail, ReadReady
from node.membership import Change, Seat
from node.operations import Operations
from node.replica import (
    ChangeResult,
    ClusterStatus,
    MemberStatus,
    OutcomeUnknownError,
    OverloadedError,
    Role,
    Statistics,
    UnavailableError,
)
from node.requests import MAX_COMMAND_BYTES, Failure
from node.secret import Secret
from node.sightings import Sighting
from statemachine.commands import (
    KEEP_CLIENT_KEY_MS,
    KEEP_NODE_KEY_MS,
    Command,
    Envelope,
    encode_envelope,
)
from statemachine.outcomes import Outcome
from statemachine.state import FrozenState, State

LATE_SECONDS = 0.15  # a future whose effect has not come that long after its deadline is ended here
DEADLINE_SLACK_MS = (
    5_000  # how long after its request gave up a command may take effect; within KEEP_NODE_KEY_MS
)
PROBE_SECONDS = 1.0
LAG_LIMIT_ENTRIES = 1_000
HAND_OVER_SECONDS = 2.0


class Member:
    """See the module. Made by `open`, ended by `stop`."""

    _driver: Driver
    _operations: Operations

    def __init__(self, config: Config) -> None:
        self._config = config
        self._loop = asyncio.get_running_loop()
        self.stopping = False
        self._futures: dict[int, asyncio.Future[Outcome]] = {}
        self._give_up_at: dict[int, float] = {}  # by request id
        self._give_up_look_at = 0.0
        self._read_futures: dict[int, asyncio.Future[int]] = {}
        self._open_read: tuple[int, asyncio.Future[int]] | None = None
        self._next_token = 0
        self._applied_waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._read_works_at = float("-inf")

    @classmethod
    async def open(cls, *, config: Config, node_id: str, data_dir: Path, secret: Secret) -> Member:
        """Read the member's data, listen and dial. Raises StorageError, or OSError when the peer port is taken."""
        member = cls(config)
        member._driver = await Driver.open(member, config, node_id, data_dir, secret)
        member._operations = Operations(member._driver)
        member._driver.start()
        member._driver.spawn(member._probe())
        return member

    @property
    def node_id(self) -> str:
        """Which member this is."""
        return self._driver.node_id

    @property
    def failed(self) -> asyncio.Future[str]:
        """Completes with one line that says why when the member has stopped."""
        return self._driver.failed

    @property
    def removed(self) -> bool:
        """Whether it has stopped because an operator removed it from the cluster: a normal end."""
        return self._driver.removed

    # What the driver reports.

    def perform(self, effect: Answer | Fail | ReadReady | Changed) -> None:
        """See `Owner.perform`."""
        match effect:
            case Answer(request_id, outcome):
                future = self._futures.pop(request_id, None)
                if future is not None and not future.done():
                    future.set_result(outcome)
            case ReadReady(token, read_index):
                read = self._read_futures.pop(token, None)
                if read is not None and not read.done():
                    read.set_result(read_index)
            case Changed():
                self._operations.ended(effect)
            case Fail(request_id, failure):
                future = self._futures.pop(request_id, None)
                if future is not None and not future.done():
                    future.set_exception(_failure(failure))

    def turned(self, applied: bool) -> None:
        """See `Owner.turned`."""
        self._open_read = None  # reads that come from now on were not covered by the turn's question
        if applied:
            self._wake_applied_waiters()
        now = time.monotonic()
        if now >= self._give_up_look_at:
            self._give_up(now)

    def ended(self) -> None:
        """See `Owner.ended`."""
        for future in self._futures.values():
            if not future.done():
                future.set_exception(OutcomeUnknownError("this node has stopped"))
        for read in self._read_futures.values():
            if not read.done():
                read.set_exception(UnavailableError("this node has stopped"))
                read.exception()  # taken note of: perhaps nobody waits any more
        self._futures.clear()
        self._read_futures.clear()

    def _give_up(self, now: float) -> None:
        """End what has waited for too long: its effect may be stuck behind a disk that does not answer."""
        self._give_up_look_at = now + LATE_SECONDS / 2
        for request_id in [request_id for request_id, at in self._give_up_at.items() if at <= now]:
            self.perform(Fail(request_id, "unknown"))

    # Replica.

    @property
    def state(self) -> State:
        """See `Replica.state`."""
        return self._driver.core.state

    @property
    def applied_index(self) -> int:
        """See `Replica.applied_index`."""
        return self._driver.core.applied_index

    @property
    def tells(self) -> bool:
        """Whether the outbox is this member's: see `node.outbox_runner.Ground`."""
        core = self._driver.core
        return core.own_term_applied() and not core.draining and not self.failed.done()

    def now_ms(self) -> int:
        """See `Replica.now_ms`."""
        return self._driver.core.now_ms()

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
        request_id = self._driver.random.getrandbits(63)
        envelope = encode_envelope(
            Envelope(
                request_id,
                scope,
                f"node:{request_id:x}" if key is None else key,
                fingerprint,
                KEEP_NODE_KEY_MS if key is None else KEEP_CLIENT_KEY_MS,
                self._driver.core.now_ms() + int(timeout_seconds * 1000) + DEADLINE_SLACK_MS,
                session_id,
                command,
            )
        )
        if len(envelope) > MAX_COMMAND_BYTES:
            raise ValueError(f"a command of {len(envelope)} bytes is over the limit of {MAX_COMMAND_BYTES}")
        if not self._driver.core.execute(request_id, envelope, timeout_seconds):
            raise OverloadedError("too many commands are pending on this node")
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._futures[request_id] = future
        self._give_up_at[request_id] = time.monotonic() + timeout_seconds + LATE_SECONDS
        self._driver.pipeline.wake()
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
            self._driver.core.read(token)
            self._driver.pipeline.wake()
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
            self._driver.core.reads.drop(token)
            future.set_exception(UnavailableError("no leader confirmed the read in time"))
            future.exception()  # taken note of: perhaps nobody waits any more

    def receipt(self, index: int) -> bytes | None:
        """See `Replica.receipt`."""
        return self._driver.core.receipts.at(index)

    @property
    def oldest_receipt(self) -> int:
        """See `Replica.oldest_receipt`."""
        return self._driver.core.receipts.oldest

    async def wait_until_applied(self, index: int, timeout_seconds: float) -> None:
        """See `Replica.wait_until_applied`."""
        if self._driver.core.applied_index >= index:
            return
        future: asyncio.Future[None] = self._loop.create_future()
        waiter = (index, future)
        self._applied_waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout_seconds):
                await future
        except TimeoutError:
            raise UnavailableError(f"this node has not reached entry {index} in time") from None
        finally:
            if waiter in self._applied_waiters:  # in a cluster at rest nobody else would take it out
                self._applied_waiters.remove(waiter)

    def _wake_applied_waiters(self) -> None:
        if not self._applied_waiters:
            return
        applied = self._driver.core.applied_index
        waiting = []
        for index, future in self._applied_waiters:
            if future.done():
                continue
            if index <= applied:
                future.set_result(None)
            else:
                waiting.append((index, future))
        self._applied_waiters = waiting

    async def change_members(self, change: Change, timeout_seconds: float) -> ChangeResult:
        """See `Replica.change_members`."""
        if self.failed.done():
            raise UnavailableError("this node has stopped")
        return ChangeResult(await self._operations.change(change, timeout_seconds))

    async def transfer_leadership(self, to: str | None, timeout_seconds: float) -> str:
        """See `Replica.transfer_leadership`."""
        if self.failed.done():
            raise UnavailableError("this node has stopped")
        return await self._operations.transfer(to, timeout_seconds)

    async def write_snapshot(self, timeout_seconds: float) -> int:
        """See `Replica.write_snapshot`."""
        pipeline = self._driver.pipeline
        before = pipeline.snapshot_index
        if self.failed.done():
            raise UnavailableError("this node has stopped")
        if self.applied_index <= max(before, 2):
            return before
        pipeline.snapshot()
        if pipeline.no_room:
            raise UnavailableError(pipeline.no_room)
        deadline = self._loop.time() + timeout_seconds
        while pipeline.snapshot_index == before:
            if self._loop.time() > deadline:
                raise UnavailableError("the snapshot is still being written")
            await asyncio.sleep(TICK_SECONDS)
        return pipeline.snapshot_index

    def backup(self) -> tuple[BackupHead, FrozenState]:
        """See `Replica.backup`."""
        core = self._driver.core
        term = core.journal.term_at(core.applied_index)
        assert term is not None, "the last applied entry is always kept"
        now_ms, placed = core.now_ms(), core.applied_placed
        head = BackupHead(self._config.cluster, self.node_id, now_ms, core.applied_index, term, placed)
        return head, core.state.freeze()

    def status(self) -> ClusterStatus:
        """See `Replica.status`."""
        core = self._driver.core
        placed = core.applied_placed
        return ClusterStatus(
            cluster=self._config.cluster,
            node_id=self.node_id,
            role=core.role,
            leader_id=core.leader_id,
            term=core.guard.term,
            commit_index=core.guard.commit_index,
            applied_index=core.applied_index,
            digest=core.state.digest.hex(),
            members=[self._member_status(seat) for seat in placed.configuration.seats],
            configuration_index=placed.index,
            founding=placed.configuration.founding,
        )

    def _member_status(self, seat: Seat) -> MemberStatus:
        core = self._driver.core
        return MemberStatus(
            id=seat.id,
            raft=seat.raft,
            api=seat.api,
            role=self._role_of(seat),
            reachable=seat.id == self.node_id or core.reachable(seat.id),
            match_index=self._match_of(seat.id),
            voter=seat.voter,
            incarnation=seat.incarnation,
        )

    def _role_of(self, seat: Seat) -> Role | None:
        core = self._driver.core
        if seat.id == self.node_id:
            return core.role
        if seat.id == core.leader_id:
            return "leader"
        if not core.reachable(seat.id):
            return None
        return "follower" if seat.voter else "learner"

    def _match_of(self, member_id: str) -> int | None:
        core = self._driver.core
        if member_id == self.node_id:
            return core.journal.last_index
        return core.guard.match_index(member_id) if core.guard.leading else None

    def sightings(self) -> list[Sighting]:
        """See `Replica.sightings`."""
        return self._driver.sightings.newest_first()

    def not_ready_because(self) -> str | None:
        """See `Replica.not_ready_because`."""
        core = self._driver.core
        if self.failed.done():
            return self.failed.result()
        if self.stopping:
            return "this node is stopping"
        if self._driver.pipeline.halted:
            return "this node is installing a snapshot"
        if core.alarm:
            return core.alarm
        if core.leader_id is None:
            absent = core.absent_at_birth()
            return (
                f"a cluster is born when all its nodes have met; not yet here: {', '.join(absent)}"
                if absent
                else "no leader is known"
            )
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
        while not self.failed.done():
            try:
                await self.read_index(PROBE_SECONDS)
            except UnavailableError:
                await asyncio.sleep(PROBE_SECONDS / 10)
            else:
                self._read_works_at = time.monotonic()
                await asyncio.sleep(PROBE_SECONDS)

    def statistics(self) -> Statistics:
        """See `Replica.statistics`."""
        core = self._driver.core
        return Statistics(
            journal_bytes=self._driver.pipeline.log.size_bytes,
            journal_syncs=self._driver.writer.syncs,
            journal_sync_seconds=self._driver.writer.sync_seconds,
            entries_applied=core.entries_applied,
            commands_applied=core.commands_applied,
            snapshots_written=self._driver.pipeline.snapshots_written,
            snapshots_installed=self._driver.pipeline.snapshots_installed,
            elections=core.elections.started,
            leader_changes=self._driver.leader_changes,
            read_rounds=core.leader_reads.rounds,
            commands_pending=len(core.requests),
            snapshot_index=self._driver.pipeline.snapshot_index,
            disk_free_bytes=self._driver.pipeline.disk_free_bytes(),
            clock_skew_seconds=core.clock.skew_ms() / 1000,
        )

    # Ending.

    async def hand_over(self) -> None:
        """Stop leading, if this member leads: finish what is queued, then let the most caught-up follower take over."""
        self.stopping = True
        core = self._driver.core
        core.draining = core.stopping = True
        deadline = self._loop.time() + HAND_OVER_SECONDS
        while core.guard.leading and self._loop.time() < deadline and not self.failed.done():
            core.transfer_leadership()
            self._driver.pipeline.wake()
            await asyncio.sleep(TICK_SECONDS)

    async def stop(self) -> None:
        """Graceful end. Requests still waiting get an answer; everything durable stays so."""
        await self.hand_over()
        await self._driver.close()


def _failure(failure: Failure) -> Exception:
    if failure == "unknown":
        return OutcomeUnknownError("the command may or may not take effect; retry with the same key")
    if failure == "overloaded":
        return OverloadedError("the leader's queue is full")
    return UnavailableError("no leader took the command in time")
