"""What a storm looked like, in one picture that can be read without anything else at hand.

Time goes from left to right, the same in the three upper panels: requests a second (answered, and not); how long answers took; a lane for each
member, coloured by its term, with a dark bar while it leads, a gap where it said nothing, and above it the faults that it suffered. Below, what
came of it: how long the cluster was away after each fault of its leader, what clients were told instead of an answer, and availability.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator, NullFormatter

from tests.chaos import judge
from tests.chaos.faults import Struck

if TYPE_CHECKING:
    from tests.chaos.storm import Outcome, Sight

INK, QUIET, LINE, GOOD, BAD = "#1d2733", "#6b7785", "#dfe4ea", "#2f7d4f", "#c0392b"
ANSWERED, MEDIAN, SLOW = "#7fa8d1", "#1d2733", "#e08e45"
TERM_COLOURS = ("#a9c7e8", "#f6cfa3", "#b5dcbf", "#dfbfe0", "#ecdf9c", "#b9d6d2")
FAULT_COLOURS = {  # by what is done, so that a storm of an hour can be read as well
    "processes": ("#c0392b", ("kill", "kill-leader", "kill-majority", "kill-all", "pause")),
    "wires": ("#8e5ea2", ("isolate", "halves", "bridge", "one-way", "delay", "throttle", "loss", "reconnect", "drop-clients")),
    "operators": ("#2a7f9e", ("rolling", "transfer", "replace", "hand-over")),
}  # fmt: skip
OTHER_FAULTS = "#b8860b"
BINS = 600  # at most, of the upper panels
SILENCE_SECONDS = 1.0  # without a word a member's lane is interrupted
STEPS_SECONDS = (5, 10, 30, 60, 120, 300, 600, 1800)  # between two marks of time
NAMED_FAULTS = 45  # with more of them, names would cover each other
MAX_NINES = 6.0  # drawn for everything
STYLE: Any = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.edgecolor": LINE, "axes.labelcolor": QUIET,
    "xtick.color": QUIET, "ytick.color": QUIET, "text.color": INK, "axes.titlesize": 10, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
}  # fmt: skip


def draw(path: Path, outcome: Outcome) -> None:
    """Write the picture as PNG."""
    members = sorted({f"n{number + 1}" for number in range(outcome.plan.members)})
    with mpl.rc_context(STYLE):
        figure = plt.figure(figsize=(16, 9.2 + 0.45 * len(members)), facecolor="white")
        grid = figure.add_gridspec(
            4, 12, height_ratios=[1.5, 1.5, 1.0 + 0.55 * len(members), 1.7], hspace=0.42, wspace=2.2,
            left=0.055, right=0.985, top=0.9, bottom=0.055,
        )  # fmt: skip
        rate = figure.add_subplot(grid[0, :])
        latency = figure.add_subplot(grid[1, :], sharex=rate)
        life = figure.add_subplot(grid[2, :], sharex=rate)
        _draw_head(figure, outcome)
        _draw_calls(rate, latency, outcome)
        _draw_members(life, outcome, members)
        for axis in (rate, latency):
            for fault in outcome.struck if len(outcome.struck) <= NAMED_FAULTS else ():
                axis.axvspan(*_span(outcome, fault), color=BAD, alpha=0.06, lw=0)
        rate.set_xlim(0, outcome.ended - outcome.began)
        _draw_recoveries(figure.add_subplot(grid[3, 0:5]), outcome)
        _draw_errors(figure.add_subplot(grid[3, 5:9]), outcome)
        _draw_availability(figure.add_subplot(grid[3, 9:]), outcome)
        figure.savefig(path, dpi=110)
        plt.close(figure)


def _span(outcome: Outcome, fault: Struck) -> tuple[float, float]:
    end = fault.ended or outcome.ended
    return fault.began - outcome.began, max(end, fault.began + 0.2) - outcome.began


def _draw_head(figure: Any, outcome: Outcome) -> None:
    count = len(outcome.verdict.violations)
    verdict = "Every promise kept" if outcome.verdict.ok else f"{count} promises broken"
    figure.text(0.055, 0.957, verdict, fontsize=19, weight="bold", color=GOOD if outcome.verdict.ok else BAD)
    plan, figures = outcome.plan, outcome.figures
    told = (
        f"{plan.seconds / 60:.3g} min, {plan.members} members, {len(outcome.struck)} faults, {figures['requests']:,} requests of "
        f"{plan.people} clients, {figures['asked_per_second']:.0f} a second · {outcome.verdict.checked['operations']:,} operations judged, "
        f"{figures['events']:,} events followed · seed {plan.seed}"
    )
    figure.text(0.055, 0.932, told, fontsize=10.5, color=QUIET)


def _draw_calls(rate: Any, latency: Any, outcome: Outcome) -> None:
    seconds = outcome.ended - outcome.began
    width = max(1.0, math.ceil(seconds / BINS))
    bins = int(seconds / width) + 1
    good, bad = [0.0] * bins, [0.0] * bins
    took: list[list[float]] = [[] for _ in range(bins)]
    for call in outcome.diary.calls:
        place = int((call.began - outcome.began) / width)
        if 0 <= place < bins:
            if call.final:
                good[place] += 1 / width
                took[place].append(call.seconds * 1e3)
            else:
                bad[place] += 1 / width
    moments = [place * width for place in range(bins)]
    whole = [one + other for one, other in zip(good, bad, strict=True)]
    rate.fill_between(moments, good, step="post", color=ANSWERED, lw=0, label="answered")
    rate.fill_between(moments, good, whole, step="post", color=BAD, lw=0, label="not answered")
    rate.set_ylim(0)
    rate.set_title("Requests a second")
    ordered = [sorted(values) for values in took]
    xs = [moment + width / 2 for moment in moments]
    for share, colour, name in ((0.99, SLOW, "slowest of a hundred"), (0.5, MEDIAN, "median")):
        ys = [values[int(len(values) * share)] if values else math.nan for values in ordered]
        latency.plot(xs, ys, color=colour, lw=1.1, label=name, marker="." if bins < 120 else "", ms=2.5)
    latency.set_yscale("log")
    latency.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f} ms" if value >= 1 else f"{value} ms")
    latency.yaxis.set_minor_formatter(NullFormatter())
    latency.set_title("Time to the answer")
    for axis in (rate, latency):
        axis.grid(axis="y", color=LINE, lw=0.6)
        axis.set_axisbelow(True)
        axis.tick_params(labelbottom=False, length=0)
        axis.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2, fontsize=8.5, handlelength=1.2)


def _lanes(outcome: Outcome, member: str) -> list[tuple[float, float, int, bool]]:
    """When a member spoke as the same in the same term: from, for how long, term, whether it led."""
    seen: list[Sight] = [sight for sight in outcome.sights if sight.member == member]
    lanes: list[tuple[float, float, int, bool]] = []
    for before, after in itertools.pairwise(seen):
        if after.moment - before.moment >= SILENCE_SECONDS:
            continue
        left, leads = before.moment - outcome.began, before.role == "leader"
        width = after.moment - before.moment
        if lanes and lanes[-1][2:] == (before.term, leads) and left - sum(lanes[-1][:2]) < 0.01:
            lanes[-1] = (lanes[-1][0], lanes[-1][1] + width, before.term, leads)
        else:
            lanes.append((left, width, before.term, leads))
    return lanes


def _draw_members(life: Any, outcome: Outcome, members: Sequence[str]) -> None:
    named = len(outcome.struck) <= NAMED_FAULTS
    for row, member in enumerate(members):
        for left, width, term, leads in _lanes(outcome, member):
            colour = TERM_COLOURS[term % len(TERM_COLOURS)]
            life.broken_barh([(left, width)], (row - 0.02, 0.34), color=colour, lw=0)
            if leads:
                life.broken_barh([(left, width)], (row + 0.08, 0.14), color=INK, lw=0)
        suffered = [fault for fault in outcome.struck if member in fault.members]
        free_from = [-math.inf, -math.inf]
        for fault in suffered:
            left, right = _span(outcome, fault)
            life.broken_barh([(left, right - left)], (row - 0.17, 0.11), color=_colour(fault.kind), lw=0)
            if named:
                level = 0 if left >= free_from[0] else 1
                free_from[level] = left + len(fault.kind) * (outcome.ended - outcome.began) / 190
                life.text(left, row - 0.2 - 0.17 * level, fault.kind, fontsize=7.5, color=_colour(fault.kind))
    _draw_outside(life, outcome, len(members), named)
    names = [*members, "outside"]
    life.set_yticks([row + 0.15 for row in range(len(names))], names, fontsize=11, color=INK)
    life.set_ylim(len(members) + 0.4, -0.6)
    life.tick_params(length=0)
    life.spines["left"].set_visible(False)
    life.set_title("Members: colour is the term")
    step = next((each for each in STEPS_SECONDS if outcome.ended - outcome.began <= 10 * each), 3600)
    life.xaxis.set_major_locator(MultipleLocator(step))
    life.xaxis.set_major_formatter(lambda value, _: f"{int(value) // 60}:{int(value) % 60:02}")
    legend: list[Any] = [Line2D([], [], color=INK, lw=4, label="leads")]
    legend += [Patch(color=colour, label=f"fault of {what}") for what, (colour, _) in FAULT_COLOURS.items()]
    legend.append(Patch(color=OTHER_FAULTS, label="other fault"))
    life.legend(
        handles=legend, loc="lower right", bbox_to_anchor=(1, 0.99), ncols=5, fontsize=8.5, handlelength=1.2
    )


def _draw_outside(life: Any, outcome: Outcome, row: int, named: bool) -> None:
    """Faults of what is no member, as the receiver of webhooks."""
    for fault in outcome.struck:
        if not fault.members:
            left, right = _span(outcome, fault)
            life.broken_barh([(left, right - left)], (row + 0.1, 0.11), color=_colour(fault.kind), lw=0)
            if named:
                life.text(left, row + 0.06, fault.kind, fontsize=7.5, color=_colour(fault.kind))


def _colour(kind: str) -> str:
    return next((colour for colour, kinds in FAULT_COLOURS.values() if kind in kinds), OTHER_FAULTS)


def _draw_recoveries(axis: Any, outcome: Outcome) -> None:
    """Each sample is a dot; the bar is the median. What is promised is on a quiet machine, and one member at a time."""
    rows = (
        ("killed", judge.LEADER_GONE),
        ("silent", judge.LEADER_SILENT),
        ("handed over", judge.HANDED_OVER),
    )
    for row, (name, kinds) in enumerate(rows):
        values = sorted(value * 1e3 for value in judge.recoveries(outcome.diary.calls, outcome.struck, kinds))
        spots = [row + ((number * 0.618) % 1 - 0.5) * 0.45 for number in range(len(values))]
        axis.scatter(values, spots, s=22, color=ANSWERED, edgecolor=INK, lw=0.5, zorder=3)
        if values:
            middle = statistics.median(values)
            axis.plot([middle, middle], [row - 0.36, row + 0.36], color=INK, lw=2, zorder=4)
            axis.text(middle, row - 0.4, f"{middle:,.0f} ms", fontsize=8.5, ha="center", va="bottom")
        axis.text(-0.01, row, f"{name}\n{len(values)} times", transform=axis.get_yaxis_transform(), ha="right",
                  va="center", fontsize=8.5, color=QUIET)  # fmt: skip
    axis.set_xscale("log")
    axis.set_xlim(10, max(3000.0, axis.get_xlim()[1]))
    axis.set_ylim(len(rows) - 0.4, -0.8)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f} ms")
    axis.grid(axis="x", color=LINE, lw=0.6)
    axis.set_title("From a fault of the leader to the first acknowledged write")


def _draw_errors(axis: Any, outcome: Outcome) -> None:
    counts = Counter(
        f"{call.status or 'no answer'} {call.code}".strip() for call in outcome.diary.calls if not call.final
    )
    rows = counts.most_common(6)
    for row, (name, count) in enumerate(rows):
        axis.barh(row, count, height=0.45, color=BAD, alpha=0.75)
        axis.text(0, row - 0.33, f" {name}: {count:,}", fontsize=8.5, va="bottom")
    if not rows:
        axis.text(0.5, 0.5, "none", transform=axis.transAxes, ha="center", va="center", color=GOOD)
    axis.set_ylim(max(len(rows), 3) - 0.5, -0.8)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.spines["bottom"].set_visible(False)
    axis.set_title("Not answered, by kind")


def _draw_availability(axis: Any, outcome: Outcome) -> None:
    for row, (name, key) in enumerate((("raw client", "raw_answered"), ("library", "library_answered"))):
        share = outcome.figures[key]
        height = MAX_NINES if share >= 1 else -math.log10(1 - share)
        axis.bar(row, min(height, MAX_NINES), width=0.55, color=ANSWERED if row == 0 else "#5b86b5")
        shown = "all" if share >= 1 else f"{math.floor(share * 1e6) / 1e4:.4f} %"
        axis.text(row, min(height, MAX_NINES) + 0.08, shown, ha="center", fontsize=9, weight="bold")
        axis.text(row, -0.18, name, ha="center", va="top", fontsize=8.5, color=QUIET)
    axis.set_ylim(0, MAX_NINES + 0.7)
    axis.set_xlim(-0.6, 1.6)
    axis.set_xticks([])
    axis.set_yticks(range(0, 7, 1))
    axis.tick_params(length=0)
    axis.grid(axis="y", color=LINE, lw=0.6)
    axis.set_axisbelow(True)
    axis.set_title("Availability in nines")
