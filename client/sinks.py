"""Sinks of every kind, for administrators: `Client.sinks` of both clients.

A sink is where events are delivered to: the mail server, the broker, each webhook. What one did not take after all attempts is a dead
letter, named by the id of its event, until somebody replays or drops it.

    for sink in await client.sinks.all():
        print(sink.id, sink.state, sink.behind, sink.why)
    async for letter in client.sinks.letters("mail"):
        print(letter.id, letter.why)
    await client.sinks.replay("mail")

Raises Refused with code "forbidden" for anybody else, and "sink-not-found". Webhooks are made and changed by `Client.webhooks`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from msgspec import Struct

from client.blocking import Blocking, call, items

if TYPE_CHECKING:
    from client.aio import Client

_PATH = "/api/v1/admin/sinks"
_PAGE_LETTERS = 100


class Sink(Struct, frozen=True):
    """Where events go, and how far it has come. `behind` counts the events after `cursor`, wanted or not; `held` those that are tried again."""

    id: str
    kind: str
    state: str
    created_at: datetime
    cursor: str
    behind: int
    held: int
    dead_letters: int
    delivered: int
    missed: int
    dropped: int
    troubled_since: datetime | None
    why: str
    next_attempt_at: datetime | None
    revision: str
    url: str | None = None


class DeadLetter(Struct, frozen=True):
    """An event as it would have been sent, and why it was not taken; `id` is the event's."""

    id: str
    attempts: int
    at: datetime
    why: str
    event: dict[str, Any]


class _Sinks(Struct, frozen=True):
    items: list[Sink]


class _Letters(Struct, frozen=True):
    items: list[DeadLetter]
    next: str | None = None


class _Count(Struct, frozen=True):
    count: int


class Sinks:
    """The calls of the asynchronous client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def all(self) -> list[Sink]:
        """All of them, in the order in which they came."""
        return (await self._client.send("GET", _PATH, None, _Sinks)).items

    async def get(self, sink_id: str) -> Sink:
        """One of them."""
        return await self._client.send("GET", _path(sink_id), None, Sink)

    async def pause(self, sink_id: str, *, key: str | None = None) -> Sink:
        """Deliver nothing until it is resumed; events wait for as long as the feed keeps them."""
        return await self._client.send("POST", f"{_path(sink_id)}/pause", None, Sink, key=key)

    async def resume(self, sink_id: str, *, key: str | None = None) -> Sink:
        """Go on where it stopped, also after the receiver had said that it is gone."""
        return await self._client.send("POST", f"{_path(sink_id)}/resume", None, Sink, key=key)

    async def remove(self, sink_id: str) -> None:
        """Forget it with all that waits for it. The leader opens "mail" and "broker" anew while its cluster.yml names them."""
        await self._client.tell("DELETE", _path(sink_id), None)

    async def letters(self, sink_id: str) -> AsyncIterator[DeadLetter]:
        """What it did not take, oldest first."""
        query = {"limit": str(_PAGE_LETTERS)}
        while True:
            page = await self._client.send(
                "GET", f"{_path(sink_id)}/dead-letters", None, _Letters, query=query
            )
            for letter in page.items:
                yield letter
            if page.next is None:
                return
            query["cursor"] = page.next

    async def replay(self, sink_id: str, ids: Sequence[str] | None = None, *, key: str | None = None) -> int:
        """Try these dead letters again, or all of them: how many, for there is not always room. They come after later events."""
        return await self._to_letters(sink_id, "replay", ids, key)

    async def drop(self, sink_id: str, ids: Sequence[str] | None = None, *, key: str | None = None) -> int:
        """Forget these dead letters, or all of them: how many there were. They are never delivered."""
        return await self._to_letters(sink_id, "drop", ids, key)

    async def _to_letters(self, sink_id: str, act: str, ids: Sequence[str] | None, key: str | None) -> int:
        if ids is not None and not ids:
            return 0  # nothing was chosen; leaving ids out would mean all of them
        body = {} if ids is None else {"ids": list(ids)}
        path = f"{_path(sink_id)}/dead-letters/{act}"
        return (await self._client.send("POST", path, body, _Count, key=key)).count


def _path(sink_id: str) -> str:
    return f"{_PATH}/{quote(sink_id, safe='')}"


class BlockingSinks(Blocking):
    """The same calls of the blocking client."""

    all = call(Sinks.all)
    get = call(Sinks.get)
    pause = call(Sinks.pause)
    resume = call(Sinks.resume)
    remove = call(Sinks.remove)
    letters = items(Sinks.letters)
    replay = call(Sinks.replay)
    drop = call(Sinks.drop)
