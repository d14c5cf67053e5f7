"""Which node to ask next.

The client stays with the node that answered last. A node that fails is put aside for a while, longer each
time; the ones put aside are asked only when nobody else answers at all. Without that rule a stopped
process, which accepts a connection and then says nothing, would cost every call its whole timeout for as
long as an election lasts.

No I/O and no clock here: the caller brings the time.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from random import Random
from urllib.parse import urlsplit

REFUSED_PENALTY_SECONDS = 0.25
SILENT_PENALTY_SECONDS = 2.0
MAX_PENALTY_SECONDS = 8.0
MAX_SERVERS = 16

_HOST = re.compile(
    r"[a-z0-9._-]+|[0-9a-f:.]+(%[a-z0-9]+)?"
)  # as `urlsplit` gives it: lower case, no brackets


class ServerListError(ValueError):
    """The list of servers cannot be used; the message is one line."""


def parse_servers(text: str) -> list[str]:
    """Base URLs from "URL[,URL…]"; a bare host:port or port continues the scheme (and host) before it.

    So `http://127.0.0.1:8001,8002,8003` is three servers. Raises `ServerListError`.
    """
    servers: list[str] = []
    for part in (piece.strip() for piece in text.split(",")):
        if not part:
            continue
        if part.isdigit() and servers:
            before = urlsplit(servers[-1])
            host = f"[{before.hostname}]" if ":" in (before.hostname or "") else before.hostname
            part = f"{before.scheme}://{host}:{part}"
        elif "://" not in part:
            part = f"http://{part}"
        server = _checked(part).rstrip("/")
        if server not in servers:
            servers.append(server)
    if not servers:
        raise ServerListError("no server given")
    if len(servers) > MAX_SERVERS:
        raise ServerListError(f"{len(servers)} servers given; at most {MAX_SERVERS}")
    return servers


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError as error:
        raise ServerListError(f"bad server {url!r}: {error}") from None
    if (
        parts.scheme not in ("http", "https")
        or not _HOST.fullmatch(parts.hostname or "")
        or parts.query
        or parts.fragment
    ):
        raise ServerListError(f"bad server {url!r}: http://HOST:PORT expected")
    if parts.username is not None:
        raise ServerListError("bad server: credentials do not belong into a URL")
    return url


class _Server:
    __slots__ = ("aside_until", "failures", "url")

    def __init__(self, url: str) -> None:
        self.url = url
        self.failures = 0
        self.aside_until = 0.0


class Servers:
    """The servers known, and how they fared. All times are seconds of one monotonic clock."""

    def __init__(self, given: Sequence[str], random: Random) -> None:
        self._given = list(given)
        self._servers = {url: _Server(url) for url in given}
        self._preferred = random.choice(self._given)  # many clients spread over all nodes

    @property
    def urls(self) -> tuple[str, ...]:
        """Every server known, the given ones first."""
        return tuple(self._servers)

    def healthy(self, now: float) -> list[str]:
        """Servers that are not put aside, the preferred one first."""
        return [url for url in self._in_order() if self._servers[url].aside_until <= now]

    def put_aside(self, now: float) -> list[str]:
        """The others, the one whose time is up soonest first."""
        aside = [server for server in self._servers.values() if server.aside_until > now]
        return [server.url for server in sorted(aside, key=lambda server: server.aside_until)]

    def answered(self, url: str) -> None:
        """The server did what it was asked: stay with it."""
        if server := self._servers.get(url):
            server.failures = 0
            server.aside_until = 0.0
            self._preferred = url

    def failed(self, url: str, now: float, penalty_seconds: float) -> None:
        """The server could not be reached or said nothing in time: put it aside."""
        if server := self._servers.get(url):
            seconds = min(penalty_seconds * 2**server.failures, MAX_PENALTY_SECONDS)
            server.aside_until = now + seconds
            server.failures = min(server.failures + 1, 16)

    def busy(self, url: str) -> None:
        """The server answered that it cannot serve now: it is alive, yet another one goes first next time."""
        if url == self._preferred:
            order = self._in_order()
            self._preferred = order[1 % len(order)]

    def learn(self, teller: str, members: Iterable[str]) -> None:
        """Take the members' `host:port` that `teller` told; forget learned ones that have left.

        A member on the loopback interface is only believed to a teller on it: over a network it would name
        some other program on this very machine, and be sent our tokens.
        """
        told = urlsplit(teller)
        known = dict.fromkeys(self._given)
        for member in members:
            url = f"{told.scheme}://{member}"
            try:
                parts = urlsplit(_checked(url))
            except ServerListError:
                continue
            if _is_loopback(parts.hostname) and not _is_loopback(told.hostname):
                continue
            known[url] = None
        kept = list(known)[:MAX_SERVERS]
        self._servers = {url: self._servers.get(url) or _Server(url) for url in kept}
        if self._preferred not in self._servers:
            self._preferred = kept[0]

    def _in_order(self) -> list[str]:
        urls = list(self._servers)
        start = urls.index(self._preferred)
        return urls[start:] + urls[:start]


def _is_loopback(host: str | None) -> bool:
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
