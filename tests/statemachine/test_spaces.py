"""Making and changing spaces and seats; what becomes of accepted bookings; and what stays as it was without any change."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from statemachine.commands import (
    CancelBooking,
    Command,
    Consent,
    CreateSpace,
    MoveBooking,
    NewSpace,
    PutSeat,
    ReviseSpace,
)
from statemachine.events import BookingAffected, BookingCancelled, SeatRevised, SpaceRevised
from statemachine.limits import MAX_CELL
from statemachine.outcomes import Outcome
from statemachine.premises import (
    Affected,
    Hours,
    Outage,
    SeatDetails,
    SpaceChange,
    SpaceRules,
    SpecialDays,
    hours_on,
)
from statemachine.records import Booking, Seat
from statemachine.snapshot import SnapshotError
from statemachine.snapshot_rows import SeatDetailsRows, SpaceRulesRows
from statemachine.spaces import rules_of, without
from statemachine.state import restore
from tests.statemachine.builders import FREE_CELL, HOUR, World, new_space
from tests.statemachine.checker import complaints

NOTHING = Consent("", "keep", "")
ATTIC = NewSpace("attic", "Attic", "Europe/Berlin", 0, 1440, 30, (Seat("T1", "T1"),))


class Premises(World):
    """A world with an administrator's shorthands."""

    def admin(self, command: Command, *, user: str = "root") -> Outcome:
        return self.do(command, scope=user, session=f"s-{user}")

    def revise(self, *, user: str = "root", **change: Any) -> Outcome:
        return self.admin(self.revision(**change), user=user)

    def revision(self, space_id: str = "hq", **change: Any) -> ReviseSpace:
        space = self.state.spaces[space_id]
        rules = rules_of(self.state, space_id)
        names = set(SpaceRules.__struct_fields__)
        rules = msgspec.structs.replace(rules, **{n: v for n, v in change.items() if n in names})
        command = ReviseSpace(
            space_id, space.revision, space.name, space.timezone, space.slot_minutes, rules, (), MAX_CELL, NOTHING
        )  # fmt: skip
        return msgspec.structs.replace(command, **{n: v for n, v in change.items() if n not in names})

    def seat(
        self, seat_id: str = "A1", consent: Consent = NOTHING, *, new: bool = False, **change: object
    ) -> Outcome:
        known = self.state.details_of("hq", seat_id) or SeatDetails("hq", seat_id, seat_id)
        details = msgspec.structs.replace(known, **change)
        return self.admin(PutSeat(self.state.spaces["hq"].revision, new, details, consent))

    def told(self, kind: type[BookingAffected]) -> list[str]:
        """The ids of the bookings that the last entry had events of a kind for."""
        return [event.booking.id for _, event in self.applied.events if isinstance(event, kind)]


@pytest.fixture
def world() -> Premises:
    return Premises()


def affected(outcome: Outcome) -> Affected:
    assert outcome.code == "affected-changed", outcome
    assert isinstance(outcome.result, Affected)
    return outcome.result


def change(outcome: Outcome) -> SpaceChange:
    assert outcome.ok, outcome
    assert isinstance(outcome.result, SpaceChange)
    return outcome.result


def test_a_space_is_made_and_can_be_booked(world: Premises) -> None:
    made = change(world.admin(CreateSpace(ATTIC)))
    assert (made.space_id, made.revision) == ("attic", world.state.spaces["attic"].revision)
    grid = world.grid((FREE_CELL, 4), space="attic", slot_cells=6)
    assert world.book("b1", "T1", space="attic", grid=grid).ok
    assert world.admin(CreateSpace(ATTIC)).code == "space-exists"
    assert (
        world.admin(CreateSpace(msgspec.structs.replace(ATTIC, id="x", slot_minutes=7))).code == "malformed"
    )
    assert [record.what for record in world.state.audit] == ["space-created"]


def test_only_administrators_change_anything(world: Premises) -> None:
    details = SeatDetails("hq", "A1", "A1")
    commands: list[Command] = [
        CreateSpace(ATTIC),
        world.revision(name="Ours"),
        PutSeat(world.state.spaces["hq"].revision, False, details, NOTHING),
    ]
    for command in commands:
        assert world.admin(command, user="ann").code == "forbidden"
        assert not world.applied.events
    assert len(world.state.audit) == 0


