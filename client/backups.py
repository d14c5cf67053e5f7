"""Fetching a backup of the whole cluster into a file: whole, private to its owner, or not there at all.

The file is written under another name, synced and renamed. Its last bytes are a seal over all before; a transfer that was cut
lacks it. What is in the file is the node's matter (`docs/data.md`); `deskraft cluster verify FILE` proves it.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from client.errors import BadAnswer, NoNodeAnswers, Refused

if TYPE_CHECKING:
    from client.aio import Client

_SEAL_MARK = b"DSKBEND1"
_SEAL_BYTES = 32
_END_BYTES = len(_SEAL_MARK) + _SEAL_BYTES
PART = ".part"


class Backup(Struct, frozen=True):
    """A backup that was taken. `index` is the last entry of the log that it reflects."""

    path: str
    server: str
    index: int
    size_bytes: int


class _Sealed:
    """A file that is written, and whose end is held back from the hash until it is known to be the end."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._hash = blake2b(digest_size=_SEAL_BYTES)
        self._tail = b""
        self.size_bytes = 0

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        self.size_bytes += len(data)
        held = self._tail + data
        self._hash.update(held[:-_END_BYTES])
        self._tail = held[-_END_BYTES:]

    def whole(self) -> bool:
        self._hash.update(self._tail[:-_SEAL_BYTES])
        mark, seal = self._tail[:-_SEAL_BYTES], self._tail[-_SEAL_BYTES:]
        return (mark, seal) == (_SEAL_MARK, self._hash.digest())

    def publish(self, part: Path, path: Path) -> None:
        """Make it durable under its name. Raises BadAnswer unless it is whole."""
        if not self.whole():
            raise BadAnswer("the backup was cut short")
        os.fsync(self._file)
        part.replace(path)
        _sync_folder(path.absolute().parent)

    def close(self) -> None:
        os.close(self._file)


async def fetch(client: Client, path: Path) -> Backup:
    """Have a node stream a backup into `path`, replacing what is there only by a whole one.

    A follower is asked before the leader, which has enough to do. Raises Refused, NoNodeAnswers, or OSError.
    """
    seen = await client.cluster()
    apis = {member.id: f"http://{member.api}" for member in seen.members if member.reachable}
    leader = apis.get(seen.leader_id or "")
    servers = sorted({*client.servers, *apis.values()}, key=lambda server: (server == leader, server))
    part = path.with_name(path.name + PART)
    reasons: dict[str, str] = {}
    for server in servers:
        sealed = _Sealed(part)
        try:
            index = await client.stream_backup(server, sealed.write)
            sealed.publish(part, path)
            return Backup(str(path), server, index, sealed.size_bytes)
        except (NoNodeAnswers, BadAnswer) as error:
            reasons[server] = str(error)
        except Refused as refused:
            if refused.status != 429:
                raise
            reasons[server] = str(refused)
        finally:
            sealed.close()
            part.unlink(missing_ok=True)
    raise NoNodeAnswers(reasons, "no node gave a whole backup")


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
