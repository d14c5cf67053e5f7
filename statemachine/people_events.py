"""What has happened to users besides their bookings; part of the vocabulary of `events.py`.

None of these holds a name or a hash: events travel further than those may.
"""

from __future__ import annotations

from msgspec import Struct

from statemachine.records import Role


class PasswordChanged(Struct, frozen=True, array_like=True, gc=False, tag="password-changed"):
    """A user has another password; the other sessions have ended."""

    user_id: str
    at_ms: int


class UserBlocked(Struct, frozen=True, array_like=True, gc=False, tag="user-blocked"):
    """An administrator keeps a user out."""

    user_id: str
    by_user_id: str
    at_ms: int


class UserUnblocked(Struct, frozen=True, array_like=True, gc=False, tag="user-unblocked"):
    """A user who was blocked can log in again."""

    user_id: str
    by_user_id: str
    at_ms: int


class PasswordReset(Struct, frozen=True, array_like=True, gc=False, tag="password-reset"):
    """An administrator gave a user a one-time password."""

    user_id: str
    by_user_id: str
    at_ms: int


class RoleChanged(Struct, frozen=True, array_like=True, gc=False, tag="role-changed"):
    """A user was promoted or demoted."""

    user_id: str
    role: Role
    by_user_id: str
    at_ms: int


class AccountErased(Struct, frozen=True, array_like=True, gc=False, tag="account-erased"):
    """A user is forgotten. Whoever keeps copies finds by the id what to forget, too."""

    user_id: str
    at_ms: int


class BookingsErased(Struct, frozen=True, array_like=True, gc=False, tag="bookings-erased"):
    """These bookings, which are over, belong to nobody any more."""

    booking_ids: tuple[str, ...]
    at_ms: int


class LogInsFailed(Struct, frozen=True, array_like=True, gc=False, tag="log-ins-failed"):
    """A node has noted failed log-ins, under so many throttle keys."""

    keys: int
    at_ms: int


class ActNoted(Struct, frozen=True, array_like=True, gc=False, tag="act-noted"):
    """An administrative act that is no command of the state was recorded in the audit."""

    what: str
    at_ms: int


PeopleEvent = (
    PasswordChanged
    | UserBlocked
    | UserUnblocked
    | PasswordReset
    | RoleChanged
    | AccountErased
    | BookingsErased
    | LogInsFailed
    | ActNoted
)
