"""Another place for a booking, and what a booking has been through."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, Literal

from aiohttp import web
from msgspec import Meta, Struct

from api.answers import json_answer, raw_json_answer
from api.bookings import BOOK_PROBLEMS
from api.calls import Call
from api.exchange import Exchange
from api.problems import Refusal
from api.shapes import Body, BookingView, Instant, Name, SlotCount
from api.timegrid import grid_for, rfc3339_of_cell, rfc3339_of_ms, zone_of
from api.views import booking_etag, etag, status_at
from api.wishes import LocalDate, LocalTime, carried_out, refusal_of, starter
from statemachine.commands import BookSeat, MoveBooking
from statemachine.records import Booking, Step, StepKind
from statemachine.state import State


class MoveBody(Body, frozen=True, omit_defaults=True):
    """Where to. What is left out stays as it is."""

    seat_id: Annotated[Name | None, Meta(description="Another seat of the same space.")] = None
    starts_at: Instant | None = None
    date: LocalDate | None = None
    time: LocalTime | None = None
    slots: SlotCount | None = None


class StepView(Struct, frozen=True):
    """One line of a booking's history, with the place that the booking had from then on."""

    kind: StepKind | Literal["completed"]
    at: str
    by_user_id: Annotated[str | None, Meta(description="null: time did it.")]
    reason: str | None
    space_id: str
    seat_id: str
    starts_at: str
    ends_at: str
    revision: Annotated[str | None, Meta(description="null: not known any more, or no change of the record.")]


class StepsView(Struct, frozen=True):
    """What has become of a booking, oldest first."""

    items: list[StepView]


async def move(exchange: Exchange, body: MoveBody) -> web.Response:
    """`POST /api/v1/bookings/{booking_id}/move`."""
    booking_id = exchange.request.match_info["booking_id"]
    if body == MoveBody():
        raise Refusal("invalid-body", errors=[("", "says nothing that would change")])
    stays = body.date is None and body.time is None and body.starts_at is None
    start_of = None if stays else starter(body.starts_at, body.date, body.time)
    expected = exchange.if_match()

    def make(state: State) -> MoveBooking | None:
        booking = state.bookings.get(booking_id)
        space = None if booking is None else state.spaces.get(booking.space_id)
        if booking is None or space is None:
            return None
        start_cell = booking.start_cell if start_of is None else start_of(space)
        slots = body.slots or -(-(booking.end_cell - booking.start_cell) // space.slot_cells)
        grid = grid_for(space, start_cell, slots, state.space_rules.get(space.id))
        want = BookSeat(booking.id, space.id, body.seat_id or booking.seat_id, start_cell, slots, grid)
        return MoveBooking(expected or booking.revision, want)

    outcome = await carried_out(exchange, body, make, "booking-not-found")
    if outcome.code == "booking-changed" and expected is not None:
        raise Refusal("revision-changed", "The booking has another revision by now.")
    if not outcome.ok:
        raise refusal_of(exchange, outcome)
    booking = outcome.result
    assert isinstance(booking, Booking)
    services = exchange.services
    text = services.booking_texts.text(booking, services.replica.state, booking.status)
    return raw_json_answer(text, outcome.index, extra=(etag(booking.revision),))


async def history(exchange: Exchange, _: None) -> web.Response:
    """`GET /api/v1/bookings/{booking_id}/history`."""
    identity = exchange.identity()
    state = await exchange.read_state()
    user = exchange.user_of(state, identity)
    booking = state.bookings.get(exchange.request.match_info["booking_id"])
    if booking is None or (booking.user_id != user.id and user.role != "admin"):
        raise Refusal("booking-not-found")
    steps = [_step_view(step, state) for step in state.history_of(booking)]
    status = status_at(booking, exchange.services.replica.now_ms())
    if status == "completed":
        space = state.spaces.get(booking.space_id)
        ended = rfc3339_of_cell(booking.end_cell, zone_of(space.timezone) if space else UTC)
        last = steps[-1]
        place = (last.space_id, last.seat_id, last.starts_at, last.ends_at)
        steps.append(StepView("completed", ended, None, None, *place, None))
    return json_answer(StepsView(steps), exchange.index, extra=(booking_etag(booking, state, status),))


def _step_view(step: Step, state: State) -> StepView:
    space = state.spaces.get(step.space_id)
    zone = zone_of(space.timezone if space else "UTC")
    return StepView(
        kind=step.kind,
        at=rfc3339_of_ms(step.at_ms, zone),
        by_user_id=step.by_user_id or None,
        reason=step.reason or None,
        space_id=step.space_id,
        seat_id=step.seat_id,
        starts_at=rfc3339_of_cell(step.start_cell, zone),
        ends_at=rfc3339_of_cell(step.end_cell, zone),
        revision=step.revision or None,
    )


MOVE_PROBLEMS = (
    *BOOK_PROBLEMS,
    "nonexistent-time",
    "ambiguous-time",
    "invalid-parameter",
    "booking-not-found",
    "booking-completed",
    "booking-cancelled",
    "booking-begun",
    "booking-changed",
    "too-late-to-cancel",
    "too-many-changes",
    "revision-changed",
)

CALLS = (
    Call(
        "POST",
        "/api/v1/bookings/{booking_id}/move",
        "Give a booking another place",
        move,
        {200: BookingView},
        body=MoveBody,
        problems=MOVE_PROBLEMS,
        matched=True,
    ),
    Call(
        "GET",
        "/api/v1/bookings/{booking_id}/history",
        "What has become of a booking",
        history,
        {200: StepsView},
        problems=("booking-not-found", "unavailable"),
    ),
)
