"""The blocking client: the calls of `aio.Client` for programs without an event loop.

    with Client("http://127.0.0.1:8001") as client:
        client.login("ada", "a long pass phrase")
        for booking in client.history():
            print(booking.starts_at, booking.seat_id)

A thread of its own runs the event loop, so that connections stay open and the other nodes are learned
between the calls. May be used from several threads at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

from client import aio
from client.answers import (
    Availability,
    Booking,
    BookingPage,
    Calendar,
    Changed,
    CheckInRule,
    Cluster,
    GivenUp,
    Leader,
    Planned,
    Receipt,
    SeatHistory,
    Series,
    Session,
    Snapshot,
    Space,
    Step,
    User,
    Waiting,
    Wish,
)
from client.calling import DEFAULT_DEADLINE_SECONDS
from client.occupancy import Occupancy
from client.people import BlockingPeople
from client.premises import BlockingPremises

T = TypeVar("T")


class Client:
    """See `aio.Client` for what each call does; close it, or use it as a context manager."""

    def __init__(
        self,
        servers: Sequence[str] | str,
        *,
        session: Session | None = None,
        on_session: Callable[[Session | None], None] | None = None,
        devices: Mapping[str, str] | None = None,
        deadline_seconds: float = DEFAULT_DEADLINE_SECONDS,
    ) -> None:
        self._client = aio.Client(
            servers,
            session=session,
            on_session=on_session,
            devices=devices,
            deadline_seconds=deadline_seconds,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="deskraft-client", daemon=True)
        self._thread.start()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections and end the thread. Harmless when repeated."""
        if self._loop.is_closed():
            return
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C in the waiting thread: the call must not go on behind its back
            future.cancel()
            raise

    @property
    def servers(self) -> tuple[str, ...]:
        """Base URLs of every server known."""
        return self._client.servers

    @property
    def session(self) -> Session | None:
        """The log-in, or None."""
        return self._client.session

    def register(self, login: str, password: str, *, key: str | None = None) -> User:
        """Make a user."""
        return self._run(self._client.register(login, password, key=key))

    def login(self, login: str, password: str, *, key: str | None = None) -> Session:
        """Log in; later calls are made as this user."""
        return self._run(self._client.login(login, password, key=key))

    def refresh(self) -> Session:
        """Renew the tokens now."""
        return self._run(self._client.refresh())

    def logout(self) -> None:
        """End the session on every node."""
        self._run(self._client.logout())

    def me(self) -> User:
        """Who is logged in."""
        return self._run(self._client.me())

    def spaces(self) -> list[Space]:
        """Every coworking."""
        return self._run(self._client.spaces())

    def space(self, space_id: str) -> Space:
        """One coworking."""
        return self._run(self._client.space(space_id))

    def availability(self, space_id: str, date: str) -> Availability:
        """The seats of a space on one of its local days."""
        return self._run(self._client.availability(space_id, date))

    def book(
        self, space_id: str, seat_id: str, starts_at: datetime, slots: int = 1, *, key: str | None = None
    ) -> Booking:
        """Take a seat from an instant for some slots."""
        return self._run(self._client.book(space_id, seat_id, starts_at, slots, key=key))

    def book_local(
        self,
        seat: str,
        date: str,
        clock: str,
        *,
        space: str | None = None,
        slots: int = 1,
        key: str | None = None,
    ) -> Booking:
        """Take a seat by the space's own date and time."""
        return self._run(self._client.book_local(seat, date, clock, space=space, slots=slots, key=key))

    def basket(self, wishes: Sequence[Wish], *, key: str | None = None) -> list[Booking]:
        """Take several places, all or none."""
        return self._run(self._client.basket(wishes, key=key))

    def move(
        self,
        booking_id: str,
        *,
        seat_id: str | None = None,
        starts_at: datetime | None = None,
        date: str | None = None,
        clock: str | None = None,
        slots: int | None = None,
        key: str | None = None,
    ) -> Booking:
        """Give a booking another seat or time; what is left out stays."""
        moved = self._client.move(
            booking_id, seat_id=seat_id, starts_at=starts_at, date=date, clock=clock, slots=slots, key=key
        )
        return self._run(moved)

    def cancel(self, booking_id: str, *, reason: str = "", key: str | None = None) -> Booking:
        """Give a booking back."""
        return self._run(self._client.cancel(booking_id, reason=reason, key=key))

    def plan(self, wish: Wish, rrule: str, *, whole: bool = True, key: str | None = None) -> Planned:
        """Take a place again and again by a rule: all days or none, or what is free."""
        return self._run(self._client.plan(wish, rrule, whole=whole, key=key))

    def series(self, series_id: str) -> Series:
        """A series of one's own."""
        return self._run(self._client.series(series_id))

    def cancel_series(
        self, series_id: str, *, from_booking_id: str | None = None, reason: str = "", key: str | None = None
    ) -> GivenUp:
        """Give up what is left of a series."""
        work = self._client.cancel_series(series_id, from_booking_id=from_booking_id, reason=reason, key=key)
        return self._run(work)

    def wait_for(
        self,
        space_id: str,
        seat_id: str | None = None,
        *,
        starts_at: datetime | None = None,
        date: str | None = None,
        clock: str | None = None,
        slots: int = 1,
        key: str | None = None,
    ) -> Waiting:
        """Wait for a place; it is booked at once when it is free."""
        work = self._client.wait_for(
            space_id, seat_id, starts_at=starts_at, date=date, clock=clock, slots=slots, key=key
        )
        return self._run(work)

    def waitings(self) -> list[Waiting]:
        """What one waits for."""
        return self._run(self._client.waitings())

    def leave_waitlist(self, waiting_id: str, *, key: str | None = None) -> None:
        """Wait no longer."""
        self._run(self._client.leave_waitlist(waiting_id, key=key))

    def check_in(self, booking_id: str, *, key: str | None = None) -> Booking:
        """Say that one is there."""
        return self._run(self._client.check_in(booking_id, key=key))

    def set_grace(self, space_id: str, minutes: int, *, key: str | None = None) -> CheckInRule:
        """How long the seat of somebody who has not checked in is kept."""
        return self._run(self._client.set_grace(space_id, minutes, key=key))

    def steps(self, booking_id: str) -> list[Step]:
        """What has become of a booking, oldest first."""
        return self._run(self._client.steps(booking_id))

    def booking(self, booking_id: str) -> Booking:
        """One booking of one's own."""
        return self._run(self._client.booking(booking_id))

    def bookings_page(
        self,
        *,
        when: str | None = None,
        status: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> BookingPage:
        """One page of one's bookings."""
        return self._run(self._client.bookings_page(when=when, status=status, limit=limit, cursor=cursor))

    def bookings(
        self, *, when: str | None = None, status: str | None = None, limit: int | None = None
    ) -> Iterator[Booking]:
        """All of one's bookings, page by page."""
        return self._pages(
            lambda cursor: self.bookings_page(when=when, status=status, limit=limit, cursor=cursor)
        )

    def history_page(self, *, limit: int | None = None, cursor: str | None = None) -> BookingPage:
        """One page of all one's bookings, newest first."""
        return self._run(self._client.history_page(limit=limit, cursor=cursor))

    def history(self, *, limit: int | None = None) -> Iterator[Booking]:
        """All of one's bookings, newest first, page by page."""
        return self._pages(lambda cursor: self.history_page(limit=limit, cursor=cursor))

    def _pages(self, page_at: Callable[[str | None], BookingPage]) -> Iterator[Booking]:
        cursor: str | None = None
        while True:
            page = page_at(cursor)
            yield from page.items
            if page.next is None:
                return
            cursor = page.next

    @property
    def people(self) -> BlockingPeople:
        """One's own account beyond logging in, and, for administrators, other people's."""
        return BlockingPeople(self._client.people, self._run)

    @property
    def premises(self) -> BlockingPremises:
        """The administrators' calls that shape spaces and seats."""
        return BlockingPremises(self._client.premises, self._run)

    def open_calendar(self, *, key: str | None = None) -> Calendar:
        """A new secret address at which calendar programs read one's bookings."""
        return self._run(self._client.open_calendar(key=key))

    def calendar(self) -> Calendar:
        """The address there is."""
        return self._run(self._client.calendar())

    def close_calendar(self) -> None:
        """Take the address away."""
        self._run(self._client.close_calendar())

    def cluster(self) -> Cluster:
        """The cluster as the first node that answers sees it."""
        return self._run(self._client.cluster())

    def receipt(self, index: int, server: str | None = None) -> Receipt:
        """The digest at a log index, as one given server (or the first that answers) has it."""
        return self._run(self._client.receipt(index, server))

    def seat_day(self, space_id: str, seat_id: str, date: str, as_of: int | None = None) -> SeatHistory:
        """When a seat is taken on a local day, now or as it was at a log index."""
        return self._run(self._client.seat_day(space_id, seat_id, date, as_of))

    @property
    def last_receipt(self) -> tuple[int, str]:
        """Index and digest of the last answer."""
        return self._client.last_receipt

    def occupancy(self, space_id: str | None, first: str, last: str, by: str = "day") -> Occupancy:
        """How much of the open time of seats was taken; for administrators."""
        return self._run(self._client.occupancy(space_id, first, last, by))

    def occupancy_csv(self, space_id: str | None, first: str, last: str, by: str = "day") -> bytes:
        """The same as CSV."""
        return self._run(self._client.occupancy_csv(space_id, first, last, by))

    def add_member(self, member_id: str, raft: str, api: str) -> Changed:
        """Make a member of a node that is to be started."""
        return self._run(self._client.add_member(member_id, raft, api))

    def promote_member(self, member_id: str) -> Changed:
        """Let a learner vote."""
        return self._run(self._client.promote_member(member_id))

    def remove_member(self, member_id: str) -> Changed:
        """End a membership."""
        return self._run(self._client.remove_member(member_id))

    def replace_member(self, member_id: str, incarnation: str = "") -> Changed:
        """Give up a member's disk."""
        return self._run(self._client.replace_member(member_id, incarnation))

    def transfer_leadership(self, to: str | None = None) -> Leader:
        """Have that voter lead, or the most caught-up one."""
        return self._run(self._client.transfer_leadership(to))

    def write_snapshot(self, server: str) -> Snapshot:
        """Have one given server write a snapshot."""
        return self._run(self._client.write_snapshot(server))
