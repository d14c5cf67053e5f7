"""The log entry that is being applied: it names every change, gathers the events and makes the refusals.

A change is named by `index.position` (a revision): the index of the entry in the log and the place of the change among the
events of that entry. Nothing else may make up such a name.
"""

from __future__ import annotations

from statemachine.events import Event
from statemachine.outcomes import Code, Outcome
from statemachine.premises import Affected, Limit
from statemachine.records import Alternative


class Entry:
    """The log entry being applied: where changes get their names, and where events gather."""

    __slots__ = ("events", "index", "now_ms")

    def __init__(self, index: int, now_ms: int) -> None:
        self.index = index
        self.now_ms = now_ms
        self.events: list[tuple[int, Event]] = []

    @property
    def revision(self) -> str:
        """The name of the next change."""
        return f"{self.index}.{len(self.events)}"

    def record(self, event: Event) -> int:
        """Note a change that was made; its position."""
        position = len(self.events)
        self.events.append((position, event))
        return position

    def refuse(
        self,
        code: Code,
        alternatives: tuple[Alternative, ...] = (),
        ground: Limit | Affected | None = None,
    ) -> Outcome:
        """A refusal, decided at this place in the log; `ground` is what it rests on."""
        return Outcome(code, self.index, len(self.events), ground, alternatives)
