"""The Raft log as the consensus core sees it: entries in memory, and a list of what must be written down.

`RaftJournal` is handed to PySyncObj in place of its own journal. It does no I/O: every change is kept as an *operation*,
and the driver takes all operations of a turn as one frame (`take_frame`), has it synced, and only then lets
anything leave that rests on it. Loading replays the operations. Operations are msgpack arrays:

    ["a", index, term, command]     append an entry
    ["t", index]                    truncate: entries at and above index are gone
    ["v", term, vote]               current term and vote
    ["r", [prev entry], [entry]]    start over from a snapshot: these two entries are the whole log

The journal also knows the configuration: the one it was based on (cluster.yml, a snapshot), and those of its entries, of which the
newest is in force from the moment it is added until it is truncated (`node.membership`); `on_placed` is called at both.

Invariants: indexes are contiguous; the commit index is volatile, as in the Raft paper (Ongaro & Ousterhout 2014, figure 2), so a restart
begins at the snapshot's; the entry before a snapshot's last one is kept beside it, because PySyncObj compares both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import msgspec

from node.membership import ENTRY_PREFIX, Configuration, Placed, decode_entry
from node.segments import SEGMENT_BYTES, CorruptJournalError

Entry = tuple[bytes, int, int]  # (command, index, term): PySyncObj's order

# A frame is closed once it holds one part in so many of the largest that a segment takes: 1 MiB.
FRAME_TARGET_SHARE = 4
NO_OP = b"\x01"
FIRST_ENTRY: Entry = (NO_OP, 1, 0)  # every log begins with it, so members agree from the start


class RaftJournal:
    """Implements the interface of `pysyncobj.journal.Journal` over a plain list, and records operations."""

    def __init__(self) -> None:
        self.entries: list[Entry] = [FIRST_ENTRY]
        self.term = 0
        self.vote: str | None = None
        self.base_commit_index = 1
        self.frame_target_bytes = SEGMENT_BYTES // 2 // FRAME_TARGET_SHARE
        self.base = Placed(0, Configuration("", ()))  # set by whoever opens the journal
        self.on_placed: Callable[[], None] = lambda: None
        self._placed: list[Placed] = []  # of the entries, oldest first
        self._operations: list[list[Any]] = []

    # What PySyncObj calls. The names are its own.

    def add(self, command: bytes, idx: int, term: int) -> None:
        if idx != self.entries[-1][1] + 1:
            raise AssertionError(f"entry {idx} does not follow {self.entries[-1][1]}")
        self.entries.append((command, idx, term))
        self._operations.append(["a", idx, term, command])
        if command[:2] == ENTRY_PREFIX:
            self._note_placed()
            self.on_placed()

    def clear(self) -> None:
        raise AssertionError("the log is never cleared: snapshots are installed by rebuilding the core")

    def deleteEntriesFrom(self, entryFrom: int) -> None:  # noqa: N802, N803 - PySyncObj's name
        if entryFrom < len(self.entries):
            first_gone = self.entries[entryFrom][1]
            self._operations.append(["t", first_gone])
            del self.entries[entryFrom:]
            if self._placed and self._placed[-1].index >= first_gone:
                self._placed = [placed for placed in self._placed if placed.index < first_gone]
                self.on_placed()

    def deleteEntriesTo(self, entryTo: int) -> None:  # noqa: N802, N803 - PySyncObj's name
        raise AssertionError("the log is trimmed by its owner, after a snapshot is durable")

    def __getitem__(self, item: Any) -> Any:
        return self.entries[item]

    def __len__(self) -> int:
        return len(self.entries)

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:  # noqa: N802, N803 - PySyncObj's name
        """Volatile: not kept."""

    def getRaftCommitIndex(self) -> int:  # noqa: N802 - PySyncObj's name
        return self.base_commit_index

    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:  # noqa: N802, N803 - PySyncObj's name
        if (term, votedForNodeId) != (self.term, self.vote):
            self.term, self.vote = term, votedForNodeId
            self._operations.append(["v", term, votedForNodeId])

    def getCurrentTerm(self) -> int:  # noqa: N802 - PySyncObj's name
        return self.term

    def getVotedForNodeId(self) -> str | None:  # noqa: N802 - PySyncObj's name
        return self.vote

    def onOneSecondTimer(self) -> None:  # noqa: N802 - PySyncObj's name
        """Nothing is delayed here."""

    def _destroy(self) -> None:
        """Files belong to the driver."""

    # What the rest of the node calls.

    @property
    def first_index(self) -> int:
        """Index of the oldest entry kept; it is the one *before* those that may be sent."""
        return self.entries[0][1]

    @property
    def last_index(self) -> int:
        """Index of the newest entry."""
        return self.entries[-1][1]

    @property
    def last_term(self) -> int:
        """Term of the newest entry."""
        return self.entries[-1][2]

    @property
    def placed(self) -> Placed:
        """The configuration in force: the newest in the log, committed or not."""
        return self._placed[-1] if self._placed and self._placed[-1].index > self.base.index else self.base

    def placed_at(self, index: int) -> Placed:
        """The configuration in force when the log ended at `index`, which is not below the journal's base."""
        for placed in reversed(self._placed):
            if self.base.index < placed.index <= index:
                return placed
        return self.base

    def _note_placed(self) -> None:
        command, index, _ = self.entries[-1]
        configuration = decode_entry(command)
        assert configuration is not None
        self._placed.append(Placed(index, configuration))

    def _find_placed(self) -> None:
        self._placed = [
            Placed(index, configuration)
            for command, index, _ in self.entries
            if (configuration := decode_entry(command)) is not None
        ]

    def term_at(self, index: int) -> int | None:
        """Term of the entry at `index`, None when it is not kept."""
        position = index - self.entries[0][1]
        return self.entries[position][2] if 0 <= position < len(self.entries) else None

    def entry_at(self, index: int) -> Entry:
        """The entry at `index`; IndexError when it is not kept."""
        position = index - self.entries[0][1]
        if position < 0:
            raise IndexError(index)
        return self.entries[position]

    def first_index_of_term_at(self, index: int) -> int:
        """The smallest kept index from which all entries up to `index` have the same term."""
        position = index - self.entries[0][1]
        term = self.entries[position][2]
        while position > 0 and self.entries[position - 1][2] == term:
            position -= 1
        return self.entries[position][1]

    def trim_to(self, index: int) -> None:
        """Forget entries below `index` in memory. The caller has made a snapshot that covers them durable."""
        position = index - self.entries[0][1]
        if position > 0:
            del self.entries[:position]

    def take_frames(self) -> list[tuple[bytes, int]]:
        """(payload, highest index in it) of everything since the last call: one frame, or more when it is very large."""
        frames: list[tuple[bytes, int]] = []
        while self._operations:
            taken, size_bytes, max_index = 0, 0, 0
            for operation in self._operations:
                if size_bytes >= self.frame_target_bytes:
                    break
                taken += 1
                if operation[0] == "a":
                    size_bytes += len(operation[3])
                    max_index = max(max_index, operation[1])
            frames.append((msgpack.packb(self._operations[:taken]), max_index))
            self._operations = self._operations[taken:]
        return frames

    def preamble(self) -> bytes:
        """What a segment must open with so that it can be read when the older ones are gone."""
        result: bytes = msgpack.packb([["v", self.term, self.vote]])
        return result

    def reset_frame(self, previous: Entry, last: Entry) -> bytes:
        """The frame that makes the two entries of an installed snapshot the whole log, keeping term and vote."""
        operations = [["v", max(self.term, last[2]), self.vote if last[2] <= self.term else None]]
        operations.append(["r", list(previous), list(last)])
        result: bytes = msgpack.packb(operations)
        return result

    @classmethod
    def rebased(cls, old: RaftJournal, previous: Entry, last: Entry, placed: Placed) -> RaftJournal:
        """The journal that `reset_frame` of `old` leaves on disk; `placed` is the snapshot's configuration."""
        journal = cls()
        journal.base = placed if placed.index >= old.base.index else old.base
        journal.entries = [previous, last]
        journal.base_commit_index = last[1]
        journal.frame_target_bytes = old.frame_target_bytes
        journal.term, journal.vote = max(old.term, last[2]), old.vote if last[2] <= old.term else None
        return journal

    @classmethod
    def replay(cls, payloads: list[bytes]) -> tuple[RaftJournal, list[int]]:
        """Rebuild from frames; also the highest index that each frame appended. Raises CorruptJournalError."""
        journal = cls()
        entries: list[Entry] = []
        highest: list[int] = []
        for payload in payloads:
            top = 0
            for operation in _operations(payload):
                match operation:
                    case ["a", index, term, command]:
                        if entries and index != entries[-1][1] + 1:
                            raise CorruptJournalError(f"entry {index} follows entry {entries[-1][1]}")
                        entries.append((command, index, term))
                        top = max(top, index)
                    case ["t", index]:
                        if entries and index <= entries[0][1] and index > 1:
                            entries.clear()
                        elif entries:
                            del entries[index - entries[0][1] :]
                    case ["v", term, vote]:
                        journal.term, journal.vote = term, vote
                    case ["r", previous, last]:
                        entries[:] = [tuple(previous), tuple(last)]
                        top = max(top, last[1])
                    case _:
                        raise CorruptJournalError(f"unknown journal operation {operation[:1]!r}")
            highest.append(top)
        if entries and entries[0][1] == 2:
            entries.insert(0, FIRST_ENTRY)
        if entries:
            journal.entries = entries
        try:
            journal._find_placed()
        except msgspec.DecodeError as error:
            raise CorruptJournalError(f"an entry with a configuration cannot be read: {error}") from error
        return journal, highest

    def align(self, previous: Entry, last: Entry) -> bool:
        """Make the log begin with the two entries of a snapshot; False when the snapshot supersedes all of it.

        Raises CorruptJournalError when entries between the snapshot and the journal are missing.
        """
        self.base_commit_index = last[1]
        if self.term_at(last[1]) == last[2]:
            self.trim_to(last[1])
            self.entries[0:1] = [previous, last]
            return True
        if self.first_index == last[1] + 1 and self.first_index != 1:
            self.entries[0:0] = [previous, last]
            return True
        if self.first_index > last[1] and self.first_index != 1:
            raise CorruptJournalError(
                f"the snapshot ends at entry {last[1]} and the journal begins at {self.first_index}"
            )
        self.entries = [previous, last]
        self._find_placed()
        if last[2] > self.term:
            self.term, self.vote = last[2], None
        return False


def _operations(payload: bytes) -> Iterator[Any]:
    """A frame holds one array of operations for each turn that was waiting when it was written."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(payload))
    unpacker.feed(payload)
    for operations in unpacker:
        yield from operations
