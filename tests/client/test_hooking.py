"""`deskraft webhook …`: what is sent, what is said, and how it ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.client.fake import FakeNode, no_content, ok, problem
from tests.client.test_cli import Shell, shell

__all__ = ["shell"]

HOOKS = "/api/v1/admin/webhooks"
AT = "2026-11-22T12:00:00.000+00:00"
HOOK: dict[str, Any] = {
    "id": "w-1",
    "url": "https://example.org/hook",
    "description": "Billing",
    "types": ["deskraft.booking"],
    "space_ids": [],
    "state": "active",
    "created_at": AT,
    "told_through": "12.0",
    "delivered": 7,
    "waiting": 0,
    "dead_letters": 2,
    "missed": 0,
    "dropped": 0,
    "troubled_since": AT,
    "why": "answered 503",
    "old_secret_until": None,
}
SECRET = "whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0"


@pytest.fixture
def deskraft(shell: Shell) -> Shell:
    """A shell whose user is logged in."""
    assert shell("login", "admin").exit_code == 0
    return shell


def test_adding_prints_the_secret_alone_on_its_line(deskraft: Shell, node: FakeNode) -> None:
    node.on(f"POST {HOOKS}", ok({**HOOK, "secret": SECRET}, status=201))
    result = deskraft("webhook", "add", HOOK["url"], "--type", "deskraft.booking", "--space", "hq")
    assert (result.exit_code, result.stdout) == (0, f"Added w-1.\n{SECRET}\n"), result.output
    (asked,) = node.asked(f"POST {HOOKS}")
    assert asked.body == {
        "url": HOOK["url"],
        "description": "",
        "types": ["deskraft.booking"],
        "space_ids": ["hq"],
    }
    node.on(f"POST {HOOKS}", problem(422, "invalid-body"))
    assert deskraft("webhook", "add", "http://127.0.0.1/").exit_code == 1


def test_webhooks_are_listed_and_shown(deskraft: Shell, node: FakeNode) -> None:
    node.on(f"GET {HOOKS}", ok({"items": [HOOK], "next": None}), ok({"items": [], "next": None}))
    said = deskraft("webhook", "list").stdout
    assert said.startswith(
        "w-1  active  https://example.org/hook  delivered 7, dead letters 2, in trouble since"
    )
    assert said.endswith(": answered 503\n")
    assert deskraft("webhook", "list").stdout == "No webhooks.\n"
    node.on(f"GET {HOOKS}/w-1", ok({**HOOK, "old_secret_until": AT}))
    assert "the secret before signs until 2026-11-22 12:00 UTC" in deskraft("webhook", "show", "w-1").stdout
    assert json.loads(deskraft("webhook", "show", "w-1", "--json").stdout)["told_through"] == "12.0"


def test_a_webhook_is_changed_paused_resumed_and_removed(deskraft: Shell, node: FakeNode) -> None:
    node.on(f"PATCH {HOOKS}/w-1", ok(HOOK))
    node.on(f"DELETE {HOOKS}/w-1", no_content)
    for words, body in (
        (("change", "w-1", "--url", "https://example.org/2"), {"url": "https://example.org/2"}),
        (("change", "w-1", "--all-types", "--space", "hq"), {"types": [], "space_ids": ["hq"]}),
        (("pause", "w-1"), {"state": "paused"}),
        (("resume", "w-1"), {"state": "active"}),
    ):
        assert deskraft("webhook", *words).exit_code == 0
        assert node.asked(f"PATCH {HOOKS}/w-1")[-1].body == body
    assert deskraft("webhook", "change", "w-1", "--all-types", "--type", "deskraft.booking").exit_code == 2
    assert deskraft("webhook", "remove", "w-1", "--yes").stdout == "Removed w-1.\n"
    assert deskraft("webhook", "remove", "w-1").exit_code == 1  # nobody there to say yes


def test_a_secret_is_rotated(deskraft: Shell, node: FakeNode) -> None:
    node.on(f"POST {HOOKS}/w-1/rotate", ok({**HOOK, "secret": SECRET}))
    assert deskraft("webhook", "rotate", "w-1", "--overlap-hours", "2").stdout.endswith(f"{SECRET}\n")
    assert node.asked(f"POST {HOOKS}/w-1/rotate")[0].body == {"overlap_hours": 2}
    assert deskraft("webhook", "rotate", "w-1", "--overlap-hours", "169").exit_code == 2


def test_a_test_ends_as_the_delivery_did(deskraft: Shell, node: FakeNode) -> None:
    taken = {"delivered": True, "status": 204, "why": None, "duration_ms": 12}
    node.on(
        f"POST {HOOKS}/w-1/test",
        ok(taken),
        ok({**taken, "delivered": False, "status": None, "why": "no one"}),
    )
    result = deskraft("webhook", "test", "w-1")
    assert (result.exit_code, result.stdout) == (0, "Delivered: answered 204 in 12 ms.\n")
    result = deskraft("webhook", "test", "w-1")
    assert (result.exit_code, result.stderr) == (1, "Not delivered: no one\n")
