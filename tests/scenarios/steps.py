"""The sentences that do something to a cluster: time, messages, links, processes and disks. Clients and operators are in `clients.py`."""

from __future__ import annotations

from collections.abc import Sequence

from node import transfer
from tests.scenarios import words
from tests.scenarios.member import Parcel
from tests.scenarios.scenario import STEPS, Play, ScenarioError
from tests.scenarios.world import STEP_SECONDS

RUN_SECONDS = 15.0  # how long `run until` tries
CAMPAIGN_ROUNDS = 3  # whoever learns of a later term by its first pre-vote needs another one
TIMEOUT_SECONDS = 3.0  # how long a member may take to time out, with all others standing still
_sentence = STEPS.sentence


# A cluster to begin with.


@_sentence("timers fire in the order {order}")
def timers(play: Play, order: Sequence[str]) -> None:
    """Who loses patience first, from now on; without it n1 before n2 and so on."""
    play.world.patience = list(order)


@_sentence("{count:number} members/member")
def members(play: Play, count: int) -> None:
    """New, connected, with empty disks; nobody leads."""
    play.world.found(count)


# Time and elections.


@_sentence("pass {time}")
def let_time_pass(play: Play, time: float) -> None:
    """Everybody looks at the clock; messages stay where they are."""
    play.world.run(time, flowing=False)


@_sentence("run {time}")
def run(play: Play, time: float) -> None:
    """Time passes and messages flow, but for those held back."""
    play.world.run(time)


@_sentence("run until {text}")
def run_until(play: Play, text: str) -> None:
    """Until an expectation holds."""
    if not play.world.run(RUN_SECONDS, lambda: play.expect(text).holds):
        raise ScenarioError(f"not within {RUN_SECONDS:.0f} s; {play.expect(text).actual}")


@_sentence("{member} times out")
def times_out(play: Play, member: str) -> None:
    """Time passes for this member alone until it asks for pre-votes, which then lie on the wire."""
    world = play.world
    for _ in range(round(TIMEOUT_SECONDS / STEP_SECONDS)):
        world.now += STEP_SECONDS
        world.members[member].turn()
        if any(map(words.matches("pre-vote requests", member, None), world.wire + world.held)):
            return
    raise ScenarioError(f"{member} never asked for pre-votes")


@_sentence("{member} campaigns")
def campaigns(play: Play, member: str) -> None:
    """It times out and wins its pre-vote; its vote requests then lie on the wire."""
    world = play.world
    for _ in range(CAMPAIGN_ROUNDS):
        times_out(play, member)
        for kind, a, b in (("pre-vote requests", member, None), ("pre-vote answers", None, member)):
            for parcel in world.take(words.matches(kind, a, b)):
                world.deliver(parcel)
        if any(map(words.matches("vote requests", member, None), world.wire + world.held)):
            return
    raise ScenarioError(f"{member} did not win its pre-vote")


# Messages.


@_sentence("deliver all")
def deliver_all(play: Play) -> None:
    """Everything, and what follows from it, until nothing is on the way at this moment."""
    play.world.flow()


@_sentence("deliver {kind}[ from {a:member}][ to {b:member}][, {times:number} times]")
def deliver(play: Play, kind: str, a: str | None, b: str | None, times: int | None) -> None:
    """Those that lie on the wire now, in order."""
    taken = _taken(play, kind, a, b)
    for parcel in taken:
        for _ in range(times or 1):
            play.world.deliver(parcel)


@_sentence("deliver the newest {kind}[ from {a:member}][ to {b:member}]")
def deliver_newest(play: Play, kind: str, a: str | None, b: str | None) -> None:
    """The last one overtakes the others, which stay on the wire."""
    *others, newest = _taken(play, kind, a, b)
    play.world.wire = others + play.world.wire
    play.world.deliver(newest)


@_sentence("deliver the first {kind}[ from {a:member}][ to {b:member}]")
def deliver_first(play: Play, kind: str, a: str | None, b: str | None) -> None:
    """The first one alone; the others stay on the wire."""
    first, *others = _taken(play, kind, a, b)
    play.world.wire = others + play.world.wire
    play.world.deliver(first)


@_sentence("drop {kind}[ from {a:member}][ to {b:member}]")
def drop(play: Play, kind: str, a: str | None, b: str | None) -> None:
    """They never arrive."""
    _taken(play, kind, a, b)


def _taken(play: Play, kind: str, a: str | None, b: str | None) -> list[Parcel]:
    taken = play.world.take(words.matches(kind, a, b))
    if not taken:
        raise ScenarioError(f"there are no such {kind} on the way")
    return taken


