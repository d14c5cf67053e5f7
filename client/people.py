"""One's own account beyond logging in, and administering other people's: `Client.people` of both clients.

    await client.people.change_password("old pass phrase", "new pass phrase")
    async for user in client.people.users(search="ada"):
        await client.people.block(user.id)

What administrators do raises Refused with code "forbidden" for anybody else, "user-not-found", "last-administrator".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec import Struct, field

from client.answers import Booking, BookingPage, SeriesRecord, Waiting
from client.blocking import Blocking, call, items

if TYPE_CHECKING:
    from client.aio import Client

_USERS, _AUDIT = "/api/v1/admin/users", "/api/v1/admin/audit"
_ME = "/api/v1/me"


class LogIn(Struct, frozen=True):
    """One session of one's own; `current` is the one that asks."""

    id: str
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime
    current: bool


class _LogIns(Struct, frozen=True):
    items: list[LogIn]


class Profile(Struct, frozen=True):
    """A user as themselves and administrators see them."""

    id: str
    login: str
    role: str
    created_at: datetime
    blocked_at: datetime | None
    password_change_needed: bool
    sessions: int


class _Profiles(Struct, frozen=True):
    items: list[Profile]
    next: str | None = None


MAIL_KINDS = ("confirmed", "moved", "cancelled", "released", "affected", "promoted")


class Notifications(Struct, frozen=True):
    """What one is told by mail, once the address is `confirmed`. `available`: whether the cluster sends mails at all."""

    address: str | None
    confirmed: bool
    language: str
    kinds: list[str]
    remind_minutes: int
    available: bool


class Export(Struct, frozen=True):
    """All that the cluster keeps of oneself."""

    profile: Profile
    sessions: list[LogIn]
    bookings: list[Booking]
    next: str | None = None
    series: list[SeriesRecord] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    notifications: Notifications | None = None  # older nodes have none


class _OneTimePassword(Struct, frozen=True):
    one_time_password: str


class AuditRecord(Struct, frozen=True):
    """One administrative act; `id` names the change, `number` counts without a gap."""

    id: str
    number: int
    at: datetime
    actor: str
    actor_login: str | None
    what: str
    subject: str
    subject_login: str | None
    detail: str


class AuditPage(Struct, frozen=True):
    """Some acts, newest first; `forgotten` older ones are no longer kept."""

    items: list[AuditRecord]
    forgotten: int
    next: str | None = None


