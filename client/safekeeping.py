"""Commands that keep and prove: `deskraft cluster backup` and `receipt`, `deskraft taken`; and the words of `verify`.

`verify` and `restore` also read files of members, which the client cannot: they are commands of `api.offline`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from client import completing, drawing, invocation
from client.answers import SeatHistory, Sightings
from client.backups import Backup, fetch
from client.evidence import Compared, compare


@click.command()
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace FILE when it is there.")
@invocation.everywhere
def backup(path: Path, force: bool) -> None:
    """Take a backup of everything, while the cluster goes on.

    Users, spaces, bookings, outcomes. The file is checked as it comes, and there is none unless it is whole. It
    holds password hashes: keep it as you keep the nodes' disks.

    \b
    Examples:
      deskraft cluster backup monday.backup
      deskraft cluster verify monday.backup
    """
    if path.exists() and not force:
        invocation.fail(f"{path} is there already; take another name, or --force")
    if not path.absolute().parent.is_dir():
        invocation.fail(f"there is no folder {path.absolute().parent}")
    try:
        taken: Backup = invocation.run(lambda client: fetch(client, path))
    except OSError as error:
        invocation.fail(f"{path}: {error.strerror or error}")
    if invocation.wants_json():
        invocation.print_json(taken)
    else:
        click.echo(
            f"{taken.path}: everything up to entry {taken.index}, {taken.size_bytes} bytes, from {taken.server}"
        )
        click.echo(f"Prove it with: deskraft cluster verify {taken.path}")


@click.command()
@click.argument("index", type=click.IntRange(min=0))
@click.argument("digest", required=False)
@invocation.everywhere
def receipt(index: int, digest: str | None) -> None:
    """Have every member confirm the state at log entry INDEX.

    With DIGEST, that it is this one. Both stand in every answer of a node, as Deskraft-Index and Deskraft-
    Digest. Members remember the last 65,536 entries.

    \b
    Example:
      deskraft cluster receipt 4711 7b69dc8e1725c2c5dcf7e895fabfb4a1
    """
    end_with(invocation.run(lambda client: compare(client, index, digest)))


@click.command()
@invocation.everywhere
def sightings() -> None:
    """What has just happened to the cluster.

    Newest first: who came to lead, fell silent, was heard again. The first node that answers tells what it has
    seen since it started; others may have seen other things.

    \b
    Examples:
      deskraft cluster sightings
      deskraft --server http://127.0.0.1:8002 cluster sightings
    """
    seen: Sightings = invocation.run(lambda client: client.sightings())
    if invocation.wants_json():
        invocation.print_json(seen)
        return
    click.echo(f"as seen by {seen.node_id}:")
    for each in seen.items:
        who = f"{each.member_id} " if each.member_id else ""
        words = f"leads term {each.term}" if each.kind == "leads" else each.kind.replace("-", " ")
        click.echo(f"{each.at:%Y-%m-%d %H:%M:%S} UTC  {who}{words}")


def verify_members() -> None:
    """`deskraft cluster verify` without a file."""
    end_with(invocation.run(compare))


def end_with(compared: Compared) -> None:
    """Show the verdict; exit status 1 unless it is proved."""
    if invocation.wants_json():
        invocation.print_json({"proved": compared.proved, **_fields(compared)})
    else:
        for member_id, digest in compared.digests.items():
            click.echo(f"{member_id}: {digest} at entry {compared.index}")
        for fault in compared.faults:
            click.echo(fault, err=True)
        count = len(compared.digests)
        if compared.proved:
            click.echo(f"PROVED: all {count} members have one history up to entry {compared.index}.")
        else:
            click.echo("NOT PROVED.", err=True)
    if not compared.proved:
        sys.exit(invocation.EXIT_REFUSED)


def _fields(compared: Compared) -> dict[str, object]:
    return {name: getattr(compared, name) for name in compared.__struct_fields__}


@click.command()
@click.argument("space_id", metavar="SPACE", type=completing.SPACE)
@click.argument("seat_id", metavar="SEAT", type=completing.SEAT)
@click.argument("date", metavar="YYYY-MM-DD", type=completing.DATE)
@click.option(
    "--as-of", "as_of", type=click.IntRange(min=0), help="As it was at this log entry. [default: now]"
)
@invocation.everywhere
def taken(space_id: str, seat_id: str, date: str, as_of: int | None) -> None:
    """When a seat is taken on a day, now or as of a log entry.

    \b
    Examples:
      deskraft taken hq A1 2026-12-01
      deskraft taken hq A1 2026-12-01 --as-of 4711
    """
    seen: SeatHistory = invocation.run(lambda client: client.seat_day(space_id, seat_id, date, as_of))
    if invocation.wants_json():
        invocation.print_json(seen)
        return
    for slot in seen.taken:
        click.echo(drawing.span(slot.starts_at, slot.ends_at, seen.timezone))
    if not seen.taken:
        click.echo(f"Free all day ({seen.timezone}).")
    click.echo(f"as of entry {seen.as_of}" + (f", digest {seen.digest}" if seen.digest else ""))


CLUSTER_COMMANDS = (backup, receipt, sightings)
COMMANDS: dict[str, click.Command] = {"taken": taken}
