"""The administrators' part of the `deskraft` command for spaces: `deskraft space …`. Seats are in `seating.py`."""

from __future__ import annotations

import re
from typing import Any

import click
from rich.table import Table

from client import completing, drawing, invocation
from client.agreeing import carry_out, changing, explain, tell
from client.places import WEEKDAYS, Hours, SpecialDays
from client.premises import ManagedSpace
from client.seating import seat, told_outages

_CLOCK = r"([01][0-9]|2[0-4]):[0-5][05]"
_HOURS = re.compile(rf"{_CLOCK}-{_CLOCK}")


@click.group()
@invocation.everywhere
def space() -> None:
    """Make and change spaces and their seats, hours and policies.

    For administrators: deskraft login admin.

    \b
    Examples:
      deskraft space create roof --name "The roof" --timezone Europe/Berlin --seats R1,R2
      deskraft space hours roof sat-sun=closed
      deskraft space show roof
    """


@space.command(name="list")
@click.option("--all", "everything", is_flag=True, help="The retired ones, too.")
@invocation.everywhere
def list_spaces(everything: bool) -> None:
    """List the spaces.

    \b
    Examples:
      deskraft space list
      deskraft space list --all
    """
    found = [
        one
        for one in invocation.run(lambda client: client.premises.spaces(), explain)
        if everything or not one.retired
    ]
    if invocation.wants_json():
        invocation.print_json({"items": found})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Space", "Name", "Zone", "Opens", "Slot", "Seats", ""):
        table.add_column(column, overflow="fold")
    for one in found:
        here = one.space
        retired = "retired" if one.retired else ""
        slot = f"{here.slot_minutes} min"
        table.add_row(
            here.id,
            here.name,
            here.timezone,
            f"{here.opens}-{here.closes}",
            slot,
            str(len(here.seats)),
            retired,
        )
    drawing.console().print(table)


@space.command()
@click.argument("space_id", metavar="SPACE", type=completing.SPACE)
@invocation.everywhere
def show(space_id: str) -> None:
    """Show a space with its hours, exceptions, policy and seats.

    \b
    Example:
      deskraft space show hq
    """
    one: ManagedSpace = invocation.run(lambda client: client.premises.space(space_id), explain)
    if invocation.wants_json():
        invocation.print_json(one)
        return
    here = one.space
    click.echo(
        f"{here.name} ({here.id}), {here.timezone}, slots of {here.slot_minutes} min{', retired' if one.retired else ''}"
    )
    for day, hours in here.hours.items():
        click.echo(f"  {day}  {f'{hours.opens}-{hours.closes}' if hours else 'closed'}")
    for days in here.special_days:
        click.echo(f"  {_told_days(days)}")
    policy = {name: getattr(here.policy, name) for name in here.policy.__struct_fields__}
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in policy.items() if value)
    click.echo(f"Policy: {told or 'no limits'}")
    table = drawing.table("Seat", "Label", "Zone", "Attributes", "At", "")
    for each in [*here.seats, *one.retired_seats]:
        at = f"{each.x},{each.y}" if each.x is not None and each.y is not None else ""
        state = "retired" if each in one.retired_seats else told_outages(each)
        table.add_row(each.id, each.label, each.zone or "", ", ".join(each.attributes), at, state)
    drawing.console().print(table)


@space.command()
@click.argument("space_id", metavar="SPACE")
@click.option("--name", required=True, help="What people read.")
@click.option("--timezone", required=True, metavar="ZONE", help="IANA name, as Europe/Moscow.")
@click.option("--opens", default="08:00", show_default=True, metavar="HH:MM")
@click.option("--closes", default="22:00", show_default=True, metavar="HH:MM")
@click.option(
    "--slot", "slot_minutes", type=click.IntRange(5, 1440), default=60, show_default=True, help="Minutes."
)
@click.option("--seats", required=True, metavar="ID,ID…", help="The seats to begin with.")
@invocation.everywhere
def create(
    space_id: str, name: str, timezone: str, opens: str, closes: str, slot_minutes: int, seats: str
) -> None:
    """Make a space with the same hours every day.

    \b
    Example:
      deskraft space create roof --name "The roof" --timezone Europe/Berlin --seats R1,R2
    """
    ids = [each.strip() for each in seats.split(",")]
    change = invocation.run(
        lambda client: client.premises.create(
            space_id,
            name=name,
            timezone=timezone,
            opens=opens,
            closes=closes,
            slot_minutes=slot_minutes,
            seats=ids,
        ),
        explain,
    )
    tell(change, f"Made {space_id} with {len(ids)} seats.")


@space.command()
@click.argument("space_id", metavar="SPACE", type=completing.SPACE)
@click.argument("name")
@invocation.everywhere
def rename(space_id: str, name: str) -> None:
    """Give a space another name.

    \b
    Example:
      deskraft space rename hq "The first floor"
    """
    change = invocation.run(lambda client: client.premises.revise(space_id, name=name), explain)
    tell(change, f"{space_id} is called {name} now.")


@space.command()
@click.argument("space_id", metavar="SPACE", type=completing.SPACE)
@changing
def retire(space_id: str, **terms: Any) -> None:
    """Take a space out of the list: nobody can book it any more.

    `restore` brings it back.

    \b
    Examples:
      deskraft space retire roof --dry-run
      deskraft space retire roof --if-affected cancel --reason "the lease has ended"
    """
    carry_out(
        lambda premises, how: premises.revise(space_id, retired=True, **how), terms, f"Retired {space_id}."
    )


