"""What administrators do about people: find, block, reset, promote, and read the audit.

Every act is one command of the log, judged there; its answer has no body, so that a repeated request gets the same one
without anything being kept. The one-time password of a reset is not kept either: it is made from the cluster's secret and
the request, so that whoever repeats the request under its key gets it again for as long as it is the user's password.
"""

from __future__ import annotations

import base64
import hashlib

from aiohttp import web

from api.answers import empty_answer, json_answer
from api.bookings import PAGE_PARAMETERS, next_link, page_of
from api.calls import CURSOR, DEFAULT_LIMIT, LIMIT, Call, Handler, Parameter, choice
from api.exchange import Exchange
from api.ids import uuid7
from api.myself import profile_view
from api.people_shapes import (
    AuditRecordView,
    AuditView,
    OneTimePasswordView,
    ProfilesView,
    ProfileView,
)
from api.problems import Refusal, parameter_refusal
from api.shapes import BookingsView, EmptyBody
from api.timegrid import rfc3339_of_ms, zone_of
from statemachine.audit import AuditRecord
from statemachine.commands import Command
from statemachine.outcomes import Outcome
from statemachine.people import is_erased
from statemachine.people_commands import EndSessionsOf, ResetPassword, SetBlocked, SetRole
from statemachine.records import Role, User
from statemachine.state import State

MAX_SCANNED = (
    5_000  # users or records for one page; a filter that finds little gives a short page and a cursor
)
MAX_SEARCH_CHARACTERS = 64
ONE_TIME_BYTES = 10  # 16 letters and digits: 80 bits
_MAX_CURSOR_DIGITS = 12


def _parse_search(text: str) -> str:
    if not 0 < len(text) <= MAX_SEARCH_CHARACTERS:
        raise parameter_refusal("search", f"must have 1 to {MAX_SEARCH_CHARACTERS} characters")
    return text.casefold()


SEARCH = Parameter(
    "search",
    "A part of the login, or the whole id.",
    {"type": "string", "minLength": 1, "maxLength": MAX_SEARCH_CHARACTERS},
    _parse_search,
)
ROLE = choice("role", ("user", "admin"), "Only users with this role.")
BLOCKED = choice("blocked", ("yes", "no"), "Only users who are blocked, or are not.")
SUBJECT = Parameter(
    "subject",
    "Only what was done to this id.",
    {"type": "string", "minLength": 1, "maxLength": MAX_SEARCH_CHARACTERS},
    lambda text: text,
)


async def users(exchange: Exchange, _: None) -> web.Response:
    """A page of users."""
    state, _user = await administrated(exchange)
    query = exchange.query
    position = _position(query.get("cursor"))
    limit = query.get("limit", DEFAULT_LIMIT)
    items: list[ProfileView] = []
    scanned = 0
    ids = state.user_ids.slice(position, MAX_SCANNED)
    for user_id in ids:
        if len(items) == limit:
            break
        scanned += 1
        user = state.users[user_id]
        if _is_wanted(user, state, query.get("search"), query.get("role"), query.get("blocked")):
            items.append(profile_view(state, user))
    position += scanned
    cursor = str(position) if position < len(state.user_ids) else None
    extra = [("Link", next_link(exchange, cursor))] if cursor else []
    return json_answer(ProfilesView(items, cursor), exchange.index, extra=extra)


def _is_wanted(user: User, state: State, search: str | None, role: str | None, blocked: str | None) -> bool:
    if is_erased(user) or (role is not None and user.role != role):
        return False
    if search is not None and search not in user.login.casefold() and search != user.id:
        return False
    if blocked is None:
        return True
    standing = state.standings.get(user.id)
    return (standing is not None and standing.blocked_at_ms > 0) == (blocked == "yes")


async def user(exchange: Exchange, _: None) -> web.Response:
    """One user."""
    state, found = await _named(exchange)
    return json_answer(profile_view(state, found), exchange.index)


async def bookings(exchange: Exchange, _: None) -> web.Response:
    """A page of a user's bookings."""
    state, found = await _named(exchange)
    return page_of(exchange, state, found.id)


