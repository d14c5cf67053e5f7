"""What the calls of one node share; wired once, in `app.build_app`."""

from __future__ import annotations

from dataclasses import dataclass

from api.availability import DayPages
from api.calendars import FeedSecrets
from api.chores import Chores
from api.metrics import RequestMetrics
from api.origins import Origins
from api.passwords import PasswordHasher
from api.streams import Streams
from api.throttle import DeviceTokens, LoginThrottle
from api.tokens import AccessTokens, BrowserCookies, RefreshTokens
from api.views import BookingTexts
from api.webhooks import WebhookTools
from node.config import Config
from node.mail_addresses import AddressCodes
from node.replica import Replica


@dataclass(frozen=True)
class Services:
    """The node's replica and the helpers around it. `budget_seconds` is for the cluster's part of a request."""

    replica: Replica
    config: Config
    node_id: str
    access_tokens: AccessTokens
    refresh_tokens: RefreshTokens
    fingerprint_keys: tuple[bytes, ...]
    passwords: PasswordHasher
    throttle: LoginThrottle
    device_tokens: DeviceTokens
    day_pages: DayPages
    booking_texts: BookingTexts
    metrics: RequestMetrics
    origins: Origins
    browser_cookies: BrowserCookies
    chores: Chores
    feed_secrets: FeedSecrets
    streams: Streams
    address_codes: AddressCodes
    webhooks: WebhookTools
    budget_seconds: float
    request_seconds: float
