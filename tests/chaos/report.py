"""What a storm looked like: one picture and one page, both to be read without anything else at hand.

The picture has time from left to right. From the top: operations a second (answered, and not); latency of what was answered (median
and the slowest of a hundred); one row for each member, coloured by its term, dark while it leads, with a gap where it said nothing; below
each member the faults that it suffered.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")
import itertools

from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from tests.chaos.storm import Outcome

TERM_COLOURS = ("#8fb8de", "#f2b880", "#9ad0a5", "#d9a5d6", "#e6d27a", "#a7c6c2")
BIN_SECONDS = 1.0
SILENCE_SECONDS = 1.0  # without a word a member's row is interrupted


def write_report(folder: Path, outcome: Outcome, line: str) -> None:
    """`timeline.png` and `report.html`."""
    picture = folder / "timeline.png"
    draw(picture, outcome, line)
    (folder / "report.html").write_text(_page(picture, outcome, line), encoding="utf-8")


def draw(path: Path, outcome: Outcome, line: str) -> None:
    """The picture."""
    members = [f"n{number + 1}" for number in range(outcome.plan.members)]
    figure, (rate, latency, life) = plt.subplots(
        3, 1, sharex=True, figsize=(16, 9), gridspec_kw={"height_ratios": [2, 2, 1 + len(members)]}
    )
    _draw_calls(rate, latency, outcome)
    _draw_members(life, outcome, members)
    for axis in (rate, latency):
        for fault in outcome.struck:
            axis.axvspan(
                fault.began - outcome.began, fault.ended - outcome.began, color="#c33", alpha=0.07, lw=0
            )
    rate.set_title(line, fontsize=9, loc="left")
    life.set_xlabel("seconds")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_calls(rate: Any, latency: Any, outcome: Outcome) -> None:
    bins = int((outcome.ended - outcome.began) / BIN_SECONDS) + 1
    good, bad = [0] * bins, [0] * bins
    slow: list[list[float]] = [[] for _ in range(bins)]
    for call in outcome.diary.calls:
        place = int((call.began - outcome.began) / BIN_SECONDS)
        if 0 <= place < bins:
            if call.final:
                good[place] += 1
                slow[place].append(call.seconds * 1e3)
            else:
                bad[place] += 1
    moments = [place * BIN_SECONDS for place in range(bins)]
    rate.fill_between(moments, good, step="post", color="#6a9fd4", label="answered")
    rate.fill_between(moments, bad, step="post", color="#c0392b", label="not answered")
    rate.set_ylabel("requests/s")
    rate.legend(loc="upper right", fontsize=8)
    filled = [(moment, sorted(values)) for moment, values in zip(moments, slow, strict=True) if values]
    xs = [moment for moment, _ in filled]
    latency.plot(xs, [values[len(values) // 2] for _, values in filled], color="#2c3e50", label="median")
    latency.plot(
        xs, [values[int(len(values) * 0.99)] for _, values in filled], color="#e67e22", label="99th of 100"
    )
    latency.set_yscale("log")
    latency.set_ylabel("ms")
    latency.legend(loc="upper right", fontsize=8)


def _draw_members(life: Any, outcome: Outcome, members: Sequence[str]) -> None:
    for row, member in enumerate(members):
        seen = [sight for sight in outcome.sights if sight.member == member]
        for before, after in itertools.pairwise(seen):
            if after.moment - before.moment < SILENCE_SECONDS:
                colour = TERM_COLOURS[before.term % len(TERM_COLOURS)]
                width = after.moment - before.moment
                leads = before.role == "leader"
                life.barh(row, width, left=before.moment - outcome.began, height=0.36 if leads else 0.2,
                          color="#22303c" if leads else colour, lw=0)  # fmt: skip
                if leads:
                    life.barh(row, width, left=before.moment - outcome.began, height=0.18, color=colour, lw=0)
    for fault in outcome.struck:
        for member in fault.members:
            row = members.index(member)
            left = fault.began - outcome.began
            life.barh(
                row + 0.33, max(0.2, fault.ended - fault.began), left=left, height=0.14, color="#c0392b"
            )
            life.text(left, row + 0.52, fault.kind, fontsize=6, color="#7b241c", va="center")
    life.set_yticks(range(len(members)), members)
    life.set_ylim(len(members) - 0.3, -0.5)
    life.set_ylabel("members: dark leads, colour is the term")


def _page(picture: Path, outcome: Outcome, line: str) -> str:
    image = base64.b64encode(picture.read_bytes()).decode()
    colour = "#1e7d3c" if outcome.verdict.ok else "#b03a2e"
    violations = "".join(f"<pre>{html.escape(text)}</pre>" for text in outcome.verdict.violations)
    rows = "".join(
        f"<tr><th>{html.escape(name.replace('_', ' '))}</th><td>{html.escape(_shown(value))}</td></tr>"
        for name, value in {**outcome.figures, "checked": outcome.verdict.checked}.items()
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Deskraft chaos</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1400px; padding: 0 1rem }}
h1 {{ color: {colour}; font-size: 1.2rem }} img {{ max-width: 100% }}
th {{ text-align: left; vertical-align: top; padding-right: 2rem; font-weight: 600 }}
pre {{ white-space: pre-wrap; background: #fbeeee; padding: .6rem }}
</style></head><body>
<h1>{html.escape(line)}</h1>
<img alt="Requests, latency and members over time, with the faults" src="data:image/png;base64,{image}">
<table>{rows}</table>
<h2>Violations: {len(outcome.verdict.violations)}</h2>{violations or "<p>None.</p>"}
<p>The whole history of the clients is in history.jsonl; <code>./scripts/chaos --judge history.jsonl</code> judges it again.</p>
</body></html>
"""


def _shown(value: object) -> str:
    return (
        f"{value:.6g}"
        if isinstance(value, float)
        else json.dumps(value, ensure_ascii=False)
        if isinstance(value, dict)
        else str(value)
    )
