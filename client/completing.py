"""What the shell offers when TAB is pressed: ids that the cluster knows, free times, coming dates; and `deskraft completion`.

Completion must never stand in anybody's way: it has COMPLETE_SECONDS, and whatever goes wrong within them (no node, no log-in, no
right to see it) offers nothing and says nothing. Arguments get it by their type: `type=completing.SPACE`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from client import drawing, invocation
from client.errors import DeskraftError
from client.logins import LoginsError

if TYPE_CHECKING:
    from client.aio import Client
    from client.answers import Space

    _Text = click.ParamType[str]  # generic since click 8.4
else:
    _Text = click.ParamType

COMPLETE_SECONDS = 1.0
MAX_OFFERED = 100
DAYS_OFFERED = 14
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")

Offers = AsyncIterator[tuple[str, str]]  # what is typed, and what the shell shows beside it
Find = Callable[["Client", click.Context, str], Offers]


class Known(_Text):
    """A text that is taken as it is; what the cluster knows is offered for it."""

    name = "text"

    def __init__(self, find: Find) -> None:
        self._find = find

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Silent and soon, whatever happens."""
        import client.aio  # noqa: F401 - what it takes to load it is not counted as waiting for the cluster

        try:
            found = asyncio.run(asyncio.wait_for(self._found(ctx, incomplete), COMPLETE_SECONDS))
        except (DeskraftError, LoginsError, TimeoutError, OSError, click.ClickException):
            return []  # a message would land in the middle of the line that is being typed
        return [CompletionItem(value, help=told) for value, told in found]

    async def _found(self, ctx: click.Context, incomplete: str) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        async with invocation.new_client(invocation.servers(ctx), COMPLETE_SECONDS) as client:
            async for value, told in self._find(client, ctx, incomplete):
                if value.startswith(incomplete) and all(value != known for known, _ in found):
                    found.append((value, told))
                if len(found) == MAX_OFFERED:
                    break
        return found


async def _spaces(client: Client, _ctx: click.Context, _typed: str) -> Offers:
    for space in await client.spaces():
        yield space.id, space.name


async def _having(client: Client, ctx: click.Context) -> list[Space]:
    """The space that is named on the line so far, or all of them."""
    chosen: str | None = ctx.params.get("space_id")
    return [await client.space(chosen)] if chosen else await client.spaces()


async def _seats(client: Client, ctx: click.Context, _typed: str) -> Offers:
    for space in await _having(client, ctx):
        for seat in space.seats:
            yield seat.id, f"{space.id}: {seat.label}"


async def _times(client: Client, ctx: click.Context, _typed: str) -> Offers:
    """The begins of the seat's free slots on the day that is named before."""
    seat_id, date = ctx.params.get("seat"), ctx.params.get("date")
    for space in await _having(client, ctx):
        if date is None or not any(seat.id == seat_id for seat in space.seats):
            continue
        day = await client.availability(space.id, date)
        states = next((seat.slots for seat in day.seats if seat.id == seat_id), [])
        for slot, state in zip(day.slots, states, strict=True):
            if state == "free":
                yield f"{slot.starts_at:%H:%M}", f"free in {space.id}"


async def _bookings(client: Client, _ctx: click.Context, _typed: str) -> Offers:
    zones = {space.id: space.timezone for space in await client.spaces()}
    async for each in client.bookings(when="upcoming", status="confirmed", limit=MAX_OFFERED):
        when = drawing.span(each.starts_at, each.ends_at, zones.get(each.space_id))
        yield each.id, f"{each.seat_id} in {each.space_id}, {when}"


async def _waitings(client: Client, _ctx: click.Context, _typed: str) -> Offers:
    for each in await client.waitings():
        when = drawing.span(each.starts_at, each.ends_at, None)
        yield each.id, f"{each.seat_id or 'any seat'} in {each.space_id}, {when}"


async def _sessions(client: Client, _ctx: click.Context, _typed: str) -> Offers:
    for each in await client.people.sessions():
        yield each.id, f"since {each.created_at:%Y-%m-%d %H:%M} UTC{', this one' if each.current else ''}"


async def _users(client: Client, _ctx: click.Context, typed: str) -> Offers:
    async for each in client.people.users(search=typed):
        yield each.login, each.role


async def _webhooks(client: Client, _ctx: click.Context, _typed: str) -> Offers:
    for each in await client.webhooks.all():
        yield each.id, each.url


async def _sinks(client: Client, _ctx: click.Context, _typed: str) -> Offers:
    for each in await client.sinks.all():
        yield each.id, each.url or each.kind


async def _letters(client: Client, ctx: click.Context, _typed: str) -> Offers:
    """The dead letters of the sink that is named before."""
    async for each in client.sinks.letters(ctx.params["sink_id"]):
        yield each.id, each.why


async def _members(client: Client, _ctx: click.Context, _typed: str) -> Offers:
    for each in (await client.cluster()).members:
        yield each.id, each.api


class _Time(Known):
    """A local time of day such as 10:00; the free ones are offered."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The time as it was given, if it is one."""
        if not _CLOCK.fullmatch(value):
            self.fail(f"{value!r} is not a time such as 10:00", param, ctx)
        return str(value)


SPACE, SEAT, TIME = Known(_spaces), Known(_seats), _Time(_times)
BOOKING, WAITING, SESSION = Known(_bookings), Known(_waitings), Known(_sessions)
USER, MEMBER, WEBHOOK = Known(_users), Known(_members), Known(_webhooks)
SINK, LETTER = Known(_sinks), Known(_letters)


class _Date(_Text):
    """A date such as 2026-12-01; the coming ones are offered."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The date as it was given, if it is one."""
        try:
            return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).date().isoformat()
        except ValueError:
            self.fail(f"{value!r} is not a date such as 2026-12-01", param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Today, as this machine has it, and the days that follow."""
        today = datetime.now().astimezone().date()
        days = [today + timedelta(days=number) for number in range(DAYS_OFFERED)]
        return [
            CompletionItem(day.isoformat(), help=f"{day:%A}")
            for day in days
            if day.isoformat().startswith(incomplete)
        ]


DATE = _Date()


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Teach SHELL to complete commands, ids and free times.

    Prints a script for the shell. While you type, it asks the cluster for at most a second, and says nothing
    when it gets no answer.

    \b
    Examples:
      echo 'eval "$(deskraft completion bash)"' >> ~/.bashrc
      echo 'eval "$(deskraft completion zsh)"' >> ~/.zshrc
      deskraft completion fish > ~/.config/fish/completions/deskraft.fish
    """
    root = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    assert kind is not None  # the choices are those that click has
    click.echo(kind(root, {}, "deskraft", "_DESKRAFT_COMPLETE").source())


COMMANDS: dict[str, click.Command] = {"completion": completion}
