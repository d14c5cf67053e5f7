"""Spaces and their days: what anybody may look at."""

from __future__ import annotations

from typing import get_args

from aiohttp import web

from api.answers import json_answer, raw_json_answer
from api.availability import Wanted
from api.calls import DATE, Call, Parameter
from api.exchange import Exchange
from api.problems import Refusal, parameter_refusal
from api.shapes import AvailabilityView
from api.space_shapes import MAX_TITLE_CHARACTERS, SpacesView, SpaceView
from api.views import is_retired, space_etag, space_view
from statemachine.premises import Attribute
from statemachine.records import Space
from statemachine.state import State

ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)


def _parse_attributes(text: str) -> tuple[Attribute, ...]:
    asked = text.split(",")
    found = tuple(each for each in ATTRIBUTES if each in asked)
    if len(found) != len(asked):
        raise parameter_refusal(
            "attributes", "must be some of " + ", ".join(ATTRIBUTES) + ", with commas between"
        )
    return found


def _parse_zone(text: str) -> str:
    if not 0 < len(text) <= MAX_TITLE_CHARACTERS:
        raise parameter_refusal("zone", f"must have 1 to {MAX_TITLE_CHARACTERS} characters")
    return text


WITH_ATTRIBUTES = Parameter(
    "attributes",
    "Only seats that have all of these: " + ", ".join(ATTRIBUTES) + ", with commas between.",
    {"type": "string", "examples": ["monitor,quiet"]},
    _parse_attributes,
)
IN_ZONE = Parameter(
    "zone",
    "Only seats of this zone.",
    {"type": "string", "minLength": 1, "maxLength": MAX_TITLE_CHARACTERS},
    _parse_zone,
)


async def list_spaces(exchange: Exchange, _: None) -> web.Response:
    """All spaces that can be booked, in the order of their making."""
    state = await exchange.read_state()
    views = [space_view(space, state) for space in state.spaces.values() if not is_retired(state, space.id)]
    return json_answer(SpacesView(views, None), exchange.index)


async def get_space(exchange: Exchange, _: None) -> web.Response:
    """One space."""
    state = await exchange.read_state()
    space = _space_in_path(exchange, state)
    view = space_view(space, state)
    return json_answer(view, exchange.index, extra=(space_etag(view),))


async def availability(exchange: Exchange, _: None) -> web.Response:
    """A day of a space, seat by seat and slot by slot."""
    identity = exchange.identity_if_given()
    state = await exchange.read_state()
    user_id = exchange.user_of(state, identity).id if identity else None
    space = _space_in_path(exchange, state)
    services = exchange.services
    wanted = Wanted(exchange.query.get("zone", ""), exchange.query.get("attributes", ()))
    page = services.day_pages.page(state, space, exchange.query["date"], wanted)
    return raw_json_answer(page.encode(state, space, user_id, services.replica.now_ms()), exchange.index)


def _space_in_path(exchange: Exchange, state: State) -> Space:
    space = state.spaces.get(exchange.request.match_info["space_id"])
    if space is None or is_retired(state, space.id):
        raise Refusal("not-found", "There is no such space.")
    return space


CALLS = (
    Call(
        "GET",
        "/api/v1/spaces",
        "List the spaces",
        list_spaces,
        {200: SpacesView},
        access="public",
        problems=("unavailable",),
    ),
    Call(
        "GET",
        "/api/v1/spaces/{space_id}",
        "One space",
        get_space,
        {200: SpaceView},
        access="public",
        problems=("not-found", "unavailable"),
    ),
    Call(
        "GET",
        "/api/v1/spaces/{space_id}/availability",
        "Free and taken slots of a day",
        availability,
        {200: AvailabilityView},
        access="optional",
        query=(DATE, WITH_ATTRIBUTES, IN_ZONE),
        problems=("not-found", "invalid-parameter", "unavailable"),
    ),
)
