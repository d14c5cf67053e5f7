"""A wall clock that is wrong, and one that jumps.

One member's at a time: the median of the clocks is right as long as a majority is, and more is not promised (docs/operations.md, "A
clock is wrong"). Nobody is down meanwhile: a member whose clock is off serves as before, and hands leadership over if it led.
"""

from __future__ import annotations

import asyncio
import math
import time

from tests.chaos.faults.field import Field

LEAST_SECONDS, MOST_SECONDS = 1.0, 3 * 86_400.0


def _amount(at: Field) -> float:
    """Seconds to three days, ahead or behind; each order of magnitude as often as the next."""
    size = math.exp(at.rng.uniform(math.log(LEAST_SECONDS), math.log(MOST_SECONDS)))
    return size if at.rng.random() < 0.5 else -size


async def skew(at: Field, seconds: float) -> None:
    """A member's clock is wrong for a while, or jumps to and fro; then it is set right, which is a jump as well."""
    if any(struck.kind == "skew" and not struck.ended for struck in at.struck):
        return
    node = at.victim()
    until = time.monotonic() + seconds
    jumps = at.rng.random() < 0.5
    with at.striking("skew", node.id, down=False):
        try:
            while (left := until - time.monotonic()) > 0:
                at.stage.set_clock(node.id, _amount(at))
                await asyncio.sleep(min(left, at.rng.uniform(0.05, 0.7)) if jumps else left)
        finally:
            at.stage.set_clock(node.id, 0.0)
