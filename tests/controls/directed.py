"""Scenarios of chosen steps for defects that chance rarely finds, or that need something the simulator does not do.

Each is called with `guarded` True, and must be quiet, and False, and must raise: with the guard taken away the damage shows.
Others of this kind live beside the code that they test (`Elsewhere` in the table).
"""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pysyncobj.syncobj as library
import pytest

from node import core as core_module
from node import digests as digests_module
from node import guard as guard_module
from node import messages as m
from node import snapshots, storage
from node.core import Core
from node.disk import Disk, StorageError
from node.journal import RaftJournal
from node.membership import Placed, birth
from node.segments import SegmentedLog
from node.snapshots import SnapshotHead, SnapshotReceiver, SnapshotWriter
from statemachine import state as state_module
from statemachine import users
from statemachine.commands import KEEP_CLIENT_KEY_MS, CancelBooking, OpenSession, encode_batch
from statemachine.state import State
from tests.controls import worlds
from tests.controls.registry import DamageError
from tests.controls.rules import ClockRunsBack, SetIteration
from tests.node.harness import EPOCH_MS, Table, register
from tests.simulation.disk import SimDisk
from tests.statemachine.builders import MONTH_MS, World

# Replacing methods of living objects is what these scenarios are about; the checker of types cannot follow it.
# mypy: disable-error-code="method-assign"

SEGMENT_BYTES = 32 << 10
STORM_MESSAGES = 1_000  # in one moment
STOCK_FALLBACK_SECONDS = 30.0
STOCK_BATCH_BYTES = 1 << 16


def demand(promise: bool, damage: str) -> None:
    """Raise when a promise is broken."""
    if not promise:
        raise DamageError(damage)


# H8: commands.


def a_lost_command_ends(guarded: bool, _patch: pytest.MonkeyPatch) -> None:
    """The forwarded command and the link are lost at once; whoever asked must hear something within the deadline."""
    table = Table()
    leader = table.born()
    one = table.followers(leader)[0]
    requests = table.core(one).requests
    if not guarded:
        requests._forget_attempts = lambda: None
        requests.expire = lambda now: None
    table.hold = lambda _a, _b, message: isinstance(message, m.Forward)
    seat = table.seats[one]
    seat.execute(50, register("ann"), 2.0)
    table.run(0.1)
    table.hold = lambda _a, _b, _message: False
    table.crash(leader.node_id)
    table.run(5.0)
    demand(50 in seat.answers or 50 in seat.failures, "the caller never hears of its command")


# H9: pickle.

struck: list[str] = []


def strike(name: str) -> tuple[int, tuple[bytes]]:
    """What a hostile entry would have run. It goes on to pass for (method, arguments), as a clever one would."""
    struck.append(name)
    return 0, (b"",)


class _Malice:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return strike, ("struck",)


class _Pickle:
    """The library's own way: the payload of an entry is a pickle of (method, arguments)."""

    @staticmethod
    def loads(data: bytes) -> Any:
        return pickle.loads(data)

    dumps = staticmethod(pickle.dumps)


def a_hostile_entry_runs_nothing(guarded: bool, patch: pytest.MonkeyPatch) -> None:
    """A member that was taken over sends entries that are pickles, of the two kinds that the library would unpickle."""
    table = Table()
    leader = table.born()
    one = table.followers(leader)[0]
    if not guarded:
        patch.setattr(library, "pickle", _Pickle)
        patch.setattr(guard_module, "_check_entries", lambda _message: None)
    struck.clear()
    core = table.core(one)
    index, term = core.journal.last_index, core.journal.last_term
    bomb = b"\x00" + pickle.dumps(_Malice())
    message = m.AppendEntries(term, 10_000, index + 1, index, term, [(bomb, index + 1, term)])
    core.receive(leader.node_id, message)
    core.step()
    demand(not struck, "an entry ran code of its sender's choice")


# H10: elections.


def a_cut_off_leader_gives_up(guarded: bool, _patch: pytest.MonkeyPatch) -> None:
    """CheckQuorum: a leader that hears from too few knows within two seconds that it leads no more."""
    table = Table(5)
    leader = table.born()
    if not guarded:
        leader.guard.engine._SyncObj__conf.leaderFallbackTimeout = STOCK_FALLBACK_SECONDS
    table.isolate(leader.node_id, table.followers(leader)[0])
    table.run(2.0)
    demand(leader.role != "leader", "a second leader, two seconds after it lost its majority")


# H11, H18: dump and journal.

IDENTITY = storage.Identity(
    2,
    "desks",
    "n1",
    "1" * 32,
    Placed(0, birth({id_: (f"{id_}:7000", f"{id_}:8000") for id_ in ("n1", "n2", "n3")})),
)


