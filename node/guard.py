"""The guards between PySyncObj's core and the wire: every consensus message passes here, both ways.

The library's rules have gaps that lose acknowledged writes. Each guard closes one from outside; the letters are those of
`docs/engine-guards.md`, where each has the scenario that goes wrong without it.

    F1   an acknowledgement counts only in the term it was given in, and never beyond our own log
    F2   entries that a follower has already are taken off the message, so that it never truncates what matches
    F3   the commit index a follower learns never exceeds what this very message has verified
    F4   who speaks in an old term is told the new one, and steps down
    F5   one vote per voter and term, from voters only, and from the disk that is meant
    F9   the library's own forwarding of commands is not used
    F10  a rejected message rewinds the leader once, to the start of the conflicting term; older rejections are stale
    F11  a follower that needs a snapshot is taken out of the library's sight until it has one

(F6 and F12, elections, are in `node.election`; F7, durable before visible, is the gate in `node.core`; F8, reads, is `node.reads`.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from node.engine import LEADER, Engine
from node.journal import NO_OP, Entry, RaftJournal
from node.membership import decode_entry
from node.messages import AppendAnswer, AppendEntries, Message, RequestVote, TermNotice, TimeoutNow, Vote

REPEAT_ANSWER_SECONDS = 0.03  # an equal acknowledgement within that is not sent; heartbeats come more slowly


class FailStopError(Exception):
    """This member must not go on; the message says why and what to do."""


class ProtocolError(Exception):
    """A peer sent what no correct member sends; its connection is closed."""


class _PeerProgress:
    """What the leader knows of one follower's log, and where its rejections stop being stale."""

    __slots__ = ("match_index", "rewind_sequence", "sequence")

    def __init__(self) -> None:
        self.sequence = 0
        self.rewind_sequence = 0
        self.match_index = 0


