"""Waiting for a place that somebody has, and seeing how the line moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from aiohttp import web
from msgspec import Meta, Struct

from api.answers import empty_answer, json_answer
from api.bookings import BOOK_PROBLEMS
from api.calls import Call
from api.exchange import Exchange
from api.ids import uuid7
from api.problems import Refusal
from api.shapes import Body, EmptyBody, Instant, Name, SlotCount
from api.timegrid import rfc3339_of_cell, rfc3339_of_ms, zone_of
from api.views import etag
from api.wishes import LocalDate, LocalTime, carried_out, refusal_of, starter, wish
from statemachine.commands import JoinWaitlist, LeaveWaitlist
from statemachine.records import Space
from statemachine.refitting import is_fit
from statemachine.state import State
from statemachine.waiters import Waiter
from statemachine.waitlist import position_of

WAITLIST_PATH = "/api/v1/waitlist/"


class JoinBody(Body, frozen=True, omit_defaults=True):
    """A place to wait for."""

    space_id: Name
    seat_id: Annotated[Name | None, Meta(description="Left out: any seat of the space.")] = None
    starts_at: Instant | None = None
    date: LocalDate | None = None
    time: LocalTime | None = None
    slots: SlotCount = 1


class WaitingView(Struct, frozen=True):
    """A place in a line. `outdated`: it no longer fits the hours of the space."""

    id: str
    space_id: str
    seat_id: str | None
    user_id: str
    starts_at: str
    ends_at: str
    status: Literal["waiting", "promoted", "outdated"]
    position: Annotated[int | None, Meta(description="1 is the next; null when not waiting.")]
    booking_id: str | None
    created_at: str
    revision: str


class WaitingsView(Struct, frozen=True):
    """Everything that a user waits for, or got by waiting and has not begun; the oldest first."""

    items: list[WaitingView]


async def join(exchange: Exchange, body: JoinBody) -> web.Response:
    """`POST /api/v1/waitlist`."""
    start_of = starter(body.starts_at, body.date, body.time)
    outcome = await carried_out(
        exchange, body, lambda state: _joining(exchange, state, body, start_of), "unknown-space"
    )
    if not outcome.ok:
        raise refusal_of(exchange, outcome)
    waiter = outcome.result
    assert isinstance(waiter, Waiter)
    view = waiting_view(exchange.services.replica.state, waiter)
    extra = (("Location", WAITLIST_PATH + waiter.id), etag(waiter.revision))
    return json_answer(view, outcome.index, status=201, extra=extra)


def _joining(
    exchange: Exchange, state: State, body: JoinBody, start_of: Callable[[Space], int]
) -> JoinWaitlist | None:
    space = state.spaces.get(body.space_id)
    if space is None:
        return None
    want = wish(exchange, space, body.seat_id or "", start_of(space), body.slots)
    return JoinWaitlist(uuid7(exchange.services.replica.now_ms()), want)


def waiting_view(state: State, waiter: Waiter) -> WaitingView:
    want = waiter.want
    space = state.spaces.get(want.space_id)
    zone = zone_of(space.timezone if space else "UTC")
    status: Literal["waiting", "promoted", "outdated"] = waiter.status
    if waiter.status == "waiting" and (space is None or not is_fit(waiter, space)):
        status = "outdated"
    return WaitingView(
        id=waiter.id,
        space_id=want.space_id,
        seat_id=want.seat_id or None,
        user_id=waiter.user_id,
        starts_at=rfc3339_of_cell(want.start_cell, zone),
        ends_at=rfc3339_of_cell(waiter.end_cell, zone),
        status=status,
        position=position_of(state, waiter) if status == "waiting" else None,
        booking_id=want.booking_id if status == "promoted" else None,
        created_at=rfc3339_of_ms(waiter.created_at_ms, zone),
        revision=waiter.revision,
    )


async def mine(exchange: Exchange, _: None) -> web.Response:
    """`GET /api/v1/waitlist`."""
    identity = exchange.identity()
    state = await exchange.read_state()
    user = exchange.user_of(state, identity)
    items = [waiting_view(state, state.waiters[each]) for each in state.waiters_by_user.get(user.id, ())]
    return json_answer(WaitingsView(items), exchange.index)


async def get(exchange: Exchange, _: None) -> web.Response:
    """`GET /api/v1/waitlist/{waiting_id}`."""
    identity = exchange.identity()
    state = await exchange.read_state()
    user = exchange.user_of(state, identity)
    waiter = state.waiters.get(exchange.request.match_info["waiting_id"])
    if waiter is None or (waiter.user_id != user.id and user.role != "admin"):
        raise Refusal("waiting-not-found")
    view = waiting_view(state, waiter)
    shown = (view.status, view.position, view.starts_at)
    return json_answer(view, exchange.index, extra=(etag(waiter.revision, shown),))


async def leave(exchange: Exchange, body: EmptyBody) -> web.Response:
    """`POST /api/v1/waitlist/{waiting_id}/leave`."""
    waiting_id = exchange.request.match_info["waiting_id"]
    if not waiting_id.isascii() or len(waiting_id) > 64:
        raise Refusal("waiting-not-found")  # no id of ours; the log need not see it
    outcome = await carried_out(exchange, body, lambda _: LeaveWaitlist(waiting_id), "waiting-not-found")
    if not outcome.ok:
        raise refusal_of(exchange, outcome)
    return empty_answer(outcome.index)


_WRITE_PROBLEMS = ("key-reused", "too-many-keys", "overloaded", "unavailable", "outcome-unknown")

CALLS = (
    Call(
        "POST",
        "/api/v1/waitlist",
        "Wait for a place",
        join,
        {201: WaitingView},
        body=JoinBody,
        problems=(*BOOK_PROBLEMS, "nonexistent-time", "ambiguous-time", "too-many-waiting", "waitlist-full"),
    ),
    Call("GET", "/api/v1/waitlist", "What I wait for", mine, {200: WaitingsView}, problems=("unavailable",)),
    Call(
        "GET",
        "/api/v1/waitlist/{waiting_id}",
        "One place in a line",
        get,
        {200: WaitingView},
        problems=("waiting-not-found", "unavailable"),
    ),
    Call(
        "POST",
        "/api/v1/waitlist/{waiting_id}/leave",
        "Wait no longer",
        leave,
        {204: None},
        body=EmptyBody,
        body_optional=True,
        problems=("waiting-not-found", *_WRITE_PROBLEMS),
    ),
)
