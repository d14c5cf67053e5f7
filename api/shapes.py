"""What travels over HTTP, as typed structures: requests are decoded into these, answers are encoded from these,
and the OpenAPI document is made of these. Unknown fields of a request are refused.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from api.timegrid import MAX_SLOTS
from statemachine.limits import MAX_REASON_CHARS
from statemachine.records import Role

MAX_NAME_CHARACTERS = 64  # no identifier in the state is longer
MAX_ADDRESS_CHARACTERS = 300  # the longest host name, brackets and a port

SlotCount = Annotated[int, Meta(ge=1, le=MAX_SLOTS, description="How many slots in a row.")]
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARACTERS)]
Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339 with an offset.")]


class Body(Struct, frozen=True, forbid_unknown_fields=True):
    """A request body."""


class RegisterBody(Body, frozen=True):
    """A new user."""

    login: Annotated[str, Meta(description="3 to 64 letters of one script, digits and . _ @ + -")]
    password: Annotated[str, Meta(description="8 to 128 characters, not a common one.")]


class SignInBody(Body, frozen=True):
    """Who wants to sign in from a page."""

    login: str
    password: Annotated[str, Meta(max_length=1024)]


class LoginBody(SignInBody, frozen=True):
    """Who wants to log in."""

    device_token: Annotated[
        Annotated[str, Meta(max_length=200)] | None,
        Meta(description="From an earlier log-in: strangers' failures do not delay this one."),
    ] = None


class RefreshBody(Body, frozen=True):
    """The refresh token to exchange."""

    refresh_token: Annotated[str, Meta(max_length=512)]


class EmptyBody(Body, frozen=True):
    """Nothing; the body may be left out."""


class ReasonBody(Body, frozen=True, omit_defaults=True):
    """Why; the body may be left out."""

    reason: Annotated[str, Meta(max_length=MAX_REASON_CHARS, description="For the history.")] = ""


class BookingBody(Body, frozen=True):
    """A seat for a time."""

    space_id: Name
    seat_id: Name
    starts_at: Instant
    slots: SlotCount = 1


class BookBody(Body, frozen=True):
    """A seat for a time that is local to the space."""

    seat: Name
    date: Annotated[str, Meta(description="Local date, as 2026-12-01.", examples=["2026-12-01"])]
    time: Annotated[str, Meta(description="Local time, as 10:00.", examples=["10:00"])]
    space: Annotated[Name | None, Meta(description="May be left out when only one space has the seat.")] = (
        None
    )
    slots: SlotCount = 1


class CancelBody(Body, frozen=True):
    """Which booking to cancel."""

    booking_id: Name


class AddMemberBody(Body, frozen=True):
    """A new member: its id, and where it will listen for its peers and for clients, as in cluster.yml."""

    id: Annotated[str, Meta(max_length=MAX_NAME_CHARACTERS, examples=["n4"])]
    raft: Annotated[str, Meta(max_length=MAX_ADDRESS_CHARACTERS, examples=["10.0.0.4:7001"])]
    api: Annotated[str, Meta(max_length=MAX_ADDRESS_CHARACTERS, examples=["10.0.0.4:8001"])]


class ReplaceBody(Body, frozen=True):
    """Which disk is given up; the body may be left out."""

    incarnation: Annotated[
        Name | None, Meta(description="Nothing is done when the member has another disk by now.")
    ] = None


class TransferBody(Body, frozen=True):
    """Who shall lead; the body may be left out."""

    to: Annotated[Name | None, Meta(description="A voter. The most caught-up one when left out.")] = None


class UserView(Struct, frozen=True):
    """A registered person."""

    id: str
    login: str
    role: Role


class TokensView(Struct, frozen=True, omit_defaults=True):
    """What a log-in gives; a refresh gives no `device_token`."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str
    device_token: str = ""


