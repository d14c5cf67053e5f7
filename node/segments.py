"""The journal on disk: an append-only sequence of checksummed frames in preallocated segment files.

Why its own format: the stock journal is never synced, has no checksums and is rewritten in place at compaction, which
loses its tail when the process dies in the middle. Here nothing that was synced is ever written again.

Layout. A segment `journal-<number>.seg` is SEGMENT_BYTES of zeros at birth; frames are written one behind the other:

    magic u32 | sequence u64 | length u32 | payload crc32 u32 | header crc32 u32 | payload

One write is one frame, synced before the next begins. `sequence` counts frames over all segments without gap.
The header has a checksum of its own, so that a flipped bit in
the length cannot pose as the end of the log. One frame holds everything that one turn of the event loop wanted to
keep, so a turn is durable as a whole or not at all.

Reading. The first position that holds no valid frame ends the log if (a) only zeros follow: a clean end, or (b) it
is a torn write: the write that was under way when the machine stopped. Because the file held zeros and devices write whole sectors
of SECTOR_BYTES, a torn frame has at least one sector that is still all zero. A torn end is erased: it was never synced, so nobody was told of it.
Everything else (no zero sector, a valid frame further on, a gap in the sequence, damage in an older segment, a file shorter than it was made)
is corruption, and the member stops: going on would mean to have forgotten something that it promised.

Limits. A frame of which every sector is written but whose last sync never returned is taken as written: more durable than promised.
Damage to the very last frame that happens to clear a whole sector cannot be told from a torn write.
"""

from __future__ import annotations

import struct
import threading
import zlib
from dataclasses import dataclass

from node.disk import Disk, File, StorageError

SEGMENT_BYTES = 8 << 20
SECTOR_BYTES = 512
_MAGIC = 0x4453_4B31  # "DSK1"
_HEADER = struct.Struct("<IQIII")
_HEADER_BODY = struct.Struct("<IQII")
HEADER_BYTES = _HEADER.size
_SPARE = "journal-spare.tmp"


class CorruptJournalError(StorageError):
    """The journal holds something that was never written, or lacks something that was."""


def encode_frame(sequence: int, payload: bytes) -> bytes:
    """One frame as it stands on disk."""
    body = _HEADER_BODY.pack(_MAGIC, sequence, len(payload), zlib.crc32(payload))
    return body + zlib.crc32(body).to_bytes(4, "little") + payload


def _frame_at(data: bytes, offset: int) -> tuple[int, bytes] | None:
    """(sequence, payload) of the valid frame at `offset`, or None."""
    if offset + HEADER_BYTES > len(data):
        return None
    magic, sequence, length, payload_crc, header_crc = _HEADER.unpack_from(data, offset)
    if magic != _MAGIC or zlib.crc32(data[offset : offset + HEADER_BYTES - 4]) != header_crc:
        return None
    payload = data[offset + HEADER_BYTES : offset + HEADER_BYTES + length]
    if len(payload) != length or zlib.crc32(payload) != payload_crc:
        return None
    return sequence, payload


def _claimed_end(data: bytes, offset: int) -> int:
    """Where the broken frame at `offset` ends: by its header when that is whole, else behind the last non-zero byte.

    A frame is never shorter than its header, of which only the first sector's share may have been written.
    """
    if offset + HEADER_BYTES <= len(data):
        magic, _, length, _, header_crc = _HEADER.unpack_from(data, offset)
        if magic == _MAGIC and zlib.crc32(data[offset : offset + HEADER_BYTES - 4]) == header_crc:
            return min(len(data), offset + HEADER_BYTES + int(length))
    return min(len(data), max(len(data.rstrip(b"\0")), offset + HEADER_BYTES))


def _has_zero_sector(data: bytes, start: int, end: int) -> bool:
    """Whether some sector's share of `data[start:end]` is all zero, as in a frame that was not wholly written."""
    while start < end:
        stop = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
        if not any(data[start:stop]):
            return True
        start = stop
    return False


