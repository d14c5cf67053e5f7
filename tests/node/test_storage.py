"""A member's directory as a whole: journal and snapshots fit together, or the member stops and says what to do.

Crashes strike at every system call of the steps that replace something; after each, a reader finds the old or the new,
never less than either.
"""

from __future__ import annotations

import random
import subprocess
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest
from msgspec import msgpack, structs

from node import snapshots, storage
from node.disk import Disk, RealDisk, StorageError
from node.journal import NO_OP, Entry, RaftJournal
from node.membership import Configuration, Placed, birth
from node.segments import CorruptJournalError
from node.snapshots import CorruptSnapshotError, SnapshotHead, SnapshotReceiver, SnapshotWriter
from statemachine.state import State
from tests.simulation.disk import SimDisk, SimulatedCrashError
from tests.statemachine import builders

SEGMENT_BYTES = 32 << 10


def cluster_yml(*ids: str, raft_port: int = 7000) -> Placed:
    """What cluster.yml says with those nodes in it."""
    return Placed(0, birth({id_: (f"{id_}:{raft_port}", f"{id_}:8000") for id_ in ids}))


BIRTH = cluster_yml("n1", "n2", "n3")
FOUNDED = Configuration(
    "f" * 32,
    tuple(structs.replace(seat, incarnation=f"disk of {seat.id}") for seat in BIRTH.configuration.seats),
)
IN_FORCE = Placed(1, FOUNDED)
IDENTITY = storage.Identity(2, "desks", "n1", "1" * 32, BIRTH)


