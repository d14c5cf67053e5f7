"""The list of servers: how it is written, who is asked next, who is believed."""

from __future__ import annotations

from random import Random

import pytest

from client.servers import MAX_PENALTY_SECONDS, ServerListError, Servers, parse_servers

A, B, C = "http://10.0.0.1:8001", "http://10.0.0.2:8001", "http://10.0.0.3:8001"


def _servers() -> Servers:
    servers = Servers([A, B, C], Random(1))
    servers.answered(A)
    return servers


def test_ports_continue_the_server_before_them() -> None:
    """The short form of the demo, a bare host, a slash at the end, a repetition."""
    text = "http://127.0.0.1:8001,8002, 8003,desk.example:80,https://[::1]:1/,2,8002"
    expected = ["http://127.0.0.1:8001", "http://127.0.0.1:8002", "http://127.0.0.1:8003"]
    expected += ["http://desk.example:80", "https://[::1]:1", "https://[::1]:2", "http://8002"]
    assert parse_servers(text)[:6] == expected[:6]


@pytest.mark.parametrize(
    "text", ["", ",", "ftp://x", "http://", "http://x:99999", "http://u:p@x", "http://x?y", "http://x#y"]
)
def test_what_is_no_server(text: str) -> None:
    """One line, and never a password in it."""
    with pytest.raises(ServerListError) as caught:
        parse_servers(text)
    assert "u:p" not in str(caught.value)


def test_the_one_that_answered_is_asked_first() -> None:
    """Staying with one node keeps its connection warm."""
    servers = _servers()
    servers.answered(B)
    assert servers.healthy(0.0) == [B, C, A]
    servers.busy(B)
    assert servers.healthy(0.0) == [C, A, B]


def test_a_failed_one_is_put_aside_for_longer_each_time() -> None:
    """The penalty doubles up to its bound and ends with an answer."""
    servers = _servers()
    servers.failed(A, 100.0, 1.0)
    assert servers.healthy(100.5) == [B, C]
    assert servers.put_aside(100.5) == [A]
    assert servers.healthy(101.0) == [A, B, C]
    for _ in range(50):
        servers.failed(A, 200.0, 1.0)
    assert servers.healthy(200.0 + MAX_PENALTY_SECONDS - 0.1) == [B, C]
    assert servers.healthy(200.0 + MAX_PENALTY_SECONDS) == [A, B, C]
    servers.answered(A)
    servers.failed(A, 300.0, 1.0)
    assert servers.healthy(301.0) == [A, B, C]


def test_members_are_learned_and_forgotten() -> None:
    """Given servers stay; a learned one goes when it is no member any more."""
    servers = _servers()
    servers.learn(A, ["10.0.0.1:8001", "10.0.0.4:8001"])
    assert servers.urls == (A, B, C, "http://10.0.0.4:8001")
    servers.answered("http://10.0.0.4:8001")
    servers.learn(A, ["10.0.0.5:8001", "not an address", "user:pw@evil:1"])
    assert servers.urls == (A, B, C, "http://10.0.0.5:8001")
    assert servers.healthy(0.0)[0] == A


def test_a_loopback_member_is_believed_to_loopback_only() -> None:
    """A remote node that calls itself 127.0.0.1 would have us send tokens to some program of our own machine."""
    servers = _servers()
    servers.learn(A, ["127.0.0.1:8001", "localhost:8002", "[::1]:8003"])
    assert servers.urls == (A, B, C)
    local = Servers(["http://localhost:8001"], Random(1))
    local.learn("http://localhost:8001", ["127.0.0.1:8002"])
    assert local.urls == ("http://localhost:8001", "http://127.0.0.1:8002")
