"""The two ways in which people under the storm speak.

Half of them are programs that speak **raw** HTTP: one request to one node, and what comes is what counts for availability. The outcome
of a write that was not told is asked for with the same key on other nodes, as docs/api.md tells clients to. The other half use
the client **library**, with all nodes known and its own deadline: what it raises is a failure that a person would have seen.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import aiohttp

from client.aio import Client
from client.answers import Booking
from client.errors import DeskraftError, NoNodeAnswers, Refused
from tests.chaos.people import ATTEMPT_SECONDS, SPACE, Call, Made, No, Person, Storm, cell_of, seat_name
from tests.checking.history import Listed
from tests.integration.raw import PASSWORD

STAMP_AHEAD_SECONDS = 3.0  # what estimates of other members' clocks may be wrong by, and more
SETTLE_SECONDS = 20.0
SENDS_FLOOR = 0.25  # of the raw reads; linearizable reads need none, and it would hide a stale one


def _line(booking: dict[str, Any]) -> Listed:
    starts = datetime.fromisoformat(booking["starts_at"])
    status = "cancelled" if booking["status"] == "cancelled" else "confirmed"
    return Listed(
        booking["id"], status, seat_name(booking["seat_id"], starts.astimezone(UTC).date()), cell_of(starts)
    )


def _place(revision: str) -> tuple[int, int]:
    """Index and position of the change that a booking's revision names."""
    index, _, position = revision.partition(".")
    return int(index), int(position)


class RawPerson(Person):
    """One request at a time, to a node by chance."""

    def __init__(self, storm: Storm, name: str, session: aiohttp.ClientSession, urls: dict[str, str]) -> None:
        super().__init__(storm, name)
        self._session = session
        self._urls = urls
        self._token = ""

    async def introduce(self, login: str) -> None:
        self.live.clear()
        self._token = ""
        credentials = {"login": login, "password": PASSWORD}
        registered = await self._write("register", "/api/v1/auth/register", credentials)
        tokens = await self._write("log in", "/api/v1/auth/login", credentials)
        while registered is None or tokens is None or tokens.status != 200:
            if self.storm.stopping.is_set():
                return
            await asyncio.sleep(0.2)
            registered = registered or await self._write("register", "/api/v1/auth/register", credentials)
            tokens = await self._write("log in", "/api/v1/auth/login", credentials)
        self._token = tokens.body["access_token"]
        self.user_id = await self._who()
        self.storm.diary.passwords[self.user_id] = login

    async def _who(self) -> str:
        while True:
            seen = await self._read("me", "/api/v1/me")
            if seen is not None or self.storm.stopping.is_set():
                return str(seen.body["id"]) if seen is not None else ""

    async def book(self, seat: str, moment: datetime) -> Made | No | None:
        body = {"space_id": SPACE, "seat_id": seat, "starts_at": moment.isoformat()}
        said = await self._write("book", "/api/v1/bookings", body)
        if said is not None and said.status == 201:
            self._check_stamp(said.body)
        return self._made(said)

    def _check_stamp(self, booking: dict[str, Any]) -> None:
        """Log time is the median of the members' clocks, so it never runs ahead of the right one, whatever one of them shows."""
        ahead_seconds = datetime.fromisoformat(booking["created_at"]).timestamp() - time.time()
        if ahead_seconds > STAMP_AHEAD_SECONDS:
            self.storm.diary.strange.append(f"log time is {ahead_seconds:.1f} s ahead: {booking}")

    async def cancel(self, booking: str) -> Made | No | None:
        return self._made(await self._write("cancel", f"/api/v1/bookings/{booking}/cancel", {}))

    def _made(self, said: Said | None) -> Made | No | None:
        if said is None:
            return None
        if said.status >= 400:
            return No(said.code, said.index)
        return Made(said.body["id"], *_place(said.body["revision"]))

    async def look(self, day: date) -> tuple[int, dict[str, list[int]]] | None:
        said = await self._read("look", f"/api/v1/spaces/{SPACE}/availability?date={day.isoformat()}")
        if said is None:
            return None
        taken = {
            seat["id"]: [slot for slot, state in enumerate(seat["slots"]) if state in ("taken", "mine")]
            for seat in said.body["seats"]
        }
        return said.index, taken

    async def list(self) -> tuple[int, list[Listed]] | None:
        found: list[Listed] = []
        path, index = "/history?limit=200", 0
        while True:
            said = await self._read("history", path)
            if said is None or (index and said.index != index):
                return None  # pages of different moments are no one answer
            index = said.index
            found += [_line(booking) for booking in said.body["items"]]
            if not said.body["next"]:
                return index, found
            path = f"/history?limit=200&cursor={said.body['next']}"

    def choose_floor(self) -> None:
        self.sent = self.floor if self.rng.random() < SENDS_FLOOR else 0

    # Requests.

    def _turns(self) -> Iterator[str]:
        nodes = sorted(self._urls)
        start = self.rng.randrange(len(nodes))
        return (nodes[(start + step) % len(nodes)] for step in itertools.count())

    async def _write(self, kind: str, path: str, body: dict[str, Any]) -> Said | None:
        """With one key on one node after the other, until it is known what became of it."""
        key = f"{self.name}-{self.rng.getrandbits(64):x}"
        give_up_at = time.monotonic() + SETTLE_SECONDS
        for node in self._turns():
            said = await self._ask(kind, node, "POST", path, body, key)
            if said is not None and said.status < 500 and said.status not in (401, 429):
                if kind in ("book", "cancel"):
                    self.storm.diary.keys.append((self.user_id, key, path, body, str(said.status)))
                return said
            if time.monotonic() > give_up_at or self.storm.stopping.is_set():
                return None
            await asyncio.sleep(self.rng.uniform(0.01, 0.05))
        return None

    async def _read(self, kind: str, path: str) -> Said | None:
        for node in itertools.islice(self._turns(), 2 * len(self._urls)):
            said = await self._ask(kind, node, "GET", path, None, None)
            if said is not None and said.status == 200:
                return said
        return None

    async def _ask(
        self, kind: str, node: str, method: str, path: str, body: dict[str, Any] | None, key: str | None
    ) -> Said | None:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if key is not None:
            headers["Idempotency-Key"] = key
        if method == "GET" and self.sent:
            headers["Deskraft-Min-Index"] = str(self.sent)
        began = time.monotonic()
        self.storm.diary.asked[int(began)] += 1
        up = self.storm.up(node)
        said: Said | None = None
        try:
            async with self._session.request(
                method,
                self._urls[node] + path,
                json=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=ATTEMPT_SECONDS + 0.5),
            ) as answer:
                document = await answer.json(content_type=None)
                said = Said(
                    answer.status,
                    int(answer.headers.get("Deskraft-Index", "0")),
                    document,
                )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            pass  # no answer is an answer that counts against availability
        code = "" if said is None else said.code
        if said is not None and said.status >= 500 and code not in ("unavailable", "outcome-unknown"):
            self.storm.diary.strange.append(f"{node} answered {method} {path} with {said.status} {said.body}")
        if up and self.storm.up(node):  # who asks a dead node is not told anything, and nobody promised it
            status = 0 if said is None else said.status
            final = said is not None and said.status < 500
            row = Call(began, time.monotonic() - began, kind, node, status, code, final, method == "POST")
            self.storm.diary.calls.append(row)
        return said


