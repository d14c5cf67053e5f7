"""Fixtures that the tests of the client share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from tests.client.fake import FakeNode, fake_node


@pytest.fixture
def node() -> Iterator[FakeNode]:
    """A fake node whose loop runs in a thread of its own.

    `asyncio.run` ends what is still under way: a client may have connected in the very moment in which it leaves.
    """
    started: list[tuple[FakeNode, asyncio.AbstractEventLoop, asyncio.Event]] = []
    ready = threading.Event()

    async def serve() -> None:
        stop = asyncio.Event()
        async with fake_node() as fake:
            started.append((fake, asyncio.get_running_loop(), stop))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    fake, loop, stop = started[0]
    yield fake
    loop.call_soon_threadsafe(stop.set)
    thread.join()
