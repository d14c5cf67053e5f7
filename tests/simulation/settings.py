"""What a world may contain: its size, how long it lasts, which faults strike it, and what its clients do. Tests narrow it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.member import SimNode

FAULTS = (
    "crash", "crash", "crash_majority", "crash_all", "crash_in_call", "crash_at", "crash_at", "cut", "isolate", "halves", "bridge", "one_way",
    "pause", "pause_several", "freeze", "slow_link", "torn_frame", "reconnect", "slow_disk", "full_disk", "failing_sync", "bit_rot",
    "snapshot", "install", "transfer", "skew", "clock_jumps",
    "add_learner", "promote", "remove_follower", "remove_leader", "replace", "two_operators",
)  # fmt: skip


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
    mutate: Callable[[SimNode], None] | None = None  # a planted defect, applied to each node at boot