async def _named(exchange: Exchange) -> tuple[State, User]:
    """The state to answer an administrator from, and the user of the path."""
    state, _user = await administrated(exchange)
    found = state.users.get(exchange.request.match_info["user_id"])
    if found is None or is_erased(found):
        raise Refusal("user-not-found")
    return state, found


async def block(exchange: Exchange, body: EmptyBody) -> web.Response:
    """Keep a user out, from now on and everywhere."""
    return await _decided(exchange, body, SetBlocked(_subject(exchange), blocked=True))


async def unblock(exchange: Exchange, body: EmptyBody) -> web.Response:
    """Let a user in again."""
    return await _decided(exchange, body, SetBlocked(_subject(exchange), blocked=False))


async def end_sessions(exchange: Exchange, body: EmptyBody) -> web.Response:
    """Log a user out everywhere."""
    return await _decided(exchange, body, EndSessionsOf(_subject(exchange)))


async def promote(exchange: Exchange, body: EmptyBody) -> web.Response:
    """Make a user an administrator."""
    return await _with_role(exchange, body, "admin")


async def demote(exchange: Exchange, body: EmptyBody) -> web.Response:
    """Make an administrator a user."""
    return await _with_role(exchange, body, "user")


async def _with_role(exchange: Exchange, body: EmptyBody, role: Role) -> web.Response:
    return await _decided(exchange, body, SetRole(_subject(exchange), role))


async def reset_password(exchange: Exchange, body: EmptyBody) -> web.Response:
    """Give a user a one-time password."""
    await administrated(exchange)  # before the time of a hash is spent
    services, subject = exchange.services, _subject(exchange)
    seed = exchange.idempotency_key() or uuid7(services.replica.now_ms())
    candidates = [_one_time_password(key, exchange, subject, seed) for key in services.fingerprint_keys]
    new_hash = await services.passwords.hash(candidates[0], exchange.remaining_seconds())
    outcome = await _execute(exchange, body, ResetPassword(subject, new_hash))
    found = services.replica.state.users.get(subject)
    stored = found.password_hash if found is not None and not is_erased(found) else None
    for password in candidates:  # more than one only while the secret is being rotated
        if await services.passwords.verify(password, stored, exchange.remaining_seconds()):
            return json_answer(OneTimePasswordView(subject, password), outcome.index)
    raise Refusal("password-changed-since")


def _one_time_password(key: bytes, exchange: Exchange, subject: str, seed: str) -> str:
    text = "\n".join(("one-time password", exchange.identity().user_id, subject, seed))
    digest = hashlib.blake2b(text.encode(), key=key, digest_size=ONE_TIME_BYTES).digest()
    letters = base64.b32encode(digest).decode("ascii").lower()
    return "-".join(letters[at : at + 4] for at in range(0, len(letters), 4))


async def audit(exchange: Exchange, _: None) -> web.Response:
    """A page of the audit, newest first."""
    state, _user = await administrated(exchange)
    query = exchange.query
    limit, subject = query.get("limit", DEFAULT_LIMIT), query.get("subject")
    forgotten = state.audit_count - len(state.audit)
    last = state.audit_count
    if "cursor" in query:
        last = min(last, max(forgotten, _position(query["cursor"]) - 1))
    first = max(forgotten, last - MAX_SCANNED)
    items: list[AuditRecordView] = []
    number = last
    for record in reversed(state.audit.slice(first - forgotten, last - first)):
        if len(items) == limit:
            break
        number = record.number - 1
        if subject is None or record.subject == subject:
            items.append(_record_view(record, state))
    cursor = str(number + 1) if number > forgotten else None
    extra = [("Link", next_link(exchange, cursor))] if cursor else []
    return json_answer(AuditView(items, forgotten, cursor), exchange.index, extra=extra)


