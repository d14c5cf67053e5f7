"""Runs the cases over HTTP: nodes, users, loads, the audit, and what each request cost."""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

from msgspec import Struct

from scripts.benchmarking import cases, people
from scripts.benchmarking.load import Load, Tally
from scripts.benchmarking.people import USERS, Asker, SetupFailedError, compose
from scripts.benchmarking.processes import Constants, Nodes
from scripts.launch import say

WARM_UP_SECONDS = 0.5
SLICES = 3  # of a case, each between two of the constant
WRITES = ("book", "contend")
KILL_AT, RESTART_AT = 0.2, 0.5  # of the time of the case `failure`
FAILURE_MIN_SECONDS = 10.0  # a node needs a few of them to come back
READY_POLL_SECONDS = 0.1
RETURN_SECONDS = 30.0


class Figures(Struct):
    """What is told of one case."""

    name: str
    requests: int
    seconds: float
    per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_s_per_1000: float  # of all nodes (or constant servers)
    own_cpu_s_per_1000: float  # of the load generator
    statuses: dict[int, int]
    errors: dict[str, int]
    failed: int
    violations: list[str]
    notes: list[str] = []
    constant_cpu_s_per_1000: float | None = None  # of the servers that answer a constant, in between
    constant_per_second: float | None = None
    ratio: float | None = None  # the median of the slices' ratios of CPU to the constant's around them