class Said(NamedTuple):
    """One answer over HTTP."""

    status: int
    index: int
    body: Any

    @property
    def code(self) -> str:
        """Of a problem."""
        if self.status < 400 or not isinstance(self.body, dict):
            return ""
        return str(self.body.get("type", "")).rpartition(":")[2]


class LibraryPerson(Person):
    """The client library, as a program would use it."""

    def __init__(self, storm: Storm, name: str, urls: dict[str, str]) -> None:
        super().__init__(storm, name)
        self._urls = list(urls.values())
        self._client: Client | None = None

    async def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            await self._client.close()

    async def introduce(self, login: str) -> None:
        self.live.clear()
        await self.close()
        self._client = Client(self._urls, random=self.rng)
        while not self.storm.stopping.is_set():
            try:
                with self._counted("register", write=True):
                    user = await self._client.register(login, PASSWORD, key=f"register {login}")
                with self._counted("log in", write=True):
                    await self._client.login(login, PASSWORD)
            except NoNodeAnswers:
                continue
            except Refused as error:
                if (
                    error.status != 429
                ):  # too much to do is an answer; that nobody of this name is known is not
                    self.storm.diary.strange.append(f"{login} was refused: {error.status} {error.code}")
                await asyncio.sleep(0.2)
                continue
            self.user_id = user.id
            self.storm.diary.passwords[user.id] = login
            return

    @property
    def client(self) -> Client:
        """Once introduced."""
        assert self._client is not None
        return self._client

    @contextmanager
    def _counted(self, kind: str, *, write: bool) -> Iterator[None]:
        began = time.monotonic()
        self.storm.diary.asked[int(began)] += 1
        status, code, final = 200, "", True
        try:
            yield
        except Refused as error:
            status, code = error.status, error.code
            raise
        except DeskraftError as error:
            status, code, final = 0, type(error).__name__, False
            raise
        finally:
            row = Call(began, time.monotonic() - began, kind, "", status, code, final, write)
            self.storm.diary.calls.append(row)

    async def _change(self, kind: str, call: Callable[[str], Any]) -> Made | No | None:
        key = f"{self.name}-{self.rng.getrandbits(64):x}"
        give_up_at = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < give_up_at:
            try:
                with self._counted(kind, write=True):
                    booking: Booking = await call(key)
            except Refused as error:
                if error.status not in (401, 429):
                    return No(error.code, self.client.last_receipt[0])
                await asyncio.sleep(0.05)
            except NoNodeAnswers:
                if self.storm.stopping.is_set():
                    return None
            else:
                return Made(booking.id, 0, 0)  # the library does not tell its place in the log
        return None

    async def book(self, seat: str, moment: datetime) -> Made | No | None:
        return await self._change("book", lambda key: self.client.book(SPACE, seat, moment, key=key))

    async def cancel(self, booking: str) -> Made | No | None:
        return await self._change("cancel", lambda key: self.client.cancel(booking, key=key))

    async def look(self, day: date) -> tuple[int, dict[str, list[int]]] | None:
        try:
            with self._counted("look", write=False):
                seen = await self.client.availability(SPACE, day.isoformat())
        except DeskraftError:
            return None
        taken = {
            seat.id: [slot for slot, state in enumerate(seat.slots) if state in ("taken", "mine")]
            for seat in seen.seats
        }
        return self.client.last_receipt[0], taken

    async def list(self) -> tuple[int, list[Listed]] | None:
        with suppress(DeskraftError), self._counted("list", write=False):
            await self.client.bookings_page(when="upcoming")
        return None  # not judged: pages may come from different moments, which the library does not tell
