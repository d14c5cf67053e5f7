"""`deskraft cluster …` that changes the cluster: what is sent, what is said, what is waited for, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.console import main
from client import operating
from tests.client.fake import FakeNode, cluster, free_url, ok, problem
from tests.client.test_cli import Shell, shell

__all__ = ["shell"]

MEMBERS = "/api/v1/cluster/members"
DONE = ok({"configuration_index": 57, "changed": True})
SO_ALREADY = ok({"configuration_index": 57, "changed": False})
ADD = ("add", "n4", "--raft", "h4:7001", "--api", "h4:8001")


@pytest.fixture
def deskraft(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell whose user is logged in, and in which nothing is waited for long."""
    monkeypatch.setattr(operating, "PENDING_SECONDS", 0.05)
    monkeypatch.setattr(operating, "ASK_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(operating, "SNAPSHOT_SECONDS", 0.05)
    assert shell("login", "admin").exit_code == 0
    return shell


def test_adding_prints_the_line_that_starts_the_node(deskraft: Shell, node: FakeNode) -> None:
    node.on(f"POST {MEMBERS}", DONE)
    result = deskraft("cluster", *ADD)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "Added n4, a learner until it has caught up."
    start = f"deskraft node --join {node.url} --id n4 --raft h4:7001 --api h4:8001 --data-dir DIR --secret-file FILE"
    assert lines[2].strip() == start
    asked = node.asked(f"POST {MEMBERS}")[0]
    assert asked.body == {"id": "n4", "raft": "h4:7001", "api": "h4:8001"}
    assert asked.headers["authorization"] == "Bearer access-one"
    node.on(f"POST {MEMBERS}", SO_ALREADY)
    assert deskraft("cluster", *ADD).stdout.startswith("n4 is a member already.\n")
    told = json.loads(deskraft("cluster", *ADD, "--json").stdout)
    assert told == {"configuration_index": 57, "changed": False}


def test_promoting_waits_until_the_learner_has_caught_up(deskraft: Shell, node: FakeNode) -> None:
    """Each new reason is told once; when the time is over, the refusal is."""
    behind = problem(409, "not-caught-up", detail="n4 is 700 entries behind")
    node.on(f"POST {MEMBERS}/n4/promote", behind, behind, problem(409, "change-pending"), DONE)
    result = deskraft("cluster", "promote", "n4")
    assert (result.exit_code, result.stdout) == (0, "n4 votes.\n")
    assert result.stderr.splitlines() == ["Waiting: n4 is 700 entries behind", "Waiting: (change-pending)"]
    node.on(f"POST {MEMBERS}/n4/promote", behind)
    result = deskraft("cluster", "promote", "n4", "--wait", "0.05")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-2] == "Refused: not-caught-up. n4 is 700 entries behind"
    assert "cluster status --watch" in result.stderr.splitlines()[-1]
    node.on(f"POST {MEMBERS}/n4/promote", SO_ALREADY)
    assert deskraft("cluster", "promote", "n4").stdout == "n4 votes already.\n"


def test_removing(deskraft: Shell, node: FakeNode) -> None:
    node.on(f"DELETE {MEMBERS}/n1", DONE)
    result = deskraft("cluster", "remove", "n1")
    assert (result.exit_code, result.stdout) == (0, "Removed n1; the node stops by itself.\n")
    node.on(f"DELETE {MEMBERS}/n1", problem(409, "would-lose-quorum"))
    result = deskraft("cluster", "remove", "n1")
    assert (result.exit_code, "Bring back the voters" in result.stderr) == (1, True)


def test_a_removal_whose_answer_was_lost_is_done(deskraft: Shell, node: FakeNode) -> None:
    """n1 was in the record when it began; one that never was there is a mistake."""
    node.on(f"DELETE {MEMBERS}/n1", problem(503, "outcome-unknown"), problem(404, "unknown-member"))
    result = deskraft("cluster", "remove", "n1")
    assert (result.exit_code, result.stdout) == (0, "Removed n1; the node stops by itself.\n")
    node.on(f"DELETE {MEMBERS}/n9", problem(404, "unknown-member"))
    result = deskraft("cluster", "remove", "n9")
    assert (result.exit_code, "deskraft cluster members" in result.stderr) == (1, True)


def test_on_a_terminal_it_is_asked_first(
    deskraft: Shell, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operating, "_on_a_terminal", lambda: True)
    for command, call in (("remove", f"DELETE {MEMBERS}/n1"), ("replace", f"POST {MEMBERS}/n1/replace")):
        node.on(call, DONE)
        result = deskraft("cluster", command, "n1", typed="n\n")
        assert (result.exit_code, node.asked(call)) == (1, [])
        assert deskraft("cluster", command, "n1", typed="y\n").exit_code == 0
        assert deskraft("cluster", command, "n1", "--yes").exit_code == 0
        assert len(node.asked(call)) == 2


def test_replacing_names_the_disk_that_is_given_up(deskraft: Shell, node: FakeNode) -> None:
    """So a repetition whose first answer was lost cannot hit the disk that came instead."""
    told = cluster("n1", [node.url.removeprefix("http://")])
    told["members"][0] |= {"incarnation": "d1", "voter": True}
    node.on("GET /api/v1/cluster", ok(told))
    node.on(f"POST {MEMBERS}/n1/replace", DONE)
    result = deskraft("cluster", "replace", "n1")
    assert (result.exit_code, "over an empty folder" in result.stdout) == (0, True)
    assert node.asked(f"POST {MEMBERS}/n1/replace")[0].body == {"incarnation": "d1"}
    node.on(f"POST {MEMBERS}/n1/replace", SO_ALREADY)
    assert deskraft("cluster", "replace", "n1").stdout.startswith("Nothing to do")


