"""Many seeds, one verdict: what `./scripts/simulate` runs.

Each seed is a world of its own (`world.py`), run in a worker process. `--record FILE` adds the results to a file that accumulates
(`record.py`). A violation is run once more with somebody looking on, and reported: a line, the last steps, a picture, and the command that
shows it again; `--minimise` leaves out all faults that it does not need.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, islice
from multiprocessing.pool import Pool
from pathlib import Path

from tests.simulation import record as records
from tests.simulation.minimise import Minimiser
from tests.simulation.plan import make_plan
from tests.simulation.report import tell, write_report
from tests.simulation.runs import CALM_SECONDS, Job, Result, members_for, run_job

PROGRESS_SECONDS = 5.0
SAVE_SECONDS = 20.0
SEEDS_PER_WORKER = 100  # then a new process takes its place, so that nothing piles up
MAX_TOLD = 5  # violations that are reported whole; the others have a line each
INTERRUPTED = 130
GARBAGE_EVERY = 20_000


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./scripts/simulate",
        description="Run whole clusters in simulated time, with faults that a seed decides, and check every promise.",
        epilog="The last line is the verdict. A violation is reported with the command that runs it again.",
    )
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="how many seeds (default 20)")
    parser.add_argument(
        "--first",
        type=int,
        metavar="SEED",
        help="first seed (default: a random one, printed; with --record the lowest that has not been run)",
    )
    parser.add_argument("--nodes", type=int, choices=(3, 5), help="members (default: a mixture of both)")
    parser.add_argument(
        "--minutes", type=float, default=1.0, metavar="M", help="simulated minutes per seed (default 1)"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="J", help="processes (default: all cores)"
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="add the results to this JSON file")
    parser.add_argument(
        "--report",
        type=Path,
        default=Path("build/simulation"),
        metavar="DIR",
        help="where reports of violations go (default build/simulation)",
    )
    parser.add_argument(
        "--minimise",
        action="store_true",
        help="after a violation, leave out all faults that it does not need",
    )
    parser.add_argument(
        "--only",
        type=_numbers,
        metavar="LIST",
        help="with one seed: only these faults of its plan, by number, or none",
    )
    parser.add_argument(
        "--trace",
        action="store_true",
        help="with one seed: tell the run in words, and draw it, whatever its end",
    )
    arguments = parser.parse_args(argv)
    if arguments.seeds < 1 or arguments.jobs < 1:
        parser.error("--seeds and --jobs take a number from 1")
    if arguments.minutes < 0.5:
        parser.error(
            f"--minutes takes a number from 0.5 ({CALM_SECONDS:g} seconds of it are the calm at the end)"
        )
    if arguments.first is not None and arguments.first < 0:
        parser.error("--first takes a number from 0")
    if (arguments.only is not None or arguments.trace) and (arguments.seeds != 1 or arguments.record):
        parser.error("--only and --trace go with --seeds 1, and without --record")
    if arguments.only is not None and arguments.first is None:
        parser.error("--only goes with --first: the numbers mean the plan of one seed")
    return arguments


def _numbers(text: str) -> tuple[int, ...]:
    return () if text == "none" else tuple(sorted({int(word) for word in text.split(",")}))


def _jobs(arguments: argparse.Namespace, record: records.Record) -> list[Job]:
    """What is to be run: with a first seed exactly those from there that have not been recorded, without one so many new ones."""
    nodes, minutes = arguments.nodes or 0, arguments.minutes

    def new(seed: int) -> bool:
        return not record.has(seed, nodes, minutes)

    if arguments.first is not None:
        seeds = [seed for seed in range(arguments.first, arguments.first + arguments.seeds) if new(seed)]
    elif arguments.record is not None:
        seeds = list(islice(filter(new, count()), arguments.seeds))
    else:
        first = secrets.randbits(31)
        seeds = list(range(first, first + arguments.seeds))
    return [Job(seed, arguments.nodes or members_for(seed), minutes, arguments.only) for seed in seeds]


def _ignore_interrupts() -> None:
    """In a worker: Ctrl-C is for the campaign, which ends its workers itself (by SIGTERM)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.set_threshold(
        GARBAGE_EVERY
    )  # worlds make little of it, and looking for it took a twentieth of the time


@contextmanager
def _workers(number: int) -> Iterator[Pool]:
    """Fresh interpreters; ended at once when the block is left."""
    with multiprocessing.get_context("spawn").Pool(number, _ignore_interrupts, (), SEEDS_PER_WORKER) as pool:
        yield pool


def _say(text: str) -> None:
    print(text, flush=True)


