"""What the state machine answers. A refusal is a value; nothing that a client can cause raises.

The codes are the whole vocabulary; `api/problems.py` gives each its HTTP status and its words.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from statemachine.feeds import CalendarFeed
from statemachine.notices import Notifications
from statemachine.premises import Affected, Limit, SpaceChange
from statemachine.records import (
    Alternative,
    Booking,
    CheckInRule,
    Planned,
    PlannedLimited,
    Session,
    Space,
    Together,
    TogetherLimited,
    User,
)
from statemachine.sinks import Letters, Sink
from statemachine.waiters import Waiter

Code = Literal[
    "ok",
    "already-born",  # BirthCluster on a cluster that has been born
    "not-born",  # any other command before BirthCluster
    "deadline-passed",  # log time is past the envelope's deadline: not executed
    "malformed",  # bytes that are no envelope: not executed
    "key-reused",  # this idempotency key was used with another request
    "too-many-keys",  # the user's allowance of remembered keys is spent
    "unauthenticated",  # the session has ended, or never was
    "login-taken",
    "credentials-changed",  # the password was changed between verification and log-in
    "refresh-reused",  # an old refresh token came back: the session has been ended
    "too-many-users",
    "too-many-calendars",
    "unknown-space",
    "unknown-seat",
    "rules-changed",  # the grid was made from an older revision of the space: resolve again
    "off-grid",  # not on a slot boundary of an open window, or running past its end
    "closed",  # the space has no open window there
    "past",  # the first slot has begun
    "seat-taken",  # with alternatives
    "booking-not-found",  # or another user's
    "booking-completed",  # too late to cancel
    "booking-cancelled",  # too late to move
    "booking-begun",  # the same
    "booking-changed",  # the booking is not the one that a move was made from: resolve again
    "too-early-to-check-in",
    "waiting-not-found",  # or another user's
    "too-many-waiting",  # the user stands in as many lines as one may
    "waitlist-full",
    "series-not-found",  # or another user's
    "too-many-changes",  # the history of the booking is full
    # People (people.py).
    "user-blocked",  # by an administrator: no log-in
    "password-change-needed",  # a one-time password: nothing else may be done with the session
    "last-administrator",  # who can be neither demoted nor blocked nor erased
    "user-not-found",
    "session-not-found",  # or another user's
    # The outbox (outbox.py, notifications.py).
    "sink-not-found",
    "not-a-webhook",
    "too-many-sinks",
    "outbox-moved",  # the settlement was worked out from what is over: look again
    "too-many-notifications",
    "too-many-addresses",  # codes mailed for one user in a day
    "address-changed",  # the address is not the one that the code was mailed to
    "duplicate-id",  # an identifier made outside exists already
    # Spaces and seats (spaces.py).
    "forbidden",  # only administrators may do this
    "space-exists",
    "seat-exists",  # retired or not
    "too-many-spaces",
    "too-many-seats",  # in one space, the retired ones too
    "affected-changed",  # accepted bookings would be touched that the request did not name; with `Affected`
    "too-many-affected",  # to be cancelled in one change; with `Limit`
    # What users may take (policies.py); each with the `Limit`.
    "beyond-horizon",
    "too-long",
    "too-many-live",
    "too-many-that-day",
    "seated-elsewhere",  # the user has another seat of the space at that time
    "too-late-to-cancel",
    "out-of-service",  # the seat, at that time; with alternatives
]


class Outcome(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The answer to one command.

    `index` and `position` name the change, or, for an answer that changed nothing, the place in the log where it was
    given; a replay of an idempotency key answers with those of the first time.
    """

    code: Code
    index: int
    position: int
    result: (
        Booking
        | Session
        | User
        | Space
        | SpaceChange
        | Affected
        | Limit
        | Together
        | TogetherLimited
        | Planned
        | PlannedLimited
        | Waiter
        | CheckInRule
        | CalendarFeed
        | Sink
        | Letters
        | Notifications
        | None
    ) = None
    alternatives: tuple[Alternative, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the command was carried out."""
        return self.code == "ok"


class Remembered(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The first outcome under an idempotency key. `lasting` tells a client's key from one made by a node."""

    scope: str
    key: str
    fingerprint: bytes
    lasting: bool
    expires_at_ms: int
    outcome: Outcome
