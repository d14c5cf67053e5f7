"""What the bodies of a snapshot's frames are: a header, the rows of each table, a trailer; and which tables there are.

`TABLES` is the order of the stream. Whoever adds a table adds its rows here, its loader to `snapshot_loading.py`, its walk and
its count to `frozen.py`, and raises `VERSION` unless no released code has written it yet.

**Versions.** 4 has the feed and what is told from it; 3 has more tables than the five of the versions before it. What
those wrote is read as it is, and the other tables are empty then; a feed of which nothing was written has lost all up
to there. 2 wrote sessions and outcomes in the order of `frozen.py`; 1 wrote them as they had come,
so the checksum of a file of version 1 is compared in the order of that time.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from statemachine.audit import AuditRecord
from statemachine.feed import FeedRow
from statemachine.feeds import CalendarFeed
from statemachine.notices import Notifications, Reminder
from statemachine.outcomes import Remembered
from statemachine.premises import SeatDetails, SpaceRules
from statemachine.records import (
    Booking,
    CheckInRule,
    Expected,
    Failures,
    Series,
    Session,
    Space,
    Standing,
    Step,
    User,
)
from statemachine.sinks import DeadLetter, Held, Sink
from statemachine.waiters import Waiter

FORMAT = "deskraft.state"
VERSION = 4
OLD_VERSIONS = (1, 2, 3)  # still read


class Header(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=0):
    """What the snapshot is of, and how many rows of each table follow."""

    format: str
    version: int
    index: int
    digest: bytes
    born: bool
    now_ms: int
    counts: tuple[int, ...]


class SpaceRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    """Spaces from the row `first` on."""

    first: int
    rows: list[Space]


class UserRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2):
    """Users from the row `first` on."""

    first: int
    rows: list[User]


class SessionRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3):
    """Sessions from the row `first` on."""

    first: int
    rows: list[Session]


class BookingRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=4):
    """Bookings from the row `first` on."""

    first: int
    rows: list[Booking]


class OutcomeRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=5):
    """Remembered outcomes from the row `first` on, in order of their expiry within each class of keys."""

    first: int
    rows: list[Remembered]


class SpaceRulesRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=7):
    """Rules of spaces from the row `first` on."""

    first: int
    rows: list[SpaceRules]


class SeatDetailsRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=8):
    """Details of seats from the row `first` on."""

    first: int
    rows: list[SeatDetails]


class StepRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=30):
    """Lines of the bookings' histories from the row `first` on, in the order of the log."""

    first: int
    rows: list[Step]


class SeriesRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=31):
    """Series of bookings from the row `first` on, in the order of the log."""

    first: int
    rows: list[Series]


class AuditRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=20):
    """What administrators did, from the row `first` on."""

    first: int
    rows: list[AuditRecord]


class StandingRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=21):
    """What is special about users, from the row `first` on, in the order of its changes."""

    first: int
    rows: list[Standing]


class FailureRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=22):
    """Failed log-ins from the row `first` on; those that are quiet for longest stand first."""

    first: int
    rows: list[Failures]


class WaiterRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=32):
    """Those who wait from the row `first` on, as they came."""

    first: int
    rows: list[Waiter]


class CheckInRuleRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=33):
    """In which spaces one has to check in, from the row `first` on."""

    first: int
    rows: list[CheckInRule]


class ExpectedRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=34):
    """Bookings that are not checked in yet, from the row `first` on."""

    first: int
    rows: list[Expected]


class CalendarRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=50):
    """Calendar feeds from the row `first` on."""

    first: int
    rows: list[CalendarFeed]


class FeedRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=60):
    """Events of the feed from the row `first` on, in the order of the log; before them, how far events are lost."""

    first: int
    rows: list[FeedRow]


class SinkRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=61):
    """Sinks from the row `first` on."""

    first: int
    rows: list[Sink]


class HeldRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=62):
    """Events that are held back from the row `first` on, by their sinks."""

    first: int
    rows: list[Held]


class DeadLetterRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=63):
    """What could not be delivered from the row `first` on, by its sinks; oldest first."""

    first: int
    rows: list[DeadLetter]


class NotificationsRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=64):
    """What users want to hear from the row `first` on, in the order of its changes."""

    first: int
    rows: list[Notifications]


class ReminderRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=65):
    """Bookings whose users are to be reminded from the row `first` on."""

    first: int
    rows: list[Reminder]


class Trailer(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=6):
    """The end: how many frames there are with this one, and `checksum_of` the state."""

    frames: int
    checksum: bytes


Rows = (
    SpaceRows
    | SpaceRulesRows
    | SeatDetailsRows
    | UserRows
    | SessionRows
    | BookingRows
    | OutcomeRows
    | StepRows
    | SeriesRows
    | AuditRows
    | StandingRows
    | FailureRows
    | WaiterRows
    | CheckInRuleRows
    | ExpectedRows
    | CalendarRows
    | FeedRows
    | SinkRows
    | HeldRows
    | DeadLetterRows
    | NotificationsRows
    | ReminderRows
)
TABLES: dict[str, type[Rows]] = {  # in the order of the stream: a row stands behind all that it needs
    "spaces": SpaceRows,
    "space_rules": SpaceRulesRows,
    "seat_details": SeatDetailsRows,
    "users": UserRows,
    "sessions": SessionRows,
    "bookings": BookingRows,
    "outcomes": OutcomeRows,
    "steps": StepRows,
    "series": SeriesRows,
    "audit": AuditRows,
    "standings": StandingRows,
    "failures": FailureRows,
    "waiters": WaiterRows,
    "check_in_rules": CheckInRuleRows,
    "expected": ExpectedRows,
    "calendars": CalendarRows,
    "feed": FeedRows,
    "sinks": SinkRows,
    "held": HeldRows,
    "dead_letters": DeadLetterRows,
    "notifications": NotificationsRows,
    "reminders": ReminderRows,
}
_FIVE_TABLES = ("spaces", "users", "sessions", "bookings", "outcomes")
OLD_TABLES: dict[int, tuple[str, ...]] = {  # all that the old versions had
    1: _FIVE_TABLES,
    2: _FIVE_TABLES,
    3: tuple(TABLES)[: tuple(TABLES).index("feed")],
}
ROW_TYPES: tuple[type[Rows], ...] = tuple(TABLES.values())

encoder = msgspec.msgpack.Encoder()
decoder = msgspec.msgpack.Decoder(Header | Rows | Trailer)
