"""Tables, targets and the verdict."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import msgspec
from msgspec import Struct

from scripts.benchmarking.catchup import CatchupFigures
from scripts.benchmarking.core import CoreFigures
from scripts.benchmarking.library import LibraryFigures
from scripts.benchmarking.over_http import Figures, quantile
from scripts.benchmarking.page_figures import PageFigures
from scripts.benchmarking.processes import python_work_ms

BOOKING_RATIO, READ_RATIO = 9.0, 4.5
P99_MS = 200.0
CORE_PER_SECOND, CORE_OUTSTANDING = 30_000.0, 100
CORE_MEDIAN_MS = 2.0
RENDER_MS, CHANGE_MS = 100.0, 16.0  # the second: no frame of sixty in a second is missed
WRITES, READS = ("book",), ("availability", "history")


class Target(Struct):
    """A speed that is aimed at, and whether it was reached."""

    name: str
    wanted: str
    got: str
    met: bool


class Machine(Struct):
    """Where it was measured."""

    cores: int
    python: str
    system: str
    aiohttp: str
    sync_p50_ms: float
    sync_p99_ms: float
    load_before: float
    load_after: float
    work_before_ms: float  # see `processes.python_work_ms`
    work_after_ms: float


class Report(Struct):
    """Everything, for --json."""

    machine: Machine
    seconds: float
    http: list[Figures]
    core: list[CoreFigures]
    catchup: list[CatchupFigures]
    library: list[LibraryFigures]
    page: list[PageFigures]
    targets: list[Target]
    violations: list[str]


def machine(sync_ms: list[float], load_before: float, work_before_ms: float) -> Machine:
    """What is known of this machine."""
    return Machine(
        os.cpu_count() or 0,
        platform.python_version(),
        f"{platform.system()} {platform.release()}",
        version("aiohttp"),
        quantile(sync_ms, 0.5),
        quantile(sync_ms, 0.99),
        load_before,
        os.getloadavg()[0],
        work_before_ms,
        python_work_ms(),
    )


def targets_of(http: list[Figures], core: list[CoreFigures], page: list[PageFigures]) -> list[Target]:
    """The targets that the cases which ran can speak of."""
    found = []
    for figures in http:
        limit = BOOKING_RATIO if figures.name in WRITES else READ_RATIO if figures.name in READS else None
        if limit is not None and figures.ratio is not None:
            name = f"{figures.name}: CPU, as a multiple of the constant's"
            found.append(Target(name, f"≤ {limit:g}", f"{figures.ratio:.1f}", figures.ratio <= limit))
        if figures.name == "failure":
            name = "failure: p99 while a follower is killed and returns"
            found.append(
                Target(name, f"< {P99_MS:g} ms", f"{figures.p99_ms:.0f} ms", figures.p99_ms < P99_MS)
            )
    for run in core:
        if (run.what, run.where) != ("book", "leader"):
            continue
        if run.outstanding == CORE_OUTSTANDING:
            met = run.per_second >= CORE_PER_SECOND
            name = f"core: commands/s with {CORE_OUTSTANDING} outstanding"
            found.append(Target(name, f"≥ {CORE_PER_SECOND:,.0f}", f"{run.per_second:,.0f}", met))
        if run.outstanding == 1:
            met = run.p50_ms <= CORE_MEDIAN_MS
            found.append(
                Target("core: median with 1", f"≤ {CORE_MEDIAN_MS:g} ms", f"{run.p50_ms:.2f} ms", met)
            )
    if page:
        for what, ms, limit_ms in (
            ("scripting of the first render", page[0].scripting_ms, RENDER_MS),
            ("longest task of a change", page[1].longest_task_ms, CHANGE_MS),
        ):
            found.append(Target(f"page: {what}", f"≤ {limit_ms:g} ms", f"{ms:.1f} ms", ms <= limit_ms))
    return found


def tables(report: Report) -> str:
    """The figures as text, in columns."""
    here = report.machine
    lines = [
        "",
        f"{here.cores} cores, {here.system}, Python {here.python}, aiohttp {here.aiohttp}; load average "
        f"{here.load_before:.1f} before, {here.load_after:.1f} after",
        f"fdatasync of 4 KiB: p50 {here.sync_p50_ms:.2f} ms, p99 {here.sync_p99_ms:.2f} ms; a fixed piece of Python: "
        f"{here.work_before_ms:.0f} ms of CPU before, {here.work_after_ms:.0f} ms after",
    ]
    rows: list[tuple[str, ...]]
    heads: tuple[str, ...]
    if report.core:
        rows = [
            (
                f"{run.what} on {run.where}", f"{run.outstanding}", f"{run.per_second:,.0f}", f"{run.p50_ms:.2f}",
                f"{run.p99_ms:.2f}", f"{run.max_ms:.1f}", f"{run.cpu_s_per_1000:.3f}", f"{run.maker_cpu:.0%}",
            )
            for run in report.core
        ]  # fmt: skip
        heads = ("core", "outstanding", "per s", "p50 ms", "p99 ms", "max ms", "CPU s/1000", "maker's core")
        lines += ["", *_columns(heads, rows)]
    if report.http:
        rows = [
            (
                each.name, f"{each.requests:,}", f"{each.per_second:,.0f}", f"{each.p50_ms:.1f}", f"{each.p99_ms:.1f}",
                f"{each.max_ms:.1f}", f"{each.cpu_s_per_1000:.3f}", _or_dash(each.constant_cpu_s_per_1000, 3),
                _or_dash(each.ratio, 1), f"{each.own_cpu_s_per_1000:.3f}", _counts(each.statuses), _counts(each.errors) or "none",
            )
            for each in report.http
        ]  # fmt: skip
        heads = (
            "over HTTP", "requests", "per s", "p50 ms", "p99 ms", "max ms", "CPU s/1000", "constant's", "ratio",
            "load's own", "statuses", "errors",
        )  # fmt: skip
        lines += ["", *_columns(heads, rows)]
        lines += [f"{each.name}: {note}" for each in report.http for note in each.notes]
        lines += [
            f"{each.name}: {each.failed} requests given up"
            for each in report.http
            if each.errors or each.failed
        ]
    if report.library:
        raw_ms = report.library[0].p50_ms
        rows = [
            (
                each.name,
                f"{each.requests:,}",
                f"{each.p50_ms:.2f}",
                f"{each.p99_ms:.2f}",
                f"{each.p50_ms - raw_ms:.2f}",
            )
            for each in report.library
        ]
        lines += ["", *_columns(("client", "requests", "p50 ms", "p99 ms", "added ms"), rows)]
    if report.page:
        rows = [
            (
                each.name, f"{each.times}", f"{each.scripting_ms:.1f}", f"{each.drawing_ms:.1f}", f"{each.longest_task_ms:.1f}",
                f"{each.worst_scripting_ms:.1f}", f"{each.worst_task_ms:.1f}", _or_dash(each.shown_after_ms, 0),
            )
            for each in report.page
        ]  # fmt: skip
        heads = (
            "page, CPU ms", "times", "scripting", "drawing", "longest task", "worst scripting", "worst task", "shown after ms",
        )  # fmt: skip
        lines += ["", *_columns(heads, rows)]
    for run in report.catchup:
        lines += ["", *_catchup(run)]
    return "\n".join(lines)


def _catchup(run: CatchupFigures) -> list[str]:
    """Latencies by phase, and as multiples of those before."""
    before = run.phases[0]
    rows = [
        (
            each.name, f"{each.seconds:.1f}", f"{each.answered:,}", f"{each.p50_ms:.1f}", f"{each.p99_ms:.1f}",
            f"{each.max_ms:.1f}", _multiple(each.p50_ms, before.p50_ms), _multiple(each.p99_ms, before.p99_ms),
        )
        for each in run.phases
    ]  # fmt: skip
    heads = ("catchup", "seconds", "bookings", "p50 ms", "p99 ms", "max ms", "p50 ratio", "p99 ratio")
    mega = 1e6
    return [
        *_columns(heads, rows),
        f"catchup: {run.bookings:,} bookings, a snapshot of {run.snapshot_bytes / mega:.1f} MB: fetched in {run.fetch_seconds:.1f} s "
        f"({run.bytes_per_second / mega:.1f} MB/s), checked and in force {run.install_seconds:.1f} s later",
        f"catchup: cut at {run.paused_at_bytes / mega:.1f} MB, went on from {run.resumed_from_bytes / mega:.1f} MB; "
        f"statuses {_counts(run.statuses)}",
    ]


def _multiple(value: float, of: float) -> str:
    return f"{value / of:.1f}" if of and value else "-"


def _or_dash(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _counts(counts: dict[int, int] | dict[str, int]) -> str:
    return ", ".join(f"{name} ×{number}" for name, number in counts.items())


def _columns(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Lines of a table; the name and whatever counts several things stand to the left."""
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    left = {i for i, head in enumerate(heads) if i == 0 or head in ("statuses", "errors")}

    def line(row: tuple[str, ...]) -> str:
        words = [text.ljust(widths[i]) if i in left else text.rjust(widths[i]) for i, text in enumerate(row)]
        return "  ".join(words).rstrip()

    return [line(heads), "  ".join("-" * width for width in widths), *map(line, rows)]


def conclusion(report: Report) -> str:
    """Targets, violations, and the verdict on the last line."""
    lines = [""]
    for target in report.targets:
        lines.append(
            f"{'met   ' if target.met else 'MISSED'}  {target.name}: {target.got} (wanted {target.wanted})"
        )
    lines += [f"VIOLATED  {text}" for text in report.violations]
    met = sum(target.met for target in report.targets)
    speed = f"{met} of {len(report.targets)} speed targets met"
    ran = len(report.core) + len(report.http) + bool(report.library) + len(report.catchup) + bool(report.page)
    if report.violations:
        lines.append(f"bench: VIOLATED: {len(report.violations)} violations in {ran} runs; {speed}")
    else:
        lines.append(f"bench: nothing violated in {ran} runs; {speed}")
    return "\n".join(lines)


def write_json(report: Report, path: Path) -> None:
    """All of it, for machines."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
