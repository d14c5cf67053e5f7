"""Guards taken away, one at a time: each is a `tamper` for `Scenario.play`, and some scenario must notice.

A scenario that passes without the guard that it is about would teach, and prove, nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from node import messages as m
from node.core import Core
from node.journal import Entry
from node.membership import Change, changed

Tamper = Callable[[Core], None]


def votes_without_voters(core: Core) -> None:
    """F5: every vote that arrives counts."""

    def on_vote(_peer_id: str, message: m.Vote) -> None:
        core.guard.engine.feed(_peer_id, {"type": "response_vote", "term": message.term})

    core.guard.on_vote = on_vote  # type: ignore[method-assign,assignment]


def votes_forgotten(core: Core) -> None:
    """Term and vote are not written down."""

    def forget(term: int, vote: str | None) -> None:
        core.journal.term, core.journal.vote = term, vote

    core.journal.setCurrentTerm = forget  # type: ignore[method-assign,assignment]


def acknowledgements_without_terms(core: Core) -> None:
    """F1: an acknowledgement counts whenever it comes."""
    guarded = core.guard.on_append_answer

    def on_append_answer(peer_id: str, message: m.AppendAnswer) -> None:
        next_index = min(message.next_index, core.journal.last_index + 1)
        guarded(
            peer_id,
            m.AppendAnswer(core.guard.term, message.sequence, next_index, message.reset, message.success),
        )

    core.guard.on_append_answer = on_append_answer  # type: ignore[method-assign]


def entries_of_old_terms_counted(core: Core) -> None:
    """Whatever a majority has is committed, of whichever term (the mistake that figure 8 of the paper is about)."""
    guard, guarded = core.guard, core.guard.on_append_answer

    def on_append_answer(peer_id: str, message: m.AppendAnswer) -> None:
        guarded(peer_id, message)
        if guard.leading:
            held = sorted([core.journal.last_index, *(guard.match_index(other) for other in core.others)])
            on_majority = held[(len(held) - 1) // 2]
            guard.engine._SyncObj__raftCommitIndex = max(guard.commit_index, on_majority)

    core.guard.on_append_answer = on_append_answer  # type: ignore[method-assign]


def incomplete_logs_agreed_to(core: Core) -> None:
    """A voter agrees to a campaign whatever the candidate's log lacks."""
    guarded = core.elections.on_pre_vote

    def on_pre_vote(peer_id: str, message: m.PreVote, now: float) -> None:
        journal = core.journal
        longest = m.PreVote(message.term, message.round, journal.last_index, journal.last_term + 1)
        guarded(peer_id, longest, now)

    core.elections.on_pre_vote = on_pre_vote  # type: ignore[method-assign]


def matching_entries_truncated(core: Core) -> None:
    """F2: what follows is deleted whether it contradicts or not."""

    def strip(message: m.AppendEntries) -> tuple[int, int, list[Entry]]:
        return message.previous_index, message.previous_term, message.entries

    core.guard._strip = strip  # type: ignore[method-assign]


def term_notices_unheard(core: Core) -> None:
    """F4: nobody learns that it speaks in an old term."""
    core.guard.on_term_notice = lambda _peer_id, _message: None  # type: ignore[method-assign,assignment]


def campaigns_without_pre_vote(core: Core) -> None:
    """F6: the library sees the others always, and campaigns by its own timer."""
    for peer_id in core.others:
        core.guard.engine.show(peer_id)
    core.elections.settle_sight = lambda: None  # type: ignore[method-assign]


def in_sight_after_stepping_down(core: Core) -> None:
    """F6: a leader that steps down keeps the others in sight until the end of its turn."""
    hide = core.guard.engine.hide

    def hide_later(peer_id: str) -> None:
        if not core._was_leading or core.guard.leading:
            hide(peer_id)

    core.guard.engine.hide = hide_later  # type: ignore[method-assign]


