"""When to start an election: pre-vote, stickiness, and a fast start when the leader's connection breaks.

The library by itself campaigns whenever its timer fires, so a member that was cut off comes back with a term that topples a
healthy leader. Here its sight of the others is closed (F6): it sees them only while it leads or while a campaign that a
majority has agreed to is under way. Whether to campaign is decided here, by the pre-vote of Ongaro's thesis, 9.6: a
voter agrees when the candidate's log is at least as complete as its own and it has itself lost touch with a leader.

A broken connection from the leader (F12) is such a loss at once: a killed process is replaced within tens of
milliseconds. If the leader lives after all, the others still hear it and refuse.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from node.guard import Guard
from node.messages import Message, PreVote, PreVoteAnswer, RequestVote, TermNotice, TimeoutNow, Vote

ELECTION_SECONDS = (
    0.4,
    0.8,
)  # silence of the leader after which a member asks for a pre-vote, drawn each time
RETRY_SECONDS = (0.03, 0.12)  # until the next round of pre-votes
BROKEN_LINK_SECONDS = (0.0, 0.03)  # after the leader's connection broke
COURTESY_SECONDS = (0.1, 0.2)  # after agreeing to somebody else's campaign
CAMPAIGN_SECONDS = (0.1, 0.2)  # for a campaign to win; doubled for each one that did not, for slow disks
MAX_CAMPAIGN_DOUBLINGS = 3
STALL_SECONDS = 0.15  # a gap between two looks at the clock after which silence proves nothing


class Elections:
    """Timers and pre-votes of one member. `now` is monotonic seconds."""

    def __init__(
        self,
        guard: Guard,
        counts: Callable[[str], bool],
        may_elect: Callable[[], bool],
        may_follow: Callable[[str], bool],
        send: Callable[[str, Message], None],
        linked: set[str],
        rng: random.Random,
        now: float,
    ) -> None:
        self._guard = guard
        self._counts = counts  # whether that member (or this one) is a voter, with the disk that is meant
        self._may_elect = may_elect  # whether this member may take part in elections at all
        self._may_follow = may_follow  # whether a leader may send entries to that member
        self._send = send
        self._linked = linked
        self._rng = rng
        self._round = 0
        self._grants: set[str] = set()
        self._leader_heard_at = now
        self._deadline = now + self._draw(ELECTION_SECONDS)
        self._looked_at = now
        self.may_lead = True  # false while this member's clock is far from the others'
        self.started = 0
        self._campaigns = 0  # since a leader was last heard
        self._courteous = True  # until this member has waited once for somebody else's campaign

    def _draw(self, bounds: tuple[float, float]) -> float:
        return self._rng.uniform(*bounds)

    def leader_heard(self, now: float) -> None:
        """The leader of our term spoke."""
        self._leader_heard_at = now
        self._deadline = now + self._draw(ELECTION_SECONDS)
        self._grants.clear()
        self._campaigns = 0

    def leader_lost(self, now: float) -> None:
        """The connection from the leader broke (F12)."""
        self._leader_heard_at = float("-inf")
        self._deadline = min(self._deadline, now + self._draw(BROKEN_LINK_SECONDS))

    def look(self, now: float) -> None:
        """Called at every turn: asks for a pre-vote when the leader has been silent for too long."""
        stalled = now - self._looked_at > STALL_SECONDS
        self._looked_at = now
        if self._guard.leading:
            self._deadline = now + self._draw(ELECTION_SECONDS)
            self._campaigns = 0
            return
        if stalled:
            # We were paused; what the leader sent meanwhile may be waiting to be read.
            self._deadline = max(self._deadline, now + self._draw(RETRY_SECONDS))
        if now < self._deadline:
            return
        self._deadline = now + self._draw(RETRY_SECONDS)
        if not self.may_lead or not self._may_stand():
            return
        self._round += 1
        self._grants.clear()
        self._courteous = True
        journal = self._guard.journal
        message = PreVote(self._guard.term + 1, self._round, journal.last_index, journal.last_term)
        for peer_id in self._guard.journal.placed.configuration.voters:
            if peer_id in self._linked:
                self._send(peer_id, message)
        self._conclude(now)  # a single voter needs nobody

    def on_pre_vote(self, peer_id: str, message: PreVote, now: float) -> None:
        """Voter's side of the pre-vote."""
        journal = self._guard.journal
        complete = (message.last_log_term, message.last_log_index) >= (journal.last_term, journal.last_index)
        leaderless = not self._guard.leading and now - self._leader_heard_at >= ELECTION_SECONDS[0]
        granted = complete and leaderless and message.term > self._guard.term and self._may_elect()
        if granted and self._courteous:
            # Once, then it is our turn: the one who asks again and again may be the one who cannot win.
            self._courteous = False
            self._deadline = max(self._deadline, now + self._draw(COURTESY_SECONDS))
        if granted and (message.last_log_term, message.last_log_index, peer_id) > (
            journal.last_term,
            journal.last_index,
            self._guard.node_id,
        ):
            # Of two that ask in the same moment one goes on; two campaigns would split the votes.
            self._round += 1
            self._grants.clear()
        self._send(peer_id, PreVoteAnswer(self._guard.term, message.round, granted))

    def on_pre_vote_answer(self, peer_id: str, message: PreVoteAnswer, now: float) -> None:
        """Candidate's side: with a majority, campaign."""
        if message.term > self._guard.term:
            self._guard.on_term_notice(peer_id, TermNotice(message.term))
            return
        if not message.granted or message.round != self._round or self._guard.leading:
            return
        self._grants.add(peer_id)
        self._conclude(now)

    def _conclude(self, now: float) -> None:
        grants = sum(map(self._counts, self._grants)) + 1
        enough = grants >= self._guard.journal.placed.configuration.majority
        if enough and now - self._leader_heard_at >= ELECTION_SECONDS[0]:
            self._grants.clear()
            self._campaign(now)

    def on_timeout_now(self, peer_id: str, message: TimeoutNow, now: float) -> None:
        """The leader hands over to us; its own vote is as good as a pre-vote."""
        asked_by_leader = message.term == self._guard.term and self._guard.engine.leader_id() == peer_id
        if self.may_lead and asked_by_leader and self._may_stand():
            self._campaign(now)

    def _may_stand(self) -> bool:
        return self._counts(self._guard.node_id) and self._may_elect()

    def _campaign(self, now: float) -> None:
        self.started += 1
        doublings = min(self._campaigns, MAX_CAMPAIGN_DOUBLINGS)
        self._deadline = now + self._draw(CAMPAIGN_SECONDS) * 2**doublings
        self._campaigns += 1
        self._round += 1  # answers to older pre-votes are stale now
        engine = self._guard.engine
        self._show_voters()
        engine.campaign()
        engine.tick()
        self.settle_sight()

    def _show_voters(self) -> None:
        for peer_id in sorted(self._linked):
            if self._counts(peer_id):
                self._guard.engine.show(peer_id)

    def on_request_vote(self, peer_id: str, message: RequestVote, now: float) -> None:
        """A real vote request: granting it postpones our own campaign."""
        if not self._may_elect():
            return
        self._guard.on_request_vote(peer_id, message)
        if self._guard.journal.vote == peer_id and self._guard.term == message.term:
            self._deadline = max(self._deadline, now + self._draw(COURTESY_SECONDS))

    def on_vote(self, peer_id: str, message: Vote) -> None:
        """A vote for us. The others are in sight while it is counted, so that winning reaches them at once."""
        self._show_voters()
        self._guard.on_vote(peer_id, message)
        self.settle_sight()

    def settle_sight(self) -> None:
        """F6: the library sees the linked peers exactly while it leads (but for those that are getting a snapshot)."""
        guard = self._guard
        seen = {
            peer_id
            for peer_id in self._linked
            if guard.leading and peer_id not in guard.needs_snapshot and self._may_follow(peer_id)
        }
        for peer_id in guard.engine.shown():
            if peer_id not in seen:
                guard.engine.hide(peer_id)
        for peer_id in sorted(seen):
            guard.engine.show(peer_id)
