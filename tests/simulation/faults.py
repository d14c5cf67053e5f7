"""Carrying out a plan of faults: what each kind does to the world.

| kind | what it does |
|---|---|
| crash, crash_majority, crash_all | members die, with power lost to their disks, and start again |
| crash_in_call | dies inside the n-th write, sync, rename or removal from now |
| cut, isolate, halves, bridge, one_way | paths are cut for a while; `bridge` leaves one member that sees two halves that do not see each other |
| pause, pause_several | members stand still and go on as if nothing had been |
| freeze, slow_link | what a member sends arrives late, all at once or trickling |
| torn_frame, reconnect | connections end in the middle of a frame; end while what is under way still arrives |
| slow_disk, full_disk, failing_sync, bit_rot, wipe | disks |
| snapshot, install | snapshots now; a member that lags behind is sent one while new ones are made, or somebody dies of it |
| transfer | the leader is asked to hand over |
| skew, clock_jumps | the wall clock of one member is off, or jumps about |

Membership is changed by the kinds of `LIFE_KINDS`, in `_change_members`.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

from node import storage
from node.disk import StorageError
from tests.simulation.disk import SimDisk
from tests.simulation.member import SEGMENT_BYTES, SimNode, ViolationError
from tests.simulation.plan import LEADER, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.world import World

CLOCK_SETTLES_SECONDS = 3.5  # samples of a clock that was wrong are forgotten by then (`node.clock`)
MAX_SKEW_MS = 3_600_000
INSTALL_SECONDS = 0.6
LIFE_KINDS = ("add_learner", "promote", "remove_follower", "remove_leader", "replace", "two_operators")
NO_TWO_SHARE = 0.5  # of the connections of a path that is cut or healed, those that break at once


class Injector:
    """Does to the world what the plan says."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.kinds: Counter[str] = Counter()
        self.rotten = 0
        self.rot_detected = 0
        self._strike: dict[str, Callable[[Fault, SimNode, random.Random], None]] = {
            "crash": lambda fault, victim, _: self._crash(victim, fault.duration),
            "crash_majority": self._crash_majority,
            "crash_all": self._crash_all,
            "crash_in_call": self._crash_in_call,
            "cut": self._cut_pair,
            "isolate": lambda fault, victim, dice: self._isolate(victim, fault.duration, dice),
            "halves": self._halves,
            "bridge": self._bridge,
            "one_way": self._one_way,
            "pause": lambda fault, victim, _: self._pause([victim], fault.duration),
            "pause_several": lambda fault, victim, _: self._pause(
                self._all_of(fault, victim), fault.duration
            ),
            "freeze": self._freeze,
            "slow_link": self._slow_link,
            "torn_frame": self._torn_frame,
            "reconnect": self._reconnect,
            "slow_disk": self._slow_disk,
            "full_disk": self._full_disk,
            "failing_sync": self._failing_sync,
            "bit_rot": lambda fault, victim, _: self._rot(victim, fault.duration),
            "wipe": self._wipe,
            "snapshot": lambda _fault, victim, _dice: victim.snapshot(),
            "install": self._install,
            "transfer": self._transfer,
            "skew": self._skew,
            "clock_jumps": self._clock_jumps,
            **dict.fromkeys(LIFE_KINDS, self._change_members),
        }

    def start(self, plan: list[Fault]) -> None:
        """Schedule the whole plan, or the part of it that the settings name."""
        only = self._world.settings.only
        for fault in plan:
            if only is None or fault.number in only:
                self._world.at(fault.at - self._world.now, lambda fault=fault: self._execute(fault))  # type: ignore[misc]

    def _execute(self, fault: Fault) -> None:
        if self._world.calm:
            return
        victim = self._victim(fault)
        self.kinds[fault.kind] += 1
        self._world.note(f"fault {fault}" + (f" = {victim.node_id}" if fault.victim == LEADER else ""))
        if self._world.recorder is not None:
            self._world.recorder.fault(fault, victim.node_id)
        self._strike[fault.kind](fault, victim, random.Random(fault.dice))

    def _victim(self, fault: Fault) -> SimNode:
        nodes = self._world.nodes
        if fault.victim != LEADER:
            return nodes[fault.victim]
        leaders = [node for node in nodes.values() if node.core is not None and node.core.guard.leading]
        if leaders:
            return max(leaders, key=lambda node: node.core.guard.term if node.core is not None else 0)
        return nodes[self._world.ids[fault.dice % len(self._world.ids)]]

    def _all_of(self, fault: Fault, victim: SimNode) -> list[SimNode]:
        """The victim and as many others as the plan says; it names the victim among them when that is the leader."""
        chosen = dict.fromkeys((victim.node_id, *fault.group, *self._world.ids))
        return [self._world.nodes[node_id] for node_id in list(chosen)[: 1 + len(fault.group)]]

    # Processes.

    def _crash(self, node: SimNode, duration: float, after: float = 0.0) -> None:
        """Crash a node (after a while) and start it again `duration` later. A disk that failed is whole again then."""

        def crash() -> None:
            node.crash()
            self._restart_later(node, duration)

        if after:
            self._world.at(after, crash)
        else:
            crash()

    def _restart_later(self, node: SimNode, duration: float) -> None:
        boots = node.boots

        def restart() -> None:
            if not node.alive and node.boots == boots and node.stopped_because is None:
                node.boot()

        self._world.at(duration, restart)

    def _crash_majority(self, fault: Fault, victim: SimNode, dice: random.Random) -> None:
        for node in self._all_of(fault, victim):
            self._crash(node, dice.uniform(0.1, fault.duration + 0.1))

    def _crash_all(self, _fault: Fault, _victim: SimNode, dice: random.Random) -> None:
        for node in list(self._world.nodes.values()):
            self._crash(node, dice.uniform(0.1, 2.0))

    def _crash_in_call(self, fault: Fault, victim: SimNode, dice: random.Random) -> None:
        if victim.alive:
            victim.disk.crash_in = dice.randrange(12)
            self._crash(victim, 0.2, after=fault.duration)

    def _pause(self, nodes: list[SimNode], duration: float) -> None:
        for node in nodes:
            node.paused_until = max(node.paused_until, self._world.now + duration)

    # Network.

    def _cut(self, pairs: list[tuple[str, str]], duration: float, dice: random.Random) -> None:
        network = self._world.network

        def break_some() -> None:
            for pair in pairs:
                if dice.random() < NO_TWO_SHARE:
                    network.break_as_chance_will(*pair)

        for pair in pairs:
            link = network.links[pair]
            link.cut_until = max(link.cut_until, self._world.now + duration)
        break_some()
        self._world.at(duration, break_some)

    def _cut_pair(self, fault: Fault, victim: SimNode, dice: random.Random) -> None:
        other = next(node.node_id for node in self._all_of(fault, victim) if node is not victim)
        self._cut([(victim.node_id, other), (other, victim.node_id)], fault.duration, dice)

    def _isolate(self, victim: SimNode, duration: float, dice: random.Random) -> None:
        self._cut([pair for pair in self._world.network.links if victim.node_id in pair], duration, dice)

    def _halves(self, fault: Fault, _victim: SimNode, dice: random.Random) -> None:
        half = set(fault.group)
        links = self._world.network.links
        self._cut([(a, b) for a, b in links if (a in half) != (b in half)], fault.duration, dice)

    def _bridge(self, fault: Fault, victim: SimNode, dice: random.Random) -> None:
        half = set(fault.group)
        self._cut(
            [
                (a, b)
                for a, b in self._world.network.links
                if victim.node_id not in (a, b) and (a in half) != (b in half)
            ],
            fault.duration,
            dice,
        )

    def _one_way(self, fault: Fault, victim: SimNode, dice: random.Random) -> None:
        self._cut(
            [pair for pair in self._world.network.links if pair[0] == victim.node_id], fault.duration, dice
        )

    def _freeze(self, fault: Fault, victim: SimNode, _dice: random.Random) -> None:
        for pair, link in self._world.network.links.items():
            if pair[0] == victim.node_id:
                link.frozen_until = max(link.frozen_until, self._world.now + fault.duration)

    def _slow_link(self, fault: Fault, victim: SimNode, _dice: random.Random) -> None:
        """From 3 KB to 300 KB a second: from less than heartbeats need to a snapshot in a few seconds."""
        for pair, link in self._world.network.links.items():
            if victim.node_id in pair:
                link.slow_until = self._world.now + fault.duration
                link.bytes_per_second = 3_000 * 100**fault.amount

    def _torn_frame(self, _fault: Fault, victim: SimNode, dice: random.Random) -> None:
        for pair, link in self._world.network.links.items():
            if pair[0] == victim.node_id and dice.random() < 0.7:
                link.tear = True

    def _reconnect(self, fault: Fault, victim: SimNode, dice: random.Random) -> None:
        """A few times in a row the sender takes connections for dead whose messages still arrive."""
        pairs = [pair for pair in self._world.network.links if victim.node_id in pair]
        for _ in range(1 + int(fault.amount * 5)):
            for pair in pairs:
                delay = dice.uniform(0.0, fault.duration)
                self._world.at(
                    delay,
                    lambda pair=pair: self._world.network.break_link(*pair, drained=True),  # type: ignore[misc]
                )

    # Disks and snapshots.

    def _slow_disk(self, fault: Fault, victim: SimNode, _dice: random.Random) -> None:
        victim.slow_until = self._world.now + fault.duration

    def _full_disk(self, fault: Fault, victim: SimNode, _dice: random.Random) -> None:
        victim.disk.full = True
        self._crash(victim, 0.0, after=fault.duration)

    def _failing_sync(self, fault: Fault, victim: SimNode, _dice: random.Random) -> None:
        victim.disk.failing = True
        self._crash(victim, 0.0, after=fault.duration)

    def _wipe(self, fault: Fault, victim: SimNode, _dice: random.Random) -> None:
        """The disk is lost. A member that comes back with an empty one under its old name must be refused until it is replaced."""
        victim.crash()
        victim.disk.restore({})
        self._restart_later(victim, fault.duration)

    def _rot(self, node: SimNode, duration: float) -> None:
        """A bit flips on the disk of a stopped member: it must refuse to start, or be unharmed; then the disk is mended."""
        node.crash()
        image = node.disk.image()
        flipped = node.disk.rot()
        if flipped is not None:
            self.rotten += 1
            try:
                opened = storage.open_storage(node.disk, node.identity, SEGMENT_BYTES)
            except StorageError:
                self.rot_detected += 1
            else:
                self._judge_rotten(node, opened, image, flipped)
        node.disk.restore(image)
        self._restart_later(node, duration)

    def _judge_rotten(
        self, node: SimNode, opened: storage.Opened, image: dict[str, bytes], flipped: tuple[str, int]
    ) -> None:
        """It started in spite of the flip: then nothing may be missing (the flip hit what an older snapshot or segment holds)."""
        clean_disk = SimDisk(random.Random(0))
        clean_disk.restore(image)
        clean = storage.open_storage(clean_disk, node.identity, SEGMENT_BYTES)
        same = (
            opened.journal.entries == clean.journal.entries
            and (opened.journal.term, opened.journal.vote) == (clean.journal.term, clean.journal.vote)
            and opened.state.digest == clean.state.digest
        )
        if not same:
            raise ViolationError(
                f"{node.node_id} started from a damaged disk ({flipped[0]} at byte {flipped[1]})"
            )

    def _install(self, fault: Fault, victim: SimNode, dice: random.Random) -> None:
        """The victim falls behind and is sent a snapshot, while the senders make new ones, or it, or the sender, dies of it."""
        world = self._world
        self._isolate(victim, fault.duration, dice)
        others = [node for node in world.nodes.values() if node is not victim]
        for node in others:
            world.at(max(0.0, fault.duration - 0.01), node.snapshot)
        if fault.amount < 0.5:
            for _ in range(8):
                world.at(
                    fault.duration + dice.uniform(0, INSTALL_SECONDS), dice.choice([*others, victim]).snapshot
                )
            return
        dies = victim if fault.amount < 0.75 else dice.choice(others)
        calls = dice.randrange(20)

        def die_in_a_call() -> None:
            if dies.alive:
                dies.disk.crash_in = calls

        world.at(fault.duration + dice.uniform(0, INSTALL_SECONDS), die_in_a_call)
        self._crash(dies, 0.3, after=fault.duration + 2 * INSTALL_SECONDS)

    # Leadership, clocks, membership.

    def _transfer(self, _fault: Fault, victim: SimNode, _dice: random.Random) -> None:
        if victim.core is not None:
            victim.core.transfer_leadership()

    def _when_clocks_agree(self, action: Callable[[], None]) -> None:
        """Only a minority may be wrong at a time, so all others are right, and have been for a while, before one goes astray."""
        nodes = self._world.nodes
        for node in nodes.values():
            node.skew_ms = 0

        def go() -> None:
            if not self._world.calm and all(node.skew_ms == 0 for node in nodes.values()):
                action()

        self._world.at(CLOCK_SETTLES_SECONDS, go)

    def _skew(self, _fault: Fault, victim: SimNode, dice: random.Random) -> None:
        skew_ms = dice.randrange(-MAX_SKEW_MS, MAX_SKEW_MS)

        def set_wrong() -> None:
            victim.skew_ms = skew_ms

        self._when_clocks_agree(set_wrong)

    def _clock_jumps(self, fault: Fault, victim: SimNode, dice: random.Random) -> None:
        """The clock of one member jumps to and fro, by milliseconds and by hours, and at last keeps some wrong time."""
        jumps = [
            (dice.uniform(0, fault.duration), int(dice.choice((-1, 1)) * MAX_SKEW_MS ** dice.random()))
            for _ in range(2 + int(fault.amount * 8))
        ]

        def jump(skew_ms: int) -> None:
            wrong = [node for node in self._world.nodes.values() if node.skew_ms != 0]
            if not self._world.calm and wrong in ([], [victim]):
                victim.skew_ms = skew_ms

        def begin() -> None:
            for delay, skew_ms in jumps:
                self._world.at(delay, lambda skew_ms=skew_ms: jump(skew_ms))  # type: ignore[misc]

        self._when_clocks_agree(begin)

    def _change_members(self, fault: Fault, victim: SimNode, _dice: random.Random) -> None:
        """Operators change the membership: not possible before `Core.change` exists."""
        raise NotImplementedError(f"{fault.kind} {victim.node_id}")
