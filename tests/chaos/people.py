"""People under the storm: what they want, at what pace, and all that they saw. How they speak is in `tests.chaos.speaking`.

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
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from tests.checking.history import Answer, Ask, Book, Cancel, Listed, Operation, ReadSeat, ReadUser

SPACE = "storm"
SEATS = ("S1", "S2", "S3", "S4")
HOURS = 24
CELL_SECONDS = 300
SLOT_CELLS = 12
FIRST_DAY = date(2027, 1, 4)
DAY_SECONDS = 15.0  # after so long people want another day
OPERATIONS_PER_PERSON = 400  # then somebody new comes
BEHIND_SECONDS = 1.0  # so much of the pace is made up for, no more: an outage is not followed by a flood
ATTEMPT_SECONDS = 2.5  # every request is answered within that
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
