"""PySyncObj's consensus core, alone: no thread, no socket, no file, no pickle.

This is the only module that imports the library. Of it we keep the election and replication rules; everything around them is
ours, and is put in place by the seams the library leaves open: it looks up these names in its own module, so they can be replaced there.

    createJournal   -> returns the RaftJournal it was given           (H1, H2: durability is ours)
    Serializer      -> returns the SnapshotPort it was given          (H11, H15, H17: snapshots travel on our own channel)
    pickle          -> EntryCodec: an entry's payload is bytes, never an object   (H9)
    createPoller    -> a poller that polls nothing
    monotonicTime   -> the clock of whoever drives it (production or simulation)

Applying is ours as well (`node.core`): the library's own "applied" only says what has been delivered, so a command that fails can
not be retried for ever inside it (H7), and a long replay can be cut into turns.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Collection
from typing import Any

import pysyncobj.syncobj as _syncobj
from pysyncobj.node import Node
from pysyncobj.syncobj import SyncObj, SyncObjConf, replicated
from pysyncobj.transport import Transport

from node.journal import Entry, RaftJournal

HEARTBEAT_SECONDS = 0.05
LEADER_FALLBACK_SECONDS = 1.0
FOLLOWER, CANDIDATE, LEADER = 0, 1, 2
_APPEND_BYTES = 4 << 20  # per message; well above the largest entry, so the chunked path (H12) is never taken
_NEVER = 10**12

_clock: Callable[[], float] = time.monotonic


def set_clock(clock: Callable[[], float]) -> None:
    """Let the library tell time by `clock` (seconds, monotonic). A simulation sets its own; it holds for the process."""
    global _clock
    _clock = clock


class _EntryCodec:
    """Stands where the library looks for pickle: the payload of an entry is the one argument of the one method."""

    @staticmethod
    def loads(data: bytes) -> tuple[int, tuple[bytes]]:
        return 0, (data,)

    @staticmethod
    def dumps(_value: object) -> bytes:
        raise AssertionError("nothing is ever pickled")


class _NoPoller:
    def poll(self, timeout: float) -> None:
        """Sockets are polled by whoever drives the core."""


class SnapshotPort:
    """Stands for the library's dump file and its serializer: tells it where a restored log begins, and nothing else.

    `restored` are the two log entries at the end of the snapshot from which the state machine was restored.
    """

    def __init__(self, restored: tuple[Entry, Entry] | None) -> None:
        self._restored = restored

    def __fspath__(self) -> str:
        # The library asks whether its dump file is a regular file to learn whether there is anything to load.
        return __file__ if self._restored is not None else os.devnull

    def checkSerializing(self) -> tuple[int, None]:  # noqa: N802 - PySyncObj's name
        return 0, None  # never serializing

    def serialize(self, data: object, id_: object) -> None:
        raise AssertionError("the library never makes a snapshot")

    def deserialize(self) -> tuple[None, Entry, Entry, tuple[()]]:
        assert self._restored is not None
        previous, last = self._restored
        return None, last, previous, ()

    def getTransmissionData(self, _node: Node) -> None:  # noqa: N802 - PySyncObj's name
        return None  # the message that follows is taken by the guard as "this peer needs a snapshot"

    def setTransmissionData(self, data: object) -> bool:  # noqa: N802 - PySyncObj's name
        raise AssertionError("snapshots never arrive inside consensus messages")

    def cancelTransmisstion(self, _node: Node) -> None:  # noqa: N802 - PySyncObj's name
        return None


_syncobj.createJournal = lambda journal: journal
_syncobj.Serializer = lambda port, *_: port
_syncobj.pickle = _EntryCodec
_syncobj.createPoller = lambda _kind: _NoPoller()
_syncobj.PIPE_NOTIFIER_ENABLED = False
_syncobj.monotonicTime = lambda: _clock()


class Peer(Node):  # type: ignore[misc]  # the library ships no types
    """A member, by its id. Its hash does not depend on PYTHONHASHSEED, so sets of peers iterate alike in every run."""

    def __init__(self, node_id: str) -> None:
        super().__init__(node_id)
        self._stable_hash = zlib.crc32(node_id.encode())

    def __hash__(self) -> int:
        return self._stable_hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Peer) and self.id == other.id


class _Wire(Transport):  # type: ignore[misc]  # the library ships no types
    """The library's transport: hands every outgoing message to `send`, and knows whom the library may see."""

    def __init__(self, send: Callable[[str, dict[str, Any]], None]) -> None:
        super().__init__(None, None, ())
        self._send = send

    def send(self, node: Node, message: dict[str, Any]) -> bool:
        self._send(node.id, message)
        return True

    def deliver(self, node: Node | None, message: dict[str, Any]) -> None:
        self._onMessageReceived(node, message)

    def connected(self, node: Node) -> None:
        self._onNodeConnected(node)

    def disconnected(self, node: Node) -> None:
        self._onNodeDisconnected(node)

    def learner_connected(self, node: Node) -> None:
        self._onReadonlyNodeConnected(node)

    def learner_disconnected(self, node: Node) -> None:
        self._onReadonlyNodeDisconnected(node)


