"""Members compare the digests of their states at fixed indexes (design invariant 7).

The digest is a hash chain over everything applied, so two members with one digest at one index hold the same state. At multiples of CHECKPOINT_EVERY
each member keeps its own and tells the others. Whoever differs from a majority of the voters stops; the majority goes on and hears no alarm
for the one that does not. When no digest can have a majority any more, all raise the alarm, and none guesses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.guard import FailStopError

if TYPE_CHECKING:
    from node.core import Core

CHECKPOINT_EVERY = 256  # entries
CHECKPOINTS_KEPT = 64


class Digests:
    """Ours at the last checkpoints, and the newest that each other member has told."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._own: dict[int, bytes] = {}
        self._said: dict[str, tuple[int, bytes]] = {}
        self.alarm = ""

    def newest(self) -> tuple[int, bytes]:
        """Our newest checkpoint; (0, b"") before the first."""
        index = max(self._own, default=0)
        return index, self._own.get(index, b"")

    def reached(self, index: int, digest: bytes) -> None:
        """This member has applied a checkpoint. Raises FailStopError."""
        self._own[index] = digest
        self._own.pop(index - CHECKPOINT_EVERY * CHECKPOINTS_KEPT, None)
        self._compare()

    def said(self, peer_id: str, index: int, digest: bytes) -> None:
        """Another member has. Raises FailStopError."""
        self._said[peer_id] = (index, digest)
        self._compare()

    def _compare(self) -> None:
        core = self._core
        majority = core.journal.placed.configuration.majority
        for index, digest in self._said.values():
            own = self._own.get(index)
            if own is None:
                continue
            said = {peer_id: told for peer_id, (at, told) in self._said.items() if at == index}
            votes = [told for peer_id, told in said.items() if core.counts(peer_id)]
            if core.counts(core.node_id):
                votes.append(own)
            if votes.count(own) >= majority:
                self.alarm = ""
            elif votes.count(digest) >= majority:
                raise FailStopError(
                    f"the state of this member differs from a majority's at entry {index}: its data cannot be trusted. "
                    f"Move its data directory away, run deskraft cluster replace {core.node_id} on another node, and start "
                    "this one again: it then fetches the state"
                )
            elif own != digest:
                self._raise_alarm_if_hopeless(index, votes, said, majority)

    def _raise_alarm_if_hopeless(
        self, index: int, votes: list[bytes], said: dict[str, bytes], majority: int
    ) -> None:
        core = self._core
        voters = core.journal.placed.configuration.voters
        to_come = sum(
            core.reachable(peer_id) and peer_id not in said for peer_id in voters if peer_id != core.node_id
        )
        if max(map(votes.count, votes), default=0) + to_come < majority:
            self.alarm = (
                f"members disagree about the state at entry {index}, and none has a majority on its side"
            )
