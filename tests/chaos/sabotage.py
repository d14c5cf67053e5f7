"""A member with a planted defect: `python -m tests.chaos.sabotage DEFECT node …` is `deskraft node …` without one of its guards.

A judge that has never found anything has proven nothing. Each of these breaks one promise in the way in which systems of this kind
have broken it, and the storm of `test_sabotage` must turn red by it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from api.console import main
from node.reads import Reads
from node.writer import JournalWriter
from statemachine.state import State

LATE_SECONDS = 1.5


def unsynced_journal() -> None:
    """Frames are called durable at once and written later: who dies meanwhile forgets what it acknowledged."""

    def submit(self: JournalWriter, payload: bytes, max_index: int, preamble: bytes) -> int:
        self._number += 1
        number = self._number
        loop = asyncio.get_running_loop()
        loop.call_soon(self._on_synced, number)
        loop.call_later(LATE_SECONDS, lambda: self._work.put((number, payload, max_index, preamble)))
        return number

    begin = JournalWriter.__init__

    def silent(
        self: JournalWriter,
        log: object,
        on_synced: Callable[[int], None],
        on_failed: Callable[[BaseException], None],
    ) -> None:
        newest = [0]

        def forward(number: int) -> None:
            newest[0] = max(newest[0], number)
            on_synced(newest[0])

        begin(self, log, forward, on_failed)  # type: ignore[arg-type] - handed on as it came

    JournalWriter.__init__ = silent  # type: ignore[assignment] - the defect
    JournalWriter.submit = submit  # type: ignore[method-assign] - the defect


def stale_read() -> None:
    """Reads are answered from what this member has applied, without asking who leads."""

    def look(self: Reads, _leader_id: str | None, _node_id: str, _now: float) -> None:
        if self._waiting:
            self._to_apply.append((0, self._waiting))
            self._waiting = []

    Reads.look = look  # type: ignore[method-assign] - the defect


def lost_keys() -> None:
    """Outcomes are not remembered under their keys: what is asked again is carried out again."""
    State.remember = lambda *_: None  # type: ignore[method-assign, assignment] - the defect


def leak() -> None:
    """Something is kept of every frame that is written, and never looked at again."""
    kept: list[bytes] = []
    submit = JournalWriter.submit

    def leaky(self: JournalWriter, payload: bytes, max_index: int, preamble: bytes) -> int:
        kept.append(b"x" * (1 << 20))
        return submit(self, payload, max_index, preamble)

    JournalWriter.submit = leaky  # type: ignore[method-assign] - the defect


DEFECTS: dict[str, Callable[[], None]] = {
    "unsynced-journal": unsynced_journal,
    "stale-read": stale_read,
    "lost-keys": lost_keys,
    "leak": leak,
}


if __name__ == "__main__":
    DEFECTS[sys.argv.pop(1)]()
    main(prog_name="deskraft")
