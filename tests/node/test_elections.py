"""Elections: one leader in a term, soon, and none that a healthy leader must give way to.

Each guard is tried with the scenario that needs it, and taken away where that can be done: a test that cannot fail proves nothing.
"""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable

import msgpack
import pytest

from node import messages as m
from node.core import Core
from node.guard import FailStopError
from tests.node.harness import STEP_SECONDS, Table, real_clock_afterwards, register

__all__ = ["real_clock_afterwards"]


def campaign(table: Table, node_id: str) -> int:
    """Let one member win its pre-vote, with everybody else standing still; its campaign's term. The requests stay on the wire."""
    for _ in range(300):
        table.now += STEP_SECONDS
        table.seats[node_id].step()
        for item in [*table.take(m.PreVote, node_id), *table.take(m.PreVoteAnswer, b=node_id)]:
            table.deliver(item)
        for item in table.take(m.PreVoteAnswer, b=node_id):
            table.deliver(item)
        if any(isinstance(message, m.RequestVote) for a, _, message in table.wire if a == node_id):
            return table.core(node_id).guard.term
    raise AssertionError(f"{node_id} never campaigned")


@pytest.mark.parametrize("members", [3, 5])
def test_a_leader_is_elected_soon_and_stays(members: int) -> None:
    """From a cold start: one leader within a second or two, the same in the same term ten seconds later."""
    for seed in range(15):
        table = Table(members, seed)
        leader = table.elect()
        assert table.now - 100.0 < 2.0
        term = leader.guard.term
        assert not table.run(5.0, lambda: table.leader() is not leader)  # noqa: B023 - called at once
        assert leader.guard.term == term
        assert table.agreed()


def test_a_pre_vote_is_refused_while_a_leader_is_heard() -> None:
    """Neither the leader nor a follower that hears it agrees to a campaign, and nobody's term moves."""
    table = Table()
    leader = table.elect()
    one, other = table.followers(leader)
    term = leader.guard.term
    journal = table.core(one).journal
    ask = m.PreVote(term + 1, 77, journal.last_index + 5, journal.last_term)
    table.deliver((one, other, ask))
    table.deliver((one, leader.node_id, ask))
    answers = [message for _, _, message in table.take(m.PreVoteAnswer)]
    assert answers == [m.PreVoteAnswer(term, 77, False)] * 2
    assert {core.guard.term for core in table.cores()} == {term}


def test_a_pre_vote_needs_a_complete_log_and_a_later_term() -> None:
    """After the leader has gone silent a voter agrees, but not to a log that lacks what it has."""
    table = Table()
    leader = table.born()
    one, other = table.followers(leader)
    table.crash(leader.node_id)
    table.now += 1.0
    journal, term = table.core(other).journal, table.core(other).guard.term
    for index, log_term, asked_term, granted in (
        (journal.last_index - 1, journal.last_term, term + 1, False),
        (journal.last_index + 9, journal.last_term - 1, term + 1, False),
        (journal.last_index, journal.last_term, term, False),
        (journal.last_index, journal.last_term, term + 1, True),
    ):
        table.core(other).receive(one, m.PreVote(asked_term, 5, index, log_term))
        table.seats[other].flush()
        ((_, _, answer),) = table.take(m.PreVoteAnswer, other)
        assert answer == m.PreVoteAnswer(term, 5, granted)


def test_answers_to_an_older_pre_vote_do_not_count() -> None:
    """A grant of a round that is over, or one grant told twice, starts no campaign."""
    table = Table(5)
    seat = table.seats["n1"]
    for _ in range(300):
        table.now += STEP_SECONDS
        seat.step()
        if asked := table.take(m.PreVote, "n1"):
            break
    message = asked[0][2]
    assert isinstance(message, m.PreVote)
    stale = m.PreVoteAnswer(0, message.round - 1, True)
    twice = m.PreVoteAnswer(0, message.round, True)
    for peer_id, answer in (("n2", stale), ("n3", stale), ("n4", stale), ("n2", twice), ("n2", twice)):
        table.deliver((peer_id, "n1", answer))
    assert seat.alive.guard.term == 0
    table.deliver(("n3", "n1", twice))
    assert seat.alive.guard.term == 1


def without_votes(frames: list[bytes]) -> list[bytes]:
    """The same journal as a member would find it that did not write its votes down."""
    kept = [
        [operation for operation in operations if operation[0] != "v"]
        for frame in frames
        for operations in msgpack.Unpacker(io.BytesIO(frame))
    ]
    return [msgpack.packb(operations) for operations in kept]


