"""One member of the cluster without I/O: messages, commands and ticks in; frames for the journal and effects out.

The driver (`node.member` on asyncio and real disks; a simulator on virtual ones) does this, over and over:

    core.receive(...), core.execute(...), core.read(...)    inputs, as they come
    core.step()                                             consensus, elections, applying, reads
    frames = core.take_frames()                             write them down, in order, durably
    effects = core.take_effects()                           let them happen once *those frames* are durable
    core.propose()                                          what waits goes into the log; frames and effects again

That order is the whole of "durable before visible" (F7): an effect (a message to a peer, an answer to a client) leaves only when
the sync that covers everything before it has returned. What a leader sends has therefore been synced by the leader, so a
commit never counts a copy that is not on a disk, and the state that reads are answered from holds durable entries only.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from node import messages as m
from node.clock import ClusterClock
from node.election import Elections
from node.guard import FailStopError, Guard
from node.journal import Entry, RaftJournal
from node.reads import CANNOT_SAY, LeaderReads, Reads, answer_probe
from node.replica import Role
from node.requests import Failure, LeaderQueue, Requests
from statemachine.commands import decode_envelope, encode_batch
from statemachine.outcomes import Outcome
from statemachine.state import State

HEARTBEAT_SECONDS = 0.2
EXPIRE_SECONDS = 0.05  # how often commands past their deadline are looked for
LINK_SILENCE_SECONDS = 1.5  # a peer that sent nothing for so long is not reachable
APPLY_COMMANDS_PER_STEP = 500  # then the driver gets a turn
MAX_ENTRIES_IN_FLIGHT = 2  # proposed and not yet applied; more waits and shares the next entry
CHECKPOINT_EVERY = 256  # digests are compared at multiples of that index
CHECKPOINTS_KEPT = 64
TRIM_BEHIND_ENTRIES = 2_000  # kept in memory behind a snapshot, so that a short absence needs no snapshot


class Send(NamedTuple):
    """Effect: a message to a peer."""

    peer_id: str
    message: m.Message


class Answer(NamedTuple):
    """Effect: the outcome of a command of this node."""

    request_id: int
    outcome: Outcome


class Fail(NamedTuple):
    """Effect: a command of this node has no outcome."""

    request_id: int
    failure: Failure


class ReadReady(NamedTuple):
    """Effect: the state may answer the read."""

    token: int
    read_index: int


_ROLES: tuple[Role, Role, Role] = ("follower", "candidate", "leader")  # by PySyncObj's numbers

Effect = Send | Answer | Fail | ReadReady


class Core:
    """See the module. `now` is taken from `monotonic` (seconds); all methods return at once."""

    def __init__(
        self,
        *,
        node_id: str,
        voter_ids: list[str],
        journal: RaftJournal,
        state: State,
        applied_index: int,
        restored: tuple[Entry, Entry] | None,
        monotonic: Callable[[], float],
        wall_ms: Callable[[], int],
        rng: random.Random,
    ) -> None:
        self.node_id = node_id
        self.others = [voter_id for voter_id in voter_ids if voter_id != node_id]
        self.journal = journal
        self.state = state
        self.applied_index = applied_index
        self._monotonic = monotonic
        self._effects: list[Effect] = []
        self.linked: set[str] = set()
        self._heard_at: dict[str, float] = {}
        self.clock = ClusterClock(self.others, monotonic, wall_ms)
        self._wall_ms = wall_ms
        self._term_start_index = 0
        self.guard = Guard(
            node_id, self.others, journal, restored, self._send, self._state_changed, monotonic
        )
        self.elections = Elections(self.guard, self.others, self._send, self.linked, rng, monotonic())
        self.queue = LeaderQueue()
        self.requests = Requests(self._send, self._submit)
        self.leader_reads = LeaderReads(self.guard, self.others, self._send)
        self.reads = Reads(self._send, self._ask_locally)
        self.draining = False  # leadership is being handed over: nothing new is proposed
        self.busy = False  # another step should follow at once
        self._heartbeat_at = 0.0
        self._expire_at = 0.0
        self._was_leading = False
        self._checkpoints: dict[int, bytes] = {}
        self._peer_checkpoints: dict[str, tuple[int, bytes]] = {}
        self.alarm = (
            ""  # digests differ and nobody can say whose is right: told to people, acted upon by nobody
        )
        self.entries_applied = 0
        self.commands_applied = 0

    # Outputs.

    def take_frames(self) -> list[tuple[bytes, int]]:
        """(payload, highest log index in it) of what must be made durable, in order."""
        return self.journal.take_frames()

    def take_effects(self) -> list[Effect]:
        """What may happen once the frames taken so far are durable, in order."""
        effects, self._effects = self._effects, []
        return _without_overtaken(effects)

    def _send(self, peer_id: str, message: m.Message) -> None:
        self._effects.append(Send(peer_id, message))

    # What the driver can ask.

    @property
    def leader_id(self) -> str | None:
        """Who leads, as far as this member knows: itself only while it does, another only while its link is up."""
        if self.guard.leading:
            return self.node_id
        leader_id = self.guard.engine.leader_id()
        return leader_id if leader_id in self.linked else None

    @property
    def role(self) -> Role:
        """This member's role."""
        return _ROLES[self.guard.state]

    def reachable(self, peer_id: str) -> bool:
        """Whether the peer was heard lately."""
        return self._monotonic() - self._heard_at.get(peer_id, float("-inf")) < LINK_SILENCE_SECONDS

    def own_term_applied(self) -> bool:
        """Whether this leader has applied an entry of its own term, without which its commit index proves nothing."""
        return self.guard.leading and self.applied_index >= self._term_start_index

    def now_ms(self) -> int:
        """The cluster's clock, never behind the state's."""
        now_ms = self.clock.now_ms()
        return now_ms if now_ms > self.state.now_ms else self.state.now_ms

    # Inputs.

    def link_up(self, peer_id: str) -> None:
        """Messages to the peer can leave."""
        self.linked.add(peer_id)
        self._heartbeat_at = 0.0  # our clock and term are news to it
        self.elections.settle_sight()

    def link_down(self, peer_id: str) -> None:
        """Messages to the peer are lost from now on."""
        self.linked.discard(peer_id)
        self.requests.link_changed(peer_id)
        self.elections.settle_sight()

    def peer_silent(self, peer_id: str) -> None:
        """The peer's connection to us broke: nothing more will come over it."""
        self._heard_at.pop(peer_id, None)
        if not self.guard.leading and self.guard.engine.leader_id() == peer_id:
            self.elections.leader_lost(self._monotonic())

    def execute(self, request_id: int, envelope: bytes, timeout_seconds: float) -> bool:
        """Carry out a command of this node; its end appears as `Answer` or `Fail`. False: too many are pending."""
        return self.requests.add(request_id, envelope, self._monotonic() + timeout_seconds)

    def read(self, token: int) -> None:
        """A linearizable read; its turn appears as `ReadReady`."""
        self.reads.add(token)

    def receive(self, peer_id: str, message: m.Message) -> None:
        """A message of an authenticated voter. Raises ProtocolError (close the link) and FailStopError (stop)."""
        now = self._monotonic()
        self._heard_at[peer_id] = now
        match message:
            case m.AppendEntries():
                if self.guard.on_append_entries(peer_id, message):
                    self.elections.leader_heard(now)
            case m.AppendAnswer():
                self.guard.on_append_answer(peer_id, message)
            case m.Forward():
                self._on_forward(peer_id, message)
            case m.ReadRequest():
                self._on_read_request(peer_id, message, now)
            case m.ReadAnswer():
                self.reads.on_answer(peer_id, message)
            case m.ReadProbe():
                answer_probe(self.guard, peer_id, message, self._send)
            case m.ReadProof():
                self.leader_reads.on_proof(peer_id, message, now)
            case m.Heartbeat():
                self._on_heartbeat(peer_id, message, now)
            case m.Refused():
                self.requests.on_refused(message, now)
            case m.PreVote():
                self.elections.on_pre_vote(peer_id, message, now)
            case m.PreVoteAnswer():
                self.elections.on_pre_vote_answer(peer_id, message, now)
            case m.RequestVote():
                self.elections.on_request_vote(peer_id, message, now)
            case m.Vote():
                self.elections.on_vote(peer_id, message)
            case m.TimeoutNow():
                self.elections.on_timeout_now(peer_id, message, now)
            case m.TermNotice():
                self.guard.on_term_notice(peer_id, message)
            case m.SnapshotOffer() | m.SnapshotWant() | m.SnapshotChunk():
                raise AssertionError("snapshot messages belong to node.transfer")

    def _on_heartbeat(self, peer_id: str, message: m.Heartbeat, now: float) -> None:
        self.clock.note(peer_id, message.wall_ms)
        if message.term < self.guard.term:
            self._send(peer_id, m.TermNotice(self.guard.term))
            return
        if message.leading and message.term == self.guard.term and not self.guard.leading:
            self.elections.leader_heard(now)
        if message.term == self.guard.term:
            self.guard.heard_from(peer_id)
        if message.checkpoint_index:
            self._peer_checkpoints[peer_id] = (message.checkpoint_index, message.checkpoint_digest)
            self._compare_digests()

    def _on_forward(self, peer_id: str, message: m.Forward) -> None:
        refused = self._submit_from(peer_id, message.request_ids, message.envelopes)
        if refused is not None:
            self._send(peer_id, refused)

    def _submit(self, request_ids: list[int], envelopes: list[bytes]) -> m.Refused | None:
        return self._submit_from(self.node_id, request_ids, envelopes)

    def _submit_from(self, origin: str, request_ids: list[int], envelopes: list[bytes]) -> m.Refused | None:
        if not self.guard.leading or self.draining:
            return m.Refused(request_ids, overloaded=False)
        return self.queue.add(origin, request_ids, envelopes)

    def _on_read_request(self, peer_id: str, message: m.ReadRequest, now: float) -> None:
        request = message.request
        self.leader_reads.ask(
            lambda index: self._send(peer_id, m.ReadAnswer(request, index)), self.own_term_applied(), now
        )

    def _ask_locally(self, on_index: Callable[[int], None]) -> None:
        if self.others:
            self.leader_reads.ask(on_index, self.own_term_applied(), self._monotonic())
        else:
            on_index(self.guard.commit_index if self.own_term_applied() else CANNOT_SAY)

    # A step.

    def step(self) -> None:
        """Let time and everything received take effect. Raises FailStopError."""
        now = self._monotonic()
        self.busy = False
        self.elections.look(now)
        self.guard.engine.tick()
        self._settle_leadership()
        self._apply_committed()
        self.requests.look(self.leader_id, self.guard.term, self.node_id, self.linked, now)
        self.leader_reads.look(now)
        self.reads.look(self.leader_id, self.node_id, now)
        self._effects.extend(ReadReady(token, index) for token, index in self.reads.done)
        self.reads.done.clear()
        if now >= self._expire_at:
            self._expire_at = now + EXPIRE_SECONDS
            self.requests.expire(now)
            self._effects.extend(Fail(request_id, failure) for request_id, failure in self.requests.failed)
            self.requests.failed.clear()
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + HEARTBEAT_SECONDS
            self._heartbeat()

    def propose(self) -> None:
        """Put what waits on this leader into the log: the second half of a turn, after the effects of `step` were taken.

        Apart from `step`, so that an answer to what has just been applied does not wait for the sync of a newer entry.
        """
        while self.queue and self.guard.leading and self.clock.knows_majority():
            if self.journal.last_index - self.applied_index >= MAX_ENTRIES_IN_FLIGHT:
                return
            self.guard.engine.propose(encode_batch(self.now_ms(), self.queue.take_batch()))
            self.guard.engine.tick()

    def _heartbeat(self) -> None:
        self.clock.refresh()
        self.elections.may_lead = not self.clock.is_outlier()
        if self.guard.leading and not self.elections.may_lead:
            self.transfer_leadership()
        newest = max(self._checkpoints, default=0)
        message = m.Heartbeat(
            self.guard.term,
            self.guard.leading,
            self._wall_ms(),
            self.applied_index,
            newest,
            self._checkpoints.get(newest, b""),
        )
        for peer_id in self.others:
            if peer_id in self.linked:
                self._send(peer_id, message)

    def _state_changed(self, _old: int, new: int) -> None:
        if new == 2:
            # The library appends its no-op right after this.
            self._term_start_index = self.journal.last_index + 1

    def _settle_leadership(self) -> None:
        if self.guard.leading == self._was_leading:
            return
        self._was_leading = self.guard.leading
        if not self._was_leading:
            self.guard.needs_snapshot.clear()
            self.leader_reads.abandon()
            for origin, refused in self.queue.refuse_all():
                if origin == self.node_id:
                    self.requests.on_refused(refused, self._monotonic())
                else:
                    self._send(origin, refused)
        self.elections.settle_sight()

    def _apply_committed(self) -> None:
        """Apply what consensus has delivered, a bounded number of commands at a time."""
        delivered = int(self.guard.engine.raftLastApplied)
        budget = APPLY_COMMANDS_PER_STEP
        while self.applied_index < delivered:
            if budget <= 0:
                self.busy = True
                break
            index = self.applied_index + 1
            command = self.journal.entry_at(index)[0]
            if command[:1] == b"\x00":
                applied = self.state.apply(index, command[1:])
                budget -= len(applied.results)
                self.commands_applied += len(applied.results)
                for request_id, _, _, outcome in applied.results:
                    if self.requests.done(request_id):
                        self._effects.append(Answer(request_id, outcome))
            self.applied_index = index
            self.entries_applied += 1
            if index % CHECKPOINT_EVERY == 0:
                self._checkpoints[index] = self.state.digest
                self._checkpoints.pop(index - CHECKPOINT_EVERY * CHECKPOINTS_KEPT, None)
                self._compare_digests()
        self.reads.applied(self.applied_index)

    def _compare_digests(self) -> None:
        """Invariant 7: at one index all members have one digest; whoever is in the minority stops.

        The alarm is for when no digest can have a majority any more, whatever those say that are heard and have not
        reported that index yet. A majority that agrees goes on, and hears no alarm for the one that does not.
        """
        majority = (len(self.others) + 1) // 2 + 1
        for index, digest in self._peer_checkpoints.values():
            own = self._checkpoints.get(index)
            if own is None:
                continue
            votes = [own, *(other for at, other in self._peer_checkpoints.values() if at == index)]
            if votes.count(own) >= majority:
                self.alarm = ""
            elif votes.count(digest) >= majority:
                raise FailStopError(
                    f"the state of this member differs from a majority's at entry {index}: its data cannot be trusted. "
                    f"Move its data directory away, run deskraft cluster replace {self.node_id} on another node, and start "
                    "this one again: it then fetches the state"
                )
            else:
                to_come = sum(
                    self.reachable(peer_id) and self._peer_checkpoints.get(peer_id, (0, b""))[0] != index
                    for peer_id in self.others
                )
                if len(set(votes)) > 1 and max(map(votes.count, votes)) + to_come < majority:
                    self.alarm = f"members disagree about the state at entry {index}, and none has a majority on its side"

    # Handing leadership over, snapshots, rebuilding.

    def transfer_leadership(self) -> bool:
        """Ask the most caught-up follower to take over; False when none has everything yet. Call while `draining`."""
        if not self.guard.leading or self.queue:
            return False
        accepted: list[bool] = []
        self.guard.engine.transferLeadership(None, lambda _result, error: accepted.append(error == 0))
        return accepted == [True]

    def snapshot_shipped(self, peer_id: str, index: int) -> None:
        """The peer has everything through `index` from a snapshot (or had it already): entries can follow."""
        self.guard.needs_snapshot.discard(peer_id)
        self.guard.engine.acknowledge(peer_id, index + 1, reset=True, success=False)
        self.elections.settle_sight()

    def trim(self, index: int) -> None:
        """A durable snapshot covers everything through `index`."""
        self.journal.trim_to(index - TRIM_BEHIND_ENTRIES)

    def inherit(self, old: Core) -> None:
        """Take over the pending work of a core that an installed snapshot replaces."""
        self.linked.update(old.linked)
        self._heard_at = old._heard_at
        self.clock = old.clock
        self._effects = old._effects
        self.entries_applied, self.commands_applied = old.entries_applied, old.commands_applied
        for request_id, envelope, seconds_left in old.requests.remaining(self._monotonic()):
            decoded = decode_envelope(msgspec.Raw(envelope))
            outcome = self.state.outcome_of(decoded.scope, decoded.key)
            if outcome is not None:
                self._effects.append(Answer(request_id, outcome))
            else:
                self.requests.add(request_id, envelope, self._monotonic() + seconds_left, maybe_logged=True)
        for token in old.reads.tokens():
            self.reads.add(token)


def _without_overtaken(effects: list[Effect]) -> list[Effect]:
    """Leave out messages that only move a follower's commit index when entries for it follow in the same turn."""
    if len(effects) < 2:
        return effects
    followed: dict[str, tuple[int, int]] = {}
    kept: list[Effect] = []
    for effect in reversed(effects):
        if isinstance(effect, Send) and isinstance(effect.message, m.AppendEntries):
            message = effect.message
            place = (message.term, message.previous_index)
            if not message.entries and followed.get(effect.peer_id) == place:
                continue
            if message.entries:
                followed[effect.peer_id] = place
        kept.append(effect)
    kept.reverse()
    return kept
