"""What people want to hear: consent first, reminders by the clock of the log, and to whom an event goes."""

from __future__ import annotations

import pytest

from statemachine.commands import CancelBooking, JoinWaitlist, MoveBooking
from statemachine.feed import Place
from statemachine.limits import MAX_ADDRESSES_PER_DAY
from statemachine.notices import Notifications
from statemachine.notifications import addressee
from statemachine.outbox_commands import ConfirmAddress, SetNotifications
from statemachine.outbox_events import BookingReminded, NotificationsSet
from statemachine.people_commands import EraseAccount
from statemachine.records import CELL_MS
from statemachine.state import restore
from tests.statemachine.builders import DAY_MS, FREE_CELL, HOUR, World

ALL = ("confirmed", "moved", "cancelled", "released", "affected", "promoted")
WANT = SetNotifications("ann@example.org", "ru", ALL, 30)
START_MS = FREE_CELL * CELL_MS


def told(world: World) -> list[str]:
    """To whom the events of the last entry would be mailed, and what for."""
    found = []
    for position, event in world.applied.events:
        settings = addressee(world.state, (world.state.index, position), event)
        if settings is not None:
            found.append(f"{type(event).__name__} {settings.address}")
    return found


def subscribed(want: SetNotifications = WANT) -> World:
    world = World()
    assert world.do(want, session="s-ann").ok
    assert world.do(ConfirmAddress(want.address), session="s-ann").ok
    return world


def test_nothing_is_mailed_before_the_address_is_confirmed() -> None:
    """But the code itself, which only the newest settings ask for."""
    world = World()
    first = world.do(WANT, session="s-ann")
    assert told(world) == ["NotificationsSet ann@example.org"]
    place: Place = (first.index, first.position)
    event = world.applied.events[0][1]
    world.book("b1")
    assert told(world) == []
    assert world.do(ConfirmAddress("bob@example.org"), session="s-ann").code == "address-changed"
    assert world.do(ConfirmAddress("ann@example.org"), session="s-bob").code == "address-changed"
    assert world.do(ConfirmAddress("ann@example.org"), session="s-ann").ok
    assert told(world) == []
    assert addressee(world.state, place, event) is None, "the code is of no use any more"
    assert world.do(ConfirmAddress("ann@example.org"), session="s-ann").ok, "twice is harmless"
    world.book("b2", "A2")
    assert told(world) == ["SeatBooked ann@example.org"]
    world.book("b3", "A3", user="bob")
    assert told(world) == []


def test_another_address_has_to_be_confirmed_again_and_other_wishes_do_not() -> None:
    world = subscribed()
    world.do(SetNotifications("ann@example.org", "en", ("moved",), 0), session="s-ann")
    assert world.state.notifications["ann"].confirmed
    assert world.applied.events == [(0, NotificationsSet("ann", False, world.now_ms))]
    world.do(SetNotifications("new@example.org", "en", ALL, 0), session="s-ann")
    assert not world.state.notifications["ann"].confirmed
    world.book("b1")
    assert told(world) == []


def test_codes_are_mailed_a_few_times_a_day_only() -> None:
    """Nobody's mailbox can be filled with codes by somebody else's account, whatever it sets in between."""
    world = World()
    for number in range(MAX_ADDRESSES_PER_DAY):
        assert world.do(SetNotifications(f"x{number}@example.org", "en", (), 0), session="s-ann").ok
        assert world.do(SetNotifications("", "en", (), 0), session="s-ann").ok
    assert world.do(WANT, session="s-ann").code == "too-many-addresses"
    world.now_ms += DAY_MS
    assert world.do(WANT, session="s-ann").ok


def test_every_kind_goes_to_who_wants_it() -> None:
    world = subscribed()
    world.book("b1")
    want = world.booking("b1", "A2")
    world.do(MoveBooking(world.state.bookings["b1"].revision, want), session="s-ann")
    assert told(world) == ["BookingMoved ann@example.org"]
    world.do(CancelBooking("b1"), session="s-root")
    assert told(world) == ["BookingCancelled ann@example.org"]
    world.do(SetNotifications("ann@example.org", "ru", ("cancelled",), 0), session="s-ann")
    world.book("b2")
    assert told(world) == []


