"""The commands about people: one's own account, `deskraft user …` for administrators, and `deskraft audit`."""

from __future__ import annotations

import os
import sys
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from client import completing, drawing, invocation, offers
from client.people import AuditPage, Profile

if TYPE_CHECKING:
    from client.aio import Client
    from client.answers import Booking, Space

NEW_PASSWORD_ENV = "DESKRAFT_NEW_PASSWORD"  # noqa: S105 - the name of a variable
MAX_USERS_SHOWN = 1_000
MAX_AUDIT_SHOWN = 200
MAX_BOOKINGS_SHOWN = 1_000


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

    \b
    Example:
      deskraft password
    """
    old, new = invocation.password(confirm=False), _new_password()
    invocation.run(lambda client: client.people.change_password(old, new))
    _done("The password is changed. All other sessions have ended.", changed=True)


@click.command()
@click.option("--end", "session_id", metavar="ID", type=completing.SESSION, help="End this one.")
@click.option("--end-all", is_flag=True, help="End all of them, this one too.")
@invocation.everywhere
def sessions(session_id: str | None, end_all: bool) -> None:
    """Where you are logged in; ends one session or all of them.

    \b
    Examples:
      deskraft sessions
      deskraft sessions --end 019ab0c2-7f3e-7d55-9c1e-0d1f2a3b4c5d
      deskraft sessions --end-all
    """
    if session_id and end_all:
        raise click.UsageError("--end and --end-all do not go together")
    if end_all:
        invocation.run(lambda client: client.people.log_out_everywhere())
        _done("Logged out everywhere.", ended="all")
        return
    if session_id:
        invocation.run(lambda client: client.people.end_session(session_id), explain=offers.advise)
        _done(f"Ended {session_id}.", ended=session_id)
        return
    found = invocation.run(lambda client: client.people.sessions())
    if invocation.wants_json():
        invocation.print_json({"items": found})
        return
    table = drawing.table("Session", "Since (UTC)", "Last used", "", whole="Session")
    for each in found:
        since, used = (
            f"{when.astimezone(UTC):%Y-%m-%d %H:%M}" for when in (each.created_at, each.refreshed_at)
        )
        table.add_row(each.id, since, used, "this one" if each.current else "")
    drawing.console().print(table)


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@invocation.everywhere
def export(file: Path | None) -> None:
    """All that is kept of you, as JSON.

    Into FILE, readable by you alone, or on standard output.

    \b
    Example:
      deskraft export me.json
    """
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

    Live bookings are cancelled, and nothing is left that says who you were. Asks for your password, or takes it
    from DESKRAFT_PASSWORD.

    \b
    Example:
      deskraft erase
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
    """Administer users. WHO is a login or an id.

    For administrators: deskraft login admin.

    \b
    Examples:
      deskraft user list ann
      deskraft user reset annie
    """


@user.command("list")
@click.argument("search", required=False, default="")
@click.option("--role", type=click.Choice(["user", "admin"]), help="Only these.")
@click.option("--blocked/--not-blocked", default=None, help="Only these.")
@invocation.everywhere
def list_users(search: str, role: str | None, blocked: bool | None) -> None:
    """Users whose login contains SEARCH, or all.

    In the order in which they registered.

    \b
    Examples:
      deskraft user list
      deskraft user list ann --role admin
    """
    wanted = "" if blocked is None else "yes" if blocked else "no"

    async def work(client: Client) -> tuple[list[Profile], bool]:
        found: list[Profile] = []
        async for each in client.people.users(search=search, role=role or "", blocked=wanted):
            if len(found) == MAX_USERS_SHOWN:
                return found, True
            found.append(each)
        return found, False

    found, more = invocation.run(work, explain=offers.advise)
    if invocation.wants_json():
        invocation.print_json({"items": found, "more": more})
        return
    table = drawing.table("Login", "Role", "State", "Registered (UTC)", "Id", whole="Id")
    for each in found:
        table.add_row(
            each.login, each.role, _state(each), f"{each.created_at.astimezone(UTC):%Y-%m-%d %H:%M}", each.id
        )
    drawing.console().print(table)
    if more:
        click.echo(f"There are more than {MAX_USERS_SHOWN}: search for a part of the login.", err=True)


def _state(profile: Profile) -> str:
    states = ["blocked"] if profile.blocked_at else []
    states += ["has to change the password"] if profile.password_change_needed else []
    return ", ".join(states)


@user.command("show")
@click.argument("who", type=completing.USER)
@invocation.everywhere
def show_user(who: str) -> None:
    """Show WHO: role, state, sessions.

    \b
    Example:
      deskraft user show annie
    """

    async def work(client: Client) -> Profile:
        return await client.people.user(await client.people.find(who))

    found: Profile = invocation.run(work, explain=offers.advise)
    if invocation.wants_json():
        invocation.print_json(found)
        return
    state = _state(found)
    click.echo(f"{found.login}  {found.role}{f', {state}' if state else ''}  {found.id}")
    registered = f"registered {found.created_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    click.echo(f"{registered}, {found.sessions} session{'' if found.sessions == 1 else 's'}")


@user.command("bookings")
@click.argument("who", type=completing.USER)
@click.option("--when", type=click.Choice(["upcoming", "past"]), default="upcoming", show_default=True)
@invocation.everywhere
def list_bookings(who: str, when: str) -> None:
    """Show the bookings of WHO.

    \b
    Example:
      deskraft user bookings annie --when past
    """

    async def work(client: Client) -> tuple[list[Booking], dict[str, Space]]:
        user_id = await client.people.find(who)
        found: list[Booking] = []
        async for each in client.people.bookings(user_id, when=when):
            if len(found) == MAX_BOOKINGS_SHOWN:
                break
            found.append(each)
        return found, {space.id: space for space in await client.spaces()}

    found, spaces = invocation.run(work, explain=offers.advise)
    if invocation.wants_json():
        invocation.print_json({"items": found})
    else:
        drawing.draw_bookings(drawing.console(), found, spaces)


def _act(name: str, told: str, explanation: str) -> None:
    async def work(client: Client, who: str) -> None:
        await getattr(client.people, name.replace("-", "_"))(await client.people.find(who))

    @click.argument("who", type=completing.USER)
    @invocation.everywhere
    def act(who: str) -> None:
        invocation.run(lambda client: work(client, who), explain=offers.advise)
        _done(told.format(who), user=who, done=name)

    act.__doc__ = f"{explanation}\n\n\b\nExample:\n  deskraft user {name} annie"
    user.command(name)(act)


_act("block", "{} is blocked; all sessions have ended.", "Keep WHO out, from now on and everywhere.")
_act("unblock", "{} can log in again.", "Let WHO in again.")
_act("end-sessions", "{} is logged out everywhere.", "Log WHO out everywhere; they may log in again.")
_act("promote", "{} is an administrator.", "Make WHO an administrator.")
_act(
    "demote",
    "{} is no administrator any more.",
    "Make WHO an ordinary user; the last administrator stays one.",
)


@user.command()
@click.argument("who", type=completing.USER)
@invocation.everywhere
def reset(who: str) -> None:
    """Give WHO a one-time password.

    It is printed; all sessions of WHO end.

    \b
    Example:
      deskraft user reset annie
    """

    async def work(client: Client) -> str:
        return await client.people.reset_password(await client.people.find(who))

    secret = invocation.run(work, explain=offers.advise)
    _done(f"One-time password of {who}: {secret}", user=who, one_time_password=secret)


@click.command()
@click.option("--subject", metavar="ID", default="", help="Only what was done to this id.")
@click.option("--limit", type=click.IntRange(1, MAX_AUDIT_SHOWN), default=50, show_default=True)
@click.option("--cursor", default="", help="`next` of the page before.")
@invocation.everywhere
def audit(subject: str, limit: int, cursor: str) -> None:
    """What administrators did, newest first.

    For administrators.

    \b
    Examples:
      deskraft audit
      deskraft audit --subject hq --limit 10
    """
    page: AuditPage = invocation.run(
        lambda client: client.people.audit_page(limit=limit, subject=subject, cursor=cursor), offers.advise
    )
    if invocation.wants_json():
        invocation.print_json(page)
        return
    table = drawing.table("At (UTC)", "Who", "What", "Whom or what", "Detail", "Change")
    for each in page.items:
        who, whom = each.actor_login or each.actor, each.subject_login or each.subject
        table.add_row(f"{each.at.astimezone(UTC):%Y-%m-%d %H:%M}", who, each.what, whom, each.detail, each.id)
    drawing.console().print(table)
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
