"""What may be asked of the state machine: imperatives, as they stand in the log.

A log entry is a `Batch`: the leader's time stamp and the envelopes that were waiting. An `Envelope` wraps one
command with what makes it happen once (`scope`, `key`, `fingerprint`), in time (`deadline_ms`), and on whose
behalf (`session_id`). Everything that needs chance, a clock, a time zone or a password hasher has been
resolved before the command is made: identifiers, hashes and the grid of the day travel inside it.

Unknown fields are refused: members that read one entry differently would diverge, so a new field is a new
tag.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from statemachine.feeds import CloseCalendar, OpenCalendar
from statemachine.limits import MAX_STAMP_MS
from statemachine.outbox_commands import OutboxCommand
from statemachine.people_commands import PeopleCommand
from statemachine.premises import SeatDetails, SpaceRules, Then
from statemachine.records import Role, Seat

KEEP_CLIENT_KEY_MS = 24 * 3600 * 1000  # an Idempotency-Key given by a client
KEEP_NODE_KEY_MS = 15_000  # a key made by a node for its own retries; longer than any deadline it sets


class NewSpace(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A space as an administrator describes it; it has no revision yet."""

    id: str
    name: str
    timezone: str
    opens_minutes: int
    closes_minutes: int
    slot_minutes: int
    seats: tuple[Seat, ...]


class BirthCluster(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=1):
    """Applied once, when the cluster is born: the administrator and the first spaces."""

    admin_id: str
    admin_login: str
    admin_login_key: str
    admin_password_hash: str
    spaces: tuple[NewSpace, ...]


class FoundCluster(BirthCluster, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=11):
    """The birth by a program that keeps a feed from the beginning. `BirthCluster` stands in older logs, of which some members have
    the entries and others a snapshot without a feed: their feed begins with `BeginFeed`, alike on all of them.
    """


class RegisterUser(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=2):
    """Refused with `login-taken` when `login_key` is somebody's."""

    user_id: str
    login: str
    login_key: str
    password_hash: str
    role: Role = "user"


class OpenSession(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=3):
    """Log in. The password was verified outside against `verified_hash`; refused with `credentials-changed`
    when that is no longer the user's hash. A non-empty `new_hash` replaces it (rehash with newer parameters).
    """

    session_id: str
    user_id: str
    verified_hash: str
    new_hash: str
    lifetime_ms: int


class RotateSession(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=4):
    """Exchange a refresh token. A generation older than the session's ends the session (`refresh-reused`)."""

    target_session_id: str
    generation: int
    lifetime_ms: int


class CloseSession(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=5):
    """Log out the envelope's own session."""


