"""`deskraft seats`: the free slots of a day as a table, and the plan of the space at one time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from client import completing, drawing, floor, invocation, offers
from client.answers import Availability, Space

if TYPE_CHECKING:
    from client.aio import Client


@click.command()
@click.option(
    "--space",
    "space_id",
    metavar="ID",
    type=completing.SPACE,
    help="Only this coworking. [default: all of them]",
)
@click.option(
    "--date",
    type=completing.DATE,
    metavar="YYYY-MM-DD",
    help="The space's local day. [default: today there]",
)
@click.option("--map", "as_map", is_flag=True, help="Draw each seat where it stands, at one time.")
@click.option(
    "--time",
    "clock",
    type=completing.TIME,
    metavar="HH:MM",
    help="With --map: when. [default: the slot of now, or the day's first]",
)
@invocation.everywhere
def seats(space_id: str | None, date: str | None, as_map: bool, clock: str | None) -> None:
    """Show the seats and their free slots. No log-in needed; with one, your own bookings show as ★.

    \b
    Examples:
      deskraft seats
      deskraft seats --space hq --date 2026-12-01
      deskraft seats --map --space hq --date 2026-12-01 --time 10:00
    """
    if clock is not None and not as_map:
        raise click.UsageError("--time goes with --map")

    async def work(client: Client) -> list[tuple[Space, Availability]]:
        chosen = await client.spaces() if space_id is None else [await client.space(space_id)]
        shown = []
        for space in chosen:
            today = drawing.local(datetime.now(UTC), space.timezone).date().isoformat()
            shown.append((space, await client.availability(space.id, date or today)))
        return shown

    shown = invocation.run(work, explain=offers.advise)
    if invocation.wants_json():
        invocation.print_json([day for _, day in shown])
        return
    if not shown:
        click.echo("There is no coworking yet. An administrator makes one with: deskraft space create --help")
    out = drawing.console()
    for number, (space, day) in enumerate(shown):
        if number:
            out.print()
        slot = floor.slot_at(day, clock, datetime.now(UTC)) if as_map else None
        if slot is not None:
            floor.draw_plan(out, space, day, slot)
        elif as_map and day.slots:
            out.print(f"{space.name} ({space.id}): no slot at {clock} on {day.date}, {day.timezone}")
        else:
            drawing.draw_seats(out, space, day)


COMMANDS: dict[str, click.Command] = {"seats": seats}
