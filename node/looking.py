"""A member's directory opened for looking: every way of writing to it is shut.

Verification must not change what it verifies, so it does not go through `storage.open_storage`, which erases torn ends
and unfinished snapshots. It does keep the member from starting meanwhile: a shared lock on the file that a member
locks for itself.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from node.disk import File, StorageError


class LookingDisk:
    """A `node.disk.Disk` of which only the reading half exists. A context manager; raises StorageError when a member runs there."""

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise StorageError(f"{path} is not a folder")
        self._path = path
        self._lock: int | None = None
        try:
            self._lock = os.open(path / "lock", os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            pass  # a copy of a directory may have been made without it; nobody runs in a copy
        except BlockingIOError:
            self.close()
            raise StorageError(
                f"{path} is in use by a running member: stop that one first, or ask it: deskraft cluster verify"
            ) from None
        except PermissionError:
            raise StorageError(f"{path} cannot be read by this user") from None

    def __enter__(self) -> LookingDisk:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let a member start there again."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def names(self) -> list[str]:
        """See `Disk`."""
        return sorted(entry.name for entry in self._path.iterdir())

    def size_bytes(self, name: str) -> int:
        """See `Disk`."""
        return (self._path / name).stat().st_size

    def free_bytes(self) -> int:
        """See `Disk`: here nothing can be written."""
        return 0

    def read(self, name: str, offset_bytes: int = 0, size_bytes: int = -1) -> bytes:
        """See `Disk`."""
        with (self._path / name).open("rb") as file:
            file.seek(offset_bytes)
            return file.read(size_bytes)

    def create(self, name: str, zeroed_bytes: int = 0) -> File:
        """Not here."""
        self._refuse(name)

    def open(self, name: str) -> File:
        """Not here."""
        self._refuse(name)

    def rename(self, old: str, new: str) -> None:
        """Not here."""
        self._refuse(old)

    def remove(self, name: str) -> None:
        """Not here."""
        self._refuse(name)

    def sync_directory(self) -> None:
        """Not here."""
        self._refuse(".")

    def _refuse(self, name: str) -> NoReturn:
        raise AssertionError(f"{self._path / name} is only looked at")
