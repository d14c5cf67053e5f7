"""Many seeds, one verdict: what `./scripts/simulate` runs.

Each seed is a world of its own (`world.py`), run in a worker process. `--record FILE` adds the results to a JSON file that
accumulates over many runs; a seed that has been recorded is not run again, so a campaign can be stopped and taken up.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import secrets
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tests.simulation.member import ViolationError
from tests.simulation.world import Settings, World

TRACE_LINES = 40


class Job(NamedTuple):
    """One seed to run."""

    seed: int
    members: int
    minutes: float


class Result(NamedTuple):
    """How it ended."""

    seed: int
    members: int
    simulated_seconds: float
    cpu_seconds: float
    faults: dict[str, int]
    operations: int
    reads: int
    violation: str
    trace: list[str]


def run_seed(job: Job) -> Result:
    """One world, both phases."""
    calm_seconds = 15.0
    settings = Settings(
        members=job.members, fault_seconds=job.minutes * 60 - calm_seconds, calm_seconds=calm_seconds
    )
    world = World(job.seed, settings)
    violation = ""
    started = time.process_time()
    try:
        world.run()
    except ViolationError as error:
        violation = str(error)
    except Exception:  # noqa: BLE001 - any exception inside the shipped code is a finding; it is reported whole
        violation = traceback.format_exc()
    return Result(
        job.seed,
        job.members,
        world.now,
        time.process_time() - started,
        dict(world.faults.kinds),
        len(world.operations),
        world.clients.reads_judged,
        violation,
        [f"{moment:9.4f} {text}" for moment, text in world.trace.lines[-TRACE_LINES:]] if violation else [],
    )


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./scripts/simulate",
        description="Run whole clusters in simulated time, with faults that a seed decides, and check every promise.",
        epilog="A violation prints its seed; run it again with: ./scripts/simulate --first SEED --seeds 1 --nodes N",
    )
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="how many seeds (default 20)")
    parser.add_argument(
        "--first", type=int, metavar="SEED", help="first seed (default: a random one, printed)"
    )
    parser.add_argument("--nodes", type=int, choices=(3, 5), help="members (default: a mixture of both)")
    parser.add_argument(
        "--minutes", type=float, default=1.0, metavar="M", help="simulated minutes per seed (default 1)"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="J", help="processes (default: all cores)"
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="add the results to this JSON file")
    arguments = parser.parse_args(argv)
    if arguments.seeds < 1 or arguments.jobs < 1:
        parser.error("--seeds and --jobs take a number from 1")
    if arguments.minutes < 0.5:
        parser.error("--minutes takes a number from 0.5 (15 seconds of it are the calm at the end)")
    if arguments.first is not None and arguments.first < 0:
        parser.error("--first takes a number from 0")
    return arguments


def _load(path: Path | None) -> dict[str, Any]:
    if path is None or not path.exists():
        return {
            "seeds": {},
            "simulated_hours": 0.0,
            "cpu_hours": 0.0,
            "faults": {},
            "operations": 0,
            "reads": 0,
            "violations": [],
        }
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def _add(record: dict[str, Any], result: Result) -> None:
    done = record["seeds"].setdefault(str(result.members), [])
    done.append(result.seed)
    record["simulated_hours"] += result.simulated_seconds / 3600
    record["cpu_hours"] += result.cpu_seconds / 3600
    record["operations"] += result.operations
    record["reads"] += result.reads
    record["faults"] = dict(sorted((Counter(record["faults"]) + Counter(result.faults)).items()))
    if result.violation:
        record["violations"].append(
            {"seed": result.seed, "members": result.members, "what": result.violation}
        )


def _save(path: Path | None, record: dict[str, Any]) -> None:
    if path is not None:
        part = path.with_suffix(".part")
        part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        part.replace(path)


def main(argv: list[str] | None = None) -> int:
    """Run the seeds; 0 when nothing was violated, 1 otherwise."""
    arguments = _arguments(argv)
    record = _load(arguments.record)
    first = secrets.randbits(31) if arguments.first is None else arguments.first
    jobs = []
    for seed in range(first, first + arguments.seeds):
        members = arguments.nodes or (5 if seed % 3 == 2 else 3)
        if seed not in record["seeds"].get(str(members), []):
            jobs.append(Job(seed, members, arguments.minutes))
    print(
        f"{len(jobs)} seeds from {first}, {arguments.minutes:g} simulated minutes each, {arguments.jobs} processes",
        flush=True,
    )
    total = _load(None)
    with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
        for number, result in enumerate(pool.imap_unordered(run_seed, jobs), 1):
            _add(total, result)
            _add(record, result)
            if result.violation:
                print(f"\nVIOLATION seed {result.seed}, {result.members} nodes: {result.violation}")
                print("\n".join(result.trace))
                print(
                    f"again: ./scripts/simulate --first {result.seed} --seeds 1 --nodes {result.members} --minutes {arguments.minutes:g}\n"
                )
            if number % 10 == 0 or number == len(jobs):
                _save(arguments.record, record)
                print(
                    f"  {number}/{len(jobs)} seeds, {total['simulated_hours']:.2f} simulated hours",
                    flush=True,
                )
    violations = len(total["violations"])
    rate = total["simulated_hours"] / total["cpu_hours"] if total["cpu_hours"] else 0.0
    print(
        f"{'FAILED' if violations else 'OK'}: {len(jobs)} seeds, {total['simulated_hours']:.2f} simulated hours "
        f"({rate:.0f} per CPU hour), {sum(total['faults'].values())} faults, {violations} violations"
    )
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
