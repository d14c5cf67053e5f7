"""The web page and the reader of the API document: every file below `api/web`, read once when the node starts, served from memory.

Nothing is asked of any other server than the members of the cluster, and nothing is inline: the content
security policy allows scripts and styles from the node's own files alone.

**Loading again is cheap.** Files stand at `/web/<version>/…`, where the version is a hash of all of them, and modules name each other
relatively: what a browser has of this version it keeps for good, and files of two versions never meet in one page. The pages themselves
(`/`, `/docs`) are asked for each time, by their ETag. `index.html` names the modules of the screen that is opened most, so that they come
at once; `app.js` then fetches the rest before anybody needs it: a page whose node has died goes on with the other members. Scripts are sent
without the lines that are comments, each of which stays as an empty one, so that line numbers are true; and compressed where that is smaller.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec
from aiohttp import web

from api.answers import content_answer
from api.calls import Call
from api.conditional import tagged
from api.exchange import Exchange
from api.problems import Refusal

FOREVER = "public, max-age=31536000, immutable"
ASK_EACH_TIME = "no-cache"

_WEB = Path(__file__).parent / "web"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PAGES = {"/": ("index.html", "The web page"), "/docs": ("docs.html", "A reader of the API document")}
_READER = ("docs.html", "docs.js", "docs.css")  # the reader's alone; the page does without
_FIRST = ("app.", "lib/", "views/book", "views/login", "views/bell")  # of the screen that is opened most
_COMMENTS = re.compile(rb"^[ \t]*//[^\n]*$|^/\*\*.*?\*/$", re.MULTILINE | re.DOTALL)  # whole lines of them
_LINKS_GO_HERE = "<!-- files -->"
_HEADERS = (
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Permissions-Policy", "geolocation=(), camera=(), microphone=()"),
)


@dataclass(frozen=True)
class File:
    """A file as it is sent, plain and compressed (None: that would not be smaller)."""

    body: bytes
    compressed: bytes | None
    media_type: str
    tag: str

    @classmethod
    def of(cls, body: bytes, media_type: str) -> File:
        compressed = gzip.compress(body, 9, mtime=0)
        tag = hashlib.blake2b(body, digest_size=12).hexdigest()
        return cls(body, compressed if len(compressed) < len(body) else None, media_type, tag)


class Site:
    """All files, by what follows `/web/` in their addresses, and the pages by their paths."""

    def __init__(self, root: Path = _WEB) -> None:
        found = {
            path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()
        }
        contents = {name: path.read_bytes() for name, path in found.items() if path.suffix in _TYPES}
        contents |= {
            name: _COMMENTS.sub(_as_empty_lines, body)
            for name, body in contents.items()
            if name.endswith(".js")
        }
        self.version = _version(contents)
        self.files = {
            f"{self.version}/{name}": File.of(body, _TYPES[found[name].suffix])
            for name, body in contents.items()
            if found[name].suffix != ".html"
        }
        links = self._links(contents)
        self.pages = {
            path: File.of(self._page(contents[name], links), _TYPES[".html"])
            for path, (name, _) in _PAGES.items()
        }

    def _links(self, names: dict[str, bytes]) -> str:
        """What tells a browser at once of all that it needs first."""
        lines = []
        for suffix, kind in ((".css", "stylesheet"), (".js", "modulepreload")):
            own = [name for name in names if name.endswith(suffix) and name not in _READER]
            own = [name for name in own if suffix == ".css" or name.startswith(_FIRST)]
            lines += [f'<link rel="{kind}" href="/web/{name}">' for name in own]
        return "\n".join(lines)

    def _page(self, body: bytes, links: str) -> bytes:
        text = body.decode().replace(_LINKS_GO_HERE, links)
        return text.replace('"/web/', f'"/web/{self.version}/').encode()


def _as_empty_lines(comment: re.Match[bytes]) -> bytes:
    return b"\n" * comment[0].count(b"\n")


def _version(contents: dict[str, bytes]) -> str:
    whole = hashlib.blake2b(digest_size=6)
    for name, body in contents.items():
        whole.update(f"{name} {len(body)}\n".encode() + body)
    return whole.hexdigest()


def site_calls() -> tuple[Call, ...]:
    """The calls that serve the files."""
    site = Site()

    async def page(exchange: Exchange, _: None) -> web.Response:
        # Made for each answer: the page may talk to the members that there are now.
        policy = ("Content-Security-Policy", _policy(exchange.services.origins.current()))
        return _answer(exchange, site.pages[exchange.call.path], ASK_EACH_TIME, (policy, *_HEADERS))

    async def file(exchange: Exchange, _: None) -> web.Response:
        found = site.files.get(exchange.request.match_info["file"])
        if found is None:
            raise Refusal("not-found")
        return _answer(exchange, found, FOREVER)

    async def symbol(exchange: Exchange, _: None) -> web.Response:
        return _answer(exchange, site.files[f"{site.version}/icon.svg"], ASK_EACH_TIME)

    return (
        *(Call("GET", path, told, page, {200: str}, access="node") for path, (_, told) in _PAGES.items()),
        Call(
            "GET", "/web/{file:.+}", "Their files", file, {200: str}, access="node", problems=("not-found",)
        ),
        Call("GET", "/favicon.ico", "Their icon", symbol, {200: str}, access="node"),
    )


def document_call(document: object) -> Call:
    """`/openapi.json`."""
    body = msgspec.json.encode(document)

    async def serve(exchange: Exchange, _: None) -> web.Response:
        return content_answer(body, "application/json", exchange.services.replica.applied_index)

    return Call("GET", "/openapi.json", "The API document", serve, {200: dict}, access="node")


def _policy(origins: frozenset[str]) -> str:
    members = " ".join(["'self'", *sorted(origins)])
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src {members}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _answer(
    exchange: Exchange, file: File, keep: str, extra: tuple[tuple[str, str], ...] = ()
) -> web.Response:
    body, tag = file.body, file.tag
    coding: tuple[tuple[str, str], ...] = ()
    if file.compressed is not None and _takes_gzip(exchange.request):
        body, tag, coding = file.compressed, f"{file.tag}-gz", (("Content-Encoding", "gzip"),)
    answer = content_answer(body, file.media_type, exchange.services.replica.applied_index)
    answer.headers["Cache-Control"] = keep
    answer.headers["Vary"] = "Accept-Encoding"
    answer.headers["ETag"] = f'"{tag}"'
    answer.headers.extend((*coding, *extra))
    return tagged(exchange.request, answer, shared=False)


def _takes_gzip(request: web.Request) -> bool:
    """Whether `Accept-Encoding` names gzip and does not refuse it (RFC 9110, 12.5.3)."""
    for coding in ",".join(request.headers.getall("Accept-Encoding", ())).split(","):
        name, _, weight = coding.partition(";")
        if name.strip().lower() in ("gzip", "x-gzip"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
