"""What administrators change of spaces and seats, on any node.

A change is worked out from the space as this node knows it and names that revision, so the log refuses it when the space has
changed meanwhile, and it is worked out again. `If-Match` asks for the opposite: refuse rather than work it out anew.

A change that touches accepted bookings is answered with the list of them and its token; with the token and a word on what shall
become of them the same request is carried out, if the list is still the same. `?dry_run=true` only looks. Whether the session
is an administrator's is judged by the log, for a dry run and for what is only read by the state that is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web
from msgspec import structs

from api.answers import json_answer
from api.calls import Call, choice
from api.closing import closing_of, windows_of_line
from api.exchange import Exchange
from api.problems import Refusal
from api.shaped import details_after, merged_rules, new_details, new_space, rules_with_days
from api.shapes import AffectedView, Body
from api.space_shapes import (
    ConsentBody,
    DaysBody,
    ManagedSpacesView,
    ManagedSpaceView,
    NewSeatBody,
    NewSpaceBody,
    SeatChangeBody,
    SpaceChangeBody,
    SpaceChangeView,
)
from api.timegrid import UnknownZoneError, zone_of
from api.views import booking_view, etag, is_retired, seat_view, space_etag, space_view
from api.wishes import carried_out, refusal_of
from statemachine.commands import Command, Consent, CreateSpace, PutSeat, ReviseSpace
from statemachine.outcomes import Outcome
from statemachine.premises import SpaceChange, SpaceRules
from statemachine.records import Booking, Space
from statemachine.spaces import affected_by_revision, affected_by_seat, rules_of, token_of
from statemachine.state import State

MAX_LISTED = 200  # affected bookings in one answer; `count` tells of all

Make = Callable[[State], Command | None]

DRY_RUN = choice("dry_run", ("true", "false"), "`true` only tells what the change would touch.")


async def list_all(exchange: Exchange, _: None) -> web.Response:
    """All spaces with what is retired."""
    state = await _managed_state(exchange)
    views = [_managed_view(space, state) for space in state.spaces.values()]
    return json_answer(ManagedSpacesView(views, None), exchange.index)


async def get(exchange: Exchange, _: None) -> web.Response:
    """One space with what is retired."""
    state = await _managed_state(exchange)
    space = state.spaces.get(_space_id(exchange))
    if space is None:
        raise Refusal("not-found", "There is no such space.")
    view = _managed_view(space, state)
    return json_answer(view, exchange.index, extra=(space_etag(view.space, more_seats=view.retired_seats),))


async def create(exchange: Exchange, body: NewSpaceBody) -> web.Response:
    """Make a space."""
    command = CreateSpace(new_space(body, _sound_zone(body.timezone, "/timezone")))
    outcome = await carried_out(exchange, body, lambda _: command, "not-found")
    return _answer(exchange, outcome, status=201)


async def revise(exchange: Exchange, body: SpaceChangeBody) -> web.Response:
    """Change a space."""
    zone = body.timezone
    if isinstance(zone, str):
        _sound_zone(zone, "/timezone")
    return await _shape(
        exchange, body, lambda space, rules: (_given(body, space), merged_rules(body, space, rules))
    )


async def set_days(exchange: Exchange, body: DaysBody) -> web.Response:
    """Close some dates, give them other hours, or the usual ones again."""
    return await _shape(exchange, body, lambda space, rules: ({}, rules_with_days(body, rules)))


async def add_seat(exchange: Exchange, body: NewSeatBody) -> web.Response:
    """Add a seat."""
    space_id = _space_id(exchange)
    details = new_details(body, space_id)
    base_of = await _base(exchange)

    def make(state: State) -> PutSeat | None:
        space = state.spaces.get(space_id)
        return None if space is None else PutSeat(base_of(space), True, details, Consent("", "keep", ""))

    return await _carry_out(exchange, body, make, status=201)


async def revise_seat(exchange: Exchange, body: SeatChangeBody) -> web.Response:
    """Change a seat."""
    space_id, seat_id = _space_id(exchange), exchange.request.match_info["seat_id"]
    base_of = await _base(exchange)

    def make(state: State) -> PutSeat | None:
        space = state.spaces.get(space_id)
        if space is None or state.occupancy.seat(space_id, seat_id) is None:
            return None
        details = details_after(body, state, space, seat_id)
        return PutSeat(base_of(space), False, details, _consent(body))

    return await _carry_out(exchange, body, make)


# --- carrying out -------------------------------------------------------------------------------------------


async def _shape(
    exchange: Exchange,
    body: ConsentBody,
    change: Callable[[Space, SpaceRules], tuple[dict[str, Any], SpaceRules]],
) -> web.Response:
    """Carry out a change of a space, or look what it would touch."""
    space_id = _space_id(exchange)
    now_ms = exchange.services.replica.now_ms()
    base_of = await _base(exchange)

    def make(state: State) -> ReviseSpace | None:
        space = state.spaces.get(space_id)
        if space is None:
            return None
        before = rules_of(state, space_id)
        given, rules = change(space, before)
        zone = given.get("timezone", space.timezone)
        closing, until_cell = closing_of(state, space, before, rules, zone, now_ms)
        name, slot_minutes = given.get("name", space.name), given.get("slot_minutes", space.slot_minutes)
        shaped = structs.replace(space, timezone=zone, slot_minutes=slot_minutes)
        windows = windows_of_line(state, shaped, rules)
        return ReviseSpace(
            space_id, base_of(space), name, zone, slot_minutes, rules, closing, until_cell, _consent(body), windows
        )  # fmt: skip

    return await _carry_out(exchange, body, make)


async def _carry_out(exchange: Exchange, body: Body, make: Make, status: int = 200) -> web.Response:
    if exchange.query.get("dry_run") == "true":
        return await _dry_run(exchange, make)
    outcome = await carried_out(exchange, body, make, "not-found")
    if outcome.code == "affected-changed":
        raise _affected(exchange, make)
    return _answer(exchange, outcome, status=status)


async def _dry_run(exchange: Exchange, make: Make) -> web.Response:
    state = await _managed_state(exchange)
    command = make(state)
    if not isinstance(command, ReviseSpace | PutSeat):
        raise Refusal("not-found", "There is no such space or seat.")
    space_id = command.space_id if isinstance(command, ReviseSpace) else command.details.space_id
    seat_id = None if isinstance(command, ReviseSpace) else command.details.seat_id
    revision = state.spaces[space_id].revision
    if command.base_revision != revision:
        raise Refusal("revision-changed")
    touched = _touched(state, command)
    view = SpaceChangeView(
        True, exchange.index, space_id, seat_id, revision, len(touched), 0, token_of(touched), _listed(touched, state)
    )  # fmt: skip
    return json_answer(view, exchange.index)


def _touched(state: State, command: ReviseSpace | PutSeat) -> list[Booking]:
    if isinstance(command, PutSeat):
        return affected_by_seat(state, command.details, state.now_ms)
    return affected_by_revision(state, command, state.now_ms) or []


def _answer(exchange: Exchange, outcome: Outcome, status: int = 200) -> web.Response:
    change = outcome.result
    if isinstance(change, SpaceChange):
        view = SpaceChangeView(
            False, outcome.index, change.space_id, change.seat_id or None, change.revision, change.affected, change.cancelled
        )  # fmt: skip
        extra = [etag(change.revision)]
        if status == 201:
            extra.append(("Location", f"/api/v1/admin/spaces/{change.space_id}"))
        return json_answer(view, outcome.index, status=status, extra=extra)
    if outcome.code == "rules-changed" and "If-Match" in exchange.request.headers:
        raise Refusal("revision-changed")
    if outcome.code in ("unknown-space", "unknown-seat"):
        raise Refusal("not-found", "There is no such space or seat.")
    raise refusal_of(exchange, outcome)


def _affected(exchange: Exchange, make: Make) -> Refusal:
    """The refusal of a change that touches other bookings than it named, with the list of this moment."""
    state = exchange.services.replica.state
    command = make(state)
    assert isinstance(command, ReviseSpace | PutSeat)
    touched = _touched(state, command)
    view = AffectedView(len(touched), token_of(touched), state.index, _listed(touched, state))
    return Refusal("affected-changed", members={"affected": view})


def _listed(touched: Sequence[Booking], state: State) -> list[Any]:
    return [booking_view(booking, state, booking.status) for booking in touched[:MAX_LISTED]]


# --- reading the request ------------------------------------------------------------------------------------


async def _base(exchange: Exchange) -> Callable[[Space], str]:
    """The revision that a change names. With `If-Match` a space of another revision is given an impossible one: the log then
    answers a repeated request as the first time, and refuses a new one.
    """
    expected = exchange.if_match()
    if expected is None:
        return lambda space: space.revision
    await exchange.read_state()  # not an older look than the one that the ETag is from
    return lambda space: space.revision if space.revision == expected else ""


def _consent(body: ConsentBody) -> Consent:
    return Consent(body.affected_token, body.if_affected, body.reason)


def _given(body: SpaceChangeBody, space: Space) -> dict[str, Any]:
    named = {"name": body.name, "timezone": body.timezone, "slot_minutes": body.slot_minutes}
    return {key: value for key, value in named.items() if isinstance(value, str | int)}


def _space_id(exchange: Exchange) -> str:
    return exchange.request.match_info["space_id"]


def _sound_zone(name: str, pointer: str) -> str:
    try:
        zone_of(name)
    except UnknownZoneError:
        raise Refusal(
            "invalid-body", errors=[(pointer, "is no IANA time zone such as Europe/Moscow")]
        ) from None
    return name


async def _managed_state(exchange: Exchange) -> State:
    """The state to read from, for an administrator. Raises `Refusal`."""
    identity = exchange.identity()
    state = await exchange.read_state()
    if exchange.user_of(state, identity).role != "admin":
        raise Refusal("forbidden", "Only administrators may do this.")
    return state


def _managed_view(space: Space, state: State) -> ManagedSpaceView:
    listed = {seat.id for seat in space.seats}
    gone = [seat_id for seat_id in state.occupancy.seat_ids(space.id) if seat_id not in listed]
    views = [seat_view(seat_id, seat_id, space, state) for seat_id in gone]
    return ManagedSpaceView(space_view(space, state), is_retired(state, space.id), views)


_PROBLEMS = (
    "forbidden",
    "key-reused",
    "too-many-keys",
    "overloaded",
    "unavailable",
    "outcome-unknown",
    "rules-changed",
)
_CHANGE_PROBLEMS = (
    "not-found", "revision-changed", "affected-changed", "too-many-affected", "change-too-wide", "invalid-parameter", *_PROBLEMS,
)  # fmt: skip
_ALL = "/api/v1/admin/spaces"
_ONE = "/api/v1/admin/spaces/{space_id}"

CALLS = (
    Call("GET", _ALL, "All spaces, with what is retired", list_all, {200: ManagedSpacesView}, problems=("forbidden", "unavailable")),
    Call("GET", _ONE, "A space, with what is retired", get, {200: ManagedSpaceView}, problems=("not-found", "forbidden", "unavailable")),
    Call(
        "POST", _ALL, "Make a space", create, {201: SpaceChangeView}, body=NewSpaceBody,
        problems=("space-exists", "too-many-spaces", *_PROBLEMS),
    ),
    Call(
        "PATCH", _ONE, "Change a space", revise, {200: SpaceChangeView}, body=SpaceChangeBody, query=(DRY_RUN,),
        problems=_CHANGE_PROBLEMS, matched=True,
    ),
    Call(
        "POST", _ONE + "/days", "Set the hours of some dates", set_days, {200: SpaceChangeView}, body=DaysBody, query=(DRY_RUN,),
        problems=_CHANGE_PROBLEMS, matched=True,
    ),
    Call(
        "POST", _ONE + "/seats", "Add a seat", add_seat, {201: SpaceChangeView}, body=NewSeatBody,
        problems=("not-found", "revision-changed", "seat-exists", "too-many-seats", "invalid-parameter", *_PROBLEMS), matched=True,
    ),
    Call(
        "PATCH", _ONE + "/seats/{seat_id}", "Change a seat", revise_seat, {200: SpaceChangeView}, body=SeatChangeBody,
        query=(DRY_RUN,), problems=_CHANGE_PROBLEMS, matched=True,
    ),
)  # fmt: skip
