"""The pipeline alone, over a disk in memory: what leaves when, what an installation may take away, when a snapshot is due."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from node import engine, pipeline, snapshots, storage
from node import messages as m
from node.core import Core
from node.guard import FailStopError
from node.journal import NO_OP, Entry, RaftJournal
from node.membership import Placed, birth
from node.pipeline import OnJournal, OnThread, Pipeline, Sequence, Work
from node.snapshots import SnapshotHead, SnapshotWriter
from statemachine.state import State
from tests.node.harness import real_clock_afterwards
from tests.simulation.disk import SimDisk

__all__ = ["real_clock_afterwards"]

IDS = ("n1", "n2", "n3")
BIRTH = Placed(0, birth({node_id: (f"{node_id}:1", f"{node_id}:2") for node_id in IDS}))
LEADER = "n2"


class Bench:
    """A port that does nothing by itself: frames wait for `sync`, sequences for `carry_out`."""

    def __init__(self, segment_bytes: int = 64 << 10) -> None:
        self.now = 1_000.0
        engine.set_clock(lambda: self.now)
        self.disk = SimDisk(random.Random(1))
        identity = storage.read_identity(self.disk, "desks", "n1", BIRTH)
        opened = storage.open_storage(self.disk, identity, segment_bytes)
        self.frames: list[tuple[bytes, int, bytes]] = []
        self.submitted = 0
        self.sent: list[tuple[str, m.Message]] = []
        self.sequences: list[Sequence] = []
        self.dropped: list[str] = []
        self.alarms: list[str] = []
        self.failures: list[str] = []
        self.turns = 0
        self.pipeline = Pipeline(self, self.disk, opened, BIRTH, 10_000, lambda: self.now)
        self._sequence_number = 0

    # The port.

    def make_core(self, journal: RaftJournal, state: State, head: SnapshotHead | None) -> Core:
        return Core(
            node_id="n1",
            incarnation="a disk",
            journal=journal,
            state=state,
            applied_index=head.last_index if head else 1,
            restored=(head.previous, head.last) if head else None,
            monotonic=lambda: self.now,
            wall_ms=lambda: int(self.now * 1000),
            rng=random.Random(1),
        )

    def submit(self, payload: bytes, max_index: int, preamble: bytes) -> int:
        self.frames.append((payload, max_index, preamble))
        self.submitted += 1
        return self.submitted

    def send(self, peer_id: str, payload: bytes) -> None:
        self.sent.append((peer_id, m.decode(payload)))

    def flush(self) -> None:
        pass

    def perform(self, effect: object) -> None:
        pass

    def run(self, sequence: Sequence) -> None:
        self.sequences.append(sequence)

    def wake(self) -> None:
        pass

    def turned(self, applied: bool) -> None:
        self.turns += 1

    def installed(self) -> None:
        pass

    def drop_link(self, peer_id: str, why: str) -> None:
        self.dropped.append(why)

    def note(self, message: str) -> None:
        pass

    def alarm(self, message: str) -> None:
        self.alarms.append(message)

    def stopped(self, message: str, cause: BaseException) -> None:
        self.failures.append(message)

    # What a test does.

    def sync(self) -> None:
        """The journal's thread catches up."""
        for payload, max_index, preamble in self.frames:
            self.pipeline.log.append([payload], max_index, preamble)
        self.frames = []
        self.pipeline.synced(self.submitted)

    def carry_out(self, before: Callable[[Work], None] = lambda _work: None) -> None:
        """All sequences to their ends, one after the other."""
        while self.sequences:
            sequence = self.sequences.pop(0)
            work = self.pipeline.advance(sequence)
            while work is not None:
                before(work)
                result: Any = None
                if isinstance(work, OnJournal):
                    self.sync()
                if isinstance(work, (OnJournal, OnThread)):
                    result = work.task()
                work = self.pipeline.advance(sequence, result)

    def append(self, first: int, last: int, commit_index: int, term: int = 1) -> None:
        """The leader sends entries, and a turn is taken."""
        self._sequence_number += 1
        entries: list[Entry] = [(NO_OP, index, term) for index in range(first, last + 1)]
        previous_term = self.pipeline.core.journal.term_at(first - 1)
        assert previous_term is not None
        message = m.AppendEntries(
            term, self._sequence_number, commit_index, first - 1, previous_term, entries
        )
        self.pipeline.receive(LEADER, m.encode(message))
        self.pipeline.turn()

    def offer(self, index: int, term: int = 1) -> bytes:
        """The leader has a snapshot; its bytes. A new leader's term begins with its last entry."""
        disk = SimDisk(random.Random(2))
        head = SnapshotHead((NO_OP, index - 1, 1), (NO_OP, index, term), BIRTH)
        writer = SnapshotWriter(disk, head, State().freeze())
        while not writer.step():
            pass
        data = disk.read(writer.publish())
        name = snapshots.snapshot_name(index)
        self.pipeline.receive(LEADER, m.encode(m.SnapshotOffer(term, name, index, len(data))))
        return data

    def fetch(self, index: int, data: bytes) -> None:
        """The whole file arrives."""
        self.pipeline.receive(LEADER, m.encode(m.SnapshotChunk(snapshots.snapshot_name(index), 0, data)))


