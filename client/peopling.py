"""The commands about people: one's own account, `deskraft user …` for administrators, and `deskraft audit`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from client import invocation
from client.people import AuditPage, Profile

if TYPE_CHECKING:
    from client.aio import Client

NEW_PASSWORD_ENV = "DESKRAFT_NEW_PASSWORD"  # noqa: S105 - the name of a variable
MAX_USERS_SHOWN = 1_000
MAX_AUDIT_SHOWN = 200


def _done(text: str, **facts: object) -> None:
    if invocation.wants_json():
        invocation.print_json(facts)
    else:
        click.echo(text)


def _new_password() -> str:
    if given := os.environ.get(NEW_PASSWORD_ENV):
        return given
    if sys.stdin.isatty():
        typed: str = click.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise click.UsageError(f"no new password: type it, pipe it in, or set {NEW_PASSWORD_ENV}")
    return line


@click.command()
@invocation.everywhere
def password() -> None:
    """Change your password; you are logged out everywhere else.

    Asks for the old and the new one, or takes them from DESKRAFT_PASSWORD and DESKRAFT_NEW_PASSWORD.
    """
    old, new = invocation.password(confirm=False), _new_password()
    invocation.run(lambda client: client.people.change_password(old, new))
    _done("The password is changed. All other sessions have ended.", changed=True)


@click.command()
@click.option("--end", "session_id", metavar="ID", help="End this one.")
@click.option("--end-all", is_flag=True, help="End all of them, this one too.")
@invocation.everywhere
def sessions(session_id: str | None, end_all: bool) -> None:
    """Where you are logged in; ends one session or all of them."""
    if session_id and end_all:
        raise click.UsageError("--end and --end-all do not go together")
    if end_all:
        invocation.run(lambda client: client.people.log_out_everywhere())
        _done("Logged out everywhere.", ended="all")
        return
    if session_id:
        invocation.run(lambda client: client.people.end_session(session_id))
        _done(f"Ended {session_id}.", ended=session_id)
        return
    found = invocation.run(lambda client: client.people.sessions())
    if invocation.wants_json():
        invocation.print_json({"items": found})
        return
    for each in found:
        mark = "  (this one)" if each.current else ""
        click.echo(
            f"{each.id}  since {each.created_at:%Y-%m-%d %H:%M} UTC, used {each.refreshed_at:%Y-%m-%d %H:%M}{mark}"
        )


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@invocation.everywhere
def export(file: Path | None) -> None:
    """All that is kept of you, as JSON, into FILE or on standard output."""
    text = msgspec.json.format(
        msgspec.json.encode(invocation.run(lambda client: client.people.export())), indent=2
    )
    if file is None:
        click.echo(text.decode())
        return
    try:
        file.touch(mode=0o600)
        file.write_bytes(text + b"\n")
    except OSError as error:
        invocation.fail(f"{file}: cannot be written: {error.strerror}")
    _done(f"Written to {file}.", file=str(file))


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask whether you are sure.")
@invocation.everywhere
def erase(yes: bool) -> None:
    """Erase your account. It cannot be undone.

    Live bookings are cancelled, and nothing is left that says who you were. Asks for your password, or takes it from
    DESKRAFT_PASSWORD.
    """
    if not yes:
        click.confirm("Erase your account for good?", abort=True, err=True)
    secret = invocation.password(confirm=False)

    async def work(client: Client) -> str:
        login = client.session.login if client.session is not None else ""
        await client.people.erase(secret)
        return login

    invocation.forget_device(invocation.run(work))
    _done("Your account is erased.", erased=True)


@click.group()
@invocation.everywhere
def user() -> None:
    """Administer users. WHO is a login or an id."""


@user.command("list")
@click.argument("search", required=False, default="")
@click.option("--role", type=click.Choice(["user", "admin"]), help="Only these.")
@click.option("--blocked/--not-blocked", default=None, help="Only these.")
@invocation.everywhere
def list_users(search: str, role: str | None, blocked: bool | None) -> None:
    """Users whose login contains SEARCH, or all, in the order in which they registered."""
    wanted = "" if blocked is None else "yes" if blocked else "no"

    async def work(client: Client) -> tuple[list[Profile], bool]:
        found: list[Profile] = []
        async for each in client.people.users(search=search, role=role or "", blocked=wanted):
            if len(found) == MAX_USERS_SHOWN:
                return found, True
            found.append(each)
        return found, False

    found, more = invocation.run(work)
    if invocation.wants_json():
        invocation.print_json({"items": found, "more": more})
        return
    for each in found:
        marks = [each.role]
        marks += ["blocked"] if each.blocked_at else []
        marks += ["has to change the password"] if each.password_change_needed else []
        click.echo(f"{each.id}  {each.login}  ({', '.join(marks)})")
    if more:
        click.echo(f"There are more than {MAX_USERS_SHOWN}: search for a part of the login.", err=True)


def _act(name: str, told: str, explanation: str) -> None:
    async def work(client: Client, who: str) -> None:
        await getattr(client.people, name)(await client.people.find(who))

    @click.argument("who")
    @invocation.everywhere
    def act(who: str) -> None:
        invocation.run(lambda client: work(client, who))
        _done(told.format(who), user=who, done=name)

    act.__doc__ = explanation
    user.command(name)(act)


_act("block", "{} is blocked; all sessions have ended.", "Keep WHO out, from now on and everywhere.")
_act("unblock", "{} can log in again.", "Let WHO in again.")
_act("promote", "{} is an administrator.", "Make WHO an administrator.")
_act(
    "demote",
    "{} is no administrator any more.",
    "Make WHO an ordinary user. The last administrator stays one.",
)


@user.command()
@click.argument("who")
@invocation.everywhere
def reset(who: str) -> None:
    """Give WHO a one-time password, which is printed; all sessions end."""

    async def work(client: Client) -> str:
        return await client.people.reset_password(await client.people.find(who))

    secret = invocation.run(work)
    _done(f"One-time password of {who}: {secret}", user=who, one_time_password=secret)


@click.command()
@click.option("--subject", metavar="ID", default="", help="Only what was done to this id.")
@click.option("--limit", type=click.IntRange(1, MAX_AUDIT_SHOWN), default=50, show_default=True)
@click.option("--cursor", default="", help="`next` of the page before.")
@invocation.everywhere
def audit(subject: str, limit: int, cursor: str) -> None:
    """What administrators did, newest first. For administrators."""
    page: AuditPage = invocation.run(
        lambda client: client.people.audit_page(limit=limit, subject=subject, cursor=cursor)
    )
    if invocation.wants_json():
        invocation.print_json(page)
        return
    for each in page.items:
        detail = f"  {each.detail}" if each.detail else ""
        who, whom = each.actor_login or each.actor, each.subject_login or each.subject
        click.echo(f"{each.at:%Y-%m-%d %H:%M} UTC  {each.id}  {who}  {each.what}  {whom}{detail}")
    if page.next is not None:
        click.echo(f"Go on with: deskraft audit --cursor {page.next}", err=True)
    elif page.forgotten:
        click.echo(f"{page.forgotten} older records are no longer kept.", err=True)


COMMANDS: dict[str, click.Command] = {
    "password": password,
    "sessions": sessions,
    "export": export,
    "erase": erase,
    "user": user,
    "audit": audit,
}
