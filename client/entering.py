"""The commands with which everything begins and ends: register, log in, who am I, log out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from client import invocation, offers
from client.answers import User

if TYPE_CHECKING:
    from client.aio import Client


@click.command()
@click.argument("login")
@invocation.everywhere
def register(login: str) -> None:
    """Make a user called LOGIN.

    Asks for a password, or takes it from DESKRAFT_PASSWORD.

    \b
    Example:
      deskraft register ada
      deskraft login ada
    """
    secret = invocation.password(confirm=True)
    user = invocation.run(
        lambda client: client.register(login, secret),
        explain=lambda refused: offers.advise(refused, login=login),
    )
    if invocation.wants_json():
        invocation.print_json(user)
    else:
        click.echo(
            f"Registered {user.login}. Log in with: deskraft login {user.login}{invocation.server_option()}"
        )


@click.command()
@click.argument("login")
@invocation.everywhere
def login(login: str) -> None:
    """Log in as LOGIN.

    Asks for the password, or takes it from DESKRAFT_PASSWORD. The session is kept, readable by you alone, in
    your configuration folder, and serves every node of the cluster.

    \b
    Examples:
      deskraft login ada
      DESKRAFT_PASSWORD=… deskraft login ada --server http://desk.example:8001
    """
    secret = invocation.password(confirm=False)

    async def work(client: Client) -> str:
        await client.cluster()  # so that the session is kept for every node and not only for the one asked
        return (await client.login(login, secret)).login

    name = invocation.run(work)
    if invocation.wants_json():
        invocation.print_json({"login": name})
    else:
        click.echo(
            f"Logged in as {name}. See the free seats with: deskraft seats{invocation.server_option()}"
        )


@click.command()
@invocation.everywhere
def whoami() -> None:
    """Who is logged in, as the cluster knows it.

    \b
    Example:
      deskraft whoami
    """
    user: User = invocation.run(lambda client: client.me())
    if invocation.wants_json():
        invocation.print_json(user)
    else:
        click.echo(f"{user.login}, {'an administrator' if user.role == 'admin' else 'a user'}  {user.id}")


@click.command()
@invocation.everywhere
def logout() -> None:
    """End the session, here and on every node.

    What stays in your configuration folder is a device token, which opens nothing: it keeps strangers who guess
    at your password from delaying your next log-in.

    \b
    Example:
      deskraft logout
    """

    async def work(client: Client) -> bool:
        there_was_one = client.session is not None
        await client.logout()
        return there_was_one

    there_was_one = invocation.run(work)
    if invocation.wants_json():
        invocation.print_json({"logged_out": there_was_one})
    else:
        click.echo("Logged out." if there_was_one else "Nobody was logged in.")


COMMANDS: dict[str, click.Command] = {
    "login": login,
    "register": register,
    "whoami": whoami,
    "logout": logout,
}
