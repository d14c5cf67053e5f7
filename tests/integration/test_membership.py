"""Members come, go and are replaced while people book: real processes, changed by the real command line.

Each test prints its seed; DESKRAFT_TEST_SEED repeats it (as far as processes can repeat anything).
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from api.console import main
from client.answers import Cluster, Member
from tests.integration.cluster import (
    ADMIN_LOGIN,
    ADMIN_PASSWORD,
    JoiningProcess,
    NodeProcess,
    ProcessCluster,
    free_ports,
    running_cluster,
)
from tests.integration.load import Load, under_load
from tests.integration.raw import Raw, seed_of_run, slot

pytestmark = pytest.mark.skipif(
    find_spec("node.changes") is None,
    reason="node/changes.py is not there yet: the core cannot change members",
)

WRITERS = 4
SOME_ANSWERS = 40
MEMBER_SECONDS = 30.0
SNAPSHOT_EVERY = 100


class Operator:
    """Somebody at a shell, logged in as the administrator."""

    def __init__(self, cluster: ProcessCluster) -> None:
        self._cluster = cluster

    async def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Run `deskraft …`: exit status, standard output, standard error.

        In a thread of this process: to start Python for each command would take most of the time.
        """
        environment = {
            "XDG_CONFIG_HOME": str(self._cluster.folder / "operator"),
            "DESKRAFT_PASSWORD": ADMIN_PASSWORD,
            "DESKRAFT_SERVER": ",".join(self._cluster.urls),
        }
        result = await asyncio.to_thread(
            CliRunner().invoke, main, arguments, env=environment, catch_exceptions=False
        )
        return result.exit_code, result.stdout, result.stderr

    async def log_in(self) -> Operator:
        """Once for all commands."""
        await self.done("login", ADMIN_LOGIN)
        return self

    async def done(self, *arguments: str) -> str:
        """A command that must succeed; what it printed."""
        status, out, err = await self(*arguments)
        assert status == 0, (arguments, status, out, err)
        return out

    async def refused(self, *arguments: str) -> str:
        """A change that must be refused; the code of the refusal."""
        status, out, _ = await self("cluster", *arguments, "--json")
        assert status == 1, (arguments, status, out)
        return str(json.loads(out)["type"]).rpartition(":")[2]

    async def add(self, node_id: str, *options: str) -> JoiningProcess:
        """Add a member and start it; returns when it serves."""
        node = JoiningProcess(node_id, self._cluster)
        out = await self.done("cluster", "add", node_id, "--raft", node.raft, "--api", node.api)
        assert f"--id {node_id} --raft {node.raft} --api {node.api}" in out
        self._cluster.include(node)
        node.start(*options)
        await self._cluster.wait_until_ready([node])
        return node

    async def remove(self, node: NodeProcess) -> None:
        """Remove a running member, and see it end by itself, saying why."""
        await self.done("cluster", "remove", node.id)
        self._cluster.exclude(node)
        assert await node.wait_for_exit() == 0, node.tail()
        assert f"{node.id} was removed from the cluster" in node.tail()


async def record(cluster: ProcessCluster) -> Cluster:
    """The newest record that a running member shows."""
    seen = await cluster.statuses()
    return max(seen.values(), key=lambda said: said.configuration_index)


async def member(cluster: ProcessCluster, node_id: str) -> Member | None:
    """One member of it."""
    return {each.id: each for each in (await record(cluster)).members}.get(node_id)


async def wait_for_voters(cluster: ProcessCluster, *ids: str) -> None:
    """Wait until exactly these vote, on every running node."""

    async def agreed() -> bool:
        seen = await cluster.statuses()
        running = [node for node in cluster if node.running]
        voting = [sorted(each.id for each in said.members if each.voter) for said in seen.values()]
        return len(voting) == len(running) and all(each == sorted(ids) for each in voting)

    await cluster.wait_until(agreed, MEMBER_SECONDS, f"the voters are not {ids}")


async def progress_without(cluster: ProcessCluster, load: Load, *away: NodeProcess) -> None:
    """The others serve while these are dead, and these come back."""
    for node in away:
        node.kill()
    await load.progress(SOME_ANSWERS)
    for node in away:
        node.start()
    await cluster.wait_until_ready()


