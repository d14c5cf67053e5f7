"""The administrators' part of the `deskraft` command for the seats of a space: `deskraft space seat …`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from client import completing, invocation
from client.agreeing import carry_out, changing, explain, tell
from client.answers import Seat
from client.places import Outage
from client.premises import Premises, SpaceChange

_ATTRIBUTES = click.Choice(["monitor", "window", "quiet", "accessible"])

AnyCommand = TypeVar("AnyCommand", bound=Callable[..., Any])


@click.group()
@invocation.everywhere
def seat() -> None:
    """Add, change and retire the seats of a space.

    \b
    Examples:
      deskraft space seat add hq N1 --label "Nook" --zone attic --attribute quiet --at 3 4
      deskraft space seat retire hq N1
    """


def _describing(command: AnyCommand) -> AnyCommand:
    for option in (
        click.option("--at", "place", type=(int, int), metavar="X Y", help="Its place on the plan."),
        click.option(
            "--attribute", "attributes", type=_ATTRIBUTES, multiple=True, help="May be given several times."
        ),
        click.option("--zone", help="The part of the space that it stands in."),
        click.option("--label", help="What people read on it."),
    ):
        command = option(command)
    return invocation.everywhere(command)


@seat.command()
@click.argument("space_id", metavar="SPACE", type=completing.SPACE)
@click.argument("seat_id", metavar="SEAT", type=completing.SEAT)
@_describing
def add(
    space_id: str,
    seat_id: str,
    label: str | None,
    zone: str | None,
    attributes: tuple[str, ...],
    place: tuple[int, int] | None,
) -> None:
    """Add a seat.

    \b
    Example:
      deskraft space seat add hq N1 --label "Nook" --zone attic --attribute quiet --at 3 4
    """
    change = invocation.run(
        lambda client: client.premises.add_seat(
            space_id, seat_id, label=label, zone=zone or "", attributes=attributes, place=place
        ),
        explain,
    )
    tell(change, f"Added {seat_id} to {space_id}.")


@seat.command(name="set")
@click.argument("space_id", metavar="SPACE", type=completing.SPACE)
@click.argument("seat_id", metavar="SEAT", type=completing.SEAT)
@_describing
def set_seat(
    space_id: str,
    seat_id: str,
    label: str | None,
    zone: str | None,
    attributes: tuple[str, ...],
    place: tuple[int, int] | None,
) -> None:
    """Change label, zone, attributes or place of a seat.

    Attributes that are given replace all it had.

    \b
    Example:
      deskraft space seat set hq A1 --at 0 0 --attribute window --attribute monitor
    """
    given = attributes or None
    change = invocation.run(
        lambda client: client.premises.revise_seat(
            space_id, seat_id, label=label, zone=zone, attributes=given, place=place
        ),
        explain,
    )
    tell(change, f"Changed {seat_id}.")


@seat.command(name="retire")
@click.argument("space_id", metavar="SPACE", type=completing.SPACE)
@click.argument("seat_id", metavar="SEAT", type=completing.SEAT)
@changing
def retire_seat(space_id: str, seat_id: str, **terms: Any) -> None:
    """Take a seat away: nobody can book it any more.

    `restore` brings it back.

    \b
    Example:
      deskraft space seat retire hq A1 --if-affected cancel --reason "the desk is broken"
    """
    carry_out(
        lambda premises, how: premises.revise_seat(space_id, seat_id, retired=True, **how),
        terms,
        f"Retired {seat_id}.",
    )


@seat.command(name="restore")
@click.argument("space_id", metavar="SPACE", type=completing.SPACE)
@click.argument("seat_id", metavar="SEAT", type=completing.SEAT)
@invocation.everywhere
def restore_seat(space_id: str, seat_id: str) -> None:
    """Bring a retired seat back.

    \b
    Example:
      deskraft space seat restore hq A1
    """
    change = invocation.run(
        lambda client: client.premises.revise_seat(space_id, seat_id, retired=False), explain
    )
    tell(change, f"{seat_id} can be booked again.")


@seat.command()
@click.argument("space_id", metavar="SPACE", type=completing.SPACE)
@click.argument("seat_id", metavar="SEAT", type=completing.SEAT)
@click.option("--from", "begins", required=True, metavar='"YYYY-MM-DD HH:MM"', help="Local to the space.")
@click.option("--until", "ends", required=True, metavar='"YYYY-MM-DD HH:MM"', help="Local to the space.")
@changing
def out(space_id: str, seat_id: str, begins: str, ends: str, **terms: Any) -> None:
    """Put a seat out of service for a time.

    \b
    Example:
      deskraft space seat out hq A1 --from "2026-12-01 09:00" --until "2026-12-02 12:00" --reason "a new chair"
    """

    async def change(premises: Premises, how: dict[str, Any]) -> SpaceChange:
        here = (await premises.space(space_id)).space
        known = next((each.outages for each in here.seats if each.id == seat_id), [])
        fresh = Outage(
            _instant(begins, here.timezone), _instant(ends, here.timezone), terms["reason"] or None
        )
        return await premises.revise_seat(
            space_id, seat_id, outages=[*known, fresh], if_match=here.revision, **how
        )

    carry_out(change, terms, f"{seat_id} is out of service then.")


@seat.command()
@click.argument("space_id", metavar="SPACE", type=completing.SPACE)
@click.argument("seat_id", metavar="SEAT", type=completing.SEAT)
@invocation.everywhere
def back(space_id: str, seat_id: str) -> None:
    """Put a seat back into service, now and later.

    \b
    Example:
      deskraft space seat back hq A1
    """
    change = invocation.run(
        lambda client: client.premises.revise_seat(space_id, seat_id, outages=[]), explain
    )
    tell(change, f"{seat_id} is in service.")


def _instant(text: str, timezone: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=ZoneInfo(timezone))
    except ValueError:
        raise click.UsageError(f'{text!r} is no local time such as "2026-12-01 09:00"') from None
    except (ZoneInfoNotFoundError, OSError):
        raise click.UsageError(f"this machine does not know the zone {timezone}") from None


def told_outages(one: Seat) -> str:
    """When the seat is out of service, by its own clocks."""
    times = [f"{each.starts_at:%Y-%m-%d %H:%M} to {each.ends_at:%Y-%m-%d %H:%M}" for each in one.outages]
    return f"out of service {', '.join(times)}" if times else ""
