"""The tables of what happens by itself: who waits for a place, who is expected to check in, and whose time comes next."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from statemachine.names import space_days
from statemachine.records import CELL_MS, Booking, CheckInRule, Expected
from statemachine.table_base import TableBase
from statemachine.waiters import Waiter

WAITER_DUE, BOOKING_DUE = "w:", "b:"  # before the id of whom something happens to by itself
STALE_DUES_KEPT = (
    1_000  # places in the heap that mean nothing any more, beyond twice the number of those that do
)


class DueTables(TableBase):
    """Waiters and expected bookings, with the heap of the moments at which something happens to them."""

    def __init__(self) -> None:
        super().__init__()
        self.waiters: dict[str, Waiter] = {}  # in a line, or promoted and not begun
        self.check_in_rules: dict[str, CheckInRule] = {}  # by space
        self.expected: dict[str, Expected] = {}  # by booking
        # Derived from here on.
        self.waiters_by_user: dict[str, dict[str, None]] = {}
        self.waiting_by_day: dict[
            str, dict[str, None]
        ] = {}  # by `day_name` of the space; without the promoted
        self.dues: list[tuple[int, str]] = []  # heap: when something happens by itself, and to whom

    def put_check_in_rule(self, rule: CheckInRule) -> None:
        """Set whether one has to check in."""
        self.check_in_rules[rule.space_id] = rule

    def expect(self, booking: Booking) -> None:
        """From now on the user of a live booking has to check in, if the space asks for it and it would matter."""
        rule = self.check_in_rules.get(booking.space_id)
        if rule is not None and rule.grace_minutes:
            due_ms = booking.start_cell * CELL_MS + rule.grace_minutes * 60_000
            if due_ms < booking.end_cell * CELL_MS:
                self.put_expected(Expected(booking.id, due_ms))

    def put_expected(self, expected: Expected) -> None:
        """Expect the user of a booking."""
        self.expected[expected.booking_id] = expected
        self._note_due(expected.due_ms, BOOKING_DUE + expected.booking_id)

    def drop_expected(self, booking_id: str) -> None:
        """Expect nobody for a booking any more."""
        self.expected.pop(booking_id, None)

    def put_waiter(self, waiter: Waiter) -> None:
        """Add somebody who waits, or replace the record."""
        before = self.waiters.get(waiter.id)
        if before is not None:
            self._leave_line(before)
        self.waiters[waiter.id] = waiter
        self.waiters_by_user.setdefault(waiter.user_id, {})[waiter.id] = None
        if waiter.status == "waiting":
            for name in space_days(waiter.want.space_id, waiter.want.start_cell, waiter.end_cell):
                self.waiting_by_day.setdefault(name, {})[waiter.id] = None
        if before is None or before.begins_ms != waiter.begins_ms:
            self._note_due(waiter.begins_ms, WAITER_DUE + waiter.id)

    def drop_waiter(self, waiter: Waiter) -> None:
        """Forget somebody who waited."""
        self._leave_line(waiter)
        del self.waiters[waiter.id]
        mine = self.waiters_by_user[waiter.user_id]
        del mine[waiter.id]
        if not mine:
            del self.waiters_by_user[waiter.user_id]

    def _leave_line(self, waiter: Waiter) -> None:
        if waiter.status == "waiting":
            for name in space_days(waiter.want.space_id, waiter.want.start_cell, waiter.end_cell):
                others = self.waiting_by_day[name]
                del others[waiter.id]
                if not others:
                    del self.waiting_by_day[name]

    def waiting_around(self, space_id: str, start_cell: int, end_cell: int) -> list[Waiter]:
        """Those who wait for something in the space on the UTC days of `[start_cell, end_cell)`, each once."""
        if not self.waiting_by_day:
            return []
        found: dict[str, None] = {}
        for name in space_days(space_id, start_cell, end_cell):
            found.update(self.waiting_by_day.get(name, {}))
        return [self.waiters[each] for each in found]

    def _note_due(self, at_ms: int, subject: str) -> None:
        if len(self.dues) > 2 * (len(self.waiters) + len(self.expected)) + STALE_DUES_KEPT:
            self.dues = [(waiter.begins_ms, WAITER_DUE + waiter.id) for waiter in self.waiters.values()]
            self.dues += [(each.due_ms, BOOKING_DUE + each.booking_id) for each in self.expected.values()]
            heapify(self.dues)
        heappush(self.dues, (at_ms, subject))

    def next_due(self, now_ms: int) -> str | None:
        """Whose time has come, the earliest first; None when nobody's has. Places in the heap that mean nothing any more are
        taken off on the way.
        """
        while self.dues:
            at_ms, subject = self.dues[0]
            if self._due_of(subject) == at_ms:
                return subject if at_ms <= now_ms else None
            heappop(self.dues)
        return None

    def _due_of(self, subject: str) -> int:
        """When something happens to a subject by itself; -1: never."""
        subject_id = subject[len(WAITER_DUE) :]
        if subject.startswith(WAITER_DUE):
            waiter = self.waiters.get(subject_id)
            return -1 if waiter is None else waiter.begins_ms
        expected = self.expected.get(subject_id)
        return -1 if expected is None else expected.due_ms
