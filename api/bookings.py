"""Booking, cancelling and looking at one's bookings, under the API's own names.

`reserve`, `give_back` and `page_of_bookings` are shared with the user's names for the same three (`names.py`).

What can be judged from the body alone (an instant that is no cell) is refused here; everything that depends on the state
is decided by the log, so that a repeated request meets its first answer and not a changed mind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from api.answers import raw_json_answer
from api.calls import CURSOR, DEFAULT_LIMIT, FROM, LIMIT, SPACE, STATUS, TO, WHEN, Call
from api.exchange import Exchange
from api.problems import Refusal, parameter_refusal
from api.shapes import Body, BookingBody, BookingsView, BookingView, ReasonBody
from api.timegrid import cell_of_instant, zone_of
from api.views import booking_etag, etag, status_at
from api.wishes import carried_out, refusal_of, wish
from statemachine.commands import BookSeat, CancelBooking, CancelBookingBecause, CancelUnchanged
from statemachine.outcomes import Outcome
from statemachine.records import CELL_MS, CELL_SECONDS, Booking, Space
from statemachine.state import State

MAX_SCANNED_BOOKINGS = 5_000  # for one page; a filter that finds little gives a short page and a cursor

BOOKING_PATH = "/api/v1/bookings/"


async def reserve(
    exchange: Exchange,
    body: Body,
    choose_space: Callable[[State], Space | None],
    start_of: Callable[[Space], int],
    seat_id: str,
    slots: int,
    nowhere: str = "unknown-space",
) -> web.Response:
    """Book a seat: resolve the time against the rules of the space, and again when they have changed.

    `nowhere` is the refusal when no space can be chosen.
    """

    def make(state: State) -> BookSeat | None:
        space = choose_space(state)
        return None if space is None else wish(exchange, space, seat_id, start_of(space), slots)

    outcome = await carried_out(exchange, body, make, nowhere)
    if outcome.ok:
        assert isinstance(outcome.result, Booking)
        location = ("Location", BOOKING_PATH + outcome.result.id)
        return _booking_answer(exchange, outcome, status=201, extra=(location,))
    raise refusal_of(exchange, outcome)


async def give_back(exchange: Exchange, body: Body, booking_id: str, reason: str = "") -> web.Response:
    """Cancel a booking."""
    if not booking_id.isascii() or len(booking_id) > 64:
        raise Refusal("booking-not-found")  # no id of ours; the log need not see it
    identity = exchange.identity()
    expected = exchange.if_match()
    command: CancelBooking | CancelBookingBecause | CancelUnchanged = CancelBooking(booking_id)
    if expected is not None:
        command = CancelUnchanged(booking_id, reason, expected)
    elif reason:
        command = CancelBookingBecause(booking_id, reason)
    outcome = await exchange.execute(
        command,
        scope=identity.user_id,
        key=exchange.idempotency_key(),
        body=body,
        session_id=identity.session_id,
    )
    if outcome.code == "booking-changed":
        raise Refusal("revision-changed", "The booking has another revision by now.")
    if not outcome.ok:
        raise refusal_of(exchange, outcome)
    return _booking_answer(exchange, outcome, status=200)


def _booking_answer(
    exchange: Exchange, outcome: Outcome, *, status: int, extra: tuple[tuple[str, str], ...] = ()
) -> web.Response:
    booking = outcome.result
    assert isinstance(booking, Booking)
    services = exchange.services
    # The status of the record, not of this moment: a repeated request gets its first answer, completed or not.
    text = services.booking_texts.text(booking, services.replica.state, booking.status)
    return raw_json_answer(text, outcome.index, status=status, extra=(etag(booking.revision), *extra))


async def create(exchange: Exchange, body: BookingBody) -> web.Response:
    """`POST /api/v1/bookings`."""
    start_cell = cell_of_instant(body.starts_at)
    return await reserve(
        exchange,
        body,
        lambda state: state.spaces.get(body.space_id),
        lambda _: start_cell,
        body.seat_id,
        body.slots,
    )


async def cancel(exchange: Exchange, body: ReasonBody) -> web.Response:
    """`POST /api/v1/bookings/{id}/cancel`."""
    return await give_back(exchange, body, exchange.request.match_info["booking_id"], body.reason)


async def get(exchange: Exchange, _: None) -> web.Response:
    """One booking of the user's; an administrator sees anybody's."""
    identity = exchange.identity()
    state = await exchange.read_state()
    user = exchange.user_of(state, identity)
    booking = state.bookings.get(exchange.request.match_info["booking_id"])
    if booking is None or (booking.user_id != user.id and user.role != "admin"):
        raise Refusal("booking-not-found")
    services = exchange.services
    status = status_at(booking, services.replica.now_ms())
    text = services.booking_texts.text(booking, state, status)
    return raw_json_answer(text, exchange.index, extra=(booking_etag(booking, state, status),))


async def page_of_bookings(exchange: Exchange, _: None) -> web.Response:
    """The user's bookings, newest first, a page at a time."""
    identity = exchange.identity()
    state = await exchange.read_state()
    return page_of(exchange, state, exchange.user_of(state, identity).id)


