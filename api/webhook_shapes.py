"""What travels over HTTP about webhooks: how administrators see them, and what they ask."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from api.shapes import Body
from api.space_shapes import SpaceId
from node.couriers.addresses import MAX_URL_CHARACTERS
from statemachine.limits import MAX_OVERLAP_MS, MAX_WEBHOOK_TYPES
from statemachine.sinks import SinkState

MAX_DESCRIPTION_CHARACTERS = 200
MAX_OVERLAP_HOURS = MAX_OVERLAP_MS // 3_600_000
DEFAULT_OVERLAP_HOURS = 24

Url = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_URL_CHARACTERS,
        description="http or https, without a password; its address has to be public, or allowed by the operator.",
        examples=["https://example.org/hooks/deskraft"],
    ),
]
Description = Annotated[str, Meta(max_length=MAX_DESCRIPTION_CHARACTERS)]
EventType = Annotated[
    str,
    Meta(
        max_length=64,
        pattern=r"^deskraft\.[a-z]+(-[a-z]+)*(\.[a-z]+(-[a-z]+)*)*$",
        description="A type of event, or the beginning of several up to a dot.",
        examples=["deskraft.booking", "deskraft.booking.confirmed"],
    ),
]
EventTypes = Annotated[
    tuple[EventType, ...], Meta(max_length=MAX_WEBHOOK_TYPES, description="None: all types.")
]
SpaceIds = Annotated[
    tuple[SpaceId, ...],
    Meta(max_length=MAX_WEBHOOK_TYPES, description="What happens in these spaces alone; none: everything."),
]


class NewWebhookBody(Body, frozen=True, omit_defaults=True):
    """Where events shall go, and which."""

    url: Url
    description: Description = ""
    types: EventTypes = ()
    space_ids: SpaceIds = ()


class WebhookChangeBody(Body, frozen=True, omit_defaults=True):
    """What shall be different; `state` is asked for alone."""

    url: Url | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    types: EventTypes | UnsetType = UNSET
    space_ids: SpaceIds | UnsetType = UNSET
    state: Annotated[
        Literal["active", "paused"] | UnsetType, Meta(description="`active` also ends `disabled`.")
    ] = UNSET


class RotateBody(Body, frozen=True, omit_defaults=True):
    """For how long the secret so far signs beside the new one."""

    overlap_hours: Annotated[
        int, Meta(ge=0, le=MAX_OVERLAP_HOURS, description="0: the secret so far ends at once.")
    ] = DEFAULT_OVERLAP_HOURS


class WebhookView(Struct, frozen=True):
    """A webhook as administrators see it.

    `waiting` events are held back after a failure, `dead_letters` were given up. `missed` were forgotten by the feed before they could be
    delivered, `dropped` are dead letters beyond the limit. `troubled_since`: nothing can be delivered, for the reason `why`.
    """

    id: str
    url: str
    description: str
    types: tuple[str, ...]
    space_ids: tuple[str, ...]
    state: SinkState
    created_at: str
    told_through: Annotated[str, Meta(description="The id of the last event that was looked at.")]
    delivered: int
    waiting: int
    dead_letters: int
    missed: int
    dropped: int
    troubled_since: str | None
    why: str | None
    old_secret_until: Annotated[str | None, Meta(description="Until when the secret before signs, too.")]


class WebhookWithSecretView(WebhookView, frozen=True):
    """A webhook with its new secret, which is shown this once."""

    secret: Annotated[str, Meta(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])]


class WebhooksView(Struct, frozen=True):
    """All webhooks."""

    items: list[WebhookView]
    next: None


class WebhookTestView(Struct, frozen=True):
    """What came of a test event."""

    delivered: bool
    status: Annotated[int | None, Meta(description="Of the answer; null: there was none.")]
    why: Annotated[str | None, Meta(description="Why it was not delivered.")]
    duration_ms: int