@space.command()
@click.argument("space_id", metavar="SPACE", type=completing.SPACE)
@invocation.everywhere
def restore(space_id: str) -> None:
    """Bring a retired space back.

    \b
    Example:
      deskraft space restore hq
    """
    change = invocation.run(lambda client: client.premises.revise(space_id, retired=False), explain)
    tell(change, f"{space_id} can be booked again.")


@space.command()
@click.argument("space_id", metavar="SPACE", type=completing.SPACE)
@click.argument("days", nargs=-1, required=True, metavar="DAYS=HOURS…")
@changing
def hours(space_id: str, days: tuple[str, ...], **terms: Any) -> None:
    """Set the opening hours of weekdays; others stay as they are.

    \b
    Example:
      deskraft space hours hq mon-fri=08:00-22:00 sat=10:00-18:00 sun=closed
    """
    week: dict[str, Hours | None] = {}
    for text in days:
        names, _, given = text.partition("=")
        for name in _weekdays(names):
            week[name] = None if given == "closed" else _parsed_hours(given)
    carry_out(
        lambda premises, how: premises.revise(space_id, hours=week, **how),
        terms,
        f"The hours of {space_id} are set.",
    )


@space.command()
@click.argument("space_id", metavar="SPACE", type=completing.SPACE)
@click.argument("first", metavar="DATE", type=completing.DATE)
@click.argument("last", metavar="[LAST]", required=False, type=completing.DATE)
@changing
def close(space_id: str, first: str, last: str | None, **terms: Any) -> None:
    """Close a space on local dates, DATE to LAST.

    \b
    Example:
      deskraft space close hq 2026-12-31 2027-01-08 --reason "New Year" --if-affected cancel
    """
    carry_out(
        lambda premises, how: premises.set_days(space_id, first, last, **how),
        terms,
        f"{space_id} is closed then.",
    )


@space.command(name="open")
@click.argument("space_id", metavar="SPACE", type=completing.SPACE)
@click.argument("first", metavar="DATE", type=completing.DATE)
@click.argument("last", metavar="[LAST]", required=False, type=completing.DATE)
@click.option(
    "--hours", "given", metavar="HH:MM-HH:MM", help="Other hours than usual. [default: those of the week]"
)
@changing
def open_days(space_id: str, first: str, last: str | None, given: str | None, **terms: Any) -> None:
    """Open a space on local dates, with usual or other hours.

    \b
    Example:
      deskraft space open hq 2026-12-31 --hours 10:00-16:00
    """
    parsed = None if given is None else _parsed_hours(given)
    carry_out(
        lambda premises, how: premises.set_days(
            space_id, first, last, hours=parsed, usual=parsed is None, **how
        ),
        terms,
        f"The hours of {space_id} are set for then.",
    )


@space.command()
@click.argument("space_id", metavar="SPACE", type=completing.SPACE)
@click.option("--horizon-days", type=click.IntRange(0), help="How far ahead a booking may begin.")
@click.option("--longest-minutes", type=click.IntRange(0), help="Of one booking.")
@click.option("--live-bookings", type=click.IntRange(0), help="Of one user, not over yet.")
@click.option("--daily-bookings", type=click.IntRange(0), help="Of one user, beginning on one day.")
@click.option("--one-seat-at-a-time/--many-seats-at-a-time", default=None, help="For one user.")
@click.option(
    "--cancel-cutoff-minutes", type=click.IntRange(0), help="Before the start, when cancelling ends."
)
@invocation.everywhere
def policy(space_id: str, **limits: int | bool | None) -> None:
    """Limit what users may take of a space; 0 takes a limit away. Administrators are above it.

    \b
    Example:
      deskraft space policy hq --horizon-days 30 --live-bookings 5 --one-seat-at-a-time
    """
    given = {name: value for name, value in limits.items() if value is not None}
    if not given:
        raise click.UsageError("name a limit, such as --horizon-days 30")
    change = invocation.run(lambda client: client.premises.revise(space_id, policy=given), explain)
    tell(change, f"The policy of {space_id} is set.")


def _weekdays(text: str) -> list[str]:
    first, _, last = text.partition("-")
    if first not in WEEKDAYS or (last and last not in WEEKDAYS):
        raise click.UsageError(f"{text!r} is no weekday such as mon, nor some such as mon-fri")
    begin = WEEKDAYS.index(first)
    end = WEEKDAYS.index(last) if last else begin
    return list(WEEKDAYS[begin : end + 1]) if begin <= end else [*WEEKDAYS[begin:], *WEEKDAYS[: end + 1]]


def _parsed_hours(text: str) -> Hours:
    if not _HOURS.fullmatch(text):
        raise click.UsageError(f"{text!r} are no hours such as 08:00-22:00, on multiples of five minutes")
    opens, _, closes = text.partition("-")
    return Hours(opens, closes)


def _told_days(days: SpecialDays) -> str:
    dates = days.first if days.first == days.last else f"{days.first} to {days.last}"
    hours = f"{days.opens}-{days.closes}" if days.opens else "closed"
    return f"{dates}  {hours}{f'  ({days.reason})' if days.reason else ''}"


space.add_command(seat)

COMMANDS: dict[str, click.Command] = {"space": space}
