"""Records of the state as people see them: local times with offsets, derived statuses, labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date
from typing import Literal

import msgspec

from api.shapes import AlternativeView, BookingView, UserView
from api.space_shapes import (
    HoursView,
    OutageView,
    PolicyView,
    SeatView,
    SpaceView,
    SpecialDaysView,
    WeekView,
)
from api.timegrid import rfc3339_of_cell, rfc3339_of_ms, zone_of
from statemachine.premises import DAYS_OF_WEEK, Hours, Policy, SpecialDays
from statemachine.records import CELL_MS, Alternative, Booking, Space, User
from statemachine.spaces import rules_of
from statemachine.state import State

Status = Literal["confirmed", "cancelled", "completed", "released"]

MAX_REMEMBERED_TEXTS = 20_000


def user_view(user: User) -> UserView:
    """A user without anything secret."""
    return UserView(user.id, user.login, user.role)


def is_retired(state: State, space_id: str) -> bool:
    """Whether a space can no longer be booked."""
    rules = state.space_rules.get(space_id)
    return rules is not None and rules.retired


def space_view(space: Space, state: State) -> SpaceView:
    """A space with its rules and its seats."""
    rules = rules_of(state, space.id)
    usual = Hours(space.opens_minutes, space.closes_minutes)
    week = rules.week or (usual,) * DAYS_OF_WEEK
    seats = [seat_view(seat.id, seat.label, space, state) for seat in space.seats]
    return SpaceView(
        id=space.id,
        name=space.name,
        timezone=space.timezone,
        opens=_clock(space.opens_minutes),
        closes=_clock(space.closes_minutes),
        slot_minutes=space.slot_minutes,
        seats=seats,
        revision=space.revision,
        hours=WeekView(*map(_hours_view, week)),
        special_days=[special_days_view(days) for days in rules.special_days],
        zones=sorted({seat.zone for seat in seats if seat.zone is not None}),
        policy=policy_view(rules.policy),
    )


def seat_view(seat_id: str, label: str, space: Space, state: State) -> SeatView:
    """A seat with what administrators have told of it; outages that are over are left out."""
    details = state.details_of(space.id, seat_id)
    if details is None:
        return SeatView(seat_id, label)
    zone = zone_of(space.timezone)
    outages = [
        OutageView(
            rfc3339_of_cell(each.start_cell, zone), rfc3339_of_cell(each.end_cell, zone), each.reason or None
        )
        for each in details.outages
        if each.end_cell * CELL_MS > state.now_ms
    ]
    attributes = list(details.attributes)
    return SeatView(seat_id, details.label, details.zone or None, attributes, details.x, details.y, outages)


def special_days_view(days: SpecialDays) -> SpecialDaysView:
    """Dates with hours of their own."""
    first, last = (date.fromordinal(each).isoformat() for each in (days.first_day, days.last_day))
    hours = _hours_view(days.hours)
    opens, closes = (hours.opens, hours.closes) if hours else (None, None)
    return SpecialDaysView(first, last, opens, closes, days.reason or None)


def policy_view(policy: Policy) -> PolicyView:
    """The limits of a space; null: no such limit."""
    return PolicyView(
        horizon_days=policy.horizon_days or None,
        longest_minutes=policy.longest_minutes or None,
        live_bookings=policy.live_bookings or None,
        daily_bookings=policy.daily_bookings or None,
        one_seat_at_a_time=policy.one_seat_at_a_time,
        cancel_cutoff_minutes=policy.cancel_cutoff_minutes or None,
    )


def _hours_view(hours: Hours) -> HoursView | None:
    return None if hours.closed else HoursView(_clock(hours.opens_minutes), _clock(hours.closes_minutes))


class BookingTexts:
    """Bookings as JSON text. A booking is rendered once for each of its revisions and what it depends on besides: the rules
    of its space and whether it is completed. Two generations of at most MAX_REMEMBERED_TEXTS each are kept.
    """

    def __init__(self) -> None:
        self._young: dict[tuple[str, str, str], bytes] = {}
        self._old: dict[tuple[str, str, str], bytes] = {}

    def text(self, booking: Booking, state: State, status: Status) -> bytes:
        """What `booking_view` shows, as bytes."""
        space = state.spaces.get(booking.space_id)
        key = (booking.revision, status, space.revision if space else "")
        text = self._young.get(key)
        return text if text is not None else self._made(key, booking, state, status)

    def _made(self, key: tuple[str, str, str], booking: Booking, state: State, status: Status) -> bytes:
        text = self._old.get(key)
        if text is None:
            text = msgspec.json.encode(booking_view(booking, state, status))
        if len(self._young) >= MAX_REMEMBERED_TEXTS:
            self._old, self._young = self._young, {}
        self._young[key] = text
        return text

    def page(self, texts: list[bytes], cursor: str | None) -> bytes:
        """What `BookingsView` shows, as bytes."""
        return b'{"items":[' + b",".join(texts) + b'],"next":' + msgspec.json.encode(cursor) + b"}"


def booking_view(booking: Booking, state: State, status: Status) -> BookingView:
    """A booking with the status that people see (`status_at`)."""
    space = state.spaces.get(booking.space_id)
    zone = zone_of(space.timezone if space else "UTC")
    return BookingView(
        id=booking.id,
        space_id=booking.space_id,
        seat_id=booking.seat_id,
        seat_label=_label(state, space, booking.seat_id),
        user_id=booking.user_id,
        starts_at=rfc3339_of_cell(booking.start_cell, zone),
        ends_at=rfc3339_of_cell(booking.end_cell, zone),
        timezone=space.timezone if space else "UTC",
        status=status,
        created_at=rfc3339_of_ms(booking.created_at_ms, zone),
        cancelled_at=rfc3339_of_ms(booking.cancelled_at_ms, zone) if booking.cancelled_at_ms else None,
        revision=booking.revision,
    )


def status_at(booking: Booking, now_ms: int) -> Status:
    """The status that people see: a confirmed booking whose end is past is completed."""
    if booking.status == "confirmed" and booking.end_cell * CELL_MS <= now_ms:
        return "completed"
    return booking.status


def views_of(alternatives: Iterable[Alternative], state: State) -> list[AlternativeView]:
    """Free places as people see them."""
    views = []
    for each in alternatives:
        space = state.spaces.get(each.space_id)
        zone = zone_of(space.timezone if space else "UTC")
        times = rfc3339_of_cell(each.start_cell, zone), rfc3339_of_cell(each.end_cell, zone)
        views.append(AlternativeView(each.space_id, each.seat_id, *times))
    return views


def etag(revision: str, *besides: object) -> tuple[str, str]:
    """The header that names a revision.

    A strong ETag promises equal bytes (RFC 9110, 8.8.1), and some views depend on more than the revision: on time, or on the record
    of another resource. `besides` are the values of that; where all are empty, the revision says everything. `If-Match` looks at
    the revision alone (`Exchange.if_match`).
    """
    if not any(besides):
        return "ETag", f'"{revision}"'
    digest = hashlib.blake2b(repr(besides).encode(), digest_size=4).hexdigest()
    return "ETag", f'"{revision}-{digest}"'


def booking_etag(booking: Booking, state: State, status: Status) -> tuple[str, str]:
    """The ETag of a booking's view, which also shows what its space is called and where its clocks are."""
    space = state.spaces.get(booking.space_id)
    changed_since = space is not None and _place(space.revision) > _place(booking.revision)
    derived = "" if status == booking.status else status
    return etag(booking.revision, derived, space.revision if space is not None and changed_since else "")


def space_etag(view: SpaceView, *, more_seats: Iterable[SeatView] = ()) -> tuple[str, str]:
    """The ETag of a space's view, from which outages vanish once they are over."""
    return etag(view.revision, sum(len(seat.outages) for seat in (*view.seats, *more_seats)))


def _place(revision: str) -> tuple[int, int]:
    index, _, position = revision.partition(".")
    return int(index), int(position)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _label(state: State, space: Space | None, seat_id: str) -> str:
    if space is not None:
        for seat in space.seats:
            if seat.id == seat_id:
                return seat.label
        details = state.details_of(space.id, seat_id)
        if details is not None:  # a retired seat
            return details.label
    return seat_id
