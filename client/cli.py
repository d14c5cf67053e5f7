"""The users' part of the `deskraft` command. The operators' part, `deskraft cluster`, is in `operating.py`.

Each command is a thin shell around one or two calls of `aio.Client`; what they share is in `invocation.py`,
what they draw in `drawing.py`. `COMMANDS` is what the console script offers beside `deskraft node`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from client import (
    calendar,
    drawing,
    hooking,
    invocation,
    notifying,
    peopling,
    plans,
    reports,
    safekeeping,
    shaping,
    telling,
)
from client.answers import Booking, Space
from client.errors import NoNodeAnswers, Refused
from client.operating import cluster

if TYPE_CHECKING:
    from client.aio import Client

DEFAULT_HISTORY_ITEMS = 50
MAX_HISTORY_ITEMS = 10_000
PAGE_ITEMS = 100


def _date(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        try:
            datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            raise click.BadParameter(f"{value!r} is not a date such as 2026-12-01") from None
    return value


def _clock(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        raise click.BadParameter(f"{value!r} is not a time such as 10:00")
    return value


async def _spaces(client: Client) -> dict[str, Space]:
    return {space.id: space for space in await client.spaces()}


@click.command()
@click.argument("login")
@invocation.everywhere
def register(login: str) -> None:
    """Make a user called LOGIN; asks for a password, or takes it from DESKRAFT_PASSWORD.

    \b
    Example:
      deskraft register ada
      deskraft login ada
    """
    secret = invocation.password(confirm=True)
    user = invocation.run(lambda client: client.register(login, secret))
    if invocation.wants_json():
        invocation.print_json(user)
    else:
        click.echo(
            f"Registered {user.login}. Log in with: deskraft login {user.login}{invocation.server_option()}"
        )


@click.command()
@click.argument("login")
@invocation.everywhere
def login(login: str) -> None:
    """Log in as LOGIN; asks for the password, or takes it from DESKRAFT_PASSWORD.

    The session is kept, readable by you alone, in your configuration folder, and serves every node of the
    cluster.

    \b
    Examples:
      deskraft login ada
      DESKRAFT_PASSWORD=… deskraft login ada --server http://desk.example:8001
    """
    secret = invocation.password(confirm=False)

    async def work(client: Client) -> str:
        await client.cluster()  # so that the session is kept for every node and not only for the one asked
        return (await client.login(login, secret)).login

    name = invocation.run(work)
    if invocation.wants_json():
        invocation.print_json({"login": name})
    else:
        click.echo(
            f"Logged in as {name}. See the free seats with: deskraft seats{invocation.server_option()}"
        )


@click.command()
@invocation.everywhere
def logout() -> None:
    """End the session, here and on every node."""

    async def work(client: Client) -> bool:
        there_was_one = client.session is not None
        await client.logout()
        return there_was_one

    there_was_one = invocation.run(work)
    if invocation.wants_json():
        invocation.print_json({"logged_out": there_was_one})
    else:
        click.echo("Logged out." if there_was_one else "Nobody was logged in.")


@click.command()
@click.option("--space", "space_id", metavar="ID", help="Only this coworking. [default: all of them]")
@click.option(
    "--date", callback=_date, metavar="YYYY-MM-DD", help="The space's local day. [default: today there]"
)
@invocation.everywhere
def seats(space_id: str | None, date: str | None) -> None:
    """Draw the seats and their free slots. No log-in needed; with one, your own bookings show as ★.

    \b
    Examples:
      deskraft seats
      deskraft seats --space hq --date 2026-12-01
    """

    async def work(client: Client) -> list[tuple[Space, Any]]:
        chosen = await client.spaces() if space_id is None else [await client.space(space_id)]
        shown = []
        for space in chosen:
            today = drawing.local(datetime.now(UTC), space.timezone).date().isoformat()
            shown.append((space, await client.availability(space.id, date or today)))
        return shown

    shown = invocation.run(work)
    if invocation.wants_json():
        invocation.print_json([day for _, day in shown])
        return
    out = drawing.console()
    for number, (space, day) in enumerate(shown):
        if number:
            out.print()
        drawing.draw_seats(out, space, day)


@click.command()
@click.argument("seat")
@click.argument("date", callback=_date)
@click.argument("time", callback=_clock)
@click.option("--space", "space_id", metavar="ID", help="Needed when several coworkings have that seat.")
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

    booking = invocation.run(work, explain=lambda refused: _offer(refused, spaces, slots))
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


def _offer(refused: Refused, spaces: dict[str, Space], slots: int) -> None:
    if not refused.alternatives:
        return
    click.echo("Free instead:", err=True)
    for place in refused.alternatives:
        space = spaces.get(place.space_id)
        zone = space.timezone if space else None
        command = f"deskraft book {place.seat_id} {place.starts_at:%Y-%m-%d %H:%M} --space {place.space_id}"
        command += f" --slots {slots}" if slots > 1 else ""
        when = drawing.span(place.starts_at, place.ends_at, zone)
        click.echo(f"  {place.seat_id}  {when}   {command}{invocation.server_option()}", err=True)


@click.command()
@click.argument("booking_id", metavar="BOOKING")
@click.option("--reason", default="", help="For the history.")
@invocation.everywhere
def cancel(booking_id: str, reason: str) -> None:
    """Give a booking back; the seat is free again at once. Doing it twice is harmless.

    \b
    Example:
      deskraft cancel 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d
    """
    booking = invocation.run(lambda client: client.cancel(booking_id, reason=reason))
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

    items, spaces = invocation.run(work)
    if invocation.wants_json():
        invocation.print_json({"items": items})
    elif not items:
        click.echo("No bookings.")
    else:
        drawing.draw_bookings(drawing.console(), items, spaces)


for _command in safekeeping.CLUSTER_COMMANDS:
    cluster.add_command(_command)

COMMANDS: dict[str, click.Command] = {
    "login": login,
    "register": register,
    "logout": logout,
    "seats": seats,
    "book": book,
    "cancel": cancel,
    "history": history,
    **peopling.COMMANDS,
    **notifying.COMMANDS,
    **plans.COMMANDS,
    **safekeeping.COMMANDS,
    **reports.COMMANDS,
    **telling.COMMANDS,
    **calendar.COMMANDS,
    **shaping.COMMANDS,
    **hooking.COMMANDS,
    "cluster": cluster,
}
