"""The network between real processes, each of whose wires can be cut, slowed and broken; here, one of TCP proxies.

A network of the kernel's own, where packets are dropped, is in `tests.chaos.packets`; faults know only `Network` and `Wire`.
There is one wire for each direction of each pair of members, and one before the API of each member. Members are given a cluster.yml
of their own in which the others' `raft` addresses are those of wires. What a fault does to bytes is what a network does to
packets over TCP: **held** bytes arrive late or, when the connection breaks meanwhile, never; nothing is reordered within a connection,
and a connection that is broken and made again is how messages come twice or out of order ("reorder by reconnect").
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import yaml

from tests.integration.cluster import ProcessCluster, free_ports

PIECE_BYTES = 1 << 14
API = "api"  # the sender's name of a wire before an API


@dataclass
class Weather:
    """What happens to bytes on a wire now."""

    delay_seconds: float = 0.0  # of proxies
    bytes_per_second: float = 0.0  # 0: as fast as they come
    loss: float = 0.0  # share of the packets that are dropped, below 1; of name spaces


class Wire(Protocol):
    """From `sender` to `receiver`."""

    sender: str
    receiver: str
    address: str  # where the sender finds the receiver
    weather: Weather

    def hold(self) -> None:
        """Silence: connections stand, nothing passes. Holds are counted, so that faults may overlap."""

    def let_go(self) -> None:
        """End one hold; after the last one, what waited arrives."""

    def break_connections(self) -> None:
        """Reset every connection; what was under way is lost."""


class ProxiedWire:
    """A wire by a proxy. Both directions of its connections suffer alike."""

    def __init__(self, sender: str, receiver: str, port: int, target: str) -> None:
        self.sender = sender
        self.receiver = receiver
        self.address = f"127.0.0.1:{port}"
        self.weather = Weather()
        self._port = port
        self._host, _, number = target.rpartition(":")
        self._target_port = int(number)
        self._whole = asyncio.Event()
        self._whole.set()
        self._holds = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)

    async def close(self) -> None:
        """Listen no more; all connections break."""
        if self._server is not None:
            self._server.close()
        self.break_connections()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hold(self) -> None:
        """Bytes wait."""
        self._holds += 1
        self._whole.clear()

    def let_go(self) -> None:
        """After the last hold, what waited is carried on."""
        self._holds -= 1
        if not self._holds:
            self._whole.set()

    def break_connections(self) -> None:
        """Both sides are reset."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        await self._whole.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(self._host, self._target_port)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(far_writer)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._carry(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(PIECE_BYTES):
                weather = self.weather
                if weather.delay_seconds:
                    await asyncio.sleep(weather.delay_seconds)
                if weather.bytes_per_second:
                    await asyncio.sleep(len(data) / weather.bytes_per_second)
                await self._whole.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            sink.transport.abort()  # a reset on one side is one on the other
        finally:
            sink.close()
            self._writers.discard(sink)


class Network:
    """All wires. Made by `on_wires`, or by `tests.chaos.packets`."""

    def __init__(self, wires: Iterable[Wire]) -> None:
        self.wires = list(wires)

    def between(self, one: str, other: str) -> list[Wire]:
        """Both directions."""
        return [wire for wire in self.wires if {wire.sender, wire.receiver} == {one, other}]

    def among(self, wanted: Callable[[str, str], bool]) -> list[Wire]:
        """Wires between members, by sender and receiver."""
        return [wire for wire in self.wires if wire.sender != API and wanted(wire.sender, wire.receiver)]

    def before_api(self, member: str) -> list[Wire]:
        """What clients of a member go through."""
        return [wire for wire in self.wires if wire.sender == API and wire.receiver == member]

    def api_url(self, member: str) -> str:
        """Where clients find a member."""
        (wire,) = self.before_api(member)
        return f"http://{wire.address}"

    @contextmanager
    def held(self, wires: list[Wire]) -> Iterator[None]:
        """These wires are silent meanwhile."""
        for wire in wires:
            wire.hold()
        try:
            yield
        finally:
            for wire in wires:
                wire.let_go()

    @contextmanager
    def under(self, weather: Weather, wires: list[Wire]) -> Iterator[None]:
        """These wires are slow meanwhile; then their weather is fair."""
        for wire in wires:
            wire.weather = weather
        try:
            yield
        finally:
            for wire in wires:
                wire.weather = Weather()


def rewire(document: dict[str, Any], wires: list[ProxiedWire], member: str) -> dict[str, Any]:
    """cluster.yml as one member is to see it."""
    addresses = {name: dict(address) for name, address in document["nodes"].items()}
    for wire in wires:
        if wire.sender == member:
            addresses[wire.receiver]["raft"] = wire.address
    return document | {"nodes": addresses}


@asynccontextmanager
async def on_wires(cluster: ProcessCluster) -> AsyncIterator[Network]:
    """Restart the members of a running cluster so that they, and clients, reach each other through wires."""
    document: dict[str, Any] = yaml.safe_load((cluster.folder / "cluster.yml").read_text(encoding="utf-8"))
    nodes = list(cluster)
    pairs = [(one.id, other.id, other.raft) for one in nodes for other in nodes if one is not other]
    pairs += [(API, node.id, node.api) for node in nodes]
    wires = [
        ProxiedWire(sender, receiver, port, target)
        for (sender, receiver, target), port in zip(pairs, free_ports(len(pairs)), strict=True)
    ]
    async with contextlib.AsyncExitStack() as stack:
        for wire in wires:
            await wire.open()
            stack.push_async_callback(wire.close)
        for node in nodes:
            assert await node.terminate() == 0
        for node in nodes:
            path = cluster.folder / f"{node.id}.yml"
            seen = rewire(document, wires, node.id)
            path.write_text(yaml.safe_dump(seen, allow_unicode=True), encoding="utf-8")
            node.options = ("--config", str(path), "--data-dir", str(node.data_dir))
            node.start()
        await cluster.wait_until_ready()
        yield Network(wires)
