"""Who belongs to the cluster: configurations, the entries of the log that carry them, and the rules of changing them.

A *configuration* names all members: voters, whose copies and votes count, and learners, who follow the log and serve but do not count.
cluster.yml gives birth to the first one. From then on a configuration is an entry of the log, always the whole list, and the latest
one **in the log** is in force, committed or not (Ongaro's thesis, 4.1): on a leader from the moment it appends the entry, on a follower
from the moment it has it, and no longer once it is truncated. Snapshots carry the configuration as of their index. Each
differs from the one before by at most one voter, and the next is proposed when the last has been applied, so that majorities of neighbours overlap.

An *incarnation* is a random name of one life of a member's disk. The first leader writes the incarnations of all that it meets into the log
(the *founding* configuration); from then on a member that comes back with another disk under the old name is not the one that
made the promises: it is refused (`judge`) until an operator replaces it (design invariant 7). A seat whose incarnation is empty is *open*: the first
disk that comes to it is written down, and it counts only after that.

This module is pure: no clock, no sockets. `node.changes` proposes, `node.peers` greets, the journal remembers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Literal

import msgspec
from msgspec import Struct

MAX_VOTERS = 7  # more would wait for more copies than any failure that they survive is worth
MAX_MEMBERS = 32
# A batch is a msgpack array; 0xc1 is the one byte that never begins anything in msgpack. The first byte is PySyncObj's "regular entry".
ENTRY_PREFIX = b"\x00\xc1"

ChangeKind = Literal["add", "promote", "remove", "replace", "transfer"]


class Seat(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One member: where it listens (`host:port`), whether it votes, and which disk is meant ("" = open).

    `given_up` is the disk that an operator replaced: it may be anywhere (on a link that is still being drained, in a machine that comes back),
    and must not take the seat again.
    """

    id: str
    raft: str
    api: str
    voter: bool
    incarnation: str = ""
    given_up: str = ""


class Configuration(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, dict=True):
    """All members, ordered by id. `founding` is a random name given once, "" before the first leader has written it."""

    founding: str
    seats: tuple[Seat, ...]

    @cached_property
    def by_id(self) -> Mapping[str, Seat]:
        """Seats by member id."""
        return {seat.id: seat for seat in self.seats}

    @cached_property
    def voters(self) -> tuple[str, ...]:
        """Ids of the voters."""
        return tuple(seat.id for seat in self.seats if seat.voter)

    @property
    def majority(self) -> int:
        """How many voters decide."""
        return len(self.voters) // 2 + 1

    @property
    def founded(self) -> bool:
        """Whether incarnations are known; before that everybody named in cluster.yml counts."""
        return self.founding != ""

    def counts(self, member_id: str, incarnation: str | None) -> bool:
        """Whether that disk's vote or copy counts under that name."""
        seat = self.by_id.get(member_id)
        if seat is None or not seat.voter:
            return False
        return not self.founded or (seat.incarnation != "" and seat.incarnation == incarnation)


