"""The console script `deskraft`: the one place that knows both halves, a member and its clients.

`deskraft node` runs a member in the foreground; every other command speaks to a running cluster and lives in
`client.cli`. Each half is imported only when it is asked for.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from client import invocation

_JOURNAL_FILES = "journal-*.seg"
_CLIENT_COMMANDS = ("login", "register", "logout", "seats", "book", "cancel", "history", "cluster")


class _Console(click.Group):
    """A group whose commands are imported when they are named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """`node` and the client's commands, in the order of use."""
        return ["node", *_CLIENT_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name == "node":
            return node
        from client.cli import COMMANDS

        return COMMANDS.get(cmd_name)


@click.group(cls=_Console)
@invocation.everywhere
def main() -> None:
    """Deskraft: coworking desks on a cluster that never loses and never doubles a booking.

    \b
    A first booking, on the demo that ./scripts/run starts:
      deskraft register ada
      deskraft login ada
      deskraft seats --space hq --date 2026-12-01
      deskraft book A1 2026-12-01 10:00 --space hq
      deskraft history

    Exit status: 0 done, 1 refused, 2 wrong usage, 3 no node answers.
    """


@click.command()
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=Path("cluster.yml"),
    show_default=True,
    help="The cluster's birth certificate.",
)
@click.option("--id", "node_id", required=True, metavar="ID", help="Which member of cluster.yml this is.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="This node's folder. [default: data_dir/ID of cluster.yml]",
)
def node(config_path: Path, node_id: str, data_dir: Path | None) -> None:
    """Run one member in the foreground.

    SIGTERM or Ctrl-C ends it gracefully: leadership is handed over, requests are finished, exit status 0. A
    mistake in cluster.yml, an unusable secret, or no administrator's password where the cluster is to be
    born is one line and exit status 2.

    \b
    Example:
      DESKRAFT_ADMIN_PASSWORD=… deskraft node --config cluster.yml --id n1
    """
    from node.config import ConfigError, load_config
    from node.secret import Secret, SecretError

    try:
        config = load_config(config_path)
        Secret.load(config.secret_file)
    except (ConfigError, SecretError) as error:
        _refuse(str(error))
    if node_id not in config.nodes:
        _refuse(f"{config_path.name}: nodes: there is no {node_id}; known: {', '.join(config.nodes)}")
    folder = (data_dir or config.data_dir / node_id).absolute()
    assert config.bootstrap is not None  # cluster.yml has one
    password_env = config.bootstrap.admin_password_env
    if not os.environ.get(password_env) and not any(folder.rglob(_JOURNAL_FILES)):
        _refuse(f"set {password_env}: it becomes the administrator's password when the cluster is born")

    from api.server import serve

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        sys.exit(runner.run(serve(config, node_id, folder)))


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """uvloop where it exists; it is not made for Windows."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


def _refuse(message: str) -> NoReturn:
    click.echo(f"deskraft node: {message}", err=True)
    sys.exit(invocation.EXIT_USAGE)


if __name__ == "__main__":
    main(prog_name="deskraft")
