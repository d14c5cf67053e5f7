"""The users' part of the `deskraft` command. The operators' part, `deskraft cluster`, is in `operating.py`.

Each command is a thin shell around one or two calls of `aio.Client`; what they share is in `invocation.py`,
what they draw in `drawing.py` and `floor.py`, what they advise in `offers.py`. `COMMANDS` is what the console script offers
beside `deskraft node`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from client import (
    calendar,
    completing,
    drawing,
    entering,
    hooking,
    invocation,
    notifying,
    offers,
    peopling,
    plans,
    queueing,
    reports,
    safekeeping,
    shaping,
    showing,
    sinking,
    telling,
)
from client.answers import Alternative, Booking, Space
from client.errors import NoNodeAnswers, Refused
from client.operating import cluster

if TYPE_CHECKING:
    from client.aio import Client

DEFAULT_HISTORY_ITEMS = 50
MAX_HISTORY_ITEMS = 10_000
PAGE_ITEMS = 100


async def _spaces(client: Client) -> dict[str, Space]:
    return {space.id: space for space in await client.spaces()}


@click.command()
@click.argument("seat", type=completing.SEAT)
@click.argument("date", type=completing.DATE, metavar="DATE")
@click.argument("time", type=completing.TIME, metavar="TIME")
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
def book(seat: str, date: str, time: str, space_id: str | None, slots: int) -> None:
    """Book SEAT on DATE at TIME, all local to the coworking.

    When the seat is taken, free ones are offered, each with the command that takes it.

    \b
    Examples:
      deskraft book A1 2026-12-01 10:00
      deskraft book A1 2026-12-01 10:00 --space hq --slots 2
    """
    spaces: dict[str, Space] = {}

    async def work(client: Client) -> Booking:
        try:
            return await client.book_local(seat, date, time, space=space_id, slots=slots)
        finally:
            if not invocation.wants_json():
                spaces.update(await _spaces_if_any(client))

    booking = invocation.run(
        work, explain=lambda refused: _explain(refused, spaces, space_id, seat, date, time, slots)
    )
    if invocation.wants_json():
        invocation.print_json(booking)
        return
    space = spaces.get(booking.space_id)
    when = drawing.span(booking.starts_at, booking.ends_at, space.timezone if space else None)
    click.echo(f"Booked {booking.seat_id} in {space.name if space else booking.space_id}: {when}")
    click.echo(f"Give it back with: deskraft cancel {booking.id}{invocation.server_option()}")


async def _spaces_if_any(client: Client) -> dict[str, Space]:
    """The spaces, to name times in their own zone; their absence must not hide what became of the booking."""
    try:
        return await _spaces(client)
    except (Refused, NoNodeAnswers):
        return {}


def _explain(
    refused: Refused,
    spaces: dict[str, Space],
    chosen: str | None,
    seat: str,
    date: str,
    time: str,
    slots: int,
) -> None:
    """Free places as commands; for a place that somebody has, also the line to wait in."""
    having = [space.id for space in spaces.values() if any(each.id == seat for each in space.seats)]
    space_id = refused.alternatives[0].space_id if refused.alternatives else chosen or "".join(having[:1])
    here = f" --space {space_id}" if space_id else ""

    def command(place: Alternative) -> str:
        line = f"deskraft book {place.seat_id} {place.starts_at:%Y-%m-%d %H:%M} --space {place.space_id}"
        return line + offers.slots_option(slots)

    if refused.alternatives:
        click.echo("Free instead:", err=True)
        offers.offer(refused.alternatives, spaces, command)
    else:
        offers.advise(refused, date=date, space=here)
    if refused.code == "seat-taken":
        line = f"deskraft waitlist join {seat} {date} {time}{here}"
        click.echo(
            f"Or wait for it: {line}{offers.slots_option(slots)}{invocation.server_option()}", err=True
        )


@click.command()
@click.argument("booking_id", metavar="BOOKING", type=completing.BOOKING)
@click.option("--reason", default="", help="For the history.")
@invocation.everywhere
def cancel(booking_id: str, reason: str) -> None:
    """Give a booking back; the seat is free again at once. Doing it twice is harmless.

    \b
    Example:
      deskraft cancel 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d
    """
    booking = invocation.run(
        lambda client: client.cancel(booking_id, reason=reason),
        explain=lambda refused: offers.advise(refused, booking=booking_id),
    )
    if invocation.wants_json():
        invocation.print_json(booking)
    else:
        click.echo(f"Cancelled {booking.seat_id} in {booking.space_id}: {booking.id}")


@click.command()
@click.option("--when", type=click.Choice(["upcoming", "past"]), help="Only these. [default: both]")
@click.option(
    "--status", type=click.Choice(["confirmed", "cancelled", "completed", "released"]), help="Only these."
)
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_HISTORY_ITEMS),
    default=DEFAULT_HISTORY_ITEMS,
    show_default=True,
    help="How many at most.",
)
@invocation.everywhere
def history(when: str | None, status: str | None, limit: int) -> None:
    """Your bookings, current, completed and cancelled, newest first.

    \b
    Examples:
      deskraft history
      deskraft history --when upcoming --json
    """

    async def work(client: Client) -> tuple[list[Booking], dict[str, Space]]:
        page = min(limit, PAGE_ITEMS)
        chosen = client.history(limit=page)
        if when is not None or status is not None:
            chosen = client.bookings(when=when, status=status, limit=page)
        items: list[Booking] = []
        async for booking in chosen:
            items.append(booking)
            if len(items) == limit:
                break
        return items, {} if invocation.wants_json() else await _spaces(client)

    items, spaces = invocation.run(work, explain=offers.advise)
    if invocation.wants_json():
        invocation.print_json({"items": items})
    elif not items:
        click.echo(f"No bookings. See the free seats with: deskraft seats{invocation.server_option()}")
    else:
        drawing.draw_bookings(drawing.console(), items, spaces)


for _command in safekeeping.CLUSTER_COMMANDS:
    cluster.add_command(_command)

COMMANDS: dict[str, click.Command] = {
    **entering.COMMANDS,
    **showing.COMMANDS,
    "book": book,
    "cancel": cancel,
    "history": history,
    **peopling.COMMANDS,
    **notifying.COMMANDS,
    **plans.COMMANDS,
    **queueing.COMMANDS,
    **safekeeping.COMMANDS,
    **reports.COMMANDS,
    **telling.COMMANDS,
    **calendar.COMMANDS,
    **shaping.COMMANDS,
    **hooking.COMMANDS,
    **sinking.COMMANDS,
    **completing.COMMANDS,
    "cluster": cluster,
}

# The order of `deskraft --help`. A command that is named nowhere stands in the last section.
SECTIONS: dict[str, tuple[str, ...]] = {
    "Begin": ("register", "login", "whoami", "logout", "completion"),
    "Seats and bookings": ("seats", "book", "history", "cancel", "move", "steps", "checkin", "events"),
    "More than one": ("basket", "series", "waitlist", "calendar"),
    "Your account": ("password", "sessions", "notifications", "export", "erase"),
    "For administrators": ("space", "user", "grace", "report", "audit", "webhook", "sink"),
    "The cluster": ("node", "cluster", "taken"),
    "More": (),
}
