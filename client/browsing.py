"""Looking: coworkings, their free seats, a seat's past, and how full they were. Calls of `aio.Client`."""

from __future__ import annotations

from urllib.parse import quote

from client import occupancy as reporting
from client.answers import Availability, CheckInRule, SeatHistory, Space, SpacePage
from client.calling import Call
from client.ground import Ground
from client.occupancy import Occupancy


class Browsing(Ground):
    """What can be looked at; no log-in is needed but for reports."""

    async def spaces(self) -> list[Space]:
        """Every coworking."""
        spaces: list[Space] = []
        cursor: str | None = None
        while True:
            page = await self._read("/api/v1/spaces", SpacePage, {"cursor": cursor})
            spaces += page.items
            if page.next is None:
                return spaces
            cursor = page.next

    async def space(self, space_id: str) -> Space:
        """One coworking. Raises Refused with status 404."""
        return await self._read(f"/api/v1/spaces/{quote(space_id, safe='')}", Space)

    async def availability(self, space_id: str, date: str) -> Availability:
        """The seats of a space on one of its local days, "2026-12-01"; one's own are "mine" when logged in."""
        path = f"/api/v1/spaces/{quote(space_id, safe='')}/availability"
        return await self._read(path, Availability, {"date": date}, signed=self._session is not None)

    async def seat_day(self, space_id: str, seat_id: str, date: str, as_of: int | None = None) -> SeatHistory:
        """When a seat is taken on one of its space's local days, now or as it was at a log index.

        Raises Refused: "forgotten" with status 410, "not-applied-yet".
        """
        path = f"/api/v1/spaces/{quote(space_id, safe='')}/seats/{quote(seat_id, safe='')}/day"
        return await self._read(path, SeatHistory, {"date": date, "as_of": as_of})

    async def check_in_rule(self, space_id: str) -> CheckInRule:
        """How long the seat of somebody who has not checked in is kept. Raises Refused with status 404."""
        return await self._read(f"/api/v1/spaces/{quote(space_id, safe='')}/checkin", CheckInRule)

    async def occupancy(self, space_id: str | None, first: str, last: str, by: str = "day") -> Occupancy:
        """How much of the open time of seats was taken from one local day through another; for administrators.

        `by` is "day", "hour", "seat", "weekday-hour", or "space", which needs no `space_id`.
        Raises Refused: "report-too-large", "forbidden".
        """
        return await self._read(
            reporting.PATH, Occupancy, reporting.query_of(space_id, first, last, by), signed=True
        )

    async def occupancy_csv(self, space_id: str | None, first: str, last: str, by: str = "day") -> bytes:
        """The same as CSV (RFC 4180) in UTF-8."""
        query = {**reporting.query_of(space_id, first, last, by), "format": "csv"}
        return (await self._decided(Call("GET", reporting.PATH, query), signed=True)).body
