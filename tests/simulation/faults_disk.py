"""Faults of disks, and snapshots at hostile moments; see `faults` for the table of kinds."""

from __future__ import annotations

import random
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
    victim.disk.full = victim.disk.failing = False  # it is looked at on a sound machine
    flipped = victim.disk.rot()
    world.failpoints.disarm()  # what follows only looks
    if flipped is not None:
        world.faults.rotten += 1
        try:
            opened = storage.open_storage(victim.disk, victim.identity, world.settings.segment_bytes)
        except StorageError:
            world.faults.rot_detected += 1
        else:
            _judge_rotten(victim, opened, image, flipped)
    victim.disk.restore(image)
    world.faults.restart_later(victim, fault.duration)


def _judge_rotten(
    node: SimNode, opened: storage.Opened, image: dict[str, bytes], flipped: tuple[str, int]
) -> None:
    """It started in spite of the flip: then nothing may be missing (the flip hit what an older snapshot or segment holds)."""
    clean_disk = SimDisk(random.Random(0))
    clean_disk.restore(image)
    clean = storage.open_storage(clean_disk, node.identity, node.world.settings.segment_bytes)
    same = (
        opened.journal.entries == clean.journal.entries
        and (opened.journal.term, opened.journal.vote) == (clean.journal.term, clean.journal.vote)
        and opened.state.digest == clean.state.digest
    )
    if not same:
        raise ViolationError(
            f"{node.node_id} started from a damaged disk ({flipped[0]} at byte {flipped[1]})"
        )


def _install(world: World, fault: Fault, victim: SimNode, dice: random.Random) -> None:
    """The victim falls behind and is sent a snapshot, while the senders make new ones, or it, or a sender, dies of it."""
    isolate(world, fault, victim, dice)
    others = [node for node in world.nodes.values() if node is not victim]
    for node in others:
        world.at(max(0.0, fault.duration - 0.01), node.snapshot)
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
}
