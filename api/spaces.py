"""Spaces and their days: what anybody may look at."""

from __future__ import annotations

from aiohttp import web

from api.answers import json_answer, raw_json_answer
from api.calls import DATE, Call
from api.exchange import Exchange
from api.problems import Refusal
from api.shapes import AvailabilityView, SpacesView, SpaceView
from api.views import etag, space_view
from statemachine.records import Space
from statemachine.state import State


async def list_spaces(exchange: Exchange, _: None) -> web.Response:
    """All spaces, in the order of their making."""
    state = await exchange.read_state()
    return json_answer(
        SpacesView([space_view(space) for space in state.spaces.values()], None), exchange.index
    )


async def get_space(exchange: Exchange, _: None) -> web.Response:
    """One space."""
    state = await exchange.read_state()
    space = _space_in_path(exchange, state)
    return json_answer(space_view(space), exchange.index, extra=(etag(space.revision),))


async def availability(exchange: Exchange, _: None) -> web.Response:
    """A day of a space, seat by seat and slot by slot."""
    identity = exchange.identity_if_given()
    state = await exchange.read_state()
    user_id = exchange.user_of(state, identity).id if identity else None
    space = _space_in_path(exchange, state)
    services = exchange.services
    page = services.day_pages.page(space, exchange.query["date"])
    return raw_json_answer(page.encode(state, space, user_id, services.replica.now_ms()), exchange.index)


def _space_in_path(exchange: Exchange, state: State) -> Space:
    space = state.spaces.get(exchange.request.match_info["space_id"])
    if space is None:
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
        query=(DATE,),
        problems=("not-found", "invalid-parameter", "unavailable"),
    ),
)
