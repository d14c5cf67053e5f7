"""Webhooks, for administrators: `Client.webhooks` of both clients.

    made = await client.webhooks.create("https://example.org/hook", types=["deskraft.booking"])
    keep(made.secret)  # shown this once
    print(await client.webhooks.test(made.id))

Raises Refused with code "forbidden" for anybody else, "sink-not-found", and "invalid-body" for a URL that is not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec import Struct

from client.blocking import Blocking, call

if TYPE_CHECKING:
    from client.aio import Client

_PATH = "/api/v1/admin/webhooks"


class Webhook(Struct, frozen=True):
    """A webhook: where events go, which, and how far it has been told."""

    id: str
    url: str
    description: str
    types: list[str]
    space_ids: list[str]
    state: str
    created_at: datetime
    told_through: str
    delivered: int
    waiting: int
    dead_letters: int
    missed: int
    dropped: int
    troubled_since: datetime | None
    why: str | None
    old_secret_until: datetime | None


class WebhookWithSecret(Webhook, frozen=True):
    """A webhook with its new secret, which is shown this once."""

    secret: str


class WebhookTest(Struct, frozen=True):
    """What came of a test event; `status` is None when there was no answer."""

    delivered: bool
    status: int | None
    why: str | None
    duration_ms: int


class _Webhooks(Struct, frozen=True):
    items: list[Webhook]


class Webhooks:
    """The calls of the asynchronous client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def all(self) -> list[Webhook]:
        """All of them, the oldest first."""
        return (await self._client.send("GET", _PATH, None, _Webhooks)).items

    async def get(self, webhook_id: str) -> Webhook:
        """One of them."""
        return await self._client.send("GET", _path(webhook_id), None, Webhook)

    async def create(
        self,
        url: str,
        *,
        description: str = "",
        types: Sequence[str] = (),
        space_ids: Sequence[str] = (),
        key: str | None = None,
    ) -> WebhookWithSecret:
        """Deliver events to `url` from now on: of these types (or that begin so), in these spaces; none: all."""
        body = {"url": url, "description": description, "types": list(types), "space_ids": list(space_ids)}
        return await self._client.send("POST", _PATH, body, WebhookWithSecret, key=key)

    async def revise(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        description: str | None = None,
        types: Sequence[str] | None = None,
        space_ids: Sequence[str] | None = None,
        key: str | None = None,
    ) -> Webhook:
        """Change what is given."""
        given = {"url": url, "description": description, "types": types, "space_ids": space_ids}
        body = {name: value for name, value in given.items() if value is not None}
        return await self._client.send("PATCH", _path(webhook_id), body, Webhook, key=key)

    async def pause(self, webhook_id: str) -> Webhook:
        """Deliver nothing until it is resumed; events wait for as long as the feed keeps them."""
        return await self._client.send("PATCH", _path(webhook_id), {"state": "paused"}, Webhook)

    async def resume(self, webhook_id: str) -> Webhook:
        """Go on where it stopped, also after the receiver had said that it is gone."""
        return await self._client.send("PATCH", _path(webhook_id), {"state": "active"}, Webhook)

    async def rotate(
        self, webhook_id: str, *, overlap_hours: int = 24, key: str | None = None
    ) -> WebhookWithSecret:
        """Another secret; the one so far signs beside it for some hours."""
        body = {"overlap_hours": overlap_hours}
        return await self._client.send(
            "POST", f"{_path(webhook_id)}/rotate", body, WebhookWithSecret, key=key
        )

    async def test(self, webhook_id: str) -> WebhookTest:
        """Send a test event now."""
        return await self._client.send("POST", f"{_path(webhook_id)}/test", {}, WebhookTest)

    async def remove(self, webhook_id: str) -> None:
        """Deliver nothing there any more."""
        await self._client.tell("DELETE", _path(webhook_id), None)


def _path(webhook_id: str) -> str:
    return f"{_PATH}/{quote(webhook_id, safe='')}"


class BlockingWebhooks(Blocking):
    """The same calls of the blocking client."""

    all = call(Webhooks.all)
    get = call(Webhooks.get)
    create = call(Webhooks.create)
    revise = call(Webhooks.revise)
    pause = call(Webhooks.pause)
    resume = call(Webhooks.resume)
    rotate = call(Webhooks.rotate)
    test = call(Webhooks.test)
    remove = call(Webhooks.remove)
