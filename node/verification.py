"""Proof, offline: a member's files, or a backup, are read whole and replayed with the code that runs.

A directory is proved in this order; whatever does not hold is a *fault*, and the verdict is theirs.
1. Identity, journal frames and snapshots have the checksums that they were written with.
2. Replay: from the oldest snapshot that the journal reaches (or from nothing) every entry is applied. At each later snapshot the
   replayed state must have its digest, its checksum and its configuration. So the hash chain is whole from the first of them on.
3. Nothing acknowledged is lost: every outcome that the oldest state or the replay gave under a client's key is still remembered
   under it, the same, until its time is over; and every booking there ever was is still there.
4. Each state is sound by itself (`faults_of_state`), by a count of its own: no two live bookings of a seat overlap, the bitmaps are
   those of the live bookings, and a snapshot of it gives the same state back.

What it cannot know: entries at the end of a journal may not have been committed; they are replayed like the others and counted as
such. Damage that a member would take for an unfinished write is only noted (`node.segments` says why that must be so).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from msgspec import Struct

from node import backups, snapshots, storage
from node.disk import StorageError
from node.journal import RaftJournal
from node.looking import LookingDisk
from node.membership import ENTRY_PREFIX
from node.segments import SEGMENT_BYTES, scan_journal
from node.snapshots import SnapshotHead
from statemachine.occupancy import day_masks
from statemachine.outcomes import Outcome
from statemachine.people_events import AccountErased
from statemachine.records import Booking
from statemachine.snapshot import SnapshotError, table_checksums
from statemachine.state import State, restore

MAX_FAULTS = 50  # of each kind; after that they are only counted


class Examined(Struct):
    """The verdict on a directory or a backup. Without faults it is proved."""

    subject: str
    cluster: str = ""
    node_id: str = ""
    index: int = 0  # the last entry replayed, or the backup's
    digest: str = ""
    snapshots: int = 0
    entries: int = 0  # replayed
    bookings: int = 0
    outcomes: int = 0  # under clients' keys, that had to be there and were
    notes: list[str] = []
    faults: list[str] = []
    trail: dict[int, tuple[int, str]] = {}  # term and digest at each index replayed

    @property
    def proved(self) -> bool:
        """Whether everything holds."""
        return not self.faults

    def told(self) -> dict[str, object]:
        """Everything but the trail, for machines."""
        return {name: getattr(self, name) for name in self.__struct_fields__ if name != "trail"}

    def line(self) -> str:
        """What was looked at, in one line."""
        whose = f"{self.node_id} of {self.cluster}" if self.cluster else "of nobody known"
        return (
            f"{self.subject} ({whose}): entry {self.index}, digest {self.digest or '?'}; {self.bookings} bookings; "
            f"{self.snapshots} snapshots, {self.entries} entries replayed, {self.outcomes} promised outcomes found"
        )


def examine_backup(path: Path) -> Examined:
    """Read a backup whole and judge the state in it."""
    examined = Examined(str(path))
    try:
        head, state = backups.read(path)
    except (StorageError, OSError) as error:
        examined.faults.append(str(error))
        return examined
    examined.cluster, examined.node_id, examined.index = head.cluster, head.node_id, head.index
    if state.index > head.index:
        examined.faults.append(f"it says entry {head.index} and holds the state of {state.index}")
    _sum_up(examined, state)
    return examined


def examine_directory(path: Path, segment_bytes: int = SEGMENT_BYTES) -> Examined:
    """Read and replay a member's files. Nothing in the directory is changed."""
    examined = Examined(str(path))
    try:
        with LookingDisk(path) as disk:
            _examine(disk, examined, segment_bytes)
    except (StorageError, OSError) as error:
        examined.faults.append(str(error))
    return examined