class People:
    """The calls of the asynchronous client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def change_password(self, old: str, new: str, *, key: str | None = None) -> None:
        """Another password; the other sessions end. Raises Refused: "wrong-password", "weak-password"."""
        body = {"old_password": old, "new_password": new}
        await self._client.tell("POST", f"{_ME}/password", body, key=key)

    async def log_out_everywhere(self) -> None:
        """End all sessions, this one too."""
        await self._client.tell("POST", "/api/v1/auth/logout-everywhere", None)
        self._client.forget_session()

    async def sessions(self) -> list[LogIn]:
        """Where one is logged in, oldest first."""
        return (await self._client.send("GET", f"{_ME}/sessions", None, _LogIns)).items

    async def end_session(self, session_id: str) -> None:
        """End one of one's own sessions. Raises Refused: "session-not-found"."""
        await self._client.tell("DELETE", f"{_ME}/sessions/{quote(session_id, safe='')}", None)

    async def notifications(self) -> Notifications:
        """What one is told by mail, and where."""
        return await self._client.send("GET", f"{_ME}/notifications", None, Notifications)

    async def set_notifications(
        self,
        address: str | None,
        language: str,
        kinds: Sequence[str] = MAIL_KINDS,
        remind_minutes: int = 0,
        *,
        key: str | None = None,
    ) -> Notifications:
        """Say what one wants to be told. Another address is mailed a code, and nothing else before that has been shown.

        Raises Refused: "invalid-body", "too-many-addresses".
        """
        body = {
            "address": address, "language": language, "kinds": list(kinds), "remind_minutes": remind_minutes
        }  # fmt: skip
        return await self._client.send("PUT", f"{_ME}/notifications", body, Notifications, key=key)

    async def confirm_address(self, code: str, *, key: str | None = None) -> Notifications:
        """Show the code. Raises Refused: "wrong-code", "address-changed", "not-found"."""
        path = f"{_ME}/notifications/confirm"
        return await self._client.send("POST", path, {"code": code}, Notifications, key=key)

    async def export(self) -> Export:
        """All that the cluster keeps of oneself, all its parts together."""
        whole = await self._client.send("GET", f"{_ME}/export", None, Export)
        bookings, series, cursor = list(whole.bookings), list(whole.series), whole.next
        while cursor is not None:
            part = await self._client.send("GET", f"{_ME}/export", None, Export, query={"cursor": cursor})
            bookings += part.bookings
            series += part.series
            cursor = part.next
        return Export(
            whole.profile,
            whole.sessions,
            bookings,
            series=series,
            waiting=whole.waiting,
            notifications=whole.notifications,
        )

    async def erase(self, password: str, *, key: str | None = None) -> None:
        """Erase one's own account. It cannot be undone. Raises Refused: "wrong-password", "last-administrator"."""
        await self._client.tell("DELETE", _ME, {"password": password}, key=key)
        self._client.forget_session()

    async def users(self, *, search: str = "", role: str = "", blocked: str = "") -> AsyncIterator[Profile]:
        """Users, in the order in which they registered; `role` is "user" or "admin", `blocked` "yes" or "no"."""
        given = {"search": search, "role": role, "blocked": blocked, "limit": "200"}
        query = {name: value for name, value in given.items() if value}
        while True:
            page = await self._client.send("GET", _USERS, None, _Profiles, query=query)
            for profile in page.items:
                yield profile
            if page.next is None:
                return
            query["cursor"] = page.next

    async def user(self, user_id: str) -> Profile:
        """One user. Raises Refused: "user-not-found"."""
        return await self._client.send("GET", f"{_USERS}/{quote(user_id, safe='')}", None, Profile)

    async def bookings(self, user_id: str, *, when: str = "") -> AsyncIterator[Booking]:
        """A user's bookings, newest first; `when` is "upcoming" or "past". Raises Refused: "user-not-found"."""
        query = {"limit": "200", **({"when": when} if when else {})}
        while True:
            path = f"{_USERS}/{quote(user_id, safe='')}/bookings"
            page = await self._client.send("GET", path, None, BookingPage, query=query)
            for booking in page.items:
                yield booking
            if page.next is None:
                return
            query["cursor"] = page.next

    async def find(self, who: str) -> str:
        """The id of the user with this login or id; `who` itself when there is none."""
        async for profile in self.users(search=who):
            if who in (profile.id, profile.login) or profile.login.casefold() == who.casefold():
                return profile.id
        return who

    async def block(self, user_id: str) -> None:
        """Keep a user out, from now on and everywhere."""
        await self._act(user_id, "block")

    async def unblock(self, user_id: str) -> None:
        """Let a user in again."""
        await self._act(user_id, "unblock")

    async def end_sessions(self, user_id: str) -> None:
        """Log a user out everywhere; they may log in again."""
        await self._act(user_id, "end-sessions")

    async def promote(self, user_id: str) -> None:
        """Make a user an administrator."""
        await self._act(user_id, "promote")

    async def demote(self, user_id: str) -> None:
        """Make an administrator a user."""
        await self._act(user_id, "demote")

    async def reset_password(self, user_id: str, *, key: str | None = None) -> str:
        """The one-time password that the user has now."""
        path = f"{_USERS}/{quote(user_id, safe='')}/reset-password"
        return (await self._client.send("POST", path, {}, _OneTimePassword, key=key)).one_time_password

    async def audit_page(self, *, limit: int = 50, subject: str = "", cursor: str = "") -> AuditPage:
        """What administrators did, newest first."""
        given = {"limit": str(limit), "subject": subject, "cursor": cursor}
        query = {name: value for name, value in given.items() if value}
        return await self._client.send("GET", _AUDIT, None, AuditPage, query=query)

    async def _act(self, user_id: str, name: str) -> None:
        await self._client.tell("POST", f"{_USERS}/{quote(user_id, safe='')}/{name}", None)


class BlockingPeople(Blocking):
    """The same calls of the blocking client."""

    change_password = call(People.change_password)
    log_out_everywhere = call(People.log_out_everywhere)
    sessions = call(People.sessions)
    end_session = call(People.end_session)
    notifications = call(People.notifications)
    set_notifications = call(People.set_notifications)
    confirm_address = call(People.confirm_address)
    export = call(People.export)
    erase = call(People.erase)
    users = items(People.users)
    user = call(People.user)
    bookings = items(People.bookings)
    find = call(People.find)
    block = call(People.block)
    unblock = call(People.unblock)
    end_sessions = call(People.end_sessions)
    promote = call(People.promote)
    demote = call(People.demote)
    reset_password = call(People.reset_password)
    audit_page = call(People.audit_page)
