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


class _Console(click.Group):
    """A group whose commands are imported when they are named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """`node` and the client's commands, in the order of use."""
        from client.cli import COMMANDS

        return ["node", *COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name == "node":
            return node
        from api import offline
        from client.cli import COMMANDS
        from client.operating import cluster

        for command in offline.COMMANDS:  # they read members' files, which the client cannot
            cluster.add_command(command)
        return COMMANDS.get(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands in sections, by whom and what they are for."""
        from client.cli import SECTIONS

        room = formatter.width - 6 - max(map(len, self.list_commands(ctx)))  # as click leaves it
        named = {name for names in SECTIONS.values() for name in names}
        rest = tuple(name for name in self.list_commands(ctx) if name not in named)
        sections = list(SECTIONS.items())
        for title, names in [*sections[:-1], (sections[-1][0], sections[-1][1] + rest)]:
            found = [(name, self.get_command(ctx, name)) for name in names]
            rows = [
                (name, command.get_short_help_str(room)) for name, command in found if command is not None
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


@click.group(cls=_Console)
@invocation.everywhere
def main() -> None:
    """Deskraft: coworking desks on a cluster that never loses and never doubles a booking.

    \b
    Examples: a first booking, on the demo that ./scripts/run starts:
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
    help="The cluster's birth certificate [default: cluster.yml]; with --join only what it says of mail, broker and webhooks.",
)
@click.option("--id", "node_id", required=True, metavar="ID", help="Which member this is.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="This node's folder. [default: data_dir/ID of cluster.yml]",
)
@click.option(
    "--join",
    metavar="URL[,URL…]",
    help="Nodes of the living cluster that added this one.",
)
@click.option("--raft", metavar="HOST:PORT", help="With --join: where the other members reach this one.")
@click.option("--api", metavar="HOST:PORT", help="With --join: where clients reach it.")
@click.option("--secret-file", type=click.Path(path_type=Path), help="With --join: the members' secret.")
@click.option("--learner", is_flag=True, help="With --join: follow and serve, never ask to vote.")
def node(
    config_path: Path | None,
    node_id: str,
    data_dir: Path | None,
    join: str | None,
    raft: str | None,
    api: str | None,
    secret_file: Path | None,
    learner: bool,
) -> None:
    """Run one member in the foreground.

    SIGTERM or Ctrl-C ends it gracefully: leadership is handed over, requests are finished, exit status 0. A
    mistake in cluster.yml, an unusable secret, or no administrator's password where the cluster is to be
    born is one line and exit status 2.

    A member that is not in cluster.yml is added first (deskraft cluster add), and started with --join. Over an
    empty folder it asks those nodes who the members are; later it needs nobody for its start. Give it the
    cluster.yml of the others as well where that names a mail server, a broker or webhooks, or these wait while
    it leads. A member that was removed from the cluster ends with exit status 0.

    \b
    Examples:
      DESKRAFT_ADMIN_PASSWORD=… deskraft node --config cluster.yml --id n1
      deskraft node --join http://10.0.0.1:8001 --id n4 --raft 10.0.0.4:7001 --api 10.0.0.4:8001 \\
        --data-dir /var/lib/deskraft/n4 --secret-file /etc/deskraft/secret
    """
    given = {"--raft": raft, "--api": api, "--secret-file": secret_file, "--data-dir": data_dir}
    if join is None:
        strange = [name for name, value in given.items() if value is not None and name != "--data-dir"]
        if strange or learner:
            raise click.UsageError(f"{(strange or ['--learner'])[0]} belongs to --join")
        _run_founder(config_path or Path("cluster.yml"), node_id, data_dir)
    if raft is None or api is None or data_dir is None or secret_file is None:
        missing = [name for name, value in given.items() if value is None]
        raise click.UsageError(f"--join needs {', '.join(missing)} as well")
    _run_joiner(join, node_id, (raft, api), data_dir, secret_file, config_path, wants_vote=not learner)


def _run_founder(config_path: Path, node_id: str, data_dir: Path | None) -> NoReturn:
    """A member of cluster.yml."""
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

    from api.joining import exists
    from api.server import serve

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        # Without data and without a password the node was replaced, or somebody forgot the password: the others know.
        empty = not os.environ.get(password_env) and not any(folder.rglob(_JOURNAL_FILES))
        if empty and not runner.run(exists(config, node_id)):
            _refuse(f"set {password_env}: it becomes the administrator's password when the cluster is born")
        sys.exit(runner.run(serve(config, node_id, folder)))


def _run_joiner(
    join: str,
    node_id: str,
    addresses: tuple[str, str],
    data_dir: Path,
    secret_file: Path,
    config_path: Path | None,
    *,
    wants_vote: bool,
) -> NoReturn:
    """A member that was added to a living cluster."""
    from api.joining import Join
    from api.server import join_and_serve
    from client.servers import ServerListError, parse_servers
    from node.config import ConfigError, load_config, member_address
    from node.config_values import Mistake
    from node.secret import Secret, SecretError

    try:
        servers = tuple(parse_servers(join))
        address = member_address(node_id, *addresses)
        Secret.load(secret_file)
        file = None if config_path is None else load_config(config_path)
    except Mistake as mistake:
        _refuse(f"--{mistake.key}: {mistake.text}")
    except (ServerListError, SecretError, ConfigError) as error:
        _refuse(str(error))
    joining = Join(servers, node_id, address, data_dir.absolute(), secret_file.absolute(), wants_vote, file)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        sys.exit(runner.run(join_and_serve(joining)))


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