class DayGrid(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The bookable slots around a request, in UTC, resolved from the space's rules of `rules_revision`.

    `windows` are `(start_cell, slot_count)` in rising order; a window that begins where the one before ends
    continues it (a space open around the clock).
    """

    rules_revision: str
    slot_cells: int
    windows: tuple[tuple[int, int], ...]


class BookSeat(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=6):
    """Take `slots` consecutive slots of a seat from `start_cell` for the session's user."""

    booking_id: str
    space_id: str
    seat_id: str
    start_cell: int
    slots: int
    grid: DayGrid


class CancelBooking(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=7):
    """Give a booking of one's own back (an administrator: anybody's). Cancelling twice answers the same."""

    booking_id: str


class BookTogether(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=30):
    """Take several places for the session's user, all of them or none."""

    items: tuple[BookSeat, ...]


class MoveBooking(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=31):
    """Give the booking `want.booking_id` the place of `want`. What the request left open was taken from the record of
    `from_revision`; refused with `booking-changed` when the booking has another one by now.
    """

    from_revision: str
    want: BookSeat


class CancelBookingBecause(
    Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=32
):
    """Like `CancelBooking`, with a reason that the history keeps."""

    booking_id: str
    reason: str


class CancelUnchanged(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=80):
    """Like `CancelBookingBecause`, of the booking as of one revision; refused with `booking-changed` when it has another one by now."""

    booking_id: str
    reason: str
    revision: str


class Consent(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What shall become of accepted bookings that a change touches. `token` names the list of them that its maker has
    seen (empty: none); another list is refused.
    """

    token: str
    then: Then
    reason: str


class CreateSpace(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=8):
    """A new coworking. For administrators, as all that changes spaces and seats."""

    space: NewSpace


class ReviseSpace(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=9):
    """How a space is from now on, all but its seats, worked out from its revision `base_revision`.

    `closing` is the time that is open before the change and not after it, as ranges of cells up to `until_cell`. `windows`
    are the slots after it, `(start_cell, slot_count)` in rising order, of the days on which somebody waits.
    """

    space_id: str
    base_revision: str
    name: str
    timezone: str
    slot_minutes: int
    rules: SpaceRules
    closing: tuple[tuple[int, int], ...]
    until_cell: int
    consent: Consent
    windows: tuple[tuple[int, int], ...] = ()


class PutSeat(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=10):
    """A new seat, or how a known one is from now on, worked out from the space's revision `base_revision`."""

    base_revision: str
    new: bool
    details: SeatDetails
    consent: Consent


class BookSeries(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=33):
    """Take a place on each of several days for the session's user; `whole`: all of them or none, otherwise what is free.
    `rule` is what they were made from, to be shown.
    """

    series_id: str
    rule: str
    whole: bool
    items: tuple[BookSeat, ...]


class CancelSeries(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=34):
    """Give up what has not begun of a series; with `from_booking_id` only what begins no earlier than that booking."""

    series_id: str
    from_booking_id: str
    reason: str


class SetCheckIn(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=37):
    """Whether those who book in a space have to check in, and how long their seats are kept; 0: they have not."""

    space_id: str
    grace_minutes: int


class CheckIn(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=38):
    """Say that one is there."""

    booking_id: str


class JoinWaitlist(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=35):
    """Wait for a place, of any seat when `want.seat_id` is empty. `want.booking_id` is for the booking that may come of it."""

    waiter_id: str
    want: BookSeat


class LeaveWaitlist(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=36):
    """Wait no longer."""

    waiter_id: str


Command = (
    BirthCluster
    | FoundCluster
    | RegisterUser
    | OpenSession
    | RotateSession
    | CloseSession
    | BookSeat
    | CancelBooking
    | CreateSpace
    | ReviseSpace
    | PutSeat
    | BookTogether
    | MoveBooking
    | CancelBookingBecause
    | CancelUnchanged
    | BookSeries
    | CancelSeries
    | JoinWaitlist
    | LeaveWaitlist
    | SetCheckIn
    | CheckIn
    | PeopleCommand
    | OpenCalendar
    | CloseCalendar
    | OutboxCommand
)


class Envelope(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One command with its delivery terms.

    `request_id` is made anew for every request and only pairs it with its outcome on the node that took it.
    `scope` is whose key it is: a user id, or `"login:…"` where nobody is logged in yet. `session_id` is empty
    for commands that need no log-in. `fingerprint` is empty for a key that a node made.
    """

    request_id: int
    scope: str
    key: str
    fingerprint: bytes
    keep_ms: int
    deadline_ms: int
    session_id: str
    command: Command


class Batch(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One log entry: the leader's stamp and the encoded envelopes, in order.

    Each envelope is a byte string of its own, so that a bad one spoils neither the framing nor the meaning of
    its neighbours.
    """

    stamp_ms: Annotated[int, Meta(ge=0, le=MAX_STAMP_MS)]
    envelopes: list[bytes]


_encoder = msgspec.msgpack.Encoder()
_envelope_decoder = msgspec.msgpack.Decoder(Envelope)
_batch_decoder = msgspec.msgpack.Decoder(Batch)


def encode_envelope(envelope: Envelope) -> bytes:
    """Bytes of an envelope, as forwarded between nodes and kept in the log."""
    return _encoder.encode(envelope)


def decode_envelope(data: bytes | memoryview) -> Envelope:
    """Inverse of `encode_envelope`. Raises ValueError (`msgspec.DecodeError`, or UnicodeDecodeError for bad
    text).
    """
    return _envelope_decoder.decode(data)


def encode_batch(stamp_ms: int, envelopes: list[bytes]) -> bytes:
    """Bytes of one log entry from envelopes that are already encoded."""
    return _encoder.encode(Batch(stamp_ms, envelopes))


def decode_batch(payload: bytes) -> Batch:
    """Inverse of `encode_batch`. Raises ValueError (`msgspec.DecodeError`, or UnicodeDecodeError for bad
    text).
    """
    return _batch_decoder.decode(payload)