def test_effects_leave_in_order_behind_their_frames() -> None:
    """An acknowledgement rests on the frame of its turn; what comes before that is durable leaves at once (F7)."""
    bench = Bench()
    bench.sync()
    bench.append(2, 5, commit_index=1)
    assert not any(isinstance(message, m.AppendAnswer) for _, message in bench.sent)
    bench.sync()
    assert [message.next_index for _, message in bench.sent if isinstance(message, m.AppendAnswer)] == [6]


def test_a_lagging_log_is_replaced() -> None:
    """The control of the two below: halted while it is installed, then a new core, and the sender is told."""
    bench = Bench()
    bench.append(2, 5, commit_index=5)
    old = bench.pipeline.core
    data = bench.offer(8)
    bench.fetch(8, data)
    assert bench.pipeline.halted
    turns = bench.turns
    bench.append(6, 8, commit_index=8)
    assert old.journal.last_index == 5, "nothing is received while it stands still"
    assert bench.turns == turns
    bench.carry_out()
    assert not bench.pipeline.halted
    assert bench.pipeline.core is not old
    assert bench.pipeline.core.applied_index == bench.pipeline.core.journal.last_index == 8
    assert bench.sent[-1] == (LEADER, m.SnapshotWant(snapshots.snapshot_name(8), len(data)))
    bench.pipeline.turn()
    assert bench.turns == turns + 1


def test_a_log_that_agrees_with_the_snapshot_is_kept() -> None:
    """Entries behind the snapshot's end were acknowledged, perhaps committed by that: they stay (Raft, figure 13, rule 6)."""
    bench = Bench()
    bench.append(2, 10, commit_index=5)
    old = bench.pipeline.core
    data = bench.offer(8)
    bench.fetch(8, data)
    bench.carry_out()
    assert bench.pipeline.core is old
    assert old.journal.last_index == 10
    assert bench.sent[-1] == (LEADER, m.SnapshotWant(snapshots.snapshot_name(8), len(data)))
    bench.append(11, 12, commit_index=12)
    bench.sync()
    bench.disk.crash()
    identity = storage.read_identity(bench.disk, "desks", "n1", BIRTH)
    assert storage.open_storage(bench.disk, identity, 64 << 10).journal.last_index == 12


def test_a_log_that_contradicts_the_snapshot_is_replaced() -> None:
    """What a deposed leader had sent and a majority never had goes."""
    bench = Bench()
    bench.append(2, 10, commit_index=5)
    data = bench.offer(8, term=2)
    bench.fetch(8, data)
    bench.carry_out()
    assert bench.pipeline.core.journal.last_index == 8
    assert bench.pipeline.core.journal.last_term == 2


def test_a_snapshot_that_was_overtaken_is_dropped() -> None:
    """The log went past it while it was fetched: there is nothing to install, and the member never stands still for it."""
    bench = Bench()
    bench.append(2, 5, commit_index=5)
    data = bench.offer(8)
    bench.fetch(8, data[:100])
    bench.append(6, 9, commit_index=9)
    rest = m.SnapshotChunk(snapshots.snapshot_name(8), 100, data[100:])
    bench.pipeline.receive(LEADER, m.encode(rest))
    assert not bench.pipeline.halted
    assert not bench.sequences
    assert not snapshots.published(bench.disk)


