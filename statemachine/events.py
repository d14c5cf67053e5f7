"""What has happened, in the past tense: the source of live streams, of the outbox and of the audit.

Every change of the state that a command makes is exactly one event, and the place of the event in its entry
is the `position` of the change, so `index.position` names both. What time alone does (a session or a key that
expires) is no event: its moment was known when it was given.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from statemachine.feeds import CalendarClosed, CalendarOpened
from statemachine.outbox_events import OutboxEvent
from statemachine.people_events import PeopleEvent
from statemachine.premises import SeatDetails, SpaceRules
from statemachine.records import Booking, CheckInRule, Role, Session, Space
from statemachine.waiters import Waiter

SessionEnd = Literal[
    "logged-out",
    "refresh-reused",
    "displaced",
    "logged-out-everywhere",
    "ended-by-user",
    "password-changed",
    "password-reset",
    "blocked",
    "ended-by-administrator",
    "erased",
]


class UserRegistered(Struct, frozen=True, array_like=True, gc=False, tag="user-registered"):
    """A person can log in from now on. The password's hash stays in the record; events travel further than it
    may.
    """

    user_id: str
    login: str
    role: Role
    at_ms: int


class PasswordRehashed(Struct, frozen=True, array_like=True, gc=False, tag="password-rehashed"):
    """The same password, hashed with newer parameters at log-in."""

    user_id: str
    at_ms: int


class SessionOpened(Struct, frozen=True, array_like=True, gc=False, tag="session-opened"):
    """A log-in."""

    session: Session
    at_ms: int


class SessionRotated(Struct, frozen=True, array_like=True, gc=False, tag="session-rotated"):
    """A refresh token was exchanged; the older generations are no longer good."""

    session: Session
    at_ms: int


class SessionEnded(Struct, frozen=True, array_like=True, gc=False, tag="session-ended"):
    """A session ended before its time."""

    session_id: str
    user_id: str
    reason: SessionEnd
    at_ms: int


class SeatBooked(Struct, frozen=True, array_like=True, gc=False, tag="seat-booked"):
    """A seat was taken."""

    booking: Booking
    at_ms: int


class BookingCancelled(Struct, frozen=True, array_like=True, gc=False, tag="booking-cancelled"):
    """A seat was given back. `by_user_id` differs from the booking's user when an administrator did it, and `reason` is
    what they gave for it.
    """

    booking: Booking
    by_user_id: str
    at_ms: int
    reason: str = ""


class BookingAffected(Struct, frozen=True, array_like=True, gc=False, tag="booking-affected"):
    """The space or seat of a booking has changed under it: it is closed then, out of service or retired. The booking is
    kept as it is; its user should know.
    """

    booking: Booking
    reason: str
    at_ms: int


class BookingMoved(Struct, frozen=True, array_like=True, gc=False, tag="booking-moved"):
    """A booking has another place. `before` is the record that it replaces."""

    booking: Booking
    before: Booking
    by_user_id: str
    at_ms: int


class BookingCheckedIn(Struct, frozen=True, array_like=True, gc=False, tag="booking-checked-in"):
    """Whoever booked is there."""

    booking: Booking
    by_user_id: str
    at_ms: int


class BookingReleased(Struct, frozen=True, array_like=True, gc=False, tag="booking-released"):
    """Nobody came in time: the seat is free again."""

    booking: Booking
    at_ms: int


class CheckInSet(Struct, frozen=True, array_like=True, gc=False, tag="check-in-set"):
    """Those who book in a space from now on have to check in, or have not."""

    rule: CheckInRule
    by_user_id: str
    at_ms: int


class WaitingBegun(Struct, frozen=True, array_like=True, gc=False, tag="waiting-begun"):
    """Somebody stands in the line for a place."""

    waiter: Waiter
    at_ms: int


class WaiterPromoted(Struct, frozen=True, array_like=True, gc=False, tag="waiter-promoted"):
    """Somebody got the place that they waited for; the booking has its own event before this one."""

    waiter: Waiter
    booking: Booking
    at_ms: int


class WaitingEnded(Struct, frozen=True, array_like=True, gc=False, tag="waiting-ended"):
    """Somebody left the line, or the time that they waited for has begun."""

    waiter: Waiter
    reason: Literal["left", "expired"]
    at_ms: int


class SpaceCreated(Struct, frozen=True, array_like=True, gc=False, tag="space-created"):
    """A coworking can be booked."""

    space: Space
    at_ms: int


class SpaceRevised(Struct, frozen=True, array_like=True, gc=False, tag="space-revised"):
    """An administrator changed a space: its name, zone, slot length, hours, exceptions or policy; or retired it."""

    space: Space
    rules: SpaceRules
    by_user_id: str
    at_ms: int


class SeatRevised(Struct, frozen=True, array_like=True, gc=False, tag="seat-revised"):
    """An administrator added a seat, or changed or retired one. `revision` is the new one of its space."""

    details: SeatDetails
    revision: str
    by_user_id: str
    at_ms: int


class ClusterBorn(Struct, frozen=True, array_like=True, gc=False, tag="cluster-born"):
    """The first administrator and the first spaces exist; everything else is allowed from now on."""

    admin_id: str
    at_ms: int


Event = (
    UserRegistered
    | PasswordRehashed
    | SessionOpened
    | SessionRotated
    | SessionEnded
    | SeatBooked
    | BookingCancelled
    | BookingMoved
    | BookingCheckedIn
    | BookingReleased
    | CheckInSet
    | WaitingBegun
    | WaiterPromoted
    | WaitingEnded
    | BookingAffected
    | SpaceCreated
    | SpaceRevised
    | SeatRevised
    | ClusterBorn
    | PeopleEvent
    | CalendarOpened
    | CalendarClosed
    | OutboxEvent
)
