"""`deskraft space …`: what is sent, what is said, and what becomes of bookings that are in the way."""

from __future__ import annotations

import json

import pytest
from click.testing import Result

from client.sync import Client
from tests.client.fake import FakeNode, ok, problem, tokens
from tests.client.test_cli import Shell, shell

__all__ = ["shell"]

ALL = "/api/v1/admin/spaces"
HQ = ALL + "/hq"
BOOKING = {
    "id": "b1", "space_id": "hq", "seat_id": "A1", "user_id": "u", "status": "confirmed",
    "starts_at": "2026-12-01T10:00:00+03:00", "ends_at": "2026-12-01T11:00:00+03:00",
}  # fmt: skip
SEAT = {
    "id": "A1",
    "label": "Desk A1",
    "zone": "hall",
    "attributes": ["quiet"],
    "x": 1,
    "y": 2,
    "outages": [],
}
SPACE = {
    "id": "hq", "name": "HQ", "timezone": "Europe/Moscow", "opens": "08:00", "closes": "22:00", "slot_minutes": 60,
    "seats": [SEAT], "revision": "7.0", "hours": {"mon": {"opens": "08:00", "closes": "22:00"}, "sun": None},
    "special_days": [{"first": "2026-12-31", "last": "2027-01-08", "opens": None, "closes": None, "reason": "New Year"}],
    "zones": ["hall"], "policy": {"horizon_days": 30},
}  # fmt: skip
TEN = {"opens": "10:00", "closes": "18:00"}
MANAGED = {"space": SPACE, "retired": False, "retired_seats": [{"id": "Z9", "label": "Old"}]}


def change(affected: int = 0, cancelled: int = 0, **more: object) -> dict[str, object]:
    base = {"dry_run": False, "index": 9, "space_id": "hq", "seat_id": None, "revision": "9.0"}
    return {**base, "affected": affected, "cancelled": cancelled, **more}


@pytest.fixture
def deskraft(shell: Shell) -> Shell:
    assert shell("login", "admin").exit_code == 0
    return shell


def good(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    ("line", "call", "body"),
    [
        (
            ["create", "roof", "--name", "Roof", "--timezone", "Europe/Berlin", "--seats", "R1, R2"],
            f"POST {ALL}",
            {
                "id": "roof", "name": "Roof", "timezone": "Europe/Berlin", "opens": "08:00", "closes": "22:00",
                "slot_minutes": 60, "seats": [{"id": "R1"}, {"id": "R2"}],
            },
        ),
        (["rename", "hq", "Home"], f"PATCH {HQ}", {"name": "Home"}),
        (["retire", "hq", "--reason", "moved"], f"PATCH {HQ}", {"retired": True, "reason": "moved"}),
        (["restore", "hq"], f"PATCH {HQ}", {"retired": False}),
        (
            ["hours", "hq", "sat-mon=10:00-18:00", "tue=closed"],
            f"PATCH {HQ}",
            {"hours": {"sat": TEN, "sun": TEN, "mon": TEN, "tue": None}},
        ),
        (["close", "hq", "2026-12-31", "2027-01-08"], f"POST {HQ}/days", {"first": "2026-12-31", "last": "2027-01-08"}),
        (["open", "hq", "2026-12-31"], f"POST {HQ}/days", {"first": "2026-12-31", "usual": True}),
        (
            ["open", "hq", "2026-12-31", "--hours", "10:00-14:00"],
            f"POST {HQ}/days",
            {"first": "2026-12-31", "opens": "10:00", "closes": "14:00"},
        ),
        (
            ["policy", "hq", "--horizon-days", "30", "--many-seats-at-a-time"],
            f"PATCH {HQ}",
            {"policy": {"horizon_days": 30, "one_seat_at_a_time": False}},
        ),
        (
            ["seat", "add", "hq", "N1", "--zone", "attic", "--attribute", "quiet", "--at", "3", "4"],
            f"POST {HQ}/seats",
            {"id": "N1", "zone": "attic", "attributes": ["quiet"], "x": 3, "y": 4},
        ),
        (["seat", "set", "hq", "A1", "--label", "Nook"], f"PATCH {HQ}/seats/A1", {"label": "Nook"}),
        (["seat", "retire", "hq", "A1"], f"PATCH {HQ}/seats/A1", {"retired": True}),
        (["seat", "restore", "hq", "A1"], f"PATCH {HQ}/seats/A1", {"retired": False}),
        (["seat", "back", "hq", "A1"], f"PATCH {HQ}/seats/A1", {"outages": []}),
    ],
)  # fmt: skip
def test_each_command_says_what_it_means(
    deskraft: Shell, node: FakeNode, line: list[str], call: str, body: dict[str, object]
) -> None:
    node.on(call, ok(change()))
    good(deskraft("space", *line))
    (asked,) = node.asked(call)
    consent = {"reason": "", "affected_token": "", "if_affected": "keep"}
    sent = dict(asked.body)
    assert {**consent, **body} == {**consent, **sent}
    assert asked.headers["idempotency-key"]


