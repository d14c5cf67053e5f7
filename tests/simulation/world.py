"""A whole cluster in one process under virtual time: the shipped core, journal, snapshots and state machine; simulated clock, disk and network.

A seed decides everything: delays, crashes, torn writes, cut links, pauses, load. The same seed gives the same run.
`World.run` goes through a *safety* phase with faults and a *liveness* phase without, and checks all the time what is promised.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from node import engine, storage
from node.disk import StorageError
from statemachine.commands import (
    BirthCluster,
    BookSeat,
    CancelBooking,
    Command,
    DayGrid,
    Envelope,
    NewSpace,
    OpenSession,
    encode_envelope,
)
from statemachine.outcomes import Outcome
from statemachine.records import Booking, Seat
from statemachine.state import State
from tests.simulation.disk import SimDisk
from tests.simulation.member import EPOCH_MS, SEGMENT_BYTES, SimNode, ViolationError


@dataclass
class Operation:
    """One client operation of the history."""

    key: str
    kind: str
    command: Command
    invoked_at: float
    cell: int = 0
    seat: str = ""
    floor: int = 0  # newest log index that anybody had seen when this was asked (real-time order)
    attempts: int = 0
    outcome: Outcome | None = None
    done_at: float | None = None


@dataclass
class Settings:
    """What a world may contain; tests narrow it."""

    members: int = 3
    fault_seconds: float = 30.0
    calm_seconds: float = 15.0
    fault_every_seconds: float = 1.2
    faults: tuple[str, ...] = (
        "crash", "crash", "crash_all", "crash_in_call", "cut", "isolate", "halves", "bridge", "one_way", "pause", "freeze",
        "slow_disk", "full_disk", "failing_sync", "bit_rot", "snapshot", "transfer", "skew",
    )  # fmt: skip
    operation_every_seconds: float = 0.02
    seats: int = 4
    snapshot_every: int = 60
    trim_behind: int = 5
    mutate: Callable[[SimNode], None] | None = None  # a planted defect, applied to each node at boot


@dataclass
class Link:
    """Messages on the way from one member to another, in order."""

    up: bool = False
    cut: bool = False
    frozen_until: float = 0.0
    last_arrival: float = 0.0
    generation: int = 0


class World:
    """The cluster, its network, its clients and the judge."""

    def __init__(self, seed: int, settings: Settings | None = None) -> None:
        self.seed = seed
        self.settings = settings or Settings()
        self.rng = random.Random(seed)
        random.seed(seed)  # the library draws its (unused) election deadlines from the global generator
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self.ids = [f"n{number + 1}" for number in range(self.settings.members)]
        self.trace: list[str] = []
        self._hash = hashlib.blake2b(digest_size=8)
        self.links = {(a, b): Link() for a in self.ids for b in self.ids if a != b}
        engine.set_clock(lambda: self.now)
        self.nodes = {node_id: SimNode(self, node_id) for node_id in self.ids}
        self.fault_kinds: Counter[str] = Counter()
        self.installs = 0
        self.rotten = 0
        self.rot_detected = 0
        self.messages = 0
        self._leaders: dict[int, str] = {}
        self._committed: dict[int, tuple[bytes, int]] = {}
        self._digests: dict[int, bytes] = {}
        self._checked: dict[tuple[str, int], int] = {}
        self.operations: list[Operation] = []
        self.reads_judged = 0
        self._newest_answer = 0
        self._newest_read = 0
        self._next_id = 0
        self.calm = False
        self._birth_done = False

    # Time.

    def at(self, delay: float, action: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (self.now + delay, self._sequence, action))

    def note(self, text: str) -> None:
        self.trace.append(f"{self.now:9.4f} {text}")
        self._hash.update(text.encode())

    @property
    def trace_hash(self) -> str:
        """Equal for equal runs."""
        return self._hash.hexdigest()

    def _run_until(self, end: float) -> None:
        while self._events and self._events[0][0] <= end:
            self.now, _, action = heapq.heappop(self._events)
            action()
        self.now = end

    # Network.

    def connect_later(self, a: str, b: str) -> None:
        self.at(self.rng.uniform(0.001, 0.15), lambda: self._connect(a, b))

    def _connect(self, a: str, b: str) -> None:
        link = self.links[a, b]
        core, other = self.nodes[a].core, self.nodes[b].core
        if link.up or core is None or other is None:
            return
        if link.cut or self.now < self.nodes[b].paused_until or self.now < self.nodes[a].paused_until:
            self.connect_later(a, b)
            return
        link.up = True
        link.generation += 1
        link.last_arrival = self.now
        core.link_up(b)

    def break_link(self, a: str, b: str) -> None:
        link = self.links[a, b]
        if not link.up:
            return
        link.up = False
        link.generation += 1
        if (core := self.nodes[a].core) is not None:
            core.link_down(b)
            self.connect_later(a, b)
        if (core := self.nodes[b].core) is not None:
            core.peer_silent(a)

    def links_of_dead(self, node_id: str) -> None:
        for a, b in list(self.links):
            if node_id in (a, b):
                self.break_link(a, b)

    def send(self, a: str, b: str, payload: bytes) -> None:
        link = self.links[a, b]
        if not link.up:
            return
        self.messages += 1
        self._hash.update(payload)
        if link.cut and self.rng.random() < 0.02:
            self.break_link(a, b)  # the sender notices at last
            return
        delay = self.rng.uniform(0.0002, 0.004) if self.rng.random() < 0.97 else self.rng.uniform(0.01, 0.1)
        arrival = max(self.now + delay, link.last_arrival, link.frozen_until)
        link.last_arrival = arrival
        generation = link.generation

        def deliver() -> None:
            node = self.nodes[b]
            if link.generation != generation or node.core is None:
                return
            if link.cut or self.now < node.paused_until or self.now < link.frozen_until:
                wait = max(0.05, node.paused_until - self.now, link.frozen_until - self.now)
                link.last_arrival = max(link.last_arrival, self.now + wait)
                self.at(wait, deliver)  # TCP holds it; the generation ends it when the link breaks
                return
            node.receive(a, payload)

        self.at(arrival - self.now, deliver)

    # Faults.

    def _fault(self) -> None:
        if self.calm:
            return
        kind = self.rng.choice(self.settings.faults)
        victim = self.nodes[self.rng.choice(self.ids)]
        duration = self.rng.uniform(0.1, 3.0)
        self.fault_kinds[kind] += 1
        self.note(f"fault {kind} {victim.node_id} {duration:.2f}")
        match kind:
            case "crash":
                self._crash(victim, duration)
            case "crash_all":
                for node in self.nodes.values():
                    self._crash(node, self.rng.uniform(0.1, 2.0))
            case "crash_in_call":
                if victim.alive:
                    victim.disk.crash_in = self.rng.randrange(12)
                    self.at(duration, lambda: self._crash(victim, 0.2))
            case "cut":
                other = self.rng.choice([node_id for node_id in self.ids if node_id != victim.node_id])
                self._cut([(victim.node_id, other), (other, victim.node_id)], duration)
            case "isolate":
                self._cut([pair for pair in self.links if victim.node_id in pair], duration)
            case "halves":
                half = set(self.rng.sample(self.ids, len(self.ids) // 2))
                self._cut([(a, b) for a, b in self.links if (a in half) != (b in half)], duration)
            case "bridge":
                rest = [node_id for node_id in self.ids if node_id != victim.node_id]
                half = set(rest[: len(rest) // 2])
                self._cut(
                    [
                        (a, b)
                        for a, b in self.links
                        if victim.node_id not in (a, b) and (a in half) != (b in half)
                    ],
                    duration,
                )
            case "one_way":
                self._cut([pair for pair in self.links if pair[0] == victim.node_id], duration)
            case "pause":
                victim.paused_until = self.now + duration
            case "freeze":
                for pair, link in self.links.items():
                    if pair[0] == victim.node_id:
                        link.frozen_until = self.now + duration
            case "slow_disk":
                victim.slow_until = self.now + duration
            case "full_disk":
                victim.disk.full = True
                self._crash(victim, 0.0, after=duration)
            case "failing_sync":
                victim.disk.failing = True
                self._crash(victim, 0.0, after=duration)
            case "bit_rot":
                self._rot(victim, duration)
            case "snapshot":
                victim.snapshot()
            case "transfer":
                if victim.core is not None:
                    victim.core.transfer_leadership()
            case "skew":
                for node in self.nodes.values():  # a minority may be wrong at a time
                    node.skew_ms = 0
                skew_ms = self.rng.randrange(-3_600_000, 3_600_000)
                self.at(3.5, lambda: self._skew(victim, skew_ms))
        self.at(self.rng.expovariate(1 / self.settings.fault_every_seconds), self._fault)

    def _skew(self, victim: SimNode, skew_ms: int) -> None:
        if not self.calm and all(node.skew_ms == 0 for node in self.nodes.values()):
            victim.skew_ms = skew_ms

    def _crash(self, node: SimNode, duration: float, after: float = 0.0) -> None:
        """Crash a node (after a while) and start it again `duration` later. A disk that failed is whole again then."""

        def crash() -> None:
            node.crash()
            boots = node.boots

            def restart() -> None:
                if not node.alive and node.boots == boots and node.stopped_because is None:
                    node.boot()

            self.at(duration, restart)

        if after:
            self.at(after, crash)
        else:
            crash()

    def _rot(self, node: SimNode, duration: float) -> None:
        """A bit flips on the disk of a stopped member: it must refuse to start, or be unharmed; then the disk is mended."""
        node.crash()
        boots = node.boots
        image = node.disk.image()
        flipped = node.disk.rot()
        if flipped is not None:
            self.rotten += 1
            try:
                opened = storage.open_storage(node.disk, SEGMENT_BYTES)
            except StorageError:
                self.rot_detected += 1
            else:
                self._judge_rotten(node, opened, image, flipped)
        node.disk.restore(image)

        def restart() -> None:
            if not node.alive and node.boots == boots and node.stopped_because is None:
                node.boot()

        self.at(duration, restart)

    def _judge_rotten(
        self, node: SimNode, opened: storage.Opened, image: dict[str, bytes], flipped: tuple[str, int]
    ) -> None:
        """It started in spite of the flip: then nothing may be missing (the flip hit what an older snapshot or segment holds)."""
        clean_disk = SimDisk(random.Random(0))
        clean_disk.restore(image)
        clean = storage.open_storage(clean_disk, SEGMENT_BYTES)
        same = (
            opened.journal.entries == clean.journal.entries
            and (opened.journal.term, opened.journal.vote) == (clean.journal.term, clean.journal.vote)
            and opened.state.digest == clean.state.digest
        )
        if not same:
            raise ViolationError(
                f"{node.node_id} started from a damaged disk ({flipped[0]} at byte {flipped[1]})"
            )

    def _cut(self, pairs: list[tuple[str, str]], duration: float) -> None:
        for pair in pairs:
            self.links[pair].cut = True
            if self.rng.random() < 0.5:
                self.break_link(*pair)

        def heal() -> None:
            for pair in pairs:
                self.links[pair].cut = False
                if self.rng.random() < 0.5:
                    self.break_link(*pair)

        self.at(duration, heal)

    # Load.

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _birth(self) -> None:
        seats = tuple(Seat(f"A{number}", f"A{number}") for number in range(self.settings.seats))
        space = NewSpace("hq", "HQ", "UTC", 0, 1440, 60, seats)
        birth = Operation(
            "birth", "birth", BirthCluster("admin", "admin", "admin", "hash", (space,)), self.now
        )
        login = Operation("login", "login", OpenSession("s1", "admin", "hash", "", 10**10), self.now)

        def logged_in() -> None:
            self._birth_done = True
            self._operate()

        self._start(birth, "x", "", lambda: self._start(login, "x", "", logged_in))

    def _start(
        self, operation: Operation, scope: str, session_id: str, then: Callable[[], None] | None = None
    ) -> None:
        operation.floor = max(self._newest_answer, self._newest_read)
        self.operations.append(operation)
        self._attempt(operation, scope, session_id, then)

    def _attempt(
        self, operation: Operation, scope: str, session_id: str, then: Callable[[], None] | None
    ) -> None:
        """One try through some node; unknown and unavailable are retried with the same key, as a client does."""
        operation.attempts += 1
        again = self.rng.uniform(0.05, 0.5)
        node = self.nodes[self.rng.choice(self.ids)]
        retry = lambda: self._attempt(operation, scope, session_id, then)  # noqa: E731 - a name for what follows
        if node.core is None or self.now < node.paused_until:
            self.at(again, retry)
            return
        request_id = self._new_id()
        envelope = encode_envelope(
            Envelope(
                request_id, scope, operation.key, b"f", 86_400_000, 1 << 50, session_id, operation.command
            )
        )
        finished: list[bool] = []

        def result(outcome: Outcome | None, _failure: str) -> None:
            if finished:
                return
            finished.append(True)
            if outcome is None or outcome.code in ("not-born", "rules-changed"):
                self.at(again, retry)
                return
            self._done(operation, outcome)
            if then is not None:
                then()

        node.results[request_id] = result
        if not node.core.execute(request_id, envelope, 1.0):
            self.at(again, retry)
            return
        self.at(0.0, node.turn)
        self.at(3.0, lambda: result(None, "lost"))  # the node died with the request

    def _done(self, operation: Operation, outcome: Outcome) -> None:
        if operation.outcome is not None:
            if operation.outcome != outcome:
                raise ViolationError(f"{operation.key} was answered twice: {operation.outcome} and {outcome}")
            return
        operation.outcome, operation.done_at = outcome, self.now
        if outcome.index <= operation.floor:
            raise ViolationError(
                f"{operation.key} took effect at entry {outcome.index}, before entry {operation.floor}, which had been "
                "answered or read before it was asked"
            )
        self._newest_answer = max(self._newest_answer, outcome.index)
        self.note(f"{operation.key} {outcome.code} at {outcome.index}.{outcome.position}")

    def _operate(self) -> None:
        if self.calm:
            return
        self.at(self.rng.expovariate(1 / self.settings.operation_every_seconds), self._operate)
        roll = self.rng.random()
        if roll < 0.25:
            self._read()
            return
        number = len(self.operations)
        confirmed = [
            op
            for op in self.operations[-60:]
            if op.kind == "book" and op.outcome is not None and op.outcome.ok
        ]
        if roll < 0.45 and confirmed:
            target = self.rng.choice(confirmed)
            assert isinstance(target.command, BookSeat)
            operation = Operation(f"k{number}", "cancel", CancelBooking(target.command.booking_id), self.now)
        else:
            day = (EPOCH_MS // 300_000 // 288 + 2) * 288
            cell = day + 12 * self.rng.randrange(24 * 8)
            seat = f"A{self.rng.randrange(self.settings.seats)}"
            node = next(
                (node for node in self.nodes.values() if node.core is not None and node.core.state.spaces),
                None,
            )
            if node is None or node.core is None:
                return
            grid = DayGrid(node.core.state.spaces["hq"].revision, 12, ((day, 24 * 8),))
            operation = Operation(
                f"k{number}", "book", BookSeat(f"b{number}", "hq", seat, cell, 1, grid), self.now, cell, seat
            )
        self._start(operation, "admin", "s1")

    def _read(self) -> None:
        node = self.nodes[self.rng.choice(self.ids)]
        if node.core is None or self.now < node.paused_until:
            return
        token = self._new_id()
        must_see = [op for op in self.operations[-200:] if op.outcome is not None and op.outcome.ok]
        floor = max(self._newest_answer, self._newest_read)

        def judge(state: State, _index: int) -> None:
            self.reads_judged += 1
            assert node.core is not None
            applied = node.core.applied_index
            if applied < floor:
                raise ViolationError(
                    f"stale read on {node.node_id}: entry {applied} after entry {floor} had been seen"
                )
            self._newest_read = max(self._newest_read, applied)
            for operation in must_see:
                self._must_hold(operation, state, f"linearizable read on {node.node_id}")

        node.reads[token] = judge
        node.core.read(token)
        self.at(0.0, node.turn)

    # The judge.

    def _must_hold(self, operation: Operation, state: State, where: str) -> None:
        result = operation.outcome.result if operation.outcome is not None else None
        if not isinstance(result, Booking):
            return
        booking = state.bookings.get(result.id)
        if booking is None or (operation.kind == "cancel" and booking.status != "cancelled"):
            raise ViolationError(
                f"{where}: acknowledged {operation.kind} {operation.key} is missing (entry {result.revision})"
            )

    def check(self, node: SimNode) -> None:
        """After every step of a node: election safety, log agreement, digests at equal indexes."""
        core = node.core
        assert core is not None
        if core.guard.leading:
            leader = self._leaders.setdefault(core.guard.term, node.node_id)
            if leader != node.node_id:
                raise ViolationError(f"two leaders in term {core.guard.term}: {leader} and {node.node_id}")
        start = self._checked.get((node.node_id, node.boots), core.journal.first_index)
        commit = core.guard.commit_index
        for index in range(max(start + 1, core.journal.first_index), commit + 1):
            entry = core.journal.entry_at(index)
            known = self._committed.setdefault(index, (entry[0], entry[2]))
            if known != (entry[0], entry[2]):
                raise ViolationError(f"{node.node_id} holds another committed entry {index}")
        self._checked[node.node_id, node.boots] = max(start, commit)
        true_ms = EPOCH_MS + self.now * 1000
        if core.state.now_ms > true_ms + 1_000:
            raise ViolationError(
                f"log time runs {core.state.now_ms - true_ms:.0f} ms ahead at entry {core.applied_index}"
            )
        digest = self._digests.setdefault(core.applied_index, core.state.digest)
        if digest != core.state.digest:
            raise ViolationError(f"{node.node_id} has another digest at entry {core.applied_index}")

    def run(self) -> None:
        """Both phases. Raises ViolationError."""
        for node in self.nodes.values():
            node.boot()
        self.at(1.5, self._birth)
        self.at(2.5, self._fault)
        self._run_until(self.settings.fault_seconds)
        self.calm = True
        self.note("calm")
        for node in self.nodes.values():
            node.paused_until = self.now
            node.slow_until = self.now
            node.skew_ms = 0
            node.disk.crash_in = None
            node.disk.full = node.disk.failing = False
            if node.stopped_because is not None:
                raise ViolationError(f"{node.node_id} stopped without cause: {node.stopped_because}")
            if not node.alive:
                node.boot()
        for link in self.links.values():
            link.cut = False
            link.frozen_until = self.now
        self._run_until(self.settings.fault_seconds + self.settings.calm_seconds)
        self._judge_end()

    def _judge_end(self) -> None:
        cores = [node.core for node in self.nodes.values()]
        if any(core is None for core in cores):
            raise ViolationError(
                f"a member did not come back: {[node.stopped_because for node in self.nodes.values()]}"
            )
        points = {(core.applied_index, core.state.digest) for core in cores if core is not None}
        if len(points) != 1:
            described = {
                core.node_id: (
                    core.role,
                    core.guard.term,
                    core.applied_index,
                    core.journal.last_index,
                    sorted(core.guard.needs_snapshot),
                )
                for core in cores
                if core is not None
            }
            raise ViolationError(f"members did not converge: {described}")
        leaders = [core for core in cores if core is not None and core.guard.leading]
        if len(leaders) != 1:
            raise ViolationError(f"{len(leaders)} leaders after the calm")
        state = leaders[0].state
        for operation in self.operations:
            if operation.outcome is None:
                raise ViolationError(f"{operation.key} was never answered ({operation.attempts} attempts)")
            if operation.outcome.ok:
                self._must_hold(operation, state, "end")
        taken: dict[tuple[str, int], str] = {}
        for booking in state.bookings.values():
            if booking.status != "confirmed":
                continue
            for cell in range(booking.start_cell, booking.end_cell):
                if (booking.seat_id, cell) in taken:
                    raise ViolationError(f"{booking.id} and {taken[booking.seat_id, cell]} overlap")
                taken[booking.seat_id, cell] = booking.id

    def summary(self) -> str:
        """One line about the run."""
        answered = sum(1 for op in self.operations if op.outcome is not None)
        return (
            f"seed {self.seed}: {self.fault_kinds.total()} faults, {answered} operations, {self.reads_judged} reads, "
            f"{len(self._leaders)} terms with a leader, {self.installs} installs, {self.messages} messages, trace {self.trace_hash}"
        )
