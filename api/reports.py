"""Reports for administrators: how much of the open time of seats is taken, as JSON or CSV.

`api.tally` counts. Here are the call, its limits, and the rows: by hour of the day, by day, by seat, by space, or by weekday and hour,
which are the numbers behind a heat map.
"""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from typing import Any

from aiohttp import web
from msgspec import Struct

from api.answers import content_answer, json_answer
from api.calls import Call, Parameter, choice, day_parameter
from api.exchange import Exchange
from api.members import administrator
from api.problems import Refusal, parameter_refusal
from api.tally import HOURS, Count, Tally, tally_of
from statemachine.records import Space
from statemachine.state import State

MAX_REPORT_DAYS = 366
MAX_REPORT_SEAT_DAYS = 50_000  # seats times days: some tenths of a second of counting
CSV_TYPE = "text/csv"
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet takes a cell that begins so for a formula


class OccupancyRowView(Struct, frozen=True):
    """One piece of the report. `share` is taken of open, null when nothing was open. `weekday` is 1 for Monday."""

    key: str
    label: str
    weekday: int | None
    hour: int | None
    taken_minutes: int
    open_minutes: int
    share: float | None


class OccupancyView(Struct, frozen=True):
    """The report; both dates are local to the spaces and included. `space_id` and `timezone` are null for all spaces."""

    space_id: str | None
    timezone: str | None
    first_date: str
    last_date: str
    by: str
    taken_minutes: int
    open_minutes: int
    rows: list[OccupancyRowView]


async def occupancy(exchange: Exchange, _: None) -> web.Response:
    """How seats were used."""
    query = exchange.query
    first, last = query["from"], query["to"]
    by = query.get("by", "day")
    days = (last - first).days + 1
    if days < 1:
        raise parameter_refusal("to", "must not be before `from`")
    if days > MAX_REPORT_DAYS:
        raise parameter_refusal("to", f"may be {MAX_REPORT_DAYS} days from `from` at most")
    await administrator(exchange)
    state = exchange.services.replica.state
    exchange.index = exchange.services.replica.applied_index
    spaces = _chosen(state, query.get("space_id"), by)
    seat_days = days * sum(len(list(state.occupancy.seat_ids(space.id))) for space in spaces)
    if seat_days > MAX_REPORT_SEAT_DAYS:
        detail = f"{seat_days} seats times days; {MAX_REPORT_SEAT_DAYS} are the limit. Ask for fewer days or one space."
        raise Refusal("report-too-large", detail, members={"limit": MAX_REPORT_SEAT_DAYS})
    with exchange.services.chores.report():
        hourly = by in ("hour", "weekday-hour")
        tallies = [(space, await tally_of(state, space, first, days, hourly=hourly)) for space in spaces]
    one = spaces[0] if query.get("space_id") else None
    total = _sum([tally.all for _, tally in tallies])
    view = OccupancyView(
        one.id if one else None,
        one.timezone if one else None,
        first.isoformat(),
        last.isoformat(),
        by,
        total.taken_minutes,
        total.open_minutes,
        _rows(tallies, first, by),
    )
    if query.get("format") == "csv":
        name = f"occupancy-{by}-{view.first_date}-{view.last_date}.csv"
        disposition = (("Content-Disposition", f'attachment; filename="{name}"'),)
        return content_answer(
            csv_of(view.rows), CSV_TYPE + "; charset=utf-8", exchange.index, extra=disposition
        )
    return json_answer(view, exchange.index)


def _chosen(state: State, space_id: str | None, by: str) -> list[Space]:
    if space_id is None:
        if by != "space":
            raise parameter_refusal("space_id", "is needed unless `by` is `space`: zones differ")
        return list(state.spaces.values())
    space = state.spaces.get(space_id)
    if space is None:
        raise Refusal("unknown-space")
    return [space]


def _rows(tallies: list[tuple[Space, Tally]], first: date, by: str) -> list[OccupancyRowView]:
    if by == "space":
        return [_row(space.id, space.name, tally.all) for space, tally in tallies]
    ((space, tally),) = tallies
    match by:
        case "day":
            names = [(first + timedelta(days=number)).isoformat() for number in range(len(tally.days))]
            return [_row(name, name, count) for name, count in zip(names, tally.days, strict=True)]
        case "seat":
            labels = {seat.id: seat.label for seat in space.seats}
            return [
                _row(seat_id, labels.get(seat_id, seat_id), count) for seat_id, count in tally.seats.items()
            ]
        case "hour":
            hours = [_sum([weekday[hour] for weekday in tally.cells]) for hour in range(HOURS)]
            return [_row(f"{hour:02}", f"{hour:02}:00", hours[hour], hour=hour) for hour in range(HOURS)]
    return [
        _row(f"{day}-{hour:02}", f"{day} {hour:02}:00", count, weekday=day, hour=hour)
        for day, weekday in enumerate(tally.cells, 1)
        for hour, count in enumerate(weekday)
    ]


def _row(
    key: str, label: str, count: Count, *, weekday: int | None = None, hour: int | None = None
) -> OccupancyRowView:
    taken, opened = count.taken_minutes, count.open_minutes
    return OccupancyRowView(
        key, label, weekday, hour, taken, opened, round(taken / opened, 4) if opened else None
    )


def _sum(counts: list[Count]) -> Count:
    total = Count()
    for count in counts:
        total.taken_minutes += count.taken_minutes
        total.open_minutes += count.open_minutes
    return total


def csv_of(rows: list[OccupancyRowView]) -> bytes:
    """The rows by RFC 4180 with a header; a text that a spreadsheet would run gets an apostrophe in front."""
    out = io.StringIO()
    writer = csv.writer(out)
    names = OccupancyRowView.__struct_fields__
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(getattr(row, name)) for name in names])
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_DANGEROUS):
        return "'" + value
    return "" if value is None else value


def _parse_space(text: str) -> str:
    if not text:
        raise parameter_refusal("space_id", "must not be empty")
    return text


CALLS = (
    Call(
        "GET",
        "/api/v1/admin/reports/occupancy",
        "How much of the open time of seats is taken",
        occupancy,
        {200: OccupancyView},
        query=(
            Parameter(
                "space_id",
                "One space; may be left out when `by` is `space`.",
                {"type": "string"},
                _parse_space,
            ),
            day_parameter("from", "The first day, local to the space.", required=True),
            day_parameter("to", "The last day, included.", required=True),
            choice(
                "by", ("hour", "day", "seat", "space", "weekday-hour"), "What a row is; `day` when left out."
            ),
            choice("format", ("json", "csv"), "`json` when left out."),
        ),
        problems=(
            "forbidden",
            "unknown-space",
            "invalid-parameter",
            "report-too-large",
            "overloaded",
            "unavailable",
        ),
        other_media_types=(CSV_TYPE,),
    ),
)
