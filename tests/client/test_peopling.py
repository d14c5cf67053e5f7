"""`deskraft password | sessions | export | erase | user … | audit`: what is sent, what is said, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.client.fake import FakeNode, ok, problem
from tests.client.test_cli import Shell, shell

__all__ = ["shell"]

USERS = "/api/v1/admin/users"
AT = "2026-11-22T12:00:00.000+00:00"
ANN: dict[str, Any] = {
    "id": "u-1",
    "login": "annie",
    "role": "user",
    "created_at": AT,
    "blocked_at": None,
    "password_change_needed": False,
    "sessions": 1,
}
LOGIN = {"id": "s-1", "created_at": AT, "refreshed_at": AT, "expires_at": AT, "current": True}


@pytest.fixture
def deskraft(shell: Shell) -> Shell:
    """A shell whose user is logged in."""
    assert shell("login", "admin").exit_code == 0
    return shell


@pytest.mark.parametrize("name", ["block", "unblock", "end-sessions", "promote", "demote"])
def test_an_act_is_on_the_user_of_that_login(deskraft: Shell, node: FakeNode, name: str) -> None:
    node.on(f"GET {USERS}", ok({"items": [{**ANN, "id": "u-2", "login": "annie2"}, ANN], "next": None}))
    node.on(f"POST {USERS}/u-1/{name}", ok({}))
    result = deskraft("user", name, "Annie")
    assert (result.exit_code, result.stdout[:6]) == (0, "Annie "), result.output
    assert len(node.asked(f"POST {USERS}/u-1/{name}")) == 1
    node.on(f"POST {USERS}/u-1/{name}", problem(409, "last-administrator"))
    assert deskraft("user", name, "annie").exit_code == 1


def test_a_reset_prints_the_one_time_password(deskraft: Shell, node: FakeNode) -> None:
    node.on(f"GET {USERS}", ok({"items": [ANN], "next": None}))
    node.on(f"POST {USERS}/u-1/reset-password", ok({"user_id": "u-1", "one_time_password": "abcd-efgh"}))
    assert deskraft("user", "reset", "annie").stdout == "One-time password of annie: abcd-efgh\n"


def test_users_are_listed(deskraft: Shell, node: FakeNode) -> None:
    node.on(f"GET {USERS}", ok({"items": [{**ANN, "blocked_at": AT}], "next": None}))
    line = deskraft("user", "list", "ann").stdout.splitlines()[1]
    assert line.split() == ["annie", "user", "blocked", "2026-11-22", "12:00", "u-1"]
    assert json.loads(deskraft("user", "list", "--json").stdout)["items"][0]["login"] == "annie"


def test_the_password_is_changed(deskraft: Shell, node: FakeNode) -> None:
    given = {"DESKRAFT_PASSWORD": "old one", "DESKRAFT_NEW_PASSWORD": "new one"}
    node.on("POST /api/v1/me/password", ok({}))
    assert deskraft("password", **given).exit_code == 0
    (asked,) = node.asked("POST /api/v1/me/password")
    assert asked.body == {"old_password": "old one", "new_password": "new one"}
    node.on("POST /api/v1/me/password", problem(403, "wrong-password"))
    assert deskraft("password", **given).exit_code == 1


def test_sessions_are_listed_and_ended(deskraft: Shell, node: FakeNode) -> None:
    node.on("GET /api/v1/me/sessions", ok({"items": [LOGIN]}))
    node.on("DELETE /api/v1/me/sessions/s-1", ok({}))
    node.on("POST /api/v1/auth/logout-everywhere", ok({}))
    assert deskraft("sessions").stdout.splitlines()[1].split()[:3] == ["s-1", "2026-11-22", "12:00"]
    assert deskraft("sessions", "--end", "s-1").exit_code == 0
    assert deskraft("sessions", "--end", "s-1", "--end-all").exit_code == 2
    assert deskraft("sessions", "--end-all").exit_code == 0
    assert deskraft("sessions").exit_code == 1, "logged out"


def test_an_export_is_written_for_its_owner_alone(deskraft: Shell, node: FakeNode, tmp_path: Path) -> None:
    node.on("GET /api/v1/me/export", ok({"profile": ANN, "sessions": [LOGIN], "bookings": [], "next": None}))
    file = tmp_path / "me.json"
    assert deskraft("export", str(file)).exit_code == 0
    assert json.loads(file.read_text())["profile"]["login"] == "annie"
    assert file.stat().st_mode & 0o077 == 0
    assert json.loads(deskraft("export").stdout)["sessions"][0]["id"] == "s-1"
    assert deskraft("export", str(tmp_path / "no" / "where")).exit_code == 2


def test_erasing_asks_twice(deskraft: Shell, node: FakeNode) -> None:
    node.on("DELETE /api/v1/me", ok({}))
    assert deskraft("erase").exit_code == 1
    assert not node.asked("DELETE /api/v1/me")
    assert deskraft("erase", "--yes", DESKRAFT_PASSWORD="secret one").exit_code == 0
    assert node.asked("DELETE /api/v1/me")[0].body == {"password": "secret one"}


def test_the_audit_is_read(deskraft: Shell, node: FakeNode) -> None:
    record = {
        "id": "7.1",
        "number": 3,
        "at": AT,
        "actor": "u-0",
        "actor_login": "admin",
        "what": "user-blocked",
    }
    record |= {"subject": "u-1", "subject_login": None, "detail": ""}
    node.on("GET /api/v1/admin/audit", ok({"items": [record], "forgotten": 2, "next": None}))
    result = deskraft("audit")
    assert result.stdout.splitlines()[1].split() == [
        "2026-11-22",
        "12:00",
        "admin",
        "user-blocked",
        "u-1",
        "7.1",
    ]
    assert "2 older records" in result.stderr
