"""The commands of `deskraft cluster` that read and make files of members: `verify` and `restore`.

They belong to the server's rooms, since they replay with the code that runs; `api.console` puts them into the client's group.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from client import invocation
from client.safekeeping import verify_members

if TYPE_CHECKING:
    from node.verification import Examined

_IDENTITY = "identity.json"


@click.command()
@click.argument("path", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="The folder of one member that is stopped, or of several: their folders in it.",
)
@invocation.everywhere
def verify(path: Path | None, data_dir: Path | None) -> None:
    """Prove that nothing is lost, doubled or damaged.

    Of all members, of a stopped member's files, or of a backup. Without FILE and --data-dir every running
    member tells the digest of its state at one entry of the log. With --data-dir journal and snapshots are read
    whole and replayed; nothing there is changed. Exit status 0: proved, 1: not.

    \b
    Examples:
      deskraft cluster verify
      deskraft cluster verify --data-dir data/n1
      deskraft cluster verify monday.backup
    """
    if path is not None and data_dir is not None:
        raise click.UsageError("FILE and --data-dir exclude each other")
    if path is None and data_dir is None:
        verify_members()
        return
    from node.verification import examine_backup, examine_directories

    if data_dir is not None:
        folders = _folders(data_dir)
        examined = examine_directories(folders)
    else:
        assert path is not None
        examined = [examine_backup(path)]
    _end_with(examined)


def _folders(data_dir: Path) -> list[Path]:
    if (data_dir / _IDENTITY).exists() or not data_dir.is_dir():
        return [data_dir]
    return sorted(file.parent for file in data_dir.glob(f"*/{_IDENTITY}")) or [data_dir]


def _end_with(examined: list[Examined]) -> None:
    proved = all(each.proved for each in examined)
    if invocation.wants_json():
        invocation.print_json({"proved": proved, "examined": [each.told() for each in examined]})
    else:
        for each in examined:
            click.echo(each.line())
            for note in each.notes:
                click.echo(f"  note: {note}")
            for fault in each.faults:
                click.echo(f"  FAULT: {fault}", err=True)
        click.echo("PROVED." if proved else "NOT PROVED.", err=not proved)
    if not proved:
        sys.exit(invocation.EXIT_REFUSED)


@click.command()
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=Path("cluster.yml"),
    show_default=True,
    help="The cluster.yml of the new cluster.",
)
@invocation.everywhere
def restore(path: Path, config_path: Path) -> None:
    """Make the folders of a new cluster's members from a backup.

    All at once and offline.

    The members are the nodes of cluster.yml; its name must be that of the backup, its spaces and administrator
    are not asked. Folders that are not empty are left alone. Copy each folder to its machine and start the
    nodes as always. Everybody has to log in again; members of the old cluster are refused.

    \b
    Example:
      deskraft cluster restore monday.backup --config cluster.yml
    """
    from node.backups import restore_cluster
    from node.config import ConfigError, load_config
    from node.disk import StorageError

    try:
        config = load_config(config_path)
    except ConfigError as error:
        invocation.fail(str(error))
    try:
        made = restore_cluster(path, config)
    except (StorageError, OSError) as error:
        click.echo(f"Refused: {error}", err=True)
        sys.exit(invocation.EXIT_REFUSED)
    if invocation.wants_json():
        folders = [str(folder) for folder in made.directories]
        invocation.print_json({"founding": made.founding, "index": made.index, "directories": folders})
        return
    for folder in made.directories:
        click.echo(f"made {folder}")
    click.echo(f"A new cluster, founding {made.founding}, whose log goes on at entry {made.index}.")
    click.echo(
        "Start its nodes: deskraft node --config … --id …; the spaces of cluster.yml are not asked any more."
    )


COMMANDS = (verify, restore)