async def test_three_become_five_and_three_again_under_load(tmp_path: Path) -> None:
    """Writes never stop being answered, and each answer holds at the end; five survive two; the leader may be the one that goes."""
    async with running_cluster(tmp_path, extra={"snapshot_every_entries": SNAPSHOT_EVERY}) as cluster:
        operator = await Operator(cluster).log_in()
        async with under_load(cluster, WRITERS, seed_of_run()) as load:
            await load.progress(SOME_ANSWERS)
            for node_id in ("n4", "n5"):
                load.follow(await operator.add(node_id))
                await load.progress(SOME_ANSWERS)
            await wait_for_voters(cluster, "n1", "n2", "n3", "n4", "n5")
            leader = await cluster.wait_for_leader()
            follower = next(node for node in cluster if node is not leader and node.id in ("n1", "n2", "n3"))
            await progress_without(cluster, load, leader, follower)
            leader = await cluster.wait_for_leader()
            await operator.remove(leader)
            await load.progress(SOME_ANSWERS)
            other = next(node for node in cluster if node.id in ("n1", "n2", "n3"))
            await operator.remove(other)
            await load.progress(SOME_ANSWERS)
            await wait_for_voters(cluster, *cluster.nodes)
            await progress_without(cluster, load, next(iter(cluster)))
        cluster.assert_no_traceback()


async def test_a_lost_disk_is_refused_until_it_is_replaced(tmp_path: Path) -> None:
    """A wiped member under its old name does not get in, with one line and exit status 1; after `replace` it comes back by
    the very command line that it always had, catches up, and votes.
    """
    async with running_cluster(tmp_path) as cluster:
        operator = await Operator(cluster).log_in()
        async with under_load(cluster, WRITERS, seed_of_run()) as load:
            await load.progress(SOME_ANSWERS)
            leader = await cluster.wait_for_leader()
            victim = next(node for node in cluster if node is not leader)
            before = await member(cluster, victim.id)
            assert before is not None and before.incarnation
            victim.kill()
            shutil.rmtree(victim.data_dir)
            without_password = {k: v for k, v in victim.environment.items() if k != "DESKRAFT_ADMIN_PASSWORD"}
            for environment in (None, without_password):
                status, said = await victim.refuses_to_start(environment=environment)
                assert status == 1, said
                assert f"the cluster knows {victim.id} by another disk" in said
                assert f"deskraft cluster replace {victim.id}" in said
                assert said.splitlines()[-1].startswith("deskraft node: the cluster knows "), said
                shutil.rmtree(victim.data_dir)
            await load.progress(SOME_ANSWERS)
            assert "over an empty folder" in await operator.done("cluster", "replace", victim.id)
            waiting = await member(cluster, victim.id)
            assert waiting is not None and (waiting.voter, waiting.incarnation) == (False, "")
            victim.start()
            await cluster.wait_until_ready()
            await wait_for_voters(cluster, "n1", "n2", "n3")
            after = await member(cluster, victim.id)
            assert after is not None and after.incarnation not in ("", before.incarnation)
            await load.progress(SOME_ANSWERS)
            leader = await cluster.wait_for_leader()
            other = next(node for node in cluster if node not in (victim, leader))
            await progress_without(cluster, load, other)
        cluster.assert_no_traceback()


async def test_a_learner_that_stays_one_serves_everything(tmp_path: Path) -> None:
    """Linearizable reads of what was just written elsewhere, writes that it forwards, and no vote, however long it has caught up."""
    async with running_cluster(tmp_path) as cluster:
        operator = await Operator(cluster).log_in()
        learner = await operator.add("n4", "--learner")
        founders = [node for node in cluster if node is not learner]
        async with under_load(cluster, 1, seed_of_run()) as load:
            await load.progress(SOME_ANSWERS)
            raw = load.writers[0].raw
            for hour in range(12, 18):
                writer, reader = (learner, founders[hour % 3]) if hour % 2 else (founders[hour % 3], learner)
                said = await raw.post(writer, "/api/v1/bookings", slot("2030-06-01", hour, "W1", "neva"))
                assert said.status == 201, said
                seen = await raw.get(reader, f"/api/v1/bookings/{said.body['id']}")
                assert (seen.status, seen.body["status"]) == (200, "confirmed"), (writer.id, reader.id)
                load.writers[0].bookings[said.body["id"]] = (
                    "confirmed"  # from now on the load may give it back
                )
            shown = await member(cluster, "n4")
            assert shown is not None and (shown.voter, bool(shown.incarnation)) == (False, True)
            status = await cluster.status(learner)
            assert status is not None and status.role == "learner"
            for node in founders[:2]:  # a learner is no part of a majority
                node.kill()
            answers = [
                await raw.get(learner, "/history?limit=1"),
                await raw.get(founders[2], "/history?limit=1"),
            ]
            assert [answer.status for answer in answers] == [503, 503]
            for node in founders[:2]:
                node.start()
            await cluster.wait_until_ready()
            await load.progress(SOME_ANSWERS)
        cluster.assert_no_traceback()


