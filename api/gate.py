"""The one dispatcher in front of all calls: from an HTTP request to an answer, whatever happens.

A gate stands at one path and knows its calls by method. There are no middlewares; what every request needs is done
here, once: the time limit, `Deskraft-Min-Index`, the body, the mapping of errors, `Deskraft-Index`, CORS, metrics.

Every request is answered within REQUEST_SECONDS. What an answer means when time runs out depends on how far the
request had come: while its body was arriving (408), before a command was given to the cluster (503 `unavailable`), or
after (503 `outcome-unknown`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from time import perf_counter

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from api.answers import DIGEST_HEADER, INDEX_HEADER, empty_answer, problem_answer
from api.calls import Call
from api.conditional import tagged
from api.exchange import Exchange
from api.ids import uuid7
from api.problems import Refusal
from api.services import Services
from api.timegrid import UnknownZoneError
from node.replica import OutcomeUnknownError, OverloadedError, UnavailableError

BUDGET_SECONDS = 2.1  # for the cluster's part; leaves time to answer
REQUEST_SECONDS = 2.35  # for the whole; the promise to clients is 2.5

_EXPOSED_HEADERS = "Deprecation, Deskraft-Digest, Deskraft-Index, ETag, Link, Location, Retry-After, Sunset"
_ALLOWED_HEADERS = (
    "Authorization, Content-Type, Deskraft-Min-Index, Deskraft-Page, Idempotency-Key, If-Match, "
    "If-None-Match, Last-Event-ID"
)
_PREFLIGHT_SECONDS = "600"

log = logging.getLogger("deskraft.api")


class Gate:
    """All calls on one path."""

    def __init__(self, services: Services, route: str, calls: Iterable[Call]) -> None:
        self._services = services
        self._route = route
        self._calls: dict[str, Call] = {call.method: call for call in calls}
        if "GET" in self._calls:
            self._calls["HEAD"] = self._calls["GET"]
        self._for_pages = any(call.access == "page" for call in self._calls.values())
        self._allow = ", ".join([*self._calls, "OPTIONS"])

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        services = self._services
        began = perf_counter()  # uvloop's own clock counts whole milliseconds
        services.metrics.in_flight += 1
        try:
            response = await self._answer(request, asyncio.get_running_loop().time())
        finally:
            services.metrics.in_flight -= 1
        if (index := response.headers.get(INDEX_HEADER)) and (digest := services.replica.receipt(int(index))):
            response.headers[DIGEST_HEADER] = digest.hex()
        call = self._calls.get(request.method)
        if call is not None and call.deprecated is not None:
            response.headers.extend(call.deprecated.headers)
        if "Origin" in request.headers:
            self._allow_origin(request, response)
        if services.replica.stopping:
            response.force_close()  # the next request of this connection belongs to another node
        method = request.method if request.method in self._calls else "other"
        services.metrics.observe(self._route, method, response.status, perf_counter() - began)
        return response

    async def meet_expectation(self, request: web.Request) -> web.StreamResponse | None:
        """`Expect: 100-continue` is met; any other expectation is a problem instead of aiohttp's plain text."""
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # as aiohttp's own handler does: the answer is still to come
            return None
        return problem_answer(Refusal("expectation-failed"), self._services.replica.applied_index)

    async def _answer(self, request: web.Request, began: float) -> web.Response:
        services = self._services
        call = self._calls.get(request.method)
        if call is None:
            return self._without_call(request)
        exchange = Exchange(services, request, call, began + services.budget_seconds)
        try:
            async with asyncio.timeout_at(began + services.request_seconds):
                exchange.read_query()
                if call.takes_key:
                    exchange.idempotency_key()  # a bad one is refused by every call alike
                if call.access == "user":
                    exchange.identity()  # before the body: strangers cost little
                body = await exchange.read_body()
                await exchange.wait_for_min_index()
                answer = await call.handler(exchange, body)
                if call.tagged:
                    answer = tagged(request, answer, shared=call.access != "user")
                return answer
        except Exception as error:  # noqa: BLE001 - every failure becomes an answer; unknown ones are logged
            refusal = self._refusal(error, exchange)
        return problem_answer(refusal, exchange.index or services.replica.applied_index)

    def _refusal(self, error: Exception, exchange: Exchange) -> Refusal:
        match error:
            case Refusal():
                return error
            case UnavailableError():
                return Refusal("unavailable", str(error))
            case OutcomeUnknownError():
                return Refusal("outcome-unknown")
            case UnknownZoneError():
                log.warning("event=unknown-zone route=%s: %s", self._route, error)
                if exchange.stage in ("writing", "written"):
                    return Refusal("outcome-unknown")  # it is done, and cannot be shown here
                return Refusal("unavailable", str(error))
            case OverloadedError():
                return Refusal("overloaded", str(error))
            case TimeoutError() if exchange.stage == "receiving":
                return Refusal("request-timeout", headers={"Connection": "close"})
            case TimeoutError() if exchange.stage == "writing":
                return Refusal("outcome-unknown")
            case TimeoutError():
                return Refusal("unavailable", "No answer within the time of a request.")
            case web.HTTPRequestEntityTooLarge():
                return Refusal("body-too-large", headers={"Connection": "close"})
            case web.RequestPayloadError() | BadHttpMessage():
                return Refusal("bad-request", "The body cannot be read.", headers={"Connection": "close"})
            case ConnectionError():
                return Refusal("bad-request", "The connection was lost.", headers={"Connection": "close"})
            case _:
                return self._internal(error, exchange)

    def _internal(self, error: Exception, exchange: Exchange) -> Refusal:
        incident = uuid7(self._services.replica.now_ms())
        log.error("event=internal-error incident=%s route=%s", incident, self._route, exc_info=error)
        if exchange.stage in ("writing", "written"):
            return Refusal("outcome-unknown", members={"incident": incident})
        return Refusal("internal", f"It has been logged as {incident}.", members={"incident": incident})

    def _without_call(self, request: web.Request) -> web.Response:
        index = self._services.replica.applied_index
        if not self._calls:
            return problem_answer(Refusal("not-found"), index)
        if request.method == "OPTIONS":
            preflight = [("Allow", self._allow)]
            if "Access-Control-Request-Method" in request.headers:
                preflight += [
                    ("Access-Control-Allow-Methods", self._allow),
                    ("Access-Control-Allow-Headers", _ALLOWED_HEADERS),
                    ("Access-Control-Max-Age", _PREFLIGHT_SECONDS),
                ]
            return empty_answer(index, extra=preflight)
        return problem_answer(Refusal("method-not-allowed", headers={"Allow": self._allow}), index)

    def _allow_origin(self, request: web.Request, response: web.Response) -> None:
        response.headers.add("Vary", "Origin")
        origin = request.headers["Origin"]
        if self._services.origins.allows(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            if self._for_pages:  # the only calls that look at a cookie
                response.headers["Access-Control-Allow-Credentials"] = "true"
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED_HEADERS
        else:  # a page from elsewhere is told nothing about what its request may carry
            response.headers.popall("Access-Control-Allow-Headers", None)
            response.headers.popall("Access-Control-Allow-Methods", None)
