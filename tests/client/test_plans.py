"""Baskets, moves and histories from the command line and the library, against a fake node."""

from __future__ import annotations

import json

from tests.client.fake import BOOKING, SPACE, FakeNode, no_content, ok, problem
from tests.client.test_cli import ALTERNATIVE, Shell, shell

__all__ = ["shell"]

STEP = {
    "kind": "moved",
    "at": "2026-11-22T15:00:00.000+03:00",
    "by_user_id": "u1",
    "reason": None,
    "space_id": "hq",
    "seat_id": "A2",
    "starts_at": "2026-12-01T10:00:00+03:00",
    "ends_at": "2026-12-01T11:00:00+03:00",
    "revision": "12.0",
}


def test_a_basket(shell: Shell, node: FakeNode) -> None:
    shell("login", "ada")
    node.on("GET /api/v1/spaces", ok({"items": [SPACE], "next": None}))
    node.on("POST /api/v1/bookings/basket", ok({"items": [BOOKING, BOOKING | {"id": "b2"}]}, 201))
    result = shell("basket", "A1 2026-12-01 10:00", "A2 2026-12-01 10:00 x2")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("Booked") == 2
    (asked,) = node.asked("POST /api/v1/bookings/basket")
    first = {"space_id": "hq", "seat_id": "A1", "date": "2026-12-01", "time": "10:00"}
    assert asked.body == {"items": [first, first | {"seat_id": "A2", "slots": 2}]}
    items = [{"code": "ok", "alternatives": []}, {"code": "seat-taken", "alternatives": [ALTERNATIVE]}]
    node.on("POST /api/v1/bookings/basket", problem(409, "seat-taken", items=items))
    result = shell("basket", "A1 2026-12-01 10:00", "A2 2026-12-01 10:00 x2")
    assert result.exit_code == 1
    assert "A1 2026-12-01 10:00: free" in result.stderr
    assert "free instead: A2  2026-12-01 10:00" in result.stderr
    assert shell("basket", "A1 tomorrow").exit_code == 2
    assert shell("basket", "Z9 2026-12-01 10:00").exit_code == 2


def test_a_move(shell: Shell, node: FakeNode) -> None:
    shell("login", "ada")
    node.on("GET /api/v1/spaces", ok({"items": [SPACE], "next": None}))
    node.on("POST /api/v1/bookings/b1/move", ok(BOOKING | {"seat_id": "A2"}))
    result = shell("move", "b1", "--seat", "A2")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Moved to A2")
    assert node.asked("POST /api/v1/bookings/b1/move")[0].body == {"seat_id": "A2"}
    node.on("POST /api/v1/bookings/b1/move", problem(409, "seat-taken", alternatives=[ALTERNATIVE]))
    result = shell("move", "b1", "--date", "2026-12-01", "--time", "12:00")
    assert result.exit_code == 1
    assert "deskraft move b1 --seat A2 --date 2026-12-01 --time" in result.stderr
    assert shell("move", "b1").exit_code == 2
    assert shell("move", "b1", "--time", "12:00").exit_code == 2


def test_steps_and_reasons(shell: Shell, node: FakeNode) -> None:
    shell("login", "ada")
    node.on(
        "GET /api/v1/bookings/b1/history",
        ok({"items": [STEP, STEP | {"kind": "cancelled", "reason": "ill"}]}),
    )
    lines = shell("steps", "b1").stdout.splitlines()
    assert lines[1].split()[:4] == ["2026-11-22", "15:00", "moved", "A2"]
    assert lines[2].rstrip().endswith("ill")
    assert len(json.loads(shell("steps", "b1", "--json").stdout)["items"]) == 2
    node.on("POST /api/v1/bookings/b1/cancel", ok(BOOKING | {"status": "cancelled"}))
    assert shell("cancel", "b1", "--reason", "ill").exit_code == 0
    assert node.asked("POST /api/v1/bookings/b1/cancel")[0].body == {"reason": "ill"}


