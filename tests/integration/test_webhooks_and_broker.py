"""A real cluster tells a webhook receiver and a real nats-server what happens, while both fail in every way and a leader dies.

At the end the feed is the judge: what was received is what was committed, verified by the reference library; in the broker once each.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nats
import pytest
from aiohttp import web
from standardwebhooks.webhooks import WebhookVerificationError

from client.aio import Client
from client.errors import Refused
from client.events import Told
from client.webhooks import Webhook, WebhookWithSecret
from tests.integration.cluster import ADMIN_LOGIN, ADMIN_PASSWORD, ProcessCluster, running_cluster
from tests.node.couriers.nats_server import NatsServer, nats_server
from tests.node.couriers.receiver import Behaviour, Received, Receiver, answering, hang, receiving

TOLD_SECONDS = 60.0  # a retry comes after 6 s at most, the second one after 18
SOON_SECONDS = 30.0
POLL_SECONDS = 0.1
STARTS = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=2)


def place_of(text: str) -> tuple[int, int]:
    """An event's id as what orders it."""
    index, _, position = text.partition(".")
    return int(index), int(position)


async def until(
    reached: Callable[[], Coroutine[Any, Any, bool]], what: str, seconds: float = SOON_SECONDS
) -> None:
    """Wait for a condition."""
    try:
        async with asyncio.timeout(seconds):
            while not await reached():  # noqa: ASYNC110 - what is waited for happens in other processes
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what}") from None


async def feed_of(admin: Client) -> list[Told]:
    """All that has happened, in order."""
    found: list[Told] = []
    after: str | None = None
    while True:
        page = await admin.events_page(after)
        found += page.items
        if page.next is None:
            return found
        after = page.next


class Booker:
    """Books the next free place of a space, over and over."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._taken = 0

    async def book(self, count: int, space: str = "hq", seat: str = "A1") -> list[str]:
        """The ids of so many bookings, every second of which is cancelled again."""
        ids = []
        for number in range(count):
            self._taken += 1
            start = STARTS.replace(hour=9) + timedelta(days=self._taken)
            booking = await self._client.book(space, seat, start)
            ids.append(booking.id)
            if number % 2:
                await self._client.cancel(booking.id)
        return ids


class Sickly:
    """Behaves badly to the first attempts, one way after the other, and well from then on."""

    def __init__(self, *ways: Behaviour) -> None:
        self._ways = list(ways)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        return await (self._ways.pop(0) if self._ways else answering(204))(request)


async def cut(request: web.Request) -> web.StreamResponse:
    """The connection is gone in the middle."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def about(receiver: Receiver, ids: list[str], seconds: float = TOLD_SECONDS) -> None:
    """Wait until the receiver has been told of these bookings."""

    def told() -> bool:
        seen = b"\n".join(each.body for each in receiver.received)
        return all(booking_id.encode() in seen for booking_id in ids)

    await receiver.until(told, seconds)


