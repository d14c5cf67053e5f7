"""`deskraft sink …` and `Client.sinks`: what is sent, what is said, and how it ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.outbox_shapes import LetterView, SinkView
from client.sinks import DeadLetter, Sink
from client.sync import Client
from tests.client.fake import FakeNode, no_content, ok, problem, tokens
from tests.client.test_cli import Shell, shell

__all__ = ["shell"]

SINKS = "/api/v1/admin/sinks"
MAIL = f"{SINKS}/mail"
AT = "2026-11-22T12:00:00.000+00:00"
SINK: dict[str, Any] = {
    "id": "mail",
    "kind": "mail",
    "state": "active",
    "created_at": AT,
    "cursor": "12.0",
    "behind": 3,
    "held": 1,
    "dead_letters": 2,
    "delivered": 7,
    "missed": 0,
    "dropped": 0,
    "troubled_since": AT,
    "why": "no connection",
    "next_attempt_at": AT,
    "revision": "12.1",
    "something_new": True,
}
HOOK_ID = "019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d"
HEALTHY: dict[str, Any] = SINK | {
    "id": HOOK_ID,
    "kind": "webhook",
    "held": 0,
    "dead_letters": 0,
    "troubled_since": None,
    "why": "",
    "next_attempt_at": None,
    "url": "https://example.org/hook",
}


def letter(event_id: str) -> dict[str, Any]:
    event = {"id": event_id, "type": "deskraft.booking.confirmed", "subject": "bookings/b1"}
    return {"id": event_id, "attempts": 12, "at": AT, "why": "answered 500", "event": event}


@pytest.fixture
def deskraft(shell: Shell) -> Shell:
    """A shell whose user is logged in."""
    assert shell("login", "admin").exit_code == 0
    return shell


def test_sinks_are_listed_and_shown(deskraft: Shell, node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    node.on(f"GET {SINKS}", ok({"items": [SINK, HEALTHY]}), ok({"items": [SINK]}), ok({"items": []}))
    head, mail, hook, standing = deskraft("sink", "list").stdout.splitlines()
    assert head.split() == ["Sink", "Kind", "State", "Behind", "Held", "Dead"]
    assert mail.split() == ["mail", "mail", "active", "3", "1", "2"]
    assert standing == "mail: in trouble since 2026-11-22 12:00 UTC; no connection"
    assert hook.split() == [HOOK_ID, "webhook", "active", "3", "0", "0"]
    assert json.loads(deskraft("sink", "list", "--json").stdout)["items"][0]["why"] == "no connection"
    assert deskraft("sink", "list").stdout.startswith("No sinks.")
    node.on(f"GET {MAIL}", ok(SINK))
    said = deskraft("sink", "show", "mail").stdout
    assert "held back 1, next attempt 2026-11-22 12:00 UTC" in said
    assert "dead letters 2: deskraft sink letters mail" in said
    node.on(f"GET {SINKS}/{HOOK_ID}", ok(HEALTHY))
    said = deskraft("sink", "show", HOOK_ID).stdout
    assert "to https://example.org/hook" in said
    assert "dead letters" not in said
    monkeypatch.setenv("COLUMNS", "60")  # an id is never cut, however narrow the terminal
    node.on(f"GET {SINKS}", ok({"items": [HEALTHY]}))
    assert HOOK_ID in deskraft("sink", "list").stdout


def test_a_sink_is_paused_resumed_and_removed(deskraft: Shell, node: FakeNode) -> None:
    for act, state in (("pause", "paused"), ("resume", "active")):
        node.on(f"POST {MAIL}/{act}", ok(SINK | {"state": state}))
        assert deskraft("sink", act, "mail").stdout.startswith(f"mail  {state}  since")
    node.on(f"DELETE {MAIL}", no_content)
    assert deskraft("sink", "remove", "mail").exit_code == 1  # nobody there to say yes
    assert not node.asked(f"DELETE {MAIL}")
    assert deskraft("sink", "remove", "mail", "--yes").stdout == "Removed mail.\n"
    assert json.loads(deskraft("sink", "remove", "mail", "--yes", "--json").stdout) == {"removed": "mail"}


def test_dead_letters_are_shown(deskraft: Shell, node: FakeNode) -> None:
    first, last = ok({"items": [letter("11.0")], "next": "11.0"}), ok({"items": [letter("12.1")]})
    node.on(f"GET {MAIL}/dead-letters", first, last, first, last, first, last, ok({"items": []}))
    result = deskraft("sink", "letters", "mail")
    rows = [line.split() for line in result.stdout.splitlines()]
    assert [row[0] for row in rows] == ["Event", "11.0", "12.1"]
    assert rows[1][3:] == ["12", "booking.confirmed", "bookings/b1", "answered", "500"]
    assert result.stderr == "Try them again: deskraft sink replay mail --all\n"
    assert [seen.query.get("cursor") for seen in node.asked(f"GET {MAIL}/dead-letters")] == [None, "11.0"]
    found = json.loads(deskraft("sink", "letters", "mail", "--json").stdout)
    assert [each["event"]["subject"] for each in found["items"]] == ["bookings/b1"] * 2
    assert "There are more" in deskraft("sink", "letters", "mail", "--limit", "1").stderr
    assert deskraft("sink", "letters", "mail").stdout == "No dead letters of mail.\n"


@pytest.mark.parametrize(
    ("act", "sure", "told"), [("replay", (), "Tried again"), ("drop", ("--yes",), "Forgotten")]
)
def test_dead_letters_are_chosen_by_name_or_all(
    deskraft: Shell, node: FakeNode, act: str, sure: tuple[str, ...], told: str
) -> None:
    path = f"POST {MAIL}/dead-letters/{act}"
    node.on(path, ok({"count": 1}), ok({"count": 2}), ok({"count": 1}), ok({"count": 0}))
    command = ("sink", act, "mail", *sure)
    assert deskraft(*command, "11.0", "11.0").stdout == f"{told}: 1.\n"
    assert node.asked(path)[-1].body == {"ids": ["11.0"]}
    assert deskraft(*command, "--all").stdout == f"{told}: 2.\n"
    assert node.asked(path)[-1].body == {}
    result = deskraft(*command, "11.0", "12.1")
    assert (result.exit_code, result.stdout) == (0, f"{told}: 1 of 2.\n")
    assert "deskraft sink letters mail" in result.stderr
    assert deskraft(*command, "11.0").exit_code == 1
    asked = len(node.asked(path))
    many = tuple(f"{number}.0" for number in range(201))
    for wrong in ((), ("--all", "11.0"), ("nonsense",), many):
        assert deskraft(*command, *wrong).exit_code == 2
    assert len(node.asked(path)) == asked


def test_dropping_asks_first(deskraft: Shell, node: FakeNode) -> None:
    path = f"POST {MAIL}/dead-letters/drop"
    node.on(path, ok({"count": 2}))
    result = deskraft("sink", "drop", "mail", "--all")  # nobody there to say yes
    assert (result.exit_code, node.asked(path)) == (1, [])
    assert "Forget all dead letters of mail for good?" in result.stderr
    result = deskraft("sink", "drop", "mail", "--all", "--yes", "--json")
    assert json.loads(result.stdout) == {"sink": "mail", "dropped": 2}


def test_a_refusal_says_what_to_do_next(deskraft: Shell, node: FakeNode) -> None:
    node.on(f"GET {SINKS}/post", problem(404, "sink-not-found"))
    result = deskraft("sink", "show", "post")
    assert result.exit_code == 1
    assert "deskraft sink list" in result.stderr
    node.on(f"GET {SINKS}", problem(403, "forbidden"))
    assert "Log in as an administrator" in deskraft("sink", "list").stderr


def test_no_letters_are_not_all_letters(node: FakeNode) -> None:
    """A program that chose none must not drop all; a node refuses an empty list."""
    node.on("POST /api/v1/auth/login", tokens("one"))
    with Client(node.url) as client:
        client.login("admin", "a long pass phrase")
        assert client.sinks.drop("mail", []) == client.sinks.replay("mail", ()) == 0
    assert not [seen for seen in node.seen if "dead-letters" in seen.path]


def test_the_client_reads_what_nodes_tell() -> None:
    """The client has no code of the server's; its shapes have the same fields."""
    assert Sink.__struct_fields__ == SinkView.__struct_fields__
    assert DeadLetter.__struct_fields__ == LetterView.__struct_fields__