def test_a_change_raises_the_revision_and_outdates_grids(world: Premises) -> None:
    grid = world.grid()
    before = world.state.spaces["hq"].revision
    made = change(world.revise(name="Headquarters"))
    assert made.revision == world.state.spaces["hq"].revision != before
    assert world.state.spaces["hq"].name == "Headquarters"
    assert world.book(grid=grid).code == "rules-changed"
    assert world.book().ok
    assert world.revise(base_revision=before).code == "rules-changed"
    (record,) = world.state.audit
    assert (record.actor, record.what, record.subject) == ("root", "space-revised", "hq")
    assert isinstance(world.state.spaces["hq"].seats, tuple)


def test_what_is_closed_touches_bookings_only_by_consent(world: Premises) -> None:
    world.booked("b1")
    world.booked("b2", "A2")
    world.booked("b3", "A1", FREE_CELL + HOUR)
    closing = ((FREE_CELL, FREE_CELL + HOUR),)
    seen = affected(world.revise(closing=closing))
    assert seen.count == 2
    assert not world.applied.events
    assert world.cancel("b2").ok
    then = Consent(seen.token, "cancel", "a pipe has burst")
    seen = affected(world.revise(closing=closing, consent=then))
    assert seen.count == 1, "another list than the one that was looked at"
    done = change(world.revise(closing=closing, consent=Consent(seen.token, "cancel", "a pipe has burst")))
    assert (done.affected, done.cancelled) == (1, 1)
    (cancelled,) = (event for _, event in world.applied.events if isinstance(event, BookingCancelled))
    assert (cancelled.booking.id, cancelled.by_user_id, cancelled.reason) == (
        "b1",
        "root",
        "a pipe has burst",
    )
    steps = world.state.steps_by_booking["b1"]
    assert (steps[-1].kind, steps[-1].by_user_id, steps[-1].reason) == (
        "cancelled",
        "root",
        "a pipe has burst",
    )
    assert world.state.bookings["b3"].status == "confirmed"
    assert not complaints(world.state)


def test_kept_bookings_stay_and_are_told(world: Premises) -> None:
    world.booked("b1")
    closing = ((FREE_CELL, FREE_CELL + HOUR),)
    seen = affected(world.revise(closing=closing))
    done = change(world.revise(closing=closing, consent=Consent(seen.token, "keep", "")))
    assert (done.affected, done.cancelled) == (1, 0)
    assert world.told(BookingAffected) == ["b1"]
    assert [type(event) for _, event in world.applied.events] == [SpaceRevised, BookingAffected]
    assert world.state.bookings["b1"].status == "confirmed"
    assert world.book("b2").code == "seat-taken", "nobody may overlap"


def test_what_is_over_is_not_touched(world: Premises) -> None:
    world.booked("b1")
    world.now_ms += 3 * 3_600_000
    assert world.revise(closing=((FREE_CELL, FREE_CELL + HOUR),)).ok


def test_a_booking_beyond_what_was_judged_outdates_the_ranges(world: Premises) -> None:
    world.booked("b1")
    assert world.revise(until_cell=FREE_CELL + HOUR - 1).code == "rules-changed"
    assert world.revise(until_cell=FREE_CELL + HOUR).ok


def test_a_retired_space_cannot_be_booked_and_comes_back(world: Premises) -> None:
    world.booked("b1")
    seen = affected(world.revise(retired=True))
    assert change(world.revise(retired=True, consent=Consent(seen.token, "keep", ""))).affected == 1
    assert world.book("b2", "A2").code == "unknown-space"
    assert world.cancel("b1").ok, "what was kept can be given back"
    assert world.revise(retired=False).ok
    assert world.book("b2", "A2").ok
    assert [record.what for record in world.state.audit] == ["space-retired", "space-restored"]


