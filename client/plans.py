"""The commands for more than one plain booking: several places at once, another place, the history of one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from client import drawing, invocation
from client.answers import Booking, Planned, Series, Space, Waiting, Wish
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
@click.option("--space", "space_id", metavar="ID", help="Needed when several coworkings have such seats.")
@invocation.everywhere
def basket(places: list[re.Match[str]], space_id: str | None) -> None:
    """Book several places, all or none; dates and times are local to the coworking.

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
        work, explain=lambda refused: _tell_each(refused, [each[0] for each in places], spaces)
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


def _tell(what: str, booking: Booking, spaces: dict[str, Space]) -> None:
    space = spaces.get(booking.space_id)
    when = drawing.span(booking.starts_at, booking.ends_at, space.timezone if space else None)
    click.echo(
        f"{what} {booking.seat_id} in {space.name if space else booking.space_id}: {when}  {booking.id}"
    )


@click.command()
@click.argument("booking_id", metavar="BOOKING")
@click.option("--seat", help="Another seat of the same coworking.")
@click.option("--date", metavar="YYYY-MM-DD", help="With --time: another begin, local to the coworking.")
@click.option("--time", metavar="HH:MM", help="With --date.")
@click.option("--slots", type=click.IntRange(min=1), help="How many slots in a row.")
@invocation.everywhere
def move(booking_id: str, seat: str | None, date: str | None, time: str | None, slots: int | None) -> None:
    """Give BOOKING another seat or time. When that is not to be had, it keeps the one it has.

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

    def explain(refused: Refused) -> None:
        for place in refused.alternatives:
            space = spaces.get(place.space_id)
            when = drawing.span(place.starts_at, place.ends_at, space.timezone if space else None)
            click.echo(f"  free: {place.seat_id}  {when}", err=True)

    booking = invocation.run(work, explain=explain)
    if invocation.wants_json():
        invocation.print_json(booking)
    else:
        _tell("Moved to", booking, spaces)


@click.command()
@click.argument("booking_id", metavar="BOOKING")
@invocation.everywhere
def steps(booking_id: str) -> None:
    """What has become of BOOKING: where it was, who changed it, when and why.

    \b
    Example:
      deskraft steps 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d
    """
    items = invocation.run(lambda client: client.steps(booking_id))
    if invocation.wants_json():
        invocation.print_json({"items": items})
        return
    for step in items:
        place = f"{step.seat_id} {drawing.span(step.starts_at, step.ends_at, None)}"
        why = f" — {step.reason}" if step.reason else ""
        click.echo(f"{step.at:%Y-%m-%d %H:%M}  {step.kind:<10} {place}{why}")


@click.group()
def series() -> None:
    """The same place again and again, every week."""


@series.command("book")
@click.argument("seat")
@click.argument("date", metavar="FIRST-DATE")
@click.argument("time")
@click.option(
    "--rule", required=True, help="RFC 5545, as FREQ=WEEKLY;BYDAY=TU,TH;COUNT=10 or …;UNTIL=20261231"
)
@click.option("--free", is_flag=True, help="Book whichever days are free. [default: all or none]")
@click.option("--space", "space_id", metavar="ID", help="Needed when several coworkings have that seat.")
@click.option(
    "--slots", type=click.IntRange(min=1), default=1, show_default=True, help="How many slots in a row."
)
@invocation.everywhere
def series_book(
    seat: str, date: str, time: str, rule: str, free: bool, space_id: str | None, slots: int
) -> None:
    """Book SEAT from FIRST-DATE on at TIME, all local to the coworking, on every day that the rule names.

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


@series.command("show")
@click.argument("series_id", metavar="SERIES")
@invocation.everywhere
def series_show(series_id: str) -> None:
    """The bookings of SERIES as they are now."""

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
    "--from", "from_booking_id", metavar="BOOKING", help="Only this booking and those that begin later."
)
@click.option("--reason", default="", help="For the history.")
@invocation.everywhere
def series_cancel(series_id: str, from_booking_id: str | None, reason: str) -> None:
    """Give up what has not begun of SERIES."""
    done = invocation.run(
        lambda client: client.cancel_series(series_id, from_booking_id=from_booking_id, reason=reason)
    )
    if invocation.wants_json():
        invocation.print_json(done)
    else:
        kept = f", {len(done.kept)} kept: too late to cancel" if done.kept else ""
        click.echo(f"Cancelled {len(done.cancelled)} bookings{kept}.")


