"""Completion: what TAB offers, soon and silent when there is nothing to offer."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from client.completing import COMPLETE_SECONDS
from tests.client.fake import BOOKING, SPACE, FakeNode, free_url, ok, problem, tokens
from tests.client.test_cli import DAY, Shell
from tests.client.test_sinking import SINK, letter


class Tab:
    """Presses TAB at the end of a line, as bash would."""

    def __init__(self, folder: Path, server: str) -> None:
        self.shell = Shell(folder, server)

    def __call__(self, line: str) -> list[str]:
        words = line.split(" ")
        result = self.shell(  # the program is called "main" here
            _MAIN_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)
        )
        assert result.stderr == ""
        return [row.partition(",")[2] for row in result.stdout.splitlines() if row]


@pytest.fixture
def tab(tmp_path: Path, node: FakeNode) -> Tab:
    """A logged-in shell at a node that knows a space, its day and a booking."""
    node.on("POST /api/v1/auth/login", tokens("one"))
    node.on("GET /api/v1/spaces", ok({"items": [SPACE], "next": None}))
    node.on("GET /api/v1/spaces/hq", ok(SPACE))
    node.on("GET /api/v1/spaces/hq/availability", ok(DAY))
    node.on("GET /api/v1/bookings", ok({"items": [BOOKING], "next": None}))
    made = Tab(tmp_path, node.url)
    assert made.shell("login", "ada").exit_code == 0
    return made


def test_ids_and_free_times_are_offered(tab: Tab) -> None:
    """Commands, spaces, seats of the space on the line, one's bookings, and only the times that are free."""
    assert tab("deskraft bo") == ["book"]
    assert tab("deskraft seats --space ") == ["hq"]
    assert tab("deskraft book A") == ["A1", "A2"]
    assert tab("deskraft space seat retire hq A1") == ["A1"]
    assert tab("deskraft cancel ") == ["b1"]
    assert tab("deskraft book A2 2026-12-01 ") == ["09:00"]
    assert len(tab("deskraft book A2 ")) == 14


def test_sinks_and_their_dead_letters_are_offered(tab: Tab, node: FakeNode) -> None:
    """An event of the sink that stands on the line."""
    node.on("GET /api/v1/admin/sinks", ok({"items": [SINK]}))
    node.on("GET /api/v1/admin/sinks/mail/dead-letters", ok({"items": [letter("11.0"), letter("12.1")]}))
    assert tab("deskraft sink show ") == ["mail"]
    assert tab("deskraft sink replay mail ") == ["11.0", "12.1"]
    assert tab("deskraft sink drop mail 11.0 12") == ["12.1"]


def test_failure_is_silent(tab: Tab, node: FakeNode, tmp_path: Path) -> None:
    """Refused, nobody there, a node that says nothing: no offer, no word, and not much longer than a second."""
    node.on("GET /api/v1/bookings", problem(401, "unauthenticated"))
    assert tab("deskraft cancel ") == []
    assert Tab(tmp_path, free_url())("deskraft seats --space ") == []
    assert tab("deskraft seats --server nonsense:// --space ") == []
    node.silent = True
    begun = time.monotonic()
    assert tab("deskraft seats --space ") == []
    assert time.monotonic() - begun < COMPLETE_SECONDS + 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed(tab: Tab, shell: str) -> None:
    """What a shell evaluates."""
    result = tab.shell("completion", shell)
    assert result.exit_code == 0
    assert "_DESKRAFT_COMPLETE" in result.stdout
    assert f"{shell}_complete" in result.stdout
