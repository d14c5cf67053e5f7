"""Where a webhook may be sent: the address in its URL, and the address that a name turns out to have.

An administrator of the coworking gives a URL, and a node inside the operator's network asks it. Without a rule that is a way to
make the node speak to its own machine, to its neighbours or to a cloud's metadata service: server-side request forgery (OWASP
SSRF prevention; Standard Webhooks 1.0, "Server side request forgery"). So only addresses of the public internet are asked, and what the
operator names in cluster.yml (`outbox.webhook_allow`).

Invariants.
- What is judged is what is connected to. A name is judged by nobody: it may have another address a moment later (DNS rebinding).
  `AllowedHosts.strict_socket` is called by the connector with the very socket address that it connects to next.
- IPv4 is public unless a special-purpose registry says otherwise (RFC 6890); IPv6 is refused unless it is global unicast
  (2000::/3, RFC 4291), which leaves out loopback, unique-local, link-local, multicast, IPv4-mapped and NAT64 addresses by
  construction; inside of it, what embeds an IPv4 address (6to4, Teredo) or is reserved is refused too.
- A URL is parsed once, by the parser that the HTTP client uses, so that the two cannot disagree on what its host is.
"""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp.abc import AbstractResolver
from yarl import URL

MAX_URL_CHARACTERS = 1024
MAX_HOST_CHARACTERS = 253  # RFC 1035
HTTP_PORTS = {"http": 80, "https": 443}

_URL_CHARACTERS = re.compile(
    r"[!-~]+"
)  # visible ASCII: no spaces, no controls, nothing that a parser would repair
_NEVER_IN_URL = re.compile(
    r'[\\"<>^`{|}]'
)  # RFC 3986 has none of them; parsers differ on what they do with a backslash
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"  # at most 63 characters (RFC 1035)
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMERIC = re.compile(  # the last label is a number: WHATWG URL reads it as IPv4, and `inet_aton` takes 127.1 and 0x7f000001
    r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)"
)

_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]

