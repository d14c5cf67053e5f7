"""Which URLs and which addresses a webhook may have."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given, settings
from hypothesis import strategies as st

from node.couriers.addresses import (
    MAX_URL_CHARACTERS,
    AllowedHosts,
    BadUrlError,
    RefusedAddressError,
    refusal_of,
    refuse_entry,
    refuse_literal,
    target_of,
)

NOBODY = AllowedHosts.of(())

REFUSED = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "10.255.0.1": "private",
    "100.64.0.1": "shared",
    "100.127.255.255": "shared",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "169.254.169.254": "link-local",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.8": "reserved",
    "192.0.2.1": "documents",
    "192.88.99.1": "6to4",
    "192.168.1.1": "private",
    "198.19.0.1": "benchmarks",
    "198.51.100.7": "documents",
    "203.0.113.9": "documents",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "::ffff:8.8.8.8": "IPv4-mapped",
    "::ffff:127.0.0.1": "IPv4-mapped",
    "::127.0.0.1": "reserved",
    "64:ff9b::7f00:1": "NAT64",
    "64:ff9b::808:808": "NAT64",
    "64:ff9b:1::1": "NAT64",
    "100::1": "reserved",
    "2001::1": "Teredo",
    "2001:2::1": "reserved",
    "2001:20::1": "reserved",
    "2001:db8::1": "documents",
    "2002:7f00:1::1": "6to4",
    "3fff::1": "documents",
    "4000::1": "reserved",
    "5f00::1": "reserved",
    "fc00::1": "unique-local",
    "fdab::1": "unique-local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fec0::1": "reserved",
    "ff02::1": "multicast",
}
PUBLIC = [
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "2001:4860:4860::8888",
    "2a00::1",
]


@pytest.mark.parametrize(("text", "what"), REFUSED.items())
def test_special_addresses_are_refused_and_named(text: str, what: str) -> None:
    assert what in (refusal_of(ipaddress.ip_address(text)) or "")
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    with pytest.raises(RefusedAddressError, match=what):
        NOBODY.strict_socket((family, socket.SOCK_STREAM, 6, "", (text, 80)))


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_not(text: str) -> None:
    assert refusal_of(ipaddress.ip_address(text)) is None
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    NOBODY.strict_socket((family, socket.SOCK_STREAM, 6, "", (text, 80))).close()


def test_whatever_the_library_calls_private_is_refused() -> None:
    """The library's own lists, of whichever Python this is, may be shorter than ours and never longer."""
    for text in [*REFUSED, *PUBLIC]:
        address = ipaddress.ip_address(text)
        if address.is_private or address.is_multicast or address.is_loopback or address.is_link_local:
            assert refusal_of(address) is not None, text


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.org/", "neither http"),
        ("file:///etc/passwd", "neither http"),
        ("example.org/hook", "neither http"),
        ("http:///hook", "neither http"),
        ("https://user@example.org/", "password"),
        ("https://user:word@example.org/", "password"),
        ("https://@example.org/", "password"),
        ("https://example.org/#part", "fragment"),
        ("https://example.org/a b", "characters"),
        ("https://example.org/\n", "characters"),
        ("https://пример.рф/", "xn--"),
        ("https://example.org\\@127.0.0.1/", "characters"),
        ("https://127.1/", "plain address"),
        ("https://2130706433/", "plain address"),
        ("https://0x7f000001/", "plain address"),
        ("https://0x7f.1/", "plain address"),
        ("https://017700000001/", "plain address"),
        ("https://127.0.0.01/", "plain address"),
        ("https://example.org:0/", "port"),
        ("https://example.org:99999/", "not a URL"),
        ("https://[::1/", "neither a name"),
        ("http://@]", "password"),
        ("http://]/", "neither a name"),
        ("https://[::1]x/", "neither a name"),
        ("https://example.org:/", "neither a name"),
        ("https://exa%6dple.org/", "neither a name"),
        ("", "characters"),
        (f"https://{'a' * 64}.org/", "neither a name"),
        (f"https://{'a.' * 127}org/", "neither a name"),
        ("https://example.org/" + "a" * MAX_URL_CHARACTERS, "longer"),
    ],
)
def test_bad_urls(url: str, why: str) -> None:
    with pytest.raises(BadUrlError, match=why):
        target_of(url)


