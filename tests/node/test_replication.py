"""Replication: what was acknowledged stays, whatever order, repetition or age of messages.

The library's own rules lose acknowledged writes (`docs/engine-guards.md`); here each guard meets the scenario that needs it, and
is taken away once to see the damage.
"""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node import core as core_module
from node import digests as digests_module
from node import messages as m
from node import requests as requests_module
from node.core import Core
from node.guard import ProtocolError
from node.journal import Entry, RaftJournal
from statemachine.commands import encode_batch
from statemachine.state import State, restore
from tests.node.harness import EPOCH_MS, Seat, Table, envelope, real_clock_afterwards, register

__all__ = ["real_clock_afterwards"]


def batch(request_id: int, name: str) -> bytes:
    return encode_batch(EPOCH_MS, [envelope(request_id, register(name))])


def propose(table: Table, leader: Core, *payloads: bytes) -> None:
    """Entries straight into the leader's log, more at once than its own queue would have in flight."""
    for payload in payloads:
        leader.guard.engine.propose(payload)
    leader.guard.engine.tick()
    table.seats[leader.node_id].flush()


# F1: an acknowledgement counts only in the term that it was given in.


@pytest.mark.parametrize("guarded", [True, False])
def test_an_old_acknowledgement_does_not_commit(guarded: bool) -> None:
    """F1, H3: five members; an ack of the leader's first term arrives in its third. Control: counted, an answered write is lost."""
    table = Table(5)
    leader = table.born("n1")
    first_term = leader.guard.term
    rest = ("n3", "n4", "n5")
    table.isolate("n1", "n2")
    table.hold = lambda a, b, message: (a, b) == ("n2", "n1") and isinstance(message, m.AppendAnswer)
    propose(table, leader, *(batch(900 + number, f"lost{number}") for number in range(6)))
    table.flow()
    old_answers = [item for item in table.held if isinstance(item[2], m.AppendAnswer)]
    newest = max(message.next_index for _, _, message in old_answers if isinstance(message, m.AppendAnswer))
    assert newest == leader.journal.last_index + 1
    table.hold = lambda _a, _b, _message: False
    assert table.run(5.0, lambda: (now := table.leader()) is not None and now.node_id in rest)
    table.heal()
    assert table.run(5.0, table.agreed)
    leader = table.elect("n1")
    assert leader.guard.term >= first_term + 2
    assert "lost0" not in leader.state.users
    # Now n1 leads again and reaches n3 alone; the old acknowledgement of n2 arrives.
    table.isolate("n1", "n3")
    seat = table.seats["n1"]
    for number in range(3):
        assert seat.execute(100 + number, register(f"ann{number}"))
        seat.step()
        table.flow()
    before = leader.guard.commit_index
    for a, b, message in old_answers:
        assert isinstance(message, m.AppendAnswer)
        if not guarded:
            claimed = min(message.next_index, leader.journal.last_index + 1)
            message = m.AppendAnswer(leader.guard.term, 0, claimed, False, message.success)
        table.deliver((a, b, message))
    table.run(0.1)
    if guarded:
        assert leader.guard.commit_index == before
        assert not seat.answers.keys() & {100, 101, 102}
        table.heal()
        assert table.run(5.0, lambda: 102 in seat.answers)
        assert table.run(2.0, table.agreed)
        assert all(f"ann{number}" in core.state.users for core in table.cores() for number in range(3))
        return
    assert seat.answers[100].ok, "the control must answer what only two of five hold"
    table.crash("n1")
    table.crash("n3")
    table.heal()
    assert table.run(5.0, lambda: (now := table.leader()) is not None and now.own_term_applied())
    assert not any("ann0" in core.state.users for core in table.cores()), "the control must lose it"


def test_an_acknowledgement_beyond_the_log_closes_the_link() -> None:
    """F1: nobody can have what we have not; a success that says so is a fault of that peer."""
    table = Table()
    leader = table.born()
    follower = table.followers(leader)[0]
    beyond = m.AppendAnswer(leader.guard.term, 1, leader.journal.last_index + 2, False, True)
    with pytest.raises(ProtocolError):
        leader.receive(follower, beyond)


