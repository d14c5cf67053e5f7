"""Checking in, and what happens to those who do not."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statemachine.commands import BookSeat, CheckIn, JoinWaitlist, MoveBooking, SetCheckIn
from statemachine.events import BookingCheckedIn, BookingReleased, SeatBooked, WaiterPromoted
from statemachine.limits import MAX_GRACE_MINUTES
from statemachine.outcomes import Outcome
from statemachine.state import restore
from tests.statemachine.builders import FREE_CELL, HOUR, HOUR_MS, World
from tests.statemachine.checker import complaints

BEGINS_MS = FREE_CELL * 300_000
MINUTE_MS = 60_000


def grace(world: World, minutes: int = 10, *, user: str = "root") -> Outcome:
    return world.do(SetCheckIn("hq", minutes), scope=user, session=f"s-{user}")


def check_in(world: World, booking_id: str = "b1", *, user: str = "ann") -> Outcome:
    return world.do(CheckIn(booking_id), scope=user, session=f"s-{user}")


def rested(world: World) -> None:
    restored = restore(world.state.freeze().chunks())
    assert restored.checksum() == world.state.checksum()
    assert (restored.due_ms, restored.expected) == (world.state.due_ms, world.state.expected)
    assert not complaints(restored)


def test_off_until_an_administrator_sets_it() -> None:
    world = World()
    world.booked("b1")
    assert world.state.due_ms is None
    assert grace(world, user="ann").code == "forbidden"
    assert world.do(SetCheckIn("none", 5), session="s-root").code == "unknown-space"
    assert grace(world, MAX_GRACE_MINUTES + 1).code == "malformed"
    assert grace(world).ok
    assert list(world.state.audit)[-1].what == "check-in-set"
    assert world.state.due_ms is None, "bookings keep the rules they were made under"


def test_who_does_not_come_is_released_once() -> None:
    world = World()
    grace(world)
    world.booked("b1", slots=2)
    assert world.state.due_ms == BEGINS_MS + 10 * MINUTE_MS
    rested(world)
    world.now_ms = BEGINS_MS + 10 * MINUTE_MS - 1
    world.batch()
    assert world.state.bookings["b1"].status == "confirmed"
    world.now_ms += 1
    world.batch()
    (booking,) = [event.booking for _, event in world.applied.events if isinstance(event, BookingReleased)]
    assert booking == world.state.bookings["b1"]
    assert (booking.status, booking.cancelled_at_ms) == ("released", world.now_ms)
    assert booking.revision == f"{world.state.index}.0"
    steps = world.state.history_of(booking)
    assert [(step.kind, step.by_user_id) for step in steps] == [("confirmed", "ann"), ("released", "")]
    world.batch()
    assert world.applied.events == []
    assert world.state.due_ms is None
    assert world.book("b2", start=FREE_CELL + HOUR, user="bob").ok, "the rest of it is free"
    assert check_in(world).code == "booking-cancelled"
    assert world.cancel("b1").code == "booking-cancelled"
    rested(world)


def test_the_seat_goes_to_the_waitlist_in_the_same_entry() -> None:
    world = World()
    grace(world)
    world.booked("b1", slots=3)
    want = BookSeat("bw", "hq", "A1", FREE_CELL + HOUR, 1, world.grid())
    world.do(JoinWaitlist("w1", want), session="s-bob")
    world.now_ms = BEGINS_MS + 10 * MINUTE_MS
    world.batch()
    kinds = [type(event) for _, event in world.applied.events]
    assert kinds == [BookingReleased, SeatBooked, WaiterPromoted]
    assert world.state.bookings["bw"].user_id == "bob"
    assert "bw" in world.state.expected, "who was promoted has to come, too"
    rested(world)


def test_who_comes_stays() -> None:
    world = World()
    grace(world)
    world.booked("b1")
    assert check_in(world).code == "too-early-to-check-in"
    world.now_ms = BEGINS_MS - 15 * MINUTE_MS
    assert check_in(world, user="bob").code == "booking-not-found"
    assert check_in(world).ok
    assert [type(event) for _, event in world.applied.events] == [BookingCheckedIn]
    assert check_in(world).ok
    assert world.applied.events == [], "once"
    world.now_ms = BEGINS_MS + 30 * MINUTE_MS
    world.batch()
    assert world.state.bookings["b1"].status == "confirmed"
    assert [step.kind for step in world.state.history_of(world.state.bookings["b1"])] == [
        "confirmed",
        "checked-in",
    ]
    rested(world)
    world.now_ms = BEGINS_MS + HOUR_MS
    assert check_in(world).code == "booking-completed"


def test_an_administrator_checks_others_in() -> None:
    world = World()
    grace(world)
    world.booked("b1")
    world.now_ms = BEGINS_MS
    assert check_in(world, user="root").ok


def test_cancelled_and_moved_bookings_are_not_released() -> None:
    world = World()
    grace(world)
    world.booked("b1")
    world.booked("b2", "A2")
    world.cancel("b1")
    booking = world.state.bookings["b2"]
    want = world.booking("b2", "A2", FREE_CELL + 3 * HOUR)
    assert world.do(MoveBooking(booking.revision, want), session="s-ann").ok
    assert world.state.due_ms == BEGINS_MS + 3 * HOUR_MS + 10 * MINUTE_MS
    rested(world)


def test_turned_off_nobody_is_released() -> None:
    world = World()
    grace(world)
    world.booked("b1")
    grace(world, 0)
    world.now_ms = BEGINS_MS + 20 * MINUTE_MS
    world.batch()
    assert world.state.bookings["b1"].status == "confirmed"
    assert world.state.due_ms is None


def test_a_grace_longer_than_the_booking_expects_nobody() -> None:
    world = World()
    grace(world, 60)
    world.booked("b1")
    assert not world.state.expected


_acts = st.tuples(
    st.sampled_from(
        ["book", "book", "join", "move", "cancel", "check in", "check in", "grace", "time", "time"]
    ),
    st.sampled_from(["A1", "A2"]),
    st.integers(0, 2),  # hour
    st.integers(1, 2),  # slots
    st.integers(0, 9),  # which one, and how much
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_acts, max_size=30))
def test_nobody_is_released_who_came_and_everybody_who_did_not(
    acts: list[tuple[str, str, int, int, int]],
) -> None:
    """Against the plainest model: when each booking is due, by the grace under which it was made or moved."""
    world = World()
    due: dict[str, int] = {}
    minutes = 0
    for number, (kind, seat, hour, slots, choice) in enumerate(acts):
        before = dict(world.state.bookings)
        live = [each for each in before.values() if each.status == "confirmed"]
        target = live[choice % len(live)] if live else None
        start = FREE_CELL + HOUR * hour
        came = ""
        if kind == "book":
            world.book(f"b{number}", seat, start, slots)
        elif kind == "join":
            want = world.booking(f"b{number}", seat, start, slots)
            world.do(JoinWaitlist(f"w{number}", want), session="s-bob")
        elif kind == "move" and target is not None:
            world.do(
                MoveBooking(target.revision, world.booking(target.id, seat, start, slots)), session="s-root"
            )
        elif kind == "cancel" and target is not None:
            world.cancel(target.id, user="root")
        elif kind == "check in" and target is not None:
            came = target.id if check_in(world, target.id, user="root").ok else ""
        elif kind == "grace":
            minutes = (0, 10, 30, 90)[choice % 4]
            grace(world, minutes)
        elif kind == "time":
            world.now_ms += choice * 10 * MINUTE_MS
            world.batch()
        assert came == "" or world.state.bookings[came].status == "confirmed"
        due.pop(came, None)
        for booking in world.state.bookings.values():
            old = before.get(booking.id)
            if booking.status == "released" and old is not None and old.status == "confirmed":
                assert minutes, "nobody has to come"
                assert due[booking.id] <= world.now_ms, "too early, or somebody who came"
            if booking.status != "confirmed":
                due.pop(booking.id, None)
            elif old is None or (old.start_cell, old.end_cell, old.seat_id) != (
                booking.start_cell,
                booking.end_cell,
                booking.seat_id,
            ):
                at_ms = booking.start_cell * 300_000 + minutes * MINUTE_MS
                due.pop(booking.id, None)
                if minutes and at_ms < booking.end_cell * 300_000:
                    due[booking.id] = at_ms
        over = [booking_id for booking_id, at_ms in due.items() if at_ms <= world.state.now_ms]
        for booking_id in over:
            del due[booking_id]
            ended = world.state.bookings[booking_id].end_cell * 300_000 <= world.state.now_ms
            assert ended or not minutes, (
                f"{booking_id} should have been released"
            )  # what is over is completed
        rested(world)
