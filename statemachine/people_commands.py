"""What people ask of their own account, and administrators of other people's: commands 20 to 29 of the log.

Passwords were hashed and verified outside. A command that rests on a verification carries the hash that was
verified, and is refused with `credentials-changed` when it is no longer the user's.
"""

from __future__ import annotations

from msgspec import Struct

from statemachine.records import Role


class LogIn(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=20):
    """`OpenSession`, and the failed log-ins under the keys of `forget` are forgotten."""

    session_id: str
    user_id: str
    verified_hash: str
    new_hash: str
    lifetime_ms: int
    forget: tuple[str, ...]


class ChangePassword(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=21):
    """Replace one's own password; all other sessions end."""

    verified_hash: str
    new_hash: str


class EndSessions(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=22):
    """End one of one's own sessions, or all of them when `target_session_id` is empty."""

    target_session_id: str


class EndSessionsOf(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=29):
    """Log a user out everywhere; they may log in again."""

    user_id: str


class SetBlocked(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=23):
    """Block a user, whose sessions end, or let the user in again."""

    user_id: str
    blocked: bool


class ResetPassword(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=24):
    """Give a user a one-time password: all sessions end, and the next one can only change the password."""

    user_id: str
    new_hash: str


class SetRole(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=25):
    """Promote or demote a user."""

    user_id: str
    role: Role


class EraseAccount(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=26):
    """Erase one's own account."""

    verified_hash: str


class NoteFailures(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=27):
    """Log-ins that failed on a node since it noted them last: pairs of a throttle key and how many."""

    failures: tuple[tuple[str, int], ...]


class NoteAct(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=28):
    """Record an administrative act that is no command of the state, such as a change of members."""

    what: str
    subject: str
    detail: str


PeopleCommand = (
    LogIn
    | ChangePassword
    | EndSessions
    | EndSessionsOf
    | SetBlocked
    | ResetPassword
    | SetRole
    | EraseAccount
    | NoteFailures
    | NoteAct
)
