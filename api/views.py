"""Records of the state as people see them: local times with offsets, derived statuses, labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from api.shapes import AlternativeView, BookingView, SeatView, SpaceView, UserView
from api.timegrid import rfc3339_of_cell, rfc3339_of_ms, zone_of
from statemachine.outcomes import Outcome
from statemachine.records import CELL_MS, Alternative, Booking, Space, User
from statemachine.state import State

Status = Literal["confirmed", "cancelled", "completed"]

MAX_REMEMBERED_TEXTS = 20_000


def user_view(user: User) -> UserView:
    """A user without anything secret."""
    return UserView(user.id, user.login, user.role)


def space_view(space: Space) -> SpaceView:
    """A space with its seats."""
    return SpaceView(
        id=space.id,
        name=space.name,
        timezone=space.timezone,
        opens=_clock(space.opens_minutes),
        closes=_clock(space.closes_minutes),
        slot_minutes=space.slot_minutes,
        seats=[SeatView(seat.id, seat.label) for seat in space.seats],
        revision=space.revision,
    )


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
        seat_label=_label(space, booking.seat_id),
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


def alternative_views(outcome: Outcome, state: State) -> list[AlternativeView]:
    """The free places that came with a refusal, in the order of the state machine."""
    return views_of(outcome.alternatives, state)


def views_of(alternatives: Iterable[Alternative], state: State) -> list[AlternativeView]:
    """Free places as people see them."""
    views = []
    for each in alternatives:
        space = state.spaces.get(each.space_id)
        zone = zone_of(space.timezone if space else "UTC")
        times = rfc3339_of_cell(each.start_cell, zone), rfc3339_of_cell(each.end_cell, zone)
        views.append(AlternativeView(each.space_id, each.seat_id, *times))
    return views


def etag(revision: str) -> tuple[str, str]:
    """The header that names a revision."""
    return "ETag", f'"{revision}"'


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _label(space: Space | None, seat_id: str) -> str:
    if space is not None:
        for seat in space.seats:
            if seat.id == seat_id:
                return seat.label
    return seat_id
