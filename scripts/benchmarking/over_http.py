"""Runs the cases over HTTP: nodes, users, loads, the audit, and what each request cost."""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from pathlib import Path

from msgspec import Struct

from scripts.benchmarking import cases, people
from scripts.benchmarking.load import Load, Tally
from scripts.benchmarking.people import USERS, Asker, SetupFailedError, compose
from scripts.benchmarking.processes import Constants, Nodes
from scripts.environment import say

WARM_UP_SECONDS = 1.0
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
    ratio: float | None = None  # of the CPU to that of the constant


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


async def measured(name: str, processes: Nodes | Constants, script: cases.Case, seconds: float) -> Figures:
    """Run one load, with the CPU of the processes that it goes to."""
    load = Load(processes.addresses, USERS, script)
    return await _measured(name, processes, load, script, seconds)


async def _measured(
    name: str, processes: Nodes | Constants, load: Load, script: cases.Case, seconds: float
) -> Figures:
    clock: list[float] = []
    load.on_measuring = load.on_measured = lambda: clock.append(processes.cpu_seconds())  # type: ignore[method-assign]
    tally = await load.run(WARM_UP_SECONDS, seconds)
    for wrong in script.check():
        tally.violate(wrong)
    return figures_of(name, tally, clock[1] - clock[0])


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
        await _until_ready(nodes.addresses[victim])
        load.away.discard(victim)
        at = KILL_AT * seconds
        notes.append(
            f"n{victim + 1} (follower) killed at {at:.1f} s, started again at {RESTART_AT * seconds:.1f} s, "
            f"ready {loop.time() - restarted:.1f} s later"
        )

    disturbance = asyncio.create_task(disturb())
    try:
        figures = await _measured("failure", nodes, load, script, seconds)
        await disturbance
    finally:
        disturbance.cancel()
    figures.notes += notes
    return figures


async def _follower(nodes: Nodes) -> int:
    asker = Asker(nodes.addresses[0])
    _, seen = await asker.ask("GET", "/api/v1/cluster")
    asker.close()
    return next(i for i, node_id in enumerate(nodes.config.nodes) if node_id != seen["leader_id"])


async def _until_ready(address: tuple[str, int]) -> None:
    async with asyncio.timeout(RETURN_SECONDS):
        while True:
            asker = Asker(address)
            with contextlib.suppress(OSError, EOFError):  # it is only starting
                status, _ = await asker.raw(compose("GET", "/readyz", b"", b""))
                if status == 200:
                    return
            asker.close()
            await asyncio.sleep(READY_POLL_SECONDS)


async def run(folder: Path, names: list[str], with_constant: bool, seconds: float) -> list[Figures]:
    """Measure the named cases; their figures, and first those of the constant."""
    found: list[Figures] = []
    say("starting three nodes")
    with Nodes(folder, cases.SPACES) as nodes, contextlib.ExitStack() as stack:
        say(f"registering and logging in {USERS} users (two argon2 hashes each)")
        users = await people.sign_in(nodes.addresses)
        world = cases.World(users)
        await _prepare(nodes, world)
        constants = stack.enter_context(Constants()) if with_constant else None
        before = await _constants(constants, world, seconds) if constants else []
        for name in names:
            say(f"case {name}")
            world.users[:] = await people.renew(nodes.addresses, world.users)
            script = cases.CASES[name](world)
            if name == "failure":
                figures = await measured_failure(nodes, script, seconds)
            else:
                figures = await measured(name, nodes, script, seconds)
            for dead in nodes.dead():
                figures.violations.append(dead)
            found.append(figures)
        after = await _constants(constants, world, seconds) if constants else []
        say("auditing: reading back every booking")
        world.users[:] = await people.renew(nodes.addresses, world.users)
        wrong = await people.audit(nodes.addresses, world.users, world.ledger)
        say(f"audited {world.ledger.total()} bookings")
        found[-1].violations += wrong
    baseline = [_mean(first, second) for first, second in zip(before, after, strict=True)]
    if baseline:
        _compare(found, baseline)
    return baseline + found


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


async def _constants(constants: Constants, world: cases.World, seconds: float) -> list[Figures]:
    say("the constant, for comparison")
    return [
        await measured(f"constant {kind}", constants, cases.Constant(world, kind), seconds / 2)
        for kind in ("read", "write")
    ]


def _mean(first: Figures, second: Figures) -> Figures:
    """One line for a comparison that was measured before and after the cases."""
    requests, seconds = first.requests + second.requests, first.seconds + second.seconds
    share = first.requests / max(requests, 1)

    def weighed(one: float, other: float) -> float:
        return one * share + other * (1 - share)

    return Figures(
        first.name,
        requests,
        seconds,
        requests / seconds,
        weighed(first.p50_ms, second.p50_ms),
        max(first.p99_ms, second.p99_ms),
        max(first.max_ms, second.max_ms),
        weighed(first.cpu_s_per_1000, second.cpu_s_per_1000),
        weighed(first.own_cpu_s_per_1000, second.own_cpu_s_per_1000),
        {status: first.statuses.get(status, 0) + n for status, n in second.statuses.items()},
        {**first.errors, **second.errors},
        first.failed + second.failed,
        first.violations + second.violations,
        [
            f"CPU per 1,000: {first.cpu_s_per_1000:.3f} s before the cases, {second.cpu_s_per_1000:.3f} s after"
        ],
        1.0,
    )


def _compare(found: list[Figures], baseline: list[Figures]) -> None:
    read, write = (figures.cpu_s_per_1000 for figures in baseline)
    for figures in found:
        if figures.name in ("book", "contend"):
            figures.ratio = figures.cpu_s_per_1000 / write
        elif figures.name in ("availability", "history"):
            figures.ratio = figures.cpu_s_per_1000 / read
        else:
            figures.ratio = figures.cpu_s_per_1000 / (
                read * (1 - cases.WRITE_SHARE) + write * cases.WRITE_SHARE
            )