@pytest.mark.parametrize("keep_votes", [True, False])
def test_a_vote_survives_a_restart(keep_votes: bool) -> None:
    """A voter that died after its vote gives no second one in that term. Control: without the journal's "v" it does."""
    table = Table()
    term = campaign(table, "n1")
    (request,) = table.take(m.RequestVote, "n1", "n2")
    table.deliver(request)
    assert [message for _, _, message in table.take(m.Vote, "n2", "n1")] == [m.Vote(term)]
    seat = table.seats["n2"]
    table.crash("n2")
    if not keep_votes:
        seat.frames = without_votes(seat.frames)
    core = table.restart("n2")
    assert core.guard.term == (term if keep_votes else 0)
    table.deliver(("n3", "n2", m.RequestVote(term, 100, term - 1)))
    second = table.take(m.Vote, "n2", "n3")
    assert bool(second) == (not keep_votes)


def test_a_vote_leaves_only_when_it_is_durable() -> None:
    """The frame that holds the vote is taken before the effect that tells it (F7)."""
    table = Table()
    term = campaign(table, "n1")
    core = table.core("n2")
    core.receive("n1", m.RequestVote(term, 1, 0))
    assert core.take_effects(), "the vote is ready to go"
    (frame,) = core.take_frames()
    assert msgpack.unpackb(frame[0])[-1] == ["v", term, "n1"]


def _votes_counted_plainly(core: Core) -> None:
    def on_vote(peer_id: str, message: m.Vote) -> None:
        core.guard.engine.feed(peer_id, {"type": "response_vote", "term": message.term})

    core.guard.on_vote = on_vote  # type: ignore[method-assign]


@pytest.mark.parametrize("guarded", [True, False])
def test_one_vote_delivered_three_times_elects_nobody_of_five(guarded: bool) -> None:
    """F5, H21. Control: counted plainly, two of five make a leader."""
    table = Table(5)
    campaign(table, "n1")
    core = table.core("n1")
    if not guarded:
        _votes_counted_plainly(core)
    (request,) = table.take(m.RequestVote, "n1", "n2")
    table.deliver(request)
    (vote,) = table.take(m.Vote, "n2", "n1")
    for _ in range(3):
        core.receive("n2", vote[2])
    assert core.guard.leading == (not guarded)
    if guarded:
        core.receive("n3", m.Vote(core.guard.term - 1))
        assert not core.guard.leading, "a vote of another term"
        core.receive("n3", m.Vote(core.guard.term))
        assert core.guard.leading, "three of five"


def _campaigns_by_itself(core: Core) -> None:
    """The library as it is: it sees its peers and starts elections by its own timer."""
    for peer_id in core.others:
        core.guard.engine.show(peer_id)
    core.elections.settle_sight = lambda: None  # type: ignore[method-assign]


@pytest.mark.parametrize("guarded", [True, False])
def test_a_member_that_was_cut_off_does_not_come_back_with_a_later_term(guarded: bool) -> None:
    """F6, H10. Control: left to itself the library returns many terms ahead and topples a healthy leader."""
    table = Table()
    leader = table.born()
    term = leader.guard.term
    lonely = table.followers(leader)[0]
    if not guarded:
        _campaigns_by_itself(table.core(lonely))
    table.isolate(lonely)
    table.run(8.0)
    assert (table.core(lonely).guard.term == term) == guarded
    table.heal()
    table.run(3.0)
    current = table.leader()
    assert current is not None
    assert (current is leader and leader.guard.term == term) == guarded
    assert table.agreed()


def test_a_broken_path_beside_a_healthy_leader_changes_nothing() -> None:
    """One follower does not hear the leader but is heard by the other follower, which refuses it: the term stands still."""
    table = Table()
    leader = table.born()
    term = leader.guard.term
    one, other = table.followers(leader)
    table.cut((leader.node_id, one), (one, leader.node_id))
    table.run(5.0)
    assert leader.guard.leading
    assert {core.guard.term for core in table.cores()} == {term}
    assert table.execute(other, 50, register("ann")).ok


