"""Changes of the cluster's configuration, at a table where every message can be held back.

What each scenario shows goes wrong without the rule that its docstring names; `tests/controls` takes the rules away.
"""

from __future__ import annotations

import pytest

from node import messages as m
from node.core import Core
from node.greetings import REFUSED_SECONDS, Greetings, NoPlaceError
from node.membership import Change, ChangeKind, Placed, judge
from tests.node.harness import BIRTH, Table, real_clock_afterwards, register

__all__ = ["real_clock_afterwards"]


def founded(members: int = 3) -> tuple[Table, Core]:
    table = Table(members)
    table.tending = True
    return table, table.born("n1")


def add(member_id: str) -> Change:
    return Change("add", member_id, f"{member_id}:7000", f"{member_id}:8000")


def ask(table: Table, kind: ChangeKind, member_id: str, through: str = "n1", seconds: float = 3.0) -> str:
    change = add(member_id) if kind == "add" else Change(kind, member_id)
    return table.change(through, change, seconds).code


def voters(core: Core) -> tuple[str, ...]:
    return core.journal.placed.configuration.voters


def joined(table: Table, member_id: str, *, wants_vote: bool = True) -> Core:
    """Add a member and let it catch up (and be promoted when it wants a vote)."""
    assert ask(table, "add", member_id) == ""
    core = table.join(member_id, "n1", wants_vote=wants_vote)
    assert table.run(5.0, lambda: (member_id in voters(core)) == wants_vote and table.agreed())
    return core


# Founding.


def test_the_first_leader_writes_down_whose_disks_they_are() -> None:
    """Before anything that a client asked for, and with all voters, when all have come."""
    table, leader = founded()
    placed = leader.applied_placed
    assert placed.configuration.founded
    assert [seat.incarnation for seat in placed.configuration.seats] == [f"disk of n{n}" for n in (1, 2, 3)]
    first = next(entry for entry in leader.journal.entries if entry[0][:2] not in (b"\x01", b"\x00\xc1"))
    assert placed.index < first[1]
    assert {core.applied_placed for core in table.cores()} == {placed}


def test_a_voter_that_went_before_it_was_met_is_written_down_when_it_comes() -> None:
    """Its seat is open until then: it does not count, and the cluster lives on the other two."""
    table = Table(3)
    table.tending = True
    for core in table.cores():
        core.changes._look_at = table.now + 2.0  # nobody founds before n3 is gone
    leader = table.elect("n1")
    table.crash("n3")
    for core in table.cores():
        del core.introductions["n3"]  # as if it had never been here
    assert table.execute("n1", 4, BIRTH).ok
    assert leader.journal.placed.configuration.by_id["n3"].incarnation == ""
    assert not leader.counts("n3")
    table.restart("n3")
    assert table.run(3.0, lambda: leader.applied_placed.configuration.by_id["n3"].incarnation == "disk of n3")
    assert table.run(2.0, table.agreed)
    table.crash("n2")
    assert table.execute("n1", 5, register("one")).ok, "the late voter counts"


def test_a_cluster_is_born_only_when_all_have_met() -> None:
    """An empty disk may have been wiped: two of them elect nobody while they have not seen the third."""
    table = Table(3)
    table.tending = True
    table.crash("n3")
    assert not table.run(5.0, lambda: table.leader() is not None)
    assert table.core("n1").absent_at_birth() == ["n3"]
    table.restart("n3")
    assert table.run(3.0, lambda: table.leader() is not None)


def test_a_replaced_and_a_wiped_disk_do_not_begin_an_empty_cluster() -> None:
    """One was replaced and has nothing yet, the other was lost just now: cut off from the rest they are two empty disks of three."""
    table, _ = founded()
    table.crash("n3")
    table.wipe("n3")
    table.run(2.0)
    assert ask(table, "replace", "n3") == ""
    table.crash("n1")
    table.wipe("n1")
    table.isolate("n2")
    for node_id in ("n1", "n3"):
        table.seats[node_id].boot()
    table.blocked -= {("n1", "n3"), ("n3", "n1")}
    assert not table.run(
        5.0, lambda: any(core.guard.leading for core in table.cores() if core.node_id != "n2")
    )


def test_who_has_not_heard_that_it_votes_elects_all_the_same() -> None:
    """The promotion is committed without the promoted one; the leader dies; the rest need its vote."""
    table, leader = founded()
    learner = joined(table, "n4", wants_vote=False)
    table.hold = lambda _a, b, message: b == "n4" and isinstance(message, m.AppendEntries)
    assert ask(table, "promote", "n4") == ""
    assert learner.role == "learner"
    table.crash("n1")
    assert table.run(5.0, lambda: (new := table.leader()) is not None and new is not leader)


