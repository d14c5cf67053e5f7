"""The simulator as an instrument: plans can be run in part and shrunk, violations are told so that they can be seen again, records add up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.simulation import record as records
from tests.simulation.campaign import main
from tests.simulation.failpoints import OFFLINE, all_points, points
from tests.simulation.member import SimNode
from tests.simulation.minimise import Minimiser
from tests.simulation.network import MAX_UNSENT_BYTES
from tests.simulation.plan import make_plan, theme_of
from tests.simulation.report import tell, write_report
from tests.simulation.runs import Job, Result, kind_of, members_for, run_job
from tests.simulation.settings import FAULTS, Settings
from tests.simulation.world import World

ROOT = Path(__file__).resolve().parents[2]


def _leader_reads_unproven(node: SimNode) -> None:
    assert node.core is not None
    core = node.core
    core.leader_reads.ask = lambda on_index, _applied, _now: on_index(  # type: ignore[method-assign]
        core.guard.commit_index if core.guard.leading else -1
    )


def _failing() -> Result:
    for seed in range(12):
        result = run_job(Job(seed, 3, 0.6, plant=_leader_reads_unproven))
        if result.violation:
            return result
    pytest.fail("12 seeds did not show the planted defect")


@pytest.mark.timeout(180)
def test_a_violation_is_told_and_shrunk(tmp_path: Path) -> None:
    """The whole way: found, told the same again, drawn, and shrunk to faults of which none can be left out."""
    failed = _failing()
    directory, lines = write_report(failed, tmp_path)
    assert failed.violation in lines[-1]
    told = (directory / "report.txt").read_text(encoding="utf-8")
    assert f"again: {failed.job.command}" in told
    assert " LEADS term " in told and " fault #" in told
    ElementTree.parse(directory / "run.svg")

    plan = make_plan(failed.job.seed, failed.job.settings(), ["n1", "n2", "n3"])
    numbers = [fault.number for fault in plan if fault.at <= failed.simulated_seconds]
    minimiser = Minimiser(failed, lambda jobs: map(run_job, jobs), 1, print)
    smallest = minimiser.minimise(numbers)
    assert smallest.kind == failed.kind
    only = smallest.job.only
    assert only is not None and len(only) < len(numbers)
    assert run_job(smallest.job).trace_hash == smallest.trace_hash
    for left_out in only:
        rest = [number for number in only if number != left_out]
        assert run_job(failed.job.with_only(rest)).kind != failed.kind


def test_looking_on_changes_nothing() -> None:
    """A run with a recorder is the run without it."""
    job = Job(3, 3, 0.6)
    result, lines, _ = tell(job)
    assert result.trace_hash == run_job(job).trace_hash
    assert len(lines) > 100


def test_a_fault_left_out_moves_nobody_elses_dice() -> None:
    """Up to the first fault that is left out, the run is the same."""
    whole = World(5, Settings(fault_seconds=15.0, calm_seconds=15.0))
    whole.run()
    first, second, third = sorted(whole.plan, key=lambda fault: fault.at)[:3]
    only = frozenset({first.number, second.number})
    part = World(5, Settings(fault_seconds=15.0, calm_seconds=15.0, only=only))
    part.run()
    assert whole.plan == part.plan
    until = third.at
    before = [[line for line in world.trace.lines if line[0] < until] for world in (whole, part)]
    assert before[0] == before[1]
    assert part.faults.kinds.total() == 2


def test_a_longer_run_begins_with_the_same_plan() -> None:
    """Plans are made from their beginning, so a number means the same fault whatever the length."""
    short = make_plan(9, Settings(fault_seconds=10.0), ["n1", "n2", "n3"])
    long = make_plan(9, Settings(fault_seconds=60.0), ["n1", "n2", "n3"])
    assert long[: len(short)] == short


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", sorted(set(FAULTS)))
def test_each_kind_of_fault_alone(kind: str) -> None:
    """Nothing but one kind of fault, one after the other."""
    world = World(1, Settings(faults=(kind,), fault_seconds=12.0, calm_seconds=15.0, fault_every_seconds=0.8))
    world.run()
    assert world.faults.kinds[kind] > 3
    if kind == "install":
        assert world.installs > 0


def test_the_network_loses_the_tail_and_never_the_order() -> None:
    """What arrives over the connections of a link is, for each of them, a beginning of what was sent."""
    world = World(2, Settings(faults=()))
    network = world.network
    for node in world.nodes.values():
        node.boot()
    world.timeline.run_until(1.0)
    received: list[bytes] = []
    world.nodes["n2"].receive = lambda peer, payload: received.append(payload) if peer == "n1" else None  # type: ignore[method-assign]
    link = network.links["n1", "n2"]

    def send(*numbers: int) -> None:
        for number in numbers:
            network.send("n1", "n2", b"%d" % number)

    world.nodes["n1"].paused_until = 100.0  # it says nothing of its own from here on
    world.timeline.run_until(1.5)
    received.clear()
    send(1, 2)
    link.tear = True
    send(3, 4)
    world.timeline.run_until(2.0)
    assert received == [b"1", b"2"], "half a frame, and what comes behind it, is lost"
    assert link.incoming is None and link.outgoing is None, "both ends know by now"


def test_a_slow_link_that_overflows_is_broken() -> None:
    """The sender of too much gives the connection up, as `node.peers` does; what was sent before arrives."""
    world = World(2, Settings(faults=()))
    for node in world.nodes.values():
        node.boot()
    world.timeline.run_until(1.0)
    received: list[bytes] = []
    world.nodes["n2"].receive = lambda peer, payload: received.append(payload) if peer == "n1" else None  # type: ignore[method-assign]
    link = world.network.links["n1", "n2"]
    link.slow_until, link.bytes_per_second = 100.0, 1_000_000.0
    assert link.outgoing is not None
    pieces = [bytes([number]) * 10_000 for number in range(20)]
    for piece in pieces:
        world.network.send("n1", "n2", piece)
    assert link.outgoing is None
    world.nodes["n1"].paused_until = 100.0  # it says nothing of its own from here on
    world.timeline.run_until(2.0)
    arrived = [payload for payload in received if len(payload) == 10_000]
    assert arrived == pieces[: len(arrived)]
    assert 0 < len(arrived) <= MAX_UNSENT_BYTES // 10_000 + 2


def test_the_same_promise_broken_elsewhere_is_the_same_kind() -> None:
    """Shrinking keeps the kind of a violation, not its numbers."""
    assert kind_of("stale read on n3: entry 5 after entry 7 had been seen") == kind_of(
        "stale read on n1: entry 15 after entry 70 had been seen"
    )
    assert kind_of("two leaders in term 3: n1 and n2") != kind_of("n1 holds another committed entry 4")


def test_a_record_stays_small_and_knows_its_seeds(tmp_path: Path) -> None:
    """Seeds in any order become ranges; a saved record is the same when it is read."""
    record = records.Record()
    seeds = [*range(100, 120), *range(50), 75, *range(99, 75, -1), *range(74, 49, -1)]
    for seed in seeds:
        record.add(Result(Job(seed, members_for(seed)), 60.0, 2.0, "", 10, 5, faults={"crash": 1}), 0, "v1")
    assert record.seeds[0].ranges == [(0, 119)]
    assert record.has(75, 0, 1.0) and not record.has(75, 3, 1.0) and not record.has(120, 0, 1.0)
    path = tmp_path / "record.json"
    records.save(path, record)
    assert path.stat().st_size < 10_000, "beside the names of the failpoints there is little"
    assert records.load(path).failpoints_never_struck == points()
    again = records.load(path)
    assert "120 seeds, 2.00 simulated hours" in records.table(again)
    assert (again.seeds, again.faults, again.count) == (record.seeds, {"crash": len(seeds)}, 120)


def test_a_file_that_is_no_record_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is run, and nothing overwritten."""
    path = tmp_path / "other.json"
    path.write_text('{"seeds": {"3": [1, 2]}}')
    assert main(["--record", str(path)]) == 2
    assert "not a record" in capsys.readouterr().err
    assert path.read_text() == '{"seeds": {"3": [1, 2]}}'


