"""The disks that an older program has left behind, from before members could come and go.

Such a world is born already: there are users, sessions and bookings, and clients who were told of them. Each member has `identity.json` of format 1,
a journal whose entries name no configuration, and one of these:

- `journal`: the whole log and no snapshot;
- `old`: snapshots of version 1 (`DSKSNAP1`, with a state stream of version 1), and a journal that begins somewhere before them;
- `new`: this program has been started on it alone, so it has an identity of today's format and one snapshot of today's format.

A minority may lack the end of the log, or all of it, so that it is sent a snapshot of either kind. What must come of it: today's program founds
the cluster, and everything old is there at the end. The old clients' requests are judged like those of the run, as if they had been made before it
began; some of them ask again with their old keys, and must get the old answers.

The old formats are written here once more, independently of the product, which only reads them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgpack
import msgspec

from node import storage
from node.journal import FIRST_ENTRY, NO_OP, Entry
from node.membership import Placed, birth
from node.segments import SegmentedLog
from node.snapshots import SnapshotHead, SnapshotWriter, snapshot_name
from statemachine.commands import (
    BirthCluster,
    BookSeat,
    CancelBooking,
    DayGrid,
    Envelope,
    encode_batch,
    encode_envelope,
)
from statemachine.outcomes import Outcome
from statemachine.records import Booking
from statemachine.state import State
from tests.simulation.clients import DAY_CELLS, FIRST_DAY, Operation, preparations
from tests.simulation.disk import SimDisk
from tests.simulation.events import stream
from tests.simulation.member import EPOCH_MS

if TYPE_CHECKING:
    from tests.simulation.world import World

BEGAN_SECONDS: Final = 3_600.0  # before the run
BOOKINGS: Final = (5, 60)
LAGGING_SHARE: Final = 0.7  # of the minority that may lack something
CANCEL_SHARE: Final = 0.2
FRAME_ENTRIES: Final = 5
FIRST_REQUEST_ID: Final = (
    1 << 62
)  # drawn from 63 bits in life, counted from 1 by today's clients here: the two never meet


class OlderCluster:
    """What an older program did, and what it left on each disk."""

    def __init__(self, world: World, kinds: tuple[str, ...]) -> None:
        self._world = world
        self._kinds = kinds
        self._dice = stream(world.seed, "older")
        self.operations: list[tuple[Operation, str, str]] = []  # with the scope of its key and its session
        self.entries: list[Entry] = [FIRST_ENTRY]
        self._state = State()
        self._digests: dict[int, bytes] = {1: self._state.digest}
        self._streams: dict[int, tuple[bytes, list[bytes]]] = {}  # of the snapshots: version 1, and today's
        self.kind_of: dict[str, str] = {}

    def leave_behind(self) -> None:
        """Make the old history known to the judges, and the disks."""
        timeline = self._world.timeline
        timeline.now = -BEGAN_SECONDS
        self._live()
        timeline.now = 0.0
        self._world.judge.knows(self.entries, self._digests)
        self._spread()

    # The life of the old cluster.

    def _live(self) -> None:
        dice = self._dice
        bookings = dice.randint(*BOOKINGS)
        half, at = bookings // 2, 0
        self._add(NO_OP)
        for operation in preparations(self._world.settings, self._world.now, BirthCluster):
            self._carry_out(operation, "x", "")
        for number in range(bookings):
            if number == half:
                self._add(NO_OP, new_term=True)
            booked = [known for known, _, _ in self.operations if _is_live(known)]
            cancels = booked and dice.random() < CANCEL_SHARE
            operation = self._cancel(number, dice.choice(booked)) if cancels else self._book(number)
            self._carry_out(operation, operation.user, f"s-{operation.user}")
            if number in (half // 2, half + half // 2) and self.entries[-1][1] > at + 1:
                at = self.entries[-1][1]
                self._streams[at] = stream_of_version_1(self._state), list(self._state.freeze().chunks())

    def _book(self, number: int) -> Operation:
        settings, dice = self._world.settings, self._dice
        cell = FIRST_DAY + 12 * dice.randrange(DAY_CELLS)
        seat = f"A{dice.randrange(settings.seats)}"
        grid = DayGrid(self._state.spaces["hq"].revision, 12, ((FIRST_DAY, DAY_CELLS),))
        command = BookSeat(f"old-b{number}", "hq", seat, cell, 1, grid)
        operation = Operation(f"old-k{number}", "book", command, self._world.now, cell, seat)
        operation.user = f"u{1 + dice.randrange(settings.users)}"
        return operation

    def _cancel(self, number: int, target: Operation) -> Operation:
        assert target.outcome is not None
        assert isinstance(target.outcome.result, Booking)
        command = CancelBooking(target.outcome.result.id)
        operation = Operation(f"old-k{number}", "cancel", command, self._world.now, target.cell, target.seat)
        operation.user = target.user
        return operation

    def _add(self, command: bytes, *, new_term: bool = False) -> int:
        _, index, term = self.entries[-1]
        self.entries.append((command, index + 1, max(1, term) + new_term))
        self._digests[index + 1] = self._state.digest
        return index + 1

    def _carry_out(self, operation: Operation, scope: str, session_id: str) -> None:
        """One entry with one command, whose client is answered."""
        world = self._world
        world.clients.from_before(operation)
        world.timeline.now += 0.1
        request_id = FIRST_REQUEST_ID + len(self.operations)
        envelope = Envelope(
            request_id, scope, operation.key, b"f", 86_400_000, 1 << 50, session_id, operation.command
        )
        payload = encode_batch(EPOCH_MS + int(world.now * 1000), [encode_envelope(envelope)])
        index = self.entries[-1][1] + 1
        outcome: Outcome = self._state.apply(index, payload).results[0][3]
        self._add(b"\x00" + payload)
        world.clients.answered(operation, outcome)
        world.timeline.now += 0.1
        self.operations.append((operation, scope, session_id))

    # The disks.

    def _spread(self) -> None:
        world, dice = self._world, self._dice
        ids = list(world.born_ids)
        dice.shuffle(ids)
        for number, node_id in enumerate(ids):
            lags = number < (len(ids) - 1) // 2 and dice.random() < LAGGING_SHARE
            kind = "journal" if lags else dice.choice(self._kinds)
            end = dice.randrange(1, min(self._streams)) if lags else self.entries[-1][1]
            self.kind_of[node_id] = f"lags at {end}" if lags else kind
            self._fill(world.nodes[node_id].disk, node_id, kind, end)
            world.note(f"{node_id} has an older disk: {self.kind_of[node_id]}")

    def _fill(self, disk: SimDisk, node_id: str, kind: str, end: int) -> None:
        ids = self._world.born_ids
        born = Placed(0, birth({id_: (f"{id_}:7000", f"{id_}:8000") for id_ in ids}))
        image: dict[str, bytes] = {}
        first = 2
        if kind == "new":
            storage.read_identity(disk, "desks", node_id, born, lambda: f"{node_id}.0")
        else:
            known = {"format": 1, "cluster": "desks", "node_id": node_id, "voters": sorted(ids)}
            image["identity.json"] = msgspec.json.encode(known)
        if kind != "journal":
            older, newer = sorted(self._streams)
            first = self._dice.choice((2, self._dice.randrange(2, older + 2)))
            image[snapshot_name(older)] = self._version_1(older)
            if kind == "old":
                image[snapshot_name(newer)] = self._version_1(newer)
            else:
                self._write_new(disk, newer, born)
        self._write_journal(disk, first, end)
        disk.restore(disk.image() | image)

    def _entry(self, index: int) -> Entry:
        return self.entries[index - 1]

    def _version_1(self, index: int) -> bytes:
        header = msgspec.msgpack.encode((self._entry(index - 1), self._entry(index)))
        sizes = len(header).to_bytes(4, "little") + zlib.crc32(header).to_bytes(4, "little")
        return b"DSKSNAP1" + sizes + header + self._streams[index][0]

    def _write_new(self, disk: SimDisk, index: int, born: Placed) -> None:
        head = SnapshotHead(self._entry(index - 1), self._entry(index), born)
        writer = SnapshotWriter(disk, head, _Written(self._streams[index][1]))  # type: ignore[arg-type]  # only its chunks are asked for
        while not writer.step():
            pass
        writer.publish()

    def _write_journal(self, disk: SimDisk, first: int, end: int) -> None:
        log = SegmentedLog(disk, self._world.settings.segment_bytes)
        log.recover()
        term = 0
        operations: list[list[Any]] = []
        for command, index, entry_term in [entry for entry in self.entries if first <= entry[1] <= end]:
            if entry_term != term:
                term = entry_term
                operations.append(["v", term, "n1"])
            operations.append(["a", index, entry_term, command])
            if len(operations) >= self._dice.randint(1, FRAME_ENTRIES):
                log.append([msgpack.packb(operations)], index, msgpack.packb([["v", term, "n1"]]))
                operations = []
        operations.append(["v", max(1, term), "n1"])
        log.append([msgpack.packb(operations)], end, msgpack.packb([["v", max(1, term), "n1"]]))
        log.close()


class _Written:
    """A frozen state that was written when it was new."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    def chunks(self) -> Iterator[bytes]:
        """As it was written."""
        return iter(self._chunks)