def test_two_wiped_of_three_do_not_found_the_cluster_anew() -> None:
    """The third tells them: they stop, and nothing that was acknowledged is replaced by an empty cluster."""
    table, leader = founded()
    founding = leader.applied_placed.configuration.founding
    for node_id in ("n2", "n3"):
        table.crash(node_id)
        table.wipe(node_id)
    for node_id in ("n2", "n3"):
        table.restart(node_id)
    assert table.run(3.0, lambda: all(table.seats[node_id].core is None for node_id in ("n2", "n3")))
    assert "another disk" in table.seats["n2"].failed
    assert table.core("n1").applied_placed.configuration.founding == founding


# One wiped member.


def test_a_wiped_member_is_refused_and_stops_until_it_is_replaced() -> None:
    """Invariant 7. Afterwards it learns everything, and votes again by itself."""
    table, _ = founded()
    assert table.execute("n1", 5, register("one")).ok
    table.crash("n3")
    table.wipe("n3")
    table.restart("n3")
    assert table.run(3.0, lambda: table.seats["n3"].core is None)
    assert "cluster replace n3" in table.seats["n3"].failed
    assert not any(leader == "n3" for leader in table.leaders.values())
    assert ask(table, "replace", "n3") == ""
    assert voters(table.core("n1")) == ("n1", "n2")
    core = table.restart("n3")
    assert table.run(5.0, lambda: voters(core) == ("n1", "n2", "n3") and table.agreed())
    assert core.role == "follower"


def test_a_disk_that_was_given_up_does_not_take_its_seat_again() -> None:
    """What is left of its old connection may still be read when the seat is open; only another disk may come."""
    table, leader = founded()
    table.isolate("n3")
    table.run(2.0)
    assert "n3" in leader.present, "nobody has noticed that the connection is gone"
    assert ask(table, "replace", "n3") == ""
    table.heal()
    assert table.run(3.0, lambda: table.seats["n3"].core is None)
    assert "another disk" in table.seats["n3"].failed
    assert leader.journal.placed.configuration.by_id["n3"].incarnation == ""
    table.wipe("n3")
    table.restart("n3")
    assert table.run(5.0, lambda: voters(leader) == ("n1", "n2", "n3"))


def test_a_replacement_that_is_asked_for_again_spares_the_new_disk() -> None:
    """The first answer was lost, and the new disk has come meanwhile: the request names the disk that it gives up."""
    table, leader = founded()
    lost = Change("replace", "n3", disk="disk of n3")
    table.crash("n3")
    table.wipe("n3")
    table.run(2.0)
    assert table.change("n1", lost).code == ""
    table.restart("n3")
    assert table.run(5.0, lambda: voters(leader) == ("n1", "n2", "n3"))
    table.crash("n3")
    table.run(2.0)
    assert table.change("n1", lost).code == ""
    assert leader.journal.placed.configuration.by_id["n3"].incarnation == "disk of n3 again"


def test_a_vote_and_a_copy_of_another_disk_do_not_count() -> None:
    """A wiped member whose links stand all the same gets its leader nothing."""
    table, leader = founded()
    table.isolate("n1", "n2")
    other = table.core("n2")
    impostor = leader.introduction()
    leader.introduced("n3", type(impostor)("n3", "another disk", "", 0, "n3:7000"))
    table.isolate("n1")
    assert table.seats["n1"].execute(9, register("two"))
    table.run(0.1)
    index = leader.journal.last_index
    commit = leader.guard.commit_index
    assert commit < index
    for sequence in range(1, 9):
        leader.receive(
            "n3", m.AppendAnswer(leader.guard.term, sequence, index + 1, reset=False, success=True)
        )
        table.seats["n1"].step()
    assert leader.guard.commit_index == commit
    assert other is table.core("n2")


def test_a_newcomer_is_not_stopped_by_one_who_lags_behind() -> None:
    """Who refuses may not have heard of the configuration that lets us in."""
    table, _ = founded(5)
    table.crash("n5")
    table.isolate("n4")
    assert ask(table, "replace", "n5") == ""
    table.wipe("n5")
    stale = table.core("n4")
    core = table.seats["n5"].boot()
    table.heal()
    table.cut(("n1", "n4"), ("n2", "n4"), ("n3", "n4"))
    assert stale.judge(core.introduction()).code == "other-disk"
    assert stale.judge(core.introduction()).final
    for other in ("n1", "n2", "n3", "n5"):
        for way in ((other, "n5"), ("n5", other)):
            table.blocked.discard(way)
    table.blocked -= {("n5", "n4"), ("n4", "n5")}
    assert table.run(5.0, lambda: "n5" in voters(core))
    table.heal()
    assert table.run(5.0, table.agreed)


