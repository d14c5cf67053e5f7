"""Members that end by themselves because they should.

A disk that fails and files that are damaged end a member (docs/operations.md, "Messages"): with exit code 1 and one line that says why.
Anything else that a fault sees (another code, another line, a member that serves from what cannot be trusted) is a violation.
"""

from __future__ import annotations

import contextlib
import re

from tests.chaos.faults.field import READY_SECONDS, Field, again
from tests.integration.cluster import NodeProcess

FAILED = 1  # the exit code of a member that had to stop
LINE = "deskraft node: "


def check_end(at: Field, node: NodeProcess, kind: str, expected: re.Pattern[str]) -> None:
    """The member has ended: by itself, with the right code, and saying why in one line."""
    said = [line for line in node.last_run() if line.startswith(LINE)]
    if node.exit_status != FAILED or len(said) != 1 or not expected.search(said[0]):
        at.wrong.append(
            f"{kind}: {node.id} ended with status {node.exit_status}, saying {said}: {node.tail(8)}"
        )


async def watch_for_the_end(node: NodeProcess, seconds: float) -> None:
    """Wait until the member has ended, and no longer than that."""
    with contextlib.suppress(TimeoutError):
        await node.wait_for_exit(seconds)


async def bring_back(at: Field, node: NodeProcess, kind: str, expected: re.Pattern[str]) -> None:
    """What was wrong is mended: a member that has ended, or is about to, ends as expected and is started again; all serve."""
    with contextlib.suppress(RuntimeError):  # it was about to end
        if node.alive:
            await at.cluster.wait_until_ready([node], READY_SECONDS)
            return
    check_end(at, node, kind, expected)
    await again(at, [node])
