"""Webhooks by the rules of Standard Webhooks 1.0: one signed POST for each event, and what an answer means.

- 2xx is success, whatever the body says. 410 means that nobody wants this any more: the endpoint is disabled. Anything else is a
  failure that is tried again, a redirect too: it is never followed, because the one who answers must not choose who is asked next.
- `webhook-id` is the event's id, the same on every attempt, so a receiver drops what it has seen. `webhook-timestamp` is the time
  of the attempt. The signature covers both and the very bytes that are sent.
- The body is a CloudEvent in structured mode (CloudEvents HTTP binding 1.0, section 3.2).
- The receiver cannot cost more than one attempt: total time, headers and body of an answer are bounded, nothing is unpacked, no
  cookie is kept, and nothing of the body is kept or shown.
- Addresses are judged at the moment of connecting (addresses.py). There are two pools of connections: one that connects to the public
  internet only, and one for the hosts that the operator allows by name.
"""

from __future__ import annotations

import asyncio
import email.utils
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver

from node.cloudevents import story_of
from node.couriers import Delivered, Delivery, Gone, Result, Retry
from node.couriers.addresses import (
    AllowedHosts,
    BadUrlError,
    refuse_literal,
    target_of,
)
from node.couriers.signing import SigningKeys, signature_header
from statemachine.events import Event
from statemachine.sinks import Place, Sink
from statemachine.state import State

TOTAL_SECONDS = 9.0  # of one attempt, from the look-up of the name to the head of the answer
CONNECT_SECONDS = 4.0
BODY_SECONDS = 1.0
KEEP_SECONDS = (
    2.0  # an idle connection; less than usual servers keep one, so that none is closed as it is used again
)
MAX_BODY_BYTES = 16 << 10  # read and thrown away, so that the connection can be used again
MAX_RETRY_AFTER_SECONDS = 24 * 3600
MAX_WHY_CHARACTERS = 200
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
USER_AGENT = "Deskraft-Webhooks/1"
GONE = 410
SERVES_NOBODY = frozenset({429, 502, 503, 504})  # another event would fare no better

_DELTA_SECONDS = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True)
class Message:
    """What is sent. `now_ms` is the time of the attempt."""

    id: str
    now_ms: int
    payload: bytes

    def headers(self, keys: Sequence[bytes]) -> dict[str, str]:
        """With a signature by each key."""
        seconds = self.now_ms // 1000
        return {
            "Content-Type": CONTENT_TYPE,
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "identity",
            "webhook-id": self.id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": signature_header(self.id, seconds, self.payload, keys),
        }


@dataclass(frozen=True)
class Answer:
    """What a receiver said, without its body."""

    status: int
    retry_after_ms: int | None = None


class PostFailedError(Exception):
    """There was no answer; the message says why in one line. `reached`: somebody was connected and has perhaps read it."""

    def __init__(self, why: str, *, reached: bool) -> None:
        super().__init__(why)
        self.reached = reached


