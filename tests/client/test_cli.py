"""The command line against a fake node: what it prints, what it exits with, what it keeps."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from api.console import main
from client.cli import SECTIONS
from client.drawing import span
from tests.client.fake import BOOKING, SPACE, FakeNode, cluster, free_url, no_content, ok, problem, tokens

ALTERNATIVE = {
    "space_id": "hq",
    "seat_id": "A2",
    "starts_at": "2026-12-01T10:00:00+03:00",
    "ends_at": "2026-12-01T11:00:00+03:00",
}
DAY = {
    "space_id": "hq",
    "date": "2026-12-01",
    "timezone": "Europe/Moscow",
    "slots": [
        {"starts_at": f"2026-12-01T{hour:02}:00:00+03:00", "ends_at": f"2026-12-01T{hour + 1:02}:00:00+03:00"}
        for hour in (8, 9, 10)
    ],
    "seats": [
        {"id": "A1", "label": "A1", "slots": ["past", "mine", "taken"]},
        {"id": "A2", "label": "У окна", "slots": ["past", "free", "closed"]},
    ],
}


class Shell:
    """Runs `deskraft` in this process with a configuration folder of its own."""

    def __init__(self, folder: Path, server: str) -> None:
        self.file = folder / "deskraft" / "session.json"
        self._environment = {
            "XDG_CONFIG_HOME": str(folder),
            "DESKRAFT_SERVER": server,
            "DESKRAFT_PASSWORD": "a long pass phrase",
            "COLUMNS": "120",
        }

    def __call__(self, *arguments: str, typed: str | None = None, **environment: str | None) -> Result:
        merged = {**self._environment, **environment}
        return CliRunner().invoke(main, arguments, input=typed, env=merged, catch_exceptions=False)


@pytest.fixture
def shell(tmp_path: Path, node: FakeNode) -> Shell:
    """A shell that speaks to the fake node, which knows one space and one user."""
    node.on("POST /api/v1/auth/login", tokens("one"))
    node.on("GET /api/v1/spaces", ok({"items": [SPACE], "next": None}))
    node.on("GET /api/v1/spaces/hq", ok(SPACE))
    node.on("GET /api/v1/spaces/hq/availability", ok(DAY))
    return Shell(tmp_path, node.url)


def test_log_in_book_history_log_out(shell: Shell, node: FakeNode) -> None:
    """The three journeys, typed."""
    node.on("POST /book", ok(BOOKING, 201))
    node.on("POST /api/v1/bookings/b1/cancel", ok(BOOKING | {"status": "cancelled"}))
    node.on("GET /history", ok({"items": [BOOKING], "next": None}))
    node.on("POST /api/v1/auth/logout", no_content)
    result = shell("login", "ada")
    assert result.exit_code == 0
    assert "Logged in as ada" in result.stdout
    assert stat.S_IMODE(shell.file.stat().st_mode) == 0o600
    assert "pass phrase" not in shell.file.read_text()
    result = shell("book", "A1", "2026-12-01", "10:00")
    assert result.exit_code == 0
    expected = "Booked A1 in Коворкинг на Мясницкой: 2026-12-01 10:00–11:00 (Europe/Moscow)"
    assert result.stdout.splitlines()[0] == expected
    assert "deskraft cancel b1" in result.stdout
    assert node.asked("POST /book")[0].headers["authorization"] == "Bearer access-one"
    result = shell("history")
    assert "2026-12-01 10:00–11:00 (Europe/Moscow)" in result.stdout
    assert "confirmed" in result.stdout
    result = shell("cancel", "b1")
    assert (result.exit_code, result.stdout) == (0, "Cancelled A1 in hq: b1\n")
    assert shell("logout").stdout == "Logged out.\n"
    assert shell("logout").stdout == "Nobody was logged in.\n"
    result = shell("book", "A1", "2026-12-01", "10:00")
    assert result.exit_code == 1
    assert "log in with: deskraft login LOGIN" in result.stderr


def test_logging_out_keeps_the_device_and_erasing_does_not(shell: Shell, node: FakeNode) -> None:
    """The next log-in shows the device token, though the session has ended; an erased account leaves no trace."""
    login = "POST /api/v1/auth/login"
    node.on(
        login,
        ok(
            {
                "access_token": "a",
                "token_type": "Bearer",
                "expires_in": 900,
                "refresh_token": "r",
                "device_token": "d-1",
            }
        ),
    )
    node.on("POST /api/v1/auth/logout", no_content)
    node.on("DELETE /api/v1/me", ok({}))
    for _ in range(2):
        assert shell("login", "ada").exit_code == 0
        assert shell("logout").stdout == "Logged out.\n"
    assert shell("history").exit_code == 1
    assert shell("login", "bob").exit_code == 0
    assert [seen.body.get("device_token") for seen in node.asked(login)] == [None, "d-1", None]
    assert shell("erase", "--yes").exit_code == 0
    assert "bob" not in shell.file.read_text()
    assert "ada" in shell.file.read_text()


def test_a_taken_seat_offers_others_and_the_command(shell: Shell, node: FakeNode) -> None:
    """Exit 1, the alternatives in the space's own time, each ready to be pasted."""
    node.on("POST /book", problem(409, "seat-taken", alternatives=[ALTERNATIVE]))
    shell("login", "ada")
    result = shell("book", "A1", "2026-12-01", "10:00", "--slots", "2")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "Refused: seat-taken",
        "Free instead:",
        "  A2  2026-12-01 10:00–11:00 (Europe/Moscow)   "
        "deskraft book A2 2026-12-01 10:00 --space hq --slots 2",
        "Or wait for it: deskraft waitlist join A1 2026-12-01 10:00 --space hq --slots 2",
    ]
    result = shell("--json", "book", "A1", "2026-12-01", "10:00")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["type"] == "urn:deskraft:problem:seat-taken"
    assert told["alternatives"][0]["seat_id"] == "A2"


