"""The load: keep-alive connections that each send a request, wait for its answer, and send the next.

It shares the machine with what it measures, so it does no more than it must: requests are bytes made by hand, an answer is parsed
for its status, its length and its body. What a case does with an answer is the case's own.

A request whose connection breaks, or that is answered "not now" (429, 503) where the case allows that, is sent again to the
next node under the same idempotency key, as the client library does. Its latency runs from the first attempt to the answer.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, cast

CONNECT_SECONDS = 1.0
PAUSE_SECONDS = 0.02  # before a request is sent again
ANSWER_SECONDS = 4.0  # every request is promised an answer within 2.5 s; an attempt without one is given up
GIVE_UP_SECONDS = 15.0  # of a request with all its attempts
MAX_VIOLATIONS = 20
NOT_NOW = frozenset({429, 503})


class Request(NamedTuple):
    """One request. `tag` is whatever the case wants to be handed back."""

    data: bytes
    expected: frozenset[int]
    tag: object


class Script(Protocol):
    """What a case sends, and what it makes of the answers."""

    may_fail: bool  # whether connections may break and nodes may say "not now"

    def next(self, user: int) -> Request:
        """The next request of a user."""
        ...

    def done(self, user: int, request: Request, status: int, body: bytes) -> str | None:
        """An answer with an expected status; what is wrong with it, if anything."""
        ...


@dataclass
class Tally:
    """What came of a load."""

    seconds: float = 0.0
    answered: int = 0  # within `seconds`
    latencies: array[float] = field(default_factory=lambda: array("d"))
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)  # attempts that were made again
    failed: int = 0  # requests that were given up
    violations: list[str] = field(default_factory=list)
    own_cpu_seconds: float = 0.0

    def violate(self, text: str) -> None:
        """Note a violation; the first MAX_VIOLATIONS are enough."""
        if len(self.violations) < MAX_VIOLATIONS:
            self.violations.append(text)


class Load:
    """Users 0 to `users` - 1, each with a connection; user i lives on target i modulo the targets."""

    def __init__(self, targets: list[tuple[str, int]], users: int, script: Script) -> None:
        self.targets = targets
        self.script = script
        self.tally = Tally()
        self.away: set[int] = set()  # targets that are known to be down: nobody goes home to them
        self.ending = False
        self._idle = asyncio.Event()
        self._busy = users
        self.connections = [_Connection(self, user) for user in range(users)]

    async def run(self, warm_up_seconds: float, seconds: float) -> Tally:
        """Load the targets; the tally of what came after the warm-up."""
        for connection in self.connections:
            connection.connect()
        watch = asyncio.create_task(self._watch())
        await asyncio.sleep(warm_up_seconds)
        tally = self.tally = Tally(violations=self.tally.violations)  # a violation counts whenever it comes
        began, own = time.perf_counter(), time.process_time()
        self.on_measuring()
        await asyncio.sleep(seconds)
        self.on_measured()
        tally.seconds = time.perf_counter() - began
        tally.own_cpu_seconds = time.process_time() - own
        tally.answered = len(tally.latencies)
        self.ending = True
        try:
            async with asyncio.timeout(GIVE_UP_SECONDS + 2 * ANSWER_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            for connection in self.connections:
                if not connection.resting:
                    tally.violate(f"never finished: {connection}")
        watch.cancel()
        for connection in self.connections:
            connection.close()
        return tally

    def on_measuring(self) -> None:
        """The warm-up is over. Replaced by whoever wants to look at clocks then."""

    def on_measured(self) -> None:
        """The time is over; requests under way are still waited for."""

    def rest(self) -> None:
        """A connection has nothing more to do."""
        self._busy -= 1
        if not self._busy:
            self._idle.set()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            now = time.perf_counter()
            for connection in self.connections:
                connection.look(now)


class _Link(asyncio.Protocol):
    """One TCP connection of a user. It speaks for the user only while it is the newest."""

    def __init__(self, owner: _Connection) -> None:
        self._owner = owner
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        if self._owner.link is self:
            self._owner.connected(self.transport)
        else:
            self.transport.abort()  # it came after it had been given up

    def data_received(self, data: bytes) -> None:
        if self._owner.link is self:
            self._owner.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._owner.link is self:
            self._owner.lost()


class _Connection:
    """One user's connection, over all the times that it is made anew."""

    def __init__(self, load: Load, user: int) -> None:
        self._load = load
        self._user = user
        self._home = self._target = user % len(load.targets)
        self.link: _Link | None = None
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._buffer = b""
        self._request: Request | None = None
        self._began = 0.0
        self._sent = 0.0
        self._moving = False
        self.resting = False

    def __str__(self) -> str:
        asked = self._request.data[:60] if self._request else b"nothing"
        joined = "connected" if self._transport else "not connected"
        return f"user {self._user}, target {self._target}, {joined}, asked {asked!r}"

    # Connecting.

    def connect(self) -> None:
        """Connect, and send what is to be sent."""
        self._task = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            host, port = self._load.targets[self._target]
            link = self.link = _Link(self)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await loop.create_connection(lambda link=link: link, host, port)  # type: ignore[misc]
            except (OSError, TimeoutError):
                if self.link is not link or link.transport is not None:
                    return  # it was connected and lost again, which has been dealt with
                if not self._fail("connection refused"):
                    return
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return

    def connected(self, transport: asyncio.Transport) -> None:
        """Send what is to be sent."""
        self._transport = transport
        self._buffer = b""
        if self._request is None:
            self._begin()
        else:
            self._send()

    def lost(self) -> None:
        """Go on elsewhere, or where the next request belongs."""
        self.link = self._transport = None
        moving, self._moving = self._moving, False
        if self.resting:
            return
        if self._request is None or moving or self._fail("connection lost"):
            self.connect()

    def close(self) -> None:
        """Done with."""
        self.resting = True
        if self._task is not None:
            self._task.cancel()
        if self._transport is not None:
            self._transport.abort()

    # Asking and answering.

    def _begin(self) -> None:
        if self._load.ending:
            self._rest()
            return
        if self._target != self._home and self._home not in self._load.away:
            self._target = self._home
            assert self._transport is not None
            self._transport.abort()  # `lost` connects anew
            return
        self._request = self._load.script.next(self._user)
        self._began = time.perf_counter()
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        assert self._request is not None
        self._sent = time.perf_counter()
        self._transport.write(self._request.data)

    def received(self, data: bytes) -> None:
        """A piece of an answer."""
        if self._buffer:
            data = self._buffer + data
        head = data.find(b"\r\n\r\n")
        length_at = data.find(b"ontent-Length: ", 0, head) if head > 0 else -1
        if length_at < 0:
            if head > 0:
                self._load.tally.violate(f"an answer without a length: {data[:200]!r}")
            self._buffer = data
            return
        end = head + 4 + int(data[length_at + 15 : data.find(b"\r", length_at)])
        if len(data) < end:
            self._buffer = data
            return
        self._buffer = b""
        self._answered(int(data[9:12]), data[head + 4 : end], data.find(b"onnection: close", 0, head) > 0)

    def _answered(self, status: int, body: bytes, closing: bool) -> None:
        load = self._load
        request = self._request
        if request is None:
            load.tally.violate(f"an answer to no request: {status} {body[:200]!r}")
            return
        tally = load.tally
        tally.statuses[status] += 1
        if status in request.expected:
            tally.latencies.append(time.perf_counter() - self._began)
            wrong = load.script.done(self._user, request, status, body)
            if wrong is not None:
                tally.violate(wrong)
        elif status in NOT_NOW and load.script.may_fail:
            if self._fail(f"status {status}") and self._transport is not None:
                self._moving = True
                self._transport.abort()  # `lost` goes on with the same request elsewhere
            return
        else:
            tally.violate(f"status {status}: {request.data[:60]!r} was answered {body[:200]!r}")
        self._request = None
        if closing:
            assert self._transport is not None
            self._transport.close()
        else:
            self._begin()

    def _fail(self, why: str) -> bool:
        """An attempt came to nothing; the next one goes to the next node. False: the request is given up."""
        load = self._load
        load.tally.errors[why] += 1
        if not load.script.may_fail:
            load.tally.violate(f"{why} on a healthy cluster (target {self._target})")
        self._target = (self._target + 1) % len(load.targets)
        if self._request is not None and time.perf_counter() - self._began > GIVE_UP_SECONDS:
            load.tally.failed += 1
            load.tally.violate(f"no answer in {GIVE_UP_SECONDS} s: {self._request.data[:60]!r}, last: {why}")
            self._rest()
            return False
        return True

    def look(self, now: float) -> None:
        """An attempt that is not answered in time is given up."""
        if self._request is not None and self._transport is not None and now - self._sent > ANSWER_SECONDS:
            self._load.tally.violate(f"no answer within {ANSWER_SECONDS} s from target {self._target}")
            self._transport.abort()

    def _rest(self) -> None:
        if not self.resting:
            self.resting = True
            self._load.rest()
