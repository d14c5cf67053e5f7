"""What a campaign has found so far, in a JSON file that accumulates over many runs and versions of the code.

Seeds are kept as ranges, so the file stays small. A seed that has been recorded is not run again, so a campaign can be stopped at any moment
and taken up by the same command.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec

from tests.simulation.failpoints import never_struck, points
from tests.simulation.runs import Result

ROOT = Path(__file__).resolve().parents[2]
FORMAT = 2


class Violation(msgspec.Struct):
    """One broken promise, and how to see it again. `mended` is written by people: with which version the seed is clean, and why."""

    seed: int
    members: int
    what: str
    version: str
    command: str
    mended: str = ""


class Seeds(msgspec.Struct):
    """Which seeds have been run with so many members (0: the mixture) and minutes: [first, last] of each range, in order."""

    nodes: int
    minutes: float
    ranges: list[tuple[int, int]]


class Record(msgspec.Struct):
    """The file."""

    format: int = FORMAT
    seeds: list[Seeds] = []
    simulated_hours: float = 0.0
    cpu_hours: float = 0.0
    hours_per_cpu_hour: float = 0.0
    operations: int = 0
    reads: int = 0
    faults: dict[str, int] = {}
    failpoints: dict[str, int] = {}
    failpoints_never_struck: list[str] = []  # of those that there were when the file was written
    versions: dict[str, int] = {}  # seeds by version of the code
    violations: list[Violation] = []

    @property
    def count(self) -> int:
        """Seeds that were run."""
        return sum(last - first + 1 for part in self.seeds for first, last in part.ranges)

    def add(self, result: Result, nodes: int, version: str) -> None:
        """One more, which belongs to the seeds of so many members (0: the mixture)."""
        job = result.job
        _insert(self._part(nodes, job.minutes).ranges, job.seed)
        self.simulated_hours += result.simulated_seconds / 3600
        self.cpu_hours += result.cpu_seconds / 3600
        self.hours_per_cpu_hour = round(self.simulated_hours / self.cpu_hours, 1) if self.cpu_hours else 0.0
        self.operations += result.operations
        self.reads += result.reads
        self.faults = dict(sorted((Counter(self.faults) + Counter(result.faults)).items()))
        self.failpoints = dict(sorted((Counter(self.failpoints) + Counter(result.failpoints)).items()))
        self.versions[version] = self.versions.get(version, 0) + 1
        if result.violation:
            self.violations.append(Violation(job.seed, job.members, result.violation, version, job.command))

    def _part(self, nodes: int, minutes: float) -> Seeds:
        for part in self.seeds:
            if (part.nodes, part.minutes) == (nodes, minutes):
                return part
        part = Seeds(nodes, minutes, [])
        self.seeds.append(part)
        return part

    def has(self, seed: int, nodes: int, minutes: float) -> bool:
        """Whether that seed was run."""
        return any(first <= seed <= last for first, last in self._part(nodes, minutes).ranges)


def _insert(ranges: list[tuple[int, int]], seed: int) -> None:
    """Into ordered ranges that do not touch."""
    for place, (first, last) in enumerate(ranges):
        if first <= seed <= last:
            return
        if seed < first - 1:
            ranges.insert(place, (seed, seed))
            return
        if seed == first - 1:
            ranges[place] = (seed, last)
            return
        if seed == last + 1:
            if place + 1 < len(ranges) and ranges[place + 1][0] == seed + 1:
                ranges[place : place + 2] = [(first, ranges[place + 1][1])]
            else:
                ranges[place] = (first, seed)
            return
    ranges.append((seed, seed))


def load(path: Path | None) -> Record:
    """The file, or a new record. Raises ValueError for a file that is none, or of another format."""
    if path is None or not path.exists():
        return Record()
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} is not a record of this format ({error}): begin a new file") from error
    if record.format != FORMAT:
        raise ValueError(f"{path} has format {record.format}, this is format {FORMAT}: begin a new file")
    return record


def save(path: Path | None, record: Record) -> None:
    """Whole or not at all."""
    if path is None:
        return
    part = path.with_suffix(".part")
    record.failpoints_never_struck = never_struck(record.failpoints)
    built = msgspec.to_builtins(record)
    built["simulated_hours"], built["cpu_hours"] = (
        round(record.simulated_hours, 4),
        round(record.cpu_hours, 4),
    )
    part.write_text(json.dumps(built, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def table(record: Record) -> str:
    """The record for `docs/simulation.md`: `python -m tests.simulation.record FILE`."""
    lines = [
        f"{record.count:,} seeds, {record.simulated_hours:,.2f} simulated hours in {record.cpu_hours:,.2f} processor hours "
        f"({record.hours_per_cpu_hour:g} per processor hour), {record.operations:,} operations and {record.reads:,} reads judged, "
        f"{sum(record.faults.values()):,} faults, {sum(record.failpoints.values()):,} deaths and refusals at failpoints "
        f"({failpoints_struck(record)}), **{sum(not each.mended for each in record.violations)} open violations**.",
        "",
        *(
            f"Mended: seed {each.seed}, {each.what} ({each.mended})."
            for each in record.violations
            if each.mended
        ),
        *(f"Never struck: `{name}`." for name in never_struck(record.failpoints)),
        "| Fault | Times |",
        "|---|---|",
        *(f"| `{kind}` | {times:,} |" for kind, times in record.faults.items()),
    ]
    return "\n".join(lines)


def failpoints_struck(record: Record) -> str:
    """How many of the points that there are now."""
    every = len(points())
    return f"failpoints {every - len(never_struck(record.failpoints))} of {every}"


def code_version() -> str:
    """Of the code that runs, as git names it; "unknown" outside a repository."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--tags"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()


if __name__ == "__main__":
    print(table(load(Path(sys.argv[1]))))
