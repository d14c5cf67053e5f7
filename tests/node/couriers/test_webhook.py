"""One signed POST, judged by the reference library of Standard Webhooks, and everything that a receiver may do to it."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

import pytest
import trustme
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks.webhooks import WebhookVerificationError

from node.cloudevents import cloud_event, story_of
from node.couriers import Delivered, Delivery, Gone, Retry
from node.couriers.addresses import AllowedHosts
from node.couriers.signing import SigningKeys
from node.couriers.webhook import (
    MAX_BODY_BYTES,
    Answer,
    Message,
    PostFailedError,
    WebhookCourier,
    WebhookPoster,
    result_of,
)
from node.secret import Secret
from statemachine.events import UserRegistered
from statemachine.sinks import Sink, Webhook, WebhookKey
from statemachine.state import State
from tests.node.couriers.receiver import Received, Receiver, answering, hang, receiving
from tests.node.every_event import EVERY_EVENT

KEYS = SigningKeys(Secret(["a line of the members' secret file, long enough"]))
NAME = KEYS.new_name()
RAW, SHOWN = KEYS.raw("wh1", NAME), KEYS.shown("wh1", NAME)
assert RAW is not None and SHOWN is not None
PAYLOAD = json.dumps(
    {"specversion": "1.0", "id": "7.0", "data": {"name": "Место у окна"}}, ensure_ascii=False
).encode()
LOOPBACK = AllowedHosts.of(["127.0.0.1"])


def message(event_id: str, at_seconds: float | None = None) -> Message:
    """One of now."""
    return Message(event_id, int(1000 * (time.time() if at_seconds is None else at_seconds)), PAYLOAD)


@asynccontextmanager
async def posting(allowed: AllowedHosts = LOOPBACK, **settings: Any) -> AsyncIterator[WebhookPoster]:
    poster = WebhookPoster(allowed, **settings)
    try:
        yield poster
    finally:
        await poster.close()


async def test_the_reference_library_verifies() -> None:
    async with receiving() as receiver, posting() as poster:
        answer = await poster.post(receiver.url, message("7.0"), [RAW])
        assert answer.status == 204
        sent = receiver.received[0]
        assert sent.id == "7.0" and sent.body == PAYLOAD
        assert sent.headers["content-type"].startswith("application/cloudevents+json")
        assert sent.verify(SHOWN) == json.loads(PAYLOAD)


async def test_what_was_changed_on_the_way_is_not_verified() -> None:
    async with receiving() as receiver, posting() as poster:
        await poster.post(receiver.url, message("7.0"), [RAW])
        sent = receiver.received[0]
        now = int(sent.headers["webhook-timestamp"])
        for changed in (
            Received("/", sent.headers, sent.body.replace(b"1.0", b"1.1")),
            Received("/", sent.headers | {"webhook-id": "7.1"}, sent.body),
            Received("/", sent.headers | {"webhook-timestamp": str(now - 1)}, sent.body),
        ):
            with pytest.raises(WebhookVerificationError):
                changed.verify(SHOWN)
    async with receiving() as receiver, posting() as poster:
        await poster.post(receiver.url, message("7.0", time.time() - 600), [RAW])
        with pytest.raises(WebhookVerificationError, match="too old"):
            receiver.received[0].verify(SHOWN)


async def test_two_keys_sign_while_one_follows_the_other() -> None:
    other = KEYS.new_name()
    raw, shown = KEYS.raw("wh1", other), KEYS.shown("wh1", other)
    assert raw is not None and shown is not None and shown != SHOWN
    async with receiving() as receiver, posting() as poster:
        await poster.post(receiver.url, message("7.0"), [raw, RAW])
        receiver.received[0].verify(SHOWN)
        receiver.received[0].verify(shown)
        await poster.post(receiver.url, message("7.0"), [raw])
        receiver.received[1].verify(shown)
        with pytest.raises(WebhookVerificationError):
            receiver.received[1].verify(SHOWN)


def test_keys_are_of_one_endpoint_and_one_line() -> None:
    assert KEYS.raw("wh2", NAME) != RAW
    lines = ["another line of the members' secret file", "a line of the members' secret file, long enough"]
    assert SigningKeys(Secret(lines)).raw("wh1", NAME) == RAW
    assert SigningKeys(Secret(lines)).new_name().split(".")[0] != NAME.split(".")[0]
    assert SigningKeys(Secret(lines[:1])).raw("wh1", NAME) is None
    for unsound in ("", "x", NAME + "0", NAME.upper()):
        assert KEYS.shown("wh1", unsound) is None


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_success(status: int) -> None:
    async with receiving() as receiver, posting() as poster:
        receiver.behave = answering(status)
        assert result_of(await poster.post(receiver.url, message("1.0"), [RAW])) == Delivered()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_not_followed(status: int) -> None:
    async with receiving() as receiver, posting() as poster:
        receiver.behave = answering(status, Location=f"http://127.0.0.1:{receiver.port}/other")
        answer = await poster.post(receiver.url, message("1.0"), [RAW])
        assert isinstance(result_of(answer), Retry) and answer.status == status
        assert [sent.path for sent in receiver.received] == ["/hook"]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("120", 120_000, 120_000),
        ("0", 0, 0),
        ("in a minute", 30_000, 61_000),
        (formatdate(0, usegmt=True), 0, 0),
        ("9999999999", 86_400_000, 86_400_000),
    ],
)
async def test_retry_after(text: str, low: int, high: int) -> None:
    async with receiving() as receiver, posting() as poster:
        in_a_minute = formatdate(time.time() + 60, usegmt=True)
        receiver.behave = answering(503, Retry_After=in_a_minute if text == "in a minute" else text)
        answer = await poster.post(receiver.url, message("1.0"), [RAW])
        assert answer.retry_after_ms is not None and low <= answer.retry_after_ms <= high + 30_000 * (
            high > low
        )


@pytest.mark.parametrize("text", ["soon", "-1", "1e9", "99999999999", "Mon, 99 Foo 2026", "Ж"])
async def test_an_unsound_retry_after_counts_as_absent(text: str) -> None:
    async with receiving() as receiver, posting() as poster:
        receiver.behave = answering(429, Retry_After=text)
        assert (await poster.post(receiver.url, message("1.0"), [RAW])).retry_after_ms is None


async def test_one_who_hangs_is_left() -> None:
    async with receiving() as receiver, posting(total_seconds=0.3) as poster:
        receiver.behave = hang
        begun = time.monotonic()
        with pytest.raises(PostFailedError, match="no answer within"):
            await poster.post(receiver.url, message("1.0"), [RAW])
        assert time.monotonic() - begun < 5


def test_what_answers_mean() -> None:
    assert result_of(Answer(410)) == Gone("answered 410 Gone")
    assert result_of(Answer(302)) == Retry("answered 302, a redirect, which is not followed")
    assert result_of(Answer(500, 7_000)) == Retry("answered 500", 7_000)
    assert result_of(Answer(404)) == Retry("answered 404")
    for status in (429, 502, 503, 504):
        assert result_of(Answer(status, 1)) == Retry(f"answered {status}", 1, away=True)


async def test_whether_anybody_was_reached_is_told() -> None:
    """A receiver that fails over one event must not stop the others; one that is not there stops them all."""
    async with receiving() as receiver, posting(total_seconds=0.3) as poster:
        receiver.behave = hang
        with pytest.raises(PostFailedError) as caught:
            await poster.post(receiver.url, message("1.0"), [RAW])
        assert caught.value.reached
        gone = receiver.url
    async with posting() as poster:
        for url in (gone, "http://8.8.8.8:0/", "http://10.0.0.1/"):
            with pytest.raises(PostFailedError) as caught:
                await poster.post(url, message("1.0"), [RAW])
            assert not caught.value.reached
    async with posting(resolver=Silent(), total_seconds=0.2) as poster:
        with pytest.raises(PostFailedError):
            await poster.post("http://silent.test/", message("1.0"), [RAW])


async def test_a_poster_can_be_closed_and_used_again() -> None:
    async with receiving() as receiver, posting() as poster:
        for _ in range(2):
            assert (await poster.post(receiver.url, message("1.0"), [RAW])).status == 204
            await poster.close()


async def test_an_endless_body_costs_its_bound_and_no_more() -> None:
    written = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 4096)
            written += 4096
            await asyncio.sleep(0)

    async with receiving() as receiver, posting() as poster:
        receiver.behave = endless
        assert (await poster.post(receiver.url, message("1.0"), [RAW])).status in (200, 204)
        assert written < 100 * MAX_BODY_BYTES  # the rest stood in buffers when the connection was cut
        receiver.behave = None
        assert (await poster.post(receiver.url, message("1.1"), [RAW])).status in (200, 204)


async def test_a_compressed_bomb_is_not_unpacked() -> None:
    async def bomb(_: web.Request) -> web.StreamResponse:
        return web.Response(body=gzip.compress(bytes(50 << 20)), headers={"Content-Encoding": "gzip"})

    async with receiving() as receiver, posting() as poster:
        receiver.behave = bomb
        assert (await poster.post(receiver.url, message("1.0"), [RAW])).status in (200, 204)


async def test_cookies_are_not_kept() -> None:
    async with receiving() as receiver, posting() as poster:
        receiver.behave = answering(204, Set_Cookie="a=1")
        for _ in range(2):
            await poster.post(receiver.url, message("1.0"), [RAW])
        assert "cookie" not in receiver.received[1].headers


async def test_the_connection_is_used_again() -> None:
    ports = set()

    async def note(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        return web.Response(text="thank you")

    async with receiving() as receiver, posting() as poster:
        receiver.behave = note
        for _ in range(3):
            await poster.post(receiver.url, message("1.0"), [RAW])
    assert len(ports) == 1


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000])
async def test_what_is_no_http_is_a_failure(answer: bytes) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, posting() as poster:
        with pytest.raises(PostFailedError, match=r"not HTTP|closed before|Connection reset"):
            await poster.post(
                f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", message("1.0"), [RAW]
            )


async def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port
        async with posting() as poster:
            with pytest.raises(PostFailedError):
                await poster.post(f"http://127.0.0.1:{taken.getsockname()[1]}/", message("1.0"), [RAW])


# --- the courier --------------------------------------------------------------------------------------------


def sink_of(url: str, **settings: Any) -> Sink:
    """A webhook with one key, and whatever else is given."""
    webhook = Webhook(url, "", **{"types": (), "keys": (WebhookKey(NAME),), **settings})
    return Sink("wh1", "webhook", "active", webhook, (0, 0), 0, 0, "1.0")


def delivery_to(sink: Sink, now_ms: int) -> Delivery:
    """Of a booking."""
    story = story_of(EVERY_EVENT[0])
    return Delivery(
        sink, (7, 0), EVERY_EVENT[0], cloud_event("demo", (7, 0), story, story), 1, now_ms, State()
    )


@pytest.mark.parametrize(
    ("types", "space_ids", "wanted"),
    [
        ((), (), True),
        (("deskraft.booking",), (), True),
        (("deskraft.booking.confirmed",), ("hq",), True),
        (("deskraft.book",), (), False),
        (("deskraft.user", "deskraft.booking.cancelled"), (), False),
        ((), ("hq", "neva"), True),
        ((), ("neva",), False),
        (("deskraft.booking",), ("neva",), False),
    ],
)
def test_who_wants_a_booking_in_hq(types: tuple[str, ...], space_ids: tuple[str, ...], wanted: bool) -> None:
    courier = WebhookCourier(KEYS, WebhookPoster(LOOPBACK))
    sink = sink_of("http://a.test/", types=types, space_ids=space_ids)
    assert courier.wants(sink, (7, 0), EVERY_EVENT[0], State()) is wanted
    registered = next(each for each in EVERY_EVENT if isinstance(each, UserRegistered))
    assert not courier.wants(sink_of("http://a.test/", space_ids=("hq",)), (7, 0), registered, State())


async def test_the_courier_signs_with_the_keys_of_the_moment() -> None:
    now_ms = int(time.time() * 1000)
    other = KEYS.new_name()
    both = (WebhookKey(other), WebhookKey(NAME, until_ms=now_ms + 1))
    lost = (WebhookKey(f"{'0' * 12}.{'0' * 24}"),)
    courier = WebhookCourier(KEYS, WebhookPoster(LOOPBACK))
    async with receiving() as receiver:
        for now, signatures in ((now_ms, 2), (now_ms + 1, 1)):
            sink = sink_of(receiver.url, keys=both)
            assert await courier.deliver(delivery_to(sink, now)) == Delivered()
            assert len(receiver.received[-1].headers["webhook-signature"].split(" ")) == signatures
        assert receiver.received[0].verify(SHOWN or "")["id"] == receiver.received[0].id == "7.0"
        result = await courier.deliver(delivery_to(sink_of(receiver.url, keys=lost), now_ms))
        assert isinstance(result, Retry) and result.away and "rotate" in result.why
        receiver.behave = answering(410)
        assert isinstance(await courier.deliver(delivery_to(sink_of(receiver.url), now_ms)), Gone)
        assert len(receiver.received) == 3
        refused = await courier.deliver(delivery_to(sink_of("http://10.0.0.1/"), now_ms))
        assert isinstance(refused, Retry) and refused.away and "private" in refused.why
        await courier.close()


# --- addresses ----------------------------------------------------------------------------------------------


class Changing(AbstractResolver):
    """A name whose answer changes from one question to the next, as somebody's own name server can do: DNS rebinding."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        texts = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        made: list[Any] = [
            {
                "hostname": host,
                "host": text,
                "port": port,
                "family": socket.AF_INET6 if ":" in text else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for text in texts
        ]
        return made

    async def close(self) -> None:
        """Nothing is open."""


