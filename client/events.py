"""What happens in the cluster, as it happens: `Client.events()`, and the same page by page.

    async for told in client.events():
        if isinstance(told, Reset):
            ...  # events are missing: read anew what is shown
        else:
            print(told.type, told.data)

The stream survives whatever a node does: when it ends, stays silent or is cut, it goes on at another node after the last event
that was given out. So each event is given once, in the order of the log, with none left out; only `Reset` says otherwise.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from client.calling import FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, Call
from client.errors import BadAnswer, NoNodeAnswers
from client.ground import Ground
from client.messages import Message, MessageReader, TooLong
from client.servers import REFUSED_PENALTY_SECONDS

PATH = "/api/v1/events"
IDLE_SECONDS = 40.0  # a node says something every 15
PATIENCE_SECONDS = 60.0
PAGE_EVENTS = 200


class Told(Struct, frozen=True):
    """An event: a CloudEvent without what is the same in all of them. `id` is its place in the log; docs/events.md lists the types."""

    id: str
    type: str
    subject: str
    time: str
    data: dict[str, Any]
    source: str = ""


class Reset(Struct, frozen=True):
    """Events are missing before the next one. `reason` is "too-old" or "unknown"."""

    id: str
    reason: str


class EventPage(Struct, frozen=True):
    """Some events. `position` is how far the page has looked, `next` the same while there is more."""

    items: list[Told]
    next: str | None
    position: str
    reset: bool


_told = msgspec.json.Decoder(Told)
_reset = msgspec.json.Decoder(Reset)


class _Course:
    """How a stream has fared since a node last said something."""

    def __init__(self, patience_seconds: float) -> None:
        self.patience_seconds = patience_seconds
        self.reasons: dict[str, str] = {}
        self.renewed = False
        self.gives_up_at = 0.0
        self.pause_seconds = 0.0
        self.well()

    def well(self) -> None:
        self.reasons.clear()
        self.renewed = False
        self.gives_up_at = time.monotonic() + self.patience_seconds
        self.pause_seconds = FIRST_PAUSE_SECONDS

    async def pause(self) -> None:
        if time.monotonic() >= self.gives_up_at:
            raise NoNodeAnswers(self.reasons)
        await asyncio.sleep(self.pause_seconds)
        self.pause_seconds = min(self.pause_seconds * 2, MAX_PAUSE_SECONDS)


class Events(Ground):
    """What has happened; a log-in adds what is one's own."""

    async def events(
        self,
        *,
        after: str | None = None,
        spaces: tuple[str, ...] = (),
        types: tuple[str, ...] = (),
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> AsyncIterator[Told | Reset]:
        """What happens from now on, or after an event, until the caller has enough.

        Raises NoNodeAnswers when no node has been heard for `patience_seconds`, Unauthenticated when the session has ended.
        """
        query = _query(spaces, types)
        place = after or ""
        course = _Course(patience_seconds)
        while True:
            url = await self._somebody(course)
            reader = MessageReader(place)
            try:
                async for message in self._listen(url, query, reader, course):
                    place = message.id
                    yield _read(url, message)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                course.reasons[url] = f"connection lost ({type(error).__name__})"
                self._servers.failed(url, time.monotonic(), REFUSED_PENALTY_SECONDS)
            place = reader.last_id or place
            await course.pause()

    async def events_page(
        self,
        after: str | None = None,
        limit: int = PAGE_EVENTS,
        *,
        spaces: tuple[str, ...] = (),
        types: tuple[str, ...] = (),
    ) -> EventPage:
        """A page of what has happened after an event, or of the oldest that is kept."""
        query: dict[str, Any] = {**_query(spaces, types), "after": after, "limit": limit}
        return await self._read(PATH, EventPage, query, signed=self._session is not None)

    async def _somebody(self, course: _Course) -> str:
        """The server to ask next; one that was only told of is met first."""
        while True:
            now = time.monotonic()
            for url in self._servers.healthy(now) or self._servers.put_aside(now):
                if url not in self._servers.strangers():
                    return url
                try:
                    await self._caller.visit(url, min(self._deadline_seconds, 2.0))
                except NoNodeAnswers as error:
                    course.reasons |= error.reasons
                else:
                    return url
            await course.pause()

    async def _listen(
        self, url: str, query: dict[str, str], reader: MessageReader, course: _Course
    ) -> AsyncIterator[Message]:
        """The messages of one connection, until it ends."""
        if reader.last_id:
            query = {**query, "last_event_id": reader.last_id}
        session = self._session
        if session is not None:
            session = await self._live_session(self._gives_up_at())
        token = None if session is None else session.access_token
        call = Call("GET", PATH, query, token=token, min_index=self._min_index)
        async with self._caller.opened(url, call, IDLE_SECONDS) as (answer, content):
            if content is None:
                if answer.status == 401 and session is not None and not course.renewed:
                    course.renewed = True
                    await self._renew(session, self._gives_up_at())
                    return
                if answer.status < 500 and answer.status != 429:
                    self._accepted(answer)
                    raise BadAnswer(f"{url}: status {answer.status} instead of a stream")
                self._servers.busy(url)
                self._servers.failed(url, time.monotonic(), REFUSED_PENALTY_SECONDS)  # others first
                course.reasons[url] = answer.problem().detail or f"status {answer.status}"
                return
            self._servers.answered(url)
            self._learn_soon(url)
            async for piece in content.iter_any():
                course.well()
                try:
                    found = reader.feed(piece)
                except TooLong:
                    raise BadAnswer(f"{url}: a message that no Deskraft node sends") from None
                for message in found:
                    yield message


def _query(spaces: tuple[str, ...], types: tuple[str, ...]) -> dict[str, str]:
    return {name: ",".join(words) for name, words in (("space", spaces), ("type", types)) if words}


def _read(url: str, message: Message) -> Told | Reset:
    try:
        return (_reset if message.kind == "reset" else _told).decode(message.data)
    except msgspec.DecodeError as error:
        raise BadAnswer(f"{url}: not an event of a Deskraft node: {error}") from error
