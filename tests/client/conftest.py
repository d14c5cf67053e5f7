"""Fixtures that the tests of the client share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from tests.client.fake import FakeNode, fake_node


@pytest.fixture
def node() -> Iterator[FakeNode]:
    """A fake node whose loop runs in a thread of its own."""
    started: list[FakeNode] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with fake_node() as fake:
            started.append(fake)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    yield started[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()
