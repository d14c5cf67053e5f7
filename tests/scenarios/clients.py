"""The sentences of those who use a cluster and those who run it: bookings, reads, handing over, limits, clocks, broken memory."""

from __future__ import annotations

from node import core as core_module
from node import engine
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
from tests.scenarios.steps import RUN_SECONDS, run_until
from tests.statemachine.builders import DAY_MS, HOUR, MONTH_MS, NOW_MS, OPEN_CELL, TODAY, birth

REQUEST_SECONDS = 30.0  # a client's patience
_CELLS_PER_MINUTE = 1 / 5
_sentence = STEPS.sentence


# A cluster to begin with.


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
        commands.append(
            (f"login:{person}", OpenSession(f"s-{person}", person, f"hash-{person}", "", MONTH_MS))
        )
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
    """Of a booking, by the one who made it."""
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
    play.world.patch(core_module, "MAX_ENTRIES_IN_FLIGHT", number)


@_sentence("restart {member} with appends of about {number} bytes")
def restart_small(play: Play, member: str, number: int) -> None:
    """Its messages end with the entry that reaches the limit; a single entry that is larger cannot be sent."""
    usual = engine._APPEND_BYTES
    play.world.patch(engine, "_APPEND_BYTES", number)
    play.world.restart(member)
    play.world.patch(engine, "_APPEND_BYTES", usual)


# Operators, clocks and broken machines.


@_sentence("{member} hands over")
def hands_over(play: Play, member: str) -> None:
    """It asks the most caught-up follower to lead at once."""
    if not _hand_over(play, play.world.core(member)):
        raise ScenarioError(f"{member} found nobody to hand over to")


@_sentence("{member} cannot hand over")
def cannot_hand_over(play: Play, member: str) -> None:
    """Nobody has everything yet."""
    if _hand_over(play, play.world.core(member)):
        raise ScenarioError(f"{member} did hand over")


def _hand_over(play: Play, core: Core) -> bool:
    accepted = core.transfer_leadership()
    play.world.members[core.node_id].turn()
    return accepted


@_sentence("the clock of {member} is {time} {way}")
def skew(play: Play, member: str, time: float, way: str) -> None:
    """Its wall clock; time itself passes alike everywhere."""
    play.world.members[member].skew_ms = round(time * 1000) * (1 if way == "ahead" else -1)


@_sentence("the clock of {member} is set right")
def set_right(play: Play, member: str) -> None:
    """As everybody else's."""
    play.world.members[member].skew_ms = 0


@_sentence("digests are compared at every {number} entries")
def compare_every(play: Play, number: int) -> None:
    """Usually 256."""
    play.world.patch(core_module, "CHECKPOINT_EVERY", number)


@_sentence("a bit of the state of {member} flips")
def flip(play: Play, member: str) -> None:
    """Memory is not what was written to it; nothing notices but the digests."""
    play.world.check_digests = False
    state = play.world.core(member).state
    bit = 1 << play.world.ids.index(member) % 8
    state.digest = bytes([state.digest[0] ^ bit]) + state.digest[1:]