def page_of(exchange: Exchange, state: State, user_id: str) -> web.Response:
    """The bookings of a user that the query asks for. Whether one may see them has been judged."""
    query = exchange.query
    limit = query.get("limit", DEFAULT_LIMIT)
    ids = state.user_bookings(user_id)
    begin = position_before(ids, query["cursor"]) if "cursor" in query else len(ids)
    now_ms = exchange.services.replica.now_ms()
    texts = exchange.services.booking_texts
    when, wanted_status = query.get("when"), query.get("status")
    where_and_when = _filter(query)
    items: list[bytes] = []
    position = begin
    while position > max(0, begin - MAX_SCANNED_BOOKINGS) and len(items) < limit:
        position -= 1
        booking = state.bookings[ids[position]]
        status = status_at(booking, now_ms)
        if wanted_status is not None and status != wanted_status:
            continue
        if when is not None and (booking.end_cell * CELL_MS <= now_ms) != (when == "past"):
            continue
        if not where_and_when(booking, state):
            continue
        items.append(texts.text(booking, state, status))
    cursor = f"{position}.{ids[position]}" if position > 0 else None
    extra = [("Link", next_link(exchange, cursor))] if cursor else []
    return raw_json_answer(texts.page(items, cursor), exchange.index, extra=extra)


def _filter(query: Mapping[str, Any]) -> Callable[[Booking, State], bool]:
    """Whether a booking is in the asked space and begins on the asked days of its space. Without such a question nothing
    is worked out: the pages of most readers have none.
    """
    space_id, first, last = query.get("space_id"), query.get("from"), query.get("to")

    def fits(booking: Booking, state: State) -> bool:
        if space_id is not None and booking.space_id != space_id:
            return False
        if first is None and last is None:
            return True
        space = state.spaces.get(booking.space_id)
        zone = zone_of(space.timezone if space else "UTC")
        day = datetime.fromtimestamp(booking.start_cell * CELL_SECONDS, zone).date()
        return (first is None or first <= day) and (last is None or day <= last)

    return fits


def position_before(ids: Sequence[str], cursor: str) -> int:
    """Where the page after a cursor begins. A cursor is `position.id` of the last booking seen; the position is only a
    hint, so that a list that has lost its oldest entries still continues at the right one.
    """
    hint, _, booking_id = cursor.partition(".")
    if hint.isascii() and hint.isdigit() and len(hint) <= 9 and booking_id:
        position = int(hint)
        if position < len(ids) and ids[position] == booking_id:
            return position
        if booking_id in ids:
            return ids.index(booking_id)
    raise parameter_refusal("cursor", "is not one that this call has given")


def next_link(exchange: Exchange, cursor: str) -> str:
    """The header of a page that says where the next one is."""
    request = exchange.request
    query = [(name, value) for name, value in request.query.items() if name != "cursor"]
    return f'<{request.rel_url.raw_path}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'


BOOK_PROBLEMS = (
    "seat-taken",
    "unknown-space",
    "unknown-seat",
    "off-grid",
    "closed",
    "past",
    "out-of-service",
    "beyond-horizon",
    "too-long",
    "too-many-live",
    "too-many-that-day",
    "seated-elsewhere",
    "key-reused",
    "too-many-keys",
    "overloaded",
    "unavailable",
    "outcome-unknown",
)
CANCEL_PROBLEMS = (
    "booking-not-found",
    "booking-completed",
    "booking-cancelled",
    "too-late-to-cancel",
    "key-reused",
    "too-many-keys",
    "overloaded",
    "unavailable",
    "outcome-unknown",
)
PAGE_PARAMETERS = (WHEN, STATUS, SPACE, FROM, TO, LIMIT, CURSOR)

CALLS = (
    Call(
        "POST",
        "/api/v1/bookings",
        "Book a seat",
        create,
        {201: BookingView},
        body=BookingBody,
        problems=BOOK_PROBLEMS,
    ),
    Call(
        "GET",
        "/api/v1/bookings",
        "My bookings, newest first",
        page_of_bookings,
        {200: BookingsView},
        query=PAGE_PARAMETERS,
        problems=("invalid-parameter", "unavailable"),
    ),
    Call(
        "GET",
        "/api/v1/bookings/{booking_id}",
        "One of my bookings",
        get,
        {200: BookingView},
        problems=("booking-not-found", "unavailable"),
    ),
    Call(
        "POST",
        "/api/v1/bookings/{booking_id}/cancel",
        "Cancel a booking",
        cancel,
        {200: BookingView},
        body=ReasonBody,
        body_optional=True,
        problems=CANCEL_PROBLEMS,
        matched=True,
    ),
)
