"""Several seats and times in one request: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct

from api.answers import json_answer
from api.bookings import BOOK_PROBLEMS
from api.calls import Call
from api.exchange import Exchange
from api.shapes import Body, BookingView
from api.views import booking_view
from api.wishes import WishBody, carried_out, refusal_of, starter, wish
from statemachine.commands import BookSeat, BookTogether
from statemachine.limits import MAX_BASKET_ITEMS
from statemachine.records import Space, Together
from statemachine.state import State


class BasketBody(Body, frozen=True):
    """Places of any spaces."""

    items: Annotated[list[WishBody], Meta(min_length=1, max_length=MAX_BASKET_ITEMS)]


class BasketView(Struct, frozen=True):
    """The bookings, in the order of the request."""

    items: list[BookingView]


async def create(exchange: Exchange, body: BasketBody) -> web.Response:
    """`POST /api/v1/bookings/basket`."""
    starters = [
        starter(item.starts_at, item.date, item.time, f"/items/{number}")
        for number, item in enumerate(body.items)
    ]
    outcome = await carried_out(
        exchange, body, lambda state: _together(exchange, state, body, starters), "unknown-space"
    )
    if not outcome.ok:
        raise refusal_of(exchange, outcome)
    assert isinstance(outcome.result, Together)
    state = exchange.services.replica.state
    made = [each.booking for each in outcome.result.items if each.booking is not None]
    view = BasketView([booking_view(booking, state, booking.status) for booking in made])
    return json_answer(view, outcome.index, status=201)


def _together(
    exchange: Exchange, state: State, body: BasketBody, starters: list[Callable[[Space], int]]
) -> BookTogether | None:
    wishes: list[BookSeat] = []
    for item, start_of in zip(body.items, starters, strict=True):
        space = state.spaces.get(item.space_id)
        if space is None:
            return None
        wishes.append(wish(exchange, space, item.seat_id, start_of(space), item.slots))
    return BookTogether(tuple(wishes))


CALLS = (
    Call(
        "POST",
        "/api/v1/bookings/basket",
        "Book several places, all or none",
        create,
        {201: BasketView},
        body=BasketBody,
        problems=(*BOOK_PROBLEMS, "nonexistent-time", "ambiguous-time"),
    ),
)
