"""The faults of a run as a list that is made up before it begins.

A seed generates the whole plan from a stream of its own, with everything that a fault needs (victims, durations, a seed for its own dice), and
`faults.Injector` carries it out. So a plan can be printed, run in part (`Settings.only`, `--only 3,17`), and shrunk to the faults that matter.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulation.events import stream
from tests.simulation.settings import Settings

FIRST_FAULT_AT = 2.5
DURATION_SECONDS = (0.1, 3.0)
LEADER = "leader"  # a victim that is chosen when the moment comes: whoever leads then
LEADER_SHARE = 0.25


@dataclass(frozen=True)
class Fault:
    """One fault. What `amount` means depends on the kind (see `faults`); `group` are members beside the victim."""

    number: int
    at: float
    kind: str
    victim: str
    duration: float
    group: tuple[str, ...]
    amount: float  # from 0 to 1
    dice: int  # seeds what the fault decides by chance while it lasts

    def __str__(self) -> str:
        group = f" with {','.join(self.group)}" if self.group else ""
        return f"#{self.number} {self.kind} {self.victim}{group} for {self.duration:.2f} s"


def make_plan(seed: int, settings: Settings, ids: list[str]) -> list[Fault]:
    """All faults of a run, in order."""
    rng = stream(seed, "faults")
    plan: list[Fault] = []
    moment = FIRST_FAULT_AT
    while settings.faults and moment < settings.fault_seconds:
        kind = rng.choice(settings.faults)
        victim = rng.choice(ids)
        others = [node_id for node_id in ids if node_id != victim]
        rng.shuffle(others)
        fault = Fault(
            len(plan),
            moment,
            kind,
            LEADER if rng.random() < LEADER_SHARE else victim,
            rng.uniform(*DURATION_SECONDS),
            tuple(others[: _group_size(kind, len(ids), rng.random())]),
            rng.random(),
            rng.getrandbits(32),
        )
        plan.append(fault)
        moment += rng.expovariate(1 / settings.fault_every_seconds)
    return plan


def _group_size(kind: str, members: int, roll: float) -> int:
    """How many members beside the victim a fault concerns."""
    match kind:
        case "cut" | "two_operators":
            return 1
        case "crash_majority" | "halves":
            return members // 2
        case "pause_several":
            return 1 + int(roll * (members - 1))
        case "bridge":
            return (members - 1) // 2
    return 0
