"""Defects of our own that were found and mended (docs/defects-found.md), brought back to see that they would be found again."""

from __future__ import annotations

import contextlib
import random

import pytest

from node import messages as m
from node.core import Core
from node.engine import Engine
from node.guard import Guard
from node.segments import SegmentedLog
from tests.controls.registry import DamageError
from tests.node.harness import Table
from tests.simulation.disk import SimDisk, SimFile, SimulatedCrashError

SEGMENT_BYTES = 8 << 9
TRIALS = 60
CALLS = 40


def _journal_life(disk: SimDisk) -> None:
    """Several segments, old ones dropped; dies where it is told to."""
    log = SegmentedLog(disk, SEGMENT_BYTES)
    log.recover()
    for number in range(12):
        log.append([b"%04d" % number + b"x" * 900], number + 1, b"")
    log.drop_through(10)


def _payloads(disk: SimDisk) -> list[bytes]:
    return [payload for _, payload in SegmentedLog(disk, SEGMENT_BYTES).recover()]


def _crashed(trial: int, *, machine: bool) -> SimDisk:
    disk = SimDisk(random.Random(trial))
    disk.crash_in = trial % CALLS
    with contextlib.suppress(SimulatedCrashError):
        _journal_life(disk)
    disk.crash(machine)
    return disk


def old_segments_go_one_by_one(guarded: bool, patch: pytest.MonkeyPatch) -> None:
    """Power fails while old segments are removed; those that are left must follow each other."""
    if not guarded:

        def drop_oldest(log: SegmentedLog) -> None:
            log._disk.remove(log._segments.pop(0).name)

        patch.setattr(SegmentedLog, "_drop_oldest", drop_oldest)
    for trial in range(TRIALS):
        disk = SimDisk(random.Random(trial))
        _journal_life(disk)  # its last removals are the last calls that nothing syncs
        disk.crash(machine=True)
        _payloads(disk)  # a gap is corruption


def what_recovery_read_stays(guarded: bool, patch: pytest.MonkeyPatch) -> None:
    """The process dies, and what it wrote is in the page cache; it comes back, relies on that, and power fails."""
    recover = SegmentedLog.recover

    def relying(log: SegmentedLog) -> list[tuple[int, bytes]]:
        with pytest.MonkeyPatch.context() as unsynced:
            unsynced.setattr(SimFile, "sync", lambda _file: None)
            unsynced.setattr(SimDisk, "sync_directory", lambda _disk: None)
            return recover(log)

    if not guarded:
        patch.setattr(SegmentedLog, "recover", relying)
    for trial in range(TRIALS):
        disk = _crashed(trial, machine=False)
        found = _payloads(disk)
        disk.crash(machine=True)
        again = _payloads(disk)
        if again != found:
            raise DamageError(f"{len(found)} frames were relied upon, {len(again)} are left")


def who_steps_down_is_quiet(guarded: bool, patch: pytest.MonkeyPatch) -> None:
    """A leader that was cut off comes back and is told of the later term; the new leader must stay, in its term."""
    if not guarded:
        state_changed = Guard._state_changed

        def in_sight(guard: Guard, old: int, new: int) -> None:
            with pytest.MonkeyPatch.context() as seen:
                seen.setattr(Engine, "hide", lambda _engine, _peer_id: None)
                state_changed(guard, old, new)

        patch.setattr(Guard, "_state_changed", in_sight)
    table = Table()
    old = table.born()
    table.run(3.0)  # the library's own timer, which a leader does not wind up, runs out
    table.isolate(old.node_id)
    table.run(3.0, lambda: _new_leader(table, old) is not None)
    new = _new_leader(table, old)
    assert new is not None
    assert old.guard.leading, "the scenario: it has not noticed yet"
    term = new.guard.term
    table.heal()
    table.deliver((new.node_id, old.node_id, m.TermNotice(term)))
    table.run(1.0)
    if not new.guard.leading or new.guard.term != term:
        raise DamageError(f"the leader of term {term} was toppled by the one before it")


def _new_leader(table: Table, old: Core) -> Core | None:
    leader = table.leader()
    return leader if leader is not old and leader is not None and leader.own_term_applied() else None
