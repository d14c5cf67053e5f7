"""The cluster's clock: the median of the voters' wall clocks.

One leader with a clock a day ahead would expire every session and every idempotency key for good, because log time never goes back.
So entries are stamped with a median. Each member estimates how far every other's wall clock is from its own *monotonic* one, which keeps
the estimates right when its own wall clock jumps. Of several recent heartbeats the largest difference counts: a late
message can only make the other's clock look behind. Only differences near the newest one are compared, so a clock that has
been set right is believed at the next heartbeat.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection

SAMPLES = 8
FRESH_SECONDS = 3.0
LATENESS_MS = 1_000  # a message later than that is not told from a clock that was set back
TOLERATED_SKEW_MS = 5_000  # further than that from the median of a majority: refuse to lead


class ClusterClock:
    """`monotonic` in seconds, `wall_ms` in milliseconds since the epoch."""

    def __init__(
        self,
        node_id: str,
        voter_ids: Collection[str],
        monotonic: Callable[[], float],
        wall_ms: Callable[[], int],
    ) -> None:
        self._node_id = node_id
        self._monotonic = monotonic
        self._wall_ms = wall_ms
        self._offsets: dict[str, deque[tuple[float, float]]] = {}
        self.count(voter_ids)

    def count(self, voter_ids: Collection[str]) -> None:
        """These are the voters now."""
        self._voters = frozenset(voter_ids)
        self.refresh()

    def note(self, peer_id: str, peer_wall_ms: int) -> None:
        """A heartbeat said what that member's wall clock showed."""
        now = self._monotonic()
        samples = self._offsets.setdefault(peer_id, deque(maxlen=SAMPLES))
        samples.append((now, peer_wall_ms - now * 1000))
        self.refresh()

    def _known(self) -> list[float]:
        """Offsets of the voters' wall clocks from our monotonic one; our own when nothing else is known."""
        now = self._monotonic()
        own = self._wall_ms() - now * 1000
        offsets = [own] if self._node_id in self._voters else []
        for peer_id, samples in self._offsets.items():
            if peer_id not in self._voters:
                continue
            fresh = [offset for heard_at, offset in samples if now - heard_at < FRESH_SECONDS]
            if fresh:
                offsets.append(max(offset for offset in fresh if offset - fresh[-1] < LATENESS_MS))
        return sorted(offsets) or [own]

    def refresh(self) -> None:
        """Look at the wall clock and at how old the samples are; called a few times a second."""
        offsets = self._known()
        self._known_count = len(offsets)
        self._median_offset_ms = offsets[(len(offsets) - 1) // 2]

    def knows_majority(self) -> bool:
        """Whether a majority of the clocks has been heard lately; before that a leader stamps nothing."""
        return self._known_count >= len(self._voters) // 2 + 1

    def now_ms(self) -> int:
        """Milliseconds since the epoch by the median of the clocks heard lately (the lower one of two)."""
        return int(self._monotonic() * 1000 + self._median_offset_ms)

    def skew_ms(self) -> float:
        """How far this member's own wall clock is ahead of the median (negative: behind)."""
        return self._wall_ms() - self._monotonic() * 1000 - self._median_offset_ms

    def is_outlier(self) -> bool:
        """Whether a majority of the voters agree with each other and not with this member's clock."""
        if self._known_count <= len(self._voters) // 2 + 1:
            return False  # too few clocks known to say whose is wrong
        return abs(self.skew_ms()) > TOLERATED_SKEW_MS
