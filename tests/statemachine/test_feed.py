"""The feed: what it keeps, what it tells about what it does not, and that snapshots carry it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statemachine import feed as feed_module
from statemachine.commands import BirthCluster, CancelBooking, RegisterUser, encode_batch
from statemachine.events import BookingCancelled, ClusterBorn, SeatBooked, UserRegistered
from statemachine.feed import BEGINNING, END_OF_ENTRY, Feed, Place
from statemachine.outbox_commands import BeginFeed
from statemachine.snapshot_frames import SnapshotError, bodies, frame
from statemachine.snapshot_rows import FeedRows
from statemachine.state import restore
from tests.statemachine.builders import FREE_CELL, HOUR, World
from tests.statemachine.logs import Batch, encoded, logs

VERSION_3 = Path(__file__).parent / "files" / "snapshot-version-3.bin"
VERSION_3_DIGEST = "dc2859725ce8bd61e810fd51d3dc7471"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "FEED_EVENTS_KEPT", 5)


def event(at_ms: int = 0) -> ClusterBorn:
    return ClusterBorn("root", at_ms)


def places(feed: Feed, after: Place = BEGINNING, limit: int = 1_000) -> list[Place]:
    return [told[:2] for told in feed.after(after, limit)]


def test_every_event_of_the_log_in_its_order() -> None:
    world = World()
    feed = world.state.feed
    assert [type(told[2]) for told in feed.after(BEGINNING, 2)] == [
        type(told[2]) for told in feed.after((0, 7), 2)
    ]
    before = feed.last
    assert before is not None
    world.booked("b1")
    index = world.state.index
    world.batch(
        world.envelope(CancelBooking("b1"), session="s-ann"),
        world.envelope(world.booking("b2", "A2"), session="s-ann"),
    )
    assert [(told[:2], type(told[2])) for told in feed.after(before, 10)] == [
        ((index, 0), SeatBooked),
        ((index + 1, 0), BookingCancelled),
        ((index + 1, 1), SeatBooked),
    ]
    assert places(feed, (index, 0), 1) == [(index + 1, 0)]
    assert places(feed, (index, 99), 1) == [(index + 1, 0)]
    assert not places(feed, (index + 1, 1))
    assert not places(feed, (index + 9, 0))
    assert (feed.first, feed.last, feed.lost_through) == (places(feed)[0], (index + 1, 1), BEGINNING)
    world.book("b3")
    world.raw(b"no batch")
    world.raw(encode_batch(world.now_ms, []))
    assert places(feed)[-1] == (index + 2, 0), "refusals tell nothing"


def test_no_name_stays_in_it() -> None:
    world = World()
    world.do(RegisterUser("eve", "Eve Example", "eve example", "a-secret-hash"))
    *_, (_, _, told) = world.state.feed.after(BEGINNING, 1_000)
    assert told == UserRegistered("eve", "", "user", world.now_ms)
    assert isinstance(world.applied.events[0][1], UserRegistered)
    assert world.applied.events[0][1].login == "Eve Example", "what happened is as it was"


def test_the_oldest_go(short: None) -> None:
    feed = Feed()
    assert (feed.first, feed.last, feed.lost_through, len(feed)) == (None, None, BEGINNING, 0)
    for index in range(1, 5):
        feed.extend(index, enumerate([event(), event()]))
    assert places(feed) == [(2, 1), (3, 0), (3, 1), (4, 0), (4, 1)]
    assert (feed.first, feed.last, feed.lost_through) == ((2, 1), (4, 1), (2, 0))
    assert [place for place in itertools.product(range(6), range(3)) if feed.has(place)] == [
        BEGINNING, (2, 0), (2, 1), (3, 0), (3, 1), (4, 0), (4, 1),
    ]  # fmt: skip


def test_a_snapshot_carries_it(short: None) -> None:
    world = World()
    for number in range(7):
        frozen = world.state.freeze()
        checksum, kept = world.state.checksum(), list(world.state.feed.after(BEGINNING, 99))
        world.booked(f"b{number}", start=world.grid().windows[0][0] + 12 * (5 + number))
        restored = restore(frozen.chunks())
        assert restored.checksum() == checksum
        assert restored.feed.after(BEGINNING, 99) == kept
    one, other = world.state.feed, restore(world.state.freeze().chunks()).feed
    assert (one.first, one.last, one.lost_through) == (other.first, other.last, other.lost_through)
    assert one.lost_through > BEGINNING
    assert len(other) == 5


def test_a_restored_feed_shares_the_records_of_the_tables() -> None:
    world = World()
    world.booked("b1")
    restored = restore(world.state.freeze().chunks())
    *_, (_, _, told) = restored.feed.after(BEGINNING, 1_000)
    assert isinstance(told, SeatBooked)
    assert told.booking is restored.bookings["b1"]


@settings(max_examples=60, deadline=None)
@given(logs(max_batches=6), st.integers(1, 12))
def test_whichever_way_a_member_comes_its_feed_is_the_same(batches: list[Batch], cut: int) -> None:
    one, other = World(populated=False).state, World(populated=False).state
    told: list[Any] = []
    for index, batch in enumerate(batches, 1):
        applied = one.apply(index, encoded(batch))
        told += [(index, position) for position, _ in applied.events]
        other.apply(index, encoded(batch))
        if index % cut == 0:
            other = restore(other.freeze().chunks())
    assert places(one.feed) == told
    assert one.feed.after(BEGINNING, 10_000) == other.feed.after(BEGINNING, 10_000)
    assert one.checksum() == other.checksum()


@pytest.mark.parametrize(
    "rows",
    [
        [(5, 0, event()), (5, 0, event())],
        [(5, 1, event()), (5, 0, event())],
        [(5, 0, event()), (6, 0, None)],
        [(5, 0, None), (5, 0, event())],
        [(5, 0, None), (6, 0, None)],
        [(0, 0, None)],
        [(5, -1, event())],
        [(5, END_OF_ENTRY + 1, event())],
    ],
)
def test_a_feed_that_cannot_be_is_refused(rows: list[Any]) -> None:
    world = World()
    *pieces, _, tail = bodies([b"".join(world.state.freeze().chunks())])
    wrong = msgspec.msgpack.encode(FeedRows(0, rows))
    chain, frames = b"", []
    for piece in (*pieces, wrong, tail):
        chain, framed = frame(chain, piece)
        frames.append(framed)
    with pytest.raises(SnapshotError, match="a feed out of order"):
        restore(frames)


def test_a_file_of_version_3_is_read() -> None:
    """Its tables are all there; its feed was never written, and begins when the leader says so: on a member that has replayed
    the entries as on one that restored the file.
    """
    old = restore([VERSION_3.read_bytes()])
    assert old.digest.hex() == VERSION_3_DIGEST
    assert (len(old.waiters), len(old.calendars), len(old.feed)) == (1, 1, 0)
    assert (old.feed.is_open, old.feed.lost_through) == (False, BEGINNING)
    again = restore(old.freeze().chunks())
    assert again.checksum() == old.checksum()
    world = World(old, populated=False)
    world.booked("b7", "A6", user="bob")
    assert places(old.feed) == []
    assert world.do(BeginFeed(), scope="outbox:").ok
    assert old.feed.lost_through == (old.index - 1, END_OF_ENTRY)
    begun = old.checksum()
    assert world.do(BeginFeed(), scope="outbox:").ok, "twice is harmless"
    assert restore(old.freeze().chunks()).checksum() == old.checksum() != begun
    world.booked("b8", "A6", HOUR + FREE_CELL, user="bob")
    assert places(old.feed) == [(old.index, 0)]


def test_members_that_replay_and_members_that_restore_get_one_feed() -> None:
    """A cluster of an older program: one member has its entries, the other a snapshot without a feed. Found by simulated worlds that
    begin on such disks (seed 13): their tables differed for ever.
    """
    world = World(kind=BirthCluster)
    world.booked("b1")
    restored = World(restore(world.state.freeze().chunks()), populated=False)
    assert world.state.feed.last is None
    for member in (world, restored):
        member.now_ms, member.requests = world.now_ms, 100
        assert member.do(BeginFeed(), scope="outbox:").ok
        member.booked("b2", "A2")
    assert world.state.checksum() == restored.state.checksum()
    assert places(world.state.feed) == places(restored.state.feed) == [(world.state.index, 0)]


def test_a_damaged_file_of_version_3_is_refused() -> None:
    data = bytearray(VERSION_3.read_bytes())
    for at in range(0, len(data), 41):
        data[at] ^= 1
        with pytest.raises(SnapshotError):
            restore([bytes(data)])
        data[at] ^= 1
