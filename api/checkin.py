"""Saying that one is there; and whether a space asks for it."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct

from api.answers import json_answer, raw_json_answer
from api.calls import Call
from api.exchange import Exchange
from api.problems import Refusal
from api.shapes import Body, BookingView, EmptyBody
from api.views import etag
from api.wishes import carried_out, refusal_of
from statemachine.commands import CheckIn, SetCheckIn
from statemachine.limits import MAX_GRACE_MINUTES
from statemachine.records import Booking, CheckInRule


class GraceBody(Body, frozen=True):
    """How long the seat of somebody who has not checked in is kept."""

    grace_minutes: Annotated[
        int, Meta(ge=0, le=MAX_GRACE_MINUTES, description="After the start; 0: nobody has to check in.")
    ]


class CheckInView(Struct, frozen=True):
    """Whether one has to check in: 0 minutes mean that one has not."""

    space_id: str
    grace_minutes: int
    revision: str | None


async def check_in(exchange: Exchange, body: EmptyBody) -> web.Response:
    """`POST /api/v1/bookings/{booking_id}/checkin`."""
    booking_id = exchange.request.match_info["booking_id"]
    if not booking_id.isascii() or len(booking_id) > 64:
        raise Refusal("booking-not-found")  # no id of ours; the log need not see it
    outcome = await carried_out(exchange, body, lambda _: CheckIn(booking_id), "booking-not-found")
    if not outcome.ok:
        raise refusal_of(exchange, outcome)
    booking = outcome.result
    assert isinstance(booking, Booking)
    services = exchange.services
    text = services.booking_texts.text(booking, services.replica.state, booking.status)
    return raw_json_answer(text, outcome.index, extra=(etag(booking.revision),))


async def set_rule(exchange: Exchange, body: GraceBody) -> web.Response:
    """`POST /api/v1/admin/spaces/{space_id}/checkin`."""
    space_id = exchange.request.match_info["space_id"]
    outcome = await carried_out(
        exchange,
        body,
        lambda state: SetCheckIn(space_id, body.grace_minutes) if space_id in state.spaces else None,
        "not-found",
    )
    if not outcome.ok:
        raise refusal_of(exchange, outcome)
    rule = outcome.result
    assert isinstance(rule, CheckInRule)
    view = CheckInView(rule.space_id, rule.grace_minutes, rule.revision)
    return json_answer(view, outcome.index, extra=(etag(rule.revision),))


async def get_rule(exchange: Exchange, _: None) -> web.Response:
    """`GET /api/v1/spaces/{space_id}/checkin`."""
    state = await exchange.read_state()
    space_id = exchange.request.match_info["space_id"]
    if space_id not in state.spaces:
        raise Refusal("not-found")
    rule = state.check_in_rules.get(space_id)
    if rule is None:
        return json_answer(CheckInView(space_id, 0, None), exchange.index)
    view = CheckInView(space_id, rule.grace_minutes, rule.revision)
    return json_answer(view, exchange.index, extra=(etag(rule.revision),))


_WRITE_PROBLEMS = ("key-reused", "too-many-keys", "overloaded", "unavailable", "outcome-unknown")

CALLS = (
    Call(
        "POST",
        "/api/v1/bookings/{booking_id}/checkin",
        "Say that one is there",
        check_in,
        {200: BookingView},
        body=EmptyBody,
        body_optional=True,
        problems=(
            "booking-not-found",
            "booking-cancelled",
            "booking-completed",
            "too-early-to-check-in",
            *_WRITE_PROBLEMS,
        ),
    ),
    Call(
        "GET",
        "/api/v1/spaces/{space_id}/checkin",
        "Whether one has to check in",
        get_rule,
        {200: CheckInView},
        access="public",
        problems=("not-found", "unavailable"),
    ),
    Call(
        "POST",
        "/api/v1/admin/spaces/{space_id}/checkin",
        "Ask those who book to check in, or not",
        set_rule,
        {200: CheckInView},
        body=GraceBody,
        problems=("forbidden", "not-found", *_WRITE_PROBLEMS),
    ),
)
