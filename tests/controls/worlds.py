"""Guards of the cluster taken away inside simulated worlds: one function per defect, as close to the stock behaviour as the seams allow."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from node import messages as m
from node import segments, storage
from node.core import Core
from node.disk import Disk, File
from node.journal import Entry, RaftJournal
from node.pipeline import Pipeline
from node.reads import Reads
from node.segments import SegmentedLog
from node.snapshots import CorruptSnapshotError
from node.transfer import SnapshotFetcher
from statemachine.commands import Envelope, decode_envelope, encode_envelope
from statemachine.feed import BEGINNING, Feed, FeedView
from statemachine.occupancy import SeatDays, day_masks
from statemachine.outcomes import Outcome
from statemachine.pages import Pages
from statemachine.state import State
from statemachine.tables import Entry as AppliedEntry
from tests.simulation.member import SimNode
from tests.simulation.settings import Settings

# Wrapping the methods of living objects is what these mutations do; the checker of types cannot follow it.
# mypy: disable-error-code="method-assign"


def core_of(node: SimNode) -> Core:
    """The core that has just been made."""
    assert node.core is not None
    return node.core


# H1: durability.


class _NeverSynced:
    """A file whose writes stay where the next loss of power finds them."""

    def __init__(self, file: File) -> None:
        self._file = file

    def write(self, data: bytes, offset_bytes: int) -> None:
        self._file.write(data, offset_bytes)

    write_durably = write

    def sync(self) -> None:
        pass

    def close(self) -> None:
        self._file.close()


def journal_never_synced(node: SimNode) -> None:
    """Frames are written and never synced."""
    log = node.log
    rotate = log._rotate

    def rotate_and_forget() -> None:
        rotate()
        assert log._file is not None
        log._file = _NeverSynced(log._file)

    log._rotate = rotate_and_forget
    if log._file is not None:
        log._file = _NeverSynced(log._file)


def vote_not_kept(node: SimNode) -> None:
    """Term and vote live in memory only: after a restart they are 0 and nobody."""
    journal = core_of(node).journal
    take_frames = journal.take_frames

    def without_votes() -> list[tuple[bytes, int]]:
        journal._operations = [operation for operation in journal._operations if operation[0] != "v"]
        return take_frames()

    journal.take_frames = without_votes
    journal.preamble = lambda: b""


def no_checksums(patch: pytest.MonkeyPatch) -> None:
    """A frame is believed by its magic number and its length alone."""

    def frame_at(data: bytes, offset: int) -> tuple[int, bytes] | None:
        if offset + segments.HEADER_BYTES > len(data):
            return None
        magic, sequence, length, _, _ = segments._HEADER.unpack_from(data, offset)
        start = offset + segments.HEADER_BYTES
        return (sequence, data[start : start + length]) if magic == segments._MAGIC else None

    patch.setattr(segments, "_frame_at", frame_at)


# H2, H11, H18: compaction and opening.


def compaction_in_place(node: SimNode) -> None:
    """After a snapshot the open segment is cleared and what is left of it is written again, as the stock journal does."""
    log, disk = node.log, node.disk

    def rewrite(index: int) -> None:
        segment = log._segments[-1]
        data = disk.read(segment.name)
        frames, offset = [], 0
        while (frame := segments._frame_at(data, offset)) is not None:
            frames.append(data[offset : offset + segments.HEADER_BYTES + len(frame[1])])
            offset += len(frames[-1])
        _, highest = RaftJournal.replay([frame[segments.HEADER_BYTES :] for frame in frames[:1]])
        while len(frames) > 1 and highest[0] <= index:
            del frames[0]
            _, highest = RaftJournal.replay([frames[0][segments.HEADER_BYTES :]])
        file = disk.open(segment.name)
        file.write(bytes(log._offset), 0)
        log._offset = 0
        for kept in frames:
            file.write(kept, log._offset)
            log._offset += len(kept)

    log.drop_through = rewrite


def damaged_dump_is_empty(patch: pytest.MonkeyPatch) -> None:
    """A dump that cannot be read is an empty state, and the journal is cleared to go with it."""
    open_storage = storage.open_storage

    def lenient(
        disk: Disk, identity: storage.Identity, segment_bytes: int = Settings.segment_bytes
    ) -> storage.Opened:
        try:
            return open_storage(disk, identity, segment_bytes)
        except CorruptSnapshotError:
            log = SegmentedLog(disk, segment_bytes)
            log.recover()
            journal = RaftJournal()
            journal.base = identity.birth
            return storage.Opened(log, journal, None, State())

    patch.setattr(storage, "open_storage", lenient)


def disagreement_clears_journal(patch: pytest.MonkeyPatch) -> None:
    """Unless the journal begins with the very two entries that the dump ends with, it is cleared."""

    def align(self: RaftJournal, previous: Entry, last: Entry) -> bool:
        self.base_commit_index = last[1]
        if self.entries[:2] == [previous, last]:
            return True
        self.entries = [previous, last]
        return False

    patch.setattr(RaftJournal, "align", align)


# H4, H15, H16: what a follower believes.


def matching_entries_truncated(node: SimNode) -> None:
    """A follower cuts its log behind `prevLogIdx` even when it matches, and each acknowledgement rewinds the leader."""
    guard = core_of(node).guard
    engine = guard.engine

    def strip(message: m.AppendEntries) -> tuple[int, int, list[Entry]]:
        return message.previous_index, message.previous_term, message.entries

    def acknowledge(peer_id: str, next_index: int, *, reset: bool, success: bool) -> None:
        answer = {"type": "next_node_idx", "next_node_idx": next_index, "reset": reset, "success": success}
        engine.feed(peer_id, answer)

    guard._strip = strip
    engine.acknowledge = acknowledge


def keep_what_was_fetched(patch: pytest.MonkeyPatch) -> None:
    """Only a new snapshot drops old ones: whatever was held when the newest was written stays."""
    patch.setattr(Pipeline, "_drop_unheld", lambda _self, _held: (work for work in ()))


def snapshot_message_commits(node: SimNode) -> None:
    """A message about a snapshot raises the commit index to the end of the follower's own log, though it compares nothing."""
    fetcher: SnapshotFetcher = node.fetcher
    on_offer = fetcher.on_offer

    def believing(core: Core, peer_id: str, message: m.SnapshotOffer) -> None:
        if message.term >= core.guard.term:
            stock = {"type": "append_entries", "term": message.term, "commit_index": message.index}
            core.guard.engine.feed(peer_id, stock | {"serialized": None})
        on_offer(core, peer_id, message)

    fetcher.on_offer = believing


