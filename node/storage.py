"""What one member has on its disk, opened as a whole: snapshot, journal, and how the two fit together.

Opening. The newest snapshot gives the state and the two log entries it ends with; the journal gives the log. Three cases: the
journal goes on from the snapshot (the usual one); the journal is older or contradicts it (the process died while a snapshot from the leader
was being installed), then the snapshot is the whole log; or entries between them are missing, then the member stops.

After a new snapshot is durable, old ones beyond the last two go, and journal segments that end before the older of them.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from node import snapshots
from node.disk import Disk, StorageError
from node.journal import RaftJournal
from node.segments import SEGMENT_BYTES, CorruptJournalError, SegmentedLog
from node.snapshots import SnapshotHead
from statemachine.state import State

_IDENTITY = "identity.json"
_FORMAT = 1


class Identity(msgspec.Struct, forbid_unknown_fields=True):
    """Whose directory this is."""

    format: int
    cluster: str
    node_id: str
    voters: list[str]  # with whom the cluster was born


class Opened(NamedTuple):
    """The content of a member's directory."""

    log: SegmentedLog
    journal: RaftJournal
    head: SnapshotHead | None
    state: State


def check_identity(disk: Disk, cluster: str, node_id: str, voters: list[str]) -> None:
    """Refuse the directory of another member or cluster, or other voters; write down whose it is when it is new."""
    if _IDENTITY not in disk.names():
        if any(name.endswith((".seg", ".dsk")) for name in disk.names()):
            raise StorageError(f"the directory holds data but no {_IDENTITY}; it cannot be told whose it is")
        file = disk.create(_IDENTITY + ".part")
        file.write(msgspec.json.encode(Identity(_FORMAT, cluster, node_id, sorted(voters))), 0)
        file.sync()
        file.close()
        disk.rename(_IDENTITY + ".part", _IDENTITY)
        disk.sync_directory()
        return
    try:
        identity = msgspec.json.decode(disk.read(_IDENTITY), type=Identity)
    except msgspec.DecodeError as error:
        raise StorageError(f"{_IDENTITY} is damaged: {error}") from error
    if identity.format != _FORMAT:
        raise StorageError(f"the data has format {identity.format}; this program reads format {_FORMAT}")
    if (identity.cluster, identity.node_id) != (cluster, node_id):
        raise StorageError(
            f"the directory belongs to member {identity.node_id} of cluster {identity.cluster}, "
            f"not to {node_id} of {cluster}"
        )
    if identity.voters != sorted(voters):
        # Members that count different majorities could each confirm without the other.
        raise StorageError(
            f"the cluster was born with {', '.join(identity.voters)} and cluster.yml names {', '.join(sorted(voters))}: "
            "the members of a living cluster are not changed in the file. Put the nodes back as they were"
        )


def open_storage(disk: Disk, segment_bytes: int = SEGMENT_BYTES) -> Opened:
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
            f"there is {names[-1]} and no journal: what this member promised since then is forgotten. Move its data "
            "directory away and let it fetch the state from the others, or restore a backup"
        )
    head, state = snapshots.load(disk, names[-1])
    if not journal.align(head.previous, head.last):
        log.start_over(journal.reset_frame(head.previous, head.last), head.last_index)
    return Opened(log, journal, head, state)


def drop_old(disk: Disk, log: SegmentedLog) -> None:
    """After a new snapshot is durable: keep the last two, and the journal back to the older of them."""
    names = snapshots.published(disk)
    for name in names[: -snapshots.KEPT]:
        disk.remove(name)
    if len(names) >= snapshots.KEPT:
        log.drop_through(snapshots.index_of(names[-snapshots.KEPT]))