# F2, F3: one follower, and messages made by hand.


def log_of(length: int, term: int = 1) -> list[Entry]:
    """Entries 2.. of a leader of that term."""
    return [(b"\x00" + batch(index, f"user{index}"), index, term) for index in range(2, length + 2)]


def append(
    log: list[Entry], start: int, end: int, commit: int, *, term: int = 1, sequence: int = 1
) -> m.AppendEntries:
    """The leader's message with entries `start` to `end` (indexes, the end excluded)."""
    previous_term = log[start - 3][2] if start > 2 else 0
    return m.AppendEntries(term, sequence, commit, start - 1, previous_term, log[start - 2 : end - 2])


def follower() -> tuple[Table, Seat]:
    table = Table()
    return table, table.seats["n2"]


def send(table: Table, message: m.AppendEntries) -> m.AppendAnswer:
    table.now += 0.1  # an acknowledgement is not repeated at once
    table.deliver(("n1", "n2", message))
    *_, (_, _, answer) = table.take(m.AppendAnswer, "n2")
    assert isinstance(answer, m.AppendAnswer)
    return answer


def _neutralised(core: Core) -> None:
    def strip(message: m.AppendEntries) -> tuple[int, int, list[Entry]]:
        return message.previous_index, message.previous_term, message.entries

    core.guard._strip = strip  # type: ignore[method-assign]


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize(("start", "end"), [(2, 5), (3, 4), (2, 2), (5, 5), (2, 8)])
def test_a_resent_message_never_truncates_what_matches(start: int, end: int, guarded: bool) -> None:
    """F2, H4: an old message that arrives again leaves the newer entries alone. Control: without the guard they go."""
    table, seat = follower()
    log = log_of(10)
    send(table, append(log, 2, 12, 1))
    if not guarded:
        _neutralised(seat.alive)
    table.deliver(("n1", "n2", append(log, start, end, 1)))
    journal = seat.alive.journal
    if guarded:
        assert journal.entries[1:] == log
        assert RaftJournal.replay(seat.frames)[0].entries == journal.entries
    elif start != end:
        assert journal.last_index < 11, "the control must truncate"


def test_acknowledged_and_committed_is_only_what_the_message_verified() -> None:
    """F2, F3: an old short message is acknowledged as far as it went, and its commit index goes no further either."""
    table, seat = follower()
    log = log_of(10)
    send(table, append(log, 2, 12, 1))
    answer = send(table, append(log, 2, 5, 11, sequence=7))
    assert (answer.sequence, answer.success, answer.next_index) == (7, True, 5)
    assert seat.alive.guard.commit_index == 4
    answer = send(table, append(log, 5, 5, 11, sequence=8))
    assert answer.next_index == 5
    assert seat.alive.guard.commit_index == 4
    answer = send(table, append(log, 12, 12, 11, sequence=9))
    assert answer.next_index == 12
    assert seat.alive.guard.commit_index == 11
    assert seat.alive.applied_index == 11


def test_a_partial_match_appends_the_rest() -> None:
    """F2: of entries that are half there, the new half is added and nothing else changes."""
    table, seat = follower()
    log = log_of(10)
    send(table, append(log, 2, 7, 1))
    written = len(seat.frames)
    assert send(table, append(log, 3, 12, 1)).next_index == 12
    assert seat.alive.journal.entries[1:] == log
    assert len(seat.frames) == written + 1
    assert b"\xa1t" not in seat.frames[-1], "no truncation is written down"


def test_what_contradicts_is_replaced_from_there_on() -> None:
    """The other half of the rule: uncommitted entries of an old term give way, those before them stay."""
    table, seat = follower()
    old, new = log_of(10), log_of(4) + log_of(12, term=3)[4:]
    send(table, append(old, 2, 12, 5))
    assert send(table, append(new, 4, 14, 5, term=3)).next_index == 14
    assert seat.alive.journal.entries[1:] == new
    assert RaftJournal.replay(seat.frames)[0].entries == seat.alive.journal.entries


