"""One seed run to its end, in this process or in a pool of others, and what came of it."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.simulation.member import SimNode, ViolationError
from tests.simulation.settings import Settings
from tests.simulation.world import Observer, World

CALM_SECONDS = 15.0
MIXTURE = 3  # one seed of so many has five members, when nobody says how many


@dataclass(frozen=True)
class Job:
    """One run: everything that decides it."""

    seed: int
    members: int
    minutes: float = 1.0
    only: tuple[int, ...] | None = None  # numbers of the faults of the plan that are carried out; None: all
    plant: Callable[[SimNode], None] | None = None  # a planted defect, for the tests of this very machinery

    def settings(self) -> Settings:
        """Of its world."""
        return replace(
            Settings.drawn(self.seed, self.members),
            fault_seconds=self.minutes * 60 - CALM_SECONDS,
            calm_seconds=CALM_SECONDS,
            only=None if self.only is None else frozenset(self.only),
            mutate=self.plant,
        )

    def with_only(self, numbers: Iterable[int]) -> Job:
        """The same run with a part of its faults."""
        return replace(self, only=tuple(sorted(numbers)))

    @property
    def command(self) -> str:
        """What runs it again."""
        words = ["./scripts/simulate --first", str(self.seed), "--seeds 1 --nodes", str(self.members)]
        if self.minutes != 1.0:
            words.append(f"--minutes {self.minutes:g}")
        if self.only is not None:
            words.append(f"--only {','.join(map(str, self.only)) or 'none'}")
        return " ".join(words)


def members_for(seed: int) -> int:
    """A mixture of cluster sizes, the same for a seed every time."""
    return 5 if seed % MIXTURE == MIXTURE - 1 else 3


@dataclass(frozen=True)
class Result:
    """How it ended. `violation` is one line, "" when every promise was kept; `detail` is a stack trace when code broke."""

    job: Job
    simulated_seconds: float
    cpu_seconds: float
    trace_hash: str
    operations: int
    reads: int
    violation: str = ""
    kind: str = ""
    detail: str = ""
    moment: float = 0.0  # when it was violated; 0.0: at the end of the run, which stopped there
    faults: dict[str, int] = field(default_factory=dict)
    failpoints: dict[str, int] = field(default_factory=dict)


def run_job(job: Job) -> Result:
    """One world, both phases."""
    return watch_job(job, None)[1]


def watch_job(job: Job, recorder: Observer | None) -> tuple[World, Result]:
    """The same, with somebody looking on."""
    world = World(job.seed, job.settings(), recorder)
    violation = kind = detail = ""
    moment = 0.0
    started = time.process_time()
    try:
        world.run()
    except ViolationError as error:
        violation = " ".join(str(error).split())
        kind = kind_of(violation)
        moment = _moment_of(violation)
    except Exception as error:  # noqa: BLE001 - any exception inside the shipped code is a finding; it is reported whole
        kind = _place_of(error)
        violation = f"{kind}: {' '.join(str(error).split())[:200]}"
        detail = traceback.format_exc()
    cpu_seconds = time.process_time() - started
    result = Result(
        job,
        world.now,
        cpu_seconds,
        world.trace_hash,
        len(world.operations),
        world.clients.reads_judged,
        violation,
        kind,
        detail,
        moment,
        dict(world.faults.kinds),
        dict(world.failpoints.crashed),
    )
    return world, result


def kind_of(violation: str) -> str:
    """What was violated, without who, when and how much: equal for two runs that break the same promise in the same manner."""
    head = re.split(r"[\[{(]|Outcome", violation)[0]
    return re.sub(r"\d+(\.\d+)?", "#", head).strip(" :")


def _moment_of(violation: str) -> float:
    """A judge of histories speaks at the end of what was done between two moments, written [from, to]: the latter is the one to look at."""
    found = re.search(r"\[\d+\.\d+, (\d+\.\d+)\]", violation)
    return float(found.group(1)) if found else 0.0


def _place_of(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}:{frame.name}"
