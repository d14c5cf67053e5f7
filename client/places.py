"""What a node tells of spaces and seats beyond their names, typed. Local times of day are texts such as "08:00"."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Attribute = Literal["monitor", "window", "quiet", "accessible"]


class Hours(Struct, frozen=True):
    """Opening hours of one day; `closes` may be "24:00"."""

    opens: str
    closes: str


class SpecialDays(Struct, frozen=True):
    """Local dates, both inclusive, with hours of their own; without hours the space is closed."""

    first: str
    last: str
    opens: str | None = None
    closes: str | None = None
    reason: str | None = None


class Policy(Struct, frozen=True):
    """What users may take; None: no such limit."""

    horizon_days: int | None = None
    longest_minutes: int | None = None
    live_bookings: int | None = None
    daily_bookings: int | None = None
    one_seat_at_a_time: bool = False
    cancel_cutoff_minutes: int | None = None


class Outage(Struct, frozen=True):
    """A seat cannot be used for a time."""

    starts_at: datetime
    ends_at: datetime
    reason: str | None = None
