"""What one member has on its disk, opened as a whole: identity, snapshot, journal, and how they fit together.

Identity. `identity.json` is made with the directory, before anything else: whose it is, a random *incarnation* (the name of this life
of the disk, by which the others know a wiped one; `node.membership`), and the configuration that the member was born with. It is never
changed; format 1, which knew only the ids of the voters, is replaced whole by format 2 at the first start.

Opening. The newest snapshot gives the state, the configuration as of its index, and the two log entries it ends with; the journal gives
the log. Three cases: the journal goes on from the snapshot (the usual one); the journal is older or contradicts it (the process died
while a snapshot from the leader was being installed), then the snapshot is the whole log; or entries between them are missing,
then the member stops.

Who the members are is read from snapshot and log. cluster.yml counts until the first leader has written the founding configuration (`check_members`).

After a new snapshot is durable, old ones beyond the last two go, and journal segments that end before the older of them.
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Callable, Collection
from typing import NamedTuple

import msgspec

from node import snapshots
from node.disk import Disk, StorageError
from node.journal import FRAME_TARGET_SHARE, RaftJournal
from node.membership import Placed, Seat
from node.segments import SEGMENT_BYTES, CorruptJournalError, SegmentedLog
from node.snapshots import FETCH_ANEW, SnapshotHead
from statemachine.state import State

_IDENTITY = "identity.json"
_FORMAT = 2
_INCARNATION_BYTES = 16


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose directory this is, which life of it, and with which configuration it was born."""

    format: int
    cluster: str
    node_id: str
    incarnation: str
    birth: Placed  # index 0: from cluster.yml; above: the configuration that a joining member was given
    crc32: int = 0  # of the file with 0 here: a flipped bit must not pass for another disk

    @property
    def known_index(self) -> int:
        """The newest configuration that this member is known to have heard of when it was made."""
        return self.birth.index


class Identity1(msgspec.Struct, forbid_unknown_fields=True):
    """Format 1, from before members had incarnations."""

    format: int
    cluster: str
    node_id: str
    voters: list[str]


class _Format(msgspec.Struct):
    format: int


class Opened(NamedTuple):
    """The content of a member's directory."""

    log: SegmentedLog
    journal: RaftJournal
    head: SnapshotHead | None
    state: State


def random_incarnation() -> str:
    """A name for one life of a disk: 128 random bits never come twice."""
    return secrets.token_hex(_INCARNATION_BYTES)


def is_new(disk: Disk) -> bool:
    """Whether no member has lived in that directory yet (so a joining one must be told a configuration first)."""
    return _IDENTITY not in disk.names()


def read_identity(
    disk: Disk,
    cluster: str,
    node_id: str,
    birth: Placed,
    make_incarnation: Callable[[], str] = random_incarnation,
) -> Identity:
    """Whose directory it is; written down when it is new. Raises StorageError for another member's or cluster's.

    `birth` is what cluster.yml says (index 0), or what a joining member has been told (index above 0, for a new directory alone).
    """
    if is_new(disk):
        if any(name.endswith((".seg", ".dsk")) for name in disk.names()):
            raise StorageError(f"the directory holds data but no {_IDENTITY}; it cannot be told whose it is")
        return _write_identity(disk, Identity(_FORMAT, cluster, node_id, make_incarnation(), birth))
    identity = _parsed(disk.read(_IDENTITY))
    if (identity.cluster, identity.node_id) != (cluster, node_id):
        raise StorageError(
            f"the directory belongs to member {identity.node_id} of cluster {identity.cluster}, "
            f"not to {node_id} of {cluster}"
        )
    if isinstance(identity, Identity1):
        if birth.index:
            raise StorageError(
                "the directory was made before members could join: start it with its old cluster.yml and without --join once"
            )
        _refuse_other_voters(sorted(identity.voters), birth)
        return _write_identity(disk, Identity(_FORMAT, cluster, node_id, make_incarnation(), birth))
    # If only the process died after the renaming, the name may not be on the disk yet; it is about to be relied upon.
    disk.sync_directory()
    if birth.index == 0 == identity.birth.index and _voters(birth) == _voters(identity.birth):
        # Until the founding configuration is in the log, members are where cluster.yml says: they may have moved since.
        return msgspec.structs.replace(identity, birth=birth)
    return identity


def whose(disk: Disk) -> Identity | Identity1:
    """Whose directory it is, as it stands there: nothing is written. Raises StorageError."""
    if is_new(disk):
        raise StorageError(f"there is no {_IDENTITY}: no member has lived here")
    return _parsed(disk.read(_IDENTITY))


def write_identity(disk: Disk, cluster: str, seat: Seat, birth: Placed) -> Identity:
    """Make the directory that member's, who was told the configuration that it begins with."""
    return _write_identity(disk, Identity(_FORMAT, cluster, seat.id, seat.incarnation, birth))


