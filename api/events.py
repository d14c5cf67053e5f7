"""`GET /api/v1/events`: the feed of the cluster, as a stream of server-sent events or page by page.

A stream goes on where its reader has got to (`Last-Event-ID`, or `last_event_id` for a page that goes on at another node),
on whichever node it comes back: every node has the same feed. The position is judged on a state that reflects everything
acknowledged before the request, so a place that this node does not know is one that no node knows, and not one that it has yet
to learn. Who sees what: `node/cloudevents.py`; how streams are written: `streams.py`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from aiohttp import HttpVersion11, web
from msgspec import Struct

from api.answers import content_answer, raw_json_answer
from api.calls import LIMIT, Call, Parameter
from api.exchange import Exchange
from api.problems import Refusal, parameter_refusal
from api.streams import Stream, first_message
from api.telling import View
from api.tokens import Identity
from node.cloudevents import place_from, place_text
from statemachine.feed import Place
from statemachine.state import State

MEDIA_TYPE = "text/event-stream"
DEFAULT_PAGE_EVENTS = 50
MAX_EXAMINED_EVENTS = 2_000  # for one page, when a filter or what is not the reader's hides most of them
MAX_FILTER_WORDS = 20
MAX_FILTER_CHARACTERS = 1_000


class CloudEventView(Struct, frozen=True):
    """A CloudEvent 1.0. Its `id` is `index.position`; what is in `data` goes by its `type` (docs/events.md)."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str
    data: dict[str, Any]


class EventsView(Struct, frozen=True):
    """A page of the feed. `next` is null when nothing more has happened yet; `position` is how far this page has looked: ask
    for what comes after it later. `reset`: events after the given place are no longer kept, and the page begins with the
    oldest that are.
    """

    items: list[CloudEventView]
    next: str | None
    position: str
    reset: bool


async def events(exchange: Exchange, _: None) -> web.Response:
    """What has happened: live, or a page of it."""
    query = exchange.query
    identity = exchange.identity_if_given()
    place = await _place_asked_for(exchange)
    state = await exchange.read_state()
    view = _view(exchange, state, identity)
    if "after" in query or "limit" in query:
        return _page(exchange, state, view)
    return _stream(exchange, state, view, identity, place)


async def _place_asked_for(exchange: Exchange) -> Place | None:
    """The place after which the stream goes on; None: now. One that is no place at all is unknown like any other."""
    text = exchange.request.headers.get("Last-Event-ID") or exchange.query.get("last_event_id")
    if not text:
        return None
    place = place_from(text)
    replica = exchange.services.replica
    if place is None:
        return (0, -1)
    if exchange.query.get("consistency") == "stale" and place[0] > replica.applied_index:
        await replica.wait_until_applied(place[0], exchange.remaining_seconds())
    return place


def _view(exchange: Exchange, state: State, identity: Identity | None) -> View:
    query = exchange.query
    user_id, administrator = "", False
    if identity is not None:
        user = exchange.user_of(state, identity)
        user_id, administrator = user.id, user.role == "admin"
    spaces = query.get("space", ())
    for space_id in spaces:
        if space_id not in state.spaces:
            raise Refusal("unknown-space")
    return View(user_id, administrator, spaces, query.get("type", ()))


def _stream(
    exchange: Exchange, state: State, view: View, identity: Identity | None, place: Place | None
) -> web.Response:
    services, request = exchange.services, exchange.request
    services.streams.admit(view.user_id)
    answer = content_answer(b"", MEDIA_TYPE, exchange.index, extra=(("X-Accel-Buffering", "no"),))
    answer.headers["Cache-Control"] = "no-store"
    if request.method == "HEAD":
        return answer
    transport = request.transport
    if transport is None:
        raise ConnectionError("the connection is gone")
    begins, first = first_message(place, state.feed)

    def alive() -> bool:
        replica = services.replica
        if identity is None:
            return True
        if replica.now_ms() >= identity.expires_ms:
            return False
        session = replica.state.session(identity.session_id, replica.now_ms())
        if session is None:
            return False
        return (replica.state.users[session.user_id].role == "admin") == view.administrator

    chunked = request.version >= HttpVersion11
    stream = Stream(transport, view, begins, alive, chunked=chunked)
    answer.body = services.streams.body(stream, first)
    return answer


def _page(exchange: Exchange, state: State, view: View) -> web.Response:
    query, feed = exchange.query, state.feed
    place: Place | None = query.get("after")
    reset = False
    if place is None:
        place = feed.lost_through
    elif place < feed.lost_through or not feed.has(place):
        place, reset = feed.lost_through, True
    limit = query.get("limit", DEFAULT_PAGE_EVENTS)
    texts, position = exchange.services.streams.teller.page(feed, place, view, limit, MAX_EXAMINED_EVENTS)
    more = feed.last is not None and position < feed.last
    text = place_text(position)
    following = f'"{text}"' if more else "null"
    body = b'{"items":[%s],"next":%s,"position":"%s","reset":%s}' % (
        b",".join(texts),
        following.encode(),
        text.encode(),
        b"true" if reset else b"false",
    )
    extra = []
    if more:
        request = exchange.request
        rest = [(name, value) for name, value in request.query.items() if name != "after"]
        path = f"{request.rel_url.raw_path}?{urlencode([*rest, ('after', text)])}"
        extra = [("Link", f'<{path}>; rel="next"')]
    return raw_json_answer(body, exchange.index, extra=extra)


def _parse_place(text: str) -> Place:
    place = place_from(text)
    if place is None:
        raise parameter_refusal("after", "must be the id of an event, `index.position`, or 0")
    return place


def _words(name: str) -> Parameter:
    def parse(text: str) -> tuple[str, ...]:
        words = tuple(dict.fromkeys(text.split(",")))
        if not all(words) or len(words) > MAX_FILTER_WORDS or len(text) > MAX_FILTER_CHARACTERS:
            raise parameter_refusal(name, f"must be 1 to {MAX_FILTER_WORDS} words with commas between them")
        return tuple(sorted(words))

    if name == "space":
        told = "Only what happens in these spaces: ids with commas between them."
    else:
        told = "Only these types, each whole or as it begins (`deskraft.booking`), with commas between them."
    return Parameter(name, told, {"type": "string", "maxLength": MAX_FILTER_CHARACTERS}, parse)


CALLS = (
    Call(
        "GET",
        "/api/v1/events",
        "What has happened: live, or page by page",
        events,
        {200: EventsView},
        access="optional",
        query=(
            Parameter(
                "after",
                "A page of what came after this event, as JSON. `0`: from the beginning.",
                {"type": "string", "pattern": r"^(0|[0-9]{1,16}\.[0-9]{1,10})$"},
                _parse_place,
            ),
            LIMIT,
            _words("space"),
            _words("type"),
            Parameter(
                "last_event_id",
                "The same as the header `Last-Event-ID`, for a stream that goes on at another node.",
                {"type": "string", "maxLength": 100},
                str,
            ),
        ),
        problems=("invalid-parameter", "unknown-space", "overloaded", "unavailable"),
        other_media_types=(MEDIA_TYPE,),
        streamed=True,
    ),
)
