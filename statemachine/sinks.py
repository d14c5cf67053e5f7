"""Where events are delivered to, what is held back there and what could not be delivered: records of the outbox.

The rules are in `outbox.py`. Records never change; a change replaces the record.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Place = tuple[int, int]  # of an event: (index of its entry, position in it)
SinkKind = Literal["mail", "webhook", "broker"]
SinkState = Literal[
    "active", "paused", "disabled"
]  # paused by an administrator; disabled because it said that it is gone


class WebhookSecret(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What a webhook's deliveries are signed with (Standard Webhooks): 24 to 64 random bytes. `until_ms` is the log time after
    which it signs no more; 0: for good.
    """

    key: bytes
    until_ms: int


class Webhook(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The settings of a webhook.

    `types` are types of CloudEvents that it wants, each whole or with all that begin with it and a dot (as
    `deskraft.booking`); none: all. `secrets`: the newest first; those whose time is not over sign, all of them.
    """

    url: str
    description: str
    types: tuple[str, ...]
    secrets: tuple[WebhookSecret, ...]

    def secrets_at(self, now_ms: int) -> tuple[bytes, ...]:
        """The keys that sign at a moment, the newest first."""
        return tuple(each.key for each in self.secrets if not each.until_ms or now_ms < each.until_ms)


class Sink(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="sink"):
    """Somewhere events are delivered to.

    Everything up to `cursor` is delivered, not wanted, held back or a dead letter. `turn` grows with every settlement: a
    runner that has not heard of the last one cannot settle. `troubled_ms` is since when nothing can be delivered
    because the sink as a whole does not answer (0: it does), and `why` the last reason of that, or of being disabled.
    `delivered`, `missed` (fell out of the kept feed before they could be delivered) and `dropped` (dead letters
    beyond the limit) only grow.
    """

    id: str
    kind: SinkKind
    state: SinkState
    webhook: Webhook | None
    cursor: Place
    turn: int
    created_at_ms: int
    revision: str
    troubled_ms: int = 0
    why: str = ""
    delivered: int = 0
    missed: int = 0
    dropped: int = 0
