"""Event streams read as cheaply as may be, so that one process can hold thousands of them: for measurements and for storms."""

from __future__ import annotations

import asyncio
import re
import resource
import time
from collections.abc import Callable

OPEN_AT_ONCE = 100
_PLACE = re.compile(rb"^id: ([0-9]+)\.([0-9]+)\ndata: ", re.MULTILINE)


class Listener(asyncio.Protocol):
    """One stream: the places of its events, and when the last one came."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self.opened: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.places: list[tuple[int, int]] = []
        self.last_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Note the events; what is cut in two waits for its rest."""
        if not self.opened.done():
            self.opened.set_result(data.split(b"\r\n", 1)[0])
        whole, _, self._rest = (self._rest + data).rpartition(b"\n\n")
        found = [(int(index), int(position)) for index, position in _PLACE.findall(whole)]
        if found:
            self.places += found
            self.last_at = time.perf_counter()

    def connection_lost(self, _error: Exception | None) -> None:
        """Somebody who waits for the beginning has to know."""
        if not self.opened.done():
            self.opened.set_result(b"lost")


async def open_streams(
    address: str, count: int, token_of: Callable[[int], str], query_of: Callable[[int], str] = lambda _: ""
) -> list[Listener | bytes]:
    """All of them, some at a time, at one `host:port`; for each a listener, or the first line of what was answered instead of a stream.

    `token_of` and `query_of` give the access token ("" for none) and the query ("" or with its `?`) of each.
    """
    host, _, port = address.partition(":")
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(OPEN_AT_ONCE)

    async def one(number: int) -> Listener | bytes:
        token = token_of(number)
        head = f"GET /api/v1/events{query_of(number)} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n"
        request = head + (f"Authorization: Bearer {token}\r\n" if token else "") + "\r\n"
        async with gate:
            try:
                _, listener = await loop.create_connection(
                    lambda: Listener(request.encode()), host, int(port)
                )
            except OSError as error:
                return str(error).encode()
            line = await listener.opened
        if line.startswith(b"HTTP/1.1 200"):
            return listener
        listener.transport.abort()
        return line

    return list(await asyncio.gather(*(one(number) for number in range(count))))


def allow_descriptors(wanted: int) -> bool:
    """Raise this process's limit of open files; whether that was allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return True
    if hard < wanted:
        return False
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return True
