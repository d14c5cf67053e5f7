"""`deskraft waitlist …`, `deskraft checkin`, and how long the seats of those who do not come are kept: `deskraft grace`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from client import completing, drawing, invocation, offers
from client.answers import CheckInRule, Space, Waiting
from client.plans import wish_of

if TYPE_CHECKING:
    from client.aio import Client


@click.group()
@invocation.everywhere
def waitlist() -> None:
    """Wait for a place that somebody has.

    The first in the line gets it the moment it is given back.

    \b
    Examples:
      deskraft waitlist join A1 2026-12-01 10:00
      deskraft waitlist show
    """


@waitlist.command("join")
@click.argument("seat", type=completing.SEAT)
@click.argument("date", type=completing.DATE, metavar="DATE")
@click.argument("time", type=completing.TIME, metavar="TIME")
@click.option(
    "--space",
    "space_id",
    metavar="ID",
    type=completing.SPACE,
    help="Needed when several coworkings have that seat, and for 'any'.",
)
@click.option(
    "--slots", type=click.IntRange(min=1), default=1, show_default=True, help="How many slots in a row."
)
@invocation.everywhere
def waitlist_join(seat: str, date: str, time: str, space_id: str | None, slots: int) -> None:
    """Wait for SEAT (or "any") on DATE at TIME.

    All local to the coworking.

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

    waiting = invocation.run(work, explain=lambda refused: offers.advise(refused, date=date))
    if invocation.wants_json():
        invocation.print_json(waiting)
    elif waiting.booking_id:
        click.echo(f"It was free: booked as {waiting.booking_id}")
    else:
        click.echo(
            f"Waiting, number {waiting.position} in the line. Leave it with: deskraft waitlist leave {waiting.id}{invocation.server_option()}"
        )


@waitlist.command("show")
@click.argument("waiting_id", metavar="[WAITING]", required=False, type=completing.WAITING)
@invocation.everywhere
def waitlist_show(waiting_id: str | None) -> None:
    """What you wait for, and what you got by waiting.

    With WAITING only that one, also after it has ended.

    \b
    Example:
      deskraft waitlist show
    """

    async def work(client: Client) -> tuple[list[Waiting], dict[str, Space]]:
        items = await client.waitings() if waiting_id is None else [await client.waiting(waiting_id)]
        return items, {} if invocation.wants_json() else {space.id: space for space in await client.spaces()}

    items, spaces = invocation.run(work, explain=offers.advise)
    if invocation.wants_json():
        invocation.print_json({"items": items})
        return
    if not items:
        click.echo("You wait for nothing. Join a line with: deskraft waitlist join --help")
        return
    table = drawing.table("When", "Space", "Seat", "State", "Waiting", whole="Waiting")
    for item in items:
        space = spaces.get(item.space_id)
        when = drawing.span(item.starts_at, item.ends_at, space.timezone if space else None)
        state = {"waiting": f"number {item.position}", "promoted": f"booked as {item.booking_id}"}.get(
            item.status, item.status
        )
        table.add_row(when, item.space_id, item.seat_id or "any", state, item.id)
    drawing.console().print(table)


@waitlist.command("leave")
@click.argument("waiting_id", metavar="WAITING", type=completing.WAITING)
@invocation.everywhere
def waitlist_leave(waiting_id: str) -> None:
    """Wait no longer; a booking that was got by waiting stays.

    \b
    Example:
      deskraft waitlist leave 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d
    """
    invocation.run(lambda client: client.leave_waitlist(waiting_id), explain=offers.advise)
    if invocation.wants_json():
        invocation.print_json({"left": waiting_id})
    else:
        click.echo("Left the line.")


@click.command()
@click.argument("booking_id", metavar="BOOKING", type=completing.BOOKING)
@invocation.everywhere
def checkin(booking_id: str) -> None:
    """Say that you are there, where the coworking asks for it.

    Else your seat goes to somebody who waits.

    \b
    Example:
      deskraft checkin 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d
    """
    booking = invocation.run(lambda client: client.check_in(booking_id), explain=offers.advise)
    if invocation.wants_json():
        invocation.print_json(booking)
    else:
        click.echo(f"Checked in: {booking.seat_id} in {booking.space_id}")


@click.command()
@click.argument("space_id", metavar="SPACE", type=completing.SPACE)
@click.argument("minutes", type=click.IntRange(0, 1440), required=False)
@invocation.everywhere
def grace(space_id: str, minutes: int | None) -> None:
    """How long the seats of those who have not checked in are kept.

    MINUTES after their start; 0: nobody has to check in. Without MINUTES it shows the rule; to set it is for
    administrators.

    \b
    Examples:
      deskraft grace hq
      deskraft grace hq 15
    """

    async def work(client: Client) -> CheckInRule:
        if minutes is None:
            return await client.check_in_rule(space_id)
        return await client.set_grace(space_id, minutes)

    rule = invocation.run(work, explain=offers.advise)
    if invocation.wants_json():
        invocation.print_json(rule)
    elif rule.grace_minutes:
        click.echo(
            f"Whoever books in {rule.space_id} {'' if minutes is None else 'from now on '}has {rule.grace_minutes} minutes to check in."
        )
    else:
        click.echo(f"Nobody has to check in in {rule.space_id}.")


COMMANDS: dict[str, click.Command] = {"waitlist": waitlist, "checkin": checkin, "grace": grace}