@_sentence("keep a copy of {kind}[ from {a:member}][ to {b:member}]")
def keep_copy(play: Play, kind: str, a: str | None, b: str | None) -> None:
    """For `deliver the copies`: what an old connection or a slow network brings once more."""
    play.copies = [
        parcel for parcel in play.world.wire + play.world.held if words.matches(kind, a, b)(parcel)
    ]
    if not play.copies:
        raise ScenarioError(f"there are no such {kind} on the way")


@_sentence("deliver the copies")
def deliver_copies(play: Play) -> None:
    """Once more, or late."""
    for parcel in play.copies:
        play.world.deliver(parcel)


@_sentence("hold {kind}[ from {a:member}][ to {b:member}]")
def hold(play: Play, kind: str, a: str | None, b: str | None) -> None:
    """Those on the way and those still to come are kept back."""
    rule = words.matches(kind, a, b)
    play.world.holds.append(rule)
    play.world.held += play.world.take(rule)


@_sentence("release {kind}[ from {a:member}][ to {b:member}]")
def release(play: Play, kind: str, a: str | None, b: str | None) -> None:
    """What was held back is on the way again; nothing is held from now on."""
    world = play.world
    rule = words.matches(kind, a, b)
    freed = [parcel for parcel in world.held if rule(parcel)]
    world.held = [parcel for parcel in world.held if not rule(parcel)]
    world.wire += freed
    world.holds.clear()


# Links and processes.


@_sentence("cut off {those:members}")
def cut_off(play: Play, those: Sequence[str]) -> None:
    """Nothing goes between these and the rest, and nobody is told."""
    everybody = play.world.ids
    play.world.cut({(a, b) for a in everybody for b in everybody if (a in those) != (b in those)})


@_sentence("cut {ones:members} from {others:members}")
def cut_between(play: Play, ones: Sequence[str], others: Sequence[str]) -> None:
    """Both ways, silently."""
    play.world.cut({(a, b) for a in ones for b in others} | {(b, a) for a in ones for b in others})


@_sentence("cut the way from {a:member} to {others:members}")
def cut_one_way(play: Play, a: str, others: Sequence[str]) -> None:
    """One way, silently."""
    play.world.cut({(a, b) for b in others})


@_sentence("heal")
def heal(play: Play) -> None:
    """All ways are open; connections that lost something are made anew."""
    play.world.heal()


@_sentence("the links of {member} break")
def break_links(play: Play, member: str) -> None:
    """Everybody notices at once, as when a process is killed."""
    play.world.break_links(member)


@_sentence("the links of {member} are made anew")
def connect(play: Play, member: str) -> None:
    """To all that live."""
    play.world.connect(member)


@_sentence("crash {those:members}")
def crash(play: Play, those: Sequence[str]) -> None:
    """What was not on the disk is lost; connections break, and everybody notices."""
    for member in those:
        play.world.crash(member)


@_sentence("restart {those:members}")
def restart(play: Play, those: Sequence[str]) -> None:
    """With what is on the disk; connections are made anew."""
    for member in those:
        play.world.restart(member)


@_sentence("freeze {member}")
def freeze(play: Play, member: str) -> None:
    """The process stands still; its connections stay, and what arrives waits."""
    play.world.members[member].frozen = True


@_sentence("thaw {member}")
def thaw(play: Play, member: str) -> None:
    """It goes on where it was, and what waited arrives."""
    world = play.world
    world.members[member].frozen = False
    world.wire += [parcel for parcel in world.held if parcel.receiver == member]
    world.held = [parcel for parcel in world.held if parcel.receiver != member]


# Disks.


@_sentence("the disk of {member} waits")
def disk_waits(play: Play, member: str) -> None:
    """From now on nothing gets onto it before `sync`, so nothing that rests on it leaves."""
    play.world.members[member].disk_waits = True


@_sentence("sync {member}")
def sync(play: Play, member: str) -> None:
    """What was decided so far is durable now, and what rested on it leaves."""
    play.world.members[member].sync()


@_sentence("sync {member} and crash it before anything leaves")
def sync_and_crash(play: Play, member: str) -> None:
    """The smallest gap there is: durable, and nobody was told."""
    play.world.members[member].write()
    play.world.crash(member)


@_sentence("the disk of {member} works again")
def disk_works(play: Play, member: str) -> None:
    """What waited becomes durable, and leaves."""
    play.world.members[member].disk_waits = False
    play.world.members[member].turn()


@_sentence("{member} takes a snapshot")
def snapshot(play: Play, member: str) -> None:
    """Of everything applied; the log before it is forgotten."""
    play.world.members[member].snapshot()


@_sentence("snapshots travel in pieces of {size:number} bytes")
def piece_size(play: Play, size: int) -> None:
    """Usually 256 KiB."""
    play.world.patch(transfer, "CHUNK_BYTES", size)