def test_an_unverified_tail_is_never_committed() -> None:
    """F3, H15: a message that does not match, or carries nothing, raises no commit index over what nobody has compared."""
    table, seat = follower()
    stale = log_of(10)
    send(table, append(stale, 2, 12, 1))
    core = seat.alive
    mismatch = m.AppendEntries(3, 1, 11, 11, 2, [])
    answer = send(table, mismatch)
    assert (answer.success, answer.reset) == (False, True)
    assert core.guard.commit_index == 1
    beyond = m.AppendEntries(3, 2, 11, 40, 3, [])
    assert not send(table, beyond).success
    assert core.guard.commit_index == 1
    common = m.AppendEntries(3, 3, 11, 1, 0, [])
    assert send(table, common).success
    assert core.guard.commit_index == 1
    assert core.applied_index == 1


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(2, 14), st.integers(0, 12), st.integers(1, 30)), min_size=1, max_size=14)
)
def test_any_order_of_one_leaders_messages_is_safe(pieces: list[tuple[int, int, int]]) -> None:
    """However pieces of one log arrive: what was there stays, acks and commits never exceed what was compared."""
    table, seat = follower()
    log = log_of(13)
    core = seat.alive
    for number, (start, count, commit) in enumerate(pieces):
        end = min(start + count, 15)
        start = min(start, end)
        before, commit_before = core.journal.last_index, core.guard.commit_index
        answer = send(table, append(log, start, end, min(commit, 14), sequence=number + 1))
        assert core.journal.entries[1:] == log[: core.journal.last_index - 1]
        assert core.journal.last_index >= before
        assert core.guard.commit_index <= max(commit_before, min(commit, end - 1))
        assert core.guard.commit_index >= commit_before
        assert answer.success == (start - 1 <= before)
        if answer.success:
            assert answer.next_index <= end
        else:
            assert answer.next_index <= core.journal.last_index + 1
    assert RaftJournal.replay(seat.frames)[0].entries == core.journal.entries


def test_replacing_a_committed_entry_stops_the_member() -> None:
    """A leader that lacks what is committed here can only come from lost data: no guess, a message that says so."""
    for message in (
        m.AppendEntries(3, 1, 1, 4, 1, [(b"\x00x", 5, 3)]),
        m.AppendEntries(3, 1, 1, 5, 3, []),
        m.AppendEntries(3, 1, 1, 3, 2, []),
    ):
        table, seat = follower()
        log = log_of(10)
        send(table, append(log, 2, 12, 8))
        table.deliver(("n1", "n2", message))
        assert seat.core is None
        assert "committed here" in seat.failed
        assert RaftJournal.replay(seat.frames)[0].last_index == 11, "nothing was removed"


@pytest.mark.parametrize(
    "entries",
    [
        [(b"\x00x", 7, 1)],
        [(b"\x00x", 5, 1)],
        [(b"\x00x", 6, 9)],
        [(b"\x00x", 6, 1), (b"\x00x", 8, 1)],
        [(b"\x00x", 6, 2), (b"\x00x", 7, 1)],
        [(b"\x02cos\nsystem\n(S'true'\ntR.", 6, 1)],
        [(b"\x03x", 6, 1)],
        [(b"", 6, 1)],
    ],
)
def test_what_no_leader_sends_is_refused(entries: list[Entry]) -> None:
    """H7, H9: gaps, wrong terms and kinds of entry that the library would unpickle never reach it; only the link is closed."""
    table, seat = follower()
    send(table, append(log_of(10), 2, 6, 1))
    before = list(seat.alive.journal.entries)
    with pytest.raises(ProtocolError):
        seat.alive.receive("n1", m.AppendEntries(2, 1, 1, 5, 1, entries))
    assert seat.alive.journal.entries == before


