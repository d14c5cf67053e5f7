"""The whole product under faults: everything that people do happens, and every promise is kept."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulation.world import Settings, World

KINDS = (
    "basket",
    "series",
    "join",
    "cancel-annex",
    "move",
    "block",
    "reset",
    "role",
    "space",
    "seat",
    "check-in",
)


@pytest.mark.timeout(90)
def test_everything_happens_and_every_promise_is_kept() -> None:
    done: Counter[str] = Counter()
    promoted = touched = 0
    for seed in (11, 12, 13):
        settings = Settings(
            fault_seconds=15.0, calm_seconds=12.0, operation_every_seconds=0.5, product_every_seconds=0.03
        )
        world = World(seed, settings)
        world.run()
        assert world.product is not None
        ok = [
            act
            for act in world.product.acts
            if act.operation.outcome is not None and act.operation.outcome.ok
        ]
        done.update(act.operation.kind for act in ok)
        touched += sum(len(act.listed) for act in ok)
        state = next(node.core.state for node in world.nodes.values() if node.core is not None)
        promoted += sum(waiter.status == "promoted" for waiter in state.waiters.values())
    print(dict(done), promoted, touched)
    assert min(done[kind] for kind in KINDS) > 0
    assert promoted, "somebody got what was given back"
    assert touched, "some change touched bookings"
