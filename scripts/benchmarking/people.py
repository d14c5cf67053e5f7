"""The users of the load: made and logged in over the API, and audited at the end over the API as well.

The ledger knows every booking that was confirmed to somebody. The audit reads back what the cluster has and holds it against
that: nothing confirmed may be missing or changed, and no seat may be sold twice.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

from scripts.benchmarking.load import NOT_NOW

USERS = 100
AT_ONCE = 24  # below what a node lets wait for its password hasher
ATTEMPTS = 200
PAGE_LIMIT = 100
RETRY_SECONDS = 0.2
EQUAL_SECONDS = 20.0
INSTANT_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

Slot = tuple[str, str, str]  # space, seat, beginning in UTC


class SetupFailedError(Exception):
    """The cluster cannot be prepared for a measurement."""


class User(NamedTuple):
    """Who is logged in, with the header that says so."""

    login: str
    refresh_token: str
    header: bytes


class Asker:
    """One keep-alive connection for what is not measured."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, method: str, path: str, body: object = None, header: bytes = b""
    ) -> tuple[int, dict[str, Any]]:
        """One request and its answer; "not now" is asked again."""
        data = b"" if body is None else json.dumps(body).encode()
        request = compose(method, path, data, header)
        for _ in range(ATTEMPTS):
            status, answer = await self.raw(request)
            if status not in NOT_NOW:
                return status, json.loads(answer)
            await asyncio.sleep(RETRY_SECONDS)
        raise SetupFailedError(f"{method} {path}: still {status} after {ATTEMPTS} attempts: {answer!r}")

    async def raw(self, request: bytes) -> tuple[int, bytes]:
        """One attempt with the bytes of a request; status and body. Raises OSError and EOFError."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length_at = head.index(b"ontent-Length: ") + 15
        body = await reader.readexactly(int(head[length_at : head.index(b"\r", length_at)]))
        if b"onnection: close" in head:
            self.close()
        return int(head[9:12]), body

    def close(self) -> None:
        """Close the connection; another question opens it again."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def compose(method: str, path: str, body: bytes, header: bytes) -> bytes:
    """The bytes of a request. `header` is whole lines."""
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\n".encode() + header
    if method == "POST":
        head += b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    return head + b"\r\n" + body


def _user(login: str, answer: dict[str, Any]) -> User:
    header = f"Authorization: Bearer {answer['access_token']}\r\n".encode()
    return User(login, answer["refresh_token"], header)


