"""One's own account: password, sessions, a copy of one's data, and the end of it.

Where a password is asked for, it is verified here and the command carries the hash that was verified; the log refuses it when
that is no longer the user's. A request that is repeated under its key finds its answer in the log before anything is
verified, because by then the password may be another one, or the account gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import web

from api.answers import empty_answer, json_answer
from api.bookings import position_before
from api.calls import CURSOR, Call
from api.exchange import Exchange
from api.notifications import notifications_view
from api.passwords import refuse_weak
from api.people_shapes import (
    ChangePasswordBody,
    EraseBody,
    ExportView,
    ProfileView,
    SessionsView,
    SessionView,
)
from api.problems import Refusal
from api.series import SeriesRecordView, record_view
from api.shapes import Body, BookingView, EmptyBody
from api.timegrid import rfc3339_of_ms, zone_of
from api.views import booking_view, status_at
from api.waitlist import waiting_view
from statemachine.commands import Command
from statemachine.people_commands import ChangePassword, EndSessions, EraseAccount
from statemachine.records import Session, User
from statemachine.state import State

MAX_EXPORTED_BOOKINGS = 2_000  # in one answer; the rest follows by its cursor
EXPORT_SLICE = 200  # bookings, between which others have their turn
UTC = "UTC"


async def change_password(exchange: Exchange, body: ChangePasswordBody) -> web.Response:
    """Another password. The other sessions end."""
    user = await _verified(exchange, body.old_password)
    new_hash = ""
    if user is not None:
        refuse_weak(body.new_password, user.login, "/new_password")
        new_hash = await exchange.services.passwords.hash(body.new_password, exchange.remaining_seconds())
    verified_hash = user.password_hash if user is not None else ""
    return await _done(exchange, ChangePassword(verified_hash, new_hash), body)


async def erase(exchange: Exchange, body: EraseBody) -> web.Response:
    """The end of the account."""
    user = await _verified(exchange, body.password)
    return await _done(exchange, EraseAccount(user.password_hash if user is not None else ""), body)


async def log_out_everywhere(exchange: Exchange, body: EmptyBody) -> web.Response:
    """End all sessions, this one too."""
    return await _done(exchange, EndSessions(""), body)


async def end_session(exchange: Exchange, _: None) -> web.Response:
    """End one session."""
    session_id = exchange.request.match_info["session_id"]
    if not session_id.isascii() or len(session_id) > 64:
        raise Refusal("session-not-found")  # no id of ours; the log need not see it
    return await _done(exchange, EndSessions(session_id), EmptyBody())


async def sessions(exchange: Exchange, _: None) -> web.Response:
    """Where the user is logged in."""
    identity = exchange.identity()
    state = await exchange.read_state()
    user = exchange.user_of(state, identity)
    return json_answer(SessionsView(_sessions(exchange, state, user)), exchange.index)


async def export(exchange: Exchange, _: None) -> web.Response:
    """All that the cluster keeps of the user."""
    identity = exchange.identity()
    state = await exchange.read_state()
    user = exchange.user_of(state, identity)
    profile, where = profile_view(state, user), _sessions(exchange, state, user)
    told = notifications_view(state, user.id)
    ids = tuple(state.user_bookings(user.id))
    end = position_before(ids, exchange.query["cursor"]) if "cursor" in exchange.query else len(ids)
    begin = max(0, end - MAX_EXPORTED_BOOKINGS)
    now_ms = exchange.services.replica.now_ms()
    bookings: list[BookingView] = []
    for number, booking_id in enumerate(reversed(ids[begin:end])):
        if number % EXPORT_SLICE == EXPORT_SLICE - 1:
            await asyncio.sleep(0)
            state = exchange.services.replica.state  # an installed snapshot may have replaced it
            exchange.user_of(state, identity)
        booking = state.bookings[booking_id]
        bookings.append(booking_view(booking, state, status_at(booking, now_ms)))
    cursor = f"{begin}.{ids[begin]}" if begin > 0 else None
    waiting = [waiting_view(state, state.waiters[each]) for each in state.waiters_by_user.get(user.id, ())]
    view = ExportView(profile, told, where, bookings, _series(state, user, ids[begin:end]), waiting, cursor)
    extra = [("Content-Disposition", 'attachment; filename="deskraft-export.json"')]
    return json_answer(view, exchange.index, extra=extra)


def _series(state: State, user: User, booking_ids: Sequence[str]) -> list[SeriesRecordView]:
    """The series whose first bookings are among these."""
    found = frozenset(booking_ids)
    return [
        record_view(each) for each in state.series_by_user.get(user.id, ()) if each.booking_ids[0] in found
    ]


def profile_view(state: State, user: User) -> ProfileView:
    """A user without anything secret."""
    standing = state.standings.get(user.id)
    blocked_at_ms = standing.blocked_at_ms if standing is not None else 0
    return ProfileView(
        id=user.id,
        login=user.login,
        role=user.role,
        created_at=rfc3339_of_ms(user.created_at_ms, zone_of(UTC)),
        blocked_at=rfc3339_of_ms(blocked_at_ms, zone_of(UTC)) if blocked_at_ms else None,
        password_change_needed=standing is not None and standing.must_change,
        sessions=len(state.sessions_by_user.get(user.id, ())),
    )


def _sessions(exchange: Exchange, state: State, user: User) -> list[SessionView]:
    current, now_ms = exchange.identity().session_id, exchange.services.replica.now_ms()
    living = [session for session in state.user_sessions(user.id) if session.expires_at_ms > now_ms]
    return [_session_view(session, current) for session in living]


def _session_view(session: Session, current: str) -> SessionView:
    zone = zone_of(UTC)
    return SessionView(
        session.id,
        rfc3339_of_ms(session.created_at_ms, zone),
        rfc3339_of_ms(session.rotated_at_ms, zone),
        rfc3339_of_ms(session.expires_at_ms, zone),
        session.id == current,
    )


async def _verified(exchange: Exchange, password: str) -> User | None:
    """The user, whose password it is. None: the request is a repeated one, and the log knows its answer."""
    identity = exchange.identity()
    key = exchange.idempotency_key()
    state = await exchange.read_state()
    if key is not None and state.outcome_of(identity.user_id, key) is not None:
        return None
    user = exchange.user_of(state, identity)
    services = exchange.services
    with services.throttle.confirmation(state, identity.session_id) as attempt:
        if not await services.passwords.verify(password, user.password_hash, exchange.remaining_seconds()):
            attempt.failed()
            raise Refusal("wrong-password")
        attempt.succeeded()
    return user


async def _done(exchange: Exchange, command: Command, body: Body) -> web.Response:
    identity = exchange.identity()
    key = exchange.idempotency_key()
    outcome = await exchange.execute(
        command, scope=identity.user_id, key=key, body=body, session_id=identity.session_id
    )
    if not outcome.ok:
        raise Refusal(outcome.code)
    return empty_answer(outcome.index)


_WRITE_PROBLEMS = ("key-reused", "too-many-keys", "overloaded", "unavailable", "outcome-unknown")
_PASSWORD_PROBLEMS = ("wrong-password", "too-many-attempts", "credentials-changed", *_WRITE_PROBLEMS)

CALLS = (
    Call(
        "POST",
        "/api/v1/me/password",
        "Change my password",
        change_password,
        {204: None},
        body=ChangePasswordBody,
        problems=("weak-password", *_PASSWORD_PROBLEMS),
        with_one_time_password=True,
    ),
    Call(
        "GET",
        "/api/v1/me/sessions",
        "Where I am logged in",
        sessions,
        {200: SessionsView},
        problems=("unavailable",),
        with_one_time_password=True,
    ),
    Call(
        "DELETE",
        "/api/v1/me/sessions/{session_id}",
        "End one of my sessions",
        end_session,
        {204: None},
        problems=("session-not-found", *_WRITE_PROBLEMS),
        with_one_time_password=True,
    ),
    Call(
        "POST",
        "/api/v1/auth/logout-everywhere",
        "End all my sessions",
        log_out_everywhere,
        {204: None},
        body=EmptyBody,
        body_optional=True,
        problems=_WRITE_PROBLEMS,
        with_one_time_password=True,
    ),
    Call(
        "GET",
        "/api/v1/me/export",
        "All that is kept of me",
        export,
        {200: ExportView},
        query=(CURSOR,),
        problems=("invalid-parameter", "unavailable"),
    ),
    Call(
        "DELETE",
        "/api/v1/me",
        "Erase my account",
        erase,
        {204: None},
        body=EraseBody,
        problems=("last-administrator", *_PASSWORD_PROBLEMS),
        with_one_time_password=True,
    ),
)
