"""Faults whose very point is what they do not do: a machine without power says nothing, a turn that takes long lets nothing out before its end."""

from __future__ import annotations

from tests.simulation.network import HALF_OPEN_SECONDS
from tests.simulation.settings import Settings
from tests.simulation.world import World


def _world() -> World:
    """Three members that have found each other and a leader."""
    world = World(3, Settings(faults=()))
    for node in world.nodes.values():
        node.boot()
    world.timeline.run_until(1.5)
    assert all(link.outgoing is not None for link in world.network.links.values())
    return world


def test_nobody_is_told_that_a_machine_lost_its_power() -> None:
    """The others hold on to their ends until what should come is missed for long enough."""
    world = _world()
    world.nodes["n3"].crash(silent=True)
    gone = world.network.links["n3", "n1"]
    kept = world.network.links["n1", "n3"]
    world.timeline.run_until(1.5 + HALF_OPEN_SECONDS[0] - 0.1)
    assert kept.outgoing is not None and gone.incoming is not None
    world.timeline.run_until(1.5 + HALF_OPEN_SECONDS[1] + 0.1)
    assert kept.outgoing is None and gone.incoming is None


def test_a_machine_that_is_back_refuses_old_connections() -> None:
    """So what is sent to it is lost for a moment only."""
    world = _world()
    kept = world.network.links["n1", "n3"]
    old = kept.outgoing
    world.nodes["n3"].crash(silent=True)
    world.timeline.run_until(2.0)
    assert kept.outgoing is old
    world.nodes["n3"].boot()
    world.timeline.run_until(3.0)
    assert kept.outgoing is not None and kept.outgoing is not old and kept.incoming is kept.outgoing


def test_a_turn_that_takes_long() -> None:
    """The clock goes on inside it, what it sends leaves at its end, and no other turn is taken before."""
    world = _world()
    leader = next(node for node in world.nodes.values() if node.core is not None and node.core.guard.leading)
    seen: list[float] = []
    sent: list[float] = []
    pipeline = leader.pipeline
    assert pipeline is not None
    turn, send = pipeline.turn, world.send

    def looking() -> None:
        seen.extend((world.clock(), world.clock()))
        turn()

    def noting(a: str, b: str, payload: bytes) -> None:
        if a == leader.node_id:
            sent.append(world.now)
        send(a, b, payload)

    pipeline.turn = looking  # type: ignore[method-assign]  # a test that looks on
    world.send = noting  # type: ignore[method-assign]  # the same
    leader.next_turn_takes = 0.4
    began = world.now
    world.timeline.run_until(began + 0.39)
    assert len(seen) == 2 and began < seen[0] < seen[1] <= began + 0.44
    assert sent == []
    world.timeline.run_until(began + 0.6)
    assert len(seen) > 2 and min(sent) >= began + 0.4