async def sign_in(addresses: list[tuple[str, int]]) -> list[User]:
    """Register and log in all users. That is two argon2 hashes each, the slow part of the preparation."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> User:
        async with room:
            asker = Asker(addresses[number % len(addresses)])
            login, password = f"bench-{number:03}", f"a long pass phrase {number:03}"
            body = {"login": login, "password": password}
            status, answer = await asker.ask("POST", "/api/v1/auth/register", body)
            if status != 201:
                raise SetupFailedError(f"{login} cannot register: {status} {answer}")
            status, answer = await asker.ask("POST", "/api/v1/auth/login", body)
            if status != 200:
                raise SetupFailedError(f"{login} cannot log in: {status} {answer}")
            asker.close()
            return _user(login, answer)

    return list(await asyncio.gather(*map(one, range(USERS))))


async def renew(addresses: list[tuple[str, int]], users: list[User]) -> list[User]:
    """The same users with new tokens: those of before live for 15 minutes only."""

    async def some(first: int) -> list[tuple[int, User]]:
        asker = Asker(addresses[first])
        renewed = []
        for number in range(first, len(users), len(addresses)):
            body = {"refresh_token": users[number].refresh_token}
            status, answer = await asker.ask("POST", "/api/v1/auth/refresh", body)
            if status != 200:
                raise SetupFailedError(f"{users[number].login} cannot renew: {status} {answer}")
            renewed.append((number, _user(users[number].login, answer)))
        asker.close()
        return renewed

    parts = await asyncio.gather(*map(some, range(len(addresses))))
    return [user for _, user in sorted(pair for part in parts for pair in part)]


class Ledger:
    """What the users were told."""

    def __init__(self) -> None:
        self.confirmed: list[dict[str, Slot]] = [{} for _ in range(USERS)]
        self.cancelled: set[str] = set()
        self._sold: dict[Slot, str] = {}

    def booked(self, user: int, slot: Slot, booking_id: str) -> str | None:
        """A booking was confirmed; what is wrong with that, if anything. A slot is asked for by one request only, or by
        rivals who must not both win; it is never asked for again.
        """
        other = self._sold.setdefault(slot, booking_id)
        self.confirmed[user][booking_id] = slot
        return None if other == booking_id else f"sold twice: {slot} to {other} and {booking_id}"

    def winner(self, slot: Slot) -> str | None:
        """The booking that got a slot."""
        return self._sold.get(slot)

    def total(self) -> int:
        """How many bookings were confirmed."""
        return len(self._sold)


async def audit(addresses: list[tuple[str, int]], users: list[User], ledger: Ledger) -> list[str]:
    """What is wrong with the bookings that the cluster holds; each node is asked about its own users."""
    violations = await _differences(addresses)
    holders: dict[Slot, str] = {}

    async def some(first: int) -> None:
        asker = Asker(addresses[first])
        for number in range(first, len(users), len(addresses)):
            found = await _bookings_of(asker, users[number])
            violations.extend(judge(ledger, number, found, holders))
        asker.close()

    await asyncio.gather(*map(some, range(len(addresses))))
    return violations


async def _bookings_of(asker: Asker, user: User) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    cursor = ""
    while True:
        path = f"/api/v1/bookings?limit={PAGE_LIMIT}" + (f"&cursor={cursor}" if cursor else "")
        status, answer = await asker.ask("GET", path, header=user.header)
        if status != 200:
            raise SetupFailedError(f"the bookings of {user.login} cannot be read: {status} {answer}")
        found.update((item["id"], item) for item in answer["items"])
        cursor = answer["next"]
        if not cursor:
            return found


def judge(
    ledger: Ledger, number: int, found: dict[str, dict[str, Any]], holders: dict[Slot, str]
) -> list[str]:
    wrong = []
    told = ledger.confirmed[number]
    for booking_id in told:
        if booking_id not in found:
            wrong.append(f"lost: booking {booking_id} of {told[booking_id]} was confirmed and is gone")
    for booking_id, item in found.items():
        slot = told.get(booking_id)
        expected = "cancelled" if booking_id in ledger.cancelled else "confirmed"
        if slot is None:
            wrong.append(f"booking {booking_id} was never confirmed to anybody")
        elif (item["space_id"], item["seat_id"], _utc(item["starts_at"]), item["status"]) != (
            *slot,
            expected,
        ):
            wrong.append(f"changed: booking {booking_id} of {slot} ({expected}) is now {item}")
        elif expected == "confirmed" and holders.setdefault(slot, booking_id) != booking_id:
            wrong.append(f"doubled: {slot} is held by {holders[slot]} and {booking_id}")
    return wrong


def _utc(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).strftime(INSTANT_FORMAT)


async def _differences(addresses: list[tuple[str, int]]) -> list[str]:
    """Wait until all nodes stand at one index; their digests must be equal there."""
    askers = [Asker(address) for address in addresses]
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + EQUAL_SECONDS
    try:
        while True:
            seen = [(await asker.ask("GET", "/api/v1/cluster"))[1] for asker in askers]
            at = {(each["applied_index"], each["digest"]) for each in seen}
            if len(at) == 1:
                return []
            if len({index for index, _ in at}) == 1:
                return [f"the nodes differ at one index: {sorted(at)}"]
            if loop.time() > give_up_at:
                return [f"the nodes are not at one index after {EQUAL_SECONDS} s: {sorted(at)}"]
            await asyncio.sleep(RETRY_SECONDS)
    finally:
        for asker in askers:
            asker.close()