def quantile(ordered: array[float] | list[float], share: float) -> float:
    """The value that `share` of an ordered list does not exceed; 0 for an empty one."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def figures_of(name: str, tally: Tally, cpu_seconds: float) -> Figures:
    """A tally in figures."""
    ordered = array("d", sorted(tally.latencies))
    thousands = max(tally.answered, 1) / 1000
    return Figures(
        name,
        tally.answered,
        tally.seconds,
        tally.answered / tally.seconds,
        quantile(ordered, 0.5) * 1000,
        quantile(ordered, 0.99) * 1000,
        quantile(ordered, 1.0) * 1000,
        cpu_seconds / thousands,
        tally.own_cpu_seconds / thousands,
        dict(sorted(tally.statuses.items())),
        dict(sorted(tally.errors.items())),
        tally.failed,
        tally.violations,
    )


class Slice(NamedTuple):
    """One load and the CPU of the processes that it went to."""

    tally: Tally
    cpu_seconds: float

    @property
    def cpu_s_per_request(self) -> float:
        """What one request cost."""
        return self.cpu_seconds / max(self.tally.answered, 1)


async def loaded(processes: Nodes | Constants, load: Load, seconds: float) -> Slice:
    """Run one load, with the CPU of the processes that it goes to."""
    clock: list[float] = []
    load.on_measuring = load.on_measured = lambda: clock.append(processes.cpu_seconds())  # type: ignore[method-assign]
    tally = await load.run(WARM_UP_SECONDS, seconds)
    return Slice(tally, clock[1] - clock[0])


async def measured(
    name: str, nodes: Nodes, constants: Constants | None, script: cases.Case, seconds: float
) -> Figures:
    """A case in slices, with slices of the constant between them: what else the machine does hits both alike."""
    constant = cases.Constant(script.world, "write" if name in WRITES else "read")

    async def beside() -> list[Slice]:
        if constants is None:
            return []
        load = Load(constants.addresses, USERS, constant)
        return [await loaded(constants, load, seconds / SLICES / 3)]

    own: list[Slice] = []
    around = await beside()
    for _ in range(SLICES):
        own.append(await loaded(nodes, Load(nodes.addresses, USERS, script), seconds / SLICES))
        around += await beside()
    tally = merged([each.tally for each in own])
    for wrong in script.check():
        tally.violate(wrong)
    figures = figures_of(name, tally, sum(each.cpu_seconds for each in own))
    if around:
        whole = merged([each.tally for each in around])
        for wrong in whole.violations:
            tally.violate(f"constant: {wrong}")
        figures.constant_cpu_s_per_1000 = (
            sum(each.cpu_seconds for each in around) * 1000 / max(whole.answered, 1)
        )
        figures.constant_per_second = whole.answered / whole.seconds
        pairs = [(x.cpu_s_per_request + y.cpu_s_per_request) / 2 for x, y in pairwise(around)]
        figures.ratio = median(each.cpu_s_per_request / pair for each, pair in zip(own, pairs, strict=True))
    return figures


def merged(tallies: list[Tally]) -> Tally:
    """Several as one."""
    whole = Tally()
    for tally in tallies:
        whole.seconds += tally.seconds
        whole.answered += tally.answered
        whole.latencies.extend(tally.latencies)
        whole.statuses.update(tally.statuses)
        whole.errors.update(tally.errors)
        whole.failed += tally.failed
        whole.own_cpu_seconds += tally.own_cpu_seconds
        for wrong in tally.violations:
            whole.violate(wrong)
    return whole


async def measured_failure(nodes: Nodes, script: cases.Case, seconds: float) -> Figures:
    """The mix, while a follower is killed and comes back; its users go home when it is ready."""
    seconds = max(seconds, FAILURE_MIN_SECONDS)
    load = Load(nodes.addresses, USERS, script)
    victim = await _follower(nodes)
    notes: list[str] = []

    async def disturb() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(WARM_UP_SECONDS + KILL_AT * seconds)
        load.away.add(victim)
        nodes.kill(victim)
        await asyncio.sleep((RESTART_AT - KILL_AT) * seconds)
        nodes.restart(victim)
        restarted = loop.time()
        await until_ready(nodes.addresses[victim])
        load.away.discard(victim)
        at = KILL_AT * seconds
        notes.append(
            f"n{victim + 1} (follower) killed at {at:.1f} s, started again at {RESTART_AT * seconds:.1f} s, "
            f"ready {loop.time() - restarted:.1f} s later"
        )

    disturbance = asyncio.create_task(disturb())
    try:
        slice_ = await loaded(nodes, load, seconds)
        await disturbance
    finally:
        disturbance.cancel()
    figures = figures_of("failure", slice_.tally, slice_.cpu_seconds)
    figures.notes += notes
    return figures


async def _follower(nodes: Nodes) -> int:
    asker = Asker(nodes.addresses[0])
    _, seen = await asker.ask("GET", "/api/v1/cluster")
    asker.close()
    return next(i for i, node_id in enumerate(nodes.config.nodes) if node_id != seen["leader_id"])


async def until_ready(address: tuple[str, int], within_seconds: float = RETURN_SECONDS) -> None:
    """Wait until a node says that it can serve. Raises TimeoutError."""
    async with asyncio.timeout(within_seconds):
        while True:
            asker = Asker(address)
            with contextlib.suppress(OSError, EOFError):  # it is only starting
                status, _ = await asker.raw(compose("GET", "/readyz", b"", b""))
                if status == 200:
                    return
            asker.close()
            await asyncio.sleep(READY_POLL_SECONDS)


async def run(folder: Path, names: list[str], with_constant: bool, seconds: float) -> list[Figures]:
    """Measure the named cases; their figures."""
    found: list[Figures] = []
    say("starting three nodes")
    with Nodes(folder, cases.SPACES) as nodes, contextlib.ExitStack() as stack:
        say(f"registering and logging in {USERS} users (two argon2 hashes each)")
        users = await people.sign_in(nodes.addresses)
        world = cases.World(users)
        await _prepare(nodes, world)
        constants = stack.enter_context(Constants()) if with_constant else None
        for name in names:
            say(f"case {name}")
            world.users[:] = await people.renew(nodes.addresses, world.users)
            script = cases.CASES[name](world)
            try:
                if name == "failure":
                    figures = await measured_failure(nodes, script, seconds)
                else:
                    figures = await measured(name, nodes, constants, script, seconds)
            except (
                TimeoutError,
                OSError,
                EOFError,
            ) as error:  # what was measured before is still worth telling
                tally = Tally(
                    seconds=seconds, violations=[f"{name}: not measured: {type(error).__name__} {error}"]
                )
                figures = figures_of(name, tally, 0.0)
            for dead in nodes.dead():
                figures.violations.append(dead)
            found.append(figures)
        say("auditing: reading back every booking")
        world.users[:] = await people.renew(nodes.addresses, world.users)
        wrong = await people.audit(nodes.addresses, world.users, world.ledger)
        say(f"audited {world.ledger.total()} bookings")
        found[-1].violations += wrong
    return found


async def _prepare(nodes: Nodes, world: cases.World) -> None:
    """Take every other slot of `hq`, so that the pages show something and the histories are not empty."""
    script = cases.Prepare(world)
    say(f"booking {len(script.slots)} slots to look at")

    async def some(first: int) -> None:
        asker = Asker(nodes.addresses[first])
        for number in range(first, len(script.slots), len(nodes.addresses)):
            user, slot = number % USERS, script.slots[number]
            status, body = await asker.raw(world.booking(user, slot).data)
            wrong = world.ledger.booked(user, slot, cases.booking_id(body) or "") if status == 201 else status
            if wrong is not None:
                raise SetupFailedError(f"{slot} cannot be booked: {wrong} {body!r}")
        asker.close()

    await asyncio.gather(*map(some, range(len(nodes.addresses))))