@click.group()
def waitlist() -> None:
    """Wait for a place that somebody has: the first in the line gets it the moment it is given back."""


@waitlist.command("join")
@click.argument("seat")
@click.argument("date")
@click.argument("time")
@click.option(
    "--space", "space_id", metavar="ID", help="Needed when several coworkings have that seat, and for 'any'."
)
@click.option(
    "--slots", type=click.IntRange(min=1), default=1, show_default=True, help="How many slots in a row."
)
@invocation.everywhere
def waitlist_join(seat: str, date: str, time: str, space_id: str | None, slots: int) -> None:
    """Wait for SEAT (or "any") on DATE at TIME, all local to the coworking.

    \b
    Examples:
      deskraft waitlist join A1 2026-12-01 10:00
      deskraft waitlist join any 2026-12-01 10:00 --space hq
    """

    async def work(client: Client) -> Waiting:
        spaces = {space.id: space for space in await client.spaces()}
        if seat == "any":
            chosen = space_id or (next(iter(spaces)) if len(spaces) == 1 else None)
            if chosen is None:
                raise click.UsageError("name the coworking with --space")
            return await client.wait_for(chosen, date=date, clock=time, slots=slots)
        wish = wish_of(spaces, space_id, seat, date, time, slots)
        return await client.wait_for(wish.space_id, seat, date=date, clock=time, slots=slots)

    waiting = invocation.run(work)
    if invocation.wants_json():
        invocation.print_json(waiting)
    elif waiting.booking_id:
        click.echo(f"It was free: booked as {waiting.booking_id}")
    else:
        click.echo(
            f"Waiting, number {waiting.position} in the line. Leave it with: deskraft waitlist leave {waiting.id}{invocation.server_option()}"
        )


@waitlist.command("show")
@invocation.everywhere
def waitlist_show() -> None:
    """What you wait for, and what you got by waiting."""
    items = invocation.run(lambda client: client.waitings())
    if invocation.wants_json():
        invocation.print_json({"items": items})
        return
    for item in items:
        when = drawing.span(item.starts_at, item.ends_at, None)
        state = {"waiting": f"number {item.position}", "promoted": f"booked as {item.booking_id}"}.get(
            item.status, item.status
        )
        click.echo(f"{item.seat_id or 'any seat'} in {item.space_id}  {when}  {state}  {item.id}")
    if not items:
        click.echo("Nothing.")


@waitlist.command("leave")
@click.argument("waiting_id", metavar="WAITING")
@invocation.everywhere
def waitlist_leave(waiting_id: str) -> None:
    """Wait no longer; a booking that was got by waiting stays."""
    invocation.run(lambda client: client.leave_waitlist(waiting_id))
    if invocation.wants_json():
        invocation.print_json({"left": waiting_id})
    else:
        click.echo("Left the line.")


@click.command()
@click.argument("booking_id", metavar="BOOKING")
@invocation.everywhere
def checkin(booking_id: str) -> None:
    """Say that you are there, where the coworking asks for it: else your seat goes to somebody who waits."""
    booking = invocation.run(lambda client: client.check_in(booking_id))
    if invocation.wants_json():
        invocation.print_json(booking)
    else:
        click.echo(f"Checked in: {booking.seat_id} in {booking.space_id}")


@click.command()
@click.argument("space_id", metavar="SPACE")
@click.argument("minutes", type=click.IntRange(0, 1440))
@invocation.everywhere
def grace(space_id: str, minutes: int) -> None:
    """Keep the seats of those who have not checked in for MINUTES after their start; 0: nobody has to. For administrators."""
    rule = invocation.run(lambda client: client.set_grace(space_id, minutes))
    if invocation.wants_json():
        invocation.print_json(rule)
    elif rule.grace_minutes:
        click.echo(
            f"Whoever books in {rule.space_id} from now on has {rule.grace_minutes} minutes to check in."
        )
    else:
        click.echo(f"Nobody has to check in in {rule.space_id}.")


COMMANDS: dict[str, click.Command] = {
    "basket": basket,
    "move": move,
    "steps": steps,
    "series": series,
    "waitlist": waitlist,
    "checkin": checkin,
    "grace": grace,
}
