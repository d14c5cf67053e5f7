"""Snapshots on disk: written a slice at a time beside normal work, published whole or not at all.

A file `snapshot-<index>.dsk` is a header of our own (which log entries it ends with, and the configuration in force there) and the state
machine's own checksummed stream. It is written under another name, synced, renamed, and the directory synced: a name without `.part` is a
whole file. Writing is in slices over a frozen view, so the event loop is never held for longer than one piece of 64 KiB.

The configuration is in the header because the entry that carried it goes with the journal before the snapshot (Ongaro's thesis, 4.1 and 5.1).
Files of version 1, from before configurations were entries, name none: the member that wrote one knew only the one that it was born with.

The last two are kept, and the journal reaches back to the older of them (`node.storage`). A snapshot that fails its checks stops the member with
instructions; it is never taken for an empty state.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from node.disk import Disk, File, StorageError
from node.journal import Entry
from node.membership import Placed
from statemachine.state import FrozenState, SnapshotError, State, restore

_MAGIC, _MAGIC_1 = b"DSKSNAP2", b"DSKSNAP1"
_PREFIX, _SUFFIX, _PART = "snapshot-", ".dsk", ".part"
READ_BYTES = 1 << 20
KEPT = 2
# A wiped member is refused until its seat is opened for another disk, so "start again empty" alone would be false advice.
FETCH_ANEW = (
    "move this member's data directory away, run deskraft cluster replace with its id on another node, and start this one again: "
    "it then fetches the state"
)
_entries_decoder = msgspec.msgpack.Decoder(tuple[Entry, Entry])
_head_decoder = msgspec.msgpack.Decoder(tuple[Entry, Entry, Placed])


class CorruptSnapshotError(StorageError):
    """A snapshot file is damaged."""


class SnapshotHead(NamedTuple):
    """Where in the log a snapshot stands: its last entry and the one before (PySyncObj compares both).

    `placed` is the configuration as of the last entry; None in a file of version 1: the one that the member was born with.
    """

    previous: Entry
    last: Entry
    placed: Placed | None

    @property
    def last_index(self) -> int:
        """The last index that the state reflects."""
        return self.last[1]


def snapshot_name(index: int) -> str:
    """File name of the snapshot at that index; names sort as indexes do."""
    return f"{_PREFIX}{index:020d}{_SUFFIX}"


def index_of(name: str) -> int:
    """Inverse of `snapshot_name`."""
    return int(name[len(_PREFIX) : -len(_SUFFIX)])


def published(disk: Disk) -> list[str]:
    """Names of the whole snapshots, oldest first."""
    return [name for name in disk.names() if name.startswith(_PREFIX) and name.endswith(_SUFFIX)]


def remove_unfinished(disk: Disk) -> None:
    """At start: what was under way when the process died."""
    for name in disk.names():
        if name.startswith(_PREFIX) and name.endswith(_PART):
            disk.remove(name)


class SnapshotWriter:
    """One snapshot in the making. `step` until it returns True, then `publish` (which blocks on the disk)."""

    def __init__(self, disk: Disk, head: SnapshotHead, frozen: FrozenState) -> None:
        assert head.placed is not None, (
            "without its configuration a snapshot would pass for one from before there were any"
        )
        self.head = head
        self._disk = disk
        self._name = snapshot_name(head.last_index)
        self._chunks: Iterator[bytes] = frozen.chunks()
        self._file: File = disk.create(self._name + _PART)
        header = msgspec.msgpack.encode(head)
        self._offset = 0
        self._write(
            _MAGIC + len(header).to_bytes(4, "little") + zlib.crc32(header).to_bytes(4, "little") + header
        )

    def _write(self, data: bytes) -> None:
        self._file.write(data, self._offset)
        self._offset += len(data)

    def step(self) -> bool:
        """Encode and write one piece; True when all are written."""
        chunk = next(self._chunks, None)
        if chunk is None:
            return True
        if chunk:  # an empty one: there was looking to do, and nothing to write yet
            self._write(chunk)
        return False

    def publish(self) -> str:
        """Make the file durable and give it its name."""
        self._file.sync()
        self._file.close()
        self._disk.rename(self._name + _PART, self._name)
        self._disk.sync_directory()
        return self._name

    def abandon(self) -> None:
        """Give up (another snapshot was installed meanwhile)."""
        self._file.close()
        self._disk.remove(self._name + _PART)


def load(disk: Disk, name: str, suffix: str = "") -> tuple[SnapshotHead, State]:
    """Read and check a snapshot whole. Raises CorruptSnapshotError."""
    try:
        return _load(disk, name, suffix)
    except (SnapshotError, ValueError, msgspec.DecodeError) as error:
        raise CorruptSnapshotError(
            f"{name} is damaged ({error}). Do not delete anything by guess: {FETCH_ANEW}, or restore a backup"
        ) from error


def _load(disk: Disk, name: str, suffix: str) -> tuple[SnapshotHead, State]:
    start = disk.read(name + suffix, 0, 16)
    if start[:8] not in (_MAGIC, _MAGIC_1):
        raise ValueError("it does not begin like a snapshot")
    length = int.from_bytes(start[8:12], "little")
    header = disk.read(name + suffix, 16, length)
    if len(header) != length or zlib.crc32(header).to_bytes(4, "little") != start[12:16]:
        raise ValueError("the checksum of its header does not match")
    whole = start[:8] == _MAGIC
    head = SnapshotHead(*_head_decoder.decode(header) if whole else (*_entries_decoder.decode(header), None))
    if head.last_index != index_of(name):
        raise ValueError(f"it ends at entry {head.last_index}")
    state = restore(_pieces(disk, name + suffix, 16 + length))
    return head, state


def _pieces(disk: Disk, name: str, offset: int) -> Iterator[bytes]:
    while piece := disk.read(name, offset, READ_BYTES):
        offset += len(piece)
        yield piece


class SnapshotReceiver:
    """A snapshot arriving from the leader, kept by name so that a cut connection goes on where it stopped."""

    def __init__(self, disk: Disk, name: str, size_bytes: int) -> None:
        self.name = name
        self.size_bytes = size_bytes
        self.offset_bytes = 0
        self._disk = disk
        self._file = disk.create(name + _PART)

    @property
    def complete(self) -> bool:
        """Whether every byte has arrived."""
        return self.offset_bytes >= self.size_bytes

    def write(self, offset_bytes: int, data: bytes) -> None:
        """A piece; one that does not continue what is here is ignored."""
        if offset_bytes == self.offset_bytes:
            self._file.write(data, offset_bytes)
            self.offset_bytes += len(data)

    def publish(self) -> tuple[SnapshotHead, State]:
        """Check the whole file, make it durable, give it its name. Blocks. Raises CorruptSnapshotError (file dropped)."""
        self._file.sync()
        self._file.close()
        try:
            loaded = load(self._disk, self.name, _PART)
        except CorruptSnapshotError:
            self._disk.remove(self.name + _PART)
            raise
        self._disk.rename(self.name + _PART, self.name)
        self._disk.sync_directory()
        return loaded

    def abandon(self) -> None:
        """Another one is offered."""
        self._file.close()
        self._disk.remove(self.name + _PART)