def test_the_seat_map(shell: Shell) -> None:
    """Symbols say it all without colours; a narrow terminal wraps the day."""
    lines = shell("seats", "--space", "hq", "--date", "2026-12-01").stdout.splitlines()
    assert lines[0] == "Коворкинг на Мясницкой (hq) — 2026-12-01, Europe/Moscow"
    assert lines[1].split() == ["08", "09", "10"]
    assert lines[2].split() == ["A1", "░", "★", "█"]
    assert lines[3].split() == ["A2", "У", "окна", "░", "·"]
    assert "free" in lines[4]
    narrow = shell("seats", "--date", "2026-12-01", COLUMNS="19").stdout
    assert "10" not in narrow.splitlines()[2]
    assert narrow.count("A2 У окна") == 2
    (day,) = json.loads(shell("seats", "--json").stdout)
    assert day["seats"][0]["slots"] == ["past", "mine", "taken"]


def test_the_seat_map_of_a_day_when_an_hour_comes_twice(shell: Shell, node: FakeNode) -> None:
    """Instants are drawn as the server wrote them, whatever the database of time zones here says; and it is told that the clocks change."""
    times = ["01:00:00+02:00", "02:00:00+02:00", "02:00:00+01:00", "03:00:00+01:00", "04:00:00+01:00"]
    slots = [
        {"starts_at": f"2027-10-31T{one}", "ends_at": f"2027-10-31T{other}"} for one, other in pairwise(times)
    ]
    seats = [{"id": "A1", "label": "A1", "slots": ["free", "taken", "mine", "free"]}]
    node.on("GET /api/v1/spaces/hq/availability", ok({**DAY, "slots": slots, "seats": seats}))
    lines = shell("seats", "--space", "hq", "--date", "2027-10-31").stdout.splitlines()
    assert "UTC+0200 until the slot of 02:00, UTC+0100 from 02:00 on" in lines[1]
    assert lines[2].split() == ["01", "02", "02", "03"]
    assert lines[3].split() == ["A1", "·", "█", "★", "·"]
    begin, end = (datetime.fromisoformat(f"2027-10-31T{each}") for each in times[1:3])
    told = "2027-10-31 02:00+0200–02:00+0100 (Europe/Berlin)"
    assert told == span(begin, end, "Europe/Berlin")


