"""Every scenario holds on the shipped core, plays the same way each time, and notices when its guard is gone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from node import core as core_module
from tests.scenarios import clients, expectations, operators, steps
from tests.scenarios.controls import CONTROLS, Tamper
from tests.scenarios.scenario import (
    EXPECTATIONS,
    FOLDER,
    STEPS,
    Play,
    Scenario,
    ScenarioError,
    all_scenarios,
    reference,
)
from tests.scenarios.world import World

__all__ = ["clients", "expectations", "operators", "steps"]

ROOT = FOLDER.parent.parent
LEAST_SCENARIOS = 25
MAX_HEADING_WIDTH = 120


@pytest.mark.parametrize("path", all_scenarios(), ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    """As it is written."""
    Scenario(path).play()


@pytest.mark.parametrize("path", all_scenarios(), ids=lambda path: path.stem)
def test_it_can_be_read(path: Path) -> None:
    """A title, an explanation that names where to read on, and something that is expected."""
    lines = path.read_text(encoding="utf-8").splitlines()
    heading = lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]
    assert len(heading) >= 4
    assert heading[1] == "#"
    assert re.search(r"paper|thesis|docs/|node/|invariant", heading[-1]), "where to read on"
    assert any(line.startswith("expect ") for line in lines)
    assert max(map(len, heading)) <= MAX_HEADING_WIDTH


def test_there_are_enough() -> None:
    assert len(all_scenarios()) >= LEAST_SCENARIOS


@pytest.mark.parametrize("name", ["exactly_once", "snapshot_resume", "figure_8_replaced"])
def test_the_same_each_time(name: str) -> None:
    """Message for message, at the same times."""
    narratives: list[list[str]] = [[], []]
    for narrative in narratives:
        Scenario(FOLDER / f"{name}.txt").play(tell=narrative.append)
    assert narratives[0] == narratives[1]


# Teeth.


@pytest.mark.parametrize(("name", "tamper"), CONTROLS, ids=lambda value: getattr(value, "__name__", value))
def test_without_its_guard_it_fails(name: str, tamper: Tamper) -> None:
    """The control: the guard is taken away, and the scenario notices."""
    with pytest.raises(ScenarioError):
        Scenario(FOLDER / f"{name}.txt").play(tamper=tamper)


@pytest.mark.parametrize("name", ["commit_needs_disks", "leader_disk_slow"])
def test_without_the_gate_it_fails(name: str) -> None:
    """F7: effects that leave before what they rest on is on the disk."""

    def ungated(world: World) -> None:
        world.ungated = True

    with pytest.raises(ScenarioError):
        Scenario(FOLDER / f"{name}.txt").play(prepare=ungated)


# The interpreter.


def _scenario(folder: Path, *lines: str) -> Scenario:
    path = folder / "example.txt"
    path.write_text("\n".join(["# Example", *lines]) + "\n", encoding="utf-8")
    return Scenario(path)


def test_a_failure_shows_both_sides_and_the_state(tmp_path: Path) -> None:
    """File, line, what was expected, what is, and all members."""
    with pytest.raises(ScenarioError) as caught:
        _scenario(tmp_path, "three members", "expect n1 leads term 2").play()
    text = str(caught.value)
    assert "example.txt:3: expect n1 leads term 2" in text
    assert re.search(r"> n1 leads term 2 +n1 is a follower in term 0, leader: unknown", text)
    assert re.search(r"n3 +\| follower \| 0 ", text)


def test_a_table_is_compared_and_written_anew(tmp_path: Path) -> None:
    """A difference fails with both tables side by side; `update` puts the true one into the file, and then it holds."""
    scenario = _scenario(
        tmp_path, "three members", "n2 campaigns", "expect members", "  member | term | vote", "  n2 | 7 | n1"
    )
    with pytest.raises(ScenarioError, match=r"example\.txt:4: expect members"):
        scenario.play()
    scenario.play(update=True)
    assert scenario.path.read_text(encoding="utf-8").splitlines()[-1] == "  n2     | 1    | n2"
    Scenario(scenario.path).play()


def test_a_log_is_written_anew(tmp_path: Path) -> None:
    """As tables are; other expectations are not: they say what the story is about."""
    scenario = _scenario(tmp_path, "three members", "expect n1 log 1:0 2:1")
    with pytest.raises(ScenarioError, match=r"n1 log 1:0 2:1 +n1 log 1:0"):
        scenario.play()
    scenario.play(update=True)
    assert scenario.path.read_text(encoding="utf-8").splitlines()[-1] == "expect n1 log 1:0"
    with pytest.raises(ScenarioError):
        _scenario(tmp_path, "three members", "expect n1 leads").play(update=True)


@pytest.mark.parametrize(
    "line",
    [
        "n1 dances",
        "expect n1 dances",
        "deliver votes",
        "drop entries from n1",
        "expect members\n  name | role\n  n1 | leader",
        "run until n9 leads",
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, line: str) -> None:
    """An unknown sentence, or one that finds nothing to act on, is an error: a typing mistake must not pass."""
    with pytest.raises(ScenarioError, match=r"example\.txt:3"):
        _scenario(tmp_path, "three members", line).play()


def test_limits_are_put_back() -> None:
    """A scenario that changes a limit of the core leaves it as it was."""
    before = core_module.MAX_ENTRIES_IN_FLIGHT
    Scenario(FOLDER / "walk_back.txt").play()
    assert before == core_module.MAX_ENTRIES_IN_FLIGHT
    play = Play()
    play.world.close()


def test_no_sentence_reads_like_another() -> None:
    """Each template appears once, and README.md explains the language with all of them."""
    templates = [one.template for language in (STEPS, EXPECTATIONS) for one in language.sentences]
    assert len(set(templates)) == len(templates)
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert readme.endswith("\n".join(reference()) + "\n"), "run python -m tests.scenarios --sentences"


def test_the_index_names_every_scenario() -> None:
    """docs/scenarios.md: each file once, and none that does not exist."""
    index = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
    named = re.findall(r"\(\.\./tests/scenarios/(\w+)\.txt\)", index)
    assert sorted(named) == [path.stem for path in all_scenarios()]
