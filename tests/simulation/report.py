"""What is told of a run: the verdict, how to see it again, the plan, the last steps before the end, and the picture."""

from __future__ import annotations

from pathlib import Path

from tests.simulation.picture import draw
from tests.simulation.recorder import Recorder
from tests.simulation.runs import Job, Result, watch_job

TOLD_LINES = 40
LAST_SECONDS = 4.0
LINE_CHARACTERS = 180


class NotTheSameRunError(Exception):
    """The same seed gave another run: the simulation is not deterministic, and none of its results can be trusted."""


def tell(job: Job) -> tuple[Result, list[str], str]:
    """Run it again with a recorder: the result, the whole run in words, and the picture."""
    recorder = Recorder()
    world, result = watch_job(job, recorder)
    title = f"seed {job.seed}, {job.members} members, {world.now:.3f} s"
    lines = recorder.lines()
    if result.violation:
        lines.append(f"{world.now:9.4f}  VIOLATION  {result.violation}")
    return result, lines, draw(world, recorder, title, result.violation, result.moment)


def write_report(result: Result, directory: Path) -> tuple[Path, list[str]]:
    """A directory with `report.txt` and `run.svg`; where it is, and the last lines of the run."""
    again, lines, picture = tell(result.job)
    if (again.trace_hash, again.violation) != (result.trace_hash, result.violation):
        raise NotTheSameRunError(
            f"seed {result.job.seed}: {result.violation} / {again.violation}, {result.trace_hash} / {again.trace_hash}"
        )
    part = "" if result.job.only is None else "-minimal"
    target = directory / f"seed-{result.job.seed}-nodes-{result.job.members}{part}"
    target.mkdir(parents=True, exist_ok=True)
    text = [
        f"seed {result.job.seed}, {result.job.members} members: {result.violation}",
        f"again: {result.job.command}",
        "",
        *([result.detail] if result.detail else []),
        "The run, to its end:",
        *lines,
        "",
    ]
    (target / "report.txt").write_text("\n".join(text), encoding="utf-8")
    (target / "run.svg").write_text(picture, encoding="utf-8")
    return target, last_lines(lines, result.moment or again.simulated_seconds)


def last_lines(lines: list[str], moment: float) -> list[str]:
    """The last steps before that moment, and the verdict."""
    *before, last = lines
    recent = [line for line in before if moment - LAST_SECONDS <= float(line[:9]) <= moment]
    shown = [*recent[-TOLD_LINES:], last]
    return [line if len(line) <= LINE_CHARACTERS else line[:LINE_CHARACTERS] + "…" for line in shown]
