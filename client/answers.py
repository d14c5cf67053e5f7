"""What a node answers, typed. Shapes follow `GET /openapi.json`; fields that a newer server adds are ignored.

Instants are `datetime` with an offset (RFC 3339 on the wire); local times of day are texts such as "08:00".
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

from msgspec import Struct, field

from client.places import Hours, Outage, Policy, SpecialDays

SlotState = Literal["free", "taken", "mine", "closed", "past"]
BookingStatus = Literal["confirmed", "cancelled", "completed", "released"]
Role = Literal["leader", "follower", "candidate", "learner"]


class User(Struct, frozen=True):
    """A registered person; `role` is "user" or "admin"."""

    id: str
    login: str
    role: str


class Tokens(Struct, frozen=True):
    """The answer to a log-in or a refresh. `expires_in` is seconds."""

    access_token: str
    token_type: str
    expires_in: float
    refresh_token: str
    device_token: str = ""


class Seat(Struct, frozen=True):
    """One desk; `label` is what stands on it, `x` and `y` its place on the plan."""

    id: str
    label: str
    zone: str | None = None
    attributes: list[str] = field(default_factory=list)
    x: int | None = None
    y: int | None = None
    outages: list[Outage] = field(default_factory=list)


class Space(Struct, frozen=True):
    """A coworking and its rules. `opens` and `closes` are the earliest and latest of the week, local to `timezone`; `closes` may
    be "24:00". `hours` are those of each weekday ("mon" …), None: closed.
    """

    id: str
    name: str
    timezone: str
    opens: str
    closes: str
    slot_minutes: int
    seats: list[Seat]
    revision: str = ""
    hours: dict[str, Hours | None] = field(default_factory=dict)
    special_days: list[SpecialDays] = field(default_factory=list)
    zones: list[str] = field(default_factory=list)
    policy: Policy = field(default_factory=Policy)


class SpacePage(Struct, frozen=True):
    """Some spaces, and the cursor of the next page or None."""

    items: list[Space]
    next: str | None = None


class Slot(Struct, frozen=True):
    """One bookable piece of a day."""

    starts_at: datetime
    ends_at: datetime


class SeatDay(Struct, frozen=True):
    """A desk's day: one state for each slot of the `Availability` it belongs to."""

    id: str
    label: str
    slots: list[SlotState]


class Availability(Struct, frozen=True):
    """A space's day, seat by seat. `date` is local to the space."""

    space_id: str
    date: str
    timezone: str
    slots: list[Slot]
    seats: list[SeatDay]


class Booking(Struct, frozen=True):
    """A seat taken for `[starts_at, ends_at)`. A confirmed booking is `completed` once its end is past."""

    id: str
    space_id: str
    seat_id: str
    user_id: str
    starts_at: datetime
    ends_at: datetime
    status: BookingStatus
    created_at: datetime | None = None
    cancelled_at: datetime | None = None


class Wish(Struct, frozen=True, omit_defaults=True):
    """A place to ask for: `starts_at` with its offset, or `date` and `time` as the clocks of the space show them."""

    space_id: str
    seat_id: str
    starts_at: datetime | None = None
    date: str | None = None
    time: str | None = None
    slots: int = 1


class Basket(Struct, frozen=True):
    """Bookings that were made together."""

    items: list[Booking]


class Step(Struct, frozen=True):
    """One line of a booking's history, with the place that it had from then on. Nobody (None) did what time did."""

    kind: str
    at: datetime
    space_id: str
    seat_id: str
    starts_at: datetime
    ends_at: datetime
    by_user_id: str | None = None
    reason: str | None = None
    revision: str | None = None


class Alternative(Struct, frozen=True):
    """A free place that a refusal offers."""

    space_id: str
    seat_id: str
    starts_at: datetime
    ends_at: datetime


class Occurrence(Struct, frozen=True):
    """One day of a new series: a booking ("ok"), or why there is none."""

    starts_at: datetime
    code: str
    booking: Booking | None = None
    alternatives: list[Alternative] = field(default_factory=list)
    limit: int | None = None  # of the policy that refuses it


class Planned(Struct, frozen=True):
    """What became of each day of a new series; on the days of `passed_over` the clocks jump over the time."""

    id: str
    rrule: str
    items: list[Occurrence]
    passed_over: list[str] = field(default_factory=list)


class Series(Struct, frozen=True):
    """A series and its bookings as they are now."""

    id: str
    user_id: str
    rrule: str
    items: list[Booking]


class SeriesRecord(Struct, frozen=True):
    """A series: what it was made from, and which bookings it made."""

    id: str
    rrule: str
    created_at: datetime
    booking_ids: list[str]


class SeriesPage(Struct, frozen=True):
    """A page of series, newest first; `next` is the cursor of the next page."""

    items: list[SeriesRecord]
    next: str | None = None


