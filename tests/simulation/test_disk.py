"""The simulated disk loses what real ones lose, and dies at every place of the shipped code that has a name."""

from __future__ import annotations

import contextlib
import errno
import random
from collections.abc import Callable

import pytest

from node.segments import SECTOR_BYTES, SegmentedLog
from tests.simulation.disk import SimDisk, SimulatedCrashError
from tests.simulation.failpoints import NOT_CRASHES, PHASES, RECEIVERS, Failpoints, annotated_names, points

LEAST_POINTS = 40
SEGMENT_BYTES = 8 * SECTOR_BYTES
SEGMENT_POINTS = [name for name in points() if name.startswith("segments.")]


# The names.


def test_there_are_enough_points_and_all_kinds_of_calls() -> None:
    """Crashes alone; refusals of the disk (short writes, read errors) come on top."""
    crashes = [name for name in points() if name.rpartition("/")[2] not in NOT_CRASHES]
    assert len(crashes) >= LEAST_POINTS
    assert {name.rpartition(":")[2].partition("/")[0] for name in points()} == set(PHASES)


def test_the_scan_knows_every_disk_and_file_by_its_name() -> None:
    """A variable of another name would hide its calls from the scan."""
    assert annotated_names() <= RECEIVERS


def test_what_is_passed_is_what_the_scan_lists() -> None:
    """The names made at run time and those read from the source are the same."""
    disk = SimDisk(random.Random(1))
    _use_journal(disk, [])
    passed = set(disk.failpoints.passed)
    assert passed
    assert passed <= set(points())


def test_an_unknown_point_is_refused() -> None:
    """A name that has changed with the code must not be armed in silence."""
    with pytest.raises(ValueError):
        Failpoints().arm("segments.SegmentedLog._rotate:rename/during")


def test_points_not_hit_yet_are_chosen_first() -> None:
    """Until all have been hit, none twice."""
    failpoints, rng = Failpoints(), random.Random(1)
    last = points()[7]
    failpoints.crashed.update(name for name in points() if name != last)
    assert failpoints.choose(rng) == last
    assert failpoints.choose(rng, frozenset([last])) in points()


def test_the_point_strikes_at_the_nth_pass_and_on_its_own_disk() -> None:
    """Once; the counter says so."""
    failpoints = Failpoints()
    disks = [SimDisk(random.Random(1), failpoints) for _ in range(2)]
    logs = [SegmentedLog(disk, SEGMENT_BYTES) for disk in disks]
    point = "segments.SegmentedLog._write:write_durably/after"
    failpoints.arm(point, nth=2, owner=disks[1])
    for log in logs:
        log.append([b"one"], 0, b"")
    logs[0].append([b"two"], 0, b"")
    with pytest.raises(SimulatedCrashError, match=point):
        logs[1].append([b"two"], 0, b"")
    assert failpoints.crashed == {point: 1}
    assert failpoints.armed == []
    with pytest.raises(SimulatedCrashError):
        logs[1].append([b"three"], 0, b"")  # a dead process does nothing more


# A crash at every point of the journal.


def _use_journal(disk: SimDisk, acknowledged: list[bytes]) -> None:
    """Open, write enough to begin several segments, drop old ones, start over. Says at each step what must be found again."""
    log = SegmentedLog(disk, SEGMENT_BYTES)
    log.recover()
    for number in range(12):
        payload = b"%04d" % number + b"x" * 900
        log.append([payload], number + 1, b"")
        acknowledged.append(payload)
    del acknowledged[:5]
    log.drop_through(5)
    log.start_over(b"reset", 12)
    acknowledged[:] = [b"reset"]


