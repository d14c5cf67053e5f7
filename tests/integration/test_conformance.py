"""The node keeps its word: what `/openapi.json` says, and nothing else, is what three real nodes answer.

A short run of `conformance.py` in every role; `scripts/conformance` is the long one. What is found is shown with the seed and a request
that shows it again.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.integration.cluster import running_cluster
from tests.integration.conformance import EXTRA, Ground, Plan, explore

PLANS = (
    Plan("admin", 1, 28, ("coverage", "fuzzing")),
    Plan("user", 1, 22, ("coverage", "stateful")),
    Plan("nobody", 1, 10, ("fuzzing",)),
    Plan("leaver", 1, 12, ("examples", "fuzzing")),
)
LEAST_SERVED = 30  # of some seventy calls, or the exploration has lost its way


@pytest.mark.timeout(300)
async def test_what_the_document_says_is_what_three_nodes_answer(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    served: set[str] = set()
    async with running_cluster(tmp_path, extra=EXTRA) as cluster:
        urls = cluster.urls
        ground = await asyncio.to_thread(Ground, urls[0])
        for number, plan in enumerate(PLANS):
            url = urls[number % len(urls)]
            report = await asyncio.to_thread(explore, url, ground, plan, seed)
            print(f"{plan.role}: {report.requests} requests, {len(report.served)} calls served")
            assert not report.findings, f"seed {seed}: {report.shown()}"
            served |= report.served
        cluster.assert_no_traceback()
        await cluster.wait_until_equal()
    assert len(served) >= LEAST_SERVED, f"seed {seed}: {sorted(served)}"