def examine_directories(paths: list[Path], segment_bytes: int = SEGMENT_BYTES) -> list[Examined]:
    """Several members: each by itself, and their digests where two logs have the same entry.

    By the log matching property (Ongaro & Ousterhout 2014, 5.3) an entry of the same index and term is the same, with all before
    it; so must be the digest. Ends that differ in their terms were not committed in one of the two, and prove nothing.
    """
    examined = [examine_directory(path, segment_bytes) for path in paths]
    for one, other in pairwise(each for each in examined if each.trail):
        shared = (
            index
            for index in one.trail.keys() & other.trail.keys()
            if one.trail[index][0] == other.trail[index][0]
        )
        index = max(shared, default=None)
        if one.cluster != other.cluster:
            other.notes.append(f"of another cluster than {one.subject}: not compared")
        elif index is None:
            other.notes.append(f"no entry in common with {one.subject}: not compared")
        elif one.trail[index] != other.trail[index]:
            other.faults.append(
                f"the digest at entry {index} is {other.trail[index][1]}, and that of {one.subject} {one.trail[index][1]}"
            )
    return examined


def _examine(disk: LookingDisk, examined: Examined, segment_bytes: int) -> None:
    identity = storage.whose(disk)
    examined.cluster, examined.node_id = identity.cluster, identity.node_id
    scanned = scan_journal(disk, segment_bytes)
    if scanned and scanned[-1][2].torn_bytes:
        examined.notes.append(
            f"{scanned[-1][2].torn_bytes} bytes of an unfinished write at the journal's end: nobody was told of it"
        )
    journal, _ = RaftJournal.replay([payload for _, _, each in scanned for payload in each.payloads])
    names = snapshots.published(disk)
    examined.snapshots = len(names)
    if names and not scanned:
        examined.faults.append(f"there is {names[-1]} and no journal: term and vote are forgotten")
    if not names and journal.first_index != 1:
        examined.faults.append(f"the journal begins at entry {journal.first_index} and there is no snapshot")
        return
    replay = _Replay(journal, examined)
    for name in names:
        head, state = snapshots.load(disk, name)
        replay.reach(name, head, state)
    replay.finish()
    _sum_up(examined, replay.state)


class _Replay:
    """A state that is led through the journal, and compared with each snapshot on the way."""

    def __init__(self, journal: RaftJournal, examined: Examined) -> None:
        self._journal = journal
        self._examined = examined
        self.state = State()
        self._at = 1  # the last entry applied: every log begins with one that never reaches the state
        self._begun = journal.first_index == 1
        self._promised: dict[
            tuple[str, str], tuple[int, Outcome]
        ] = {}  # by scope and key: until when, and what
        self._bookings: set[str] = set()

    def reach(self, name: str, head: SnapshotHead, state: State) -> None:
        """Go on to a snapshot and compare; begin there when the journal does not lead to it."""
        examined, journal = self._examined, self._journal
        self._judge(name, state)
        connects = journal.term_at(head.last_index) == head.last[2] and journal.first_index <= self._at + 1
        if self._begun and connects and self._at <= head.last_index:
            self._advance(head.last_index)
            if (self.state.index, self.state.digest) != (state.index, state.digest):
                examined.faults.append(
                    f"{name}: the digest is {state.digest.hex()} at entry {state.index}; the replay of the journal gives "
                    f"{self.state.digest.hex()} at {self.state.index}"
                )
            elif self.state.checksum() != state.checksum():
                ours, theirs = table_checksums(self.state), table_checksums(state)
                tables = ", ".join(table for table in ours if ours[table] != theirs[table]) or "the header"
                examined.faults.append(f"{name}: not the state that the replay gives; different: {tables}")
            placed = None if head.last_index < journal.base.index else journal.placed_at(head.last_index)
            if head.placed is not None and placed is not None and placed.index and placed != head.placed:
                examined.faults.append(f"{name}: another configuration than the journal's at that entry")
        elif self._begun and self._at > 1:
            examined.notes.append(
                f"{name}: the journal does not lead here from entry {self._at}; begun anew from it"
            )
            self._keep_promises()
        self.state, self._at, self._begun = state, head.last_index, True
        examined.trail[head.last_index] = (head.last[2], state.digest.hex())
        self._note_promises(state)

    def finish(self) -> None:
        """Go on to the journal's end."""
        self._advance(self._journal.last_index)
        self._keep_promises()
        self._judge("the journal's end", self.state)

    def _advance(self, index: int) -> None:
        for at in range(self._at + 1, index + 1):
            command, _, term = self._journal.entry_at(at)
            if command[:1] == b"\x00" and command[:2] != ENTRY_PREFIX:  # others carry no commands
                applied = self.state.apply(at, command[1:])
                self._examined.entries += 1
                for _, scope, key, outcome in applied.results:
                    self._promise(scope, key, outcome)
                for _, event in applied.events:
                    if isinstance(event, AccountErased):
                        self._release_promises(event.user_id)
            self._examined.trail[at] = (term, self.state.digest.hex())
        self._at = max(self._at, index)

    def _promise(self, scope: str, key: str, outcome: Outcome) -> None:
        known = self.state.remembered(scope, key)
        if known is not None and known.lasting and known.outcome == outcome:
            self._promised.setdefault((scope, key), (known.expires_at_ms, outcome))
        if outcome.ok and isinstance(outcome.result, Booking):
            self._bookings.add(outcome.result.id)

    def _note_promises(self, state: State) -> None:
        self._bookings.update(state.bookings)
        for known in state.outcomes.values():
            if known.lasting:
                self._promised.setdefault((known.scope, known.key), (known.expires_at_ms, known.outcome))

    def _release_promises(self, user_id: str) -> None:
        """The user erased the account, and what was remembered under its keys went with it, as was asked for."""
        remembered = self.state.remembered
        for scope, key in list(self._promised):
            of_user = scope == user_id or scope.startswith(("login:", "session:"))
            if of_user and remembered(scope, key) is None:
                del self._promised[scope, key]

    def _keep_promises(self) -> None:
        state, faults = self.state, self._examined.faults
        lost = []
        for name, (until_ms, outcome) in self._promised.items():
            if until_ms <= state.now_ms:
                continue
            if state.outcome_of(*name) == outcome:
                self._examined.outcomes += 1
            else:
                lost.append(
                    f"the acknowledged outcome {outcome.index}.{outcome.position} ({outcome.code}) is lost"
                )
        lost += [f"booking {each} is lost" for each in sorted(self._bookings - state.bookings.keys())]
        faults += _shortened(lost)

    def _judge(self, where: str, state: State) -> None:
        self._examined.faults += _shortened([f"{where}: {fault}" for fault in faults_of_state(state)])


