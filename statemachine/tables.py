"""The tables of the state and everything derived from them. No rules here: only how a record enters and leaves.

**Primary** tables are the state: they go into snapshots and checksums. **Derived** indexes follow from the primary tables
alone; every change to both goes through a method of these classes, and `restore` calls the same methods, so a restored state
cannot have indexes that a living one would not.

A table and its indexes stand in one module, by what the rows are about: `table_people.py`, `table_bookings.py`, `table_dues.py`
(what happens by itself), `table_outbox.py` and `table_outcomes.py`; spaces, seats and the audit log stand here. Whom a change has to be shown to
before it is made: `table_base.py`.
"""

from __future__ import annotations

from weakref import ref

from statemachine import throttle
from statemachine.audit import AuditRecord
from statemachine.entry import Entry
from statemachine.feed import Feed
from statemachine.frozen import FrozenTables
from statemachine.names import day_name, keep_class, key_name
from statemachine.pages import Pages
from statemachine.premises import SeatDetails, SpaceRules, seat_name
from statemachine.records import Space
from statemachine.table_base import DIGEST_BYTES
from statemachine.table_bookings import BookingTables
from statemachine.table_outbox import OutboxTables
from statemachine.table_outcomes import OutcomeTables
from statemachine.table_people import PeopleTables

__all__ = ["DIGEST_BYTES", "Entry", "Tables", "day_name", "keep_class", "key_name"]


class Tables(PeopleTables, BookingTables, OutcomeTables, OutboxTables):
    """Primary tables with their derived indexes."""

    def __init__(self) -> None:
        super().__init__()
        self.spaces: dict[str, Space] = {}
        self.space_rules: dict[str, SpaceRules] = {}  # by space; only those that an administrator has changed
        self.seat_details: dict[str, SeatDetails] = {}  # by `seat_name`; the same
        self.audit: Pages[AuditRecord] = Pages()  # oldest first
        self.feed = Feed()
        # Derived from here on.
        self.audit_count = 0  # records ever made

    def frozen_tables(self) -> FrozenTables:
        """The primary tables as they are now. Later changes keep it so for as long as somebody holds it."""
        view = FrozenTables(self)
        self._views.append(ref(view, self._views.remove))
        return view

    def put_space(self, space: Space) -> None:
        """Add a space, or replace the record under the same id."""
        self.spaces[space.id] = space
        self.occupancy.put_space(space)

    def put_space_rules(self, rules: SpaceRules) -> None:
        """Set the rules of a space."""
        self.space_rules[rules.space_id] = rules

    def put_seat_details(self, details: SeatDetails) -> None:
        """Set what is known of a seat of a space that is here."""
        self.seat_details[seat_name(details.space_id, details.seat_id)] = details
        self.occupancy.put_outages(details.space_id, details.seat_id, details.outages)

    def details_of(self, space_id: str, seat_id: str) -> SeatDetails | None:
        """What an administrator has told of a seat, or None."""
        return self.seat_details.get(seat_name(space_id, seat_id))

    def forget_told(self, user_id: str) -> None:
        """Take a user out of the events that are kept: in the feed, held back, as dead letters."""
        self.feed.forget(user_id)
        self.forget_undelivered(user_id)

    def add_audit(self, record: AuditRecord) -> None:
        """Add the next record; `audit.record` makes room for it."""
        self.audit.append(record)
        self.audit_count = record.number

    def expire(self) -> None:
        """Forget the keys, the sessions and the failed log-ins whose time is over by log time. Work grows with what is forgotten."""
        self.expire_outcomes()
        self.expire_sessions()
        throttle.expire(self)
