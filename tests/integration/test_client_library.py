"""The client library against real nodes: one node given, killed and stopped nodes, a far one; and the samples of docs/client.md."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from client.aio import Client
from client.errors import NoNodeAnswers
from tests.integration.cluster import ROOT, ProcessCluster, running_cluster

PASSWORD = "a long pass phrase"
DAY = "2027-02-02"
FAR_SECONDS = 0.03
SAMPLES = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "client.md").read_text("utf-8"), re.S | re.M)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ProcessCluster]:
    """Three nodes for the whole file; each test leaves all three running."""
    async with running_cluster(Path(tmp_path_factory.mktemp("library"))) as running:
        yield running


class Far:
    """A long way to a node: a port whose every piece of traffic arrives late; `requests` counts those that took it."""

    def __init__(self, port: int) -> None:
        self.target_port = port
        self.requests = 0
        self.url = ""

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection both ways."""
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await asyncio.gather(
                self._carry(reader, there_writer, counts=True),
                self._carry(there_reader, writer, counts=False),
            )

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, counts: bool) -> None:
        try:
            while data := await source.read(65536):
                self.requests += counts
                await asyncio.sleep(FAR_SECONDS / 2)
                sink.write(data)
                await sink.drain()
        finally:
            sink.close()


@asynccontextmanager
async def far_from(url: str) -> AsyncIterator[Far]:
    """A long way to the node at `url`."""
    far = Far(int(url.rpartition(":")[2]))
    server = await asyncio.start_server(far.accept, "127.0.0.1", 0)
    far.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield far
    finally:
        server.close()


async def _learned(client: Client, count: int) -> None:
    async with asyncio.timeout(20):
        while len(client.servers) < count:
            await client.spaces()
            await asyncio.sleep(0.05)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("number", range(len(SAMPLES)))
async def test_the_samples_run(cluster: ProcessCluster, number: int) -> None:
    """Each sample of docs/client.md as a program of its own, in their order."""
    text = SAMPLES[number]
    text = text.replace("http://127.0.0.1:8001,8002,8003", ",".join(cluster.urls))
    for port, url in zip(("8001", "8002"), cluster.urls, strict=False):
        text = text.replace(f"http://127.0.0.1:{port}", url)
    code = compile(text, f"docs/client.md, sample {number + 1}", "exec")
    await asyncio.to_thread(exec, code, {"__name__": "__main__"})


@pytest.mark.asyncio(loop_scope="module")
async def test_the_nearest_is_asked(cluster: ProcessCluster) -> None:
    """Given one address that is far away, the client learns the members, measures them, and takes the long way no more."""
    async with far_from(cluster.urls[0]) as far, Client(far.url) as client:
        quiet_for = 0
        async with asyncio.timeout(30):
            while quiet_for < 20:
                before = far.requests
                await client.spaces()
                quiet_for = quiet_for + 1 if far.requests == before else 0
        assert far.url in client.servers, "what was given is kept"
        assert set(cluster.urls) < set(client.servers)


@pytest.mark.asyncio(loop_scope="module")
async def test_one_node_given_and_killed(cluster: ProcessCluster) -> None:
    """The only node that the client was given is killed, the leader at that: it goes on, writes once, and reads what it wrote."""
    leader = await cluster.wait_for_leader()
    async with Client(leader.url) as client:
        await client.register("grace", PASSWORD)
        await client.login("grace", PASSWORD)
        first = await client.book_local("A1", DAY, "10:00", space="hq")
        await _learned(client, 3)
        leader.kill()
        second = await client.book_local("A2", DAY, "11:00", space="hq", key="once")
        again = await client.book_local("A2", DAY, "11:00", space="hq", key="once")
        assert second.id == again.id
        assert {each.id async for each in client.history()} == {first.id, second.id}
        assert leader.url in client.servers
    leader.start()
    await cluster.wait_until_ready()


@pytest.mark.asyncio(loop_scope="module")
async def test_the_deadline_is_kept(cluster: ProcessCluster) -> None:
    """All nodes are stopped: they accept and say nothing. The call ends when it should, and afterwards all goes on."""
    async with Client(cluster.urls, deadline_seconds=1.5) as client:
        await client.spaces()
        for node in cluster:
            node.pause()
        try:
            begun = time.monotonic()
            with pytest.raises(NoNodeAnswers):
                await client.spaces()
            assert 1.0 < time.monotonic() - begun < 2.0
        finally:
            for node in cluster:
                node.resume()
    await cluster.wait_until_ready()
    async with Client(cluster.urls[0], deadline_seconds=20) as client:
        assert await client.spaces()
