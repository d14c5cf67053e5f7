"""One's own bookings: taking, moving and giving back, series, waiting lists, check-in, the calendar. Calls of `aio.Client`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from client.answers import (
    Basket,
    Booking,
    BookingPage,
    Calendar,
    CheckInRule,
    GivenUp,
    Planned,
    Series,
    SeriesPage,
    Step,
    Steps,
    Waiting,
    Waitings,
    Wish,
)
from client.calling import Call
from client.ground import Ground, new_key


class Bookings(Ground):
    """What a logged-in person does with seats."""

    async def book(
        self, space_id: str, seat_id: str, starts_at: datetime, slots: int = 1, *, key: str | None = None
    ) -> Booking:
        """Take a seat from an instant (with its offset) for some slots. Raises Refused with alternatives."""
        if starts_at.tzinfo is None:
            raise ValueError("starts_at needs a time zone; for a local time use book_local")
        body = {"space_id": space_id, "seat_id": seat_id, "starts_at": starts_at.isoformat(), "slots": slots}
        return await self._write("/api/v1/bookings", body, Booking, key=key, signed=True)

    async def book_local(
        self,
        seat: str,
        date: str,
        clock: str,
        *,
        space: str | None = None,
        slots: int = 1,
        key: str | None = None,
    ) -> Booking:
        """Take a seat by the space's own date and time, "2026-12-01" and "10:00".

        `space` may be left out when only one has that seat. Raises Refused with alternatives.
        """
        body: dict[str, Any] = {"seat": seat, "date": date, "time": clock, "slots": slots}
        if space is not None:
            body["space"] = space
        return await self._write("/book", body, Booking, key=key, signed=True)

    async def basket(self, wishes: Sequence[Wish], *, key: str | None = None) -> list[Booking]:
        """Take several places, all or none. Raises Refused, whose `problem.items` tell of each wish."""
        body = {"items": wishes}
        return (await self._write("/api/v1/bookings/basket", body, Basket, key=key, signed=True)).items

    async def move(
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
        """Give a booking another seat or time; what is left out stays. Refused, it has the old place still."""
        given = {"seat_id": seat_id, "starts_at": starts_at, "date": date, "time": clock, "slots": slots}
        body = {name: value for name, value in given.items() if value is not None}
        return await self._write(f"{_booking_path(booking_id)}/move", body, Booking, key=key, signed=True)

    async def cancel(self, booking_id: str, *, reason: str = "", key: str | None = None) -> Booking:
        """Give a booking back. The same answer when it is cancelled already."""
        body = {"reason": reason} if reason else {}
        return await self._write(f"{_booking_path(booking_id)}/cancel", body, Booking, key=key, signed=True)

    async def plan(self, wish: Wish, rrule: str, *, whole: bool = True, key: str | None = None) -> Planned:
        """Take a place again and again by a rule such as "FREQ=WEEKLY;COUNT=10": all days or none, or what is free."""
        body = {**msgspec.to_builtins(wish), "rrule": rrule, "mode": "all" if whole else "free"}
        return await self._write("/api/v1/series", body, Planned, key=key, signed=True)

    async def series(self, series_id: str) -> Series:
        """A series of one's own. Raises Refused with status 404."""
        return await self._read(f"/api/v1/series/{quote(series_id, safe='')}", Series, signed=True)

    async def series_page(
        self, *, when: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> SeriesPage:
        """One page of one's series, newest first; `when` is "upcoming" or "past"."""
        query = {"when": when, "limit": limit, "cursor": cursor}
        return await self._read("/api/v1/series", SeriesPage, query, signed=True)

    async def cancel_series(
        self, series_id: str, *, from_booking_id: str | None = None, reason: str = "", key: str | None = None
    ) -> GivenUp:
        """Give up what has not begun of a series, or what is left from one of its bookings on."""
        given = {"from_booking_id": from_booking_id, "reason": reason}
        body = {name: value for name, value in given.items() if value}
        path = f"/api/v1/series/{quote(series_id, safe='')}/cancel"
        return await self._write(path, body, GivenUp, key=key, signed=True)

    async def wait_for(
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
        """Wait for a place, of any seat without `seat_id`; it is booked at once when it is free."""
        given = {"seat_id": seat_id, "starts_at": starts_at, "date": date, "time": clock}
        body: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        body |= {"space_id": space_id, "slots": slots}
        return await self._write("/api/v1/waitlist", body, Waiting, key=key, signed=True)

    async def waitings(self) -> list[Waiting]:
        """What one waits for, and what one got by waiting until it begins."""
        return (await self._read("/api/v1/waitlist", Waitings, signed=True)).items

    async def waiting(self, waiting_id: str) -> Waiting:
        """One of them, also after it has ended. Raises Refused with status 404."""
        return await self._read(f"/api/v1/waitlist/{quote(waiting_id, safe='')}", Waiting, signed=True)

    async def leave_waitlist(self, waiting_id: str, *, key: str | None = None) -> None:
        """Wait no longer. Raises Refused with status 404 when one does not."""
        path = f"/api/v1/waitlist/{quote(waiting_id, safe='')}/leave"
        await self._done(path, None, key or new_key(), signed=True)

    async def check_in(self, booking_id: str, *, key: str | None = None) -> Booking:
        """Say that one is there. Harmless where nobody has to, and when repeated."""
        return await self._write(f"{_booking_path(booking_id)}/checkin", {}, Booking, key=key, signed=True)

    async def set_grace(self, space_id: str, minutes: int, *, key: str | None = None) -> CheckInRule:
        """How long the seat of somebody who has not checked in is kept; 0: nobody has to. For administrators."""
        path = f"/api/v1/admin/spaces/{quote(space_id, safe='')}/checkin"
        return await self._write(path, {"grace_minutes": minutes}, CheckInRule, key=key, signed=True)

    async def steps(self, booking_id: str) -> list[Step]:
        """What has become of a booking, oldest first."""
        return (await self._read(f"{_booking_path(booking_id)}/history", Steps, signed=True)).items

    async def booking(self, booking_id: str) -> Booking:
        """One booking of one's own. Raises Refused with status 404."""
        return await self._read(_booking_path(booking_id), Booking, signed=True)

    async def bookings_page(
        self,
        *,
        when: str | None = None,
        status: str | None = None,
        space_id: str | None = None,
        first: str | None = None,
        last: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> BookingPage:
        """One page of one's bookings; `when` is "upcoming" or "past", `first` and `last` are days on which they begin."""
        narrowed = {"when": when, "status": status, "space_id": space_id, "from": first, "to": last}
        query = {**narrowed, "limit": limit, "cursor": cursor}
        return await self._read("/api/v1/bookings", BookingPage, query, signed=True)

    async def bookings(
        self, *, when: str | None = None, status: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Booking]:
        """All of one's bookings, page by page (`limit` is the size of a page)."""
        cursor: str | None = None
        while True:
            page = await self.bookings_page(when=when, status=status, limit=limit, cursor=cursor)
            for booking in page.items:
                yield booking
            if page.next is None:
                return
            cursor = page.next

    async def history_page(self, *, limit: int | None = None, cursor: str | None = None) -> BookingPage:
        """One page of all one's bookings, newest first."""
        return await self._read("/history", BookingPage, {"limit": limit, "cursor": cursor}, signed=True)

    async def history(self, *, limit: int | None = None) -> AsyncIterator[Booking]:
        """All of one's bookings, newest first, page by page (`limit` is the size of a page)."""
        cursor: str | None = None
        while True:
            page = await self.history_page(limit=limit, cursor=cursor)
            for booking in page.items:
                yield booking
            if page.next is None:
                return
            cursor = page.next

    async def open_calendar(self, *, key: str | None = None) -> Calendar:
        """A new secret address at which calendar programs read one's bookings; the one before ends."""
        return await self._write("/api/v1/me/calendar", {}, Calendar, key=key, signed=True)

    async def calendar(self) -> Calendar:
        """The address there is. Raises Refused with status 404."""
        return await self._read("/api/v1/me/calendar", Calendar, signed=True)

    async def close_calendar(self) -> None:
        """Take the address away. Harmless when there is none."""
        await self._decided(Call("DELETE", "/api/v1/me/calendar", key=new_key()), signed=True)


def _booking_path(booking_id: str) -> str:
    return f"/api/v1/bookings/{quote(booking_id, safe='')}"