async def test_who_was_removed_meanwhile_is_told_when_it_comes_back(tmp_path: Path) -> None:
    """Down while it was removed: started again it learns it from the others and ends with exit status 0, every time."""
    async with running_cluster(tmp_path, 5) as cluster:
        operator = await Operator(cluster).log_in()
        leader = await cluster.wait_for_leader()
        gone = next(node for node in cluster if node is not leader)
        gone.kill()
        await operator.done("cluster", "remove", gone.id)
        cluster.exclude(gone)
        await wait_for_voters(cluster, *cluster.nodes)
        for _ in range(2):
            status, said = await gone.refuses_to_start()
            assert (status, f"{gone.id} was removed from the cluster" in said) == (0, True), said
        assert await operator.refused("remove", gone.id) == "unknown-member"
        cluster.assert_no_traceback()


async def test_a_joined_member_starts_again_without_the_address_it_joined_by(tmp_path: Path) -> None:
    """Over its data nobody is asked: it starts, alone, while every other member is down."""
    async with running_cluster(tmp_path) as cluster:
        operator = await Operator(cluster).log_in()
        joined = await operator.add("n4")
        await wait_for_voters(cluster, "n1", "n2", "n3", "n4")
        await cluster.wait_until_equal()
        cluster.kill_all()
        joined.start()
        await cluster.wait_until(lambda: _speaks(cluster, joined), MEMBER_SECONDS, "n4 does not start alone")
        for node in cluster:
            if node is not joined:
                node.start()
        await cluster.wait_until_ready()
        await cluster.wait_until_equal()
        cluster.assert_no_traceback()


async def _speaks(cluster: ProcessCluster, node: NodeProcess) -> bool:
    assert node.alive, node.tail()
    return await cluster.status(node) is not None


async def test_mistakes_of_operators_are_refused(tmp_path: Path) -> None:
    """Each with the code that docs/api.md promises, and nothing changed."""
    async with running_cluster(tmp_path) as cluster:
        operator = await Operator(cluster).log_in()
        n1 = cluster["n1"]
        raft, api = (f"127.0.0.1:{port}" for port in free_ports(2))
        stranger = JoiningProcess("n4", cluster)
        status, said = await stranger.refuses_to_start()
        assert status == 2
        assert (
            f"the cluster has no member n4: add it first, with deskraft cluster add n4 --raft {stranger.raft}"
            in said
        )
        before = (await record(cluster)).configuration_index
        assert await operator.refused("add", "n1", "--raft", raft, "--api", api) == "member-exists"
        assert await operator.refused("add", "n4", "--raft", n1.raft, "--api", api) == "address-taken"
        assert await operator.refused("add", "N4", "--raft", raft, "--api", api) == "invalid-body"
        for change in ("promote", "remove", "replace", "transfer"):
            assert await operator.refused(change, "n9") == "unknown-member"
        out = await operator.done("cluster", "add", "n1", "--raft", n1.raft, "--api", n1.api)
        assert out.startswith("n1 is a member already.")
        assert "votes already" in await operator.done("cluster", "promote", "n2")
        assert (await record(cluster)).configuration_index == before

        await operator.done("cluster", "add", "n4", "--raft", raft, "--api", api)
        assert await operator.refused("promote", "n4", "--wait", "0") == "not-caught-up"
        status, said = await stranger.refuses_to_start()
        assert (status, f"n4 is a member at {raft} (peers) and {api} (API)" in said) == (2, True)
        await operator.done("cluster", "remove", "n4")

        leader = await cluster.wait_for_leader()
        away, other = (node for node in cluster if node is not leader)
        away.kill()
        await cluster.wait_until(
            lambda: _unreachable(cluster, leader, away), MEMBER_SECONDS, "nobody misses it"
        )
        assert await operator.refused("remove", other.id) == "would-lose-quorum"
        assert await operator.refused("replace", other.id) == "would-lose-quorum"
        await wait_for_voters(cluster, "n1", "n2", "n3")
        cluster.assert_no_traceback()


