"""Runs the chosen cases, one kind after the other, in a temporary folder, and tells what came of them."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import uvloop

from scripts import benchmark
from scripts.benchmarking import catchup, core, library, over_http, report
from scripts.benchmarking.catchup import CatchupFigures
from scripts.benchmarking.core import CoreFigures
from scripts.benchmarking.library import LibraryFigures
from scripts.benchmarking.over_http import Figures
from scripts.benchmarking.page_figures import PageFigures
from scripts.benchmarking.people import SetupFailedError
from scripts.benchmarking.processes import ROOT, disk_sync_ms, python_work_ms
from scripts.launch import LaunchError, say


def _page(folder: Path) -> list[PageFigures]:
    from scripts.benchmarking import page  # with Playwright, which the other cases do without

    if page.CHROMIUM is None:
        say("page: left out, there is no Chromium")
        return []
    return uvloop.run(page.run(folder))


def main() -> int:
    """0: nothing violated; 1: something was, or nothing could be measured."""
    chosen = benchmark.parse(sys.argv[1:])
    load_before, work_before_ms = os.getloadavg()[0], python_work_ms()
    parent = ROOT / "data"  # a disk, as a node's: /tmp may be memory, where a sync costs nothing
    parent.mkdir(exist_ok=True)
    core_figures: list[CoreFigures] = []
    http_figures: list[Figures] = []
    catchup_figures: list[CatchupFigures] = []
    library_figures: list[LibraryFigures] = []
    page_figures: list[PageFigures] = []
    http_cases = [name for name in chosen.case if name in benchmark.HTTP_CASES]
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as name:
        folder = Path(name)
        sync_ms = disk_sync_ms(folder)
        try:
            if "core" in chosen.case:
                (folder / "members").mkdir()
                core_figures = uvloop.run(core.run(folder / "members", chosen.seconds))
            if http_cases:
                (folder / "nodes").mkdir()
                http_figures = uvloop.run(
                    over_http.run(folder / "nodes", http_cases, "aiohttp" in chosen.peers, chosen.seconds)
                )
            if "client" in chosen.case:
                (folder / "client").mkdir()
                library_figures = uvloop.run(library.run(folder / "client", chosen.seconds))
            if "catchup" in chosen.case:
                (folder / "catchup").mkdir()
                catchup_figures = [
                    uvloop.run(catchup.run(folder / "catchup", chosen.seconds, chosen.bookings))
                ]
            if "page" in chosen.case:
                (folder / "page").mkdir()
                page_figures = _page(folder / "page")
        except (LaunchError, SetupFailedError, OSError, EOFError, RuntimeError, TimeoutError) as error:
            print(
                f"bench: VIOLATED: not measured to the end: {type(error).__name__}: {error}", file=sys.stderr
            )
            return 1
    told = report.Report(
        report.machine(sync_ms, load_before, work_before_ms),
        chosen.seconds,
        http_figures,
        core_figures,
        catchup_figures,
        library_figures,
        page_figures,
        report.targets_of(http_figures, core_figures, page_figures),
        [
            *(text for run in core_figures for text in run.violations),
            *(text for case in http_figures for text in case.violations),
            *(text for case in catchup_figures for text in case.violations),
        ],
    )
    print(report.tables(told))
    if chosen.json is not None:
        report.write_json(told, chosen.json)
    print(report.conclusion(told), flush=True)
    return 1 if told.violations else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        sys.exit(130)
