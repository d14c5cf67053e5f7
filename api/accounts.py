"""Registering, logging in and out.

Where nobody is logged in yet, idempotency keys belong to the login (`login:<key of the login>`) or to the session
(`session:<id>`). Answers that hold tokens are made again from the session that the log remembers, so a repeated request
gets the same tokens and none is stored.
"""

from __future__ import annotations

from aiohttp import web

from api.answers import empty_answer, json_answer
from api.calls import Call
from api.exchange import Exchange
from api.ids import uuid7
from api.logins import canonical_login
from api.passwords import refuse_weak
from api.problems import Refusal
from api.shapes import EmptyBody, LoginBody, RefreshBody, RegisterBody, SignInBody, TokensView, UserView
from api.tokens import ACCESS_SECONDS, SESSION_MS
from api.views import user_view
from statemachine.commands import CloseSession, RegisterUser, RotateSession
from statemachine.outcomes import Outcome
from statemachine.people_commands import LogIn
from statemachine.records import Session, User

MAX_LOGIN_ATTEMPTS = 3  # the hash may be renewed by another log-in between verification and the log


async def register(exchange: Exchange, body: RegisterBody) -> web.Response:
    """Make a user."""
    services = exchange.services
    login, login_key = canonical_login(body.login)
    refuse_weak(body.password, login)
    scope, key = f"login:{login_key}", exchange.idempotency_key()
    state = await exchange.read_state()
    repeated = key is not None and state.outcome_of(scope, key) is not None
    if not repeated and state.user_by_login_key(login_key) is not None:
        # Refused without the log, so that strangers can neither spend the keys of a user nor the time of hashing.
        raise Refusal("login-taken")
    password_hash = await services.passwords.hash(body.password, exchange.remaining_seconds())
    command = RegisterUser(uuid7(services.replica.now_ms()), login, login_key, password_hash)
    outcome = await exchange.execute(command, scope=scope, key=key, body=body, session_id="")
    if not outcome.ok:
        raise Refusal(outcome.code)
    assert isinstance(outcome.result, User)
    return json_answer(user_view(outcome.result), outcome.index, status=201)


async def log_in(exchange: Exchange, body: LoginBody) -> web.Response:
    """Open a session."""
    return _tokens(exchange, await open_session(exchange, body, body.device_token), new_device=True)


async def open_session(exchange: Exchange, body: SignInBody, device_token: str | None) -> Session:
    """The session of somebody who has shown the password. Raises `Refusal`."""
    services = exchange.services
    key = exchange.idempotency_key()
    try:
        _, login_key = canonical_login(body.login)
    except Refusal:
        raise Refusal("wrong-credentials") from None  # nobody can have it
    state = await exchange.read_state()
    known = state.user_by_login_key(login_key)
    now_ms = services.replica.now_ms()
    device = services.device_tokens.read(device_token, known.id, now_ms) if known is not None else None
    attempt = services.throttle.attempt(state, login_key, exchange.request.remote, device)
    for _ in range(MAX_LOGIN_ATTEMPTS):
        state = await exchange.read_state()
        user = state.user_by_login_key(login_key)
        stored = user.password_hash if user else None
        with attempt:
            right = await services.passwords.verify(body.password, stored, exchange.remaining_seconds())
            if user is None or not right:
                attempt.failed()
                raise Refusal("wrong-credentials")
        new_hash = ""
        if services.passwords.is_outdated(user.password_hash):
            new_hash = await services.passwords.hash(body.password, exchange.remaining_seconds())
        session_id = uuid7(services.replica.now_ms())
        command = LogIn(session_id, user.id, user.password_hash, new_hash, SESSION_MS, attempt.to_forget())
        scope = f"login:{login_key}"
        outcome = await exchange.execute(command, scope=scope, key=key, body=body, session_id="")
        if outcome.code != "credentials-changed":
            break
    if outcome.ok:
        attempt.succeeded()
    return _session_of(outcome)


async def refresh(exchange: Exchange, body: RefreshBody) -> web.Response:
    """Exchange a refresh token for new tokens."""
    session_id, generation = exchange.services.refresh_tokens.read(body.refresh_token)
    outcome = await exchange.execute(
        RotateSession(session_id, generation, SESSION_MS),
        scope=f"session:{session_id}",
        key=exchange.idempotency_key(),
        body=body,
        session_id="",
    )
    return _tokens(exchange, _session_of(outcome))


async def log_out(exchange: Exchange, body: EmptyBody) -> web.Response:
    """End the session, on every node at once."""
    identity = exchange.identity()
    outcome = await exchange.execute(
        CloseSession(),
        scope=identity.user_id,
        key=exchange.idempotency_key(),
        body=body,
        session_id=identity.session_id,
    )
    if not outcome.ok:
        raise Refusal(outcome.code)
    return empty_answer(outcome.index)


async def me(exchange: Exchange, _: None) -> web.Response:
    """Who is logged in."""
    identity = exchange.identity()
    state = await exchange.read_state()
    return json_answer(user_view(exchange.user_of(state, identity)), exchange.index)


def _session_of(outcome: Outcome) -> Session:
    if not outcome.ok:
        raise Refusal(outcome.code)
    assert isinstance(outcome.result, Session)
    return outcome.result


def _tokens(exchange: Exchange, session: Session, *, new_device: bool = False) -> web.Response:
    services = exchange.services
    view = TokensView(
        access_token=services.access_tokens.issue(session),
        token_type="Bearer",  # noqa: S106 - the name of a scheme (RFC 6750), not a secret
        expires_in=ACCESS_SECONDS,
        refresh_token=services.refresh_tokens.issue(session),
        device_token=services.device_tokens.issue(session.user_id, session.id) if new_device else "",
    )
    return json_answer(view, exchange.index)


_WRITE_PROBLEMS = ("key-reused", "overloaded", "unavailable", "outcome-unknown")

CALLS = (
    Call(
        "POST",
        "/api/v1/auth/register",
        "Register",
        register,
        {201: UserView},
        access="public",
        body=RegisterBody,
        problems=("login-taken", "invalid-login", "weak-password", "too-many-users", *_WRITE_PROBLEMS),
    ),
    Call(
        "POST",
        "/api/v1/auth/login",
        "Log in",
        log_in,
        {200: TokensView},
        access="public",
        body=LoginBody,
        problems=("wrong-credentials", "too-many-attempts", "user-blocked", *_WRITE_PROBLEMS),
    ),
    Call(
        "POST",
        "/api/v1/auth/refresh",
        "Exchange a refresh token",
        refresh,
        {200: TokensView},
        access="public",
        body=RefreshBody,
        problems=("refresh-invalid", "refresh-reused", "unauthenticated", *_WRITE_PROBLEMS),
    ),
    Call(
        "POST",
        "/api/v1/auth/logout",
        "Log out",
        log_out,
        {204: None},
        body=EmptyBody,
        body_optional=True,
        problems=_WRITE_PROBLEMS,
        with_one_time_password=True,
    ),
    Call(
        "GET",
        "/api/v1/me",
        "Who is logged in",
        me,
        {200: UserView},
        problems=("unavailable",),
        with_one_time_password=True,
    ),
)
