"""Changes of membership without their gate (H13): majorities that do not overlap, and disks that have forgotten.

Each scenario ends in the same question: do two members hold different committed entries at one index, or is an answered write gone?
"""

from __future__ import annotations

from collections.abc import Collection

import pytest

from node import changes as changes_module
from node import messages as m
from node.changes import Changes
from node.core import Core
from node.membership import Change, Configuration, Introduction, Verdict
from tests.controls.directed import demand
from tests.node.harness import Table, register

# Replacing methods of living objects is what these scenarios are about; the checker of types cannot follow it.
# mypy: disable-error-code="method-assign"


def _one_history(table: Table) -> None:
    """No two members may hold different committed entries at one index."""
    committed: dict[int, tuple[tuple[bytes, int], str]] = {}
    for core in table.cores():
        for command, index, term in core.journal.entries:
            if index > core.guard.commit_index:
                break
            known, by = committed.setdefault(index, ((command, term), core.node_id))
            demand(
                known == (command, term), f"{by} and {core.node_id} hold different committed entries {index}"
            )


def _only_may_lead(table: Table, node_id: str) -> None:
    """Whoever else would stand for election is kept from it by its clock, so that the scenario goes as it is told."""
    for core in table.cores():
        far_off = core.node_id != node_id and not core.guard.leading
        core.clock.is_outlier = (lambda: True) if far_off else (lambda: False)
        core.elections.may_lead = not far_off


def _cut_between(table: Table, one: Collection[str], other: Collection[str]) -> None:
    table.cut(*((a, b) for a in one for b in other), *((b, a) for a in one for b in other))


def one_change_at_a_time(guarded: bool, patch: pytest.MonkeyPatch) -> None:
    """Five voters; the leader and one follower are cut off, and two operators ask the leader to remove two of the others."""
    if not guarded:
        patch.setattr(Changes, "_refuse_unless_idle", lambda _self, _latest: None)
    table = Table(5)
    leader = table.born("n1")
    rest = ("n3", "n4", "n5")
    table.isolate("n1", "n2")
    for number, member_id in enumerate(("n5", "n4")):
        leader.change(number, Change("remove", member_id))
        table.seats["n1"].step()
    table.run(0.3)
    table.run(3.0, lambda: any(table.core(node_id).own_term_applied() for node_id in rest))
    _one_history(table)


def a_fresh_leader_changes_nothing(guarded: bool, patch: pytest.MonkeyPatch) -> None:
    """Four voters and two leaders one after the other, each of which removes the other (Ongaro's note of 2015)."""
    table = Table(4)
    first = table.born("n1")
    if not guarded:
        patch.setattr(Core, "own_term_applied", lambda self: self.guard.leading)
    table.isolate("n1")
    first.change(1, Change("remove", "n2"))  # in its log alone: n1, n3 and n4 would be the voters
    table.seats["n1"].step()
    table.hold = lambda a, b, message: (a, b) == ("n2", "n4") and isinstance(message, m.AppendEntries)
    _only_may_lead(table, "n2")
    table.run(3.0, lambda: table.core("n2").guard.leading)
    second = table.core("n2")
    assert second.guard.leading, "the scenario: n2 leads"
    second.change(2, Change("remove", "n1"))  # n2, n3 and n4 would be; n3 gets it, n4 gets nothing
    table.run(0.3)
    _cut_between(table, ("n2", "n3"), ("n4",))
    table.links |= {("n1", "n4"), ("n4", "n1")}
    _only_may_lead(table, "n1")
    before = first.guard.commit_index
    table.run(6.0, lambda: first.guard.commit_index > before)
    _one_history(table)


def a_learner_does_not_count(guarded: bool, patch: pytest.MonkeyPatch) -> None:
    """A leader that has lost the other voters writes with two learners at its side."""
    table = Table(3)
    table.tending = True
    leader = table.born("n1")
    for node_id in ("n4", "n5"):
        table.change("n1", Change("add", node_id, f"{node_id}:7000", f"{node_id}:8000"))
        table.join(node_id, "n1", wants_vote=False)
        table.run(3.0, table.agreed)
    if not guarded:
        leader.guard.engine.count(("n1", "n2", "n3", "n4", "n5"))
        leader.elections.settle_sight()
        table.run(1.0)
    _cut_between(table, ("n1", "n4", "n5"), ("n2", "n3"))
    seat = table.seats["n1"]
    seat.execute(50, register("ann"))
    table.run(0.3)
    table.run(4.0, lambda: any(table.core(node_id).own_term_applied() for node_id in ("n2", "n3")))
    _one_history(table)


def a_wiped_member_does_not_vote(guarded: bool, patch: pytest.MonkeyPatch) -> None:
    """Of the two that hold an answered write one dies and the other loses its disk; the third must not lead with that one."""
    if not guarded:
        patch.setattr(Core, "judge", _welcome)
        patch.setattr(Configuration, "counts", _by_name)
        patch.setattr(Core, "absent_at_birth", _nobody)
    table = Table(3)
    table.tending = True
    table.born("n1")
    table.isolate("n3")
    outcome = table.execute("n1", 50, register("ann"))
    assert outcome.ok, "the scenario: the write is answered"
    table.crash("n1")
    table.crash("n2")
    table.wipe("n2")
    table.heal()
    table.restart("n2")
    table.run(6.0, lambda: any(core.own_term_applied() for core in table.cores()))
    for core in table.cores():
        demand(
            not core.own_term_applied() or "ann" in core.state.users,
            f"{core.node_id} leads without a write that was answered",
        )


def two_empty_disks_begin_nothing(guarded: bool, patch: pytest.MonkeyPatch) -> None:
    """One was replaced and has nothing yet, the other was lost just now; nobody else hears them."""
    if not guarded:
        patch.setattr(Core, "absent_at_birth", _nobody)
    table = Table(3)
    table.tending = True
    table.born("n1")
    table.crash("n3")
    table.wipe("n3")
    table.run(2.0)
    table.change("n1", Change("replace", "n3"))
    table.crash("n1")
    table.wipe("n1")
    table.isolate("n2")
    for node_id in ("n1", "n3"):
        table.seats[node_id].boot()
    table.blocked -= {("n1", "n3"), ("n3", "n1")}
    table.run(5.0)
    for node_id in ("n1", "n3"):
        demand(
            not table.core(node_id).guard.leading,
            f"{node_id} leads an empty cluster beside the one it forgot",
        )


def _nobody(_core: Core) -> list[str]:
    return []


def _welcome(_core: Core, _introduction: Introduction) -> Verdict:
    return Verdict("", final=False, index=0)


def _by_name(configuration: Configuration, member_id: str, _incarnation: str | None) -> bool:
    seat = configuration.by_id.get(member_id)
    return seat is not None and seat.voter


def a_removed_leader_does_not_lead(guarded: bool, patch: pytest.MonkeyPatch) -> None:
    """An operator removes the leader: it must have handed over before it is gone."""
    if not guarded:
        patch.setattr(changes_module, "_unchanged_voters", lambda old, _new: set(old.by_id))
    table = Table(3)
    table.tending = True
    leader = table.born("n1")
    table.change("n2", Change("remove", "n1"))
    table.run(0.5)
    removed = "n1" not in leader.applied_placed.configuration.by_id
    demand(not (removed and leader.guard.leading), "a member that is no member any more goes on leading")
