"""The operators' part of the `deskraft` command: looking at the cluster, and changing who belongs to it.

Changes are asked of any node and carried out by the leader, one at a time. A refusal says what to do next. Two of them only mean
"not yet" and are waited for: another change that is under way (a moment), and a learner that has not caught up (`promote --wait`).
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from client import completing, drawing, invocation
from client.answers import Changed, Cluster, Leader, Member, Snapshot
from client.errors import NoNodeAnswers, Refused

if TYPE_CHECKING:
    from client.aio import Client

PENDING_SECONDS = 5.0  # how long another operator's change is waited for
CATCH_UP_SECONDS = 60.0
SNAPSHOT_SECONDS = 120.0
ASK_AGAIN_SECONDS = 0.5
SHOWN_SERVERS = 3  # in a line that is to be copied

_NEXT = {
    "forbidden": "Log in as an administrator: deskraft login admin",
    "unknown-member": "The members are: deskraft cluster members",
    "change-pending": "Another change is being carried out; try again in a moment.",
    "not-caught-up": "Is it started and reachable? deskraft cluster status --watch; then try again, with a longer --wait.",
    "would-lose-quorum": "Bring back the voters that are away, or add others first: deskraft cluster members",
    "member-exists": "To move it, add it under another id and remove this one: deskraft cluster members",
    "address-taken": "Who has which address: deskraft cluster members",
    "member-alive": "Only a lost disk is replaced. If this one is lost, stop the node first: deskraft cluster status",
    "not-a-voter": "Let it vote first: deskraft cluster promote ID",
    "too-many-members": "Remove one first: deskraft cluster members",
    "too-many-voters": "Remove a voter first, or leave this one a learner: deskraft cluster members",
}


@click.group()
@invocation.everywhere
def cluster() -> None:
    """Look at the cluster, and change who belongs to it.

    Changes are for administrators: deskraft login admin. Any node takes them; one is carried out at a time.

    \b
    Examples:
      deskraft cluster status --watch
      deskraft cluster members
    """


@cluster.command()
@click.option("--watch", is_flag=True, help="Keep looking until Ctrl-C.")
@click.option("--interval", type=click.FloatRange(0.1, 3600), default=1.0, show_default=True, help="Seconds.")
@invocation.everywhere
def status(watch: bool, interval: float) -> None:
    """Ask every node for its role, term, indexes and digest. The leader is marked ★.

    \b
    Examples:
      deskraft cluster status
      deskraft cluster status --watch
      deskraft cluster status --json --server http://127.0.0.1:8001
    """
    if not watch:
        views = invocation.run(_views)
        if invocation.wants_json():
            invocation.print_json({"nodes": views, "warnings": drawing.warnings(views)})
        else:
            drawing.console().print(_picture(views))
        return
    try:
        if invocation.wants_json():
            invocation.run(lambda client: _watch(client, interval, _print_views))
        else:
            with Live(console=drawing.console(), auto_refresh=False) as live:
                invocation.run(
                    lambda client: _watch(client, interval, lambda v: live.update(_picture(v), refresh=True))
                )
    except KeyboardInterrupt:
        return  # the end that --watch is meant to have


async def _watch(client: Client, interval: float, show: Callable[[list[drawing.NodeView]], None]) -> None:
    while True:
        try:
            show(await _views(client))
        except NoNodeAnswers as error:
            show([drawing.NodeView(server, None, reason) for server, reason in error.reasons.items()])
        await asyncio.sleep(interval)


def _print_views(views: list[drawing.NodeView]) -> None:
    invocation.print_json({"nodes": views, "warnings": drawing.warnings(views)})


def _picture(views: list[drawing.NodeView]) -> Group:
    silent = [Text(failure, style="dim") for failure in drawing.failures(views)]
    notes = [Text(f"WARNING: {warning}", style="bold red") for warning in drawing.warnings(views)]
    return Group(drawing.nodes_table(views), *silent, *notes)


async def _views(client: Client) -> list[drawing.NodeView]:
    """Every server asked at once, and then those that only their answers told of. Raises NoNodeAnswers."""
    views: dict[str, drawing.NodeView] = {}
    while left := [server for server in client.servers if server not in views]:
        for view in await asyncio.gather(*(_view(client, server) for server in left)):
            views[view.server] = view
    if not any(view.answer for view in views.values()):
        raise NoNodeAnswers({view.server: view.error or "" for view in views.values()})
    seen: set[str] = set()
    kept = []
    for view in views.values():  # one node may be known by two names of its host
        if view.answer is None or view.answer.node_id not in seen:
            kept.append(view)
        if view.answer is not None:
            seen.add(view.answer.node_id)
    return sorted(kept, key=lambda view: (view.answer is None, view.answer.node_id if view.answer else ""))


async def _view(client: Client, server: str) -> drawing.NodeView:
    try:
        return drawing.NodeView(server, await client.cluster_as_seen_by(server), None)
    except NoNodeAnswers as error:
        return drawing.NodeView(server, None, error.reasons.get(server, str(error)))


@cluster.command()
@invocation.everywhere
def members() -> None:
    """List the members as one node sees them.

    \b
    Example:
      deskraft cluster members --json
    """
    seen: Cluster = invocation.run(lambda client: client.cluster())
    if invocation.wants_json():
        told = {"leader_id": seen.leader_id, "configuration_index": seen.configuration_index}
        invocation.print_json({**told, "founding": seen.founding, "members": seen.members})
    else:
        drawing.console().print(drawing.members_table(seen.members, seen.leader_id))
        click.echo(f"as {seen.node_id} sees them in term {seen.term} (entry {seen.configuration_index})")


async def _patiently(
    ask: Callable[[], Awaitable[Changed]], seconds: float, codes: tuple[str, ...] = ("change-pending",)
) -> Changed:
    """The answer, or the refusal that is not one of `codes` or has outlasted `seconds`."""
    give_up_at = time.monotonic() + seconds
    told = ""
    while True:
        try:
            return await ask()
        except Refused as refused:
            if refused.code not in codes or time.monotonic() >= give_up_at:
                raise
            if str(refused) != told and not invocation.wants_json():
                told = str(refused)
                click.echo(f"Waiting: {told}", err=True)
        await asyncio.sleep(ASK_AGAIN_SECONDS)


def _explain(refused: Refused) -> None:
    """What to do about a refusal."""
    if refused.code in _NEXT:
        click.echo(
            _NEXT[refused.code] + (invocation.server_option() if ": " in _NEXT[refused.code] else ""),
            err=True,
        )


def _tell(changed: Changed, done: str, already: str) -> None:
    if invocation.wants_json():
        invocation.print_json(changed)
    else:
        click.echo(done if changed.changed else already)


async def _member(client: Client, member_id: str) -> Member | None:
    """The member in the record of whichever node answers, which may be a moment old."""
    seen = await client.cluster()
    return {member.id: member for member in seen.members}.get(member_id)


def _on_a_terminal() -> bool:
    return sys.stdin.isatty()


@cluster.command()
@click.argument("member_id", metavar="ID")
@click.option("--raft", required=True, metavar="HOST:PORT", help="Where the other members will reach it.")
@click.option("--api", required=True, metavar="HOST:PORT", help="Where clients will reach it.")
@invocation.everywhere
def add(member_id: str, raft: str, api: str) -> None:
    """Make node ID a member, and print how to start it.

    It is a learner at first: it follows and serves, and does not count for majorities. When it has caught up it
    asks to vote by itself, unless it was started with --learner.

    \b
    Example:
      deskraft cluster add n4 --raft 10.0.0.4:7001 --api 10.0.0.4:8001
    """

    async def work(client: Client) -> tuple[Changed, str]:
        changed = await _patiently(lambda: client.add_member(member_id, raft, api), PENDING_SECONDS)
        return changed, ",".join(client.servers[:SHOWN_SERVERS])

    changed, servers = invocation.run(work, _explain)
    _tell(
        changed, f"Added {member_id}, a learner until it has caught up.", f"{member_id} is a member already."
    )
    if not invocation.wants_json():
        click.echo("Start it on its machine, with an empty folder and a copy of the secret file:")
        click.echo(
            f"  deskraft node --join {servers} --id {member_id} --raft {raft} --api {api} --data-dir DIR --secret-file FILE"
        )


@cluster.command()
@click.argument("member_id", metavar="ID", type=completing.MEMBER)
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(0, 86_400),
    default=CATCH_UP_SECONDS,
    show_default=True,
    help="How many seconds it may take to catch up.",
)
@invocation.everywhere
def promote(member_id: str, wait_seconds: float) -> None:
    """Let learner ID vote, as soon as it has caught up.

    \b
    Example:
      deskraft cluster promote n4 --wait 600
    """

    async def work(client: Client) -> Changed:
        codes = ("change-pending", "not-caught-up")
        return await _patiently(lambda: client.promote_member(member_id), wait_seconds, codes)

    changed = invocation.run(work, _explain)
    _tell(changed, f"{member_id} votes.", f"{member_id} votes already.")


@cluster.command()
@click.argument("member_id", metavar="ID", type=completing.MEMBER)
@click.option("--yes", is_flag=True, help="Do not ask.")
@invocation.everywhere
def remove(member_id: str, yes: bool) -> None:
    """End the membership of ID. The node is told, and stops by itself.

    A leader hands over first. To move a node to another address, add it under another id and remove this one.

    \b
    Examples:
      deskraft cluster remove n4
      deskraft cluster remove n4 --yes
    """
    if not yes and not invocation.wants_json() and _on_a_terminal():
        question = f"Remove {member_id}? Its data directory is of no more use afterwards."
        click.confirm(question, abort=True, err=True)

    async def work(client: Client) -> Changed:
        there = await _member(client, member_id) is not None
        try:
            return await _patiently(lambda: client.remove_member(member_id), PENDING_SECONDS)
        except Refused as refused:
            if there and refused.code == "unknown-member":  # an earlier attempt whose answer was lost
                return Changed(0, True)
            raise

    _tell(invocation.run(work, _explain), f"Removed {member_id}; the node stops by itself.", "")


@cluster.command()
@click.argument("member_id", metavar="ID", type=completing.MEMBER)
@click.option("--yes", is_flag=True, help="Do not ask.")
@invocation.everywhere
def replace(member_id: str, yes: bool) -> None:
    """Give up the disk of ID, which is lost.

    The node may start again over an empty folder. Only for a disk that will not come back: it never counts
    again. The node fetches the state from the others and votes again when it has caught up.

    \b
    Example:
      deskraft cluster replace n2
    """
    if not yes and not invocation.wants_json() and _on_a_terminal():
        click.confirm(f"Give up the disk of {member_id} for ever?", abort=True, err=True)

    async def work(client: Client) -> Changed:
        member = await _member(client, member_id)
        disk = member.incarnation if member is not None else ""
        return await _patiently(lambda: client.replace_member(member_id, disk), PENDING_SECONDS)

    changed = invocation.run(work, _explain)
    _tell(
        changed,
        f"The old disk of {member_id} does not count any more. Start {member_id} as always, over an empty folder.",
        f"Nothing to do: the old disk of {member_id} does not count any more.",
    )


@cluster.command()
@click.argument("member_id", metavar="[ID]", required=False, type=completing.MEMBER)
@invocation.everywhere
def transfer(member_id: str | None) -> None:
    """Have voter ID lead, or whoever else has caught up most.

    \b
    Examples:
      deskraft cluster transfer
      deskraft cluster transfer n2
    """
    leader: Leader = invocation.run(lambda client: client.transfer_leadership(member_id), _explain)
    if invocation.wants_json():
        invocation.print_json(leader)
    else:
        click.echo(f"{leader.leader_id} leads.")


@cluster.command()
@invocation.everywhere
def snapshot() -> None:
    """Have every node that answers write a snapshot now.

    \b
    Example:
      deskraft cluster snapshot
    """

    async def work(client: Client) -> tuple[list[Snapshot], dict[str, str]]:
        await client.cluster()  # so that every member is known
        servers = client.servers
        taken = await asyncio.gather(*(_snapshot_on(client, server) for server in servers))
        written = {one.node_id: one for one in taken if isinstance(one, Snapshot)}
        silent = {server: one for server, one in zip(servers, taken, strict=True) if isinstance(one, str)}
        if not written:
            raise NoNodeAnswers(silent)
        return [written[node_id] for node_id in sorted(written)], silent

    snapshots, silent = invocation.run(work, _explain)
    if invocation.wants_json():
        invocation.print_json({"snapshots": snapshots, "silent": silent})
        return
    for one in snapshots:
        click.echo(f"{one.node_id}: snapshot at entry {one.index}")
    for server, reason in silent.items():
        click.echo(f"{server}: {reason}", err=True)


async def _snapshot_on(client: Client, server: str) -> Snapshot | str:
    """The snapshot, or why there is none. A large one takes longer than a request may, so it is asked for again."""
    give_up_at = time.monotonic() + SNAPSHOT_SECONDS
    while True:
        try:
            return await client.write_snapshot(server)
        except NoNodeAnswers as error:
            reason = error.reasons.get(server, str(error))
            if reason.startswith("no connection") or time.monotonic() >= give_up_at:
                return reason
        await asyncio.sleep(ASK_AGAIN_SECONDS)
