"""What every command of `deskraft` shares: `--server` and `--json`, the client made from them, and how it
ends.

Exit status: 0 done, 1 refused, 2 wrong usage, 3 no node answers. With `--json` the answer, or the problem
that came instead of it, is one JSON document on standard output; without, people read standard output and
errors go to standard error.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
import msgspec

from client.errors import BadAnswer, NoNodeAnswers, OutcomeUnknown, Refused, Unauthenticated
from client.logins import Logins, LoginsError, default_path
from client.servers import ServerListError, parse_servers

if TYPE_CHECKING:  # imported when a call is made: aiohttp takes longer to load than `--help` to print
    from client.aio import Client

DEFAULT_SERVERS = "http://127.0.0.1:8001,8002,8003"
SERVER_ENV = "DESKRAFT_SERVER"
PASSWORD_ENV = "DESKRAFT_PASSWORD"  # noqa: S105 - the name of a variable
EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_NO_NODE = 3

_SERVER = "deskraft.server"
_JSON = "deskraft.json"

T = TypeVar("T")
AnyCommand = TypeVar("AnyCommand", bound=Callable[..., Any])


def everywhere(command: AnyCommand) -> AnyCommand:
    """Give a command `--server` and `--json`. Given twice, the one nearest to the end of the line counts."""
    command = click.option(
        "--json",
        "as_json",
        is_flag=True,
        expose_value=False,
        callback=_remember(_JSON),
        help="Answer as JSON.",
    )(command)
    return click.option(
        "--server",
        metavar="URL[,URL…]",
        expose_value=False,
        callback=_remember(_SERVER),
        help=f"Nodes to ask; any of them will do. [env: {SERVER_ENV}; default: {DEFAULT_SERVERS}]",
    )(command)


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def remember(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value not in (None, False):
            context.meta[name] = value  # shared by a group and its commands

    return remember


def servers(context: click.Context | None = None) -> list[str]:
    """The servers to ask: the option, the environment, or the demo's three."""
    text = (
        (context or click.get_current_context()).meta.get(_SERVER)
        or os.environ.get(SERVER_ENV)
        or DEFAULT_SERVERS
    )
    try:
        return parse_servers(text)
    except ServerListError as error:
        raise click.UsageError(str(error)) from None


def server_option() -> str:
    """The `--server` part of a command that is suggested to the user, with a space before it, or nothing."""
    given = click.get_current_context().meta.get(_SERVER)
    return f" --server {given}" if given else ""


def wants_json() -> bool:
    """Whether a machine reads the answer."""
    return bool(click.get_current_context().meta.get(_JSON))


def print_json(answer: Any) -> None:
    """One JSON document on a line of its own."""
    click.echo(msgspec.json.encode(answer).decode())


def run(work: Callable[[Client], Awaitable[T]], explain: Callable[[Refused], None] | None = None) -> T:
    """Do `work` with a client that has the kept log-in; a failure ends the process with its exit status.

    `explain` may say more about a refusal to people.
    """
    try:
        return asyncio.run(_with_client(servers(), work))
    except Refused as refused:
        if wants_json():
            print_json(refused.problem)
        else:
            click.echo(f"Refused: {_told(refused)}", err=True)
            if explain is not None:
                explain(refused)
        sys.exit(EXIT_REFUSED)
    except (NoNodeAnswers, BadAnswer) as error:
        if wants_json():
            code = "outcome-unknown" if isinstance(error, OutcomeUnknown) else "no-node-answers"
            print_json({"type": f"urn:deskraft:problem:{code}", "title": code, "detail": str(error)})
        else:
            click.echo(f"Error: {error}", err=True)
        sys.exit(EXIT_NO_NODE)
    except LoginsError as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """One line on standard error, exit status of wrong usage."""
    click.echo(f"Error: {message}", err=True)
    sys.exit(EXIT_USAGE)


def _told(refused: Refused) -> str:
    if refused.alternatives and refused.problem.title:
        return refused.problem.title  # the detail would only announce what is listed next
    if isinstance(refused, Unauthenticated) and refused.code != "wrong-credentials":
        return f"{refused} — log in with: deskraft login LOGIN{server_option()}"
    if refused.retry_after_seconds is not None:
        return f"{refused} (again in {refused.retry_after_seconds:.0f} s)"
    problem = refused.problem
    if not problem.title or problem.detail in ("", problem.title):
        return str(refused)
    if "`" in problem.detail or problem.items:
        return problem.title  # the detail is for programs, or the items say more
    return f"{problem.title}. {refused}"


async def _with_client(urls: list[str], work: Callable[[Client], Awaitable[T]]) -> T:
    async with new_client(urls) as client:
        return await work(client)


def new_client(urls: list[str], deadline_seconds: float | None = None) -> Client:
    """A client with the kept log-in, which keeps whatever becomes of it."""
    from client.aio import Client
    from client.calling import DEFAULT_DEADLINE_SECONDS

    logins = Logins(default_path())
    client = Client(
        urls,
        session=logins.find(urls),
        devices=logins.devices(urls),
        on_session=lambda session: logins.keep([*urls, *client.servers], session),
        deadline_seconds=deadline_seconds or DEFAULT_DEADLINE_SECONDS,
    )
    return client


def forget_device(login: str) -> None:
    """Leave no trace of a login on this machine, for the servers that are asked."""
    Logins(default_path()).forget_device(servers(), login)


def password(confirm: bool) -> str:
    """From the environment, a prompt, or a line of standard input when that is no terminal."""
    if given := os.environ.get(PASSWORD_ENV):
        return given
    if sys.stdin.isatty():
        typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=confirm, err=True)
        return typed
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise click.UsageError(f"no password: type it, pipe it in, or set {PASSWORD_ENV}")
    return line
