"""State machines with one rule broken: what the invariants of the rules forbid, one class each."""

from __future__ import annotations

import msgspec

from statemachine.alternatives import Finder
from statemachine.commands import BookSeat, Envelope
from statemachine.occupancy import Occupancy, SeatDays, day_masks
from statemachine.outcomes import Outcome, Remembered
from statemachine.records import CELLS_PER_DAY, Alternative, Booking
from statemachine.state import Applied, FrozenState, State, restore
from statemachine.tables import Entry


class LocalClock(State):
    """Judges by the clock of the machine it runs on: every member that is made has another one."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).made += 1
        self.ahead_ms = 300_000 * (type(self).made % 7)

    def _decide(self, envelope: Envelope, entry: Entry) -> Outcome:
        return super()._decide(envelope, _later(entry, self.ahead_ms))


def _later(entry: Entry, by_ms: int) -> Entry:
    entry.now_ms += by_ms
    return entry


class OddOutcome(State):
    """Members whose code differs in one answer: every second one that is made."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).made += 1
        self.odd = type(self).made % 2 == 0

    def _decide(self, envelope: Envelope, entry: Entry) -> Outcome:
        outcome = super()._decide(envelope, entry)
        return Outcome("past", outcome.index, 0) if self.odd and outcome.code == "closed" else outcome


class ClockRunsBack(State):
    """Takes the stamp of a batch as it is, even when it lies before the one before."""

    def apply(self, index: int, payload: bytes) -> Applied:
        self.now_ms = 0
        return super().apply(index, payload)


class _BlindOccupancy(Occupancy):
    def claim(self, days: SeatDays, start_cell: int, end_cell: int) -> bool:
        for day, mask in day_masks(start_cell, end_cell):
            days[day] = days.get(day, 0) | mask
        self.changes += 1
        return True


class _ForgetfulOccupancy(Occupancy):
    def claim(self, days: SeatDays, start_cell: int, end_cell: int) -> bool:
        return super().claim(
            days, start_cell, min(end_cell, (start_cell // CELLS_PER_DAY + 1) * CELLS_PER_DAY)
        )


class NoOverlapCheck(State):
    """Never sees that a seat is taken."""

    def __init__(self) -> None:
        super().__init__()
        self.occupancy = _BlindOccupancy()
        self.alternatives = Finder(self.occupancy)


class LostMidnight(State):
    """Loses the cells of a booking beyond midnight."""

    def __init__(self) -> None:
        super().__init__()
        self.occupancy = _ForgetfulOccupancy()
        self.alternatives = Finder(self.occupancy)


class KeepsCells(State):
    """A cancelled booking goes on holding its seat."""

    def end_booking(self, booking: Booking, days: SeatDays) -> None:
        self.bookings[booking.id] = booking


class ClaimsFirst(State):
    """Takes the cells and looks at the rest of the rules afterwards."""

    def _decide(self, envelope: Envelope, entry: Entry) -> Outcome:
        outcome = super()._decide(envelope, entry)
        command = envelope.command
        if isinstance(command, BookSeat) and outcome.code in ("past", "closed", "off-grid"):
            days = self.occupancy.seat(command.space_id, command.seat_id)
            assert days is not None
            self.occupancy.claim(days, command.start_cell, command.start_cell + command.grid.slot_cells)
        return outcome


class EndsSessionFirst(State):
    """Ends a session, and only then finds that there is nothing to cancel."""

    def _decide(self, envelope: Envelope, entry: Entry) -> Outcome:
        before = dict(self.sessions)
        outcome = super()._decide(envelope, entry)
        if outcome.code == "booking-not-found" and before:
            self.drop_session(before[next(reversed(before))])
        return outcome


class NoLookup(State):
    """A key that comes back finds nothing: the command is carried out again."""

    def _decide(self, envelope: Envelope, entry: Entry) -> Outcome:
        key = f"{envelope.key} {self.index} {envelope.request_id} {len(self.outcomes)}"
        return super()._decide(msgspec.structs.replace(envelope, key=key), entry)


class NoMemory(State):
    """Outcomes are not kept."""

    def remember(self, name: str, remembered: Remembered) -> None:
        pass


class NeverExpires(State):
    """Keys and sessions live for ever."""

    def expire(self) -> None:
        pass


class ExpiresByWallClock(State):
    """Keys and sessions end by a clock of the machine, which is half an hour ahead of the log."""

    def expire(self) -> None:
        self.now_ms += 1_800_000
        super().expire()
        self.now_ms -= 1_800_000


class ForgetsAtSnapshot(State):
    """A snapshot holds no outcomes."""

    def freeze(self) -> FrozenState:
        copy, empty = restore(super().freeze().chunks()), State()
        copy.outcomes, copy.keys_by_scope = empty.outcomes, empty.keys_by_scope
        copy.client_keys, copy.node_keys = empty.client_keys, empty.node_keys
        return copy.freeze()


class _HopefulFinder(Finder):
    def find(self, command: BookSeat, now_ms: int) -> tuple[Alternative, ...]:
        end_cell = command.start_cell + command.slots * command.grid.slot_cells
        order, _ = self._occupancy._order[command.space_id]
        return tuple(
            Alternative(command.space_id, seat_id, command.start_cell, end_cell)
            for seat_id, _ in order
            if seat_id != command.seat_id
        )


class HopefulOffers(State):
    """Offers the other seats without looking whether they are free."""

    def __init__(self) -> None:
        super().__init__()
        self.alternatives = _HopefulFinder(self.occupancy)


class SetIteration(State):
    """Offers alternatives in the order of a set of text, which is another one in every process."""

    def _decide(self, envelope: Envelope, entry: Entry) -> Outcome:
        outcome = super()._decide(envelope, entry)
        if len(outcome.alternatives) < 2:
            return outcome
        by_name = {f"{offer.seat_id} {offer.start_cell}": offer for offer in outcome.alternatives}
        shuffled = tuple(by_name[name] for name in set(by_name))
        return msgspec.structs.replace(outcome, alternatives=shuffled)
