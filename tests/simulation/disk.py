"""A disk in memory that loses what was not synced, as real ones do.

Every file has its content in the page cache and a list of the writes since the last sync. When the **machine** stops, a random part of the
sectors of each such write is kept, and of the length of a file that grew, a part; directory operations that were not synced are kept or lost
**in any order** as long as those that touch one file stay in order, which POSIX allows. When only the **process** dies, everything is still
there, and still not durable: what a restarted member reads may be gone after the next power cut (unless it syncs before it relies on it).

`full` makes writes fall short and then fail with ENOSPC, `failing` makes syncs fail with EIO, `unreadable` makes a read fail with EIO.
`crash_in` dies at the n-th call from now; `Failpoints` dies at a place of the shipped code (see `failpoints`).
"""

from __future__ import annotations

import errno
import random
from sys import _getframe
from types import FrameType

from node.segments import SECTOR_BYTES
from tests.simulation.failpoints import Failpoints

FETCHED_PIECES = "snapshots.SnapshotReceiver.write:write"
ROOMY_BYTES = 1 << 40
PROCESS_ONLY = 0.25  # share of crashes in which the machine, and so the page cache, goes on living


class SimulatedCrashError(Exception):
    """The process died inside a system call."""


class SimFile:
    """Implements `node.disk.File`."""

    def __init__(self, disk: SimDisk, content: _Content) -> None:
        self._disk = disk
        self._content = content

    def write(self, data: bytes, offset_bytes: int) -> None:
        """Into the page cache."""
        phase = self._disk.enter("write", _getframe(1))
        if self._disk.spoiling:
            data = self._disk.spoil(data, _getframe(1))
        self._write(data, offset_bytes, phase)
        self._disk.leave(phase)

    def write_durably(self, data: bytes, offset_bytes: int) -> None:
        """One call for the caller; a write and a sync for the disk."""
        phase = self._disk.enter("write_durably", _getframe(1))
        self._write(data, offset_bytes, phase)
        if phase == "unsynced":
            self._disk.die(phase)
        self._disk.touch("sync", 0)
        self._content.sync()
        self._disk.leave(phase)

    def _write(self, data: bytes, offset: int, phase: str) -> None:
        disk, content = self._disk, self._content
        if phase == "torn":
            content.tear(bytes(data), offset, disk.rng)
            disk.die(phase)
        if data and (phase == "short" or disk.full):
            # The kernel hands over whole blocks: what was written ends at the boundary of a sector.
            written = disk.rng.randrange(len(data))
            written = max(0, (offset + written) // SECTOR_BYTES * SECTOR_BYTES - offset)
            content.write(bytes(data[:written]), offset)
            raise OSError(errno.ENOSPC, "No space left on device", "simulated")
        disk.touch("write", len(data))
        content.write(bytes(data), offset)

    def sync(self) -> None:
        """Everything that was written is durable."""
        phase = self._disk.enter("sync", _getframe(1))
        if phase == "during":
            self._content.half_sync(self._disk.rng)
            self._disk.die(phase)
        self._disk.touch("sync", 0)
        self._content.sync()
        self._disk.leave(phase)

    def close(self) -> None:
        """Nothing is lost, and nothing is gained."""


class _Content:
    """The bytes of a file, and what to put back if the writes since the last sync are lost."""

    __slots__ = ("cache", "durable_bytes", "unsynced")

    def __init__(self, data: bytes = b"") -> None:
        self.cache = bytearray(data)
        self.durable_bytes = len(data)  # the length at the last sync
        self.unsynced: list[tuple[int, bytes, bytes]] = []  # (offset, what was there, what was written)

    def write(self, data: bytes, offset: int) -> None:
        self.unsynced.append((offset, bytes(self.cache[offset : offset + len(data)]), data))
        self._put(data, offset)

    def _put(self, data: bytes | memoryview, offset: int) -> None:
        if len(self.cache) < offset:
            self.cache.extend(bytes(offset - len(self.cache)))
        self.cache[offset : offset + len(data)] = data

    def sync(self) -> None:
        self.unsynced.clear()
        self.durable_bytes = len(self.cache)

    def half_sync(self, rng: random.Random) -> None:
        """A sync that did not end: some of the writes are durable, in no order; the rest is as it was."""
        self.unsynced = [write for write in self.unsynced if rng.random() < 0.5]

    def tear(self, data: bytes, offset: int, rng: random.Random) -> None:
        """Some sectors of this write, not all, reach the medium itself."""
        pieces = _sectors(offset, len(data))
        lost = rng.randrange(len(pieces)) if pieces else 0
        for number, (start, stop) in enumerate(pieces):
            if number != lost and rng.random() < 0.5:
                self._put(memoryview(data)[start - offset : stop - offset], start)
                self.durable_bytes = max(self.durable_bytes, stop)

    def crash(self, rng: random.Random) -> None:
        """The machine stopped."""
        if not self.unsynced:
            return
        full_bytes = len(self.cache)
        for offset, before, _ in reversed(self.unsynced):
            self.cache[offset : offset + len(before)] = before
        del self.cache[self.durable_bytes :]
        for offset, _, data in self.unsynced:
            fate = rng.random()
            if fate < 0.4:
                continue
            view = memoryview(data)
            for start, stop in _sectors(offset, len(data)):
                if fate > 0.7 or rng.random() < 0.5:
                    self._put(view[start - offset : stop - offset], start)
        if len(self.cache) < full_bytes and rng.random() < 0.5:
            # The length is metadata and has a fate of its own: the file may be longer than what it holds.
            self.cache.extend(bytes(rng.randrange(full_bytes - len(self.cache) + 1)))
        self.sync()


def _sectors(offset: int, size_bytes: int) -> list[tuple[int, int]]:
    """`[offset, offset + size)` cut at the boundaries of sectors, which devices write whole."""
    cuts, end = [], offset + size_bytes
    while offset < end:
        stop = min(end, (offset // SECTOR_BYTES + 1) * SECTOR_BYTES)
        cuts.append((offset, stop))
        offset = stop
    return cuts


_Change = dict[str, _Content | None]  # what one directory operation did: a name and its new file, or none


class SimDisk:
    """Implements `node.disk.Disk`."""

    def __init__(self, rng: random.Random, failpoints: Failpoints | None = None) -> None:
        self.rng = rng
        self.failpoints = failpoints or Failpoints()
        self._files: dict[str, _Content] = {}
        self._durable_names: dict[str, _Content] = {}
        self._changes: list[_Change] = []  # since the last sync of the directory
        self.struck = ""  # the failpoint at which the process has died, or was refused, since the last crash
        self.crash_in: int | None = None  # die at the n-th system call from now; below zero: dead
        self.full = False
        self.failing = False  # syncs return EIO
        self.unreadable = False  # the next read returns EIO
        self.spoiling = False  # a bit of the next piece of a fetched snapshot flips before it is written
        self.spoiled = 0  # how often that happened since the last crash

    # Where faults strike.

    def enter(self, call: str, frame: FrameType) -> str:
        """Every named call begins here: the phase in which it is to be struck, or nothing."""
        failpoints = self.failpoints
        site = failpoints.site(call, frame)
        site.passes += 1
        if site.armed is None or (due := failpoints.due(site, self)) is None:
            return ""
        self.struck, phase = due
        if phase == "before":
            self.die(phase)
        return phase

    def spoil(self, data: bytes, frame: FrameType) -> bytes:
        """Flip a bit, if this is a piece of a snapshot that is being fetched."""
        if not data or self.failpoints.site("write", frame).name != FETCHED_PIECES:
            return data
        self.spoiling = False
        self.spoiled += 1
        changed = bytearray(data)
        changed[self.rng.randrange(len(changed))] ^= 1 << self.rng.randrange(8)
        return bytes(changed)

    def leave(self, phase: str) -> None:
        """Every named call ends here."""
        if phase:
            self.die(phase)

    def die(self, phase: str) -> None:
        """The process dies here; until `crash`, nothing works."""
        self.crash_in = -1
        raise SimulatedCrashError(self.struck or phase)

    def touch(self, call: str, size_bytes: int) -> None:
        """Every system call passes here: the place where a crash or a full disk strikes."""
        if self.full and size_bytes:
            raise OSError(errno.ENOSPC, "No space left on device", "simulated")
        if self.failing and call in ("sync", "sync_directory"):
            raise OSError(errno.EIO, "Input/output error", "simulated")
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in < 0:
                raise SimulatedCrashError(call)

    # What a disk does.

    def names(self) -> list[str]:
        return sorted(self._files)

    def size_bytes(self, name: str) -> int:
        return len(self._files[name].cache)

    def free_bytes(self) -> int:
        return 0 if self.full else ROOMY_BYTES

    def read(self, name: str, offset_bytes: int = 0, size_bytes: int = -1) -> bytes:
        if self.enter("read", _getframe(1)) or self.unreadable:
            self.unreadable = False
            raise OSError(errno.EIO, "Input/output error", "simulated")
        content = self._files[name].cache
        return bytes(
            content[offset_bytes:] if size_bytes < 0 else content[offset_bytes : offset_bytes + size_bytes]
        )

    def create(self, name: str, zeroed_bytes: int = 0) -> SimFile:
        phase = self.enter("create", _getframe(1))
        if zeroed_bytes and (phase == "torn" or self.full):
            self._change({name: _Content(bytes(self.rng.randrange(zeroed_bytes)))})
            if phase == "torn":
                self.die(phase)
        self.touch("create", zeroed_bytes)
        content = _Content(bytes(zeroed_bytes))
        self._change({name: content})
        self.leave(phase)
        return SimFile(self, content)

    def open(self, name: str) -> SimFile:
        return SimFile(self, self._files[name])

    def rename(self, old: str, new: str) -> None:
        phase = self.enter("rename", _getframe(1))
        self.touch("rename", 0)
        self._change({old: None, new: self._files[old]})
        self.leave(phase)

    def remove(self, name: str) -> None:
        phase = self.enter("remove", _getframe(1))
        self.touch("remove", 0)
        if name in self._files:
            self._change({name: None})
        self.leave(phase)

    def sync_directory(self) -> None:
        phase = self.enter("sync_directory", _getframe(1))
        if phase == "during":
            self._durable_names = self._surviving()
            self.die(phase)
        self.touch("sync_directory", 0)
        self._durable_names = dict(self._files)
        self._changes.clear()
        self.leave(phase)

    def _change(self, change: _Change) -> None:
        self._changes.append(change)
        _carry_out(self._files, change)

    # What is left.

    def _surviving(self) -> dict[str, _Content]:
        """The durable names and some of the changes since: of those that touch one file, the first ones."""
        names = dict(self._durable_names)
        ended: set[str] = set()  # names of which an earlier change was lost
        for change in self._changes:
            if ended.isdisjoint(change) and self.rng.random() < 0.6:
                _carry_out(names, change)
            else:
                ended.update(change)
        return names

    def crash(self, machine: bool | None = None) -> None:
        """The process died, or the machine stopped (None: by chance). What remains is what a reader finds afterwards."""
        if machine is None:
            # After a sync that failed the page cache proves nothing, so that only what is on the medium counts.
            machine = self.failing or self.rng.random() >= PROCESS_ONLY
        if machine:
            self._files = self._surviving()
            for content in self._files.values():
                content.crash(self.rng)
            self._durable_names = dict(self._files)
            self._changes.clear()
        self.crash_in = None
        self.struck = ""
        self.spoiled = 0
        self.full = self.failing = self.unreadable = False

    def rot(self) -> tuple[str, int] | None:
        """Flip one bit of a byte that is not zero, in a journal or a snapshot; where, or None."""
        names = [name for name in self.names() if name.endswith((".seg", ".dsk"))]
        if not names:
            return None
        name = self.rng.choice(names)
        content = self._files[name].cache
        used = len(content.rstrip(b"\0"))
        if used == 0:
            return None
        offset = self.rng.randrange(used)
        content[offset] ^= 1 << self.rng.randrange(8)
        return name, offset

    def beginning(self, name: str) -> str:
        """The first bytes of a file, which say of which format it is; looked at from outside."""
        return self._files[name].cache[:8].decode("ascii", "replace")

    def image(self) -> dict[str, bytes]:
        """Everything on the disk, to put back with `restore`."""
        return {name: bytes(content.cache) for name, content in self._files.items()}

    def restore(self, image: dict[str, bytes]) -> None:
        """Put an image back, all of it durable."""
        self._files = {name: _Content(data) for name, data in image.items()}
        self._durable_names = dict(self._files)
        self._changes.clear()


def _carry_out(names: dict[str, _Content], change: _Change) -> None:
    for name, content in change.items():
        if content is None:
            names.pop(name, None)
        else:
            names[name] = content
