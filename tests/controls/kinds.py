"""Kinds of worlds in which guards are taken away: each narrowed to the faults that a class of defects needs."""

from __future__ import annotations

from tests.simulation.world import Settings

HISTORY = "|history of the clients: #"  # no order of the operations explains the answers


def anything() -> Settings:
    """Every kind of fault."""
    return Settings()


def power_cuts() -> Settings:
    """Slow disks and power cuts: what was said too early is found missing."""
    return Settings(faults=("slow_disk", "slow_disk", "crash_all"), fault_every_seconds=0.5)


def restarts() -> Settings:
    """Members die and come back all the time."""
    return Settings(faults=("crash", "crash_all", "crash_in_call", "cut"), fault_every_seconds=0.4)


def compactions() -> Settings:
    """Snapshots all the time, and deaths in the middle of them."""
    return Settings(
        faults=("snapshot", "crash", "crash_all", "crash_in_call"), fault_every_seconds=0.4, snapshot_every=20
    )


def rot() -> Settings:
    """Bits flip on the disks of stopped members."""
    return Settings(faults=("bit_rot", "snapshot"), fault_every_seconds=0.3, snapshot_every=30)


def divided() -> Settings:
    """Five members that lose sight of each other, with logs so short that snapshots are needed."""
    return Settings(
        members=5,
        faults=("isolate", "halves", "one_way", "cut", "snapshot", "transfer", "crash"),
        fault_every_seconds=0.6,
        snapshot_every=20,
        trim_behind=1,
    )


def calm() -> Settings:
    """Few faults: the rules alone are on trial."""
    return Settings(faults=("cut", "pause"), fault_seconds=12.0, calm_seconds=6.0)


def wrong_clocks() -> Settings:
    """Clocks that are wrong, and leaders that change."""
    return Settings(faults=("skew", "skew", "transfer", "cut"), fault_every_seconds=0.8)