# F9, F10, F11, H12.


def test_nothing_is_forwarded_behind_our_back() -> None:
    """F9: a proposal that reaches the library too late is dropped; its owner sends it again to the next leader."""
    table = Table()
    leader = table.born()
    one = table.followers(leader)[0]
    before = table.core(one).journal.last_index
    sent = len(table.log)
    table.core(one).guard.engine.propose(batch(5, "ann"))
    table.run(1.0)
    assert table.core(one).journal.last_index == before
    kinds = {type(message) for _, _, _, message in table.log[sent:]}
    assert kinds <= {m.AppendEntries, m.AppendAnswer, m.Heartbeat}


def _resets_counted_plainly(table: Table) -> None:
    """Without F10: every rejection rewinds, by one entry."""
    for core in table.cores():
        guard = core.guard

        def on_append_answer(peer_id: str, message: m.AppendAnswer, guard: object = guard) -> None:
            assert guard.leading and message.term == guard.term  # type: ignore[attr-defined]
            guard.engine.feed(  # type: ignore[attr-defined]
                peer_id,
                {
                    "type": "next_node_idx",
                    "next_node_idx": message.next_index,
                    "reset": message.reset,
                    "success": message.success,
                },
            )

        def first_index_of_term_at(index: int) -> int:
            return index

        guard.on_append_answer = on_append_answer  # type: ignore[method-assign]
        guard.journal.first_index_of_term_at = first_index_of_term_at  # type: ignore[method-assign]


@pytest.mark.parametrize("guarded", [True, False])
def test_a_divergent_follower_catches_up_under_load(guarded: bool) -> None:
    """F10, H16: 300 entries of its own to give up, 300 to get, more coming all the time, and a network that takes its time.

    Control: with every rejection taken at its word, the walk back is far longer.
    """
    table = Table()
    leader = table.born("n1")
    table.isolate("n1")
    for number in range(300):
        propose(table, leader, batch(1000 + number, f"never{number}"))
    assert table.run(3.0, lambda: table.leader() is not leader)
    new = table.leader()
    assert new is not None
    for number in range(300):
        propose(table, new, batch(2000 + number, f"user{number}"))
        if number % 50 == 0:
            table.run(0.02)
    table.run(0.5)
    if not guarded:
        _resets_counted_plainly(table)
    table.heal()
    table.latency_seconds = 0.03
    sent = len(table.log)
    began = table.now
    caught_up = 0
    while table.now < began + 4.0 and not caught_up:
        propose(table, new, batch(10_000 + int(table.now * 1000), f"more{int(table.now * 1000)}"))
        table.run(0.01)
        if (
            leader.journal.last_index > 300
            and leader.guard.commit_index > 300
            and leader.journal.last_term == new.guard.term
        ):
            caught_up = sum(
                len(message.entries)
                for _, _, b, message in table.log[sent:]
                if b == "n1" and isinstance(message, m.AppendEntries)
            )
    if guarded:
        assert table.now - began < 0.6
        assert caught_up < 2_000, "entries sent until it had caught up"
        table.latency_seconds = 0.0
        assert table.run(3.0, table.agreed)
    else:
        assert not caught_up, "the control must still be walking back after four seconds"


def snapshot_into(table: Table, node_id: str, leader: Core) -> None:
    """What the driver does with a fetched snapshot: state, journal and core anew."""
    seat = table.seats[node_id]
    old = seat.alive
    index = leader.applied_index
    previous, last = leader.journal.entry_at(index - 1), leader.journal.entry_at(index)
    state: State = restore(leader.state.freeze().chunks())
    seat.flush()
    seat.frames = [old.journal.reset_frame(previous, last)]
    seat.core = table.make_core(
        node_id,
        RaftJournal.rebased(old.journal, previous, last, leader.journal.placed_at(index)),
        state,
        (previous, last),
    )
    seat.core.inherit(old)