@pytest.fixture(params=["real", "simulated"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    return RealDisk(tmp_path) if request.param == "real" else SimDisk(random.Random(1))


def entry(index: int, term: int = 1) -> Entry:
    return b"\x00" + f"command {index} ".encode().ljust(200, b"."), index, term


def extend(opened: storage.Opened, indexes: Iterable[int], term: int = 1) -> None:
    """Append entries one frame each, durably, as the journal's thread does."""
    opened.journal.setCurrentTerm(term, "n1")
    for index in indexes:
        opened.journal.add(*entry(index, term))
        flush(opened)


def flush(opened: storage.Opened) -> None:
    for payload, max_index in opened.journal.take_frames():
        opened.log.append([payload], max_index, opened.journal.preamble())


def some_state(index: int) -> State:
    """A state with something in it, as of `index`."""
    world = builders.World()
    while world.state.index < index:
        world.do(builders.birth())
    return world.state


def write_snapshot(disk: Disk, opened: storage.Opened, index: int, placed: Placed = IN_FORCE) -> str:
    head = SnapshotHead(opened.journal.entry_at(index - 1), opened.journal.entry_at(index), placed)
    writer = SnapshotWriter(disk, head, some_state(index).freeze())
    while not writer.step():
        pass
    return writer.publish()


def reopened(disk: Disk) -> storage.Opened:
    return storage.open_storage(disk, IDENTITY, SEGMENT_BYTES)


def test_journal_round_trip_with_truncation_and_vote(disk: Disk) -> None:
    """Appended, truncated and rewritten entries, term and vote are what they were after any number of openings."""
    opened = reopened(disk)
    assert opened.head is None
    extend(opened, range(2, 30))
    opened.journal.deleteEntriesFrom(20 - opened.journal.first_index)
    opened.journal.setCurrentTerm(3, "n2")
    flush(opened)
    extend(opened, range(20, 25), term=3)
    for _ in range(2):
        again = reopened(disk).journal
        assert again.entries == opened.journal.entries
        assert (again.term, again.vote) == (3, "n1")
        assert again.getRaftCommitIndex() == 1


def test_a_large_turn_is_cut_into_frames_that_fit() -> None:
    """However much one turn appends, each frame stays below the limit of the segments, and nothing is lost."""
    journal = RaftJournal()
    journal.setCurrentTerm(1, None)
    for index in range(2, 42):
        journal.add(b"\x00" + bytes(256 << 10), index, 1)
    frames = journal.take_frames()
    assert journal.take_frames() == []
    assert len(frames) > 5
    assert all(len(payload) < 2 << 20 for payload, _ in frames)
    assert frames[-1][1] == 41
    replayed, highest = RaftJournal.replay([payload for payload, _ in frames])
    assert replayed.entries == journal.entries
    assert highest == [max_index for _, max_index in frames]


def test_a_gap_between_entries_is_corruption() -> None:
    """A frame of valid bytes that lacks an entry is noticed, and so is one of unknown content."""
    journal = RaftJournal()
    journal.add(b"\x00a", 2, 1)
    journal.take_frames()
    journal.add(b"\x00b", 3, 1)
    (late,) = journal.take_frames()
    other = RaftJournal()
    other.add(b"\x00a", 2, 1)
    (early,) = other.take_frames()
    with pytest.raises(CorruptJournalError):
        RaftJournal.replay([early[0], early[0]])
    with pytest.raises(CorruptJournalError, match="follows"):
        RaftJournal.replay([early[0], RaftJournal().reset_frame(entry(8), entry(9)), late[0]])
    with pytest.raises(CorruptJournalError, match="unknown"):
        RaftJournal.replay([b"\x91\x91\xa1x"])


@pytest.mark.parametrize("content", [b"\xc1", b"\x91\x05", b"\x92", b"\x91\x91\xa1v"])
def test_frames_of_nonsense_stop_the_member(disk: Disk, content: bytes) -> None:
    """A checksum only says that the bytes were written; what they say is checked as well."""
    opened = reopened(disk)
    opened.log.append([content], 1, b"")
    with pytest.raises(StorageError):
        reopened(disk)


def test_a_snapshot_and_the_entries_behind_it_are_one(disk: Disk) -> None:
    """After a restart the log begins with the snapshot's two entries and goes on with the journal's."""
    opened = reopened(disk)
    extend(opened, range(2, 61))
    write_snapshot(disk, opened, 40)
    storage.drop_old(disk, opened.log)
    again = reopened(disk)
    assert again.head is not None
    assert again.head.last_index == 40
    assert again.journal.entries == opened.journal.entries[38:]
    assert again.journal.getRaftCommitIndex() == 40
    assert again.state.checksum() == some_state(40).checksum()


def test_dropping_keeps_what_the_older_of_two_snapshots_needs(disk: Disk) -> None:
    """With the newest snapshot gone bad and taken away, the one before and the journal still hold everything."""
    opened = reopened(disk)
    extend(opened, range(2, 301))
    for index in (50, 120, 250, 290):
        write_snapshot(disk, opened, index)
        storage.drop_old(disk, opened.log)
        assert len(snapshots.published(disk)) <= 2
    assert snapshots.published(disk) == [snapshots.snapshot_name(250), snapshots.snapshot_name(290)]
    assert "journal-0000000001.seg" not in disk.names(), "old segments are given back"
    disk.remove(snapshots.snapshot_name(290))
    again = reopened(disk)
    assert again.head is not None
    assert again.head.last_index == 250
    assert again.journal.last_index == 300
    assert again.journal.entries[1:] == opened.journal.entries[249:]


def test_a_gap_between_snapshot_and_journal_stops(disk: Disk) -> None:
    """Without the snapshots, or with one that is too old, the entries between are missing: no guess is made."""
    opened = reopened(disk)
    extend(opened, range(2, 301))
    for index in (10, 200, 250):
        write_snapshot(disk, opened, index)
    kept = disk.read(snapshots.snapshot_name(10))
    storage.drop_old(disk, opened.log)
    for name in snapshots.published(disk):
        disk.remove(name)
    with pytest.raises(CorruptJournalError, match="no snapshot"):
        reopened(disk)
    disk.create(snapshots.snapshot_name(10)).write_durably(kept, 0)
    with pytest.raises(CorruptJournalError, match="the snapshot ends at entry 10"):
        reopened(disk)


def test_a_snapshot_without_any_journal_stops(disk: Disk) -> None:
    """A member always has a journal beside a snapshot; without it, its vote and what it acknowledged since are forgotten."""
    opened = reopened(disk)
    extend(opened, range(2, 61))
    write_snapshot(disk, opened, 40)
    opened.log.close()
    for name in disk.names():
        if name.endswith(".seg"):
            disk.remove(name)
    with pytest.raises(StorageError, match="journal"):
        reopened(disk)


def test_a_snapshot_from_the_leader_outweighs_a_journal_that_contradicts_it(disk: Disk) -> None:
    """The process died between taking the snapshot and starting its journal over: the snapshot is the whole log."""
    opened = reopened(disk)
    extend(opened, range(2, 61), term=2)
    source = reopened(other := SimDisk(random.Random(2)))
    extend(source, range(2, 101), term=5)
    name = write_snapshot(other, source, 50)
    disk.create(name).write_durably(other.read(name), 0)
    for _ in range(2):
        again = reopened(disk)
        assert again.journal.entries == [entry(49, 5), entry(50, 5)]
        assert again.journal.term == 5
        assert again.journal.vote is None, "the vote of term 2 is not one of term 5"


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """A second member in the directory would write over the first; it is refused, and may start when the first has gone."""
    held = RealDisk(tmp_path)
    program = f"from pathlib import Path; from node.disk import RealDisk; RealDisk(Path({str(tmp_path)!r}))"
    refused = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "StorageError" in refused.stderr
    assert "in use by another" in refused.stderr
    with pytest.raises(StorageError, match="in use by another"):
        RealDisk(tmp_path)
    held.close()
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# Snapshots: damage.


@pytest.fixture(scope="module")
def snapshot_bytes() -> bytes:
    disk = SimDisk(random.Random(1))
    opened = reopened(disk)
    extend(opened, range(2, 41))
    return disk.read(write_snapshot(disk, opened, 40))


def damaged_disk(content: bytes, name: str = snapshots.snapshot_name(40)) -> SimDisk:
    """A member's disk as it was when the snapshot was made, with another content of the snapshot's file."""
    disk = SimDisk(random.Random(1))
    extend(reopened(disk), range(2, 41))
    disk.create(name).write_durably(content, 0)
    return disk


def refused(content: bytes, name: str = snapshots.snapshot_name(40)) -> None:
    with pytest.raises(CorruptSnapshotError, match="Do not delete anything by guess"):
        snapshots.load(damaged_disk(content, name), name)


def test_every_flip_in_a_snapshot_is_noticed(snapshot_bytes: bytes) -> None:
    """No byte of the file may change unnoticed: each with one bit, some with all."""
    rng = random.Random(5)
    disk = damaged_disk(snapshot_bytes)
    name = snapshots.snapshot_name(40)
    snapshots.load(disk, name)
    file = disk.open(name)
    for position in range(len(snapshot_bytes)):
        flip = 1 << rng.randrange(8) if position % 3 else 0xFF
        file.write(bytes([snapshot_bytes[position] ^ flip]), position)
        with pytest.raises(CorruptSnapshotError):
            snapshots.load(disk, name)
        file.write(snapshot_bytes[position : position + 1], position)
    snapshots.load(disk, name)


def test_a_cut_lengthened_or_empty_snapshot_is_noticed(snapshot_bytes: bytes) -> None:
    """Less is never taken for all, and more is as wrong."""
    for length in [*range(0, len(snapshot_bytes), 7), len(snapshot_bytes) - 1]:
        refused(snapshot_bytes[:length])
    for garbage in (b"\0", b"x", snapshot_bytes, bytes(4096)):
        refused(snapshot_bytes + garbage)


def test_a_snapshot_carries_the_configuration(snapshot_bytes: bytes) -> None:
    """The entry that made it is gone with the journal, so the header has it, under its checksum."""
    disk = damaged_disk(snapshot_bytes)
    head, _ = snapshots.load(disk, snapshots.snapshot_name(40))
    assert head.placed == IN_FORCE
    assert reopened(disk).journal.base == IN_FORCE


def as_version_1(content: bytes) -> bytes:
    """The same snapshot as a program from before membership wrote it."""
    length = int.from_bytes(content[8:12], "little")
    header = msgpack.encode(msgpack.decode(content[16 : 16 + length])[:2])
    sizes = len(header).to_bytes(4, "little") + zlib.crc32(header).to_bytes(4, "little")
    return b"DSKSNAP1" + sizes + header + content[16 + length :]


def test_a_snapshot_of_version_1_is_still_read(snapshot_bytes: bytes) -> None:
    """It names no configuration: the one of the directory's birth is in force, which was the only one then."""
    disk = damaged_disk(as_version_1(snapshot_bytes))
    head, state = snapshots.load(disk, snapshots.snapshot_name(40))
    assert (head.last_index, head.placed) == (40, None)
    assert state.checksum() == some_state(40).checksum()
    assert reopened(disk).journal.base == IDENTITY.birth


def test_versions_are_not_taken_for_one_another(snapshot_bytes: bytes) -> None:
    """A header of one version under the other's magic, or an unknown version, is damage."""
    refused(b"DSKSNAP1" + snapshot_bytes[8:])
    refused(b"DSKSNAP2" + as_version_1(snapshot_bytes)[8:])
    refused(b"DSKSNAP3" + snapshot_bytes[8:])


def test_a_snapshot_without_a_configuration_is_not_begun() -> None:
    """It would pass for one of version 1, and the member for one with the members of its birth."""
    disk = SimDisk(random.Random(1))
    with pytest.raises(AssertionError, match="configuration"):
        SnapshotWriter(disk, SnapshotHead(entry(39), entry(40), None), some_state(40).freeze())
    assert disk.names() == []


def test_a_renamed_snapshot_is_noticed(snapshot_bytes: bytes) -> None:
    """A file says itself where in the log it stands; its name alone is not believed."""
    refused(snapshot_bytes, snapshots.snapshot_name(39))
    refused(snapshot_bytes, snapshots.snapshot_name(41))


def test_a_corrupt_snapshot_stops_the_member(snapshot_bytes: bytes) -> None:
    """The whole opening fails: no empty state, no falling back to less, and the file stays for whoever looks into it."""
    spoiled = bytearray(snapshot_bytes)
    spoiled[len(spoiled) // 2] ^= 0x40
    disk = damaged_disk(bytes(spoiled))
    for _ in range(2):
        with pytest.raises(StorageError, match=r"snapshot-\d+\.dsk is damaged"):
            reopened(disk)
    assert snapshots.snapshot_name(40) in disk.names()


def test_a_received_snapshot_is_checked_before_it_counts(snapshot_bytes: bytes) -> None:
    """Damage on the way drops the file; pieces out of order are ignored; the whole of it is published."""
    disk = SimDisk(random.Random(1))
    name = snapshots.snapshot_name(40)
    receiver = SnapshotReceiver(disk, name, len(snapshot_bytes))
    receiver.write(0, snapshot_bytes[:100])
    receiver.write(200, b"not the next piece")
    receiver.write(0, b"not again")
    assert receiver.offset_bytes == 100
    receiver.write(100, bytes([snapshot_bytes[100] ^ 1]) + snapshot_bytes[101:])
    assert receiver.complete
    with pytest.raises(CorruptSnapshotError):
        receiver.publish()
    assert disk.names() == []
    receiver = SnapshotReceiver(disk, name, len(snapshot_bytes))
    receiver.write(0, snapshot_bytes)
    head, state = receiver.publish()
    assert head.placed == IN_FORCE
    assert (head.last_index, snapshots.published(disk)) == (40, [name])
    assert state.checksum() == some_state(40).checksum()


# Snapshots: crashes.


@pytest.mark.parametrize("seed", range(6))
def test_a_crash_while_a_snapshot_is_written_and_old_ones_go(seed: int) -> None:
    """At each system call of writing, publishing and dropping: the state and the whole log are there again."""
    for call in range(60):
        disk = SimDisk(random.Random(seed * 1000 + call))
        opened = reopened(disk)
        extend(opened, range(2, 301))
        write_snapshot(disk, opened, 100)
        write_snapshot(disk, opened, 200)
        disk.crash_in = call
        finished = True
        try:
            write_snapshot(disk, opened, 290)
            storage.drop_old(disk, opened.log)
        except SimulatedCrashError:
            finished = False
        disk.crash()
        again = reopened(disk)
        assert again.head is not None
        assert again.head.last_index in (200, 290)
        assert not finished or again.head.last_index == 290
        assert again.state.checksum() == some_state(again.head.last_index).checksum()
        assert again.journal.entries == opened.journal.entries[again.head.last_index - 2 :]
        assert (again.journal.term, again.journal.vote) == (1, "n1")
        assert not [name for name in disk.names() if name.endswith(".part")]
        if finished:
            return
    pytest.fail("it never finished")


@pytest.mark.parametrize("seed", range(6))
def test_a_crash_while_the_leaders_snapshot_is_installed(seed: int) -> None:
    """At each system call: the log is the old one, whole, or the snapshot; and the vote of a term is never given back."""
    source = reopened(other := SimDisk(random.Random(2)))
    extend(source, range(2, 101), term=5)
    name = write_snapshot(other, source, 90)
    content = other.read(name)
    for call in range(60):
        disk = SimDisk(random.Random(seed * 1000 + call))
        opened = reopened(disk)
        extend(opened, range(2, 201 if seed % 2 else 61), term=2)
        opened.journal.setCurrentTerm(6, "n3")
        flush(opened)
        old = list(opened.journal.entries)
        disk.crash_in = call
        finished = True
        try:
            receiver = SnapshotReceiver(disk, name, len(content))
            receiver.write(0, content)
            head, _ = receiver.publish()
            opened.log.start_over(opened.journal.reset_frame(head.previous, head.last), head.last_index)
            storage.drop_old(disk, opened.log)
        except SimulatedCrashError:
            finished = False
        disk.crash()
        again = reopened(disk)
        assert (again.journal.term, again.journal.vote) == (6, "n3")
        if again.head is None:
            assert not finished
            assert again.journal.entries == old
        else:
            assert again.journal.entries == [entry(89, 5), entry(90, 5)]
        again.journal.add(NO_OP, again.journal.last_index + 1, 6)
        flush(again)
        assert reopened(disk).journal.entries == again.journal.entries
        if finished:
            return
    pytest.fail("it never finished")


def test_a_crash_while_a_restart_finishes_the_installation() -> None:
    """The second start is interrupted at each system call as well, and the third finds the same."""
    source = reopened(other := SimDisk(random.Random(2)))
    extend(source, range(2, 101), term=5)
    name = write_snapshot(other, source, 90)
    for call in range(30):
        disk = SimDisk(random.Random(call))
        extend(reopened(disk), range(2, 61), term=2)
        file = disk.create(name)
        file.write_durably(other.read(name), 0)
        disk.sync_directory()
        disk.crash_in = call
        finished = True
        try:
            reopened(disk)
        except SimulatedCrashError:
            finished = False
        disk.crash()
        assert reopened(disk).journal.entries == [entry(89, 5), entry(90, 5)]
        if finished:
            return
    pytest.fail("it never finished")
