"""The verdict: what was seen is held against what is promised, and nothing else counts.

1. **Linearizability** of the whole history, seat by seat and user by user (`tests.checking.linearizability`); the last lists of every person on
   *every* node are part of it, so a 201 that is gone anywhere, a key that was carried out twice and a seat that is doubled have no order.
2. **Sessions**: answers stand where they say they do, and nobody goes back in time (`tests.checking.sessions`).
3. **Keys**: asked again at the end, each is answered as it was.
4. **Members**: equal digests at the end; no traceback in a log; no member that ended by itself; descriptors and memory as before the storm.
5. **Answers**: no 5xx but the two that the contract has.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.chaos.faults import Struck
from tests.chaos.people import ATTEMPT_SECONDS, Call, Storm
from tests.chaos.speaking import RawPerson
from tests.checking.history import Listed, Operation, ReadUser
from tests.checking.linearizability import check_history
from tests.checking.sessions import check_sessions
from tests.integration.cluster import NodeProcess, ProcessCluster
from tests.integration.raw import PASSWORD

KEYS_ASKED_AGAIN = 200
MORE_DESCRIPTORS = 64  # than before the storm: connections that idle
READY_AGAIN_SECONDS = 60.0  # after an hour's storm there is much to read
MORE_MEMORY_BYTES = 192 << 20  # than when it has just begun anew from its disk; 45 MiB after an hour
SESSIONS_AT_ONCE = 4
LEADER_GONE = ("kill", "kill-leader", "kill-majority", "kill-all")
LEADER_SILENT = ("pause", "isolate", "one-way")
HANDED_OVER = ("rolling", "transfer", "hand-over")


@dataclass(frozen=True)
class Footing:
    """What a process holds."""

    descriptors: int
    memory_bytes: int


@dataclass
class Verdict:
    """How it ended."""

    violations: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations


def footing(node: NodeProcess) -> Footing:
    """Descriptors and resident memory of a running member, as Linux counts them."""
    folder = Path("/proc") / str(node.pid)
    pages = int((folder / "statm").read_text().split()[1])
    return Footing(len(os.listdir(folder / "fd")), pages * os.sysconf("SC_PAGE_SIZE"))


async def last_lists(
    cluster: ProcessCluster, storm: Storm, session: aiohttp.ClientSession, rng: random.Random
) -> list[str]:
    """Ask every node for every person's bookings, and every node for what became of some keys. What is wrong, in words."""
    wrong: list[str] = []
    diary = storm.diary
    by_user: dict[str, list[tuple[str, str, str, dict[str, object], str]]] = {}
    for row in rng.sample(diary.keys, min(KEYS_ASKED_AGAIN, len(diary.keys))):
        by_user.setdefault(row[0], []).append(row)
    held: dict[str, Counter[tuple[str, int]]] = {node.id: Counter() for node in cluster}
    urls = {node.id: node.url for node in cluster}

    async def ask(user_id: str, login: str) -> None:
        person = Auditor(storm, session, urls, user_id)
        if not await person.come(login):
            wrong.append(f"{login} cannot log in any more")
            return
        for node in cluster:
            lines = await person.listed(node.id)
            if lines is None:
                wrong.append(f"{node.id} does not answer the last list of {login}")
                continue
            held[node.id].update((line.seat, line.start) for line in lines if line.status == "confirmed")
        for _, key, path, body, status in by_user.get(user_id, ()):
            told = await person.again(rng.choice(sorted(urls)), path, body, key)
            if told != status:
                wrong.append(f"key {key} of {login} was answered {status}, and now {told}")

    waiting = sorted(diary.passwords.items())
    for batch in _batches(waiting):
        await asyncio.gather(*(ask(user_id, login) for user_id, login in batch))
    for node_id, seats in held.items():
        wrong += [
            f"{node_id}: {seat} is doubled at cell {start}" for (seat, start), n in seats.items() if n > 1
        ]
    return wrong


def _batches(rows: Sequence[tuple[str, str]]) -> list[Sequence[tuple[str, str]]]:
    return [rows[at : at + SESSIONS_AT_ONCE] for at in range(0, len(rows), SESSIONS_AT_ONCE)]