@dataclass(frozen=True, slots=True)
class ScannedSegment:
    """What one segment holds: payloads in order, where they end, and how many bytes of a torn write follow."""

    payloads: list[bytes]
    next_sequence: int
    end_bytes: int
    torn_bytes: int


def scan_segment(name: str, data: bytes, first_sequence: int | None, is_last: bool) -> ScannedSegment:
    """Read a segment by the rules above. `first_sequence` None accepts any start (older segments were dropped).

    Raises CorruptJournalError.
    """
    payloads: list[bytes] = []
    offset = 0
    sequence = first_sequence
    while True:
        frame = _frame_at(data, offset)
        if frame is None:
            break
        if sequence is not None and frame[0] != sequence:
            raise CorruptJournalError(
                f"{name}: frame {frame[0]} at byte {offset} where frame {sequence} was expected"
            )
        sequence = frame[0] + 1
        payloads.append(frame[1])
        offset += HEADER_BYTES + len(frame[1])
    rest_end = len(data.rstrip(b"\0"))
    if rest_end <= offset:
        return ScannedSegment(payloads, sequence or 0, offset, 0)
    torn_end = _claimed_end(data, offset)
    later = data.find(_MAGIC.to_bytes(4, "little"), offset + 1)
    while later != -1:
        found = _frame_at(data, later)
        if found is not None and (sequence is None or found[0] >= sequence):
            raise CorruptJournalError(
                f"{name}: the frame at byte {offset} is damaged, and whole ones follow it"
            )
        later = data.find(_MAGIC.to_bytes(4, "little"), later + 1)
    if rest_end > torn_end:
        # One write is one frame and only the last write can be torn, so nothing ever stands behind a torn frame.
        raise CorruptJournalError(f"{name}: the frame at byte {offset} is damaged, and more follows it")
    if not is_last or not _has_zero_sector(data, offset, torn_end):
        raise CorruptJournalError(f"{name}: the frame at byte {offset} is damaged (checksum)")
    return ScannedSegment(payloads, sequence or 0, offset, rest_end - offset)


def scan_journal(disk: Disk, segment_bytes: int = SEGMENT_BYTES) -> list[tuple[int, str, ScannedSegment]]:
    """Read all segments in order: number, name, content. Writes nothing. Raises CorruptJournalError."""
    names = [name for name in disk.names() if name.startswith("journal-") and name.endswith(".seg")]
    scanned: list[tuple[int, str, ScannedSegment]] = []
    sequence: int | None = None
    for position, name in enumerate(names):
        data = disk.read(name)
        if len(data) < segment_bytes:
            # It had its full size before it had its name, so what is missing was there, and may have ended between two frames.
            raise CorruptJournalError(f"{name}: {len(data)} bytes of {segment_bytes} are left of it")
        segment = scan_segment(name, data, sequence, is_last=position == len(names) - 1)
        number = int(name[8:-4])
        if scanned and number != scanned[-1][0] + 1:
            raise CorruptJournalError(f"a segment is missing between {scanned[-1][1]} and {name}")
        scanned.append((number, name, segment))
        if segment.payloads:
            sequence = segment.next_sequence
    return scanned


@dataclass(slots=True)
class _Segment:
    name: str
    number: int
    max_index: int = 0