def test_a_follower_behind_the_log_needs_a_snapshot_and_costs_little_meanwhile() -> None:
    """F11, H17: it is taken out of the library's sight, no message storm begins, the others are served, and then it goes on."""
    table = Table()
    leader = table.born()
    away = table.followers(leader)[0]
    other = table.followers(leader)[1]
    table.crash(away)
    for number in range(20):
        assert table.execute(other, 100 + number, register(f"user{number}")).ok
    leader.journal.trim_to(leader.journal.last_index - 2)
    table.restart(away)
    assert table.run(2.0, lambda: leader.guard.needs_snapshot == {away})
    sent = len(table.log)
    assert table.seats[away].execute(500, register("late"), timeout_seconds=20.0)
    table.seats[away].alive.read(1)
    table.run(3.0)
    assert leader.guard.leading
    to_it = [message for _, _, b, message in table.log[sent:] if b == away]
    assert len(to_it) < 60, "heartbeats and answers, no storm"
    assert not any(isinstance(message, m.AppendEntries) for message in to_it)
    assert not leader.busy
    assert table.execute(other, 300, register("meanwhile")).ok
    snapshot_into(table, away, leader)
    leader.snapshot_shipped(away, table.core(away).journal.last_index)
    assert table.run(3.0, table.agreed)
    assert table.core(away).state.checksum() == leader.state.checksum()
    assert table.run(1.0, lambda: 500 in table.seats[away].answers)
    assert table.seats[away].answers[500].ok
    assert 1 in table.seats[away].reads
    assert not leader.guard.needs_snapshot


def test_a_leader_forgets_who_needs_a_snapshot_when_it_stops_leading() -> None:
    """The next leader finds out for itself; a stale note would hide a peer for ever."""
    table = Table()
    leader = table.born()
    away = table.followers(leader)[0]
    leader.guard.needs_snapshot.add(away)
    leader.elections.settle_sight()
    table.elect(table.followers(leader)[1])
    assert not leader.guard.needs_snapshot
    again = table.elect(leader.node_id)
    assert table.execute(away, 50, register("ann")).ok
    assert again is leader


def test_entries_at_the_batch_limit_travel_whole() -> None:
    """H12: as many of the largest commands as are queued; no entry ever takes the library's chunked path or a message over the limit."""
    table = Table()
    leader = table.born()
    away = table.followers(leader)[0]
    table.isolate(away)
    seat = table.seats[leader.node_id]
    padding = "x" * (requests_module.MAX_COMMAND_BYTES - 300)
    data = envelope(1, register("user", padding))
    assert len(data) <= requests_module.MAX_COMMAND_BYTES
    for number in range(100):
        assert seat.execute(1000 + number, register(f"user{number}", padding), 60.0)
    assert table.run(5.0, lambda: len(seat.answers) >= 101)
    sizes = [len(command) for command, _, _ in leader.journal.entries]
    assert max(sizes) > requests_module.MAX_BATCH_BYTES
    assert max(sizes) < requests_module.MAX_BATCH_BYTES + requests_module.MAX_COMMAND_BYTES + 100
    table.heal()
    assert table.run(5.0, table.agreed)
    assert max(len(m.encode(message)) for _, _, _, message in table.log) < m.MAX_MESSAGE_BYTES


def test_the_chunked_path_is_a_failure_not_a_habit() -> None:
    """H12: should an entry reach it after all, that is an error, and no piece of it leaves."""
    table = Table()
    leader = table.born()
    leader.guard.engine.propose(bytes(5 << 20))
    with pytest.raises(AssertionError, match=r"H12|pickled"):
        leader.guard.engine.tick()
    assert not any(isinstance(message, m.AppendEntries) and message.entries for _, _, message in table.wire)