def reads_without_proof(core: Core) -> None:
    """F8: whoever believes that it leads answers from what it has."""

    def ask(on_index: Callable[[int], None], _own_term_applied: bool, _now: float) -> None:
        on_index(core.guard.commit_index if core.guard.leading else -1)

    core.leader_reads.ask = ask  # type: ignore[method-assign,assignment]


def reads_join_the_round_under_way(core: Core) -> None:
    """F8: a read that comes late gets the index that was noted before it came."""
    reads, guarded = core.leader_reads, core.leader_reads.ask

    def ask(on_index: Callable[[int], None], own_term_applied: bool, now: float) -> None:
        if reads._in_round:
            reads._in_round.append(on_index)
        else:
            guarded(on_index, own_term_applied, now)

    reads.ask = ask  # type: ignore[method-assign]


def every_rejection_rewinds(core: Core) -> None:
    """F10: also one that is older than the last rewind."""

    def on_append_answer(peer_id: str, message: m.AppendAnswer) -> None:
        core.guard.engine.feed(
            peer_id,
            {
                "type": "next_node_idx",
                "next_node_idx": min(message.next_index, core.journal.last_index + 1),
                "reset": message.reset,
                "success": message.success,
            },
        )

    core.guard.on_append_answer = on_append_answer  # type: ignore[method-assign]


def broken_links_unnoticed(core: Core) -> None:
    """F12: the end of a connection says nothing."""
    core.peer_silent = lambda _peer_id: None  # type: ignore[method-assign,assignment]


def digests_not_compared(core: Core) -> None:
    """Nobody asks whether the states are equal."""
    core.digests.said = lambda peer_id, index, digest: None  # type: ignore[method-assign]


def outliers_lead(core: Core) -> None:
    """A wrong clock is no reason not to lead."""
    core.clock.is_outlier = lambda: False  # type: ignore[method-assign]


def two_changes_at_once(core: Core) -> None:
    """H13: another change may begin while one is not committed."""
    core.changes._refuse_unless_idle = lambda latest: None  # type: ignore[method-assign]


def any_change_allowed(core: Core) -> None:
    """Nobody asks whether a majority is left, or whether a learner has caught up."""
    core.changes._refuse_unless_safe = lambda old, new: None  # type: ignore[method-assign]


def disks_without_names(core: Core) -> None:
    """A member is its name: whichever disk it comes with is taken for the one that made the promises."""
    core.incarnation = f"the disk of {core.node_id}"


def leaders_remove_themselves(core: Core) -> None:
    """A leader proposes its own removal instead of handing over."""
    propose = core.changes._propose

    def ask(change: Change, on_answer: Callable[[str, str, int], None], now: float) -> None:
        propose(changed(core.journal.placed.configuration, change))
        core.changes._wait(core.journal.placed.index, on_answer)

    core.changes.ask = ask  # type: ignore[method-assign]


CONTROLS: list[tuple[str, Tamper]] = [
    ("votes_counted_once", votes_without_voters),
    ("one_vote_survives_restart", votes_forgotten),
    ("old_acknowledgements", acknowledgements_without_terms),
    ("figure_8_replaced", entries_of_old_terms_counted),
    ("incomplete_log", incomplete_logs_agreed_to),
    ("resent_append", matching_entries_truncated),
    ("term_notice", term_notices_unheard),
    ("pre_vote", campaigns_without_pre_vote),
    ("term_notice", in_sight_after_stepping_down),
    ("read_deposed_leader", reads_without_proof),
    ("read_fresh_leader", reads_without_proof),
    ("read_joins_next_round", reads_join_the_round_under_way),
    ("two_rejections", every_rejection_rewinds),
    ("fast_failover", broken_links_unnoticed),
    ("digest_mismatch", digests_not_compared),
    ("clock_outlier_leader", outliers_lead),
    ("one_change_at_a_time", two_changes_at_once),
    ("would_lose_quorum", any_change_allowed),
    ("learner", any_change_allowed),
    ("wiped_member", disks_without_names),
    ("remove_leader", leaders_remove_themselves),
]
