"""The rules of one's own account, and of what administrators do to other people's.

**At once, everywhere.** A token speaks for a session, and whether that session lives is asked of the state; so blocking,
resetting and changing a password end sessions here, in the log, and hold on every member from that entry on.

**Standing.** What is special about a user (blocked, has a one-time password) stands in a record of its own. A user of whom
nothing special is known has none, and costs nothing.

**Never without an administrator.** The last one who is not blocked can be neither demoted nor blocked, and cannot
erase the account (`last-administrator`).

**Erasing** leaves no personal data: the record of the user becomes an empty one (its id stays, so that it is never given
again), the login is free for anybody, sessions and remembered outcomes go, and bookings stay as statistics that
belong to `ERASED`. Live ones are cancelled first, with events. Work on bookings is bounded for each entry (ERASE_STEP):
whoever has more than that is erased as a person at once, and the rest of the bookings follow with the next entries, newest
first. The audit has ids and no names, and stays as it is.
"""

from __future__ import annotations

from typing import Literal

from msgspec import structs

from statemachine import audit, users
from statemachine.cancelling import give_up
from statemachine.commands import CloseSession, Envelope
from statemachine.events import SessionEnd
from statemachine.limits import MAX_TEXT_CHARS
from statemachine.outcomes import Outcome
from statemachine.people_commands import (
    ChangePassword,
    EndSessions,
    EndSessionsOf,
    EraseAccount,
    LogIn,
    NoteAct,
    ResetPassword,
    SetBlocked,
    SetRole,
)
from statemachine.people_events import (
    AccountErased,
    ActNoted,
    BookingsErased,
    PasswordChanged,
    PasswordReset,
    RoleChanged,
    UserBlocked,
    UserUnblocked,
)
from statemachine.records import CELL_MS, ERASED, Booking, Standing, User
from statemachine.tables import Entry, Tables
from statemachine.waitlist import forget_user

ERASE_STEP = 500  # bookings that are cancelled or made anonymous in one entry
# What may be done with a one-time password.
WITH_ONE_TIME_PASSWORD = frozenset({ChangePassword, CloseSession, EndSessions, EraseAccount})
MAX_FORGOTTEN_KEYS = 8  # throttle keys of one log-in; a node gives no more than there are classes


def log_in(tables: Tables, entry: Entry, envelope: Envelope, command: LogIn) -> Outcome:
    """Open a session, unless the user is blocked."""
    if len(command.forget) > MAX_FORGOTTEN_KEYS:
        return entry.refuse("malformed")
    outcome = users.open_session(tables, entry, envelope, command)
    if outcome.ok:
        for key in command.forget:
            tables.drop_failures(key)
    return outcome


def change_password(tables: Tables, entry: Entry, envelope: Envelope, command: ChangePassword) -> Outcome:
    """Another password; whoever else was logged in with the old one is no longer."""
    user = tables.users[tables.sessions[envelope.session_id].user_id]
    if not 0 < len(command.new_hash) <= MAX_TEXT_CHARS:
        return entry.refuse("malformed")
    if user.password_hash != command.verified_hash:
        return entry.refuse("credentials-changed")
    _end_sessions(tables, entry, user.id, "password-changed", but=envelope.session_id)
    _put(tables, entry, user, password_hash=command.new_hash)
    _stand(tables, entry, user.id, must_change=False)
    position = entry.record(PasswordChanged(user.id, entry.now_ms))
    return Outcome("ok", entry.index, position)


def end_sessions(tables: Tables, entry: Entry, envelope: Envelope, command: EndSessions) -> Outcome:
    """Log out elsewhere, or everywhere."""
    user_id = tables.sessions[envelope.session_id].user_id
    if not command.target_session_id:
        return Outcome("ok", entry.index, _end_sessions(tables, entry, user_id, "logged-out-everywhere"))
    session = tables.sessions.get(command.target_session_id)
    if session is None or session.user_id != user_id:
        return entry.refuse("session-not-found")
    return Outcome("ok", entry.index, users.end_session(tables, entry, session, "ended-by-user"))