class PageTokenView(Struct, frozen=True):
    """What a page gets: a token for its memory. Nothing that lasts: that is in the cookie."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    user: UserView


class SlotView(Struct, frozen=True):
    """One slot of a day."""

    starts_at: str
    ends_at: str


SlotState = Literal["free", "taken", "mine", "closed", "past"]


class SeatDayView(Struct, frozen=True):
    """One desk on one day: a state for each slot, in order."""

    id: str
    label: str
    slots: list[SlotState]


class AvailabilityView(Struct, frozen=True):
    """A space on one local day."""

    space_id: str
    date: str
    timezone: str
    slots: list[SlotView]
    seats: list[SeatDayView]


class AlternativeView(Struct, frozen=True):
    """A free place instead of a taken one."""

    space_id: str
    seat_id: str
    starts_at: str
    ends_at: str


class BookingView(Struct, frozen=True):
    """A booking; `completed` means that it was confirmed and its end is past."""

    id: str
    space_id: str
    seat_id: str
    seat_label: str
    user_id: str
    starts_at: str
    ends_at: str
    timezone: str
    status: Literal["confirmed", "cancelled", "completed", "released"]
    created_at: str
    cancelled_at: str | None
    revision: str


class BookingsView(Struct, frozen=True):
    """A page of bookings, newest first; `next` is the cursor of the next page."""

    items: list[BookingView]
    next: str | None


class ReadyView(Struct, frozen=True):
    """The node can serve."""

    status: Literal["ready"]


class ChangeView(Struct, frozen=True):
    """The record of members is as it was asked for; `changed` when it was not so before."""

    configuration_index: int
    changed: bool


class LeaderView(Struct, frozen=True):
    """Who leads now."""

    leader_id: str


class SnapshotView(Struct, frozen=True):
    """The newest snapshot of a node."""

    node_id: str
    index: int


class SightingView(Struct, frozen=True):
    """A change that a node has seen: `member_id` leads `term`, is silent, or is heard (again); null where nobody leads."""

    at: str
    kind: Literal["started", "leads", "no-leader", "silent", "heard"]
    member_id: str | None
    term: int


class SightingsView(Struct, frozen=True):
    """What a node has seen happen to its cluster since it started, newest first."""

    node_id: str
    items: list[SightingView]


class ReceiptView(Struct, frozen=True):
    """The digest of a node's state when entry `index` had been applied; the node knows those from `oldest` to `newest`."""

    node_id: str
    index: int
    digest: str
    oldest: int
    newest: int


class SeatHistoryView(Struct, frozen=True):
    """When a seat was taken on a local day, as of a log index; bookings that join are one piece. `digest` is that of the index,
    null when the node has forgotten it.
    """

    space_id: str
    seat_id: str
    date: str
    timezone: str
    as_of: int
    digest: str | None
    taken: list[SlotView]


class LiveView(Struct, frozen=True):
    """The process is alive."""

    status: Literal["alive"]


class FieldErrorView(Struct, frozen=True):
    """What is wrong at one place of the body."""

    pointer: str
    detail: str


class PlacedView(Struct, frozen=True):
    """What would have become of one of several wishes: `ok`, or the code of its refusal, with free places instead."""

    code: str
    alternatives: list[AlternativeView]
    limit: Annotated[int | None, Meta(description="Of the policy that refuses it.")] = None


class AffectedView(Struct, frozen=True):
    """Accepted bookings that a change of a space or seat touches: how many, the token that names this list of them, and
    the first of them as of the log index.
    """

    count: int
    token: str
    index: int
    bookings: list[BookingView]


class ProblemView(Struct, frozen=True, omit_defaults=True):
    """An error, RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldErrorView] = []
    alternatives: list[AlternativeView] = []
    limit: Annotated[
        int | None, Meta(description="The limit of the space's policy that the refusal rests on.")
    ] = None
    affected: Annotated[AffectedView | None, Meta(description="The bookings that a change would touch.")] = (
        None
    )
    items: list[PlacedView] = []
    parameter: Annotated[str, Meta(description="The parameter or header that is meant.")] = ""
    incident: Annotated[str, Meta(description="Under which name the node has logged what happened.")] = ""
    newest: Annotated[int | None, Meta(description="The newest index that the node knows.")] = None
    oldest: Annotated[int | None, Meta(description="The oldest index that the node remembers.")] = None
