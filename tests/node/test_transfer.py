"""Fetching a snapshot over cuts, while the sender goes on writing new ones."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from node import snapshots, storage, transfer
from node.core import Core
from node.disk import RealDisk
from node.messages import Message, SnapshotChunk, SnapshotOffer, SnapshotWant
from node.snapshots import snapshot_name
from node.transfer import CHUNK_BYTES, HOLD_SECONDS, MAX_HELD_ENTRIES, SnapshotFetcher, SnapshotSender

PIECES = 6
SENDER, FETCHER = "n1", "n2"


class _Pair:
    """A sender and a fetcher; messages wait until they are carried, or are lost by a cut."""

    def __init__(self, folder: Path) -> None:
        self.disks = {name: RealDisk(folder / name) for name in (SENDER, FETCHER)}
        self.shipped: list[int] = []
        self.now = 100.0
        self.waiting: list[tuple[str, Message]] = []
        self.leader: Any = SimpleNamespace(
            guard=SimpleNamespace(needs_snapshot={FETCHER}, term=1),
            linked={FETCHER},
            applied_index=1_000,
            journal=SimpleNamespace(first_index=900),
            snapshot_shipped=lambda _, index: self.shipped.append(index),
        )
        self.lagging: Any = SimpleNamespace(guard=SimpleNamespace(term=1, commit_index=10))
        self.sender = SnapshotSender(self.disks[SENDER], self._post)
        self.fetcher = SnapshotFetcher(self.disks[FETCHER], self._post)

    def _post(self, peer_id: str, message: Message) -> None:
        self.waiting.append((peer_id, message))

    def publish(self, index: int) -> bytes:
        data = b"".join(bytes([index % 251, number]) * (CHUNK_BYTES // 2) for number in range(PIECES))
        file = self.disks[SENDER].create(snapshot_name(index))
        file.write(data, 0)
        file.close()
        self.leader.applied_index = max(self.leader.applied_index, index)
        return data

    def drop_old(self) -> None:
        """As the pipeline does after a new snapshot."""
        held = self.held()
        log = cast(storage.SegmentedLog, SimpleNamespace(drop_through=lambda _: None))
        storage.drop_old(self.disks[SENDER], log, held)
        newest = snapshots.index_of(snapshots.published(self.disks[SENDER])[-1])
        self.leader.journal.first_index = min([newest, *held])

    def held(self) -> set[int]:
        return self.sender.held_indexes(cast(Core, self.leader), self.now)

    def cut(self, seconds: float = 5.0) -> None:
        self.waiting.clear()
        self.now += seconds

    def carry(self, chunks: int) -> list[Message]:
        """Let the sender look, and deliver until that many pieces have arrived or nothing is under way; what was delivered."""
        delivered: list[Message] = []
        self.sender.look(cast(Core, self.leader), self.now)
        while self.waiting and sum(isinstance(each, SnapshotChunk) for each in delivered) < chunks:
            _, message = self.waiting.pop(0)
            delivered.append(message)
            match message:
                case SnapshotOffer():
                    self.fetcher.on_offer(cast(Core, self.lagging), SENDER, message)
                case SnapshotChunk():
                    self.fetcher.on_chunk(SENDER, message)
                case SnapshotWant():
                    self.sender.on_want(cast(Core, self.leader), FETCHER, message, self.now)
        return delivered


@pytest.fixture
def pair(tmp_path: Path) -> _Pair:
    return _Pair(tmp_path)


def chunks_of(delivered: list[Message]) -> list[tuple[str, int]]:
    return [(each.name, each.offset_bytes) for each in delivered if isinstance(each, SnapshotChunk)]


def test_a_cut_goes_on_where_it_stopped_though_newer_snapshots_were_written(pair: _Pair) -> None:
    """The same file is offered again and is still there, so a slow member is not overtaken for ever."""
    data = pair.publish(1_000)
    assert chunks_of(pair.carry(2)) == [(snapshot_name(1_000), number * CHUNK_BYTES) for number in range(2)]
    for index in (2_000, 3_000, 4_000):
        pair.publish(index)
        pair.drop_old()
        pair.cut()
    assert snapshots.published(pair.disks[SENDER]) == [
        snapshot_name(index) for index in (1_000, 3_000, 4_000)
    ]
    assert pair.leader.journal.first_index == 1_000, "entries behind what is being fetched are still needed"
    rest = chunks_of(pair.carry(100))
    assert rest == [(snapshot_name(1_000), number * CHUNK_BYTES) for number in range(2, PIECES)]
    assert pair.fetcher.ready is not None
    assert pair.disks[FETCHER].read(snapshot_name(1_000) + ".part") == data
    pair.fetcher.installed()
    pair.carry(0)
    pair.carry(100)
    assert pair.shipped == [1_000]
    assert pair.held() == set()
    pair.publish(5_000)
    pair.drop_old()
    assert snapshots.published(pair.disks[SENDER]) == [snapshot_name(4_000), snapshot_name(5_000)]


def test_what_nobody_asks_for_any_more_is_not_held(pair: _Pair) -> None:
    pair.publish(1_000)
    pair.carry(2)
    assert pair.held() == {1_000}
    pair.cut(HOLD_SECONDS)
    assert pair.held() == set()


def test_nothing_is_held_for_who_needs_no_snapshot_any_more(pair: _Pair) -> None:
    """It was forgotten, or we lead no more: whoever leads next has snapshots of its own."""
    pair.publish(1_000)
    pair.carry(2)
    pair.leader.guard.needs_snapshot.clear()
    assert pair.held() == set()


def test_a_piece_of_a_file_that_is_dropped_this_moment_is_not_sent(
    pair: _Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.publish(1_000)
    names = snapshots.published(pair.disks[SENDER])
    monkeypatch.setattr(snapshots, "published", lambda _: names)
    pair.disks[SENDER].remove(names[0])
    want = SnapshotWant(names[0], 0)
    pair.sender.on_want(cast(Core, pair.leader), FETCHER, want, pair.now)
    assert (pair.waiting, pair.held()) == ([], set())


def test_no_more_of_the_log_is_held_than_memory_allows(pair: _Pair) -> None:
    pair.publish(1_000)
    pair.carry(2)
    pair.leader.applied_index = 1_000 + MAX_HELD_ENTRIES
    assert pair.held() == {1_000}
    pair.leader.applied_index += 1
    assert pair.held() == set()


def test_a_log_that_no_longer_goes_on_from_there_means_a_new_beginning(pair: _Pair) -> None:
    pair.publish(1_000)
    pair.carry(2)
    data = pair.publish(2_000)
    pair.leader.journal.first_index = 1_500
    pair.cut()
    rest = chunks_of(pair.carry(100))
    assert rest == [(snapshot_name(2_000), number * CHUNK_BYTES) for number in range(PIECES)]
    assert pair.disks[FETCHER].read(snapshot_name(2_000) + ".part") == data
    assert snapshot_name(1_000) + ".part" not in pair.disks[FETCHER].names()


def test_another_leader_with_the_same_snapshot_goes_on(pair: _Pair) -> None:
    """Equal states have equal bytes, so a file of the same index goes on from any member; one of another index begins anew."""
    pair.publish(1_000)
    pair.carry(3)
    pair.cut()
    pair.sender = SnapshotSender(pair.disks[SENDER], pair._post)  # it knows of no fetch
    assert chunks_of(pair.carry(1)) == [(snapshot_name(1_000), 3 * CHUNK_BYTES)]
    assert transfer.OFFER_AGAIN_SECONDS < HOLD_SECONDS
