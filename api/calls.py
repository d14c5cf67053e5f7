"""How a call is declared: once, for the dispatcher and for the OpenAPI document alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import format_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web

from api.problems import parameter_refusal
from api.shapes import MAX_NAME_CHARACTERS, Body
from api.timegrid import FIRST_YEAR, LAST_YEAR, parse_date

if TYPE_CHECKING:
    from api.exchange import Exchange

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_CURSOR_CHARACTERS = 200
PAGE_HEADER = "Deskraft-Page"

Handler = Callable[["Exchange", Any], Awaitable[web.Response]]
"""Takes the exchange and the decoded body (None for a call without one)."""

Access = Literal["public", "optional", "user", "node", "page"]
"""public: no log-in. optional: a token adds to the answer. user: needs one. node: no log-in, never waits for others. page: for
pages of the cluster, who are known by a cookie (`browser.py`)."""


@dataclass(frozen=True)
class Parameter:
    """A query parameter. `parse` returns the value or raises `Refusal`."""

    name: str
    description: str
    schema: dict[str, Any]
    parse: Callable[[str], Any]
    required: bool = False


@dataclass(frozen=True)
class Deprecation:
    """That a call will go: since when people are told, from when on it may be gone, and where the reason is told.

    Becomes the headers `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and `Link` with `rel="deprecation"`, and `deprecated` in the
    OpenAPI document. docs/api.md tells the policy.
    """

    since: datetime
    sunset: datetime
    link: str

    @cached_property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What every answer of the call carries."""
        return (
            ("Deprecation", f"@{int(self.since.timestamp())}"),
            ("Sunset", format_datetime(self.sunset.astimezone(UTC), usegmt=True)),
            ("Link", f'<{self.link}>; rel="deprecation"; type="text/html"'),
        )


@dataclass(frozen=True)
class Call:
    """One method on one path. `answers` maps a status to the type of its body (None: no body).

    A body that may be left out is then `body()`. `keyed` is false for a write that keeps no `Idempotency-Key`. `matched` is true for a
    change that heeds `If-Match`. `streamed`: the answer has no bytes that could be compared, so it gets no ETag.
    `with_one_time_password`: who has to change the password first may call it nevertheless.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    summary: str
    handler: Handler
    answers: dict[int, Any]
    access: Access = "user"
    body: type[Body] | None = None
    body_optional: bool = False
    query: tuple[Parameter, ...] = ()
    problems: tuple[str, ...] = ()
    media_type: str = "application/json"
    other_media_types: tuple[str, ...] = ()  # that the first status may have instead, as text
    keyed: bool = True
    matched: bool = False
    streamed: bool = False
    with_one_time_password: bool = False
    deprecated: Deprecation | None = None

    @cached_property
    def tagged(self) -> bool:
        """Whether what is read gets an ETag and heeds `If-None-Match`. What a node tells of itself changes all the time."""
        return self.method == "GET" and self.access != "node" and not self.streamed

    @cached_property
    def takes_key(self) -> bool:
        """Whether the call heeds `Idempotency-Key`."""
        return self.method != "GET" and self.keyed

    @cached_property
    def paged(self) -> bool:
        """Whether the answer may go on on another page, which `Link` then names."""
        return CURSOR in self.query

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """What may stand in the query, by name."""
        reads = self.method == "GET" and self.access != "node"
        return {parameter.name: parameter for parameter in (*self.query, *((CONSISTENCY,) if reads else ()))}


def _choice(name: str, values: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in values:
            raise parameter_refusal(name, "must be one of " + ", ".join(values))
        return text

    return parse


def choice(name: str, values: tuple[str, ...], description: str) -> Parameter:
    """A parameter that takes one of a few words."""
    return Parameter(name, description, {"type": "string", "enum": list(values)}, _choice(name, values))


def _parse_limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= MAX_LIMIT):
        raise parameter_refusal("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def _parse_cursor(text: str) -> str:
    if not text or len(text) > MAX_CURSOR_CHARACTERS:
        raise parameter_refusal("cursor", "is not one that this call has given")
    return text


def day_parameter(name: str, description: str, *, required: bool) -> Parameter:
    """A parameter that takes a local date."""

    def parse(text: str) -> date:
        day = parse_date(text)
        if day is None:
            raise parameter_refusal(
                name, f"must be a date such as 2026-12-01, from {FIRST_YEAR} to {LAST_YEAR}"
            )
        return day

    schema = {"type": "string", "format": "date", "examples": ["2026-12-01"]}
    return Parameter(name, description, schema, parse, required=required)


def _parse_space(text: str) -> str:
    if not text or len(text) > MAX_NAME_CHARACTERS:
        raise parameter_refusal("space_id", "is not the id of a space")
    return text


CONSISTENCY = choice(
    "consistency",
    ("linearizable", "stale"),
    "`stale` answers from the node's own state without asking the others.",
)
LIMIT = Parameter(
    "limit",
    "How many items at most.",
    {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    _parse_limit,
)
CURSOR = Parameter(
    "cursor",
    "`next` of the page before.",
    {"type": "string", "maxLength": MAX_CURSOR_CHARACTERS},
    _parse_cursor,
)
DATE = day_parameter("date", "A day, local to the space.", required=True)
SPACE = Parameter(
    "space_id",
    "Only this space.",
    {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARACTERS},
    _parse_space,
)
FROM = day_parameter("from", "Only what begins on this day of its space or later.", required=False)
TO = day_parameter("to", "Only what begins on this day of its space or earlier.", required=False)
WHEN = choice("when", ("upcoming", "past"), "Whether the booking's end is still to come.")
STATUS = choice(
    "status", ("confirmed", "cancelled", "completed", "released"), "Only bookings with this status."
)
