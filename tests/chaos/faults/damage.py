"""Files of a stopped member that are damaged: what was being written, and what had been synced.

A **torn** write stands behind all that was synced; the member erases it and goes on. **Damage** to what was synced it must find, say so in
one line, and not start: going on would mean to have forgotten a promise, or to serve what was never written. Then the operator fetches
the state anew (docs/operations.md, "Damaged files"), under load. Such faults never begin beside another: two lost disks of three are more than any
majority survives, and no promise covers them.

One flip that no checksum tells from a torn write is left out, as in the journal's own list of limits (`node/segments.py`): in the last
frame, when it happens to clear a whole sector. Files that are gone, or were put back as they once were, are no faults here: no member alone can tell.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import re
from pathlib import Path

from node.segments import HEADER_BYTES, SECTOR_BYTES, encode_frame, scan_segment
from tests.chaos.faults.ends import check_end
from tests.chaos.faults.field import READY_SECONDS, Field, again
from tests.chaos.faults.operators import ask_for_snapshot, fetch_anew
from tests.integration.cluster import NodeProcess

JOURNAL = re.compile(r"journal-\d+\.seg: (the frame at byte \d+ is damaged|\d+ bytes of \d+ are left of it)")
SNAPSHOT = re.compile(r"snapshot-\d+\.dsk is damaged")
ERASED = "of an unfinished write at the journal's end"
TORN_PAYLOAD_BYTES = (0, 700, 5000, 70_000)


def frames(data: bytes) -> list[int]:
    """Where the frames of a segment begin, and behind the last one where it ends."""
    begins = [0]
    for payload in scan_segment("", data, None, is_last=True).payloads:
        begins.append(begins[-1] + HEADER_BYTES + len(payload))
    return begins


def _overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flip(path: Path, offset: int, rng: random.Random) -> None:
    """Turn one bit over; a byte that would become zero keeps another bit, so that no sector is cleared by chance."""
    with path.open("rb") as file:
        file.seek(offset)
        old = file.read(1)[0]
    bits = [old ^ (1 << bit) for bit in range(8)]
    _overwrite(path, offset, bytes([rng.choice([new for new in bits if new])]))


def last_segment(folder: Path) -> Path:
    """The segment that is written to."""
    return max(folder.glob("journal-*.seg"))


def tear(folder: Path, rng: random.Random) -> bool:
    """Begin one more frame behind the last one and leave it unfinished, sector by sector. False when there is no room for it."""
    path = last_segment(folder)
    data = path.read_bytes()
    scanned = scan_segment(path.name, data, None, is_last=True)
    frame = encode_frame(scanned.next_sequence, rng.randbytes(rng.choice(TORN_PAYLOAD_BYTES) + 600))
    if scanned.end_bytes + len(frame) > len(data) or not scanned.payloads:
        return False
    torn = bytearray(frame)
    edge = SECTOR_BYTES - scanned.end_bytes % SECTOR_BYTES  # the first sector is shared with the frame before
    edges = [0, *range(edge, len(frame), SECTOR_BYTES), len(frame)]
    shares = list(itertools.pairwise(edges))
    written = set(rng.sample(shares, rng.randint(1, len(shares) - 1)))  # devices write sectors in any order
    for begin, end in shares:
        if (begin, end) not in written:
            torn[begin:end] = bytes(end - begin)
    _overwrite(path, scanned.end_bytes, bytes(torn))
    return True


def damage_journal(folder: Path, rng: random.Random) -> str:
    """Flip a bit in the last frame or an older one, or cut the file in or behind the last; what was done."""
    path = last_segment(folder)
    begins = frames(path.read_bytes())
    way = rng.choice(("a bit of the last frame", "a bit of an older frame", "cut"))
    if way == "cut":
        at = rng.randrange(begins[-2], begins[-1] + 1)  # also between two frames
        os.truncate(path, at)
        return f"{path.name} cut at byte {at}"
    which = len(begins) - 2 if way == "a bit of the last frame" else rng.randrange(max(1, len(begins) - 2))
    offset = rng.randrange(begins[which], begins[which + 1])
    flip(path, offset, rng)
    return f"{way} of {path.name}, byte {offset}"


def damage_snapshot(folder: Path, rng: random.Random) -> str:
    """Flip a bit of the newest snapshot, or cut it; what was done."""
    path = max(folder.glob("snapshot-*.dsk"))
    offset = rng.randrange(path.stat().st_size)
    if rng.random() < 0.5:
        os.truncate(path, offset)
        return f"{path.name} cut at byte {offset}"
    with path.open("rb") as file:
        file.seek(offset)
        old = file.read(1)[0]
    _overwrite(path, offset, bytes([old ^ (1 << rng.randrange(8))]))
    return f"a bit of {path.name}, byte {offset}"


async def torn_tail(at: Field, seconds: float) -> None:
    """A member died in the middle of a write: it erases what is unfinished, says so, and serves."""
    node = at.victim()
    with at.striking("torn-tail", node.id):
        node.kill()
        torn = tear(node.data_dir, at.rng)
        await asyncio.sleep(min(seconds, 1.0))
        await again(at, [node])
        if torn and not any(ERASED in line for line in node.last_run()):
            at.wrong.append(f"torn-tail: {node.id} does not say that it erased a torn write: {node.tail(8)}")


async def damaged_journal(at: Field, _seconds: float) -> None:
    """A synced frame is damaged: the member refuses to start, and is fetched anew."""
    node = at.victim()
    with at.striking("damaged-journal", node.id):
        node.kill()
        done = damage_journal(node.data_dir, at.rng)
        await _refused_and_fetched(at, node, f"damaged-journal ({done})", JOURNAL)


async def damaged_snapshot(at: Field, _seconds: float) -> None:
    """The newest snapshot is damaged: the member refuses to start, and is fetched anew."""
    node = at.victim()
    with at.striking("damaged-snapshot", node.id):
        await ask_for_snapshot(at, node)
        node.kill()
        if not list(node.data_dir.glob("snapshot-*.dsk")):
            await again(at, [node])
            return
        done = damage_snapshot(node.data_dir, at.rng)
        await _refused_and_fetched(at, node, f"damaged-snapshot ({done})", SNAPSHOT)


async def _refused_and_fetched(at: Field, node: NodeProcess, kind: str, expected: re.Pattern[str]) -> None:
    node.start()
    try:
        await node.wait_for_exit(READY_SECONDS)
    except TimeoutError:
        at.wrong.append(f"{kind}: {node.id} runs over damaged files: {node.tail(8)}")
        node.kill()
    else:
        check_end(at, node, kind, expected)
    await fetch_anew(at, node)
