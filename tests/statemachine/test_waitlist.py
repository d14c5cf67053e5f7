"""The line for a place: promotion inside the entry that frees it, order, ends, bounds; and what holds whatever is combined."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statemachine import due, limits, waitlist
from statemachine.commands import BookSeat, JoinWaitlist, LeaveWaitlist, MoveBooking, encode_batch
from statemachine.events import BookingCancelled, SeatBooked, WaiterPromoted, WaitingBegun, WaitingEnded
from statemachine.outcomes import Outcome
from statemachine.people_commands import SetBlocked
from statemachine.state import restore
from statemachine.waiters import Waiter
from tests.statemachine.builders import FREE_CELL, HOUR, HOUR_MS, World
from tests.statemachine.checker import complaints


def join(
    world: World, name: str, seat: str = "A1", start: int = FREE_CELL, slots: int = 1, *, user: str = "ann"
) -> Outcome:
    want = BookSeat(f"b-{name}", "hq", seat, start, slots, world.grid())
    return world.do(JoinWaitlist(name, want), scope=user, session=f"s-{user}")


def waiting(outcome: Outcome) -> Waiter:
    assert outcome.ok, outcome
    assert isinstance(outcome.result, Waiter)
    return outcome.result


def rested(world: World) -> None:
    """A member that comes from a snapshot is the same, and knows the same next moment."""
    restored = restore(world.state.freeze().chunks())
    assert restored.checksum() == world.state.checksum()
    assert restored.due_ms == world.state.due_ms
    assert not complaints(restored)
    for name in ("waiters_by_user", "waiting_by_day"):
        assert getattr(restored, name) == getattr(world.state, name), name


def test_the_cancelling_entry_serves_the_line() -> None:
    world = World()
    world.booked("b1", user="bob")
    waiter = waiting(join(world, "w1"))
    assert waiter.status == "waiting"
    assert [type(event) for _, event in world.applied.events] == [WaitingBegun]
    rested(world)
    outcome = world.cancel("b1", user="bob")
    assert outcome.position == 0
    kinds = [type(event) for _, event in world.applied.events]
    assert kinds == [BookingCancelled, SeatBooked, WaiterPromoted]
    booking = world.state.bookings["b-w1"]
    assert (booking.user_id, booking.seat_id, booking.revision) == ("ann", "A1", f"{outcome.index}.1")
    assert world.state.waiters["w1"].status == "promoted"
    assert [step.kind for step in world.state.history_of(booking)] == ["promoted"]
    assert world.book("b3", user="bob").code == "seat-taken", "there was no gap"
    rested(world)


def test_nobody_joins_ahead_of_who_may_have_it_by_now() -> None:
    """A place stayed free because who waits for it was not let have it; that is over when somebody else joins."""
    world = World()
    world.booked("b1", user="bob")
    join(world, "w1")
    assert world.do(SetBlocked("ann", blocked=True), session="s-root").ok
    world.cancel("b1", user="bob")
    assert world.state.waiters["w1"].status == "waiting"
    assert world.do(SetBlocked("ann", blocked=False), session="s-root").ok
    assert waiting(join(world, "w2", user="bob")).status == "waiting"
    assert world.state.waiters["w1"].status == "promoted"
    assert world.state.bookings["b-w1"].user_id == "ann"
    rested(world)


def test_the_line_is_served_in_its_order() -> None:
    world = World()
    world.booked("b1", user="root")
    join(world, "w1", user="ann")
    join(world, "w2", seat="", user="bob")
    join(world, "w3", user="root")
    places = [waitlist.position_of(world.state, world.state.waiters[name]) for name in ("w1", "w3")]
    assert places == [1, 2]
    world.cancel("b1", user="root")
    assert world.state.waiters["w1"].status == "promoted"
    # "any seat" got one of the others at once, when it joined
    assert world.state.waiters["w2"].status == "promoted"
    assert waitlist.position_of(world.state, world.state.waiters["w3"]) == 1
    world.cancel("b-w1", user="ann")
    assert world.state.waiters["w3"].status == "promoted"
    rested(world)


def test_any_seat_waits_for_the_first_that_is_given_back() -> None:
    world = World()
    for number in range(1, 7):
        world.booked(f"b{number}", f"A{number}", user="bob")
    assert waiting(join(world, "w1", seat="")).status == "waiting"
    world.cancel("b4", user="bob")
    assert world.state.bookings["b-w1"].seat_id == "A4"


def test_a_longer_wish_is_passed_over_until_all_of_it_is_free() -> None:
    world = World()
    world.booked("b1", "A1", FREE_CELL, user="bob")
    world.booked("b2", "A1", FREE_CELL + HOUR, user="bob")
    join(world, "w1", slots=2)
    join(world, "w2", user="root")
    world.cancel("b1", user="bob")
    assert [world.state.waiters[name].status for name in ("w1", "w2")] == ["waiting", "promoted"]
    world.cancel("b2", user="bob")
    world.cancel("b-w2", user="root")
    assert world.state.waiters["w1"].status == "promoted"


def test_a_move_serves_the_line_for_the_place_that_it_leaves() -> None:
    world = World()
    world.booked("b1", user="bob")
    join(world, "w1")
    want = world.booking("b1", "A2")
    outcome = world.do(MoveBooking(world.state.bookings["b1"].revision, want), scope="bob", session="s-bob")
    assert outcome.ok
    assert world.state.bookings["b-w1"].user_id == "ann"


def test_a_free_place_is_got_at_once() -> None:
    world = World()
    assert waiting(join(world, "w1")).status == "promoted"
    assert world.state.bookings["b-w1"].status == "confirmed"


def test_waiting_ends_when_the_time_begins_and_only_once() -> None:
    world = World()
    world.booked("b1", user="bob")
    join(world, "w1")
    join(world, "w2", user="root")
    begins_ms = FREE_CELL * 300_000
    assert world.state.due_ms == begins_ms
    world.now_ms = begins_ms - 1
    world.batch()
    assert world.applied.events == []
    world.now_ms += 1
    world.batch()
    ended = [event for _, event in world.applied.events]
    assert [(type(event), event.reason) for event in ended if isinstance(event, WaitingEnded)] == [
        (WaitingEnded, "expired")
    ] * 2
    assert world.state.due_ms is None
    world.batch()
    assert world.applied.events == []
    rested(world)


def test_much_at_once_is_done_in_bounded_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "MAX_DUE_PER_ENTRY", 2)
    world = World()
    world.booked("b1", slots=3, user="bob")
    for number, user in enumerate(("ann", "root", "ann", "root", "ann")):
        join(world, f"w{number}", start=FREE_CELL + HOUR * (number // 2), user=user)
    world.now_ms = FREE_CELL * 300_000 + 3 * HOUR_MS
    sizes = []
    while world.state.due_ms is not None:
        world.raw(encode_batch(world.now_ms, []))
        sizes.append(len(world.applied.events))
    assert sizes == [2, 2, 1]


def test_leaving_and_joining_again() -> None:
    world = World()
    world.booked("b1", user="root")
    first = waiting(join(world, "w1"))
    assert waiting(join(world, "w9")) == first, "one place in a line"
    join(world, "w2", user="bob")
    leave = world.do(LeaveWaitlist("w1"), session="s-bob")
    assert leave.code == "waiting-not-found"
    assert world.do(LeaveWaitlist("w1"), session="s-ann").ok
    assert world.do(LeaveWaitlist("w1"), session="s-ann").code == "waiting-not-found"
    assert waiting(join(world, "w3")).status == "waiting"
    world.cancel("b1", user="root")
    assert world.state.waiters["w2"].status == "promoted"
    rested(world)


def test_wishes_that_can_never_be() -> None:
    world = World()
    assert join(world, "").code == "malformed"
    assert join(world, "w1", seat="Z").code == "unknown-seat"
    assert join(world, "w1", start=FREE_CELL + 1).code == "off-grid"
    assert join(world, "w1", start=FREE_CELL - 4 * HOUR).code == "past"
    world.booked("b1", user="bob")
    waiting(join(world, "w1"))
    assert join(world, "w1", user="bob").code == "duplicate-id"


def test_lines_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.booked("b1", slots=6, user="root")
    monkeypatch.setattr(waitlist, "MAX_WAITING_PER_USER", 2)
    assert join(world, "w1").ok
    assert join(world, "w2", start=FREE_CELL + HOUR).ok
    assert join(world, "w3", start=FREE_CELL + 2 * HOUR).code == "too-many-waiting"
    monkeypatch.setattr(waitlist, "MAX_WAITING_PER_USER", limits.MAX_WAITING_PER_USER)
    for name in ("MAX_WAITING_PER_SLOT", "MAX_WAITING_PER_DAY", "MAX_WAITING"):
        with monkeypatch.context() as one:
            one.setattr(waitlist, name, 1)
            assert join(world, "w4", user="bob").code == "waitlist-full", name
    assert join(world, "w4", user="bob").ok


def test_what_was_got_makes_room_for_new_wishes() -> None:
    world = World()
    for number in range(limits.MAX_WAITING_PER_USER + 3):
        assert waiting(join(world, f"w{number}")).status == "promoted"
        world.cancel(f"b-w{number}")
    assert len(world.state.waiters) <= limits.MAX_WAITING_PER_USER
    rested(world)


def test_a_person_can_be_taken_out_of_all_lines() -> None:
    from statemachine.tables import Entry

    world = World()
    world.booked("b1", user="bob")
    join(world, "w1")
    waitlist.forget_user(world.state, Entry(99, world.now_ms), "ann")
    assert not world.state.waiters
    assert not world.state.waiting_by_day


_act = st.tuples(
    st.sampled_from(["book", "join", "join", "join any", "cancel", "cancel", "move", "leave", "time"]),
    st.sampled_from(["ann", "bob", "root"]),
    st.sampled_from(["A1", "A2"]),
    st.integers(0, 2),
    st.integers(1, 2),
    st.integers(0, 9),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(_act, st.booleans()), max_size=30))
def test_whatever_is_combined(acts: list[tuple[tuple[str, str, str, int, int, int], bool]]) -> None:
    """No overlap; the line is served in its order and leaves no place free that somebody in it could have."""
    world = World()
    for number, ((kind, user, seat, hour, slots, choice), by_snapshot) in enumerate(acts):
        if by_snapshot:
            world.state = restore(world.state.freeze().chunks())
        start = FREE_CELL + HOUR * hour
        live = [each for each in world.state.bookings.values() if each.status == "confirmed"]
        line = sorted(
            (each for each in world.state.waiters.values() if each.status == "waiting"),
            key=lambda each: each.place_in_line,
        )
        if kind == "book":
            world.book(f"b{number}", seat, start, slots, user=user)
        elif kind.startswith("join"):
            join(world, f"w{number}", "" if kind == "join any" else seat, start, slots, user=user)
        elif kind == "cancel" and live:
            target = live[choice % len(live)]
            world.cancel(target.id, user="root")
            _in_order(world, line, target.start_cell, target.end_cell, target.seat_id)
        elif kind == "move" and live:
            target = live[choice % len(live)]
            want = BookSeat(target.id, "hq", seat, start, slots, world.grid())
            world.do(MoveBooking(target.revision, want), scope="root", session="s-root")
        elif kind == "leave" and line:
            world.do(LeaveWaitlist(line[choice % len(line)].id), session="s-root")
        elif kind == "time":
            world.now_ms += HOUR_MS // 2
            world.batch()
        assert not complaints(world.state)
        _nobody_waits_for_what_is_free(world)
        rested(world)


def _in_order(world: World, line: list[Waiter], start: int, end: int, seat: str) -> None:
    """Of two who wanted exactly the place that became free, the later never came before the earlier."""
    exact = [
        world.state.waiters[each.id].status
        for each in line
        if (each.want.start_cell, each.end_cell) == (start, end) and each.want.seat_id in ("", seat)
    ]
    assert exact == sorted(exact), "promoted before waiting"


def _nobody_waits_for_what_is_free(world: World) -> None:
    held = {
        (each.seat_id, cell)
        for each in world.state.bookings.values()
        if each.status == "confirmed"
        for cell in range(each.start_cell, each.end_cell)
    }
    for waiter in world.state.waiters.values():
        if waiter.status != "waiting" or waiter.begins_ms <= world.state.now_ms:
            continue
        # Of the six seats the others are never taken here: "any seat" never waits.
        seats = [waiter.want.seat_id] if waiter.want.seat_id else ["A1", "A2", "A3"]
        for seat in seats:
            assert {(seat, cell) for cell in range(waiter.want.start_cell, waiter.end_cell)} & held
