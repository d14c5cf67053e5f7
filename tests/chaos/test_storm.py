"""A short storm in every run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.chaos import judge, records
from tests.chaos.faults import FAULTS
from tests.chaos.report import write_report
from tests.chaos.storm import Plan, line, run
from tests.integration.raw import seed_of_run

pytestmark = pytest.mark.timeout(400)


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