def test_one_who_has_it_in_its_log_outweighs_one_who_lags_behind() -> None:
    """Seed 2011667530: the others had begun anew and did not know yet how much of their logs was committed."""
    table, _ = founded(5)
    table.isolate("n4")
    table.crash("n5")
    assert ask(table, "replace", "n5") == ""
    table.wipe("n5")
    core = table.seats["n5"].boot()
    newest = table.core("n1").journal.placed
    stale = table.core("n4").applied_placed
    assert newest.index > stale.index
    behind = judge(stale, stale, core.introduction())
    assert (behind.code, behind.final, behind.index) == ("other-disk", True, stale.index)
    vouching = judge(newest, stale, core.introduction())
    assert (vouching.code, vouching.index) == ("", newest.index)
    for order in ([behind, vouching], [vouching, behind]):
        greetings = Greetings()
        for verdict in order:
            greetings.note(verdict, 0.0)
        greetings.look(core, 2 * REFUSED_SECONDS)
    alone = Greetings()
    alone.note(behind, 0.0)
    with pytest.raises(NoPlaceError, match="by another disk"):
        alone.look(core, 2 * REFUSED_SECONDS)


# Adding.


def test_three_become_five_and_three_again() -> None:
    table, _ = founded()
    for member_id in ("n4", "n5"):
        joined(table, member_id)
    assert voters(table.core("n3")) == ("n1", "n2", "n3", "n4", "n5")
    table.crash("n1")
    table.crash("n2")
    assert table.run(5.0, lambda: (leader := table.leader()) is not None and leader.own_term_applied())
    assert table.execute("n4", 20, register("two of five are down")).ok
    table.restart("n1")
    table.restart("n2")
    assert table.run(5.0, table.agreed)
    for member_id in ("n4", "n5"):
        assert ask(table, "remove", member_id) == ""
        seat = table.seats[member_id]
        assert table.run(5.0, lambda seat=seat: seat.core is None)  # type: ignore[misc]  # a bound default
        assert "was removed" in table.seats[member_id].failed
    assert voters(table.core("n1")) == ("n1", "n2", "n3")
    assert table.execute("n2", 21, register("three again")).ok


def test_a_learner_follows_and_does_not_count() -> None:
    """Its acknowledgements commit nothing, it never stands for election, and it stays one when it was meant to."""
    table, leader = founded()
    learner = joined(table, "n4", wants_vote=False)
    assert learner.role == "learner"
    assert leader.guard.match_index("n4") == leader.journal.last_index
    for node_id in table.followers(leader):
        if node_id != "n4":
            table.crash(node_id)
    assert table.seats["n1"].execute(9, register("alone"))
    table.run(0.5)
    assert learner.journal.last_index == leader.journal.last_index
    assert leader.guard.commit_index < leader.journal.last_index
    table.run(3.0)
    assert not learner.guard.leading
    assert learner.elections.started == 0


def test_a_learner_serves_linearizable_reads_and_forwards_writes() -> None:
    table, _ = founded()
    joined(table, "n4", wants_vote=False)
    seat = table.seats["n4"]
    assert table.execute("n4", 9, register("through a learner")).ok
    seat.alive.read(1)
    assert table.run(1.0, lambda: 1 in seat.reads)
    assert seat.reads[1] >= seat.answers[9].index


def test_a_learner_is_not_promoted_before_it_has_caught_up() -> None:
    table, _ = founded()
    assert ask(table, "add", "n4") == ""
    assert ask(table, "promote", "n4") == "not-caught-up", "nobody has come yet"
    table.join("n4", "n1", wants_vote=False)
    table.hold = lambda _a, b, message: b == "n4" and isinstance(message, m.AppendEntries)
    table.run(1.0)
    for number in range(120):
        assert table.execute("n1", 300 + number, register(f"user{number}")).ok
    assert ask(table, "promote", "n4") == "not-caught-up"
    table.hold = lambda *_: False
    assert table.run(3.0, table.agreed)
    assert ask(table, "promote", "n4") == ""
    assert voters(table.core("n4")) == ("n1", "n2", "n3", "n4")


# Removing.


def test_the_leader_hands_over_before_it_is_removed() -> None:
    table, leader = founded()
    assert ask(table, "remove", leader.node_id, through="n2") == ""
    assert table.run(3.0, lambda: table.seats["n1"].core is None)
    assert "was removed" in table.seats["n1"].failed
    assert voters(table.core("n2")) == ("n2", "n3")
    assert table.execute("n3", 9, register("goes on")).ok