def test_seats_come_change_and_go(world: Premises) -> None:
    assert world.seat(
        "N1", new=True, label="Nook", zone="attic", attributes=("monitor", "quiet"), x=3, y=4
    ).ok
    assert world.state.spaces["hq"].seats[-1] == Seat("N1", "Nook")
    assert world.seat("N1", new=True).code == "seat-exists"
    assert world.seat("N2").code == "unknown-seat"
    assert world.booked("b1", "N1").seat_id == "N1"
    assert world.seat("N1", label="Corner").ok
    assert [each.label for each in world.state.spaces["hq"].seats][-1] == "Corner"
    seen = affected(world.seat("N1", retired=True))
    assert world.seat("N1", Consent(seen.token, "keep", ""), retired=True).ok
    assert "N1" not in {seat.id for seat in world.state.spaces["hq"].seats}
    assert world.book("b2", "N1", FREE_CELL + HOUR).code == "unknown-seat"
    assert world.do(MoveBooking("x", world.booking("b1", "N1")), session="s-ann").code == "booking-changed"
    assert world.seat("N1", new=True).code == "seat-exists", "a retired seat keeps its id"
    assert world.cancel("b1").ok
    assert world.seat("N1", retired=False).ok
    assert world.book("b3", "N1").ok
    assert [record.subject for record in world.state.audit] == ["hq/N1"] * 4
    assert not complaints(world.state)


def test_a_retired_seat_is_offered_to_nobody(world: Premises) -> None:
    assert world.seat("A2", retired=True).ok
    world.booked("b1")
    offered = {each.seat_id for each in world.book("b2").alternatives}
    assert offered == {"A1", "A3", "A4", "A5"}


def test_a_seat_out_of_service_is_no_place(world: Premises) -> None:
    outage = Outage(FREE_CELL, FREE_CELL + HOUR, "a new chair")
    assert world.seat("A1", outages=(outage,)).ok
    refused = world.book("b1")
    assert refused.code == "out-of-service"
    assert [each.start_cell for each in refused.alternatives[:3]] == [
        FREE_CELL + HOUR,
        FREE_CELL - HOUR,
        FREE_CELL + 2 * HOUR,
    ]
    assert {each.seat_id for each in refused.alternatives[3:]} == {"A2", "A3", "A4"}
    world.booked("b2", "A2")
    assert "A1" not in {each.seat_id for each in world.book("b3", "A2").alternatives}
    moved = MoveBooking(world.state.bookings["b2"].revision, world.booking("b2", "A1"))
    assert world.do(moved, session="s-ann").code == "out-of-service"
    assert world.seat("A1", outages=()).ok
    assert world.book("b1").ok


def test_an_outage_touches_what_it_newly_covers(world: Premises) -> None:
    world.booked("b1")
    first = Outage(FREE_CELL, FREE_CELL + HOUR, "")
    seen = affected(world.seat("A1", outages=(first,)))
    assert world.seat("A1", Consent(seen.token, "keep", "so it is"), outages=(first,)).ok
    longer = Outage(FREE_CELL - 1, FREE_CELL + HOUR, "")
    assert world.seat("A1", outages=(longer,)).ok, "the booking has been looked at before"
    assert world.told(BookingAffected) == []
    assert isinstance(world.applied.events[0][1], SeatRevised)


