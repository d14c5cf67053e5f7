"""Reads and commands of a member's own clients: never a stale answer, never two effects, and an end within the deadline."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from node import messages as m
from node import requests as requests_module
from node.core import Core
from node.guard import ProtocolError
from node.requests import LeaderQueue, Requests
from tests.node.harness import BIRTH, Table, envelope, real_clock_afterwards, register

__all__ = ["real_clock_afterwards"]


# Reads.


@pytest.mark.parametrize("members", [3, 5])
def test_a_read_anywhere_sees_every_write_acknowledged_before(members: int) -> None:
    """F8: on each member, right after an answer on another one."""
    table = Table(members)
    table.born()
    for number in range(12):
        writer, reader = table.ids[number % members], table.ids[(number + 1) % members]
        assert table.execute(writer, 100 + number, register(f"user{number}")).ok
        table.core(reader).read(number)
        assert table.run(1.0, lambda: number in table.seats[reader].reads)  # noqa: B023 - called at once
        assert f"user{number}" in table.core(reader).state.users


def _unproven(core: Core) -> None:
    def ask(on_index: Callable[[int], None], _applied: bool, _now: float) -> None:
        on_index(core.guard.commit_index if core.guard.leading else -1)

    core.leader_reads.ask = ask  # type: ignore[method-assign,assignment]


@pytest.mark.parametrize("guarded", [True, False])
def test_a_deposed_leader_answers_no_read(guarded: bool) -> None:
    """F8, H6: cut off, it still believes that it leads while another one has gone on. Control: without the round it answers from the past."""
    table = Table()
    old = table.born()
    if not guarded:
        _unproven(old)
    others = table.followers(old)
    table.isolate(old.node_id)
    assert table.run(3.0, lambda: any(table.core(node_id).guard.leading for node_id in others))
    assert old.guard.leading, "the moment that matters: two believe that they lead"
    old.read(1)
    seat = table.seats[old.node_id]
    seat.step()
    seat.step()
    assert (1 not in seat.reads) == guarded
    assert table.execute(others[0], 50, register("ann")).ok
    table.run(3.0)
    assert (1 not in seat.reads) == guarded
    table.heal()
    if guarded:
        assert table.run(3.0, lambda: 1 in seat.reads)
        assert "ann" in old.state.users


def test_a_leader_that_was_paused_answers_no_read_from_the_past() -> None:
    """It wakes up, believes that it leads, and is asked first thing: the answer waits for what happened meanwhile."""
    table = Table()
    old = table.born()
    seat = table.seats[old.node_id]
    seat.core = None  # paused: nothing reaches it and it does nothing
    others = table.followers(old)
    for node_id in others:
        table.core(node_id).peer_silent(old.node_id)
    assert table.run(3.0, lambda: any(table.core(node_id).own_term_applied() for node_id in others))
    assert table.execute(others[0], 50, register("ann")).ok
    seat.core = old
    assert old.guard.leading
    old.read(1)
    seat.step()
    assert 1 not in seat.reads
    assert table.run(3.0, lambda: 1 in seat.reads)
    assert "ann" in old.state.users


def test_a_fresh_leader_answers_nothing_before_its_first_entry_is_applied() -> None:
    """Its commit index may be behind what its predecessor acknowledged; only an entry of its own term tells."""
    table = Table()
    old = table.born()
    table.hold = lambda _a, _b, message: isinstance(message, m.AppendAnswer)
    table.crash(old.node_id)
    others = table.followers(old)
    assert table.run(3.0, lambda: any(table.core(node_id).guard.leading for node_id in others))
    new = table.leader()
    assert new is not None
    other = next(node_id for node_id in others if node_id != new.node_id)
    new.read(1)
    table.core(other).read(2)
    table.run(0.4)
    assert not table.seats[new.node_id].reads
    assert not table.seats[other].reads
    assert not new.own_term_applied()
    table.hold = lambda _a, _b, _message: False
    assert table.run(2.0, lambda: 1 in table.seats[new.node_id].reads and 2 in table.seats[other].reads)


def test_many_reads_share_few_rounds() -> None:
    """A thousand reads on each of three members cost a handful of probes, not thousands."""
    table = Table()
    leader = table.born()
    rounds, sent = leader.leader_reads.rounds, len(table.log)
    for token in range(1000):
        for core in table.cores():
            core.read(token)
    assert table.run(1.0, lambda: all(len(seat.reads) == 1000 for seat in table.seats.values()))
    assert leader.leader_reads.rounds - rounds <= 4
    about_reads = (m.ReadProbe, m.ReadProof, m.ReadRequest, m.ReadAnswer)
    assert sum(isinstance(message, about_reads) for _, _, _, message in table.log[sent:]) <= 24


def test_a_read_that_comes_during_a_round_waits_for_the_next() -> None:
    """The round under way may have begun before a write that this read must see."""
    table = Table()
    leader = table.born()
    seat = table.seats[leader.node_id]
    table.hold = lambda _a, _b, message: isinstance(message, m.ReadProof)
    leader.read(1)
    table.run(0.03)
    assert table.execute(leader.node_id, 50, register("ann")).ok
    leader.read(2)
    seat.step()
    first_round = list(table.held)
    table.held.clear()
    for item in first_round:
        table.deliver(item)
    seat.step()
    assert 1 in seat.reads
    assert 2 not in seat.reads
    table.hold = lambda _a, _b, _message: False
    assert table.run(1.0, lambda: 2 in seat.reads)


def test_lost_questions_and_answers_are_repeated() -> None:
    """Each kind of message about a read is lost once; the read ends all the same, and soon."""
    for kind in (m.ReadRequest, m.ReadProbe, m.ReadProof, m.ReadAnswer):
        table = Table()
        leader = table.born()
        one = table.followers(leader)[0]
        lost: list[m.Message] = []

        def lose(
            _a: str, _b: str, message: m.Message, lost: list[m.Message] = lost, kind: type = kind
        ) -> bool:
            if isinstance(message, kind) and len(lost) < 2:
                lost.append(message)
                return True
            return False

        table.hold = lose
        table.core(one).read(9)
        assert table.run(1.0, lambda: 9 in table.seats[one].reads), kind  # noqa: B023 - called at once
        assert lost


def test_proofs_of_another_round_or_term_prove_nothing() -> None:
    """Old proofs, repeated ones and one voter counted twice leave the read waiting."""
    table = Table(5)
    leader = table.born()
    seat = table.seats[leader.node_id]
    table.hold = lambda _a, _b, message: isinstance(message, m.ReadProof)
    leader.read(1)
    table.run(0.03)
    proofs = [message for _, _, message in table.held if isinstance(message, m.ReadProof)]
    term, number = proofs[0].term, proofs[0].round
    one, two, *_ = table.followers(leader)
    for peer_id, proof in (
        (one, m.ReadProof(term, number - 1)),
        (two, m.ReadProof(term, number - 1)),
        (one, m.ReadProof(term - 1, number)),
        (two, m.ReadProof(term + 1, number)),
        (one, m.ReadProof(term, number)),
        (one, m.ReadProof(term, number)),
    ):
        leader.receive(peer_id, proof)
    seat.step()
    assert 1 not in seat.reads
    leader.receive(two, m.ReadProof(term, number))
    seat.step()
    assert 1 in seat.reads


# Commands.


@pytest.mark.parametrize("lost", range(24))
def test_a_command_takes_effect_once_whatever_message_is_lost(lost: int) -> None:
    """H8: the n-th message after it was given is lost and its connection breaks, as transports must; the outcome comes, once."""
    table = Table()
    leader = table.born()
    one = table.followers(leader)[0]
    count = 0

    def strike(a: str, b: str, _message: m.Message) -> bool:
        nonlocal count
        count += 1
        if count - 1 != lost:
            return False
        table.cut((a, b))
        table.core(a).link_down(b)
        table.core(b).peer_silent(a)
        return True

    table.hold = strike
    assert table.seats[one].execute(50, register("ann"))
    table.run(0.3)
    for a in table.ids:
        for b in table.ids:
            if a != b and (a, b) not in table.links:
                table.links.add((a, b))
                table.core(a).link_up(b)
    assert table.run(4.0, lambda: 50 in table.seats[one].answers)
    assert table.seats[one].answers[50].ok, "a second effect would be refused as login-taken"
    assert table.run(3.0, table.agreed)


def test_a_command_goes_on_to_the_next_leader_under_its_key() -> None:
    """The leader dies with it: the next one gets the same bytes, so the key inside makes it happen once."""
    table = Table()
    old = table.born()
    one = table.followers(old)[0]
    seat = table.seats[one]
    table.hold = lambda a, b, message: isinstance(message, m.Forward)
    assert seat.execute(50, register("ann"), key="my key")
    table.run(0.05)
    (first,) = table.held
    table.hold = lambda _a, _b, _message: False
    table.crash(old.node_id)
    assert table.run(3.0, lambda: 50 in seat.answers)
    new = table.leader()
    assert new is not None
    assert isinstance(first[2], m.Forward)
    assert first[2].envelopes == [envelope(50, register("ann"), key="my key")]
    table.restart(old.node_id)
    assert table.run(3.0, table.agreed)
    again = table.execute(old.node_id, 51, register("ann"), key="my key")
    assert (again.ok, again.index) == (True, seat.answers[50].index), "the same outcome, not a second effect"


def test_a_command_in_both_leaders_logs_takes_effect_once() -> None:
    """The old leader's entry survives and the retry stands behind it: both are applied, one counts, one answer is given."""
    table = Table()
    old = table.born()
    one, other = table.followers(old)
    seat = table.seats[one]
    # The entry reaches everybody, but nobody learns that it is committed.
    table.hold = lambda _a, b, message: b == old.node_id and isinstance(message, m.AppendAnswer)
    assert seat.execute(50, register("ann"))
    assert table.run(1.0, lambda: table.core(other).journal.last_index > old.guard.commit_index)
    table.crash(old.node_id)
    table.hold = lambda _a, _b, _message: False
    assert table.run(3.0, lambda: 50 in seat.answers)
    table.run(0.5)
    new = table.leader()
    assert new is not None
    carrying = [
        index for command, index, _ in new.journal.entries if envelope(50, register("ann")) in command
    ]
    assert len(carrying) == 2, "the scenario: it stands in the log twice"
    assert seat.answers[50].ok
    assert seat.answers[50].index == carrying[0]