def test_what_would_lose_the_quorum_is_refused() -> None:
    table, _ = founded()
    table.crash("n3")
    table.run(2.0)
    assert ask(table, "remove", "n2") == "would-lose-quorum"
    assert ask(table, "replace", "n2") == "would-lose-quorum"
    assert ask(table, "remove", "n3") == "", "the dead one may go"


def test_a_removed_member_cannot_come_back_by_itself() -> None:
    """It missed its removal, and everybody refuses it."""
    table, _ = founded()
    table.crash("n3")
    table.run(2.0)
    assert ask(table, "remove", "n3") == ""
    table.restart("n3")
    assert table.run(3.0, lambda: table.seats["n3"].core is None)
    assert "was removed" in table.seats["n3"].failed


def test_an_unknown_member_and_its_like_are_refused() -> None:
    table, _ = founded()
    assert ask(table, "remove", "n9") == "unknown-member"
    assert ask(table, "promote", "n9") == "unknown-member"
    assert table.change("n1", Change("add", "n3", "elsewhere:1", "elsewhere:2")).code == "member-exists"
    assert table.change("n1", Change("add", "n4", "n3:7000", "n4:8000")).code == "address-taken"
    assert ask(table, "add", "n3") == "", "it is so already"


# One at a time.


def test_a_second_change_waits_for_the_first() -> None:
    """H13: two at once let two majorities exist that do not meet."""
    table, leader = founded(5)
    table.isolate("n1")
    seat = table.seats["n1"]
    leader.change(1, Change("remove", "n5"))
    leader.change(2, Change("remove", "n4"))
    seat.flush()
    leader.change(3, Change("remove", "n5"))  # to say that it is gone would be to tell what may yet be undone
    seat.flush()
    assert [seat.changes[number].code for number in (2, 3)] == ["change-pending"] * 2
    assert voters(leader) == ("n1", "n2", "n3", "n4")


def test_a_change_that_finds_its_leader_gone_is_not_called_done() -> None:
    """The tick that would have put it into the log noticed that leadership is gone (CheckQuorum): it is nowhere."""
    table, leader = founded()
    before = leader.journal.placed
    table.isolate("n1")
    table.now += 1.2  # nothing was heard for that long, and nobody has looked yet
    assert leader.guard.leading
    leader.change(1, Change("remove", "n3"))
    table.seats["n1"].flush()
    assert leader.journal.placed == before
    assert table.seats["n1"].changes[1].code == "not-leader"


def test_a_fresh_leader_changes_nothing_before_an_entry_of_its_own() -> None:
    """Ongaro's note of 2015: a change of the last term may otherwise be undone by one that does not overlap with it."""
    table, leader = founded()
    table.hold = lambda _a, _b, message: isinstance(message, m.AppendAnswer)
    table.crash("n1")
    assert table.run(3.0, lambda: (new := table.leader()) is not None and new is not leader)
    new = table.leader()
    assert new is not None
    assert not new.own_term_applied()
    new.change(1, Change("remove", "n1"))
    table.seats[new.node_id].flush()
    assert table.seats[new.node_id].changes[1].code == "not-leader"


def test_a_configuration_that_is_undone_does_not_count_any_more() -> None:
    """It counted from append on, on the leader that was cut off, and is truncated there."""
    table, old = founded()
    table.isolate("n1")
    old.change(1, Change("remove", "n3"))
    table.seats["n1"].flush()
    assert voters(old) == ("n1", "n2")
    assert table.run(3.0, lambda: (new := table.leader()) is not None and new is not old)
    assert table.execute("n2", 9, register("meanwhile")).ok
    table.heal()
    assert table.run(3.0, table.agreed)
    assert voters(old) == ("n1", "n2", "n3")
    assert sorted(node.id for node in old.guard.engine.otherNodes) == ["n2", "n3"]
    assert table.seats["n1"].changes[1].code == "not-leader"


def test_an_undone_removal_does_not_shut_out_the_leader_it_names() -> None:
    """A deposed leader holds it, uncommitted; the member that it removes leads now, and must be let in to undo it."""
    table, old = founded()
    table.isolate("n1")
    old.change(1, Change("remove", "n3"))
    table.seats["n1"].flush()
    table.crash("n2")
    table.restart("n2")
    table.cut(("n1", "n2"), ("n2", "n1"))
    assert table.run(5.0, lambda: (new := table.leader()) is not None and new is not old)
    if not table.leads("n3"):
        assert ask(table, "transfer", "n3", through="n2") == ""
        assert table.run(3.0, lambda: table.leads("n3"))
    for a, b in (("n1", "n3"), ("n3", "n1")):
        table._break(a, b)
    table.heal()
    assert table.run(5.0, table.agreed)
    assert voters(old) == ("n1", "n2", "n3")


