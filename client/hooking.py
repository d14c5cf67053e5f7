"""`deskraft webhook …`: where events are delivered to, for administrators."""

from __future__ import annotations

import click

from client import completing, invocation
from client.webhooks import Webhook, WebhookWithSecret


@click.group()
@invocation.everywhere
def webhook() -> None:
    """Deliver events to other programs by signed requests.

    For administrators.

    \b
    Examples:
      deskraft webhook add https://example.org/hook --type deskraft.booking
      deskraft webhook list
    """


_TYPES = click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPE",
    help="Only this type, as deskraft.booking; may be repeated.",
)
_SPACES = click.option(
    "--space", "space_ids", multiple=True, metavar="SPACE", help="Only in this space; may be repeated."
)
_DESCRIPTION = click.option("--description", help="For people.")


@webhook.command("list")
@invocation.everywhere
def list_webhooks() -> None:
    """Where events go, and how far they have come.

    \b
    Example:
      deskraft webhook list
    """
    found = invocation.run(lambda client: client.webhooks.all())
    if invocation.wants_json():
        invocation.print_json({"items": found})
        return
    for each in found:
        click.echo(f"{each.id}  {each.state}  {each.url}  {_standing(each)}")
    if not found:
        click.echo("No webhooks.")


def _standing(webhook: Webhook) -> str:
    parts = [f"delivered {webhook.delivered}"]
    for count, what in (
        (webhook.waiting, "waiting"),
        (webhook.dead_letters, "dead letters"),
        (webhook.missed, "missed"),
        (webhook.dropped, "dropped"),
    ):
        parts += [f"{what} {count}"] if count else []
    if webhook.troubled_since is not None:
        parts.append(f"in trouble since {webhook.troubled_since:%Y-%m-%d %H:%M} UTC")
    return ", ".join(parts) + (f": {webhook.why}" if webhook.why else "")


@webhook.command()
@click.argument("webhook_id", metavar="ID", type=completing.WEBHOOK)
@invocation.everywhere
def show(webhook_id: str) -> None:
    """One webhook.

    \b
    Example:
      deskraft webhook show 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d
    """
    _shown(invocation.run(lambda client: client.webhooks.get(webhook_id)))


def _shown(found: Webhook) -> None:
    if invocation.wants_json():
        invocation.print_json(found)
        return
    click.echo(f"{found.id}  {found.state}")
    click.echo(f"  to {found.url}" + (f"  ({found.description})" if found.description else ""))
    click.echo(f"  types: {', '.join(found.types) or 'all'}; spaces: {', '.join(found.space_ids) or 'all'}")
    click.echo(f"  told through {found.told_through}; {_standing(found)}")
    if found.old_secret_until is not None:
        click.echo(f"  the secret before signs until {found.old_secret_until:%Y-%m-%d %H:%M} UTC")


def _with_secret(made: WebhookWithSecret, told: str) -> None:
    if invocation.wants_json():
        invocation.print_json(made)
        return
    click.echo(told)
    click.echo("Its secret, which is not shown again:", err=True)
    click.echo(made.secret)


@webhook.command()
@click.argument("url")
@_DESCRIPTION
@_TYPES
@_SPACES
@invocation.everywhere
def add(url: str, description: str | None, types: tuple[str, ...], space_ids: tuple[str, ...]) -> None:
    """Deliver events to URL; prints the secret that signs them.

    \b
    Examples:
      deskraft webhook add https://example.org/hook
      deskraft webhook add https://example.org/hook --type deskraft.booking --space hq
    """
    made = invocation.run(
        lambda client: client.webhooks.create(
            url, description=description or "", types=types, space_ids=space_ids
        )
    )
    _with_secret(made, f"Added {made.id}.")


@webhook.command()
@click.argument("webhook_id", metavar="ID", type=completing.WEBHOOK)
@click.option("--url", help="Another address.")
@_DESCRIPTION
@_TYPES
@_SPACES
@click.option("--all-types", is_flag=True, help="All types again.")
@click.option("--all-spaces", is_flag=True, help="All spaces again.")
@invocation.everywhere
def change(
    webhook_id: str,
    url: str | None,
    description: str | None,
    types: tuple[str, ...],
    space_ids: tuple[str, ...],
    all_types: bool,
    all_spaces: bool,
) -> None:
    """Change what is given, and leave the rest.

    \b
    Example:
      deskraft webhook change 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d --url https://example.org/new
    """
    if (types and all_types) or (space_ids and all_spaces):
        raise click.UsageError("--type and --all-types, or --space and --all-spaces, do not go together")
    changed = invocation.run(
        lambda client: client.webhooks.revise(
            webhook_id,
            url=url,
            description=description,
            types=types if types or all_types else None,
            space_ids=space_ids if space_ids or all_spaces else None,
        )
    )
    _shown(changed)


@webhook.command()
@click.argument("webhook_id", metavar="ID", type=completing.WEBHOOK)
@invocation.everywhere
def pause(webhook_id: str) -> None:
    """Deliver nothing until it is resumed.

    \b
    Example:
      deskraft webhook pause 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d
    """
    _shown(invocation.run(lambda client: client.webhooks.pause(webhook_id)))


@webhook.command()
@click.argument("webhook_id", metavar="ID", type=completing.WEBHOOK)
@invocation.everywhere
def resume(webhook_id: str) -> None:
    """Go on where it stopped.

    Also after the receiver had said that it is gone.

    \b
    Example:
      deskraft webhook resume 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d
    """
    _shown(invocation.run(lambda client: client.webhooks.resume(webhook_id)))


@webhook.command()
@click.argument("webhook_id", metavar="ID", type=completing.WEBHOOK)
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, 168),
    default=24,
    show_default=True,
    help="For how long the secret so far signs, too.",
)
@invocation.everywhere
def rotate(webhook_id: str, overlap_hours: int) -> None:
    """Sign with another secret, which is printed.

    \b
    Example:
      deskraft webhook rotate 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d
    """
    made = invocation.run(lambda client: client.webhooks.rotate(webhook_id, overlap_hours=overlap_hours))
    _with_secret(made, f"{webhook_id} has another secret.")


@webhook.command()
@click.argument("webhook_id", metavar="ID", type=completing.WEBHOOK)
@invocation.everywhere
def test(webhook_id: str) -> None:
    """Send a test event now; exits 1 when it was not taken.

    \b
    Example:
      deskraft webhook test 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d
    """
    told = invocation.run(lambda client: client.webhooks.test(webhook_id))
    if invocation.wants_json():
        invocation.print_json(told)
    elif told.delivered:
        click.echo(f"Delivered: answered {told.status} in {told.duration_ms} ms.")
    else:
        click.echo(f"Not delivered: {told.why}", err=True)
    if not told.delivered:
        click.get_current_context().exit(1)


@webhook.command()
@click.argument("webhook_id", metavar="ID", type=completing.WEBHOOK)
@click.option("--yes", is_flag=True, help="Do not ask whether you are sure.")
@invocation.everywhere
def remove(webhook_id: str, yes: bool) -> None:
    """Deliver nothing there any more; what waits is forgotten.

    \b
    Example:
      deskraft webhook remove 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d
    """
    if not yes:
        click.confirm(f"Remove {webhook_id} and forget what waits for it?", abort=True, err=True)
    invocation.run(lambda client: client.webhooks.remove(webhook_id))
    if invocation.wants_json():
        invocation.print_json({"removed": webhook_id})
    else:
        click.echo(f"Removed {webhook_id}.")


COMMANDS: dict[str, click.Command] = {"webhook": webhook}