_REFUSED_V4 = tuple(
    (ipaddress.IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier's NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "for documents"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documents"),
        ("203.0.113.0/24", "for documents"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NOT_GLOBAL_UNICAST = tuple(  # only to say why; each of them is outside of 2000::/3
    (ipaddress.IPv6Network(network), what)
    for network, what in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "NAT64"),
        ("fc00::/7", "unique-local"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
    )
)
_REFUSED_V6 = tuple(
    (ipaddress.IPv6Network(network), what)
    for network, what in (
        ("2001::/32", "Teredo"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "for documents"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "for documents"),
    )
)


class BadUrlError(ValueError):
    """This URL cannot be a webhook's; the message says why in words for whoever gave it."""


class RefusedAddressError(OSError):
    """A connection was about to be made to an address that webhooks may not reach. An OSError, as other failures to connect."""


@dataclass(frozen=True)
class Target:
    """A URL that has been checked, as the HTTP client takes it."""

    url: URL
    host: str  # lower case, IDNA, without brackets and a final dot
    port: int


@dataclass(frozen=True)
class AllowedHosts:
    """What the operator allows: names of hosts, and addresses and networks, each on every port or on one.

    A name is allowed wherever it leads. An address or a network is allowed whoever leads there; it is judged, like every
    address, when it is connected to.
    """

    names: frozenset[tuple[str, int | None]]
    networks: tuple[tuple[Network, int | None], ...]

    @classmethod
    def of(cls, texts: Iterable[str]) -> AllowedHosts:
        """From cluster.yml: `host`, `host:port`, an address, `address:port`, `[IPv6 address]:port` or a network. Raises ValueError."""
        names, networks = set(), []
        for text in texts:
            host, port = _entry(text)
            if isinstance(host, str):
                names.add((host, port))
            else:
                networks.append((host, port))
        return cls(frozenset(names), tuple(networks))

    def has_name(self, host: str, port: int) -> bool:
        """Whether whatever this name resolves to may be asked."""
        return (host, None) in self.names or (host, port) in self.names

    def refusal(self, address: Address, port: int) -> str | None:
        """Why an address is not asked, as an adjective; None for one of the public internet or of an allowed network."""
        what = refusal_of(address)
        allowed = any(address in network and only in (None, port) for network, only in self.networks)
        return None if allowed else what

    def strict_socket(self, info: AddressInfo) -> socket.socket:
        """A socket for the connector, which connects it to the address of `info` and to no other. Raises RefusedAddressError."""
        family, kind, protocol, _, (text, port, *_) = info
        address = address_of(text)
        what = "not an IP address" if address is None else self.refusal(address, port)
        if what is not None:
            raise RefusedAddressError(errno.EACCES, f"the address {text} is {what}")
        return socket.socket(family, kind, protocol)


def _entry(text: str) -> tuple[str | Network, int | None]:
    if "/" in text:
        return ipaddress.ip_network(text), None
    bare = _plain_host(_unbracketed(text))
    if bare is not None:
        return _named(bare), None
    name, _, port = text.rpartition(":")
    host = _plain_host(_unbracketed(name))
    if host is None or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"{text!r} is neither a host nor host:port")
    return _named(host), int(port)


def _named(host: str) -> str | Network:
    return host if address_of(host) is None else ipaddress.ip_network(host)


def _unbracketed(text: str) -> str:
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text


def _plain_host(text: str) -> str | None:
    """A name or an address in the one form in which they are compared; None when it is neither."""
    address = address_of(text)
    if address is not None:
        return str(address)
    name = text.lower().removesuffix(".")
    sound = len(name) <= MAX_HOST_CHARACTERS and _NAME.fullmatch(name) and not _NUMERIC.fullmatch(name)
    return name if sound else None


def address_of(host: str) -> Address | None:
    """The address that a host is written as; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def refusal_of(address: Address) -> str | None:
    """Why an address is not asked, as an adjective; None for one of the public internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return next((what for network, what in _REFUSED_V4 if address in network), None)
    if address not in _GLOBAL_UNICAST:
        return next((what for network, what in _NOT_GLOBAL_UNICAST if address in network), "reserved")
    return next((what for network, what in _REFUSED_V6 if address in network), None)


def target_of(text: str) -> Target:
    """Read a webhook's URL strictly. Raises BadUrlError. The address of its host is not judged here."""
    if len(text) > MAX_URL_CHARACTERS:
        raise BadUrlError(f"longer than {MAX_URL_CHARACTERS} characters")
    if not _URL_CHARACTERS.fullmatch(text) or _NEVER_IN_URL.search(text):
        raise BadUrlError("has characters that do not belong in a URL; names in other scripts go in as xn--…")
    scheme, separator, rest = text.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    if scheme.lower() not in HTTP_PORTS or not separator or not authority:
        raise BadUrlError("neither http:// nor https:// with a host")
    if "@" in authority:
        raise BadUrlError("has a name or a password in it; receivers know us by the signature")
    if "#" in text:
        raise BadUrlError("has a fragment, which is never sent")
    if not _AUTHORITY.fullmatch(authority):
        raise BadUrlError("its host is neither a name nor a plain address")
    try:
        url = URL(text)
        host, port = url.raw_host, url.port
    except ValueError:
        raise BadUrlError("not a URL") from None
    if host is None:
        raise BadUrlError("its host is neither a name nor a plain address")
    plain = _plain_host(host)
    if plain is None:
        raise BadUrlError("its host is neither a name nor a plain address")
    if port is None or not 1 <= port <= 65535:
        raise BadUrlError("has no sound port")
    return Target(url, plain, port)


def refuse_literal(target: Target, allowed: AllowedHosts) -> None:
    """Raise BadUrlError for an address, not a name, that would be refused whenever it is connected to."""
    address = address_of(target.host)
    what = None if address is None else allowed.refusal(address, target.port)
    if what is not None:
        raise BadUrlError(refusal_text(target.host, what))


async def refuse_entry(target: Target, allowed: AllowedHosts, resolver: AbstractResolver) -> None:
    """What is said at once to whoever enters a URL: raise BadUrlError when every address that it has now is refused.

    A kindness, not the guard: the guard is `AllowedHosts.strict_socket`. A name that has no address today may have one tomorrow.
    """
    refuse_literal(target, allowed)
    if address_of(target.host) is not None or allowed.has_name(target.host, target.port):
        return
    try:
        results = await resolver.resolve(target.host, target.port, socket.AF_UNSPEC)
    except OSError:
        return
    found = [address for result in results if (address := address_of(result["host"])) is not None]
    refusals = [what for address in found if (what := allowed.refusal(address, target.port)) is not None]
    if refusals and len(refusals) == len(found):
        raise BadUrlError(refusal_text(target.host, refusals[0]))


def refusal_text(host: str, what: str) -> str:
    """One sentence for the administrator and the log."""
    return f"the address of {host} is {what}; only the operator can allow it, in outbox.webhook_allow of cluster.yml"