class Engine(SyncObj):  # type: ignore[misc]  # the library ships no types
    """One member's consensus core. Every method runs on the thread that drives it and returns at once."""

    def __init__(
        self,
        node_id: str,
        voter_ids: Collection[str],
        journal: RaftJournal,
        restored: tuple[Entry, Entry] | None,
        send: Callable[[str, dict[str, Any]], None],
        on_state: Callable[[int, int], None],
    ) -> None:
        self._own_id = node_id
        self._peers: dict[str, Peer] = {}
        self._voters = {voter_id for voter_id in voter_ids if voter_id != node_id}
        self._wire = _Wire(send)
        self._shown: set[str] = set()
        self._learning: set[str] = set()
        conf = SyncObjConf(
            autoTick=False,
            journalFile=journal,
            fullDumpFile=SnapshotPort(restored),
            appendEntriesUseBatch=False,
            appendEntriesBatchSizeBytes=_APPEND_BYTES,
            appendEntriesPeriod=HEARTBEAT_SECONDS,
            leaderFallbackTimeout=LEADER_FALLBACK_SECONDS,
            commandsWaitLeader=False,
            logCompactionMinEntries=_NEVER,
            logCompactionMinTime=_NEVER,
            dynamicMembershipChange=False,
            useFork=False,
            onStateChanged=on_state,
        )
        voters = [self._peer(voter_id) for voter_id in sorted(self._voters)]
        super().__init__(Peer(node_id), voters, conf, transport=self._wire)
        self.tick()
        if restored is not None and self.raftLastApplied != restored[1][1]:
            # The library swallows errors while loading; this is how one shows.
            raise AssertionError("the consensus core did not take up the restored snapshot")

    @replicated  # type: ignore[untyped-decorator]  # the library ships no types
    def deliver_entry(self, payload: bytes) -> None:
        """Called by the library for each committed entry. Applying happens in `node.core`, from the journal."""

    def tick(self) -> None:
        """Let the library look at its clock, its acknowledgements and its queue."""
        self.doTick(0.0)

    def propose(self, payload: bytes) -> None:
        """Queue one entry; the next `tick` puts it into the log if this member still leads."""
        self._applyCommand(payload, None, 0)

    def feed(self, peer_id: str | None, message: dict[str, Any]) -> None:
        """Hand the library a message as if it came from `peer_id`."""
        self._wire.deliver(None if peer_id is None else self._peer(peer_id), message)

    def _peer(self, peer_id: str) -> Peer:
        peer = self._peers.get(peer_id)
        if peer is None:
            peer = self._peers[peer_id] = Peer(peer_id)
        return peer

    # Whom it counts, and whom it sees.

    def count(self, voter_ids: Collection[str]) -> None:
        """These are the voters now. Called while the entry that says so is added to the log, or taken off it.

        The library's own membership commands are not used (they cannot be read back at a start, are carried out a second
        time when they are applied, and two of them may overlap: H13), but the step inside them is: a private of the library.
        """
        wanted = {voter_id for voter_id in voter_ids if voter_id != self._own_id}
        for kind, changed in (("rem", self._voters - wanted), ("add", wanted - self._voters)):
            for peer_id in sorted(changed):
                self.hide(peer_id)
                self._SyncObj__doChangeCluster((kind, peer_id, self._peer(peer_id)))
        self._voters = wanted

    def show(self, peer_id: str) -> None:
        """Let the library believe that it is connected to the peer: a voter, or one who only listens (a learner)."""
        if peer_id in self._shown:
            return
        self._shown.add(peer_id)
        if peer_id in self._voters:
            self._wire.connected(self._peer(peer_id))
        else:
            self._learning.add(peer_id)
            self._wire.learner_connected(self._peer(peer_id))

    def hide(self, peer_id: str) -> None:
        """Let the library believe that it is not connected to the peer."""
        if peer_id not in self._shown:
            return
        self._shown.discard(peer_id)
        if peer_id in self._learning:
            self._learning.discard(peer_id)
            self._wire.learner_disconnected(self._peer(peer_id))
        else:
            self._wire.disconnected(self._peer(peer_id))

    def shown(self) -> list[str]:
        """Whom the library believes to be connected to."""
        return sorted(self._shown)

    def hears(self, peer_id: str) -> bool:
        """Whether the library can take an acknowledgement of that peer: from a voter, or a learner in sight."""
        return peer_id in self._voters or peer_id in self._learning

    def leader_id(self) -> str | None:
        """The leader that the library last heard of (perhaps itself, perhaps outdated)."""
        leader = self._getLeader()
        return None if leader is None else str(leader.id)

    def campaign(self) -> None:
        """Start an election at the next tick. A pre-vote has been won, or the leader asked for it."""
        self.feed(self.leader_id_for_feed(), {"type": "timeout_now", "term": self.raftCurrentTerm})

    def leader_id_for_feed(self) -> str | None:
        """The library accepts `timeout_now` only from whom it takes for the leader; None is "nobody"."""
        leader = self.leader_id()
        return leader if leader != self._own_id else None

    def adopt_term(self, peer_id: str, term: int) -> None:
        """Move to a later term as a follower: a vote request that cannot win does it inside the rules (F4)."""
        self.feed(peer_id, {"type": "request_vote", "term": term, "last_log_index": 0, "last_log_term": -1})

    def acknowledge(self, peer_id: str, next_index: int, *, reset: bool, success: bool) -> None:
        """Feed a follower's answer. A success that lowers the next index would send entries again that are under way.

        It touches a private of the library, which paid for itself by 1.6 journal writes per entry becoming 1.
        """
        peer = self._peer(peer_id)
        next_indexes: dict[Peer, int] = self._SyncObj__raftNextIndex
        before = next_indexes.get(peer, 0)
        self.feed(
            peer_id,
            {"type": "next_node_idx", "next_node_idx": next_index, "reset": reset, "success": success},
        )
        if success and not reset and next_indexes.get(peer, 0) < before:
            next_indexes[peer] = before
