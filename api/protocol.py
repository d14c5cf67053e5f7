"""What is answered before any call is found: to one connection too many, and to HTTP that cannot be parsed.

Connections are files, and the journal needs files too: without a limit a stranger could stop the node by
connecting often enough. A connection over the limit gets a short 503 and is closed.

aiohttp's own answer to broken HTTP is plain text with its version, and logs a traceback for every stranger who speaks
garbage to the port. Here it is a problem like any other, logged for debugging only. The library offers no
hook for it; the smallest seam is to give its server another class, which adds behaviour and no state that its
constructor would have to make.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

from aiohttp import web

from api.answers import INDEX_HEADER, problem_answer
from api.problems import MEDIA_TYPE, Refusal
from node.replica import Replica

MAX_CONNECTIONS = 12_000  # of which api/streams.py may take 10,000

log = logging.getLogger("deskraft.api")


class _Protocol(web.RequestHandler):
    """One connection."""

    __slots__ = ("_replica", "_server")

    def __init__(self, server: _Server, replica: Replica, **options: Any) -> None:
        super().__init__(server, **options)
        self._replica = replica
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve, unless there are too many connections already."""
        if len(self._server.connections) < self._server.max_connections:
            super().connection_made(transport)
            return
        out = cast("asyncio.Transport", transport)  # uvloop's transports are no subclasses of it
        out.write(_too_many(self._replica.applied_index))
        out.close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that could not be parsed, or (which the gate prevents) to a failed handler."""
        code = "bad-request" if status < 500 else "internal"
        log.log(logging.DEBUG if status < 500 else logging.ERROR, "event=bad-request", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("part of an answer has been sent already")
        response = problem_answer(Refusal(code, headers={"Connection": "close"}), self._replica.applied_index)
        response.force_close()
        return response


class _Server(web.Server):
    """Makes the connections."""

    replica: Replica
    max_connections: int

    def __call__(self) -> web.RequestHandler:
        """A protocol for a new connection."""
        return _Protocol(self, self.replica, loop=self._loop, **self._kwargs)


class ApiRunner(web.AppRunner):
    """Runs an application as `web.AppRunner` does, with our answers to broken HTTP."""

    def __init__(
        self,
        app: web.Application,
        replica: Replica,
        *,
        max_connections: int = MAX_CONNECTIONS,
        **options: Any,
    ) -> None:
        super().__init__(app, **options)
        self._replica = replica
        self._max_connections = max_connections

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server
        assert isinstance(server, _Server)
        server.replica = self._replica
        server.max_connections = self._max_connections
        return server


def _too_many(index: int) -> bytes:
    refusal = Refusal(
        "unavailable",
        "This node has too many connections. Ask another node.",
        headers={"Connection": "close"},
    )
    body = refusal.encode()
    headers = {
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        INDEX_HEADER: str(index),
        **refusal.headers,
    }
    lines = [
        "HTTP/1.1 503 Service Unavailable",
        *(f"{name}: {value}" for name, value in headers.items()),
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body
