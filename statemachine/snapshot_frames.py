"""The frames that a snapshot is a run of: `length (4 bytes, big-endian) | chain (16) | body`.

`chain` is a hash of the body and the chain before it, and it is compared before the body is decoded: a flipped bit, a lost,
doubled, moved or foreign frame is found before anything is made of it. Frames carry their own length, so a reader may cut the
stream where it likes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b

CHAIN_BYTES = 16
MAX_BODY_BYTES = 8 * 1024 * 1024  # no record comes near; a longer body is damage
_LENGTH_BYTES = 4
_CHAIN_PERSON = b"deskraft.chain.1"


class SnapshotError(Exception):
    """The bytes are not a whole snapshot that this code can read."""


def require(holds: bool, complaint: str) -> None:
    """Raise SnapshotError unless something holds."""
    if not holds:
        raise SnapshotError(f"snapshot: {complaint}")


def frame(chain: bytes, body: bytes) -> tuple[bytes, bytes]:
    """The next link of the chain, and the frame that carries the body."""
    assert len(body) <= MAX_BODY_BYTES
    link = blake2b(chain + body, digest_size=CHAIN_BYTES, person=_CHAIN_PERSON).digest()
    return link, len(body).to_bytes(_LENGTH_BYTES, "big") + link + body


def bodies(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The bodies of a stream of frames, wherever it was cut, each compared with its chain."""
    waiting = bytearray()
    chain = b""
    head = _LENGTH_BYTES + CHAIN_BYTES
    for chunk in chunks:
        waiting += chunk
        while len(waiting) >= head:
            length = int.from_bytes(waiting[:_LENGTH_BYTES], "big")
            require(length <= MAX_BODY_BYTES, "a frame too long")
            if len(waiting) < head + length:
                break
            link = bytes(waiting[_LENGTH_BYTES:head])
            body = bytes(waiting[head : head + length])
            del waiting[: head + length]
            chain, _ = frame(chain, body)
            require(chain == link, "damaged, or not in order")
            yield body
    require(not waiting, "cut short")