class Silent(AbstractResolver):
    """A name server that never answers."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        await asyncio.sleep(3600)
        raise AssertionError("nobody waits for an hour")

    async def close(self) -> None:
        """Nothing is open."""


async def _refused(receiver: Receiver, resolver: AbstractResolver, host: str = "rebound.test") -> str:
    async with posting(AllowedHosts.of(["named.test"]), resolver=resolver, total_seconds=1.0) as poster:
        with pytest.raises(PostFailedError) as caught:
            await poster.post(f"http://{host}:{receiver.port}/hook", message("1.0"), [RAW])
    assert receiver.received == []
    return str(caught.value)


async def test_a_name_that_turns_inward_is_refused_when_it_is_connected_to() -> None:
    """At entry the name was public; at the moment of connecting it is the node's own machine."""
    async with receiving() as receiver:
        resolver = Changing(["8.8.8.8"], ["127.0.0.1"])
        await resolver.resolve("rebound.test")  # what a check at entry would have seen
        assert "loopback" in await _refused(receiver, resolver)


async def test_mixed_mapped_and_literal_addresses_are_refused() -> None:
    async with receiving() as receiver:
        for text in ("127.0.0.1", "::ffff:127.0.0.1", "::1"):
            assert await _refused(receiver, Changing([text]))
        assert await _refused(receiver, Changing(["127.0.0.1", "::1"]))
        assert "loopback" in await _refused(receiver, Changing(["8.8.8.8"]), host="127.0.0.1")
        assert "loopback" in await _refused(receiver, Changing(["8.8.8.8"]), host="[::1]")