class WebhookPoster:
    """Makes signed requests. Has connections from the first request until `close`, and again after it."""

    def __init__(
        self,
        allowed: AllowedHosts,
        *,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        """`resolver` and `tls` (the certificates that are trusted) are the system's unless a test says otherwise."""
        self._allowed = allowed
        self._resolver = resolver
        self._tls = tls
        self._limits = aiohttp.ClientTimeout(total=total_seconds, connect=CONNECT_SECONDS)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    def _session(self, *, strict: bool) -> aiohttp.ClientSession:
        session = self._sessions.get(strict)
        if session is None:
            connector = aiohttp.TCPConnector(
                limit=0,  # the runner bounds how many there are at once; a receiver that hangs must not hold up another's
                ssl=self._tls or True,
                resolver=self._resolver,
                use_dns_cache=False,
                keepalive_timeout=KEEP_SECONDS,
                family=socket.AF_UNSPEC,
                socket_factory=self._allowed.strict_socket if strict else None,
            )
            session = self._sessions[strict] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,  # no proxy: it would connect where we would not
                timeout=self._limits,
            )
        return session

    async def close(self) -> None:
        """Close every connection."""
        while self._sessions:
            await self._sessions.popitem()[1].close()

    async def post(self, url: str, message: Message, keys: Sequence[bytes]) -> Answer:
        """Send one message, signed with every key. Raises PostFailedError."""
        assert keys, "a webhook is never sent unsigned"
        try:
            target = target_of(url)
            refuse_literal(target, self._allowed)
        except BadUrlError as error:
            raise PostFailedError(str(error), reached=False) from None
        session = self._session(strict=not self._allowed.has_name(target.host, target.port))
        try:
            async with session.post(
                target.url, data=message.payload, headers=message.headers(keys), allow_redirects=False
            ) as response:
                waits_ms = _retry_after_ms(response.headers.get("Retry-After"), message.now_ms)
                await _throw_body_away(response)
                return Answer(response.status, waits_ms)
        except TimeoutError as error:
            reached = not isinstance(error, aiohttp.ConnectionTimeoutError)
            seconds = self._limits.total if reached else self._limits.connect
            raise PostFailedError(
                f"{'no answer' if reached else 'no connection'} within {seconds:g} s", reached=reached
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            reached = not isinstance(error, (aiohttp.ClientConnectorError, aiohttp.InvalidURL))
            raise PostFailedError(_line(error), reached=reached) from None


class WebhookCourier:
    """Tells webhooks what they want to hear."""

    def __init__(self, keys: SigningKeys, poster: WebhookPoster) -> None:
        self._keys = keys
        self._poster = poster

    def wants(self, sink: Sink, place: Place, event: Event, state: State) -> bool:
        """By the types and the spaces that its administrator chose."""
        webhook = sink.webhook
        if webhook is None or not (webhook.types or webhook.space_ids):
            return webhook is not None
        story = story_of(event)
        return _is_of(story.type, webhook.types) and (
            not webhook.space_ids or any(space_id in webhook.space_ids for space_id in story.spaces)
        )

    async def deliver(self, delivery: Delivery) -> Result:
        """One attempt."""
        sink = delivery.sink
        assert sink.webhook is not None
        names = sink.webhook.keys_at(delivery.now_ms)
        keys = [key for name in names if (key := self._keys.raw(sink.id, name)) is not None]
        if not keys:
            return Retry(
                "its key came from a line that is no longer in the secret file: rotate it", away=True
            )
        message = Message(delivery.event_id, delivery.now_ms, msgspec.json.encode(delivery.cloud))
        try:
            answer = await self._poster.post(sink.webhook.url, message, keys)
        except PostFailedError as error:
            return Retry(str(error), away=not error.reached)
        return result_of(answer)

    async def close(self) -> None:
        """Let connections go."""
        await self._poster.close()


def result_of(answer: Answer) -> Result:
    """What an answer means."""
    status = answer.status
    if 200 <= status <= 299:
        return Delivered()
    if status == GONE:
        return Gone("answered 410 Gone")
    redirect = ", a redirect, which is not followed" if 300 <= status <= 399 else ""
    return Retry(f"answered {status}{redirect}", answer.retry_after_ms, away=status in SERVES_NOBODY)


def _is_of(kind: str, wanted: Sequence[str]) -> bool:
    """Whether a type is one of these, or begins with one of them and a dot."""
    return not wanted or any(kind == each or kind.startswith(f"{each}.") for each in wanted)


async def _throw_body_away(response: aiohttp.ClientResponse) -> None:
    """Read a short body to its end, which keeps the connection; cut a long or slow one off. The status has decided already."""
    left = MAX_BODY_BYTES
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while left > 0 and (chunk := await response.content.read(left)):
                left -= len(chunk)
    except (TimeoutError, aiohttp.ClientError, OSError):
        left = 0
    if left <= 0:
        response.close()


def _retry_after_ms(text: str | None, now_ms: int) -> int | None:
    """`Retry-After` as RFC 9110, section 10.2.3, has it: seconds or a date. What is neither counts as absent."""
    if text is None:
        return None
    if _DELTA_SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - now_ms / 1000
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return int(min(max(seconds, 0), MAX_RETRY_AFTER_SECONDS) * 1000)


def _line(error: Exception) -> str:
    """One bounded line about a request that failed, without a word of the receiver's making."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed before there was an answer"
    if isinstance(error, (aiohttp.ClientResponseError, aiohttp.ClientPayloadError)):
        return "the answer was not HTTP"
    text = str(error)
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.strerror:
        text = f"cannot connect to {error.host}:{error.port}: {error.os_error.strerror}"
    return (" ".join(text.split()) or type(error).__name__)[:MAX_WHY_CHARACTERS]
