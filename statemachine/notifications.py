"""What people want to hear of their bookings: where it goes, and what is for whom.

**Consent.** Nothing is mailed to an address before somebody has shown the code that was mailed to it, so nobody can subscribe another person.
The code is a keyed hash of user and address that a node makes and verifies (`node/mail_addresses.py`); the state keeps only that it
was shown. A user can have MAX_ADDRESSES_PER_DAY codes sent in a day, to whatever addresses.

**Reminders** are made by time in the log (`due.py`), for those who asked for them only, so others cost no entries.

What happened before a user's settings were made or changed is not mailed: `addressee` compares the places.
"""

from __future__ import annotations

from msgspec import structs

from statemachine.commands import Envelope
from statemachine.events import (
    BookingAffected,
    BookingCancelled,
    BookingMoved,
    BookingReleased,
    Event,
    SeatBooked,
    WaiterPromoted,
)
from statemachine.limits import (
    MAX_ADDRESS_CHARS,
    MAX_ADDRESSES_PER_DAY,
    MAX_NOTIFICATIONS,
    MAX_REMIND_MINUTES,
)
from statemachine.notices import MailKind, Notifications
from statemachine.outbox_commands import ConfirmAddress, SetNotifications
from statemachine.outbox_events import AddressConfirmed, BookingReminded, NotificationsSet
from statemachine.outcomes import Outcome
from statemachine.records import CELL_MS
from statemachine.sinks import Place
from statemachine.tables import Entry, Tables

DAY_MS = 24 * 3600 * 1000

_KINDS: dict[type, MailKind] = {
    SeatBooked: "confirmed",
    BookingMoved: "moved",
    BookingCancelled: "cancelled",
    BookingReleased: "released",
    BookingAffected: "affected",
    WaiterPromoted: "promoted",
}


def set_notifications(tables: Tables, entry: Entry, envelope: Envelope, command: SetNotifications) -> Outcome:
    """Say what one wants to hear. The same address again, while it is not confirmed, asks for another code."""
    user_id = tables.sessions[envelope.session_id].user_id
    if not _is_sound(command):
        return entry.refuse("malformed")
    before = tables.notifications.get(user_id)
    if before is None:
        if len(tables.notifications) >= MAX_NOTIFICATIONS:
            return entry.refuse("too-many-notifications")
        before = Notifications(user_id, "", command.language, (), 0, False, 0, 0, "")
    confirmed = before.confirmed and before.address == command.address
    asks = bool(command.address) and not confirmed
    asked, since_ms = before.asked, before.asked_since_ms
    if asks:
        if entry.now_ms - since_ms >= DAY_MS:
            asked, since_ms = 0, entry.now_ms
        if asked >= MAX_ADDRESSES_PER_DAY:
            return entry.refuse("too-many-addresses")
        asked += 1
    settings = Notifications(
        user_id,
        command.address,
        command.language,
        command.kinds,
        command.remind_minutes,
        confirmed,
        asked,
        since_ms,
        entry.revision,
    )
    tables.put_notifications(settings)
    for booking_id in tables.upcoming_of(user_id):
        tables.remind(tables.bookings[booking_id], entry.now_ms)
    position = entry.record(NotificationsSet(user_id, asks, entry.now_ms))
    return Outcome("ok", entry.index, position, settings)


def confirm_address(tables: Tables, entry: Entry, envelope: Envelope, command: ConfirmAddress) -> Outcome:
    """Mail to the address from now on. Harmless when it is confirmed already."""
    user_id = tables.sessions[envelope.session_id].user_id
    before = tables.notifications.get(user_id)
    if before is None or not before.address or before.address != command.address:
        return entry.refuse("address-changed")
    if before.confirmed:
        return Outcome("ok", entry.index, len(entry.events), before)
    settings = structs.replace(before, confirmed=True, revision=entry.revision)
    tables.put_notifications(settings)
    return Outcome("ok", entry.index, entry.record(AddressConfirmed(user_id, entry.now_ms)), settings)


def remind(tables: Tables, entry: Entry, booking_id: str) -> None:
    """The time has come to tell somebody that their booking is about to begin."""
    tables.drop_reminder(booking_id)
    booking = tables.bookings[booking_id]
    settings = tables.notifications.get(booking.user_id)
    if (
        booking.status == "confirmed"
        and settings is not None
        and settings.remind_minutes
        and booking.start_cell * CELL_MS > entry.now_ms
    ):
        entry.record(BookingReminded(booking, entry.now_ms))


def addressee(tables: Tables, place: Place, event: Event) -> Notifications | None:
    """Whom an event is to be mailed to: their settings, or None.

    `NotificationsSet` is for the address that it named, while that waits for its code. A booking that was got by waiting is told once:
    as a promotion to those who want to hear of these, else as a confirmation.
    """
    if isinstance(event, NotificationsSet):
        settings = tables.notifications.get(event.user_id)
        latest = settings is not None and settings.revision == f"{place[0]}.{place[1]}"
        return settings if latest and event.confirm else None
    if isinstance(event, BookingReminded):
        return _settings(tables, place, event.booking.user_id)
    kind = _KINDS.get(type(event))
    if kind is None:
        return None
    booking = event.booking  # type: ignore[union-attr]  # all of _KINDS have one
    settings = _settings(tables, place, booking.user_id)
    if settings is None:
        return None
    if kind == "confirmed" and "promoted" in settings.kinds and _was_promoted(tables, booking.id):
        return None
    return settings if kind in settings.kinds else None


def _settings(tables: Tables, place: Place, user_id: str) -> Notifications | None:
    settings = tables.notifications.get(user_id)
    if settings is None or not settings.confirmed:
        return None
    index, position = settings.revision.split(".")
    return settings if place > (int(index), int(position)) else None


def _was_promoted(tables: Tables, booking_id: str) -> bool:
    steps = tables.steps_by_booking.get(booking_id)
    return bool(steps) and steps[0].kind == "promoted"  # type: ignore[index]  # not empty


def _is_sound(command: SetNotifications) -> bool:
    address = command.address
    name, at, domain = address.rpartition("@")
    return (
        (not address or bool(name and at and domain))
        and len(address) <= MAX_ADDRESS_CHARS
        and address.isprintable()
        and not any(each in ' <>,;"\\' for each in address)
        and len(set(command.kinds)) == len(command.kinds)
        and 0 <= command.remind_minutes <= MAX_REMIND_MINUTES
    )
