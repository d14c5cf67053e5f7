"""What people were promised, held against the feed of the state at the end of a run and against the answers they got.

The feed is carried out once more by the plainest means, which share no code with the rules: who is blocked, what is closed, how many
bookings everybody has, who waits in which order. Each event must be one that was allowed at its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from statemachine.commands import BookSeat, BookSeries, BookTogether
from statemachine.events import (
    BookingAffected,
    BookingCancelled,
    BookingMoved,
    BookingReleased,
    Event,
    SeatBooked,
    SeatRevised,
    SessionEnded,
    SpaceRevised,
    WaiterPromoted,
    WaitingBegun,
    WaitingEnded,
)
from statemachine.people_commands import ChangePassword, EndSessions, EraseAccount, ResetPassword
from statemachine.people_events import PasswordChanged, PasswordReset, RoleChanged, UserBlocked, UserUnblocked
from statemachine.records import ERASED, Booking, Planned, Together
from statemachine.state import State
from statemachine.waiters import Waiter
from tests.simulation.people import ANNEX, HEAD, HOURS, closed_days, opening_of

if TYPE_CHECKING:
    from tests.simulation.product import Act

Place = tuple[int, int]
Range = tuple[int, int]
ALWAYS = (0, 1 << 40)


def complaints(acts: list[Act], state: State) -> list[str]:
    """Everything that is not as it was promised."""
    events = [(row[:2], row[2]) for row in state.feed.after((0, 0), len(state.feed))]
    replay = Replay(acts)
    for place, event in events:
        replay.see(place, event)
    replay.end(state)
    return [*replay.found, *_kept(acts, state), *_sessions(acts, events)]


class Replay:
    """The annex as its events tell it."""

    def __init__(self, acts: list[Act]) -> None:
        self.found: list[str] = []
        self._changes = {
            (act.operation.outcome.index, act.operation.outcome.position): act
            for act in acts
            if act.operation.kind in ("seat", "space")
            and act.operation.outcome is not None
            and act.operation.outcome.ok
        }
        self._live: dict[str, Booking] = {}
        self._blocked: set[str] = set()
        self._administrators = {HEAD}
        self._limit = 0
        self._closed: list[Range] = []
        self._out: dict[str, tuple[Range, ...]] = {}  # by seat
        self._retired: set[str] = set()
        self._index = 0
        self._line: dict[str, Waiter] = {}  # in the order in which they came
        self._passed_over: set[str] = set()  # by a policy or a block, once
        self._expected: tuple[int, str, set[str]] = (
            0,
            "",
            set(),
        )  # index, reason, whom a change still has to tell

    def _complain(self, place: Place, what: str) -> None:
        self.found.append(f"{what} at {place[0]}.{place[1]}")

    def see(self, place: Place, event: Event) -> None:
        """The next event."""
        if place[0] != self._index:
            self._nobody_waits_in_vain((self._index, 0))
            self._index = place[0]
        match event:
            case UserBlocked(user_id=user_id):
                self._blocked.add(user_id)
            case UserUnblocked(user_id=user_id):
                self._blocked.discard(user_id)
            case RoleChanged(user_id=user_id, role=role):
                (self._administrators.add if role == "admin" else self._administrators.discard)(user_id)
            case SpaceRevised(space=space, by_user_id=by) if space.id == ANNEX:
                self._by_administrator(place, by)
                before, self._limit = self._closed, event.rules.policy.live_bookings
                self._closed = [
                    (opening_of(day), opening_of(day) + 12 * HOURS) for day in closed_days(event.rules)
                ]
                fresh = [each for each in self._closed if each not in before]
                self._changed(place, [each for each in self._live.values() if _meets(each, fresh)])
            case SeatRevised(details=details, by_user_id=by) if details.space_id == ANNEX:
                self._by_administrator(place, by)
                ranges = tuple((it.start_cell, it.end_cell) for it in details.outages)
                fresh = [each for each in ranges if each not in self._out.get(details.seat_id, ())]
                if details.retired:
                    fresh = [] if details.seat_id in self._retired else [ALWAYS]
                (self._retired.add if details.retired else self._retired.discard)(details.seat_id)
                self._out[details.seat_id] = ranges
                of_seat = [each for each in self._live.values() if each.seat_id == details.seat_id]
                touched = [each for each in of_seat if _meets(each, fresh)]
                self._changed(place, touched)
            case (
                BookingAffected(booking=booking, reason=reason)
                | BookingCancelled(booking=booking, reason=reason)
            ):
                self._told(place, booking, reason)
                if isinstance(event, BookingCancelled):
                    self._live.pop(booking.id, None)
            case BookingReleased(booking=booking):
                self._live.pop(booking.id, None)
            case SeatBooked(booking=booking) if booking.space_id == ANNEX:
                self._booked(place, booking)
            case BookingMoved(booking=booking, before=old) if booking.space_id == ANNEX:
                del self._live[old.id]
                self._placed(place, booking)
            case WaitingBegun(waiter=waiter) if waiter.want.space_id == ANNEX:
                self._line[waiter.id] = waiter
            case WaitingEnded(waiter=waiter):
                self._line.pop(waiter.id, None)
            case WaiterPromoted(waiter=waiter, booking=booking) if waiter.id in self._line:
                self._promoted(place, self._line.pop(waiter.id), booking)
        self._passed_over.update(each.id for each in self._line.values() if not self._may_have(each.user_id))

    def _by_administrator(self, place: Place, user_id: str) -> None:
        if user_id not in self._administrators:
            self._complain(place, f"{user_id}, who administers nothing, changed the annex")

    # Changes and whom they touch.

    def _changed(self, place: Place, touched: list[Booking]) -> None:
        self._settled(place)
        act = self._changes.get(place)
        names = {booking.id for booking in touched}
        if act is not None and names != set(act.listed):
            self._complain(
                place,
                f"{act.operation.key} touched {sorted(names)}, and its dry run had listed {sorted(act.listed)}",
            )
        reason = act.operation.key if act is not None else ""
        self._expected = (place[0], reason, names if act is not None else set())

    def _told(self, place: Place, booking: Booking, reason: str) -> None:
        index, name, left = self._expected
        if not name or place[0] != index:
            return
        if name == reason or booking.user_id == ERASED:  # whose reasons are forgotten
            if booking.id not in left and name == reason:
                self._complain(place, f"{name} touched {booking.id}, which is not in its way")
            left.discard(booking.id)

    def _settled(self, place: Place) -> None:
        _, name, left = self._expected
        if left:
            self._complain(place, f"{name} touched {sorted(left)} and told nobody")
        self._expected = (0, "", set())

    # Bookings.

    def _of(self, user_id: str) -> int:
        return sum(each.user_id == user_id for each in self._live.values())

    def _may_have(self, user_id: str) -> bool:
        within = user_id in self._administrators or not self._limit or self._of(user_id) < self._limit
        return within and user_id not in self._blocked

    def _booked(self, place: Place, booking: Booking) -> None:
        user_id = booking.user_id
        if user_id != ERASED and user_id in self._blocked:
            self._complain(place, f"{user_id} is blocked and has booked {booking.id}")
        elif user_id != ERASED and not self._may_have(user_id):
            self._complain(place, f"{booking.id} is beyond {user_id}'s quota of {self._limit}")
        self._placed(place, booking)

    def _placed(self, place: Place, booking: Booking) -> None:
        if _meets(booking, self._hindered(booking.seat_id)):
            self._complain(place, f"{booking.id} has what is closed or out of service")
        for other in self._live.values():
            if other.seat_id == booking.seat_id and _meets(booking, [(other.start_cell, other.end_cell)]):
                self._complain(place, f"{booking.id} and {other.id} overlap")
        self._live[booking.id] = booking

    # The line.

    def _promoted(self, place: Place, waiter: Waiter, booking: Booking) -> None:
        self._live.pop(booking.id)  # as it was when the line was asked
        for other in self._line.values():
            if (
                other.place_in_line < waiter.place_in_line
                and other.user_id != ERASED
                and _wish(other) == _wish(waiter)
                and self._may_have(other.user_id)
            ):
                self._complain(place, f"{waiter.id} was served before {other.id}")
        self._live[booking.id] = booking

    def _hindered(self, seat_id: str) -> list[Range]:
        """When a seat cannot be had by anybody."""
        retired = [ALWAYS] if seat_id in self._retired else []
        return [*self._closed, *self._out.get(seat_id, ()), *retired]

    def _nobody_waits_in_vain(self, place: Place) -> None:
        """After an entry: nobody waits for one seat that they could have."""
        for waiter in self._line.values():
            seat_id, start, end = _wish(waiter)
            if not seat_id or waiter.id in self._passed_over or waiter.user_id == ERASED:
                continue
            taken = [
                (each.start_cell, each.end_cell) for each in self._live.values() if each.seat_id == seat_id
            ]
            if not any(low < end and start < high for low, high in (*self._hindered(seat_id), *taken)):
                self._complain(place, f"{waiter.id} waits for what is free")

    def end(self, state: State) -> None:
        """After the last event."""
        self._settled((state.index, 0))
        self._nobody_waits_in_vain((state.index, 0))


def _meets(booking: Booking, ranges: Iterable[Range]) -> bool:
    return any(start < booking.end_cell and booking.start_cell < end for start, end in ranges)


def _wish(waiter: Waiter) -> tuple[str, int, int]:
    return waiter.want.seat_id, waiter.want.start_cell, waiter.end_cell


def _kept(acts: list[Act], state: State) -> list[str]:
    """Everything was answered; what was acknowledged is there, whole, and nothing of what was refused."""
    found = []
    for act in acts:
        operation = act.operation
        outcome, command = operation.outcome, operation.command
        if outcome is None:
            found.append(f"{operation.key} was never answered")
            continue
        items: tuple[BookSeat, ...] = ()
        if isinstance(command, BookTogether) or (isinstance(command, BookSeries) and command.whole):
            items = command.items
        there = [item.booking_id for item in items if item.booking_id in state.bookings]
        if items and len(there) != (len(items) if outcome.ok else 0):
            found.append(f"{operation.key} ended {outcome.code}, and {there} are there")
        match outcome.result:
            case Booking(id=name):
                made = [name]
            case Together(items=placed) | Planned(items=placed):
                made = [each.booking.id for each in placed if each.booking is not None]
            case Waiter(status="promoted", want=want):
                made = [want.booking_id]
            case _:
                made = []
        gone = [name for name in made if outcome.ok and name not in state.bookings]
        if gone:
            found.append(f"{operation.key} was acknowledged, and {gone} are missing")
    return found


def _sessions(acts: list[Act], events: list[tuple[Place, Event]]) -> list[str]:
    """No session was good for anything after it had been ended, no one-time password for anything but another one."""
    ends: list[tuple[Place, str]] = []
    resets: list[tuple[Place, str, bool]] = []  # whether a reset, or the change after it
    for place, event in events:
        by_administrator = isinstance(event, SessionEnded) and event.reason == "ended-by-administrator"
        if isinstance(event, UserBlocked | PasswordReset) or by_administrator:
            ends.append((place, event.user_id))
        if isinstance(event, PasswordReset | PasswordChanged):
            resets.append((place, event.user_id, isinstance(event, PasswordReset)))
    done = [(act, _place_of(act)) for act in acts]
    opened: dict[str, Place] = {}
    for act, place in done:
        if place is not None and act.operation.kind == "log-in":
            opened[f"s-{act.operation.key}"] = place
        if place is not None and act.operation.kind == "log-out-everywhere":
            ends.append((place, act.person))
    found = []
    for act, place in done:
        began = opened.get(act.session)
        if place is None or began is None:
            continue
        if any(user_id == act.person and began < end < place for end, user_id in ends):
            found.append(f"{act.operation.key} was accepted from a session that had ended")
        one_time = [reset for at, user_id, reset in resets if user_id == act.person and at < place]
        harmless = isinstance(
            act.operation.command, ChangePassword | EndSessions | EraseAccount | ResetPassword
        )
        if one_time and one_time[-1] and not harmless:
            found.append(f"{act.operation.key} was accepted with a one-time password")
    return found


def _place_of(act: Act) -> Place | None:
    outcome = act.operation.outcome
    return (outcome.index, outcome.position) if outcome is not None and outcome.ok else None
