"""`deskraft calendar`: the secret address at which one's bookings can be read by a calendar program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from client import invocation
from client.answers import Calendar
from client.errors import Refused

if TYPE_CHECKING:
    from client.aio import Client


@click.command()
@click.option("--new", is_flag=True, help="Make an address; one that there was ends.")
@click.option("--off", is_flag=True, help="Take the address away.")
@invocation.everywhere
def calendar(new: bool, off: bool) -> None:
    """The secret address of your bookings for calendar programs.

    A calendar program subscribes to it. Whoever knows it can read your bookings, and nothing more. Every node
    serves it.

    \b
    Examples:
      deskraft calendar --new
      deskraft calendar
      deskraft calendar --off
    """
    if new and off:
        raise click.UsageError("--new and --off exclude each other")

    async def work(client: Client) -> Calendar | None:
        if off:
            await client.close_calendar()
            return None
        if new:
            return await client.open_calendar()
        try:
            return await client.calendar()
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    seen: Calendar | None = invocation.run(work)
    if invocation.wants_json():
        invocation.print_json(seen)
    elif off:
        click.echo("Your calendar feed is off.")
    elif seen is None:
        click.echo(
            "You have no calendar feed. Make one with: deskraft calendar --new" + invocation.server_option()
        )
    elif seen.url is None:
        click.echo(
            "The members' secret has been changed since; the address works, but only a new one can be shown: --new"
        )
    else:
        click.echo(seen.url)


COMMANDS: dict[str, click.Command] = {"calendar": calendar}
