"""What travels over HTTP about the outbox: sinks and dead letters."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from api.shapes import Body
from statemachine.outbox_commands import SinkKind, SinkState

MAX_LETTERS_NAMED = 200

EventId = Annotated[str, Meta(pattern=r"^[0-9]{1,15}\.[0-9]{1,9}$")]


class LettersBody(Body, frozen=True):
    """Which dead letters: the ids of their events; all of the sink when left out, and only then."""

    ids: Annotated[tuple[EventId, ...], Meta(min_length=1, max_length=MAX_LETTERS_NAMED)] | UnsetType = UNSET


class SinkView(Struct, frozen=True):
    """A sink. `cursor` is the last event that needs no more looking at; `behind` how many came after it; `troubled_since` since when it does
    not answer. `next_attempt_at` is of what is held back; `url` of a webhook.
    """

    id: str
    kind: SinkKind
    state: SinkState
    created_at: str
    cursor: str
    behind: int
    held: int
    dead_letters: int
    delivered: int
    missed: int
    dropped: int
    troubled_since: str | None
    why: str
    next_attempt_at: str | None
    revision: str
    url: str | None = None


class SinksView(Struct, frozen=True):
    """All sinks, in the order in which they came."""

    items: list[SinkView]


class LetterView(Struct, frozen=True):
    """A dead letter: the event as it would have been sent, and why it was not taken."""

    id: str
    attempts: int
    at: str
    why: str
    event: dict[str, Any]


class LettersView(Struct, frozen=True):
    """Dead letters of a sink, oldest first."""

    items: list[LetterView]
    next: str | None = None


class CountView(Struct, frozen=True):
    """How many dead letters it was done to."""

    count: int
