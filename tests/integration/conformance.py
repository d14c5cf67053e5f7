"""The node is asked everything that its own `/openapi.json` allows and forbids, and its answers are judged by that document.

schemathesis reads the document from a node of a real cluster and makes requests from it: the examples, the edges of every schema and just beyond
them, random bodies, and chains along the document's links. What is judged: no 5xx but the two documented 503s, no status and no
header that the document does not have, bodies by their schemas and types, media types, what is sent in spite of the document refused, what is
sent by it not refused as misshapen, and no answer for who is not logged in. `_judged` adds what a schema cannot say.

**Guide.** Random ids would meet nothing but 404, so `Guide` puts real ones into requests before they leave: of a space, seats, bookings, users.
It also keeps requests from what would end the exploration instead of being explored (its `_keep_from_harm` tells each case with its reason);
so those calls are made too, but with a member, a user, a space or a session that may be lost.

**Roles.** An administrator, a user, nobody, and *leavers*: users made for one request each, for the calls that end sessions and accounts.

Everything is made from the seed; the cluster's timing is not. As a program it is the longer campaign: `scripts/conformance`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import random
import re
import sys
import tempfile
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import requests
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from tests.integration.cluster import ADMIN_LOGIN, ADMIN_PASSWORD, free_ports, running_cluster

Role = Literal["admin", "user", "nobody", "leaver"]

USER = {"login": "ada", "password": "a long pass phrase"}
ADMIN = {"login": ADMIN_LOGIN, "password": ADMIN_PASSWORD}
LEARNER = "n4"  # a member that is never started: what is done to members is done to it
MEMBERS = ("n1", "n2", "n3")
EXTRA = {
    "outbox": {"webhook_allow": ["127.0.0.1"]}
}  # of cluster.yml: webhooks lead to a closed port of this machine
TIMEOUT_SECONDS = 10.0
MAX_SHOWN = 12
PAGES = "/api/v1/auth/browser"  # and below: what pages call, with a cookie
ENDING = r"^/api/v1/(me|me/password|me/sessions/\{session_id\}|auth/(logout|logout-everywhere|refresh))$"
# 422 is "never possible" here, also for what no schema can say (a time between slots, an unknown zone); the others likewise depend on the moment.
ACCEPTED = ["2xx", "3xx", "401", "403", "404", "409", "410", "412", "422", "429", "503"]
# HTTP lets anybody add header fields (RFC 9110, 5.1): that they are passed over is no fault.
NO_FAULT = "in header - object with unexpected properties"

_MADE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")  # an id of ours


@dataclass(frozen=True)
class Plan:
    """How much is asked in one role. `examples`: of each call; `phases`: of schemathesis; `seconds`: at most."""

    role: Role
    examples: int
    seconds: int
    phases: tuple[str, ...]


@dataclass
class Report:
    """What came of it: how often each call had each status, and what is wrong, each once."""

    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    findings: dict[tuple[str, str, str], str] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """How many requests were answered."""
        return sum(sum(counts.values()) for counts in self.statuses.values())

    @property
    def served(self) -> set[str]:
        """The calls that have done what they are for at least once."""
        return {name for name, counts in self.statuses.items() if any(status < 400 for status in counts)}

    def shown(self) -> str:
        """What is wrong, to read."""
        told = [f"{' · '.join(key)}\n{text}" for key, text in self.findings.items()]
        return f"{len(told)} findings\n\n" + "\n\n".join(told[:MAX_SHOWN])


class Ground:
    """Things that are really there, made over HTTP, and what may be put into a request of the guide's."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._count = itertools.count()
        self._admin = self._log_in(ADMIN)
        self._post("/api/v1/auth/register", USER)
        self._ada = self._log_in(USER)
        page = {"Origin": url, "Deskraft-Page": "1"}
        answer = requests.post(url + PAGES, json=USER, headers=page, timeout=TIMEOUT_SECONDS)
        self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        me = requests.get(f"{url}/api/v1/me", headers=self._ada, timeout=TIMEOUT_SECONDS).json()
        root = requests.get(f"{url}/api/v1/me", headers=self._admin, timeout=TIMEOUT_SECONDS).json()
        self.protected = {me["id"], root["id"]}
        self.victims = [self._post("/api/v1/auth/register", self._somebody())["id"] for _ in range(3)]
        self.closed = [f"127.0.0.1:{port}" for port in free_ports(2)]
        hook = {"url": f"http://{self.closed[0]}/hook"}
        self.hooks = [self._post("/api/v1/admin/webhooks", hook, self._admin)["id"] for _ in range(3)]
        learner = {"id": LEARNER, "raft": self.closed[0], "api": self.closed[1]}
        self._post("/api/v1/cluster/members", learner, self._admin)
        self.ids = {role: self._made(token) for role, token in (("admin", self._admin), ("user", self._ada))}

    def _made(self, token: dict[str, str]) -> dict[str, list[str]]:
        """What belongs to one person."""
        bookings = [self._post("/api/v1/bookings", self._wish(), token)["id"] for _ in range(6)]
        weekly = {"rrule": "FREQ=WEEKLY;COUNT=2", "seat_id": "A16"}
        series = [self._post("/api/v1/series", self._wish() | weekly, token)["id"] for _ in range(2)]
        taken = self._wish()
        self._post("/api/v1/bookings", taken, self._ada)
        waiting = [self._post("/api/v1/waitlist", taken, token)["id"]]
        calendar = self._post("/api/v1/me/calendar", {}, token)["path"]
        secret = calendar.removeprefix("/calendar/").removesuffix(".ics")
        return {
            "booking_id": bookings,
            "series_id": series,
            "waiting_id": waiting,
            "secret": [secret],
            "user_id": self.victims,
            "id": [LEARNER],
            "webhook_id": self.hooks,
            "sink_id": self.hooks,
            "space_id": ["hq"],
            "seat_id": ["A1", "A2"],
            "index": ["5"],
        }

    def leaver(self) -> tuple[dict[str, str], dict[str, Any]]:
        """A user for one request: who it is, and the tokens."""
        who = self._somebody()
        self._post("/api/v1/auth/register", who)
        return who, self._post("/api/v1/auth/login", who)

    def value(self, name: str) -> Any:
        """Something that is likely to be taken under a name; None for a name that means nothing here."""
        number = next(self._count)
        day, hour = date(2027, 3, 1) + timedelta(days=number // 9), 9 + number % 9
        match name:
            case "space_id" | "space":
                return "hq"
            case "seat_id" | "seat":
                return f"A{number % 8 + 1}"
            case "starts_at":
                return f"{day.isoformat()}T{hour:02}:00:00+03:00"
            case "ends_at":
                return f"{day.isoformat()}T{hour + 2:02}:00:00+03:00"
            case "date" | "first" | "last" | "from" | "to":
                return day.isoformat()
            case "time":
                return f"{hour:02}:00"
            case "opens":
                return "08:00"
            case "closes":
                return "21:00"
            case "slots":
                return 1
            case "timezone":
                return "Europe/Moscow"
            case "rrule":
                return "FREQ=WEEKLY;COUNT=2"
            case "login":
                return f"guest{number}"
            case "password" | "new_password":
                return USER["password"]
            case _:
                return None

    def _wish(self) -> dict[str, Any]:
        return {name: self.value(name) for name in ("space_id", "seat_id", "starts_at")}

    def _somebody(self) -> dict[str, str]:
        return {"login": f"leaver{next(self._count)}", "password": USER["password"]}

    def _log_in(self, who: dict[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._post('/api/v1/auth/login', who)['access_token']}"}

    def _post(self, path: str, body: Any, token: dict[str, str] | None = None) -> Any:
        answer = requests.post(self.url + path, json=body, headers=token, timeout=TIMEOUT_SECONDS)
        assert answer.status_code in (200, 201), f"{path}: {answer.status_code} {answer.text}"
        return answer.json()


class Guide:
    """Changes requests before they leave. Every choice is made from the request itself, so that a seed repeats it."""

    def __init__(self, ground: Ground, role: Role) -> None:
        self._ground = ground
        self._role = role
        self._ids = ground.ids["user" if role in ("user", "nobody", "leaver") else "admin"]

    def before_call(self, context: Any, case: Any, kwargs: dict[str, Any]) -> None:
        """The hook."""
        dice = random.Random(
            zlib.crc32(repr((case.path, case.path_parameters, case.query, case.body)).encode())
        )
        positive = case.meta is None or case.meta.generation.mode.is_positive
        for name in case.path_parameters or {}:
            made = _MADE.fullmatch(
                str(case.path_parameters[name])
            )  # by a call before, which a link has followed
            if name in self._ids and made is None and dice.random() < 0.8:
                case.path_parameters[name] = dice.choice(self._ids[name])
        if positive:
            if isinstance(case.body, dict) and dice.random() < 0.85:
                case.body = self._told(case.body, dice)
            for name in case.query or {}:
                given = self._ground.value(name)
                if given is not None and dice.random() < 0.85:
                    case.query[name] = given
            if "cursor" in (case.query or {}):
                del case.query["cursor"]  # a random one is refused, and pages are followed elsewhere
        self._set_headers(case, dice, positive)
        self._keep_from_harm(case)
        if self._role == "leaver":
            self._be_a_leaver(case, dice, positive)

    def _told(self, body: dict[str, Any], dice: random.Random) -> dict[str, Any]:
        told = dict(body)
        for name, value in body.items():
            if isinstance(value, dict):
                told[name] = self._told(value, dice)
            elif isinstance(value, list):
                told[name] = [self._told(each, dice) if isinstance(each, dict) else each for each in value]
            elif value is not None and (given := self._ground.value(name)) is not None:
                told[name] = given
            elif name in ("booking_id", "from_booking_id") and value is not None:
                told[name] = dice.choice(self._ids["booking_id"])
        if told.get("starts_at") is not None:  # it stands instead of the two
            told = {name: value for name, value in told.items() if name not in ("date", "time")}
        return told

    def _set_headers(self, case: Any, dice: random.Random, positive: bool) -> None:
        headers = case.headers or {}
        index = str(headers.get("Deskraft-Min-Index", ""))
        if index.isascii() and index.isdigit() and len(index) <= 18 and dice.random() < 0.98:
            headers["Deskraft-Min-Index"] = (
                "1"  # a random one is not reached, and costs the time of a request
            )
        key = headers.get("Idempotency-Key")
        sound = isinstance(key, str) and 0 < len(key) < 200 and key.isascii() and key.isprintable()
        if sound and dice.random() < 0.8:  # else it is perhaps one that was used
            headers["Idempotency-Key"] = f"{str(key).strip() or 'k'}-{dice.getrandbits(32)}"
        if (
            positive and case.path.startswith(PAGES) and dice.random() < 0.8
        ):  # as a page of this node; else as a stranger
            headers.update({"Origin": self._ground.url, "Deskraft-Page": "1"})
            headers.update({"Cookie": self._ground.cookie} if self._role != "nobody" else {})
        if "If-Match" in headers and dice.random() < 0.5:
            headers["If-Match"] = "*"

    def _keep_from_harm(self, case: Any) -> None:
        """What would end the exploration is done to somebody or something that may be lost."""
        path, named = case.path, case.path_parameters or {}
        body = case.body if isinstance(case.body, dict) else {}
        if path.startswith("/api/v1/cluster/members/") and named.get("id") in MEMBERS:
            named["id"] = LEARNER  # a removed or replaced member stops
        if path == "/api/v1/cluster/members":
            for name, closed in zip(("raft", "api"), self._ground.closed, strict=True):
                if isinstance(body.get(name), str):
                    body[name] = closed  # members are dialled: not at addresses made up here
        if isinstance(body.get("url"), str):
            body["url"] = (
                f"http://{self._ground.closed[0]}/hook"  # webhooks are sent: not to addresses made up here
            )
        if path == "/api/v1/events" and not {"after", "limit"} & set(case.query or {}):
            case.query = {**(case.query or {}), "limit": 5}  # the stream has no end
        if path == "/api/v1/cluster/transfer" and isinstance(body.get("to"), str):
            body["to"] = MEMBERS[len(body["to"]) % 3]
        if path.startswith("/api/v1/admin/users/") and named.get("user_id") in self._ground.protected:
            named["user_id"] = self._ground.victims[0]  # blocked or demoted, the role would be no more
        if path.startswith("/api/v1/admin/spaces/") and case.method != "GET" and "space_id" in named:
            named["space_id"] = "neva"  # a retired space or another slot would leave nothing to book
        login = body.get("login")
        if path in ("/api/v1/auth/login", PAGES) and isinstance(login, str):
            known = login.strip().casefold() in (ADMIN["login"], USER["login"])
            if known and body != ADMIN:  # wrong passwords would delay the log-ins of the role itself (429)
                body.update(USER)

    def _be_a_leaver(self, case: Any, dice: random.Random, positive: bool) -> None:
        who, tokens = self._ground.leaver()
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {tokens['access_token']}"}
        if positive and isinstance(case.body, dict) and dice.random() < 0.8:
            right = {"old_password": who["password"], "password": who["password"]}
            right |= {"refresh_token": tokens["refresh_token"], "new_password": "another pass phrase"}
            case.body = {name: right.get(name, value) for name, value in case.body.items()}
        if "session_id" in (case.path_parameters or {}) and dice.random() < 0.8:
            case.path_parameters["session_id"] = tokens["refresh_token"].partition(".")[0]


def explore(url: str, ground: Ground, plan: Plan, seed: int) -> Report:
    """Ask one node everything in one role."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=_config(plan, seed))
    if plan.role == "leaver":
        schema = schema.include(path_regex=ENDING)
    else:
        # Leavers do these: a role that has lost its account explores no further. Sessions are logged in anew.
        schema = schema.exclude(path="/api/v1/me", method="DELETE").exclude(path="/api/v1/me/password")
    report = Report()
    with _guided(Guide(ground, plan.role)):
        for event in from_schema(schema).execute():
            if isinstance(event, events.NonFatalError | events.FatalError):
                told = (
                    event.info.format() if isinstance(event, events.NonFatalError) else repr(event.exception)
                )
                report.findings["schemathesis", type(event).__name__, plan.role] = told[:2000]
            elif isinstance(event, events.ScenarioFinished):
                _take(report, event.recorder, plan.role)
    return report


def _config(plan: Plan, seed: int) -> SchemathesisConfig:
    who = {"admin": ADMIN, "user": USER}.get(plan.role)
    log_in = {"path": "/api/v1/auth/login", "payload": who, "extract_selector": "/access_token"}
    phases = {
        name: {"enabled": name in plan.phases} for name in ("examples", "coverage", "fuzzing", "stateful")
    }
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "max-time": plan.seconds,
            "suppress-health-check": ["all"],
            "continue-on-failure": True,
            "request-timeout": TIMEOUT_SECONDS,
            "generation": {"max-examples": plan.examples, "no-shrink": True, "database": "none"},
            "output": {"sanitization": {"enabled": False}},  # all that is secret here dies with the cluster
            "cache": {"enabled": False},
            "phases": phases,
            "checks": {
                "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "503"]},
                "positive_data_acceptance": {"expected-statuses": ACCEPTED},
                "ignored_auth": {"enabled": who is not None},
            },
            **({"auth": {"dynamic": {"openapi": {"bearer": log_in}}}} if who is not None else {}),
        }
    )


@contextlib.contextmanager
def _guided(guide: Guide) -> Iterator[None]:
    """schemathesis knows this hook for the whole process alone."""

    def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
        guide.before_call(context, case, kwargs)

    schemathesis.hook(before_call)
    try:
        yield
    finally:
        schemathesis.hooks.unregister(before_call)


def _take(report: Report, recorder: Any, role: Role) -> None:
    for case_id, interaction in recorder.interactions.items():
        response, name = interaction.response, recorder.cases[case_id].value.operation.label
        if response is None:
            report.findings[name, "no answer", role] = repr(interaction.request)[:500]
            continue
        report.statuses[name][response.status_code] += 1
        for fault in _judged(response):
            report.findings.setdefault(
                (name, fault, role), f"{interaction.request.uri}\n{response.text[:800]}"
            )
        for check in recorder.checks.get(case_id, ()):
            if check.failure_info is None or NO_FAULT in check.failure_info.failure.message:
                continue
            failure = check.failure_info.failure
            head = (failure.message or failure.title).splitlines()[0][:160]
            text = f"{check.failure_info.code_sample}\n{failure.message[:800]}\n-> {response.text[:800]}"
            report.findings.setdefault((name, f"{check.name}: {head} ({response.status_code})", role), text)


def _judged(response: Any) -> Iterator[str]:
    """What no schema says."""
    headers = {name.lower(): values[0] for name, values in response.headers.items()}
    if not headers.get("deskraft-index", "").isdigit():
        yield "no Deskraft-Index"
    if response.status_code in (429, 503) and not headers.get("retry-after", "").isdigit():
        yield "no Retry-After"
    if headers.get("content-type", "").startswith("application/problem+json"):
        problem = response.json()
        if problem["status"] != response.status_code:
            yield "the problem has another status"


# --- The campaign -------------------------------------------------------------------------------------------


async def campaign(seed: int, minutes: float, examples: int) -> int:
    """Explore in all roles until the time is over, each round from the next seed; the exit status."""
    ends_at = time.monotonic() + minutes * 60
    reports: list[Report] = []
    with tempfile.TemporaryDirectory() as folder:
        async with running_cluster(Path(folder), extra=EXTRA) as cluster:
            ground = await asyncio.to_thread(Ground, cluster["n1"].url)
            for number in itertools.count():
                for role in ("admin", "user", "nobody", "leaver"):
                    seconds = int(min(ends_at - time.monotonic(), minutes * 15))
                    if seconds < 1:
                        break
                    phases = ("examples", "coverage", "fuzzing")
                    phases += () if role == "leaver" else ("stateful",)  # nothing of a leaver's leads on
                    plan = Plan(role, examples, seconds, phases)  # type: ignore[arg-type]  # a role of the four
                    url = cluster[MEMBERS[number % 3]].url
                    report = await asyncio.to_thread(explore, url, ground, plan, seed + number)
                    reports.append(report)
                    print(
                        f"{datetime.now(UTC):%H:%M:%S} seed {seed + number} {role}: {report.requests} requests, "
                        f"{len(report.served)} calls served, {len(report.findings)} findings",
                        flush=True,
                    )
                    if report.findings:
                        print(report.shown(), flush=True)
                if time.monotonic() >= ends_at - 1:
                    break
            cluster.assert_no_traceback()
            await cluster.wait_until_equal()
    found = sum(len(report.findings) for report in reports)
    asked = sum(report.requests for report in reports)
    print(
        f"verdict: {'ok' if not found else 'violated'}: {asked} requests, {found} findings, first seed {seed}"
    )
    return 1 if found else 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/conformance",
        description="Ask a real three-node cluster everything that its OpenAPI document allows and forbids, and judge the answers by it.",
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (10)")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(1 << 30), help="of the first round (random)"
    )
    parser.add_argument(
        "--examples", type=int, default=8, help="random requests for each call, role and round (8)"
    )
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    return asyncio.run(campaign(chosen.seed, chosen.minutes, chosen.examples))


if __name__ == "__main__":
    sys.exit(main())
