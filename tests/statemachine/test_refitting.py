"""What a change of a space means for those who wait in it: who stays in the line, who is served, who is outdated; and what holds
whatever is combined.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statemachine.commands import BookSeat, Consent, JoinWaitlist, PutSeat, ReviseSpace
from statemachine.events import SeatRevised, SpaceRevised, WaiterPromoted
from statemachine.limits import MAX_CELL, MAX_LINE_WINDOWS
from statemachine.outcomes import Outcome
from statemachine.premises import Affected, Hours, Outage, Policy, SeatDetails, SpaceRules, SpecialDays
from statemachine.records import CELLS_PER_DAY
from statemachine.refitting import is_fit, line_of
from statemachine.spaces import rules_of
from statemachine.state import restore
from statemachine.waiters import Waiter
from tests.statemachine.builders import FREE_CELL, HOUR, OPEN_CELL, SEATS, World
from tests.statemachine.checker import complaints

USUAL = ((OPEN_CELL, 14), (OPEN_CELL + CELLS_PER_DAY, 14))
CLOSED_TODAY = USUAL[1:]
CLOSURE = SpecialDays(739_000, 739_000, Hours(0, 0), "cleaning")  # which day it is, the windows say


def join(
    world: World, name: str, seat: str = "A1", start: int = FREE_CELL, slots: int = 1, user: str = "ann"
) -> Outcome:
    want = BookSeat(f"b-{name}", "hq", seat, start, slots, world.grid(*USUAL))
    return world.do(JoinWaitlist(name, want), scope=user, session=f"s-{user}")


def seconded(world: World, command: ReviseSpace | PutSeat) -> Outcome:
    """The change, with the consent to whatever it touches."""
    outcome = world.do(command, scope="root", session="s-root")
    if not isinstance(outcome.result, Affected):
        return outcome
    command = type(command)(**{name: getattr(command, name) for name in command.__struct_fields__} | {
        "consent": Consent(outcome.result.token, command.consent.then, "")
    })  # fmt: skip
    return world.do(command, scope="root", session="s-root")


def revise(
    world: World,
    windows: tuple[tuple[int, int], ...] = USUAL,
    *,
    name: str = "HQ",
    slot_minutes: int = 60,
    then: str = "keep",
    closing: tuple[tuple[int, int], ...] = (),
    **rules: object,
) -> Outcome:
    space = world.state.spaces["hq"]
    before = rules_of(world.state, "hq")
    shaped = SpaceRules(**{each: getattr(before, each) for each in before.__struct_fields__} | rules)  # type: ignore[arg-type]
    outcome = seconded(
        world,
        ReviseSpace(
            "hq", space.revision, name, space.timezone, slot_minutes, shaped, closing, MAX_CELL,
            Consent("", then, ""), windows,  # type: ignore[arg-type]
        ),
    )  # fmt: skip
    assert outcome.ok, outcome
    return outcome


def put_seat(
    world: World, seat: str = "A1", *, new: bool = False, then: str = "keep", **more: object
) -> Outcome:
    details = SeatDetails("hq", seat, seat, **more)  # type: ignore[arg-type]
    base = world.state.spaces["hq"].revision
    outcome = seconded(world, PutSeat(base, new, details, Consent("", then, "")))  # type: ignore[arg-type]
    assert outcome.ok, outcome
    return outcome


def status(world: World, name: str) -> str:
    waiter = world.state.waiters[name]
    return (
        waiter.status
        if waiter.status == "promoted" or is_fit(waiter, world.state.spaces["hq"])
        else "outdated"
    )


def rested(world: World) -> None:
    restored = restore(world.state.freeze().chunks())
    assert restored.checksum() == world.state.checksum()
    assert not complaints(restored)


def lined_up() -> World:
    """Bob has A1, Ann and then root wait for it."""
    world = World()
    world.booked("b1", user="bob", grid=world.grid(*USUAL))
    join(world, "w1", user="ann")
    join(world, "w2", user="root")
    return world


def test_a_change_of_anything_but_the_slots_keeps_the_line() -> None:
    world = lined_up()
    revise(world, (), name="Another name")
    revise(world, (), policy=Policy(live_bookings=3))
    put_seat(world, "A2", zone="quiet")
    put_seat(world, "A9", new=True)
    assert [status(world, name) for name in ("w1", "w2")] == ["waiting", "waiting"]
    rested(world)
    world.cancel("b1", user="bob")
    assert [status(world, name) for name in ("w1", "w2")] == ["promoted", "waiting"]


def test_other_hours_keep_whose_time_is_still_one_of_slots() -> None:
    world = lined_up()
    world.booked("b2", start=FREE_CELL + CELLS_PER_DAY, user="bob", grid=world.grid(*USUAL))
    join(world, "w3", start=FREE_CELL + CELLS_PER_DAY, user="ann")
    revise(world, CLOSED_TODAY, special_days=(CLOSURE,))
    assert [status(world, name) for name in ("w1", "w2", "w3")] == ["outdated", "outdated", "waiting"]
    world.cancel("b1", user="bob")
    world.cancel("b2", user="bob")
    assert [status(world, name) for name in ("w1", "w2", "w3")] == ["outdated", "outdated", "promoted"]
    rested(world)


def test_a_closure_that_is_removed_serves_the_line_in_its_entry() -> None:
    world = lined_up()
    revise(
        world,
        CLOSED_TODAY,
        special_days=(CLOSURE,),
        closing=((OPEN_CELL, OPEN_CELL + 14 * HOUR),),
        then="cancel",
    )
    assert world.state.bookings["b1"].status == "cancelled"
    outcome = revise(world, USUAL, special_days=())
    assert [status(world, name) for name in ("w1", "w2")] == ["promoted", "waiting"]
    assert isinstance(world.applied.events[outcome.position][1], SpaceRevised)
    assert isinstance(world.applied.events[-1][1], WaiterPromoted)
    rested(world)


def test_shorter_slots_take_a_wish_along_and_an_odd_length_outdates_it() -> None:
    world = lined_up()
    halves = ((OPEN_CELL, 28), (OPEN_CELL + CELLS_PER_DAY, 28))
    revise(world, halves, slot_minutes=30)
    want = world.state.waiters["w1"].want
    assert (want.slots, want.grid.slot_cells, want.grid.windows) == (2, HOUR // 2, (halves[0],))
    revise(world, ((OPEN_CELL, 9),), slot_minutes=90)
    assert status(world, "w1") == "outdated"
    revise(world, USUAL, slot_minutes=60)
    assert status(world, "w1") == "waiting", "it fits again"
    world.cancel("b1", user="bob")
    assert status(world, "w1") == "promoted"
    assert world.state.bookings["b-w1"].end_cell == FREE_CELL + HOUR


def test_a_space_that_is_back_serves_its_line() -> None:
    world = lined_up()
    revise(world, retired=True, then="cancel")
    assert [status(world, name) for name in ("w1", "w2")] == ["waiting", "waiting"]
    assert world.state.bookings["b1"].status == "cancelled"
    revise(world, retired=False)
    assert [status(world, name) for name in ("w1", "w2")] == ["promoted", "waiting"]


def test_a_policy_that_forbids_less_serves_whom_it_forbade() -> None:
    world = World()
    world.booked("b1", user="bob", grid=world.grid(*USUAL))
    world.booked("b2", "A2", user="ann", grid=world.grid(*USUAL))
    revise(world, policy=Policy(live_bookings=1))
    join(world, "w1", user="ann")
    world.cancel("b1", user="bob")
    assert status(world, "w1") == "waiting"
    revise(world, policy=Policy(live_bookings=2))
    assert status(world, "w1") == "promoted"


def test_a_seat_that_is_new_or_back_is_offered_in_its_entry() -> None:
    world = World()
    for seat in SEATS:
        world.booked(f"b-{seat}", seat, user="bob", grid=world.grid(*USUAL))
    join(world, "w1", seat="", user="ann")
    join(world, "w2", seat="A1", user="root")
    put_seat(world, "A1", retired=True, then="cancel")
    assert [status(world, name) for name in ("w1", "w2")] == ["waiting", "waiting"]
    put_seat(world, "A9", new=True)
    assert world.state.bookings["b-w1"].seat_id == "A9"
    outcome = put_seat(world, "A1")
    assert status(world, "w2") == "promoted"
    assert isinstance(world.applied.events[outcome.position][1], SeatRevised)
    rested(world)


def test_an_outage_that_ends_or_shrinks_offers_what_it_gives_back() -> None:
    world = lined_up()
    join(world, "w3", start=FREE_CELL + HOUR, user="ann")  # free: got at once
    out = (Outage(FREE_CELL, FREE_CELL + 2 * HOUR, "painting"),)
    put_seat(world, outages=out, then="cancel")
    assert world.state.bookings["b1"].status == "cancelled"
    assert world.state.bookings["b-w3"].status == "cancelled"
    join(world, "w4", start=FREE_CELL + HOUR, user="ann")
    put_seat(world, outages=(Outage(FREE_CELL + HOUR, FREE_CELL + 2 * HOUR, "painting"),))
    assert [status(world, name) for name in ("w1", "w2", "w4")] == ["promoted", "waiting", "waiting"]
    put_seat(world)
    assert [status(world, name) for name in ("w1", "w2", "w4")] == ["promoted", "waiting", "promoted"]
    rested(world)


def test_windows_that_no_node_makes_are_malformed() -> None:
    world = World()
    space = world.state.spaces["hq"]
    for windows in (
        ((5, 1), (5, 1)),
        ((-1, 1),),
        ((0, 0),),
        ((0, 10_000),),
        tuple((n, 1) for n in range(MAX_LINE_WINDOWS + 1)),
    ):
        command = ReviseSpace(
            "hq",
            space.revision,
            "HQ",
            space.timezone,
            60,
            SpaceRules("hq"),
            (),
            MAX_CELL,
            Consent("", "keep", ""),
            windows,
        )
        assert world.do(command, scope="root", session="s-root").code == "malformed", windows[:2]


# --- whatever is combined -----------------------------------------------------------------------------------

_act = st.tuples(
    st.sampled_from(["book", "join", "join any", "cancel", "rename", "close", "open", "out", "in", "retire", "back", "limit"]),
    st.sampled_from(["ann", "bob", "root"]),
    st.sampled_from(SEATS[:2]),
    st.integers(0, 2),
    st.integers(1, 2),
    st.sampled_from(["keep", "cancel"]),
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(_act, st.booleans()), max_size=25))
def test_whatever_administrators_do(acts: list[tuple[tuple[str, str, str, int, int, str], bool]]) -> None:
    """No overlap, and after each entry nobody who fits and may have a free place still waits for it."""
    world = World(spaces=())
    for seat in SEATS[2:]:
        put_seat(world, seat, retired=True)
    passed_over: set[str] = set()  # by the policy; they are looked at again when it changes
    for number, (act, by_snapshot) in enumerate(acts):
        if by_snapshot:
            world.state = restore(world.state.freeze().chunks())
        _carry_out(world, number, *act)
        assert not complaints(world.state)
        if act[0] == "limit":
            passed_over.clear()
        _nobody_waits_in_vain(world, passed_over)
        rested(world)


def _carry_out(
    world: World, number: int, kind: str, user: str, seat: str, hour: int, slots: int, then: str
) -> None:
    start = FREE_CELL + HOUR * hour
    details = world.state.details_of("hq", seat)
    retired = details is not None and details.retired
    closed = bool(rules_of(world.state, "hq").special_days)
    windows = CLOSED_TODAY if closed else USUAL
    if kind == "book":
        world.book(f"b{number}", seat, start, slots, user=user, grid=world.grid(*windows))
    elif kind.startswith("join"):
        want = BookSeat(
            f"b{number}", "hq", "" if kind == "join any" else seat, start, slots, world.grid(*windows)
        )
        world.do(JoinWaitlist(f"w{number}", want), scope=user, session=f"s-{user}")
    elif kind == "cancel":
        live = [each for each in world.state.bookings.values() if each.status == "confirmed"]
        if live:
            world.cancel(live[hour % len(live)].id, user="root")
    elif kind == "rename":
        revise(world, (), name=f"HQ {number}")
    elif kind == "close":
        revise(
            world,
            CLOSED_TODAY,
            special_days=(CLOSURE,),
            closing=((OPEN_CELL, OPEN_CELL + 14 * HOUR),),
            then=then,
        )
    elif kind == "open":
        revise(world, USUAL, special_days=())
    elif kind == "out":
        put_seat(world, seat, retired=retired, outages=(Outage(start, start + HOUR, ""),), then=then)
    elif kind == "in":
        put_seat(world, seat, retired=retired)
    elif kind == "retire":
        put_seat(world, seat, retired=True, then=then)
    elif kind == "back":
        put_seat(world, seat)
    else:
        revise(world, windows, policy=Policy(live_bookings=hour))


def _nobody_waits_in_vain(world: World, passed_over: set[str]) -> None:
    state = world.state
    rules = rules_of(state, "hq")
    for waiter in line_of(state, "hq"):
        if _is_over_quota(world, waiter, rules.policy.live_bookings):
            passed_over.add(waiter.id)
        if is_fit(waiter, state.spaces["hq"]) and waiter.id not in passed_over:
            seats = (
                [waiter.want.seat_id]
                if waiter.want.seat_id
                else [seat.id for seat in state.spaces["hq"].seats]
            )
            for seat in seats:
                assert not _is_free(world, seat, waiter), f"{waiter.id} waits for {seat}, which is free"


def _is_over_quota(world: World, waiter: Waiter, most: int) -> bool:
    return bool(most) and waiter.user_id != "root" and len(world.state.upcoming_of(waiter.user_id)) >= most


def _is_free(world: World, seat: str, waiter: Waiter) -> bool:
    state, start, end = world.state, waiter.want.start_cell, waiter.end_cell
    details = state.details_of("hq", seat)
    taken = state.seat_cells("hq", seat, start // CELLS_PER_DAY) >> start % CELLS_PER_DAY & (
        (1 << (end - start)) - 1
    )
    out = details is not None and any(
        each.start_cell < end and start < each.end_cell for each in details.outages
    )
    return not taken and not out and not (details is not None and details.retired)