class Placed(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A configuration and the index of its entry (0: from cluster.yml)."""

    index: int
    configuration: Configuration


def birth(addresses: Mapping[str, tuple[str, str]]) -> Configuration:
    """The configuration of cluster.yml: {id: (raft, api)}, all of them voters."""
    return Configuration("", tuple(Seat(id_, *addresses[id_], voter=True) for id_ in sorted(addresses)))


def encode_entry(configuration: Configuration) -> bytes:
    """The payload of the log entry (without PySyncObj's first byte, which `node.engine` puts before every payload)."""
    return ENTRY_PREFIX[1:] + msgspec.msgpack.encode(configuration)


def decode_entry(command: bytes) -> Configuration | None:
    """The configuration that a log entry carries, None for any other entry. Raises msgspec.DecodeError."""
    if command[:2] != ENTRY_PREFIX:
        return None
    return msgspec.msgpack.decode(command[2:], type=Configuration)


class RefusedChangeError(Exception):
    """The change cannot be made; `code` is stable, the text is for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Change(Struct, frozen=True, array_like=True):
    """What an operator asks for. `raft` and `api` are for `add` alone, `disk` for `replace`: the incarnation that is given up.

    Without it a request that is repeated, because its answer was lost, would give up the new disk that has come meanwhile.
    """

    kind: ChangeKind
    member_id: str
    raft: str = ""
    api: str = ""
    disk: str = ""


def changed(old: Configuration, change: Change) -> Configuration:
    """The configuration after the change; `old` itself when it is so already. Raises RefusedChangeError.

    What depends on the moment (who is reachable, who has caught up, who leads) is judged by `node.changes`.
    """
    seat = old.by_id.get(change.member_id)
    if change.kind == "add":
        return _with_added(old, change, seat)
    if seat is None:
        raise RefusedChangeError("unknown-member", f"the cluster has no member {change.member_id}")
    match change.kind:
        case "promote":
            return _with_promoted(old, seat)
        case "remove":
            if old.voters == (seat.id,):
                raise RefusedChangeError("would-lose-quorum", f"{seat.id} is the last voter")
            return _with(old, seat.id, None)
        case "replace":
            if (seat.incarnation == "" and not seat.voter) or change.disk not in ("", seat.incarnation):
                return old  # it is given up already
            if old.voters == (seat.id,):
                raise RefusedChangeError(
                    "would-lose-quorum", f"{seat.id} is the last voter; nobody else has the data"
                )
            return _with(
                old,
                seat.id,
                msgspec.structs.replace(
                    seat, voter=False, incarnation="", given_up=seat.incarnation or seat.given_up
                ),
            )
        case "transfer":
            return old


def _with_added(old: Configuration, change: Change, seat: Seat | None) -> Configuration:
    if seat is not None:
        if (seat.raft, seat.api) == (change.raft, change.api):
            return old
        raise RefusedChangeError(
            "member-exists",
            f"{seat.id} is a member already, at {seat.raft} (peers) and {seat.api} (API); remove it first",
        )
    if len(old.seats) >= MAX_MEMBERS:
        raise RefusedChangeError(
            "too-many-members", f"the cluster has {MAX_MEMBERS} members, which is the limit"
        )
    taken = {address: other.id for other in old.seats for address in (other.raft, other.api)}
    for address in (change.raft, change.api):
        if address in taken:
            raise RefusedChangeError("address-taken", f"{address} belongs to {taken[address]}")
    if change.raft == change.api:
        raise RefusedChangeError("address-taken", "peers and clients need different addresses")
    return _with(old, change.member_id, Seat(change.member_id, change.raft, change.api, voter=False))


def _with_promoted(old: Configuration, seat: Seat) -> Configuration:
    if seat.voter:
        return old
    if seat.incarnation == "":
        raise RefusedChangeError("not-caught-up", f"{seat.id} has never been here: start it first")
    if len(old.voters) >= MAX_VOTERS:
        raise RefusedChangeError(
            "too-many-voters", f"the cluster has {MAX_VOTERS} voters, which is the limit"
        )
    return _with(old, seat.id, msgspec.structs.replace(seat, voter=True))


def pinned(old: Configuration, met: Mapping[str, Introduction], founding: str) -> Configuration:
    """`old` with the disks that have been met written into open seats, and the founding name when it had none.

    The founding configuration has the addresses that the members give of themselves: each file may name the others as they
    are reached from its own machine.
    """

    def settled(seat: Seat) -> Seat:
        introduction = met.get(seat.id)
        if seat.incarnation != "" or introduction is None or introduction.incarnation == seat.given_up:
            return seat
        raft = seat.raft if old.founded else introduction.raft or seat.raft
        return msgspec.structs.replace(seat, incarnation=introduction.incarnation, raft=raft)

    seats = tuple(map(settled, old.seats))
    if seats == old.seats and old.founded:
        return old
    return Configuration(old.founding or founding, seats)


def _with(old: Configuration, member_id: str, seat: Seat | None) -> Configuration:
    seats = [other for other in old.seats if other.id != member_id]
    if seat is not None:
        seats.append(seat)
    return Configuration(old.founding, tuple(sorted(seats, key=lambda other: other.id)))


class Introduction(Struct, frozen=True, array_like=True):
    """What a member says of itself when it dials another."""

    member_id: str
    incarnation: str
    founding: str  # of the newest configuration it has applied
    configuration_index: int  # of that configuration; for a joining member of the one it joined by
    raft: str  # where it listens: a listener that lags behind may not know it yet


class Verdict(Struct, frozen=True, array_like=True):
    """`code` "" = welcome. `final` = by a committed configuration. `index` is that of the configuration that says so."""

    code: str
    final: bool
    index: int


def judge(latest: Placed, applied: Placed, introduction: Introduction) -> Verdict:
    """Whether a listener lets that member in.

    `latest` is the newest configuration in the listener's log, `applied` the newest it has applied. Codes: `other-founding`,
    `not-a-member`, `other-disk`. Who has a place in either is let in: an uncommitted removal may yet be undone, perhaps by the very
    member whom it names, when that one leads. (Whether it *counts* is asked of the latest alone.) Who has the newer configuration
    in its log vouches with that: after a start it does not know yet how much of it is committed.
    """
    ours, theirs = applied.configuration, introduction
    if ours.founded and theirs.founding not in ("", ours.founding):
        return Verdict("other-founding", final=False, index=applied.index)
    if _place_for(latest.configuration, introduction) == "":
        return Verdict("", final=False, index=latest.index)
    in_applied = _place_for(ours, introduction)
    if in_applied == "" or introduction.configuration_index > applied.index:
        # It may belong to a configuration that we have not heard of.
        return Verdict("", final=False, index=applied.index)
    return Verdict(in_applied, final=True, index=applied.index)


def _place_for(configuration: Configuration, introduction: Introduction) -> str:
    seat = configuration.by_id.get(introduction.member_id)
    if seat is None:
        return "not-a-member"
    if seat.incarnation in ("", introduction.incarnation) and introduction.incarnation != seat.given_up:
        return ""
    return "other-disk"


def why_stopped(member_id: str, verdict: Verdict, *, had_data: bool) -> str:
    """The line that a member stops with."""
    if verdict.code == "not-a-member":
        if had_data:
            return f"{member_id} was removed from the cluster (entry {verdict.index}); its data directory is of no more use to it"
        return (
            f"{member_id} is not a member of the cluster: add it first, with deskraft cluster add {member_id}"
        )
    return (
        f"the cluster knows {member_id} by another disk (entry {verdict.index}): what that one promised, this one does not know. "
        f"If the old data directory still exists, start with it. If it is lost, run deskraft cluster replace {member_id} and start this node again"
    )
