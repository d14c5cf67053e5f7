"""Files are proved, or told to be wrong; backups give back what was in them, in a cluster of its own."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node import backups, snapshots, storage
from node.config import Config, NodeAddress
from node.disk import RealDisk, StorageError
from node.looking import LookingDisk
from node.membership import Configuration, Introduction, Placed, Seat, birth, encode_entry, judge
from node.snapshots import SnapshotHead, SnapshotWriter
from node.verification import (
    Examined,
    examine_backup,
    examine_directories,
    examine_directory,
    faults_of_state,
)
from statemachine.commands import KEEP_CLIENT_KEY_MS, encode_batch
from statemachine.people_commands import EraseAccount
from statemachine.state import restore
from tests.statemachine.builders import FREE_CELL, HOUR, World
from tests.statemachine.logs import Batch, encoded, logs

SEGMENT_BYTES = 1 << 18
SEATS = tuple(
    Seat(f"n{i}", f"127.0.0.1:{7000 + i}", f"127.0.0.1:{8000 + i}", True, f"{i:032x}") for i in (1, 2, 3)
)
BORN = Placed(0, birth({seat.id: (seat.raft, seat.api) for seat in SEATS}))
FOUNDED = Configuration("f1", SEATS)


class Member:
    """A member's directory that is written as a member writes it, entry by entry."""

    def __init__(self, folder: Path, *, populated: bool = True) -> None:
        self.folder = folder
        self.disk = RealDisk(folder)
        identity = storage.read_identity(self.disk, "test", "n1", BORN)
        self.opened = storage.open_storage(self.disk, identity, segment_bytes=SEGMENT_BYTES)
        self.journal = self.opened.journal
        self.world = World(populated=False)
        self.journal.setCurrentTerm(1, "n1")
        self.append(b"\x01")
        self.append(b"\x00" + encode_entry(FOUNDED))
        self.world.state.index = self.journal.last_index
        world = self.world
        original = world.state.apply

        def apply(index: int, payload: bytes) -> object:
            self.append(b"\x00" + payload)
            return original(self.journal.last_index, payload)

        world.state.apply = apply  # type: ignore[method-assign,assignment]  # the log comes first
        world.__init__(world.state, populated=populated)  # type: ignore[misc]  # people and spaces

    def append(self, command: bytes) -> None:
        self.journal.add(command, self.journal.last_index + 1, 1)
        for payload, index in self.journal.take_frames():
            self.opened.log.append([payload], index, self.journal.preamble())

    def book(self, number: int, start: int = FREE_CELL) -> None:
        envelope = self.world.envelope(
            self.world.booking(f"b{number}", start=start),
            scope="ann",
            key=f"key-{number}",
            keep_ms=KEEP_CLIENT_KEY_MS,
            session="s-ann",
        )
        assert self.world.batch(envelope)[0].ok

    def snapshot(self) -> None:
        index = self.journal.last_index
        head = SnapshotHead(
            self.journal.entry_at(index - 1), self.journal.entry_at(index), self.journal.placed_at(index)
        )
        writer = SnapshotWriter(self.disk, head, self.world.state.freeze())
        while not writer.step():
            pass
        writer.publish()

    def close(self) -> None:
        self.opened.log.close()
        self.disk.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with two snapshots and entries before, between and after them."""
    member = Member(tmp_path / "n1")
    member.book(1)
    member.snapshot()
    member.book(2, FREE_CELL + HOUR)
    assert member.world.cancel("b1").ok
    member.snapshot()
    member.book(3, FREE_CELL + 2 * HOUR)
    member.close()
    return tmp_path / "n1"


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}


def flip(path: Path, needle: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(needle)] ^= 1
    path.write_bytes(data)


def faults_in(folder: Path) -> str:
    examined = examine_directory(folder, SEGMENT_BYTES)
    assert not examined.proved
    return "; ".join(examined.faults)


def test_whole_files_are_proved_and_not_touched(folder: Path) -> None:
    before = contents(folder)
    examined = examine_directory(folder, SEGMENT_BYTES)
    assert examined.faults == [] and examined.notes == []
    assert (examined.cluster, examined.node_id, examined.snapshots) == ("test", "n1", 2)
    assert (examined.bookings, examined.outcomes) == (3, 3)
    assert examined.entries == 10  # the birth, people and log-ins, three bookings, one given back
    assert contents(folder) == before


def test_a_running_member_is_left_alone(folder: Path) -> None:
    disk = RealDisk(folder)
    assert "in use by a running member" in faults_in(folder)
    disk.close()
    with LookingDisk(folder), pytest.raises(StorageError, match="in use"):
        RealDisk(folder)
    with LookingDisk(folder) as looking, pytest.raises(AssertionError, match="only looked at"):
        looking.create("x")


@pytest.mark.parametrize("name", ["journal-0000000001.seg", "identity.json", "snapshot"])
def test_flipped_bits_are_found(folder: Path, name: str) -> None:
    path = next(file for file in sorted(folder.iterdir()) if file.name.startswith(name))
    flip(path, b"n1" if name == "identity.json" else b"b1")
    assert path.name in faults_in(folder)


def test_a_state_that_the_log_does_not_give_is_found(folder: Path, tmp_path: Path) -> None:
    """A snapshot that is whole by itself, but of another history."""
    other = Member(tmp_path / "other")
    other.book(1)
    other.world.do(other.world.booking("b9", "A2"), scope="bob", session="s-bob")
    assert other.world.cancel("b1").ok
    other.snapshot()
    other.close()
    (name,) = [file.name for file in (tmp_path / "other").glob("snapshot-*")]
    assert (folder / name).exists()
    (folder / name).write_bytes((tmp_path / "other" / name).read_bytes())
    found = faults_in(folder)
    assert "the digest is" in found
    assert "booking b2 is lost" in found


def test_a_missing_segment_or_journal_is_found(folder: Path) -> None:
    (folder / "journal-0000000001.seg").unlink()
    assert "no journal" in faults_in(folder)
    (folder / "identity.json").unlink()
    assert "no member has lived here" in faults_in(folder)


def test_a_torn_end_is_noted_and_left(folder: Path) -> None:
    segment = folder / "journal-0000000001.seg"
    data = bytearray(segment.read_bytes())
    end = len(data.rstrip(b"\0"))
    data[end + 1000 : end + 1003] = b"xyz"
    segment.write_bytes(data)
    examined = examine_directory(folder, SEGMENT_BYTES)
    assert examined.proved and "unfinished write" in examined.notes[0]
    assert segment.read_bytes() == data


@settings(max_examples=25, deadline=None)
@given(log=logs(max_batches=8), at=st.integers(0, 8))
def test_whatever_was_asked_is_proved(log: list[Batch], at: int) -> None:
    """Random logs, refusals and retries among them, with a snapshot somewhere: nothing that is right is called wrong."""
    with TemporaryDirectory() as folder:
        member = Member(Path(folder) / "n1", populated=False)
        for number, batch in enumerate(log):
            member.world.state.apply(0, encoded(batch))
            if number == at:
                member.snapshot()
        member.close()
        examined = examine_directory(Path(folder) / "n1", SEGMENT_BYTES)
        assert examined.faults == []
        assert examined.digest == member.world.state.digest.hex()


def test_an_erased_account_takes_its_promises_along(tmp_path: Path) -> None:
    member = Member(tmp_path / "n1")
    member.book(1)
    member.snapshot()
    member.book(2, FREE_CELL + HOUR)
    assert member.world.do(EraseAccount("hash-ann"), scope="ann", session="s-ann").ok
    member.close()
    examined = examine_directory(tmp_path / "n1", SEGMENT_BYTES)
    assert examined.faults == [] and (examined.outcomes, examined.bookings) == (0, 2)


def test_members_are_compared_where_their_logs_agree(folder: Path, tmp_path: Path) -> None:
    """The same entries, and then an end of another term: only the shared part proves anything."""
    behind = Member(tmp_path / "n2")
    behind.book(1)
    behind.close()
    one, other = examine_directories([folder, tmp_path / "n2"], SEGMENT_BYTES)
    assert one.proved and other.proved and one.index > other.index
    strange = Member(tmp_path / "n3")
    strange.book(9)  # another entry in the same place and term: cannot be
    strange.close()
    assert not all(each.proved for each in examine_directories([folder, tmp_path / "n3"], SEGMENT_BYTES))


def test_overlaps_and_false_bitmaps_are_counted_by_hand() -> None:
    world = World()
    world.booked()
    assert list(faults_of_state(world.state)) == []
    days = world.state.occupancy.seat("hq", "A1")
    assert days is not None
    kept = dict(days)
    days.clear()
    assert ["what is taken" in fault for fault in faults_of_state(world.state)] == [True]
    world.booked("b2")
    assert any("b1 and b2" in fault and "overlap" in fault for fault in faults_of_state(world.state))
    assert days == kept


# Backups.


def config(tmp_path: Path, cluster: str = "test") -> Config:
    nodes = {f"n{i}": NodeAddress("127.0.0.1", 7000 + i, "127.0.0.1", 8000 + i) for i in (1, 2, 3)}
    return Config(cluster, nodes, tmp_path / "data", tmp_path / "secret", 50_000, None)


@pytest.fixture
def backup(tmp_path: Path) -> tuple[Path, World]:
    world = World()
    world.booked()
    head = backups.BackupHead("test", "n2", world.now_ms, world.state.index, 3, Placed(2, FOUNDED))
    path = tmp_path / "backup.dsk"
    path.write_bytes(b"".join(backups.pieces(head, world.state.freeze())))
    return path, world


def test_a_backup_is_read_back_and_proved(backup: tuple[Path, World]) -> None:
    path, world = backup
    head, state = backups.read(path)
    assert (head.cluster, head.node_id, head.index, head.term) == ("test", "n2", world.state.index, 3)
    assert state.checksum() == world.state.checksum()
    examined = examine_backup(path)
    assert examined.proved and (examined.index, examined.bookings) == (world.state.index, 1)


def test_every_cut_and_every_flipped_bit_is_found(backup: tuple[Path, World]) -> None:
    path, _ = backup
    data = path.read_bytes()
    for end in (0, 7, 20, len(data) // 2, len(data) - 41, len(data) - 1):
        path.write_bytes(data[:end])
        assert not examine_backup(path).proved, end
    for at in range(0, len(data), 37):
        path.write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
        assert not examine_backup(path).proved, at
    path.write_bytes(data + b"x")
    assert not examine_backup(path).proved


def opened(folder: Path, node_id: str) -> tuple[storage.Opened, storage.Identity]:
    disk = RealDisk(folder)
    try:
        identity = storage.read_identity(disk, "test", node_id, BORN)
        content = storage.open_storage(disk, identity)
        assert storage.check_members(content, identity, BORN) == ""
        content.log.close()
        return content, identity
    finally:
        disk.close()


def test_a_restore_makes_the_members_of_a_new_cluster(backup: tuple[Path, World], tmp_path: Path) -> None:
    path, world = backup
    restored = backups.restore_cluster(path, config(tmp_path))
    assert restored.index == backups.INDEX_STRIDE
    placed = set()
    for folder in restored.directories:
        assert examine_directory(folder).faults == []
        content, identity = opened(folder, folder.name)
        assert content.head is not None and content.head.last_index == restored.index
        assert content.state.bookings == world.state.bookings
        assert content.state.sessions == {} and world.state.sessions
        assert content.state.digest != world.state.digest
        assert content.journal.term == 4
        placed.add(content.journal.placed)
        seat = content.journal.placed.configuration.by_id[folder.name]
        assert seat.incarnation == identity.incarnation
    (one,) = placed
    assert one.index == restored.index and one.configuration.founding == restored.founding
    for seat in SEATS:  # a member of the old cluster, and one of another restore
        old = Introduction(seat.id, seat.incarnation, "f1", 2, seat.raft)
        assert judge(one, one, old).code == "other-founding"
        stranger = Introduction(seat.id, "0" * 32, "", 0, seat.raft)
        assert judge(one, one, stranger).code == "other-disk"


def test_a_restore_touches_nothing_that_is_there(backup: tuple[Path, World], tmp_path: Path) -> None:
    path, _ = backup
    (tmp_path / "data" / "n2").mkdir(parents=True)
    (tmp_path / "data" / "n2" / "journal-0000000001.seg").write_bytes(b"mine")
    with pytest.raises(StorageError, match="n2 is not empty"):
        backups.restore_cluster(path, config(tmp_path))
    assert os.listdir(tmp_path / "data") == ["n2"]
    with pytest.raises(StorageError, match=r"cluster test, and .* names other"):
        backups.restore_cluster(
            path, Config("other", config(tmp_path).nodes, tmp_path / "d2", tmp_path / "secret", 50_000, None)
        )
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StorageError, match="no whole backup"):
        backups.restore_cluster(
            path, Config("test", config(tmp_path).nodes, tmp_path / "d2", tmp_path / "secret", 50_000, None)
        )
    assert not (tmp_path / "d2").exists()


def test_a_second_restore_of_one_backup_is_another_cluster(
    backup: tuple[Path, World], tmp_path: Path
) -> None:
    path, _ = backup
    first = backups.restore_cluster(path, config(tmp_path / "one"))
    second = backups.restore_cluster(path, config(tmp_path / "two"))
    assert first.founding != second.founding
    head, state = backups.read(path)
    again = restore(state.freeze().chunks())
    assert again.sessions and head.index == again.index
    assert snapshots.snapshot_name(first.index) in os.listdir(first.directories[0])
    assert encode_batch(0, [])  # nothing of the log is needed beside the file


def test_the_verdict_begins_without_faults() -> None:
    assert Examined("x").proved