def test_server_and_json_are_taken_anywhere_on_the_line(shell: Shell, node: FakeNode) -> None:
    """Before the command, behind it, from the environment; the last one counts."""
    nobody = free_url()
    for arguments in (
        ("--server", node.url, "--json", "cluster", "members"),
        ("cluster", "--server", node.url, "members", "--json"),
        ("--server", nobody, "cluster", "members", "--json", "--server", node.url),
    ):
        result = shell(*arguments, DESKRAFT_SERVER=nobody)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["leader_id"] == "n1"


def test_cluster_status_asks_every_node(shell: Shell, node: FakeNode) -> None:
    """A row for each, the leader marked, the dead one named, contradictions shouted."""
    dead = free_url()
    apis = [url.removeprefix("http://") for url in (node.url, dead)]
    node.on("GET /api/v1/cluster", ok(cluster("n1", apis)))
    result = shell("cluster", "status")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[1].split()[:7] == ["n1", apis[0], "★", "leader", "3", "9", "9"]
    assert lines[2].startswith("n2")
    assert "✗ no answer" in lines[2]
    assert lines[3].startswith(f"{dead}: no connection")
    told = json.loads(shell("cluster", "status", "--json").stdout)
    assert [view["error"] is None for view in told["nodes"]] == [True, False]
    assert told["warnings"] == []
    assert "n1" in shell("cluster", "members").stdout


def test_contradictions_between_nodes_are_shown() -> None:
    """Two leaders of one term and two digests at one index."""
    import msgspec

    from client.answers import Cluster
    from client.drawing import NodeView, warnings

    views = [
        NodeView(
            f"http://x:{i}", msgspec.convert(cluster(f"n{i}", [], f"n{i}", digest=f"{i}"), Cluster), None
        )
        for i in (1, 2)
    ]
    assert warnings(views) == ["two leaders in term 3: n1 and n2", "digests differ at index 9: n1 and n2"]


def test_exit_status(shell: Shell, node: FakeNode) -> None:
    """1 refused, 2 wrong usage, 3 no node answers: for people and for machines."""
    node.on("POST /api/v1/auth/login", problem(401, "wrong-credentials"))
    result = shell("login", "ada")
    assert (result.exit_code, result.stderr) == (1, "Refused: wrong-credentials. (wrong-credentials)\n")
    wrong = [
        ("book", "A1", "tomorrow", "10:00"),
        ("book", "A1", "2026-12-01", "25:00"),
        ("book", "A1", "2026-12-01", "10:00", "--slots", "0"),
        ("seats", "--date", "2026-13-01"),
        ("seats", "--server", "ftp://x"),
        ("nonsense",),
        ("cluster", "status", "--interval", "0"),
    ]
    for arguments in wrong:
        assert shell(*arguments).exit_code == 2, arguments
    result = shell("login", "ada", DESKRAFT_PASSWORD=None)
    assert (result.exit_code, "no password" in result.stderr) == (2, True)
    result = shell("cluster", "status", DESKRAFT_SERVER=free_url())
    assert (result.exit_code, "no node answers" in result.stderr) == (3, True)
    result = shell("cluster", "status", "--json", DESKRAFT_SERVER=free_url())
    assert (result.exit_code, json.loads(result.stdout)["title"]) == (3, "no-node-answers")


def test_a_password_may_be_piped_in(shell: Shell, node: FakeNode) -> None:
    """Without a terminal the first line of standard input is the password."""
    node.on("POST /api/v1/auth/register", ok({"id": "u1", "login": "ada", "role": "user"}, 201))
    result = shell("register", "ada", typed="from a pipe\n", DESKRAFT_PASSWORD=None)
    assert (result.exit_code, "Registered ada." in result.stdout) == (0, True)
    assert node.asked("POST /api/v1/auth/register")[0].body == {"login": "ada", "password": "from a pipe"}


def test_a_log_in_is_sent_to_its_own_servers_only(shell: Shell, node: FakeNode, tmp_path: Path) -> None:
    """Another server gets no token, and a log-in there does not end the one here."""
    shell("login", "ada")
    kept = shell.file.read_text()
    result = shell("book", "A1", "2026-12-01", "10:00", "--server", free_url())
    assert result.exit_code == 1
    assert "not logged in" in result.stderr
    assert shell.file.read_text() == kept
    shell.file.write_text("{")
    result = shell("history")
    assert (result.exit_code, "damaged; delete it and log in again" in result.stderr) == (2, True)


