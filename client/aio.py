"""The asynchronous client: every call that a person may make, on whichever node answers.

    async with Client(["http://127.0.0.1:8001", "http://127.0.0.1:8002"]) as client:
        await client.login("ada", "a long pass phrase")
        booking = await client.book("hq", "A1", datetime(2026, 12, 1, 10, tzinfo=ZoneInfo("Europe/Moscow")))
        await client.cancel(booking.id)

What it takes care of: it learns the other nodes from the cluster and moves on when one is gone
(`calling.py`); each write gets an idempotency key, so that it happens once however often it is sent; each
request asks for at least the log index of the last answer, so that a client reads its own writes on any
node; the access token is renewed before or when it ends, once for all the calls that wait for it.

Exceptions are those of `errors.py`. One `Client` belongs to one event loop and may be shared by many tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from random import Random
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from client import occupancy as reporting
from client.answers import (
    Availability,
    Basket,
    Booking,
    BookingPage,
    Calendar,
    Changed,
    CheckInRule,
    Cluster,
    GivenUp,
    Leader,
    Planned,
    Problem,
    Receipt,
    SeatHistory,
    Series,
    Session,
    Snapshot,
    Space,
    SpacePage,
    Step,
    Steps,
    Tokens,
    User,
    Waiting,
    Waitings,
    Wish,
)
from client.calling import ATTEMPT_SECONDS, DEFAULT_DEADLINE_SECONDS, Answer, Call, Caller
from client.errors import BadAnswer, DeskraftError, NoNodeAnswers, Refused, Unauthenticated
from client.occupancy import Occupancy
from client.people import People
from client.premises import Premises
from client.servers import Servers, parse_servers

RENEW_BEFORE_SECONDS = 10.0
LEARN_EVERY_SECONDS = 30.0
LEARN_TIMEOUT_SECONDS = 2.0
BACKUP_IDLE_SECONDS = 30.0  # without a byte; the whole may take as long as it takes

T = TypeVar("T")


def new_key() -> str:
    """A fresh idempotency key."""
    return secrets.token_urlsafe(18)


class Client:
    """A person's (or nobody's) view of the cluster. See the module for an example.

    `session` continues an earlier log-in; `on_session` is told of every new one, and of None when it ends,
    so that it can be kept. `deadline_seconds` bounds every call, all its attempts together.
    """

    def __init__(
        self,
        servers: Sequence[str] | str,
        *,
        session: Session | None = None,
        on_session: Callable[[Session | None], None] | None = None,
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
        self._device = (session.login, session.device_token) if session is not None else ("", "")
        self._renewing = asyncio.Lock()
        self._min_index = 0
        self._last_receipt = (0, "")
        self._learn_at = 0.0
        self._learning: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Client:
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

    # --- people ----------------------------------------------------------------------------------------

    async def register(self, login: str, password: str, *, key: str | None = None) -> User:
        """Make a user. Raises Refused: "login-taken", or what is wrong with login or password."""
        body = {"login": login, "password": password}
        return await self._write("/api/v1/auth/register", body, User, key=key, signed=False)

    async def login(self, login: str, password: str, *, key: str | None = None) -> Session:
        """Log in; later calls are made as this user. Raises Unauthenticated when the two do not match."""
        body = {"login": login, "password": password}
        if self._device[0] == login and self._device[1]:
            body["device_token"] = self._device[1]
        tokens = await self._write("/api/v1/auth/login", body, Tokens, key=key, signed=False)
        return self._keep(login, tokens)

    async def refresh(self) -> Session:
        """Renew the tokens now; done by itself when needed.

        Raises Unauthenticated when the session has ended.
        """
        session = self._session
        if session is None:
            raise _not_logged_in()
        return await self._renew(session)

    async def logout(self) -> None:
        """End the session on every node. Harmless when there is none."""
        if self._session is None:
            return
        with contextlib.suppress(Unauthenticated):  # it had ended already, which is what was asked for
            await self._done("/api/v1/auth/logout", None, new_key(), signed=True)
        self._forget()

    async def me(self) -> User:
        """Who is logged in."""
        return await self._read("/api/v1/me", User, signed=True)

    # --- spaces ----------------------------------------------------------------------------------------

    async def spaces(self) -> list[Space]:
        """Every coworking."""
        spaces: list[Space] = []
        cursor: str | None = None
        while True:
            page = await self._read("/api/v1/spaces", SpacePage, {"cursor": cursor})
            spaces += page.items
            if page.next is None:
                return spaces
            cursor = page.next

    async def space(self, space_id: str) -> Space:
        """One coworking. Raises Refused with status 404."""
        return await self._read(f"/api/v1/spaces/{quote(space_id, safe='')}", Space)

    async def availability(self, space_id: str, date: str) -> Availability:
        """The seats of a space on one of its local days, "2026-12-01"; one's own are "mine" when logged in."""
        path = f"/api/v1/spaces/{quote(space_id, safe='')}/availability"
        return await self._read(path, Availability, {"date": date}, signed=self._session is not None)

    async def seat_day(self, space_id: str, seat_id: str, date: str, as_of: int | None = None) -> SeatHistory:
        """When a seat is taken on one of its space's local days, now or as it was at a log index.

        Raises Refused: "forgotten" with status 410, "not-applied-yet".
        """
        path = f"/api/v1/spaces/{quote(space_id, safe='')}/seats/{quote(seat_id, safe='')}/day"
        return await self._read(path, SeatHistory, {"date": date, "as_of": as_of})

    async def occupancy(self, space_id: str | None, first: str, last: str, by: str = "day") -> Occupancy:
        """How much of the open time of seats was taken from one local day through another; for administrators.

        `by` is "day", "hour", "seat", "weekday-hour", or "space", which needs no `space_id`.
        Raises Refused: "report-too-large", "forbidden".
        """
        return await self._read(
            reporting.PATH, Occupancy, reporting.query_of(space_id, first, last, by), signed=True
        )

    async def occupancy_csv(self, space_id: str | None, first: str, last: str, by: str = "day") -> bytes:
        """The same as CSV (RFC 4180) in UTF-8."""
        query = {**reporting.query_of(space_id, first, last, by), "format": "csv"}
        return (await self._decided(Call("GET", reporting.PATH, query), signed=True)).body

    # --- bookings --------------------------------------------------------------------------------------

    async def book(
        self, space_id: str, seat_id: str, starts_at: datetime, slots: int = 1, *, key: str | None = None
    ) -> Booking:
        """Take a seat from an instant (with its offset) for some slots. Raises Refused with alternatives."""
        if starts_at.tzinfo is None:
            raise ValueError("starts_at needs a time zone; for a local time use book_local")
        body = {"space_id": space_id, "seat_id": seat_id, "starts_at": starts_at.isoformat(), "slots": slots}
        return await self._write("/api/v1/bookings", body, Booking, key=key, signed=True)

    async def book_local(
        self,
        seat: str,
        date: str,
        clock: str,
        *,
        space: str | None = None,
        slots: int = 1,
        key: str | None = None,
    ) -> Booking:
        """Take a seat by the space's own date and time, "2026-12-01" and "10:00".

        `space` may be left out when only one has that seat. Raises Refused with alternatives.
        """
        body: dict[str, Any] = {"seat": seat, "date": date, "time": clock, "slots": slots}
        if space is not None:
            body["space"] = space
        return await self._write("/book", body, Booking, key=key, signed=True)

    async def basket(self, wishes: Sequence[Wish], *, key: str | None = None) -> list[Booking]:
        """Take several places, all or none. Raises Refused, whose `problem.items` tell of each wish."""
        body = {"items": wishes}
        return (await self._write("/api/v1/bookings/basket", body, Basket, key=key, signed=True)).items

    async def move(
        self,
        booking_id: str,
        *,
        seat_id: str | None = None,
        starts_at: datetime | None = None,
        date: str | None = None,
        clock: str | None = None,
        slots: int | None = None,
        key: str | None = None,
    ) -> Booking:
        """Give a booking another seat or time; what is left out stays. Refused, it has the old place still."""
        given = {"seat_id": seat_id, "starts_at": starts_at, "date": date, "time": clock, "slots": slots}
        body = {name: value for name, value in given.items() if value is not None}
        return await self._write(f"{_booking_path(booking_id)}/move", body, Booking, key=key, signed=True)

    async def cancel(self, booking_id: str, *, reason: str = "", key: str | None = None) -> Booking:
        """Give a booking back. The same answer when it is cancelled already."""
        body = {"reason": reason} if reason else {}
        return await self._write(f"{_booking_path(booking_id)}/cancel", body, Booking, key=key, signed=True)

    async def plan(self, wish: Wish, rrule: str, *, whole: bool = True, key: str | None = None) -> Planned:
        """Take a place again and again by a rule such as "FREQ=WEEKLY;COUNT=10": all days or none, or what is free."""
        body = {**msgspec.to_builtins(wish), "rrule": rrule, "mode": "all" if whole else "free"}
        return await self._write("/api/v1/series", body, Planned, key=key, signed=True)

    async def series(self, series_id: str) -> Series:
        """A series of one's own. Raises Refused with status 404."""
        return await self._read(f"/api/v1/series/{quote(series_id, safe='')}", Series, signed=True)

    async def cancel_series(
        self, series_id: str, *, from_booking_id: str | None = None, reason: str = "", key: str | None = None
    ) -> GivenUp:
        """Give up what has not begun of a series, or what is left from one of its bookings on."""
        given = {"from_booking_id": from_booking_id, "reason": reason}
        body = {name: value for name, value in given.items() if value}
        path = f"/api/v1/series/{quote(series_id, safe='')}/cancel"
        return await self._write(path, body, GivenUp, key=key, signed=True)

    async def wait_for(
        self,
        space_id: str,
        seat_id: str | None = None,
        *,
        starts_at: datetime | None = None,
        date: str | None = None,
        clock: str | None = None,
        slots: int = 1,
        key: str | None = None,
    ) -> Waiting:
        """Wait for a place, of any seat without `seat_id`; it is booked at once when it is free."""
        given = {"seat_id": seat_id, "starts_at": starts_at, "date": date, "time": clock}
        body: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        body |= {"space_id": space_id, "slots": slots}
        return await self._write("/api/v1/waitlist", body, Waiting, key=key, signed=True)

    async def waitings(self) -> list[Waiting]:
        """What one waits for, and what one got by waiting until it begins."""
        return (await self._read("/api/v1/waitlist", Waitings, signed=True)).items

    async def leave_waitlist(self, waiting_id: str, *, key: str | None = None) -> None:
        """Wait no longer. Raises Refused with status 404 when one does not."""
        path = f"/api/v1/waitlist/{quote(waiting_id, safe='')}/leave"
        await self._done(path, None, key or new_key(), signed=True)

    async def check_in(self, booking_id: str, *, key: str | None = None) -> Booking:
        """Say that one is there. Harmless where nobody has to, and when repeated."""
        return await self._write(f"{_booking_path(booking_id)}/checkin", {}, Booking, key=key, signed=True)

    async def set_grace(self, space_id: str, minutes: int, *, key: str | None = None) -> CheckInRule:
        """How long the seat of somebody who has not checked in is kept; 0: nobody has to. For administrators."""
        path = f"/api/v1/admin/spaces/{quote(space_id, safe='')}/checkin"
        return await self._write(path, {"grace_minutes": minutes}, CheckInRule, key=key, signed=True)

    async def steps(self, booking_id: str) -> list[Step]:
        """What has become of a booking, oldest first."""
        return (await self._read(f"{_booking_path(booking_id)}/history", Steps, signed=True)).items

    async def booking(self, booking_id: str) -> Booking:
        """One booking of one's own. Raises Refused with status 404."""
        return await self._read(_booking_path(booking_id), Booking, signed=True)

    async def bookings_page(
        self,
        *,
        when: str | None = None,
        status: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> BookingPage:
        """One page of one's bookings; `when` is "upcoming" or "past"."""
        query = {"when": when, "status": status, "limit": limit, "cursor": cursor}
        return await self._read("/api/v1/bookings", BookingPage, query, signed=True)

    async def bookings(
        self, *, when: str | None = None, status: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Booking]:
        """All of one's bookings, page by page (`limit` is the size of a page)."""
        cursor: str | None = None
        while True:
            page = await self.bookings_page(when=when, status=status, limit=limit, cursor=cursor)
            for booking in page.items:
                yield booking
            if page.next is None:
                return
            cursor = page.next

    async def history_page(self, *, limit: int | None = None, cursor: str | None = None) -> BookingPage:
        """One page of all one's bookings, newest first."""
        return await self._read("/history", BookingPage, {"limit": limit, "cursor": cursor}, signed=True)

    async def history(self, *, limit: int | None = None) -> AsyncIterator[Booking]:
        """All of one's bookings, newest first, page by page (`limit` is the size of a page)."""
        cursor: str | None = None
        while True:
            page = await self.history_page(limit=limit, cursor=cursor)
            for booking in page.items:
                yield booking
            if page.next is None:
                return
            cursor = page.next

    @property
    def people(self) -> People:
        """One's own account beyond logging in, and, for administrators, other people's."""
        return People(self)

    @property
    def premises(self) -> Premises:
        """The administrators' calls that shape spaces and seats."""
        return Premises(self)

    async def open_calendar(self, *, key: str | None = None) -> Calendar:
        """A new secret address at which calendar programs read one's bookings; the one before ends."""
        return await self._write("/api/v1/me/calendar", {}, Calendar, key=key, signed=True)

    async def calendar(self) -> Calendar:
        """The address there is. Raises Refused with status 404."""
        return await self._read("/api/v1/me/calendar", Calendar, signed=True)

    async def close_calendar(self) -> None:
        """Take the address away. Harmless when there is none."""
        await self._decided(Call("DELETE", "/api/v1/me/calendar", key=new_key()), signed=True)

    # --- the cluster -----------------------------------------------------------------------------------

    async def cluster(self) -> Cluster:
        """The cluster as the first node that answers sees it."""
        answer = await self._caller.call(Call("GET", "/api/v1/cluster"), self._deadline_seconds)
        return self._learned(answer)

    async def cluster_as_seen_by(
        self, server: str, timeout_seconds: float = LEARN_TIMEOUT_SECONDS
    ) -> Cluster:
        """The cluster as one given server sees it. Raises NoNodeAnswers when that one does not answer."""
        return self._learned(
            await self._caller.ask_one(server, Call("GET", "/api/v1/cluster"), timeout_seconds)
        )

    async def add_member(self, member_id: str, raft: str, api: str) -> Changed:
        """Make a member of a node that is to be started, a learner at first. For administrators, like all that follow.

        Raises Refused: "member-exists", "address-taken", "too-many-members", "change-pending", or what is wrong with the addresses.
        """
        body = {"id": member_id, "raft": raft, "api": api}
        return await self._write("/api/v1/cluster/members", body, Changed, signed=True)

    async def promote_member(self, member_id: str) -> Changed:
        """Let a learner vote. Raises Refused: "not-caught-up", "too-many-voters", "change-pending"."""
        return await self._write(f"{_member_path(member_id)}/promote", {}, Changed, signed=True)

    async def remove_member(self, member_id: str) -> Changed:
        """End a membership. Raises Refused: "would-lose-quorum", "change-pending"; "unknown-member" also when repeated."""
        call = Call("DELETE", _member_path(member_id), key=new_key())
        return _decoded(await self._decided(call, signed=True), Changed)

    async def replace_member(self, member_id: str, incarnation: str = "") -> Changed:
        """Give up a member's disk. With its `incarnation`, nothing is done when the member has another one by now."""
        body = {"incarnation": incarnation} if incarnation else {}
        return await self._write(f"{_member_path(member_id)}/replace", body, Changed, signed=True)

    async def transfer_leadership(self, to: str | None = None) -> Leader:
        """Have that voter lead, or the most caught-up one."""
        body = {} if to is None else {"to": to}
        return await self._write("/api/v1/cluster/transfer", body, Leader, signed=True)

    async def write_snapshot(self, server: str) -> Snapshot:
        """Have one given server write a snapshot. Raises NoNodeAnswers when it does not, or needs longer: ask again."""
        session = await self._live_session()
        call = Call("POST", "/api/v1/cluster/snapshot", token=session.access_token)
        answer = await self._caller.ask_one(server, call, ATTEMPT_SECONDS)
        if answer.status >= 500:
            raise NoNodeAnswers({server: answer.problem().detail})
        return _decoded(self._accepted(answer), Snapshot)

    async def stream_backup(self, server: str, write: Callable[[bytes], None]) -> int:
        """Have one given server send a backup to `write`; the log index that it reflects. See `client.backups.fetch`.

        Raises Refused, or NoNodeAnswers when the server does not answer, or stops before the end.
        """
        session = await self._live_session()
        call = Call("GET", "/api/v1/cluster/backup", token=session.access_token, min_index=self._min_index)
        answer = await self._caller.stream(server, call, write, BACKUP_IDLE_SECONDS)
        if answer.status >= 500:
            raise NoNodeAnswers({server: answer.problem().detail})
        return self._accepted(answer).index

    async def receipt(self, index: int, server: str | None = None) -> Receipt:
        """The digest at a log index, as one given server (or the first that answers) has it.

        Raises Refused: "forgotten", "not-applied-yet".
        """
        call = Call("GET", f"/api/v1/cluster/receipts/{index}")
        if server is None:
            return _decoded(await self._decided(call, signed=False), Receipt)
        return _decoded(
            self._accepted(await self._caller.ask_one(server, call, LEARN_TIMEOUT_SECONDS)), Receipt
        )

    def _learned(self, answer: Answer) -> Cluster:
        cluster = _decoded(answer, Cluster)
        self._servers.learn(answer.server, [member.api for member in cluster.members])
        self._learn_at = time.monotonic() + LEARN_EVERY_SECONDS
        return cluster

    def _learn_soon(self, server: str) -> None:
        """Ask `server`, which has just answered, who else there is; beside the call, never in its way."""
        if time.monotonic() < self._learn_at or (self._learning is not None and not self._learning.done()):
            return
        self._learn_at = time.monotonic() + LEARN_EVERY_SECONDS
        self._learning = asyncio.create_task(self._learn_from(server))

    async def _learn_from(self, server: str) -> None:
        try:
            await self.cluster_as_seen_by(server)
        except DeskraftError:
            self._learn_at = 0.0  # nothing is lost but time: the next answer brings the next chance

    # --- how every call is made ------------------------------------------------------------------------

    async def _read(
        self, path: str, kind: type[T], query: dict[str, Any] | None = None, *, signed: bool = False
    ) -> T:
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        return _decoded(await self._decided(Call("GET", path, given), signed), kind)

    async def _write(
        self, path: str, body: object, kind: type[T], *, signed: bool, key: str | None = None
    ) -> T:
        return _decoded(await self._done(path, body, key or new_key(), signed=signed), kind)

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
        return _decoded(await self._decided(call, signed=True), kind)

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
        """The cluster's answer; a token that has ended is renewed once. Raises what `errors.py` lists."""
        if not signed:
            return self._accepted(await self._sent(call))
        session = await self._live_session()
        answer = await self._sent(msgspec.structs.replace(call, token=session.access_token))
        if answer.status == 401:
            session = await self._renew(session)
            answer = await self._sent(msgspec.structs.replace(call, token=session.access_token))
        return self._accepted(answer)

    async def _sent(self, call: Call) -> Answer:
        call = msgspec.structs.replace(call, min_index=self._min_index)
        return await self._caller.call(call, self._deadline_seconds)

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

    async def _live_session(self) -> Session:
        session = self._session
        if session is None:
            raise _not_logged_in()
        if session.expires_at - RENEW_BEFORE_SECONDS > time.time():
            return session
        return await self._renew(session)

    async def _renew(self, stale: Session) -> Session:
        """Exchange the refresh token, once for all that wait: who comes second finds the work done."""
        async with self._renewing:
            session = self._session
            if session is None:
                raise _not_logged_in()
            if session.access_token != stale.access_token:
                return session
            body = msgspec.json.encode({"refresh_token": session.refresh_token})
            call = Call("POST", "/api/v1/auth/refresh", body=body, key=session.refresh_key)
            try:
                tokens = _decoded(self._accepted(await self._sent(call)), Tokens)
            except Unauthenticated:
                self._forget()
                raise
            return self._keep(session.login, tokens)

    def _keep(self, login: str, tokens: Tokens) -> Session:
        expires_at = time.time() + tokens.expires_in
        if tokens.device_token:  # a refresh brings none: the device is the one that it was
            self._device = (login, tokens.device_token)
        device_token = self._device[1] if self._device[0] == login else ""
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


def _booking_path(booking_id: str) -> str:
    return f"/api/v1/bookings/{quote(booking_id, safe='')}"


def _member_path(member_id: str) -> str:
    return f"/api/v1/cluster/members/{quote(member_id, safe='')}"


def _not_logged_in() -> Unauthenticated:
    return Unauthenticated(Problem(status=401, title="not logged in", detail="not logged in"))


def _decoded(answer: Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.DecodeError as error:
        raise BadAnswer(f"{answer.server}: not an answer of a Deskraft node: {error}") from error
