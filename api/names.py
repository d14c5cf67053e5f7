"""`POST /book`, `POST /cancel` and `GET /history`: the user's own names for booking, cancelling and looking back.

Date and time are local to the space. A time that its clocks jump over, or show twice, is refused with 422: guessing would
book an hour that nobody meant.
"""

from __future__ import annotations

from aiohttp import web

from api.bookings import BOOK_PROBLEMS, CANCEL_PROBLEMS, PAGE_PARAMETERS, give_back, page_of_bookings, reserve
from api.calls import Call
from api.exchange import Exchange
from api.problems import Refusal
from api.shapes import BookBody, BookingsView, BookingView, CancelBody
from api.timegrid import cell_of_local
from api.views import is_retired
from api.wishes import local_of
from statemachine.records import Space
from statemachine.state import State


async def book(exchange: Exchange, body: BookBody) -> web.Response:
    """Book a seat by its local date and time."""
    day, at = local_of(body.date, body.time)
    return await reserve(
        exchange,
        body,
        lambda state: _space_of(state, body),
        lambda space: cell_of_local(space, day, at),
        body.seat,
        body.slots,
        "unknown-seat" if body.space is None else "unknown-space",
    )


async def cancel(exchange: Exchange, body: CancelBody) -> web.Response:
    """Cancel the booking named in the body."""
    return await give_back(exchange, body, body.booking_id)


def _space_of(state: State, body: BookBody) -> Space | None:
    """The space that is named, or the only one that has the seat; None when there is none."""
    if body.space is not None:
        return state.spaces.get(body.space)
    having = [
        space
        for space in state.spaces.values()
        if any(seat.id == body.seat for seat in space.seats) and not is_retired(state, space.id)
    ]
    if len(having) > 1:
        names = ", ".join(space.id for space in having[:10])
        raise Refusal(
            "space-needed", f"More than one space has this seat: {names}.", errors=[("/space", "is missing")]
        )
    return having[0] if having else None


CALLS = (
    Call(
        "POST",
        "/book",
        "Book a seat by local date and time",
        book,
        {201: BookingView},
        body=BookBody,
        problems=("nonexistent-time", "ambiguous-time", "space-needed", *BOOK_PROBLEMS),
    ),
    Call(
        "POST",
        "/cancel",
        "Cancel a booking",
        cancel,
        {200: BookingView},
        body=CancelBody,
        problems=CANCEL_PROBLEMS,
        matched=True,
    ),
    Call(
        "GET",
        "/history",
        "All my bookings, newest first",
        page_of_bookings,
        {200: BookingsView},
        query=PAGE_PARAMETERS,
        problems=("invalid-parameter", "unavailable"),
    ),
)