def _filled(disk: Disk, last: int) -> storage.Opened:
    opened = storage.open_storage(disk, IDENTITY, SEGMENT_BYTES)
    opened.journal.setCurrentTerm(1, "n1")
    for index in range(2, last + 1):
        opened.journal.add(b"\x00" + f"command {index} ".encode().ljust(200, b"."), index, 1)
        for payload, max_index in opened.journal.take_frames():
            opened.log.append([payload], max_index, opened.journal.preamble())
    return opened


def _snapshot(disk: Disk, opened: storage.Opened, index: int) -> bytes:
    world = World()
    while world.state.index < index:
        world.batch()
    entries = opened.journal
    head = SnapshotHead(entries.entry_at(index - 1), entries.entry_at(index), IDENTITY.birth)
    writer = SnapshotWriter(disk, head, world.state.freeze())
    while not writer.step():
        pass
    return disk.read(writer.publish())


def a_damaged_install_is_no_success(guarded: bool, patch: pytest.MonkeyPatch) -> None:
    """A snapshot is damaged on its way; whoever got it must not take it for the state, nor say that it has it."""
    source = SimDisk(random.Random(1))
    content = bytearray(_snapshot(source, _filled(source, 60), 50))
    content[len(content) // 2] ^= 1
    name = snapshots.snapshot_name(50)
    receiver = SnapshotReceiver(SimDisk(random.Random(2)), name, len(content))
    receiver.write(0, bytes(content))
    if not guarded:
        load = snapshots.load
        head, _ = load(source, name)

        def swallowed(disk: Disk, name: str, suffix: str = "") -> tuple[SnapshotHead, State]:
            """The library's bare `except` around loading: what is left is less, and the answer is a success."""
            try:
                return load(disk, name, suffix)
            except snapshots.CorruptSnapshotError:
                return head, State()

        patch.setattr(snapshots, "load", swallowed)
    try:
        _, state = receiver.publish()
    except snapshots.CorruptSnapshotError:
        return
    demand(bool(state.users), "a damaged snapshot was installed as an empty state, and acknowledged")


def a_journal_without_its_snapshot_stops(guarded: bool, _patch: pytest.MonkeyPatch) -> None:
    """The journal has been trimmed and there is no dump file: what was before it must not be taken for nothing."""
    disk = SimDisk(random.Random(1))
    opened = _filled(disk, 300)
    opened.log.drop_through(200)
    if guarded:
        try:
            opened = storage.open_storage(disk, IDENTITY, SEGMENT_BYTES)
        except StorageError:
            return
    else:
        log = SegmentedLog(disk, SEGMENT_BYTES)
        journal, _ = RaftJournal.replay([payload for _, payload in log.recover()])
        opened = opened._replace(journal=journal, state=State())
    held = opened.journal.last_index - opened.journal.first_index + 1 + opened.state.index
    demand(held >= 300, f"started with {held} of 300 entries")


# H12: large entries.


def no_entry_is_cut_in_pieces(guarded: bool, _patch: pytest.MonkeyPatch) -> None:
    """An entry over the library's default batch size, which its chunked path would break."""
    table = Table()
    leader = table.born()
    if not guarded:
        for core in table.cores():
            core.guard.engine._SyncObj__conf.appendEntriesBatchSizeBytes = STOCK_BATCH_BYTES
    # Without the batch limit this runs into the assertion on the path itself: pieces never leave.
    table.execute(leader.node_id, 50, register("ann", "x" * STOCK_BATCH_BYTES))
    table.run(1.0)
    demand(table.agreed(), "a large entry does not reach everybody")


# H15: what nobody has compared.


def a_tail_nobody_compared_stays_uncommitted(guarded: bool, _patch: pytest.MonkeyPatch) -> None:
    """A follower holds ten entries that no majority has; the next leader's first message reaches only the third of them.

    The library sends all that it has in one message, so its commit index seldom lies beyond it, and random worlds do not show this.
    A message that ends at the limit of 4 MiB is such a one.
    """
    table = Table()
    seat = table.seats["n2"]
    if not guarded:
        worlds.commit_index_believed_whole(seat)  # type: ignore[arg-type]  # it only needs the core of it
    stale = [(b"\x00" + encode_batch(0, []), index, 1) for index in range(2, 12)]
    core = seat.alive
    core.receive("n1", m.AppendEntries(1, 1, 1, 1, 0, stale))
    core.receive("n3", m.AppendEntries(3, 1, 11, 1, 0, stale[:3]))
    demand(core.guard.commit_index <= 4, f"committed through {core.guard.commit_index}, compared through 4")


# H17: a member that needs a snapshot.


def a_lagging_member_costs_little(guarded: bool, _patch: pytest.MonkeyPatch) -> None:
    """A follower is behind the start of the leader's log while no snapshot is ready: the leader must not talk without pause."""
    table = Table()
    leader = table.born()
    away, other = table.followers(leader)
    table.crash(away)
    for number in range(20):
        table.execute(other, 100 + number, register(f"user{number}"))
    leader.journal.trim_to(leader.journal.last_index - 2)
    if not guarded:
        _say_not_yet(table, leader)
    table.restart(away)
    table.run(1.0)


def _say_not_yet(table: Table, leader: Core) -> None:
    """The stock leader: "not yet" messages for as long as the library's own clock says that it may."""
    guard = leader.guard
    outgoing = guard._outgoing_append
    said: list[float] = []

    def not_yet(peer_id: str, message: dict[str, Any]) -> None:
        if "serialized" not in message:
            outgoing(peer_id, message)
            return
        said.append(table.now)
        demand(said.count(table.now) < STORM_MESSAGES, f"{STORM_MESSAGES} messages in one moment")

    guard._outgoing_append = not_yet


# Invariant 1: sets.

_DIGEST = """
from tests.controls.directed import digest_of_a_crowd
print(digest_of_a_crowd({broken}))
"""


def digest_of_a_crowd(broken: bool) -> str:
    """The digest after many people have asked for one seat."""
    world = World(SetIteration() if broken else State())
    for number in range(20):
        world.book(f"b{number}", "A1", user="ann" if number % 2 else "bob")
    return world.state.digest.hex()


def members_walk_in_one_order(guarded: bool, _patch: pytest.MonkeyPatch) -> None:
    """Two processes whose hashes of text differ, as those of any two members do, carry out one log."""
    digests = set()
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        program = _DIGEST.format(broken=not guarded)
        command = [sys.executable, "-c", program]
        root = Path(__file__).parents[2]
        done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True)
        digests.add(done.stdout)
    demand(len(digests) == 1, "two members with one log have two digests")