def end_sessions_of(tables: Tables, entry: Entry, envelope: Envelope, command: EndSessionsOf) -> Outcome:
    """Log a user out everywhere. Who is logged in nowhere stays so, and there is no record."""
    user, refusal = _subject(tables, entry, envelope, command.user_id)
    if user is None:
        return entry.refuse(refusal)
    if not tables.sessions_by_user.get(user.id):
        return Outcome("ok", entry.index, len(entry.events))
    actor_id = tables.sessions[envelope.session_id].user_id
    position = _end_sessions(tables, entry, user.id, "ended-by-administrator")
    audit.record(tables, entry.index, position, actor_id, "sessions-ended", user.id)
    return Outcome("ok", entry.index, position)


def set_blocked(tables: Tables, entry: Entry, envelope: Envelope, command: SetBlocked) -> Outcome:
    """Keep a user out, or let one in again. What is so already stays so, and leaves no record."""
    user, refusal = _subject(tables, entry, envelope, command.user_id)
    if user is None:
        return entry.refuse(refusal)
    if is_blocked(tables, user.id) == command.blocked:
        return Outcome("ok", entry.index, len(entry.events))
    if command.blocked and _is_last_administrator(tables, user):
        return entry.refuse("last-administrator")
    actor_id = tables.sessions[envelope.session_id].user_id
    blocked_at_ms = entry.now_ms if command.blocked else 0
    if command.blocked:
        _end_sessions(tables, entry, user.id, "blocked")
        _stand(tables, entry, user.id, blocked_at_ms=blocked_at_ms)
        position = entry.record(UserBlocked(user.id, actor_id, entry.now_ms))
    else:
        _stand(tables, entry, user.id, blocked_at_ms=blocked_at_ms)
        position = entry.record(UserUnblocked(user.id, actor_id, entry.now_ms))
    what = "user-blocked" if command.blocked else "user-unblocked"
    audit.record(tables, entry.index, position, actor_id, what, user.id)
    return Outcome("ok", entry.index, position)


def reset_password(tables: Tables, entry: Entry, envelope: Envelope, command: ResetPassword) -> Outcome:
    """A one-time password instead of the one that was forgotten or stolen."""
    if not 0 < len(command.new_hash) <= MAX_TEXT_CHARS:
        return entry.refuse("malformed")
    user, refusal = _subject(tables, entry, envelope, command.user_id)
    if user is None:
        return entry.refuse(refusal)
    actor_id = tables.sessions[envelope.session_id].user_id
    _end_sessions(tables, entry, user.id, "password-reset")
    _put(tables, entry, user, password_hash=command.new_hash)
    _stand(tables, entry, user.id, must_change=True)
    position = entry.record(PasswordReset(user.id, actor_id, entry.now_ms))
    audit.record(tables, entry.index, position, actor_id, "password-reset", user.id)
    return Outcome("ok", entry.index, position)


def set_role(tables: Tables, entry: Entry, envelope: Envelope, command: SetRole) -> Outcome:
    """Promote or demote. What is so already stays so, and leaves no record."""
    user, refusal = _subject(tables, entry, envelope, command.user_id)
    if user is None:
        return entry.refuse(refusal)
    if user.role == command.role:
        return Outcome("ok", entry.index, len(entry.events))
    if command.role != "admin" and _is_last_administrator(tables, user):
        return entry.refuse("last-administrator")
    actor_id = tables.sessions[envelope.session_id].user_id
    _put(tables, entry, user, role=command.role)
    position = entry.record(RoleChanged(user.id, command.role, actor_id, entry.now_ms))
    what = "user-promoted" if command.role == "admin" else "user-demoted"
    audit.record(tables, entry.index, position, actor_id, what, user.id)
    return Outcome("ok", entry.index, position)


def erase_account(tables: Tables, entry: Entry, envelope: Envelope, command: EraseAccount) -> Outcome:
    """Forget who the user was."""
    user = tables.users[tables.sessions[envelope.session_id].user_id]
    if user.password_hash != command.verified_hash:
        return entry.refuse("credentials-changed")
    if _is_last_administrator(tables, user):
        return entry.refuse("last-administrator")
    scopes = [user.id, f"login:{user.login_key}"]
    scopes += [f"session:{session_id}" for session_id in tables.sessions_by_user.get(user.id, ())]
    _end_sessions(tables, entry, user.id, "erased")
    tables.drop_standing(user.id)
    tables.drop_calendar(user.id)
    tables.drop_notifications(user.id)
    tables.forget_outcomes(scopes)
    tables.forget_series(user.id)
    forget_user(tables, entry, user.id)
    tables.forget_told(user.id)
    _put(tables, entry, user, login="", login_key="", password_hash="", role="user", created_at_ms=0)
    if user.id in tables.bookings_by_user:
        tables.erasing[user.id] = None
    position = entry.record(AccountErased(user.id, entry.now_ms))
    audit.record(tables, entry.index, position, ERASED, "account-erased", user.id)
    erase_bookings(tables, entry)
    return Outcome("ok", entry.index, position)


