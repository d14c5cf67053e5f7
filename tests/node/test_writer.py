"""The journal's thread: frames become durable in order, and the first error is the last thing it does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from node.segments import SegmentedLog
from node.writer import GROUP_BYTES, JournalWriter
from tests.simulation.disk import SimDisk


class Watch:
    """A writer over a simulated disk, and what it has reported."""

    def __init__(self) -> None:
        self.disk = SimDisk(random.Random(1))
        self.log = SegmentedLog(self.disk)
        self.log.recover()
        self.synced: list[int] = []
        self.failed: list[BaseException] = []
        self.writer = JournalWriter(self.log, self.synced.append, self.failed.append)

    def content(self) -> bytes:
        return b"".join(payload for _, payload in SegmentedLog(self.disk).recover())


async def until(condition: Callable[[], object]) -> None:
    deadline = asyncio.get_running_loop().time() + 5.0
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not come about in time"
        await asyncio.sleep(0.002)


async def test_frames_are_durable_in_order_and_numbered() -> None:
    """Each number is reported when that frame and all before it can be read again; closing writes what is queued."""
    watch = Watch()
    for number in range(200):
        submitted = watch.writer.submit(f"<{number}>".encode(), number, b"")
        assert submitted == number + 1
        if number % 20 == 0:
            await until(lambda: watch.synced and watch.synced[-1] == submitted)  # noqa: B023 - awaited here
            assert watch.content().endswith(f"<{number}>".encode())
    await asyncio.to_thread(watch.writer.close)
    await until(lambda: watch.synced[-1] == 200)
    assert watch.synced == sorted(watch.synced)
    assert watch.content() == b"".join(f"<{number}>".encode() for number in range(200))
    assert watch.writer.syncs <= 200
    assert not watch.failed


async def test_what_waits_is_written_together_and_bounded() -> None:
    """Frames that queue up while the disk is busy share a sync, up to a bound; a task runs after those before it."""
    watch = Watch()
    order: list[str] = []
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold() -> None:
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(5.0)

    holding = loop.create_task(watch.writer.run(hold))
    await asyncio.sleep(0)
    for _ in range(50):
        watch.writer.submit(bytes(100_000), 1, b"")
    task = loop.create_task(
        watch.writer.run(lambda: order.append(f"after {len(watch.content()) // 100_000}"))
    )
    await asyncio.sleep(0)
    watch.writer.submit(b"later", 1, b"")
    gate.set()
    await holding
    await task
    assert order == ["after 50"]
    await until(lambda: watch.synced and watch.synced[-1] == 51)
    assert watch.writer.syncs <= 50 * 100_000 // GROUP_BYTES + 3
    await asyncio.to_thread(watch.writer.close)


async def test_the_error_of_a_task_goes_to_its_caller() -> None:
    """It is not the journal's error, and the thread goes on."""
    watch = Watch()

    def broken() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await watch.writer.run(broken)
    watch.writer.submit(b"x", 1, b"")
    await until(lambda: watch.synced == [1])
    await asyncio.to_thread(watch.writer.close)


async def test_a_disk_error_of_a_task_is_final() -> None:
    """The disk has failed, whoever asked: the caller is told, the owner is told, and no frame behind it is written."""
    watch = Watch()

    def broken() -> None:
        raise OSError(5, "Input/output error")

    task = asyncio.get_running_loop().create_task(watch.writer.run(broken))
    await asyncio.sleep(0)
    watch.writer.submit(b"behind", 1, b"")
    with pytest.raises(OSError, match="Input/output error"):
        await task
    await asyncio.to_thread(watch.writer.close)
    await until(lambda: watch.failed)
    assert not watch.synced
    assert b"behind" not in watch.content()


@pytest.mark.parametrize("fault", ["full", "failing"])
async def test_the_first_error_is_final(fault: str) -> None:
    """ENOSPC or a failed sync: reported once, and nothing is called durable any more, not even when the disk recovers."""
    watch = Watch()
    watch.writer.submit(b"good", 1, b"")
    await until(lambda: watch.synced == [1])
    setattr(watch.disk, fault, True)
    watch.writer.submit(b"bad", 2, b"")
    await until(lambda: watch.failed)
    setattr(watch.disk, fault, False)
    for number in range(20):
        watch.writer.submit(b"after", 3 + number, b"")
    await asyncio.to_thread(watch.writer.close)
    await asyncio.sleep(0)
    assert watch.synced == [1]
    assert len(watch.failed) == 1
    assert isinstance(watch.failed[0], OSError)
    assert b"after" not in watch.content()