def _is_live(operation: Operation) -> bool:
    return operation.kind == "book" and operation.outcome is not None and operation.outcome.ok


def stream_of_version_1(state: State) -> bytes:
    """The stream as a program wrote it that knew five tables, and wrote their rows as they had come."""
    tables: tuple[dict[str, Any], ...] = (
        state.spaces,
        state.users,
        state.sessions,
        state.bookings,
        state.outcomes,
    )
    encode = msgspec.msgpack.encode
    header = encode(
        [
            0,
            "deskraft.state",
            1,
            state.index,
            state.digest,
            state.born,
            state.now_ms,
            [len(rows) for rows in tables],
        ]
    )
    checksum = blake2b(header, digest_size=16, person=b"deskraft.sum.1")
    bodies = [header]
    for tag, table in enumerate(tables, start=1):
        rows: list[Any] = list(table.values())
        if not rows:
            continue
        encoded = b"".join(encode(row) for row in rows)
        checksum.update(encoded)
        bodies.append(encode([tag, 0, []])[:-1] + b"\xdd" + len(rows).to_bytes(4, "big") + encoded)
    bodies.append(encode([6, len(bodies) + 1, checksum.digest()]))
    chain, written = b"", bytearray()
    for body in bodies:
        chain = blake2b(chain + body, digest_size=16, person=b"deskraft.chain.1").digest()
        written += len(body).to_bytes(4, "big") + chain + body
    return bytes(written)
