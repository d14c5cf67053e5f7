"""What a negative control is: one guard, taken away in a test, and the check that must then complain.

A checker that has never been seen to fail proves nothing. Every control therefore has two halves: with the guard nothing is
found, without it the damage shows, within a stated number of tries. Nothing here can be switched on in the product: a control replaces
methods of objects that a test has made, or names of modules for the length of a test.

There are four ways to catch a defect:

`InWorld`    whole simulated clusters (`tests.simulation`); the seed that shows it is pinned in `seeds.json`, found by `tests.controls.search`
`Directed`   a scenario of chosen steps, for orders that chance rarely finds; called once with the guard and once without
`InLogs`     random logs against the plain model and the other judges of the state machine
`Elsewhere`  a test of another room that takes the guard away itself, by a parameter
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from node.disk import StorageError
from statemachine.state import State
from tests.simulation.member import SimNode
from tests.simulation.world import Settings, World
from tests.statemachine.logs import Batch

CAUGHT = (
    AssertionError,
    StorageError,
)  # a judge complains, a member refuses to start, an assertion of the product holds
SEEDS = Path(__file__).with_name("seeds.json")


class DamageError(AssertionError):
    """A directed scenario shows the damage that a guard prevents."""


@dataclass(frozen=True)
class InWorld:
    """Simulated clusters. `mutate` is applied to each member when its core is made, `patch` to modules for the whole run."""

    settings: Callable[[], Settings]
    mutate: Callable[[SimNode], None] | None = None
    patch: Callable[[pytest.MonkeyPatch], None] | None = None
    budget: int = 12  # seeds

    def run(self, seed: int, *, guarded: bool) -> None:
        """One world. Raises one of CAUGHT when something is found."""
        settings = self.settings()
        with pytest.MonkeyPatch.context() as patch:
            if not guarded:
                settings.mutate = self.mutate
                if self.patch is not None:
                    self.patch(patch)
            World(seed, settings).run()


@dataclass(frozen=True)
class Directed:
    """A scenario: quiet when `guarded`, raises one of CAUGHT when not."""

    scenario: Callable[[bool, pytest.MonkeyPatch], None]

    def run(self, *, guarded: bool) -> None:
        """Play it once."""
        with pytest.MonkeyPatch.context() as patch:
            self.scenario(guarded, patch)


@dataclass(frozen=True)
class InLogs:
    """Random logs: `judge` lists what is wrong with how a state machine carries out a log."""

    broken: type[State]
    judge: Callable[[list[Batch], Callable[[], State]], list[str]]
    budget: int = 400  # logs

    def complaints(self, batches: list[Batch], *, guarded: bool) -> list[str]:
        """What the judge says of one log. A class of its own for each call, so that what it counts begins anew."""
        return self.judge(batches, State if guarded else type("Broken", (self.broken,), {}))


@dataclass(frozen=True)
class Elsewhere:
    """`file::function` of a test with a parameter whose value False takes the guard away, and which then demands the damage."""

    test: str
    parameter: str = "guarded"


@dataclass(frozen=True)
class Control:
    """One row of the table in docs/planted-defects.md."""

    name: str
    row: str  # of the table of defects, or the invariant
    defect: str  # what the stock behaviour does
    guard: str  # what mends it, and where
    removed: str  # how the guard is taken away
    by: InWorld | Directed | InLogs | Elsewhere
    says: str = ""  # a pattern that the complaint must match


def pinned_seeds() -> dict[str, int]:
    """The seed of each `InWorld` control that showed it when the seeds were last searched."""
    seeds: dict[str, int] = json.loads(SEEDS.read_text()) if SEEDS.exists() else {}
    return seeds


def pin(name: str, seed: int) -> None:
    """Write down the seed that shows a control."""
    seeds = pinned_seeds() | {name: seed}
    SEEDS.write_text(json.dumps(dict(sorted(seeds.items())), indent=2) + "\n")
