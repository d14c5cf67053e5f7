"""What holds for every log: no overlap, determinism, exactly once, refusals that change nothing.

The judges are proved too: `tests/controls` shows each of them state machines with planted bugs, and they have to notice.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statemachine.state import State, restore
from tests.statemachine import judges
from tests.statemachine.checker import complaints
from tests.statemachine.logs import Batch, encoded, logs

QUICK = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

JUDGES = [
    judges.departures,
    judges.partings,
    judges.changing_refusals,
    judges.repetitions,
    judges.empty_offers,
]


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.__name__)
def test_every_log_passes_every_judge(judge: Callable[[list[Batch]], list[str]]) -> None:
    """The model agrees, members do not part, refusals change nothing, repetitions neither, and what is offered is free."""

    @QUICK
    @given(logs(max_batches=6 if judge is judges.repetitions else 12))
    def passes(batches: list[Batch]) -> None:
        assert judge(batches) == []

    passes()


@QUICK
@given(logs(), st.data())
def test_apply_is_deterministic_through_snapshots(batches: list[Batch], data: st.DataObject) -> None:
    straight, broken = State(), State()
    for index, batch in enumerate(batches, 1):
        one = straight.apply(index, encoded(batch))
        if data.draw(st.booleans(), "restored before"):
            broken = restore(broken.freeze().chunks())
        other = broken.apply(index, encoded(batch))
        assert one == other
        assert straight.digest == broken.digest
        assert straight.checksum() == broken.checksum()
    assert complaints(broken) == []
