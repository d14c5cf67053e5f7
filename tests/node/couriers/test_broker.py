"""Publishing to a real nats-server: once each, kept before delivered, through its absences, never to a stream that would not do."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
import trustme
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from node.cloudevents import cloud_event, story_of
from node.config_outbox import Nats, NatsTls
from node.config_values import Mistake
from node.couriers import Delivered, Delivery, Result, Retry
from node.couriers.broker import BrokerCourier, covers, message_id
from statemachine.sinks import Sink
from statemachine.state import State
from tests.node.couriers.nats_server import NatsServer, nats_server
from tests.node.every_event import AT_MS, EVERY_EVENT

SINK = Sink("broker", "broker", "active", None, (0, 0), 0, AT_MS, "1.0")


def delivery(index: int, attempt: int = 1) -> Delivery:
    """Of one event; they take turns."""
    event = EVERY_EVENT[index % len(EVERY_EVENT)]
    story = story_of(event)
    place = (index, 0)
    return Delivery(SINK, place, event, cloud_event("demo", place, story, story), attempt, AT_MS, State())


@asynccontextmanager
async def courier(config: Nats) -> AsyncIterator[BrokerCourier]:
    made = BrokerCourier("demo", config)
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def looking(server: NatsServer, **options: Any) -> AsyncIterator[JetStreamContext]:
    """Somebody else's connection to the same server."""
    client = await nats.connect(server.url, allow_reconnect=False, **options)
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def all_of(stream: JetStreamContext, name: str = "DESKRAFT") -> list[Any]:
    """All messages of a stream, in order."""
    count = (await stream.stream_info(name)).state.messages
    return [await stream.get_msg(name, seq) for seq in range(1, count + 1)]


async def insist(courier: BrokerCourier, one: Delivery, seconds: float = 20.0) -> None:
    """Deliver as the runner does: again and again while the sink is away."""
    async with asyncio.timeout(seconds):
        while True:
            result = await courier.deliver(one)
            if result == Delivered():
                return
            assert isinstance(result, Retry) and result.away, result
            await asyncio.sleep(0.05)


async def test_every_event_once_while_the_broker_goes_and_comes(tmp_path: Path) -> None:
    """Killed and stopped in the middle, asked twice for the same: the stream has each event once, and nothing is acknowledged in vain."""
    async with nats_server(tmp_path) as server, courier(Nats((server.url,))) as publisher:
        for index in range(30):
            if index == 10:
                server.stop(signal.SIGKILL)
            if index in (10, 20):
                server.stop()
                result = await publisher.deliver(delivery(index))
                assert isinstance(result, Retry) and result.away
                await server.start()
            await insist(publisher, delivery(index))
            assert await publisher.deliver(delivery(index, attempt=2)) == Delivered()
        async with looking(server) as stream:
            messages = await all_of(stream)
            info = await stream.stream_info("DESKRAFT")
        assert [message.headers["Nats-Msg-Id"] for message in messages] == [f"demo/{i}.0" for i in range(30)]
        for index, message in enumerate(messages):
            content = json.loads(message.data)
            assert content == delivery(index).cloud
            assert message.subject == f"deskraft.demo.{content['type'].removeprefix('deskraft.')}"
            assert message.headers["Content-Type"] == "application/cloudevents+json"
        assert info.config.duplicate_window == 3600 and info.config.subjects == ["deskraft.demo.>"]


