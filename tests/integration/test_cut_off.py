"""A leader that runs on but reaches nobody: the case in which it would be easiest to answer with old data.

SIGSTOP cannot show it (a stopped leader finds in its sockets what it missed, and its clock tells it to step down), so the
members meet through a network that is cut.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from tests.integration.cluster import NodeProcess, running_cluster
from tests.integration.network import on_a_network
from tests.integration.raw import Raw, Said, seed_of_run, slot

CUTS = 2
CUT_SECONDS = (1.0, 3.2)


class _Watch:
    """Reads on one node while others write: each read knows what had been acknowledged before it was sent."""

    def __init__(self, ada: Raw, node: NodeProcess) -> None:
        self.ada = ada
        self.node = node
        self.index = 0
        self.ids: set[str] = set()
        self.seen: Counter[str] = Counter()
        self.stop = asyncio.Event()

    def acknowledged(self, said: Said) -> None:
        """A booking was confirmed, and whoever asks from now on must see it."""
        assert said.status == 201, said
        self.index = max(self.index, said.index)
        self.ids.add(said.body["id"])

    async def read(self, path: str) -> None:
        """Ask again and again, several at a time."""
        async with asyncio.TaskGroup() as tasks:
            while not self.stop.is_set():
                tasks.create_task(self._read_once(path))
                await asyncio.sleep(0.02)

    async def _read_once(self, path: str) -> None:
        index, ids = self.index, set(self.ids)
        try:
            said = await self.ada.get(self.node, path)
        except (aiohttp.ClientError, OSError, TimeoutError):
            self.seen["silent"] += 1
            return
        if said.status == 503:
            self.seen["refused"] += 1
            return
        assert said.status == 200, said
        shown = {item["id"] for item in said.body["items"]}
        if "stale" in path:
            old = said.index < index
            self.seen["old, and says so" if old else "stale and fresh"] += 1
            assert old or ids <= shown
            return
        self.seen["fresh"] += 1
        assert said.index >= index, f"{self.node.id} answered of {said.index} when {index} was acknowledged"
        assert ids <= shown, f"{self.node.id} left out {ids - shown}"


async def test_a_leader_that_is_cut_off_tells_nothing_old(tmp_path: Path) -> None:
    """The leader is cut off and goes on running while the others elect another and confirm bookings; clients keep reading
    and writing on the old one, through the end of the cut: no linearizable answer lacks what had been acknowledged
    when it was asked, stale ones say how old they are, no booking is confirmed that is not there for ever, each once.
    """
    rng = random.Random(seed_of_run())
    async with running_cluster(tmp_path) as cluster, on_a_network(cluster) as network:
        nodes = list(cluster)
        ada = await Raw(cluster.session).sign_in(nodes, "ada", rng=rng)
        kept: dict[str, str] = {}  # key -> booking
        wishes: dict[str, Any] = {}
        seen: Counter[str] = Counter()
        made = 0
        for _ in range(CUTS):
            old = await cluster.wait_for_leader()
            others = [node for node in nodes if node is not old]
            watch = _Watch(ada, old)
            told: dict[str, asyncio.Task[Said]] = {}
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(watch.read("/history?limit=200"))
                tasks.create_task(watch.read("/history?limit=200&consistency=stale"))
                await asyncio.sleep(0.1)
                network.cut_off(old)
                mend_at = time.monotonic() + rng.uniform(*CUT_SECONDS)
                ended_at = mend_at + 0.7
                while time.monotonic() < ended_at:
                    key, made = f"b{made}", made + 1
                    wishes[key] = slot(f"2027-03-{1 + made // 14:02}", 8 + made % 14)
                    if made % 4 == 0:  # on the old one: whatever it says must hold
                        told[key] = tasks.create_task(_ask(ada, old, wishes[key], key))
                    else:
                        said = await ada.settle(others, "/api/v1/bookings", wishes[key], key, rng=rng)
                        watch.acknowledged(said)
                        kept[key] = said.body["id"]
                    await asyncio.sleep(0.05)
                    if time.monotonic() > mend_at:
                        network.mend()
                network.mend()
                watch.stop.set()
            for key, task in told.items():
                settled = await ada.settle(nodes, "/api/v1/bookings", wishes[key], key, rng=rng)
                assert settled.status == 201, settled
                first = task.result()
                seen[f"write {first.status} {first.code}"] += 1
                if first.status != 503:
                    assert (first.status, first.body) == (201, settled.body), (
                        "what was confirmed has vanished"
                    )
                kept[key] = settled.body["id"]
            seen += watch.seen
            await cluster.wait_until_ready()
        print(dict(seen))
        assert seen["fresh"] and seen["old, and says so"], seen
        await cluster.wait_until_equal()
        for node in nodes:
            there = [booking["id"] for booking in await ada.all_bookings(node, stale=True)]
            assert sorted(there) == sorted(kept.values()), node.id
        cluster.assert_no_traceback()


async def _ask(ada: Raw, node: NodeProcess, body: Any, key: str) -> Said:
    said = await ada.post(node, "/api/v1/bookings", body, key=key)
    assert said.status in {201, 503}, said
    return said
