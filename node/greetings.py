"""What the others say when this member dials them, and what follows when they do not want it.

A member that was removed, or that comes back with another disk under the old name, is refused by everybody who has applied the
configuration that says so. One refusal proves little: the one who refuses may lag behind a configuration that lets us in. So a member stops when
it has been refused for REFUSED_SECONDS by a configuration newer than any in which it knows its place, and nobody with one at
least as new has let it in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.guard import FailStopError
from node.membership import Verdict, why_stopped

if TYPE_CHECKING:
    from node.core import Core

REFUSED_SECONDS = 1.0


class NoPlaceError(FailStopError):
    """This member is none any more. `removed`: an operator wanted it so, and its end is a normal one."""

    def __init__(self, message: str, *, removed: bool) -> None:
        super().__init__(message)
        self.removed = removed


class Greetings:
    """The verdicts that came, newest configuration first."""

    def __init__(self) -> None:
        self._welcome_index = -1
        self._refused: tuple[Verdict, float] | None = None  # and since when

    def note(self, verdict: Verdict, now: float) -> None:
        """A member that we dialled has answered."""
        if verdict.code == "":
            self._welcome_index = max(self._welcome_index, verdict.index)
        elif verdict.final and (self._refused is None or verdict.index > self._refused[0].index):
            self._refused = (verdict, now if self._refused is None else self._refused[1])

    def look(self, core: Core, now: float) -> None:
        """Called at every turn. Raises NoPlaceError."""
        if self._refused is None:
            return
        verdict, since = self._refused
        if verdict.index <= max(core.known_index, self._welcome_index):
            self._refused = None
        elif now - since >= REFUSED_SECONDS:
            had_place = core.known_index > 0
            raise NoPlaceError(
                why_stopped(core.node_id, verdict, had_data=had_place),
                removed=had_place and verdict.code == "not-a-member",
            )