def test_who_waited_is_told_once() -> None:
    """A place that was got by waiting is a promotion, or, for those who did not ask for these, a confirmation."""
    for kinds, expected in ((ALL, "WaiterPromoted"), (("confirmed",), "SeatBooked")):
        world = subscribed(SetNotifications("ann@example.org", "ru", kinds, 0))
        world.book("b1", user="bob")
        assert world.do(JoinWaitlist("w1", world.booking("b2")), session="s-ann").ok
        world.cancel("b1", user="bob")
        assert told(world) == [f"{expected} ann@example.org"]


def test_what_happened_before_is_not_mailed() -> None:
    """A new leader that looks at the same events again sends nothing that the settings of that time did not ask for."""
    world = World()
    outcome = world.book("b1")
    event = world.applied.events[0][1]
    world.do(WANT, session="s-ann")
    world.do(ConfirmAddress("ann@example.org"), session="s-ann")
    assert addressee(world.state, (outcome.index, outcome.position), event) is None


def remind_at(world: World, at_ms: int) -> list[str]:
    world.now_ms = at_ms
    world.batch()
    return [event.booking.id for _, event in world.applied.events if isinstance(event, BookingReminded)]


def test_reminders_come_once_at_their_time_for_those_who_asked() -> None:
    world = subscribed()
    world.book("b1")
    world.book("b2", "A2", user="bob")
    due_ms = START_MS - 30 * 60_000
    assert world.state.due_ms == due_ms
    assert remind_at(world, due_ms - 1) == []
    again = World(restore(world.state.freeze().chunks()), populated=False)
    for each in (world, again):
        assert remind_at(each, due_ms) == ["b1"]
        assert told(each) == ["BookingReminded ann@example.org"]
        assert remind_at(each, due_ms + 1) == []
        assert each.state.reminders == {}
    assert again.state.checksum() == world.state.checksum()


def test_reminders_follow_the_booking_and_the_settings() -> None:
    world = subscribed()
    world.book("b1")
    world.book("b2", "A2")
    world.cancel("b2")
    later = world.booking("b1", "A1", FREE_CELL + 2 * HOUR)
    assert world.do(MoveBooking(world.state.bookings["b1"].revision, later), session="s-ann").ok
    assert [each.due_ms for each in world.state.reminders.values()] == [START_MS + 90 * 60_000]
    world.do(SetNotifications("ann@example.org", "ru", ALL, 60), session="s-ann")
    assert [each.due_ms for each in world.state.reminders.values()] == [START_MS + 60 * 60_000]
    world.do(SetNotifications("ann@example.org", "ru", ALL, 0), session="s-ann")
    assert (world.state.reminders, world.state.due_ms) == ({}, None)
    world.do(SetNotifications("ann@example.org", "ru", ALL, 6 * 60), session="s-ann")
    assert world.state.reminders == {}, "the time for it is over already: who booked late knows"


def test_no_reminder_of_what_has_begun() -> None:
    """The cluster stood still over the time of the reminder and the start."""
    world = subscribed()
    world.book("b1")
    assert remind_at(world, START_MS) == []


@pytest.mark.parametrize(
    "bad",
    [
        SetNotifications("nobody", "ru", (), 0),
        SetNotifications("a@b\nBcc: x@y", "ru", (), 0),
        SetNotifications("a b@c.example", "ru", (), 0),
        SetNotifications(f"{'a' * 250}@b.example", "ru", (), 0),
        SetNotifications("", "ru", ("moved", "moved"), 0),
        SetNotifications("", "ru", (), -1),
        SetNotifications("", "ru", (), 7 * 24 * 60 + 1),
    ],
)
def test_what_no_node_sends_is_refused(bad: SetNotifications) -> None:
    world = World()
    assert world.do(bad, session="s-ann").code == "malformed"
    assert world.state.notifications == {}


def test_erasing_forgets_the_address_and_the_reminders() -> None:
    world = subscribed()
    world.book("b1")
    assert isinstance(world.state.notifications["ann"], Notifications)
    assert world.do(EraseAccount("hash-ann"), session="s-ann").ok
    assert (world.state.notifications, world.state.reminders) == ({}, {})
    assert b"ann@example.org" not in b"".join(world.state.freeze().chunks())
    assert restore(world.state.freeze().chunks()).checksum() == world.state.checksum()
