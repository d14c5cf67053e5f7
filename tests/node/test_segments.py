"""The journal's files: what was synced is found again or its loss is noticed; what was not synced may go, and nothing else.

The rules of `node.segments` are tried at every place where a crash or a flipped bit can strike, on real files and on
the disk of the simulator, whose files can be damaged byte by byte.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from node.disk import Disk, RealDisk
from node.segments import (
    HEADER_BYTES,
    SECTOR_BYTES,
    CorruptJournalError,
    SegmentedLog,
    encode_frame,
    scan_segment,
)
from tests.simulation.disk import SimDisk, SimulatedCrashError

SEGMENT_BYTES = 8 << 10
PREAMBLE = b"[preamble]"
FIRST, SECOND = "journal-0000000001.seg", "journal-0000000002.seg"


@pytest.fixture(params=["real", "simulated"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    if request.param == "real":
        return RealDisk(tmp_path)
    return SimDisk(random.Random(1))


def opened(disk: Disk, segment_bytes: int = SEGMENT_BYTES) -> tuple[SegmentedLog, list[bytes]]:
    log = SegmentedLog(disk, segment_bytes)
    return log, [payload for _, payload in log.recover()]


def text(number: int, size_bytes: int = 100) -> bytes:
    """A payload without any zero byte, so that zero sectors are only those that were never written."""
    return f"payload {number} ".encode().ljust(size_bytes, b"x")


def spoil(disk: Disk, name: str, offset: int, data: bytes) -> None:
    file = disk.open(name)
    file.write_durably(data, offset)
    file.close()


def test_what_was_appended_is_read_again_and_goes_on(disk: Disk) -> None:
    """Round trip over several openings: payloads in order, groups joined to one frame, sequence unbroken."""
    expected: list[bytes] = []
    for opening in range(4):
        log, found = opened(disk)
        assert found == expected
        for number in range(5):
            log.append([text(opening, 50), text(number, 70)], number, PREAMBLE)
            expected.append(text(opening, 50) + text(number, 70))
        log.close()
        if opening == 0:
            expected[0] = PREAMBLE + expected[0]
    assert opened(disk)[1] == expected


def test_segments_turn_over_and_each_begins_with_the_preamble(disk: Disk) -> None:
    """A full segment is followed by the next number, whose first frame can be read without the older ones."""
    log, _ = opened(disk)
    for number in range(40):
        log.append([text(number, 700)], number, PREAMBLE)
    names = [name for name in disk.names() if name.endswith(".seg")]
    assert len(names) > 3
    assert all(disk.size_bytes(name) == SEGMENT_BYTES for name in names)
    for name in names:
        (first, *_) = scan_segment(name, disk.read(name), None, is_last=name == names[-1]).payloads
        assert first.startswith(PREAMBLE)
    assert log.size_bytes > (len(names) - 1) * SEGMENT_BYTES
    found = [payload.removeprefix(PREAMBLE) for payload in opened(disk)[1]]
    assert found == [text(number, 700) for number in range(40)]


def test_a_spare_is_wanted_once_and_used(disk: Disk) -> None:
    """The next segment's zeros are written before they are needed, and turning over only renames them."""
    log, _ = opened(disk)
    log.append([text(0)], 1, PREAMBLE)
    assert not log.wants_spare()
    while not log.wants_spare():
        log.append([text(1, 700)], 1, PREAMBLE)
    log.prepare_spare()
    assert "journal-spare.tmp" in disk.names()
    assert not log.wants_spare()
    while SECOND not in disk.names():
        log.append([text(2, 700)], 1, PREAMBLE)
    assert "journal-spare.tmp" not in disk.names()
    assert opened(disk)[1][-1].endswith(text(2, 700))


def test_a_left_over_spare_of_any_content_does_no_harm(disk: Disk) -> None:
    """A crash while the spare was made leaves half of one; the next segment is made of zeros all the same."""
    log, _ = opened(disk)
    log.append([text(0)], 1, PREAMBLE)
    disk.create("journal-spare.tmp").write_durably(encode_frame(2, text(9)) * 5, 0)
    log, _ = opened(disk)
    expected = [PREAMBLE + text(0)]
    while SECOND not in disk.names():
        log.append([text(1, 700)], 1, PREAMBLE)
        expected.append(text(1, 700))
    expected[-1] = PREAMBLE + expected[-1]
    assert opened(disk)[1] == expected


