"""The rules of users, sessions and the birth of the cluster.

Each rule looks first and changes afterwards; a refusal leaves the tables as they were. The one exception is
meant: an old refresh token that comes back ends its session, because one of its two holders is a thief.
"""

from __future__ import annotations

from statemachine.commands import (
    BirthCluster,
    CloseSession,
    Envelope,
    FoundCluster,
    NewSpace,
    OpenSession,
    RegisterUser,
    RotateSession,
)
from statemachine.events import (
    ClusterBorn,
    PasswordRehashed,
    SessionEnd,
    SessionEnded,
    SessionOpened,
    SessionRotated,
    SpaceCreated,
    UserRegistered,
)
from statemachine.limits import (
    MAX_ID_CHARS,
    MAX_SEATS_PER_SPACE,
    MAX_SESSION_LIFETIME_MS,
    MAX_SESSIONS_PER_USER,
    MAX_SPACES,
    MAX_TEXT_CHARS,
    MAX_USERS,
)
from statemachine.outcomes import Outcome
from statemachine.people_commands import LogIn
from statemachine.records import CELL_MINUTES, Session, Space, User
from statemachine.tables import Entry, Tables

MINUTES_PER_DAY = 24 * 60


def birth_cluster(tables: Tables, entry: Entry, _envelope: Envelope, command: BirthCluster) -> Outcome:
    """The administrator and the first spaces, once."""
    if tables.born:
        return entry.refuse("already-born")
    if not _is_user_sound(command.admin_id, command.admin_login, command.admin_login_key):
        return entry.refuse("malformed")
    if not _is_text(command.admin_password_hash) or not _are_spaces_sound(command.spaces):
        return entry.refuse("malformed")
    admin = User(
        command.admin_id,
        command.admin_login,
        command.admin_login_key,
        command.admin_password_hash,
        "admin",
        entry.now_ms,
        entry.revision,
    )
    tables.put_user(admin)
    entry.record(UserRegistered(admin.id, admin.login, admin.role, entry.now_ms))
    for new in command.spaces:
        space = Space(
            new.id,
            new.name,
            new.timezone,
            new.opens_minutes,
            new.closes_minutes,
            new.slot_minutes,
            new.seats,
            entry.revision,
        )
        tables.put_space(space)
        entry.record(SpaceCreated(space, entry.now_ms))
    tables.born = True
    tables.feed.is_open = isinstance(command, FoundCluster)
    position = entry.record(ClusterBorn(admin.id, entry.now_ms))
    return Outcome("ok", entry.index, position, admin)


def register_user(tables: Tables, entry: Entry, envelope: Envelope, command: RegisterUser) -> Outcome:
    """A new user; nobody becomes an administrator without an administrator."""
    if not _is_user_sound(command.user_id, command.login, command.login_key) or not _is_text(
        command.password_hash
    ):
        return entry.refuse("malformed")
    if command.role != "user" and not _is_administrator(tables, envelope.session_id):
        return entry.refuse("unauthenticated")
    if command.login_key in tables.users_by_login:
        return entry.refuse("login-taken")
    if command.user_id in tables.users:
        return entry.refuse("duplicate-id")
    if len(tables.users) >= MAX_USERS:
        return entry.refuse("too-many-users")
    user = User(
        command.user_id,
        command.login,
        command.login_key,
        command.password_hash,
        command.role,
        entry.now_ms,
        entry.revision,
    )
    tables.put_user(user)
    position = entry.record(UserRegistered(user.id, user.login, user.role, entry.now_ms))
    return Outcome("ok", entry.index, position, user)