def test_transferring(deskraft: Shell, node: FakeNode) -> None:
    node.on("POST /api/v1/cluster/transfer", ok({"leader_id": "n2"}))
    assert deskraft("cluster", "transfer", "n2").stdout == "n2 leads.\n"
    assert node.asked("POST /api/v1/cluster/transfer")[-1].body == {"to": "n2"}
    assert json.loads(deskraft("cluster", "transfer", "--json").stdout) == {"leader_id": "n2"}
    assert node.asked("POST /api/v1/cluster/transfer")[-1].body == {}
    node.on("POST /api/v1/cluster/transfer", problem(409, "not-caught-up"))
    assert deskraft("cluster", "transfer", "n2").exit_code == 1


def test_every_node_that_answers_writes_a_snapshot(deskraft: Shell, node: FakeNode) -> None:
    dead = free_url().removeprefix("http://")
    node.on("GET /api/v1/cluster", ok(cluster("n1", [node.url.removeprefix("http://"), dead])))
    call = "POST /api/v1/cluster/snapshot"
    node.on(call, problem(503, "unavailable"), ok({"node_id": "n1", "index": 47}))
    result = deskraft("cluster", "snapshot")
    assert (result.exit_code, result.stdout) == (0, "n1: snapshot at entry 47\n")
    assert f"http://{dead}: no connection" in result.stderr
    told = json.loads(deskraft("cluster", "snapshot", "--json").stdout)
    assert told["snapshots"] == [{"node_id": "n1", "index": 47}]
    node.on(call, problem(503, "unavailable"))
    assert deskraft("cluster", "snapshot").exit_code == 3
    node.on(call, problem(403, "forbidden"))
    result = deskraft("cluster", "snapshot")
    assert (result.exit_code, "deskraft login admin" in result.stderr) == (1, True)


def test_members_show_who_votes_and_whose_disk_is_awaited(deskraft: Shell, node: FakeNode) -> None:
    told = cluster("n1", ["h:1", "h:2"], configuration_index=57, founding="f0")
    told["members"][0] |= {"incarnation": "0123456789", "voter": True}
    told["members"][1] |= {"role": "learner", "voter": False, "incarnation": ""}
    node.on("GET /api/v1/cluster", ok(told))
    lines = deskraft("cluster", "members").stdout.splitlines()
    assert lines[1].split()[-4:-1] == ["leader", "yes", "01234567"]
    assert lines[2].split()[-4:-1] == ["learner", "no", "open"]
    assert lines[3] == "as n1 sees them in term 3 (entry 57)"


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "n4"),
        ("add", "n4", "--raft", "h4:7001"),
        ("promote",),
        ("promote", "n4", "--wait", "-1"),
        ("remove",),
        ("replace", "n1", "n2"),
        ("transfer", "n1", "n2"),
        ("snapshot", "n1"),
        ("demote", "n1"),
    ],
)
def test_wrong_usage(deskraft: Shell, arguments: tuple[str, ...]) -> None:
    assert deskraft("cluster", *arguments).exit_code == 2


def test_refusals_for_machines_and_nobody_at_home(deskraft: Shell, node: FakeNode) -> None:
    node.on(f"POST {MEMBERS}", problem(409, "address-taken", detail="h4:8001 belongs to n2"))
    result = deskraft("cluster", *ADD, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["type"] == "urn:deskraft:problem:address-taken"
    result = deskraft("cluster", *ADD)
    assert result.stderr.splitlines()[0] == "Refused: address-taken. h4:8001 belongs to n2"
    result = deskraft("cluster", *ADD, "--server", free_url())
    assert (result.exit_code, "not logged in" in result.stderr) == (1, True)
    result = deskraft("cluster", "members", "--server", free_url())
    assert result.exit_code == 3


def test_help_has_an_example_everywhere() -> None:
    listed = CliRunner().invoke(main, ["cluster", "--help"]).output
    for command in ("status", "members", "add", "promote", "remove", "replace", "transfer", "snapshot"):
        assert "Example" in CliRunner().invoke(main, ["cluster", command, "--help"]).output, command
        assert command in listed


JOIN = ("node", "--id", "n4", "--join", "http://127.0.0.1:8001")
WHERE = ("--raft", "127.0.0.1:7004", "--api", "127.0.0.1:8004")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (JOIN, "--join needs --raft, --api, --secret-file, --data-dir as well"),
        (("node", "--id", "n4", "--raft", "h:1"), "--raft belongs to --join"),
        (("node", "--id", "n4", "--learner"), "--learner belongs to --join"),
        ((*JOIN, *WHERE, "--data-dir", "d", "--secret-file", "missing"), "secret file"),
        (
            (*JOIN, "--raft", "h:0", "--api", "h:1", "--data-dir", "d", "--secret-file", "s"),
            "--raft: bad port",
        ),
        (
            ("node", "--id", "n4", "--join", "ftp://x", *WHERE, "--data-dir", "d", "--secret-file", "s"),
            "bad server",
        ),
        (
            ("node", "--id", "N4", "--join", "x:1", *WHERE, "--data-dir", "d", "--secret-file", "s"),
            "--id: 'N4' is not allowed",
        ),
    ],
)
def test_wrong_usage_of_a_joining_node(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr
