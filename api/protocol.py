"""What aiohttp answers before any call is found: HTTP that cannot be parsed.

aiohttp's own answer is plain text with its version, and logs a traceback for every stranger who speaks
garbage to the port. Here it is a problem like any other, logged for debugging only. The library offers no
hook for it; the smallest seam is to give its server another class, which adds behaviour and no state that its
constructor would have to make.
"""

from __future__ import annotations

import logging
from typing import Any

from aiohttp import web

from api.answers import problem_answer
from api.problems import Refusal
from node.replica import Replica

log = logging.getLogger("deskraft.api")


class _Protocol(web.RequestHandler):
    """One connection."""

    __slots__ = ("_replica",)

    def __init__(self, manager: _Server, replica: Replica, **options: Any) -> None:
        super().__init__(manager, **options)
        self._replica = replica

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

    def __call__(self) -> web.RequestHandler:
        """A protocol for a new connection."""
        return _Protocol(self, self.replica, loop=self._loop, **self._kwargs)


class ApiRunner(web.AppRunner):
    """Runs an application as `web.AppRunner` does, with our answers to broken HTTP."""

    def __init__(self, app: web.Application, replica: Replica, **options: Any) -> None:
        super().__init__(app, **options)
        self._replica = replica

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server
        assert isinstance(server, _Server)
        server.replica = self._replica
        return server
