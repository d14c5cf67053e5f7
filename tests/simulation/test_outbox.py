"""The outbox under faults: told is what was committed, in order; and the judge of it has been seen to complain."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from node.dispatch import Dispatch
from statemachine.sinks import Sink
from tests.simulation.member import ViolationError
from tests.simulation.settings import Settings
from tests.simulation.world import World

FAULTS = ("crash", "crash", "crash_all", "isolate", "transfer", "pause", "cut", "snapshot")
SEEDS = 8

Plant = Callable[[pytest.MonkeyPatch], None]


def settings() -> Settings:
    return Settings(
        faults=FAULTS,
        fault_seconds=12.0,
        calm_seconds=15.0,
        fault_every_seconds=1.0,
        operation_every_seconds=0.08,
        sinks=True,
    )


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(3))
def test_every_event_is_told_whoever_dies(seed: int) -> None:
    world = World(seed, settings())
    world.run()
    told = len(world.sinks.heard)
    once = len({(sink_id, place) for sink_id, place, _ in world.sinks.heard})
    print(f"seed {seed}: {told} deliveries of {once} events, {len(world.judge.leaders)} terms with a leader")
    assert once > 100
    assert told > once, "some were told again, which is what the ids are for"


def _advance_the_cursor_before_delivery(patch: pytest.MonkeyPatch) -> None:
    """What has been looked at is settled, whether a sink has taken it or not."""

    def hasty(self: Dispatch, sink: Sink, sheet: object, _included: object) -> tuple[int, int]:
        sheet.delivered += len(self._ahead)  # type: ignore[attr-defined]
        return max(sink.cursor, self._examined)

    patch.setattr(Dispatch, "_settle_ahead", hasty)


def _keep_the_cursor_to_oneself(patch: pytest.MonkeyPatch) -> None:
    """The next leader does not know how far the sinks were told, and goes on from now."""
    sound = Dispatch._examine

    def forgetful(self: Dispatch, state: object, *more: object) -> None:
        if not hasattr(self, "_begun"):
            self._begun = True  # type: ignore[attr-defined]
            if self._turn:  # another leader has settled something
                self._examined = max(self._examined, state.feed.last or (0, 0))  # type: ignore[attr-defined]
        sound(self, state, *more)  # type: ignore[arg-type]

    patch.setattr(Dispatch, "_examine", forgetful)


def _forget_who_is_held_back(patch: pytest.MonkeyPatch) -> None:
    """What is held back is tried again, and nothing waits for it."""
    sound = Dispatch._choose_held

    def careless(self: Dispatch, held: object, busy: set[str], *more: object) -> None:
        sound(self, held, set(), *more)  # type: ignore[arg-type]

    patch.setattr(Dispatch, "_choose_held", careless)


PLANTED: dict[str, tuple[Plant, str]] = {
    "the cursor moves before the delivery": (_advance_the_cursor_before_delivery, "never told"),
    "the cursor is not replicated": (_keep_the_cursor_to_oneself, "never told"),
    "nothing waits for what is held back": (_forget_who_is_held_back, "another order"),
}


@pytest.mark.timeout(170)
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_defect_shows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some seed of the budget must show it, and say what it is."""
    plant, says = PLANTED[name]
    plant(monkeypatch)
    for seed in range(SEEDS):
        world = World(seed, settings())
        try:
            world.run()
        except ViolationError as violation:
            print(f"{name}: seed {seed}: {violation}")
            if says in str(violation):
                return
    pytest.fail(f"{SEEDS} seeds did not show it")