@pytest.mark.parametrize("seed", range(5))
def test_the_only_one_that_can_win_gets_its_turn(seed: int) -> None:
    """Five members in a star: the four at the tips ask and ask in vain, and must not hold up the one in the middle for ever."""
    table = Table(5, seed)
    for a, b in sorted(table.links):
        if "n2" not in (a, b):
            table.cut((a, b))
            table.core(a).link_down(b)
    assert table.run(5.0, lambda: table.core("n2").own_term_applied())
    assert table.run(1.0, table.agreed)


def test_a_leader_that_is_not_heard_is_replaced() -> None:
    """It hears everybody and nobody hears it: the others go on without it, and it gives way when it is heard again."""
    table = Table()
    leader = table.born()
    term = leader.guard.term
    table.cut(*((leader.node_id, other) for other in table.followers(leader)))
    assert table.run(4.0, lambda: table.leader() is not leader and table.leader() is not None)
    table.heal()
    assert table.run(3.0, table.agreed)
    assert leader.role == "follower"
    assert leader.guard.term > term


def test_a_leader_without_a_majority_steps_down() -> None:
    """CheckQuorum: about a second after it hears from too few, and it says so to those that wait."""
    table = Table(5)
    leader = table.born()
    others = table.followers(leader)
    table.isolate(leader.node_id, others[0])
    began = table.now
    assert table.run(3.0, lambda: leader.role != "leader")
    assert 0.5 < table.now - began < 1.6
    assert leader.leader_id is None or leader.leader_id != leader.node_id


def failover_seconds(members: int, seed: int, kill: Callable[[Table, str], None]) -> float:
    table = Table(members, seed)
    leader = table.born()
    kill(table, leader.node_id)
    began = table.now

    def replaced() -> bool:
        current = table.leader()
        return current is not None and current is not leader and current.own_term_applied()

    assert table.run(5.0, replaced)
    return table.now - began


def test_a_broken_link_from_the_leader_brings_the_next_at_once() -> None:
    """F12: a killed leader's connections break, and its successor leads within tens of milliseconds. Control: silence takes longer."""
    for members in (3, 5):
        broken = [failover_seconds(members, seed, Table.crash) for seed in range(20)]
        assert statistics.median(broken) <= 0.1
        assert max(broken) <= 0.1, "two that ask at once agree which of them goes on"
        silent = [failover_seconds(members, seed, Table.isolate) for seed in range(6)]
        assert min(silent) > 0.25
        assert max(silent) < 2.5


def test_a_broken_link_alone_topples_no_leader() -> None:
    """The leader lives and the other follower hears it: the one that lost it asks in vain."""
    table = Table()
    leader = table.born()
    term = leader.guard.term
    one = table.followers(leader)[0]
    table.core(one).peer_silent(leader.node_id)
    table.run(2.0)
    assert leader.guard.leading
    assert {core.guard.term for core in table.cores()} == {term}


def test_who_speaks_in_an_old_term_is_told_and_steps_down() -> None:
    """F4: entries, vote requests and heartbeats of an old term are answered by the new one, which ends the old leadership."""
    table = Table(5)
    old = table.born()
    term = old.guard.term
    table.isolate(old.node_id)
    assert table.run(3.0, lambda: table.leader() is not old and table.leader() is not None)
    new = table.leader()
    assert new is not None
    for message in (
        m.AppendEntries(term, 1, 1, 1, 0, []),
        m.RequestVote(term, 1000, term),
        m.Heartbeat(term, True, 0, 1, 0, b""),
    ):
        before = new.journal.last_index
        table.deliver((old.node_id, new.node_id, message))
        assert new.guard.leading
        assert new.journal.last_index == before
        notices = [sent for _, a, b, sent in table.log if (a, b) == (new.node_id, old.node_id)]
        assert notices[-1] == m.TermNotice(new.guard.term)
    old.receive(new.node_id, m.TermNotice(new.guard.term))
    assert old.role == "follower"
    assert old.guard.term == new.guard.term
    old.receive(new.node_id, m.TermNotice(term - 1))
    assert old.guard.term == new.guard.term, "terms never go back"


def test_two_leaders_in_one_term_stop_the_member_that_sees_it() -> None:
    """It cannot be; when it is seen all the same, going on would only make it worse."""
    table = Table()
    leader = table.born()
    with pytest.raises(FailStopError, match="two leaders"):
        leader.receive(table.followers(leader)[0], m.AppendEntries(leader.guard.term, 1, 1, 1, 0, []))


