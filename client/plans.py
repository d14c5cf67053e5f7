"""The commands for more than one plain booking: several places at once, another place, a series, the history of one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from client import completing, drawing, invocation, offers
from client.answers import Alternative, Booking, Planned, Series, SeriesRecord, Space, Step, Wish
from client.errors import Refused

if TYPE_CHECKING:
    from client.aio import Client

_PLACE = re.compile(
    r"(?P<seat>\S+) (?P<date>\d{4}-\d\d-\d\d) (?P<time>([01]\d|2[0-3]):[0-5]\d)(?: x(?P<slots>\d{1,3}))?"
)


def _places(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> list[re.Match[str]]:
    found = []
    for value in values:
        match = _PLACE.fullmatch(value)
        if match is None:
            raise click.BadParameter(
                f"{value!r} is not a place such as 'A1 2026-12-01 10:00' or 'A1 2026-12-01 10:00 x2'"
            )
        found.append(match)
    return found


def wish_of(
    spaces: dict[str, Space], space_id: str | None, seat: str, date: str, time: str, slots: int
) -> Wish:
    """A wish in the space that is named, or in the only one that has the seat."""
    having = [space.id for space in spaces.values() if any(each.id == seat for each in space.seats)]
    chosen = space_id or (having[0] if len(having) == 1 else None)
    if chosen is None:
        told = (
            f"several coworkings have the seat {seat}: name one with --space"
            if having
            else f"no coworking has a seat {seat}"
        )
        raise click.UsageError(told)
    return Wish(chosen, seat, date=date, time=time, slots=slots)


@click.command()
@click.argument("places", nargs=-1, required=True, callback=_places, metavar="'SEAT DATE TIME [xSLOTS]'…")
@click.option(
    "--space",
    "space_id",
    metavar="ID",
    type=completing.SPACE,
    help="Needed when several coworkings have such seats.",
)
@invocation.everywhere
def basket(places: list[re.Match[str]], space_id: str | None) -> None:
    """Book several places, all or none.

    Dates and times are local to the coworking.

    \b
    Example:
      deskraft basket "A1 2026-12-01 10:00 x2" "A2 2026-12-01 10:00 x2"
    """
    spaces: dict[str, Space] = {}

    async def work(client: Client) -> list[Booking]:
        spaces.update({space.id: space for space in await client.spaces()})
        wishes = [
            wish_of(spaces, space_id, each["seat"], each["date"], each["time"], int(each["slots"] or 1))
            for each in places
        ]
        return await client.basket(wishes)

    bookings = invocation.run(
        work, explain=lambda refused: _offer_basket(refused, [each[0] for each in places], spaces, space_id)
    )
    if invocation.wants_json():
        invocation.print_json({"items": bookings})
    else:
        for booking in bookings:
            _tell("Booked", booking, spaces)


def _tell_each(refused: Refused, asked: list[str], spaces: dict[str, Space]) -> None:
    """What would have become of each wish, and what is free instead."""
    for name, item in zip(asked, refused.problem.items, strict=False):
        click.echo(f"  {name}: {'free' if item.code == 'ok' else _why(item.code, item.limit)}", err=True)
        for place in item.alternatives:
            space = spaces.get(place.space_id)
            when = drawing.span(place.starts_at, place.ends_at, space.timezone if space else None)
            click.echo(f"    free instead: {place.seat_id}  {when}", err=True)


def _why(code: str, limit: int | None) -> str:
    return code if limit is None else f"{code} (limit {limit})"


def _offer_basket(refused: Refused, asked: list[str], spaces: dict[str, Space], space_id: str | None) -> None:
    """What would have become of each wish, and the same basket with the first free place for each that is taken."""
    _tell_each(refused, asked, spaces)
    items = refused.problem.items
    if not items:
        offers.advise(refused)
    if len(items) != len(asked) or not all(item.code == "ok" or item.alternatives for item in items):
        return
    instead = []
    for text, item in zip(asked, items, strict=True):
        if item.code == "ok":
            instead.append(text)
            continue
        place = item.alternatives[0]
        instead.append(" ".join([place.seat_id, f"{place.starts_at:%Y-%m-%d %H:%M}", *text.split()[3:]]))
    if len(set(instead)) < len(instead):
        return  # two wishes were offered one place
    option = f" --space {space_id}" if space_id else ""
    line = " ".join(f'"{each}"' for each in instead)
    click.echo(f"All of it instead:\n  deskraft basket {line}{option}{invocation.server_option()}", err=True)


def _tell(what: str, booking: Booking, spaces: dict[str, Space]) -> None:
    space = spaces.get(booking.space_id)
    when = drawing.span(booking.starts_at, booking.ends_at, space.timezone if space else None)
    click.echo(
        f"{what} {booking.seat_id} in {space.name if space else booking.space_id}: {when}  {booking.id}"
    )


@click.command()
@click.argument("booking_id", metavar="BOOKING", type=completing.BOOKING)
@click.option("--seat", type=completing.SEAT, help="Another seat of the same coworking.")
@click.option(
    "--date",
    metavar="YYYY-MM-DD",
    type=completing.DATE,
    help="With --time: another begin, local to the coworking.",
)
@click.option("--time", metavar="HH:MM", type=completing.TIME, help="With --date.")
@click.option("--slots", type=click.IntRange(min=1), help="How many slots in a row.")
@invocation.everywhere
def move(booking_id: str, seat: str | None, date: str | None, time: str | None, slots: int | None) -> None:
    """Give BOOKING another seat or time. Refused, it keeps the one it has.

    \b
    Examples:
      deskraft move 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d --seat A2
      deskraft move 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d --date 2026-12-01 --time 12:00
    """
    if (date is None) != (time is None):
        raise click.UsageError("--date and --time go together")
    if seat is None and date is None and slots is None:
        raise click.UsageError("nothing to change: give --seat, --date and --time, or --slots")
    spaces: dict[str, Space] = {}

    async def work(client: Client) -> Booking:
        spaces.update({space.id: space for space in await client.spaces()})
        return await client.move(booking_id, seat_id=seat, date=date, clock=time, slots=slots)

    def command(place: Alternative) -> str:
        begin = place.starts_at
        line = (
            f"deskraft move {booking_id} --seat {place.seat_id} --date {begin:%Y-%m-%d} --time {begin:%H:%M}"
        )
        return line + (offers.slots_option(slots) if slots else "")

    def explain(refused: Refused) -> None:
        if refused.alternatives:
            click.echo("You keep what you have. Free instead:", err=True)
            offers.offer(refused.alternatives, spaces, command)
        else:
            offers.advise(refused, booking=booking_id, **({"date": date} if date else {}))

    booking = invocation.run(work, explain=explain)
    if invocation.wants_json():
        invocation.print_json(booking)
    else:
        _tell("Moved to", booking, spaces)


@click.command()
@click.argument("booking_id", metavar="BOOKING", type=completing.BOOKING)
@invocation.everywhere
def steps(booking_id: str) -> None:
    """What has become of BOOKING, when, by whom and why.

    \b
    Example:
      deskraft steps 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d
    """

    async def work(client: Client) -> tuple[list[Step], dict[str, Space]]:
        items = await client.steps(booking_id)
        return items, {} if invocation.wants_json() else {space.id: space for space in await client.spaces()}

    items, spaces = invocation.run(work, explain=offers.advise)
    if invocation.wants_json():
        invocation.print_json({"items": items})
        return
    table = drawing.table("At", "What", "Seat", "When", "Why")
    for step in items:
        space = spaces.get(step.space_id)
        when = drawing.span(step.starts_at, step.ends_at, space.timezone if space else None)
        at = f"{step.at:%Y-%m-%d %H:%M}"
        table.add_row(at, step.kind, step.seat_id, when, step.reason or "")
    drawing.console().print(table)


@click.group()
@invocation.everywhere
def series() -> None:
    """The same place again and again, every week.

    \b
    Examples:
      deskraft series book A1 2026-12-01 10:00 --rule "FREQ=WEEKLY;COUNT=8"
      deskraft series list
      deskraft series show SERIES
      deskraft series cancel SERIES --from BOOKING
    """


@series.command("book")
@click.argument("seat", type=completing.SEAT)
@click.argument("date", metavar="FIRST-DATE", type=completing.DATE)
@click.argument("time", type=completing.TIME, metavar="TIME")
@click.option(
    "--rule", required=True, help="RFC 5545, as FREQ=WEEKLY;BYDAY=TU,TH;COUNT=10 or …;UNTIL=20261231"
)
@click.option("--free", is_flag=True, help="Book whichever days are free. [default: all or none]")
@click.option(
    "--space",
    "space_id",
    metavar="ID",
    type=completing.SPACE,
    help="Needed when several coworkings have that seat.",
)
@click.option(
    "--slots", type=click.IntRange(min=1), default=1, show_default=True, help="How many slots in a row."
)
@invocation.everywhere
def series_book(
    seat: str, date: str, time: str, rule: str, free: bool, space_id: str | None, slots: int
) -> None:
    """Book SEAT from FIRST-DATE on, on every day of the rule.

    Dates and TIME are local to the coworking.

    \b
    Example:
      deskraft series book A1 2026-12-01 10:00 --rule "FREQ=WEEKLY;COUNT=8" --free
    """
    spaces: dict[str, Space] = {}

    async def work(client: Client) -> Planned:
        spaces.update({space.id: space for space in await client.spaces()})
        return await client.plan(wish_of(spaces, space_id, seat, date, time, slots), rule, whole=not free)

    def explain(refused: Refused) -> None:
        _tell_each(refused, [f"day {number}" for number in range(1, len(refused.problem.items) + 1)], spaces)
        if not refused.problem.items:
            offers.advise(refused, date=date)
        elif not free:
            click.echo(
                "Nothing was booked. To take the days that are free, say it again with --free.", err=True
            )

    planned = invocation.run(work, explain=explain)
    if invocation.wants_json():
        invocation.print_json(planned)
        return
    for item in planned.items:
        if item.booking is not None:
            _tell("Booked", item.booking, spaces)
        else:
            click.echo(f"Not {item.starts_at:%Y-%m-%d %H:%M}: {_why(item.code, item.limit)}")
    for day in planned.passed_over:
        click.echo(f"Not {day}: the clocks jump over that time")
    click.echo(
        f"Give up what is left of it with: deskraft series cancel {planned.id}{invocation.server_option()}"
    )


@series.command("list")
@click.option("--all", "past_too", is_flag=True, help="Also those of which nothing is to come.")
@invocation.everywhere
def series_list(past_too: bool) -> None:
    """Your series, newest first.

    \b
    Example:
      deskraft series list
    """

    async def work(client: Client) -> list[SeriesRecord]:
        items: list[SeriesRecord] = []
        cursor: str | None = None
        while True:
            page = await client.series_page(when=None if past_too else "upcoming", cursor=cursor)
            items += page.items
            cursor = page.next
            if cursor is None:
                return items

    items = invocation.run(work)
    if invocation.wants_json():
        invocation.print_json({"items": items})
        return
    for each in items:
        click.echo(f"{each.id}  {each.rrule}  {len(each.booking_ids)} bookings")
    if not items:
        click.echo("No series.")


@series.command("show")
@click.argument("series_id", metavar="SERIES")
@invocation.everywhere
def series_show(series_id: str) -> None:
    """The bookings of SERIES as they are now.

    \b
    Example:
      deskraft series show 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d
    """

    async def work(client: Client) -> tuple[Series, dict[str, Space]]:
        return await client.series(series_id), {space.id: space for space in await client.spaces()}

    found, spaces = invocation.run(work)
    if invocation.wants_json():
        invocation.print_json(found)
    else:
        click.echo(found.rrule)
        drawing.draw_bookings(drawing.console(), found.items, spaces)


@series.command("cancel")
@click.argument("series_id", metavar="SERIES")
@click.option(
    "--from",
    "from_booking_id",
    metavar="BOOKING",
    type=completing.BOOKING,
    help="Only this booking and those that begin later.",
)
@click.option("--reason", default="", help="For the history.")
@invocation.everywhere
def series_cancel(series_id: str, from_booking_id: str | None, reason: str) -> None:
    """Give up what has not begun of SERIES.

    \b
    Examples:
      deskraft series cancel 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d
      deskraft series cancel 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d --from BOOKING --reason "a new job"
    """
    done = invocation.run(
        lambda client: client.cancel_series(series_id, from_booking_id=from_booking_id, reason=reason)
    )
    if invocation.wants_json():
        invocation.print_json(done)
    else:
        kept = f", {len(done.kept)} kept: too late to cancel" if done.kept else ""
        click.echo(f"Cancelled {len(done.cancelled)} bookings{kept}.")


COMMANDS: dict[str, click.Command] = {
    "basket": basket,
    "move": move,
    "steps": steps,
    "series": series,
}
