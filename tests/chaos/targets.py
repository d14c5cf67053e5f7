"""`./scripts/chaos --targets`: how long people wait when something breaks, held against the table of docs/reliability.md.

A storm says whether promises hold; this measures. One kind of fault is repeated on a cluster that is whole and under load
(`tests.chaos.waiting`); at the moment of the fault every node that is left is asked for a write and for a linearizable read. What counts is the time
from the fault to the end of an answer that was asked after it:

- *first write*: one of the nodes that are left acknowledges; *on every node*: the last of them answers (reads go by read index, on followers too);
- where the fault is an operator's own (a restart, a leadership handed over) nobody may be refused: *longest call* is the longest call of the library
  that was under way meanwhile, *longest silence* the longest time in which no call was answered.

Results are kept as JSON; `--table FILE…` draws them side by side as Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.chaos.waiting import (
    CROWD_SEATS,
    FIRST_DAY,
    HOURS,
    PROBE_SEATS,
    SEATS,
    SPACE,
    WRITERS,
    Bench,
    bench,
    crowd,
)

AFTER_SECONDS = 0.5  # a handing-over is watched for so long after its end
CONNECTIONS = 60
LOAD_SECONDS = 4.0
MAX_BOOKINGS = 9000  # of one person: the keys of a person are limited


@dataclass(frozen=True)
class Bound:
    """What is to be reached."""

    what: str
    median_ms: float
    max_ms: float

    def met(self, seen: dict[str, Any]) -> bool:
        """By a spread in milliseconds."""
        return bool(seen["median_ms"] <= self.median_ms and seen["max_ms"] <= self.max_ms)


@dataclass(frozen=True)
class Case:
    """One row of the table. `strike` does it once and notes what it saw in `Bench.seen`."""

    title: str
    rounds: int
    bounds: tuple[Bound, ...]
    strike: Callable[[Bench], Awaitable[None]]
    wires: bool = False
    gentle: bool = False  # no call of the library may fail
    loaded: bool = True


async def _kill(at: Bench) -> None:
    leader = await at.calm()
    struck = time.monotonic()
    os.kill(leader.pid, 9)
    await at.probes(struck, at.others(leader))
    leader.kill()
    leader.start()


async def _kill_minority(at: Bench) -> None:
    """As many as may fail, the leader among them, at one moment."""
    leader = await at.calm()
    victims = [leader, *at.others(leader)[: (len(at.cluster.nodes) - 1) // 2 - 1]]
    struck = time.monotonic()
    for node in victims:
        os.kill(node.pid, 9)
    await at.probes(struck, at.others(*victims))
    for node in victims:
        node.kill()
        node.start()


async def _stop(at: Bench) -> None:
    leader = await at.calm()
    struck = time.monotonic()
    leader.pause()
    try:
        await at.probes(struck, at.others(leader))
    finally:
        leader.resume()


async def _cut(at: Bench) -> None:
    leader = await at.calm()
    assert at.network is not None
    wires = at.network.among(lambda one, other: leader.id in (one, other))
    struck = time.monotonic()
    with at.network.held(wires):
        await at.probes(struck, at.others(leader))


async def _restart(at: Bench) -> None:
    """All members, one after the other; each is one sample, from SIGTERM until it serves again."""
    for node in list(at.cluster):
        await at.calm()
        began = time.monotonic()
        status = await node.terminate()
        assert status == 0, (status, node.tail())
        node.start()
        await at.cluster.wait_until_ready([node])
        await asyncio.sleep(AFTER_SECONDS)
        at.note_pause(began)


async def _transfer(at: Bench) -> None:
    await at.calm()
    began = time.monotonic()
    await at.admin.transfer_leadership()
    await asyncio.sleep(AFTER_SECONDS)
    at.note_pause(began)


async def _load(at: Bench) -> None:
    """What a crowd gets answered that asks again as soon as it was answered: bookings, then histories."""
    await at.calm()
    per_seat = min(HOURS, MAX_BOOKINGS // CROWD_SEATS)

    def book(connection: int, turn: int) -> tuple[str, str, object]:
        place = turn * CONNECTIONS + connection
        seat = SEATS[WRITERS + PROBE_SEATS + place % CROWD_SEATS]
        start = FIRST_DAY + timedelta(hours=place // CROWD_SEATS)
        assert place // CROWD_SEATS < per_seat, "one person has no keys left"
        body = {"space_id": SPACE, "seat_id": seat, "starts_at": start.isoformat()}
        return "POST", "/api/v1/bookings", body

    for what, ask in (("bookings", book), ("histories", lambda *_: ("GET", "/history?limit=10", None))):
        said = await crowd(at, CONNECTIONS, LOAD_SECONDS, ask)
        at.rates[what] = round(said.per_second)
        at.seen[f"latency of {what}"] = said.seconds
        at.failed += ["refused"] * said.refused


FAST = (150.0, 500.0)
SILENT = (1000.0, 2000.0)
PAUSE = (100.0, 300.0)


def _away(median_ms: float, max_ms: float) -> tuple[Bound, ...]:
    return (Bound("first write", median_ms, max_ms), Bound("read on every node", median_ms, max_ms))


CASES = {
    "kill": Case("SIGKILL of the leader", 50, _away(*FAST), _kill),
    "stop": Case("SIGSTOP of the leader", 20, _away(*SILENT), _stop),
    "cut": Case("full partition of the leader", 20, _away(*SILENT), _cut, wires=True),
    "restart": Case(
        "rolling restart, each member", 6, (Bound("longest call", *PAUSE),), _restart, gentle=True
    ),
    "transfer": Case("leadership handed over", 20, (Bound("longest call", *PAUSE),), _transfer, gentle=True),
    "minority": Case("SIGKILL of as many as may fail, the leader among them", 10, (), _kill_minority),
    "load": Case("a crowd of 60 connections", 1, (), _load, loaded=False),
}


async def measure(case: Case, members: int, rounds: int, seed: int) -> dict[str, Any]:
    """One row, as JSON."""
    async with bench(members, seed, wires=case.wires, loaded=case.loaded) as at:
        await at.calm()
        for number in range(rounds):
            await case.strike(at)
            shown = ", ".join(f"{what} {values[-1] * 1e3:.0f} ms" for what, values in at.seen.items())
            print(f"  {number + 1} of {rounds}: {shown}", flush=True)
        await at.calm()
    seen = {what: spread_ms(values) for what, values in at.seen.items()}
    met = not (case.gentle and at.failed) and all(bound.met(seen[bound.what]) for bound in case.bounds)
    return {
        "title": case.title,
        "rounds": rounds,
        "bounds": [asdict(bound) for bound in case.bounds],
        "seen": seen,
        "rates_per_second": at.rates,
        "library_calls": len(at.writes) + len(at.failed),
        "library_failed": len(at.failed),
        "failures": sorted(set(at.failed))[:5],
        "met": met,
    }


def spread_ms(values: Sequence[float]) -> dict[str, float]:
    """Of seconds, in milliseconds."""
    ordered = sorted(value * 1e3 for value in values)
    ranks = {"p90_ms": 0.9, "p99_ms": 0.99}
    return {
        "count": len(ordered),
        "median_ms": round(statistics.median(ordered), 1),
        **{name: round(ordered[min(len(ordered) - 1, int(len(ordered) * at))], 1) for name, at in ranks.items()},
        "max_ms": round(ordered[-1], 1),
    }  # fmt: skip


def table(results: Sequence[dict[str, Any]]) -> str:
    """Results of clusters of different sizes side by side, as Markdown: median / 90th of 100 / slowest, in milliseconds."""
    heads = [f"{result['members']} voters" for result in results]
    lines = [f"| What | To reach | {' | '.join(heads)} |", "|---|---|" + "---|" * len(heads)]
    for name, case in CASES.items():
        rows = [result["rows"].get(name) for result in results]
        bounds = {bound.what: bound for bound in case.bounds}
        for what in dict.fromkeys(what for row in rows if row for what in row["seen"]):
            bound = bounds.get(what)
            wanted = f"≤ {bound.median_ms:.0f} / – / {bound.max_ms:.0f}" if bound else ""
            cells = [_cell(row, what, bound) for row in rows]
            lines.append(f"| {case.title}: {what} | {wanted} | {' | '.join(cells)} |")
        if case.gentle and any(rows):
            cells = [f"{row['library_failed']} of {row['library_calls']:,}" if row else "" for row in rows]
            lines.append(f"| {case.title}: failed calls of the library | 0 | {' | '.join(cells)} |")
        for what in dict.fromkeys(what for row in rows if row for what in row["rates_per_second"]):
            cells = [f"{row['rates_per_second'][what]:,} a second" if row else "" for row in rows]
            lines.append(f"| {case.title}: {what} | | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: dict[str, Any] | None, what: str, bound: Bound | None) -> str:
    if row is None:
        return ""
    seen = row["seen"][what]
    missed = "**missed:** " if bound is not None and not bound.met(seen) else ""
    figures = f"{seen['median_ms']:.0f} / {seen['p90_ms']:.0f} / {seen['max_ms']:.0f}"
    return f"{missed}{figures} ({seen['count']:,.0f} times)"


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./scripts/chaos --targets",
        description="Measure how long people wait when something breaks. The last line is the verdict; it exits 0 when every target was met.",
    )
    names = ", ".join(CASES)
    parser.add_argument("--only", default="", metavar="LIST", help=f"of {names} (default: all)")
    parser.add_argument(
        "--rounds", type=int, default=0, metavar="N", help="of each (default: as in the table)"
    )
    parser.add_argument("--nodes", type=int, choices=(3, 5), default=3, help="members (default 3)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the pauses between faults")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--record", action="store_true", help="write them to docs/, for docs/reliability.md")
    parser.add_argument("--table", type=Path, nargs="+", metavar="FILE", help="only draw these as Markdown")
    given = parser.parse_args(argv)
    if given.record:
        given.json = Path(__file__).resolve().parents[2] / "docs" / f"targets-{given.nodes}.json"
    given.chosen = [name for name in given.only.split(",") if name] or list(CASES)
    if unknown := set(given.chosen) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {names}")
    return given


def main(argv: Sequence[str]) -> int:
    """0: every target met. 1: one was missed. 2: wrong usage."""
    given = _arguments(argv)
    if given.table:
        print(table([json.loads(path.read_text(encoding="utf-8")) for path in given.table]))
        return 0
    began = time.monotonic()
    load_average = round(os.getloadavg()[0], 1)
    rows: dict[str, Any] = {}
    for name in given.chosen:
        case = CASES[name]
        print(f"{case.title}, {given.nodes} members", flush=True)
        rows[name] = asyncio.run(measure(case, given.nodes, given.rounds or case.rounds, given.seed))
    result = {
        "members": given.nodes,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "load_average": load_average,
        "seconds": round(time.monotonic() - began),
        "rows": rows,
    }
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(table([result]))
    missed = [row["title"] for row in rows.values() if not row["met"]]
    print(
        f"{'MISSED: ' + ', '.join(missed) if missed else 'OK'}: {len(rows)} cases on {given.nodes} members in {result['seconds']} s"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