# Invariant 6: limits.

LIMIT = 3
_NO_LIMIT = 10**9


def keys_are_limited(guarded: bool, patch: pytest.MonkeyPatch) -> None:
    """The keys that one person can make the cluster remember."""
    patch.setattr(state_module, "MAX_KEYS_PER_SCOPE", LIMIT if guarded else _NO_LIMIT)
    world = World()
    for number in range(LIMIT + 1):
        command = CancelBooking("none")
        world.do(command, scope="ann", session="s-ann", key=f"k{number}", keep_ms=KEEP_CLIENT_KEY_MS)
    demand(len(world.state.keys_by_scope["ann"]) <= LIMIT, f"more than {LIMIT} keys of one person are kept")


def sessions_are_limited(guarded: bool, patch: pytest.MonkeyPatch) -> None:
    """The sessions that one person can have open."""
    patch.setattr(users, "MAX_SESSIONS_PER_USER", LIMIT if guarded else _NO_LIMIT)
    world = World()
    for number in range(LIMIT + 1):
        world.do(OpenSession(f"t{number}", "ann", "hash-ann", "", MONTH_MS), scope="login:ann")
    demand(
        len(world.state.sessions_by_user["ann"]) <= LIMIT, f"more than {LIMIT} sessions of one person live"
    )


def users_are_limited(guarded: bool, patch: pytest.MonkeyPatch) -> None:
    """How many people can register."""
    patch.setattr(users, "MAX_USERS", LIMIT if guarded else _NO_LIMIT)
    world = World()
    for number in range(LIMIT + 1):
        world.do(register(f"user{number}"), scope=f"login:user{number}")
    demand(len(world.state.users) <= LIMIT, f"more than {LIMIT} people are registered")


# Invariant 7: digests.


def a_member_gone_astray_stops(guarded: bool, patch: pytest.MonkeyPatch) -> None:
    """One member's state is not the majority's: it must not go on answering."""
    for module in (core_module, digests_module):
        patch.setattr(module, "CHECKPOINT_EVERY", 8)
    table = Table()
    table.born("n1")
    if not guarded:
        for core in table.cores():
            core.digests._compare = lambda: None
    table.core("n3").state.digest = bytes(16)
    for number in range(8):
        table.seats["n1"].execute(200 + number, register(f"user{number}"), 5.0)
        table.run(0.3)
    table.run(2.0)
    demand(table.seats["n3"].core is None, "a member with another state than the majority's goes on")


def log_time_never_runs_back(guarded: bool, patch: pytest.MonkeyPatch) -> None:
    """A leader whose clock is behind that of the one before stamps an entry."""
    state = State() if guarded else ClockRunsBack()
    state.apply(2, encode_batch(EPOCH_MS + 60_000, []))
    state.apply(3, encode_batch(EPOCH_MS, []))
    demand(state.now_ms == EPOCH_MS + 60_000, "log time ran back")
