"""Reading again what one has: ETag, `If-None-Match`, 304 (RFC 9110, 8.8.3 and 13.1.2), for every call whose answer can be compared.

A handler that knows the revision of what it shows names it (`views.etag`). Where there is none, as for a list or a day, the ETag is
a hash of the bytes, so it is strong in either case. The answer has been made by then, so a 304 saves the way and not the work:
whether the reader may still see it, and whether it is still so, is judged as ever.
"""

from __future__ import annotations

import hashlib

from aiohttp import web

from api.answers import empty_answer

TAG_BYTES = 12

_OF_THE_BODY = frozenset({"Content-Type", "Content-Length", "Content-Disposition", "Content-Encoding"})


def tagged(request: web.Request, answer: web.Response, *, shared: bool) -> web.Response:
    """The answer with its ETag, or 304 when the client has it already.

    `shared`: strangers may see it, so that a browser may keep it, to ask again each time; all else is kept nowhere.
    """
    body = answer.body
    if answer.status != 200 or not isinstance(body, bytes):
        return answer
    headers = answer.headers
    if "ETag" not in headers:
        headers["ETag"] = f'"{hashlib.blake2b(body, digest_size=TAG_BYTES).hexdigest()}"'
    if shared and headers.get("Cache-Control") == "no-store":
        headers["Cache-Control"] = "private, no-cache"
        headers["Vary"] = "Authorization"
    if not _has(",".join(request.headers.getall("If-None-Match", ())), headers["ETag"]):
        return answer
    same = empty_answer(0, status=304)
    same.headers.update((name, value) for name, value in headers.items() if name not in _OF_THE_BODY)
    return same


def _has(header: str, tag: str) -> bool:
    """By weak comparison, as RFC 9110 asks for this header."""
    return header.strip() == "*" or tag in (each.strip().removeprefix("W/") for each in header.split(","))
