"""Identifiers made on the node: UUIDv7 (RFC 9562), so that ids sort roughly by the time they were made.

They are made outside the state machine, which knows neither chance nor a clock.
"""

from __future__ import annotations

import os

_VERSION_7 = 0x7 << 76
_VARIANT = 0x2 << 62
_RANDOM_A_MASK = 0xFFF << 64
_RANDOM_B_MASK = (1 << 62) - 1


def uuid7(now_ms: int) -> str:
    """A new identifier from the cluster's clock and 74 random bits, in the usual text form."""
    random = int.from_bytes(os.urandom(10), "big")
    value = (now_ms & 0xFFFF_FFFF_FFFF) << 80 | _VERSION_7 | (random & _RANDOM_A_MASK)
    text = f"{value | _VARIANT | (random & _RANDOM_B_MASK):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
