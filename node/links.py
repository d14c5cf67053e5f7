"""The two ends of one link between members: a handshake in which both prove who they are, then frames one way.

    dialler  -> listener   length u16 | hello: version, cluster, to whom, which key, nonce, introduction | MAC with the secret's hello key
    listener -> dialler    length u16 | answer: nonce, verdict | MAC over hello and answer
    dialler  -> listener   frames: length u32 | MAC (16) over counter and payload | payload; the first one is empty

The listener judges the introduction (`node.membership`). A refusal is authenticated as a welcome is, because a member stops for it: its MAC covers
the nonce that the dialler has just made, so nobody can repeat or invent one. After a refusal the listener closes.

Frame keys come from both nonces, so nothing recorded earlier is of use: who sends a recorded hello learns a verdict, cannot make the empty frame, and
before that one nothing longer is collected and nobody is told of a peer (`Mesh.accepted_up`). A stranger gets no byte of an answer. Frames are
authenticated, not encrypted: the peer network is trusted to keep silent, not to be honest.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from hashlib import blake2b
from typing import TYPE_CHECKING, cast

import msgspec

from node.membership import Introduction, Verdict
from node.messages import MAX_MESSAGE_BYTES
from node.secret import Secret

if TYPE_CHECKING:
    from node.peers import Mesh

log = logging.getLogger("deskraft.peers")

HANDSHAKE_SECONDS = 2.0
MAX_HELLO_BYTES = 1024  # two addresses may be 260 each, three random names 32 each
MAX_ANSWER_BYTES = 256
MAX_UNSENT_BYTES = 32 << 20
_VERSION = 2
_LINK_MAC_BYTES = 32
_MAC_BYTES = 16
_NONCE_BYTES = 32
_HELLO, _ACCEPT, _SESSION = b"peer hello", b"peer accept", b"peer session"


class Hello(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The first thing on a link."""

    version: int
    cluster: str
    receiver: str
    kid: str
    nonce: bytes
    introduction: Introduction


