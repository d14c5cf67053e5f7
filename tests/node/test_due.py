"""What happens by itself happens once: whoever leads, however leadership moves; and where nothing is due, nothing is written."""

from __future__ import annotations

import pytest

from node.core import Core
from statemachine.commands import (
    BookSeat,
    Command,
    DayGrid,
    Envelope,
    JoinWaitlist,
    OpenSession,
    encode_envelope,
)
from statemachine.events import WaitingEnded
from statemachine.state import State
from tests.node.harness import EPOCH_MS, Table, real_clock_afterwards

__all__ = ["real_clock_afterwards"]

FIRST_CELL = EPOCH_MS // 300_000 + 1  # begins 200 seconds after the table's clock does
GRID = ((FIRST_CELL, 14),)


def execute(table: Table, leader: Core, request_id: int, command: Command) -> None:
    session = "" if isinstance(command, OpenSession) else "s"
    envelope = Envelope(request_id, "root", f"k{request_id}", b"f", 86_400_000, 1 << 50, session, command)
    assert leader.execute(request_id, encode_envelope(envelope), 1.0)
    answers = table.seats[leader.node_id].answers
    assert table.run(5.0, lambda: request_id in answers)
    assert answers[request_id].ok, answers[request_id]


def somebody_waits(table: Table) -> Core:
    """A cluster in which somebody waits for a place that begins in less than 200 seconds."""
    leader = table.born("n1")
    execute(table, leader, 2, OpenSession("s", "root", "hash-root", "", 10**10))
    space = leader.state.spaces["hq"]
    grid = DayGrid(space.revision, space.slot_cells, GRID)
    execute(table, leader, 3, BookSeat("b", "hq", "A1", FIRST_CELL, 1, grid))
    execute(table, leader, 4, JoinWaitlist("w", BookSeat("bw", "hq", "A1", FIRST_CELL, 1, grid)))
    assert table.run(2.0, table.agreed)
    assert leader.state.due_ms == FIRST_CELL * 300_000
    return leader


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(state, index) of every end of waiting that any state has ever carried out."""
    seen: list[tuple[int, int]] = []
    apply = State.apply

    def watched(self: State, index: int, payload: bytes) -> object:
        applied = apply(self, index, payload)
        seen.extend((id(self), index) for _, event in applied.events if isinstance(event, WaitingEnded))
        return applied

    monkeypatch.setattr(State, "apply", watched)
    return seen


def test_a_cluster_at_rest_writes_nothing() -> None:
    table = Table()
    leader = somebody_waits(table)
    index = leader.applied_index
    table.run(5.0)
    assert [core.applied_index for core in table.cores()] == [index] * 3


def test_what_is_due_is_one_entry(ends: list[tuple[int, int]]) -> None:
    table = Table()
    leader = somebody_waits(table)
    index = leader.applied_index
    table.now += 200.0
    assert table.run(5.0, lambda: len(ends) == 3 and table.agreed())
    assert {at for _, at in ends} == {ends[0][1]}
    assert all(core.state.due_ms is None and not core.state.waiters for core in table.cores())
    index = max(core.applied_index for core in table.cores())
    table.run(5.0)
    assert [core.applied_index for core in table.cores()] == [index] * 3, "and nothing more"
    assert len(ends) == 3


@pytest.mark.parametrize("waits_seconds", [0.0, 0.02, 0.1, 0.5])
def test_a_leader_that_dies_when_it_is_due(ends: list[tuple[int, int]], waits_seconds: float) -> None:
    """The old leader's entry and the new leader's: whichever of them is there, it happened once on each member."""
    table = Table()
    leader = somebody_waits(table)
    table.now += 199.8
    table.run(0.2 + waits_seconds)
    table.crash(leader.node_id)
    assert table.run(10.0, lambda: all(not core.state.waiters for core in table.cores()) and table.agreed())
    table.restart(leader.node_id)
    table.heal()
    for other in table.ids:
        if other != leader.node_id:
            table.connect(leader.node_id)
            break
    assert table.run(10.0, lambda: len({id(core.state) for core in table.cores()}) == 3 and table.agreed())
    assert len({at for _, at in ends}) == 1, "one entry"
    for core in table.cores():
        assert sum(owner == id(core.state) for owner, _ in ends) <= 1
        assert not core.state.waiters


def test_a_follower_or_a_cut_off_leader_makes_nothing_happen(ends: list[tuple[int, int]]) -> None:
    table = Table()
    leader = somebody_waits(table)
    table.isolate(leader.node_id)
    table.now += 200.0
    assert table.run(
        10.0, lambda: (now := table.leader()) is not None and now is not leader and not now.state.waiters
    )
    assert leader.state.waiters, "nothing was committed there"
    table.heal()
    assert table.run(10.0, table.agreed)
    assert len({at for _, at in ends}) == 1
    assert len(ends) == 3