def _parsed(raw: bytes) -> Identity | Identity1:
    try:
        found = msgspec.json.decode(raw, type=_Format).format
        if found not in (1, _FORMAT):
            raise StorageError(f"the data has format {found}; this program reads formats 1 and {_FORMAT}")
        if found == 1:
            return msgspec.json.decode(raw, type=Identity1)
        identity = msgspec.json.decode(raw, type=Identity)
    except ValueError as error:  # msgspec's own, or a text that is not UTF-8
        raise StorageError(f"{_IDENTITY} is damaged: {error}") from error
    if identity != _sealed(identity):
        raise StorageError(f"{_IDENTITY} is damaged: its checksum does not match")
    return identity


def _voters(placed: Placed) -> list[str]:
    return sorted(placed.configuration.voters)


def _sealed(identity: Identity) -> Identity:
    checksum = zlib.crc32(msgspec.json.encode(msgspec.structs.replace(identity, crc32=0)))
    return msgspec.structs.replace(identity, crc32=checksum)


def _write_identity(disk: Disk, identity: Identity) -> Identity:
    """The whole file or none of it, and durable before a vote or an entry can rest on it."""
    identity = _sealed(identity)
    file = disk.create(_IDENTITY + ".part")
    file.write(msgspec.json.encode(identity), 0)
    file.sync()
    file.close()
    disk.rename(_IDENTITY + ".part", _IDENTITY)
    disk.sync_directory()
    return identity


def _refuse_other_voters(born_with: list[str], named: Placed) -> None:
    if born_with != _voters(named):
        # Members that count different majorities could each confirm without the other.
        raise StorageError(
            f"the cluster was born with {', '.join(born_with)} and cluster.yml names {', '.join(_voters(named))}: "
            "the members of a living cluster are not changed in the file. Put the nodes back as they were"
        )


def check_members(opened: Opened, identity: Identity, named: Placed) -> str:
    """Compare the members that cluster.yml names with those of the log; a warning, or "" when there is nothing to say.

    Raises StorageError while cluster.yml still counts (nothing founded in snapshot or log) and names other voters than at birth.
    """
    latest = opened.journal.placed
    if not latest.configuration.founded:
        _refuse_other_voters(_voters(identity.birth), named)
        return ""
    if named.index:
        return ""  # a joining member has no cluster.yml
    ours = {seat.id: (seat.raft, seat.api) for seat in latest.configuration.seats}
    theirs = {seat.id: (seat.raft, seat.api) for seat in named.configuration.seats}
    if ours == theirs:
        return ""
    listed = ", ".join(f"{id_} ({raft})" for id_, (raft, _) in sorted(ours.items()))
    return (
        f"the nodes that cluster.yml names are not the members of the cluster (entry {latest.index}): {listed}. "
        "The file says how this node reaches those that it names, and nothing else any more; deskraft cluster changes the members"
    )


def open_storage(disk: Disk, identity: Identity, segment_bytes: int = SEGMENT_BYTES) -> Opened:
    """Read everything. Raises StorageError (its subclasses name the damaged file)."""
    snapshots.remove_unfinished(disk)
    log = SegmentedLog(disk, segment_bytes)
    recovered = log.recover()
    try:
        journal, highest = RaftJournal.replay([payload for _, payload in recovered])
    except (ValueError, TypeError) as error:
        raise CorruptJournalError(f"the journal cannot be read: {error}") from error
    for (segment_number, _), index in zip(recovered, highest, strict=True):
        log.note_index(segment_number, index)
    journal.base = identity.birth
    journal.frame_target_bytes = log.max_frame_bytes // FRAME_TARGET_SHARE
    names = snapshots.published(disk)
    if not names:
        if journal.first_index != 1:
            raise CorruptJournalError(
                f"the journal begins at entry {journal.first_index} and there is no snapshot of what was before"
            )
        return Opened(log, journal, None, State())
    if not recovered:
        # A member journals its term and vote before it can have a snapshot, and starting over leaves a frame as well.
        raise CorruptJournalError(
            f"there is {names[-1]} and no journal: what this member promised since then is forgotten. "
            f"Do not delete anything by guess: {FETCH_ANEW}, or restore a backup"
        )
    head, state = snapshots.load(disk, names[-1])
    if head.placed is not None:
        journal.base = head.placed
    if not journal.align(head.previous, head.last):
        log.start_over(journal.reset_frame(head.previous, head.last), head.last_index)
    return Opened(log, journal, head, state)


def drop_old(disk: Disk, log: SegmentedLog, held: Collection[int] = ()) -> None:
    """After a new snapshot is durable: keep the last two, and the journal back to the older of them.

    Snapshots at the indexes of `held` stay as well: somebody is fetching them. Our own recovery does not need them.
    """
    drop_old_snapshots(disk, held)
    names = snapshots.published(disk)
    if len(names) >= snapshots.KEPT:
        log.drop_through(snapshots.index_of(names[-snapshots.KEPT]))


def drop_old_snapshots(disk: Disk, held: Collection[int]) -> None:
    """Keep the last two, and those at the indexes of `held`."""
    for name in snapshots.published(disk)[: -snapshots.KEPT]:
        if snapshots.index_of(name) not in held:
            disk.remove(name)
