"""What to do about a refusal: free places as commands that only need to be pasted, and the next step for everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import click

from client import drawing, invocation
from client.answers import Alternative, Space
from client.errors import Refused

Command = Callable[[Alternative], str]

_NEXT = {
    "unknown-space": "The coworkings and their seats: deskraft seats",
    "unknown-seat": "The coworkings and their seats: deskraft seats --map",
    "space-needed": "Name it with --space; the coworkings and their seats: deskraft seats",
    "closed": "The hours of that day: deskraft seats{space} --date {date}",
    "off-grid": "The slots of that day: deskraft seats{space} --date {date}",
    "past": "What is still to come: deskraft seats",
    "nonexistent-time": "The clocks go forward then. The slots of that day: deskraft seats{space} --date {date}",
    "ambiguous-time": "The clocks go back then, so that this hour comes twice. Take another: deskraft seats{space} --date {date}",
    "booking-not-found": "Your bookings and their ids: deskraft history",
    "booking-cancelled": "What has become of it: deskraft steps {booking}",
    "booking-begun": "Give back what is left of it: deskraft cancel {booking}",
    "waiting-not-found": "What you wait for: deskraft waitlist show",
    "too-many-live": "Give one back first: deskraft history --when upcoming",
    "too-many-that-day": "Give one back first: deskraft history --when upcoming",
    "seated-elsewhere": "Give that one back, or move it: deskraft history --when upcoming",
    "too-many-waiting": "Leave a line first: deskraft waitlist show",
    "password-change-needed": "Choose a password of your own: deskraft password",
    "login-taken": "Is it you? Log in with: deskraft login {login}",
    "user-not-found": "Find users by a part of their login: deskraft user list ann",
    "session-not-found": "Your sessions and their ids: deskraft sessions",
    "sink-not-found": "The sinks and their ids: deskraft sink list",
    "forbidden": "Log in as an administrator: deskraft login admin",
}


def advise(refused: Refused, **words: str) -> None:
    """One line that says what to do next, if there is something; `words` fill its gaps."""
    told = _NEXT.get(refused.code)
    if told is None:
        return
    try:
        click.echo(told.format(**{"space": "", **words}) + invocation.server_option(), err=True)
    except KeyError:  # the command at hand has no such word: what remains would not be a command
        click.echo(told.partition(":")[0] + ".", err=True)


def offer(
    alternatives: Sequence[Alternative], spaces: Mapping[str, Space], command: Command, indent: str = "  "
) -> None:
    """Each free place with the command that takes it, in columns."""
    rows = []
    for place in alternatives:
        space = spaces.get(place.space_id)
        zone = space.timezone if space else None
        rows.append((place.seat_id, drawing.span(place.starts_at, place.ends_at, zone), command(place)))
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for seat, when, line in rows:
        click.echo(
            f"{indent}{seat:<{widths[0]}}  {when:<{widths[1]}}   {line}{invocation.server_option()}", err=True
        )


def slots_option(slots: int) -> str:
    """`--slots`, when it is not one."""
    return f" --slots {slots}" if slots > 1 else ""
