"""The web page and the reader of the API document: files from `api/web`, read once, served from memory.

Nothing is asked of any other server than the members of the cluster, and nothing is inline: the content
security policy allows scripts and styles from the node's own files alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import msgspec
from aiohttp import web

from api.answers import content_answer
from api.calls import Call
from api.exchange import Exchange

_WEB = Path(__file__).parent / "web"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FILES = {
    "/": ("index.html", "The web page"),
    "/docs": ("docs.html", "A reader of the API document"),
    "/web/page.js": ("page.js", "Script of the page"),
    "/web/bell.js": ("bell.js", "Script of the page's bell"),
    "/web/messages.js": ("messages.js", "Script of the page's messages"),
    "/web/words.js": ("words.js", "Words of the page, Russian and English"),
    "/web/page.css": ("page.css", "Style of the page"),
    "/web/docs.js": ("docs.js", "Script of the reader"),
    "/favicon.ico": ("icon.svg", "Icon"),
}


def site_calls() -> tuple[Call, ...]:
    """The calls that serve the files."""
    headers = (
        ("Referrer-Policy", "no-referrer"),
        ("X-Frame-Options", "DENY"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Permissions-Policy", "geolocation=(), camera=(), microphone=()"),
    )
    calls = []
    for path, (name, summary) in _FILES.items():
        file = _WEB / name
        handler = _serve(file.read_bytes(), _TYPES[file.suffix], headers)
        calls.append(Call("GET", path, summary, handler, {200: str}, access="node", media_type="text/html"))
    return tuple(calls)


def document_call(document: object) -> Call:
    """`/openapi.json`."""
    handler = _serve(msgspec.json.encode(document), "application/json", ())
    return Call("GET", "/openapi.json", "The API document", handler, {200: dict}, access="node")


def _policy(origins: Iterable[str]) -> str:
    members = " ".join(["'self'", *sorted(origins)])
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src {members}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _serve(
    body: bytes, media_type: str, headers: tuple[tuple[str, str], ...]
) -> Callable[[Exchange, None], Awaitable[web.Response]]:
    async def serve(exchange: Exchange, _: None) -> web.Response:
        services = exchange.services
        # Made for each answer: the page may talk to the members that there are now.
        policy = (("Content-Security-Policy", _policy(services.origins.current())),) if headers else ()
        return content_answer(body, media_type, services.replica.applied_index, extra=(*policy, *headers))

    return serve
