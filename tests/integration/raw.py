"""People who speak plain HTTP, without the client library: nothing is hidden, nothing is retried unless asked for.

`Raw.ask` is one request to one node and its answer as it came. `Raw.settle` repeats a write with its key on one node after
the other until the answer is final, as docs/api.md tells clients to, and fails when that takes too long.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.integration.cluster import NodeProcess

PASSWORD = "a long pass phrase"
ASK_SECONDS = 4.0  # a paused node says nothing; a sane one answers within 2.5
SETTLE_SECONDS = 30.0
RETRY_SECONDS = (0.01, 0.06)
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
PROBLEM = "urn:deskraft:problem:"


@dataclass(frozen=True)
class Said:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: Any
    seconds: float

    @property
    def index(self) -> int:
        """`Deskraft-Index`; its absence is an error."""
        return int(self.headers["Deskraft-Index"])

    @property
    def code(self) -> str:
        """The code of a problem; empty for other answers."""
        return str(self.body["type"]).removeprefix(PROBLEM) if self.status >= 400 else ""

    @property
    def final(self) -> bool:
        """Whether a repetition with the same key would be answered the same."""
        return self.status < 500 and self.status != 429


class Raw:
    """One person's plain HTTP. `token` is empty until `sign_in`."""

    def __init__(
        self, session: aiohttp.ClientSession, token: str = "", user_id: str = "", device_token: str = ""
    ) -> None:
        self._session = session
        self.device_token = device_token
        self.token = token
        self.user_id = user_id

    async def ask(
        self,
        node: NodeProcess,
        method: str,
        path: str,
        body: Any = None,
        *,
        data: bytes | None = None,
        key: str | None = None,
        min_index: int | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = ASK_SECONDS,
    ) -> Said:
        """One request. Raises aiohttp.ClientError, OSError or TimeoutError when there is no whole answer."""
        sent = {"Content-Type": "application/json"} if body is not None or data is not None else {}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if key is not None:
            sent["Idempotency-Key"] = key
        if min_index is not None:
            sent["Deskraft-Min-Index"] = str(min_index)
        sent.update(headers or {})
        payload = data if data is not None else None if body is None else json.dumps(body).encode()
        began = time.monotonic()
        async with self._session.request(
            method,
            node.url + path,
            data=payload,
            headers=sent,
            timeout=aiohttp.ClientTimeout(total=timeout_seconds),
        ) as response:
            raw = await response.read()
            seconds = time.monotonic() - began
            decoded = json.loads(raw) if raw and "json" in response.headers.get("Content-Type", "") else raw
            return Said(response.status, response.headers.copy(), decoded, seconds)

    async def get(self, node: NodeProcess, path: str, **options: Any) -> Said:
        """GET."""
        return await self.ask(node, "GET", path, **options)

    async def post(self, node: NodeProcess, path: str, body: Any = None, **options: Any) -> Said:
        """POST."""
        return await self.ask(node, "POST", path, body, **options)

    async def settle(
        self,
        nodes: Sequence[NodeProcess],
        path: str,
        body: Any,
        key: str,
        *,
        rng: random.Random,
        timeout_seconds: float = SETTLE_SECONDS,
    ) -> Said:
        """Repeat a POST with its key, each time on the next node, until the answer is final."""
        give_up_at = time.monotonic() + timeout_seconds
        turn = rng.randrange(len(nodes))
        tries: list[str] = []
        while time.monotonic() < give_up_at:
            node = nodes[turn % len(nodes)]
            turn += 1
            try:
                said = await self.post(node, path, body, key=key)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                tries.append(f"{node.id}: {type(error).__name__}")
            else:
                assert said.status in {503, 429} or said.status < 500, (node.id, said)
                if said.final:
                    return said
                tries.append(f"{node.id}: {said.code}")
            await asyncio.sleep(rng.uniform(*RETRY_SECONDS))
        raise TimeoutError(f"{path} with key {key} was not settled in {timeout_seconds} s: {tries[-20:]}")

    async def sign_in(self, nodes: Sequence[NodeProcess], login: str, *, rng: random.Random) -> Raw:
        """Register and log in; the same person, now with a token."""
        credentials = {"login": login, "password": PASSWORD}
        registered = await self.settle(nodes, "/api/v1/auth/register", credentials, _key(), rng=rng)
        assert registered.status == 201, registered
        tokens = await self.settle(nodes, "/api/v1/auth/login", credentials, _key(), rng=rng)
        assert tokens.status == 200, tokens
        return Raw(
            self._session, tokens.body["access_token"], registered.body["id"], tokens.body["device_token"]
        )

    async def all_bookings(self, node: NodeProcess, *, stale: bool = False) -> list[dict[str, Any]]:
        """The whole history of this person as one node tells it, page by page."""
        found: list[dict[str, Any]] = []
        query = "?limit=200" + ("&consistency=stale" if stale else "")
        path: str | None = f"/history{query}"
        while path is not None:
            page = await self.get(node, path)
            assert page.status == 200, page
            found += page.body["items"]
            path = f"/history{query}&cursor={page.body['next']}" if page.body["next"] else None
        return found


def _key() -> str:
    return uuid.uuid4().hex


def seed_of_run() -> int:
    """A seed that pytest shows when the test fails; DESKRAFT_TEST_SEED gives it again."""
    seed = int(os.environ.get("DESKRAFT_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"DESKRAFT_TEST_SEED={seed}")
    return seed


def slot(day: str, hour: int, seat: str = "A1", space: str = "hq") -> dict[str, Any]:
    """The body of POST /api/v1/bookings for one hour in Moscow."""
    return {"space_id": space, "seat_id": seat, "starts_at": f"{day}T{hour:02}:00:00+03:00"}


async def one_request(node: NodeProcess) -> Connection:
    """A bare connection to the API of a node."""
    host, port = node.api.rsplit(":", 1)
    return await asyncio.open_connection(host, int(port))


def request_bytes(
    node: NodeProcess, method: str, path: str, token: str, body: Any = None, key: str | None = None
) -> bytes:
    """A whole HTTP/1.1 request, to be written at a moment of one's choice; the node closes the connection after it."""
    payload = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {node.api}",
        f"Authorization: Bearer {token}",
        "Connection: close",
        f"Content-Length: {len(payload)}",
    ]
    if body is not None:
        lines.append("Content-Type: application/json")
    if key is not None:
        lines.append(f"Idempotency-Key: {key}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload


async def read_answer(reader: asyncio.StreamReader, timeout_seconds: float = ASK_SECONDS) -> Said | None:
    """The answer on a bare connection that closes after it; None when it was lost."""
    began = time.monotonic()
    try:
        raw = await asyncio.wait_for(reader.read(), timeout_seconds)
    except (OSError, TimeoutError):
        return None
    head, separator, body = raw.partition(b"\r\n\r\n")
    if not separator:
        return None
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in rest)
    if len(body) != int(headers.get("Content-Length", "0")):
        return None
    return Said(int(first.split()[1]), headers, json.loads(body or b"null"), time.monotonic() - began)
