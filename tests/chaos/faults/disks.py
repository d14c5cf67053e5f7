"""Disks that are full, fail, or are slow.

A member that cannot write or sync what it was told to keep **stops**: after such a failure nobody knows what is on the disk
(docs/operations.md, "The disk is full or fails"). It may also not notice, when it had nothing to write meanwhile. Then the disk is
mended, and it is started again over what it has.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
from pathlib import Path

from tests.chaos.faults.ends import bring_back, watch_for_the_end
from tests.chaos.faults.field import Field
from tests.chaos.faults.operators import ask_for_snapshot
from tests.chaos.faults.stage import traced

FULL = re.compile(r"No space left on device")
BROKEN = re.compile(r"the disk failed: Input/output error")
WRITES, SYNCS = "pwritev2", "fsync,fdatasync"
FILLER = "filler"
PIECE_BYTES = 1 << 20
KEPT_BYTES = 16 << 20  # of the room, for what the file system itself needs; the rest of it is written
LEFT_BYTES = (0, 1 << 12, 1 << 16, 1 << 20)


def fill(folder: Path, left_bytes: int) -> Path:
    """Take the room, write until nothing fits any more, and give a little back."""
    path = folder / FILLER
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        room = os.statvfs(folder)
        size = max(0, room.f_bavail * room.f_frsize - KEPT_BYTES)
        if size:
            os.posix_fallocate(descriptor, 0, size)
        for piece in (PIECE_BYTES, 512):
            try:
                while True:
                    size += os.write(descriptor, bytes(piece))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        os.ftruncate(descriptor, max(0, size - left_bytes))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return path


async def full(at: Field, seconds: float) -> None:
    """A member's file system has no block left, or few; it is told to write a snapshot, and perhaps started anew meanwhile."""
    node = at.victim()
    with at.striking("disk-full", node.id):
        filler = await asyncio.to_thread(fill, at.stage.disks[node.id], at.rng.choice(LEFT_BYTES))
        try:
            if at.rng.random() < 0.3:
                node.kill()
                node.start()
            asking = asyncio.create_task(ask_for_snapshot(at, node))
            await watch_for_the_end(node, seconds)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        finally:
            filler.unlink()
            await bring_back(at, node, "disk-full", FULL)


async def error(at: Field, seconds: float) -> None:
    """Writes or syncs of a member fail: all of them, or only the first, after which the kernel says that all is well."""
    node = at.victim()
    calls = at.rng.choice((WRITES, WRITES, SYNCS))
    once = ":when=1" if at.rng.random() < 0.5 else ""
    with at.striking("disk-error", node.id):
        try:
            async with traced(node.pid, calls, f"error=EIO{once}"):
                asking = asyncio.create_task(ask_for_snapshot(at, node))
                await watch_for_the_end(node, seconds)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
        finally:
            await bring_back(at, node, "disk-error", BROKEN)


async def slow(at: Field, seconds: float) -> None:
    """Each write and sync of a member takes 10 to 300 ms longer."""
    node = at.victim()
    delay_us = int(at.rng.uniform(10e3, 300e3))
    with at.striking("disk-slow", node.id, down=False):
        async with traced(node.pid, f"{WRITES},{SYNCS}", f"delay_enter={delay_us}"):
            await asyncio.sleep(seconds)
