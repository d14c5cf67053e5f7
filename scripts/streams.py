"""Opens thousands of event streams on one node of a real cluster and measures what they cost.

Why: a stream is a connection that stays, and what many of them cost in memory and time is a promise of docs/events.md. Three nodes
are started in a temporary folder on free ports; half of the streams are opened without a log-in, half by users (20 each), all
on one node. Then seats are booked through the same node, one after the other, and every stream has to tell each booking. The
last line is the verdict: exit status 0 when every stream told everything in order and the node stayed within the memory
and the time that are asked for.

Run it from the environment of the tests: .venv/bin/python scripts/streams.py --streams 10000
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the rooms beside this folder, whether or not they are installed

from api.streams import MAX_STREAMS_PER_USER  # noqa: E402 - needs the path above
from tests.integration.cluster import ProcessCluster, running_cluster  # noqa: E402 - the same
from tests.integration.listeners import Listener, allow_descriptors, open_streams  # noqa: E402 - the same

MEMORY_MIB = 512
TELL_SECONDS = 10.0
START = datetime(2030, 12, 2, tzinfo=UTC)
PASSWORD = "a long pass phrase"  # noqa: S105 - of people who live for a minute
SPACES: list[dict[str, Any]] = [
    {
        "id": "hq", "name": "HQ", "timezone": "UTC", "opens": "00:00", "closes": "24:00", "slot_minutes": 60,
        "seats": [f"A{number}" for number in range(10)],
    }
]  # fmt: skip


def resident_mib(pid: int) -> float:
    """What the process holds in memory now."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def tokens_of(session: aiohttp.ClientSession, url: str, count: int) -> list[str]:
    """Access tokens of new users; a few at a time, for each costs the node a password hash or two."""
    gate = asyncio.Semaphore(4)

    async def one(number: int) -> str:
        body = {"login": f"listener{number}", "password": PASSWORD}
        async with gate:
            async with session.post(f"{url}/api/v1/auth/register", json=body) as answer:
                answer.raise_for_status()
            async with session.post(f"{url}/api/v1/auth/login", json=body) as answer:
                answer.raise_for_status()
                return str((await answer.json())["access_token"])

    return list(await asyncio.gather(*(one(number) for number in range(count))))


async def open_all(address: str, count: int, tokens: list[str]) -> list[Listener]:
    """Half of them without a log-in, half by users."""
    opened = await open_streams(
        address, count, lambda number: tokens[number // 2 // MAX_STREAMS_PER_USER] if number % 2 else ""
    )
    for number, one in enumerate(opened):
        if isinstance(one, bytes):
            raise SystemExit(f"stream {number} was not opened: {one.decode()}")
    return [one for one in opened if isinstance(one, Listener)]


async def book(session: aiohttp.ClientSession, url: str, token: str, number: int) -> float:
    """One booking; the seconds until it was answered."""
    body = {
        "space_id": "hq",
        "seat_id": f"A{number % 10}",
        "starts_at": (START + timedelta(hours=number // 10)).isoformat(),
    }
    begun = time.perf_counter()
    async with session.post(
        f"{url}/api/v1/bookings", json=body, headers={"Authorization": f"Bearer {token}"}
    ) as answer:
        answer.raise_for_status()
        await answer.read()
    return time.perf_counter() - begun


async def tell(
    session: aiohttp.ClientSession, url: str, token: str, listeners: list[Listener], events: int
) -> tuple[list[float], list[float], bool]:
    """Book; the seconds of each answer, those until the last stream told it, and whether all told the same in order."""
    answers, told = [], []
    before = [len(listener.places) for listener in listeners]
    for number in range(events):
        begun = time.perf_counter()
        answers.append(await book(session, url, token, number))
        while not all(len(one.places) > was + number for one, was in zip(listeners, before, strict=True)):
            if time.perf_counter() - begun > TELL_SECONDS:
                return answers, told, False
            await asyncio.sleep(0.005)
        told.append(max(listener.last_at for listener in listeners) - begun)
    stories = {tuple(one.places[was:]) for one, was in zip(listeners, before, strict=True)}
    story = next(iter(stories))
    return answers, told, len(stories) == 1 and list(story) == sorted(set(story)) and len(story) == events


async def measure(count: int, events: int, cluster: ProcessCluster) -> int:
    """Open, book, report; the exit status."""
    node = cluster["n2"]
    url = f"http://{node.api}"
    async with aiohttp.ClientSession() as session:
        tokens = await tokens_of(session, url, max(1, -(-(count // 2) // MAX_STREAMS_PER_USER)))
        alone = resident_mib(node.pid)
        quiet = sorted([await book(session, url, tokens[0], 100 + number) for number in range(20)])
        begun = time.perf_counter()
        listeners = await open_all(node.api, count, tokens)
        took = time.perf_counter() - begun
        opened = resident_mib(node.pid)
        print(
            f"{count} streams opened in {took:.1f} s; the node holds {alone:.0f} MiB before, {opened:.0f} MiB with them",
            flush=True,
        )
        answers, told, right = await tell(session, url, tokens[0], listeners, events)
        most = resident_mib(node.pid)
        for listener in listeners:
            listener.transport.abort()
    answers.sort()
    told.sort()
    print(f"{(opened - alone) * 1024 / count:.1f} KiB a stream; {most:.0f} MiB after {events} events")
    if told:
        print(
            f"an event was told by all streams within {told[len(told) // 2]:.2f} s (median), {told[-1]:.2f} s (most); a booking "
            f"meanwhile was answered in {answers[len(answers) // 2] * 1000:.0f} ms (median; {quiet[len(quiet) // 2] * 1000:.0f} ms without streams)"
        )
    good = right and most <= MEMORY_MIB
    print(
        f"{'good' if good else 'BAD'}: {count} streams, {'everything told once and in order' if right else 'not everything told'}, "
        f"{most:.0f} of {MEMORY_MIB} MiB"
    )
    return 0 if good else 1


async def run(count: int, events: int) -> int:
    """With a cluster of its own."""
    with tempfile.TemporaryDirectory(prefix="deskraft-streams-") as folder:
        async with running_cluster(Path(folder), spaces=SPACES) as cluster:
            return await measure(count, events, cluster)


def main() -> int:
    """Read the command line; the exit status."""
    parser = argparse.ArgumentParser(
        description="Open many event streams on one node of a real cluster and measure them.",
        allow_abbrev=False,
    )
    parser.add_argument("--streams", type=int, default=10_000, help="how many [default: 10000]")
    parser.add_argument("--events", type=int, default=20, help="bookings to tell of [default: 20]")
    chosen = parser.parse_args()
    if not 2 <= chosen.streams <= 10_000 or not 1 <= chosen.events <= 90:
        parser.error("2 to 10000 streams, 1 to 90 events")
    if not allow_descriptors(chosen.streams + 500):
        print(f"this process may not open {chosen.streams + 500} files", file=sys.stderr)
        return 2
    return asyncio.run(run(chosen.streams, chosen.events))


if __name__ == "__main__":
    sys.exit(main())