@pytest.mark.timeout(300)
async def test_the_world_is_told_everything_once(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as broker, receiving() as everything, receiving() as neva:
        outside = {
            "nats": {"servers": [broker.url]},
            "outbox": {"webhook_allow": [f"127.0.0.1:{everything.port}", f"127.0.0.1:{neva.port}"]},
        }
        async with running_cluster(tmp_path, extra=outside) as cluster, Client(cluster.urls) as admin:
            await admin.login(ADMIN_LOGIN, ADMIN_PASSWORD)
            all_hook, neva_hook = await _create(admin, everything, neva)
            booker = Booker(admin)
            await _bad_ways_of_answering(booker, admin, everything, all_hook)
            await _away_and_back(booker, everything, broker, cluster)
            secrets = await _two_secrets(booker, admin, everything, all_hook)
            await _gone_and_resumed(booker, admin, everything, all_hook)
            await about(neva, await booker.book(4, "neva", "W1"))
            await _judge(admin, broker, (everything, all_hook, secrets), (neva, neva_hook))
            cluster.assert_no_traceback()


async def _create(
    admin: Client, everything: Receiver, neva: Receiver
) -> tuple[WebhookWithSecret, WebhookWithSecret]:
    for url in ("http://127.0.0.1:1/", "http://localhost:1/", "http://[::ffff:7f00:1]/"):
        with pytest.raises(Refused) as refused:
            await admin.webhooks.create(url)
        assert refused.value.code == "invalid-body"
    all_hook = await admin.webhooks.create(everything.url)
    neva_hook = await admin.webhooks.create(neva.url, types=["deskraft.booking"], space_ids=["neva"])
    told = await admin.webhooks.test(neva_hook.id)
    assert told.delivered, told
    assert neva.received.pop().verify(neva_hook.secret)["type"] == "deskraft.webhook.test"
    return all_hook, neva_hook


async def _bad_ways_of_answering(booker: Booker, admin: Client, receiver: Receiver, hook: Webhook) -> None:
    """Fails, hangs, redirects, cuts off: each costs that event a retry and holds up no other subject; no booking waits for it."""
    await about(receiver, await booker.book(1))
    receiver.behave = Sickly(
        answering(500), hang, answering(302, Location="/elsewhere"), cut, answering(400, Retry_After="1")
    )
    await about(receiver, await booker.book(10))

    async def healed() -> bool:
        found = await admin.webhooks.get(hook.id)
        return found.waiting == 0 and found.troubled_since is None

    await until(healed, "what failed was tried again", TOLD_SECONDS)
    assert {each.path for each in receiver.received} == {"/hook"}, "a redirect is not followed"
    assert (await admin.webhooks.get(hook.id)).dead_letters == 0


async def _away_and_back(
    booker: Booker, receiver: Receiver, broker: NatsServer, cluster: ProcessCluster
) -> None:
    """Neither the broker nor the receiver is there, and the leader dies meanwhile."""
    broker.stop(signal.SIGKILL)
    receiver.behave = answering(503)
    ids = await booker.book(6)
    leader = await cluster.wait_for_leader()
    leader.kill()
    await cluster.wait_for_leader()
    ids += await booker.book(6)
    receiver.behave = None
    await broker.start()
    leader.start()
    await about(receiver, ids)
    await cluster.wait_until_ready()


async def _two_secrets(
    booker: Booker, admin: Client, receiver: Receiver, hook: WebhookWithSecret
) -> tuple[str, str]:
    """During the overlap a receiver that knows either secret is content."""
    rotated = await admin.webhooks.rotate(hook.id, overlap_hours=1)
    assert rotated.secret != hook.secret and rotated.old_secret_until is not None
    ids = await booker.book(2)
    await about(receiver, ids)
    both = [each for each in receiver.received if ids[0].encode() in each.body]
    for sent in both:
        assert sent.verify(hook.secret) == sent.verify(rotated.secret)
    return hook.secret, rotated.secret


async def _gone_and_resumed(booker: Booker, admin: Client, receiver: Receiver, hook: Webhook) -> None:
    """410 disables it; an administrator resumes it, and it goes on where it stopped."""
    receiver.behave = answering(410)
    ids = await booker.book(2)

    async def disabled() -> bool:
        return (await admin.webhooks.get(hook.id)).state == "disabled"

    await until(disabled, "410 disables")
    later = await booker.book(2)
    receiver.behave = None
    seen = b"\n".join(each.body for each in receiver.received)
    assert not any(booking_id.encode() in seen for booking_id in later), "nothing is sent to one who is gone"
    assert (await admin.webhooks.get(hook.id)).why == "answered 410 Gone"
    assert [letter.id async for letter in admin.sinks.letters(hook.id)] == []
    assert (await admin.sinks.replay(hook.id), await admin.sinks.drop(hook.id, ["1.0"])) == (0, 0)
    assert (await admin.sinks.resume(hook.id)).state == "active"
    assert (await admin.sinks.pause(hook.id)).state == "paused"
    assert (await admin.sinks.get(hook.id)).state == "paused"
    assert (await admin.webhooks.resume(hook.id)).state == "active"
    await about(receiver, ids + later)


async def _judge(
    admin: Client,
    broker: NatsServer,
    all_told: tuple[Receiver, Webhook, tuple[str, str]],
    neva_told: tuple[Receiver, WebhookWithSecret],
) -> None:
    """What came is what the feed has, no more and no less, in order for each subject."""
    feed = await feed_of(admin)
    everything, all_hook, secrets = all_told
    since = place_of(all_hook.told_through)
    wanted = [event for event in feed if place_of(event.id) > since]
    await everything.until(
        lambda: {event.id for event in wanted} <= {each.id for each in everything.received}, TOLD_SECONDS
    )
    _compare(everything.received, wanted, secrets)
    neva, neva_hook = neva_told
    bookings = [
        event
        for event in wanted
        if event.type.startswith("deskraft.booking.") and event.data.get("space_id") == "neva"
    ]
    assert len(bookings) == 6
    await neva.until(lambda: len({each.id for each in neva.received}) >= len(bookings), TOLD_SECONDS)
    _compare(neva.received, bookings, (neva_hook.secret,))
    client = await nats.connect(broker.url, allow_reconnect=False)
    try:
        stream = client.jetstream()

        async def caught_up() -> bool:
            return (await stream.stream_info("DESKRAFT")).state.messages >= len(feed)

        await until(caught_up, "the broker has every event", TOLD_SECONDS)
        count = (await stream.stream_info("DESKRAFT")).state.messages
        messages = [await stream.get_msg("DESKRAFT", seq) for seq in range(1, count + 1)]
    finally:
        await client.close()
    published = [str((message.headers or {})["Nats-Msg-Id"]) for message in messages]
    assert len(published) == len(set(published)), "once each"
    assert {f"test/{event.id}" for event in feed} == set(published)


def _compare(received: list[Received], wanted: list[Told], secrets: tuple[str, ...]) -> None:
    """The ids are the same, each is signed by a secret of its time, and the first time that each came keeps the order of its subject."""
    assert {each.id for each in received} == {event.id for event in wanted}
    first: dict[str, dict[str, Any]] = {}
    for sent in received:
        content: dict[str, Any] = _verified(sent, secrets)
        assert content["id"] == sent.id
        first.setdefault(sent.id, content)
    for event in wanted:
        assert (first[event.id]["type"], first[event.id]["data"]) == (event.type, event.data)
    came: dict[str, list[tuple[int, int]]] = {}
    for event_id, content in first.items():
        came.setdefault(content["subject"], []).append(place_of(event_id))
    for subject, places in came.items():
        assert places == sorted(places), subject


def _verified(sent: Received, secrets: tuple[str, ...]) -> dict[str, Any]:
    for secret in secrets[:-1]:
        with contextlib.suppress(WebhookVerificationError):
            return sent.verify(secret)
    return sent.verify(secrets[-1])