def test_help_teaches() -> None:
    """Every command has help with an example, and the group tells the exit status."""
    result = CliRunner().invoke(main, ["--help"])
    assert "Exit status: 0 done, 1 refused, 2 wrong usage, 3 no node answers." in result.output
    for title in SECTIONS:
        assert f"{title}:" in result.output or not SECTIONS[title], title


def _commands(
    command: click.Command, context: click.Context, words: tuple[str, ...]
) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(words), command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _commands(below, click.Context(below, parent=context, info_name=name), (*words, name))


@pytest.mark.parametrize(
    ("words", "command"),
    [pytest.param(*each, id=each[0]) for each in _commands(main, click.Context(main), ("deskraft",))],
)
def test_every_level_of_help_has_examples(words: str, command: click.Command) -> None:
    """What it is for in one line that is not cut in a list of eighty columns, and examples that begin with the command."""
    assert command.help is not None
    room = 80 - 2 - 6 - len("completion")
    if words != "deskraft":
        assert not command.get_short_help_str(room).endswith("..."), "its first sentence does not fit"
    assert re.search(r"Examples?:", command.help), "no example"
    assert words in command.help, "the example shows another command"
    assert all(
        len(line) <= 110 for line in inspect.cleandoc(command.help).splitlines() if line.startswith("  ")
    ), "too wide"


CLUSTER_YML = Path(__file__).parents[2].joinpath("cluster.yml").read_text(encoding="utf-8")


def _node(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`deskraft node` as a process of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "DESKRAFT_ADMIN_PASSWORD"}
    program = [sys.executable, "-c", "from api.console import main; main(prog_name='deskraft')", "node"]
    config = str(folder / "cluster.yml")
    return subprocess.run(
        [*program, "--config", config, *arguments],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_node_that_may_not_start_says_why_in_one_line(tmp_path: Path) -> None:
    """A mistake in the file, no secret, a stranger's id, no administrator's password: exit 2 each."""
    config = tmp_path / "cluster.yml"
    config.write_text(CLUSTER_YML.replace("127.0.0.1:8002", "127.0.0.1:8001"), encoding="utf-8")
    expected = [("--id", "n1", "cluster.yml: nodes.n2.api: duplicate address 127.0.0.1:8001")]
    outcomes = [_node(tmp_path, "--id", "n1")]
    config.write_text(CLUSTER_YML, encoding="utf-8")
    expected.append(("--id", "n1", f"secret file {tmp_path}/data/secret: it is missing"))
    outcomes.append(_node(tmp_path, "--id", "n1"))
    secret = tmp_path / "data" / "secret"
    secret.parent.mkdir()
    secret.write_text("s" * 40)
    secret.chmod(0o600)
    expected.append(("--id", "n9", "cluster.yml: nodes: there is no n9; known: n1, n2, n3"))
    outcomes.append(_node(tmp_path, "--id", "n9"))
    password = "set DESKRAFT_ADMIN_PASSWORD: it becomes the administrator's password when the cluster is born"
    expected.append(("--id", "n1", password))
    outcomes.append(_node(tmp_path, "--id", "n1"))
    for (_, _, message), outcome in zip(expected, outcomes, strict=True):
        assert (outcome.returncode, outcome.stderr) == (2, f"deskraft node: {message}\n")


def test_watching_ends_with_ctrl_c(node: FakeNode, tmp_path: Path) -> None:
    """--watch prints until it is interrupted, which is its good end."""
    program = [sys.executable, "-c", "from api.console import main; main(prog_name='deskraft')"]
    arguments = ["cluster", "status", "--watch", "--json", "--interval", "0.1", "--server", node.url]
    with subprocess.Popen(
        [*program, *arguments],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert [json.loads(line)["nodes"][0]["answer"]["node_id"] for line in lines] == ["n1", "n1"]
    assert (process.returncode, errors) == (0, "")
