"""A member that runs out of file descriptors.

Connections are files. A crowd of clients that connect and say nothing must not take from the node what its journal and its peers need: the
API has a limit of connections below that of the process. The second fault is meaner: the limit of the running process is lowered to
what it has open, so that nothing can be opened or accepted at all. The member goes on with what it has; or, when its journal needs a
new file, stops as for any disk that fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import time
from pathlib import Path

from tests.chaos.faults.ends import bring_back
from tests.chaos.faults.field import Field, again
from tests.chaos.faults.stage import MAX_FILES

NO_FILES = re.compile(r"the disk failed: Too many open files")
CONNECTING_AT_ONCE = 64
LEFT_FILES = 3


async def connections(at: Field, seconds: float) -> None:
    """More idle connections than the process may have files, opened and held; the node turns some away and goes on."""
    node = at.victim()
    host, _, port = node.api.rpartition(":")
    held: list[asyncio.StreamWriter] = []
    gate = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def connect() -> None:
        async with gate:
            with contextlib.suppress(
                OSError, TimeoutError
            ):  # a connection that is refused is what limits are for
                async with asyncio.timeout(seconds):
                    held.append((await asyncio.open_connection(host, int(port)))[1])

    with at.striking("connections", node.id):
        try:
            until = time.monotonic() + seconds
            await asyncio.gather(*(connect() for _ in range(MAX_FILES)))
            await asyncio.sleep(max(0.5, until - time.monotonic()))
        finally:
            for writer in held:
                writer.transport.abort()
        if not node.alive:
            at.wrong.append(f"connections: {node.id} ended with status {node.exit_status}: {node.tail(8)}")
        await again(at, [node])


async def no_descriptors(at: Field, seconds: float) -> None:
    """Nothing can be opened any more; connections between members are broken, so that they would have to be made anew."""
    node = at.victim()
    wires = at.network.among(lambda one, other: node.id in (one, other))
    with at.striking("no-descriptors", node.id):
        soft, hard = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
        highest = max(int(name) for name in os.listdir(Path("/proc") / str(node.pid) / "fd"))
        resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (min(highest + 1 + LEFT_FILES, hard), hard))
        try:
            until = time.monotonic() + seconds
            while node.alive and time.monotonic() < until:
                if at.rng.random() < 0.3:
                    for wire in [*wires, *at.network.before_api(node.id)]:
                        wire.break_connections()
                await asyncio.sleep(0.2)
        finally:
            with contextlib.suppress(ProcessLookupError):  # it has stopped
                resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (soft, hard))
            await bring_back(at, node, "no-descriptors", NO_FILES)
