"""Answers as bytes with their headers. The fixed headers are prepared once; a request adds its own few."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from api import problems

INDEX_HEADER = "Deskraft-Index"
DIGEST_HEADER = "Deskraft-Digest"
_SERVER = "deskraft"  # instead of the name and version of the library

_encoder = msgspec.json.Encoder()


def _prepared(media_type: str) -> CIMultiDict[str]:
    return CIMultiDict(
        {
            "Content-Type": media_type,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Server": _SERVER,
        }
    )


_JSON_HEADERS = _prepared("application/json")
_PROBLEM_HEADERS = _prepared(problems.MEDIA_TYPE)


def json_answer(
    view: Any, index: int, *, status: int = 200, extra: Iterable[tuple[str, str]] = ()
) -> web.Response:
    """A structure as JSON."""
    return raw_json_answer(_encoder.encode(view), index, status=status, extra=extra)


def raw_json_answer(
    body: bytes, index: int, *, status: int = 200, extra: Iterable[tuple[str, str]] = ()
) -> web.Response:
    """JSON that is bytes already."""
    headers = CIMultiDict(_JSON_HEADERS)
    headers[INDEX_HEADER] = str(index)
    headers.extend(extra)
    return web.Response(body=body, status=status, headers=headers)


def problem_answer(refusal: problems.Refusal, index: int) -> web.Response:
    """A refusal as problem+json."""
    headers = CIMultiDict(_PROBLEM_HEADERS)
    headers[INDEX_HEADER] = str(index)
    headers.extend(refusal.headers)
    return web.Response(body=refusal.encode(), status=refusal.status, headers=headers)


def empty_answer(index: int, *, status: int = 204, extra: Iterable[tuple[str, str]] = ()) -> web.Response:
    """No content."""
    headers = CIMultiDict({INDEX_HEADER: str(index), "Server": _SERVER, "Cache-Control": "no-store"})
    headers.extend(extra)
    return web.Response(status=status, headers=headers)


def content_answer(
    body: bytes, media_type: str, index: int, *, extra: Iterable[tuple[str, str]] = ()
) -> web.Response:
    """A page, a script or plain text."""
    headers = _prepared(media_type)
    headers[INDEX_HEADER] = str(index)
    headers["Cache-Control"] = "no-cache"
    headers.extend(extra)
    return web.Response(body=body, headers=headers)
