"""Storms over members with planted defects: each must be found, and as what it is."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.chaos.sabotage import DEFECTS
from tests.chaos.storm import Plan, line, run
from tests.integration import cluster
from tests.integration.raw import seed_of_run

pytestmark = pytest.mark.timeout(400)


class Trap(NamedTuple):
    """The faults that bring a defect to light, and what the judge says when it has seen it."""

    faults: tuple[str, ...]
    said: str


TRAPS = {
    "unsynced-journal": Trap(("kill-all",), "There is no place for"),
    "stale-read": Trap(("isolate", "one-way"), "There is no place for"),
    "lost-keys": Trap(("kill-leader", "drop-clients"), "There is no place for"),
    "leak": Trap(("transfer",), "MiB, [0-9]+ when it begins anew"),
}


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_a_planted_defect_turns_the_verdict_red(
    defect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members without one of their guards are found out, by what their clients saw alone."""
    monkeypatch.setattr(
        cluster, "NODE_COMMAND", (sys.executable, "-m", "tests.chaos.sabotage", defect, "node")
    )
    trap = TRAPS[defect]
    plan = Plan(
        seconds=12.0,
        faults=trap.faults,
        seed=seed_of_run(),
        every_seconds=5.0,
        overlapping=False,
        least_faults=3,
        operations_per_second=150.0,
        catch_up_seconds=2.0,  # what is lost does not come
    )
    outcome = asyncio.run(run(plan, tmp_path))
    print(line(outcome))
    said = "\n".join(outcome.verdict.violations)
    print(said[:4000])
    assert re.search(trap.said, said), "the judge has not noticed"
