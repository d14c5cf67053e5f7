"""Receipts: the digest at each of the last indexes, and nothing where nothing is known."""

from __future__ import annotations

from node.receipts import Receipts


def digest(index: int) -> bytes:
    return index.to_bytes(16, "big")


def test_the_last_ones_are_known_exactly() -> None:
    receipts = Receipts(40, digest(40), kept=8)
    for index in range(41, 60):
        receipts.note(index, digest(index))
        assert receipts.oldest == max(40, index - 7)
        for each in range(30, 70):
            known = receipts.oldest <= each <= index
            assert receipts.at(each) == (digest(each) if known else None)