class Auditor(RawPerson):
    """A person who comes back at the end, and looks at every node."""

    def __init__(
        self, storm: Storm, session: aiohttp.ClientSession, urls: dict[str, str], user_id: str
    ) -> None:
        super().__init__(storm, f"final {user_id}", session, urls)
        self.user_id = user_id

    async def come(self, login: str) -> bool:
        """Log in."""
        for _ in range(20):
            said = await self._ask(
                "log in", self.rng.choice(sorted(self._urls)), "POST", "/api/v1/auth/login",
                {"login": login, "password": PASSWORD}, None,
            )  # fmt: skip
            if said is not None and said.status == 200:
                self._token = said.body["access_token"]
                return True
            await asyncio.sleep(0.5)
        return False

    async def listed(self, node: str) -> list[Listed] | None:
        """All bookings as one node tells them; part of the history."""
        only, self._urls = self._urls, {node: self._urls[node]}
        try:
            number = self.storm.diary.begin(self.name, ReadUser(self.user_id))
            seen = await self.list()
            if seen is None:
                return None
            self._told(number, frozenset(seen[1]), seen[0])
            return seen[1]
        finally:
            self._urls = only

    async def again(self, node: str, path: str, body: dict[str, object], key: str) -> str:
        """The status that a key is answered with now."""
        said = await self._ask("again", node, "POST", path, body, key)
        return (
            "no answer"
            if said is None
            else str(said.status)
            if said.status < 500
            else f"{said.status} {said.body}"
        )


def judge_history(operations: Sequence[Operation]) -> Verdict:
    """Of what clients saw alone."""
    verdict = Verdict()
    report = check_history(operations)
    if not report.ok:
        verdict.violations.append(report.story)
    complaints = check_sessions(operations)
    verdict.violations += complaints[:20]
    verdict.checked = {"operations": len(operations), "parts": len(report.verdicts), "steps": report.steps}
    return verdict


async def judge_members(
    cluster: ProcessCluster, before: dict[str, Footing]
) -> tuple[list[str], dict[str, list[int]]]:
    """Logs, ends, descriptors and memory. What is wrong; and the MiB that each held before, after, and begun anew.

    Bookings, keys and events are kept, so memory grows with them: what a member that begins anew needs is its state, the rest leaked.
    """
    wrong = []
    try:
        cluster.assert_no_traceback()
    except AssertionError as error:
        wrong.append(f"a log holds a traceback: {error}")
    after = {}
    for node in cluster:
        if not node.alive:
            wrong.append(f"{node.id} ended by itself with status {node.exit_status}: {node.tail(5)}")
            continue
        now, then = footing(node), before[node.id]
        after[node.id] = now
        if now.descriptors > then.descriptors + MORE_DESCRIPTORS:
            wrong.append(
                f"{node.id} holds {now.descriptors} descriptors, {then.descriptors} before the storm"
            )
    held = {}
    for node in cluster:
        if node.id not in after:
            continue
        status = await node.terminate()
        if status != 0:
            wrong.append(f"{node.id} ended with status {status} when it was asked to: {node.tail(5)}")
        node.start()
        await cluster.wait_until_ready([node], READY_AGAIN_SECONDS)
        anew = footing(node).memory_bytes
        if after[node.id].memory_bytes > anew + MORE_MEMORY_BYTES:
            wrong.append(
                f"{node.id} holds {after[node.id].memory_bytes >> 20} MiB, {anew >> 20} when it begins anew"
            )
        held[node.id] = [
            size >> 20 for size in (before[node.id].memory_bytes, after[node.id].memory_bytes, anew)
        ]
    return wrong, held


# Figures.


def recoveries(calls: Sequence[Call], struck: Sequence[Struck], kinds: Sequence[str]) -> list[float]:
    """Seconds from each fault of the leader to the end of the first acknowledged write that was asked after it."""
    writes = sorted(
        (call for call in calls if call.write and call.final and call.code == ""), key=lambda c: c.began
    )
    times = []
    for fault in struck:
        if fault.led and fault.kind in kinds:
            after = [call.began + call.seconds for call in writes if call.began >= fault.began]
            if after:
                times.append(min(after) - fault.began)
    return times


def availability(calls: Sequence[Call]) -> dict[str, float | int]:
    """Shares of requests that were told what became of them: raw ones to members that are up, and calls of the library."""
    raw = [call for call in calls if call.node]
    library = [call for call in calls if not call.node]
    return {
        "raw_requests": len(raw),
        "raw_answered": sum(call.final for call in raw) / max(1, len(raw)),
        "library_calls": len(library),
        "library_answered": sum(call.final for call in library) / max(1, len(library)),
    }


def late(calls: Sequence[Call]) -> int:
    """Raw requests that took longer than any request may."""
    return sum(bool(call.node) and call.seconds > ATTEMPT_SECONDS + 0.25 for call in calls)


def spread(values: Sequence[float]) -> dict[str, float | int]:
    """Of seconds, in milliseconds."""
    if not values:
        return {"count": 0}
    ordered = sorted(values)
    return {
        "count": len(ordered),
        "median_ms": round(statistics.median(ordered) * 1e3, 1),
        "p90_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.9))] * 1e3, 1),
        "max_ms": round(ordered[-1] * 1e3, 1),
    }
