"""Which node to ask next.

**Health.** The client stays with one node as long as that one is well. A node that fails is put aside for a while,
longer each time; the ones put aside are asked only when nobody else answers at all. Without that rule a
stopped process, which accepts a connection and then says nothing, would cost every call its whole timeout
for as long as an election lasts.

**Distance.** A node is as far as the least of its last few measured round trips. All that are within
`NEAR_MS` or `NEAR_SHARE` of the nearest count as near: in one data centre that is every node, and
each client takes one of them by chance, so that clients which were all given the same address spread over the cluster.
Once chosen, a node is left for a nearer one only when it was found far in `ROUNDS_TO_MOVE` rounds of
measurements in a row: one slow answer moves nobody.

**Strangers.** Given servers are never dropped. Members that a node told of are candidates: their addresses may not be
reachable from here, or, in another network, belong to somebody else. So they are asked last, and get no
token before they have said that they are the member they should be (`calling.Caller.visit`).

No I/O and no clock here: the caller brings the time.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import deque
from collections.abc import Mapping, Sequence
from random import Random
from urllib.parse import urlsplit

REFUSED_PENALTY_SECONDS = 0.25
SILENT_PENALTY_SECONDS = 2.0
MAX_PENALTY_SECONDS = 8.0
MAX_SERVERS = 16
SAMPLES_KEPT = 4
NEAR_MS = 5.0  # of a budget of 200: a difference that nobody feels
NEAR_SHARE = 0.3
ROUNDS_TO_MOVE = 2

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
    __slots__ = ("aside_until", "failures", "given", "member", "met", "samples_ms", "url")

    def __init__(self, url: str, *, given: bool) -> None:
        self.url = url
        self.given = given
        self.met = given
        self.member = ""  # who it should be, as a member told
        self.failures = 0
        self.aside_until = 0.0
        self.samples_ms: deque[float] = deque(maxlen=SAMPLES_KEPT)

    @property
    def distance_ms(self) -> float:
        """The least of the last round trips: what was above it was a queue, not the way (the windowed minimum of BBR)."""
        return min(self.samples_ms, default=math.inf)


class Servers:
    """The servers known, and how they fared. All times are seconds of one monotonic clock."""

    def __init__(self, given: Sequence[str], random: Random) -> None:
        self._random = random
        self._given = list(given)
        self._servers = {url: _Server(url, given=True) for url in given}
        self._preferred = random.choice(self._given)  # many clients spread over all nodes
        self._settled = False
        self._far_rounds = 0
        self._displaced = False

    @property
    def urls(self) -> tuple[str, ...]:
        """Every server known, the given ones first."""
        return tuple(self._servers)

    @property
    def preferred(self) -> str:
        """The one that is asked first."""
        return self._preferred

    @property
    def undecided(self) -> bool:
        """Whether a round of measurements is wanted soon: there was none, one spoke for a move, or a failure made one."""
        return not self._settled or self._displaced or self._far_rounds > 0

    def healthy(self, now: float) -> list[str]:
        """Servers that are not put aside: the preferred one, then by distance, the ones never met last."""
        return [url for url in self._in_order() if self._servers[url].aside_until <= now]

    def put_aside(self, now: float) -> list[str]:
        """The others, the one whose time is up soonest first."""
        aside = [server for server in self._servers.values() if server.aside_until > now]
        return [server.url for server in sorted(aside, key=lambda server: server.aside_until)]

    def answered(self, url: str) -> None:
        """The server did what it was asked: stay with it, unless the preferred one is well."""
        if server := self._servers.get(url):
            server.failures = 0
            server.aside_until = 0.0
            if self._servers[self._preferred].failures:
                self._preferred = url
                self._displaced = True

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
            self._displaced = True

    # --- who is near -----------------------------------------------------------------------------------

    def measured(self, url: str, milliseconds: float) -> None:
        """How long the way to the server and back took; so it can be reached, whatever was before."""
        if server := self._servers.get(url):
            server.failures = 0
            server.aside_until = 0.0
            server.samples_ms.append(milliseconds)

    def settle(self) -> None:
        """All have been measured: prefer a near one. See the module for when the preference moves."""
        known = [s for s in self._servers.values() if s.met and not s.failures and s.samples_ms]
        if not known:
            return
        self._displaced = False
        least_ms = min(server.distance_ms for server in known)
        bound_ms = least_ms + max(NEAR_MS, least_ms * NEAR_SHARE)
        near = [server.url for server in known if server.distance_ms <= bound_ms]
        if not self._settled:
            self._settled = True
            self._preferred = self._random.choice(near)
        elif self._preferred in near:
            self._far_rounds = 0
        elif self._far_rounds + 1 < ROUNDS_TO_MOVE:
            self._far_rounds += 1
        else:
            self._far_rounds = 0
            self._preferred = self._random.choice(near)

    # --- who is there ----------------------------------------------------------------------------------

    def learn(self, teller: str, members: Mapping[str, str], *, forget: bool = True) -> None:
        """Take the `host:port` of each member, by its id, as `teller` told them; `forget` learned ones that have left.

        A member on the loopback interface is only believed to a teller on it: over a network it would name
        some other program on this very machine.
        """
        told = urlsplit(teller)
        known = dict.fromkeys(self._given, "")
        for member, address in members.items():
            url = f"{told.scheme}://{address}"
            try:
                parts = urlsplit(_checked(url))
            except ServerListError:
                continue
            if _is_loopback(parts.hostname) and not _is_loopback(told.hostname):
                continue
            known[url] = member
        if not forget:
            known = {url: server.member for url, server in self._servers.items()} | known
        kept = list(known)[:MAX_SERVERS]
        self._servers = {url: self._kept_or_new(url, known[url]) for url in kept}
        if self._preferred not in self._servers:
            self._preferred = kept[0]

    def _kept_or_new(self, url: str, member: str) -> _Server:
        server = self._servers.get(url) or _Server(url, given=url in self._given)
        if not server.given and server.member != member:
            server.met = False  # somebody else lives there now
        server.member = member
        return server

    def strangers(self) -> list[str]:
        """Servers that were only told of: they get no token before they have been met."""
        return [url for url, server in self._servers.items() if not server.met]

    def meet(self, url: str, member: str) -> bool:
        """The server says which member it is; whether that is who was expected there."""
        server = self._servers.get(url)
        if server is None or (not server.met and server.member != member):
            return False
        server.met = True
        return True

    def _in_order(self) -> list[str]:
        urls = list(self._servers)
        start = urls.index(self._preferred)
        others = [self._servers[url] for url in urls[start + 1 :] + urls[:start]]
        others.sort(key=lambda server: (not server.met, server.distance_ms))
        return [self._preferred, *(server.url for server in others)]


def _is_loopback(host: str | None) -> bool:
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
