"""Who hears of everything: two readers of the event feed and a receiver of webhooks, all storm long, and what is held against them.

- A reader through the **library** goes on at another node whenever its node fails. A **wanderer** speaks raw HTTP and moves to another node
  every few seconds by itself, with the id of the last event it was told. Both must be told the same events: each once, in the order
  of the log, with none left out, and those that the nodes still keep at the end must be exactly these.
- The receiver (`tests.chaos.ear`) is a process that the fault `receiver` kills. Each event must be in its file at least once, those of one
  booking in order, and none that the feed does not have.
- Every booking and cancellation that was answered has its event, and every event its booking.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import aiohttp

from client.aio import Client
from client.errors import DeskraftError
from client.events import Reset
from client.messages import MessageReader
from tests.checking.history import Book, Cancel, Listed, Operation
from tests.integration.cluster import ADMIN_LOGIN, ADMIN_PASSWORD, ROOT, ProcessCluster
from tests.integration.telling import complaints

TYPES = ("deskraft.booking",)
STAYS_SECONDS = (1.0, 5.0)  # of the wanderer at one node, whatever that says
CATCH_UP_SECONDS = 120.0
PATIENCE_SECONDS = 120.0  # of the reader through the library: longer than any fault
TOLD_OF = 10  # of each kind of complaint


class Event(NamedTuple):
    """What matters of an event. `id` is its place in the log."""

    id: str
    type: str
    subject: str

    @property
    def place(self) -> tuple[int, int]:
        """Index and position."""
        index, _, position = self.id.partition(".")
        return int(index), int(position)


class Receiver:
    """The process that is told by webhooks, and its file."""

    def __init__(self, host: str, port: int, folder: Path) -> None:
        self.address = f"{host}:{port}"
        self.url = f"http://{self.address}/hook"
        self._file = folder / "told.jsonl"
        self._log = folder / "ear.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, again after it was killed."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.ear", self.address, str(self._file)],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def told(self) -> list[dict[str, str]]:
        """The events that have arrived, in order; a line that a kill has cut off was never answered."""
        found: list[dict[str, str]] = []
        text = self._file.read_text(encoding="utf-8") if self._file.exists() else ""
        for line in text.splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                found.append(json.loads(line)["body"])
        return found


@dataclass
class Hearing:
    """All that was heard. Made by `hearing`."""

    cluster: ProcessCluster
    client: Client
    receiver: Receiver
    after: str
    by_library: list[Event] = field(default_factory=list)
    by_wandering: list[Event] = field(default_factory=list)
    kept: dict[str, list[Event]] = field(default_factory=dict)  # by each node, at the end
    moves: int = 0
    resets: list[str] = field(default_factory=list)  # and whatever else was not told
    told: int = 0
    repeats: int = 0

    async def read(self) -> None:
        """Through the library."""
        stream = self.client.events(after=self.after, types=TYPES, patience_seconds=PATIENCE_SECONDS)
        try:
            async for told in stream:
                if isinstance(told, Reset):
                    self.resets.append(f"the library's reader was told to begin anew: {told.reason}")
                else:
                    self.by_library.append(Event(told.id, told.type, told.subject))
        except DeskraftError as error:
            self.resets.append(f"the library's reader gave up: {error}")

    async def wander(self, session: aiohttp.ClientSession, urls: dict[str, str], rng: random.Random) -> None:
        """From node to node by raw HTTP."""
        reader = MessageReader(self.after)
        while True:
            url = urls[rng.choice(sorted(urls))]
            self.moves += 1
            try:
                async with asyncio.timeout(rng.uniform(*STAYS_SECONDS)):
                    reader = await self._listen(session, url, reader.last_id or self.after)
            except (aiohttp.ClientError, TimeoutError, OSError):
                reader = MessageReader(self.by_wandering[-1].id if self.by_wandering else self.after)
            await asyncio.sleep(0.05)

    async def _listen(self, session: aiohttp.ClientSession, url: str, last_id: str) -> MessageReader:
        """Until the node ends it; what was told is kept at once, so that a move in the middle repeats nothing."""
        reader = MessageReader(last_id)
        if self.client.session is None:
            raise RuntimeError("the session of the readers has ended")
        headers = {
            "Authorization": f"Bearer {self.client.session.access_token}",
            "Last-Event-ID": last_id,
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=1.0)
        async with session.get(
            f"{url}/api/v1/events?type={','.join(TYPES)}", headers=headers, timeout=timeout
        ) as answer:
            if answer.status != 200:
                if answer.status == 401:
                    await self._renew()
                return reader
            async for piece in answer.content.iter_any():
                for message in reader.feed(piece):
                    if message.kind == "reset":
                        self.resets.append(f"the wanderer was told to begin anew by {url}")
                    else:
                        event = json.loads(message.data)
                        self.by_wandering.append(Event(message.id, event["type"], event["subject"]))
        return reader

    async def _renew(self) -> None:
        with contextlib.suppress(DeskraftError):
            await self.client.me()

    async def catch_up(self, within_seconds: float = CATCH_UP_SECONDS) -> None:
        """Wait until all that was committed has been heard, or for long enough to know that it will not be."""
        for node in self.cluster:
            try:
                self.kept[node.id] = await _kept_by(node.url)
            except DeskraftError as error:
                self.resets.append(f"{node.id} does not tell its feed: {error}")
        newest = max((events[-1].place for events in self.kept.values() if events), default=(0, 0))
        give_up_at = time.monotonic() + within_seconds

        def heard() -> bool:
            readers = all(one and one[-1].place >= newest for one in (self.by_library, self.by_wandering))
            return readers and {event.id for event in self.by_library} <= {
                each["id"] for each in self.receiver.told()
            }

        while not heard() and time.monotonic() < give_up_at:  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(1.0)

    def judge(self, operations: Sequence[Operation]) -> list[str]:
        """What is wrong with what was heard, given all that clients saw and the last list of every person."""
        wrong = list(self.resets)
        readers = {"the library's reader": self.by_library, "the wanderer": self.by_wandering}
        for name, heard in readers.items():
            wrong += _order(name, heard)
            for node_id, events in self.kept.items():
                since = [each for each in heard if events and each.place >= events[0].place]
                wrong += _differ(name, since, f"the feed of {node_id}", events)
        wrong += _differ("the library's reader", self.by_library, "the wanderer", self.by_wandering)
        wrong += _against_answers(self.by_library, operations)
        arrived = self.receiver.told()
        self.told, self.repeats = len(arrived), len(arrived) - len({each["id"] for each in arrived})
        committed = {event.id: event.subject for event in self.by_library}
        wrong += [f"webhook: {each}" for each in complaints(committed, arrived)[:TOLD_OF]]
        return wrong

    def figures(self) -> dict[str, int]:
        """For the report."""
        return {
            "events": len(self.by_library), "moves_of_the_wanderer": self.moves,
            "webhook_deliveries": self.told, "webhook_repeats": self.repeats,
        }  # fmt: skip


async def _kept_by(url: str) -> list[Event]:
    """Every event of bookings that one node still keeps."""
    found: list[Event] = []
    async with Client([url]) as client:
        await client.login(ADMIN_LOGIN, ADMIN_PASSWORD)
        after: str | None = None
        while True:
            page = await client.events_page(after, types=TYPES)
            found += [Event(each.id, each.type, each.subject) for each in page.items]
            if page.next is None:
                return found
            after = page.next


def _order(name: str, heard: Sequence[Event]) -> list[str]:
    places = [event.place for event in heard]
    pairs = itertools.pairwise(places)
    return [f"{name} was told of {later} after {one}" for one, later in pairs if later <= one][:TOLD_OF]


def _differ(name: str, heard: Sequence[Event], other: str, wanted: Sequence[Event]) -> list[str]:
    """What one has and the other has not."""
    mine, theirs = set(heard), set(wanted)
    return [f"{name} was not told of {event}, which {other} has" for event in sorted(theirs - mine)[:TOLD_OF]] + [
        f"{name} was told of {event}, which {other} has not" for event in sorted(mine - theirs)[:TOLD_OF]
    ]  # fmt: skip


def _against_answers(heard: Iterable[Event], operations: Sequence[Operation]) -> list[str]:
    """Every booking and cancellation that was answered has one event, and no event tells of a booking that nobody has."""
    counts = Counter((event.type.rpartition(".")[2], event.subject.rpartition("/")[2]) for event in heard)
    wrong, there = [], set()
    for operation in operations:
        ask = operation.ask
        if isinstance(operation.answer, frozenset):
            there |= {line.booking for line in operation.answer if isinstance(line, Listed)}
        elif operation.answer == "ok" and isinstance(ask, Book | Cancel):
            what = "confirmed" if isinstance(ask, Book) else "cancelled"
            if counts[what, ask.booking] != 1:
                wrong.append(f"{counts[what, ask.booking]} events say that {ask.booking} was {what}")
    wrong += [
        f"an event tells of booking {booking}, which nobody has" for _, booking in counts if booking not in there
    ]  # fmt: skip
    return wrong[:TOLD_OF]


@asynccontextmanager
async def hearing(
    cluster: ProcessCluster, urls: dict[str, str], receiver: Receiver, seed: int
) -> AsyncIterator[Hearing]:
    """All three listen while the body runs."""
    receiver.start()
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        Client(cluster.urls, random=random.Random(f"{seed} reader")) as client,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        await client.login(ADMIN_LOGIN, ADMIN_PASSWORD)
        await client.webhooks.create(receiver.url, types=TYPES)
        page = await client.events_page(limit=1)
        while page.next is not None:
            page = await client.events_page(page.next)
        made = Hearing(cluster, client, receiver, page.position)
        tasks = [
            asyncio.create_task(made.read()),
            asyncio.create_task(made.wander(session, urls, random.Random(f"{seed} wanderer"))),
        ]
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            receiver.kill()
        made.resets += [f"a reader ended: {end!r}" for end in ends if isinstance(end, Exception)]