def erase_bookings(tables: Tables, entry: Entry) -> None:
    """Go on with the bookings of those who have erased their accounts: cancel what is live, make anonymous what is over."""
    left = ERASE_STEP
    while left and tables.erasing:
        user_id = next(iter(tables.erasing))
        ids = tables.take_bookings(user_id, left)
        left -= len(ids)
        over = []
        for booking_id in ids:
            booking = tables.bookings[booking_id]
            if booking.status == "confirmed" and booking.end_cell * CELL_MS > entry.now_ms:
                tables.erase_booking(_belonging_to_nobody(booking, entry.revision))
                give_up(tables, entry, tables.bookings[booking_id], ERASED, "")
            else:
                over.append(booking)
        for booking in over:
            tables.erase_booking(_belonging_to_nobody(booking, entry.revision))
        if over:
            entry.record(BookingsErased(tuple(booking.id for booking in over), entry.now_ms))
        if user_id not in tables.bookings_by_user:
            del tables.erasing[user_id]
            if tables.users[user_id].revision.split(".")[0] != str(entry.index):
                tables.forget_told(user_id)  # what was told of the bookings meanwhile


def note_act(tables: Tables, entry: Entry, envelope: Envelope, command: NoteAct) -> Outcome:
    """Record what an administrator did elsewhere than in the state."""
    actor_id = tables.sessions[envelope.session_id].user_id
    if tables.users[actor_id].role != "admin":
        return entry.refuse("forbidden")
    position = entry.record(ActNoted(command.what, entry.now_ms))
    audit.record(tables, entry.index, position, actor_id, command.what, command.subject, command.detail)
    return Outcome("ok", entry.index, position)


def is_blocked(tables: Tables, user_id: str) -> bool:
    """Whether an administrator keeps the user out."""
    standing = tables.standings.get(user_id)
    return standing is not None and standing.blocked_at_ms > 0


def must_change_password(tables: Tables, user_id: str) -> bool:
    """Whether the user has a one-time password and can only change it."""
    standing = tables.standings.get(user_id)
    return standing is not None and standing.must_change


def is_erased(user: User) -> bool:
    """Whether the record is what an erased account leaves."""
    return not user.login_key


def _subject(
    tables: Tables, entry: Entry, envelope: Envelope, user_id: str
) -> tuple[User | None, Literal["forbidden", "user-not-found", "ok"]]:
    """The user whom an administrator means, or why not."""
    actor = tables.users[tables.sessions[envelope.session_id].user_id]
    if actor.role != "admin":
        return None, "forbidden"
    user = tables.users.get(user_id)
    if user is None or is_erased(user):
        return None, "user-not-found"
    return user, "ok"


def _is_last_administrator(tables: Tables, user: User) -> bool:
    if user.role != "admin" or is_blocked(tables, user.id):
        return False
    return all(other == user.id or is_blocked(tables, other) for other in tables.administrators)


def _end_sessions(tables: Tables, entry: Entry, user_id: str, reason: SessionEnd, *, but: str = "") -> int:
    """End the sessions of a user; the position of the last end, or of the next change when there was none to end."""
    position = len(entry.events)
    for session_id in list(tables.sessions_by_user.get(user_id, ())):
        if session_id != but:
            position = users.end_session(tables, entry, tables.sessions[session_id], reason)
    return position


def _put(tables: Tables, entry: Entry, user: User, **changes: object) -> None:
    tables.put_user(structs.replace(user, revision=entry.revision, **changes))


def _stand(tables: Tables, entry: Entry, user_id: str, **changes: object) -> None:
    before = tables.standings.get(user_id) or Standing(user_id)
    standing = structs.replace(before, revision=entry.revision, **changes)
    if standing.blocked_at_ms or standing.must_change:
        tables.put_standing(standing)
    else:
        tables.drop_standing(user_id)


def _belonging_to_nobody(booking: Booking, revision: str) -> Booking:
    return structs.replace(booking, user_id=ERASED, revision=revision)
