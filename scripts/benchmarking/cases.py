"""What the cases over HTTP send.

Places are disjoint: `hq` (20 seats, 08-22 in Moscow, half of a week taken) is looked at, `arena` (20 seats around the clock) is fought
over, and the halls (10 spaces of 40 seats around the clock) are booked, each slot once. So no case spoils another.

Every write carries an Idempotency-Key, as the client library's do.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from scripts.benchmarking.load import Request
from scripts.benchmarking.people import INSTANT_FORMAT, USERS, Ledger, Slot, User, compose

RIVALS = 20  # requests for each slot of `contend`
HQ_DAYS = 7
HQ_SEATS = 20
HQ_HOURS = range(5, 19)  # 08-22 in Moscow, told in UTC
HALLS = 10
HALL_SEATS = 40
WRITE_SHARE = 0.1
HISTORY_SHARE = 0.3  # of the reads
CANCEL_SHARE = 0.2  # of the writes
SEED = 1  # the same mix every time

_OK = frozenset({200})
_CREATED = frozenset({201})
_CREATED_OR_TAKEN = frozenset({201, 409})
_ID_AT = 7  # {"id":"…
_ID_END = _ID_AT + 36


def _space(space_id: str, seats: int, opens: str, closes: str) -> dict[str, Any]:
    return {
        "id": space_id,
        "name": f"Коворкинг {space_id}",
        "timezone": "Europe/Moscow",
        "opens": opens,
        "closes": closes,
        "slot_minutes": 60,
        "seats": [f"S{number:02}" for number in range(1, seats + 1)],
    }


HALL_SPACES = [_space(f"hall{number}", HALL_SEATS, "00:00", "24:00") for number in range(HALLS)]
SPACES = [
    _space("hq", HQ_SEATS, "08:00", "22:00"),
    _space("arena", HQ_SEATS, "00:00", "24:00"),
    *HALL_SPACES,
]


def slots_of(space_ids: list[str], seats: int, hours: range, first_day: datetime) -> Iterator[Slot]:
    """Slots without end, hour by hour."""
    for day in count():
        for hour in hours:
            begins = (first_day + timedelta(days=day, hours=hour)).strftime(INSTANT_FORMAT)
            for number in range(1, seats + 1):
                for space_id in space_ids:
                    yield space_id, f"S{number:02}", begins


class World:
    """What the cases share: who is there, what is free, what has been confirmed."""

    def __init__(self, users: list[User]) -> None:
        self.users = users
        self.ledger = Ledger()
        self._keys = count(1)
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self.first_day = today + timedelta(days=2)  # two days on, it has begun in no zone and is open in all
        self.hall_slots = slots_of([f"hall{n}" for n in range(HALLS)], HALL_SEATS, range(24), self.first_day)
        self.arena_slots = slots_of(["arena"], HQ_SEATS, range(24), self.first_day)
        self.hq_dates = [(self.first_day + timedelta(days=n)).date().isoformat() for n in range(HQ_DAYS)]

    def post(self, user: int, path: str, body: bytes) -> bytes:
        """The bytes of a write under a key of its own."""
        header = self.users[user].header + b"Idempotency-Key: bench-%d\r\n" % next(self._keys)
        return compose("POST", path, body, header)

    def booking(self, user: int, slot: Slot, expected: frozenset[int] = _CREATED) -> Request:
        """A request for a slot."""
        body = '{{"space_id":"{}","seat_id":"{}","starts_at":"{}"}}'.format(*slot)
        return Request(self.post(user, "/api/v1/bookings", body.encode()), expected, slot)

    def page(self, user: int, number: int) -> Request:
        """A request for a day of `hq`."""
        path = f"/api/v1/spaces/hq/availability?date={self.hq_dates[number % HQ_DAYS]}"
        return Request(compose("GET", path, b"", self.users[user].header), _OK, b'{"space_id":"hq"')

    def history(self, user: int) -> Request:
        """A request for the newest bookings of a user."""
        return Request(compose("GET", "/history", b"", self.users[user].header), _OK, b'{"items":[')


def booking_id(body: bytes) -> str | None:
    """The id in an answer that holds a booking."""
    return body[_ID_AT:_ID_END].decode() if body.startswith(b'{"id":"') else None


class Case:
    """A script; `check` is asked once it is over."""

    may_fail = False

    def __init__(self, world: World) -> None:
        self.world = world

    def next(self, user: int) -> Request:
        """See `load.Script`."""
        raise NotImplementedError

    def done(self, user: int, request: Request, status: int, body: bytes) -> str | None:
        """A page must begin as it should; a booking is entered into the ledger."""
        if isinstance(request.tag, bytes):
            return None if body.startswith(request.tag) else f"not the page asked for: {body[:200]!r}"
        return self._booked(user, request, body)

    def _booked(self, user: int, request: Request, body: bytes) -> str | None:
        assert isinstance(request.tag, tuple)
        new_id = booking_id(body)
        return (
            self.world.ledger.booked(user, request.tag, new_id) if new_id else f"no booking: {body[:200]!r}"
        )

    def check(self) -> list[str]:
        """What is wrong with the whole."""
        return []


class Availability(Case):
    """Days of `hq`, one after the other."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._requests = [[world.page(user, number) for number in range(HQ_DAYS)] for user in range(USERS)]
        self._number = 0

    def next(self, user: int) -> Request:
        """The next day."""
        self._number += 1
        return self._requests[user][self._number % HQ_DAYS]


