"""The table of planted defects in docs/planted-defects.md, made from `planted` and the pinned seeds. `search --pin` writes it; a test compares."""

from __future__ import annotations

from pathlib import Path

from tests.controls.planted import SECTIONS
from tests.controls.registry import Control, Directed, Elsewhere, InLogs, InWorld, pinned_seeds

PAGE = Path(__file__).parents[2] / "docs" / "planted-defects.md"
BEGIN, END = "<!-- the table begins: made by tests/controls/table.py -->", "<!-- the table ends -->"


def caught_by(control: Control, seeds: dict[str, int]) -> tuple[str, str]:
    """Which check catches it, and within what budget."""
    match control.by:
        case InWorld(budget=budget):
            return f"simulated cluster, seed {seeds.get(control.name, 'none yet')}", f"{budget} seeds"
        case Directed(scenario=scenario):
            return f"scenario `{scenario.__name__}`", "1 run"
        case InLogs(judge=judge, budget=budget):
            return f"random logs, judge `{judge.__name__}`", f"{budget} logs"
        case Elsewhere(test=test):
            return f"`{test.rpartition('/')[2]}`", "1 run"


def rows(controls: list[Control]) -> list[str]:
    """A table in Markdown."""
    seeds = pinned_seeds()
    lines = [
        "| Row | Defect | Guard | Taken away | Caught by | Budget | Name |",
        "|---|---|---|---|---|---|---|",
    ]
    for control in controls:
        how, budget = caught_by(control, seeds)
        cells = (
            control.row,
            control.defect,
            control.guard,
            control.removed,
            how,
            budget,
            f"`{control.name}`",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def rendered() -> str:
    """Everything between the two marks."""
    parts = [BEGIN, ""]
    for title, controls in SECTIONS.items():
        parts += [f"### {title}", "", *rows(controls), ""]
    return "\n".join([*parts, END])


def page_with_table(page: str) -> str:
    """The page with the present table."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + rendered() + after


def write() -> None:
    """Bring the page up to date."""
    PAGE.write_text(page_with_table(PAGE.read_text()))
