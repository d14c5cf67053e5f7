"""What the command line draws: the seat map, the list of bookings, the table of nodes.

Symbols carry the meaning and colours only repeat it, so a pipe, `NO_COLOR` and colour-blind eyes lose
nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from client.answers import Availability, Booking, Cluster, Member, Space

DIGEST_CHARACTERS = 8
ID_CHARACTERS = 36  # of a UUID (RFC 9562)
PIPE_COLUMNS = 200  # nobody looks at the edge of a pipe; a table cut at 80 would lose its ends

_SYMBOLS = {
    "free": ("·", "green"),
    "taken": ("█", "red"),
    "mine": ("★", "bold yellow"),
    "closed": (" ", "dim"),
    "past": ("░", "dim"),
}


class NodeView(Struct, frozen=True):
    """What one server said about the cluster, or why it said nothing."""

    server: str
    answer: Cluster | None
    error: str | None


def console() -> Console:
    """Standard output as it is now; made anew for each use, since tests and pipes replace it."""
    found = Console(highlight=False, emoji=False)
    if found.is_terminal or "COLUMNS" in os.environ:
        return found
    return Console(highlight=False, emoji=False, width=PIPE_COLUMNS)


def table(*columns: str, whole: str = "") -> Table:
    """A table without lines. The column of ids, `whole`, is never cut, for the next command wants an id whole."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        if column == whole:
            made.add_column(column, no_wrap=True, min_width=ID_CHARACTERS)
        else:
            made.add_column(column, overflow="fold")
    return made


