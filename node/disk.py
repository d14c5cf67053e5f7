"""The only door to the file system that the journal and the snapshots use.

A `Disk` is one directory. It is a port so that the very same storage code runs on real files here and on a lossy,
torn, full disk in a simulation. What it promises: bytes written to a `File` are durable once a call that says so
(`write_durably`, `sync`) returned; a name is durable once `sync_directory` returned. Any `OSError` is final for the
caller: a node whose disk failed stops (see `node.member`), because after a failed fsync the kernel may have dropped the data
(Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Protocol

ZERO_BLOCK_BYTES = 1 << 20
UNTOLD_BYTES = 1 << 60  # free on a file system that does not tell its size


class StorageError(Exception):
    """The data on disk cannot be trusted or used; the message says what to do."""


class File(Protocol):
    """An open file, written at explicit offsets."""

    def write_durably(self, data: bytes, offset_bytes: int) -> None:
        """Write and return only when the bytes are on disk."""
        ...

    def write(self, data: bytes, offset_bytes: int) -> None:
        """Write into the page cache; `sync` makes it durable."""
        ...

    def sync(self) -> None:
        """Make everything written durable."""
        ...

    def close(self) -> None:
        """Close; loses nothing that was made durable."""
        ...


class Disk(Protocol):
    """One flat directory."""

    def names(self) -> list[str]:
        """Names of the files, sorted."""
        ...

    def size_bytes(self, name: str) -> int:
        """Size of a file."""
        ...

    def free_bytes(self) -> int:
        """What may still be written. Others may write there too, so nothing relies on it."""
        ...

    def read(self, name: str, offset_bytes: int = 0, size_bytes: int = -1) -> bytes:
        """Content of a file, or a piece of it."""
        ...

    def create(self, name: str, zeroed_bytes: int = 0) -> File:
        """A new file (replacing one of that name) with that many zeros written and synced, open."""
        ...

    def open(self, name: str) -> File:
        """An existing file, open for writing in place."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Atomic replacement; durable after `sync_directory`."""
        ...

    def remove(self, name: str) -> None:
        """Unlink; no error when it is gone already."""
        ...

    def sync_directory(self) -> None:
        """Make creations, renames and removals durable."""
        ...


class RealFile:
    """A file descriptor; durable writes use `RWF_DSYNC`, one system call instead of two."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write_durably(self, data: bytes, offset_bytes: int) -> None:
        self._write(data, offset_bytes, os.RWF_DSYNC)

    def write(self, data: bytes, offset_bytes: int) -> None:
        self._write(data, offset_bytes, 0)

    def _write(self, data: bytes, offset_bytes: int, flags: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwritev(self._descriptor, [view], offset_bytes, flags)
            view = view[written:]
            offset_bytes += written

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


class RealDisk:
    """A directory of the machine, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise StorageError(
                f"{path} is in use by another deskraft node process; stop that one first"
            ) from None

    def close(self) -> None:
        """Give the directory free for another process."""
        os.close(self._lock)

    def names(self) -> list[str]:
        return sorted(entry.name for entry in self._path.iterdir())

    def size_bytes(self, name: str) -> int:
        return (self._path / name).stat().st_size

    def free_bytes(self) -> int:
        room = os.statvfs(self._path)
        return room.f_bavail * room.f_frsize if room.f_blocks else UNTOLD_BYTES

    def read(self, name: str, offset_bytes: int = 0, size_bytes: int = -1) -> bytes:
        with (self._path / name).open("rb") as file:
            file.seek(offset_bytes)
            return file.read(size_bytes)

    def create(self, name: str, zeroed_bytes: int = 0) -> File:
        descriptor = os.open(self._path / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        file = RealFile(descriptor)
        try:
            for offset in range(0, zeroed_bytes, ZERO_BLOCK_BYTES):
                file.write(bytes(min(ZERO_BLOCK_BYTES, zeroed_bytes - offset)), offset)
            if zeroed_bytes:
                # A full fsync once, so that the later durable writes change no metadata of the file.
                os.fsync(descriptor)
        except OSError:
            file.close()
            raise
        return file

    def open(self, name: str) -> File:
        return RealFile(os.open(self._path / name, os.O_RDWR | os.O_CLOEXEC))

    def rename(self, old: str, new: str) -> None:
        (self._path / old).rename(self._path / new)

    def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)

    def sync_directory(self) -> None:
        descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
