"""The outbox with a guard taken away, while leaders die and sinks fail: one function for each."""

from __future__ import annotations

import pytest

from node.dispatch import Dispatch
from statemachine.sinks import Sink
from tests.simulation.settings import Settings

FAULTS = ("crash", "crash", "crash_all", "isolate", "transfer", "pause", "cut", "snapshot")


def hurried() -> Settings:
    """Leaders die often, and there is much to tell."""
    return Settings(
        faults=FAULTS,
        fault_seconds=12.0,
        calm_seconds=15.0,
        fault_every_seconds=1.0,
        operation_every_seconds=0.08,
        sinks=True,
    )


def advance_the_cursor_before_delivery(patch: pytest.MonkeyPatch) -> None:
    """What has been looked at is settled, whether a sink has taken it or not."""

    def hasty(self: Dispatch, sink: Sink, sheet: object, _included: object) -> tuple[int, int]:
        sheet.delivered += len(self._ahead)  # type: ignore[attr-defined]
        return max(sink.cursor, self._examined)

    patch.setattr(Dispatch, "_settle_ahead", hasty)


def keep_the_cursor_to_oneself(patch: pytest.MonkeyPatch) -> None:
    """The next leader does not know how far the sinks were told, and goes on from now."""
    sound = Dispatch._examine

    def forgetful(self: Dispatch, state: object, *more: object) -> None:
        if not hasattr(self, "_begun"):
            self._begun = True  # type: ignore[attr-defined]
            if self._turn:  # another leader has settled something
                self._examined = max(self._examined, state.feed.last or (0, 0))  # type: ignore[attr-defined]
        sound(self, state, *more)  # type: ignore[arg-type]

    patch.setattr(Dispatch, "_examine", forgetful)


def forget_who_is_held_back(patch: pytest.MonkeyPatch) -> None:
    """What is held back is tried again, and nothing waits for it."""
    sound = Dispatch._choose_held

    def careless(self: Dispatch, held: object, busy: set[str], *more: object) -> None:
        sound(self, held, set(), *more)  # type: ignore[arg-type]

    patch.setattr(Dispatch, "_choose_held", careless)
