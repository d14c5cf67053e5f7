"""Links between members: one TCP connection from each to each, authenticated frame by frame.

A link carries frames one way, from the member that dialled to the one that listens. Both prove that they know the cluster's secret:

    dialler  -> listener   hello: version, cluster, who, to whom, which key, nonce; MAC with the secret's hello key
    listener -> dialler    nonce; MAC over it and the hello
    dialler  -> listener   frames: length u32 | MAC (16) over counter and payload | payload; the first one is empty

Frame keys come from both nonces, so nothing recorded earlier is of use: who sends a recorded hello cannot make the empty frame, and
before that one nothing longer is collected. A stranger gets no byte of an answer, costs one small
buffer for at most HANDSHAKE_SECONDS, and at most MAX_STRANGERS of them exist at a time. Frames are authenticated, not encrypted:
the peer network is trusted to keep silent, not to be honest.

A link that overflows or misbehaves is closed, never thinned out: the consensus core may rely on "in order and without gaps, or broken".
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import random
import secrets
from collections.abc import Callable
from hashlib import blake2b
from typing import cast

import msgspec

from node.messages import MAX_MESSAGE_BYTES
from node.secret import Secret

log = logging.getLogger("deskraft.peers")

HANDSHAKE_SECONDS = 2.0
MAX_STRANGERS = 64
MAX_HELLO_BYTES = 512
MAX_UNSENT_BYTES = 32 << 20
REDIAL_SECONDS = (0.05, 0.2)
_VERSION = 1
_MAC_BYTES = 16
_NONCE_BYTES = 32
_HELLO, _ACCEPT, _SESSION = b"peer hello", b"peer accept", b"peer session"


class Hello(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The first thing on a link."""

    version: int
    cluster: str
    sender: str
    receiver: str
    kid: str
    nonce: bytes


_hello_decoder = msgspec.msgpack.Decoder(Hello)


def _mac(key: bytes, *parts: bytes, size: int = 32) -> bytes:
    return blake2b(b"".join(parts), key=key, digest_size=size).digest()


class _FrameKey:
    """Numbers and authenticates the frames of one direction."""

    def __init__(self, secret: Secret, kid: str, hello: bytes, nonce: bytes) -> None:
        self._key = _mac(secret.derive(_SESSION, kid), hello, nonce)
        self._counter = 0

    def mac(self, payload: bytes | memoryview) -> bytes:
        self._counter += 1
        digest = blake2b(self._counter.to_bytes(8, "little"), key=self._key, digest_size=_MAC_BYTES)
        digest.update(payload)
        return digest.digest()


class _Dialled(asyncio.Protocol):
    """The sending end of a link."""

    def __init__(self, mesh: Mesh, peer_id: str) -> None:
        self._mesh = mesh
        self._peer_id = peer_id
        self._key: _FrameKey | None = None
        self._received = b""
        self.was_up = False
        self._unsent: list[bytes] = []
        self.transport: asyncio.Transport | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        mesh = self._mesh
        kid = mesh.secret.active_kid
        hello = Hello(
            _VERSION, mesh.cluster, mesh.node_id, self._peer_id, kid, secrets.token_bytes(_NONCE_BYTES)
        )
        self._kid = kid
        self._hello = msgspec.msgpack.encode(hello)
        mac = _mac(mesh.secret.derive(_HELLO, kid), self._hello)
        self.transport.write(len(self._hello).to_bytes(2, "little") + self._hello + mac)

    def data_received(self, data: bytes) -> None:
        if self._key is not None:
            self._abort("it spoke on a link that is ours to speak on")
            return
        self._received += data
        if len(self._received) < _NONCE_BYTES + 32:
            return
        nonce, mac = self._received[:_NONCE_BYTES], self._received[_NONCE_BYTES:]
        expected = _mac(self._mesh.secret.derive(_ACCEPT, self._kid), self._hello, nonce)
        if not hmac.compare_digest(mac, expected):
            self._abort("its answer to our hello is not authentic")
            return
        self._key = _FrameKey(self._mesh.secret, self._kid, self._hello, nonce)
        self.was_up = True
        assert self.transport is not None
        self.transport.write(bytes(4) + self._key.mac(b""))
        self._mesh.dialled_up(self._peer_id, self)

    def send(self, payload: bytes) -> None:
        """Add one frame to what `flush` writes."""
        assert self._key is not None
        self._unsent += (len(payload).to_bytes(4, "little"), self._key.mac(payload), payload)

    def flush(self) -> None:
        """Write the frames at once; an overflowing link is broken instead of holding ever more."""
        assert self.transport is not None
        unsent, self._unsent = self._unsent, []
        self.transport.write(b"".join(unsent))
        if self.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._abort("it does not take what is sent")

    def _abort(self, why: str) -> None:
        log.warning("link to %s closed: %s", self._peer_id, why)
        self.abort()

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
        if self._key is not None:
            self._key = None
            self._mesh.dialled_down(self._peer_id, self)

    @property
    def up(self) -> bool:
        """Whether frames can be sent."""
        return self._key is not None


