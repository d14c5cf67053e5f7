"""A whole cluster in one process under virtual time: the shipped core, journal, snapshots and state machine; simulated clock, disk and network.

A seed decides everything: delays, crashes, torn writes, cut links, pauses, load. The same seed gives the same run.
`World.run` goes through a *safety* phase with faults and a *liveness* phase without, and checks all the time what is promised.

Where what is:

- `settings`: what a world may contain;
- `events`: virtual time, the streams of chance, the trace and its hash;
- `plan` and `faults` (with `faults_network`, `faults_disk`): the faults of a run as a list made up before it begins, and what each kind does;
- `network`: connections between members; `disk` and `failpoints`: disks; `member`: one member, the driver around the shipped core;
- `older`: the disks that an older program has left behind, on which some worlds begin;
- `life`: operators who change the membership;
- `clients`: the load; `product` and `people`: another one, of the whole product, in a part of the worlds, with `promises` that are judged at the end;
  `judge`: what is checked all the time; `witness`: what the clients saw, judged at the end by `tests.checking`;
- `outbox`: the shipped outbox, and sinks that it tells events to;
- `campaign`: many seeds, one verdict (`./scripts/simulate`); `minimise`: the smallest plan with the same verdict;
  `recorder` and `picture`: a run in words and as a drawing.

`World` is what they all meet in: members reach time, network, judge and settings through it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from node import engine
from tests.simulation.clients import Clients, Operation
from tests.simulation.events import Timeline, Trace, stream
from tests.simulation.failpoints import Failpoints
from tests.simulation.faults import Injector
from tests.simulation.judge import Judge
from tests.simulation.life import Life
from tests.simulation.member import SimNode, ViolationError
from tests.simulation.network import Network
from tests.simulation.older import OlderCluster
from tests.simulation.outbox import Sinks
from tests.simulation.plan import Fault, make_plan
from tests.simulation.product import Product
from tests.simulation.readers import Readers
from tests.simulation.settings import Settings
from tests.simulation.witness import Witness

__all__ = ["Operation", "Settings", "ViolationError", "World"]


CATCH_UP_SECONDS = 5.0  # longer than any pause of an outbox after the faults
LOOKS_IN_A_LONG_TURN = 6  # at the clock, over which the time that it takes is spread


class Observer(Protocol):
    """Somebody who looks on, and changes nothing: `recorder.Recorder`."""

    def begins(self, world: World) -> None:
        """Before anything happens."""

    def looked(self, node: SimNode) -> None:
        """A member has made a step."""

    def died(self, node: SimNode) -> None:
        """A member's process has ended."""

    def sent(self, a: str, b: str, payload: bytes) -> None:
        """A message was put on its way."""

    def fault(self, fault: Fault, victim_id: str) -> None:
        """A fault of the plan begins."""


