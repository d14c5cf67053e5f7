"""The journal's thread: writes frames durably, one write for all that wait, and says how far it got.

Only the writing and the sync happen here; what is written was encoded on the event loop. Frames are numbered by `submit`; `on_synced(number)`
is called on the event loop when every frame up to that number is on disk. The first error is final: after it nothing is written and
`on_failed` is called, because a file whose sync has failed can no longer be relied upon.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable

from node.segments import SegmentedLog

GROUP_BYTES = 3 << 19  # so many bytes of waiting payloads are joined into one frame, and one write

_Work = tuple[int, bytes, int, bytes] | Callable[[], None] | None  # a frame, a task, or the end


class JournalWriter:
    """One thread over one `SegmentedLog`."""

    def __init__(
        self, log: SegmentedLog, on_synced: Callable[[int], None], on_failed: Callable[[BaseException], None]
    ) -> None:
        self._log = log
        self._on_synced = on_synced
        self._on_failed = on_failed
        self._loop = asyncio.get_running_loop()
        self._work: queue.SimpleQueue[_Work] = queue.SimpleQueue()
        self._number = 0
        self.syncs = 0
        self.sync_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def submit(self, payload: bytes, max_index: int, preamble: bytes) -> int:
        """Queue one frame; its number."""
        self._number += 1
        self._work.put((self._number, payload, max_index, preamble))
        return self._number

    async def run(self, task: Callable[[], object]) -> None:
        """Run a task on the thread, after the frames submitted so far. Its exception is raised here.

        An `OSError` is the disk's and final all the same: no frame behind it is written.
        """
        done: asyncio.Future[None] = self._loop.create_future()

        def call() -> None:
            try:
                task()
            except BaseException as error:
                self._loop.call_soon_threadsafe(_settle, done, error)
                if isinstance(error, OSError):
                    raise
            else:
                self._loop.call_soon_threadsafe(_settle, done, None)

        self._work.put(call)
        await done

    def close(self) -> None:
        """Write what is queued and end the thread. Blocks."""
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        held: _Work = None
        while True:
            work = held or self._work.get()
            held = None
            if work is None:
                return
            try:
                if callable(work):
                    work()
                else:
                    held = self._write_group(work)
            except BaseException as error:  # noqa: BLE001 - reported to the owner, which stops the member
                self._loop.call_soon_threadsafe(self._on_failed, error)
                return
            if held is None and self._log.wants_spare():
                threading.Thread(target=self._prepare_spare, name="journal-spare", daemon=True).start()

    def _prepare_spare(self) -> None:
        try:
            self._log.prepare_spare()
        except OSError as error:
            self._loop.call_soon_threadsafe(self._on_failed, error)

    def _write_group(self, first: tuple[int, bytes, int, bytes]) -> _Work:
        """Write this frame and all that wait behind it; what does not belong to the group is handed back."""
        number, payload, max_index, preamble = first
        payloads, highest = [payload], max_index
        size_bytes = len(payload)
        held: _Work = None
        ended = False
        while size_bytes < GROUP_BYTES:
            try:
                work = self._work.get_nowait()
            except queue.Empty:
                break
            if work is None:
                ended = True
                break
            if callable(work):
                held = work
                break
            number, payload, max_index, preamble = work
            payloads.append(payload)
            highest = max(highest, max_index)
            size_bytes += len(payload)
        started = time.perf_counter()
        # The last preamble is the newest; term and vote only move forward, so it is right wherever a segment begins.
        self._log.append(payloads, highest, preamble)
        self.sync_seconds += time.perf_counter() - started
        self.syncs += 1
        self._loop.call_soon_threadsafe(self._on_synced, number)
        if ended:
            self._work.put(None)
        return held


def _settle(done: asyncio.Future[None], error: BaseException | None) -> None:
    """Tell who waits, if anybody still does."""
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
