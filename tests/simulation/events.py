"""Virtual time: one queue of events, and one stream of chance for each source of it.

Nothing else in a simulation may know the time or draw lots, so a seed decides the whole run. Each source of chance has a stream of its own,
seeded by its name: leaving out one fault does not move the dice of the disks, of the network or of the clients, which is what makes a plan of
faults shrinkable (`minimise`).
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable


def stream(seed: int, name: str) -> random.Random:
    """Chance for one purpose. A text seeds by its SHA-512: equal on every machine, whatever PYTHONHASHSEED says."""
    return random.Random(f"{seed}/{name}")


class Timeline:
    """What happens when. Events of the same moment happen in the order in which they were scheduled."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0

    def at(self, delay: float, action: Callable[[], None]) -> None:
        """Do it `delay` seconds from now."""
        self._sequence += 1
        heapq.heappush(self._events, (self.now + delay, self._sequence, action))

    def run_until(self, end: float) -> None:
        """Let time pass."""
        events, pop = self._events, heapq.heappop
        while events and events[0][0] <= end:
            self.now, _, action = pop(events)
            action()
        self.now = end


class Trace:
    """What was said of a run, and a hash of all that happened in it: equal for equal runs."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._hash = hashlib.blake2b(digest_size=8)
        self.lines: list[tuple[float, str]] = []

    def note(self, text: str) -> None:
        """A line of the trace, which enters the hash with its time."""
        now = self._timeline.now
        self.lines.append((now, text))
        self._hash.update(f"{now!r} {text}\n".encode())

    def absorb(self, payload: bytes) -> None:
        """Something that enters the hash alone: every message does."""
        self._hash.update(payload)

    @property
    def hash(self) -> str:
        """Of everything so far."""
        return self._hash.hexdigest()
