"""One event of every kind, with something of everything in it: for tests and for the samples of docs/events.md."""

from __future__ import annotations

from statemachine import events, outbox_events, people_events
from statemachine.commands import BookSeat, DayGrid
from statemachine.events import Event
from statemachine.feeds import CalendarClosed, CalendarOpened
from statemachine.premises import Policy, SeatDetails, SpaceRules
from statemachine.records import Booking, CheckInRule, Seat, Session, Space
from statemachine.waiters import Waiter

AT_MS = 1_800_000_000_005  # 2027-01-15 08:00:00.005 UTC
START_CELL = 6_000_000  # the same hour

_SESSION = Session("a-session", "ann", 1, AT_MS, AT_MS, AT_MS + 2_592_000_000, "7.2")
_BOOKING = Booking("b1", "hq", "A1", "ann", START_CELL + 24, START_CELL + 36, "confirmed", AT_MS, 0, "7.2")
_CANCELLED = Booking(
    "b1", "hq", "A1", "ann", START_CELL + 24, START_CELL + 36, "cancelled", AT_MS, AT_MS, "7.2"
)
_RELEASED = Booking(
    "b1", "hq", "A1", "ann", START_CELL + 24, START_CELL + 36, "released", AT_MS, AT_MS, "7.2"
)
_BEFORE = Booking("b1", "hq", "A2", "ann", START_CELL + 12, START_CELL + 24, "confirmed", AT_MS, 0, "6.0")
_SEATS = (Seat("A1", "A1"), Seat("A2", "By the window"))
_SPACE = Space("hq", "HQ", "Europe/Moscow", 480, 1320, 60, _SEATS, "7.2")
_WANT = BookSeat("b1", "hq", "A1", START_CELL + 24, 1, DayGrid("1.1", 12, ((START_CELL, 14),)))
_WAITER = Waiter("w1", "ann", _WANT, "waiting", AT_MS, 7, 2, "7.2")

EVERY_EVENT: tuple[Event, ...] = (
    events.SeatBooked(_BOOKING, AT_MS),
    events.BookingMoved(_BOOKING, _BEFORE, "ann", AT_MS),
    events.BookingCancelled(_CANCELLED, "root", AT_MS, "a burst pipe"),
    events.BookingAffected(_BOOKING, "closed", AT_MS),
    events.BookingCheckedIn(_BOOKING, "ann", AT_MS),
    events.BookingReleased(_RELEASED, AT_MS),
    people_events.BookingsErased(("b1",), AT_MS),
    events.WaitingBegun(_WAITER, AT_MS),
    events.WaiterPromoted(_WAITER, _BOOKING, AT_MS),
    events.WaitingEnded(_WAITER, "expired", AT_MS),
    events.SpaceCreated(_SPACE, AT_MS),
    events.SpaceRevised(_SPACE, SpaceRules("hq", policy=Policy(horizon_days=30)), "root", AT_MS),
    events.CheckInSet(CheckInRule("hq", 15, "7.2"), "root", AT_MS),
    events.SeatRevised(SeatDetails("hq", "A2", "By the window", "quiet"), "7.2", "root", AT_MS),
    events.UserRegistered("ann", "Ann Example", "user", AT_MS),
    events.PasswordRehashed("ann", AT_MS),
    people_events.PasswordChanged("ann", AT_MS),
    people_events.PasswordReset("ann", "root", AT_MS),
    people_events.UserBlocked("ann", "root", AT_MS),
    people_events.UserUnblocked("ann", "root", AT_MS),
    people_events.RoleChanged("ann", "admin", "root", AT_MS),
    people_events.AccountErased("ann", AT_MS),
    CalendarOpened("ann", AT_MS),
    CalendarClosed("ann", AT_MS),
    events.SessionOpened(_SESSION, AT_MS),
    events.SessionRotated(_SESSION, AT_MS),
    events.SessionEnded("a-session", "ann", "logged-out", AT_MS),
    events.ClusterBorn("root", AT_MS),
    people_events.LogInsFailed(2, AT_MS),
    people_events.ActNoted("backup", AT_MS),
    outbox_events.BookingReminded(_BOOKING, AT_MS),
    outbox_events.NotificationsSet("ann", True, AT_MS),
    outbox_events.AddressConfirmed("ann", AT_MS),
    outbox_events.SinkChanged("hook", "created", "root", AT_MS),
)
