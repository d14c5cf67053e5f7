"""What came of a storm, as one page that needs nothing else: the verdict, the picture, and the figures in words."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.chaos import picture
from tests.chaos.faults import FAULTS

if TYPE_CHECKING:
    from tests.chaos.storm import Outcome

STYLE = """
:root { color-scheme: light; --ink: #1d2733; --quiet: #6b7785; --line: #dfe4ea; --good: #2f7d4f; --bad: #c0392b }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); margin: 2.5rem auto; max-width: 1400px; padding: 0 1.5rem }
h1 { font-size: 1.7rem; margin: 0 } h1.good { color: var(--good) } h1.bad { color: var(--bad) }
h2 { font-size: 1.05rem; margin: 2.2rem 0 .5rem } p.quiet { color: var(--quiet); margin: .2rem 0 1.4rem }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 1rem; margin: 1.4rem 0 }
.tiles div { border: 1px solid var(--line); border-radius: 10px; padding: .8rem 1rem }
.tiles b { display: block; font-size: 1.35rem; font-weight: 650; font-variant-numeric: tabular-nums }
.tiles span { color: var(--quiet); font-size: .85rem }
img { width: 100%; border: 1px solid var(--line); border-radius: 10px }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } td, th { padding: .3rem 1.6rem .3rem 0; text-align: left }
th { color: var(--quiet); font-weight: 500; border-bottom: 1px solid var(--line) } td.n { text-align: right }
.columns { display: flex; flex-wrap: wrap; gap: 0 4rem } pre { white-space: pre-wrap; background: #fbeeee; padding: .8rem; border-radius: 8px }
code { background: #f2f4f7; padding: .1rem .3rem; border-radius: 4px }
"""


def write_report(folder: Path, outcome: Outcome, line: str) -> None:
    """`timeline.png` and `report.html`."""
    drawn = folder / "timeline.png"
    picture.draw(drawn, outcome)
    (folder / "report.html").write_text(_page(drawn, outcome, line), encoding="utf-8")


def _page(drawn: Path, outcome: Outcome, line: str) -> str:
    image = base64.b64encode(drawn.read_bytes()).decode()
    good, count = outcome.verdict.ok, len(outcome.verdict.violations)
    violations = "".join(f"<pre>{html.escape(text)}</pre>" for text in outcome.verdict.violations)
    head = "Every promise kept" if good else f"{count} promises broken"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Deskraft chaos: {html.escape(head)}</title><style>{STYLE}</style></head><body>
<h1 class="{"good" if good else "bad"}">{html.escape(head)}</h1>
<p class="quiet">{html.escape(line)}</p>
{_tiles(outcome)}
{f"<h2>What was broken</h2>{violations}" if violations else ""}
<img alt="Requests, answers and members over time with the faults; below, recoveries, errors and availability" src="data:image/png;base64,{image}">
<div class="columns">
{_times(outcome.figures)}
{_counts("Faults", "Kind", outcome.figures["faults"])}
{_counts("Not answered", "What was asked, and what came", outcome.figures["errors"])}
{_counts("Judged", "What", {**outcome.verdict.checked, **_heard(outcome.figures)})}
</div>
<h2>Again</h2>
<p><code>./scripts/chaos --judge history.jsonl</code> judges what the clients saw once more.
<code>./scripts/chaos {html.escape(command(outcome.plan))}</code> repeats the storm in kind; machines decide the rest.</p>
</body></html>
"""


def command(plan: Any) -> str:
    """The arguments that ask for the same storm."""
    words = [
        f"--minutes {plan.seconds / 60:g} --nodes {plan.members} --seed {plan.seed} --every {plan.every_seconds:g}",
        f"--rate {plan.operations_per_second:g} --people {plan.people}",
        f"--faults {','.join(plan.faults)}" if set(plan.faults) != set(FAULTS) else "",
        "" if plan.overlapping else "--one-at-a-time",
    ]
    return " ".join(word for word in words if word)


def _tiles(outcome: Outcome) -> str:
    figures = outcome.figures
    tiles = [
        (_share(figures["raw_answered"]), f"of {figures['raw_requests']:,} raw requests to members that were up"),
        (_share(figures["library_answered"]), f"of {figures['library_calls']:,} calls of the library"),
        (_spread(figures["after_kill_of_leader"]), "to the next write after a killed leader: median, slowest"),
        (_spread(figures["after_silence_of_leader"]), "after a leader that fell silent"),
        (_spread(figures["after_handing_over"]), "after leadership was handed over"),
        (f"{figures['asked_per_second']:.0f} a second", f"asked by {figures['clients']} clients; {figures['asked_per_second_wanted']:.0f} wanted"),
    ]  # fmt: skip
    return f'<div class="tiles">{"".join(f"<div><b>{html.escape(value)}</b><span>{html.escape(name)}</span></div>" for value, name in tiles)}</div>'


def _share(share: float) -> str:
    return "all" if share >= 1 else f"{int(share * 1e6) / 1e4:.4f} %"


def _spread(spread: dict[str, float]) -> str:
    return f"{spread['median_ms']:,.0f}, {spread['max_ms']:,.0f} ms" if spread["count"] else "did not happen"


def _times(figures: dict[str, Any]) -> str:
    names = {
        "latency_ms": "every answer",
        "after_kill_of_leader": "killed leader",
        "after_silence_of_leader": "silent leader",
        "after_handing_over": "handed over",
    }
    rows = [
        (title, *(f"{figures[name].get(key, 0):,.0f}" for key in ("count", "median_ms", "p90_ms", "max_ms")))
        for name, title in names.items()
    ]
    return f"<div><h2>Times in ms</h2>{_table(('', 'count', 'median', '90 of 100', 'slowest'), rows)}</div>"


def _heard(figures: dict[str, Any]) -> dict[str, int]:
    names = (
        "events",
        "moves_of_the_wanderer",
        "webhook_deliveries",
        "webhook_repeats",
        "late",
    )
    return {name.replace("_", " "): figures[name] for name in names}


def _counts(title: str, name: str, counts: dict[str, int]) -> str:
    rows = [
        (key, f"{count:,}")
        for key, count in sorted(counts.items(), key=lambda each: -each[1] if title != "Judged" else 0)
    ]
    return f"<div><h2>{title}</h2>{_table((name, ''), rows) if rows else '<p>none</p>'}</div>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
    body = "".join(
        f"<tr><td>{html.escape(row[0])}</td>{''.join(f'<td class=n>{html.escape(cell)}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"
