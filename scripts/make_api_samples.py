"""Writes the sample requests and answers of docs/api.md from a real cluster, so that they stay true.

Why: a sample that was typed by hand is wrong as soon as the code moves. Here three nodes are started in a temporary folder
on free ports, every request of `SCENARIO` is sent to one of them, and what came back is written between the markers

    <!-- sample: name -->
    ...
    <!-- /sample -->

of docs/api.md. What changes from run to run is made readable: addresses become those of the demo, tokens and long texts are cut
with an ellipsis. `--check` writes nothing and compares what is written with a new run, except for values that differ in every
run (identifiers, instants, indexes, tokens).

Run it from the environment of the tests: .venv/bin/python scripts/make_api_samples.py [--check]
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import json
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the rooms beside this folder, whether or not they are installed

from tests.integration.cluster import (  # noqa: E402 - needs the path above
    ADMIN_LOGIN,
    ADMIN_PASSWORD,
    ProcessCluster,
    running_cluster,
)

PAGE = ROOT / "docs" / "api.md"
DATE = "2030-12-02"
WIDTH = 118
MAX_ATTEMPTS = 8
MAX_SHOWN_LINES = 24  # of an answer that is not JSON
SHOWN_HEADERS = (
    "Allow", "Content-Type", "Deskraft-Index", "ETag", "Link", "Location", "Retry-After", "WWW-Authenticate",
)  # fmt: skip
SPACES: list[dict[str, Any]] = [
    {
        "id": "hq",
        "name": "Коворкинг на Мясницкой",
        "timezone": "Europe/Moscow",
        "opens": "08:00",
        "closes": "12:00",
        "slot_minutes": 60,
        "seats": ["A1", "A2", "A3"],
    },
    {
        "id": "spree",
        "name": "Coworking an der Spree",
        "timezone": "Europe/Berlin",
        "opens": "00:00",
        "closes": "24:00",
        "slot_minutes": 30,
        "seats": [{"id": "W1", "label": "W1 by the window"}],
    },
]

_MARKED = re.compile(r"(<!-- sample: ([\w-]+) -->\n).*?(<!-- /sample -->)", re.DOTALL)


@dataclass
class Step:
    """One request. Texts may name what earlier answers held, as `{booking_id}`."""

    name: str
    node: int
    method: str
    path: str
    body: Any = None
    user: str = ""  # whose access token goes along
    headers: dict[str, str] = field(default_factory=dict)
    raw: str | None = None  # a body as it is, instead of JSON
    keep: dict[str, Callable[[Any, Any], str]] = field(
        default_factory=dict
    )  # (answer, headers) -> what later steps name
    stop: tuple[int, ...] = ()  # nodes killed before this request
    expect: int = 200
    problem: str = (
        ""  # asked again until it is this one: a lost quorum is also "outcome-unknown" now and then
    )


def _is(key: str) -> Callable[[Any, Any], str]:
    return lambda answer, _: str(answer[key])


BOOKING = {"space_id": "hq", "seat_id": "A1", "starts_at": f"{DATE}T10:00:00+03:00"}
ADA = {"login": "ada", "password": "a long pass phrase"}
BOB = {"login": "bob", "password": "another long phrase"}
ADMIN = {"login": ADMIN_LOGIN, "password": ADMIN_PASSWORD}
N4 = {"id": "n4", "raft": "10.0.0.4:7001", "api": "10.0.0.4:8001"}
MEMBERS = "/api/v1/cluster/members"
HQ = "/api/v1/admin/spaces/hq"
NOOK = {"id": "N1", "label": "Nook", "zone": "attic", "attributes": ["quiet"], "x": 3, "y": 4}
CLOSURE = {"first": DATE, "reason": "a pipe has burst"}
EVE = {"login": "eve", "password": "a phrase of hers"}
IN_SPREE = {"space_id": "spree", "seat_id": "W1"}
BASKET = {"items": [{**IN_SPREE, "starts_at": f"2030-12-09T{hour}:00:00+01:00"} for hour in (10, 14)]}
SERIES = {**IN_SPREE, "date": "2030-12-16", "time": "09:00", "rrule": "FREQ=WEEKLY;COUNT=2"}
WAITING = {**IN_SPREE, "starts_at": "2030-12-09T11:00:00+01:00"}
NEVA = {
    "id": "neva", "name": "Коворкинг у Невы", "timezone": "Europe/Moscow", "opens": "10:00", "closes": "20:00",
    "slot_minutes": 60, "seats": [{"id": "W1", "label": "By the water"}],
}  # fmt: skip
FROM_PAGE = {"Origin": "{origin}", "Deskraft-Page": "1"}
TOKENS = {"ada": _is("access_token"), "ada_refresh": _is("refresh_token")}

SCENARIO = (
    Step("register", 0, "POST", "/api/v1/auth/register", ADA, expect=201),
    Step("register-taken", 1, "POST", "/api/v1/auth/register", ADA, expect=409),
    Step("register-weak", 1, "POST", "/api/v1/auth/register", {"login": "eve", "password": "12345678"}, expect=422),
    Step("", 1, "POST", "/api/v1/auth/register", BOB, expect=201),
    Step("", 1, "POST", "/api/v1/auth/login", BOB, keep={"bob": _is("access_token")}),
    Step("login", 1, "POST", "/api/v1/auth/login", ADA, keep={**TOKENS, "old": _is("refresh_token")}),
    Step("login-wrong", 1, "POST", "/api/v1/auth/login", {**ADA, "password": "not this one"}, expect=401),
    Step("refresh", 2, "POST", "/api/v1/auth/refresh", {"refresh_token": "{ada_refresh}"}, keep=TOKENS),
    Step("browser", 0, "POST", "/api/v1/auth/browser", BOB, headers=FROM_PAGE,
         keep={"cookie": lambda _, headers: str(headers["Set-Cookie"]).partition(";")[0]}),
    Step("browser-token", 0, "POST", "/api/v1/auth/browser/token", headers={**FROM_PAGE, "Cookie": "{cookie}"}),
    Step("browser-nobody", 0, "POST", "/api/v1/auth/browser/token", headers=FROM_PAGE, expect=204),
    Step("foreign-page", 0, "POST", "/api/v1/auth/browser/token",
         headers={**FROM_PAGE, "Origin": "https://evil.example", "Cookie": "{cookie}"}, expect=403),
    Step("me", 0, "GET", "/api/v1/me", user="ada"),
    Step("me-nobody", 0, "GET", "/api/v1/me", expect=401),
    Step("spaces", 1, "GET", "/api/v1/spaces"),
    Step("space", 2, "GET", "/api/v1/spaces/spree", keep={"space_etag": lambda _, headers: str(headers["ETag"])}),
    Step("space-unknown", 2, "GET", "/api/v1/spaces/moon", expect=404),
    Step("booking", 1, "POST", "/api/v1/bookings", BOOKING, "ada", {"Idempotency-Key": "ada-monday"},
         keep={"booking_id": _is("id"), "index": lambda _, headers: str(headers["Deskraft-Index"])}, expect=201),
    Step("booking-again", 2, "POST", "/api/v1/bookings", BOOKING, "ada", {"Idempotency-Key": "ada-monday"}, expect=201),
    Step("key-reused", 0, "POST", "/api/v1/bookings", {**BOOKING, "seat_id": "A2"}, "ada",
         {"Idempotency-Key": "ada-monday"}, expect=422),
    Step("seat-taken", 0, "POST", "/api/v1/bookings", BOOKING, "bob", {"Idempotency-Key": "bob-1"}, expect=409),
    Step("off-grid", 0, "POST", "/api/v1/bookings", {**BOOKING, "starts_at": f"{DATE}T10:20:00+03:00"}, "bob", expect=422),
    Step("availability", 2, "GET", f"/api/v1/spaces/hq/availability?date={DATE}", user="ada"),
    Step("get-booking", 0, "GET", "/api/v1/bookings/{booking_id}", user="ada", headers={"Deskraft-Min-Index": "{index}"}),
    Step("get-foreign", 0, "GET", "/api/v1/bookings/{booking_id}", user="bob", expect=404),
    Step("book", 2, "POST", "/book", {"seat": "W1", "date": DATE, "time": "09:30", "slots": 2}, "ada",
         {"Idempotency-Key": "ada-spree"}, keep={"second_id": _is("id")}, expect=201),
    Step("nonexistent-time", 2, "POST", "/book", {"seat": "W1", "date": "2030-03-31", "time": "02:30"}, "ada", expect=422),
    Step("ambiguous-time", 2, "POST", "/book", {"seat": "W1", "date": "2030-10-27", "time": "02:30"}, "ada", expect=422),
    Step("bookings", 0, "GET", "/api/v1/bookings?when=upcoming&limit=1", user="ada", keep={"cursor": _is("next")}),
    Step("bookings-next", 1, "GET", "/api/v1/bookings?when=upcoming&limit=1&cursor={cursor}", user="ada"),
    Step("cancel-booking", 0, "POST", "/api/v1/bookings/{booking_id}/cancel", user="ada"),
    Step("cancel", 1, "POST", "/cancel", {"booking_id": "{second_id}"}, "ada"),
    Step("history", 2, "GET", "/history", user="ada"),
    Step("invalid-body", 0, "POST", "/api/v1/bookings", {**BOOKING, "slots": 0, "seat": "A1"}, "ada", expect=422),
    Step("broken-json", 0, "POST", "/cancel", user="ada", raw='{"booking_id": ', expect=400),
    Step("invalid-parameter", 0, "GET", "/history?limit=1000", user="ada", expect=422),
    Step("cluster", 0, "GET", "/api/v1/cluster", keep={"leader_id": _is("leader_id")}),
    Step("", 2, "POST", "/api/v1/auth/login", ADMIN, keep={"admin": _is("access_token")}),
    Step("seat-added", 0, "POST", HQ + "/seats", NOOK, "admin", expect=201),
    Step("policy", 1, "PATCH", HQ, {"policy": {"horizon_days": 3650, "one_seat_at_a_time": True}}, "admin"),
    Step("", 1, "POST", "/api/v1/bookings", {**BOOKING, "seat_id": "N1"}, "bob", expect=201),
    Step("seated-elsewhere", 1, "POST", "/api/v1/bookings", {**BOOKING, "seat_id": "A2"}, "bob", expect=409),
    Step("days-affected", 2, "POST", HQ + "/days", CLOSURE, "admin", expect=409,
         keep={"token": lambda answer, _: str(answer["affected"]["token"])}),
    Step("days", 2, "POST", HQ + "/days", {**CLOSURE, "affected_token": "{token}", "if_affected": "cancel"}, "admin"),
    Step("", 2, "POST", HQ + "/days", {"first": DATE, "usual": True}, "admin"),
    Step("not-modified", 2, "GET", "/api/v1/spaces/spree", headers={"If-None-Match": "{space_etag}"}, expect=304),
    Step("revision-changed", 0, "PATCH", HQ, {"name": "Elsewhere"}, "admin", {"If-Match": '"1.0"'}, expect=412),
    Step("basket", 1, "POST", "/api/v1/bookings/basket", BASKET, "ada",
         keep={"basket_id": lambda answer, _: str(answer["items"][0]["id"])}, expect=201),
    Step("move", 2, "POST", "/api/v1/bookings/{basket_id}/move", {"starts_at": "2030-12-09T11:00:00+01:00"}, "ada"),
    Step("booking-history", 0, "GET", "/api/v1/bookings/{basket_id}/history", user="ada"),
    Step("series", 1, "POST", "/api/v1/series", SERIES, "ada", keep={"series_id": _is("id")}, expect=201),
    Step("series-mine", 1, "GET", "/api/v1/series?when=upcoming", user="ada"),
    Step("series-one", 2, "GET", "/api/v1/series/{series_id}", user="ada"),
    Step("series-cancel", 0, "POST", "/api/v1/series/{series_id}/cancel", {"reason": "The project is over"}, "ada"),
    Step("waitlist-join", 1, "POST", "/api/v1/waitlist", WAITING, "bob", keep={"waiting_id": _is("id")}, expect=201),
    Step("waitlist-mine", 2, "GET", "/api/v1/waitlist", user="bob"),
    Step("waitlist-one", 2, "GET", "/api/v1/waitlist/{waiting_id}", user="bob"),
    Step("waitlist-leave", 0, "POST", "/api/v1/waitlist/{waiting_id}/leave", user="bob", expect=204),
    Step("checkin-rule", 1, "POST", "/api/v1/admin/spaces/spree/checkin", {"grace_minutes": 15}, "admin"),
    Step("checkin-asked", 2, "GET", "/api/v1/spaces/spree/checkin"),
    Step("checkin", 0, "POST", "/api/v1/bookings/{basket_id}/checkin", user="ada", expect=409),
    Step("occupancy", 1, "GET", "/api/v1/admin/reports/occupancy?space_id=spree&from=2030-12-09&to=2030-12-09&by=seat", user="admin"),
    Step("space-made", 2, "POST", "/api/v1/admin/spaces", NEVA, "admin", expect=201),
    Step("space-managed", 0, "GET", "/api/v1/admin/spaces/neva", user="admin"),
    Step("seat-changed", 1, "PATCH", HQ + "/seats/N1", {"label": "Nook by the stairs"}, "admin"),
    Step("", 2, "POST", "/api/v1/auth/register", EVE, keep={"eve_id": _is("id")}, expect=201),
    Step("users", 0, "GET", "/api/v1/admin/users?search=eve", user="admin"),
    Step("user", 1, "GET", "/api/v1/admin/users/{eve_id}", user="admin"),
    Step("block", 2, "POST", "/api/v1/admin/users/{eve_id}/block", user="admin", expect=204),
    Step("unblock", 0, "POST", "/api/v1/admin/users/{eve_id}/unblock", user="admin", expect=204),
    Step("promote", 1, "POST", "/api/v1/admin/users/{eve_id}/promote", user="admin", expect=204),
    Step("demote", 2, "POST", "/api/v1/admin/users/{eve_id}/demote", user="admin", expect=204),
    Step("sessions", 0, "GET", "/api/v1/me/sessions", user="ada"),
    Step("notifications", 0, "GET", "/api/v1/me/notifications", user="ada"),
    Step("calendar-made", 1, "POST", "/api/v1/me/calendar", user="ada", expect=201),
    Step("calendar-address", 2, "GET", "/api/v1/me/calendar", user="ada"),
    Step("calendar-closed", 0, "DELETE", "/api/v1/me/calendar", user="ada", expect=204),
    Step("events", 1, "GET", "/api/v1/events?limit=2&type=deskraft.booking.confirmed", user="ada"),
    Step("receipt", 2, "GET", "/api/v1/cluster/receipts/{index}"),
    Step("forbidden", 0, "POST", MEMBERS, N4, "ada", expect=403),
    Step("add-member", 0, "POST", MEMBERS, N4, "admin", expect=201),
    Step("member-exists", 0, "POST", MEMBERS, {**N4, "id": "n1"}, "admin", expect=409),
    Step("promote-member", 1, "POST", MEMBERS + "/n4/promote", user="admin", expect=409),
    Step("remove-member", 2, "DELETE", MEMBERS + "/n4", user="admin"),
    Step("replace-member", 1, "POST", MEMBERS + "/n4/replace", user="admin", expect=404),
    Step("transfer", 0, "POST", "/api/v1/cluster/transfer", {"to": "{leader_id}"}, "admin"),
    Step("snapshot", 0, "POST", "/api/v1/cluster/snapshot", user="admin"),
    Step("audit", 1, "GET", "/api/v1/admin/audit?subject=n4", user="admin"),
    Step("livez", 0, "GET", "/livez"),
    Step("readyz", 0, "GET", "/readyz"),
    Step("metrics", 0, "GET", "/metrics"),
    Step("openapi", 0, "GET", "/openapi.json"),
    Step("refresh-reused", 0, "POST", "/api/v1/auth/refresh", {"refresh_token": "{old}"}, expect=401),
    Step("", 0, "POST", "/api/v1/auth/login", ADA, keep=TOKENS),
    Step("logout", 1, "POST", "/api/v1/auth/logout", user="ada", expect=204),
    Step("unavailable", 0, "GET", "/api/v1/spaces", stop=(1, 2), expect=503),
    Step("write-unavailable", 0, "POST", "/api/v1/bookings", {**BOOKING, "seat_id": "A3"}, "bob",
         {"Idempotency-Key": "bob-2"}, expect=503, problem="unavailable"),
    Step("readyz-503", 0, "GET", "/readyz", expect=503),
    Step("stale", 0, "GET", "/api/v1/spaces/spree?consistency=stale"),
)  # fmt: skip


async def record() -> dict[str, str]:
    """Run the scenario on a cluster of its own; the samples by name, as Markdown."""
    samples: dict[str, str] = {}
    known: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with running_cluster(Path(folder), spaces=SPACES, extra={"cluster": "demo"}) as cluster:
            leader = await cluster.wait_for_leader()
            # The leader is killed last of all, so the node that is left alone at the end is a follower.
            nodes = sorted(cluster.nodes.values(), key=lambda node: (node.id == leader.id, node.id))
            for step in SCENARIO:
                for number in step.stop:
                    nodes[number].kill()
                if step.stop:
                    await asyncio.sleep(
                        4.0
                    )  # until the survivor has noticed, and its probes of reads have failed
                for _ in range(MAX_ATTEMPTS):
                    text = _demo(await _ask(step, cluster, nodes[step.node].url, known), cluster)
                    if f":{step.problem}" in text:
                        break
                if step.name:
                    samples[step.name] = text
    return samples


async def _ask(step: Step, cluster: ProcessCluster, url: str, known: dict[str, str]) -> str:
    known["origin"] = url
    path = step.path.format_map(known)
    headers = {"Authorization": f"Bearer {known[step.user]}"} if step.user else {}
    headers.update({name: value.format_map(known) for name, value in step.headers.items()})
    data = step.raw
    if step.body is not None:
        data = json.dumps(
            {key: _filled(value, known) for key, value in step.body.items()}, ensure_ascii=False
        )
    if data is not None:
        headers["Content-Type"] = "application/json"
    async with cluster.session.request(step.method, url + path, data=data, headers=headers) as answer:
        text = await answer.text()
        if answer.status != step.expect:
            raise SystemExit(f"{step.method} {path}: {answer.status} instead of {step.expect}: {text}")
        parsed = json.loads(text) if "json" in answer.headers.get("Content-Type", "") else None
        known.update({name: take(parsed, answer.headers) for name, take in step.keep.items()})
        return _request(step.method, url, path, headers, data) + _answer(answer, text, parsed)


def _filled(value: Any, known: dict[str, str]) -> Any:
    return value.format_map(known) if isinstance(value, str) else value


def _request(method: str, url: str, path: str, headers: dict[str, str], data: str | None) -> str:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {url.removeprefix('http://')}"]
    lines += [f"{name}: {_cut_token(value)}" for name, value in headers.items()]
    if data is not None:
        try:
            lines += ["", _pretty(json.loads(data), "")]
        except ValueError:  # the sample of broken JSON
            lines += ["", data]
    return "```http\n" + "\n".join(lines) + "\n```\n\n"


def _answer(answer: aiohttp.ClientResponse, text: str, parsed: Any) -> str:
    lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
    lines += [f"{name}: {answer.headers[name]}" for name in SHOWN_HEADERS if name in answer.headers]
    lines += [_cut_token(f"Set-Cookie: {each}") for each in answer.headers.getall("Set-Cookie", ())]
    if parsed is not None and "openapi" in parsed:
        parsed = {"openapi": parsed["openapi"], "info": parsed["info"], "paths": {"…": {}}}
    if parsed is not None:
        lines += ["", _pretty(parsed, "")]
    elif text:
        shown = [line for line in text.splitlines() if not line.startswith("deskraft_http_request")]
        lines += ["", *shown[:MAX_SHOWN_LINES], *(["…"] if len(shown) > MAX_SHOWN_LINES else [])]
    return "```http\n" + "\n".join(lines) + "\n```\n"


def _pretty(value: Any, indent: str) -> str:
    """JSON in which what fits on a line stands on one."""
    line = _cut_token(json.dumps(value, ensure_ascii=False))
    if len(indent) + len(line) <= WIDTH or not value or not isinstance(value, dict | list):
        return line
    inner = indent + "  "
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + _pretty(item, inner) for item in value) + f"\n{indent}]"
    rows = [f"{inner}{json.dumps(key)}: {_pretty(item, inner)}" for key, item in value.items()]
    return "{\n" + ",\n".join(rows) + f"\n{indent}}}"


def _cut_token(text: str) -> str:
    text = re.sub(r"(deskraft-(?:device-)?demo=)[\w.=-]+", r"\1…", text)
    text = re.sub(r"(/calendar/[\w-]{3})[\w-]{40}\.ics", r"\1….ics", text)
    return re.sub(r"(eyJ[\w-]{10})[\w.-]{20,}", r"\1…", re.sub(r"(\.\d+\.[\w-]{6})[\w-]{26}", r"\1…", text))


def _demo(text: str, cluster: ProcessCluster) -> str:
    """The addresses of the demo instead of the free ports of this run."""
    for number, node in enumerate(cluster, start=1):
        text = text.replace(node.api, f"127.0.0.1:{8000 + number}").replace(
            node.raft, f"127.0.0.1:{7000 + number}"
        )
    return text


def steady(text: str) -> str:
    """A sample without what differs in every run."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}", "ID", text)
    text = re.sub(r"eyJ\S*?…|\bID\.\d+\.\S*?…", "TOKEN", text)
    text = re.sub(r'"((?:affected_|device_)?token)": "[^"]*"', r'"\1": "TOKEN"', text)
    text = re.sub(r"/calendar/[\w-]{3}….ics", "/calendar/SECRET", text)
    text = re.sub(
        r'"((?:created|cancelled|refreshed|expires|blocked)_at|at|time)": "[^"]*T[^"]*"',
        r'"\1": "INSTANT"',
        text,
    )
    text = re.sub(
        r'("(?:node_id|leader_id|role|match_index|digest|id|api|raft|reachable|voter|incarnation|founding|to)"): [^,}\n]+',
        r"\1: X",
        text,
    )
    text = re.sub(r"^(deskraft_\S+) .*$", r"\1 N", text, flags=re.MULTILINE)
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST", text)
    text = re.sub(r'^(ETag: "(?:[\d.]+-)?)[0-9a-f]{8,}"', r'\1HASH"', text, flags=re.MULTILINE)
    return re.sub(r"\b\d+(\.\d+)?\b(?!:)", "N", text)


def main() -> int:
    """Write the samples, or compare them."""
    parser = argparse.ArgumentParser(description="Write the samples of docs/api.md from a real cluster.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 when a sample is out of date"
    )
    chosen = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    samples = asyncio.run(record())
    wanted = {match[2] for match in _MARKED.finditer(page)}
    if wanted != set(samples):
        print(f"docs/api.md and the scenario differ: {sorted(wanted ^ set(samples))}", file=sys.stderr)
        return 1
    if chosen.check:
        written = {match[2]: match[0] for match in _MARKED.finditer(page)}
        stale = [name for name, text in samples.items() if steady(text) not in steady(written[name])]
        for name in stale:
            print(
                "\n".join(
                    difflib.unified_diff(written[name].splitlines(), samples[name].splitlines(), lineterm="")
                )
            )
        print("stale samples: " + ", ".join(stale) if stale else f"{len(samples)} samples are true")
        return 1 if stale else 0
    PAGE.write_text(
        _MARKED.sub(lambda match: match[1] + samples[match[2]] + match[3], page), encoding="utf-8"
    )
    print(f"wrote {len(samples)} samples to {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
