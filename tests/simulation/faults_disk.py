"""Faults of disks, and snapshots at hostile moments; see `faults` for the table of kinds."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from node import storage
from node.disk import StorageError
from tests.simulation.disk import SimDisk
from tests.simulation.faults_network import isolate
from tests.simulation.member import ViolationError
from tests.simulation.plan import Fault

if TYPE_CHECKING:
    from tests.simulation.faults import Strike
    from tests.simulation.member import SimNode
    from tests.simulation.world import World

INSTALL_SECONDS = 0.6  # within which a member that was cut off is sent a snapshot
SNAPSHOTS_MEANWHILE = 8
FETCH_BEGINS_SECONDS = 2.0
LOOK_SECONDS = 0.001
AHEAD_SECONDS = 0.1  # in which the others write their snapshots


def _slow_disk(world: World, fault: Fault, victim: SimNode, _dice: random.Random) -> None:
    victim.slow_until = max(victim.slow_until, world.now + fault.duration)


def _full_disk(world: World, fault: Fault, victim: SimNode, _dice: random.Random) -> None:
    victim.disk.full = True
    world.faults.crash(victim, 0.0, after=fault.duration)


def _failing_sync(world: World, fault: Fault, victim: SimNode, _dice: random.Random) -> None:
    victim.disk.failing = True
    world.faults.crash(victim, 0.0, after=fault.duration)


def _wipe(world: World, fault: Fault, victim: SimNode, _dice: random.Random) -> None:
    """The disk is lost. A member that comes back with an empty one under its old name must be refused until it is replaced."""
    victim.crash()
    victim.disk.restore({})
    world.faults.restart_later(victim, fault.duration)


def _bit_rot(world: World, fault: Fault, victim: SimNode, _dice: random.Random) -> None:
    """A bit flips on the disk of a stopped member: it must refuse to start, or be unharmed; then the disk is mended."""
    victim.crash()
    image = victim.disk.image()
    flipped = victim.disk.rot()
    if flipped is not None and victim.had_identity:
        world.faults.rotten += 1
        try:
            looked_at = _copy(victim.disk.image())  # on a sound machine, where nobody is armed
            opened = storage.open_storage(looked_at, victim.identity, world.settings.segment_bytes)
        except StorageError:
            world.faults.rot_detected += 1
        else:
            _judge_rotten(victim, opened, image, flipped)
    victim.disk.restore(image)
    world.faults.restart_later(victim, fault.duration)


def _copy(image: dict[str, bytes]) -> SimDisk:
    disk = SimDisk(random.Random(0))
    disk.restore(image)
    return disk


def _judge_rotten(
    node: SimNode, opened: storage.Opened, image: dict[str, bytes], flipped: tuple[str, int]
) -> None:
    """It started in spite of the flip: then nothing may be missing (the flip hit what an older snapshot or segment holds)."""
    clean = storage.open_storage(_copy(image), node.identity, node.world.settings.segment_bytes)
    same = (
        opened.journal.entries == clean.journal.entries
        and (opened.journal.term, opened.journal.vote) == (clean.journal.term, clean.journal.vote)
        and opened.state.digest == clean.state.digest
    )
    if not same:
        raise ViolationError(
            f"{node.node_id} started from a damaged disk ({flipped[0]} at byte {flipped[1]})"
        )


def _fall_behind(world: World, fault: Fault, victim: SimNode, dice: random.Random) -> None:
    """The victim is cut off, and when it is back the others have snapshots of what it lacks."""
    isolate(world, fault, victim, dice)

    def move_on(node: SimNode) -> None:
        node.trim_behind = 0  # whatever the victim lacks is in the snapshot alone
        node.snapshot()

    for node in [node for node in world.nodes.values() if node is not victim]:
        world.at(max(0.0, fault.duration - AHEAD_SECONDS), lambda node=node: move_on(node))  # type: ignore[misc]  # mypy cannot infer such a lambda
        world.at(fault.duration + FETCH_BEGINS_SECONDS, node.trims_as_usual)


def _when_fetching(world: World, fault: Fault, victim: SimNode, action: Callable[[], None]) -> None:
    """Do it once, when the victim has begun to fetch a snapshot."""
    end = world.now + fault.duration + FETCH_BEGINS_SECONDS

    def look() -> None:
        if world.calm or world.now > end:
            return
        if victim.pipeline is not None and _is_fetching(victim):
            action()
        else:
            world.at(LOOK_SECONDS, look)

    world.at(fault.duration, look)


def _is_fetching(node: SimNode) -> bool:
    return node.fetcher._receiver is not None or node.fetcher.ready is not None


def _spoiled_fetch(world: World, fault: Fault, victim: SimNode, dice: random.Random) -> None:
    """A bit of what is fetched flips: the whole file must be refused, and fetched again."""
    _fall_behind(world, fault, victim, dice)
    victim.disk.spoiling = True


def _interrupted_fetch(world: World, fault: Fault, victim: SimNode, dice: random.Random) -> None:
    """The victim is cut off again when it has just begun to fetch, and then there is something newer to fetch."""
    _fall_behind(world, fault, victim, dice)
    again = dataclasses.replace(fault, duration=0.2 + fault.amount)
    _when_fetching(world, fault, victim, lambda: _fall_behind(world, again, victim, dice))


def _colliding_snapshots(world: World, fault: Fault, victim: SimNode, dice: random.Random) -> None:
    """The victim writes a snapshot of its own when the one that it fetches arrives."""
    _fall_behind(world, fault, victim, dice)
    _when_fetching(world, fault, victim, victim.snapshot)


def _install(world: World, fault: Fault, victim: SimNode, dice: random.Random) -> None:
    """The victim falls behind and is sent a snapshot, while the senders make new ones, or it, or a sender, dies of it."""
    _fall_behind(world, fault, victim, dice)
    others = [node for node in world.nodes.values() if node is not victim]
    if fault.amount < 0.5:
        for _ in range(SNAPSHOTS_MEANWHILE):
            delay = fault.duration + dice.uniform(0, INSTALL_SECONDS)
            world.at(delay, dice.choice([*others, victim]).snapshot)
        return
    dies = victim if fault.amount < 0.75 else dice.choice(others)
    calls = dice.randrange(20)

    def die_in_a_call() -> None:
        if dies.alive and not world.calm:
            dies.disk.crash_in = calls

    world.at(fault.duration + dice.uniform(0, INSTALL_SECONDS), die_in_a_call)
    world.faults.crash(dies, 0.3, after=fault.duration + 2 * INSTALL_SECONDS)


DISK_FAULTS: dict[str, Strike] = {
    "slow_disk": _slow_disk,
    "full_disk": _full_disk,
    "failing_sync": _failing_sync,
    "wipe": _wipe,
    "bit_rot": _bit_rot,
    "snapshot": lambda _world, _fault, victim, _dice: victim.snapshot(),
    "install": _install,
    "spoiled_fetch": _spoiled_fetch,
    "interrupted_fetch": _interrupted_fetch,
    "colliding_snapshots": _colliding_snapshots,
}
