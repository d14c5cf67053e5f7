"""Where events are delivered to, what is held back there and what could not be delivered: records of the outbox.

The rules are in `outbox.py`. Records never change; a change replaces the record.
"""

from __future__ import annotations

from msgspec import Struct

from statemachine.events import Event
from statemachine.outbox_commands import Place, SinkKind, SinkState

__all__ = ["DeadLetter", "Held", "Letters", "Place", "Sink", "SinkKind", "SinkState", "Webhook", "WebhookKey"]


class WebhookKey(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What a webhook's deliveries are signed with: the *name* of a key, which nodes make the key from (`node/couriers/signing.py`).
    `until_ms` is the log time after which it signs no more; 0: for good.
    """

    name: str
    until_ms: int = 0


class Webhook(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The settings of a webhook.

    `types` are types of CloudEvents that it wants, each whole or with all that begin with it and a dot (as
    `deskraft.booking`); none: all. `keys`: the newest first. `space_ids`: what happens in these spaces alone; none: everything.
    """

    url: str
    description: str
    types: tuple[str, ...]
    keys: tuple[WebhookKey, ...]
    space_ids: tuple[str, ...] = ()

    def keys_at(self, now_ms: int) -> tuple[str, ...]:
        """The names of the keys that sign at a moment, the newest first."""
        return tuple(each.name for each in self.keys if not each.until_ms or now_ms < each.until_ms)


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


class Held(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """An event at or before the cursor of a sink that is not delivered yet. `attempts` have failed, the last one for `why`; it is tried
    again at `due_ms`. With none it waits for an earlier one of its subject, or has been replayed.
    """

    sink_id: str
    place: Place
    event: Event
    attempts: int
    due_ms: int
    why: str


class DeadLetter(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """An event that a sink did not take, and that is not tried again by itself."""

    sink_id: str
    place: Place
    event: Event
    attempts: int
    at_ms: int
    why: str


class Letters(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="letters"):
    """How many dead letters of a sink were replayed or dropped."""

    sink_id: str
    count: int
