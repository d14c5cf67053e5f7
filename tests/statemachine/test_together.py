"""Baskets, moves, reasons and histories: the rules one by one, and what holds whatever is combined."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statemachine.commands import BookTogether, CancelBookingBecause, CancelUnchanged, MoveBooking
from statemachine.events import BookingMoved, SeatBooked
from statemachine.limits import MAX_BASKET_ITEMS, MAX_REASON_CHARS, MAX_STEPS_PER_BOOKING
from statemachine.outcomes import Outcome
from statemachine.records import Booking, Together
from statemachine.snapshot import table_checksums
from statemachine.state import restore
from tests.statemachine.builders import FREE_CELL, HOUR, HOUR_MS, SEATS, World
from tests.statemachine.checker import complaints

VERSION_2 = Path(__file__).parent / "files" / "snapshot-version-2.bin"
VERSION_2_DIGEST = "8af5b5bd6e1c41b860256911430fe58f"


def basket(world: World, *places: tuple[str, int], user: str = "ann", first: int = 0) -> Outcome:
    items = tuple(
        world.booking(f"i{first + number}", seat, start) for number, (seat, start) in enumerate(places)
    )
    return world.do(BookTogether(items), scope=user, session=f"s-{user}")


def move(
    world: World,
    booking_id: str,
    seat: str,
    start: int,
    slots: int = 1,
    *,
    user: str = "ann",
    revision: str | None = None,
) -> Outcome:
    known = world.state.bookings.get(booking_id)
    named = revision if revision is not None else known.revision if known else ""
    want = world.booking(booking_id, seat, start, slots)
    return world.do(MoveBooking(named, want), scope=user, session=f"s-{user}")


def codes(outcome: Outcome) -> list[str]:
    assert isinstance(outcome.result, Together)
    return [item.code for item in outcome.result.items]


def test_a_basket_takes_all() -> None:
    world = World()
    outcome = basket(world, ("A1", FREE_CELL), ("A2", FREE_CELL), ("A1", FREE_CELL + HOUR))
    assert outcome.ok
    assert isinstance(outcome.result, Together)
    bookings = [item.booking for item in outcome.result.items]
    assert [world.state.bookings[f"i{number}"] for number in range(3)] == bookings
    index = world.state.index
    assert [booking.revision for booking in bookings if booking] == [f"{index}.{place}" for place in range(3)]
    assert [type(event) for _, event in world.applied.events] == [SeatBooked] * 3
    assert not complaints(world.state)


def test_a_basket_takes_nothing_when_one_is_taken() -> None:
    world = World()
    world.booked("b1", "A2")
    before = table_checksums(world.state)
    outcome = basket(world, ("A1", FREE_CELL), ("A2", FREE_CELL), ("A3", FREE_CELL))
    assert outcome.code == "seat-taken"
    assert codes(outcome) == ["ok", "seat-taken", "ok"]
    assert isinstance(outcome.result, Together)
    offered = {(place.seat_id, place.start_cell) for place in outcome.result.items[1].alternatives}
    assert offered
    assert not offered & {("A1", FREE_CELL), ("A2", FREE_CELL), ("A3", FREE_CELL)}, "wanted by the basket"
    after = table_checksums(world.state)
    assert [name for name in after if after[name] != before[name]] == ["outcomes"]
    assert not complaints(world.state)


def test_a_basket_that_overlaps_itself_is_refused() -> None:
    world = World()
    outcome = basket(world, ("A1", FREE_CELL), ("A1", FREE_CELL))
    assert (outcome.code, codes(outcome)) == ("seat-taken", ["ok", "seat-taken"])
    assert not complaints(world.state)


def test_what_can_never_be_is_told_of_each() -> None:
    world = World()
    outcome = basket(world, ("A1", FREE_CELL), ("Z", FREE_CELL), ("A1", FREE_CELL + 1))
    assert (outcome.code, codes(outcome)) == ("unknown-seat", ["ok", "unknown-seat", "off-grid"])


def test_baskets_out_of_bounds_are_malformed() -> None:
    world = World()
    assert basket(world).code == "malformed"
    assert basket(world, *[("A1", FREE_CELL)] * (MAX_BASKET_ITEMS + 1)).code == "malformed"
    twice = world.booking("same")
    assert world.do(BookTogether((twice, twice)), session="s-ann").code == "malformed"


def test_a_move_keeps_the_booking_and_its_past() -> None:
    world = World()
    first = world.booked("b1", "A1")
    outcome = move(world, "b1", "A2", FREE_CELL + HOUR, 2)
    assert outcome.ok
    booking = outcome.result
    assert isinstance(booking, Booking)
    assert (booking.id, booking.seat_id, booking.start_cell, booking.end_cell) == (
        "b1",
        "A2",
        FREE_CELL + HOUR,
        FREE_CELL + 3 * HOUR,
    )
    assert booking.revision == f"{outcome.index}.{outcome.position}"
    assert world.applied.events == [(0, BookingMoved(booking, first, "ann", world.now_ms))]
    assert world.book("b2", "A1", user="bob").ok, "the old place is free"
    assert world.book("b3", "A2", FREE_CELL + HOUR, user="bob").code == "seat-taken"
    steps = world.state.history_of(booking)
    assert [(step.kind, step.seat_id, step.revision) for step in steps] == [
        ("confirmed", "A1", first.revision),
        ("moved", "A2", booking.revision),
    ]
    assert not complaints(world.state)
    assert not complaints(restore(world.state.freeze().chunks()))


def test_a_move_may_overlap_the_old_place() -> None:
    world = World()
    world.booked("b1", "A1", FREE_CELL, 2)
    assert move(world, "b1", "A1", FREE_CELL + HOUR, 2).ok
    assert world.book("b2", "A1", user="bob").ok
    assert not complaints(world.state)


def test_a_refused_move_loses_nothing() -> None:
    world = World()
    world.booked("b1", "A1")
    world.booked("b2", "A2", user="bob")
    before = table_checksums(world.state)
    outcome = move(world, "b1", "A2", FREE_CELL)
    assert outcome.code == "seat-taken"
    assert outcome.alternatives
    assert all((place.seat_id, place.start_cell) != ("A1", FREE_CELL) for place in outcome.alternatives)
    after = table_checksums(world.state)
    assert [name for name in after if after[name] != before[name]] == ["outcomes"]
    assert world.book("b3", "A1", user="bob").code == "seat-taken"
    assert not complaints(world.state)


def test_moves_that_are_refused() -> None:
    world = World()
    world.booked("b1", "A1")
    assert move(world, "b1", "A2", FREE_CELL, user="bob").code == "booking-not-found"
    assert move(world, "b1", "A2", FREE_CELL, user="root").ok, "an administrator moves anybody's"
    assert move(world, "b1", "A3", FREE_CELL, revision="1.1").code == "booking-changed"
    assert move(world, "b1", "A2", FREE_CELL + 1).code == "off-grid"
    same = move(world, "b1", "A2", FREE_CELL)
    assert same.ok
    assert not world.applied.events, "it is there already"
    world.now_ms += 2 * HOUR_MS
    assert move(world, "b1", "A3", FREE_CELL + 2 * HOUR).code == "booking-begun"
    world.now_ms += HOUR_MS
    assert move(world, "b1", "A3", FREE_CELL + 2 * HOUR).code == "booking-completed"
    world.booked("b2", "A4", FREE_CELL + 4 * HOUR)
    world.cancel("b2")
    assert move(world, "b2", "A5", FREE_CELL + 4 * HOUR).code == "booking-cancelled"


def test_a_booking_changes_so_often_and_can_be_cancelled_still() -> None:
    world = World()
    world.booked("b1", "A1")
    for number in range(1, MAX_STEPS_PER_BOOKING):
        assert move(world, "b1", SEATS[number % 2], FREE_CELL).ok
    assert move(world, "b1", "A5", FREE_CELL).code == "too-many-changes"
    assert world.cancel("b1").ok
    assert len(world.state.history_of(world.state.bookings["b1"])) == MAX_STEPS_PER_BOOKING + 1


def test_why_and_by_whom_is_kept() -> None:
    world = World()
    made = world.booked("b1")
    reason = CancelBookingBecause("b1", "the roof leaks")
    outcome = world.do(reason, session="s-root")
    assert isinstance(outcome.result, Booking)
    steps = world.state.history_of(outcome.result)
    assert [(step.kind, step.by_user_id, step.reason, step.revision) for step in steps] == [
        ("confirmed", "ann", "", made.revision),
        ("cancelled", "root", "the roof leaks", outcome.result.revision),
    ]
    long = CancelBookingBecause("b1", "x" * (MAX_REASON_CHARS + 1))
    assert world.do(long, session="s-root").code == "malformed"


def test_a_booking_is_cancelled_as_of_a_revision() -> None:
    world = World()
    seen = world.booked("b1").revision
    moved = move(world, "b1", "A2", FREE_CELL)
    assert isinstance(moved.result, Booking)
    assert world.do(CancelUnchanged("b1", "", seen), session="s-ann").code == "booking-changed"
    assert world.state.bookings["b1"].status == "confirmed"
    done = world.do(CancelUnchanged("b1", "rain", moved.result.revision), session="s-ann")
    assert isinstance(done.result, Booking)
    assert [step.reason for step in world.state.history_of(done.result)][-1] == "rain"
    again = world.do(CancelUnchanged("b1", "", seen), session="s-ann")
    assert (again.code, again.result) == ("ok", done.result)  # it is so already
    long = CancelUnchanged("b1", "x" * (MAX_REASON_CHARS + 1), seen)
    assert world.do(long, session="s-ann").code == "malformed"


def test_a_plain_history_follows_from_the_record() -> None:
    world = World()
    world.booked("b1")
    world.cancel("b1")
    assert not len(world.state.steps)
    steps = world.state.history_of(world.state.bookings["b1"])
    assert [(step.kind, step.by_user_id) for step in steps] == [("confirmed", "ann"), ("cancelled", "ann")]


def test_a_file_of_version_2_is_read() -> None:
    old = restore([VERSION_2.read_bytes()])
    assert old.digest.hex() == VERSION_2_DIGEST
    assert restore(old.freeze().chunks()).checksum() == old.checksum()
    data = bytearray(VERSION_2.read_bytes())
    for at in range(0, len(data), 41):
        data[at] ^= 1
        with pytest.raises(Exception, match="snapshot"):
            restore([bytes(data)])
        data[at] ^= 1


_place = st.tuples(st.sampled_from(SEATS[:2]), st.integers(0, 3).map(lambda hours: FREE_CELL + HOUR * hours))
_act = st.one_of(
    st.tuples(st.just("basket"), st.lists(_place, min_size=1, max_size=3), st.just(1)),
    st.tuples(st.just("move"), st.lists(_place, min_size=1, max_size=1), st.integers(1, 3)),
    st.tuples(st.just("book"), st.lists(_place, min_size=1, max_size=1), st.integers(1, 2)),
    st.tuples(st.just("cancel"), st.just([("A1", FREE_CELL)]), st.just(1)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(_act, st.integers(0, 9), st.booleans()), max_size=25))
def test_nothing_overlaps_whatever_is_combined(
    acts: list[tuple[tuple[str, list[tuple[str, int]], int], int, bool]],
) -> None:
    """Against sets of cells; and a member that comes from a snapshot at any moment goes on alike."""
    world = World()
    held: dict[str, set[tuple[str, int]]] = {}
    for number, ((kind, places, slots), choice, by_snapshot) in enumerate(acts):
        if by_snapshot:
            world.state = restore(world.state.freeze().chunks())
        wanted = [{(seat, cell) for cell in range(start, start + slots * HOUR)} for seat, start in places]
        target = list(held)[choice % len(held)] if held else ""
        others = {cell for name, cells in held.items() for cell in cells if kind != "move" or name != target}
        free = sum(map(len, wanted)) == len(set().union(*wanted)) and not others & set().union(*wanted)
        if kind == "cancel":
            if target:
                assert world.cancel(target).ok
                del held[target]
        elif kind == "move":
            if target:
                outcome = move(world, target, *places[0], slots)
                assert outcome.ok == free
                if free:
                    held[target] = wanted[0]
        elif kind == "book":
            outcome = world.book(f"b{number}", *places[0], slots)
            assert outcome.ok == free
            if free:
                held[f"b{number}"] = wanted[0]
        else:
            outcome = basket(world, *places, first=10 * number)
            assert outcome.ok == free
            if free:
                held |= {f"i{10 * number + place}": cells for place, cells in enumerate(wanted)}
        live = {booking.id for booking in world.state.bookings.values() if booking.status == "confirmed"}
        assert live == set(held)
        assert not complaints(world.state)
        assert restore(world.state.freeze().chunks()).checksum() == world.state.checksum()
    assert len(world.state.steps) == sum(map(len, world.state.steps_by_booking.values()))
