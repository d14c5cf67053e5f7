"""The tables of what happens by itself: who waits for a place, who is expected to check in, who is to be reminded,
and whose time comes next.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from statemachine.names import space_days
from statemachine.notices import Notifications, Reminder
from statemachine.records import CELL_MS, Booking, CheckInRule, Expected
from statemachine.table_base import TableBase
from statemachine.waiters import Waiter

WAITER_DUE, BOOKING_DUE, REMINDER_DUE = (
    "w:",
    "b:",
    "r:",
)  # before the id of whom something happens to by itself
STALE_DUES_KEPT = (
    1_000  # places in the heap that mean nothing any more, beyond twice the number of those that do
)


class DueTables(TableBase):
    """Waiters, expected bookings and reminders, with the heap of the moments at which something happens to them."""

    def __init__(self) -> None:
        super().__init__()
        self.waiters: dict[str, Waiter] = {}  # in a line, or promoted and not begun
        self.check_in_rules: dict[str, CheckInRule] = {}  # by space
        self.expected: dict[str, Expected] = {}  # by booking
        self.notifications: dict[str, Notifications] = {}  # by user, in the order of their revisions
        self.reminders: dict[str, Reminder] = {}  # by booking
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

    def put_notifications(self, settings: Notifications) -> None:
        """Set what a user wants to hear."""
        self.notifications.pop(settings.user_id, None)  # so that the order is that of the changes
        self.notifications[settings.user_id] = settings

    def drop_notifications(self, user_id: str) -> None:
        """A user wants to hear nothing; reminders that are left mean nothing."""
        self.notifications.pop(user_id, None)

    def remind(self, booking: Booking, now_ms: int) -> None:
        """From now on the user of a live booking is to be reminded of it as they have asked for, unless the time for it is over."""
        self.reminders.pop(booking.id, None)
        settings = self.notifications.get(booking.user_id)
        if settings is not None and settings.remind_minutes:
            due_ms = booking.start_cell * CELL_MS - settings.remind_minutes * 60_000
            if due_ms > now_ms:
                self.put_reminder(Reminder(booking.id, due_ms))

    def put_reminder(self, reminder: Reminder) -> None:
        """Remind of a booking."""
        self.reminders[reminder.booking_id] = reminder
        self._note_due(reminder.due_ms, REMINDER_DUE + reminder.booking_id)

    def drop_reminder(self, booking_id: str) -> None:
        """Remind of a booking no more."""
        self.reminders.pop(booking_id, None)

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
        living = len(self.waiters) + len(self.expected) + len(self.reminders)
        if len(self.dues) > 2 * living + STALE_DUES_KEPT:
            self.dues = [(waiter.begins_ms, WAITER_DUE + waiter.id) for waiter in self.waiters.values()]
            self.dues += [(each.due_ms, BOOKING_DUE + each.booking_id) for each in self.expected.values()]
            self.dues += [(each.due_ms, REMINDER_DUE + each.booking_id) for each in self.reminders.values()]
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
        of_booking: dict[str, Expected] | dict[str, Reminder] = (
            self.reminders if subject.startswith(REMINDER_DUE) else self.expected
        )
        due = of_booking.get(subject_id)
        return -1 if due is None else due.due_ms
