"""What travels over HTTP about spaces and seats: how people see them, and how administrators say what shall change.

In the body of a PATCH a field that is left out stays as it is; `null`, where it is allowed, takes away.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from api.shapes import Body, BookingView, Instant
from statemachine.limits import MAX_OUTAGES, MAX_PLACE, MAX_REASON_CHARS, MAX_SEATS_PER_SPACE
from statemachine.premises import Attribute

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_TITLE_CHARACTERS = 100  # names of spaces and zones, labels of seats
MAX_POLICY = 100_000  # of any number in a policy

SpaceId = Annotated[str, Meta(pattern="^[a-z][a-z0-9_-]{0,31}$", examples=["hq"])]
SeatId = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$", examples=["A1"])]
Title = Annotated[str, Meta(min_length=1, max_length=MAX_TITLE_CHARACTERS)]
Clock = Annotated[str, Meta(description="Local time of day; the end may be 24:00.", examples=["08:00"])]
Date = Annotated[str, Meta(description="Local date.", examples=["2026-12-01"])]
SlotMinutes = Annotated[int, Meta(ge=5, le=1440, multiple_of=5)]
Reason = Annotated[str, Meta(max_length=MAX_REASON_CHARS, description="Why; told to those who are affected.")]
Place = Annotated[int, Meta(ge=0, le=MAX_PLACE, description="On the plan, in its own unit.")]
PolicyNumber = Annotated[int, Meta(ge=0, le=MAX_POLICY, description="0: no such limit.")]
Attributes = Annotated[tuple[Attribute, ...], Meta(max_length=4)]
AffectedToken = Annotated[
    str,
    Meta(
        max_length=64,
        description="The `token` of the list of affected bookings that was looked at; empty: none.",
    ),
]


class HoursView(Struct, frozen=True):
    """Opening hours of one day."""

    opens: Clock
    closes: Clock


class WeekView(Struct, frozen=True):
    """Opening hours by weekday; null: closed."""

    mon: HoursView | None
    tue: HoursView | None
    wed: HoursView | None
    thu: HoursView | None
    fri: HoursView | None
    sat: HoursView | None
    sun: HoursView | None


class SpecialDaysView(Struct, frozen=True):
    """Local dates, both inclusive, with hours of their own; without hours the space is closed."""

    first: Date
    last: Date
    opens: Clock | None
    closes: Clock | None
    reason: str | None


class PolicyView(Struct, frozen=True):
    """What users may take; null: no such limit. Administrators are above it."""

    horizon_days: Annotated[int | None, Meta(description="How far ahead a booking may begin.")]
    longest_minutes: Annotated[int | None, Meta(description="Of one booking.")]
    live_bookings: Annotated[int | None, Meta(description="Of a user, not over yet.")]
    daily_bookings: Annotated[int | None, Meta(description="Of a user, beginning on one local day.")]
    one_seat_at_a_time: bool
    cancel_cutoff_minutes: Annotated[int | None, Meta(description="Before the start, when cancelling ends.")]


class OutageView(Struct, frozen=True):
    """A seat cannot be used for a time."""

    starts_at: str
    ends_at: str
    reason: str | None


class SeatView(Struct, frozen=True):
    """One desk. `x` and `y` are its place on the plan."""

    id: str
    label: str
    zone: str | None = None
    attributes: list[Attribute] = []
    x: int | None = None
    y: int | None = None
    outages: list[OutageView] = []


class SpaceView(Struct, frozen=True):
    """A coworking. `opens` and `closes` are the earliest and the latest of the week, local; `closes` may be 24:00."""

    id: str
    name: str
    timezone: str
    opens: str
    closes: str
    slot_minutes: int
    seats: list[SeatView]
    revision: str
    hours: WeekView
    special_days: list[SpecialDaysView]
    zones: list[str]
    policy: PolicyView


class SpacesView(Struct, frozen=True):
    """All spaces."""

    items: list[SpaceView]
    next: str | None


class ManagedSpaceView(Struct, frozen=True):
    """A space as its administrators see it: with what is retired."""

    space: SpaceView
    retired: bool
    retired_seats: list[SeatView]


class ManagedSpacesView(Struct, frozen=True):
    """All spaces, the retired ones too."""

    items: list[ManagedSpaceView]
    next: str | None


class SpaceChangeView(Struct, frozen=True):
    """A change of a space or seat that was made, or, for a dry run, that could be made at `index`.

    `revision` is the space's: the new one, or for a dry run the one it was worked out from. `token` and `bookings`, the first
    of those that are affected, are told by a dry run.
    """

    dry_run: bool
    index: int
    space_id: str
    seat_id: str | None
    revision: str
    affected: int
    cancelled: int
    token: str = ""
    bookings: list[BookingView] = []


class NewSeatBody(Body, frozen=True, omit_defaults=True):
    """A desk. `label` is what people read on it; its id when left out."""

    id: SeatId
    label: Title | None = None
    zone: Annotated[str, Meta(max_length=MAX_TITLE_CHARACTERS)] = ""
    attributes: Attributes = ()
    x: Place | None = None
    y: Place | None = None


class PlainSeatBody(Body, frozen=True, omit_defaults=True):
    """A desk of a new space."""

    id: SeatId
    label: Title | None = None


class NewSpaceBody(Body, frozen=True):
    """A coworking with the same hours on every day of the week; other hours, zones and attributes are given to it afterwards."""

    id: SpaceId
    name: Title
    timezone: Annotated[str, Meta(description="IANA name.", examples=["Europe/Moscow"])]
    opens: Clock
    closes: Clock
    slot_minutes: SlotMinutes
    seats: Annotated[list[PlainSeatBody], Meta(min_length=1, max_length=MAX_SEATS_PER_SPACE)]


class HoursBody(Body, frozen=True):
    """Opening hours of one day."""

    opens: Clock
    closes: Clock


class WeekBody(Body, frozen=True, omit_defaults=True):
    """Opening hours by weekday. null: closed. Left out: as before."""

    mon: HoursBody | UnsetType | None = UNSET
    tue: HoursBody | UnsetType | None = UNSET
    wed: HoursBody | UnsetType | None = UNSET
    thu: HoursBody | UnsetType | None = UNSET
    fri: HoursBody | UnsetType | None = UNSET
    sat: HoursBody | UnsetType | None = UNSET
    sun: HoursBody | UnsetType | None = UNSET


class PolicyBody(Body, frozen=True, omit_defaults=True):
    """What users may take. 0 and false: no such limit. Left out: as before."""

    horizon_days: PolicyNumber | UnsetType = UNSET
    longest_minutes: PolicyNumber | UnsetType = UNSET
    live_bookings: PolicyNumber | UnsetType = UNSET
    daily_bookings: PolicyNumber | UnsetType = UNSET
    one_seat_at_a_time: bool | UnsetType = UNSET
    cancel_cutoff_minutes: PolicyNumber | UnsetType = UNSET


class ConsentBody(Body, frozen=True, omit_defaults=True):
    """What shall become of accepted bookings that the change touches: kept as they are, or cancelled."""

    if_affected: Literal["keep", "cancel"] = "keep"
    affected_token: AffectedToken = ""
    reason: Reason = ""


class SpaceChangeBody(ConsentBody, frozen=True, omit_defaults=True):
    """What shall be otherwise about a space."""

    name: Title | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    slot_minutes: SlotMinutes | UnsetType = UNSET
    hours: WeekBody | UnsetType = UNSET
    policy: PolicyBody | UnsetType = UNSET
    retired: bool | UnsetType = UNSET


class DaysBody(ConsentBody, frozen=True, omit_defaults=True, kw_only=True):
    """Some local dates: closed, or with other hours, or again as usual. What was set for these dates before is gone."""

    first: Date
    last: Annotated[Date | None, Meta(description="The same as `first` when left out.")] = None
    opens: Clock | None = None
    closes: Clock | None = None
    usual: Annotated[bool, Meta(description="The hours of the week again.")] = False


class OutageBody(Body, frozen=True, omit_defaults=True):
    """A seat cannot be used for a time; it is widened to whole five minutes."""

    starts_at: Instant
    ends_at: Instant
    reason: Reason = ""


class SeatChangeBody(ConsentBody, frozen=True, omit_defaults=True):
    """What shall be otherwise about a seat. `outages` are all of them from now on."""

    label: Title | UnsetType = UNSET
    zone: Annotated[str, Meta(max_length=MAX_TITLE_CHARACTERS)] | UnsetType = UNSET
    attributes: Attributes | UnsetType = UNSET
    x: Place | UnsetType | None = UNSET
    y: Place | UnsetType | None = UNSET
    retired: bool | UnsetType = UNSET
    outages: Annotated[list[OutageBody], Meta(max_length=MAX_OUTAGES)] | UnsetType = UNSET