# H7: what stands in the log is applied once, whatever it is.


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xc0", b"\x93\x01", random.Random(1).randbytes(300), encode_batch(EPOCH_MS, [b"", b"\xff" * 40])],
)
def test_a_malformed_entry_is_applied_like_any_other(payload: bytes) -> None:
    """Every member goes past it with one digest, and the next command is carried out."""
    table = Table()
    leader = table.born()
    propose(table, leader, payload)
    assert table.run(2.0, lambda: table.agreed() and leader.applied_index == leader.journal.last_index)
    assert table.execute(table.followers(leader)[0], 60, register("ann")).ok
    assert table.run(2.0, table.agreed)


def test_a_malformed_envelope_spoils_none_of_its_neighbours() -> None:
    """Forwarded bytes that are no command end as nothing; those beside them are carried out."""
    table = Table()
    leader = table.born()
    one = table.followers(leader)[0]
    good = envelope(71, register("ann"))
    table.deliver((one, leader.node_id, m.Forward([70, 71, 72], [b"\xc1junk", good, b""])))
    assert table.run(2.0, lambda: "ann" in leader.state.users)
    assert table.run(2.0, table.agreed)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_bytes_that_are_no_message_are_one_kind_of_error(data: bytes) -> None:
    """Decoding raises what the driver expects and nothing else."""
    try:
        message = m.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    assert m.decode(m.encode(message)) == message


# Digests.


def with_digests(members: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Table, Core]:
    for module in (core_module, digests_module):
        monkeypatch.setattr(module, "CHECKPOINT_EVERY", 8)
    table = Table(members)
    return table, table.born("n1")


@pytest.mark.parametrize(("members", "wrong"), [(3, ["n3"]), (3, ["n1"]), (5, ["n2", "n5"])])
def test_a_minority_with_another_digest_stops(
    members: int, wrong: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 7: who differs from a majority at a fixed index stops and says what to do; the majority hears no alarm."""
    table, _ = with_digests(members, monkeypatch)
    alarms: list[str] = []

    def watching() -> bool:
        alarms.extend(core.alarm for core in table.cores() if core.alarm)
        return False

    for number, node_id in enumerate(wrong):
        table.core(node_id).state.digest = bytes([number] * 16)
    right = next(node_id for node_id in table.ids if node_id not in wrong)
    for number in range(8):
        table.seats[right].execute(200 + number, register(f"user{number}"), 5.0)
        table.run(0.3, watching)
    table.run(2.0, watching)
    assert alarms == []
    for node_id, seat in table.seats.items():
        assert (seat.core is None) == (node_id in wrong), node_id
        assert ("cannot be trusted" in seat.failed) == (node_id in wrong)


def test_without_a_majority_nobody_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three states that all differ: each member raises the alarm and none stops, for any of them may be the right one."""
    table, _ = with_digests(3, monkeypatch)
    for number, core in enumerate(table.cores()):
        core.state.digest = bytes([number] * 16)
    for number in range(8):
        table.seats["n1"].execute(200 + number, register(f"user{number}"), 5.0)
        table.run(0.3)
    table.run(1.0)
    assert len(table.cores()) == 3
    assert all("disagree" in core.alarm for core in table.cores())


def test_equal_digests_raise_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the two above."""
    table, _ = with_digests(3, monkeypatch)
    for number in range(20):
        assert table.execute(f"n{number % 3 + 1}", 200 + number, register(f"user{number}")).ok
    table.run(1.0)
    assert len(table.cores()) == 3
    assert not any(core.alarm for core in table.cores())
    assert all(core.digests.newest()[0] for core in table.cores())


def test_few_that_agree_are_no_disagreement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of five that hear only each other, with equal digests: less than a majority, and nothing to be alarmed about."""
    table, _ = with_digests(5, monkeypatch)
    for number in range(20):
        assert table.execute("n1", 200 + number, register(f"user{number}")).ok
    core = table.core("n4")
    index, digest = core.digests.newest()
    core._heard_at.clear()
    core.digests._said.clear()
    core.digests.said("n5", index, digest)
    assert core.alarm == ""
    core.digests.said("n5", index, bytes(16))
    assert "disagree" in core.alarm
