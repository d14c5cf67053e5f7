"""Receipts: the digest of the state's chain at each of the last indexes, so that anybody can compare.

The digest at an index is a hash over everything applied up to it (`statemachine.state`). An answer that carries index and
digest is therefore evidence: whoever keeps the two can later ask any member what *its* digest at that index is. The same one
proves that the member's whole history up to there is the one that the answer was given in; another one, that something was
lost or changed. (The idea of a hash-linked log as a witness: Haber & Stornetta, "How to Time-Stamp a Digital Document", 1991.)

Kept in memory, RECEIPTS_KEPT of them; after a restart from where the member's snapshot stands. So members differ in how far
back they can confirm, never in what. Entries that carry no commands leave the digest as it was.
"""

from __future__ import annotations

from statemachine.tables import DIGEST_BYTES

RECEIPTS_KEPT = 65_536  # 1 MiB


class Receipts:
    """A ring of digests by index, without gaps."""

    __slots__ = ("_digests", "_kept", "newest", "oldest")

    def __init__(self, index: int, digest: bytes, kept: int = RECEIPTS_KEPT) -> None:
        self._kept = kept
        self._digests = bytearray(kept * DIGEST_BYTES)
        self.oldest = self.newest = index
        self._put(index, digest)

    def _put(self, index: int, digest: bytes) -> None:
        at = index % self._kept * DIGEST_BYTES
        self._digests[at : at + DIGEST_BYTES] = digest

    def note(self, index: int, digest: bytes) -> None:
        """The next entry has been applied."""
        assert index == self.newest + 1, "receipts have no gaps"
        self._put(index, digest)
        self.newest = index
        if index - self.oldest >= self._kept:
            self.oldest = index - self._kept + 1

    def at(self, index: int) -> bytes | None:
        """The digest when entry `index` had been applied; None for what is forgotten, or not applied yet."""
        if not self.oldest <= index <= self.newest:
            return None
        at = index % self._kept * DIGEST_BYTES
        return bytes(self._digests[at : at + DIGEST_BYTES])
