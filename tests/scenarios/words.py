"""The words of a scenario: kinds of messages, log entries and members as a reader sees them, and tables of members."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from node import messages as m
from node.core import Core
from node.journal import NO_OP, Entry
from node.membership import Configuration, decode_entry
from statemachine.commands import decode_batch, decode_envelope
from tests.scenarios.member import Member, Parcel
from tests.scenarios.world import World


def _plain(kind: type) -> Callable[[m.Message], bool]:
    return lambda message: isinstance(message, kind)


KINDS: dict[str, Callable[[m.Message], bool]] = {
    "pre-vote requests": _plain(m.PreVote),
    "pre-vote answers": _plain(m.PreVoteAnswer),
    "vote requests": _plain(m.RequestVote),
    "votes": _plain(m.Vote),
    "appends": _plain(m.AppendEntries),
    "entries": lambda message: isinstance(message, m.AppendEntries) and bool(message.entries),
    "acknowledgements": lambda message: isinstance(message, m.AppendAnswer) and message.success,
    "rejections": lambda message: isinstance(message, m.AppendAnswer) and not message.success,
    "hand-overs": _plain(m.TimeoutNow),
    "term notices": _plain(m.TermNotice),
    "heartbeats": _plain(m.Heartbeat),
    "probes": _plain(m.ReadProbe),
    "proofs": _plain(m.ReadProof),
    "read requests": _plain(m.ReadRequest),
    "read answers": _plain(m.ReadAnswer),
    "forwarded commands": _plain(m.Forward),
    "refusals": _plain(m.Refused),
    "snapshot offers": _plain(m.SnapshotOffer),
    "snapshot requests": _plain(m.SnapshotWant),
    "snapshot pieces": _plain(m.SnapshotChunk),
    "messages": lambda _message: True,
}
KEY = "key of "  # before the name of the request that first used it


def matches(kind: str, sender: str | None, receiver: str | None) -> Callable[[Parcel], bool]:
    """Which messages a step means."""
    belongs = KINDS[kind]
    return lambda parcel: (
        sender in (None, parcel.sender) and receiver in (None, parcel.receiver) and belongs(parcel.message)
    )


def entry(item: Entry) -> str:
    """`index:term`, and what the entry holds unless that is nothing (a leader's first entry)."""
    command, index, term = item
    return f"{index}:{term}{_content(command)}"


def _content(command: bytes) -> str:
    if command == NO_OP:
        return ""
    if (configuration := decode_entry(command)) is not None:
        return f"({members(configuration)})"
    keys = [decode_envelope(envelope).key for envelope in decode_batch(command[1:]).envelopes]
    names = [key.removeprefix(KEY).split()[0] for key in keys]
    return f"({'+'.join(dict.fromkeys(names))})"


def members(configuration: Configuration) -> str:
    """Voters, then learners with a plus; a question mark where no disk is known yet."""
    seats = sorted(configuration.seats, key=lambda seat: not seat.voter)
    return " ".join(
        f"{'' if seat.voter else '+'}{seat.id}{'' if seat.incarnation or not configuration.founded else '?'}"
        for seat in seats
    )


def log(core: Core) -> str:
    """The log that is kept; `…` where a snapshot stands for what was before."""
    entries = core.journal.entries
    text = " ".join(entry(item) for item in entries)
    return text if core.journal.first_index == 1 else f"… {text}"


def message(item: m.Message) -> str:
    """One line for the narrative."""
    match item:
        case m.PreVote():
            return f"pre-vote request: would you elect me in term {item.term}? My log ends with {item.last_log_index}:{item.last_log_term}"
        case m.PreVoteAnswer():
            return f"pre-vote answer: {'yes' if item.granted else 'no'} (term {item.term})"
        case m.RequestVote():
            return (
                f"vote request for term {item.term}; log ends with {item.last_log_index}:{item.last_log_term}"
            )
        case m.Vote():
            return f"vote in term {item.term}"
        case m.AppendEntries():
            what = " ".join(entry(one) for one in item.entries) or "nothing new"
            return f"append of term {item.term} after {item.previous_index}:{item.previous_term}: {what}; committed {item.commit_index}"
        case m.AppendAnswer():
            if item.success:
                return f"acknowledgement of term {item.term}: I have everything below {item.next_index}"
            return f"rejection of term {item.term}: go on from {item.next_index}"
        case m.Heartbeat():
            return f"heartbeat of term {item.term}"
        case m.Forward():
            return f"forwarded commands: {' '.join(decode_envelope(data).key.removeprefix(KEY) for data in item.envelopes)}"
        case m.SnapshotChunk():
            return f"snapshot piece: {len(item.data)} bytes from {item.offset_bytes}"
        case m.SnapshotWant():
            return f"snapshot request: from byte {item.offset_bytes}"
    name = next(name for name, belongs in KINDS.items() if belongs(item))
    fields = ", ".join(f"{field} {getattr(item, field)}" for field in item.__struct_fields__)
    return f"{name.removesuffix('s')}: {fields}"


def _living(cell: Callable[[Member, Core], object]) -> Callable[[Member], str]:
    return lambda member: "-" if member.core is None else str(cell(member, member.core))


def _role(member: Member) -> str:
    if member.core is None:
        return "stopped" if member.stopped_because else "down"
    return "frozen" if member.frozen else member.core.role


COLUMNS: Mapping[str, Callable[[Member], str]] = {
    "member": lambda member: member.node_id,
    "role": _role,
    "term": _living(lambda _, core: core.guard.term),
    "vote": _living(lambda _, core: core.journal.vote or "nobody"),
    "leader": _living(lambda _, core: core.leader_id or "unknown"),
    "log": _living(lambda _, core: log(core)),
    "on disk": _living(lambda member, _: member.durable_index),
    "commit": _living(lambda _, core: core.guard.commit_index),
    "applied": _living(lambda _, core: core.applied_index),
    "installs": _living(lambda member, _: member.installs),
}


def rows(world: World, columns: Sequence[str], node_ids: Sequence[str]) -> list[list[str]]:
    """A table as it is now, its header first."""
    return [
        list(columns),
        *([COLUMNS[column](world.members[node_id]) for column in columns] for node_id in node_ids),
    ]


def layout(table: Sequence[Sequence[str]]) -> list[str]:
    """A table as lines."""
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    return [
        "  " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