def test_a_frame_over_the_limit_is_refused_before_anything_is_written(disk: Disk) -> None:
    """The answer of the limit is an error, and the journal stays usable."""
    log, _ = opened(disk)
    with pytest.raises(ValueError, match="over the limit"):
        log.append([bytes(SEGMENT_BYTES // 2)], 1, PREAMBLE)
    log.append([text(1)], 1, PREAMBLE)
    assert opened(disk)[1] == [PREAMBLE + text(1)]


def torn(frame: bytes, offset: int, kept: int) -> bytes:
    """The frame as a device left it that wrote only some of its sectors: those whose bits are set in `kept`."""
    first = offset // SECTOR_BYTES
    return bytes(
        byte if kept >> ((offset + position) // SECTOR_BYTES - first) & 1 else 0
        for position, byte in enumerate(frame)
    )


@pytest.mark.parametrize("start", [0, 1, 5, HEADER_BYTES - 1, HEADER_BYTES, 200, SECTOR_BYTES - 1])
def test_every_torn_last_frame_is_erased_and_appending_goes_on(start: int) -> None:
    """All subsets of the sectors of the last frame, at positions where its header lies across two sectors as well.

    `start` is how many bytes of the frame lie in its first sector.
    """
    size_bytes = 3 * SECTOR_BYTES
    for kept in range(1 << 5):
        disk = SimDisk(random.Random(1))
        log, _ = opened(disk)
        filler = 2 * SECTOR_BYTES - start - 2 * HEADER_BYTES - len(PREAMBLE) - 50
        log.append([text(1, 50)], 1, PREAMBLE)
        log.append([text(2, filler)], 2, PREAMBLE)
        offset = 2 * SECTOR_BYTES - start
        frame = encode_frame(3, text(3, size_bytes))
        first_sector, last_sector = offset // SECTOR_BYTES, (offset + len(frame) - 1) // SECTOR_BYTES
        if kept >= 1 << (last_sector - first_sector + 1):
            continue
        damaged = torn(frame, offset, kept)
        spoil(disk, FIRST, offset, damaged)
        log, found = opened(disk)
        whole = damaged == frame
        assert found == [PREAMBLE + text(1, 50), text(2, filler), *([text(3, size_bytes)] if whole else [])]
        if not whole:
            assert log.torn_bytes == len(damaged.rstrip(b"\0"))
            assert not any(disk.read(FIRST, offset))
        log.append([text(4)], 4, PREAMBLE)
        assert opened(disk)[1] == [*found, text(4)], (start, kept)


@pytest.mark.parametrize("seed", range(40))
def test_a_crash_in_any_append_loses_at_most_that_append(seed: int) -> None:
    """On the lossy disk of the simulator, at each system call of an append, rotation included."""
    rng = random.Random(seed)
    for call in range(8):
        disk = SimDisk(rng)
        log, _ = opened(disk, 4 << 10)
        synced: list[bytes] = []
        disk.crash_in = call + rng.randrange(30)
        attempted = b""
        try:
            for number in range(30):
                attempted = text(number, rng.choice([20, 300, 900, 1700]))
                log.append([attempted], number, b"")
                synced.append(attempted)
        except SimulatedCrashError:
            pass
        disk.crash()
        log, found = opened(disk, 4 << 10)
        assert found in (synced, [*synced, attempted])
        log.append([b"more"], 99, b"")
        assert opened(disk, 4 << 10)[1] == [*found, b"more"]


def three_frames() -> tuple[SimDisk, list[int]]:
    """Three frames over several sectors, and where each begins."""
    disk = SimDisk(random.Random(1))
    log, _ = opened(disk)
    starts = []
    for number, size_bytes in enumerate([90, 700, 600]):
        starts.append(log.size_bytes)
        log.append([text(number, size_bytes)], number, b"")
    return disk, [*starts, log.size_bytes]


@pytest.mark.parametrize("bit", [0, 3, 7])
def test_every_flipped_bit_in_a_synced_frame_is_corruption(bit: int) -> None:
    """No position of any frame may pose as the log's end: neither in the header nor in the payload, nor in the last frame."""
    disk, bounds = three_frames()
    data = disk.read(FIRST)
    for position in range(bounds[-1]):
        damaged = bytearray(data)
        damaged[position] ^= 1 << bit
        for is_last in (True, False):
            with pytest.raises(CorruptJournalError):
                scan_segment(FIRST, bytes(damaged), 1, is_last)


def test_a_whole_byte_replaced_is_corruption_too() -> None:
    """As above with bytes that become zero or 0xff, as failing cells do."""
    disk, bounds = three_frames()
    data = disk.read(FIRST)
    for position in range(bounds[-1]):
        for value in (0x00, 0xFF):
            damaged = bytearray(data)
            damaged[position] = value
            if bytes(damaged) == data:
                continue
            with pytest.raises(CorruptJournalError):
                scan_segment(FIRST, bytes(damaged), 1, is_last=True)


def test_a_cleared_sector_is_a_torn_write_in_the_last_frame_only() -> None:
    """The documented limit: in the last frame it cannot be told from a torn write; anywhere else it is corruption."""
    disk, bounds = three_frames()
    data = disk.read(FIRST)
    for sector in range(bounds[-1] // SECTOR_BYTES + 1):
        damaged = bytearray(data)
        start, end = sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES
        damaged[start:end] = bytes(SECTOR_BYTES)
        if start >= bounds[2]:
            assert len(scan_segment(FIRST, bytes(damaged), 1, is_last=True).payloads) == 2
        else:
            with pytest.raises(CorruptJournalError):
                scan_segment(FIRST, bytes(damaged), 1, is_last=True)


def test_a_file_that_was_cut_is_corruption_wherever_it_ends() -> None:
    """Between two frames as well, where what is left looks whole."""
    disk, bounds = three_frames()
    data = disk.read(FIRST)
    for size_bytes in (*range(bounds[-1] + 40), len(data) - 1):
        disk.create(FIRST).write_durably(data[:size_bytes], 0)
        with pytest.raises(
            CorruptJournalError, match=f"{FIRST}: {size_bytes} bytes of {len(data)} are left of it"
        ):
            opened(disk, len(data))


def test_garbage_behind_the_last_frame_is_corruption() -> None:
    """Nothing writes there but a frame, and this is none, nor a torn one."""
    disk, bounds = three_frames()
    spoil(disk, FIRST, bounds[-1], b"\x01" * 400)
    with pytest.raises(CorruptJournalError):
        opened(disk)


def filled(disk: Disk) -> list[str]:
    log, _ = opened(disk)
    for number in range(40):
        log.append([text(number, 700)], number, PREAMBLE)
    log.close()
    return [name for name in disk.names() if name.endswith(".seg")]


def test_a_missing_middle_segment_stops(disk: Disk) -> None:
    """Going on would forget what stood in it."""
    names = filled(disk)
    disk.remove(names[1])
    with pytest.raises(CorruptJournalError):
        opened(disk)


def test_an_empty_middle_segment_stops(disk: Disk) -> None:
    """A file that lost its content (all zeros) is noticed by the gap in the sequence."""
    names = filled(disk)
    spoil(disk, names[1], 0, bytes(SEGMENT_BYTES))
    with pytest.raises(CorruptJournalError):
        opened(disk)


def test_a_shortened_older_segment_stops(disk: Disk) -> None:
    """The frames behind the cut are missing from the sequence."""
    names = filled(disk)
    content = disk.read(names[1], 0, SEGMENT_BYTES // 2)
    disk.create(names[1]).write_durably(content, 0)
    with pytest.raises(CorruptJournalError):
        opened(disk)


def test_an_older_segment_in_place_of_a_newer_one_stops(disk: Disk) -> None:
    """Frames are numbered over all segments, so an old copy of a file does not fit in."""
    names = filled(disk)
    disk.create(names[2]).write_durably(disk.read(names[1]), 0)
    with pytest.raises(CorruptJournalError, match="was expected"):
        opened(disk)


def test_a_wrong_sequence_within_a_segment_stops(disk: Disk) -> None:
    """A valid frame of another number is not the next frame."""
    log, _ = opened(disk)
    log.append([text(1)], 1, b"")
    offset = log.size_bytes
    for wrong in (1, 3, 2**40):
        spoil(disk, FIRST, offset, encode_frame(wrong, text(2)))
        with pytest.raises(CorruptJournalError, match="was expected"):
            opened(disk)


def test_only_segments_wholly_at_or_below_the_index_are_dropped(disk: Disk) -> None:
    """What a snapshot does not cover stays, and so does the open segment whatever it holds."""
    names = filled(disk)
    first_of_second = int(scan_segment(names[1], disk.read(names[1]), None, False).payloads[0].split()[1])
    log = SegmentedLog(disk, SEGMENT_BYTES)
    for segment_number, payload in log.recover():
        log.note_index(segment_number, int(payload.removeprefix(PREAMBLE).split()[1]))
    log.drop_through(first_of_second - 2)
    assert names[0] in disk.names()
    log.drop_through(first_of_second - 1)
    assert [name for name in disk.names() if name.endswith(".seg")] == names[1:]
    log.drop_through(10_000)
    assert [name for name in disk.names() if name.endswith(".seg")] == names[-1:]
    log.append([b"more"], 41, PREAMBLE)
    assert opened(disk)[1][-1] == b"more"


@pytest.mark.parametrize("seed", range(12))
def test_a_crash_in_starting_over_leaves_the_old_journal_or_the_new(seed: int) -> None:
    """At each system call: either everything that was synced is read, or the reset frame is the last thing that is."""
    for call in range(40):
        disk = SimDisk(random.Random(seed * 100 + call))
        names = filled(disk)
        log, before = opened(disk)
        disk.crash_in = call
        finished = True
        try:
            log.start_over(b"[reset]", 1000)
        except SimulatedCrashError:
            finished = False
        disk.crash()
        log, found = opened(disk)
        assert found == before or found[-1] == b"[reset]"
        assert not finished or found == [b"[reset]"]
        log.append([b"more"], 1001, PREAMBLE)
        assert opened(disk)[1] == [*found, b"more"]
        if finished:
            assert call > len(names), "it takes a system call to remove each old segment"
            return
    pytest.fail("starting over never finished")