def test_an_unfinished_file_gives_its_name_to_a_snapshot_of_our_own() -> None:
    """The log reaches the very entry of the snapshot that is being fetched: two files of one name would be written into each other."""
    bench = Bench()
    bench.append(2, 5, commit_index=5)
    data = bench.offer(8)
    bench.fetch(8, data[:100])
    bench.append(6, 8, commit_index=8)
    bench.pipeline.snapshot()
    rest = m.SnapshotChunk(snapshots.snapshot_name(8), 100, data[100:])
    bench.carry_out(lambda _work: bench.pipeline.receive(LEADER, m.encode(rest)))
    assert not bench.pipeline.halted
    head, _ = snapshots.load(bench.disk, snapshots.published(bench.disk)[-1])
    assert head.last_index == 8


def test_an_installation_waits_for_a_snapshot_that_gives_up() -> None:
    """Never two sequences on the disk at a time; the older snapshot is of no use any more."""
    bench = Bench()
    bench.append(2, 5, commit_index=5)
    bench.pipeline.snapshot()
    writing = bench.sequences.pop()
    assert bench.pipeline.advance(writing) is not None
    bench.fetch(8, bench.offer(8))
    installing = bench.sequences.pop()
    for _ in range(3):
        assert isinstance(bench.pipeline.advance(installing), pipeline.Pause)
    assert bench.pipeline.advance(writing) is None
    assert isinstance(bench.pipeline.advance(installing), OnThread)
    assert not [name for name in bench.disk.names() if name == f"{snapshots.snapshot_name(5)}.part"]


@pytest.mark.parametrize("step", range(4))
def test_a_sequence_ends_with_the_member(step: int) -> None:
    """After fail-stop nothing more is written, whichever piece of work it was at."""
    bench = Bench()
    bench.append(2, 5, commit_index=5)
    bench.fetch(8, bench.offer(8))
    seen: list[dict[str, bytes]] = []

    def stop(_work: Work) -> None:
        if len(seen) == step:
            bench.pipeline.fail(FailStopError("enough"))
        seen.append(bench.disk.image())

    bench.carry_out(stop)
    assert len(seen) == min(step + 1, 3)
    assert bench.failures == (["enough"] if step < 3 else [])
    assert bench.pipeline.halted == (step < 3)


def test_what_is_no_message_costs_the_link_alone() -> None:
    """A stranger's bytes, and what no correct member sends."""
    bench = Bench()
    bench.pipeline.receive(LEADER, b"\xc1nonsense")
    assert len(bench.dropped) == 1
    assert not bench.failures


def test_a_snapshot_does_not_take_the_room_of_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it does not fit, it waits, and somebody is told; the journal goes on; once there is room it is written."""
    bench = Bench()
    room = pipeline.JOURNAL_ROOM_BYTES - 1
    monkeypatch.setattr(bench.disk, "free_bytes", lambda: room)

    def pass_time_and_append() -> None:
        bench.now += pipeline.ROOM_LOOKED_AT_SECONDS + 1
        first = bench.pipeline.core.journal.last_index + 1
        bench.append(first, first + 5, commit_index=first + 4)
        bench.sync()
        bench.pipeline.snapshot()
        bench.carry_out()

    for _ in range(3):
        pass_time_and_append()
    assert not bench.pipeline.snapshots_written
    assert len(bench.alarms) == 3
    assert re.match(
        "the disk has 63 MiB left, and a snapshot waits until there are 64: make room", bench.alarms[0]
    )
    bench.pipeline.snapshot()
    assert len(bench.alarms) == 3, "it is not said at every turn"
    room += 1 << 20
    pass_time_and_append()
    assert bench.pipeline.snapshots_written == 1
    assert not bench.pipeline.no_room
    assert not bench.failures


def test_bytes_of_journal_make_snapshots_due_at_an_even_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept for the older snapshot does not put off the next one."""
    limit = 8 << 10
    monkeypatch.setattr(pipeline, "SNAPSHOT_JOURNAL_BYTES", limit)
    bench = Bench(segment_bytes=2 << 10)
    written, at = 0, [0]
    for number in range(1_500):
        first = bench.pipeline.core.journal.last_index + 1
        bench.append(first, first + 5, commit_index=first - 1)
        written += sum(len(payload) + 25 for payload, _, _ in bench.frames)
        bench.sync()
        bench.carry_out()
        if bench.pipeline.snapshots_written == len(at):
            at.append(written)
        assert number or not bench.pipeline.snapshots_written
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert len(gaps) >= 8
    assert limit // 2 <= min(gaps) <= max(gaps) <= 2 * limit, gaps
