"""What the client library adds to a request: the same question asked in four ways, one after the other, all the time in turn.

One request at a time on three idle nodes: bytes made by hand on one connection (`load.py` does the same), aiohttp alone, the
asynchronous client, the blocking one. The question is one that every node answers by itself, so that it does not matter which
node the client prefers. Taking turns lets whatever else the machine does hit all four alike.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from msgspec import Struct

from client import aio, sync
from scripts.benchmarking import cases
from scripts.benchmarking.people import Asker, compose
from scripts.benchmarking.processes import Nodes
from scripts.launch import say

WARM_UP_TURNS = 20
PATH = "/api/v1/cluster"


class LibraryFigures(Struct):
    """One way of asking."""

    name: str
    requests: int
    p50_ms: float
    p99_ms: float


async def run(folder: Path, seconds: float) -> list[LibraryFigures]:
    """Measure all ways for so long together."""
    with Nodes(folder, cases.SPACES) as nodes:
        say("client: one request at a time, in four ways")
        host, port = nodes.addresses[0]
        url = f"http://{host}:{port}"
        raw = Asker((host, port))
        request = compose("GET", PATH, b"", b"")
        with sync.Client(url) as blocking:
            async with aiohttp.ClientSession() as session, aio.Client(url) as library:

                async def by_aiohttp() -> None:
                    async with session.get(url + PATH) as response:
                        await response.read()

                def by_blocking() -> float:
                    begun = (
                        time.perf_counter()
                    )  # in its thread: the way to the thread and back is not the client's
                    blocking.cluster()
                    return time.perf_counter() - begun

                ways: dict[str, Callable[[], Awaitable[object]]] = {
                    "bytes by hand": lambda: raw.raw(request),
                    "aiohttp alone": by_aiohttp,
                    "aio.Client": lambda: library.cluster(),
                    "sync.Client": lambda: asyncio.to_thread(by_blocking),
                }
                measured = await _in_turn(ways, seconds)
        raw.close()
    return measured


async def _in_turn(ways: dict[str, Callable[[], Awaitable[object]]], seconds: float) -> list[LibraryFigures]:
    latencies: dict[str, list[float]] = {name: [] for name in ways}
    turns, ends_at = 0, time.monotonic() + seconds
    while time.monotonic() < ends_at or turns < 2 * WARM_UP_TURNS:
        turns += 1
        for name, ask in ways.items():
            begun = time.perf_counter()
            told = await ask()
            took = told if isinstance(told, float) else time.perf_counter() - begun
            if turns > WARM_UP_TURNS:
                latencies[name].append(took * 1000)
    return [_figures(name, sorted(values)) for name, values in latencies.items()]


def _figures(name: str, ordered: list[float]) -> LibraryFigures:
    last = len(ordered) - 1
    return LibraryFigures(name, len(ordered), ordered[round(last * 0.5)], ordered[round(last * 0.99)])
