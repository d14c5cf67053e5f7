"""Members' links over real sockets, for tests: ends with what arrived at them, and a proxy that records, cuts and spoils.

Waiting is always for a condition, with a bound.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress

import msgspec

from node import links
from node.links import Answer, Hello
from node.membership import Introduction, Verdict
from node.peers import Mesh
from node.secret import Secret

LINES = ["one " + "0" * 40, "two " + "1" * 40, "three " + "2" * 40]
BOUND_SECONDS = 4.0
WELCOME = Verdict("", final=False, index=7)
STRANGER = Verdict("not-a-member", final=True, index=7)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def until(condition: Callable[[], object], seconds: float = BOUND_SECONDS) -> None:
    """Wait for a condition; the pause only paces the looking."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not come about in time"
        await asyncio.sleep(0.005)


class End:
    """One member's links, what arrived over them, and a heartbeat as a member has."""

    def __init__(
        self, node_id: str, addresses: dict[str, tuple[str, int]], lines: list[str], cluster: str
    ) -> None:
        self.node_id = node_id
        self.received: list[tuple[str, bytes]] = []
        self.up: set[str] = set()
        self.ups = 0
        self.downs = 0
        self.silent: list[str] = []
        self.accepted: list[Introduction] = []
        self.greeted: list[tuple[str, Verdict]] = []
        self.refuses: dict[str, Verdict] = {}  # by incarnation or name
        self.incarnation = "disk of " + node_id
        self.introduced = 0
        self.raft = "{}:{}".format(*addresses[node_id])
        self.mesh = Mesh(
            cluster=cluster,
            node_id=node_id,
            listen=addresses[node_id],
            secret=Secret(lines),
            introduce=self._introduce,
            judge=lambda who: self.refuses.get(who.incarnation, self.refuses.get(who.member_id, WELCOME)),
            on_frame=lambda peer_id, payload: self.received.append((peer_id, payload)),
            on_up=self._on_up,
            on_down=self._on_down,
            on_accepted=self._on_accepted,
            on_silent=self.silent.append,
            on_greeted=lambda peer_id, verdict: self.greeted.append((peer_id, verdict)),
        )
        self.mesh.set_peers(addresses)
        self._beat: asyncio.Task[None] | None = None

    def _introduce(self) -> Introduction:
        self.introduced += 1
        return Introduction(self.node_id, self.incarnation, "f" * 32, self.introduced, self.raft)

    def _on_accepted(self, peer_id: str, introduction: Introduction) -> None:
        assert peer_id == introduction.member_id
        self.accepted.append(introduction)

    def _on_up(self, peer_id: str) -> None:
        self.ups += 1
        self.up.add(peer_id)

    def _on_down(self, peer_id: str) -> None:
        self.downs += 1
        self.up.discard(peer_id)

    async def start(self) -> End:
        await self.mesh.start()
        self._beat = asyncio.get_running_loop().create_task(self._beats())
        return self

    async def _beats(self) -> None:
        while True:
            for peer_id in sorted(self.up):
                self.mesh.send(peer_id, b"beat")
            self.mesh.flush()
            await asyncio.sleep(0.1)

    def send(self, peer_id: str, *payloads: bytes) -> None:
        for payload in payloads:
            self.mesh.send(peer_id, payload)
        self.mesh.flush()

    async def close(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
        await self.mesh.close()

    def payloads(self, peer_id: str) -> list[bytes]:
        return [payload for sender, payload in self.received if sender == peer_id and payload != b"beat"]


class Proxy:
    """Stands where one member expects another: passes bytes on, remembers them, and does harm on demand."""

    def __init__(self, port: int, target_port: int) -> None:
        self.port = port
        self._target_port = target_port
        self.recorded: list[bytearray] = []  # what the dialler said, by connection
        self.answered: list[bytearray] = []
        self.flip_at: int | None = None  # byte of the next connections' stream to spoil
        self.frozen = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            onward = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(onward[1])
        said, heard = bytearray(), bytearray()
        self.recorded.append(said)
        self.answered.append(heard)
        back = asyncio.get_running_loop().create_task(self._pass(onward[0], writer, heard, False))
        self._tasks.add(back)
        with suppress(asyncio.CancelledError):  # `close` ends it, and nobody waits for more
            await self._pass(reader, onward[1], said, True)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: bytearray, spoil: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if spoil and self.frozen.is_set():
                    await asyncio.Event().wait()
                start = len(record)
                record += data
                if spoil and self.flip_at is not None and start <= self.flip_at < len(record):
                    data = bytearray(data)  # type: ignore[assignment]
                    data[self.flip_at - start] ^= 1  # type: ignore[index]
                    self.flip_at = None
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.cut()


class Net:
    """Makes ends and proxies, and closes them."""

    def __init__(self) -> None:
        self.addresses = {node_id: ("127.0.0.1", free_port()) for node_id in ("n1", "n2", "n3")}
        self._opened: list[End | Proxy] = []
        self._strangers: list[asyncio.StreamWriter] = []

    async def end(
        self,
        node_id: str,
        lines: list[str] | None = None,
        cluster: str = "desks",
        through: dict[str, Proxy] | None = None,
        addresses: dict[str, tuple[str, int]] | None = None,
        refuses: dict[str, Verdict] | None = None,
        raft: str | None = None,
    ) -> End:
        known = dict(self.addresses if addresses is None else addresses)
        for peer_id, proxy in (through or {}).items():
            known[peer_id] = ("127.0.0.1", proxy.port)
        end = End(node_id, known, lines or LINES[:1], cluster)
        end.refuses = refuses or {}
        end.raft = end.raft if raft is None else raft
        self._opened.append(end)
        return await end.start()

    async def proxy(self, to: str) -> Proxy:
        proxy = Proxy(free_port(), self.addresses[to][1])
        self._opened.append(proxy)
        return await proxy.start()

    async def stranger(self, to: str = "n1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.addresses[to])
        self._strangers.append(writer)
        return reader, writer

    async def close(self) -> None:
        for writer in self._strangers:
            writer.transport.abort()
        for opened in self._opened:
            await opened.close()
        await asyncio.sleep(0.01)  # aborted connections end in the loop's next turns


async def said_before_closing(reader: asyncio.StreamReader, seconds: float = BOUND_SECONDS) -> bytes:
    """Everything the other side says until it closes; it must close."""
    said = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(seconds):
            said = await reader.read()
    return said


def hello_bytes(
    *,
    secret: Secret | None = None,
    version: int = 2,
    cluster: str = "desks",
    sender: str = "n2",
    receiver: str = "n1",
    kid: str | None = None,
) -> bytes:
    """A hello as a member makes it, with whatever is wrong with it, correctly signed with that secret."""
    secret = secret or Secret(LINES[:1])
    introduction = Introduction(sender, "disk of " + sender, "", 0, "127.0.0.1:1")
    hello = Hello(version, cluster, receiver, kid or secret.active_kid, secrets.token_bytes(32), introduction)
    raw = msgspec.msgpack.encode(hello)
    mac = links.keyed_mac(secret.derive(b"peer hello"), raw)
    return len(raw).to_bytes(2, "little") + raw + mac


def answer_bytes(secret: Secret, hello: bytes, verdict: Verdict) -> bytes:
    """An answer as a listener makes it."""
    raw = msgspec.msgpack.encode(Answer(secrets.token_bytes(32), verdict))
    return len(raw).to_bytes(2, "little") + raw + links.keyed_mac(secret.derive(b"peer accept"), hello, raw)