class SegmentedLog:
    """The append side. `append` blocks until durable and is called by one thread at a time.

    `max_index` of a segment is the highest log index written in it, which decides when it may be dropped.
    """

    def __init__(self, disk: Disk, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._disk = disk
        self._segment_bytes = segment_bytes
        self.max_frame_bytes = segment_bytes // 2
        self._segments: list[_Segment] = []
        self._file: File | None = None
        self._offset = 0
        self._sequence = 1
        self._spare_lock = threading.Lock()
        self._has_spare = False
        self.torn_bytes = 0

    @property
    def size_bytes(self) -> int:
        """Bytes used, full segments counted whole."""
        return max(0, len(self._segments) - 1) * self._segment_bytes + self._offset

    def recover(self) -> list[tuple[int, bytes]]:
        """Every payload on disk with the number of its segment, in order. Erases a torn end. Once, before `append`."""
        result: list[tuple[int, bytes]] = []
        sequence: int | None = None
        scanned = None
        for number, name, scanned in scan_journal(self._disk, self._segment_bytes):
            self._segments.append(_Segment(name, number))
            result.extend((number, payload) for payload in scanned.payloads)
            if scanned.payloads:
                sequence = scanned.next_sequence
        self._sequence = sequence or 1
        if scanned is not None:
            self._file = self._disk.open(self._segments[-1].name)
            self._offset = scanned.end_bytes
            self.torn_bytes = scanned.torn_bytes
            if scanned.torn_bytes:
                self._file.write_durably(bytes(scanned.torn_bytes), self._offset)
            # If only the process died, what was read may stand in the page cache alone, and names may be new as well.
            # It is about to be relied upon, so it is made durable first.
            self._file.sync()
            self._disk.sync_directory()
        return result

    def note_index(self, segment_number: int, index: int) -> None:
        """Recovery tells which log indexes stand in which segment."""
        for segment in reversed(self._segments):
            if segment.number == segment_number:
                segment.max_index = max(segment.max_index, index)
                return

    def append(self, payloads: list[bytes], max_index: int, preamble: bytes) -> None:
        """Write payloads durably as *one* frame; `max_index` is the highest log index in them, or 0.

        One frame, because a group of frames written together can be torn out of order, and then a whole frame behind a
        damaged one would look like corruption. When a new segment begins, `preamble` (what a reader must know if the older
        segments are gone) comes first.
        """
        body = b"".join(payloads)
        if HEADER_BYTES + len(body) + len(preamble) > self.max_frame_bytes:
            raise ValueError(f"a frame of {len(body)} bytes is over the limit of {self.max_frame_bytes}")
        if self._file is None or self._offset + HEADER_BYTES + len(body) > self._segment_bytes:
            self._rotate()
            body = preamble + body
        self._write(body)
        self._segments[-1].max_index = max(self._segments[-1].max_index, max_index)

    def _write(self, body: bytes) -> None:
        assert self._file is not None
        frame = encode_frame(self._sequence, body)
        self._file.write_durably(frame, self._offset)
        self._sequence += 1
        self._offset += len(frame)

    def wants_spare(self) -> bool:
        """Whether the next segment should be prepared now, so that no append waits for it."""
        return (
            self._offset > self._segment_bytes // 2 and not self._has_spare and not self._spare_lock.locked()
        )

    def prepare_spare(self) -> None:
        """Write the zeros of the next segment. May run in a thread beside `append`."""
        with self._spare_lock:
            if not self._has_spare:
                self._disk.create(_SPARE, self._segment_bytes).close()
                self._has_spare = True

    def drop_through(self, index: int) -> None:
        """Remove old segments in which every entry is at or below `index`. The open one stays."""
        while len(self._segments) > 1 and self._segments[0].max_index <= index:
            self._drop_oldest()

    def start_over(self, payload: bytes, max_index: int) -> None:
        """Replace the whole journal by one frame (an installed snapshot superseded it).

        The new segment is durable before the old ones go; a reader that finds both sees the reset frame last.
        """
        self._rotate()
        self._write(payload)
        self._segments[-1].max_index = max_index
        while len(self._segments) > 1:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        """One at a time: removals that were not synced may survive a crash in any order, and leave a gap between segments."""
        self._disk.remove(self._segments.pop(0).name)
        self._disk.sync_directory()

    def close(self) -> None:
        """Close the open segment."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _rotate(self) -> None:
        number = self._segments[-1].number + 1 if self._segments else 1
        name = f"journal-{number:010d}.seg"
        self.prepare_spare()
        with self._spare_lock:
            self._disk.rename(_SPARE, name)
            self._has_spare = False
        self._disk.sync_directory()
        if self._file is not None:
            self._file.close()
        self._file = self._disk.open(name)
        self._segments.append(_Segment(name, number))
        self._offset = 0
