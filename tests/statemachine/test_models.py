"""Audit, calendar feeds, mails and series beside the plainest models of them: whatever is done, in whatever order.

After every entry the state and the model are compared, and so is the state that comes back from a snapshot.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statemachine import audit
from statemachine.commands import BookSeries, CancelBooking, CancelSeries, Command, MoveBooking
from statemachine.feeds import CloseCalendar, OpenCalendar
from statemachine.notifications import addressee
from statemachine.outbox_commands import ConfirmAddress, SetNotifications
from statemachine.outbox_events import BookingReminded, NotificationsSet
from statemachine.people_commands import EndSessionsOf, NoteAct, ResetPassword, SetBlocked, SetRole
from statemachine.records import CELL_MS, CELLS_PER_DAY, Planned, Together
from statemachine.state import restore
from tests.statemachine.builders import FREE_CELL, HOUR, HOUR_MS, OPEN_CELL, World
from tests.statemachine.checker import complaints

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WEEK = 7 * CELLS_PER_DAY
WEEKS = 6
PEOPLE = st.sampled_from(["ann", "bob"])
WHO = st.sampled_from(["root", "root", "ann", "bob"])
KEPT_RECORDS = 5


def do(world: World, user: str, command: Command) -> str:
    """The code of the outcome; the state is that of its snapshot."""
    code = world.do(command, scope=user, session=f"s-{user}").code
    assert not complaints(world.state)
    assert restore(world.state.freeze().chunks()).checksum() == world.state.checksum()
    return code


_acts: st.SearchStrategy[Command] = st.one_of(
    st.builds(SetBlocked, PEOPLE | st.just("nobody"), st.booleans()),
    st.builds(lambda user: ResetPassword(user, "hash-new"), PEOPLE | st.just("nobody")),
    st.builds(EndSessionsOf, PEOPLE),
    st.builds(SetRole, PEOPLE, st.sampled_from(["user", "admin"])),
    st.builds(NoteAct, st.sampled_from(["backup", "transfer"]), st.just("n2"), st.just("")),
)


@QUICK
@given(st.lists(st.tuples(WHO, _acts), max_size=25))
def test_there_is_no_act_without_a_record_and_no_record_without_an_act(
    acts: list[tuple[str, Command]],
) -> None:
    """One for each act that changed something, at the place of that change, by who did it; the newest are kept."""
    world, expected = World(), list[tuple[int, int, str]]()
    limit, audit.MAX_AUDIT_RECORDS = audit.MAX_AUDIT_RECORDS, KEPT_RECORDS
    try:
        for user, command in acts:
            outcome = world.do(command, scope=user, session=f"s-{user}")
            if outcome.ok and world.applied.events:
                expected.append((outcome.index, outcome.position, user))
            elif not outcome.ok:
                assert not world.applied.events
            seen = [(each.index, each.position, each.actor) for each in world.state.audit]
            assert seen == expected[-KEPT_RECORDS:]
            numbers = [each.number for each in world.state.audit]
            assert numbers == list(range(len(expected) + 1 - len(seen), len(expected) + 1))
            assert restore(world.state.freeze().chunks()).checksum() == world.state.checksum()
    finally:
        audit.MAX_AUDIT_RECORDS = limit


@QUICK
@given(st.lists(st.tuples(PEOPLE, st.integers(0, 6)), max_size=20))
def test_calendars_are_one_for_each_and_nobody_has_anothers(deeds: list[tuple[str, int]]) -> None:
    """0: close it; otherwise open one with that secret."""
    world, model = World(), dict[str, int]()
    for user, number in deeds:
        if number:
            command: Command = OpenCalendar(f"feed-{number}", bytes([number]) * 32)
            expected = "duplicate-id" if number in model.values() else "ok"
        else:
            command, expected = CloseCalendar(), "ok"
        assert do(world, user, command) == expected
        if expected == "ok":
            model.pop(user, None)
            if number:
                model[user] = number
        assert [(feed.user_id, feed.id) for feed in world.state.calendars.values()] == [
            (user_id, f"feed-{held}") for user_id, held in model.items()
        ]
        assert {key[0]: feed.user_id for key, feed in world.state.calendars_by_hash.items()} == {
            held: user_id for user_id, held in model.items()
        }


@QUICK
@given(
    taken=st.sets(st.integers(0, WEEKS - 1)),
    weeks=st.integers(1, WEEKS),
    whole=st.booleans(),
    cancelled=st.sets(st.integers(0, WEEKS - 1)),
    passed_weeks=st.integers(0, 4),  # sessions last a month
    first=st.none() | st.integers(0, WEEKS - 1),
)
def test_series_take_all_or_what_is_free_and_give_up_what_is_left(
    taken: set[int], weeks: int, whole: bool, cancelled: set[int], passed_weeks: int, first: int | None
) -> None:
    """Weeks that another has, a choice, some given up one by one, time, and then the rest from some week on."""
    world = World()
    grids = [world.grid((OPEN_CELL + week * WEEK, 14)) for week in range(WEEKS)]
    for week in sorted(taken):
        world.booked(f"bob-{week}", "A1", FREE_CELL + week * WEEK, grid=grids[week], user="bob")
    items = tuple(
        world.booking(f"ann-{week}", "A1", FREE_CELL + week * WEEK, grid=grids[week]) for week in range(weeks)
    )
    free = [week for week in range(weeks) if week not in taken]
    outcome = world.do(BookSeries("s", "FREQ=WEEKLY", whole, items), scope="ann", session="s-ann")
    assert outcome.ok == (len(free) == weeks if whole else bool(free))
    assert isinstance(outcome.result, Planned | Together)
    assert [item.code for item in outcome.result.items] == [
        "seat-taken" if week in taken else "ok" for week in range(weeks)
    ]
    assert not complaints(world.state)
    if not outcome.ok:
        assert not world.state.series
        assert not [each for each in world.state.bookings.values() if each.user_id == "ann"]
        return
    assert world.state.series["s"].booking_ids == tuple(f"ann-{week}" for week in free)
    for week in sorted(cancelled & set(free)):
        assert do(world, "ann", CancelBooking(f"ann-{week}")) == "ok"
    world.now_ms += passed_weeks * WEEK * CELL_MS
    begun = {week for week in free if (FREE_CELL + week * WEEK) * CELL_MS <= world.now_ms}
    start = "" if first is None else f"ann-{first}"
    code = do(world, "ann", CancelSeries("s", start, "moving away"))
    if first is not None and first not in free:
        assert code == "booking-not-found"
        return
    assert code == "ok"
    left = {
        int(each.id.removeprefix("ann-"))
        for each in world.state.bookings.values()
        if each.user_id == "ann" and each.status == "confirmed"
    }
    kept = {week for week in free if week in begun or (first is not None and week < first)}
    assert left == kept - cancelled


ADDRESSES = ("", "ann@a.example", "ann@b.example")
_mails = st.lists(
    st.one_of(
        st.tuples(st.just("want"), st.sampled_from(ADDRESSES), st.sampled_from([0, 30, 90])),
        st.tuples(st.just("confirm"), st.sampled_from(ADDRESSES[1:]), st.just(0)),
        st.tuples(st.just("book"), st.just(""), st.integers(0, 3)),
        st.tuples(st.just("move"), st.just(""), st.integers(0, 3)),
        st.tuples(st.just("cancel"), st.just(""), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.just(""), st.sampled_from([10, 60, 120])),
    ),
    max_size=25,
)


@QUICK
@given(_mails)
def test_mails_go_to_who_confirmed_and_reminders_come_once_and_in_time(
    deeds: list[tuple[str, str, int]],
) -> None:
    """Nothing but codes goes to an address that was not confirmed; a reminder is of a booking that is to come, once for each time of it."""
    world, confirmed = World(), set[str]()
    now_address, minutes, reminded = "", 0, set[tuple[str, int]]()
    for what, address, number in deeds:
        booking = world.state.bookings.get(f"b{number}")
        command: Command | None = None
        if what == "want":
            command = SetNotifications(address, "en", ("confirmed", "moved", "cancelled"), number)
        elif what == "confirm":
            command = ConfirmAddress(address)
        elif what == "book":
            command = world.booking(f"b{number}", f"A{number + 1}", FREE_CELL + number * HOUR)
        elif what == "move" and booking is not None:
            later = booking.start_cell + 2 * HOUR
            command = MoveBooking(booking.revision, world.booking(booking.id, booking.seat_id, later))
        elif what == "cancel":
            command = CancelBooking(f"b{number}")
        else:
            world.now_ms += number * HOUR_MS // 60
        code = do(world, "ann", command) if command is not None else str(world.batch())
        if code == "ok" and what == "want":
            confirmed &= {address}  # another address has to be confirmed anew
            now_address, minutes = address, number
        elif what == "confirm":
            assert (code == "ok") == (address == now_address)
            if code == "ok":
                confirmed.add(address)
        state = world.state
        for position, event in world.applied.events:
            goes_to = addressee(state, (state.index, position), event)
            if goes_to is not None and not isinstance(event, NotificationsSet):
                assert goes_to.address in confirmed
            if isinstance(event, BookingReminded):
                start = event.booking.start_cell
                assert minutes, "nobody asked for it"
                assert world.now_ms < start * CELL_MS <= world.now_ms + minutes * 60_000
                assert event.booking == state.bookings[event.booking.id]
                assert event.booking.status == "confirmed"
                assert (event.booking.id, start, minutes) not in reminded
                reminded.add((event.booking.id, start, minutes))
        for booking_id, reminder in state.reminders.items():
            kept = state.bookings[booking_id]
            assert kept.status == "confirmed"
            assert reminder.due_ms == kept.start_cell * CELL_MS - minutes * 60_000 > world.now_ms