@pytest.mark.parametrize("machine", [True, False])
@pytest.mark.parametrize("point", [name for name in SEGMENT_POINTS if not name.endswith("/error")])
def test_a_journal_survives_a_crash_at_every_point(point: str, machine: bool) -> None:
    """What was acknowledged is found again, also when the machine stops right after the recovery."""
    for trial in range(12):
        disk = SimDisk(random.Random(trial))
        _leave_a_torn_end(disk)
        disk.failpoints.arm(point, nth=1 + trial // 4)
        acknowledged = [b"whole"]
        with contextlib.suppress(SimulatedCrashError, OSError):
            _use_journal(disk, acknowledged)
        disk.failpoints.disarm()
        disk.crash(machine)
        found = _payloads(disk)
        assert _holds(found, acknowledged), f"trial {trial}: {found} lacks some of {acknowledged}"
        disk.crash(machine=True)
        assert _payloads(disk) == found, (
            f"trial {trial}: what the first recovery read was lost by the second crash"
        )
        if trial == 3:
            assert disk.failpoints.crashed[point], f"{point} is never passed"


def _holds(found: list[bytes], acknowledged: list[bytes]) -> bool:
    """Whether the acknowledged payloads are there, in order; the frame under way may be too, and a reset replaces all before it."""
    if found and found[-1] == b"reset":
        return True
    count = len(acknowledged)
    return any(found[start : start + count] == acknowledged for start in range(len(found) - count + 1))


def _payloads(disk: SimDisk) -> list[bytes]:
    return [payload for _, payload in SegmentedLog(disk, SEGMENT_BYTES).recover()]


def _leave_a_torn_end(disk: SimDisk) -> None:
    """One frame, and a second of which only the last sector reached the disk."""
    log = SegmentedLog(disk, SEGMENT_BYTES)
    log.append([b"whole"], 0, b"")
    disk.open(disk.names()[0]).write_durably(b"torn", 2 * SECTOR_BYTES)


# What a disk may do.


def test_a_process_that_dies_leaves_everything_and_nothing_durable() -> None:
    """The page cache outlives the process, not the machine."""
    lost = 0
    for seed in range(20):
        disk = SimDisk(random.Random(seed))
        disk.create("a").write(b"1" * SECTOR_BYTES, 0)
        disk.crash(machine=False)
        assert disk.read("a") == b"1" * SECTOR_BYTES
        disk.crash(machine=True)
        lost += "a" not in disk.names() or not any(disk.read("a"))
    assert 0 < lost < 20


def _survivors(change: Callable[[SimDisk], None]) -> set[tuple[str, ...]]:
    found = set()
    for seed in range(60):
        disk = SimDisk(random.Random(seed))
        for name in "abc":
            disk.create(name)
        disk.sync_directory()
        change(disk)
        disk.crash(machine=True)
        found.add(tuple(disk.names()))
    return found


def test_directory_operations_of_different_files_come_in_any_order() -> None:
    """All eight outcomes of three removals, until the directory is synced."""

    def remove(disk: SimDisk) -> None:
        for name in "abc":
            disk.remove(name)

    assert len(_survivors(remove)) == 8

    def remove_and_sync(disk: SimDisk) -> None:
        remove(disk)
        disk.sync_directory()

    assert _survivors(remove_and_sync) == {()}


def test_directory_operations_of_one_file_stay_in_order() -> None:
    """A rename is whole or not at all, and what follows it is not kept without it."""

    def rename_and_remove(disk: SimDisk) -> None:
        disk.rename("a", "d")
        disk.remove("d")

    assert _survivors(rename_and_remove) == {("a", "b", "c"), ("b", "c", "d"), ("b", "c")}


def test_a_name_may_survive_without_its_content() -> None:
    """Renamed and the directory synced, but the file never: its length and its bytes are anybody's guess."""
    sizes = set()
    for seed in range(60):
        disk = SimDisk(random.Random(seed))
        disk.create("a.part").write(b"1" * 3 * SECTOR_BYTES, 0)
        disk.rename("a.part", "a")
        disk.sync_directory()
        disk.crash(machine=True)
        assert disk.names() == ["a"]
        sizes.add(disk.size_bytes("a"))
    assert {0, SECTOR_BYTES, 3 * SECTOR_BYTES} <= sizes


def test_a_torn_write_leaves_whole_sectors_and_lacks_one() -> None:
    """Devices write sectors whole; a frame is recognised as torn by the one that is missing."""
    log_start = 40
    for seed in range(40):
        disk = SimDisk(random.Random(seed))
        file = disk.create("a", 4 * SECTOR_BYTES)
        disk.sync_directory()
        content = disk._files["a"]
        content.tear(b"1" * 3 * SECTOR_BYTES, log_start, disk.rng)
        disk.crash(machine=True)
        file.close()
        data = disk.read("a")
        shares = [
            data[:SECTOR_BYTES][log_start:],
            data[512:1024],
            data[1024:1536],
            data[1536 : 1536 + log_start],
        ]
        assert all(set(share) in ({0}, {ord("1")}) for share in shares)
        assert any(not any(share) for share in shares)


def test_a_full_disk_takes_a_part_and_then_says_so() -> None:
    """ENOSPC after a short write, which ends at the boundary of a sector."""
    ends = set()
    for seed in range(40):
        disk = SimDisk(random.Random(seed))
        file = disk.create("a")
        disk.full = True
        with pytest.raises(OSError) as caught:
            file.write(b"1" * 3 * SECTOR_BYTES, 0)
        assert caught.value.errno == errno.ENOSPC
        ends.add(disk.size_bytes("a"))
    assert ends == {0, SECTOR_BYTES, 2 * SECTOR_BYTES}


def test_a_read_may_fail() -> None:
    """EIO once; it is for the caller to stop."""
    disk = SimDisk(random.Random(1))
    disk.create("journal-0000000001.seg", SEGMENT_BYTES).close()
    disk.unreadable = True
    with pytest.raises(OSError) as caught:
        _payloads(disk)
    assert caught.value.errno == errno.EIO
    assert _payloads(disk) == []