async def test_many_at_once_share_one_connection(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server, courier(Nats((server.url,))) as publisher:
        results = await asyncio.gather(*(publisher.deliver(delivery(index)) for index in range(50)))
        assert set(results) == {Delivered()}
        async with looking(server) as stream:
            assert len(await all_of(stream)) == 50
        await publisher.close()
        assert await publisher.deliver(delivery(50)) == Delivered()


async def why_of(publisher: BrokerCourier) -> str:
    result: Result = await publisher.deliver(delivery(1))
    assert isinstance(result, Retry) and result.away, result
    return result.why


async def test_a_stream_that_would_not_do_is_not_used(tmp_path: Path) -> None:
    """One that forgets ids too soon, takes other subjects or acknowledges nothing; put right, it is used at once."""
    unfit = [
        (StreamConfig(name="S", subjects=["deskraft.>"], duplicate_window=60), "forgets ids after 60 s"),
        (
            StreamConfig(name="S", subjects=["other.>"], duplicate_window=3600),
            r"does not take deskraft.demo.>",
        ),
        (StreamConfig(name="S", subjects=["deskraft.>"], duplicate_window=3600, no_ack=True), "no_ack"),
    ]
    async with (
        nats_server(tmp_path) as server,
        courier(Nats((server.url,), stream="S")) as publisher,
        looking(server) as stream,
    ):
        for config, why in unfit:
            await stream.add_stream(config)
            assert why in await why_of(publisher)
            await stream.delete_stream("S")
        await stream.add_stream(StreamConfig(name="S", subjects=["deskraft.>"], duplicate_window=3600))
        assert await publisher.deliver(delivery(1)) == Delivered()
        await stream.delete_stream("S")  # under a living connection
        assert "no acknowledgement" in await why_of(publisher)
        assert await publisher.deliver(delivery(1)) == Delivered()


async def test_a_full_stream_holds_events_up(tmp_path: Path) -> None:
    async with (
        nats_server(tmp_path) as server,
        looking(server) as stream,
        courier(Nats((server.url,), stream="S")) as publisher,
    ):
        await stream.add_stream(
            StreamConfig(name="S", subjects=["deskraft.>"], duplicate_window=3600, max_msgs=1, discard="new")  # type: ignore[arg-type]
        )
        assert await publisher.deliver(delivery(0)) == Delivered()
        assert "maximum messages" in await why_of(publisher)
        await stream.purge_stream("S")
        assert await publisher.deliver(delivery(1)) == Delivered()


async def test_a_server_without_jetstream_is_away(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server:
        server._command.remove("-js")
        server.stop()
        await server.start()
        async with courier(Nats((server.url,))) as publisher:
            assert await why_of(publisher)


async def test_nobody_there_and_somebody_else_there(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server:
        pass
    async with courier(Nats((server.url,))) as publisher:
        assert "cannot connect" in await why_of(publisher)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    other = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    async with other, courier(Nats((f"nats://127.0.0.1:{port}",))) as publisher:
        async with asyncio.timeout(8):
            assert "cannot connect" in await why_of(publisher)


async def test_a_password_is_asked_for(tmp_path: Path) -> None:
    async with nats_server(tmp_path, "--user", "desk", "--pass", "right") as server:
        for password in ("wrong", ""):
            config = Nats((server.url,), user="desk" if password else "", password=password)
            async with courier(config) as publisher:
                assert "uthorization" in await why_of(publisher)
        async with courier(Nats((server.url,), user="desk", password="right")) as publisher:
            assert await publisher.deliver(delivery(1)) == Delivered()


async def test_the_rights_that_operations_md_names_are_enough(tmp_path: Path) -> None:
    rights = tmp_path / "rights.conf"
    publish = ["deskraft.demo.>", "$JS.API.STREAM.INFO.DESKRAFT", "$JS.API.STREAM.CREATE.DESKRAFT"]
    permissions = f'{{publish: {json.dumps(publish)}, subscribe: ["_INBOX.>"]}}'
    rights.write_text(
        f"authorization {{users: [{{user: desk, password: right, permissions: {permissions}}}]}}\n"
    )
    async with (
        nats_server(tmp_path, "-c", str(rights)) as server,
        courier(Nats((server.url,), user="desk", password="right")) as publisher,
    ):
        assert await publisher.deliver(delivery(1)) == Delivered()
        await publisher.close()
        assert await publisher.deliver(delivery(2)) == Delivered()


async def test_tls_is_verified_and_never_given_up(tmp_path: Path) -> None:
    """A certificate of another authority, or no TLS at all where it was asked for: nothing is said to such a server."""
    authority, stranger = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    for name, ca in (("ca.pem", authority), ("stranger.pem", stranger)):
        ca.cert_pem.write_to_path(tmp_path / name)

    def config(server: NatsServer, ca: str) -> Nats:
        url = server.url.replace("nats://", "tls://")
        return Nats((url,), user="desk", password="right", tls=NatsTls(ca_file=tmp_path / ca))

    log_in = ("--user", "desk", "--pass", "right")
    files = ("--tls", "--tlscert", str(tmp_path / "cert.pem"), "--tlskey", str(tmp_path / "key.pem"))
    async with nats_server(tmp_path, *log_in, *files) as server:
        async with courier(config(server, "ca.pem")) as publisher:
            assert await publisher.deliver(delivery(1)) == Delivered()
        async with courier(config(server, "stranger.pem")) as publisher:
            assert "certificate" in (await why_of(publisher)).lower()

    heard = bytearray()

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b'INFO {"server_id":"x","version":"2.9.10","headers":true,"auth_required":true,"max_payload":1000}\r\n'
        )
        heard.extend(await reader.read())
        writer.close()

    listener = await asyncio.start_server(plain, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    async with listener, courier(config(server, "ca.pem")) as publisher:
        assert "offers no TLS" in await why_of(publisher)
    assert bytes(heard) == b""


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(Mistake, match=r"deskraft\[nats\]"):
        BrokerCourier("demo", Nats(("nats://127.0.0.1:4222",)))


def test_files_that_are_not_usable_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for tls, key in (
        (NatsTls(ca_file=tmp_path / "none.pem"), "ca_file"),
        (NatsTls(ca_file=tmp_path / "empty.pem"), "ca_file"),
        (NatsTls(cert_file=tmp_path / "none.pem", key_file=tmp_path / "none.pem"), "cert_file"),
    ):
        with pytest.raises(Mistake) as caught:
            BrokerCourier("demo", Nats(("tls://127.0.0.1:4222",), tls=tls))
        assert caught.value.key == f"nats.{key}"


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        (">", True),
        ("deskraft.>", True),
        ("deskraft.*.>", True),
        ("deskraft.demo.>", True),
        ("deskraft.demo.*", False),
        ("deskraft.*", False),
        ("deskraft.demo", False),
        ("deskraft.demo.booking.>", False),
        ("other.>", False),
        ("", False),
    ],
)
def test_which_patterns_take_our_subjects(pattern: str, taken: bool) -> None:
    assert covers(pattern, "deskraft.demo.>") is taken


def test_ids_of_two_clusters_differ() -> None:
    assert message_id("a", "1.0") != message_id("b", "1.0")
