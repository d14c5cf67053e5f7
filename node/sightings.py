"""What a member has seen happen to its cluster since its process began: who came to lead, who fell silent, who came back.

For people who look at a cluster and ask what has just happened. It is what this member saw, in memory, and the last SIGHTINGS_KEPT of
it: two members may have seen different things, and a process that starts has seen nothing. Nothing is decided by it.

Each look is compared with the one before, so it tells changes and no states; whoever was never heard is not told to be silent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

SIGHTINGS_KEPT = 64

SightingKind = Literal["started", "leads", "no-leader", "silent", "heard"]


class Sighting(Struct, frozen=True):
    """One change, at `at_ms` by the cluster's clock as this member read it. `member_id` is None where nobody leads."""

    at_ms: int
    kind: SightingKind
    member_id: str | None
    term: int


class Sightings:
    """The last changes. Looked at in every turn of the member, so a look that finds nothing new does next to nothing."""

    def __init__(self, node_id: str, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._kept: deque[Sighting] = deque(maxlen=SIGHTINGS_KEPT)
        self._leader: tuple[str | None, int] = (None, 0)
        self._heard: dict[str, bool] = {}
        self._note("started", node_id, 0)

    def leader(self, leader_id: str | None, term: int) -> None:
        """Who leads, as far as this member knows."""
        before = self._leader
        if leader_id is None:
            self._leader = (None, term)
            if before[0] is not None:
                self._note("no-leader", None, term)
        elif (leader_id, term) != before:
            self._leader = (leader_id, term)
            self._note("leads", leader_id, term)

    def peer(self, peer_id: str, heard: bool, term: int) -> None:
        """Whether a member was heard lately."""
        if heard != self._heard.get(peer_id, False):
            self._heard[peer_id] = heard
            self._note("heard" if heard else "silent", peer_id, term)

    def newest_first(self) -> list[Sighting]:
        """What is remembered."""
        return list(reversed(self._kept))

    def _note(self, kind: SightingKind, member_id: str | None, term: int) -> None:
        self._kept.append(Sighting(self._now_ms(), kind, member_id, term))
