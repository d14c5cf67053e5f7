"""The records of a space as its administrators shape it: hours, dated exceptions, policies, and what is known of each seat.

They stand beside `records.Space`, not in it: a space that no administrator has changed since the cluster was born has
none of them, is read from old logs and snapshots as it was written, and books by the shortest way.

Hours are minutes after local midnight. The state machine never turns them into instants, for it knows no time zones; what
a change of hours closes comes with the command as ranges of UTC cells, made by the node that took it.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Literal

from msgspec import Struct

DAYS_OF_WEEK = 7

Attribute = Literal["monitor", "window", "quiet", "accessible"]
Then = Literal["keep", "cancel"]


class Hours(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """When a day begins and ends for a space. Equal: closed that day. `closes_minutes` may be 1440 (24:00)."""

    opens_minutes: int
    closes_minutes: int

    @property
    def closed(self) -> bool:
        """Whether nobody gets in that day."""
        return self.opens_minutes >= self.closes_minutes


CLOSED = Hours(0, 0)


class SpecialDays(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Local dates, both inclusive, on which other hours hold than those of their weekdays. A date is a day's ordinal
    (`date.toordinal`): 1 is 0001-01-01.
    """

    first_day: int
    last_day: int
    hours: Hours
    reason: str


class Policy(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What users may take. 0 is "no such limit"; all are off until an administrator sets them."""

    horizon_days: int = 0  # how far ahead a booking may begin
    longest_minutes: int = 0  # of one booking
    live_bookings: int = 0  # of a user in the space that have not ended
    daily_bookings: int = 0  # of a user in the space that begin on one local day
    one_seat_at_a_time: bool = False
    cancel_cutoff_minutes: int = 0  # before the start, from when on a user may not cancel any more


NO_POLICY = Policy()


class SpaceRules(
    Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="space-rules"
):
    """The rules of a space beyond those it was made with. `week` begins with Monday; an empty one stands for the
    hours of `Space` on every day. `special_days` are in order and do not overlap.
    """

    space_id: str
    retired: bool = False
    week: tuple[Hours, ...] = ()
    special_days: tuple[SpecialDays, ...] = ()
    policy: Policy = NO_POLICY


class Outage(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A seat cannot be used for the half-open range of cells `[start_cell, end_cell)`."""

    start_cell: int
    end_cell: int
    reason: str


class SeatDetails(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="seat"):
    """What is known of a seat beyond its id and label. A retired one is no longer in its space's list of seats; its
    bookings, past and kept, stay.
    """

    space_id: str
    seat_id: str
    label: str
    zone: str = ""
    attributes: tuple[Attribute, ...] = ()
    x: int | None = None
    y: int | None = None
    retired: bool = False
    outages: tuple[Outage, ...] = ()  # in order, not overlapping


class SpaceChange(
    Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="space-change"
):
    """The answer to a change of a space or of one of its seats. `revision` is the new one of the space."""

    space_id: str
    seat_id: str  # empty: the space itself
    revision: str
    affected: int
    cancelled: int


class Affected(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="affected"):
    """A change would touch accepted bookings, and the request did not name this list of them."""

    count: int
    token: str


class Limit(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="limit"):
    """The limit that a refusal rests on, in the unit of its policy."""

    value: int


def seat_name(space_id: str, seat_id: str) -> str:
    """One text for a seat; the length in front keeps two pairs from having the same one."""
    return f"{len(space_id)}:{space_id}{seat_id}"


def hours_on(rules: SpaceRules, usual: Hours, day: int) -> Hours:
    """The hours of a local date, given as its ordinal. `usual` are those of the space where no weekday has its own."""
    special = rules.special_days
    if special:
        at = bisect_right(special, day, key=_first_day)
        if at and special[at - 1].last_day >= day:
            return special[at - 1].hours
    return rules.week[(day - 1) % DAYS_OF_WEEK] if rules.week else usual  # day 1 was a Monday


def _first_day(days: SpecialDays) -> int:
    return days.first_day
