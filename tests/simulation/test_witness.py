"""The judges of the clients' history find what they are for alone: every judge that looks into the members is switched off here."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from node.core import Core
from statemachine.occupancy import Occupancy, SeatDays
from statemachine.records import Booking
from statemachine.tables import Tables
from tests.simulation.judge import Judge
from tests.simulation.member import ViolationError
from tests.simulation.readers import Readers
from tests.simulation.world import Settings, World

SEEDS = 10
BLIND = ("check", "answered", "read", "must_hold", "end")
FAULTS = ("crash", "crash", "isolate", "halves", "pause", "freeze", "transfer")


def blind_all_but_the_history(patch: pytest.MonkeyPatch) -> None:
    """The judges that look into members see nothing, and neither do those who read the feed."""
    for method in BLIND:
        patch.setattr(Judge, method, lambda *_: None)
    patch.setattr(Readers, "judge", lambda *_: None)


Plant = Callable[[pytest.MonkeyPatch], None]


def _serve_stale_reads(patch: pytest.MonkeyPatch) -> None:
    """A member answers linearizable reads from what it has, without asking anybody (no read index)."""

    def read(self: Core, token: int) -> None:
        self.reads.done.append((token, self.applied_index))

    patch.setattr(Core, "read", read)


def _lose_bookings(patch: pytest.MonkeyPatch) -> None:
    """Every fiftieth booking is confirmed to its user, and not kept: the same on all members, so that their digests agree."""
    keep = Tables.add_booking

    def forget(self: Tables, booking: Booking) -> None:
        if int(booking.id.strip("b").partition(".")[0]) % 50:
            keep(self, booking)

    patch.setattr(Tables, "add_booking", forget)


def _free_seats(patch: pytest.MonkeyPatch) -> None:
    """Cells of some bookings are not marked as taken: a second booking gets them."""
    claim = Occupancy.claim

    def careless(self: Occupancy, days: SeatDays, start_cell: int, end_cell: int) -> bool:
        before = dict(days)
        if not claim(self, days, start_cell, end_cell):
            return False
        if start_cell % 7 == 0:
            days.clear()
            days.update(before)
        return True

    patch.setattr(Occupancy, "claim", careless)


def _execute_keys_again(patch: pytest.MonkeyPatch) -> None:
    """Outcomes are not remembered, so that a second try under the same key is a second request."""
    patch.setattr(Tables, "remember", lambda *_: None)


PLANTED: dict[str, Plant] = {
    "a stale read is served": _serve_stale_reads,
    "an acknowledged booking is lost": _lose_bookings,
    "a seat is booked twice": _free_seats,
    "a key is executed twice": _execute_keys_again,
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", PLANTED)
def test_the_history_alone_shows_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some seed of the budget must show it, and the search for an order must be among those who complain."""
    blind_all_but_the_history(monkeypatch)
    PLANTED[name](monkeypatch)
    for seed in range(SEEDS):
        world = World(
            seed, Settings(faults=FAULTS, fault_seconds=15.0, calm_seconds=5.0, fault_every_seconds=0.7)
        )
        try:
            world.run()
        except ViolationError as violation:
            print(f"{name}: seed {seed}: {violation}")
            if any("no order explains" in text for _, text in world.trace.lines):
                return
    pytest.fail(f"{SEEDS} seeds did not show that {name}")


def test_a_sound_world_is_found_sound_by_the_history_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same worlds without the damage."""
    blind_all_but_the_history(monkeypatch)
    world = World(1, Settings(faults=FAULTS, fault_seconds=15.0, calm_seconds=5.0, fault_every_seconds=0.7))
    world.run()
    assert len(world.witness.history) > 300
    assert world.witness.steps > 300
