"""What is asked of the outbox: commands 60 to 79 of the log.

`OpenSink` and `Settle` have no session: they are made by the member that leads, for the sinks of cluster.yml and for what its couriers have found
out. Administrators make and tend webhooks and dead letters; everybody says what they want to hear.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from statemachine.notices import Language, MailKind

Place = tuple[int, int]  # of an event: (index of its entry, position in it)
SinkKind = Literal["mail", "webhook", "broker"]
SinkState = Literal[
    "active", "paused", "disabled"
]  # paused: by an administrator; disabled: it said that it is gone


class OpenSink(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=60):
    """The leader can deliver to a sink of this kind. Harmless when it is open already. `from_beginning`: everything that is kept is
    delivered, else what happens from now on.
    """

    sink_id: str
    kind: SinkKind
    from_beginning: bool


class BeginFeed(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=72):
    """The cluster was born by a program without a feed: keep one from this entry on. Harmless when there is one."""


class HoldBack(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """An event is tried again at `due_ms`; `attempts` have failed so far."""

    place: Place
    attempts: int
    due_ms: int
    why: str


class Bury(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """An event is not tried any more."""

    place: Place
    attempts: int
    why: str


class Settle(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=61):
    """What has become of events at a sink, worked out from its turn `turn`; refused when that is over.

    Everything up to `cursor` that is neither in `held` nor in `buried` was delivered or not wanted; `delivered` says how much
    was. `taken` are events that were held back and are delivered now. `trouble` is why the sink as a whole does not
    answer ("": it does); `gone` why it wants nothing any more.
    """

    sink_id: str
    turn: int
    cursor: Place
    delivered: int
    taken: tuple[Place, ...]
    held: tuple[HoldBack, ...]
    buried: tuple[Bury, ...]
    trouble: str
    gone: str


class CreateWebhook(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=62):
    """Deliver events to an address from now on, signed with the key of that name."""

    sink_id: str
    url: str
    description: str
    types: tuple[str, ...]
    space_ids: tuple[str, ...]
    key_name: str


class ReviseWebhook(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=63):
    """How a webhook is from now on, all but its keys."""

    sink_id: str
    url: str
    description: str
    types: tuple[str, ...]
    space_ids: tuple[str, ...]


class RotateWebhook(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=64):
    """Sign with another key; the one that signed before goes on for `overlap_ms`, older ones end."""

    sink_id: str
    key_name: str
    overlap_ms: int


class SetSink(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=65):
    """Pause a sink, or let it go on from where it stands."""

    sink_id: str
    state: SinkState


class RemoveSink(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=66):
    """Forget a sink with all that is held back for it. One of cluster.yml is opened anew by the leader."""

    sink_id: str


class ReplayLetters(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=67):
    """Try dead letters of a sink again: those of these places, or all when there are none; as many as there is room for."""

    sink_id: str
    places: tuple[Place, ...]


class DropLetters(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=68):
    """Forget dead letters of a sink: those of these places, or all when there are none."""

    sink_id: str
    places: tuple[Place, ...]


class SetNotifications(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=70):
    """What the session's user wants to hear, and where. Another address than before has to be confirmed."""

    address: str
    language: Language
    kinds: tuple[MailKind, ...]
    remind_minutes: int


class ConfirmAddress(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=71):
    """The session's user has shown a code that was mailed to this address; it was verified outside."""

    address: str


OutboxCommand = (
    OpenSink
    | BeginFeed
    | Settle
    | CreateWebhook
    | ReviseWebhook
    | RotateWebhook
    | SetSink
    | RemoveSink
    | ReplayLetters
    | DropLetters
    | SetNotifications
    | ConfirmAddress
)
