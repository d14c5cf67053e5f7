"""The same place again and again: making a series, looking at it, giving up the rest of it."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Annotated, Literal

from aiohttp import web
from msgspec import Meta, Struct

from api.answers import json_answer
from api.bookings import BOOK_PROBLEMS, CANCEL_PROBLEMS, next_link, position_before
from api.calls import CURSOR, DEFAULT_LIMIT, LIMIT, Call, choice
from api.exchange import Exchange
from api.ids import uuid7
from api.problems import Refusal
from api.recurring import MAX_RULE_CHARACTERS, Occurrences, occurrences, parse_rule
from api.shapes import AlternativeView, BookingView, Name, ReasonBody
from api.timegrid import cell_of_instant, rfc3339_of_cell, rfc3339_of_ms, zone_of
from api.views import booking_view, etag, status_at, views_of
from api.wishes import WishBody, carried_out, limits_of, local_of, refusal_of, wish
from statemachine.commands import BookSeries, CancelSeries
from statemachine.limits import MAX_SERIES_BOOKINGS
from statemachine.records import CELL_MS, CELL_SECONDS, Planned, Series, Space, Together
from statemachine.state import State

SERIES_PATH = "/api/v1/series/"
MAX_SCANNED_SERIES = 200  # for one page, each with up to MAX_SERIES_BOOKINGS bookings to look at

SERIES_WHEN = choice("when", ("upcoming", "past"), "Whether a booking of it is still to come.")


class SeriesBody(WishBody, frozen=True, kw_only=True, omit_defaults=True):
    """The first place, and the rule by which it comes again."""

    rrule: Annotated[
        str,
        Meta(
            max_length=MAX_RULE_CHARACTERS,
            description=f"RFC 5545: FREQ=WEEKLY with INTERVAL, BYDAY, and COUNT or UNTIL; {MAX_SERIES_BOOKINGS} days at most.",
            examples=["FREQ=WEEKLY;BYDAY=TU,TH;COUNT=10"],
        ),
    ]
    mode: Annotated[Literal["all", "free"], Meta(description="All days or none, or whichever are free.")] = (
        "all"
    )


class OccurrenceView(Struct, frozen=True):
    """One day of a series: a booking (`ok`), or why there is none."""

    starts_at: str
    code: str
    booking: BookingView | None
    alternatives: list[AlternativeView]
    limit: Annotated[int | None, Meta(description="Of the policy that refuses it.")] = None


class PlannedView(Struct, frozen=True):
    """What became of each day. `passed_over` are days on which the clocks jump over the time."""

    id: str
    rrule: str
    items: list[OccurrenceView]
    passed_over: list[str]


class SeriesView(Struct, frozen=True):
    """A series and its bookings as they are now."""

    id: str
    user_id: str
    rrule: str
    items: list[BookingView]


class SeriesRecordView(Struct, frozen=True):
    """A series: what it was made from, and which bookings it made."""

    id: str
    rrule: str
    created_at: str
    booking_ids: list[str]


class SeriesPageView(Struct, frozen=True):
    """A page of series, newest first; `next` is the cursor of the next page."""

    items: list[SeriesRecordView]
    next: str | None


class RestBody(ReasonBody, frozen=True, omit_defaults=True):
    """What to give up; the body may be left out."""

    from_booking_id: Annotated[
        Name | None, Meta(description="Only this booking and those that begin later.")
    ] = None


class GivenUpView(Struct, frozen=True):
    """What was cancelled, and what could not be any more."""

    cancelled: list[BookingView]
    kept: list[BookingView]


async def create(exchange: Exchange, body: SeriesBody) -> web.Response:
    """`POST /api/v1/series`."""
    rule = parse_rule(body.rrule)
    start_cell = local = None
    if body.starts_at is not None:
        if body.date is not None or body.time is not None:
            raise Refusal("invalid-body", errors=[("/starts_at", "stands beside date and time")])
        start_cell = cell_of_instant(body.starts_at)
    elif body.date is None or body.time is None:
        raise Refusal("invalid-body", errors=[("/starts_at", "or date and time are missing")])
    else:
        local = local_of(body.date, body.time)
    found = Occurrences((), ())

    def make(state: State) -> BookSeries | None:
        nonlocal found
        space = state.spaces.get(body.space_id)
        if space is None:
            return None
        found = occurrences(rule, space, *(local or _local(space, start_cell or 0)))
        if not found.cells:
            raise Refusal("invalid-body", errors=[("/rrule", "names no day")])
        wishes = [wish(exchange, space, body.seat_id, cell, body.slots) for cell in found.cells]
        series_id = uuid7(exchange.services.replica.now_ms())
        return BookSeries(series_id, body.rrule, body.mode == "all", tuple(wishes))

    outcome = await carried_out(exchange, body, make, "unknown-space")
    if not outcome.ok:
        raise refusal_of(exchange, outcome)
    planned = outcome.result
    assert isinstance(planned, Planned)
    state = exchange.services.replica.state
    space = state.spaces.get(body.space_id)
    zone = zone_of(space.timezone if space else "UTC")
    items = [
        OccurrenceView(
            rfc3339_of_cell(start, zone),
            each.code,
            None if each.booking is None else booking_view(each.booking, state, each.booking.status),
            views_of(each.alternatives, state),
            limit,
        )
        for start, each, limit in zip(planned.starts, planned.items, limits_of(planned), strict=True)
    ]
    view = PlannedView(planned.series_id, body.rrule, items, [each.isoformat() for each in found.passed_over])
    location = ("Location", SERIES_PATH + planned.series_id)
    return json_answer(view, outcome.index, status=201, extra=(location,))


def _local(space: Space, cell: int) -> tuple[date, time]:
    """What the clocks of the space show at the beginning of a cell."""
    shown = datetime.fromtimestamp(cell * CELL_SECONDS, zone_of(space.timezone))
    return shown.date(), shown.time()


async def get(exchange: Exchange, _: None) -> web.Response:
    """One series of the user's; an administrator sees anybody's."""
    identity = exchange.identity()
    state = await exchange.read_state()
    user = exchange.user_of(state, identity)
    series = state.series.get(exchange.request.match_info["series_id"])
    if series is None or (series.user_id != user.id and user.role != "admin"):
        raise Refusal("series-not-found")
    now_ms = exchange.services.replica.now_ms()
    bookings = [state.bookings[each] for each in series.booking_ids]
    items = [booking_view(booking, state, status_at(booking, now_ms)) for booking in bookings]
    view = SeriesView(series.id, series.user_id, series.rule, items)
    shown = [(item.revision, item.status, item.timezone, item.seat_label) for item in items]
    return json_answer(view, exchange.index, extra=(etag(series.revision, shown),))


async def mine(exchange: Exchange, _: None) -> web.Response:
    """The user's series, newest first, a page at a time."""
    identity = exchange.identity()
    state = await exchange.read_state()
    user = exchange.user_of(state, identity)
    query = exchange.query
    limit, when = query.get("limit", DEFAULT_LIMIT), query.get("when")
    every = state.series_by_user.get(user.id, ())
    ids = [series.id for series in every]
    begin = position_before(ids, query["cursor"]) if "cursor" in query else len(ids)
    now_ms = exchange.services.replica.now_ms()
    items: list[SeriesRecordView] = []
    position = begin
    while position > max(0, begin - MAX_SCANNED_SERIES) and len(items) < limit:
        position -= 1
        if when is None or _is_past(state, every[position], now_ms) == (when == "past"):
            items.append(record_view(every[position]))
    cursor = f"{position}.{ids[position]}" if position > 0 else None
    extra = [("Link", next_link(exchange, cursor))] if cursor else []
    return json_answer(SeriesPageView(items, cursor), exchange.index, extra=extra)


