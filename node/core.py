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

import msgspec

from node import messages as m
from node.changes import NOT_LEADER, Changes, admitted
from node.clock import ClusterClock
from node.digests import CHECKPOINT_EVERY, Digests
from node.effects import Answer, Changed, Effect, Fail, ReadReady, Send, without_overtaken
from node.election import CAMPAIGN_SECONDS, Elections
from node.engine import Peer
from node.greetings import Greetings
from node.guard import Guard
from node.journal import Entry, RaftJournal
from node.membership import ENTRY_PREFIX, Change, Introduction, Placed, Verdict, judge
from node.reads import LeaderReads, Reads, answer_probe
from node.receipts import Receipts
from node.replica import Role
from node.requests import LeaderQueue, Requests
from statemachine.commands import decode_envelope, encode_batch
from statemachine.state import State

HEARTBEAT_SECONDS = 0.2
EXPIRE_SECONDS = 0.05  # how often commands past their deadline are looked for
LINK_SILENCE_SECONDS = 1.5  # a peer that sent nothing for so long is not reachable
APPLY_COMMANDS_PER_STEP = 500  # then the driver gets a turn
MAX_ENTRIES_IN_FLIGHT = 2  # proposed and not yet applied; more waits and shares the next entry
HEIR_SECONDS = CAMPAIGN_SECONDS[1]  # by then a campaign is won or lost
TRIM_BEHIND_ENTRIES = 2_000  # kept in memory behind a snapshot, so that a short absence needs no snapshot


_ROLES: tuple[Role, Role, Role] = ("follower", "candidate", "leader")  # by PySyncObj's numbers


