"""A member's data as if it had lived long: very many bookings, made without a log and written by the shipped snapshot code.

The records enter through the methods that the rules use, so a state made here has the tables that applying as many commands would
have given it (`tests/scripts/test_catchup.py` compares them).
"""

from __future__ import annotations

from pathlib import Path

from node import storage
from node.config import Config
from node.disk import RealDisk
from node.membership import ENTRY_PREFIX
from node.snapshots import SnapshotHead, SnapshotWriter
from statemachine.commands import KEEP_CLIENT_KEY_MS
from statemachine.outcomes import Outcome, Remembered
from statemachine.records import CELL_MS, CELLS_PER_DAY, Booking, User
from statemachine.state import State
from statemachine.tables import key_name

PEOPLE = 2_000  # who booked; they never log in
HOUR_CELLS = 12
FAR_DAYS = 500  # from now: no case books there
NO_OP = b"\x01"
PASSWORD_HASH = "h" * 97  # as long as a real one, and nobody's


def populate(state: State, count: int, space_ids: list[str]) -> None:
    """Add `count` confirmed bookings of an hour, with the remembered outcome of each, to a state that has been born.

    Revisions repeat the state's index: they stand for changes that no log holds.
    """
    now_ms, index = state.now_ms, state.index
    people = [f"019a0000-0000-7000-8000-{number:012}" for number in range(PEOPLE)]
    for number, user_id in enumerate(people):
        state.put_user(
            User(user_id, f"old-{number}", f"old-{number}", PASSWORD_HASH, "user", now_ms, f"{index}.0")
        )
    places = [(space_id, seat.id) for space_id in space_ids for seat in state.spaces[space_id].seats]
    first_cell = (now_ms // CELL_MS // CELLS_PER_DAY + FAR_DAYS) * CELLS_PER_DAY
    for number in range(count):
        hour, place = divmod(number, len(places))
        space_id, seat_id = places[place]
        start = first_cell + hour * HOUR_CELLS
        days = state.occupancy.seat(space_id, seat_id)
        assert days is not None
        assert state.occupancy.claim(days, start, start + HOUR_CELLS)
        user_id = people[number % PEOPLE]
        booking = Booking(
            f"019a5e6e-7d0b-7c3e-8b1a-{number:012}",
            space_id,
            seat_id,
            user_id,
            start,
            start + HOUR_CELLS,
            "confirmed",
            now_ms,
            0,
            f"{index}.{number}",
        )
        state.add_booking(booking)
        outcome = Outcome("ok", index, number, booking)
        key = f"{number:036}"
        state.remember(
            key_name(user_id, key),
            Remembered(user_id, key, bytes(16), True, now_ms + KEEP_CLIENT_KEY_MS, outcome),
        )


def directory_of(config: Config, node_id: str) -> Path:
    """Where a member has its data."""
    return config.data_dir / node_id


def last_index_of(config: Config, node_id: str) -> int:
    """The last entry in the journal of a member that is not running."""
    disk = RealDisk(directory_of(config, node_id))
    try:
        identity = storage.read_identity(disk, config.cluster, node_id, config.birth)
        opened = storage.open_storage(disk, identity)
        opened.log.close()
        return opened.journal.last_index
    finally:
        disk.close()


def age(config: Config, node_id: str, index: int, ahead: int, count: int, space_ids: list[str]) -> int:
    """Give a member that is not running a snapshot `ahead` entries after `index`, whose state is that of `index` with `count`
    more bookings; its size in bytes. Members that are aged alike are equal; one that is not is far behind them.
    """
    disk = RealDisk(directory_of(config, node_id))
    try:
        identity = storage.read_identity(disk, config.cluster, node_id, config.birth)
        opened = storage.open_storage(disk, identity)
        opened.log.close()
        assert opened.head is None, "a young cluster is expected"
        state, journal = opened.state, opened.journal
        for command, at, _ in journal.entries:
            if at <= index and command[:1] == b"\x00" and not command.startswith(ENTRY_PREFIX):
                state.apply(at, command[1:])
        populate(state, count, space_ids)
        term = journal.entry_at(index)[2]
        head = SnapshotHead(
            (NO_OP, index + ahead - 1, term), (NO_OP, index + ahead, term), journal.placed_at(index)
        )
        writer = SnapshotWriter(disk, head, state.freeze())
        while not writer.step():
            pass
        return disk.size_bytes(writer.publish())
    finally:
        disk.close()