def _record_view(record: AuditRecord, state: State) -> AuditRecordView:
    return AuditRecordView(
        id=f"{record.index}.{record.position}",
        number=record.number,
        at=rfc3339_of_ms(record.at_ms, zone_of("UTC")),
        actor=record.actor,
        actor_login=_login(state, record.actor),
        what=record.what,
        subject=record.subject,
        subject_login=_login(state, record.subject),
        detail=record.detail,
    )


def _login(state: State, user_id: str) -> str | None:
    user = state.users.get(user_id)
    return user.login if user is not None and not is_erased(user) else None


async def administrated(exchange: Exchange) -> tuple[State, User]:
    """The state to answer from and the user who asks, an administrator. Raises `Refusal`."""
    identity = exchange.identity()
    state = await exchange.read_state()
    asking = exchange.user_of(state, identity)
    if asking.role != "admin":
        raise Refusal("forbidden", "Only administrators may do this.")
    return state, asking


def _position(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= _MAX_CURSOR_DIGITS):
        raise parameter_refusal("cursor", "is not one that this call has given")
    return int(cursor)


def _subject(exchange: Exchange) -> str:
    user_id = exchange.request.match_info["user_id"]
    if not user_id.isascii() or len(user_id) > 64:
        raise Refusal("user-not-found")  # no id of ours; the log need not see it
    return user_id


async def _decided(exchange: Exchange, body: EmptyBody, command: Command) -> web.Response:
    outcome = await _execute(exchange, body, command)
    return empty_answer(outcome.index)


async def _execute(exchange: Exchange, body: EmptyBody, command: Command) -> Outcome:
    identity = exchange.identity()
    key = exchange.idempotency_key()
    outcome = await exchange.execute(
        command, scope=identity.user_id, key=key, body=body, session_id=identity.session_id
    )
    if not outcome.ok:
        raise Refusal(outcome.code)
    return outcome


_PROBLEMS = (
    "forbidden",
    "user-not-found",
    "key-reused",
    "too-many-keys",
    "overloaded",
    "unavailable",
    "outcome-unknown",
)
_READ_PROBLEMS = ("forbidden", "invalid-parameter", "unavailable")
_USER_PATH = "/api/v1/admin/users/{user_id}"


def _act(name: str, summary: str, handler: Handler, problems: tuple[str, ...] = ()) -> Call:
    return Call(
        "POST",
        f"{_USER_PATH}/{name}",
        summary,
        handler,
        {204: None},
        body=EmptyBody,
        body_optional=True,
        problems=(*_PROBLEMS, *problems),
    )


CALLS = (
    Call(
        "GET",
        "/api/v1/admin/users",
        "Users, in the order in which they registered",
        users,
        {200: ProfilesView},
        query=(SEARCH, ROLE, BLOCKED, LIMIT, CURSOR),
        problems=_READ_PROBLEMS,
    ),
    Call(
        "GET",
        _USER_PATH,
        "One user",
        user,
        {200: ProfileView},
        problems=("user-not-found", *_READ_PROBLEMS),
    ),
    Call(
        "GET",
        f"{_USER_PATH}/bookings",
        "A user's bookings, newest first",
        bookings,
        {200: BookingsView},
        query=PAGE_PARAMETERS,
        problems=("user-not-found", *_READ_PROBLEMS),
    ),
    _act("block", "Block a user", block, ("last-administrator",)),
    _act("unblock", "Let a user in again", unblock),
    _act("end-sessions", "Log a user out everywhere", end_sessions),
    _act("promote", "Make a user an administrator", promote),
    _act("demote", "Make an administrator a user", demote, ("last-administrator",)),
    Call(
        "POST",
        f"{_USER_PATH}/reset-password",
        "Give a user a one-time password",
        reset_password,
        {200: OneTimePasswordView},
        body=EmptyBody,
        body_optional=True,
        problems=(*_PROBLEMS, "password-changed-since"),
    ),
    Call(
        "GET",
        "/api/v1/admin/audit",
        "What administrators did, newest first",
        audit,
        {200: AuditView},
        query=(SUBJECT, LIMIT, CURSOR),
        problems=_READ_PROBLEMS,
    ),
)