@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_saves_and_goes_on_where_it_stopped(tmp_path: Path, how: signal.Signals) -> None:
    """Ctrl-C keeps what has been found; the same command takes the next seeds."""
    path = tmp_path / "record.json"
    command = [sys.executable, "-m", "tests.simulation.campaign", "--record", str(path), "--minutes", "0.5"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(
        [*command, "--seeds", "500", "--jobs", "1"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    with running:
        assert running.stdout is not None
        while "/500 seeds" not in running.stdout.readline():
            assert running.poll() is None
        running.send_signal(how)
        rest = running.stdout.read()
    assert running.returncode == 130
    assert "topped before the end" in rest.splitlines()[-1].lower()
    done = records.load(path).count
    assert 0 < done < 500
    finished = subprocess.run(
        [*command, "--seeds", "1"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    assert finished.stdout.splitlines()[-1].startswith("OK: 1 seeds, ")
    assert records.load(path).seeds[0].ranges == [(0, done)]


def test_every_point_has_a_seed() -> None:
    """So many seeds in a row as there are points: each is the first thing of some plan; what no member passes is named with its reason."""
    themes = {make_plan(seed, Settings(), ["n1", "n2", "n3"])[0].point for seed in range(len(points()))}
    assert themes == set(points())
    assert len(themes) >= 40
    offline = set(all_points()) - set(points())
    assert all(any(name.startswith(beginning) for name in offline) for beginning in OFFLINE)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "rare",
    [
        "snapshots.SnapshotReceiver.publish:remove/before",
        "snapshots.SnapshotWriter.abandon:remove/after",
        "snapshots.SnapshotReceiver.abandon:remove/before",
        "segments.SegmentedLog.recover:write_durably/unsynced",
        "snapshots.remove_unfinished:remove/after",
    ],
)
def test_a_rare_point_is_struck(rare: str) -> None:
    """By one of three worlds that have it as their theme."""
    seeds = [seed for seed in range(3 * len(points())) if theme_of(seed) == rare]
    assert any(rare in run_job(Job(seed, 3)).failpoints for seed in seeds)