async def test_a_name_is_allowed_by_the_operator_and_no_other_name_with_its_address() -> None:
    async with receiving() as receiver:
        resolver = Changing(["127.0.0.1"])
        async with posting(AllowedHosts.of(["named.test"]), resolver=resolver) as poster:
            url = f"http://named.test:{receiver.port}/hook"
            assert (await poster.post(url, message("1.0"), [RAW])).status in (200, 204)
            receiver.received.clear()
        assert "loopback" in await _refused(receiver, resolver)


# --- TLS ----------------------------------------------------------------------------------------------------


async def test_a_certificate_has_to_be_trusted_and_of_that_name() -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hook.test").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    resolver = Changing(["127.0.0.1"])
    allowed = AllowedHosts.of(["hook.test", "other.test"])
    async with receiving(server) as receiver:
        async with posting(allowed, resolver=resolver, tls=trusting) as poster:
            assert (
                await poster.post(f"https://hook.test:{receiver.port}/", message("1.0"), [RAW])
            ).status in (200, 204)
            with pytest.raises(PostFailedError, match=r"(?i)certificate"):
                await poster.post(f"https://other.test:{receiver.port}/", message("1.0"), [RAW])
        async with posting(allowed, resolver=resolver) as poster:
            with pytest.raises(PostFailedError, match=r"(?i)certificate"):
                await poster.post(f"https://hook.test:{receiver.port}/", message("1.0"), [RAW])
    assert len(receiver.received) == 1
