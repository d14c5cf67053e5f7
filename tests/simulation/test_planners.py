"""Baskets, moves, cancellations and waitlists under faults: nothing overlaps, nothing acknowledged is lost, the line leaves nothing free."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulation.planners import Planners
from tests.simulation.world import Settings, World


@pytest.mark.timeout(90)
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_plans_race_under_faults(seed: int) -> None:
    world = World(seed, Settings(fault_seconds=15.0, calm_seconds=12.0, operation_every_seconds=0.1))
    planners = Planners(world)
    world.run()
    cores = [node.core for node in world.nodes.values() if node.core is not None]
    checksums = {core.state.checksum() for core in cores}
    assert len(checksums) == 1
    assert planners.complaints(cores[0].state) == []
    done = Counter(
        operation.kind for operation in planners.operations if operation.outcome and operation.outcome.ok
    )
    print(seed, dict(done))
    assert min(done[kind] for kind in ("basket", "join", "cancel", "move")) > 0
    promoted = [waiter for waiter in cores[0].state.waiters.values() if waiter.status == "promoted"]
    assert promoted, "somebody got what was given back"