class Campaign:
    """The runs of one call."""

    def __init__(self, arguments: argparse.Namespace, record: records.Record) -> None:
        self._arguments = arguments
        self._record = record
        self._version = records.code_version()
        self._began = time.monotonic()
        self._saved_at = self._said_at = self._began
        self.total = records.Record()  # of this call alone
        self.failed: list[Result] = []

    def take(self, result: Result, jobs: int) -> None:
        """One run has ended."""
        nodes = self._arguments.nodes or 0
        self.total.add(result, nodes, self._version)
        if self._arguments.record is not None:
            self._record.add(result, nodes, self._version)
        if result.violation:
            self.failed.append(result)
            _say(f"VIOLATION seed {result.job.seed}, {result.job.members} nodes: {result.violation}")
        now = time.monotonic()
        done = self.total.count
        if now - self._saved_at > SAVE_SECONDS or done == jobs:
            self.save()
            self._saved_at = now
        if now - self._said_at > PROGRESS_SECONDS or done == jobs:
            self._said_at = now
            left = (now - self._began) / done * (jobs - done)
            _say(
                f"  {done}/{jobs} seeds, {self.total.simulated_hours:.2f} simulated hours, "
                f"{len(self.failed)} violations, {int(left) // 60}:{int(left) % 60:02d} left"
            )

    def save(self) -> None:
        """What has been found so far."""
        records.save(self._arguments.record, self._record)

    def report(self, pool: Pool) -> None:
        """Tell of the violations, and shrink them when asked to."""
        shrunk: set[str] = set()
        for result in self.failed[:MAX_TOLD]:
            self._tell(result)
            if self._arguments.minimise and result.kind not in shrunk:
                shrunk.add(result.kind)  # one of each kind is enough to begin with
                smallest = self._minimised(result, pool)
                if smallest.job.only != result.job.only:
                    self._tell(smallest)
        if len(self.failed) > MAX_TOLD:
            _say(f"\n{len(self.failed) - MAX_TOLD} more violations are not told of; run their seeds alone")

    def _tell(self, result: Result) -> None:
        directory, lines = write_report(result, self._arguments.report)
        _say(
            f"\nseed {result.job.seed}, {result.job.members} nodes, at {result.simulated_seconds:.3f} s: {result.violation}"
        )
        if result.detail:
            _say(result.detail)
        _say("\n".join(lines))
        _say(f"report and picture: {directory}")
        _say(f"again: {result.job.command}")

    def _minimised(self, result: Result, pool: Pool) -> Result:
        settings = result.job.settings()
        plan = make_plan(result.job.seed, settings, [f"n{number + 1}" for number in range(settings.members)])
        before = [
            fault
            for fault in plan
            if fault.at <= result.simulated_seconds
            and (settings.only is None or fault.number in settings.only)
        ]
        _say("")
        minimiser = Minimiser(
            result,
            lambda jobs: pool.imap(run_job, jobs),
            self._arguments.jobs,
            lambda text: _say(f"  minimise: {text}"),
        )
        smallest = minimiser.minimise([fault.number for fault in before])
        needed = smallest.job.only
        _say(f"  minimised in {minimiser.runs} runs to this plan:")
        for fault in plan:
            if needed is None or fault.number in needed:
                _say(f"  {fault.at:9.4f}  {fault}")
        return smallest

    def verdict(self, prefix: str) -> str:
        """One line."""
        total = self.total
        return (
            f"{prefix}: {total.count} seeds, {total.simulated_hours:.2f} simulated hours "
            f"({total.hours_per_cpu_hour:.0f} per CPU hour), {sum(total.faults.values())} faults, "
            f"{len(total.violations)} violations, {records.failpoints_struck(total)}"
        )


def _trace(job: Job, directory: Path, say: Callable[[str], None]) -> None:
    """One run in words and as a picture."""
    _, lines, picture = tell(job)
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / f"seed-{job.seed}-nodes-{job.members}.svg"
    target.write_text(picture, encoding="utf-8")
    say("\n".join(lines))
    say(f"picture: {target}")


def main(argv: list[str] | None = None) -> int:
    """Run the seeds; 0 when nothing was violated, 1 otherwise."""
    arguments = _arguments(argv)
    try:
        record = records.load(arguments.record)
    except (OSError, ValueError) as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 2
    jobs = _jobs(arguments, record)
    campaign = Campaign(arguments, record)
    if jobs:
        _say(
            f"{len(jobs)} seeds from {jobs[0].seed}, {arguments.minutes:g} simulated minutes each, "
            f"{min(arguments.jobs, len(jobs))} processes"
        )
    if arguments.trace and jobs:
        _trace(jobs[0], arguments.report, _say)
    try:
        with _workers(
            arguments.jobs if arguments.minimise else min(arguments.jobs, max(1, len(jobs)))
        ) as pool:
            for result in pool.imap_unordered(run_job, jobs):
                campaign.take(result, len(jobs))
            campaign.report(pool)
    except KeyboardInterrupt:
        campaign.save()
        _say(
            campaign.verdict(
                "FAILED, and stopped before the end" if campaign.failed else "STOPPED before the end"
            )
        )
        return INTERRUPTED
    if arguments.record is not None:
        _say(
            f"{arguments.record}: {record.count} seeds, {record.simulated_hours:.2f} simulated hours, "
            f"{sum(record.faults.values())} faults, {len(record.violations)} violations, {records.failpoints_struck(record)}"
        )
        if record.failpoints_never_struck:
            _say(f"failpoints never struck: {', '.join(record.failpoints_never_struck)}")
    _say(campaign.verdict("FAILED" if campaign.failed else "OK"))
    return 1 if campaign.failed else 0


if __name__ == "__main__":
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # both save; a shell's background jobs begin with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    sys.exit(main())
