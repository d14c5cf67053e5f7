"""A calendar feed: the record, the commands 50 and 51 of the log, and their events.

A feed is an address that anybody may read who knows it. The state keeps a hash of the secret in the address and never the
secret, so neither a snapshot nor a backup gives it away; the node that takes the request makes the secret from the feed's
id and the key that the members share.
"""

from __future__ import annotations

from msgspec import Struct


class CalendarFeed(
    Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="calendar"
):
    """The one feed of a user."""

    user_id: str
    id: str
    secret_hash: bytes
    created_at_ms: int
    revision: str


class OpenCalendar(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=50):
    """Give the session's user a feed; one that there was is no more."""

    feed_id: str
    secret_hash: bytes


class CloseCalendar(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=51):
    """Take the feed of the session's user away. Harmless when there is none."""


class CalendarOpened(Struct, frozen=True, array_like=True, gc=False, tag="calendar-opened"):
    """A feed can be read. Its hash stays in the record: events travel further than it may."""

    user_id: str
    at_ms: int


class CalendarClosed(Struct, frozen=True, array_like=True, gc=False, tag="calendar-closed"):
    """A feed can be read no longer."""

    user_id: str
    at_ms: int