def record_view(series: Series) -> SeriesRecordView:
    """A series without its bookings."""
    made_at = rfc3339_of_ms(series.created_at_ms, zone_of("UTC"))
    return SeriesRecordView(series.id, series.rule, made_at, list(series.booking_ids))


def _is_past(state: State, series: Series, now_ms: int) -> bool:
    bookings = (state.bookings[each] for each in series.booking_ids)
    return all(each.status != "confirmed" or each.end_cell * CELL_MS <= now_ms for each in bookings)


async def cancel(exchange: Exchange, body: RestBody) -> web.Response:
    """`POST /api/v1/series/{series_id}/cancel`."""
    series_id = exchange.request.match_info["series_id"]
    if not series_id.isascii() or len(series_id) > 64:
        raise Refusal("series-not-found")  # no id of ours; the log need not see it
    command = CancelSeries(series_id, body.from_booking_id or "", body.reason)
    outcome = await carried_out(exchange, body, lambda _: command, "series-not-found")
    if not outcome.ok:
        raise refusal_of(exchange, outcome)
    assert isinstance(outcome.result, Together)
    state = exchange.services.replica.state
    cancelled: list[BookingView] = []
    kept: list[BookingView] = []
    for each in outcome.result.items:
        if each.booking is not None:
            view = booking_view(each.booking, state, each.booking.status)
            (cancelled if each.code == "ok" else kept).append(view)
    return json_answer(GivenUpView(cancelled, kept), outcome.index)


CALLS = (
    Call(
        "POST",
        "/api/v1/series",
        "Book the same place again and again",
        create,
        {201: PlannedView},
        body=SeriesBody,
        problems=(*BOOK_PROBLEMS, "nonexistent-time", "ambiguous-time"),
    ),
    Call(
        "GET",
        "/api/v1/series",
        "My series, newest first",
        mine,
        {200: SeriesPageView},
        query=(SERIES_WHEN, LIMIT, CURSOR),
        problems=("invalid-parameter", "unavailable"),
    ),
    Call(
        "GET",
        "/api/v1/series/{series_id}",
        "One of my series",
        get,
        {200: SeriesView},
        problems=("series-not-found", "unavailable"),
    ),
    Call(
        "POST",
        "/api/v1/series/{series_id}/cancel",
        "Cancel the rest of a series",
        cancel,
        {200: GivenUpView},
        body=RestBody,
        body_optional=True,
        problems=("series-not-found", *CANCEL_PROBLEMS),
    ),
)
