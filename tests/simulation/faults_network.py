"""Faults of paths and connections; see `faults` for the table of kinds and `network` for what becomes of messages."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.simulation.plan import Fault

if TYPE_CHECKING:
    from tests.simulation.faults import Strike
    from tests.simulation.member import SimNode
    from tests.simulation.world import World

BROKEN_SHARE = 0.5  # of the connections of a path that is cut or healed, those that break at that moment
TORN_SHARE = 0.7
SLOWEST_BYTES_PER_SECOND = 3_000  # less than heartbeats and a little load need
FASTEST_SLOW_BYTES_PER_SECOND = 300_000


def cut_paths(world: World, pairs: list[tuple[str, str]], duration: float, dice: random.Random) -> None:
    """Nothing passes for a while; some of the connections break at the beginning, some at the end, some survive."""

    def break_some() -> None:
        for pair in pairs:
            if dice.random() < BROKEN_SHARE:
                world.network.break_as_chance_will(*pair)

    for pair in pairs:
        link = world.network.links[pair]
        link.cut_until = max(link.cut_until, world.now + duration)
    break_some()
    world.at(duration, break_some)


def isolate(world: World, fault: Fault, victim: SimNode, dice: random.Random) -> None:
    """Nobody hears the victim, and it hears nobody."""
    cut_paths(world, [pair for pair in world.network.links if victim.node_id in pair], fault.duration, dice)


def _cut(world: World, fault: Fault, victim: SimNode, dice: random.Random) -> None:
    other = next(node.node_id for node in world.faults.all_of(fault, victim) if node is not victim)
    cut_paths(world, [(victim.node_id, other), (other, victim.node_id)], fault.duration, dice)


def _halves(world: World, fault: Fault, _victim: SimNode, dice: random.Random) -> None:
    half = set(fault.group)
    pairs = [(a, b) for a, b in world.network.links if (a in half) != (b in half)]
    cut_paths(world, pairs, fault.duration, dice)


def _bridge(world: World, fault: Fault, victim: SimNode, dice: random.Random) -> None:
    half = set(fault.group)
    pairs = [
        (a, b) for a, b in world.network.links if victim.node_id not in (a, b) and (a in half) != (b in half)
    ]
    cut_paths(world, pairs, fault.duration, dice)


def _one_way(world: World, fault: Fault, victim: SimNode, dice: random.Random) -> None:
    cut_paths(
        world, [pair for pair in world.network.links if pair[0] == victim.node_id], fault.duration, dice
    )


def _freeze(world: World, fault: Fault, victim: SimNode, _dice: random.Random) -> None:
    """What the victim sends is held, and arrives late but whole."""
    for pair, link in world.network.links.items():
        if pair[0] == victim.node_id:
            link.frozen_until = max(link.frozen_until, world.now + fault.duration)


def _slow_link(world: World, fault: Fault, victim: SimNode, _dice: random.Random) -> None:
    """To and from the victim there is little room; a connection that holds too much is broken by its sender."""
    ratio = FASTEST_SLOW_BYTES_PER_SECOND / SLOWEST_BYTES_PER_SECOND
    for pair, link in world.network.links.items():
        if victim.node_id in pair:
            link.slow_until = world.now + fault.duration
            link.bytes_per_second = SLOWEST_BYTES_PER_SECOND * ratio**fault.amount


def _torn_frame(world: World, _fault: Fault, victim: SimNode, dice: random.Random) -> None:
    """The connection ends inside the next frame that the victim sends."""
    for pair, link in world.network.links.items():
        if pair[0] == victim.node_id and dice.random() < TORN_SHARE:
            link.tear = True


def _reconnect(world: World, fault: Fault, victim: SimNode, dice: random.Random) -> None:
    """A few times in a row senders take connections for dead whose messages still arrive: the receiver gets them twice."""

    def break_one(pair: tuple[str, str]) -> None:
        world.network.break_link(*pair, drained=True)

    pairs = [pair for pair in world.network.links if victim.node_id in pair]
    for _ in range(1 + int(fault.amount * 5)):
        for pair in pairs:
            world.at(dice.uniform(0.0, fault.duration), lambda pair=pair: break_one(pair))  # type: ignore[misc]  # mypy cannot infer such a lambda


NETWORK_FAULTS: dict[str, Strike] = {
    "cut": _cut,
    "isolate": isolate,
    "halves": _halves,
    "bridge": _bridge,
    "one_way": _one_way,
    "freeze": _freeze,
    "slow_link": _slow_link,
    "torn_frame": _torn_frame,
    "reconnect": _reconnect,
}
