"""`deskraft sink …`: where events are delivered to, how far each has come, and what it did not take, for administrators."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from client import completing, drawing, invocation, offers
from client.sinks import DeadLetter, Sink

if TYPE_CHECKING:
    from client.aio import Client

DEFAULT_LETTERS_SHOWN = 50
MAX_LETTERS_SHOWN = 1_000  # as many as a sink keeps
MAX_LETTERS_NAMED = 200  # as many as one request may name

_EVENT = re.compile(r"[0-9]{1,15}\.[0-9]{1,9}")


@click.group()
@invocation.everywhere
def sink() -> None:
    """See to where events go: mail, broker and webhooks.

    For administrators. What a sink did not take after all attempts is a dead letter, until somebody replays or
    drops it.

    \b
    Examples:
      deskraft sink list
      deskraft sink letters mail
      deskraft sink replay mail --all
    """


_SINK = click.argument("sink_id", metavar="SINK", type=completing.SINK)


@sink.command("list")
@invocation.everywhere
def list_sinks() -> None:
    """Where events go, how far they have come, and what is wrong.

    \b
    Example:
      deskraft sink list
    """
    found = invocation.run(lambda client: client.sinks.all(), offers.advise)
    if invocation.wants_json():
        invocation.print_json({"items": found})
        return
    if not found:
        click.echo(
            "No sinks. cluster.yml names a mail server or a broker; webhooks are made by: deskraft webhook add URL"
        )
        return
    table = drawing.table("Sink", "Kind", "State", "Behind", "Held", "Dead", whole="Sink")
    for each in found:
        counts = (str(number) for number in (each.behind, each.held, each.dead_letters))
        table.add_row(each.id, each.kind, each.state, *counts)
    drawing.console().print(table)
    for each in found:
        if standing := _standing(each):  # below the table: with it the columns would not fit into eighty
            click.echo(f"{each.id}: {standing}")


def _standing(sink: Sink) -> str:
    """What is wrong with it, in words; nothing when all is well."""
    parts = [
        f"{what} {count}" for what, count in (("missed", sink.missed), ("dropped", sink.dropped)) if count
    ]
    if sink.troubled_since is not None:
        parts.append(f"in trouble since {_at(sink.troubled_since)} UTC")
    if sink.why:
        parts.append(sink.why)
    return "; ".join(parts)


def _at(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}"


@sink.command()
@_SINK
@invocation.everywhere
def show(sink_id: str) -> None:
    """One sink.

    \b
    Example:
      deskraft sink show mail
    """
    _shown(invocation.run(lambda client: client.sinks.get(sink_id), offers.advise))


def _shown(found: Sink) -> None:
    if invocation.wants_json():
        invocation.print_json(found)
        return
    kind = f"  ({found.kind})" if found.kind != found.id else ""
    click.echo(f"{found.id}{kind}  {found.state}  since {_at(found.created_at)} UTC")
    if found.url is not None:
        click.echo(f"  to {found.url}")
    click.echo(f"  told through {found.cursor}, {found.behind} behind; delivered {found.delivered}")
    if found.held:
        due = f", next attempt {_at(found.next_attempt_at)} UTC" if found.next_attempt_at else ""
        click.echo(f"  held back {found.held}{due}")
    if standing := _standing(found):
        click.echo(f"  {standing}")
    if found.dead_letters:
        line = f"deskraft sink letters {found.id}{invocation.server_option()}"
        click.echo(f"  dead letters {found.dead_letters}: {line}")


def _act(name: str, act: Callable[[Client, str], Awaitable[Sink]], explanation: str) -> None:
    @_SINK
    @invocation.everywhere
    def command(sink_id: str) -> None:
        _shown(invocation.run(lambda client: act(client, sink_id), offers.advise))

    command.__doc__ = f"{explanation}\n\n\b\nExample:\n  deskraft sink {name} mail"
    sink.command(name)(command)


_act(
    "pause",
    lambda client, sink_id: client.sinks.pause(sink_id),
    "Deliver nothing until it is resumed.\n\nWhat happens waits for as long as the feed keeps it.",
)
_act(
    "resume",
    lambda client, sink_id: client.sinks.resume(sink_id),
    "Go on where it stopped.\n\nAlso after it had said that it is gone.",
)


@sink.command()
@_SINK
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_LETTERS_SHOWN),
    default=DEFAULT_LETTERS_SHOWN,
    show_default=True,
    help="How many at most.",
)
@invocation.everywhere
def letters(sink_id: str, limit: int) -> None:
    """What SINK did not take, and why, oldest first.

    \b
    Examples:
      deskraft sink letters mail
      deskraft sink letters mail --json
    """

    async def work(client: Client) -> tuple[list[DeadLetter], bool]:
        found: list[DeadLetter] = []
        async for letter in client.sinks.letters(sink_id):
            if len(found) == limit:
                return found, True
            found.append(letter)
        return found, False

    found, more = invocation.run(work, offers.advise)
    if invocation.wants_json():
        invocation.print_json({"items": found})
        return
    if not found:
        click.echo(f"No dead letters of {sink_id}.")
        return
    table = drawing.table("Event", "Given up (UTC)", "Attempts", "Type", "Subject", "Why")
    table.columns[0].no_wrap = True  # `replay` wants it whole
    for each in found:
        kind = str(each.event.get("type", "")).removeprefix("deskraft.")
        subject = str(each.event.get("subject", ""))
        table.add_row(each.id, _at(each.at), str(each.attempts), kind, subject, each.why)
    drawing.console().print(table)
    if more:
        click.echo("There are more: see them with --limit.", err=True)
    click.echo(f"Try them again: deskraft sink replay {sink_id} --all{invocation.server_option()}", err=True)


def _chosen(events: tuple[str, ...], every: bool) -> list[str] | None:
    """The ids of the letters that are meant, None for all of them. All has to be said: it is too much to do by leaving out."""
    if bool(events) == every:
        raise click.UsageError("name the events, or say --all")
    for each in events:
        if not _EVENT.fullmatch(each):
            raise click.UsageError(f"{each!r} is not the id of an event, such as 4711.0")
    if len(events) > MAX_LETTERS_NAMED:
        raise click.UsageError(f"{len(events)} events are too many to name; {MAX_LETTERS_NAMED} at a time")
    return None if every else list(dict.fromkeys(events))


_EVENTS = click.argument("events", metavar="[EVENT]...", nargs=-1, type=completing.LETTER)


@sink.command()
@_SINK
@_EVENTS
@click.option("--all", "every", is_flag=True, help="All of them, as many as there is room for.")
@invocation.everywhere
def replay(sink_id: str, events: tuple[str, ...], every: bool) -> None:
    """Try dead letters of SINK again.

    They come after later events of the same subject. Exits 1 when none of those that are named is there, or
    there is no room to hold them back.

    \b
    Examples:
      deskraft sink replay mail 4711.0 4712.0
      deskraft sink replay mail --all
    """
    ids = _chosen(events, every)
    count = invocation.run(lambda client: client.sinks.replay(sink_id, ids), offers.advise)
    _counted(sink_id, "replayed", "Tried again", count, ids)


@sink.command()
@_SINK
@_EVENTS
@click.option("--all", "every", is_flag=True, help="All of them.")
@click.option("--yes", is_flag=True, help="Do not ask whether you are sure.")
@invocation.everywhere
def drop(sink_id: str, events: tuple[str, ...], every: bool, yes: bool) -> None:
    """Forget dead letters of SINK; they are never delivered.

    Exits 1 when none of those that are named is there.

    \b
    Examples:
      deskraft sink drop mail 4711.0
      deskraft sink drop mail --all --yes
    """
    ids = _chosen(events, every)
    if not yes:
        what = "all dead letters" if ids is None else f"{len(ids)} dead letter{'' if len(ids) == 1 else 's'}"
        click.confirm(f"Forget {what} of {sink_id} for good?", abort=True, err=True)
    count = invocation.run(lambda client: client.sinks.drop(sink_id, ids), offers.advise)
    _counted(sink_id, "dropped", "Forgotten", count, ids)


def _counted(sink_id: str, done: str, told: str, count: int, ids: list[str] | None) -> None:
    if invocation.wants_json():
        invocation.print_json({"sink": sink_id, done: count})
    elif ids is None or count == len(ids):
        click.echo(f"{told}: {count}.")
    else:
        click.echo(f"{told}: {count} of {len(ids)}.")
        line = f"deskraft sink letters {sink_id}{invocation.server_option()}"
        click.echo(f"The others are no dead letters, or there was no room. What there is: {line}", err=True)
    if ids and not count:
        click.get_current_context().exit(invocation.EXIT_REFUSED)


@sink.command()
@_SINK
@click.option("--yes", is_flag=True, help="Do not ask whether you are sure.")
@invocation.everywhere
def remove(sink_id: str, yes: bool) -> None:
    """Forget SINK with all that waits for it.

    The leader opens `mail` and `broker` anew while its cluster.yml names them.

    \b
    Example:
      deskraft sink remove broker
    """
    if not yes:
        click.confirm(f"Remove {sink_id} and forget what waits for it?", abort=True, err=True)
    invocation.run(lambda client: client.sinks.remove(sink_id), offers.advise)
    if invocation.wants_json():
        invocation.print_json({"removed": sink_id})
    else:
        click.echo(f"Removed {sink_id}.")


COMMANDS: dict[str, click.Command] = {"sink": sink}
