"""A short storm in every run, and storms over members with planted defects, which must be found."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.chaos import judge, records
from tests.chaos.faults import FAULTS
from tests.chaos.report import write_report
from tests.chaos.sabotage import DEFECTS
from tests.chaos.storm import Plan, line, run
from tests.integration import cluster
from tests.integration.raw import seed_of_run

pytestmark = pytest.mark.timeout(400)

STORMS = {  # what brings each defect to light
    "unsynced-journal": ("kill-all",),
    "stale-read": ("isolate", "one-way"),
    "lost-keys": ("kill-leader", "drop-clients"),
    "leak": ("transfer",),
}


def test_a_short_storm_leaves_every_promise_kept(tmp_path: Path) -> None:
    """Every kind of fault may come; the seed is new each time, and printed."""
    seed = seed_of_run()
    outcome = asyncio.run(
        run(Plan(seconds=45.0, seed=seed, every_seconds=4.0, operations_per_second=150.0), tmp_path)
    )
    print(line(outcome))
    assert outcome.verdict.ok, outcome.verdict.violations
    assert outcome.struck
    assert {fault.kind for fault in outcome.struck} <= set(FAULTS)
    write_report(tmp_path, outcome, line(outcome))
    assert (tmp_path / "timeline.png").stat().st_size > 20_000
    assert "Every promise kept" in (tmp_path / "report.html").read_text(encoding="utf-8")
    path = tmp_path / "history.jsonl"
    records.write(path, outcome.diary.operations)
    again = records.read(path)
    assert again == outcome.diary.operations, "a history comes back from its file as it was"
    assert judge.judge_history(again).ok


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_a_planted_defect_turns_the_verdict_red(
    defect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members without one of their guards are found out, by what their clients saw alone."""
    monkeypatch.setattr(
        cluster, "NODE_COMMAND", (sys.executable, "-m", "tests.chaos.sabotage", defect, "node")
    )
    plan = Plan(
        seconds=12.0,
        faults=STORMS[defect],
        seed=seed_of_run(),
        every_seconds=5.0,
        overlapping=False,
        least_faults=3,
        operations_per_second=150.0,
        catch_up_seconds=2.0,  # what is lost does not come
    )
    outcome = asyncio.run(run(plan, tmp_path))
    print(line(outcome))
    assert not outcome.verdict.ok, "the judge has not noticed"
    print(outcome.verdict.violations[0][:400])