def faults_of_state(state: State) -> Iterator[str]:
    """What is wrong with a state by itself, judged from its bookings and not by the code that made them."""
    of_seat: dict[tuple[str, str], list[Booking]] = {}
    for booking in state.bookings.values():
        if booking.status == "confirmed":
            of_seat.setdefault((booking.space_id, booking.seat_id), []).append(booking)
    seats = {
        (space_id, seat_id) for space_id in state.spaces for seat_id in state.occupancy.seat_ids(space_id)
    }
    for space_id, seat_id in sorted(seats | of_seat.keys()):
        live = sorted(of_seat.get((space_id, seat_id), ()), key=lambda booking: booking.start_cell)
        for first, second in pairwise(live):
            if second.start_cell < first.end_cell:
                yield f"bookings {first.id} and {second.id} of seat {seat_id} in {space_id} overlap"
        taken: dict[int, int] = {}
        for booking in live:
            for day, mask in day_masks(booking.start_cell, booking.end_cell):
                taken[day] = taken.get(day, 0) | mask
        if taken != state.occupancy.seat(space_id, seat_id):
            yield f"what is taken of seat {seat_id} in {space_id} is not what its bookings take"


def _sum_up(examined: Examined, state: State) -> None:
    examined.digest, examined.bookings = state.digest.hex(), len(state.bookings)
    if not examined.index:
        examined.index = state.index
    try:
        if restore(state.freeze().chunks()).checksum() != state.checksum():
            examined.faults.append("a snapshot of the state gives another state")
    except SnapshotError as error:
        examined.faults.append(f"a snapshot of the state cannot be read back: {error}")


def _shortened(faults: list[str]) -> list[str]:
    if len(faults) <= MAX_FAULTS:
        return faults
    return [*faults[:MAX_FAULTS], f"and {len(faults) - MAX_FAULTS} more of this kind"]
