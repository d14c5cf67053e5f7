"""The sentences that do something: time, messages, links, disks, clients, operators."""

from __future__ import annotations

from collections.abc import Sequence

from node.core import Core
from statemachine.commands import (
    BookSeat,
    CancelBooking,
    Command,
    DayGrid,
    Envelope,
    OpenSession,
    RegisterUser,
    encode_envelope,
)
from statemachine.records import CELLS_PER_DAY
from tests.scenarios import words
from tests.scenarios.scenario import STEPS, Play, ScenarioError
from tests.scenarios.world import REQUEST_SECONDS, STEP_SECONDS, Parcel
from tests.statemachine.builders import DAY_MS, HOUR, MONTH_MS, NOW_MS, OPEN_CELL, TODAY, birth

RUN_SECONDS = 15.0  # how long `run until` tries
TIMEOUT_SECONDS = 3.0  # how long a member may take to time out, with all others standing still
_CELLS_PER_MINUTE = 1 / 5
_sentence = STEPS.sentence


# A cluster to begin with.


@_sentence("timers fire in the order {order}")
def timers(play: Play, order: Sequence[str]) -> None:
    play.world.patience = list(order)


@_sentence("{count:number} members/member")
def members(play: Play, count: int) -> None:
    play.world.found(count)


@_sentence("a running cluster of {count:number}, led by {leader:member}")
def running_cluster(play: Play, count: int, leader: str) -> None:
    """Elected, born (a space with seats A1 to A6), ann and bob logged in, everything committed everywhere."""
    world = play.world
    names = [f"n{number + 1}" for number in range(count)]
    world.patience = [leader, *(name for name in names if name != leader)]
    world.found(count)
    run_until(play, f"{leader} leads")
    run_until(play, "all agree")
    commands: list[tuple[str, Command]] = [("x", birth())]
    for person in ("ann", "bob"):
        commands.append((f"login:{person}", RegisterUser(person, person, person, f"hash-{person}")))
        commands.append((f"login:{person}", OpenSession(f"s-{person}", person, f"hash-{person}", "", MONTH_MS)))
    tokens = [
        _submit(play, leader, scope, f"{words.KEY}setup {number}", "", command)
        for number, (scope, command) in enumerate(commands)
    ]
    world.members[leader].turn()
    if not world.run(RUN_SECONDS, lambda: all(token in world.answers for token in tokens)):
        raise ScenarioError("the cluster was not born")
    run_until(play, "all agree")
    world.run(0.3)
    world.trace.clear()


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
    times_out(play, member)
    for kind, a, b in (("pre-vote requests", member, None), ("pre-vote answers", None, member)):
        for parcel in world.take(words.matches(kind, a, b)):
            world.deliver(parcel)
    if not any(map(words.matches("vote requests", member, None), world.wire + world.held)):
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


@_sentence("drop {kind}[ from {a:member}][ to {b:member}]")
def drop(play: Play, kind: str, a: str | None, b: str | None) -> None:
    _taken(play, kind, a, b)


def _taken(play: Play, kind: str, a: str | None, b: str | None) -> list[Parcel]:
    taken = play.world.take(words.matches(kind, a, b))
    if not taken:
        raise ScenarioError(f"there are no such {kind} on the way")
    return taken


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
    play.world.cut({(a, b) for a, b in play.world.open if (a in those) != (b in those)})


@_sentence("cut {ones:members} from {others:members}")
def cut_between(play: Play, ones: Sequence[str], others: Sequence[str]) -> None:
    play.world.cut({(a, b) for a in ones for b in others} | {(b, a) for a in ones for b in others})


@_sentence("cut the way from {a:member} to {others:members}")
def cut_one_way(play: Play, a: str, others: Sequence[str]) -> None:
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
    play.world.connect(member)


@_sentence("crash {those:members}")
def crash(play: Play, those: Sequence[str]) -> None:
    """What was not on the disk is lost; connections break, and everybody notices."""
    for member in those:
        play.world.crash(member)


@_sentence("restart {those:members}")
def restart(play: Play, those: Sequence[str]) -> None:
    for member in those:
        play.world.restart(member)


@_sentence("freeze {member}")
def freeze(play: Play, member: str) -> None:
    """The process stands still; its connections stay, and what arrives waits."""
    play.world.members[member].frozen = True


@_sentence("thaw {member}")
def thaw(play: Play, member: str) -> None:
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
    play.world.members[member].write()
    play.world.members[member].release()


@_sentence("sync {member} and crash it before anything leaves")
def sync_and_crash(play: Play, member: str) -> None:
    play.world.members[member].write()
    play.world.crash(member)


@_sentence("the disk of {member} works again")
def disk_works(play: Play, member: str) -> None:
    play.world.members[member].disk_waits = False
    play.world.members[member].turn()