def local(instant: datetime, timezone: str | None) -> datetime:
    """An instant in a space's own time, or as it was given when the zone is not known here."""
    if timezone is None:
        return instant
    try:
        return instant.astimezone(ZoneInfo(timezone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return instant


def span(starts_at: datetime, ends_at: datetime, timezone: str | None) -> str:
    """ "2026-12-01 10:00–11:00 (Europe/Moscow)", with the offset instead of an unknown zone. Servers write instants as the clocks of the
    space show them; the database of time zones here may be an older one, and is not asked. When the clocks change in between,
    each end has its offset.
    """
    begin, end = starts_at, ends_at
    until = f"{end:%H:%M}" if end.date() == begin.date() else f"{end:%Y-%m-%d %H:%M}"
    if begin.utcoffset() != end.utcoffset():
        return f"{begin:%Y-%m-%d %H:%M%z}–{until}{end:%z} ({timezone or 'local time'})"
    return f"{begin:%Y-%m-%d %H:%M}–{until} ({timezone or f'{begin:%z}'})"


def draw_seats(out: Console, space: Space, day: Availability) -> None:
    """A map: a row for each seat, a column for each slot, wrapped to the width of the terminal."""
    begins = [slot.starts_at for slot in day.slots]
    out.print(Text(f"{space.name} ({space.id}) — {day.date}, {day.timezone}", style="bold"))
    for before, after in pairwise(begins):
        if before.utcoffset() != after.utcoffset():
            out.print(
                f"  the clocks change: UTC{before:%z} until the slot of {before:%H:%M}, UTC{after:%z} from {after:%H:%M} on"
            )
    if not begins:
        out.print("  closed that day")
        return
    on_the_hour = all(begin.minute == 0 for begin in begins)
    heads = [f"{begin:%H}" if on_the_hour else f"{begin:%H:%M}" for begin in begins]
    names = {
        seat.id: seat.label if seat.label.startswith(seat.id) else f"{seat.id} {seat.label}"
        for seat in day.seats
    }
    name_width = max(len(name) for name in names.values())
    cell_width = len(heads[0]) + 1
    per_line = max(1, (out.width - name_width - 2) // cell_width)
    for first in range(0, len(heads), per_line):
        chosen = slice(first, first + per_line)
        out.print(Text(" " * (name_width + 2) + " ".join(heads[chosen]), style="dim"))
        for seat in day.seats:
            row = Text(f"{names[seat.id]:<{name_width}}  ")
            for state in seat.slots[chosen]:
                symbol, style = _SYMBOLS[state]
                row.append(f"{symbol:^{cell_width - 1}} ", style=style)
            out.print(row)
    legend = Text()
    for state in ("free", "taken", "mine", "past"):
        symbol, style = _SYMBOLS[state]
        legend.append(f" {symbol} ", style=style).append(f"{state}  ")
    out.print(legend)


def draw_bookings(out: Console, bookings: Iterable[Booking], spaces: Mapping[str, Space]) -> None:
    """A table of bookings in the order given."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("When", "Space", "Seat"):
        table.add_column(column, overflow="fold")
    table.add_column("Status", no_wrap=True, min_width=len("confirmed"))
    table.add_column(
        "Booking", no_wrap=True, min_width=36
    )  # `cancel` wants it whole, however narrow the terminal
    styles = {"confirmed": "green", "cancelled": "dim", "completed": "", "released": "dim"}
    for booking in bookings:
        space = spaces.get(booking.space_id)
        when = span(booking.starts_at, booking.ends_at, space.timezone if space else None)
        status = Text(booking.status, style=styles[booking.status])
        table.add_row(when, booking.space_id, booking.seat_id, status, booking.id)
    out.print(table)


def nodes_table(views: Sequence[NodeView]) -> Table:
    """One row for each node, as each tells it of itself; the leader is marked."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Node", "API", "Role", "Term", "Commit", "Applied", "Digest", "Reaches"):
        table.add_column(
            column, no_wrap=True, justify="right" if column in ("Term", "Commit", "Applied") else "left"
        )
    names = {member.api: member.id for view in views if view.answer for member in view.answer.members}
    for view in views:
        host = view.server.partition("://")[2]
        shown = view.server.removeprefix("http://")  # eighty columns are few
        if view.answer is None:
            table.add_row(names.get(host, "?"), shown, Text("✗ no answer", style="red"))
            continue
        seen = view.answer
        role = Text("★ leader", style="bold green") if seen.role == "leader" else Text(f"  {seen.role}")
        reaches = [member.id for member in seen.members if member.reachable and member.id != seen.node_id]
        table.add_row(
            seen.node_id,
            shown,
            role,
            str(seen.term),
            str(seen.commit_index),
            str(seen.applied_index),
            seen.digest[:DIGEST_CHARACTERS],
            " ".join(reaches) or Text("nobody", style="red"),
        )
    return table


def failures(views: Sequence[NodeView]) -> list[str]:
    """Why the nodes that did not answer did not."""
    return [f"{view.server}: {view.error}" for view in views if view.answer is None]


def warnings(views: Sequence[NodeView]) -> list[str]:
    """What no healthy cluster shows: two leaders of one term, two digests at one index."""
    told = []
    leaders: dict[int, str] = {}
    digests: dict[int, tuple[str, str]] = {}
    for seen in (view.answer for view in views if view.answer is not None):
        if seen.role == "leader" and leaders.setdefault(seen.term, seen.node_id) != seen.node_id:
            told.append(f"two leaders in term {seen.term}: {leaders[seen.term]} and {seen.node_id}")
        node_id, digest = digests.setdefault(seen.applied_index, (seen.node_id, seen.digest))
        if digest != seen.digest:
            told.append(f"digests differ at index {seen.applied_index}: {node_id} and {seen.node_id}")
    return told


def members_table(members: Iterable[Member], leader_id: str | None) -> Table:
    """The members as one node sees them. A disk that is open waits for the first node that comes with one."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Member", "Raft", "API", "Role", "Votes", "Disk", "Reachable", "Match"):
        table.add_column(column, no_wrap=True)
    for member in members:
        role = "★ leader" if member.id == leader_id else f"  {member.role or '?'}"
        reachable = Text("yes", style="green") if member.reachable else Text("no", style="red")
        match = "" if member.match_index is None else str(member.match_index)
        votes = "yes" if member.voter else "no"
        disk = member.incarnation[:DIGEST_CHARACTERS] or Text("open", style="yellow")
        table.add_row(member.id, member.raft, member.api, role, votes, disk, reachable, match)
    return table