def test_how_a_command_ends_without_an_outcome() -> None:
    """Never sent or refused everywhere: unavailable. Perhaps in some log: unknown. Both soon after the deadline."""
    table = Table()
    leader = table.born()
    one = table.followers(leader)[0]
    # Sent, and then nothing is heard any more.
    table.isolate(leader.node_id)
    seat = table.seats[leader.node_id]
    assert seat.execute(50, register("ann"), 0.5)
    began = table.now
    assert table.run(3.0, lambda: bool(seat.failures))
    assert seat.failures == {50: "unknown"}
    assert table.now - began < 0.8
    # Nobody to send it to.
    table = Table()
    lonely = table.seats["n1"]
    table.isolate("n1")
    table.run(1.0)
    assert lonely.execute(60, register("ann"), 0.5)
    table.run(1.0)
    assert lonely.failures == {60: "unavailable"}
    # Refused by a leader that hands over.
    table = Table()
    leader = table.born()
    leader.draining = True
    one = table.followers(leader)[0]
    assert table.seats[one].execute(70, register("ann"), 0.5)
    table.run(1.0)
    assert table.seats[one].failures == {70: "unavailable"}


def test_a_full_queue_says_overloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits have answers: the member's own at once, the leader's at the deadline, and nothing of it was executed."""
    monkeypatch.setattr(requests_module, "MAX_PENDING", 20)
    monkeypatch.setattr(requests_module, "MAX_QUEUED", 10)
    table = Table()
    leader = table.born()
    one = table.followers(leader)[0]
    seat = table.seats[one]
    taken = [seat.execute(100 + number, register(f"user{number}"), 0.5) for number in range(25)]
    assert taken == [True] * 20 + [False] * 5
    table.run(1.5)
    assert set(seat.failures.values()) == {"overloaded"}
    assert len(leader.state.users) == 1
    assert table.execute(one, 200, register("ann")).ok, "afterwards there is room again"


def test_a_leader_that_stops_leading_refuses_what_it_has_not_proposed() -> None:
    """Commands that wait in its queue are given back, so that they need not wait for their deadline."""
    queue = LeaderQueue()
    assert queue.add("n2", [1, 2], [b"a", b"b"]) is None
    assert queue.add("n3", [3], [b"c"]) is None
    assert queue.refuse_all() == [
        ("n2", m.Refused([1, 2], overloaded=False)),
        ("n3", m.Refused([3], overloaded=False)),
    ]
    assert not queue


def test_the_leaders_queue_is_bounded_in_bytes() -> None:
    """All of a forwarded group is taken or none; a batch makes room for as much again."""
    queue = LeaderQueue()
    large = bytes(requests_module.MAX_COMMAND_BYTES)
    fitting = requests_module.MAX_QUEUED_BYTES // len(large)
    assert queue.add("n2", list(range(fitting)), [large] * fitting) is None
    assert queue.add("n2", [900, 901], [b"x", b"y"]) == m.Refused([900, 901], overloaded=True)
    batch = queue.take_batch()
    assert sum(map(len, batch)) == requests_module.MAX_BATCH_BYTES
    assert queue.add("n2", [900, 901], [b"x", b"y"]) is None


def test_forwarded_commands_over_the_limit_close_the_link() -> None:
    """A member that forwards what no correct one does must not make an entry that cannot be kept or sent (H12)."""
    table = Table()
    leader = table.born()
    one = table.followers(leader)[0]
    for ids, envelopes in (
        ([1], [bytes(requests_module.MAX_COMMAND_BYTES + 1)]),
        ([1, 2], [b"x"]),
        ([1], [b"x", b"y"]),
    ):
        with pytest.raises(ProtocolError):
            leader.receive(one, m.Forward(ids, envelopes))
        assert not leader.queue
    assert table.execute(one, 50, register("ann")).ok


def test_an_answer_after_the_end_is_no_second_answer() -> None:
    """A command that ended as unknown may still be applied; nobody is told twice."""
    sent: list[m.Message] = []
    requests = Requests(lambda _peer, message: sent.append(message), lambda _ids, _envelopes: None)
    assert requests.add(1, b"x", 10.0)
    requests.look("n2", 1, "n1", {"n2"}, 0.0)
    assert sent == [m.Forward([1], [b"x"])]
    requests.expire(10.0)
    assert requests.failed == [(1, "unknown")]
    assert not requests.done(1)
    requests.on_refused(m.Refused([1], overloaded=False), 11.0)
    requests.look("n2", 1, "n1", {"n2"}, 12.0)
    assert len(sent) == 1


def test_a_birth_given_many_times_happens_once() -> None:
    """All members give it at once, as they do when a cluster is first started."""
    table = Table()
    table.elect()
    for number, seat in enumerate(table.seats.values()):
        assert seat.execute(10 + number, BIRTH, key=f"birth {number}")
    assert table.run(3.0, lambda: all(seat.answers for seat in table.seats.values()))
    outcomes = [outcome for seat in table.seats.values() for outcome in seat.answers.values()]
    assert sum(outcome.ok for outcome in outcomes) == 1
