"""Signing in from a page: the session stands in a cookie that no script can read, the page holds short-lived tokens in its memory.

Why not tokens in the page's storage: whatever script got into the page could carry them away, and each tab would need a chain of refresh
tokens of its own. Why not the cookie for everything: then every call could be forged by another site, and nodes on other hosts would not know
the person.

**The cookie** is `session.mac`, keyed with the cluster's secret, bound to the replicated session: a log-out, a block or a new password on any
node ends it on all of them at once. It never changes while the session lives, so tabs cannot outrun each other. It is HttpOnly and
SameSite=Strict, and `__Host-` and Secure where the page came by HTTPS, which the browser's own `Origin` tells. It opens one door only:

**`POST /api/v1/auth/browser/token`** exchanges it for an access token, as a log-in gives one. The page sends that as a bearer to any member.
All other calls pass over the cookie, so there is nothing in them to forge.

**Forgery.** Both calls here refuse whoever is not a page of the cluster: `Origin` must be a member's, or the very host that is asked
(a proxy's name), and the header `Deskraft-Page` must be there, which a form of another site cannot send and for which a script has to ask
first (CORS). Cookies pass over ports, so the nodes of one host share one cookie; who may send it is judged by the whole origin.

Nobody being logged in is no error: 204, so that a page can ask without alarming anybody.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from api.accounts import open_session
from api.answers import empty_answer, json_answer
from api.calls import PAGE_HEADER, Call
from api.exchange import Exchange
from api.problems import Refusal
from api.shapes import EmptyBody, PageTokenView, SignInBody
from api.throttle import DEVICE_MS
from api.tokens import ACCESS_SECONDS, SESSION_MS
from api.views import user_view
from statemachine.commands import RotateSession
from statemachine.records import Session

PROLONG_MS = 24 * 3600 * 1000  # a session in use is given its whole time anew once a day


async def sign_in(exchange: Exchange, body: SignInBody) -> web.Response:
    """Open a session that the browser keeps."""
    secure = _page_is_secure(exchange)
    cookies = exchange.services.browser_cookies
    device = exchange.request.cookies.get(_name(cookies.device_name, secure))
    session = await open_session(exchange, body, device)
    device_token = exchange.services.device_tokens.issue(session.user_id, session.id)
    return _told(
        exchange,
        session,
        _cookie(_name(cookies.session_name, secure), cookies.issue(session.id), SESSION_MS, secure),
        _cookie(_name(cookies.device_name, secure), device_token, DEVICE_MS, secure),
    )


async def token(exchange: Exchange, body: EmptyBody) -> web.Response:
    """An access token for the session that the browser keeps."""
    secure = _page_is_secure(exchange)
    cookies = exchange.services.browser_cookies
    name = _name(cookies.session_name, secure)
    given = exchange.request.cookies.get(name)
    if given is None:
        return empty_answer(exchange.services.replica.applied_index)
    session_id = cookies.read(given)
    now_ms = exchange.services.replica.now_ms()
    session = (await exchange.read_state()).session(session_id, now_ms) if session_id else None
    if session is None:
        index = exchange.index or exchange.services.replica.applied_index
        return empty_answer(index, extra=[_cookie(name, "", 0, secure)])
    if now_ms - session.rotated_at_ms < PROLONG_MS:
        return _told(exchange, session)
    outcome = await exchange.execute(
        RotateSession(session.id, session.generation, SESSION_MS),
        scope=f"session:{session.id}",
        key=f"prolong {session.generation}",  # tabs that come together prolong it once: none of them is a thief
        body=body,
        session_id="",
    )
    if not outcome.ok:
        raise Refusal(outcome.code)
    assert isinstance(outcome.result, Session)
    return _told(exchange, outcome.result, _cookie(name, cookies.issue(session.id), SESSION_MS, secure))


def _told(exchange: Exchange, session: Session, *cookies: tuple[str, str]) -> web.Response:
    services = exchange.services
    user = services.replica.state.users[session.user_id]
    access = services.access_tokens.issue(session, services.replica.now_ms())
    view = PageTokenView(access, "Bearer", ACCESS_SECONDS, user_view(user))
    return json_answer(view, exchange.index, extra=cookies)


def _page_is_secure(exchange: Exchange) -> bool:
    """Whether the page that asks came by HTTPS. Raises `Refusal("foreign-page")` for what is no page of the cluster."""
    request = exchange.request
    origin = request.headers.get("Origin", "")
    try:
        parts = urlsplit(origin)
    except ValueError:  # broken brackets of an IPv6 address
        raise Refusal("foreign-page") from None
    same = parts.scheme in ("http", "https") and parts.netloc.lower() == request.host.lower()
    ours = same or exchange.services.origins.allows(origin)
    if not ours or request.headers.get(PAGE_HEADER) != "1":
        raise Refusal("foreign-page")
    return parts.scheme == "https"


def _name(name: str, secure: bool) -> str:
    """`__Host-`: browsers take it from this host by HTTPS alone, so no neighbour can plant one (RFC 6265bis, 4.1.3)."""
    return f"__Host-{name}" if secure else name


def _cookie(name: str, value: str, lifetime_ms: int, secure: bool) -> tuple[str, str]:
    kept = f"Max-Age={lifetime_ms // 1000}; Path=/; HttpOnly; SameSite=Strict"
    return "Set-Cookie", f"{name}={value}; {kept}{'; Secure' if secure else ''}"


_WRITE_PROBLEMS = ("overloaded", "unavailable", "outcome-unknown")

CALLS = (
    Call(
        "POST",
        "/api/v1/auth/browser",
        "Sign in from a page",
        sign_in,
        {200: PageTokenView},
        access="page",
        body=SignInBody,
        problems=("foreign-page", "wrong-credentials", "too-many-attempts", "user-blocked", *_WRITE_PROBLEMS),
    ),
    Call(
        "POST",
        "/api/v1/auth/browser/token",
        "An access token for a page",
        token,
        {200: PageTokenView, 204: None},
        access="page",
        body=EmptyBody,
        body_optional=True,
        problems=("foreign-page", "unauthenticated", *_WRITE_PROBLEMS),
        keyed=False,
    ),
)
