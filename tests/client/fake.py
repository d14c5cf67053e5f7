"""A node made of cardboard: answers what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

ANSWER_INDEX = 7

BOOKING: dict[str, Any] = {
    "id": "b1",
    "space_id": "hq",
    "seat_id": "A1",
    "user_id": "u1",
    "starts_at": "2026-12-01T10:00:00+03:00",
    "ends_at": "2026-12-01T11:00:00+03:00",
    "status": "confirmed",
    "something_new": True,
}
SPACE: dict[str, Any] = {
    "id": "hq",
    "name": "Коворкинг на Мясницкой",
    "timezone": "Europe/Moscow",
    "opens": "08:00",
    "closes": "11:00",
    "slot_minutes": 60,
    "seats": [{"id": "A1", "label": "A1"}, {"id": "A2", "label": "A2 у окна"}],
}


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class FakeNode:
    """`answers` maps "METHOD /path" to answers given one after the other, the last one for ever."""

    url: str
    answers: dict[str, list[Callable[[], web.StreamResponse]]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    delay_seconds: float = 0.0  # the way here and back
    silent: bool = False  # accept, then say nothing: a stopped process

    def on(self, call: str, *answers: Callable[[], web.StreamResponse]) -> None:
        """Set the answers of one call."""
        self.answers[call] = list(answers)

    def asked(self, call: str) -> list[Seen]:
        """Requests of one call, in order."""
        return [seen for seen in self.seen if f"{seen.method} {seen.path}" == call]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Seen(request.method, request.path, dict(request.query), headers, body))
        await asyncio.sleep(self.delay_seconds)
        if self.silent:
            await asyncio.sleep(60)
        answers = self.answers.get(f"{request.method} {request.path}")
        if answers is None:
            return problem(404, "not-found")()
        return (answers.pop(0) if len(answers) > 1 else answers[0])()


def ok(body: Any, status: int = 200, index: int = ANSWER_INDEX) -> Callable[[], web.StreamResponse]:
    """A good answer."""
    return lambda: web.json_response(body, status=status, headers={"Deskraft-Index": str(index)})


def no_content() -> web.StreamResponse:
    """The answer to a log-out."""
    return web.Response(status=204)


def problem(
    status: int, code: str, retry_after: int | None = None, **members: Any
) -> Callable[[], web.StreamResponse]:
    """A refusal or failure."""
    body = {"type": f"urn:deskraft:problem:{code}", "title": code, "status": status, "detail": f"({code})"}
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return lambda: web.json_response(
        body | members, status=status, headers=headers, content_type="application/problem+json"
    )


def tokens(name: str, expires_in: float = 900) -> Callable[[], web.StreamResponse]:
    """A log-in's answer whose tokens are called after `name`."""
    body = {
        "access_token": f"access-{name}",
        "token_type": "Bearer",
        "expires_in": expires_in,
        "refresh_token": f"refresh-{name}",
    }
    return ok(body)


def cluster(node_id: str, apis: Sequence[str], leader: str | None = "n1", **changed: Any) -> dict[str, Any]:
    """The cluster as `node_id` would tell it, with members at `apis`."""
    members = [
        {
            "id": f"n{i}",
            "raft": f"127.0.0.1:700{i}",
            "api": api,
            "role": None,
            "reachable": True,
            "match_index": None,
        }
        for i, api in enumerate(apis, start=1)
    ]
    role = "leader" if node_id == leader else "follower"
    told: dict[str, Any] = {
        "cluster": "demo",
        "node_id": node_id,
        "role": role,
        "leader_id": leader,
        "term": 3,
    }
    told |= {"commit_index": 9, "applied_index": 9, "digest": "00ff", "members": members}
    return told | changed


_GIVEN: set[int] = set()


def free_url() -> str:
    """A loopback URL that nobody listens on (for now), and that was not given before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _GIVEN:
            _GIVEN.add(port)
            return f"http://127.0.0.1:{port}"


@asynccontextmanager
async def fake_node() -> AsyncIterator[FakeNode]:
    """A fake node that listens on a free loopback port."""
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    node = FakeNode(url)
    node.on("GET /api/v1/cluster", ok(cluster("n1", [url.removeprefix("http://")])))
    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", node.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    try:
        yield node
    finally:
        # A connection that was accepted in the turn before its server closes is left open by Python 3.11 (`Server._attach` asserts that the
        # server serves, after the transport has taken the socket). So none is accepted any more, and those that were become connections first.
        asyncio.get_running_loop().remove_reader(listening.fileno())
        await asyncio.sleep(0)
        await runner.cleanup()
