"""What must hold for every log, as lists of complaints, so that a state machine with a planted bug can be put before the same judges.

Each judge takes a log and a maker of state machines, carries the log out, and says what is wrong; an empty list is a pass.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from statemachine.snapshot import table_checksums
from statemachine.state import State, restore
from tests.statemachine.checker import complaints
from tests.statemachine.logs import REVISIONS, Batch, encoded
from tests.statemachine.model import FORGETTABLE, Model

MakeState = Callable[[], State]


def departures(batches: list[Batch], make_state: MakeState = State) -> list[str]:
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


def partings(batches: list[Batch], make_state: MakeState = State) -> list[str]:
    """Where two members with one log part: one runs straight through, the other comes from a snapshot before every entry."""
    straight, restored = make_state(), make_state()
    for index, batch in enumerate(batches, 1):
        fresh = make_state()
        fresh.__dict__.update(restore(restored.freeze().chunks()).__dict__)
        restored = fresh
        one, other = straight.apply(index, encoded(batch)), restored.apply(index, encoded(batch))
        if (one, straight.digest) != (other, restored.digest):
            return [f"entry {index}: members part"]
        if straight.checksum() != restored.checksum():
            return [f"entry {index}: tables part"]
    return []


def changing_refusals(batches: list[Batch], make_state: MakeState = State) -> list[str]:
    """Refusals that changed more than the memory of keys."""
    state = make_state()
    index = 0
    found: list[str] = []
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
                # The reuse ends the session, which is told, and is remembered under no key.
                allowed = changed == ["sessions", "feed"]
            elif known is not None or outcome.code in FORGETTABLE:
                allowed = changed == []
            elif not applied.events:
                allowed = changed == ["outcomes"]
            else:
                allowed = outcome.ok
            if not allowed:
                found.append(f"entry {index}: {outcome.code} changed {changed}")
            found += complaints(state)
    return found


def repetitions(batches: list[Batch], make_state: MakeState = State) -> list[str]:
    """A log in which every envelope comes twice, within its keeping time, ends like the one in which it came once."""
    rng = random.Random(len(batches))
    once, twice = make_state(), make_state()
    found: list[str] = []
    for index, (stamp_ms, envelopes) in enumerate(batches, 1):
        first = once.apply(index, encoded((stamp_ms, envelopes)))
        answers = {
            envelope.request_id: result[3] for envelope, result in zip(envelopes, first.results, strict=True)
        }
        again = [envelope for envelope in envelopes if answers[envelope.request_id].code not in FORGETTABLE]
        rng.shuffle(again)
        second = twice.apply(index, encoded((stamp_ms, [*envelopes, *again])))
        if second.events != first.events:
            found.append(f"entry {index}: repetitions took effect")
        for envelope, result in zip(again, second.results[len(envelopes) :], strict=True):
            if result[3].code != answers[envelope.request_id].code:
                found.append(f"entry {index}: {result[3].code} after {answers[envelope.request_id].code}")
    if table_checksums(once) != table_checksums(twice):
        found.append("the tables differ in the end")
    return found


def empty_offers(batches: list[Batch], make_state: MakeState = State) -> list[str]:
    """Alternatives that were not free when they were offered, by a walk over all bookings."""
    state = make_state()
    index = 0
    found: list[str] = []
    for stamp_ms, envelopes in batches:
        for envelope in envelopes:
            index += 1
            repeated = state.outcome_of(envelope.scope, envelope.key) is not None
            outcome = state.apply(index, encoded((stamp_ms, [envelope]))).results[0][3]
            for offer in () if repeated else outcome.alternatives:  # a repeated answer is as old as the first
                for booking in state.bookings.values():
                    if (
                        booking.status == "confirmed"
                        and (booking.space_id, booking.seat_id) == (offer.space_id, offer.seat_id)
                        and booking.start_cell < offer.end_cell
                        and offer.start_cell < booking.end_cell
                    ):
                        found.append(f"entry {index}: offered what {booking.id} holds")
    return found