@_sentence("{member} takes a snapshot")
def snapshot(play: Play, member: str) -> None:
    """Of everything applied; the log before it is forgotten."""
    play.world.members[member].snapshot()


@_sentence("snapshots travel in pieces of {size:number} bytes")
def piece_size(play: Play, size: int) -> None:
    play.world.cut_snapshots_into(size)


# Clients.


def _submit(play: Play, node_id: str, scope: str, key: str, session: str, command: Command) -> int:
    play.submitted += 1
    envelope = Envelope(play.submitted, scope, key, b"", DAY_MS, NOW_MS + DAY_MS, session, command)
    if not play.world.core(node_id).execute(play.submitted, encode_envelope(envelope), REQUEST_SECONDS):
        raise ScenarioError(f"{node_id} takes no more commands")
    return play.submitted


def _receive(play: Play, member: str, request: str, person: str, command: Command, key: str) -> None:
    if request in play.requests:
        raise ScenarioError(f"there is a {request} already")
    play.envelopes[request] = (person, command, key)
    play.requests[request] = _submit(play, member, person, key, f"s-{person}", command)
    play.world.members[member].turn()


@_sentence("{member} receives book {seat} {clock} as {request}[ by {person}]")
def book(play: Play, member: str, seat: str, clock: str, request: str, person: str | None) -> None:
    """A seat for an hour of today (UTC), by ann unless it says bob. The booking gets the name of the request."""
    hours, minutes = map(int, clock.split(":"))
    start = TODAY * CELLS_PER_DAY + hours * HOUR + round(minutes * _CELLS_PER_MINUTE)
    grid = DayGrid(play.world.core(member).state.spaces["hq"].revision, HOUR, ((OPEN_CELL, 14),))
    command = BookSeat(request, "hq", seat, start, 1, grid)
    _receive(play, member, request, person or "ann", command, words.KEY + request)


@_sentence("{member} receives cancel {booking:request} as {request}")
def cancel(play: Play, member: str, booking: str, request: str) -> None:
    _receive(play, member, request, play.envelopes[booking][0], CancelBooking(booking), words.KEY + request)


@_sentence("{member} receives {first:request} again as {request}")
def again(play: Play, member: str, first: str, request: str) -> None:
    """The same command with the same idempotency key, as a client sends it that got no answer."""
    _receive(play, member, request, *play.envelopes[first])


@_sentence("{member} receives {count:number} registrations from {first:request} on")
def registrations(play: Play, member: str, count: int, first: str) -> None:
    """Many small commands: accounts named as their requests."""
    for number in range(count):
        name = f"c{int(first[1:]) + number}"
        command = RegisterUser(name, name, name, f"hash-{name}")
        _receive(play, member, name, "ann", command, words.KEY + name)


@_sentence("{member} is asked to read as {read}")
def read(play: Play, member: str, read: str) -> None:
    """A linearizable read; what it saw is kept when it is answered."""
    play.reads[read] = len(play.reads) + 1
    play.world.core(member).read(play.reads[read])
    play.world.members[member].turn()


@_sentence("a leader may have {number} entries in flight")
def in_flight(play: Play, number: int) -> None:
    """Usually two; what comes meanwhile shares the next entry."""
    play.world.hurry("MAX_ENTRIES_IN_FLIGHT", number)


# Operators, clocks and broken machines.


@_sentence("{member} hands over")
def hands_over(play: Play, member: str) -> None:
    if not _hand_over(play, play.world.core(member)):
        raise ScenarioError(f"{member} found nobody to hand over to")


@_sentence("{member} cannot hand over")
def cannot_hand_over(play: Play, member: str) -> None:
    if _hand_over(play, play.world.core(member)):
        raise ScenarioError(f"{member} did hand over")


def _hand_over(play: Play, core: Core) -> bool:
    accepted = core.transfer_leadership()
    play.world.members[core.node_id].turn()
    return accepted


@_sentence("the clock of {member} is {time} {way}")
def skew(play: Play, member: str, time: float, way: str) -> None:
    play.world.members[member].skew_ms = round(time * 1000) * (1 if way == "ahead" else -1)


@_sentence("the clock of {member} is set right")
def set_right(play: Play, member: str) -> None:
    play.world.members[member].skew_ms = 0


@_sentence("digests are compared at every {number} entries")
def compare_every(play: Play, number: int) -> None:
    play.world.hurry("CHECKPOINT_EVERY", number)


@_sentence("a bit of the state of {member} flips")
def flip(play: Play, member: str) -> None:
    """Memory is not what was written to it; nothing notices but the digests."""
    play.world.check_digests = False
    state = play.world.core(member).state
    state.digest = bytes([state.digest[0] ^ 1]) + state.digest[1:]

