"""Wiring: the services of a node and the aiohttp application that serves all calls. The one place where it happens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from aiohttp import web

from api import (
    accounts,
    backups,
    baskets,
    bookings,
    browser,
    calendars,
    checkin,
    events,
    evidence,
    members,
    moves,
    myself,
    names,
    notifications,
    operations,
    outbox,
    people,
    reports,
    series,
    shaping,
    spaces,
    waitlist,
    webhooks,
)
from api.availability import DayPages
from api.bodies import MAX_BODY_BYTES
from api.calendars import FeedSecrets
from api.calls import Call
from api.chores import Chores
from api.gate import BUDGET_SECONDS, REQUEST_SECONDS, Gate
from api.metrics import RequestMetrics
from api.openapi import document
from api.origins import Origins
from api.passwords import Cost, PasswordHasher
from api.services import Services
from api.site import document_call, site_calls
from api.streams import Streams
from api.throttle import DeviceTokens, LoginThrottle
from api.tokens import AccessTokens, BrowserCookies, RefreshTokens
from api.views import BookingTexts
from api.webhooks import WebhookTools
from node.config import Config
from node.mail_addresses import AddressCodes
from node.replica import Replica
from node.secret import Secret

API_CALLS = (
    *accounts.CALLS,
    *browser.CALLS,
    *myself.CALLS,
    *notifications.CALLS,
    *people.CALLS,
    *spaces.CALLS,
    *shaping.CALLS,
    *bookings.CALLS,
    *baskets.CALLS,
    *moves.CALLS,
    *checkin.CALLS,
    *series.CALLS,
    *waitlist.CALLS,
    *names.CALLS,
    *operations.CALLS,
    *members.CALLS,
    *evidence.CALLS,
    *backups.CALLS,
    *reports.CALLS,
    *calendars.CALLS,
    *events.CALLS,
    *webhooks.CALLS,
    *outbox.CALLS,
)
SERVICES = web.AppKey("services", Services)

_FINGERPRINT_PURPOSE = b"idempotency fingerprint"


def build_app(
    replica: Replica,
    secret: Secret,
    config: Config,
    node_id: str,
    *,
    password_cost: Cost | None = None,
    budget_seconds: float = BUDGET_SECONDS,
    request_seconds: float = REQUEST_SECONDS,
) -> web.Application:
    """The application of one node. `password_cost` and the two times are for tests."""
    services = Services(
        replica=replica,
        config=config,
        node_id=node_id,
        access_tokens=AccessTokens(secret, config.cluster),
        refresh_tokens=RefreshTokens(secret),
        fingerprint_keys=tuple(secret.derive(_FINGERPRINT_PURPOSE, kid) for kid in secret.kids),
        passwords=PasswordHasher(password_cost),
        throttle=LoginThrottle(replica, secret),
        device_tokens=DeviceTokens(secret),
        day_pages=DayPages(),
        booking_texts=BookingTexts(),
        metrics=RequestMetrics(),
        origins=Origins(replica),
        browser_cookies=BrowserCookies(secret, config.cluster),
        chores=Chores(),
        feed_secrets=FeedSecrets(secret),
        streams=Streams(replica, config.cluster),
        address_codes=AddressCodes(secret),
        webhooks=WebhookTools(secret, config.outbox.webhook_allow),
        budget_seconds=budget_seconds,
        request_seconds=request_seconds,
    )
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app[SERVICES] = services
    calls = (*API_CALLS, document_call(document(API_CALLS, config.cluster)), *site_calls())
    for path, here in _by_path(calls).items():
        gate = Gate(services, path, here)
        app.router.add_route("*", path, gate.handle, expect_handler=gate.meet_expectation)
    nowhere = Gate(services, "other", ())
    app.router.add_route("*", "/{tail:.*}", nowhere.handle, expect_handler=nowhere.meet_expectation)
    app.cleanup_ctx.append(_close_services)
    app.on_shutdown.append(_end_streams)
    return app


async def _end_streams(app: web.Application) -> None:
    app[SERVICES].streams.close()  # they would not end by themselves


async def _close_services(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[SERVICES].throttle.close()
    await app[SERVICES].webhooks.poster.close()
    app[SERVICES].passwords.close()


def _by_path(calls: Iterable[Call]) -> dict[str, list[Call]]:
    paths: dict[str, list[Call]] = {}
    for call in calls:
        paths.setdefault(call.path, []).append(call)
    return paths
