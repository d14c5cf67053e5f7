"""The simulator finds nothing in the shipped code, the same run from the same seed, and each planted defect.

A checker that has never been seen to fail proves nothing, so every control takes one guard away and demands that some seed of a
stated budget shows the damage. `DESKRAFT_SEEDS` sets how many fresh seeds are run; they are printed.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from node.messages import AppendEntries
from node.reads import Reads
from tests.simulation.member import SimNode, ViolationError
from tests.simulation.world import Settings, World

FRESH_SEEDS = int(os.environ.get("DESKRAFT_SEEDS", "6"))
CONTROL_SEEDS = 12
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("members", [3, 5])
@pytest.mark.parametrize("seed", [4, 51, 219])
def test_fixed_seeds(seed: int, members: int) -> None:
    """The same worlds in every run, so that a change which breaks them is seen at once."""
    World(seed, Settings(members=members)).run()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", range(FRESH_SEEDS))
def test_fresh_seeds(number: int) -> None:
    """New worlds in every run; a failure prints its seed."""
    seed = secrets.randbits(32)
    world = World(seed, Settings(members=5 if number % 3 == 2 else 3))
    print("seed", seed)
    world.run()
    print(world.summary())


ONE_RUN = """
from tests.simulation.world import Settings, World
world = World(7, Settings(members=5, fault_seconds=12.0, calm_seconds=5.0))
world.run()
print(world.trace_hash, world.network.messages)
print(*(f"{moment!r} {text}" for moment, text in world.trace.lines), sep="\\n")
"""


def test_the_same_seed_gives_the_same_run() -> None:
    """Byte for byte, in other processes, whatever order their sets have: every message and every line enters the hash."""
    runs = [
        subprocess.run(
            [sys.executable, "-c", ONE_RUN],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert runs[0].count(b"\n") > 100
    assert runs[0] == runs[1]


def _without_gate(node: SimNode) -> None:
    node.ungated = True


def _without_stripping(node: SimNode) -> None:
    assert node.core is not None

    def strip(message: AppendEntries) -> tuple[int, int, list[tuple[bytes, int, int]]]:
        return message.previous_index, message.previous_term, message.entries

    node.core.guard._strip = strip  # type: ignore[method-assign]
    engine = node.core.guard.engine

    def acknowledge(peer_id: str, next_index: int, *, reset: bool, success: bool) -> None:
        answer = {"type": "next_node_idx", "next_node_idx": next_index, "reset": reset, "success": success}
        engine.feed(peer_id, answer)

    engine.acknowledge = acknowledge


def _without_read_rounds(node: SimNode) -> None:
    assert node.core is not None
    core = node.core

    def look(self: Reads, *_: object) -> None:
        self.done.extend((token, core.applied_index) for token in self._waiting)
        self._waiting.clear()

    core.reads.look = look.__get__(core.reads)  # type: ignore[method-assign]


def _leader_reads_unproven(node: SimNode) -> None:
    """A leader answers reads from its own commit index without asking anybody (H6)."""
    assert node.core is not None
    core = node.core
    core.leader_reads.ask = lambda on_index, _applied, _now: on_index(  # type: ignore[method-assign]
        core.guard.commit_index if core.guard.leading else -1
    )


CONTROLS: dict[str, tuple[Callable[[SimNode], None], Settings]] = {
    "effects leave before the sync (H5, F7)": (
        _without_gate,
        Settings(faults=("slow_disk", "slow_disk", "crash_all"), fault_every_seconds=0.5),
    ),
    "matching entries are truncated (H4, F2)": (_without_stripping, Settings()),
    "reads without a read index": (_without_read_rounds, Settings()),
    "a deposed leader serves reads (H6, F8)": (_leader_reads_unproven, Settings()),
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", CONTROLS)
def test_a_planted_defect_is_found(name: str) -> None:
    """Some seed of the budget must show it."""
    plant, settings = CONTROLS[name]
    settings.mutate = plant
    for seed in range(CONTROL_SEEDS):
        try:
            World(seed, settings).run()
        except ViolationError as violation:
            print(f"{name}: seed {seed}: {violation}")
            return
    pytest.fail(f"{CONTROL_SEEDS} seeds did not find: {name}")