@pytest.mark.parametrize("survives", [True, False])
def test_a_restart_with_an_uncommitted_configuration(survives: bool) -> None:
    """It is read back from the journal before the first tick, and committed or undone like any other entry."""
    table, old = founded()
    table.isolate("n1")
    old.change(1, Change("remove", "n3"))
    table.seats["n1"].flush()
    table.crash("n1")
    if survives:
        table.crash("n2")
        table.crash("n3")
    else:
        assert table.run(3.0, lambda: table.leader() is not None and table.leader() is not old)
        assert table.execute("n2", 9, register("meanwhile")).ok
    again = table.restart("n1")
    assert voters(again) == ("n1", "n2")
    assert sorted(node.id for node in again.guard.engine.otherNodes) == ["n2"]
    if survives:
        table.restart("n2")
        assert table.run(
            3.0,
            lambda: voters(table.core("n2")) == ("n1", "n2") and again.applied_placed == again.journal.placed,
        )
    else:
        table.heal()
        assert table.run(3.0, table.agreed)
        assert voters(again) == ("n1", "n2", "n3")
    assert table.execute("n2", 10, register("afterwards")).ok


def test_applying_an_old_change_again_does_nothing() -> None:
    """The library carries out membership entries a second time when it applies them; a follower that lags would undo a newer one."""
    table, leader = founded(5)
    table.hold = lambda _a, b, message: b == "n2" and isinstance(message, m.AppendEntries)
    table.crash("n5")
    table.run(2.0)
    assert ask(table, "remove", "n5") == ""
    assert ask(table, "add", "n5") == ""
    table.join("n5", "n1")
    assert table.run(5.0, lambda: "n5" in voters(leader))
    table.hold = lambda *_: False
    assert table.run(5.0, table.agreed)
    assert "n5" in {node.id for node in table.core("n2").guard.engine.otherNodes}


def test_a_replaced_member_that_lives_gets_no_entry_before_its_seat_is_committed() -> None:
    """Alone with an entry that says it is no voter, and a longer log than all others, it would block every election."""
    table, leader = founded()
    assert ask(table, "replace", "n3") == "member-alive"
    table.isolate("n3")
    table.run(2.0)
    table.hold = lambda a, b, message: isinstance(message, m.AppendEntries) and (a, b) == ("n1", "n2")
    leader.change(1, Change("replace", "n3"))
    table.heal()
    table.run(1.0)
    assert leader.journal.placed.configuration.by_id["n3"].incarnation == ""
    assert table.core("n3").journal.last_index < leader.journal.last_index
    table.crash("n1")
    table.hold = lambda *_: False
    assert table.run(5.0, lambda: (new := table.leader()) is not None and new.own_term_applied())


# Handing over by name.


def test_leadership_goes_to_whom_an_operator_names() -> None:
    table, _ = founded(5)
    for target in ("n4", "n2", "n5"):
        assert ask(table, "transfer", target) == ""
        assert table.run(2.0, lambda target=target: table.leads(target))  # type: ignore[misc]  # a bound default
        table.run(0.5)
    assert ask(table, "transfer", "n9") == "unknown-member"
    table.crash("n3")
    table.run(2.0)
    assert ask(table, "transfer", "n3") == "not-caught-up"
    assert table.execute("n1", 9, register("goes on")).ok


# Reading it back.


def test_a_snapshot_of_the_past_holds_the_configuration_of_the_past() -> None:
    """Not the newest one, which may yet be undone."""
    table, leader = founded()
    applied = leader.applied_index
    table.isolate("n1")
    leader.change(1, Change("remove", "n3"))
    assert leader.journal.placed_at(applied).configuration.voters == ("n1", "n2", "n3")
    assert leader.journal.placed.configuration.voters == ("n1", "n2")
    assert leader.journal.placed_at(applied) == leader.applied_placed


def test_a_member_with_a_newer_configuration_is_let_in_by_one_who_lags() -> None:
    table, _ = founded()
    table.isolate("n3")
    joined_core = None
    assert ask(table, "add", "n4") == ""
    joined_core = table.join("n4", "n1")
    assert table.run(5.0, lambda: "n4" in voters(joined_core))
    stale = table.core("n3")
    assert "n4" not in stale.journal.placed.configuration.by_id
    assert stale.judge(joined_core.introduction()).code == ""
    assert isinstance(stale.journal.placed, Placed)