def test_a_series(shell: Shell, node: FakeNode) -> None:
    shell("login", "ada")
    items = [
        {"starts_at": BOOKING["starts_at"], "code": "ok", "booking": BOOKING, "alternatives": []},
        {"starts_at": "2026-12-08T10:00:00+03:00", "code": "seat-taken", "booking": None, "alternatives": []},
    ]
    made = {"id": "s1", "rrule": "FREQ=WEEKLY;COUNT=3", "items": items, "passed_over": ["2026-12-15"]}
    node.on("POST /api/v1/series", ok(made, 201))
    result = shell("series", "book", "A1", "2026-12-01", "10:00", "--rule", "FREQ=WEEKLY;COUNT=3", "--free")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Booked A1")
    assert lines[1] == "Not 2026-12-08 10:00: seat-taken"
    assert lines[2].startswith("Not 2026-12-15")
    assert lines[3].endswith("deskraft series cancel s1")
    place = {"space_id": "hq", "seat_id": "A1", "date": "2026-12-01", "time": "10:00"}
    (asked,) = node.asked("POST /api/v1/series")
    assert asked.body == {**place, "rrule": "FREQ=WEEKLY;COUNT=3", "mode": "free"}
    node.on("GET /api/v1/series/s1", ok({"id": "s1", "user_id": "u1", "rrule": "R", "items": [BOOKING]}))
    assert "confirmed" in shell("series", "show", "s1").stdout
    node.on("POST /api/v1/series/s1/cancel", ok({"cancelled": [BOOKING], "kept": [BOOKING]}))
    result = shell("series", "cancel", "s1", "--from", "b1")
    assert result.stdout == "Cancelled 1 bookings, 1 kept: too late to cancel.\n"
    assert node.asked("POST /api/v1/series/s1/cancel")[0].body == {"from_booking_id": "b1"}


def test_the_waitlist(shell: Shell, node: FakeNode) -> None:
    shell("login", "ada")
    waiting = {
        "id": "w1",
        "space_id": "hq",
        "seat_id": None,
        "starts_at": BOOKING["starts_at"],
        "ends_at": BOOKING["ends_at"],
        "status": "waiting",
        "position": 2,
        "booking_id": None,
    }
    promoted = waiting | {"status": "promoted", "position": None, "booking_id": "b7", "seat_id": "A1"}
    node.on("POST /api/v1/waitlist", ok(waiting, 201), ok(promoted, 201))
    result = shell("waitlist", "join", "any", "2026-12-01", "10:00")
    assert result.stdout.startswith("Waiting, number 2 in the line."), result.output
    asked = node.asked("POST /api/v1/waitlist")[0].body
    assert asked == {"space_id": "hq", "date": "2026-12-01", "time": "10:00", "slots": 1}
    assert shell("waitlist", "join", "A1", "2026-12-01", "10:00").stdout == "It was free: booked as b7\n"
    node.on("GET /api/v1/waitlist", ok({"items": [waiting, promoted]}))
    lines = shell("waitlist", "show").stdout.splitlines()
    assert "number 2" in lines[1]
    assert "booked as b7" in lines[2]
    node.on("POST /api/v1/waitlist/w1/leave", no_content)
    assert shell("waitlist", "leave", "w1").stdout == "Left the line.\n"


def test_checking_in(shell: Shell, node: FakeNode) -> None:
    shell("login", "ada")
    node.on("POST /api/v1/bookings/b1/checkin", ok(BOOKING))
    assert shell("checkin", "b1").stdout == "Checked in: A1 in hq\n"
    rule = {"space_id": "hq", "grace_minutes": 15, "revision": "9.0"}
    node.on("POST /api/v1/admin/spaces/hq/checkin", ok(rule), ok(rule | {"grace_minutes": 0}))
    assert "15 minutes" in shell("grace", "hq", "15").stdout
    assert "Nobody has to" in shell("grace", "hq", "0").stdout
    assert node.asked("POST /api/v1/admin/spaces/hq/checkin")[0].body == {"grace_minutes": 15}
