"""Carrying out a plan of faults: what each kind does to the world.

| kind | what it does |
|---|---|
| crash, crash_majority, crash_all | members die, with power lost to their disks, and start again |
| crash_in_call | dies inside the n-th write, sync, rename or removal from now |
| crash_at | dies at a named place of the code, or is refused there by the disk (`failpoints`) |
| cut, isolate, halves, bridge, one_way | paths are cut for a while; `bridge` leaves one member that sees two halves that do not see each other |
| power_loss | a machine stops without a word: the others hold on to connections that are open at one end alone |
| pause, pause_several | members stand still and go on as if nothing had been |
| held_up | a turn of the event loop takes long; threads go on meanwhile |
| freeze, slow_link | what a member sends arrives late: all at once, or trickling |
| torn_frame, reconnect | connections end in the middle of a frame; end for the sender while what is under way still arrives |
| slow_disk, full_disk, failing_sync, bit_rot, wipe | disks |
| snapshot, install | a snapshot now; a member that lags behind is sent one while new ones are made, or while somebody dies |
| spoiled_fetch, interrupted_fetch, colliding_snapshots | what it fetches is damaged; it is cut off again; it writes one itself |
| transfer | the leader is asked to hand over |
| skew, clock_jumps | the wall clock of one member is off, or jumps about |

Membership is changed by the kinds of `LIFE_KINDS`. Networks and disks have modules of their own; processes, clocks and members are here.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from tests.simulation.events import stream
from tests.simulation.failpoints import points
from tests.simulation.faults_disk import DISK_FAULTS
from tests.simulation.faults_network import NETWORK_FAULTS
from tests.simulation.life import LIFE_KINDS
from tests.simulation.plan import BIRTH_SITE, LEADER, Fault

if TYPE_CHECKING:
    from tests.simulation.member import SimNode
    from tests.simulation.world import World

    Strike: TypeAlias = Callable[[World, Fault, SimNode, random.Random], None]

CLOCK_SETTLES_SECONDS = 3.5  # samples of a clock that was wrong are forgotten by then (`node.clock`)
MAX_SKEW_MS = 3_600_000
CALLS_AHEAD = 12  # `crash_in_call` strikes within so many system calls
BIRTH_SHARE = 0.2
LONG_TURN_SECONDS = (0.05, 0.5)
PASSES_AHEAD = 3  # `crash_at` strikes within so many passes of its place


class Injector:
    """Does to the world what the plan says, and counts it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.kinds: Counter[str] = Counter()
        self.rotten = 0
        self.rot_detected = 0

    def before_birth(self) -> None:
        """In some worlds a member dies while it writes down who it is: that place is passed once in a life, before anything of the plan."""
        world, only = self._world, self._world.settings.only
        dice = stream(world.seed, "birth")
        for fault in world.plan[:1]:
            if fault.point.startswith(BIRTH_SITE) and (only is None or fault.number in only):
                world.failpoints.arm(fault.point, 1 + dice.randrange(len(world.ids)))
                return
        if "crash_at" in world.settings.faults and dice.random() < BIRTH_SHARE:
            own = [point for point in points() if point.startswith("storage.") and "identity" in point]
            world.failpoints.arm(dice.choice(own), 1 + dice.randrange(len(world.ids)))

    def start(self, plan: list[Fault]) -> None:
        """Schedule the whole plan, or the part of it that the settings name."""
        only = self._world.settings.only
        for fault in plan:
            if only is None or fault.number in only:
                self._world.at(fault.at - self._world.now, lambda fault=fault: self._execute(fault))  # type: ignore[misc]  # mypy cannot infer such a lambda

    def _execute(self, fault: Fault) -> None:
        if self._world.calm:
            return
        victim = self._victim(fault)
        self.kinds[fault.kind] += 1
        self._world.note(f"fault {fault}" + (f" = {victim.node_id}" if fault.victim == LEADER else ""))
        if self._world.recorder is not None:
            self._world.recorder.fault(fault, victim.node_id)
        _STRIKES[fault.kind](self._world, fault, victim, random.Random(fault.dice))

    def _victim(self, fault: Fault) -> SimNode:
        nodes = self._world.nodes
        if fault.victim != LEADER:
            return nodes[fault.victim]
        leaders = [
            (node.core.guard.term, node)
            for node in nodes.values()
            if node.core is not None and node.core.guard.leading
        ]
        if leaders:
            return max(leaders, key=lambda pair: pair[0])[1]
        return nodes[self._world.ids[fault.dice % len(self._world.ids)]]

    def all_of(self, fault: Fault, victim: SimNode) -> list[SimNode]:
        """The victim and as many others as the plan names; the leader, as a victim, may be among those: then somebody else steps in."""
        chosen = list(dict.fromkeys((victim.node_id, *fault.group, *self._world.ids)))
        return [self._world.nodes[node_id] for node_id in chosen[: 1 + len(fault.group)]]

    def crash(self, node: SimNode, duration: float, after: float = 0.0) -> None:
        """Crash a node (after a while) and start it again `duration` later. A disk that failed is whole again then."""

        def crash() -> None:
            node.crash()
            self.restart_later(node, duration)

        if after:
            self._world.at(after, crash)
        else:
            crash()

    def restart_later(self, node: SimNode, duration: float) -> None:
        """Start a node that is down, unless somebody else has by then."""
        boots = node.boots

        def restart() -> None:
            if not node.alive and node.boots == boots and node.stopped_because is None:
                node.boot()

        self._world.at(duration, restart)