class World:
    """The cluster, its network, its clients and the judge."""

    def __init__(self, seed: int, settings: Settings | None = None, recorder: Observer | None = None) -> None:
        self.seed = seed
        self.settings = settings or Settings()
        self.recorder = recorder
        self.rng = stream(seed, "members")
        random.seed(f"{seed}/library")  # it draws its (unused) election deadlines from the global generator
        self.timeline = Timeline()
        self.at = self.timeline.at
        self._lag = self._lag_most = 0.0  # of the clock of the member whose turn takes long, while it does
        engine.set_clock(self.clock)
        self.trace = Trace(self.timeline)
        self.note = self.trace.note
        self.born_ids = [f"n{number + 1}" for number in range(self.settings.members)]
        self.ids = list(self.born_ids)  # of all machines there have ever been
        self.nodes: dict[str, SimNode] = {}
        self.network = Network(self)
        self.connect_later = self.network.connect_later
        self.send = self.network.send
        self.judge = Judge(self)
        self.clients = Clients(self)
        self.faults = Injector(self)
        self.life = Life(self)
        self.older: OlderCluster | None = None
        self.plan = make_plan(seed, self.settings, self.born_ids)
        self.installs = 0
        self.installs_of: Counter[str] = Counter()  # by the first bytes of the file
        self.failpoints = Failpoints()
        self.witness = Witness(self)
        self.readers = Readers(self)
        every = self.settings.product_every_seconds
        self.product = None if every is None else Product(self, every)
        self.sinks = Sinks(self)
        self.calm = False
        for node_id in self.born_ids:
            self.add_member(node_id)
        if recorder is not None:
            recorder.begins(self)

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.timeline.now

    def clock(self) -> float:
        """What a member sees when it looks: usually `now`, because a turn takes no time."""
        if self._lag_most:
            self._lag = min(self._lag_most, self._lag + self._lag_most / LOOKS_IN_A_LONG_TURN)
        return self.timeline.now + self._lag

    @contextmanager
    def time_passes(self, seconds: float) -> Iterator[None]:
        """While this lasts, the clock goes on a little whenever somebody looks at it, by so much in all."""
        self._lag_most = seconds
        try:
            yield
        finally:
            self._lag = self._lag_most = 0.0

    @property
    def operations(self) -> list[Operation]:
        """The history."""
        return self.clients.operations

    @property
    def trace_hash(self) -> str:
        """Equal for equal runs."""
        return self.trace.hash

    def add_member(self, node_id: str) -> SimNode:
        """A machine with an empty disk, not started yet."""
        node = self.nodes[node_id] = SimNode(self, node_id)
        self.network.add_member(node_id)
        return node

    def check(self, node: SimNode) -> None:
        """After every step of a member."""
        if self.recorder is not None:
            self.recorder.looked(node)
        self.judge.check(node)

    def links_of_dead(self, node_id: str, silent: bool = False) -> None:
        """A member's process ended; when the power went with it, nobody is told."""
        if self.recorder is not None:
            self.recorder.died(self.nodes[node_id])
        if silent:
            self.network.links_of_unpowered(node_id)
        else:
            self.network.links_of_dead(node_id)

    def run(self) -> None:
        """Both phases. Raises ViolationError."""
        if self.settings.older_disks:
            self.older = OlderCluster(self, self.settings.older_disks)
            self.older.leave_behind()
        self.faults.before_birth()
        for node in self.nodes.values():
            node.boot()
        self.clients.start()
        self.readers.start()
        if self.product is not None:
            self.product.start()
        self.sinks.start()
        self.faults.start(self.plan)
        self.timeline.run_until(self.settings.fault_seconds)
        self._end_faults()
        end = self.settings.fault_seconds + self.settings.calm_seconds
        self.timeline.run_until(end)
        # A receiver that was away for long has more to hear than fits into the calm.
        while self.sinks.catching_up():
            end += CATCH_UP_SECONDS
            self.timeline.run_until(end)
        self.judge.end()
        self.witness.judge()
        self.readers.judge(
            next(node.core.state.feed for node in self.nodes.values() if node.core is not None)
        )
        if self.product is not None:
            self.judge.kept(self.product)
        self.sinks.judge()

    def _end_faults(self) -> None:
        self.calm = True
        self.note("calm")
        self.failpoints.disarm()
        self.network.heal()
        for node in self.nodes.values():
            node.paused_until = node.slow_until = self.now
            node.skew_ms = 0
            node.disk.crash_in = None
            node.disk.full = node.disk.failing = node.disk.spoiling = False
            if node.stopped_because is not None and not node.no_place:
                raise ViolationError(f"{node.node_id} stopped without cause: {node.stopped_because}")
        self.life.finish()

    def summary(self) -> str:
        """One line about the run."""
        answered = sum(1 for op in self.operations if op.outcome is not None)
        return (
            f"seed {self.seed}: {self.faults.kinds.total()} faults, {answered} operations, {self.clients.reads_judged} reads, "
            f"{len(self.judge.leaders)} terms with a leader, {self.installs} installs, {self.network.messages} messages, "
            f"{self.failpoints.crashed.total()} failpoints, checked in {self.witness.cpu_seconds * 1000:.0f} ms of CPU and "
            f"{self.witness.steps} steps, trace {self.trace_hash}"
        )
