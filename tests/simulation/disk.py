"""A disk in memory that loses what was not synced, as real ones do.

Every file has a durable content and a list of writes since. A crash keeps, of the writes that were not synced, a random part of the sectors
of each; of the directory changes that were not synced, a random prefix. `fill` makes the next writes fail with ENOSPC.
"""

from __future__ import annotations

import errno
import random

from node.segments import SECTOR_BYTES


class SimulatedCrashError(Exception):
    """The process died inside a system call."""


class SimFile:
    def __init__(self, disk: SimDisk, content: _Content) -> None:
        self._disk = disk
        self._content = content

    def write(self, data: bytes, offset_bytes: int) -> None:
        self._disk.touch("write", len(data))
        self._content.write(bytes(data), offset_bytes)

    def write_durably(self, data: bytes, offset_bytes: int) -> None:
        self.write(data, offset_bytes)
        self.sync()

    def sync(self) -> None:
        self._disk.touch("sync", 0)
        self._content.unsynced.clear()

    def close(self) -> None:
        pass


class _Content:
    """The bytes of a file, and what to put back if the writes since the last sync are lost."""

    def __init__(self) -> None:
        self.cache = bytearray()
        self.unsynced: list[tuple[int, bytes, bytes]] = []  # (offset, what was there, what was written)

    def write(self, data: bytes, offset: int) -> None:
        if len(self.cache) < offset + len(data):
            self.cache.extend(bytes(offset + len(data) - len(self.cache)))
        self.unsynced.append((offset, bytes(self.cache[offset : offset + len(data)]), data))
        self.cache[offset : offset + len(data)] = data

    def crash(self, rng: random.Random) -> None:
        for offset, before, _ in reversed(self.unsynced):
            self.cache[offset : offset + len(before)] = before
        for offset, _, data in self.unsynced:
            fate = rng.random()
            if fate < 0.4:
                continue
            position, end = offset, offset + len(data)
            while position < end:
                stop = min(end, (position // SECTOR_BYTES + 1) * SECTOR_BYTES)
                if fate > 0.7 or rng.random() < 0.5:
                    self.cache[position:stop] = data[position - offset : stop - offset]
                position = stop
        self.unsynced.clear()


class SimDisk:
    """Implements `node.disk.Disk`."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._files: dict[str, _Content] = {}
        self._durable_names: dict[str, _Content] = {}
        self._name_changes: list[dict[str, _Content]] = []
        self.crash_in: int | None = None  # die at the n-th system call from now
        self.full = False
        self.failing = False  # syncs return EIO

    def touch(self, call: str, size_bytes: int) -> None:
        """Every system call passes here: the place where a crash or a full disk strikes."""
        if self.full and size_bytes:
            raise OSError(errno.ENOSPC, "No space left on device", "simulated")
        if self.failing and call == "sync":
            raise OSError(errno.EIO, "Input/output error", "simulated")
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in < 0:
                raise SimulatedCrashError(call)

    def names(self) -> list[str]:
        return sorted(self._files)

    def size_bytes(self, name: str) -> int:
        return len(self._files[name].cache)

    def read(self, name: str, offset_bytes: int = 0, size_bytes: int = -1) -> bytes:
        content = self._files[name].cache
        return bytes(
            content[offset_bytes:] if size_bytes < 0 else content[offset_bytes : offset_bytes + size_bytes]
        )

    def create(self, name: str, zeroed_bytes: int = 0) -> SimFile:
        self.touch("create", zeroed_bytes)
        content = self._files[name] = _Content()
        self._changed()
        if zeroed_bytes:
            content.cache = bytearray(zeroed_bytes)
        return SimFile(self, content)

    def open(self, name: str) -> SimFile:
        return SimFile(self, self._files[name])

    def rename(self, old: str, new: str) -> None:
        self.touch("rename", 0)
        self._files[new] = self._files.pop(old)
        self._changed()

    def remove(self, name: str) -> None:
        self.touch("remove", 0)
        self._files.pop(name, None)
        self._changed()

    def sync_directory(self) -> None:
        self.touch("sync_directory", 0)
        self._durable_names = dict(self._files)
        self._name_changes.clear()

    def _changed(self) -> None:
        self._name_changes.append(dict(self._files))

    def crash(self) -> None:
        """The machine stopped: what remains is what a reader finds afterwards."""
        kept = self._rng.randrange(len(self._name_changes) + 1)
        names = self._name_changes[kept - 1] if kept else self._durable_names
        self._files = dict(names)
        for content in self._files.values():
            content.crash(self._rng)
        self._durable_names = dict(self._files)
        self._name_changes.clear()
        self.crash_in = None
        self.full = False
        self.failing = False

    def rot(self) -> tuple[str, int] | None:
        """Flip one bit of a byte that is not zero, in a journal or a snapshot; where, or None."""
        names = [name for name in self.names() if name.endswith((".seg", ".dsk"))]
        if not names:
            return None
        name = self._rng.choice(names)
        content = self._files[name].cache
        used = len(content.rstrip(b"\0"))
        if used == 0:
            return None
        offset = self._rng.randrange(used)
        content[offset] ^= 1 << self._rng.randrange(8)
        return name, offset

    def image(self) -> dict[str, bytes]:
        """Everything on the disk, to put back with `restore`."""
        return {name: bytes(content.cache) for name, content in self._files.items()}

    def restore(self, image: dict[str, bytes]) -> None:
        """Put an image back."""
        self._files = {}
        for name, data in image.items():
            content = self._files[name] = _Content()
            content.cache = bytearray(data)
        self._durable_names = dict(self._files)
        self._name_changes.clear()
