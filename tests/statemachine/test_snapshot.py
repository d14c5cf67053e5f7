"""Freezing, encoding, restoring; and every way in which the bytes may be wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statemachine import snapshot_frames, snapshot_rows
from statemachine.commands import KEEP_CLIENT_KEY_MS, RegisterUser, RotateSession
from statemachine.records import CELLS_PER_DAY
from statemachine.snapshot import CHUNK_BYTES
from statemachine.snapshot_rows import Header, Trailer
from statemachine.state import SnapshotError, State, restore
from tests.statemachine.builders import DAY_MS, FREE_CELL, HOUR, MONTH_MS, World
from tests.statemachine.checker import complaints


@pytest.fixture(scope="module")
def world() -> World:
    world = World()
    tomorrow = FREE_CELL // CELLS_PER_DAY * CELLS_PER_DAY + CELLS_PER_DAY
    world.booked("b1")
    world.booked("b2", "A2", tomorrow - HOUR, 3, grid=world.grid((tomorrow - HOUR, 6)), user="bob")
    world.book("b3")
    world.cancel("b1")
    world.do(
        RegisterUser("eve", "eve", "eve", "h"), keep_ms=KEEP_CLIENT_KEY_MS, key="k", fingerprint=b"f" * 16
    )
    world.do(RotateSession("s-bob", 0, MONTH_MS))
    return world


@pytest.fixture(scope="module")
def written(world: World) -> bytes:
    return b"".join(world.state.freeze().chunks())


def test_a_restored_state_is_the_same(world: World) -> None:
    state = world.state
    restored = restore(state.freeze().chunks())
    assert restored.checksum() == state.checksum()
    assert (restored.index, restored.digest, restored.now_ms, restored.born) == (
        state.index,
        state.digest,
        state.now_ms,
        True,
    )
    assert (restored.spaces, restored.users, restored.sessions) == (state.spaces, state.users, state.sessions)
    assert (restored.bookings, restored.outcomes) == (state.bookings, state.outcomes)
    for name in (
        "users_by_login",
        "sessions_by_user",
        "bookings_by_user",
        "live_by_day",
        "keys_by_scope",
        "client_keys",
        "node_keys",
    ):
        assert getattr(restored, name) == getattr(state, name), name
    assert not complaints(restored)


def test_an_empty_state_can_be_restored() -> None:
    assert restore(State().freeze().chunks()).checksum() == State().checksum()


def test_expiry_survives() -> None:
    world = World()
    world.do(RegisterUser("eve", "eve", "eve", "h"), keep_ms=KEEP_CLIENT_KEY_MS)
    other = World(restore(world.state.freeze().chunks()), populated=False)
    for step_ms in (15_000, DAY_MS, MONTH_MS):
        for one in (world, other):
            one.now_ms += step_ms
            one.batch()
        assert world.state.checksum() == other.state.checksum()
    assert not world.state.outcomes
    assert not other.state.sessions


def test_a_frozen_state_stays_as_it_was() -> None:
    world = World()
    world.booked("b1")
    before = world.state.checksum()
    frozen = world.state.freeze()
    chunks = frozen.chunks()
    first = next(chunks)
    world.cancel("b1")
    world.booked("b2")
    world.do(RegisterUser("eve", "eve", "eve", "h"))
    world.now_ms += MONTH_MS
    world.batch()
    restored = restore([first, *chunks])
    assert restored.checksum() == before
    assert (restored.index, restored.digest) == (frozen.index, frozen.digest)
    assert restore(frozen.chunks()).checksum() == before, "chunks may be walked again"


def test_chunks_are_small_and_may_be_cut_anywhere() -> None:
    world = World()
    for number in range(40):
        users = (RegisterUser(f"u{number}-{i}", "x" * 200, f"u{number}-{i}", "h" * 100) for i in range(25))
        world.batch(*(world.envelope(user) for user in users))
    chunks = list(world.state.freeze().chunks())
    assert len(chunks) > 8
    assert max(len(chunk) for chunk in chunks) < 1.25 * CHUNK_BYTES
    whole = b"".join(chunks)
    for size in (1_000, 65_536, len(whole)):
        again = restore(whole[at : at + size] for at in range(0, len(whole), size))
        assert again.checksum() == world.state.checksum()
    for wrong in (
        chunks[:-1],
        chunks[1:],
        [*chunks, chunks[-1]],
        [*chunks[:3], *chunks[4:]],
        [*chunks[:3], chunks[4], chunks[3], *chunks[5:]],
    ):
        with pytest.raises(SnapshotError):
            restore(wrong)


def test_every_flipped_byte_is_refused(written: bytes) -> None:
    for at in range(len(written)):
        damaged = bytearray(written)
        damaged[at] ^= 1 << (at % 8)
        with pytest.raises(SnapshotError):
            restore([bytes(damaged)])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_other_byte_is_refused(written: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(written) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != written[at]))
    with pytest.raises(SnapshotError):
        restore([written[:at], bytes([value]), written[at + 1 :]])


def test_every_truncation_is_refused(written: bytes) -> None:
    for length in range(0, len(written), 3):
        with pytest.raises(SnapshotError):
            restore([written[:length]])
    with pytest.raises(SnapshotError):
        restore([])
    with pytest.raises(SnapshotError):
        restore([written, b"\0"])
    with pytest.raises(SnapshotError):
        restore([written, written])


# --- frames that are sound, with contents that are not --------------------------------------------------------


def bodies(written: bytes) -> list[bytes]:
    return list(snapshot_frames.bodies([written]))


def framed(pieces: list[bytes]) -> list[bytes]:
    chain, frames = b"", []
    for piece in pieces:
        chain, frame = snapshot_frames.frame(chain, piece)
        frames.append(frame)
    return frames


def test_frames_can_be_put_together_again(written: bytes, world: World) -> None:
    assert restore(framed(bodies(written))).checksum() == world.state.checksum()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"version": 5}, "version 5"),
        ({"version": 3}, "rows are missing"),
        ({"version": 1}, "rows are missing"),
        ({"version": 2}, "rows are missing"),
        ({"format": "other"}, "format"),
        ({"digest": b"short"}, "digest"),
        ({"index": 1}, "not the one"),
        ({"now_ms": 1}, "not the one"),
        ({"born": False}, "not the one"),
        ({"counts": (1, 0, 0, 4, 3, 2, 9_999)}, "rows are missing"),
        ({"counts": ()}, "rows are missing"),
    ],
)
def test_a_header_that_lies(written: bytes, change: dict[str, object], complaint: str) -> None:
    head, *rest = bodies(written)
    header = msgspec.msgpack.decode(head, type=Header)
    with pytest.raises(SnapshotError, match=complaint):
        restore(framed([msgspec.msgpack.encode(msgspec.structs.replace(header, **change)), *rest]))


def test_a_trailer_that_lies(written: bytes) -> None:
    *rest, tail = bodies(written)
    trailer = msgspec.msgpack.decode(tail, type=Trailer)
    for wrong in (Trailer(trailer.frames + 1, trailer.checksum), Trailer(trailer.frames, bytes(16))):
        with pytest.raises(SnapshotError):
            restore(framed([*rest, msgspec.msgpack.encode(wrong)]))


def test_rows_that_cannot_be(written: bytes, world: World) -> None:
    """One row of each kind twice, or without its owner, or doubled seats: each is refused by its own check."""
    pieces = bodies(written)
    for at, table, complaint in (
        (1, "spaces", "a space twice"),
        (2, "users", "a user twice"),
        (3, "sessions", "a session twice"),
        (4, "bookings", "a booking twice"),
        (5, "outcomes", "key twice"),
    ):
        row_type: Any = snapshot_rows.TABLES[table]
        rows = msgspec.msgpack.decode(pieces[at], type=row_type)
        twice = msgspec.msgpack.encode(row_type(0, [*rows.rows, rows.rows[0]]))
        with pytest.raises(SnapshotError, match=complaint):
            restore(framed([*pieces[:at], twice, *pieces[at + 1 :]]))
    with pytest.raises(SnapshotError, match="a session of nobody"):
        restore(framed([*pieces[:2], *pieces[3:]]))
    with pytest.raises(SnapshotError, match="a booking of no seat"):
        restore(framed([pieces[0], *pieces[2:]]))
    with pytest.raises(SnapshotError, match="tables out of order"):
        restore(framed([pieces[0], pieces[2], pieces[1], *pieces[3:]]))
    with pytest.raises(SnapshotError, match="second header"):
        restore(framed([pieces[0], *pieces]))
    live = world.state.bookings["b2"]
    for change, complaint in (
        ({"id": "x", "start_cell": live.end_cell - 1, "end_cell": live.end_cell + 1}, "two bookings"),
        ({"id": "x", "end_cell": live.start_cell}, "no time"),
        ({"id": "x", "user_id": "nobody"}, "of nobody"),
    ):
        wrong = msgspec.structs.replace(live, **change)
        extra = msgspec.msgpack.encode(snapshot_rows.BookingRows(0, [*world.state.bookings.values(), wrong]))
        with pytest.raises(SnapshotError, match=complaint):
            restore(framed([*pieces[:4], extra, *pieces[5:]]))
