"""The ground under every call: which node is asked, who asks, and what has been seen.

`Ground` is what the groups of calls (`browsing`, `bookings`, `membership`, `people`, `premises`) stand on, and `aio.Client` is
all of them together. It keeps three promises for every call, so that none of them has to think of it:

* **once**: a write has an idempotency key that stays the same through all its attempts (`calling.py`);
* **one's own writes are read**: a request asks for at least the highest log index that an answer has reflected, on whichever
  node it lands ("read your writes" and "monotonic reads" of Terry et al., *Session Guarantees*, 1994);
* **logged in**: the access token is renewed before or when it ends, once for all the calls that wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from client.answers import Cluster, Problem, Session, Tokens
from client.calling import ATTEMPT_SECONDS, DEFAULT_DEADLINE_SECONDS, Answer, Call, Caller
from client.errors import BadAnswer, DeskraftError, NoNodeAnswers, Refused, Unauthenticated
from client.servers import Servers, parse_servers

RENEW_BEFORE_SECONDS = 10.0
LEARN_EVERY_SECONDS = 30.0
LEARN_TIMEOUT_SECONDS = 2.0
MEASURE_EVERY_SECONDS = 300.0

T = TypeVar("T")


def new_key() -> str:
    """A fresh idempotency key."""
    return secrets.token_urlsafe(18)


class Ground:
    """What all groups of calls share. See `aio.Client` for the whole."""

    def __init__(
        self,
        servers: Sequence[str] | str,
        *,
        session: Session | None = None,
        on_session: Callable[[Session | None], None] | None = None,
        devices: Mapping[str, str] | None = None,
        deadline_seconds: float = DEFAULT_DEADLINE_SECONDS,
        attempt_seconds: float = ATTEMPT_SECONDS,
        random: Random | None = None,
    ) -> None:
        given = parse_servers(servers if isinstance(servers, str) else ",".join(servers))
        chance = random or Random()  # noqa: S311 - spreads load; keys come from `secrets`
        self._servers = Servers(given, chance)
        self._caller = Caller(self._servers, chance, attempt_seconds)
        self._deadline_seconds = deadline_seconds
        self._session = session
        self._on_session = on_session
        self._devices = dict(devices or {})  # device tokens by login
        if session is not None and session.device_token:
            self._devices[session.login] = session.device_token
        self._renewing = asyncio.Lock()
        self._min_index = 0
        self._last_receipt = (0, "")
        self._learn_at = 0.0
        self._measure_at = 0.0
        self._learning: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections. The session stays valid; `logout` ends it."""
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.gather(self._learning, return_exceptions=True)
        await self._caller.close()

    @property
    def servers(self) -> tuple[str, ...]:
        """Base URLs of every server known."""
        return self._servers.urls

    @property
    def session(self) -> Session | None:
        """The log-in, or None."""
        return self._session

    @property
    def min_index(self) -> int:
        """The highest log index that an answer has reflected."""
        return self._min_index

    @property
    def last_receipt(self) -> tuple[int, str]:
        """Index and digest of the last answer: proof of what the cluster had done by then. "" when the node did not say."""
        return self._last_receipt

    async def cluster_as_seen_by(
        self, server: str, timeout_seconds: float = LEARN_TIMEOUT_SECONDS
    ) -> Cluster:
        """The cluster as one given server sees it. Raises NoNodeAnswers when that one does not answer."""
        return self._learned(
            await self._caller.ask_one(server, Call("GET", "/api/v1/cluster"), timeout_seconds)
        )

    def _learned(self, answer: Answer) -> Cluster:
        cluster = decoded(answer, Cluster)
        members = {member.id: member.api for member in cluster.members}
        # Who knows no leader may have been cut off for long: it may add to what we know, and take nothing away.
        self._servers.learn(answer.server, members, forget=cluster.leader_id is not None)
        self._learn_at = time.monotonic() + LEARN_EVERY_SECONDS
        return cluster

    def _learn_soon(self, server: str) -> None:
        """Look around from `server`, which has just answered; beside the call, never in its way.

        Only calls bring this about: a client that is not used sends nothing.
        """
        if time.monotonic() < self._learn_at or (self._learning is not None and not self._learning.done()):
            return
        self._learn_at = time.monotonic() + LEARN_EVERY_SECONDS
        self._learning = asyncio.create_task(self._look_around(server))

    async def _look_around(self, server: str) -> None:
        """Who is there, by one question; and how far everybody is, when that is not known or may have changed."""
        known = self._servers.urls
        try:
            self._learned(await self._caller.visit(server, LEARN_TIMEOUT_SECONDS))
        except DeskraftError:
            self._learn_at = 0.0  # nothing is lost but time: the next answer brings the next chance
            return
        now = time.monotonic()
        if self._servers.urls != known or self._servers.undecided or now >= self._measure_at:
            self._measure_at = now + MEASURE_EVERY_SECONDS
            await asyncio.gather(*(self._measure(url) for url in self._servers.urls))
            self._servers.settle()

    async def _measure(self, url: str) -> None:
        """Two visits: the first may have to open a connection, so that the second is the way alone."""
        with contextlib.suppress(DeskraftError):  # it has been put aside for that already
            for _ in range(2):
                await self._caller.visit(url, LEARN_TIMEOUT_SECONDS)

    # --- how every call is made ------------------------------------------------------------------------

    async def _read(
        self, path: str, kind: type[T], query: dict[str, Any] | None = None, *, signed: bool = False
    ) -> T:
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        return decoded(await self._decided(Call("GET", path, given), signed), kind)

    async def _write(
        self, path: str, body: object, kind: type[T], *, signed: bool, key: str | None = None
    ) -> T:
        return decoded(await self._done(path, body, key or new_key(), signed=signed), kind)

    async def send(
        self,
        method: str,
        path: str,
        body: object,
        kind: type[T],
        *,
        query: dict[str, str] | None = None,
        if_match: str = "",
        key: str | None = None,
    ) -> T:
        """One signed call by any method: the ground of groups of calls such as `premises`. A body of None is none."""
        encoded = None if body is None else msgspec.json.encode(body)
        call = Call(
            method, path, query or {}, encoded, None if method == "GET" else key or new_key(), if_match=if_match
        )  # fmt: skip
        return decoded(await self._decided(call, signed=True), kind)

    async def tell(self, method: str, path: str, body: object, *, key: str | None = None) -> None:
        """Like `send`, when the answer has no body."""
        encoded = None if body is None else msgspec.json.encode(body)
        await self._decided(Call(method, path, body=encoded, key=key or new_key()), signed=True)

    def forget_session(self) -> None:
        """The session has ended: keep it no longer."""
        self._forget()

    async def _done(self, path: str, body: object, key: str, *, signed: bool) -> Answer:
        encoded = None if body is None else msgspec.json.encode(body)
        return await self._decided(Call("POST", path, body=encoded, key=key), signed)

    async def _decided(self, call: Call, signed: bool) -> Answer:
        """The cluster's answer; a token that has ended is renewed once. Raises what `errors.py` lists.

        All that it takes, renewing included, is bounded by the one deadline.
        """
        gives_up_at = self._gives_up_at()
        if not signed:
            return self._accepted(await self._sent(call, gives_up_at))
        session = await self._live_session(gives_up_at)
        answer = await self._sent(msgspec.structs.replace(call, token=session.access_token), gives_up_at)
        if answer.status == 401:
            session = await self._renew(session, gives_up_at)
            answer = await self._sent(msgspec.structs.replace(call, token=session.access_token), gives_up_at)
        return self._accepted(answer)

    def _gives_up_at(self) -> float:
        return time.monotonic() + self._deadline_seconds

    async def _sent(self, call: Call, gives_up_at: float) -> Answer:
        call = msgspec.structs.replace(call, min_index=self._min_index)
        return await self._caller.call(call, gives_up_at - time.monotonic())

    def _accepted(self, answer: Answer) -> Answer:
        self._min_index = max(self._min_index, answer.index)
        self._last_receipt = (answer.index, answer.digest)
        self._learn_soon(answer.server)
        if 200 <= answer.status < 300:
            return answer
        if answer.status == 401:
            raise Unauthenticated(answer.problem())
        if 400 <= answer.status < 500:
            raise Refused(answer.problem(), answer.retry_after_seconds)
        raise BadAnswer(f"{answer.server}: status {answer.status} from something that is no Deskraft node")

    # --- the session -----------------------------------------------------------------------------------

    async def _live_session(self, gives_up_at: float) -> Session:
        session = self._session
        if session is None:
            raise not_logged_in()
        if session.expires_at - RENEW_BEFORE_SECONDS > time.time():
            return session
        return await self._renew(session, gives_up_at)

    async def _renew(self, stale: Session, gives_up_at: float) -> Session:
        """Exchange the refresh token, once for all that wait: who comes second finds the work done."""
        try:
            await asyncio.wait_for(self._renewing.acquire(), gives_up_at - time.monotonic())
        except TimeoutError:
            raise NoNodeAnswers({}, "the session could not be renewed in time") from None
        try:
            session = self._session
            if session is None:
                raise not_logged_in()
            if session.access_token != stale.access_token:
                return session
            body = msgspec.json.encode({"refresh_token": session.refresh_token})
            call = Call("POST", "/api/v1/auth/refresh", body=body, key=session.refresh_key)
            try:
                tokens = decoded(self._accepted(await self._sent(call, gives_up_at)), Tokens)
            except Unauthenticated:
                self._forget()
                raise
            return self._keep(session.login, tokens)
        finally:
            self._renewing.release()

    def _keep(self, login: str, tokens: Tokens) -> Session:
        expires_at = time.time() + tokens.expires_in
        if tokens.device_token:  # a refresh brings none: the device is the one that it was
            self._devices[login] = tokens.device_token
        device_token = self._devices.get(login, "")
        session = Session(
            login, tokens.access_token, expires_at, tokens.refresh_token, new_key(), device_token
        )
        self._session = session
        if self._on_session is not None:
            self._on_session(session)
        return session

    def _forget(self) -> None:
        self._session = None
        if self._on_session is not None:
            self._on_session(None)


def not_logged_in() -> Unauthenticated:
    return Unauthenticated(Problem(status=401, title="not logged in", detail="not logged in"))


def decoded(answer: Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.DecodeError as error:
        raise BadAnswer(f"{answer.server}: not an answer of a Deskraft node: {error}") from error
