"""Faults do what they say: damage is damage that a member finds, clocks are wrong by what was asked for, calls fail.

What this machine does not allow is skipped, loudly.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from node.disk import RealDisk
from node.membership import Configuration, Placed
from node.segments import CorruptJournalError, SegmentedLog, scan_journal
from node.snapshots import CorruptSnapshotError, SnapshotHead, SnapshotWriter, load
from statemachine.state import State
from tests.chaos import faults
from tests.chaos.faults import damage, stage
from tests.chaos.faults.disks import fill

SEGMENT_BYTES = 1 << 18
WORLDS = 60


def journal(folder: Path, rng: random.Random) -> list[bytes]:
    """A journal of some frames; their payloads."""
    disk = RealDisk(folder)
    log = SegmentedLog(disk, SEGMENT_BYTES)
    payloads = [rng.randbytes(rng.choice((1, 40, 600, 3000))) for _ in range(rng.randint(1, 12))]
    for number, payload in enumerate(payloads):
        log.append([payload], number, b"")
    log.close()
    disk.close()
    return payloads


def test_a_torn_tail_is_erased_and_nothing_else_goes(tmp_path: Path) -> None:
    """Whichever sectors of the unfinished write have arrived."""
    for seed in range(WORLDS):
        rng, folder = random.Random(seed), tmp_path / str(seed)
        payloads = journal(folder, rng)
        torn = damage.tear(folder, rng)
        disk = RealDisk(folder)
        log = SegmentedLog(disk, SEGMENT_BYTES)
        assert [payload for _, payload in log.recover()] == payloads, seed
        assert bool(log.torn_bytes) == torn, seed
        log.close()
        disk.close()


def test_a_damaged_journal_is_never_read(tmp_path: Path) -> None:
    """Every bit and every cut is found, and said in the words that operators look for."""
    for seed in range(WORLDS):
        rng, folder = random.Random(seed), tmp_path / str(seed)
        journal(folder, rng)
        done = damage.damage_journal(folder, rng)
        disk = RealDisk(folder)
        print(seed, done)
        with pytest.raises(CorruptJournalError, match=damage.JOURNAL):
            scan_journal(disk, SEGMENT_BYTES)
        disk.close()


def test_a_damaged_snapshot_is_never_read(tmp_path: Path) -> None:
    """As above."""
    for seed in range(WORLDS):
        rng, folder = random.Random(seed), tmp_path / str(seed)
        disk = RealDisk(folder)
        head = SnapshotHead((b"a", 6, 1), (b"b", 7, 1), Placed(0, Configuration("", ())))
        writer = SnapshotWriter(disk, head, State().freeze())
        while not writer.step():
            pass
        name = writer.publish()
        assert load(disk, name)[0] == head
        done = damage.damage_snapshot(folder, rng)
        print(seed, done)
        with pytest.raises(CorruptSnapshotError, match=damage.SNAPSHOT):
            load(disk, name)
        disk.close()


LOOK_AT_THE_CLOCK = """
import sys, time
for _ in sys.stdin:
    print(time.time_ns(), time.monotonic_ns(), flush=True)
"""


def test_a_wall_clock_jumps_and_the_monotonic_one_does_not(tmp_path: Path) -> None:
    """While the process runs, ahead and back."""
    if why := stage.missing_clocks():
        pytest.skip(why)
    with stage.staged(tmp_path, ["n1"], clocks=True, disks=False, files=False) as staged:
        environment = {**os.environ, **staged.environment_of("n1")}
        with subprocess.Popen(
            [sys.executable, "-c", LOOK_AT_THE_CLOCK], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdin is not None and process.stdout is not None
            for ahead in (0.0, 3600.0, -86_400.0, 5.5, 0.0):
                staged.set_clock("n1", ahead)
                before = time.time(), time.monotonic()
                process.stdin.write("?\n")
                process.stdin.flush()
                wall, monotonic = (int(word) / 1e9 for word in process.stdout.readline().split())
                after = time.time(), time.monotonic()
                assert before[0] + ahead - 0.01 <= wall <= after[0] + ahead + 0.01, ahead
                assert before[1] <= monotonic <= after[1], ahead
            process.stdin.close()


WRITE_WHEN_ASKED = """
import os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
for _ in sys.stdin:
    try:
        print(os.pwritev(file, [b"x"], 0, os.RWF_DSYNC), flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"""


async def test_writes_of_a_running_process_fail_and_later_do_not(tmp_path: Path) -> None:
    """By strace, which leaves the process as it was."""
    if why := stage.missing_tracing():
        pytest.skip(why)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITE_WHEN_ASKED, str(tmp_path / "file"),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None

    async def written() -> str:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"?\n")
        return (await process.stdout.readline()).decode().strip()

    assert await written() == "1"
    async with stage.traced(process.pid, "pwritev2", "error=EIO:when=2"):
        assert [await written() for _ in range(3)] == ["1", "Input/output error", "1"]
    assert await written() == "1"
    process.stdin.close()
    assert await process.wait() == 0


def test_a_full_disk_is_full(tmp_path: Path) -> None:
    """The kernel says so; and when what filled it is gone, there is room again."""
    if why := stage.missing_disks():
        pytest.skip(why)
    with stage.staged(tmp_path, ["n1"], clocks=False, disks=True, files=False) as staged:
        folder = staged.disks["n1"]
        filler = fill(folder, 0)
        with pytest.raises(OSError, match="No space left"):
            (folder / "more").write_bytes(bytes(1 << 16))
        filler.unlink()
        (folder / "more").write_bytes(bytes(1 << 16))
    assert not staged.disks["n1"].joinpath("more").exists(), "it is mounted still"


def test_what_a_machine_does_not_allow_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for each fault that is left out; the others stay."""
    nothing = faults.Kind(faults.FAULTS["kill"].strike, missing=lambda: "there is no such thing")
    monkeypatch.setitem(faults.FAULTS, "skew", nothing)
    assert faults.possible(("kill", "skew", "pause")) == ("kill", "pause")
    assert re.fullmatch(r"without skew: there is no such thing\n", capsys.readouterr().out)


def test_faults_are_named_one_by_one_or_in_groups() -> None:
    """As on the command line; what there is not is said, with what there is."""
    assert faults.named("") == tuple(faults.FAULTS)
    assert faults.named("kill, pause,partition,isolate") == (
        "kill",
        "pause",
        "isolate",
        "halves",
        "bridge",
        "one-way",
    )
    assert {name for names in faults.GROUPS.values() for name in names} <= set(faults.FAULTS)
    with pytest.raises(ValueError, match=r"no such fault: flood; there are kill, .* the groups partition, "):
        faults.named("flood")