def test_a_seat_out_of_service(deskraft: Shell, node: FakeNode) -> None:
    node.on(f"GET {HQ}", ok(MANAGED))
    node.on(f"PATCH {HQ}/seats/A1", ok(change()))
    line = ("--from", "2026-12-01 09:00", "--until", "2026-12-02 12:00", "--reason", "a new chair")
    good(deskraft("space", "seat", "out", "hq", "A1", *line))
    (asked,) = node.asked(f"PATCH {HQ}/seats/A1")
    (outage,) = asked.body["outages"]
    assert outage == {
        "starts_at": "2026-12-01T09:00:00+03:00", "ends_at": "2026-12-02T12:00:00+03:00", "reason": "a new chair",
    }  # fmt: skip
    assert asked.headers["if-match"] == '"7.0"'


def test_bookings_in_the_way_are_listed(deskraft: Shell, node: FakeNode) -> None:
    affected = {"count": 1, "token": "abc", "index": 8, "bookings": [BOOKING]}
    node.on(f"POST {HQ}/days", problem(409, "affected-changed", affected=affected))
    result = deskraft("space", "close", "hq", "2026-12-01")
    assert result.exit_code == 1
    assert "b1" in result.stderr
    assert "--if-affected" in result.stderr


def test_bookings_are_looked_at_before_they_are_cancelled(deskraft: Shell, node: FakeNode) -> None:
    seen = change(1, dry_run=True, token="abc", bookings=[BOOKING])
    node.on(f"POST {HQ}/days", ok(seen), ok(change(1, 1)))
    result = deskraft("space", "close", "hq", "2026-12-01", "--if-affected", "cancel")
    assert "1 bookings cancelled." in good(result)
    assert "b1" in result.stderr
    look, do = node.asked(f"POST {HQ}/days")
    assert look.query == {"dry_run": "true"}
    assert (do.body["affected_token"], do.body["if_affected"]) == ("abc", "cancel")
    node.on(f"POST {HQ}/days", ok(seen))
    assert "nothing was done" in good(deskraft("space", "close", "hq", "2026-12-01", "--dry-run"))
    assert (
        json.loads(good(deskraft("space", "close", "hq", "2026-12-01", "--dry-run", "--json")))["token"]
        == "abc"
    )


def test_looking_at_spaces(deskraft: Shell, node: FakeNode) -> None:
    node.on(f"GET {ALL}", ok({"items": [MANAGED, {**MANAGED, "retired": True}], "next": None}))
    assert good(deskraft("space", "list")).count("Europe/Moscow") == 1
    assert "retired" in good(deskraft("space", "list", "--all"))
    assert len(json.loads(good(deskraft("space", "list", "--json")))["items"]) == 1
    node.on(f"GET {HQ}", ok(MANAGED))
    shown = good(deskraft("space", "show", "hq"))
    for part in (
        "mon  08:00-22:00",
        "sun  closed",
        "2026-12-31 to 2027-01-08  closed  (New Year)",
        "horizon days 30",
        "1,2",
        "Z9",
    ):
        assert part in shown
    assert json.loads(good(deskraft("space", "show", "hq", "--json")))["space"]["zones"] == ["hall"]


@pytest.mark.parametrize(
    "line",
    [
        ["hours", "hq", "monday=10:00-18:00"],
        ["hours", "hq", "mon=10-18"],
        ["policy", "hq"],
        ["seat", "add", "hq", "N1", "--attribute", "red"],
    ],
)
def test_wrong_usage(deskraft: Shell, line: list[str]) -> None:
    assert deskraft("space", *line).exit_code == 2


def test_the_blocking_client(node: FakeNode) -> None:
    node.on(f"GET {HQ}", ok(MANAGED))
    node.on(f"PATCH {HQ}", ok(change()))
    node.on("POST /api/v1/auth/login", tokens("one"))
    with Client(node.url) as client:
        client.login("admin", "pw")
        assert client.premises.space("hq").space.seats[0].zone == "hall"
        assert client.premises.revise("hq", name="Home", if_match="7.0").revision == "9.0"
    assert node.asked(f"PATCH {HQ}")[0].headers["if-match"] == '"7.0"'
