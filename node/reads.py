"""Linearizable reads: the read index (Ongaro's thesis, 6.4), shared by everything that waits at the same time.

On the leader a round goes: note the commit index, *then* ask the voters whether they know of a later term; a majority that
does not proves that the noted index was the newest when the round began. Reads that arrive during a round join the next one,
because the round under way may have begun before a write that they must see. A leader that has not yet applied an
entry of its own term says that it cannot tell.

A follower asks the leader for such an index, one question at a time for all of its waiting reads.
"""

from __future__ import annotations

from collections.abc import Callable

from node.guard import Guard
from node.messages import Message, ReadAnswer, ReadProbe, ReadProof, ReadRequest, TermNotice

RESEND_SECONDS = 0.1  # an unanswered probe or question is sent again after that
NOT_YET_SECONDS = 0.01  # a leader that could not say yet is asked again after that
CANNOT_SAY = -1

OnIndex = Callable[[int], None]  # called with a log index, or CANNOT_SAY


class LeaderReads:
    """The leader's side: rounds of probes."""

    def __init__(
        self, guard: Guard, counts: Callable[[str], bool], send: Callable[[str, Message], None]
    ) -> None:
        self._guard = guard
        self._counts = counts
        self._send = send
        self._round = 0
        self._index = 0
        self._proofs: set[str] = set()
        self._in_round: list[OnIndex] = []
        self._waiting: list[OnIndex] = []
        self._sent_at = 0.0
        self.rounds = 0

    def ask(self, on_index: OnIndex, own_term_applied: bool, now: float) -> None:
        """Answer `on_index` with an index that covers everything acknowledged before this call."""
        if not self._guard.leading or not own_term_applied:
            on_index(CANNOT_SAY)
            return
        self._waiting.append(on_index)
        if not self._in_round:
            self._start(now)

    def _start(self, now: float) -> None:
        self._round += 1
        self.rounds += 1
        self._index = self._guard.commit_index
        self._proofs.clear()
        self._in_round, self._waiting = self._waiting, []
        self._probe(now)
        self._conclude(now)  # a single voter needs nobody

    def _probe(self, now: float) -> None:
        self._sent_at = now
        message = ReadProbe(self._guard.term, self._round)
        for peer_id in self._guard.journal.placed.configuration.voters:
            if peer_id not in self._proofs and peer_id != self._guard.node_id:
                self._send(peer_id, message)

    def on_proof(self, peer_id: str, message: ReadProof, now: float) -> None:
        """A voter knows of no later term."""
        if not self._in_round or message.round != self._round or message.term != self._guard.term:
            return
        self._proofs.add(peer_id)
        self._conclude(now)

    def _conclude(self, now: float) -> None:
        proofs = sum(
            map(self._counts, self._proofs)
        )  # by the configuration of now: it may have changed since the probe
        if not self._in_round or proofs + 1 < self._guard.journal.placed.configuration.majority:
            return
        answered, self._in_round = self._in_round, []
        for on_index in answered:
            on_index(self._index)
        if self._waiting:
            self._start(now)

    def look(self, now: float) -> None:
        """Called at every turn: repeat lost probes; when leadership is gone, say so."""
        if not self._guard.leading:
            self.abandon()
        elif self._in_round and now - self._sent_at > RESEND_SECONDS:
            self._conclude(now)
            if self._in_round:
                self._probe(now)

    def abandon(self) -> None:
        """Nobody can be answered any more."""
        answered = self._in_round + self._waiting
        self._in_round, self._waiting = [], []
        for on_index in answered:
            on_index(CANNOT_SAY)


def answer_probe(
    guard: Guard, peer_id: str, message: ReadProbe, send: Callable[[str, Message], None]
) -> None:
    """A voter's answer to a leader's probe: proof, or the later term that it knows of."""
    if guard.term <= message.term:
        send(peer_id, ReadProof(message.term, message.round))
    else:
        send(peer_id, TermNotice(guard.term))


class Reads:
    """Every member's side: the local reads that wait for an index and then for it to be applied."""

    def __init__(self, send: Callable[[str, Message], None], ask_locally: Callable[[OnIndex], None]) -> None:
        self._send = send
        self._ask_locally = ask_locally
        self._request = 0
        self._asking: list[int] = []
        self._waiting: list[int] = []
        self._asked: str | None = None
        self._ask_again_at = 0.0
        self._to_apply: list[tuple[int, list[int]]] = []
        self.done: list[tuple[int, int]] = []  # (token, index) of reads that may be served now

    def add(self, token: int) -> None:
        """A local read identified by `token`; it appears in `done` when the state may answer it."""
        self._waiting.append(token)

    def drop(self, token: int) -> None:
        """Nobody waits for that read any more."""
        for tokens in (self._asking, self._waiting):
            if token in tokens:
                tokens.remove(token)

    def tokens(self) -> list[int]:
        """All reads that have not been answered, for a core that replaces this one."""
        return self._asking + self._waiting + [token for _, tokens in self._to_apply for token in tokens]

    def look(self, leader_id: str | None, node_id: str, now: float) -> None:
        """Called at every turn: ask the leader when there is something to ask and nothing under way."""
        if self._asking and leader_id != self._asked:
            # Another leader: ask it anew, for all of them.
            self._waiting = self._asking + self._waiting
            self._asking = []
        if leader_id is None:
            return
        if self._asking:
            if now < self._ask_again_at:
                return  # the question is under way; if it was lost it is repeated for the same reads
        elif self._waiting:
            self._asking, self._waiting = self._waiting, []
            self._request += 1
        else:
            return
        self._asked, self._ask_again_at = leader_id, now + RESEND_SECONDS
        if leader_id == node_id:
            request = self._request
            self._ask_locally(lambda index: self.on_answer(node_id, ReadAnswer(request, index)))
        else:
            self._send(leader_id, ReadRequest(self._request))

    def on_answer(self, peer_id: str, message: ReadAnswer) -> None:
        """The leader's answer; an outdated or negative one leaves the reads waiting for the next look."""
        if message.request != self._request or peer_id != self._asked or not self._asking:
            return
        if message.index == CANNOT_SAY:
            self._ask_again_at -= RESEND_SECONDS - NOT_YET_SECONDS
            return
        self._to_apply.append((message.index, self._asking))
        self._asking = []

    def applied(self, index: int) -> None:
        """The state has moved to `index`."""
        if not self._to_apply:
            return
        later: list[tuple[int, list[int]]] = []
        for needed, tokens in self._to_apply:
            if needed <= index:
                self.done.extend((token, index) for token in tokens)
            else:
                later.append((needed, tokens))
        self._to_apply = later
