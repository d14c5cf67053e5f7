"""What holds for every log: no overlap, determinism, exactly once, refusals that change nothing.

The judges are proved too: each is shown a state machine with a planted bug and has to notice.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from statemachine.alternatives import Finder
from statemachine.occupancy import Occupancy, SeatDays
from statemachine.outcomes import Outcome, Remembered
from statemachine.records import Booking
from statemachine.snapshot import table_checksums
from statemachine.state import Applied, State, restore
from tests.statemachine.checker import complaints
from tests.statemachine.logs import REVISIONS, Batch, encoded, logs
from tests.statemachine.model import FORGETTABLE, Model

SEARCH = settings(max_examples=400, deadline=None, phases=[Phase.generate], database=None, derandomize=True)
QUICK = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def departures(batches: list[Batch], make_state: Callable[[], State] = State) -> list[str]:
    """Where a state machine departs from the model or from itself over a log, and what the checker finds on the way."""
    state, model = make_state(), Model()
    found: list[str] = []
    for index, batch in enumerate(batches, 1):
        applied = state.apply(index, encoded(batch))
        model.tick(batch[0])
        expected = [model.decide(envelope, REVISIONS) for envelope in batch[1]]
        answered = [outcome.code for _, _, _, outcome in applied.results]
        if expected != answered:
            found.append(f"entry {index}: {answered} instead of {expected}")
        live = {booking.id for booking in state.bookings.values() if booking.status == "confirmed"}
        if live != {booking_id for booking_id, taken in model.bookings.items() if taken.live}:
            found.append(f"entry {index}: other bookings live")
        if set(state.sessions) != set(model.sessions):
            found.append(f"entry {index}: other sessions live")
        if [position for position, _ in applied.events] != list(range(len(applied.events))):
            found.append(f"entry {index}: positions with gaps")
        found += complaints(state)
    return found


@QUICK
@given(logs())
def test_every_log_goes_as_the_model_says(batches: list[Batch]) -> None:
    assert departures(batches) == []


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


@QUICK
@given(logs())
def test_a_refusal_changes_nothing_but_the_keys(batches: list[Batch]) -> None:
    state = State()
    index = 0
    for stamp_ms, envelopes in batches:
        index += 1
        state.apply(index, encoded((stamp_ms, [])))  # time alone: what expires, expires before the comparison
        for envelope in envelopes:
            before = table_checksums(state)
            known = state.outcome_of(envelope.scope, envelope.key)
            index += 1
            applied = state.apply(index, encoded((stamp_ms, [envelope])))
            outcome = applied.results[0][3]
            after = table_checksums(state)
            changed = [name for name, checksum in after.items() if checksum != before[name]]
            if outcome.code == "refresh-reused":
                assert changed == ["sessions"], "the reuse ends the session, and is remembered under no key"
            elif known is not None or outcome.code in FORGETTABLE:
                assert changed == []
            elif not applied.events:
                assert changed == ["outcomes"]
            else:
                assert outcome.ok or outcome.code == "refresh-reused"


@QUICK
@given(logs(max_batches=6), st.randoms(use_true_random=False))
def test_retried_commands_happen_once(batches: list[Batch], random: object) -> None:
    """A log in which every envelope comes twice, within its keeping time, ends like the one in which it came once."""
    shuffle = random.shuffle  # type: ignore[attr-defined]
    once, twice = State(), State()
    for index, (stamp_ms, envelopes) in enumerate(batches, 1):
        first = once.apply(index, encoded((stamp_ms, envelopes)))
        answers = {
            envelope.request_id: result[3] for envelope, result in zip(envelopes, first.results, strict=True)
        }
        again = [envelope for envelope in envelopes if answers[envelope.request_id].code not in FORGETTABLE]
        shuffle(again)
        second = twice.apply(index, encoded((stamp_ms, [*envelopes, *again])))
        assert second.events == first.events
        for envelope, result in zip(again, second.results[len(envelopes) :], strict=True):
            assert result[3].code == answers[envelope.request_id].code
    assert table_checksums(once) == table_checksums(twice)


# --- planted bugs ---------------------------------------------------------------------------------------------


class BlindOccupancy(Occupancy):
    """Never sees that a seat is taken."""

    def claim(self, days: SeatDays, start_cell: int, end_cell: int) -> bool:
        super().claim(days, start_cell, end_cell)
        return True


class ForgetfulOccupancy(Occupancy):
    """Loses the cells of a booking beyond midnight."""

    def claim(self, days: SeatDays, start_cell: int, end_cell: int) -> bool:
        return super().claim(days, start_cell, min(end_cell, (start_cell // 288 + 1) * 288))


class NoOverlapCheck(State):
    def __init__(self) -> None:
        super().__init__()
        self.occupancy = BlindOccupancy()
        self.alternatives = Finder(self.occupancy)


class LostMidnight(State):
    def __init__(self) -> None:
        super().__init__()
        self.occupancy = ForgetfulOccupancy()
        self.alternatives = Finder(self.occupancy)


class NoMemory(State):
    def remember(self, name: str, remembered: Remembered) -> None:
        pass


class NeverExpires(State):
    def expire(self) -> None:
        pass


class KeepsCells(State):
    def end_booking(self, booking: Booking, days: SeatDays) -> None:
        self.bookings[booking.id] = booking


class ClockRunsBack(State):
    def apply(self, index: int, payload: bytes) -> Applied:
        self.now_ms = 0
        return super().apply(index, payload)


PLANTED = [NoOverlapCheck, LostMidnight, NoMemory, NeverExpires, KeepsCells, ClockRunsBack]


@pytest.mark.parametrize("broken", PLANTED, ids=lambda broken: broken.__name__)
def test_a_planted_bug_is_found(broken: type[State]) -> None:
    batches = find(logs(), lambda batches: bool(departures(batches, broken)), settings=SEARCH)
    assert departures(batches, broken)
    assert not departures(batches)


def test_the_checker_sees_a_doubled_seat() -> None:

    def doubled(batches: list[Batch]) -> bool:
        state = NoOverlapCheck()
        for index, batch in enumerate(batches, 1):
            state.apply(index, encoded(batch))
        return any(" hold " in complaint for complaint in complaints(state))

    assert find(logs(), doubled, settings=SEARCH)


def test_outcomes_that_differ_by_chance_are_noticed() -> None:
    """Two members whose code disagrees on one outcome part ways in their digests."""

    class Odd(State):
        def _decide(self, envelope, entry):  # type: ignore[no-untyped-def]
            outcome = super()._decide(envelope, entry)
            return Outcome("past", outcome.index, 0) if outcome.code == "closed" else outcome

    def parted(batches: list[Batch]) -> bool:
        one, other = State(), Odd()
        for index, batch in enumerate(batches, 1):
            one.apply(index, encoded(batch))
            other.apply(index, encoded(batch))
        return one.digest != other.digest

    assert find(logs(), parted, settings=SEARCH)