class GivenUp(Struct, frozen=True):
    """What was cancelled of a series, and what could not be any more."""

    cancelled: list[Booking]
    kept: list[Booking]


class Waiting(Struct, frozen=True):
    """A place in a line, or a booking that was got by waiting. `position` 1 is the next; "outdated": it does not fit the hours."""

    id: str
    space_id: str
    seat_id: str | None
    starts_at: datetime
    ends_at: datetime
    status: str
    position: int | None = None
    booking_id: str | None = None


class Waitings(Struct, frozen=True):
    """What a user waits for, the oldest first."""

    items: list[Waiting]


class CheckInRule(Struct, frozen=True):
    """Whether one has to check in: 0 minutes mean that one has not."""

    space_id: str
    grace_minutes: int


class Steps(Struct, frozen=True):
    """What has become of a booking, oldest first."""

    items: list[Step]


class BookingPage(Struct, frozen=True):
    """Some bookings, and the cursor of the next page or None."""

    items: list[Booking]
    next: str | None = None


class Placed(Struct, frozen=True):
    """What would have become of one of several wishes: "ok", or why not, with free places instead."""

    code: str
    alternatives: list[Alternative] = field(default_factory=list)
    limit: int | None = None  # of the policy that refuses it


class FieldProblem(Struct, frozen=True):
    """What is wrong at one place of the body; `pointer` is a JSON Pointer (RFC 6901)."""

    pointer: str = ""
    detail: str = ""


class Affected(Struct, frozen=True):
    """Accepted bookings that a change of a space or seat touches: how many, the token of this list, and the first of them."""

    count: int
    token: str
    index: int
    bookings: list[Booking]


class Problem(Struct, frozen=True):
    """An error as RFC 9457 describes it, with Deskraft's `errors` and `alternatives`."""

    type: str = "about:blank"
    title: str = ""
    status: int = 0
    detail: str = ""
    errors: list[FieldProblem] = field(default_factory=list)
    alternatives: list[Alternative] = field(default_factory=list)
    limit: int | None = None
    affected: Affected | None = None
    items: list[Placed] = field(default_factory=list)

    @property
    def code(self) -> str:
        """The last part of `type`, such as "seat-taken"."""
        return re.split(r"[/:#]", self.type)[-1]


class Member(Struct, frozen=True):
    """A member as another node sees it. `match_index` is known to the leader and for the node itself.

    A member that is no voter is a learner. `incarnation` names the disk that counts, "" an open seat that waits for one.
    """

    id: str
    raft: str
    api: str
    role: Role | None
    reachable: bool
    match_index: int | None
    voter: bool = True
    incarnation: str = ""


class Changed(Struct, frozen=True):
    """The record of members is as it was asked for; `changed` when it was not so before."""

    configuration_index: int
    changed: bool


class Leader(Struct, frozen=True):
    """Who leads now."""

    leader_id: str


class Snapshot(Struct, frozen=True):
    """The newest snapshot of one node."""

    node_id: str
    index: int


class Calendar(Struct, frozen=True):
    """A calendar feed. `path` is the same on every node; both are None when its secret cannot be told any more."""

    created_at: datetime
    path: str | None = None
    url: str | None = None


class Receipt(Struct, frozen=True):
    """The digest of one node's state when entry `index` had been applied; it knows those from `oldest` to `newest`."""

    node_id: str
    index: int
    digest: str
    oldest: int
    newest: int


class SeatHistory(Struct, frozen=True):
    """When a seat was taken on a local day, as of a log index; bookings that join are one piece."""

    space_id: str
    seat_id: str
    date: str
    timezone: str
    as_of: int
    digest: str | None
    taken: list[Slot]


class Cluster(Struct, frozen=True):
    """The cluster as one node sees it; `applied_index` and `digest` were read together."""

    cluster: str
    node_id: str
    role: Role
    leader_id: str | None
    term: int
    commit_index: int
    applied_index: int
    digest: str
    members: list[Member]
    configuration_index: int = 0
    founding: str = ""


class Sighting(Struct, frozen=True):
    """A change that a node has seen: `member_id` leads `term`, is silent, or is heard (again); None where nobody leads."""

    at: datetime
    kind: str  # "started", "leads", "no-leader", "silent" or "heard"; newer nodes may know more
    member_id: str | None
    term: int


class Sightings(Struct, frozen=True):
    """What a node has seen happen to its cluster since it started, newest first."""

    node_id: str
    items: list[Sighting]


class Session(Struct, frozen=True):
    """A log-in that can be kept: give it to `Client(session=…)` later. It is a secret.

    `expires_at` is when the access token ends, in seconds since the epoch by this machine's clock.
    `refresh_key` is the idempotency key of the next refresh: kept beside the token, so that a refresh whose
    answer was lost, even to a crash of this process, is repeated rather than taken for the reuse of a
    stolen token.
    """

    login: str
    access_token: str
    expires_at: float
    refresh_token: str
    refresh_key: str
    device_token: str = ""
