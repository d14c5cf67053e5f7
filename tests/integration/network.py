"""A network between real members that can be cut: a proxy for each direction of each pair of them.

Each member is started with a cluster.yml of its own in which the others' `raft` addresses are those of proxies. A cut link is
silent, as a network is: connections stand, bytes wait and arrive when it is mended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import yaml

from tests.integration.cluster import NodeProcess, ProcessCluster, free_ports

PIECE_BYTES = 1 << 16


class _Wire:
    """From one member to another."""

    def __init__(self, sender: str, receiver: str, port: int, target: str) -> None:
        self.sender = sender
        self.receiver = receiver
        self.port = port
        self._target = target
        self.whole = asyncio.Event()
        self.whole.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.whole.wait()
        host, port = self._target.split(":")
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._carry(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(PIECE_BYTES):
                await self.whole.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass  # the other end sees the close
        finally:
            sink.close()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Network:
    """All wires. Made by `on_a_network`."""

    def __init__(self, wires: list[_Wire]) -> None:
        self._wires = wires

    def cut_off(self, node: NodeProcess) -> None:
        """Nothing reaches the node and nothing leaves it; its clients do reach it."""
        for wire in self._wires:
            if node.id in (wire.sender, wire.receiver):
                wire.whole.clear()

    def mend(self) -> None:
        """All wires are whole again; what waited in them arrives."""
        for wire in self._wires:
            wire.whole.set()


@asynccontextmanager
async def on_a_network(cluster: ProcessCluster) -> AsyncIterator[Network]:
    """Restart the members of a running cluster so that they reach each other through a network that can be cut."""
    document: dict[str, Any] = yaml.safe_load((cluster.folder / "cluster.yml").read_text(encoding="utf-8"))
    pairs = [(one, other) for one in cluster for other in cluster if one is not other]
    wires = [
        _Wire(sender.id, receiver.id, port, receiver.raft)
        for (sender, receiver), port in zip(pairs, free_ports(len(pairs)), strict=True)
    ]
    for wire in wires:
        await wire.open()
    try:
        for node in cluster:
            assert await node.terminate() == 0
        for node in cluster:
            addresses = {name: dict(address) for name, address in document["nodes"].items()}
            for wire in wires:
                if wire.sender == node.id:
                    addresses[wire.receiver]["raft"] = f"127.0.0.1:{wire.port}"
            path = cluster.folder / f"{node.id}.yml"
            path.write_text(
                yaml.safe_dump(document | {"nodes": addresses}, allow_unicode=True), encoding="utf-8"
            )
            node.start("--config", str(path), "--data-dir", str(node.data_dir))
        await cluster.wait_until_ready()
        yield Network(wires)
    finally:
        for wire in wires:
            await wire.close()
