"""Whatever administrators do while people book: a plain second reading of the rules agrees, and nobody overlaps.

The second reading walks over all bookings for every question and shares nothing with the rules but the records.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statemachine.commands import Consent, DayGrid
from statemachine.limits import MAX_CELL
from statemachine.outcomes import Outcome
from statemachine.premises import Affected, Outage, Policy, SeatDetails, Then
from statemachine.records import CELL_MS, Booking
from statemachine.spaces import rules_of, token_of
from statemachine.state import restore
from tests.statemachine.builders import DAY_MS, HOUR, HOUR_MS, NOW_CELL
from tests.statemachine.checker import complaints
from tests.statemachine.test_spaces import Premises

QUICK = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
SEATS = ("A1", "A2")
FIRST = NOW_CELL + HOUR
SLOTS = 30  # of an hour, over two local days of 15

_seats = st.sampled_from(SEATS)
_hours = st.integers(0, SLOTS - 1)
_policies = st.builds(
    Policy,
    horizon_days=st.sampled_from([0, 0, 1]),
    longest_minutes=st.sampled_from([0, 0, 60, 120]),
    live_bookings=st.sampled_from([0, 0, 1, 2]),
    daily_bookings=st.sampled_from([0, 0, 1, 2]),
    one_seat_at_a_time=st.booleans(),
    cancel_cutoff_minutes=st.sampled_from([0, 0, 90]),
)
_ranges = st.lists(st.tuples(_hours, st.integers(1, 4)), max_size=2)
_fates = st.sampled_from(["keep", "cancel"])
_steps = st.one_of(
    st.tuples(st.just("book"), st.sampled_from(["ann", "ann", "bob", "root"]), _seats, _hours, st.integers(1, 3)),
    st.tuples(st.just("book"), st.just("ann"), _seats, st.integers(0, 3), st.just(1)),
    st.tuples(st.just("cancel"), st.sampled_from(["ann", "bob", "root"]), st.integers(0, 8)),
    st.tuples(st.just("policy"), _policies),
    st.tuples(st.just("close"), _ranges, _fates, st.booleans()),
    st.tuples(st.just("outages"), _seats, _ranges, _fates, st.booleans()),
    st.tuples(st.just("retire"), _seats, st.booleans(), _fates, st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from([1, HOUR_MS, 5 * HOUR_MS, DAY_MS])),
)  # fmt: skip


class Reader:
    """The second reading of the rules, over the tables as they are before a command."""

    def __init__(self, world: Premises) -> None:
        self.world = world
        self.now_ms = max(world.now_ms, world.state.now_ms)

    def live(self) -> list[Booking]:
        bookings = self.world.state.bookings.values()
        return [
            each for each in bookings if each.status == "confirmed" and each.end_cell * CELL_MS > self.now_ms
        ]

    def verdict(self, user: str, seat: str, hour: int, slots: int) -> str:
        start, end = FIRST + hour * HOUR, FIRST + (hour + slots) * HOUR
        details = self.world.state.details_of("hq", seat)
        if details is not None and details.retired:
            return "unknown-seat"
        if end > FIRST + SLOTS * HOUR:
            return "off-grid"
        if start * CELL_MS <= self.now_ms:
            return "past"
        broken = "" if user == "root" else self.broken(user, start, end)
        if broken:
            return broken
        if details is not None and any(
            each.start_cell < end and start < each.end_cell for each in details.outages
        ):
            return "out-of-service"
        everybody = [each for each in self.world.state.bookings.values() if each.status == "confirmed"]
        if any(
            each.seat_id == seat and each.start_cell < end and start < each.end_cell for each in everybody
        ):
            return "seat-taken"
        return "ok"

    def broken(self, user: str, start: int, end: int) -> str:
        policy = rules_of(self.world.state, "hq").policy
        confirmed = [each for each in self.world.state.bookings.values() if each.status == "confirmed"]
        mine = [each for each in confirmed if each.user_id == user]
        half = FIRST + SLOTS // 2 * HOUR
        same_day = [each for each in mine if (each.start_cell < half) == (start < half)]
        together = [each for each in mine if each.start_cell < end and start < each.end_cell]
        ahead = [each for each in mine if each.end_cell * CELL_MS > self.now_ms]
        limits: list[tuple[str, bool]] = [
            ("beyond-horizon", bool(policy.horizon_days) and start * CELL_MS - self.now_ms > policy.horizon_days * DAY_MS),
            ("too-long", bool(policy.longest_minutes) and (end - start) * 5 > policy.longest_minutes),
            ("too-many-live", bool(policy.live_bookings) and len(ahead) >= policy.live_bookings),
            ("too-many-that-day", bool(policy.daily_bookings) and len(same_day) >= policy.daily_bookings),
            ("seated-elsewhere", policy.one_seat_at_a_time and bool(together)),
        ]  # fmt: skip
        return next((code for code, breaks in limits if breaks), "")

    def cancelling(self, user: str, booking_id: str) -> str:
        booking = self.world.state.bookings.get(booking_id)
        if booking is None or user not in (booking.user_id, "root"):
            return "booking-not-found"
        if booking.status == "cancelled":
            return "ok"
        if booking.end_cell * CELL_MS <= self.now_ms:
            return "booking-completed"
        cutoff = rules_of(self.world.state, "hq").policy.cancel_cutoff_minutes
        late = cutoff and booking.start_cell * CELL_MS - self.now_ms < cutoff * 60_000
        return "too-late-to-cancel" if late and user != "root" else "ok"

    def touched(self, cells: set[int], seats: tuple[str, ...]) -> list[Booking]:
        found = [
            each
            for each in self.live()
            if each.seat_id in seats and cells & set(range(each.start_cell, each.end_cell))
        ]
        return sorted(found, key=lambda each: (each.start_cell, each.seat_id, each.id))


def cells_of(ranges: list[tuple[int, int]]) -> set[int]:
    return {
        cell for hour, length in ranges for cell in range(FIRST + hour * HOUR, FIRST + (hour + length) * HOUR)
    }


def runs_of(cells: set[int]) -> tuple[tuple[int, int], ...]:
    """The cells as ranges in order."""
    starts = sorted(cell for cell in cells if cell - 1 not in cells)
    ends = sorted(cell + 1 for cell in cells if cell + 1 not in cells)
    return tuple(zip(starts, ends, strict=True))


class Run:
    """Carries steps out, and compares."""

    def __init__(self) -> None:
        self.world = Premises()
        self.made = 0

    def step(self, step: tuple[Any, ...]) -> None:
        getattr(self, step[0])(*step[1:])
        assert complaints(self.world.state) == []

    def grid(self) -> DayGrid:
        half = SLOTS // 2
        windows = ((FIRST, half), (FIRST + half * HOUR, half))
        return DayGrid(self.world.state.spaces["hq"].revision, HOUR, windows)

    def book(self, user: str, seat: str, hour: int, slots: int) -> None:
        expected = Reader(self.world).verdict(user, seat, hour, slots)
        outcome = self.world.book(
            f"b{self.made}", seat, FIRST + hour * HOUR, slots, user=user, grid=self.grid()
        )
        assert outcome.code == expected
        self.made += outcome.ok

    def cancel(self, user: str, number: int) -> None:
        expected = Reader(self.world).cancelling(user, f"b{number}")
        assert self.world.cancel(f"b{number}", user=user).code == expected

    def policy(self, policy: Policy) -> None:
        assert self.world.revise(policy=policy).ok

    def close(self, ranges: list[tuple[int, int]], fate: Then, look: bool) -> None:
        cells = cells_of(ranges)
        touched = Reader(self.world).touched(cells, SEATS)
        closing, until_cell = runs_of(cells), MAX_CELL
        self.agree(
            lambda consent: self.world.revise(closing=closing, until_cell=until_cell, consent=consent), touched, fate, look
        )  # fmt: skip

    def outages(self, seat: str, ranges: list[tuple[int, int]], fate: Then, look: bool) -> None:
        details = self.world.state.details_of("hq", seat)
        known = (
            {cell for each in details.outages for cell in range(each.start_cell, each.end_cell)}
            if details
            else set()
        )
        cells = cells_of(ranges)
        outages = tuple(Outage(start, end, "") for start, end in runs_of(cells))
        touched = Reader(self.world).touched(cells - known, (seat,))
        if details is not None and details.retired:
            touched = []  # those that it has were kept when it was retired
        self.agree(lambda consent: self.world.seat(seat, consent, outages=outages), touched, fate, look)

    def retire(self, seat: str, retired: bool, fate: Then, look: bool) -> None:
        details = self.world.state.details_of("hq", seat) or SeatDetails("hq", seat, seat)
        fresh = retired and not details.retired
        touched = Reader(self.world).touched(cells_of([(0, SLOTS)]), (seat,)) if fresh else []
        self.agree(lambda consent: self.world.seat(seat, consent, retired=retired), touched, fate, look)

    def agree(self, change: Any, touched: list[Booking], fate: Then, look: bool) -> None:
        before = {booking.id for booking in Reader(self.world).live()}
        if not look:
            outcome: Outcome = change(Consent("", "cancel", ""))
            assert outcome.ok == (not touched)
            if touched:
                assert outcome.result == Affected(len(touched), token_of(touched))
                assert {booking.id for booking in Reader(self.world).live()} == before
            return
        assert change(Consent(token_of(touched), fate, "so it is")).ok
        gone = {booking.id for booking in touched} if fate == "cancel" else set()
        assert {booking.id for booking in Reader(self.world).live()} == before - gone

    def wait(self, step_ms: int) -> None:
        self.world.now_ms += step_ms
        self.world.batch()


@QUICK
@given(st.lists(_steps, max_size=25), st.integers(0, 25))
def test_rules_that_change_while_people_book(steps: list[tuple[Any, ...]], restored_at: int) -> None:
    run = Run()
    for number, step in enumerate(steps):
        if number == restored_at:
            checksum = run.world.state.checksum()
            run.world.state = restore(run.world.state.freeze().chunks())
            assert run.world.state.checksum() == checksum
        run.step(step)
