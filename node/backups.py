"""Backups: the whole state at one index in one file, and data directories for a new cluster made from it.

The file says of itself whose it is and proves that it is whole; it needs nothing beside it:

    "DSKBACK1" | length of head u32 | crc32 of head u32 | head | state stream | "DSKBEND1" | blake2b-256 of all before

The head is msgpack of `BackupHead`; the state stream is that of a snapshot (`statemachine.snapshot`).

**A restored cluster is a new one.** It is given a founding name and incarnations of its own, written into its first
configuration here and not by its first leader: so from its first moment it refuses members of the old cluster, and of any other
restore of the same file (`node.membership.judge`). All its directories are made at once, because they must share them.

**Its log goes on far away.** What the old cluster did after the backup is forgotten here and remembered by clients. Indexes begin
at the next multiple of INDEX_STRIDE, so that no revision, event id or receipt ever names two changes; and the digest's chain
gets a link that names the restore.

**Sessions end.** Log-outs and changes of refresh tokens since the backup are not in it; a session that was ended must not live
again. Passwords are those of the backup, and so is everything else.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import msgspec
from msgspec import Struct

from node import storage
from node.config import Config
from node.disk import RealDisk, StorageError
from node.journal import NO_OP, Entry, RaftJournal
from node.membership import ENTRY_PREFIX, Configuration, Placed, Seat, encode_entry
from node.segments import SegmentedLog
from node.snapshots import READ_BYTES, SnapshotHead, SnapshotWriter
from statemachine.snapshot import FrozenState, SnapshotError
from statemachine.state import State, restore

INDEX_STRIDE = 100_000_000  # more entries than a cluster writes between a backup and its loss
_MAGIC, _END = b"DSKBACK1", b"DSKBEND1"
_HASH_BYTES = 32
_FOOTER_BYTES = len(_END) + _HASH_BYTES
_MAX_HEAD_BYTES = 1 << 20
_RESTORE_PERSON = b"deskraft.restore"


class CorruptBackupError(StorageError):
    """The file is damaged, cut short, or no backup."""


class BackupHead(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a backup says of itself. `index` and `term` are those of the last entry that its state reflects."""

    cluster: str
    node_id: str
    made_at_ms: int
    index: int
    term: int
    placed: Placed


class Restored(Struct, frozen=True):
    """What `restore_cluster` made."""

    founding: str
    index: int
    directories: list[Path]


def pieces(head: BackupHead, frozen: FrozenState) -> Iterator[bytes]:
    """The file in pieces of some tens of KiB; an empty one says that looking took long enough."""
    seal = blake2b(digest_size=_HASH_BYTES)
    encoded = msgspec.msgpack.encode(head)
    opening = _MAGIC + len(encoded).to_bytes(4, "little") + zlib.crc32(encoded).to_bytes(4, "little")
    seal.update(opening + encoded)
    yield opening + encoded
    for chunk in frozen.chunks():
        seal.update(chunk)
        yield chunk
    seal.update(_END)
    yield _END + seal.digest()


def read(path: Path) -> tuple[BackupHead, State]:
    """Read and check a backup whole. Raises CorruptBackupError, or OSError when it cannot be read."""
    try:
        return _read(path)
    except (SnapshotError, ValueError, msgspec.DecodeError) as error:
        raise CorruptBackupError(f"{path.name} is no whole backup: {error}") from error


def _read(path: Path) -> tuple[BackupHead, State]:
    size_bytes = path.stat().st_size
    seal = blake2b(digest_size=_HASH_BYTES)
    with path.open("rb") as file:
        start = file.read(16)
        if start[:8] != _MAGIC:
            raise ValueError("it does not begin like one")
        length = int.from_bytes(start[8:12], "little")
        if length > _MAX_HEAD_BYTES or size_bytes < 16 + length + _FOOTER_BYTES:
            raise ValueError("it is cut short")
        encoded = file.read(length)
        if zlib.crc32(encoded).to_bytes(4, "little") != start[12:16]:
            raise ValueError("the checksum of its head does not match")
        head = msgspec.msgpack.decode(encoded, type=BackupHead)
        seal.update(start + encoded)

        def stream() -> Iterator[bytes]:
            left = size_bytes - 16 - length - _FOOTER_BYTES
            while left:
                piece = file.read(min(READ_BYTES, left))
                if not piece:
                    raise ValueError("it is cut short")
                left -= len(piece)
                seal.update(piece)
                yield piece

        state = restore(stream())
        footer = file.read(_FOOTER_BYTES)
    seal.update(_END)
    if footer != _END + seal.digest():
        raise ValueError("its end is not what it was written with")
    return head, state


def restore_cluster(path: Path, config: Config) -> Restored:
    """Make the data directories of all members that cluster.yml names, for a new cluster that begins with the backup.

    Raises StorageError (nothing has been made when a directory is in the way), or OSError.
    """
    folders = {node_id: config.data_dir / node_id for node_id in sorted(config.nodes)}
    for folder in folders.values():
        if folder.exists() and any(folder.iterdir()):
            raise StorageError(f"{folder} is not empty: a restore makes new members and never touches others")
    head, state = read(path)
    if head.cluster != config.cluster:
        raise StorageError(
            f"the backup is of cluster {head.cluster}, and cluster.yml names {config.cluster}: they must be the same"
        )
    founding = storage.random_incarnation()
    seats = tuple(
        Seat(
            node_id, config.nodes[node_id].raft, config.nodes[node_id].api, True, storage.random_incarnation()
        )
        for node_id in folders
    )
    index = (head.index // INDEX_STRIDE + 1) * INDEX_STRIDE
    configuration = Configuration(founding, seats)
    last: Entry = (ENTRY_PREFIX[:1] + encode_entry(configuration), index, head.term + 1)
    begin = SnapshotHead((NO_OP, index - 1, head.term), last, Placed(index, configuration))
    _renew(state, founding)
    for seat in seats:
        _make_member(folders[seat.id], config.cluster, seat, begin, state)
    return Restored(founding, index, list(folders.values()))


def _renew(state: State, founding: str) -> None:
    """End the sessions, and give the digest's chain the link that names this restore."""
    for session in list(state.sessions.values()):
        state.drop_session(session)
    link = blake2b(state.digest, digest_size=len(state.digest), person=_RESTORE_PERSON)
    link.update(founding.encode())
    state.digest = link.digest()


def _make_member(folder: Path, cluster: str, seat: Seat, begin: SnapshotHead, state: State) -> None:
    """One directory. Its identity comes last: without it no member starts there (`storage.read_identity`)."""
    assert begin.placed is not None
    disk = RealDisk(folder)
    try:
        writer = SnapshotWriter(disk, begin, state.freeze())
        while not writer.step():
            pass
        writer.publish()
        log = SegmentedLog(disk)
        log.append([RaftJournal().reset_frame(begin.previous, begin.last)], begin.last_index, b"")
        log.close()
        storage.write_identity(disk, cluster, seat, begin.placed)
    finally:
        disk.close()
