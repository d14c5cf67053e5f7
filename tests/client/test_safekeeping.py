"""`deskraft cluster backup | receipt | verify`, `deskraft taken | report | calendar`: what is asked, said, and how it ends."""

from __future__ import annotations

import csv
import io
import json
from hashlib import blake2b
from pathlib import Path

import pytest
from aiohttp import web

from tests.client.fake import FakeNode, ok, problem
from tests.client.test_cli import Shell, shell

__all__ = ["shell"]

RECEIPT = {"node_id": "n1", "index": 9, "digest": "00ff", "oldest": 1, "newest": 9}


@pytest.fixture
def deskraft(shell: Shell) -> Shell:
    assert shell("login", "admin").exit_code == 0
    return shell


def sealed(content: bytes) -> bytes:
    data = content + b"DSKBEND1"
    return data + blake2b(data, digest_size=32).digest()


def test_a_backup_is_checked_and_never_replaces_by_mistake(
    deskraft: Shell, node: FakeNode, tmp_path: Path
) -> None:
    path = tmp_path / "monday.backup"
    data = sealed(b"DSKBACK1" + bytes(100_000))
    node.on("GET /api/v1/cluster/backup", lambda: web.Response(body=data, headers={"Deskraft-Index": "41"}))
    result = deskraft("cluster", "backup", str(path), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "path": str(path), "server": node.url, "index": 41, "size_bytes": len(data),
    }  # fmt: skip
    assert path.read_bytes() == data and path.stat().st_mode & 0o777 == 0o600
    result = deskraft("cluster", "backup", str(path))
    assert result.exit_code == 2 and "--force" in result.stderr
    assert deskraft("cluster", "backup", str(path), "--force").exit_code == 0
    node.on("GET /api/v1/cluster/backup", lambda: web.Response(body=data[:-1]))
    result = deskraft("cluster", "backup", str(tmp_path / "cut"))
    assert result.exit_code == 3 and "cut short" in result.stderr
    assert not (tmp_path / "cut").exists() and not (tmp_path / "cut.part").exists()
    node.on("GET /api/v1/cluster/backup", problem(403, "forbidden"))
    assert deskraft("cluster", "backup", str(tmp_path / "no")).exit_code == 1
    assert deskraft("cluster", "backup", str(tmp_path / "nowhere" / "no")).exit_code == 2


