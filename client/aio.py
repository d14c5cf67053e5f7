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

import contextlib

from client.answers import Session, Tokens, User
from client.bookings import Bookings
from client.browsing import Browsing
from client.errors import Unauthenticated
from client.events import Events
from client.ground import new_key, not_logged_in
from client.membership import Membership
from client.people import People
from client.premises import Premises
from client.sinks import Sinks
from client.webhooks import Webhooks

__all__ = ["Client", "new_key"]


class Client(Browsing, Bookings, Membership, Events):
    """A person's (or nobody's) view of the cluster. See the module for an example.

    `session` continues an earlier log-in; `on_session` is told of every new one, and of None when it ends,
    so that it can be kept. `devices` are the device tokens of earlier log-ins, by login (`Session.device_token`): with them a log-in
    is not kept waiting by other people's wrong guesses. `deadline_seconds` bounds every call, all its attempts together.
    """

    async def register(self, login: str, password: str, *, key: str | None = None) -> User:
        """Make a user. Raises Refused: "login-taken", or what is wrong with login or password."""
        body = {"login": login, "password": password}
        return await self._write("/api/v1/auth/register", body, User, key=key, signed=False)

    async def login(self, login: str, password: str, *, key: str | None = None) -> Session:
        """Log in; later calls are made as this user. Raises Unauthenticated when the two do not match."""
        body = {"login": login, "password": password}
        if login in self._devices:
            body["device_token"] = self._devices[login]
        tokens = await self._write("/api/v1/auth/login", body, Tokens, key=key, signed=False)
        return self._keep(login, tokens)

    async def refresh(self) -> Session:
        """Renew the tokens now; done by itself when needed.

        Raises Unauthenticated when the session has ended.
        """
        session = self._session
        if session is None:
            raise not_logged_in()
        return await self._renew(session, self._gives_up_at())

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

    @property
    def people(self) -> People:
        """One's own account beyond logging in, and, for administrators, other people's."""
        return People(self)

    @property
    def webhooks(self) -> Webhooks:
        """Where events are delivered to, for administrators."""
        return Webhooks(self)

    @property
    def sinks(self) -> Sinks:
        """Sinks of every kind and their dead letters, for administrators."""
        return Sinks(self)

    @property
    def premises(self) -> Premises:
        """The administrators' calls that shape spaces and seats."""
        return Premises(self)
