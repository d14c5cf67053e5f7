"""What was measured and how often things were tested, kept as records, and drawn into docs/reliability.md from nothing but these.

`docs/storms.jsonl` has one line for each storm that was recorded (`./scripts/chaos --record`), `docs/targets-3.json` and `docs/targets-5.json` what
`./scripts/chaos --targets --record` measured, `docs/simulation-campaign.json` the simulated seeds. `./scripts/chaos --draw` replaces the marked
blocks of the document; `tests/docs` fails when it would change them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos import targets

DOCS = Path(__file__).resolve().parents[2] / "docs"
STORMS = DOCS / "storms.jsonl"
RELIABILITY = DOCS / "reliability.md"
_BLOCK = re.compile(r"(<!-- drawn: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
HOUR_SECONDS = 3600
KEPT = (
    "faults", "requests", "raw_requests", "raw_answered", "library_calls", "library_answered", "events", "webhook_deliveries",
    "asked_per_second", "after_kill_of_leader", "after_silence_of_leader", "after_handing_over",
)  # fmt: skip


def keep(result: Mapping[str, Any], path: Path = STORMS) -> None:
    """Add a storm to the record, be it good or not."""
    plan = result["plan"]
    row = {
        "date": datetime.now(UTC).date().isoformat(),
        "verdict": result["verdict"],
        "violations": len(result["violations"]),
        "seconds": plan["seconds"],
        "members": plan["members"],
        "network": plan["network"],
        "seed": plan["seed"],
        "overlapping": plan["overlapping"],
        "operations": result["checked"]["operations"],
        **{name: result[name] for name in KEPT},
    }
    with path.open("a", encoding="utf-8") as out:
        out.write(json.dumps(row) + "\n")


def storms(path: Path = STORMS) -> list[dict[str, Any]]:
    """All that were recorded, the oldest first."""
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )


def draw(document: str) -> str:
    """The document with its blocks drawn anew."""
    blocks = {"targets": _targets, "hour": _hour, "storms": _storms, "simulated": _simulated}
    return _BLOCK.sub(lambda found: f"{found[1]}{blocks[found[2]]()}\n{found[4]}", document)


def _targets() -> str:
    paths = [path for members in (3, 5) if (path := DOCS / f"targets-{members}.json").exists()]
    results = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    if not results:
        return "Not measured yet."
    where = "; ".join(
        f"{result['members']} voters: {result['date']}, {result['machine']}, load average {result['load_average']} before"
        for result in results
    )
    return f"Median / 90th of 100 / slowest in milliseconds. {where}.\n\n{targets.table(results)}"


def _hour() -> str:
    hours = [row for row in storms() if row["seconds"] >= HOUR_SECONDS and not row["overlapping"]]
    if not hours:
        return "Not recorded yet."
    row = hours[-1]
    lines = [
        f"{row['date']}, seed {row['seed']}: {sum(row['faults'].values())} faults of {len(row['faults'])} kinds.",
        "",
        f"| {row['seconds'] / 60:g} minutes, {row['members']} members | To reach | Reached |",
        "|---|---|---|",
        f"| operations asked in the median second | 300 | {row['asked_per_second']:.0f} |",
        f"| raw requests to members that were up: answered | ≥ 99.9 % | {row['raw_answered']:.4%} of {row['raw_requests']:,} |",
        f"| calls of the client library: answered | ≥ 99.99 % | {row['library_answered']:.4%} of {row['library_calls']:,} |",
        f"| violations | 0 | {row['violations']} |",
    ]
    for key, what in (
        ("after_kill_of_leader", "the leader was killed"),
        ("after_silence_of_leader", "the leader fell silent"),
        ("after_handing_over", "leadership was handed over"),
    ):
        if row[key]["count"]:
            figures = f"{row[key]['median_ms']:.0f} / {row[key]['max_ms']:.0f} ms ({row[key]['count']} times)"
            lines.append(
                f"| until the next write was acknowledged after {what}: median / slowest | | {figures} |"
            )
    return "\n".join(lines)


def _storms() -> str:
    rows = storms()
    if not rows:
        return "None recorded yet."
    lines = [
        "| Date | Storm | Faults | Requests | Asked a second | Raw answered | Library answered | Events followed | Violations |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        how = "at once" if row["overlapping"] else "one at a time"
        lines.append(
            f"| {row['date']} | {row['seconds'] / 60:g} min, {row['members']} members, {row['network']}, seed {row['seed']} "
            f"| {sum(row['faults'].values())}, {how} | {row['requests']:,} | {row['asked_per_second']:.0f} "
            f"| {row['raw_answered']:.4%} | {row['library_answered']:.4%} | {row['events']:,} | {row['violations']} |"
        )
    faults = sum((Counter(row["faults"]) for row in rows), Counter[str]())
    told = ", ".join(f"{kind} {count:,}" for kind, count in sorted(faults.items()))
    return "\n".join([*lines, "", f"Faults of these storms: {told}."])


def _simulated() -> str:
    record = json.loads((DOCS / "simulation-campaign.json").read_text(encoding="utf-8"))
    seeds = sum(last - first + 1 for each in record["seeds"] for first, last in each["ranges"])
    return (
        f"{seeds:,} seeds, {record['simulated_hours']:.1f} simulated hours, {sum(record['faults'].values()):,} faults of "
        f"{len(record['faults'])} kinds, {record['operations']:,} operations and {record['reads']:,} reads judged, "
        f"{len(record['failpoints']):,} failpoints struck, {_count([each for each in record['violations'] if not each['mended']])} open violations."
    )


def _count(value: int | Sequence[object] | Mapping[str, object]) -> int:
    return value if isinstance(value, int) else len(value)


def redraw() -> bool:
    """Bring the document up to date; whether that changed it."""
    before = RELIABILITY.read_text(encoding="utf-8")
    after = draw(before)
    RELIABILITY.write_text(after, encoding="utf-8")
    return after != before