class Guard:
    """Owns the engine and translates between it and the typed messages of `node.messages`."""

    def __init__(
        self,
        node_id: str,
        journal: RaftJournal,
        restored: tuple[Entry, Entry] | None,
        send: Callable[[str, Message], None],
        on_state: Callable[[int, int], None],
        monotonic: Callable[[], float],
        counts: Callable[[str], bool],
    ) -> None:
        self._monotonic = monotonic
        self._answered: tuple[str, int, int] | None = None  # (leader, term, next index) of the last success
        self._answered_at = 0.0
        self.node_id = node_id
        self.journal = journal
        self._send = send
        self._on_state = on_state
        self._counts = counts  # whether that peer is a voter, with the disk that is meant (`node.membership`)
        self._progress: dict[str, _PeerProgress] = {}
        self._votes: set[tuple[str, int]] = set()
        self._answering: tuple[int, int] | None = None  # (sequence answered, highest index verified)
        self.needs_snapshot: set[str] = set()
        self.state = 0
        voter_ids = journal.placed.configuration.voters
        self.engine = Engine(node_id, voter_ids, journal, restored, self._outgoing, self._state_changed)

    @property
    def term(self) -> int:
        """The current term."""
        return int(self.engine.raftCurrentTerm)

    @property
    def commit_index(self) -> int:
        """The highest index known to be committed."""
        return int(self.engine.raftCommitIndex)

    @property
    def leading(self) -> bool:
        """Whether this member believes that it leads. It may be wrong: see `node.reads`."""
        return self.state == LEADER

    def match_index(self, peer_id: str) -> int:
        """On the leader: the highest index known to be on that follower's disk."""
        return self._progress_of(peer_id).match_index

    def _progress_of(self, peer_id: str) -> _PeerProgress:
        progress = self._progress.get(peer_id)
        if progress is None:
            progress = self._progress[peer_id] = _PeerProgress()
        return progress

    def forget(self, peer_id: str) -> None:
        """Another disk, or nobody, sits in that seat now: nothing that was known of the old one holds."""
        self._progress.pop(peer_id, None)
        self.needs_snapshot.discard(peer_id)

    def _state_changed(self, old: int, new: int) -> None:
        self.state = new
        if old == LEADER:
            # F6: out of sight in the same moment. The library's own timer has long run out while it led; with the others still in
            # sight its next tick would campaign without a pre-vote, and topple the leader that has just been told of.
            for peer_id in self.engine.shown():
                self.engine.hide(peer_id)
        if new == LEADER:
            for progress in self._progress.values():
                progress.match_index = 0
                progress.rewind_sequence = progress.sequence + 1
        self._on_state(old, new)

    # Outgoing: what the library wants to say.

    def _outgoing(self, peer_id: str, message: dict[str, Any]) -> None:
        match message["type"]:
            case "append_entries":
                self._outgoing_append(peer_id, message)
            case "next_node_idx":
                self._outgoing_answer(peer_id, message)
            case "request_vote":
                self._send(
                    peer_id,
                    RequestVote(message["term"], message["last_log_index"], message["last_log_term"]),
                )
            case "response_vote":
                self._send(peer_id, Vote(message["term"]))
            case "timeout_now":
                self._send(peer_id, TimeoutNow(message["term"]))
            case "apply_command":
                pass  # F9: proposed just as leadership went; its owner sends it again to the next leader
            case other:
                raise AssertionError(f"the library sent an unexpected {other!r}")

    def _outgoing_append(self, peer_id: str, message: dict[str, Any]) -> None:
        if "serialized" in message:
            # F11 (and F3): never sent. The follower is behind the start of our log and gets a snapshot by our own channel.
            self.needs_snapshot.add(peer_id)
            self.engine.hide(peer_id)
            return
        if "transmission" in message:
            raise AssertionError(
                "an entry reached the library's chunked path (H12); the batch limit is broken"
            )
        progress = self._progress_of(peer_id)
        progress.sequence += 1
        self._send(
            peer_id,
            AppendEntries(
                message["term"],
                progress.sequence,
                message["commit_index"],
                message["prevLogIdx"],
                message["prevLogTerm"],
                message["entries"],
            ),
        )

    def _outgoing_answer(self, peer_id: str, message: dict[str, Any]) -> None:
        assert self._answering is not None, "the library answers nothing but append_entries"
        sequence, verified_index = self._answering
        next_index = message["next_node_idx"]
        if message["success"]:
            next_index = min(next_index, verified_index + 1)  # F2
            if self._said_just_now(peer_id, next_index):
                return
        elif next_index <= self.journal.last_index:
            # F10: skip the whole conflicting term at once, but never below what is committed.
            conflict = max(next_index, self.journal.first_index)
            next_index = max(self.commit_index + 1, self.journal.first_index_of_term_at(conflict))
        self._send(
            peer_id, AppendAnswer(self.term, sequence, next_index, message["reset"], message["success"])
        )

    def _said_just_now(self, peer_id: str, next_index: int) -> bool:
        """Whether the leader has this very acknowledgement already: a message that only moves its commit index needs none."""
        answer = (peer_id, self.term, next_index)
        now = self._monotonic()
        if answer == self._answered and now - self._answered_at < REPEAT_ANSWER_SECONDS:
            return True
        self._answered, self._answered_at = answer, now
        return False

    # Incoming: what peers say.

    def on_append_entries(self, peer_id: str, message: AppendEntries) -> bool:
        """Follower: F2, F3, F4. False when the sender is not a leader of our term."""
        if message.term < self.term:
            self._send(peer_id, TermNotice(self.term))
            return False
        if self.leading and message.term == self.term:
            raise FailStopError(f"two leaders in term {self.term}: this member and {peer_id}")
        _check_entries(message)
        previous_index, previous_term, entries = self._strip(message)
        verified_index = message.previous_index + len(message.entries)
        matches = self.journal.term_at(previous_index) == previous_term
        if not matches and previous_index <= self.commit_index:
            raise FailStopError(
                f"leader {peer_id} of term {message.term} disagrees about entry {previous_index}, which is committed "
                f"here (commit index {self.commit_index}): a member has lost data it had promised"
            )
        if matches:
            if entries and entries[0][1] <= self.commit_index:
                raise FailStopError(
                    f"leader {peer_id} of term {message.term} wants to replace entry {entries[0][1]}, which is "
                    f"committed here (commit index {self.commit_index}): a member has lost data it had promised"
                )
            if not entries:
                # All of it matches; what we have beyond is neither confirmed nor refuted, so it must not be truncated.
                previous_index, previous_term = self.journal.last_index, self.journal.last_term
        self._answering = (message.sequence, verified_index)
        try:
            self.engine.feed(
                peer_id,
                {
                    "type": "append_entries",
                    "term": message.term,
                    "commit_index": min(message.commit_index, verified_index) if matches else 0,
                    "entries": entries if matches else [],
                    "prevLogIdx": previous_index,
                    "prevLogTerm": previous_term,
                },
            )
        finally:
            self._answering = None
        return True

    def _strip(self, message: AppendEntries) -> tuple[int, int, list[Entry]]:
        """F2: (previous index, previous term, entries) without the prefix that stands in our log already."""
        journal = self.journal
        previous_index, previous_term, entries = (
            message.previous_index,
            message.previous_term,
            message.entries,
        )
        skip = 0
        if previous_index < journal.first_index:
            # Below our log's start everything is committed, so it matches by Leader Completeness.
            skip = min(len(entries), journal.first_index - previous_index)
            if previous_index + skip < journal.first_index:
                return journal.last_index, journal.last_term, []
            previous_index, previous_term = journal.first_index, journal.entries[0][2]
        elif journal.term_at(previous_index) != previous_term:
            return previous_index, previous_term, entries
        while skip < len(entries) and journal.term_at(entries[skip][1]) == entries[skip][2]:
            _, previous_index, previous_term = entries[skip]
            skip += 1
        return previous_index, previous_term, entries[skip:]

    def on_append_answer(self, peer_id: str, message: AppendAnswer) -> None:
        """Leader: F1, F10."""
        if not self.leading or message.term != self.term or not self._heeds(peer_id):
            return
        if message.next_index - 1 > self.journal.last_index and message.success:
            raise ProtocolError(
                f"{peer_id} acknowledged entry {message.next_index - 1}, which we do not have"
            )
        progress = self._progress_of(peer_id)
        reset = message.reset
        if reset:
            if message.sequence < progress.rewind_sequence:
                reset = False
            else:
                progress.rewind_sequence = progress.sequence + 1
        if message.success:
            progress.match_index = max(progress.match_index, message.next_index - 1)
        next_index = min(message.next_index, self.journal.last_index + 1)
        self.engine.acknowledge(peer_id, next_index, reset=reset, success=message.success)

    def _heeds(self, peer_id: str) -> bool:
        """Whether an acknowledgement of that peer is one: of a voter that counts, or of a learner that gets entries."""
        if peer_id in self.journal.placed.configuration.voters:
            return self._counts(peer_id)
        return self.engine.hears(peer_id)

    def on_request_vote(self, peer_id: str, message: RequestVote) -> None:
        """Voter. The library grants at most one vote a term and keeps it by the journal."""
        if message.term < self.term:
            self._send(peer_id, TermNotice(self.term))
            return
        self.engine.feed(
            peer_id,
            {
                "type": "request_vote",
                "term": message.term,
                "last_log_index": message.last_log_index,
                "last_log_term": message.last_log_term,
            },
        )

    def on_vote(self, peer_id: str, message: Vote) -> None:
        """Candidate: F5."""
        if message.term != self.term or (peer_id, message.term) in self._votes or not self._counts(peer_id):
            return
        self._votes = {vote for vote in self._votes if vote[1] == message.term}
        self._votes.add((peer_id, message.term))
        self.engine.feed(peer_id, {"type": "response_vote", "term": message.term})

    def on_term_notice(self, peer_id: str, message: TermNotice) -> None:
        """F4: somebody knows a later term."""
        if message.term > self.term:
            self.engine.adopt_term(peer_id, message.term)

    def heard_from(self, peer_id: str) -> None:
        """Leader: any proof of life in our own term keeps CheckQuorum content (a peer that is installing answers nothing else)."""
        if self.leading and self._heeds(peer_id):
            self.engine.acknowledge(peer_id, 0, reset=False, success=False)


def _check_entries(message: AppendEntries) -> None:
    """Refuse what no leader sends: gaps, terms that fall, kinds of entry that the library would unpickle (H9)."""
    expected, term = message.previous_index, message.previous_term
    for command, index, entry_term in message.entries:
        expected += 1
        if index != expected or entry_term < term or entry_term > message.term:
            raise ProtocolError(f"append_entries with entry {index} of term {entry_term} out of order")
        if command[:1] != b"\x00" and command != NO_OP:
            raise ProtocolError("append_entries with an unknown kind of entry")
        try:
            decode_entry(command)
        except msgspec.DecodeError as error:
            raise ProtocolError(
                f"append_entries with a configuration that cannot be read: {error}"
            ) from error
        term = entry_term
