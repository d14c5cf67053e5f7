"""Wires that fall silent, are slow, or break (`tests.chaos.wires`)."""

from __future__ import annotations

import asyncio
import time

from tests.chaos.faults.field import Field
from tests.chaos.wires import Weather


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


async def loss(at: Field, seconds: float) -> None:
    """2 to 20 % of the packets from and to a member are dropped, those of its clients too."""
    node = at.victim()
    wires = at.network.among(lambda one, other: node.id in (one, other)) + at.network.before_api(node.id)
    with (
        at.striking("loss", node.id),
        at.network.under(Weather(loss=at.rng.uniform(0.02, 0.2)), wires),
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
