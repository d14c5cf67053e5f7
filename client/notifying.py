"""`deskraft notifications`: what one is told by mail, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from client import invocation
from client.people import MAIL_KINDS, Notifications

if TYPE_CHECKING:
    from client.aio import Client


@click.group(invoke_without_command=True)
@click.pass_context
@invocation.everywhere
def notifications(context: click.Context) -> None:
    """What you are told of your bookings by mail. Without a command: how it is set.

    \b
    Examples:
      deskraft notifications set --address ann@example.com --language en --remind 60
      deskraft notifications confirm 7K2M9-QX4TD
      deskraft notifications set --only cancelled,promoted
      deskraft notifications off
    """
    if context.invoked_subcommand is None:
        _show(invocation.run(lambda client: client.people.notifications()))


@notifications.command("set")
@click.option("--address", help="Where mails go. A code is sent there first.")
@click.option("--language", type=click.Choice(["ru", "en"]), help="Of the mails.")
@click.option(
    "--only", metavar="KIND[,KIND…]", help=f"Of these only: {', '.join(MAIL_KINDS)}; or all, or none."
)
@click.option(
    "--remind",
    "remind_minutes",
    type=click.IntRange(min=0),
    metavar="MINUTES",
    help="Before the start; 0: not.",
)
@invocation.everywhere
def set_notifications(
    address: str | None, language: str | None, only: str | None, remind_minutes: int | None
) -> None:
    """Change what you are told; what is not given stays as it is.

    \b
    Examples:
      deskraft notifications set --address ann@example.com --language en --remind 60
      deskraft notifications set --only cancelled,promoted
    """
    kinds = None if only is None else _kinds(only)

    async def work(client: Client) -> Notifications:
        now = await client.people.notifications()
        return await client.people.set_notifications(
            now.address if address is None else address,
            now.language if language is None else language,
            now.kinds if kinds is None else kinds,
            now.remind_minutes if remind_minutes is None else remind_minutes,
        )

    _show(invocation.run(work))


@notifications.command()
@click.argument("code")
@invocation.everywhere
def confirm(code: str) -> None:
    """Confirm your address by the CODE that was mailed to it.

    \b
    Example:
      deskraft notifications confirm 7K2M9-QX4TD
    """
    _show(invocation.run(lambda client: client.people.confirm_address(code)))


@notifications.command()
@invocation.everywhere
def off() -> None:
    """Be told nothing, and have the address forgotten.

    \b
    Example:
      deskraft notifications off
    """

    async def work(client: Client) -> Notifications:
        now = await client.people.notifications()
        return await client.people.set_notifications(None, now.language, now.kinds, 0)

    _show(invocation.run(work))


def _kinds(text: str) -> list[str]:
    if text in ("all", "none"):
        return list(MAIL_KINDS) if text == "all" else []
    kinds = list(dict.fromkeys(each.strip() for each in text.split(",")))
    for each in kinds:
        if each not in MAIL_KINDS:
            raise click.BadParameter(f"{each} is none of {', '.join(MAIL_KINDS)}", param_hint="--only")
    return kinds


def _show(settings: Notifications) -> None:
    if invocation.wants_json():
        invocation.print_json(settings)
        return
    if settings.address is None:
        click.echo(
            "You are told nothing by mail. Give an address with: deskraft notifications set --address …"
        )
    else:
        state = "confirmed" if settings.confirmed else "not confirmed: nothing is sent before"
        click.echo(f"Address: {settings.address} ({state})")
        click.echo(f"Language: {settings.language}")
        click.echo(f"Kinds: {', '.join(settings.kinds) or 'none'}")
        remind = f"{settings.remind_minutes} minutes before the start" if settings.remind_minutes else "none"
        click.echo(f"Reminder: {remind}")
        if not settings.confirmed:
            click.echo("A code was mailed there. Run: deskraft notifications confirm CODE", err=True)
    if not settings.available:
        click.echo("This cluster sends no mails: its operator has configured no mail server.", err=True)


COMMANDS: dict[str, click.Command] = {"notifications": notifications}
