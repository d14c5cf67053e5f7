"""Beginning as a member that cluster.yml does not name: what is asked, what is believed, and how each mistake is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from aiohttp.test_utils import TestServer

from api import joining
from api.app import build_app
from api.joining import EXIT_FAILED, EXIT_USAGE, Join, JoinError, config_of, exists
from node.config import member_address
from node.config_outbox import OutboxConfig, Smtp
from node.membership import Configuration, Placed, Seat
from tests.api.conftest import CHEAP, CONFIG, SECRET
from tests.api.fake_replica import FakeReplica
from tests.client.fake import free_url

RAFT, API = "127.0.0.1:7004", "127.0.0.1:8004"
INCARNATION = "0" * 32


@pytest.fixture
async def server(replica: FakeReplica) -> AsyncIterator[str]:
    """A node's URL."""
    async with TestServer(build_app(replica, SECRET, CONFIG, "n1", password_cost=CHEAP)) as test_server:
        yield str(test_server.make_url("")).rstrip("/")


@pytest.fixture
def join(tmp_path: Path, server: str) -> Join:
    address = member_address("n4", RAFT, API)
    return Join((server,), "n4", address, tmp_path / "n4", tmp_path / "secret", wants_vote=True)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(joining, "UNLISTED_SECONDS", 0.3)
    monkeypatch.setattr(joining, "JOIN_SECONDS", 0.3)


def add(replica: FakeReplica, **changed: str) -> None:
    """n4 becomes a member."""
    seat = msgspec.structs.replace(Seat("n4", RAFT, API, voter=False), **changed)
    old = replica.configuration
    replica.configuration = Configuration(old.founding, (*old.seats, seat))
    replica.configuration_index += 1


async def refused(join: Join) -> tuple[int, str]:
    with pytest.raises(JoinError) as refusal:
        await config_of(join)
    assert "\n" not in str(refusal.value)
    return refusal.value.exit_code, str(refusal.value)


async def test_an_empty_directory_begins_with_the_record(join: Join, replica: FakeReplica) -> None:
    add(replica)
    config = await config_of(replace(join, wants_vote=False))
    assert (config.cluster, list(config.nodes), config.bootstrap) == ("demo", ["n1", "n2", "n3", "n4"], None)
    assert config.birth == Placed(2, replica.configuration)
    assert (config.nodes["n4"].raft, config.nodes["n4"].api, config.wants_vote) == (RAFT, API, False)
    assert config.secret_file == join.secret_file


async def test_mail_and_broker_are_those_of_the_file_of_the_others(join: Join, replica: FakeReplica) -> None:
    """Nothing else of it counts: who the members are is the cluster's own record."""
    add(replica)
    outbox = OutboxConfig(Smtp("mail.example", 587, "starttls", "desk@example.org"))
    config = await config_of(replace(join, file=replace(CONFIG, outbox=outbox)))
    assert (config.outbox, config.bootstrap, list(config.nodes)) == (outbox, None, ["n1", "n2", "n3", "n4"])
    code, text = await refused(replace(join, file=replace(CONFIG, cluster="other")))
    assert (code, "of the cluster 'other'" in text) == (EXIT_USAGE, True)


async def test_the_newest_of_several_answers_counts(join: Join, replica: FakeReplica, server: str) -> None:
    """One address may be dead, and a node may lag behind: it is asked again before it is believed."""
    several = replace(join, servers=(free_url(), server))
    asking = asyncio.create_task(config_of(several))
    await asyncio.sleep(0.1)
    assert not asking.done()
    add(replica)
    assert (await asyncio.wait_for(asking, 5)).birth.index == 2


async def test_who_has_not_been_added_is_told_how(join: Join) -> None:
    code, text = await refused(join)
    assert code == EXIT_USAGE
    assert text == (
        "the cluster has no member n4: add it first, with deskraft cluster add n4 "
        f"--raft {RAFT} --api {API} --server {join.servers[0]}"
    )


async def test_other_addresses_than_those_of_the_record(join: Join, replica: FakeReplica) -> None:
    add(replica, api="127.0.0.1:9004")
    code, text = await refused(join)
    assert (code, f"n4 is a member at {RAFT} (peers) and 127.0.0.1:9004 (API)" in text) == (EXIT_USAGE, True)


async def test_a_seat_that_another_disk_has(join: Join, replica: FakeReplica) -> None:
    add(replica, incarnation=INCARNATION)
    code, text = await refused(join)
    assert code == EXIT_FAILED
    assert text.startswith("the cluster knows n4 by another disk (entry 2)")
    assert "deskraft cluster replace n4" in text


async def test_nobody_answers(join: Join, replica: FakeReplica) -> None:
    """No connection, something that is no node, a cluster that is not founded: each with its reason."""
    dead = free_url()
    code, text = await refused(replace(join, servers=(dead,)))
    assert (code, text.startswith(f"nobody to join: {dead}: no connection")) == (EXIT_FAILED, True)
    old = replica.configuration
    replica.configuration = Configuration("", old.seats)
    code, text = await refused(join)
    assert (code, "has not been founded yet" in text) == (EXIT_FAILED, True)


async def test_over_data_nobody_is_asked(join: Join) -> None:
    """The directory knows what it joined; the address may be dead."""
    seats = (Seat("n1", "h1:1", "h1:2", voter=True), Seat("n4", RAFT, API, voter=False))
    birth = Placed(57, Configuration("f0", seats))
    join.data_dir.mkdir()
    document = {
        "format": 2,
        "cluster": "demo",
        "node_id": "n4",
        "incarnation": INCARNATION,
        "birth": birth,
        "crc32": 1,
    }
    (join.data_dir / "identity.json").write_bytes(msgspec.json.encode(document))
    config = await config_of(replace(join, servers=(free_url(),)))
    assert (config.cluster, config.birth, list(config.nodes)) == ("demo", birth, ["n1", "n4"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "identity.json is damaged"),
        (b"\xff", "identity.json is damaged"),
        (b'{"format":1,"cluster":"demo","node_id":"n4","voters":[]}', "made before members could join"),
    ],
)
async def test_data_that_cannot_be_used(join: Join, content: bytes, said: str) -> None:
    join.data_dir.mkdir()
    (join.data_dir / "identity.json").write_bytes(content)
    code, text = await refused(join)
    assert (code, said in text) == (EXIT_FAILED, True)


async def test_two_clusters_are_not_mixed(join: Join, replica: FakeReplica) -> None:
    other = FakeReplica()
    other.configuration = Configuration("f1", other.configuration.seats)
    async with TestServer(build_app(other, SECRET, CONFIG, "n1", password_cost=CHEAP)) as second:
        servers = (*join.servers, str(second.make_url("")).rstrip("/"))
        code, text = await refused(replace(join, servers=servers))
    assert (code, "different clusters" in text) == (EXIT_USAGE, True)


async def test_whether_the_cluster_exists(replica: FakeReplica, server: str) -> None:
    host, port = server.removeprefix("http://").split(":")
    nodes = CONFIG.nodes | {"n2": replace(CONFIG.nodes["n2"], api_host=host, api_port=int(port))}
    config = replace(CONFIG, nodes=nodes)
    assert await exists(config, "n3")
    assert not await exists(config, "n2"), "its own address does not count"
    replica.configuration = Configuration("", replica.configuration.seats)
    assert not await exists(config, "n3")
