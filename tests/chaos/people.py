"""Clients under the storm, and all that they saw.

Half of them are programs that speak **raw** HTTP: one request to one node, and what comes is what counts for availability. The outcome
of a write that was not told is asked for with the same key on other nodes, as docs/api.md tells clients to. The other half use
the client **library**, with all nodes known and its own deadline: what it raises is a failure that a person would have seen.

Every operation becomes an `Operation` of `tests.checking.history`, which judges know nothing but; a row of `Call` is one
HTTP request or one call of the library, for the picture and for availability. Seats are contended: few of them, on a day that moves on every
few seconds, so that no part of the history grows beyond what a search can decide; people are new every few hundred operations for the same reason.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import aiohttp

from client.aio import Client
from client.answers import Booking
from client.errors import DeskraftError, NoNodeAnswers, Refused
from tests.checking.history import Answer, Ask, Book, Cancel, Listed, Operation, ReadSeat, ReadUser
from tests.integration.raw import PASSWORD

SPACE = "storm"
SEATS = ("S1", "S2", "S3", "S4")
HOURS = 24
CELL_SECONDS = 300
SLOT_CELLS = 12
FIRST_DAY = date(2027, 1, 4)
DAY_SECONDS = 15.0  # after so long people want another day
OPERATIONS_PER_PERSON = 400  # then somebody new comes
BEHIND_SECONDS = 1.0  # so much of the pace is made up for, no more: an outage is not followed by a flood
SENDS_FLOOR = 0.25  # of the raw reads; linearizable reads need none, and it would hide a stale one
ATTEMPT_SECONDS = 2.5  # every request is answered within that
SETTLE_SECONDS = 20.0
STAMP_AHEAD_SECONDS = 3.0  # what estimates of other members' clocks may be wrong by, and more
SPACE_RULES: dict[str, Any] = {
    "id": SPACE,
    "name": "Storm",
    "timezone": "UTC",
    "opens": "00:00",
    "closes": "24:00",
    "slot_minutes": 60,
    "seats": list(SEATS),
}


class Call(NamedTuple):
    """One request, or one call of the library. `node` is "" for the library; `status` is 0 when there was no answer."""

    began: float
    seconds: float
    kind: str
    node: str
    status: int
    code: str
    final: bool  # whether it was told what became of it
    write: bool


@dataclass
class Diary:
    """Everything that was seen. Times are seconds of the monotonic clock of this process."""

    operations: list[Operation] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    asked: Counter[int] = field(
        default_factory=Counter
    )  # second -> requests, those to nodes that are down too
    passwords: dict[str, str] = field(default_factory=dict)  # user id -> login
    keys: list[tuple[str, str, str, dict[str, Any], str]] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)  # answers that no document allows

    def begin(self, process: str, ask: Ask, floor: int = 0) -> int:
        """An operation is asked; its number."""
        number = len(self.operations)
        self.operations.append(Operation(number, process, time.monotonic(), math.inf, ask, None, floor=floor))
        return number

    def told(
        self, number: int, answer: Answer, index: int, position: int = 0, ask: Ask | None = None
    ) -> None:
        """It has been answered."""
        operation = self.operations[number]
        self.operations[number] = replace(
            operation,
            ask=operation.ask if ask is None else ask,
            returned=time.monotonic(),
            answer=answer,
            index=index,
            position=position,
        )


def cell_of(moment: datetime) -> int:
    """Five-minute cells since 1970."""
    return int(moment.timestamp()) // CELL_SECONDS


def seat_name(seat: str, day: date) -> str:
    """Seats are judged day by day: bookings of this load do not cross midnight."""
    return f"{seat}@{day.isoformat()}"


class Storm:
    """What all people share: the seats that they want now, and when to stop."""

    def __init__(self, diary: Diary, seed: int, pause_seconds: float) -> None:
        self.diary = diary
        self.seed = seed
        self.pause_seconds = pause_seconds
        self.began = time.monotonic()
        self.stopping = asyncio.Event()
        self.up: Callable[[str], bool] = lambda _node: True

    def day(self) -> date:
        """The day that people want now."""
        return FIRST_DAY + timedelta(days=int((time.monotonic() - self.began) / DAY_SECONDS))


class Person:
    """One client at work. Subclasses say how it speaks."""

    def __init__(self, storm: Storm, name: str) -> None:
        self.storm = storm
        self.name = name
        self.rng = random.Random(f"{storm.seed} {name}")
        self.floor = 0  # the newest index that an answer has shown
        self.sent = 0  # what goes along with the read under way
        self.user_id = ""
        self.live: dict[str, tuple[str, date]] = {}  # booking -> seat and day
        self._serial = itertools.count(1)

    async def work(self) -> None:
        """Ask until the storm is over, at a pace that slow answers do not lower: what was not asked in time is asked soon after."""
        due = time.monotonic()
        while not self.storm.stopping.is_set():
            await self.introduce(f"{self.name}-{next(self._serial)}")
            for _ in range(OPERATIONS_PER_PERSON):
                if self.storm.stopping.is_set():
                    break
                await self._one()
                due = max(
                    due, time.monotonic() - BEHIND_SECONDS
                ) + self.storm.pause_seconds * self.rng.uniform(0.5, 1.5)
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _one(self) -> None:
        dice = self.rng.random()
        day = self.storm.day()
        if dice < 0.35 or (dice < 0.55 and not self.live):
            seat, hour = self.rng.choice(SEATS), self.rng.randrange(HOURS)
            await self._book(seat, day, hour)
        elif dice < 0.55:
            await self._cancel(self.rng.choice(sorted(self.live)))
        elif dice < 0.85:
            await self._look(day)
        else:
            await self._list()

    async def _book(self, seat: str, day: date, hour: int) -> None:
        moment = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
        start = cell_of(moment)
        ask = Book(self.user_id, seat_name(seat, day), start, start + SLOT_CELLS)
        number = self.storm.diary.begin(self.name, ask)
        ended = await self.book(seat, moment)
        if isinstance(ended, Made):
            self.live[ended.booking] = seat, day
            self._told(number, "ok", ended.index, ended.position, ask._replace(booking=ended.booking))
        elif ended is not None:
            self._told(number, ended.code, ended.index)

    async def _cancel(self, booking: str) -> None:
        seat, day = self.live.pop(booking)
        number = self.storm.diary.begin(self.name, Cancel(self.user_id, seat_name(seat, day), booking))
        ended = await self.cancel(booking)
        if isinstance(ended, Made):
            self._told(number, "ok", ended.index, ended.position)
        elif ended is not None:
            self._told(number, ended.code, ended.index)

    async def _look(self, day: date) -> None:
        first = cell_of(datetime(day.year, day.month, day.day, tzinfo=UTC))
        diary = self.storm.diary
        self.choose_floor()
        numbers = {
            seat: diary.begin(self.name, ReadSeat(seat_name(seat, day), first, HOURS * SLOT_CELLS), self.sent)
            for seat in SEATS
        }
        seen = await self.look(day)
        if seen is None:
            return
        index, taken = seen
        for seat, number in numbers.items():
            bits = 0
            for slot in taken[seat]:
                bits |= ((1 << SLOT_CELLS) - 1) << (slot * SLOT_CELLS)
            self._told(number, bits, index)

    def choose_floor(self) -> None:
        """What the next read carries along. The library always sends what it has seen, and does not tell."""

    async def _list(self) -> None:
        self.choose_floor()
        number = self.storm.diary.begin(self.name, ReadUser(self.user_id), self.sent)
        seen = await self.list()
        if seen is not None:
            index, lines = seen
            self._told(number, frozenset(lines), index)

    def _told(
        self, number: int, answer: Answer, index: int, position: int = 0, ask: Ask | None = None
    ) -> None:
        self.floor = max(self.floor, index)
        self.storm.diary.told(number, answer, index, position, ask)

    # How it speaks.

    async def introduce(self, login: str) -> None:
        """Register and log in as somebody new."""
        raise NotImplementedError

    async def book(self, seat: str, moment: datetime) -> Made | No | None:
        """None: it is not known what became of it."""
        raise NotImplementedError

    async def cancel(self, booking: str) -> Made | No | None:
        """As above."""
        raise NotImplementedError

    async def look(self, day: date) -> tuple[int, dict[str, list[int]]] | None:
        """The taken slots of each seat, and the index; None: no answer."""
        raise NotImplementedError

    async def list(self) -> tuple[int, list[Listed]] | None:
        """All bookings of this person, and the index."""
        raise NotImplementedError


class Made(NamedTuple):
    """A change."""

    booking: str
    index: int
    position: int


class No(NamedTuple):
    """A refusal that the log decided."""

    code: str
    index: int


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