def test_handing_over() -> None:
    """A draining leader takes nothing new, and the most caught-up follower leads at once; what waited is carried out."""
    table = Table()
    leader = table.born()
    others = table.followers(leader)
    leader.draining = True
    for number, node_id in enumerate(table.ids):
        assert table.seats[node_id].execute(100 + number, register(f"user{number}"))
    began = table.now

    def handed_over() -> bool:
        leader.transfer_leadership()
        table.seats[leader.node_id].step()
        return not leader.guard.leading

    assert table.run(2.0, handed_over)
    assert table.run(2.0, lambda: table.leader() is not None)
    assert table.now - began < 0.3
    current = table.leader()
    assert current is not None
    assert current.node_id in others
    assert table.run(
        3.0, lambda: all(seat.answers.keys() >= {100 + n} for n, seat in enumerate(table.seats.values()))
    )
    assert all(outcome.ok for seat in table.seats.values() for outcome in seat.answers.values())


def test_leadership_is_offered_to_one_at_a_time() -> None:
    """Their answers come in one after the other; were each of them asked at once, three could split the votes of five."""
    table = Table(5)
    leader = table.born()
    leader.draining = True
    table.hold = lambda _a, _b, message: isinstance(message, m.AppendAnswer | m.TimeoutNow)
    leader.guard.engine.propose(b"junk")
    table.run(0.01)
    for answer in [item for item in table.held if isinstance(item[2], m.AppendAnswer)]:
        table.deliver(answer)
        assert leader.transfer_leadership()
        table.seats[leader.node_id].step()
    asked = [item for item in table.held if isinstance(item[2], m.TimeoutNow)]
    assert len(asked) >= 4, "again and again"
    assert len({peer_id for _, peer_id, _ in asked}) == 1
    table.hold = lambda _a, _b, _message: False
    table.wire.extend(asked)
    assert table.run(0.05, lambda: not leader.guard.leading and table.leader() is not None)


def test_who_does_not_take_leadership_over_is_passed_over() -> None:
    """The first who is asked may hold its clock to be far off, and refuse."""
    table = Table(3)
    leader = table.born()
    leader.draining = True
    table.run(0.5)
    table.hold = lambda _a, _b, message: isinstance(message, m.TimeoutNow)
    assert leader.transfer_leadership()
    table.seats[leader.node_id].step()
    ((_, deaf, _),) = table.held
    table.hold = lambda _a, b, message: b == deaf and isinstance(message, m.TimeoutNow)

    def handed_over() -> bool:
        leader.transfer_leadership()
        table.seats[leader.node_id].step()
        return not leader.guard.leading

    assert table.run(0.5, handed_over)
    table.run(0.5)
    current = table.leader()
    assert current is not None
    assert current.node_id not in (leader.node_id, deaf)


def test_leadership_is_not_handed_to_who_lacks_entries() -> None:
    """With no follower that has everything it stays, and it says so."""
    table = Table()
    leader = table.born()
    table.isolate(leader.node_id)
    leader.guard.engine.propose(b"junk")
    table.seats[leader.node_id].step()
    assert not leader.transfer_leadership()
    assert not table.core(table.followers(leader)[0]).transfer_leadership(), (
        "a follower has nothing to hand over"
    )


def test_only_the_leader_can_hand_over() -> None:
    """A TimeoutNow from anybody else, or of another term, starts no election."""
    table = Table()
    leader = table.born()
    one, other = table.followers(leader)
    term = leader.guard.term
    table.core(one).receive(other, m.TimeoutNow(term))
    table.core(one).receive(leader.node_id, m.TimeoutNow(term - 1))
    table.core(one).receive(leader.node_id, m.TimeoutNow(term + 1))
    table.run(1.0)
    assert table.leader() is leader
    assert leader.guard.term == term


def test_a_member_whose_clock_is_far_off_does_not_lead() -> None:
    """Its stamps would expire sessions and keys for good; it follows, and the others elect among themselves."""
    table = Table(3, seed=3)
    off = table.core("n2")
    off._wall_ms = off.clock._wall_ms = lambda: int(table.now * 1000) + 86_400_000
    for core in table.cores():
        core.elections.may_lead = core is not off
    for _ in range(4):
        leader = table.elect()
        assert leader is not off
        table.break_links(leader.node_id)
        table.run(0.5)
        table.connect(leader.node_id)
        table.run(0.5)
    assert off.clock.is_outlier()
    assert not off.elections.may_lead
