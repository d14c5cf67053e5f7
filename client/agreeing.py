"""What all changes of spaces and seats on the command line share: what becomes of accepted bookings, and how it is told.

A change that touches accepted bookings is refused with the list of them, unless `--if-affected keep` or `cancel` says what shall
become of them. With that word the list is looked at first and shown, and the change is made only if it is still the same then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from client import drawing, invocation
from client.answers import Booking
from client.errors import Refused
from client.premises import Agreed, Premises, SpaceChange

if TYPE_CHECKING:
    from client.aio import Client

SHOWN_BOOKINGS = 20

_NEXT = {
    "forbidden": "Log in as an administrator: deskraft login admin",
    "affected-changed": "Say what shall become of them: --if-affected keep or --if-affected cancel (and --reason)",
    "not-found": "The spaces and their seats: deskraft space list, deskraft space show SPACE",
    "space-exists": "The spaces, with those that are retired: deskraft space list --all",
    "too-many-affected": "Close or retire less at a time, or keep them: --if-affected keep",
}

AnyCommand = TypeVar("AnyCommand", bound=Callable[..., Any])
Change = Callable[[Premises, dict[str, Any]], Awaitable[SpaceChange]]


def changing(command: AnyCommand) -> AnyCommand:
    """Give a command what every change that may touch bookings has."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Only show which bookings it would touch."),
        click.option("--reason", default="", help="Why; told to those who are affected."),
        click.option(
            "--if-affected",
            type=click.Choice(["keep", "cancel"]),
            help="What becomes of bookings that it touches.",
        ),
    ):
        command = option(command)
    return invocation.everywhere(command)


def carry_out(change: Change, terms: dict[str, Any], done: str) -> None:
    """Make a change as the terms of `changing` say."""
    fate: Literal["keep", "cancel"] | None = terms["if_affected"]
    dry_run: bool = terms["dry_run"]

    async def work(client: Client) -> SpaceChange:
        premises, how = client.premises, {"reason": terms["reason"]}
        if dry_run or fate is None:
            return await change(premises, {**how, "dry_run": dry_run})
        seen = await change(premises, {**how, "dry_run": True})
        if not invocation.wants_json():
            _list_bookings(seen.bookings, seen.affected)
        return await change(premises, {**how, "agreed": Agreed(seen.token, fate)})

    made = invocation.run(work, explain)
    if dry_run and not invocation.wants_json():
        _list_bookings(made.bookings, made.affected)
        click.echo(f"{made.affected} bookings would be touched; nothing was done.")
        return
    tell(made, done)


def tell(change: SpaceChange, done: str) -> None:
    """What was done, and what became of the bookings."""
    if invocation.wants_json():
        invocation.print_json(change)
        return
    click.echo(done)
    if change.affected:
        kept = change.affected - change.cancelled
        click.echo(
            f"{change.cancelled} bookings cancelled." if change.cancelled else f"{kept} bookings kept."
        )


def explain(refused: Refused) -> None:
    """The bookings that are in the way, and what to do next."""
    affected = refused.problem.affected
    if affected is not None:
        _list_bookings(affected.bookings, affected.count)
    if refused.code in _NEXT:
        click.echo(_NEXT[refused.code], err=True)


def _list_bookings(bookings: list[Booking], count: int) -> None:
    for booking in bookings[:SHOWN_BOOKINGS]:
        when = drawing.span(booking.starts_at, booking.ends_at, None)
        click.echo(f"  {booking.seat_id}  {when}  {booking.id}", err=True)
    if count > SHOWN_BOOKINGS:
        click.echo(f"  … {count} in all", err=True)