class Core:
    """See the module. `now` is taken from `monotonic` (seconds); all methods return at once."""

    def __init__(
        self,
        *,
        node_id: str,
        incarnation: str,
        journal: RaftJournal,
        state: State,
        applied_index: int,
        restored: tuple[Entry, Entry] | None,
        known_index: int = 0,
        wants_vote: bool = True,
        monotonic: Callable[[], float],
        wall_ms: Callable[[], int],
        rng: random.Random,
    ) -> None:
        self.node_id = node_id
        self.incarnation = incarnation
        self.wants_vote = wants_vote
        self.journal = journal
        self.state = state
        self.applied_index = applied_index
        self.applied_placed = journal.placed_at(applied_index)
        self._joined_index = known_index
        self._monotonic = monotonic
        self._effects: list[Effect] = []
        self.linked: set[str] = set()
        self.introductions: dict[str, Introduction] = {}  # of the members whose links we have accepted
        self.present: set[str] = set()  # of those, whose link stands
        self.wanting_votes: set[str] = set()
        self._greetings = Greetings()
        self._heard_at: dict[str, float] = {}
        self._wall_ms = wall_ms
        self._term_start_index = 0
        self.guard = Guard(
            node_id, journal, restored, self._send, self._state_changed, monotonic, self.counts
        )
        self.clock = ClusterClock(node_id, journal.placed.configuration.voters, monotonic, wall_ms)
        self.elections = Elections(
            self.guard,
            self.counts,
            self._may_elect,
            self._may_follow,
            self._send,
            self.linked,
            rng,
            monotonic(),
        )
        self.queue = LeaderQueue()
        self.requests = Requests(self._send, self._submit)
        self.leader_reads = LeaderReads(self.guard, self.counts, self._send)
        self.reads = Reads(self._send, self._ask_locally)
        self.changes = Changes(self, f"{rng.getrandbits(128):032x}")
        self.draining = False  # leadership is being handed over: nothing new is proposed
        self.stopping = False  # and for good: this member is about to end
        self.configuration_version = 0  # grows when links and addresses have to be looked at again
        self._seats_before = journal.placed.configuration.by_id
        journal.on_placed = self._configuration_changed
        self.busy = False  # another step should follow at once
        self._heartbeat_at = 0.0
        self._expire_at = 0.0
        self._was_leading = False
        self._asked_to_lead: dict[str, float] = {}  # when whom, in this term of ours
        self.digests = Digests(self)
        self.receipts = Receipts(applied_index, state.digest)
        self.entries_applied = 0
        self.commands_applied = 0

    # Outputs.

    def take_frames(self) -> list[tuple[bytes, int]]:
        """(payload, highest log index in it) of what must be made durable, in order."""
        return self.journal.take_frames()

    def take_effects(self) -> list[Effect]:
        """What may happen once the frames taken so far are durable, in order."""
        effects, self._effects = self._effects, []
        return without_overtaken(effects)

    def _send(self, peer_id: str, message: m.Message) -> None:
        self._effects.append(Send(peer_id, message))

    # What the driver can ask.

    @property
    def alarm(self) -> str:
        """What people must know and no member may act upon; "" when there is nothing."""
        return self.digests.alarm

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
        return _ROLES[self.guard.state] if self.counts(self.node_id) else "learner"

    @property
    def others(self) -> list[str]:
        """Ids of all other members, learners included, in order."""
        return [seat.id for seat in self.journal.placed.configuration.seats if seat.id != self.node_id]

    @property
    def known_index(self) -> int:
        """The newest configuration in which this member has found its place; 0 when there is none."""
        return max(self._joined_index, self._place(self.applied_placed), self._place(self.journal.placed))

    def _place(self, placed: Placed) -> int:
        seat = placed.configuration.by_id.get(self.node_id)
        return placed.index if seat is not None and seat.incarnation in ("", self.incarnation) else 0

    def counts(self, member_id: str) -> bool:
        """Whether that member (or this one) is a voter now, with the disk that is meant."""
        if member_id == self.node_id:
            incarnation: str | None = self.incarnation
        else:
            introduction = self.introductions.get(member_id)
            incarnation = None if introduction is None else introduction.incarnation
        return self.journal.placed.configuration.counts(member_id, incarnation)

    def absent_at_birth(self) -> list[str]:
        """Whom a member with an empty disk waits for; nobody when it is not empty, or all have come.

        An empty disk belongs to a newborn cluster, or was wiped: two that were wiped must not elect each other and begin an empty cluster
        beside the one that they have forgotten. Only when all voters of cluster.yml are here, and none of them knows of a
        founded cluster, is it certain that there is nothing to forget.
        """
        configuration = self.journal.placed.configuration
        if configuration.founded or self.journal.last_index > 1:
            return []
        return [
            voter_id
            for voter_id in configuration.voters
            if voter_id != self.node_id
            and (voter_id not in self.present or self.introductions[voter_id].founding != "")
        ]

    def _may_elect(self) -> bool:
        # Whether it is a voter is the candidate's to judge: the entry that makes it one may not have arrived here yet.
        return not self.absent_at_birth()

    def _may_follow(self, peer_id: str) -> bool:
        return self.counts(peer_id) or admitted(
            self.journal.placed.configuration,
            self.applied_placed.configuration,
            self.introductions.get(peer_id),
        )

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

    def introduction(self) -> Introduction:
        """What this member says of itself when it dials another."""
        seat = self.journal.placed.configuration.by_id.get(self.node_id)
        return Introduction(
            self.node_id,
            self.incarnation,
            self.applied_placed.configuration.founding,
            self.known_index,
            "" if seat is None else seat.raft,
        )

    def judge(self, introduction: Introduction) -> Verdict:
        """Whether a member that dials us is let in."""
        return judge(self.journal.placed, self.applied_placed, introduction)

    def introduced(self, peer_id: str, introduction: Introduction) -> None:
        """A member that was let in speaks to us from now on."""
        before = self.introductions.get(peer_id)
        if before is not None and before.incarnation != introduction.incarnation:
            self.guard.forget(peer_id)
        self.introductions[peer_id] = introduction
        self.present.add(peer_id)
        self.elections.settle_sight()

    def greeted(self, peer_id: str, verdict: Verdict) -> None:
        """A member that we dialled let us in, or refused us."""
        self._greetings.note(verdict, self._monotonic())

    def addresses(self) -> dict[str, str]:
        """Where the other members listen: of the newest configuration, and of the applied one until that is superseded."""
        seats = {**self.applied_placed.configuration.by_id, **self.journal.placed.configuration.by_id}
        return {seat.id: seat.raft for seat in seats.values() if seat.id != self.node_id}

    def change(self, request_id: int, change: Change) -> None:
        """Ask the leader for another configuration; the end appears as `Changed`. A lost message is not repeated."""
        leader_id = self.leader_id
        if leader_id is None:
            self._effects.append(Changed(request_id, NOT_LEADER, "no leader is known", 0))
        elif leader_id != self.node_id:
            self._send(leader_id, m.ChangeRequest(request_id, change))
        else:
            self.changes.ask(
                change,
                lambda code, detail, index: self._effects.append(Changed(request_id, code, detail, index)),
                self._monotonic(),
            )

    def peer_silent(self, peer_id: str) -> None:
        """The peer's connection to us broke: nothing more will come over it."""
        self.present.discard(peer_id)
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
        """A message of an authenticated member. Raises ProtocolError (close the link) and FailStopError (stop)."""
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
            case m.ChangeRequest():
                self._on_change_request(peer_id, message, now)
            case m.ChangeAnswer():
                self._effects.append(Changed(message.request, message.code, message.detail, message.index))
            case m.SnapshotOffer() | m.SnapshotWant() | m.SnapshotChunk():
                raise AssertionError("snapshot messages belong to node.transfer")

    def _on_heartbeat(self, peer_id: str, message: m.Heartbeat, now: float) -> None:
        self.clock.note(peer_id, message.wall_ms)
        if message.wants_vote:
            self.wanting_votes.add(peer_id)
        else:
            self.wanting_votes.discard(peer_id)
        if message.term < self.guard.term:
            self._send(peer_id, m.TermNotice(self.guard.term))
            return
        if message.leading and message.term == self.guard.term and not self.guard.leading:
            self.elections.leader_heard(now)
        if message.term == self.guard.term:
            self.guard.heard_from(peer_id)
        if message.checkpoint_index:
            self.digests.said(peer_id, message.checkpoint_index, message.checkpoint_digest)

    def _on_change_request(self, peer_id: str, message: m.ChangeRequest, now: float) -> None:
        request = message.request
        self.changes.ask(
            message.change,
            lambda code, detail, index: self._send(peer_id, m.ChangeAnswer(request, code, detail, index)),
            now,
        )

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
        self.leader_reads.ask(on_index, self.own_term_applied(), self._monotonic())

    # A step.

    def step(self) -> None:
        """Let time and everything received take effect. Raises FailStopError."""
        now = self._monotonic()
        self.busy = False
        self.elections.look(now)
        self.guard.engine.tick()
        self._settle_leadership()
        self._apply_committed()
        self.changes.look(now)
        self._greetings.look(self, now)
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
        if not self.applied_placed.configuration.founded:
            return  # what clients ask for goes into a log only when it is known whose promises count
        while self.queue and self.guard.leading and self.clock.knows_majority():
            if self.journal.last_index - self.applied_index >= MAX_ENTRIES_IN_FLIGHT:
                return
            self.guard.engine.propose(encode_batch(self.now_ms(), self.queue.take_batch()))
            self.guard.engine.tick()
        if self._something_is_due():
            self.guard.engine.propose(encode_batch(self.now_ms(), []))
            self.guard.engine.tick()

    def _something_is_due(self) -> bool:
        """Whether time alone has to make an entry: something in the state is due, and no entry is under way that would do it.

        Any entry does what is due at its stamp, so a second one could at most be empty of effects, and there is none: the
        next is made only when this one has been applied.
        """
        due_ms = self.state.due_ms
        return (
            due_ms is not None
            and self.own_term_applied()
            and not self.draining
            and self.journal.last_index == self.applied_index
            and self.clock.knows_majority()
            and due_ms <= self.now_ms()
        )

    def _heartbeat(self) -> None:
        self.clock.refresh()
        self.elections.may_lead = not self.clock.is_outlier()
        if self.guard.leading and not self.elections.may_lead:
            self.transfer_leadership()
        checkpoint_index, checkpoint_digest = self.digests.newest()
        message = m.Heartbeat(
            self.guard.term,
            self.guard.leading,
            self._wall_ms(),
            self.applied_index,
            checkpoint_index,
            checkpoint_digest,
            self.wants_vote,
        )
        for peer_id in self.others:
            if peer_id in self.linked:
                self._send(peer_id, message)

    def _configuration_changed(self) -> None:
        """Another configuration is the newest in the log: called by the journal while the entry is added or taken off."""
        configuration = self.journal.placed.configuration
        self.configuration_version += 1
        for seat in self._seats_before.values():
            new = configuration.by_id.get(seat.id)
            if new is None or (seat.incarnation != "" and new.incarnation != seat.incarnation):
                self.guard.forget(seat.id)
                self.wanting_votes.discard(seat.id)
        self._seats_before = configuration.by_id
        self.guard.engine.count(configuration.voters)
        self.clock.count(configuration.voters)
        self.elections.settle_sight()

    def _state_changed(self, _old: int, new: int) -> None:
        if new == 2:
            # The library appends its no-op right after this.
            self._term_start_index = self.journal.last_index + 1

    def _settle_leadership(self) -> None:
        if self.guard.leading == self._was_leading:
            return
        self._was_leading = self.guard.leading
        self._asked_to_lead.clear()
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
            if command[:1] == b"\x00" and command[:2] != ENTRY_PREFIX:
                applied = self.state.apply(index, command[1:])
                budget -= len(applied.results)
                self.commands_applied += len(applied.results)
                for request_id, _, _, outcome in applied.results:
                    if self.requests.done(request_id):
                        self._effects.append(Answer(request_id, outcome))
            elif command[:2] == ENTRY_PREFIX:
                self.applied_placed = self.journal.placed_at(index)
                self.configuration_version += 1
                self.elections.settle_sight()
            self.applied_index = index
            self.receipts.note(index, self.state.digest)
            self.entries_applied += 1
            if index % CHECKPOINT_EVERY == 0:
                self.digests.reached(index, self.state.digest)
        self.reads.applied(self.applied_index)

    # Handing leadership over, snapshots, rebuilding.

    def transfer_leadership(self, to: str | None = None) -> bool:
        """Ask a follower to take over; False when all lack something yet. Call again and again while `draining`.

        One at a time: several candidates of one term may split the votes of five. Who has not taken over HEIR_SECONDS later is
        passed over while there are others.
        """
        if not self.guard.leading or self.queue:
            return False
        if to is not None:
            return self._asks_to_lead(to)
        now = self._monotonic()
        heirs = [peer_id for peer_id in self.guard.engine.shown() if self.counts(peer_id)]
        heirs.sort(key=lambda peer_id: self._asked_to_lead.get(peer_id, float("-inf")))
        if heirs and now - self._asked_to_lead.get(heirs[-1], float("-inf")) < HEIR_SECONDS:
            return self._asks_to_lead(heirs[-1])
        for peer_id in heirs:
            if self._asks_to_lead(peer_id):
                self._asked_to_lead[peer_id] = now
                return True
        return False

    def _asks_to_lead(self, peer_id: str) -> bool:
        accepted: list[bool] = []
        self.guard.engine.transferLeadership(
            Peer(peer_id), lambda _result, error: accepted.append(error == 0)
        )
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
        self.introductions, self.present = old.introductions, old.present
        self.wanting_votes = old.wanting_votes
        self._greetings = old._greetings
        self._joined_index = old._joined_index
        self.configuration_version = old.configuration_version + 1
        self.clock = old.clock
        self.clock.count(self.journal.placed.configuration.voters)
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
