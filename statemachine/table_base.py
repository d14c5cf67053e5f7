"""What all tables stand on: where the log has got to, and the frozen views that are told of changes.

Whatever replaces or drops a user, a session or a booking first hands the old record to the views that have been taken and still
live (`frozen.py`, which also says in what order rows are walked). Rows that are added need no such care.
"""

from __future__ import annotations

from weakref import ref

from statemachine.frozen import FrozenTables

DIGEST_BYTES = 16


class TableBase:
    """The clock and the digest of the state, and the living views of it."""

    def __init__(self) -> None:
        self.born = False
        self.now_ms = 0
        self.index = 0
        self.digest = bytes(DIGEST_BYTES)
        self._views: list[ref[FrozenTables]] = []  # those that live

    def _living_views(self) -> list[FrozenTables]:
        return [view for each in self._views if (view := each()) is not None]
