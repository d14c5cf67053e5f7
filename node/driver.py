"""What makes the sans-I/O pipeline a running process: an event loop, a journal thread, links to peers, tasks, clocks, logging.

What happens when, and what waits for what, is decided in `node.pipeline`; this module is its `Port` on asyncio and real disks. Effects
that have passed the gate go to the links (messages) or to the owner (`node.member`).

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
from collections.abc import Coroutine
from pathlib import Path
from typing import Protocol

from node import storage
from node.config import Config
from node.core import Core
from node.disk import RealDisk, StorageError
from node.effects import Answer, Changed, Fail, ReadReady
from node.greetings import NoPlaceError
from node.guard import FailStopError
from node.journal import RaftJournal
from node.membership import Introduction, Verdict
from node.peers import Mesh, parse_address
from node.pipeline import OnJournal, OnThread, Pause, Pipeline, Sequence, Work
from node.secret import Secret
from node.sightings import Sightings
from node.snapshots import SnapshotHead
from node.writer import JournalWriter
from statemachine.state import State

log = logging.getLogger("deskraft.member")

TICK_SECONDS = 0.01
REDIAL_AFTER_SECONDS = 3.0
TELL_MISSING_SECONDS = 3.0
SWITCH_INTERVAL_SECONDS = 0.0005  # the journal thread must not wait 5 ms for the interpreter after each sync


class Owner(Protocol):
    """Who drives a driver: gets the effects that concern this node's own clients."""

    def perform(self, effect: Answer | Fail | ReadReady | Changed) -> None:
        """An effect whose journal frames are durable."""
        ...

    def turned(self, applied: bool) -> None:
        """A turn has ended; `applied` when the state moved."""
        ...

    def ended(self) -> None:
        """Nothing will be performed any more."""
        ...


