"""`deskraft events`: what has happened, and what happens, on a terminal or line by line for programs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click
import msgspec

from client import invocation

if TYPE_CHECKING:
    from client.aio import Client
    from client.events import Reset, Told

_PLACE = re.compile(r"0|[0-9]{1,16}\.[0-9]{1,10}")


def _place(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _PLACE.fullmatch(value):
        raise click.BadParameter(f"{value!r} is not the id of an event, such as 4711.0")
    return value


@click.command()
@click.option("--follow", is_flag=True, help="Stay, and show what happens; Ctrl-C ends it.")
@click.option("--space", "spaces", multiple=True, metavar="ID", help="Only this coworking; may be repeated.")
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPE",
    help="Only this type, or all that begin with it; may be repeated.",
)
@click.option(
    "--after",
    callback=_place,
    metavar="EVENT",
    help="What came after this event. [default: all that is kept; with --follow: from now on]",
)
@invocation.everywhere
def events(follow: bool, spaces: tuple[str, ...], types: tuple[str, ...], after: str | None) -> None:
    """Show what has happened, or happens.

    One's own bookings, and of others which seats were taken and became free. Administrators see everything.
    With --json each event is a line of its own. A line that says "reset" means that events before it are no
    longer kept.

    \b
    Examples:
      deskraft events
      deskraft events --follow --space hq --json
      deskraft events --after 4711.0 --type deskraft.booking
    """

    async def work(client: Client) -> None:
        if follow:
            async for told in client.events(after=after, spaces=spaces, types=types):
                _show(told)
            return
        place = after
        while True:
            page = await client.events_page(place, spaces=spaces, types=types)
            if page.reset:
                _show_reset(page.position, "too-old")
            for each in page.items:
                _show(each)
            if page.next is None:
                return
            place = page.next

    try:
        invocation.run(work)
    except KeyboardInterrupt:
        click.echo("", err=True)  # the way to end it, not a failure


def _show(told: Told | Reset) -> None:
    from client.events import Reset  # loaded by now, and not for --help

    if isinstance(told, Reset):
        _show_reset(told.id, told.reason)
    elif invocation.wants_json():
        invocation.print_json(told)
    else:
        data = " ".join(f"{name}={_short(value)}" for name, value in told.data.items())
        click.echo(f"{told.id:>10}  {told.time[:19]}Z  {told.type.removeprefix('deskraft.'):<22} {data}")


def _show_reset(place: str, reason: str) -> None:
    if invocation.wants_json():
        invocation.print_json({"reset": reason, "id": place})
    else:
        click.echo(f"{place:>10}  reset: events before this are missing ({reason})")


def _short(value: object) -> str:
    """A value within a line; of a list of records how many there are, for --json shows them."""
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return str(len(value))
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


COMMANDS: dict[str, click.Command] = {"events": events}