def test_too_many_bookings_to_touch(world: Premises, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statemachine.spaces.MAX_AFFECTED", 1)
    world.booked("b1")
    world.booked("b2", "A2")
    seen = affected(world.revise(retired=True))
    assert world.revise(retired=True, consent=Consent(seen.token, "cancel", "")).code == "too-many-affected"


@pytest.mark.parametrize(
    "wrong",
    [
        {"slot_minutes": 7},
        {"name": ""},
        {"week": (Hours(0, 60),)},
        {"week": (Hours(0, 1441),) * 7},
        {"special_days": (SpecialDays(5, 6, Hours(0, 0), ""), SpecialDays(6, 7, Hours(0, 0), ""))},
        {"special_days": (SpecialDays(5, 4, Hours(0, 0), ""),)},
        {"closing": ((5, 5),)},
        {"closing": ((5, 7), (6, 8))},
    ],
)
def test_what_a_node_may_not_send(world: Premises, wrong: dict[str, Any]) -> None:
    assert world.revise(**wrong).code == "malformed"


def test_what_a_node_may_not_send_of_a_seat(world: Premises) -> None:
    for wrong in (
        {"label": ""},
        {"attributes": ("quiet", "monitor")},
        {"x": -1},
        {"outages": (Outage(5, 5, ""),)},
    ):
        assert world.seat("A1", **wrong).code == "malformed"


def test_rules_and_details_survive_a_snapshot(world: Premises) -> None:
    world.booked("b1", "A2")
    special = SpecialDays(738_000, 738_001, Hours(600, 720), "stocktaking")
    week = (*[Hours(480, 1320)] * 5, Hours(600, 1080), Hours(0, 0))
    assert world.revise(week=week, special_days=(special,)).ok
    seen = affected(world.seat("A2", retired=True))
    assert world.seat("A2", Consent(seen.token, "keep", ""), retired=True).ok
    assert world.seat("A3", outages=(Outage(FREE_CELL, FREE_CELL + 5, "paint"),)).ok
    other = Premises(restore(world.state.freeze().chunks()), populated=False)
    assert other.state.checksum() == world.state.checksum()
    assert other.state.space_rules == world.state.space_rules
    assert other.state.seat_details == world.state.seat_details
    other.now_ms, other.requests = world.now_ms, world.requests
    for one in (world, other):
        assert one.book("b2", "A3").code == "out-of-service"
        assert one.do(CancelBooking("b1"), scope="ann", session="s-ann").ok
    assert other.state.digest == world.state.digest
    assert not complaints(other.state)


def test_rows_that_cannot_be(world: Premises) -> None:
    from tests.statemachine.test_snapshot import bodies, framed

    assert world.revise(name="Other").ok
    pieces = bodies(b"".join(world.state.freeze().chunks()))
    for rows, complaint in (
        (SpaceRulesRows(0, [SpaceRules("hq")] * 2), "rules of a space twice"),
        (SpaceRulesRows(0, [SpaceRules("none")]), "rules of no space"),
        (SeatDetailsRows(0, [SeatDetails("hq", "A1", "A1")] * 2), "details of a seat twice"),
        (SeatDetailsRows(0, [SeatDetails("none", "A1", "A1")]), "details of no space"),
        (SeatDetailsRows(0, [SeatDetails("hq", "Z9", "Z9")]), "details of no seat"),
        (SeatDetailsRows(0, [SeatDetails("hq", "A1", "A1", retired=True)]), "details of no seat"),
    ):
        with pytest.raises(SnapshotError, match=complaint):
            restore(framed([*pieces[:2], msgspec.msgpack.encode(rows), *pieces[3:]]))


def test_hours_of_a_date() -> None:
    week = tuple(Hours(60 * day, 1440) for day in range(7))
    special = (SpecialDays(10, 12, Hours(0, 0), ""), SpecialDays(20, 20, Hours(5, 10), ""))
    rules = SpaceRules("s", False, week, special)
    usual = Hours(480, 600)
    assert hours_on(SpaceRules("s"), usual, 8) == usual
    assert [hours_on(rules, usual, day) for day in (8, 9, 10, 12, 13, 20, 21)] == [
        week[0], week[1], Hours(0, 0), Hours(0, 0), week[5], Hours(5, 10), week[6],
    ]  # fmt: skip


def test_taking_ranges_out_of_ranges() -> None:
    for ranges, taken in (
        ([], [(1, 2)]),
        ([(0, 10)], []),
        ([(0, 10)], [(0, 10)]),
        ([(0, 10), (10, 20), (30, 40)], [(3, 4), (5, 12), (35, 50)]),
        ([(5, 6), (7, 9)], [(0, 8)]),
    ):
        left = without(ranges, taken)
        cells = {cell for start, end in ranges for cell in range(start, end)}
        assert {cell for start, end in left for cell in range(start, end)} == cells - {
            cell for start, end in taken for cell in range(start, end)
        }
        assert all(start < end for start, end in left)


def test_another_space_goes_on_undisturbed() -> None:
    world = Premises(spaces=(new_space(), new_space("loft", seats=("L1",))))
    assert world.revise(retired=True).ok
    booking = world.book("b1", "L1", space="loft", grid=world.grid(space="loft")).result
    assert isinstance(booking, Booking)
