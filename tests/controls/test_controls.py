"""Every guard can be taken away, and is then missed; with it in place the same world, scenario or log is clean.

A pinned seed is tried first. Seeds name other worlds when the code changes that draws from them; then the whole budget is gone through, and the
control still has to be found: `python -m tests.controls.search --all --pin` brings seeds and table up to date.
"""

from __future__ import annotations

import importlib
import re

import pytest
from hypothesis import Phase, find, settings

from tests.controls.planted import CONTROLS
from tests.controls.registry import CAUGHT, Directed, Elsewhere, InLogs, InWorld, pinned_seeds
from tests.controls.search import complaint
from tests.controls.table import PAGE, page_with_table
from tests.node.harness import real_clock_afterwards
from tests.statemachine.logs import Batch, logs

__all__ = ["real_clock_afterwards"]

NEEDED_ROWS = [f"H{number}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 21)]
NEEDED_ROWS += [f"invariant {number}" for number in range(1, 8)]


def names(kind: type) -> list[str]:
    """Controls that are caught in one of the ways."""
    return [name for name, control in CONTROLS.items() if isinstance(control.by, kind)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", names(InWorld))
def test_a_world_shows_it(name: str) -> None:
    """Some seed of the budget shows the defect, the pinned one first, and is clean with the guard in place."""
    control = CONTROLS[name]
    assert isinstance(control.by, InWorld)
    pinned = pinned_seeds().get(name, 0)
    others = [seed for seed in range(control.by.budget) if seed != pinned]
    for seed in (pinned, *others):
        found = complaint(control.by, seed, guarded=False)
        if found is not None and re.search(control.says, found):
            print(f"{name}: seed {seed}: {found}")
            assert complaint(control.by, seed, guarded=True) is None, (
                f"seed {seed} is not clean with the guard"
            )
            return
        print(f"{name}: seed {seed} says {found!r}")
    pytest.fail(f"{control.by.budget} seeds did not show {name}")


@pytest.mark.parametrize("name", names(Directed))
def test_a_scenario_shows_it(name: str) -> None:
    """Quiet with the guard; without it the scenario complains, and of the right thing."""
    control = CONTROLS[name]
    assert isinstance(control.by, Directed)
    control.by.run(guarded=True)
    with pytest.raises(CAUGHT, match=control.says):
        control.by.run(guarded=False)


@pytest.mark.parametrize("name", names(InLogs))
def test_a_log_shows_it(name: str) -> None:
    """Among the first logs of the budget there is one that the judge complains of, and it is clean with the rules as they are."""
    control = CONTROLS[name]
    by = control.by
    assert isinstance(by, InLogs)

    def shows(batches: list[Batch]) -> bool:
        return any(re.search(control.says, found) for found in by.complaints(batches, guarded=False))

    search = settings(
        max_examples=by.budget, deadline=None, phases=[Phase.generate], database=None, derandomize=True
    )
    batches = find(logs(), shows, settings=search)
    assert by.complaints(batches, guarded=True) == []


@pytest.mark.parametrize("name", names(Elsewhere))
def test_another_test_takes_it_away(name: str) -> None:
    """The test that the table names exists, and runs without the guard as well."""
    by = CONTROLS[name].by
    assert isinstance(by, Elsewhere)
    path, function = by.test.split("::")
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    marks = [mark for mark in getattr(module, function).pytestmark if mark.name == "parametrize"]
    values = [value for mark in marks if mark.args[0] == by.parameter for value in mark.args[1]]
    assert sorted(values) == [False, True]


def test_every_row_has_a_control() -> None:
    """Each defect that a guard mends, and each invariant."""
    rows = {row.split(" (")[0] for control in CONTROLS.values() for row in control.row.split(", ")}
    assert [row for row in NEEDED_ROWS if row not in rows] == []


def test_the_table_is_up_to_date() -> None:
    """docs/planted-defects.md says what is planted here; pinned seeds belong to controls that there are."""
    page = PAGE.read_text()
    assert page_with_table(page) == page, "run python -m tests.controls.search --all --pin"
    assert sorted(pinned_seeds()) == sorted(names(InWorld))
