"""`deskraft notifications`: what is sent, and what is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.client.fake import FakeNode, ok, problem
from tests.client.test_cli import Shell, shell

__all__ = ["shell"]

ME = "/api/v1/me/notifications"
NOW: dict[str, Any] = {
    "address": "ann@example.com",
    "confirmed": True,
    "language": "ru",
    "kinds": ["cancelled", "promoted"],
    "remind_minutes": 60,
    "available": True,
}


@pytest.fixture
def deskraft(shell: Shell, node: FakeNode) -> Shell:
    """A shell whose user is logged in, and has settings."""
    assert shell("login", "ann").exit_code == 0
    node.on(f"GET {ME}", ok(NOW))
    return shell


def sent(node: FakeNode) -> Any:
    (request,) = node.asked(f"PUT {ME}")
    return request.body


def test_they_are_shown(deskraft: Shell, node: FakeNode) -> None:
    assert deskraft("notifications").stdout == (
        "Address: ann@example.com (confirmed)\nLanguage: ru\nKinds: cancelled, promoted\nReminder: 60 minutes before the start\n"
    )
    assert json.loads(deskraft("notifications", "--json").stdout) == NOW
    node.on(f"GET {ME}", ok({**NOW, "address": None, "available": False}))
    result = deskraft("notifications")
    assert result.stdout.startswith("You are told nothing by mail.") and "sends no mails" in result.stderr


def test_what_is_not_given_stays(deskraft: Shell, node: FakeNode) -> None:
    node.on(f"PUT {ME}", ok({**NOW, "address": "ann@example.org", "confirmed": False}))
    result = deskraft("notifications", "set", "--address", "ann@example.org")
    assert result.exit_code == 0 and "deskraft notifications confirm CODE" in result.stderr
    assert sent(node) == {
        "address": "ann@example.org",
        "language": "ru",
        "kinds": ["cancelled", "promoted"],
        "remind_minutes": 60,
    }


@pytest.mark.parametrize(
    ("only", "kinds"),
    [
        ("none", []),
        ("moved, confirmed,moved", ["moved", "confirmed"]),
        ("all", ["confirmed", "moved", "cancelled", "released", "affected", "promoted"]),
    ],
)
def test_kinds_are_chosen(deskraft: Shell, node: FakeNode, only: str, kinds: list[str]) -> None:
    node.on(f"PUT {ME}", ok(NOW))
    assert (
        deskraft("notifications", "set", "--only", only, "--language", "en", "--remind", "0").exit_code == 0
    )
    assert sent(node) == {"address": "ann@example.com", "language": "en", "kinds": kinds, "remind_minutes": 0}


def test_a_kind_that_is_none_is_wrong_usage(deskraft: Shell, node: FakeNode) -> None:
    assert deskraft("notifications", "set", "--only", "everything").exit_code == 2
    assert node.asked(f"PUT {ME}") == []


def test_a_code_confirms(deskraft: Shell, node: FakeNode) -> None:
    node.on(f"POST {ME}/confirm", ok(NOW))
    assert deskraft("notifications", "confirm", "7K2M9-QX4TD").exit_code == 0
    assert node.asked(f"POST {ME}/confirm")[0].body == {"code": "7K2M9-QX4TD"}
    node.on(f"POST {ME}/confirm", problem(422, "wrong-code"))
    assert deskraft("notifications", "confirm", "00000-00000").exit_code == 1


def test_off_forgets_the_address(deskraft: Shell, node: FakeNode) -> None:
    node.on(f"PUT {ME}", ok({**NOW, "address": None}))
    assert deskraft("notifications", "off").stdout.startswith("You are told nothing by mail.")
    assert sent(node)["address"] is None and sent(node)["remind_minutes"] == 0