def _crash(world: World, fault: Fault, victim: SimNode, _dice: random.Random) -> None:
    world.faults.crash(victim, fault.duration)


def _crash_majority(world: World, fault: Fault, victim: SimNode, dice: random.Random) -> None:
    for node in world.faults.all_of(fault, victim):
        world.faults.crash(node, dice.uniform(0.1, 0.1 + fault.duration))


def _crash_all(world: World, _fault: Fault, _victim: SimNode, dice: random.Random) -> None:
    for node in list(world.nodes.values()):
        world.faults.crash(node, dice.uniform(0.1, 2.0))


def _crash_in_call(world: World, fault: Fault, victim: SimNode, dice: random.Random) -> None:
    if victim.alive:
        victim.disk.crash_in = dice.randrange(CALLS_AHEAD)
        world.faults.crash(victim, 0.2, after=fault.duration)


def _crash_at(world: World, fault: Fault, _victim: SimNode, dice: random.Random) -> None:
    """Whoever comes to a named place of the code next, or next but one; it may be long until somebody does."""
    if not fault.point:
        point = world.failpoints.choose(dice)
        world.note(f"armed: {point}")
        world.failpoints.arm(point, 1 + dice.randrange(PASSES_AHEAD))
    elif not world.failpoints.waits_at(fault.point) and not fault.point.startswith(BIRTH_SITE):
        world.failpoints.arm(fault.point)


def _pause(world: World, fault: Fault, victim: SimNode, _dice: random.Random) -> None:
    for node in world.faults.all_of(fault, victim):
        node.paused_until = max(node.paused_until, world.now + fault.duration)


def _power_loss(world: World, fault: Fault, victim: SimNode, _dice: random.Random) -> None:
    """The machine stops at once, and says nothing: the others go on to believe in their connections."""
    victim.crash(silent=True)
    world.faults.restart_later(victim, fault.duration)


def _held_up(world: World, fault: Fault, victim: SimNode, dice: random.Random) -> None:
    """A few times something holds the event loop up in the middle of a turn, while the threads go on."""

    def hold() -> None:
        if not world.calm:
            victim.next_turn_takes = dice.uniform(*LONG_TURN_SECONDS)

    for _ in range(1 + int(fault.amount * 6)):
        world.at(dice.uniform(0.0, fault.duration), hold)


def _transfer(_world: World, _fault: Fault, victim: SimNode, _dice: random.Random) -> None:
    if victim.core is not None:
        victim.core.transfer_leadership()


def _when_clocks_agree(world: World, action: Callable[[], None]) -> None:
    """Only a minority may be wrong at a time: all clocks are right, and have been for a while, before one goes astray.

    One of one or two is no minority, so with few voters nothing is promised of log time; everything else is.
    """
    nodes = world.nodes
    if world.settings.few_voters:
        world.judge.log_time_promised = False
    for node in nodes.values():
        node.skew_ms = 0

    def go() -> None:
        if not world.calm and all(node.skew_ms == 0 for node in nodes.values()):
            action()

    world.at(CLOCK_SETTLES_SECONDS, go)


def _skew(world: World, _fault: Fault, victim: SimNode, dice: random.Random) -> None:
    skew_ms = dice.randrange(-MAX_SKEW_MS, MAX_SKEW_MS)

    def set_wrong() -> None:
        victim.skew_ms = skew_ms

    _when_clocks_agree(world, set_wrong)


def _clock_jumps(world: World, fault: Fault, victim: SimNode, dice: random.Random) -> None:
    """The clock of one member jumps to and fro, by milliseconds and by an hour, and then keeps some wrong time."""
    count = 2 + int(fault.amount * 8)
    jumps = [int(dice.choice((-1, 1)) * MAX_SKEW_MS ** dice.random()) for _ in range(count)]
    delays = [dice.uniform(0, fault.duration) for _ in jumps]

    def jump(skew_ms: int) -> None:
        if (
            not world.calm and victim.skew_ms != 0
        ):  # else another fault has set it right, to make another one wrong
            victim.skew_ms = skew_ms

    def begin() -> None:
        victim.skew_ms = 1
        for delay, skew_ms in zip(delays, jumps, strict=True):
            world.at(delay, lambda skew_ms=skew_ms: jump(skew_ms))  # type: ignore[misc]  # mypy cannot infer such a lambda

    _when_clocks_agree(world, begin)


def _change_members(world: World, fault: Fault, victim: SimNode, dice: random.Random) -> None:
    world.life.strike(fault, victim, dice)


_STRIKES: dict[str, Strike] = {
    **NETWORK_FAULTS,
    **DISK_FAULTS,
    "crash": _crash,
    "crash_majority": _crash_majority,
    "crash_all": _crash_all,
    "crash_in_call": _crash_in_call,
    "crash_at": _crash_at,
    "power_loss": _power_loss,
    "held_up": _held_up,
    "pause": _pause,
    "pause_several": _pause,
    "transfer": _transfer,
    "skew": _skew,
    "clock_jumps": _clock_jumps,
    **dict.fromkeys(LIFE_KINDS, _change_members),
}
