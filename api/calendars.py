"""Calendar feeds: a secret address for each user who wants one, and what is read there.

The address is a capability: whoever knows it reads the user's bookings and can do nothing else. Its secret is 256 bits, made from
the feed's id and the members' secret, so that a repeated request gets the same address without any node keeping it; the state holds
a SHA-256 of it. A reader's secret is hashed and looked up by that hash: how long it takes tells nothing about the secrets there are.

An address ends when its user takes it away or asks for another, erases the account, or for as long as the user is blocked.
A reader without the right address gets 404 and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import re

from aiohttp import web
from msgspec import Struct

from api.answers import content_answer, empty_answer, json_answer
from api.calls import Call
from api.exchange import Exchange
from api.ical import calendar_of
from api.ids import uuid7
from api.problems import Refusal
from api.shapes import EmptyBody
from api.timegrid import rfc3339_of_ms, zone_of
from node.secret import Secret
from statemachine.feeds import CalendarFeed, CloseCalendar, OpenCalendar
from statemachine.people import is_blocked

MEDIA_TYPE = "text/calendar"
_PURPOSE = b"calendar feed"
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


class CalendarView(Struct, frozen=True):
    """A feed. `url` is `path` on the node that was asked; null when the members' secret has been changed since."""

    path: str | None
    url: str | None
    created_at: str


class FeedSecrets:
    """Makes the secrets of feeds."""

    def __init__(self, secret: Secret) -> None:
        self._keys = [secret.derive(_PURPOSE, kid) for kid in secret.kids]  # the active one is first

    def new(self, feed_id: str) -> str:
        """The secret of a feed that is to be."""
        return _made(self._keys[0], feed_id)

    def of(self, feed: CalendarFeed) -> str | None:
        """The secret of a feed that is, under whichever key it was made."""
        for key in self._keys:
            secret = _made(key, feed.id)
            if hash_of(secret) == feed.secret_hash:
                return secret
        return None


def _made(key: bytes, feed_id: str) -> str:
    digest = hashlib.blake2b(feed_id.encode(), key=key, digest_size=32).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def hash_of(secret: str) -> bytes:
    """What the state keeps of a secret. It has 256 random bits, so a fast hash without salt is enough."""
    return hashlib.sha256(secret.encode()).digest()


async def open_feed(exchange: Exchange, body: EmptyBody) -> web.Response:
    """A new address for my bookings; the one before ends."""
    identity = exchange.identity()
    services = exchange.services
    feed_id = uuid7(services.replica.now_ms())
    outcome = await exchange.execute(
        OpenCalendar(feed_id, hash_of(services.feed_secrets.new(feed_id))),
        scope=identity.user_id,
        key=exchange.idempotency_key(),
        body=body,
        session_id=identity.session_id,
    )
    if not outcome.ok:
        raise Refusal(outcome.code)
    assert isinstance(outcome.result, CalendarFeed)
    location = (("Location", "/api/v1/me/calendar"),)
    return json_answer(_view(exchange, outcome.result), exchange.index, status=201, extra=location)


async def get_feed(exchange: Exchange, _: None) -> web.Response:
    """The address of my bookings."""
    identity = exchange.identity()
    state = await exchange.read_state()
    feed = state.calendars.get(exchange.user_of(state, identity).id)
    if feed is None:
        raise Refusal("not-found", "You have no calendar feed.")
    return json_answer(_view(exchange, feed), exchange.index)


async def close_feed(exchange: Exchange, _: None) -> web.Response:
    """No address any more."""
    identity = exchange.identity()
    outcome = await exchange.execute(
        CloseCalendar(), scope=identity.user_id, key=None, body=EmptyBody(), session_id=identity.session_id
    )
    if not outcome.ok:
        raise Refusal(outcome.code)
    return empty_answer(exchange.index)


async def read_feed(exchange: Exchange, _: None) -> web.Response:
    """The bookings behind an address."""
    secret = exchange.request.match_info["secret"]
    state = await exchange.read_state()
    feed = state.calendars_by_hash.get(hash_of(secret)) if _SECRET.fullmatch(secret) else None
    if feed is None or is_blocked(state, feed.user_id):
        raise Refusal("not-found")
    services = exchange.services
    content = calendar_of(state, feed.user_id, services.config.cluster, services.replica.now_ms())
    tag = f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'
    # A capability in the address: it must not leave in a Referer, nor stay in a shared cache.
    private = (("ETag", tag), ("Referrer-Policy", "no-referrer"))
    answer = content_answer(content, MEDIA_TYPE + "; charset=utf-8", exchange.index, extra=private)
    answer.headers["Cache-Control"] = "private, no-cache"
    return answer


def _view(exchange: Exchange, feed: CalendarFeed) -> CalendarView:
    secret = exchange.services.feed_secrets.of(feed)
    created_at = rfc3339_of_ms(feed.created_at_ms, zone_of("UTC"))
    if secret is None:
        return CalendarView(None, None, created_at)
    path = f"/calendar/{secret}.ics"
    return CalendarView(path, f"{exchange.request.url.origin()}{path}", created_at)


_MINE = "/api/v1/me/calendar"
CALLS = (
    Call(
        "POST",
        _MINE,
        "A new secret address for my bookings",
        open_feed,
        {201: CalendarView},
        body=EmptyBody,
        body_optional=True,
        problems=("too-many-calendars", "key-reused", "too-many-keys", "unavailable", "outcome-unknown"),
    ),
    Call(
        "GET",
        _MINE,
        "The secret address of my bookings",
        get_feed,
        {200: CalendarView},
        problems=("not-found", "unavailable"),
    ),
    Call(
        "DELETE",
        _MINE,
        "Take the address away",
        close_feed,
        {204: None},
        problems=("unavailable", "outcome-unknown"),
    ),
    Call(
        "GET",
        "/calendar/{secret}.ics",
        "The bookings behind a secret address",
        read_feed,
        {200: str},
        access="public",
        problems=("not-found", "unavailable"),
        media_type=MEDIA_TYPE,
    ),
)
