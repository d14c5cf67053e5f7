"""What events are called outside, what they tell, and whom: one mapping for streams, pages, webhooks and the broker.

**Form.** CloudEvents 1.0 in its JSON format: `source` names the cluster, `id` is `index.position`, and the two together
name one change for ever, so a receiver can drop what it has had. `time` is log time; instants are RFC 3339 in UTC, for what
is shared by everybody has no reader's zone.

**Whom.** Administrators see everything in full; users what is theirs, in full; everybody else, with or without a log-in,
what is public anyway: that a place was taken or became free, without a name or the id of a booking, and what spaces are
like. So there are two renderings of an event at most, and streams share their bytes.

**Never** a hash, a token, a login or the id of a session: an event is copied further than anybody can follow.

The mapping is a table with one function for each kind of event, and a test asks that none is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from statemachine import events as told
from statemachine import outbox_events as outbox
from statemachine import people_events as people
from statemachine.events import Event
from statemachine.feed import BEGINNING, Place
from statemachine.feeds import CalendarClosed, CalendarOpened
from statemachine.records import CELL_MS, ERASED, Booking, Session, Space
from statemachine.waiters import Waiter

Data = dict[str, Any]

TYPE_PREFIX = "deskraft."
SEAT_STATE = "deskraft.seat.state"  # what others see of a booking
_PLACE = re.compile(r"[0-9]{1,16}\.[0-9]{1,10}")
_LATEST_MS = 253_402_300_799_999  # the last instant that RFC 3339 can write


class Seen(Struct, frozen=True):
    """What everybody may see of an event."""

    type: str
    subject: str
    data: Data


class Story(Struct, frozen=True):
    """An event as it is told. `users` see it in full, as administrators do; all others see `public`, or nothing.

    `subject` orders deliveries: what has the same one is told in the order of the log. `spaces` is what filters look at.
    """

    type: str
    subject: str
    at_ms: int
    data: Data
    users: tuple[str, ...] = ()
    spaces: tuple[str, ...] = ()
    public: Seen | None = None


def story_of(event: Event) -> Story:
    """How an event is told."""
    return _STORIES[type(event)](event)


def seen_by(story: Story, user_id: str, *, administrator: bool = False) -> Story | Seen | None:
    """What a reader may see of it; the empty `user_id` is anybody."""
    if administrator or (user_id and user_id in story.users):
        return story
    return story.public


def cloud_event(cluster: str, place: Place, story: Story, seen: Story | Seen) -> Data:
    """The JSON format of CloudEvents 1.0, section 3, with the data inside."""
    return {
        "specversion": "1.0",
        "id": place_text(place),
        "source": f"/deskraft/{cluster}",
        "type": seen.type,
        "subject": seen.subject,
        "time": instant(story.at_ms),
        "datacontenttype": "application/json",
        "data": seen.data,
    }


def place_text(place: Place) -> str:
    """`index.position`: an event's id, the id of a stream's message, a cursor."""
    return f"{place[0]}.{place[1]}"


def place_from(text: str) -> Place | None:
    """The place that a text names, or None. "0" is the beginning; any other index without a position names none."""
    if text == "0":
        return BEGINNING
    if not _PLACE.fullmatch(text):
        return None
    index, _, position = text.partition(".")
    return int(index), int(position)


def instant(at_ms: int) -> str:
    """RFC 3339, UTC, to the millisecond."""
    moment = datetime.fromtimestamp(min(at_ms, _LATEST_MS) // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03}Z"


# --- bookings -------------------------------------------------------------------------------------------------


def _place_of(record: Booking) -> Data:
    return {
        "space_id": record.space_id,
        "seat_id": record.seat_id,
        "starts_at": instant(record.start_cell * CELL_MS),
        "ends_at": instant(record.end_cell * CELL_MS),
    }


def _state_of(booking: Booking, state: str) -> Data:
    return {**_place_of(booking), "state": state}


def _seat_states(*states: Data) -> Seen:
    last = states[-1]
    return Seen(SEAT_STATE, f"spaces/{last['space_id']}/seats/{last['seat_id']}", {"places": list(states)})


def _booking_story(
    what: str,
    event: Any,
    public: Seen | None = None,
    more: Data | None = None,
    spaces: tuple[str, ...] = (),
) -> Story:
    booking: Booking = event.booking
    data = {
        "booking_id": booking.id,
        "user_id": booking.user_id,
        **_place_of(booking),
        "status": booking.status,
        **(more or {}),
    }
    return Story(
        type=f"deskraft.booking.{what}",
        subject=f"bookings/{booking.id}",
        at_ms=event.at_ms,
        data=data,
        users=_owners(booking.user_id),
        spaces=spaces or (booking.space_id,),
        public=public,
    )


def _owners(user_id: str) -> tuple[str, ...]:
    return () if user_id == ERASED else (user_id,)


def _booked(event: told.SeatBooked) -> Story:
    return _booking_story("confirmed", event, _seat_states(_state_of(event.booking, "taken")))


def _cancelled(event: told.BookingCancelled) -> Story:
    more = {"by_user_id": event.by_user_id, "reason": event.reason}
    return _booking_story("cancelled", event, _seat_states(_state_of(event.booking, "free")), more)


def _moved(event: told.BookingMoved) -> Story:
    before = event.before
    public = _seat_states(_state_of(before, "free"), _state_of(event.booking, "taken"))
    spaces = tuple(dict.fromkeys((before.space_id, event.booking.space_id)))
    more = {"before": _place_of(before), "by_user_id": event.by_user_id}
    return _booking_story("moved", event, public, more, spaces)


def _affected(event: told.BookingAffected) -> Story:
    return _booking_story("affected", event, more={"reason": event.reason})


def _checked_in(event: told.BookingCheckedIn) -> Story:
    return _booking_story("checked-in", event, more={"by_user_id": event.by_user_id})


def _released(event: told.BookingReleased) -> Story:
    return _booking_story("released", event, _seat_states(_state_of(event.booking, "free")))


def _reminded(event: outbox.BookingReminded) -> Story:
    return _booking_story("reminder", event)


def _erased_bookings(event: people.BookingsErased) -> Story:
    data = {"booking_ids": list(event.booking_ids)}
    return Story("deskraft.booking.erased", "bookings", event.at_ms, data)


# --- waiting --------------------------------------------------------------------------------------------------


def _waiting_story(what: str, waiter: Waiter, at_ms: int, more: Data | None = None) -> Story:
    want = waiter.want
    data = {
        "waiter_id": waiter.id,
        "user_id": waiter.user_id,
        "space_id": want.space_id,
        "seat_id": want.seat_id or None,
        "starts_at": instant(want.start_cell * CELL_MS),
        "ends_at": instant(waiter.end_cell * CELL_MS),
        **(more or {}),
    }
    users = _owners(waiter.user_id)
    return Story(f"deskraft.waitlist.{what}", f"waitlist/{waiter.id}", at_ms, data, users, (want.space_id,))


def _joined(event: told.WaitingBegun) -> Story:
    return _waiting_story("joined", event.waiter, event.at_ms)


def _promoted(event: told.WaiterPromoted) -> Story:
    got = {"booking_id": event.booking.id, "seat_id": event.booking.seat_id}
    return _waiting_story("promoted", event.waiter, event.at_ms, got)


def _stopped_waiting(event: told.WaitingEnded) -> Story:
    return _waiting_story(event.reason, event.waiter, event.at_ms)


# --- spaces ---------------------------------------------------------------------------------------------------


def _public_story(what: str, subject: str, at_ms: int, data: Data, by_user_id: str | None = None) -> Story:
    full = data if by_user_id is None else {**data, "by_user_id": by_user_id}
    name = f"deskraft.{what}"
    return Story(name, subject, at_ms, full, (), (data["space_id"],), Seen(name, subject, data))


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _space_data(space: Space) -> Data:
    return {
        "space_id": space.id,
        "name": space.name,
        "timezone": space.timezone,
        "opens": _clock(space.opens_minutes),
        "closes": _clock(space.closes_minutes),
        "slot_minutes": space.slot_minutes,
        "seats": [{"id": seat.id, "label": seat.label} for seat in space.seats],
        "revision": space.revision,
    }


def _space_created(event: told.SpaceCreated) -> Story:
    space = event.space
    return _public_story("space.created", f"spaces/{space.id}", event.at_ms, _space_data(space))


def _space_revised(event: told.SpaceRevised) -> Story:
    data = {**_space_data(event.space), "retired": event.rules.retired}
    return _public_story("space.revised", f"spaces/{event.space.id}", event.at_ms, data, event.by_user_id)


def _check_in_set(event: told.CheckInSet) -> Story:
    rule = event.rule
    data = {"space_id": rule.space_id, "grace_minutes": rule.grace_minutes}
    return _public_story("space.check-in-set", f"spaces/{rule.space_id}", event.at_ms, data, event.by_user_id)


def _seat_revised(event: told.SeatRevised) -> Story:
    details = event.details
    data = {
        "space_id": details.space_id,
        "seat_id": details.seat_id,
        "label": details.label,
        "zone": details.zone or None,
        "attributes": list(details.attributes),
        "retired": details.retired,
        "revision": event.revision,
    }
    subject = f"spaces/{details.space_id}/seats/{details.seat_id}"
    return _public_story("seat.revised", subject, event.at_ms, data, event.by_user_id)


# --- people ---------------------------------------------------------------------------------------------------


def _user_story(what: str, event: Any, *fields: str, owner: bool = True) -> Story:
    data = {"user_id": event.user_id, **{field: getattr(event, field) for field in fields}}
    users = _owners(event.user_id) if owner else ()
    return Story(f"deskraft.user.{what}", f"users/{event.user_id}", event.at_ms, data, users)


def _session_story(what: str, session: Session, at_ms: int) -> Story:
    data = {
        "user_id": session.user_id,
        "opened_at": instant(session.created_at_ms),
        "expires_at": instant(session.expires_at_ms),
    }
    users = _owners(session.user_id)
    return Story(f"deskraft.session.{what}", f"users/{session.user_id}", at_ms, data, users)


def _session_ended(event: told.SessionEnded) -> Story:
    data = {"user_id": event.user_id, "reason": event.reason}
    users = _owners(event.user_id)
    return Story("deskraft.session.ended", f"users/{event.user_id}", event.at_ms, data, users)


def _notifications_set(event: outbox.NotificationsSet) -> Story:
    return _user_story("notifications-set", event)


def _address_confirmed(event: outbox.AddressConfirmed) -> Story:
    return _user_story("address-confirmed", event)


# --- the cluster ----------------------------------------------------------------------------------------------


def _born(event: told.ClusterBorn) -> Story:
    return Story("deskraft.cluster.born", "cluster", event.at_ms, {"admin_id": event.admin_id})


def _sink_changed(event: outbox.SinkChanged) -> Story:
    data = {"sink_id": event.sink_id, "by_user_id": event.by_user_id or None}
    return Story(f"deskraft.sink.{event.what}", f"sinks/{event.sink_id}", event.at_ms, data)


def _log_ins_failed(event: people.LogInsFailed) -> Story:
    return Story("deskraft.audit.log-ins-failed", "audit", event.at_ms, {"keys": event.keys})


def _act_noted(event: people.ActNoted) -> Story:
    return Story("deskraft.audit.act-noted", "audit", event.at_ms, {"what": event.what})


_STORIES: dict[type, Callable[[Any], Story]] = {
    told.SeatBooked: _booked,
    told.BookingMoved: _moved,
    told.BookingCancelled: _cancelled,
    told.BookingAffected: _affected,
    told.BookingCheckedIn: _checked_in,
    told.BookingReleased: _released,
    outbox.BookingReminded: _reminded,
    people.BookingsErased: _erased_bookings,
    told.WaitingBegun: _joined,
    told.WaiterPromoted: _promoted,
    told.WaitingEnded: _stopped_waiting,
    told.SpaceCreated: _space_created,
    told.SpaceRevised: _space_revised,
    told.CheckInSet: _check_in_set,
    told.SeatRevised: _seat_revised,
    told.UserRegistered: lambda event: _user_story("registered", event, "role"),
    told.PasswordRehashed: lambda event: _user_story("password-rehashed", event, owner=False),
    people.PasswordChanged: lambda event: _user_story("password-changed", event),
    people.PasswordReset: lambda event: _user_story("password-reset", event, "by_user_id"),
    people.UserBlocked: lambda event: _user_story("blocked", event, "by_user_id"),
    people.UserUnblocked: lambda event: _user_story("unblocked", event, "by_user_id"),
    people.RoleChanged: lambda event: _user_story("role-changed", event, "role", "by_user_id"),
    people.AccountErased: lambda event: _user_story("erased", event),
    CalendarOpened: lambda event: _user_story("calendar-opened", event),
    CalendarClosed: lambda event: _user_story("calendar-closed", event),
    told.SessionOpened: lambda event: _session_story("opened", event.session, event.at_ms),
    told.SessionRotated: lambda event: _session_story("rotated", event.session, event.at_ms),
    told.SessionEnded: _session_ended,
    outbox.NotificationsSet: _notifications_set,
    outbox.AddressConfirmed: _address_confirmed,
    outbox.SinkChanged: _sink_changed,
    told.ClusterBorn: _born,
    people.LogInsFailed: _log_ins_failed,
    people.ActNoted: _act_noted,
}
