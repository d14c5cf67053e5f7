"""Policies over every way of booking: what is asked for alone, together, again and again, by moving or by waiting obeys the same limits,
and each refusal says by which it is.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statemachine.commands import (
    BookSeries,
    BookTogether,
    CancelBooking,
    CancelSeries,
    Consent,
    JoinWaitlist,
    MoveBooking,
    ReviseSpace,
)
from statemachine.limits import MAX_CELL
from statemachine.outcomes import Outcome
from statemachine.policies import DAY_MS
from statemachine.premises import Limit, Policy, SpaceRules
from statemachine.records import CELL_MS, CELLS_PER_DAY, Booking, PlannedLimited, TogetherLimited
from statemachine.state import restore
from tests.statemachine.builders import FREE_CELL, HOUR, HOUR_MS, World
from tests.statemachine.checker import complaints

WINDOWS = tuple((FREE_CELL - 4 * HOUR + CELLS_PER_DAY * day, 14) for day in range(4))
LIMIT_OF = {
    "beyond-horizon": "horizon_days",
    "too-long": "longest_minutes",
    "too-many-live": "live_bookings",
    "too-many-that-day": "daily_bookings",
    "seated-elsewhere": "one_seat_at_a_time",
    "too-late-to-cancel": "cancel_cutoff_minutes",
}


def with_policy(policy: Policy) -> World:
    world = World()
    space = world.state.spaces["hq"]
    rules = SpaceRules("hq", policy=policy)
    consent = Consent("", "keep", "")
    command = ReviseSpace("hq", space.revision, "HQ", space.timezone, 60, rules, (), MAX_CELL, consent)
    assert world.do(command, scope="root", session="s-root").ok
    return world


def want(world: World, booking_id: str, seat: str, start: int, slots: int = 1):  # type: ignore[no-untyped-def] # BookSeat
    return world.booking(booking_id, seat, start, slots, grid=world.grid(*WINDOWS))


def test_a_basket_says_which_item_goes_beyond_which_limit() -> None:
    world = with_policy(Policy(live_bookings=2, longest_minutes=60))
    items = tuple(want(world, f"b{number}", "A1", FREE_CELL + HOUR * number) for number in range(3))
    outcome = world.do(BookTogether(items), scope="ann", session="s-ann")
    assert outcome.code == "too-many-live"
    assert isinstance(outcome.result, TogetherLimited)
    assert [each.code for each in outcome.result.items] == ["ok", "ok", "too-many-live"]
    assert outcome.result.limits == (0, 0, 2)
    items = (want(world, "b0", "A1", FREE_CELL), want(world, "b1", "A2", FREE_CELL, 2))
    outcome = world.do(BookTogether(items), scope="ann", session="s-ann")
    assert outcome.code == "too-long"
    assert isinstance(outcome.result, TogetherLimited)
    assert outcome.result.limits == (0, 60)
    assert not world.state.bookings
    assert restore(world.state.freeze().chunks()).checksum() == world.state.checksum()


def test_a_series_says_which_day_goes_beyond_which_limit() -> None:
    world = with_policy(Policy(live_bookings=2))
    items = tuple(want(world, f"b{day}", "A1", FREE_CELL + CELLS_PER_DAY * day) for day in range(3))
    outcome = world.do(BookSeries("s", "", True, items), scope="ann", session="s-ann")
    assert outcome.code == "too-many-live"
    assert isinstance(outcome.result, TogetherLimited)
    assert outcome.result.limits == (0, 0, 2)
    outcome = world.do(BookSeries("s", "", False, items), scope="ann", session="s-ann", key="k")
    assert outcome.ok
    assert isinstance(outcome.result, PlannedLimited)
    assert [each.code for each in outcome.result.items] == ["ok", "ok", "too-many-live"]
    assert outcome.result.limits == (0, 0, 2)
    again = tuple(want(world, f"c{day}", "A2", FREE_CELL + CELLS_PER_DAY * day) for day in range(2))
    outcome = world.do(BookSeries("t", "", False, again), scope="ann", session="s-ann")
    assert outcome.code == "too-many-live"
    assert isinstance(outcome.result, TogetherLimited)
    assert outcome.result.limits == (2, 2)
    world.state = restore(world.state.freeze().chunks())
    replayed = world.do(BookSeries("s", "", False, items), scope="ann", session="s-ann", key="k")
    assert isinstance(replayed.result, PlannedLimited), (
        "what is remembered keeps its limits through a snapshot"
    )


_policies = st.builds(
    Policy,
    horizon_days=st.sampled_from([0, 0, 1, 2]),
    longest_minutes=st.sampled_from([0, 60]),
    live_bookings=st.sampled_from([0, 1, 2, 3]),
    daily_bookings=st.sampled_from([0, 0, 1, 2]),
    one_seat_at_a_time=st.booleans(),
    cancel_cutoff_minutes=st.sampled_from([0, 0, 180]),
)
_acts = st.tuples(
    st.sampled_from(["book", "basket", "series", "free", "move", "join", "cancel", "rest", "time"]),
    st.sampled_from(["ann", "bob", "root"]),
    st.sampled_from(["A1", "A2"]),
    st.integers(0, 3),  # day
    st.integers(0, 2),  # hour
    st.integers(1, 2),  # slots
    st.integers(1, 4),  # how many
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_policies, st.lists(_acts, max_size=25))
def test_no_way_of_booking_goes_beyond_a_limit(
    policy: Policy, acts: list[tuple[str, str, str, int, int, int, int]]
) -> None:
    world = with_policy(policy)
    for number, act in enumerate(acts):
        before = dict(world.state.bookings)
        outcome = _carry_out(world, number, *act)
        if outcome is not None:
            _limits_are_told(policy, outcome)
        assert not complaints(world.state)
        _nobody_has_too_much(world, policy, before)


def _carry_out(
    world: World, number: int, kind: str, user: str, seat: str, day: int, hour: int, slots: int, many: int
) -> Outcome | None:
    start = FREE_CELL + CELLS_PER_DAY * day + HOUR * hour
    by_days = tuple(
        want(world, f"b{number}.{each}", seat, start + CELLS_PER_DAY * each, slots)
        for each in range(min(many, 4 - day))
    )
    by_seats = tuple(want(world, f"b{number}.{each}", f"A{each + 1}", start, slots) for each in range(many))
    live = [
        each for each in world.state.bookings.values() if each.status == "confirmed" and each.user_id == user
    ]
    terms = {"scope": user, "session": f"s-{user}"}
    if kind == "book":
        return world.do(by_days[0], **terms)
    if kind == "basket":
        return world.do(BookTogether(by_seats), **terms)
    if kind in ("series", "free"):
        return world.do(BookSeries(f"s{number}", "", kind == "series", by_days), **terms)
    if kind == "join":
        return world.do(JoinWaitlist(f"w{number}", by_days[0]), **terms)
    if kind == "move" and live:
        target = live[many % len(live)]
        return world.do(MoveBooking(target.revision, want(world, target.id, seat, start, slots)), **terms)
    if kind == "cancel" and live:
        return world.do(CancelBooking(live[many % len(live)].id), **terms)
    if kind == "rest" and world.state.series_by_user.get(user):
        return world.do(CancelSeries(world.state.series_by_user[user][0].id, "", ""), **terms)
    if kind == "time":
        world.now_ms += HOUR_MS
        world.batch()
    return None


def _limits_are_told(policy: Policy, outcome: Outcome) -> None:
    """Each code of a policy comes with its limit, alone or among others."""
    told = [(outcome.code, outcome.result.value)] if isinstance(outcome.result, Limit) else []
    if isinstance(outcome.result, TogetherLimited | PlannedLimited):
        told = [
            (each.code, limit)
            for each, limit in zip(outcome.result.items, outcome.result.limits, strict=True)
        ]
        assert any(limit for _, limit in told)
    elif outcome.code in LIMIT_OF:
        assert told, outcome
    for code, limit in told:
        assert limit == (int(getattr(policy, LIMIT_OF[code])) if code in LIMIT_OF else 0), (code, limit)


def _nobody_has_too_much(world: World, policy: Policy, before: dict[str, Booking]) -> None:
    now_ms = world.state.now_ms
    for user in ("ann", "bob"):
        mine = [
            each
            for each in world.state.bookings.values()
            if each.user_id == user and each.status == "confirmed"
        ]
        ahead = [each for each in mine if each.end_cell * CELL_MS > now_ms]
        assert not policy.live_bookings or len(ahead) <= policy.live_bookings
        for first, count in WINDOWS if policy.daily_bookings else ():
            assert (
                sum(first <= each.start_cell < first + count * HOUR for each in mine) <= policy.daily_bookings
            )
        for each in mine:
            assert (
                not policy.longest_minutes or (each.end_cell - each.start_cell) * 5 <= policy.longest_minutes
            )
            if policy.horizon_days and before.get(each.id) != each:
                assert each.start_cell * CELL_MS <= now_ms + policy.horizon_days * DAY_MS
        for one in mine if policy.one_seat_at_a_time else ():
            assert not any(
                one.id < other.id and one.start_cell < other.end_cell and other.start_cell < one.end_cell
                for other in mine
            )
        for each in before.values() if policy.cancel_cutoff_minutes else ():
            if each.user_id == user and each.status == "confirmed" and world.state.bookings[each.id] != each:
                assert now_ms <= each.start_cell * CELL_MS - policy.cancel_cutoff_minutes * 60_000, "too late"
