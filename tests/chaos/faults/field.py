"""Where faults strike, and what is noted of them.

A fault is a coroutine that takes the `Field` (the cluster, its wires, chance) and how long to last. It notes what it does, so that the
picture can show it, and it says which members it takes down, so that requests to them are not counted against availability. Healing
is part of the fault and happens also when the storm is called off in the middle.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.chaos.faults.stage import Stage
from tests.chaos.hearing import Receiver
from tests.chaos.wires import Network
from tests.integration.cluster import NodeProcess, ProcessCluster

READY_SECONDS = 60.0


@dataclass
class Struck:
    """One fault that happened. Times are monotonic seconds."""

    kind: str
    members: tuple[str, ...]
    began: float
    ended: float = 0.0
    led: bool = False  # whether the member that led was among the victims


@dataclass
class Field:
    """Where faults strike."""

    cluster: ProcessCluster
    network: Network
    rng: random.Random
    struck: list[Struck] = field(default_factory=list)
    down: dict[str, int] = field(
        default_factory=dict
    )  # members that nobody may expect answers of: by how many faults
    leader: str = ""  # as last seen by the watcher
    receiver: Receiver | None = None  # of webhooks
    stage: Stage = field(default_factory=Stage)
    ended: set[tuple[str, int]] = field(
        default_factory=set
    )  # processes that were seen to end without a fault
    wrong: list[str] = field(default_factory=list)  # what a fault itself has seen go wrong, in words

    def up(self, member: str) -> bool:
        """Whether clients may count on that member to be reached and to reach a majority."""
        return not self.down.get(member)

    def victim(self, *, leader: bool | None = None) -> NodeProcess:
        """A member that is whole: any (one time in two whoever leads), the leader, or another."""
        nodes: list[NodeProcess] = [node for node in self.cluster if self.up(node.id) and node.running]
        leading = [node for node in nodes if node.id == self.leader]
        others = [node for node in nodes if node.id != self.leader]
        if leader is None:
            leader = self.rng.random() < 0.5
        return self.rng.choice((leading if leader else others) or nodes)

    @contextmanager
    def striking(self, kind: str, *members: str, down: bool = True) -> Iterator[Struck]:
        """Note a fault while it lasts."""
        struck = Struck(kind, members, time.monotonic(), led=self.leader in members)
        self.struck.append(struck)
        if down:
            for member in members:
                self.down[member] = self.down.get(member, 0) + 1
        try:
            yield struck
        finally:
            struck.ended = time.monotonic()
            if down:
                for member in members:
                    self.down[member] -= 1


async def again(at: Field, nodes: list[NodeProcess]) -> None:
    """Start those that do not run, and wait until all of these serve."""
    for node in nodes:
        if not node.alive:
            node.start()
    await at.cluster.wait_until_ready(nodes, READY_SECONDS)