async def _unreachable(cluster: ProcessCluster, leader: NodeProcess, node: NodeProcess) -> bool:
    said = await cluster.status(leader)
    return said is not None and any(each.id == node.id and not each.reachable for each in said.members)


async def test_leadership_and_snapshots_on_demand(tmp_path: Path) -> None:
    """`transfer` makes the named voter lead; `snapshot` leaves a file on every member."""
    async with running_cluster(tmp_path) as cluster:
        operator = await Operator(cluster).log_in()
        leader = await cluster.wait_for_leader()
        heir = next(node for node in cluster if node is not leader)
        assert await operator.done("cluster", "transfer", heir.id) == f"{heir.id} leads.\n"
        assert await cluster.wait_for_leader() is heir
        assert await operator.done("cluster", "transfer") != f"{heir.id} leads.\n"
        said: dict[str, Any] = json.loads(await operator.done("cluster", "snapshot", "--json"))
        assert [one["node_id"] for one in said["snapshots"]] == ["n1", "n2", "n3"]
        for one in said["snapshots"]:
            assert one["index"] > 0
            assert list(cluster[one["node_id"]].data_dir.glob("snapshot-*.dsk"))
        person = await Raw(cluster.session).sign_in(list(cluster), "somebody", rng=random.Random(1))
        for method, path in (("POST", "/api/v1/cluster/snapshot"), ("DELETE", "/api/v1/cluster/members/n1")):
            answer = await person.ask(heir, method, path)
            assert (answer.status, answer.code) == (403, "forbidden")
        cluster.assert_no_traceback()


async def test_four_voters_need_three(tmp_path: Path) -> None:
    """After n4 votes, two of four are no majority: promotion really counts."""
    async with running_cluster(tmp_path) as cluster:
        operator = await Operator(cluster).log_in()
        await operator.add("n4")
        await wait_for_voters(cluster, "n1", "n2", "n3", "n4")
        raw = await Raw(cluster.session).sign_in(list(cluster), "ada", rng=random.Random(2))
        leader = await cluster.wait_for_leader()
        dead = [node for node in cluster if node is not leader][:2]
        for node in dead:
            node.kill()
        until = time.monotonic() + 5
        while (said := await raw.get(leader, "/history")).status != 503:
            assert time.monotonic() < until, said
            await asyncio.sleep(0.05)
        dead[0].start()
        await cluster.wait_until_ready([dead[0], leader])
        assert (await raw.get(leader, "/history")).status == 200
        cluster.assert_no_traceback()


async def test_two_operators_at_once_change_one_after_the_other(tmp_path: Path) -> None:
    """Both ask at the same moment, on different nodes, again and again: nothing is lost, and each change is one entry of its own."""
    async with running_cluster(tmp_path) as cluster:
        credentials = {"login": ADMIN_LOGIN, "password": ADMIN_PASSWORD}
        tokens = await Raw(cluster.session).post(cluster["n1"], "/api/v1/auth/login", credentials)
        admin = Raw(cluster.session, tokens.body["access_token"])
        before = (await record(cluster)).configuration_index
        bodies = {
            f"m{number}": {
                "id": f"m{number}",
                "raft": f"127.0.0.1:{raft}",
                "api": f"127.0.0.1:{api}",
            }
            for number in range(4)
            for raft, api in [free_ports(2)]
        }

        async def insist(node: NodeProcess, body: dict[str, str]) -> int:
            give_up_at = time.monotonic() + MEMBER_SECONDS
            while True:
                said = await admin.post(node, "/api/v1/cluster/members", body)
                if said.status in (200, 201):
                    return int(said.body["configuration_index"])
                assert said.code in ("change-pending", "unavailable"), said
                assert time.monotonic() < give_up_at, said
                await asyncio.sleep(0.02)

        nodes = [cluster["n1"], cluster["n2"], cluster["n3"], cluster["n1"]]
        indexes = await asyncio.gather(*map(insist, nodes, bodies.values()))
        assert len(set(indexes)) == len(bodies) and min(indexes) > before
        assert set(bodies) <= {each.id for each in (await record(cluster)).members}
        cluster.assert_no_traceback()
