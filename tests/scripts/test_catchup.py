"""The data of the case `catchup`: what is made without a log has the tables that the log would have given it."""

from __future__ import annotations

import argparse

import pytest

from scripts.benchmark import MIN_BOOKINGS, parse
from scripts.benchmarking import million, report
from scripts.benchmarking.catchup import CatchupFigures, Phase
from statemachine.commands import (
    KEEP_CLIENT_KEY_MS,
    BookSeat,
    DayGrid,
    OpenSession,
    RegisterUser,
)
from statemachine.snapshot import table_checksums
from statemachine.state import State, restore
from tests.statemachine.builders import MONTH_MS, World, new_space
from tests.statemachine.checker import complaints

DERIVED = ("users_by_login", "bookings_by_user", "live_by_day", "keys_by_scope", "user_ids", "booking_ids")


def test_a_state_that_was_populated_is_one_that_could_have_been_applied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As many commands, applied, give the same rows (but for revisions and indexes, which no log stands behind here)."""
    monkeypatch.setattr(million, "PEOPLE", 7)
    made, applied = World(spaces=(new_space(),)), World(spaces=(new_space(),))
    million.populate(made.state, 40, ["hq"])
    assert not complaints(made.state)
    for user in list(made.state.users.values())[3:]:
        applied.do(RegisterUser(user.id, user.login, user.login_key, user.password_hash))
        applied.do(OpenSession(f"s-{user.login}", user.id, user.password_hash, "", MONTH_MS))
    for number, booking in enumerate(made.state.bookings.values()):
        grid = DayGrid(applied.state.spaces["hq"].revision, 12, ((booking.start_cell, 14),))
        user = made.state.users[booking.user_id]
        command = BookSeat(booking.id, booking.space_id, booking.seat_id, booking.start_cell, 1, grid)
        assert applied.do(
            command,
            scope=user.id,
            session=f"s-{user.login}",
            key=f"{number:036}",
            keep_ms=KEEP_CLIENT_KEY_MS,
            fingerprint=bytes(16),
        ).ok
    for name in DERIVED:
        assert getattr(made.state, name) == getattr(applied.state, name), name
    assert [name for name in made.state.outcomes if name in applied.state.outcomes]
    for booking in made.state.bookings.values():
        day = booking.start_cell // 288
        assert made.state.seat_cells("hq", booking.seat_id, day) == applied.state.seat_cells(
            "hq", booking.seat_id, day
        )


def test_two_states_that_were_populated_alike_are_equal() -> None:
    worlds = [World(spaces=(new_space(),)) for _ in range(2)]
    for world in worlds:
        million.populate(world.state, 500, ["hq"])
    one, other = (b"".join(world.state.freeze().chunks()) for world in worlds)
    assert one == other
    restored: State = restore([one])
    assert table_checksums(restored) == table_checksums(worlds[0].state)


def test_how_many_bookings() -> None:
    assert parse(["--case", "catchup", "--bookings", str(MIN_BOOKINGS)]).bookings == MIN_BOOKINGS
    for text in ("0", "-5", "1e6", "9" * 30, ""):
        with pytest.raises((SystemExit, argparse.ArgumentTypeError)):
            parse(["--bookings", text])


def test_how_it_is_told() -> None:
    phases = [
        Phase(name, 5.0, 750, 4.0 * n, 20.0 * n, 40.0) for n, name in enumerate(("before", "fetching"), 1)
    ]
    figures = CatchupFigures(
        200_000, 80_000_000, 4.0, 20e6, 6.5, 40_000_000, 40_000_000, phases, {201: 1500}, []
    )
    text = "\n".join(report._catchup(figures))
    assert "fetching" in text
    assert "2.0" in text
    assert "80.0 MB: fetched in 4.0 s (20.0 MB/s), checked and in force 6.5 s later" in text
    assert "cut at 40.0 MB, went on from 40.0 MB; statuses 201 ×1500" in text
