"""The outbox under faults: told is what was committed, in order. That the judge of it complains is shown in `tests.controls.planted_outbox`."""

from __future__ import annotations

import pytest

from tests.controls.told import hurried
from tests.simulation.world import World


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(3))
def test_every_event_is_told_whoever_dies(seed: int) -> None:
    world = World(seed, hurried())
    world.run()
    told = len(world.sinks.heard)
    once = len({(sink_id, place) for sink_id, place, _ in world.sinks.heard})
    print(f"seed {seed}: {told} deliveries of {once} events, {len(world.judge.leaders)} terms with a leader")
    assert once > 100
    assert told > once, "some were told again, which is what the ids are for"