def commit_index_believed_whole(node: SimNode) -> None:
    """The leader's commit index holds for the follower's log as far as it goes, not only for what the message compared."""
    guard = core_of(node).guard
    engine = guard.engine
    receive, feed = guard.on_append_entries, engine.feed
    told = [0]

    def on_append_entries(peer_id: str, message: m.AppendEntries) -> bool:
        told[0] = message.commit_index
        return receive(peer_id, message)

    def feeding(peer_id: str | None, message: dict[str, Any]) -> None:
        if message["type"] == "append_entries" and message["commit_index"]:
            message["commit_index"] = told[0]
        feed(peer_id, message)

    guard.on_append_entries = on_append_entries
    engine.feed = feeding


# H3, H5, H6: what a leader believes and what leaves.


def effects_before_sync(node: SimNode) -> None:
    """Nothing waits for the disk."""
    node.ungated = True


def reads_without_index(node: SimNode) -> None:
    """Every member answers reads from what it has applied."""
    core = core_of(node)

    def look(self: Reads, *_: object) -> None:
        self.done.extend((token, core.applied_index) for token in self._waiting)
        self._waiting.clear()

    core.reads.look = look.__get__(core.reads)


def leader_reads_unproven(node: SimNode) -> None:
    """Who believes that it leads answers from its own commit index without asking anybody."""
    core = core_of(node)
    core.leader_reads.ask = lambda on_index, own_term_applied, now: on_index(
        core.guard.commit_index if core.guard.leading else -1
    )


def fresh_leader_reads(node: SimNode) -> None:
    """A leader tells its commit index before it has applied an entry of its own term."""
    core = core_of(node)
    core.own_term_applied = lambda: core.guard.leading


# H7, H8: commands.


class _Raises(State):
    """A rule that raises for something that a client can cause, when part of the entry has been carried out."""

    def _decide(self, envelope: Envelope, entry: AppliedEntry) -> Outcome:
        outcome = super()._decide(envelope, entry)
        if outcome.code == "seat-taken":
            raise KeyError(outcome.code)
        return outcome


def rule_raises(node: SimNode) -> None:
    """A method that raises is logged and called again at the next tick, with what it had changed already."""
    core = core_of(node)
    core.state.__class__ = _Raises
    apply_committed = core._apply_committed

    def tried_again() -> None:
        try:
            apply_committed()
        except Exception:  # noqa: BLE001 - the stock behaviour: whatever it is, it is tried again
            return

    core._apply_committed = tried_again


def request_ids_restart(node: SimNode) -> None:
    """Request numbers begin again at 1 with every start of a member."""
    core = core_of(node)
    execute = core.execute
    numbers = itertools.count(1)

    def renumbered(request_id: int, envelope: bytes, timeout_seconds: float) -> bool:
        number = next(numbers)
        node.results[number] = node.results.pop(request_id)
        decoded = decode_envelope(msgspec.Raw(envelope))
        again = encode_envelope(msgspec.structs.replace(decoded, request_id=number))
        return execute(number, again, timeout_seconds)

    core.execute = renumbered


# The state machine inside a cluster.


def blind_occupancy(node: SimNode) -> None:
    """No member sees that a seat is taken."""
    occupancy = core_of(node).state.occupancy

    class Blind(type(occupancy)):  # type: ignore[misc]  # whatever class it is
        __slots__ = ()

        def claim(self, days: SeatDays, start_cell: int, end_cell: int) -> bool:
            for day, mask in day_masks(start_cell, end_cell):
                days[day] = days.get(day, 0) | mask
            self.changes += 1
            return True

    occupancy.__class__ = Blind


def expiry_by_wall_clock(node: SimNode) -> None:
    """Keys and sessions end by the clock of the member that looks, not by the time in the log."""
    core = core_of(node)
    state = core.state
    expire = state.expire

    def by_own_clock() -> None:
        log_ms, state.now_ms = state.now_ms, core._wall_ms() + KEEP_MS_IN_WORLDS - 2_000
        expire()
        state.now_ms = log_ms

    state.expire = by_own_clock


KEEP_MS_IN_WORLDS = (
    86_400_000  # what the simulated clients ask for; the mutation above lets their keys live 2 s
)


def stamps_by_own_clock(node: SimNode) -> None:
    """A leader stamps entries by its own clock, however wrong, and leads with it."""
    core = core_of(node)
    core.clock.now_ms = core._wall_ms
    core.clock.is_outlier = lambda: False


def feed_left_out(patch: pytest.MonkeyPatch) -> None:
    """Snapshots and checksums hold nothing of the feed."""
    patch.setattr(Feed, "view", lambda _feed: FeedView(BEGINNING, Pages().view()))
