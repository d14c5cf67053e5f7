"""The faults of a run as a list that is made up before it begins.

A seed generates the whole plan from a stream of its own, with everything that a fault needs (victims, durations, a seed for its own dice), and
`faults.Injector` carries it out. So a plan can be printed, run in part (`Settings.only`, `--only 3,17`), and shrunk to the faults that matter.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulation.events import stream
from tests.simulation.failpoints import points
from tests.simulation.settings import Settings

FIRST_FAULT_AT = 2.5
DURATION_SECONDS = (0.1, 3.0)
LEADER = "leader"  # a victim that is chosen when the moment comes: whoever leads then
LEADER_SHARE = 0.25
THEME_WITHIN_SECONDS = 10.0  # the theme of a world is armed by then
COMPANIONS = 8
TORN_COMPANIONS = 20  # half of all frames lie within one sector, and cannot be torn
COMPANION_SECONDS = (1.5, 3.0)
COMPANIONS_WITHIN_SECONDS = 32.0
BIRTH_SITE = "storage._write_identity:"  # passed once in a life, before anything else
_TORN = "segments.SegmentedLog._write:write_durably/torn"
_UNFINISHED = "snapshots.SnapshotWriter._write:write/after"
_COMPANIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    # What makes a rare place be passed, by the beginning of its name: kinds of faults, or points where somebody dies.
    ("segments.SegmentedLog._drop_oldest:", ("install",)),
    ("segments.SegmentedLog._rotate:", ("install",)),
    ("segments.SegmentedLog.prepare_spare:", ("install",)),
    ("segments.SegmentedLog.recover:write_durably", (_TORN,)),
    ("segments.SegmentedLog.recover:", ("crash",)),
    ("segments.scan_journal:", ("crash",)),
    ("snapshots.SnapshotReceiver.abandon:", ("interrupted_fetch",)),
    ("snapshots.SnapshotReceiver.publish:remove", ("spoiled_fetch",)),
    ("snapshots.SnapshotReceiver.", ("install",)),
    ("snapshots.SnapshotWriter.abandon:", ("colliding_snapshots",)),
    ("snapshots.SnapshotWriter.", ("snapshot",)),
    ("snapshots.remove_unfinished:", ("snapshot", _UNFINISHED)),
    ("snapshots._", ("snapshot", "crash")),
    ("storage.drop_old:", ("snapshot",)),
    ("storage.read_identity:", ("crash",)),
    ("transfer.", ("install",)),
)


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
    point: str = ""  # of `crash_at`: where; "": somewhere, chosen when the moment comes

    def __str__(self) -> str:
        group = f" with {','.join(self.group)}" if self.group else ""
        return f"#{self.number} {self.kind} {self.point or self.victim}{group} for {self.duration:.2f} s"


def make_plan(seed: int, settings: Settings, ids: list[str]) -> list[Fault]:
    """All faults of a run: its theme, and then those of chance in order."""
    rng = stream(seed, "faults")
    plan = _theme(seed, ids) if "crash_at" in settings.faults else []
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


def theme_of(seed: int) -> str:
    """The point that is this seed's own: so many seeds in a row as there are points have them all."""
    return points()[seed % len(points())]


def _theme(seed: int, ids: list[str]) -> list[Fault]:
    """The seed's own point, armed early, and what makes it be passed."""
    rng, point = stream(seed, "theme"), theme_of(seed)
    at = 0.0 if point.startswith(BIRTH_SITE) else rng.uniform(0.0, THEME_WITHIN_SECONDS)
    made = [Fault(0, at, "crash_at", rng.choice(ids), 0.0, (), 0.0, rng.getrandbits(32), point)]
    kinds = next((kinds for beginning, kinds in _COMPANIONS if point.startswith(beginning)), ())
    count = 0 if not kinds else TORN_COMPANIONS if _TORN in kinds else COMPANIONS
    for number in range(1, 1 + count):
        kind = kinds[number % len(kinds)]
        at = FIRST_FAULT_AT + (number - rng.random()) * COMPANIONS_WITHIN_SECONDS / count
        place = kind if "/" in kind else ""
        made.append(
            Fault(
                number,
                at,
                "crash_at" if place else kind,
                rng.choice(ids),
                rng.uniform(*COMPANION_SECONDS),
                (),
                rng.random(),
                rng.getrandbits(32),
                place,
            )
        )
    return made


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
