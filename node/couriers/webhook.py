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
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver

from node.couriers.addresses import (
    AllowedHosts,
    BadUrlError,
    refuse_literal,
    target_of,
)
from node.couriers.signing import signature_header

TOTAL_SECONDS = 9.0  # of one attempt, from the look-up of the name to the head of the answer
CONNECT_SECONDS = 4.0
BODY_SECONDS = 1.0
MAX_BODY_BYTES = 16 << 10  # read and thrown away, so that the connection can be used again
MAX_CONNECTIONS = 16
MAX_RETRY_AFTER_SECONDS = 24 * 3600
MAX_WHY_CHARACTERS = 200
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
USER_AGENT = "Deskraft-Webhooks/1"
GONE = 410

_DELTA_SECONDS = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True)
class Answer:
    """What a receiver said, without its body."""

    status: int
    retry_after_ms: int | None = None

    @property
    def good(self) -> bool:
        """It has taken the event."""
        return 200 <= self.status <= 299


class PostFailedError(Exception):
    """There was no answer; the message says why in a line that holds nothing of the receiver's making but its address."""


class WebhookPoster:
    """Makes signed requests. One for a node, made inside of its loop and closed with `close`."""

    def __init__(
        self,
        allowed: AllowedHosts,
        *,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | bool = True,
        total_seconds: float = TOTAL_SECONDS,
        now_seconds: Callable[[], float] = time.time,
    ) -> None:
        """`resolver` and `tls` (the certificates that are trusted) are the system's unless a test says otherwise."""
        assert tls is not False, "certificates are always verified"
        self._allowed = allowed
        self._now_seconds = now_seconds
        self._resolver = resolver
        self._tls = tls
        self._limits = aiohttp.ClientTimeout(total=total_seconds, sock_connect=CONNECT_SECONDS)
        self._public = self._session(strict=True)
        self._named = self._session(strict=False)

    def _session(self, *, strict: bool) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=MAX_CONNECTIONS,
            ssl=self._tls,
            resolver=self._resolver,
            use_dns_cache=False,
            family=socket.AF_UNSPEC,
            socket_factory=self._allowed.strict_socket if strict else None,
        )
        return aiohttp.ClientSession(
            connector=connector,
            connector_owner=True,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=self._limits,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._public.close()
        await self._named.close()

    async def post(self, url: str, message_id: str, payload: bytes, keys: Sequence[bytes]) -> Answer:
        """Send one message, signed with every key. Raises PostFailedError."""
        assert keys, "a webhook is never sent unsigned"
        try:
            target = target_of(url)
            refuse_literal(target, self._allowed)
        except BadUrlError as error:
            raise PostFailedError(str(error)) from None
        timestamp = int(self._now_seconds())
        headers = {
            "Content-Type": CONTENT_TYPE,
            "User-Agent": USER_AGENT,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature_header(message_id, timestamp, payload, keys),
        }
        session = self._named if self._allowed.has_name(target.host, target.port) else self._public
        try:
            async with session.post(
                target.url, data=payload, headers=headers, allow_redirects=False
            ) as response:
                answer = Answer(
                    response.status, _retry_after_ms(response.headers.get("Retry-After"), timestamp)
                )
                await _throw_body_away(response)
        except TimeoutError:
            raise PostFailedError(f"no answer within {self._limits.total:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise PostFailedError(_line(error)) from None
        return answer


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


def _retry_after_ms(text: str | None, now_seconds: int) -> int | None:
    """`Retry-After` as RFC 9110, section 10.2.3, has it: seconds or a date. What is neither counts as absent."""
    if text is None:
        return None
    if _DELTA_SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - now_seconds
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return int(min(max(seconds, 0), MAX_RETRY_AFTER_SECONDS) * 1000)


def _line(error: Exception) -> str:
    """One bounded line about a request that failed."""
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.strerror:
        error = OSError(f"cannot connect to {error.host}:{error.port}: {error.os_error.strerror}")
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:MAX_WHY_CHARACTERS]
