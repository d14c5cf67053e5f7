"""The list of servers: how it is written, who is asked next, who is believed."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from client.servers import MAX_PENALTY_SECONDS, ServerListError, Servers, parse_servers

A, B, C = "http://10.0.0.1:8001", "http://10.0.0.2:8001", "http://10.0.0.3:8001"


class _First(Random):
    """Chance that always takes the first."""

    def choice(self, seq: Any) -> Any:
        return seq[0]


def _servers() -> Servers:
    return Servers([A, B, C], _First())


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


def test_the_client_stays_until_its_server_fails() -> None:
    """Staying with one node keeps its connection warm; an answer of another one moves nobody while it is well."""
    servers = _servers()
    servers.answered(B)
    assert servers.healthy(0.0) == [A, B, C]
    servers.failed(A, 0.0, 1.0)
    servers.answered(B)
    assert servers.healthy(0.0) == [B, C]
    assert servers.healthy(2.0) == [B, C, A]
    servers.busy(B)
    assert servers.healthy(2.0) == [C, A, B]


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
    fourth, fifth = "http://10.0.0.4:8001", "http://10.0.0.5:8001"
    servers.learn(A, {"n1": "10.0.0.1:8001", "n4": "10.0.0.4:8001"})
    assert servers.urls == (A, B, C, fourth)
    servers.learn(A, {"n5": "10.0.0.5:8001", "n6": "not an address", "n7": "user:pw@evil:1"})
    assert servers.urls == (A, B, C, fifth)
    servers.learn(A, {}, forget=False)
    assert servers.urls == (A, B, C, fifth)


def test_a_stranger_is_asked_last_and_has_to_be_who_it_should_be() -> None:
    """An address that a node told of may belong to somebody else in our network."""
    servers = _servers()
    fourth = "http://10.0.0.4:8001"
    servers.learn(A, {"n4": "10.0.0.4:8001"})
    servers.measured(fourth, 0.1)
    assert servers.healthy(0.0) == [A, B, C, fourth]
    assert servers.strangers() == [fourth]
    assert not servers.meet(fourth, "n9")
    assert servers.meet(fourth, "n4")
    assert servers.strangers() == []
    assert servers.healthy(0.0) == [A, fourth, B, C]
    servers.learn(A, {"n5": "10.0.0.4:8001"})
    assert servers.strangers() == [fourth], "another member has moved in"
    assert servers.meet(A, "whoever"), "a given one is trusted by whoever gave it"


def test_the_nearest_is_preferred_and_left_late() -> None:
    """The first round chooses; later a nearer one has to be much nearer, twice in a row, and one good sample is enough to stay."""
    servers = _servers()
    assert servers.undecided
    for url, milliseconds in ((A, 80.0), (B, 30.0), (C, 20.0)):
        servers.measured(url, milliseconds)
    servers.settle()
    assert servers.preferred == C
    assert servers.healthy(0.0) == [C, B, A]
    assert not servers.undecided
    for _ in range(9):  # a detour of the nearest: the least of the last few grows
        servers.measured(C, 60.0)
    servers.settle()
    assert servers.preferred == C
    assert servers.undecided
    servers.measured(C, 34.0)
    servers.settle()
    assert servers.preferred == C, "34 ms are near enough to 30"
    for _ in range(9):
        servers.measured(C, 60.0)
    servers.settle()
    servers.settle()
    assert servers.preferred == B


def test_clients_of_one_address_spread_over_those_that_are_as_near() -> None:
    """In one data centre every node is near: chance spreads the clients, and distance keeps them from abroad."""
    chosen = set()
    for seed in range(40):
        servers = Servers([A], Random(seed))
        servers.learn(A, {"n1": "10.0.0.1:8001", "n2": "10.0.0.2:8001", "n3": "10.0.0.3:8001"})
        servers.meet(B, "n2")
        servers.meet(C, "n3")
        for url, milliseconds in ((A, 1.0), (B, 4.0), (C, 40.0)):
            servers.measured(url, milliseconds)
        servers.settle()
        chosen.add(servers.preferred)
    assert chosen == {A, B}


def test_after_a_failure_the_way_back_is_looked_for() -> None:
    """The nearest failed and came back: it is preferred again after two rounds."""
    servers = _servers()
    for url, milliseconds in ((A, 1.0), (B, 50.0), (C, 90.0)):
        servers.measured(url, milliseconds)
    servers.settle()
    servers.failed(A, 0.0, 1.0)
    servers.answered(B)
    assert servers.preferred == B
    assert servers.undecided
    servers.settle()
    assert servers.preferred == B, "it has not been reached again"
    servers.measured(A, 1.0)
    servers.settle()
    servers.settle()
    assert servers.preferred == A


def test_a_loopback_member_is_believed_to_loopback_only() -> None:
    """A remote node that calls itself 127.0.0.1 would have us talk to some program of our own machine."""
    servers = _servers()
    servers.learn(A, {"n1": "127.0.0.1:8001", "n2": "localhost:8002", "n3": "[::1]:8003"})
    assert servers.urls == (A, B, C)
    local = Servers(["http://localhost:8001"], Random(1))
    local.learn("http://localhost:8001", {"n1": "127.0.0.1:8002"})
    assert local.urls == ("http://localhost:8001", "http://127.0.0.1:8002")