def test_receipts_and_proof(deskraft: Shell, node: FakeNode) -> None:
    node.on("GET /api/v1/cluster/receipts/9", ok(RECEIPT))
    result = deskraft("cluster", "verify")
    assert result.exit_code == 0 and "PROVED: all 1 members" in result.stdout
    assert deskraft("cluster", "receipt", "9", "00ff").exit_code == 0
    result = deskraft("cluster", "receipt", "9", "00fe", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["proved"] is False and "not 00fe" in told["faults"][0]
    node.on("GET /api/v1/cluster/receipts/9", problem(410, "forgotten"))
    assert deskraft("cluster", "verify").exit_code == 1


def test_what_a_node_has_seen_is_told(deskraft: Shell, node: FakeNode) -> None:
    seen = [
        {"at": "2026-11-22T16:20:03+00:00", "kind": "leads", "member_id": "n2", "term": 2},
        {"at": "2026-11-22T16:20:03+00:00", "kind": "no-leader", "member_id": None, "term": 2},
    ]
    node.on("GET /api/v1/cluster/sightings", ok({"node_id": "n2", "items": seen}))
    told = deskraft("cluster", "sightings").stdout.splitlines()
    assert told == [
        "as seen by n2:",
        "2026-11-22 16:20:03 UTC  n2 leads term 2",
        "2026-11-22 16:20:03 UTC  no leader",
    ]
    assert json.loads(deskraft("cluster", "sightings", "--json").stdout)["items"][1]["member_id"] is None


def test_files_are_verified_without_a_node(deskraft: Shell, tmp_path: Path) -> None:
    path = tmp_path / "b"
    path.write_bytes(sealed(b"DSKBACK1" + bytes(100)))
    result = deskraft("cluster", "verify", str(path), "--json")
    assert result.exit_code == 1 and json.loads(result.stdout)["proved"] is False
    result = deskraft("cluster", "verify", "--data-dir", str(tmp_path / "none"))
    assert result.exit_code == 1 and "is not a folder" in result.stderr
    assert deskraft("cluster", "verify", str(path), "--data-dir", str(tmp_path)).exit_code == 2
    result = deskraft("cluster", "restore", str(path), "--config", str(tmp_path / "none.yml"))
    assert result.exit_code == 2


def test_a_seats_day(deskraft: Shell, node: FakeNode) -> None:
    taken = [{"starts_at": "2026-12-01T10:00:00+03:00", "ends_at": "2026-12-01T12:00:00+03:00"}]
    view = {
        "space_id": "hq", "seat_id": "A1", "date": "2026-12-01", "timezone": "Europe/Moscow",
        "as_of": 25, "digest": "00ff", "taken": taken,
    }  # fmt: skip
    node.on("GET /api/v1/spaces/hq/seats/A1/day", ok(view))
    result = deskraft("taken", "hq", "A1", "2026-12-01", "--as-of", "25")
    assert result.exit_code == 0
    assert "10:00–12:00" in result.stdout and "as of entry 25, digest 00ff" in result.stdout
    assert node.asked("GET /api/v1/spaces/hq/seats/A1/day")[0].query == {"date": "2026-12-01", "as_of": "25"}


def row(key: str, taken: int, opened: int, **more: int) -> dict[str, object]:
    share = taken / opened if opened else None
    return {"key": key, "label": key, "taken_minutes": taken, "open_minutes": opened, "share": share, **more}


def report(by: str, rows: list[dict[str, object]]) -> dict[str, object]:
    return {
        "space_id": "hq", "timezone": "Europe/Moscow", "first_date": "2026-11-01", "last_date": "2026-11-30",
        "by": by, "taken_minutes": 60, "open_minutes": 120, "rows": rows,
    }  # fmt: skip


def test_reports(deskraft: Shell, node: FakeNode, tmp_path: Path) -> None:
    call = "GET /api/v1/admin/reports/occupancy"
    node.on(call, ok(report("seat", [row("A1", 60, 120), row("A2", 0, 0)])))
    result = deskraft("report", "hq", "--to", "2026-11-30", "--by", "seat")
    assert result.exit_code == 0, result.output
    assert "50.0%" in result.stdout and "–" in result.stdout and "of 2.0 h taken" in result.stdout
    query = node.asked(call)[0].query
    assert query == {"from": "2026-11-01", "to": "2026-11-30", "by": "seat", "space_id": "hq"}
    heat = [
        row(f"{day}-{hour}", hour, 24 * (hour > 7), weekday=day, hour=hour)
        for day in range(1, 8)
        for hour in range(24)
    ]
    node.on(call, ok(report("weekday-hour", heat)))
    result = deskraft("report", "hq", "--by", "weekday-hour")
    assert result.exit_code == 0, result.output
    assert len([line for line in result.stdout.splitlines() if line[:3] in ("Mon", "Sun")]) == 2
    text = io.StringIO()
    csv.writer(text).writerow(["key"])
    node.on(call, lambda: web.Response(text=text.getvalue(), content_type="text/csv"))
    result = deskraft("report", "hq", "--csv", str(tmp_path / "r.csv"))
    assert result.exit_code == 0 and (tmp_path / "r.csv").read_text() == text.getvalue().replace("\r\n", "\n")
    assert node.asked(call)[-1].query["format"] == "csv"
    assert deskraft("report", "--from", "soon").exit_code == 2


def test_calendars(deskraft: Shell, node: FakeNode) -> None:
    call = "/api/v1/me/calendar"
    feed = {
        "path": "/calendar/x.ics",
        "url": "http://n1/calendar/x.ics",
        "created_at": "2026-11-22T12:00:00+00:00",
    }
    node.on(f"GET {call}", problem(404, "not-found"))
    result = deskraft("calendar")
    assert result.exit_code == 0 and "deskraft calendar --new" in result.stdout
    node.on(f"POST {call}", ok(feed, 201))
    assert deskraft("calendar", "--new").stdout == "http://n1/calendar/x.ics\n"
    node.on(f"GET {call}", ok({**feed, "url": None, "path": None}))
    assert "--new" in deskraft("calendar").stdout
    node.on(f"DELETE {call}", lambda: web.Response(status=204))
    assert deskraft("calendar", "--off").exit_code == 0
    assert deskraft("calendar", "--off", "--new").exit_code == 2
