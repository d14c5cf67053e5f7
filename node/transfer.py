"""Snapshots from a leader to a member that is too far behind: a channel of its own beside consensus.

The consensus core never sends a snapshot: it only notices that a peer needs one (F11), and does not see that peer until it has it. One piece is
under way at a time, asked for by the receiver, so the transfer paces itself, leaves room for heartbeats, and goes on where it
stopped after a cut. What a peer is fetching stays what it is offered, and is held: its file is not removed and the log behind it is
not trimmed (within bounds), or a peer that is slower than two snapshots of ours would begin anew for ever. The receiver verifies the file
whole, replaces its own journal and state by it, and says so by asking for what is behind its end.

Another leader has snapshots of other indexes, so after a change of leaders a transfer begins anew; if it happens to have the same one, the
bytes are the same and it goes on. A receiver that restarts begins anew as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from node import snapshots
from node.core import Core
from node.disk import Disk
from node.guard import ProtocolError
from node.messages import Message, SnapshotChunk, SnapshotOffer, SnapshotWant

CHUNK_BYTES = 256 << 10
OFFER_AGAIN_SECONDS = 1.0
HOLD_SECONDS = 300.0  # since a peer last asked for a piece: the longest cut, and the longest installation, that needs no new beginning
MAX_HELD_ENTRIES = 200_000  # of the log, kept in memory behind what is being fetched


class _Fetch(NamedTuple):
    """What a peer is fetching, and when it last asked for a piece."""

    name: str
    wanted_at: float


class SnapshotSender:
    """The leader's side."""

    def __init__(self, disk: Disk, send: Callable[[str, Message], None]) -> None:
        self._disk = disk
        self._send = send
        self._offered_at: dict[str, float] = {}
        self._fetches: dict[str, _Fetch] = {}

    def held_indexes(self, core: Core, now: float) -> set[int]:
        """The snapshots that peers are fetching: their files, and the entries behind them, are still needed."""
        self._fetches = {
            peer_id: fetch
            for peer_id, fetch in self._fetches.items()
            if peer_id in core.guard.needs_snapshot and now - fetch.wanted_at < HOLD_SECONDS
        }
        oldest = core.applied_index - MAX_HELD_ENTRIES
        indexes = {snapshots.index_of(fetch.name) for fetch in self._fetches.values()}
        return {index for index in indexes if index >= oldest}

    def _name_for(self, core: Core, peer_id: str, names: list[str]) -> str:
        """What it is fetching already, as long as our log goes on from there; else the newest."""
        fetch = self._fetches.get(peer_id)
        if fetch is None or fetch.name not in names:
            return names[-1]
        return fetch.name if core.journal.first_index <= snapshots.index_of(fetch.name) else names[-1]

    def look(self, core: Core, now: float) -> None:
        """Offer a snapshot to each peer that needs one and is not fetching."""
        for peer_id in sorted(core.guard.needs_snapshot):
            if peer_id not in core.linked or now - self._offered_at.get(peer_id, -1e9) < OFFER_AGAIN_SECONDS:
                continue
            names = snapshots.published(self._disk)
            if not names:
                continue  # the first one is being written
            self._offered_at[peer_id] = now
            name = self._name_for(core, peer_id, names)
            self._send(
                peer_id,
                SnapshotOffer(core.guard.term, name, snapshots.index_of(name), self._disk.size_bytes(name)),
            )

    def on_want(self, core: Core, peer_id: str, message: SnapshotWant, now: float) -> None:
        """Send the next piece, or let entries follow when there is none left."""
        if peer_id not in core.guard.needs_snapshot or message.name not in snapshots.published(self._disk):
            return
        if message.offset_bytes < 0:
            raise ProtocolError("snapshot wanted from before its beginning")
        try:
            data = self._disk.read(message.name, message.offset_bytes, CHUNK_BYTES)
        except FileNotFoundError:
            return  # dropped this moment, on the journal's thread: another is offered
        self._offered_at[peer_id] = now
        self._fetches[peer_id] = _Fetch(message.name, now)
        if data:
            self._send(peer_id, SnapshotChunk(message.name, message.offset_bytes, data))
        else:
            del self._fetches[peer_id]
            core.snapshot_shipped(peer_id, snapshots.index_of(message.name))


class SnapshotFetcher:
    """The lagging member's side. `ready` names a file that has arrived whole; the pipeline installs it."""

    def __init__(self, disk: Disk, send: Callable[[str, Message], None]) -> None:
        self._disk = disk
        self._send = send
        self._receiver: snapshots.SnapshotReceiver | None = None
        self.ready: snapshots.SnapshotReceiver | None = None
        self.ready_from = ""

    def on_offer(self, core: Core, peer_id: str, message: SnapshotOffer) -> None:
        """Start, or go on with, fetching the file; one at or below our commit index is of no use (F3b)."""
        if message.term < core.guard.term or self.ready is not None:
            return
        if message.index <= core.guard.commit_index:
            self._send(peer_id, SnapshotWant(message.name, message.size_bytes))
            return
        if message.name != snapshots.snapshot_name(message.index):
            return  # a name is never taken from the wire as a path
        receiver = self._receiver
        if receiver is None or (receiver.name, receiver.size_bytes) != (message.name, message.size_bytes):
            if receiver is not None:
                receiver.abandon()
            receiver = self._receiver = snapshots.SnapshotReceiver(
                self._disk, message.name, message.size_bytes
            )
        self._send(peer_id, SnapshotWant(message.name, receiver.offset_bytes))

    def on_chunk(self, peer_id: str, message: SnapshotChunk) -> None:
        """Keep a piece and ask for the next."""
        receiver = self._receiver
        if receiver is None or receiver.name != message.name:
            return
        receiver.write(message.offset_bytes, message.data)
        if receiver.complete:
            self.ready, self.ready_from, self._receiver = receiver, peer_id, None
        else:
            self._send(peer_id, SnapshotWant(message.name, receiver.offset_bytes))

    def drop_overtaken(self, core: Core) -> None:
        """Give up what the log has overtaken meanwhile: installing it would take entries back that we acknowledged.

        Whoever offered it does so again, is told that we have it, and lets entries follow.
        """
        for receiver in (self._receiver, self.ready):
            if receiver is not None and snapshots.index_of(receiver.name) <= core.guard.commit_index:
                receiver.abandon()
                self._receiver = self.ready = None

    def installed(self) -> None:
        """The fetched snapshot, or an equal log, is in force: let the sender know."""
        assert self.ready is not None
        self._send(self.ready_from, SnapshotWant(self.ready.name, self.ready.size_bytes))
        self.ready = None