def open_session(tables: Tables, entry: Entry, _envelope: Envelope, command: OpenSession | LogIn) -> Outcome:
    """Log in, if the password that was verified outside is still the user's."""
    if not _is_id(command.session_id) or not 0 < command.lifetime_ms <= MAX_SESSION_LIFETIME_MS:
        return entry.refuse("malformed")
    if len(command.new_hash) > MAX_TEXT_CHARS:
        return entry.refuse("malformed")
    user = tables.users.get(command.user_id)
    if user is None or not command.verified_hash or user.password_hash != command.verified_hash:
        return entry.refuse("credentials-changed")
    standing = tables.standings.get(user.id)
    if standing is not None and standing.blocked_at_ms:
        return entry.refuse("user-blocked")
    if command.session_id in tables.sessions:
        return entry.refuse("duplicate-id")
    open_ids = tables.sessions_by_user.get(user.id, [])
    while len(open_ids) >= MAX_SESSIONS_PER_USER:
        end_session(tables, entry, tables.sessions[open_ids[0]], "displaced")  # takes itself off the list
    if command.new_hash and command.new_hash != user.password_hash:
        tables.put_user(
            User(
                user.id,
                user.login,
                user.login_key,
                command.new_hash,
                user.role,
                user.created_at_ms,
                entry.revision,
            )
        )
        entry.record(PasswordRehashed(user.id, entry.now_ms))
    now_ms = entry.now_ms
    expires_at_ms = now_ms + command.lifetime_ms
    session = Session(command.session_id, user.id, 0, now_ms, now_ms, expires_at_ms, entry.revision)
    tables.add_session(session)
    position = entry.record(SessionOpened(session, now_ms))
    return Outcome("ok", entry.index, position, session)


def rotate_session(tables: Tables, entry: Entry, _envelope: Envelope, command: RotateSession) -> Outcome:
    """Exchange a refresh token for the next generation."""
    if not 0 < command.lifetime_ms <= MAX_SESSION_LIFETIME_MS:
        return entry.refuse("malformed")
    before = tables.sessions.get(command.target_session_id)
    if before is None or command.generation > before.generation or command.generation < 0:
        return entry.refuse("unauthenticated")
    if command.generation < before.generation:
        position = end_session(tables, entry, before, "refresh-reused")
        return Outcome("refresh-reused", entry.index, position)
    session = Session(
        before.id,
        before.user_id,
        before.generation + 1,
        before.created_at_ms,
        entry.now_ms,
        entry.now_ms + command.lifetime_ms,
        entry.revision,
    )
    tables.replace_session(session)
    position = entry.record(SessionRotated(session, entry.now_ms))
    return Outcome("ok", entry.index, position, session)


def close_session(tables: Tables, entry: Entry, envelope: Envelope, _command: CloseSession) -> Outcome:
    """Log out. The dispatcher has made sure that the session lives."""
    session = tables.sessions[envelope.session_id]
    position = end_session(tables, entry, session, "logged-out")
    return Outcome("ok", entry.index, position, session)


def end_session(tables: Tables, entry: Entry, session: Session, reason: SessionEnd) -> int:
    """End a session before its time; the position of that change."""
    tables.drop_session(session)
    return entry.record(SessionEnded(session.id, session.user_id, reason, entry.now_ms))


def _is_administrator(tables: Tables, session_id: str) -> bool:
    session = tables.sessions.get(session_id)
    return session is not None and tables.users[session.user_id].role == "admin"


def _is_id(text: str) -> bool:
    return 0 < len(text) <= MAX_ID_CHARS


def _is_text(text: str) -> bool:
    return 0 < len(text) <= MAX_TEXT_CHARS


def _is_user_sound(user_id: str, login: str, login_key: str) -> bool:
    return _is_id(user_id) and _is_text(login) and _is_text(login_key)


def _are_spaces_sound(spaces: tuple[NewSpace, ...]) -> bool:
    if not 0 < len(spaces) <= MAX_SPACES or len({space.id for space in spaces}) != len(spaces):
        return False
    return all(is_space_sound(space) for space in spaces)


def is_space_sound(space: NewSpace) -> bool:
    """Whether a node may have sent this space."""
    seats = space.seats
    return (
        _is_id(space.id)
        and _is_text(space.name)
        and _is_text(space.timezone)
        and 0 <= space.opens_minutes < MINUTES_PER_DAY
        and 0 < space.closes_minutes <= MINUTES_PER_DAY
        and CELL_MINUTES <= space.slot_minutes <= MINUTES_PER_DAY
        and space.slot_minutes % CELL_MINUTES == 0
        and 0 < len(seats) <= MAX_SEATS_PER_SPACE
        and all(_is_id(seat.id) and _is_text(seat.label) for seat in seats)
        and len({seat.id for seat in seats}) == len(seats)
    )
