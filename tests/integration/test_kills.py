"""SIGKILL to members under load: what was acknowledged is there, on every node, once; and what a member that comes back
does with its journal, its snapshots and the leader's.

Each test prints its seed; DESKRAFT_TEST_SEED repeats it (as far as processes can repeat anything).
"""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path

from node.core import TRIM_BEHIND_ENTRIES
from tests.integration.cluster import NodeProcess, ProcessCluster, running_cluster
from tests.integration.load import Load, under_load
from tests.integration.raw import Raw, seed_of_run, slot

WRITERS = 8
SOME_ANSWERS = 60
ALL_AT_ONCE = 3
SNAPSHOT_EVERY = 40
TIDY_SECONDS = 10.0
SEGMENTS_ALLOWED = 4  # of 8 MiB: what little these tests write never fills more than the first
KILLS_AT_RANDOM = 5
INSTALLS_KILLED = 1
BEYOND_THE_TRIM = TRIM_BEHIND_ENTRIES + 2 * SNAPSHOT_EVERY


def _others(cluster: ProcessCluster, node: NodeProcess) -> list[NodeProcess]:
    return [other for other in cluster if other is not node]


async def metric(raw: Raw, node: NodeProcess, name: str) -> float:
    """One number of GET /metrics."""
    said = await raw.get(node, "/metrics")
    (line,) = [line for line in said.body.decode().splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


async def _fall_and_return(cluster: ProcessCluster, load: Load, victim: NodeProcess) -> None:
    """Kill one, see the two others serve reads and writes, start it again, see all three serve."""
    victim.kill()
    await load.progress(SOME_ANSWERS)
    victim.start()
    await cluster.wait_until_ready()
    await load.progress(SOME_ANSWERS)


def _is_tidy(folder: Path) -> bool:
    """Whether a member keeps no more than it needs, once nobody fetches anything from it: two snapshots, and a bounded journal."""
    files = [path.name for path in folder.iterdir()]
    return (
        1 <= sum(name.endswith(".dsk") for name in files) <= 2
        and sum(name.startswith("journal-") for name in files) <= SEGMENTS_ALLOWED
        and not [name for name in files if name.endswith(".part")]
    )


async def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """Under constant load the leader is killed and comes back, then a follower, then all three at once, more than once: with one down the
    others serve reads and writes; in the end every answer that anybody got holds on every node, digests are equal, no
    seat is doubled, each key was executed once.
    """
    seed = seed_of_run()
    async with running_cluster(tmp_path) as cluster:
        async with under_load(cluster, WRITERS, seed) as load:
            await load.progress(SOME_ANSWERS)
            await _fall_and_return(cluster, load, await cluster.wait_for_leader())
            leader = await cluster.wait_for_leader()
            await _fall_and_return(cluster, load, random.Random(seed).choice(_others(cluster, leader)))
            for _ in range(ALL_AT_ONCE):
                cluster.kill_all()
                for node in cluster:
                    node.start()
                await cluster.wait_until_ready()
                await load.progress(SOME_ANSWERS)
        cluster.assert_no_traceback()


async def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    """All members are ended gracefully and started again: exit status 0, the same digest or a later index, all answers hold."""
    async with running_cluster(tmp_path) as cluster:
        async with under_load(cluster, 3, seed_of_run()) as load:
            await load.progress(SOME_ANSWERS)
        index, digest = await cluster.wait_until_equal()
        assert await asyncio.gather(*(node.terminate() for node in cluster)) == [0, 0, 0]
        for node in cluster:
            node.start()
        await cluster.wait_until_ready()
        later, digest_later = await cluster.wait_until_equal()
        assert later > index or digest_later == digest
        await load.check()
        cluster.assert_no_traceback()


async def test_a_member_left_far_behind_installs_a_snapshot(tmp_path: Path) -> None:
    """With a snapshot every few entries: at most two are kept and the journal stays bounded. A member that was down for more
    than the others keep installs a snapshot and becomes equal, and again after it is killed while it installs.
    """
    seed = seed_of_run()
    rng = random.Random(seed)
    async with running_cluster(tmp_path, extra={"snapshot_every_entries": SNAPSHOT_EVERY}) as cluster:
        nodes = list(cluster)
        ada = await Raw(cluster.session).sign_in(nodes, "ada", rng=rng)
        made = 0

        async def book(count: int, where: list[NodeProcess]) -> None:
            nonlocal made
            for _ in range(count):
                body = slot(f"2027-{1 + made // 392:02}-{1 + made // 14 % 28:02}", 8 + made % 14)
                said = await ada.settle(where, "/api/v1/bookings", body, f"b{made}", rng=rng)
                assert said.status == 201, said
                made += 1

        await book(2 * SNAPSHOT_EVERY, nodes)
        for round_ in range(1 + INSTALLS_KILLED):
            behind = rng.choice(nodes)
            behind.kill()
            others = _others(cluster, behind)
            await cluster.wait_for_leader()
            await book(BEYOND_THE_TRIM if round_ == 0 else 2 * SNAPSHOT_EVERY, others)
            if round_:  # a member that starts holds the log from its snapshot on, and nothing before
                for other in others:
                    other.kill()
                    other.start()
                await cluster.wait_until_ready(others)
            behind.start()
            installed = False
            if round_:  # about when it meets the leader: before, during or after the installation
                await _until_it_says(cluster, behind, "event=started")
                await asyncio.sleep(rng.uniform(0, 0.4))
                behind.kill()
                installed = any("installed the leader's snapshot" in line for line in behind.last_run())
                print(f"{behind.id} killed {'after' if installed else 'before the end of'} the installation")
                applied = _applied_when_opened(behind)
                behind.start()
                await cluster.wait_until_ready()  # killed when it had installed, and not said so yet
                installed = installed or _applied_when_opened(behind) > applied
            await cluster.wait_until_ready()
            await cluster.wait_until_equal()
            installed = installed or await metric(ada, behind, "deskraft_snapshots_installed_total") >= 1
            assert installed, behind.tail()
        for node in nodes:
            assert len(await ada.all_bookings(node, stale=True)) == made, node.id

            async def tidy(folder: Path = node.data_dir) -> bool:
                return _is_tidy(folder)

            await cluster.wait_until(tidy, TIDY_SECONDS, f"{node.id} keeps more files than it needs")
        cluster.assert_no_traceback()


def _applied_when_opened(node: NodeProcess) -> int:
    """What its newest snapshot held when it was started last: nothing else is applied before it meets the others."""
    return next(
        int(found[1]) for line in node.last_run() if (found := re.search(r"opened: .* applied (\d+)", line))
    )


async def _until_it_says(cluster: ProcessCluster, node: NodeProcess, words: str) -> None:
    async def said() -> bool:
        return any(words in line for line in node.last_run())

    await cluster.wait_until(said, 20, f"{node.id} does not say {words}")


async def test_kills_while_snapshots_are_written(tmp_path: Path) -> None:
    """With a snapshot after every third entry, so that one is nearly always being written: members are killed at random moments
    under load, one or all of them, and start again each time; all answers hold and all are equal afterwards.
    """
    seed = seed_of_run()
    rng = random.Random(seed)
    async with running_cluster(tmp_path, extra={"snapshot_every_entries": 3}) as cluster:
        unfinished = 0
        async with under_load(cluster, 4, seed) as load:
            for _ in range(KILLS_AT_RANDOM):
                await load.progress(10)
                await asyncio.sleep(rng.uniform(0, 0.1))
                victims = list(cluster) if rng.random() < 0.25 else [rng.choice(list(cluster))]
                if len(victims) > 1:
                    cluster.kill_all()
                for victim in victims:
                    victim.kill()
                unfinished += sum(
                    path.suffix == ".part" for victim in victims for path in victim.data_dir.iterdir()
                )
                for victim in victims:
                    victim.start()
                await cluster.wait_until_ready()
        print(f"{unfinished} snapshots were cut off")
        cluster.assert_no_traceback()