class History(Case):
    """The newest page of the user's bookings."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._requests = [world.history(user) for user in range(USERS)]

    def next(self, user: int) -> Request:
        """The same again."""
        return self._requests[user]


class Prepare(Case):
    """Every other slot of `hq`, for a week."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        slots = slots_of(["hq"], HQ_SEATS, HQ_HOURS, world.first_day)
        self.slots = [next(slots) for _ in range(HQ_SEATS * len(HQ_HOURS) * HQ_DAYS)][::2]


class Book(Case):
    """A free slot every time."""

    def next(self, user: int) -> Request:
        """The next free slot."""
        return self.world.booking(user, next(self.world.hall_slots))


class Contend(Case):
    """RIVALS requests in a row, of as many users, for each slot."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._slot: Slot | None = None
        self._asked = 0
        self._open: dict[Slot, int] = {}  # requests for it that are not answered

    def next(self, user: int) -> Request:
        """The slot of the moment."""
        if self._asked % RIVALS == 0 or self._slot is None:
            self._slot = next(self.world.arena_slots)
            self._open[self._slot] = 0
        self._asked += 1
        self._open[self._slot] += 1
        return self.world.booking(user, self._slot, _CREATED_OR_TAKEN)

    def done(self, user: int, request: Request, status: int, body: bytes) -> str | None:
        """One 201; the others are 409 and are offered something else."""
        assert isinstance(request.tag, tuple)
        self._open[request.tag] -= 1
        if status == 201:
            return self._booked(user, request, body)
        return None if b'"alternatives":[{' in body else f"409 without alternatives: {body[:200]!r}"

    def check(self) -> list[str]:
        """Every slot that was fought over has a winner, and nobody waits any more."""
        wrong = [f"{slot}: {left} requests without an answer" for slot, left in self._open.items() if left]
        return wrong + [f"nobody got {slot}" for slot in self._open if self.world.ledger.winner(slot) is None]


class Mix(Case):
    """Reads, and some bookings and cancellations."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._random = random.Random(SEED)  # noqa: S311 - a mix, no secret
        self._pages, self._histories = Availability(world), History(world)
        self._own: list[list[str]] = [[] for _ in range(USERS)]  # made here, not cancelled

    def next(self, user: int) -> Request:
        """One of all kinds."""
        chance = self._random.random()
        if chance >= WRITE_SHARE:
            reads = self._histories if self._random.random() < HISTORY_SHARE else self._pages
            return reads.next(user)
        if self._own[user] and chance < WRITE_SHARE * CANCEL_SHARE:
            chosen = self._own[user].pop()
            path = f"/api/v1/bookings/{chosen}/cancel"
            return Request(self.world.post(user, path, b""), _OK, chosen)
        return self.world.booking(user, next(self.world.hall_slots))

    def done(self, user: int, request: Request, status: int, body: bytes) -> str | None:
        """Also enters what was booked and cancelled."""
        tag = request.tag
        if isinstance(tag, bytes):
            return None if body.startswith(tag) else f"not the page asked for: {body[:200]!r}"
        if isinstance(tag, str):
            self.world.ledger.cancelled.add(tag)
            return None if b'"status":"cancelled"' in body else f"not cancelled: {body[:200]!r}"
        wrong = self._booked(user, request, body)
        self._own[user].append(body[_ID_AT:_ID_END].decode())
        return wrong


class Failure(Mix):
    """The same while a node is down."""

    may_fail = True


class Constant(Case):
    """Requests of a kind to the servers that answer a constant: nothing is expected of the body."""

    def __init__(self, world: World, kind: str) -> None:
        super().__init__(world)
        self._requests = [
            world.page(user, 0)._replace(tag=None)
            if kind == "read"
            else Request(world.booking(user, ("hall0", "S01", "2030-01-01T00:00:00Z")).data, _OK, None)
            for user in range(USERS)
        ]

    def next(self, user: int) -> Request:
        """The same again."""
        return self._requests[user]

    def done(self, user: int, request: Request, status: int, body: bytes) -> str | None:
        """Nothing to judge."""
        return None


CASES: dict[str, type[Case]] = {
    "availability": Availability,
    "history": History,
    "book": Book,
    "contend": Contend,
    "mix": Mix,
    "failure": Failure,
}
