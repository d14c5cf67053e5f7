"""What is promised, checked all the time: one leader in each term, one history of committed entries, one digest for each index, nothing
acknowledged lost, no read of the past, no two bookings of a seat at once, log time that does not run ahead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from node import snapshots
from node.journal import Entry
from node.membership import ENTRY_PREFIX, Configuration, decode_entry
from statemachine.records import Booking
from statemachine.state import State
from tests.simulation.member import EPOCH_MS, SimNode, ViolationError

if TYPE_CHECKING:
    from tests.simulation.clients import Operation
    from tests.simulation.product import Product
    from tests.simulation.world import World

MAX_AHEAD_MS = 1_000


class Judge:
    """Remembers what has been seen of a run, and raises ViolationError when something contradicts it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.leaders: dict[int, str] = {}
        self._committed: dict[int, tuple[bytes, int]] = {}
        self.placed_at = 0  # the entry of the newest committed configuration
        self.configuration: Configuration | None = None  # the newest committed one
        self._digests: dict[int, bytes] = {}
        self._checked: dict[
            str, tuple[int, int]
        ] = {}  # by member: its boots, and the index up to which its log was compared
        self.log_time_promised = True
        self._looked_at: dict[str, tuple[object, ...]] = {}
        self.newest_answer = 0
        self.newest_read = 0

    @property
    def newest_seen(self) -> int:
        """The newest log index that any client has seen: whatever is asked from now on must come after it (real-time order)."""
        return max(self.newest_answer, self.newest_read)

    def has_committed(self, index: int) -> bool:
        """Whether some member has held this entry to be committed."""
        return index in self._committed

    def knows(self, entries: list[Entry], digests: dict[int, bytes]) -> None:
        """What was committed before the run began."""
        self._committed.update({index: (command, term) for command, index, term in entries})
        self._digests.update(digests)

    def check(self, node: SimNode) -> None:
        """After every step of a node: election safety, log agreement, digests at equal indexes."""
        core = node.core
        assert core is not None
        guard = core.guard
        what = (core, node.boots, guard.leading, guard.term, guard.commit_index, core.applied_index)
        if self._looked_at.get(node.node_id) == what:
            return  # most turns change nothing
        if guard.leading:
            leader = self.leaders.setdefault(guard.term, node.node_id)
            if leader != node.node_id:
                raise ViolationError(f"two leaders in term {guard.term}: {leader} and {node.node_id}")
        commit, applied, state = guard.commit_index, core.applied_index, core.state
        if len(core.journal.placed.configuration.voters) == 1 and applied > node.durable_index:
            return  # a single voter counts itself at once, and tells nobody before it is on its disk (the gate)
        self._looked_at[node.node_id] = what
        boots, start = self._checked.get(node.node_id, (-1, 0))
        if boots != node.boots:
            start = core.journal.first_index
        if commit > start or boots != node.boots:
            self._compare(node, start, commit)
        true_ms = EPOCH_MS + self._world.now * 1000
        if self.log_time_promised and state.now_ms > true_ms + MAX_AHEAD_MS:
            raise ViolationError(f"log time runs {state.now_ms - true_ms:.0f} ms ahead at entry {applied}")
        digest = state.digest
        if self._digests.setdefault(applied, digest) != digest:
            raise ViolationError(f"{node.node_id} has another digest at entry {applied}")

    def _compare(self, node: SimNode, start: int, commit: int) -> None:
        assert node.core is not None
        journal = node.core.journal
        for index in range(max(start + 1, journal.first_index), commit + 1):
            entry = journal.entry_at(index)
            if self._committed.setdefault(index, (entry[0], entry[2])) != (entry[0], entry[2]):
                raise ViolationError(f"{node.node_id} holds another committed entry {index}")
            if entry[0][:2] == ENTRY_PREFIX and index > self.placed_at:
                self.placed_at, self.configuration = index, decode_entry(entry[0])
        self._checked[node.node_id] = node.boots, max(start, commit)

    def no_place(self, node: SimNode) -> None:
        """A member stopped because the cluster has no place for it: then the newest committed configuration says so."""
        seat = None if self.configuration is None else self.configuration.by_id.get(node.node_id)
        if seat is not None and seat.incarnation == node.identity.incarnation:
            raise ViolationError(
                f"{node.node_id} stopped though it belongs to the cluster: {node.stopped_because}"
            )

    def answered(self, operation: Operation, index: int) -> None:
        """A client was answered: what it asked took effect at that entry."""
        if index <= operation.floor:
            raise ViolationError(
                f"{operation.key} took effect at entry {index}, before entry {operation.floor}, which had been "
                "answered or read before it was asked"
            )
        self.newest_answer = max(self.newest_answer, index)

    def read(self, node: SimNode, applied: int, floor: int) -> None:
        """A linearizable read was served from the state after that entry."""
        if applied < floor:
            raise ViolationError(
                f"stale read on {node.node_id}: entry {applied} after entry {floor} had been seen"
            )
        self.newest_read = max(self.newest_read, applied)

    def must_hold(self, operation: Operation, state: State, where: str) -> None:
        """What was acknowledged is there."""
        result = operation.outcome.result if operation.outcome is not None else None
        if not isinstance(result, Booking):
            return
        booking = state.bookings.get(result.id)
        if booking is None or (operation.kind == "cancel" and booking.status != "cancelled"):
            raise ViolationError(
                f"{where}: acknowledged {operation.kind} {operation.key} is missing (entry {result.revision})"
            )

    def end(self) -> None:
        """After the calm: one leader, equal members, every request answered, everything acknowledged there, no overlap."""
        nodes = self._world.nodes
        assert self.configuration is not None
        # A learner's open seat may be nobody's: its operator never heard that the addition had come to be.
        members = {seat.id for seat in self.configuration.seats if seat.voter or seat.incarnation != ""}
        members |= {id_ for id_ in self.configuration.by_id if id_ in nodes and nodes[id_].core is not None}
        cores = [node.core for node in nodes.values() if node.core is not None]
        if {core.node_id for core in cores} != members:
            raise ViolationError(
                f"alive: {sorted(core.node_id for core in cores)}, members: {sorted(members)}, "
                f"stopped: { {id_: node.stopped_because for id_, node in nodes.items() if node.stopped_because} }"
            )
        if len({(core.applied_index, core.state.digest) for core in cores}) != 1:
            described = {
                core.node_id: (
                    core.role,
                    core.guard.term,
                    core.applied_index,
                    core.journal.last_index,
                    sorted(core.guard.needs_snapshot),
                )
                for core in cores
            }
            raise ViolationError(f"members did not converge: {described}")
        if len({core.state.checksum() for core in cores}) != 1:
            raise ViolationError(
                "members have equal digests and other tables"
            )  # a digest is of what was done, not of what there is
        for id_, node in sorted(nodes.items()):
            if node.core is not None and len(names := snapshots.published(node.disk)) > snapshots.KEPT:
                raise ViolationError(f"{id_} keeps {names}, though nobody fetches any")
        if {core.journal.placed for core in cores} != {cores[0].applied_placed}:
            raise ViolationError("members disagree about who they are")
        leaders = [core for core in cores if core.guard.leading]
        if len(leaders) != 1:
            raise ViolationError(f"{len(leaders)} leaders after the calm")
        state = leaders[0].state
        for operation in self._world.operations:
            if operation.outcome is None:
                raise ViolationError(f"{operation.key} was never answered ({operation.attempts} attempts)")
            if operation.outcome.ok:
                self.must_hold(operation, state, "end")
        self._no_overlap(state)

    def kept(self, product: Product) -> None:
        """After everything else: what the people of the whole product were promised."""
        state = next(node.core.state for node in self._world.nodes.values() if node.core is not None)
        found = product.complaints(state)
        if found:
            for line in found:
                self._world.note(line)
            raise ViolationError(f"the product: {found[0]}")

    @staticmethod
    def _no_overlap(state: State) -> None:
        taken: dict[tuple[str, str, int], str] = {}
        for booking in state.bookings.values():
            if booking.status != "confirmed":
                continue
            for cell in range(booking.start_cell, booking.end_cell):
                place = (booking.space_id, booking.seat_id, cell)
                if place in taken:
                    raise ViolationError(f"{booking.id} and {taken[place]} overlap")
                taken[place] = booking.id