class Answer(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """All that a listener ever says."""

    nonce: bytes
    verdict: Verdict


_hello_decoder = msgspec.msgpack.Decoder(Hello)
_answer_decoder = msgspec.msgpack.Decoder(Answer)


def keyed_mac(key: bytes, *parts: bytes) -> bytes:
    """The MAC of a hello or an answer; also how a session's key is made from both."""
    return blake2b(b"".join(parts), key=key, digest_size=_LINK_MAC_BYTES).digest()


def _signed(raw: bytes, mac: bytes) -> bytes:
    return len(raw).to_bytes(2, "little") + raw + mac


def _unpacked(received: bytes | bytearray) -> tuple[bytes, bytes] | None:
    """(raw, MAC) of a hello or an answer, None until it is whole."""
    length = int.from_bytes(received[:2], "little")
    end = 2 + length + _LINK_MAC_BYTES
    if len(received) < end:
        return None
    return bytes(received[2 : 2 + length]), bytes(received[2 + length : end])


class _FrameKey:
    """Numbers and authenticates the frames of one direction."""

    def __init__(self, secret: Secret, kid: str, hello: bytes, answer: bytes) -> None:
        self._key = keyed_mac(secret.derive(_SESSION, kid), hello, answer)
        self._counter = 0

    def mac(self, payload: bytes | memoryview) -> bytes:
        self._counter += 1
        digest = blake2b(self._counter.to_bytes(8, "little"), key=self._key, digest_size=_MAC_BYTES)
        digest.update(payload)
        return digest.digest()


class DialledLink(asyncio.Protocol):
    """The sending end of a link."""

    def __init__(self, mesh: Mesh, peer_id: str) -> None:
        self._mesh = mesh
        self._peer_id = peer_id
        self._key: _FrameKey | None = None
        self._received = b""
        self._unsent: list[bytes] = []
        self.verdict: Verdict | None = None  # what the listener said, once it is known to be the listener
        self.transport: asyncio.Transport | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        mesh = self._mesh
        self._kid = kid = mesh.secret.active_kid
        nonce = secrets.token_bytes(_NONCE_BYTES)
        hello = Hello(_VERSION, mesh.cluster, self._peer_id, kid, nonce, mesh.introduce())
        self._hello = msgspec.msgpack.encode(hello)
        self.transport.write(_signed(self._hello, keyed_mac(mesh.secret.derive(_HELLO, kid), self._hello)))

    def data_received(self, data: bytes) -> None:
        if self.verdict is not None:
            self._abort("it spoke on a link that is ours to speak on")
            return
        self._received += data
        if int.from_bytes(self._received[:2], "little") > MAX_ANSWER_BYTES:
            self._abort("its answer to our hello is too long")
        elif (parts := _unpacked(self._received)) is not None:
            self._greeted(*parts)

    def _greeted(self, raw: bytes, mac: bytes) -> None:
        assert self.transport is not None
        secret = self._mesh.secret
        expected = keyed_mac(secret.derive(_ACCEPT, self._kid), self._hello, raw)
        if not hmac.compare_digest(mac, expected) or len(self._received) > 2 + len(raw) + len(mac):
            self._abort("its answer to our hello is not authentic")
            return
        try:
            self.verdict = _answer_decoder.decode(raw).verdict
        except ValueError as error:
            self._abort(f"its answer to our hello is not one that we know: {error}")
            return
        if self.verdict.code:
            self.transport.abort()
            self._mesh.dialled_refused(self._peer_id, self.verdict)
            return
        self._key = _FrameKey(secret, self._kid, self._hello, raw)
        self.transport.write(bytes(4) + self._key.mac(b""))
        self._mesh.dialled_up(self._peer_id, self, self.verdict)

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


class AcceptedLink(asyncio.Protocol):
    """The receiving end of a link, a stranger until its first frame has been verified."""

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
        assert self.transport is not None
        if self.transport.is_closing():
            return
        self._buffer += data
        if self._key is None and not self._greet():
            return
        self._read_frames()

    def _greet(self) -> bool:
        """Verify the hello, silent about everything that is wrong with it, and answer with the verdict; whether it is a welcome."""
        assert self.transport is not None
        if int.from_bytes(self._buffer[:2], "little") > MAX_HELLO_BYTES:
            self.transport.abort()
            return False
        parts = _unpacked(self._buffer)
        if parts is None:
            return False
        hello = self._verified(*parts)
        if hello is None:
            self._mesh.stranger_refused()
            self.transport.abort()
            return False
        raw, mac = parts
        del self._buffer[: 2 + len(raw) + len(mac)]
        mesh = self._mesh
        verdict = mesh.judge(hello.introduction)
        answer = msgspec.msgpack.encode(Answer(secrets.token_bytes(_NONCE_BYTES), verdict))
        self.transport.write(_signed(answer, keyed_mac(mesh.secret.derive(_ACCEPT, hello.kid), raw, answer)))
        if verdict.code:
            mesh.note_refusal(hello.introduction, verdict)
            self.transport.close()  # the answer still goes out; the timer bounds how long that may take
            return False
        self._key = _FrameKey(mesh.secret, hello.kid, raw, answer)
        self.introduction = hello.introduction
        return True

    def _verified(self, raw: bytes, mac: bytes) -> Hello | None:
        mesh = self._mesh
        try:
            hello = _hello_decoder.decode(raw)
        except ValueError:  # msgspec's own, or a text that is not UTF-8
            return None
        if hello.kid not in mesh.secret.kids:
            return None
        if not hmac.compare_digest(mac, keyed_mac(mesh.secret.derive(_HELLO, hello.kid), raw)):
            return None
        addressed = (hello.version, hello.cluster, hello.receiver) == (_VERSION, mesh.cluster, mesh.node_id)
        return hello if addressed and hello.introduction.member_id != mesh.node_id else None

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
            if self.peer_id is not None:
                self._mesh.on_frame(self.peer_id, payload)
            else:
                # Only now is the sender known to hold the secret *today*: a recorded hello cannot get here.
                self.peer_id = self.introduction.member_id
                self._timer.cancel()
                self._mesh.accepted_up(self.peer_id, self)
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
