"""A node's API over a cluster of one in memory, with cheap password hashing and a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web_runner import BaseRunner

from api.app import build_app
from api.birth import birth_command
from api.gate import Gate
from api.ids import uuid7
from api.logins import canonical_login
from api.openapi import problems_of
from api.passwords import Cost
from api.problems import MEDIA_TYPE, TYPE_PREFIX
from api.protocol import ApiRunner
from api.tokens import SESSION_MS, AccessTokens
from node.config import Bootstrap, Config, NodeAddress
from node.secret import Secret
from statemachine.commands import NewSpace, OpenSession
from statemachine.records import Seat, Session
from tests.api.fake_replica import FakeReplica

CHEAP = Cost(memory_kib=8, passes=1, lanes=1)
PASSWORD = "correct horse"


def seats(*ids: str) -> tuple[Seat, ...]:
    return tuple(Seat(each, f"Desk {each}") for each in ids)


SPACES = (
    NewSpace("hq", "Коворкинг", "Europe/Moscow", 480, 1320, 60, seats("A1", "A2", "A3", "B1")),
    NewSpace("berlin", "Berlin", "Europe/Berlin", 0, 1440, 60, seats("D1", "D2")),
    NewSpace("kolkata", "Kolkata", "Asia/Kolkata", 540, 1080, 30, seats("K1")),
    NewSpace("howe", "Lord Howe", "Australia/Lord_Howe", 0, 1440, 30, seats("L1")),
    NewSpace("york", "New York", "America/New_York", 0, 1440, 60, seats("Y1", "D1")),
)
NODES = {
    f"n{number}": NodeAddress("127.0.0.1", 7000 + number, "127.0.0.1", 8000 + number) for number in (1, 2, 3)
}
BOOTSTRAP = Bootstrap("admin", "DESKRAFT_ADMIN_PASSWORD", SPACES)
CONFIG = Config("demo", NODES, Path("data"), Path("data/secret"), 50_000, BOOTSTRAP)
SECRET = Secret(["a secret of the tests that is long enough to be one"])


class Node:
    """One node under test, with the shortest way to say what a test wants."""

    def __init__(self, client: TestClient[Any, Any], replica: FakeReplica) -> None:
        self.client = client
        self.replica = replica

    async def get(self, path: str, token: str | None = None, **headers: str) -> ClientResponse:
        return await self.client.get(path, headers=_headers(token, headers))

    async def post(
        self, path: str, body: Any = None, token: str | None = None, **headers: str
    ) -> ClientResponse:
        named = _headers(token, headers)
        if isinstance(body, bytes):
            named.setdefault("Content-Type", "application/json")
            return await self.client.post(path, data=body, headers=named)
        if body is None:
            return await self.client.post(path, headers=named)
        return await self.client.post(path, json=body, headers=named)

    async def register(self, login: str, password: str = PASSWORD) -> str:
        """The id of a new user."""
        answer = await self.post("/api/v1/auth/register", {"login": login, "password": password})
        assert answer.status == 201, await answer.text()
        return str((await answer.json())["id"])

    async def tokens(self, login: str, password: str = PASSWORD) -> dict[str, Any]:
        answer = await self.post("/api/v1/auth/login", {"login": login, "password": password})
        assert answer.status == 200, await answer.text()
        tokens: dict[str, Any] = await answer.json()
        return tokens

    async def user(self, login: str = "alice") -> str:
        """The access token of a new user."""
        await self.register(login)
        return str((await self.tokens(login))["access_token"])

    async def admin(self) -> str:
        """An access token of the administrator, who was born with no password that could be typed."""
        admin = self.replica.state.user_by_login_key("admin")
        assert admin is not None
        outcome = await self.replica.execute(
            OpenSession(uuid7(self.replica.now_ms()), admin.id, admin.password_hash, "", SESSION_MS),
            scope="login:admin",
            key=None,
            fingerprint=b"",
            session_id="",
            timeout_seconds=1.0,
        )
        assert isinstance(outcome.result, Session)
        return AccessTokens(SECRET, CONFIG.cluster).issue(outcome.result)

    async def patch(self, path: str, body: Any, token: str | None = None, **headers: str) -> ClientResponse:
        return await self.client.patch(path, json=body, headers=_headers(token, headers))

    async def put(self, path: str, body: Any, token: str | None = None, **headers: str) -> ClientResponse:
        return await self.client.put(path, json=body, headers=_headers(token, headers))

    async def delete(self, path: str, token: str | None = None) -> ClientResponse:
        return await self.client.delete(path, headers=_headers(token, {}))


def _headers(token: str | None, headers: dict[str, str]) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        named["Authorization"] = f"Bearer {token}"
    return named


async def expect_problem(answer: ClientResponse, status: int, code: str) -> dict[str, Any]:
    """The problem object of an answer that must be this problem."""
    text = await answer.text()
    assert (status, "application/problem+json") == (answer.status, answer.content_type), text
    problem: dict[str, Any] = await answer.json(content_type=None)
    assert code == problem["type"].rpartition(":")[2], text
    assert status == problem["status"]
    assert problem["title"] and problem["detail"]
    assert answer.headers["Deskraft-Index"].isdigit()
    return problem


async def give_birth(replica: FakeReplica) -> None:
    login, login_key = canonical_login("admin")
    command = birth_command("018f0000-0000-7000-8000-000000000000", login, login_key, "no hash", SPACES)
    outcome = await replica.execute(
        command, scope="birth", key="birth", fingerprint=b"", session_id="", timeout_seconds=1.0
    )
    assert outcome.ok


class _Server(TestServer):
    """The test server, run by the node's own runner."""

    def __init__(self, app: web.Application, replica: FakeReplica) -> None:
        super().__init__(app)
        self._replica = replica

    async def _make_runner(self, **options: Any) -> BaseRunner:
        return ApiRunner(self.app, self._replica, **options)


@pytest.fixture(autouse=True)
def documented(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test asks for: no call is refused with a problem that its OpenAPI document does not name."""
    answer = Gate._answer
    untold: set[str] = set()

    async def judged(gate: Gate, request: web.Request, began: float) -> web.StreamResponse:
        response = await answer(gate, request, began)
        call = gate._calls.get(request.method)
        if call is not None and isinstance(response, web.Response) and response.content_type == MEDIA_TYPE:
            assert isinstance(response.body, bytes)
            code = msgspec.json.decode(response.body)["type"].removeprefix(TYPE_PREFIX)
            if code != "internal" and code not in problems_of(call).get(response.status, ()):
                untold.add(f"{call.method} {call.path}: {code}")
        return response

    monkeypatch.setattr(Gate, "_answer", judged)
    yield
    assert not untold


@pytest.fixture
def replica() -> FakeReplica:
    return FakeReplica()


@pytest.fixture
async def node(replica: FakeReplica) -> AsyncIterator[Node]:
    await give_birth(replica)
    app = build_app(
        replica, SECRET, CONFIG, "n1", password_cost=CHEAP, budget_seconds=0.4, request_seconds=0.6
    )
    async with TestClient(_Server(app, replica)) as client:
        yield Node(client, replica)
