"""What a world may contain: its size, how long it lasts, which faults strike it, and what its clients do. Tests narrow it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.events import stream

if TYPE_CHECKING:
    from tests.simulation.member import SimNode

FAULTS = (
    "crash", "crash", "crash_majority", "crash_all", "power_loss", "crash_in_call", "crash_at", "crash_at", "cut", "isolate",
    "halves", "bridge", "one_way",
    "pause", "pause_several", "held_up", "freeze", "slow_link", "torn_frame", "reconnect", "slow_disk", "full_disk", "failing_sync", "bit_rot",
    "snapshot", "install", "spoiled_fetch", "interrupted_fetch", "colliding_snapshots", "transfer", "skew", "clock_jumps",
    "add_learner", "promote", "remove_follower", "remove_leader", "replace", "two_operators",
)  # fmt: skip

BYTES_PER_ENTRY = 700  # what a follower lacks may come in one frame, which fills half a segment at most
SINKS_SHARE = 0.25  # of the worlds; the others stay as they were
OLDER_KINDS = ("journal", "old", "old", "new")  # see `older`
PRODUCT_SHARE = 0.5  # of the seeds, those in whose worlds the whole product is used


@dataclass
class Settings:
    """What a world may contain; tests narrow it."""

    members: int = 3
    fault_seconds: float = 30.0
    calm_seconds: float = 15.0
    fault_every_seconds: float = 1.2
    faults: tuple[str, ...] = FAULTS  # a kind that is named twice comes twice as often
    only: frozenset[int] | None = None  # of the plan, the faults with these numbers (None: all)
    operation_every_seconds: float = 0.02
    seats: int = 4
    users: int = 8
    snapshot_every: int = 60
    trim_behind: int = 5
    delays: float = 1.0  # how many times slower than on one machine's loopback messages travel
    zone_shifts: tuple[int, ...] = (
        0,
    )  # in cells: nodes with other time zone data resolve a local day to another grid
    segment_bytes: int = 512 << 10  # of the journal: small, so that segments turn over
    older_disks: tuple[str, ...] = ()  # what an older program has left: see `older`; (): a new cluster
    product_every_seconds: float | None = (
        None  # how often the people of `product` do something; None: there are none
    )
    few_voters: bool = False  # operators go below three voters; then one wrong clock may be a majority
    sinks: bool = False  # events are told to sinks that fail, hang and recover: see `outbox`
    mutate: Callable[[SimNode], None] | None = None  # a planted defect, applied to each node at boot

    @classmethod
    def drawn(cls, seed: int, members: int) -> Settings:
        """What a seed chooses beside its faults: how busy and how hostile its world is, how slow, how often snapshots are made."""
        dice = stream(seed, "settings")

        def between(low: float, high: float) -> float:
            return low * (high / low) ** dice.random()  # evenly by factors

        snapshot_every = int(between(20, 400))
        return cls(
            members=members,
            fault_every_seconds=between(0.5, 4.0),
            operation_every_seconds=between(0.02, 0.5),
            seats=dice.randrange(1, 9),
            users=dice.randrange(2, 13),
            snapshot_every=snapshot_every,
            trim_behind=int(between(1, 60)),
            delays=between(0.5, 5.0),
            zone_shifts=dice.choice(((0,), (0,), (0, 12, -12), (0, 6))),
            few_voters=dice.random() < 0.25,
            segment_bytes=max(int(between(128 << 10, 512 << 10)), snapshot_every * BYTES_PER_ENTRY),
            older_disks=OLDER_KINDS if dice.random() < 0.25 else (),
            product_every_seconds=between(0.1, 1.0) if dice.random() < PRODUCT_SHARE else None,
            sinks=stream(seed, "sinks drawn").random() < SINKS_SHARE,
        )