class Driver:
    """See the module: a `node.pipeline.Port`. Made by `open`, ended by `close`."""

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
        self.removed = False  # by an operator: why it has stopped, and a normal end
        self.random = random.Random(secrets.randbits(64))  # noqa: S311 - ids and timers must differ, not be secret
        self._tasks: set[asyncio.Task[None]] = set()
        self._leader_seen: tuple[str | None, int] = (None, 0)
        self.leader_changes = 0
        self._unreachable_since: dict[str, float] = {}
        self._missing_told_at: float | None = time.monotonic() + TELL_MISSING_SECONDS
        self._identity = identity
        opened = storage.open_storage(disk, identity)
        try:
            warning = storage.check_members(opened, identity, config.birth)
        except StorageError:
            opened.log.close()
            raise
        if warning:
            log.warning("%s", warning)
        self.pipeline = Pipeline(
            self, disk, opened, identity.birth, config.snapshot_every_entries, time.monotonic
        )
        self.sightings = Sightings(node_id, lambda: self.core.now_ms())
        self.writer = JournalWriter(opened.log, self.pipeline.synced, self.pipeline.fail)
        self._mesh = Mesh(
            cluster=config.cluster,
            node_id=node_id,
            listen=(config.nodes[node_id].raft_host, config.nodes[node_id].raft_port),
            secret=secret,
            introduce=lambda: self.core.introduction(),
            judge=lambda introduction: self.core.judge(introduction),
            on_frame=self.pipeline.receive,
            on_up=self._on_link_up,
            on_down=self._on_link_down,
            on_accepted=self._on_accepted,
            on_silent=self._on_peer_silent,
            on_greeted=self._on_greeted,
        )
        self._links_looked_at = -1
        self._tend_links()
        if opened.log.torn_bytes:
            log.warning("erased %d bytes of an unfinished write at the journal's end", opened.log.torn_bytes)

    @property
    def core(self) -> Core:
        """The present core; an installed snapshot replaces it."""
        return self.pipeline.core

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

    def _tick(self) -> None:
        if not self.failed.done():
            self._loop.call_later(TICK_SECONDS, self._tick)
            self.pipeline.turn()

    # What the pipeline asks for: see `node.pipeline.Port`.

    def make_core(self, journal: RaftJournal, state: State, head: SnapshotHead | None) -> Core:
        """See `Port`; called at the start and after each installation."""
        return Core(
            node_id=self.node_id,
            incarnation=self._identity.incarnation,
            known_index=self._identity.known_index,
            wants_vote=self._config.wants_vote,
            journal=journal,
            state=state,
            applied_index=head.last_index if head else 1,
            restored=(head.previous, head.last) if head else None,
            monotonic=time.monotonic,
            wall_ms=lambda: time.time_ns() // 1_000_000,
            rng=self.random,
        )

    def submit(self, payload: bytes, max_index: int, preamble: bytes) -> int:
        """See `Port`."""
        return self.writer.submit(payload, max_index, preamble)

    def send(self, peer_id: str, payload: bytes) -> None:
        """See `Port`."""
        self._mesh.send(peer_id, payload)

    def flush(self) -> None:
        """See `Port`."""
        self._mesh.flush()

    def perform(self, effect: Answer | Fail | ReadReady | Changed) -> None:
        """See `Port`."""
        self._owner.perform(effect)

    def run(self, sequence: Sequence) -> None:
        """See `Port`."""
        self.spawn(self._carry_out(sequence))

    async def _carry_out(self, sequence: Sequence) -> None:
        work = self.pipeline.advance(sequence)
        while work is not None:
            try:
                result = await self._do(work)
            except Exception as error:  # noqa: BLE001 - the sequence knows which ones it expects; `advance` takes the rest
                work = self.pipeline.advance(sequence, error=error)
            else:
                work = self.pipeline.advance(sequence, result)

    async def _do(self, work: Work) -> object:
        match work:
            case OnJournal(task):
                await self.writer.run(task)
            case OnThread(task):
                return await asyncio.to_thread(task)
            case Pause(seconds):
                await asyncio.sleep(seconds)
        return None

    def wake(self) -> None:
        """See `Port`."""
        self._loop.call_soon(self.pipeline.turn)

    def turned(self, applied: bool) -> None:
        """See `Port`; beside consensus, who leads and which links are dead is looked at."""
        self._tend_links()
        core = self.core
        leader = (core.leader_id, core.guard.term)
        self.sightings.leader(*leader)
        if leader[0] is not None and leader != self._leader_seen:
            self._leader_seen = leader
            self.leader_changes += 1
            log.info("term %d: %s leads", leader[1], leader[0])
        self._look_at_peers(core)
        self._tell_who_is_missing(core)
        self._owner.turned(applied)

    def _tell_who_is_missing(self, core: Core) -> None:
        """Once, some time after the start: a cluster is not born without all of its nodes."""
        if self._missing_told_at is not None and time.monotonic() > self._missing_told_at:
            self._missing_told_at = None
            if absent := core.absent_at_birth():
                log.warning(
                    "this disk is empty: a cluster is born when all nodes of cluster.yml have met; not yet here: %s",
                    ", ".join(absent),
                )

    def _look_at_peers(self, core: Core) -> None:
        now = time.monotonic()
        for peer_id in core.others:
            reachable = core.reachable(peer_id)
            self.sightings.peer(peer_id, reachable, core.guard.term)
            if reachable or peer_id not in core.linked:
                self._unreachable_since.pop(peer_id, None)
            elif now - self._unreachable_since.setdefault(peer_id, now) > REDIAL_AFTER_SECONDS:
                del self._unreachable_since[peer_id]
                self._mesh.redial(peer_id)
                self._mesh.drop(peer_id, "nothing has come over it for a while")

    def installed(self) -> None:
        """See `Port`."""
        _settle_garbage()
        self._owner.turned(True)

    def drop_link(self, peer_id: str, why: str) -> None:
        """See `Port`."""
        self._mesh.drop(peer_id, why)

    def note(self, message: str) -> None:
        """See `Port`."""
        log.info("%s", message)

    def alarm(self, message: str) -> None:
        """See `Port`."""
        log.error("%s", message)

    def stopped(self, message: str, cause: BaseException) -> None:
        """See `Port`."""
        self.removed = isinstance(cause, NoPlaceError) and cause.removed
        if not isinstance(cause, (FailStopError, OSError)):
            log.error("this is a defect of the program", exc_info=cause)
        log.critical("%s stops: %s", self.node_id, message)
        self._end(message)

    def _end(self, message: str) -> None:
        self.failed.set_result(message)
        self._owner.ended()

    # What the links report.

    def _tend_links(self) -> None:
        """Dial whom the configuration names, and let nobody in whom it forbids."""
        version = self.core.configuration_version
        if version != self._links_looked_at:
            self._links_looked_at = version
            addresses = {
                peer_id: self._config.reaches(peer_id) or parse_address(raft)
                for peer_id, raft in self.core.addresses().items()
            }
            self._mesh.set_peers(
                {peer_id: address for peer_id, address in addresses.items() if address is not None}
            )
            self._mesh.rejudge()

    def _on_accepted(self, peer_id: str, introduction: Introduction) -> None:
        self.core.introduced(peer_id, introduction)
        self.pipeline.wake()

    def _on_greeted(self, peer_id: str, verdict: Verdict) -> None:
        self.core.greeted(peer_id, verdict)
        self.pipeline.wake()

    def _on_link_up(self, peer_id: str) -> None:
        self.core.link_up(peer_id)
        self.pipeline.wake()

    def _on_link_down(self, peer_id: str) -> None:
        self.core.link_down(peer_id)
        self.pipeline.wake()

    def _on_peer_silent(self, peer_id: str) -> None:
        self.core.peer_silent(peer_id)
        self.pipeline.wake()

    def spawn(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run a task for as long as the driver lives; its exception ends the driver."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.pipeline.fail(error)

    async def close(self) -> None:
        """End at once; what is durable stays so."""
        if not self.failed.done():
            self.pipeline.stop()
            self._end("stopped")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._mesh.close()
        await asyncio.to_thread(self.writer.close)
        self.pipeline.log.close()
        self._disk.close()


def _settle_garbage() -> None:
    """A restored state is not garbage and will not become any: keep the collector from walking it."""
    gc.collect()
    gc.freeze()