class _Accepted(asyncio.Protocol):
    """The receiving end of a link, a stranger until its hello has been verified."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._buffer = bytearray()
        self._key: _FrameKey | None = None
        self.peer_id: str | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._mesh.stranger_came(self)
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_SECONDS, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._key is None and not self._greet():
            return
        self._read_frames()

    def _greet(self) -> bool:
        """Verify the hello; silent about everything that is wrong with it."""
        assert self.transport is not None
        if len(self._buffer) < 2:
            return False
        length = int.from_bytes(self._buffer[:2], "little")
        if length > MAX_HELLO_BYTES:
            self.transport.abort()
            return False
        if len(self._buffer) < 2 + length + 32:
            return False
        raw, mac = bytes(self._buffer[2 : 2 + length]), bytes(self._buffer[2 + length : 2 + length + 32])
        hello = self._verified(raw, mac)
        if hello is None:
            self._mesh.stranger_refused()
            self.transport.abort()
            return False
        del self._buffer[: 2 + length + 32]
        nonce = secrets.token_bytes(_NONCE_BYTES)
        secret = self._mesh.secret
        self.transport.write(nonce + _mac(secret.derive(_ACCEPT, hello.kid), raw, nonce))
        self._key = _FrameKey(secret, hello.kid, raw, nonce)
        self._sender = hello.sender
        return True

    def _verified(self, raw: bytes, mac: bytes) -> Hello | None:
        mesh = self._mesh
        try:
            hello = _hello_decoder.decode(raw)
        except msgspec.DecodeError:
            return None
        if hello.kid not in mesh.secret.kids:
            return None
        if not hmac.compare_digest(mac, _mac(mesh.secret.derive(_HELLO, hello.kid), raw)):
            return None
        addressed = (hello.version, hello.cluster, hello.receiver) == (_VERSION, mesh.cluster, mesh.node_id)
        return hello if addressed and hello.sender in mesh.addresses else None

    def _read_frames(self) -> None:
        assert self.transport is not None
        assert self._key is not None
        offset = 0
        buffer = self._buffer
        while len(buffer) - offset >= 4 + _MAC_BYTES:
            length = int.from_bytes(buffer[offset : offset + 4], "little")
            if length > (MAX_MESSAGE_BYTES if self.peer_id is not None else 0):
                self.close("it announced a frame over the limit")
                return
            end = offset + 4 + _MAC_BYTES + length
            if len(buffer) < end:
                break
            payload = bytes(buffer[offset + 4 + _MAC_BYTES : end])
            mac = bytes(buffer[offset + 4 : offset + 4 + _MAC_BYTES])
            if not hmac.compare_digest(mac, self._key.mac(payload)):
                self.close("a frame is not authentic")
                return
            offset = end
            if self.peer_id is None:
                # Only now is the sender known to hold the secret *today*: a recorded hello cannot get here.
                self.peer_id = self._sender
                self._timer.cancel()
                self._mesh.accepted_up(self.peer_id, self)
                continue
            self._mesh.on_frame(self.peer_id, payload)
            if self.transport.is_closing():
                return
        del buffer[:offset]

    def close(self, why: str) -> None:
        """Break the link and say why in the log."""
        assert self.transport is not None
        log.warning("link from %s closed: %s", self.peer_id or "a stranger", why)
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._mesh.accepted_down(self)


class Mesh:
    """All links of one member. Callbacks run on the event loop.

    `on_frame(peer, payload)`: a frame arrived. `on_up` / `on_down`: frames to the peer can(not) be sent.
    `on_silent`: the peer's link to us broke.
    """

    def __init__(
        self,
        *,
        cluster: str,
        node_id: str,
        addresses: dict[str, tuple[str, int]],
        secret: Secret,
        on_frame: Callable[[str, bytes], None],
        on_up: Callable[[str], None],
        on_down: Callable[[str], None],
        on_silent: Callable[[str], None],
    ) -> None:
        self.cluster = cluster
        self.node_id = node_id
        self.secret = secret
        self.on_frame = on_frame
        self._on_up = on_up
        self._on_down = on_down
        self._on_silent = on_silent
        self._own_address = addresses[node_id]
        self.addresses = {peer_id: address for peer_id, address in addresses.items() if peer_id != node_id}
        self._dialled: dict[str, _Dialled] = {}
        self._accepted: dict[str, _Accepted] = {}
        self._strangers: dict[_Accepted, None] = {}
        self._unflushed: dict[str, _Dialled] = {}
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.refused = 0

    async def start(self) -> None:
        """Listen and dial. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        host, port = self._own_address
        self._server = await loop.create_server(lambda: _Accepted(self), host, port, backlog=MAX_STRANGERS)
        self._tasks = [loop.create_task(self._keep_dialled(peer_id)) for peer_id in self.addresses]

    async def _keep_dialled(self, peer_id: str) -> None:
        loop = asyncio.get_running_loop()
        host, port = self.addresses[peer_id]
        rejected = 0
        while True:
            try:
                async with asyncio.timeout(HANDSHAKE_SECONDS):
                    _, link = await loop.create_connection(lambda: _Dialled(self, peer_id), host, port)
            except (OSError, TimeoutError):
                link = None
            if link is not None:
                try:
                    deadline = loop.call_later(HANDSHAKE_SECONDS, self._give_up_unless_up, link)
                    await link.closed
                    deadline.cancel()
                finally:
                    link.abort()
                rejected = 0 if link.was_up else rejected + 1
                if rejected and rejected & (rejected - 1) == 0:
                    log.warning(
                        "%s (%s:%d) closed our handshake %d times: are cluster and secret_file the same there?",
                        peer_id,
                        host,
                        port,
                        rejected,
                    )
            await asyncio.sleep(random.uniform(*REDIAL_SECONDS))  # noqa: S311 - jitter, not secrecy

    @staticmethod
    def _give_up_unless_up(link: _Dialled) -> None:
        if not link.up:
            link.abort()

    def send(self, peer_id: str, payload: bytes) -> None:
        """Send a frame with the next `flush`, or lose it when the link is down."""
        link = self._dialled.get(peer_id)
        if link is not None and link.up:
            link.send(payload)
            self._unflushed[peer_id] = link

    def flush(self) -> None:
        """Write what was sent since the last time: one write for each peer."""
        unflushed, self._unflushed = self._unflushed, {}
        for link in unflushed.values():
            if link.up:
                link.flush()

    def redial(self, peer_id: str) -> None:
        """The peer seems gone although its connection stands: start anew."""
        link = self._dialled.get(peer_id)
        if link is not None:
            link.abort()

    def drop(self, peer_id: str, why: str) -> None:
        """Break the link *from* a peer that sent what no correct member sends."""
        link = self._accepted.get(peer_id)
        if link is not None:
            link.close(why)

    def dialled_up(self, peer_id: str, link: _Dialled) -> None:
        """The handshake of a link of ours is complete."""
        self._dialled[peer_id] = link
        self._on_up(peer_id)

    def dialled_down(self, peer_id: str, link: _Dialled) -> None:
        """A link of ours broke."""
        if self._dialled.get(peer_id) is link:
            del self._dialled[peer_id]
            self._on_down(peer_id)

    def stranger_came(self, link: _Accepted) -> None:
        """A new connection; the oldest stranger makes room."""
        if len(self._strangers) >= MAX_STRANGERS:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            if oldest.transport is not None:
                oldest.transport.abort()
        self._strangers[link] = None

    def stranger_refused(self) -> None:
        """A hello that is not authentic. Logged once in a while: the log is no place to fill for strangers."""
        self.refused += 1
        if self.refused & (self.refused - 1) == 0:
            log.warning("refused %d unauthenticated connections so far on the peer port", self.refused)

    def accepted_up(self, peer_id: str, link: _Accepted) -> None:
        """A peer's link is authenticated; a newer one replaces an older."""
        self._strangers.pop(link, None)
        older = self._accepted.get(peer_id)
        self._accepted[peer_id] = link
        if older is not None:
            older.close("the peer connected anew")

    def accepted_down(self, link: _Accepted) -> None:
        """A link to us broke."""
        self._strangers.pop(link, None)
        if link.peer_id is not None and self._accepted.get(link.peer_id) is link:
            del self._accepted[link.peer_id]
            self._on_silent(link.peer_id)

    async def close(self) -> None:
        """Close everything at once."""
        if self._server is not None:
            self._server.close()  # first, so that nobody comes in behind those who are sent away
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for dialled in list(self._dialled.values()):
            if dialled.transport is not None:
                dialled.transport.close()
        for accepted in [*self._accepted.values(), *self._strangers]:
            if accepted.transport is not None:
                accepted.transport.abort()
        if self._server is not None:
            await self._server.wait_closed()
