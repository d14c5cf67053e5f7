"""What happens to processes, wires and disks: each fault strikes, lasts, and is healed before its coroutine ends.

A fault is a coroutine that takes the `Field` (the cluster, its wires, chance) and how long to last. It notes what it does, so that the
picture can show it, and it says which members it takes down, so that requests to them are not counted against availability. Healing
is part of the fault and happens also when the storm is called off in the middle.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.chaos.wires import Network, Weather
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

    def up(self, member: str) -> bool:
        """Whether clients may count on that member to be reached and to reach a majority."""
        return not self.down.get(member)

    def victim(self, *, leader: bool | None = None) -> NodeProcess:
        """A member that is whole: any (one time in two whoever leads), the leader, or another."""
        nodes = [node for node in self.cluster if self.up(node.id) and node.running]
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


Fault = Callable[[Field, float], Awaitable[None]]


async def _again(at: Field, nodes: list[NodeProcess]) -> None:
    for node in nodes:
        if not node.alive:
            node.start()
    await at.cluster.wait_until_ready(nodes, READY_SECONDS)


async def _kill(at: Field, nodes: list[NodeProcess], kind: str, seconds: float) -> None:
    with at.striking(kind, *(node.id for node in nodes)):
        for node in nodes:  # all at one moment, before any can notice the end of another
            os.kill(node.pid, 9)
        for node in nodes:
            node.kill()
        try:
            await asyncio.sleep(seconds)
        finally:
            await _again(at, nodes)


async def kill(at: Field, seconds: float) -> None:
    """SIGKILL of the leader or a follower; started again."""
    await _kill(at, [at.victim()], "kill", seconds)


async def kill_leader(at: Field, seconds: float) -> None:
    """SIGKILL of whoever leads."""
    await _kill(at, [at.victim(leader=True)], "kill-leader", seconds)


async def kill_majority(at: Field, seconds: float) -> None:
    """SIGKILL of a majority at one moment."""
    nodes = list(at.cluster)
    at.rng.shuffle(nodes)
    await _kill(at, nodes[: len(nodes) // 2 + 1], "kill-majority", min(seconds, 2.0))


async def kill_all(at: Field, seconds: float) -> None:
    """SIGKILL of all members at one moment."""
    await _kill(at, list(at.cluster), "kill-all", min(seconds, 1.0))


async def pause(at: Field, seconds: float) -> None:
    """SIGSTOP, later SIGCONT: connections stand, nothing is said, and then it goes on as if nothing had been."""
    node = at.victim()
    with at.striking("pause", node.id):
        node.pause()
        try:
            await asyncio.sleep(seconds)
        finally:
            node.resume()


async def rolling(at: Field, _seconds: float) -> None:
    """SIGTERM and a new start, one member after the other: what an upgrade does."""
    for node in list(at.cluster):
        with at.striking("rolling", node.id):
            try:
                await node.terminate()
            finally:
                await _again(at, [node])


async def transfer(at: Field, _seconds: float) -> None:
    """Leadership is handed over by SIGTERM of the leader alone."""
    node = at.victim(leader=True)
    with at.striking("transfer", node.id):
        try:
            await node.terminate()
        finally:
            await _again(at, [node])


async def isolate(at: Field, seconds: float) -> None:
    """One member is cut off from all others; clients do reach it."""
    node = at.victim()
    wires = at.network.among(lambda one, other: node.id in (one, other))
    with at.striking("isolate", node.id), at.network.held(wires):
        await asyncio.sleep(seconds)


async def halves(at: Field, seconds: float) -> None:
    """A minority is cut off from a majority."""
    names = [node.id for node in at.cluster]
    at.rng.shuffle(names)
    minority = set(names[: (len(names) - 1) // 2])
    wires = at.network.among(lambda one, other: (one in minority) != (other in minority))
    with at.striking("halves", *sorted(minority)), at.network.held(wires):
        await asyncio.sleep(seconds)


async def bridge(at: Field, seconds: float) -> None:
    """Two sides that only one member sees both of."""
    names = [node.id for node in at.cluster]
    at.rng.shuffle(names)
    middle, rest = names[0], names[1:]
    one_side = set(rest[: len(rest) // 2])
    wires = at.network.among(
        lambda one, other: middle not in (one, other) and (one in one_side) != (other in one_side)
    )
    with at.striking("bridge", *rest, down=len(names) > 3), at.network.held(wires):
        await asyncio.sleep(seconds)


async def one_way(at: Field, seconds: float) -> None:
    """A member is heard by nobody, or hears nobody."""
    node = at.victim()
    deaf = at.rng.random() < 0.5
    wires = at.network.among(lambda one, other: (other if deaf else one) == node.id)
    with at.striking("one-way", node.id), at.network.held(wires):
        await asyncio.sleep(seconds)


async def delay(at: Field, seconds: float) -> None:
    """20 to 150 ms more on every wire of a member."""
    node = at.victim()
    wires = at.network.among(lambda one, other: node.id in (one, other)) + at.network.before_api(node.id)
    with (
        at.striking("delay", node.id, down=False),
        at.network.under(Weather(delay_seconds=at.rng.uniform(0.02, 0.15)), wires),
    ):
        await asyncio.sleep(seconds)


async def throttle(at: Field, seconds: float) -> None:
    """A member's wires carry 30 to 300 KB a second."""
    node = at.victim()
    wires = at.network.among(lambda one, other: node.id in (one, other))
    with (
        at.striking("throttle", node.id, down=False),
        at.network.under(Weather(bytes_per_second=at.rng.uniform(30e3, 300e3)), wires),
    ):
        await asyncio.sleep(seconds)


async def break_connections(at: Field, seconds: float) -> None:
    """Connections between members are reset again and again: what was under way comes twice, or never."""
    node = at.victim()
    wires = at.network.among(lambda one, other: node.id in (one, other))
    until = time.monotonic() + seconds
    with at.striking("reconnect", node.id, down=False):
        while time.monotonic() < until:
            for wire in wires:
                wire.break_connections()
            await asyncio.sleep(at.rng.uniform(0.05, 0.5))


async def drop_clients(at: Field, seconds: float) -> None:
    """Clients' connections to a member are reset in the middle of requests."""
    node = at.victim()
    until = time.monotonic() + seconds
    with at.striking("drop-clients", node.id):
        while time.monotonic() < until:
            for wire in at.network.before_api(node.id):
                wire.break_connections()
            await asyncio.sleep(at.rng.uniform(0.05, 0.3))


FAULTS: dict[str, Fault] = {
    "kill": kill,
    "kill-leader": kill_leader,
    "kill-majority": kill_majority,
    "kill-all": kill_all,
    "pause": pause,
    "rolling": rolling,
    "transfer": transfer,
    "isolate": isolate,
    "halves": halves,
    "bridge": bridge,
    "one-way": one_way,
    "delay": delay,
    "throttle": throttle,
    "reconnect": break_connections,
    "drop-clients": drop_clients,
}
ONE_MEMBER = frozenset(FAULTS) - {"kill-majority", "kill-all", "bridge"}
