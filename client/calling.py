"""One call, carried across failures: the heart of the client, without any knowledge of bookings.

A call is tried on one node after the other until one answers or its deadline passes. That is safe because
every write carries an `Idempotency-Key` that stays the same through all its attempts: the cluster does it
once and gives every attempt the same answer. What an attempt can end in:

* an answer below 500 other than 429: the cluster has decided, return it;
* no connection: nothing was sent, try the next node at once;
* silence, a cut connection, 5xx: perhaps done, perhaps not; try the next node with the same key;
* 429: wait as long as `Retry-After` says, or give it back when that is beyond the deadline.

When every node has been tried once, a short random pause that doubles each round keeps many clients from
hammering a cluster that is electing a leader.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random
from types import TracebackType

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from client.answers import Problem
from client.errors import BadAnswer, NoNodeAnswers, OutcomeUnknown, Refused
from client.servers import REFUSED_PENALTY_SECONDS, SILENT_PENALTY_SECONDS, Servers

DEFAULT_DEADLINE_SECONDS = 10.0
ATTEMPT_SECONDS = 3.0  # a node answers everything within 2.5 s
CONNECT_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.03
MAX_PAUSE_SECONDS = 0.8
DEFAULT_RETRY_AFTER_SECONDS = 1.0
MIN_ATTEMPT_SECONDS = 0.001
MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_CONNECTIONS = 200
USER_AGENT = "deskraft-client/0.1"

_TRY_ELSEWHERE = frozenset({500, 502, 503, 504})
_problem_decoder = msgspec.json.Decoder(Problem)


class Call(Struct, frozen=True):
    """What to ask. `key` makes a write happen once; a call without one must be harmless to repeat."""

    method: str
    path: str
    query: dict[str, str] = {}
    body: bytes | None = None
    key: str | None = None
    token: str | None = None
    min_index: int = 0
    if_match: str = ""  # the revision that the thing must still have

    def headers(self) -> dict[str, str]:
        """HTTP headers of every attempt."""
        headers = {"Accept": "application/json, application/problem+json", "User-Agent": USER_AGENT}
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        if self.key is not None:
            headers["Idempotency-Key"] = self.key
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        if self.if_match:
            headers["If-Match"] = f'"{self.if_match}"'
        if self.min_index:
            headers["Deskraft-Min-Index"] = str(self.min_index)
        return headers


WHO = Call("GET", "/api/v1/cluster")


class _Name(Struct):
    node_id: str


_name_decoder = msgspec.json.Decoder(_Name)


class Answer(Struct, frozen=True):
    """What a node said. `index` is its Deskraft-Index, 0 when it gave none."""

    server: str
    status: int
    body: bytes
    index: int
    retry_after_seconds: float | None
    digest: str = ""

    def problem(self) -> Problem:
        """The body as a problem; a body that is none becomes one that says so."""
        try:
            problem = _problem_decoder.decode(self.body)
        except msgspec.DecodeError:
            return Problem(status=self.status, title=f"status {self.status} without a problem document")
        return problem if problem.status else msgspec.structs.replace(problem, status=self.status)


class _Course:
    """How far one call has come: what each server said, and whether the write may have been carried out."""

    def __init__(self, call: Call, gives_up_at: float) -> None:
        self.call = call
        self.gives_up_at = gives_up_at
        self.reasons: dict[str, str] = {}
        self.maybe_done = False
        self.overloaded: Refused | None = None

    def perhaps(self) -> None:
        self.maybe_done = self.maybe_done or self.call.key is not None

    def failure(self) -> Exception:
        if self.maybe_done and self.call.key is not None:
            return OutcomeUnknown(self.reasons, self.call.key)
        return self.overloaded or NoNodeAnswers(self.reasons)


class Caller:
    """Sends calls over one pool of connections. Use as an asynchronous context manager, or `close` it."""

    def __init__(self, servers: Servers, random: Random, attempt_seconds: float = ATTEMPT_SECONDS) -> None:
        self.servers = servers
        self._random = random
        self._attempt_seconds = attempt_seconds
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def call(self, call: Call, deadline_seconds: float) -> Answer:
        """The first answer that decides the call.

        Raises NoNodeAnswers or OutcomeUnknown at the deadline, Refused for a 429 that outlasts it.
        """
        course = _Course(call, time.monotonic() + deadline_seconds)
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            someone_spoke = False
            for url in self.servers.healthy(time.monotonic()):
                answer = await self._try(course, url)
                if answer is not None and answer.status < 500 and answer.status != 429:
                    return answer
                someone_spoke = someone_spoke or answer is not None
            if not someone_spoke:
                for url in self.servers.put_aside(time.monotonic()):
                    answer = await self._try(course, url)
                    if answer is not None and answer.status < 500 and answer.status != 429:
                        return answer
                    if answer is not None:
                        break
            await self._pause(course, pause_seconds * self._random.uniform(0.5, 1.5))
            pause_seconds = min(pause_seconds * 2, MAX_PAUSE_SECONDS)

    async def visit(self, url: str, timeout_seconds: float) -> Answer:
        """Ask a server who it is and whom it knows; how long that took tells how far it is.

        A server that was only told of is met by this: no token was sent, and it has to say that it is the member that it
        was told to be. Raises NoNodeAnswers, also when it is somebody else, and puts it aside then.
        """
        begun = time.monotonic()
        answer: Answer | None = None
        name, wrong = "", "is no Deskraft node"
        try:
            answer = await self.ask_one(url, WHO, timeout_seconds)
            name = _name_decoder.decode(answer.body).node_id
        except (NoNodeAnswers, BadAnswer, msgspec.DecodeError) as error:
            wrong = error.reasons[url] if isinstance(error, NoNodeAnswers) else wrong
        if answer is not None and name and self.servers.meet(url, name):
            self.servers.measured(url, (time.monotonic() - begun) * 1000)
            return answer
        self.servers.failed(url, time.monotonic(), REFUSED_PENALTY_SECONDS)
        raise NoNodeAnswers({url: f"is {name}, another member than expected" if name else wrong})

    async def _meet(self, url: str, call: Call, timeout_seconds: float) -> None:
        """A server that was only told of is asked who it is, and nothing else: no token, no password is sent to a stranger."""
        if call.path != WHO.path and url in self.servers.strangers():
            await self.visit(url, timeout_seconds)

    async def ask_one(self, url: str, call: Call, timeout_seconds: float) -> Answer:
        """One attempt on one server, whatever its health. Raises NoNodeAnswers when it says nothing."""
        await self._meet(url, call, timeout_seconds)
        try:
            return await self._send(url, call, timeout_seconds)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoNodeAnswers({url: _reason(error)}) from error

    async def _try(self, course: _Course, url: str) -> Answer | None:
        """One attempt within a course: an answer, or None when the server could not be heard."""
        timeout_seconds = min(self._attempt_seconds, course.gives_up_at - time.monotonic())
        if timeout_seconds <= 0:
            raise course.failure()
        try:
            await self._meet(url, course.call, timeout_seconds)
        except NoNodeAnswers as error:
            course.reasons |= error.reasons
            return None
        timeout_seconds = min(self._attempt_seconds, course.gives_up_at - time.monotonic())
        try:
            answer = await self._send(url, course.call, max(timeout_seconds, MIN_ATTEMPT_SECONDS))
        except aiohttp.ClientConnectorError as error:  # nothing has been sent
            course.reasons[url] = _reason(error)
            self.servers.failed(url, time.monotonic(), REFUSED_PENALTY_SECONDS)
            return None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            course.reasons[url] = _reason(error)
            course.perhaps()
            silent = isinstance(error, TimeoutError)
            penalty_seconds = SILENT_PENALTY_SECONDS if silent else REFUSED_PENALTY_SECONDS
            self.servers.failed(url, time.monotonic(), penalty_seconds)
            return None
        if answer.status in _TRY_ELSEWHERE:
            problem = answer.problem()
            course.reasons[url] = problem.detail or problem.title
            if answer.status != 503 or problem.code == "outcome-unknown":
                course.perhaps()  # every other 503 of a node says that nothing was done
            self.servers.busy(url)
        elif answer.status == 429:
            await self._wait_out(course, answer)
            self.servers.busy(url)
        else:
            self.servers.answered(url)
        return answer

    async def _wait_out(self, course: _Course, answer: Answer) -> None:
        seconds = answer.retry_after_seconds
        seconds = DEFAULT_RETRY_AFTER_SECONDS if seconds is None else seconds
        course.overloaded = Refused(answer.problem(), seconds)
        course.reasons[answer.server] = str(course.overloaded)
        if time.monotonic() + seconds >= course.gives_up_at:
            raise course.failure()
        await asyncio.sleep(seconds * self._random.uniform(1.0, 1.1))

    async def _pause(self, course: _Course, seconds: float) -> None:
        if time.monotonic() + seconds >= course.gives_up_at:
            raise course.failure()
        await asyncio.sleep(seconds)

    async def _send(self, url: str, call: Call, timeout_seconds: float) -> Answer:
        target = URL(url + call.path, encoded=True)
        if call.query:
            target = target.with_query(call.query)
        connect_seconds = min(CONNECT_SECONDS, timeout_seconds)
        async with self._connections().request(
            call.method,
            target,
            data=call.body,
            headers=call.headers(),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=connect_seconds),
        ) as response:
            return Answer(
                server=url,
                status=response.status,
                body=await _bounded_body(response),
                index=_index(response.headers),
                retry_after_seconds=_retry_after(response.headers),
                digest=response.headers.get("Deskraft-Digest", ""),
            )

    async def stream(
        self, url: str, call: Call, write: Callable[[bytes], None], idle_seconds: float
    ) -> Answer:
        """One attempt on one server, whose 200 is given to `write` piece by piece and may take its time.

        Raises NoNodeAnswers when the server says nothing, or no more for `idle_seconds`.
        """
        await self._meet(url, call, CONNECT_SECONDS)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=idle_seconds)
        try:
            async with self._connections().request(
                call.method,
                URL(url + call.path, encoded=True),
                headers=call.headers(),
                allow_redirects=False,
                timeout=timeout,
            ) as response:
                body = b""
                if response.status == 200:
                    async for chunk in response.content.iter_chunked(256 * 1024):
                        write(chunk)
                else:
                    body = await _bounded_body(response)
                return Answer(
                    url, response.status, body, _index(response.headers), _retry_after(response.headers)
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NoNodeAnswers({url: _reason(error)}) from error

    @asynccontextmanager
    async def opened(
        self, url: str, call: Call, idle_seconds: float
    ) -> AsyncIterator[tuple[Answer, aiohttp.StreamReader | None]]:
        """One attempt on one server, whose 200 stays open and is read by the caller; anything else is read here."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=idle_seconds)
        target = URL(url + call.path, encoded=True).with_query(call.query)
        async with self._connections().request(
            call.method, target, headers=call.headers(), allow_redirects=False, timeout=timeout
        ) as response:
            stays = response.status == 200
            body = b"" if stays else await _bounded_body(response)
            headers = response.headers
            answer = Answer(url, response.status, body, _index(headers), _retry_after(headers))
            yield answer, response.content if stays else None

    def _connections(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, limit_per_host=0),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


async def _bounded_body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise BadAnswer(f"{response.url.origin()}: an answer larger than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _index(headers: Mapping[str, str]) -> int:
    text = headers.get("Deskraft-Index", "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of Retry-After; its other form, a date, is not used by Deskraft and counts as absent."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _reason(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno  # its own text would name the address again
        return f"no connection ({os.strerror(number) if number else error.os_error})"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"connection lost ({type(error).__name__})"
