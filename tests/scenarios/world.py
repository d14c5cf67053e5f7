"""What a scenario acts upon: shipped cores on a table, with a clock, a network and disks that only move when they are told to.

Nothing is left to chance. Messages lie on `wire` in the order in which they were sent; timers do not draw (`member.Patience`). What no
step of a scenario may ever break is checked after every turn (`World.check`): one leader in a term, committed entries stay as they are,
one digest at one index.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from node import engine
from node import messages as m
from node.core import Core
from node.effects import Changed
from node.journal import Entry
from statemachine.outcomes import Outcome
from tests.scenarios.member import BrokenPromiseError, Member, Parcel
from tests.statemachine.builders import NOW_MS

START_SECONDS = 100.0
STEP_SECONDS = 0.01
TALK_LIMIT = 20_000  # messages at one moment, after which something is wrong


class World:
    """All members, the clock, and what is on the way."""

    def __init__(self, tamper: Callable[[Core], None] | None = None) -> None:
        self.now = START_SECONDS
        self.ids: list[str] = []
        self.patience: list[str] = []
        self.members: dict[str, Member] = {}
        self.wire: list[Parcel] = []
        self.held: list[Parcel] = []
        self.holds: list[Callable[[Parcel], bool]] = []
        self.born: list[str] = []  # those that cluster.yml names
        self.links: set[tuple[str, str]] = set()  # connections that stand
        self.blocked: set[tuple[str, str]] = set()  # ways on which nothing gets through
        self.torn: set[tuple[str, str]] = (
            set()
        )  # ways on which something was lost that nobody has noticed yet
        self.answers: dict[int, Outcome | str] = {}
        self.reads: dict[int, frozenset[str]] = {}
        self.changes: dict[int, Changed] = {}
        self.trace: list[str] = []
        self.describe: Callable[[m.Message], str] = str
        self.tamper = tamper or (lambda _core: None)
        self.ungated = False  # a control: effects leave before what they rest on is on the disk
        self.check_digests = True
        self._leaders: dict[int, str] = {}
        self._committed: dict[int, tuple[str, Entry]] = {}
        self._checked: dict[str, int] = {}
        self._looked_at: dict[str, tuple[Core, int]] = {}
        self._digests: dict[int, tuple[str, bytes]] = {}
        self._patched: list[tuple[Any, str, Any]] = []
        engine.set_clock(lambda: self.now)
        random.seed(0)  # the library's own timers; they never fire, because it sees nobody then

    def patch(self, module: Any, name: str, value: Any) -> None:
        """Another value for a constant of the shipped code, until `close`."""
        self._patched.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    def close(self) -> None:
        """Put back what holds for the whole process."""
        while self._patched:
            setattr(*self._patched.pop())
        engine.set_clock(time.monotonic)

    def found(self, count: int) -> None:
        """That many members, new and connected."""
        self.ids = self.born = [f"n{number + 1}" for number in range(count)]
        self.patience = self.patience or list(self.ids)
        self.members = {node_id: Member(self, node_id) for node_id in self.ids}
        for member in self.members.values():
            member.boot()
        self.tend()

    def wall_ms(self) -> int:
        """What a right clock shows."""
        return NOW_MS + round((self.now - START_SECONDS) * 1000)

    def living(self) -> list[Core]:
        return [member.core for member in self.members.values() if member.core is not None]

    def core(self, node_id: str) -> Core:
        return self.members[node_id].alive

    def note(self, line: str) -> None:
        self.trace.append(f"{(self.now - START_SECONDS) * 1000:6.0f} ms  {line}")

    # Messages.

    def sent(self, parcel: Parcel) -> None:
        way = (parcel.sender, parcel.receiver)
        if way in self.blocked or way not in self.links:
            self.torn |= {way} & self.links
            return
        (self.held if any(rule(parcel) for rule in self.holds) else self.wire).append(parcel)

    def take(self, wanted: Callable[[Parcel], bool]) -> list[Parcel]:
        """Take these off the wire, in order."""
        taken = [parcel for parcel in self.wire if wanted(parcel)]
        self.wire = [parcel for parcel in self.wire if not wanted(parcel)]
        return taken

    def deliver(self, parcel: Parcel) -> None:
        """One message arrives, and what follows from it is sent."""
        member = self.members[parcel.receiver]
        if member.frozen:
            self.held.append(parcel)
            return
        if member.core is not None:
            self.note(f"{parcel.sender} -> {parcel.receiver}  {self.describe(parcel.message)}")
            member.receive(parcel.sender, parcel.message)

    def flow(self) -> None:
        """Deliver until nothing is on the way at this moment."""
        for _ in range(TALK_LIMIT):
            if not self.wire:
                return
            self.deliver(self.wire.pop(0))
        raise BrokenPromiseError(f"still talking after {TALK_LIMIT} messages at one moment")

    def turns(self) -> None:
        for member in self.members.values():
            member.turn()

    def run(self, seconds: float, until: Callable[[], bool] | None = None, *, flowing: bool = True) -> bool:
        """Time passes; True as soon as the condition holds."""
        end = self.now + seconds
        while True:
            self.tend()
            self.turns()
            if flowing:
                self.flow()
            if until is not None and until():
                return True
            if self.now >= end - STEP_SECONDS / 2:
                return until is None
            self.now += STEP_SECONDS

    # Ways and connections. A connection is one-way: whoever dials sends.

    def cut(self, ways: set[tuple[str, str]]) -> None:
        """What is sent on these ways is lost, and nobody notices."""
        lost = self.take(lambda parcel: (parcel.sender, parcel.receiver) in ways)
        self.torn |= {(parcel.sender, parcel.receiver) for parcel in lost}
        self.blocked |= ways

    def heal(self) -> None:
        """All ways are open; a connection that lost something breaks and is made anew, as TCP does it."""
        self.blocked.clear()
        for a, b in sorted(self.torn):
            self._down(a, b)
            self._dial(a, b)
        self.torn.clear()

    def _down(self, a: str, b: str) -> None:
        """The connection from a to b breaks, and both notice."""
        self.links.discard((a, b))
        self.take(lambda parcel: (parcel.sender, parcel.receiver) == (a, b))
        self.held = [parcel for parcel in self.held if (parcel.sender, parcel.receiver) != (a, b)]
        if (core := self.members[a].core) is not None:
            core.link_down(b)
        if (core := self.members[b].core) is not None:
            core.peer_silent(a)

    def _dial(self, a: str, b: str) -> None:
        """a introduces itself to b, and is let in or refused."""
        dialler, listener = self.members[a].core, self.members[b].core
        if dialler is None or listener is None or (a, b) in self.blocked:
            return
        introduction = dialler.introduction()
        verdict = listener.judge(introduction)
        dialler.greeted(b, verdict)
        if verdict.code == "":
            self.links.add((a, b))
            listener.introduced(a, introduction)
            dialler.link_up(b)

    def tend(self) -> None:
        """What drivers do beside the turns: close connections that the configuration forbids, dial those that it names."""
        for node_id, member in sorted(self.members.items()):
            core = member.core
            if core is None or member.frozen:
                continue
            if self._looked_at.get(node_id) != (core, core.configuration_version):
                self._looked_at[node_id] = (core, core.configuration_version)
                for a, b in sorted(self.links):
                    if b == node_id and core.judge(core.introductions[a]).code:
                        self.note(f"{b} closes the connection of {a}")
                        self._down(a, b)
            for other in core.addresses():
                if other in self.members and (node_id, other) not in self.links:
                    self._dial(node_id, other)

    def _ways_of(self, node_id: str) -> list[tuple[str, str]]:
        others = [other for other in self.ids if other != node_id]
        return [way for other in others for way in ((node_id, other), (other, node_id))]

    def break_links(self, node_id: str) -> None:
        """All connections of a member break, everybody notices, and none can be made for now."""
        for way in self._ways_of(node_id):
            self.blocked.add(way)
            self.torn.discard(way)
            self._down(*way)

    def connect(self, node_id: str) -> None:
        """All connections of a member are made anew, to those that live."""
        for way in self._ways_of(node_id):
            self.blocked.discard(way)
            self.torn.discard(way)
            if way not in self.links:
                self._dial(*way)

    def crash(self, node_id: str) -> None:
        """A process dies with all that was not on its disk."""
        self.members[node_id].pipeline = None
        for way in self._ways_of(node_id):
            self.torn.discard(way)
            self._down(*way)

    def restart(self, node_id: str) -> None:
        """A process starts with what is on its disk, and connects."""
        self._checked.pop(node_id, None)
        self.members[node_id].boot()
        self.connect(node_id)

    def join(self, node_id: str, through: str, *, wants_vote: bool) -> None:
        """A new member starts with the configuration that another one shows it."""
        placed = self.core(through).applied_placed
        self.ids = sorted({*self.ids, node_id})
        member = self.members[node_id] = Member(self, node_id)
        member.joined_by, member.wants_vote = placed, wants_vote
        self.restart(node_id)

    # What must never be.

    def check(self, member: Member) -> None:
        """Election safety, committed entries stay, equal states at equal indexes (the Raft paper, figure 3)."""
        core = member.core
        if core is None:
            return
        if core.guard.leading:
            first = self._leaders.setdefault(core.guard.term, member.node_id)
            if first != member.node_id:
                raise BrokenPromiseError(
                    f"two leaders in term {core.guard.term}: {first} and {member.node_id}"
                )
        for index in range(
            max(self._checked.get(member.node_id, 1), core.journal.first_index), core.guard.commit_index + 1
        ):
            entry = core.journal.entry_at(index)
            witness, known = self._committed.setdefault(index, (member.node_id, entry))
            if known != entry:
                raise BrokenPromiseError(
                    f"entry {index} was committed on {witness} with term {known[2]}, and {member.node_id} commits "
                    f"another one there, of term {entry[2]}"
                )
            self._checked[member.node_id] = index
        witness, digest = self._digests.setdefault(core.applied_index, (member.node_id, core.state.digest))
        if self.check_digests and digest != core.state.digest:
            raise BrokenPromiseError(f"{witness} and {member.node_id} differ at entry {core.applied_index}")
