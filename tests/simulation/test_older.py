"""Worlds that begin on the disks of an older program: founded by today's, everything old still there, snapshots of both versions installed."""

from __future__ import annotations

import pytest

from statemachine.state import State, restore
from tests.simulation.clients import Operation
from tests.simulation.older import stream_of_version_1
from tests.simulation.settings import OLDER_KINDS, Settings
from tests.simulation.world import World
from tests.statemachine.test_frozen import OLD_FILE


def test_the_old_stream_is_written_as_it_was() -> None:
    """What a program of that time wrote, byte for byte: so the formats of these worlds are the real ones."""
    written = OLD_FILE.read_bytes()
    assert stream_of_version_1(restore([written])) == written


@pytest.mark.timeout(120)
@pytest.mark.parametrize("members", [3, 5])
@pytest.mark.parametrize(("kind", "magic"), [("old", "DSKSNAP1"), ("new", "DSKSNAP2")])
def test_a_snapshot_of_either_version_is_installed(kind: str, magic: str, members: int) -> None:
    """Nothing goes wrong, except that a minority lacks what the others have only in their snapshots."""
    for seed in range(12):
        settings = Settings(
            members=members,
            faults=(),
            fault_seconds=5.0,
            calm_seconds=5.0,
            older_disks=(kind,),
            snapshot_every=10**6,
        )
        world = World(seed, settings)
        world.run()
        if world.installs_of[magic]:
            assert set(world.installs_of) == {magic}
            return
    pytest.fail("12 seeds did not have a member that lags")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(4))
def test_everything_old_is_there_at_the_end(seed: int) -> None:
    """With all faults; that the judges look at old operations like at those of the run is shown by how many there are."""
    world = World(seed, Settings(members=3 + 2 * (seed % 2), fault_seconds=20.0, older_disks=OLDER_KINDS))
    world.run()
    assert world.older is not None
    old = [known for known, _, _ in world.older.operations]
    assert world.operations[: len(old)] == old
    configuration = world.judge.configuration
    assert configuration is not None and configuration.founded
    again = [operation for operation in old if operation.attempts]
    assert again, "nobody asked again with an old key"
    for node in world.nodes.values():
        if node.core is not None:
            assert _lost(node.core.state, old) == []


def _lost(state: State, old: list[Operation]) -> list[str]:
    return [
        operation.key
        for operation in old
        if operation.outcome is not None
        and operation.kind == "book"
        and operation.outcome.ok
        and operation.outcome.result.id not in state.bookings  # type: ignore[union-attr]  # the outcome of a booking that succeeded
    ]