@given(st.text(alphabet="htps:/@[]#?.%:_-\\az09xn\u00e9 ", max_size=40).map("http://{}".format))
@settings(max_examples=300, deadline=None)
def test_whatever_is_entered_is_read_or_refused(text: str) -> None:
    """Nothing but BadUrlError, and what is read is a host as it is compared."""
    with contextlib.suppress(BadUrlError):
        target = target_of(text)
        assert target.host == target.host.lower() and 1 <= target.port <= 65535
        assert AllowedHosts.of([target.host]) != NOBODY


def test_good_urls() -> None:
    assert (target_of("https://Example.ORG./hook?a=1").host, target_of("https://example.org").port) == (
        "example.org",
        443,
    )
    assert (target_of("http://[2A00::1]:8080/").host, target_of("http://[2A00::1]:8080/").port) == (
        "2a00::1",
        8080,
    )
    assert target_of("https://xn--e1afmkfd.xn--p1ai/").host == "xn--e1afmkfd.xn--p1ai"


def test_a_literal_is_refused_at_once_unless_allowed() -> None:
    target = target_of("http://127.0.0.1:9000/")
    with pytest.raises(BadUrlError, match=r"loopback.*webhook_allow"):
        refuse_literal(target, NOBODY)
    with pytest.raises(BadUrlError, match="loopback"):
        refuse_literal(target, AllowedHosts.of(["127.0.0.1:9001"]))
    refuse_literal(target, AllowedHosts.of(["127.0.0.1:9000"]))
    refuse_literal(target, AllowedHosts.of(["127.0.0.1"]))
    refuse_literal(target_of("http://[::1]:80/"), AllowedHosts.of(["[::1]:80"]))
    refuse_literal(target_of("http://[::1]:81/"), AllowedHosts.of(["::1"]))
    refuse_literal(target_of("http://8.8.8.8/"), NOBODY)


def test_names_are_allowed_whole_and_in_any_case() -> None:
    allowed = AllowedHosts.of(["Hooks.Internal", "billing.internal:8443"])
    assert allowed.has_name("hooks.internal", 80) and allowed.has_name("hooks.internal", 9)
    assert allowed.has_name("billing.internal", 8443) and not allowed.has_name("billing.internal", 443)
    assert not allowed.has_name("evil-hooks.internal", 80) and not allowed.has_name("internal", 80)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "host:0",
        "host:99999",
        "host:x",
        "http://host",
        "*.internal",
        "[::1",
        ":80",
        "10.0.0.1/8",
        "300.1.1.1",
        "127.1",
        "0x7f000001",
    ],
)
def test_mistakes_of_the_operator_are_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither a host|network|host bits"):
        AllowedHosts.of([text])


def test_networks_are_allowed_whoever_leads_there() -> None:
    allowed = AllowedHosts.of(["10.0.0.0/8", "127.0.0.1:9000", "[fd00::1]:9000"])
    for text, port, fits in (
        ("10.9.8.7", 1, True),
        ("11.0.0.1", 1, True),  # is public
        ("127.0.0.1", 9000, True),
        ("127.0.0.1", 9001, False),
        ("::ffff:10.0.0.1", 1, False),
        ("fd00::1", 9000, True),
        ("fd00::2", 9000, False),
    ):
        assert (allowed.refusal(ipaddress.ip_address(text), port) is None) == fits, text
    target = target_of("http://10.1.1.1/")
    refuse_literal(target, allowed)


class Names(AbstractResolver):
    """A resolver that knows some names."""

    def __init__(self, known: dict[str, list[str]]) -> None:
        self.known = known

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host not in self.known:
            raise OSError("no such name")
        made: list[Any] = [
            {"hostname": host, "host": text, "port": port, "family": family, "proto": 0, "flags": 0}
            for text in self.known[host]
        ]
        return made

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_name_that_leads_inside_is_refused_at_entry() -> None:
    names = Names(
        {"in.test": ["10.0.0.1", "fd00::1"], "both.test": ["10.0.0.1", "8.8.8.8"], "out.test": ["8.8.8.8"]}
    )
    with pytest.raises(BadUrlError, match="private"):
        await refuse_entry(target_of("http://in.test/"), NOBODY, names)
    await refuse_entry(target_of("http://in.test/"), AllowedHosts.of(["in.test"]), names)
    for host in ("both.test", "out.test", "unknown.test"):
        await refuse_entry(target_of(f"http://{host}/"), NOBODY, names)
