"""Readers of the feed: each follows it on some member, goes on at another one when it likes or has to, and keeps what it was told.

They begin and go on by the code that serves streams over HTTP (`api.streams.first_message`, `Feed.after`), and draw from chance of
their own, so a world is the same with them and without. What they were told is judged at the end: no event is missing, none comes
twice or out of order, none differs from what another reader was told under the same place, every one belongs to a
committed entry, and together they are the feed that all members have.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from api.streams import first_message
from statemachine.feed import BEGINNING, END_OF_ENTRY, Feed, Place, Told
from statemachine.people_events import AccountErased
from tests.simulation.events import stream
from tests.simulation.member import SimNode, ViolationError

if TYPE_CHECKING:
    from tests.simulation.world import World

READERS = 4
READ_EVERY_SECONDS = 0.25
MOVE_SHARE = 0.2
BATCH_EVENTS = 8


class _Reader:
    """One of them: where it has got to, and what it was told."""

    def __init__(self, number: int) -> None:
        self.name = f"reader {number}"
        self.node: SimNode | None = None
        self.boots = -1
        self.place: Place = BEGINNING
        self.begun_at: Place = BEGINNING
        self.told: list[Told] = []


class Readers:
    """Everybody who follows the feed of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = stream(world.seed, "readers")
        self._readers = [_Reader(number) for number in range(READERS)]
        self._complaints: list[str] = []
        self.moves = 0

    def start(self) -> None:
        """Begin with the first event there is."""
        for reader in self._readers:
            self._later(reader)

    def _later(self, reader: _Reader) -> None:
        delay = self._rng.expovariate(1 / READ_EVERY_SECONDS)
        self._world.at(delay, lambda: self._turn(reader))

    def _turn(self, reader: _Reader) -> None:
        self._later(reader)
        node = reader.node
        lost = node is None or node.core is None or node.boots != reader.boots
        if lost or self._rng.random() < MOVE_SHARE:
            self._connect(reader)
        elif node is not None and node.core is not None and self._may_tell(node):
            if reader.place < node.core.state.feed.lost_through:
                reader.node = None  # the feed has begun meanwhile; going on tells whether it may have
                return
            self._read(reader, node.core.state.feed)

    def _may_tell(self, node: SimNode) -> bool:
        """A single voter applies before it has synced, and tells nobody meanwhile: the hub asks for a read index there."""
        core = node.core
        if core is None or self._world.now < node.paused_until:
            return False
        alone = len(core.journal.placed.configuration.voters) == 1
        return not alone or core.applied_index <= node.durable_index

    def _connect(self, reader: _Reader) -> None:
        """Go on at some member, as soon as that knows the entry that the reader has got to."""
        reader.node = None
        node = self._world.nodes[self._rng.choice(self._world.ids)]
        core = node.core
        if core is None or not self._may_tell(node):
            return
        asked = reader.place
        if core.applied_index < asked[0] + (asked[1] == END_OF_ENTRY):
            return  # as a request waits for its read index; where the feed begins is known from the next entry on
        begins, message = first_message(asked, core.state.feed)
        if b"event: reset" in message and not self._before_the_feed(asked, core.state.feed):
            self._complain(f"{reader.name} is told by {node.node_id} that its place {asked} is unknown")
            return
        if b"event: reset" in message:
            reader.begun_at, reader.told = begins, []
        reader.place, reader.node, reader.boots = begins, node, node.boots
        self.moves += 1

    def _before_the_feed(self, asked: Place, feed: Feed) -> bool:
        """Whether a reader stood there before there was a feed: a cluster of an older program begins one with an entry, once."""
        return self._world.older is not None and asked == BEGINNING and feed.lost_through > BEGINNING

    @staticmethod
    def _read(reader: _Reader, feed: Feed, limit: int = BATCH_EVENTS) -> None:
        batch = feed.after(reader.place, limit)
        reader.told += batch
        if batch:
            reader.place = batch[-1][:2]

    def _complain(self, text: str) -> None:
        self._complaints.append(text)

    def judge(self, feed: Feed) -> None:
        """At the end, when all members are equal: `feed` is theirs. Raises ViolationError."""
        committed = self._world.judge.has_committed
        if not feed.is_open:
            self._complain("it was never begun")
        for reader in self._readers:
            self._read(reader, feed, len(feed))
            wanted = feed.after(reader.begun_at, len(feed))
            if (told := _forgetting(reader.told, feed)) != (wanted := _forgetting(wanted, feed)):
                self._complain(f"{reader.name} was told {_departure(told, wanted)}")
            for index, position, _ in reader.told:
                if not committed(index):
                    self._complain(f"{reader.name} was told {index}.{position}, which is not committed")
        if self._complaints:
            for text in self._complaints:
                self._world.note(text)
            raise ViolationError(f"the feed: {self._complaints[0]}")


def _forgetting(told: list[Told], feed: Feed) -> list[Told]:
    """What was told, without those who have been erased since: the feed no longer names them."""
    erased = [
        event.user_id for _, _, event in feed.after(BEGINNING, len(feed)) if isinstance(event, AccountErased)
    ]
    if not erased or any(one[:2] >= other[:2] for one, other in pairwise(told)):
        return told
    kept = Feed()
    for row in told:
        kept.append(row)
    for user_id in erased:
        kept.forget(user_id)
    return kept.after(BEGINNING, len(told))


def _departure(told: list[Told], wanted: list[Told]) -> str:
    for one, other in zip(told, wanted, strict=False):
        if one != other:
            return f"{one[0]}.{one[1]} where {other[0]}.{other[1]} stands"
    return f"{len(told)} events of {len(wanted)}"
