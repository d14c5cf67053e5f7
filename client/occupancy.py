"""What a report of how seats are used says, typed."""

from __future__ import annotations

from msgspec import Struct

PATH = "/api/v1/admin/reports/occupancy"


class OccupancyRow(Struct, frozen=True):
    """One piece of a report. `share` is taken of open, None when nothing was open. `weekday` is 1 for Monday."""

    key: str
    label: str
    taken_minutes: int
    open_minutes: int
    share: float | None
    weekday: int | None = None
    hour: int | None = None


class Occupancy(Struct, frozen=True):
    """A report of one space or, by space, of all; both dates are included."""

    first_date: str
    last_date: str
    by: str
    taken_minutes: int
    open_minutes: int
    rows: list[OccupancyRow]
    space_id: str | None = None
    timezone: str | None = None


def query_of(space_id: str | None, first: str, last: str, by: str) -> dict[str, str]:
    """The query of a report."""
    query = {"from": first, "to": last, "by": by}
    return query if space_id is None else {**query, "space_id": space_id}
