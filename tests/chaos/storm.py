"""`./scripts/chaos`: a cluster of real processes, people at work, faults in random order, and a verdict.

One seed decides the faults, their order, their victims' dice and what people ask; the machine decides the rest, so a seed repeats a
storm in kind, not to the letter. `history.jsonl` holds all that clients saw, and `--judge FILE` judges it again without a cluster.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import gc
import json
import math
import random
import secrets
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from tests.chaos import judge, recorded, records, targets
from tests.chaos.faults import FAULTS, GROUPS, ONE_MEMBER, Field, Struck, named, possible, stage_for
from tests.chaos.faults.stage import Stage, keep_mounts_to_ourselves
from tests.chaos.hearing import CATCH_UP_SECONDS, Receiver, hearing
from tests.chaos.packets import HERE, live_apart, spaces_for
from tests.chaos.packets import missing as missing_spaces
from tests.chaos.people import SPACE_RULES, Diary, Person, Storm
from tests.chaos.report import write_report
from tests.chaos.speaking import LibraryPerson, RawPerson
from tests.chaos.wires import Network, on_wires
from tests.integration.cluster import ProcessCluster, free_ports, running_cluster

NETWORKS = ("proxies", "namespaces")
WATCH_SECONDS = 0.1
SNAPSHOT_ENTRIES = 2000  # often, for a storm that is short
LONG_SECONDS, LONG_SNAPSHOT_ENTRIES = (
    900.0,
    10_000,
)  # the state of a long one is larger: still one in a minute and a half
PROGRESS_SECONDS = 10.0
SETTLE_SECONDS = 30.0
WARM_SECONDS = 3.0


class Sight(NamedTuple):
    """What a member said of itself at a moment."""

    moment: float
    member: str
    role: str
    term: int


@dataclass
class Plan:
    """What is asked for on the command line."""

    seconds: float = 120.0
    members: int = 3
    faults: tuple[str, ...] = tuple(FAULTS)
    seed: int = 0
    every_seconds: float = 6.0
    overlapping: bool = True
    people: int = 16
    operations_per_second: float = 300.0
    least_faults: int = 1  # on a machine that is too busy for more, the storm lasts longer
    network: str = NETWORKS[0]
    catch_up_seconds: float = CATCH_UP_SECONDS  # for readers and receivers, after the storm


@dataclass
class Outcome:
    """Everything that a report is made from."""

    plan: Plan
    began: float
    ended: float
    diary: Diary
    struck: list[Struck]
    sights: list[Sight]
    verdict: judge.Verdict
    figures: dict[str, Any]


async def _watch(cluster: ProcessCluster, at: Field, sights: list[Sight]) -> None:
    while True:
        _note_ends(cluster, at)
        for member, said in (await cluster.statuses()).items():
            sights.append(Sight(time.monotonic(), member, said.role, said.term))
            if said.role == "leader":
                at.leader = member
        await asyncio.sleep(WATCH_SECONDS)


def _note_ends(cluster: ProcessCluster, at: Field) -> None:
    """Members end by faults, and by themselves when a fault expects it; never otherwise. Said once of each process."""
    for node in cluster:
        if not node.alive and at.up(node.id) and (node.id, node.pid) not in at.ended:
            at.ended.add((node.id, node.pid))
            at.wrong.append(f"{node.id} ended by itself with status {node.exit_status}: {node.tail(5)}")


async def _strike(at: Field, plan: Plan, until: float) -> None:
    """Faults until the time is over: some while another lasts, or each after the last one has healed."""
    if not plan.overlapping:
        while time.monotonic() < until or len(at.struck) < plan.least_faults:
            await asyncio.sleep(plan.every_seconds * at.rng.uniform(0.2, 0.4))
            name = at.rng.choice(plan.faults)
            await _one(at, name, plan.every_seconds * at.rng.uniform(0.3, 0.6))  # and the rest to heal
        return
    async with asyncio.TaskGroup() as tasks:
        under_way: set[asyncio.Task[None]] = set()
        while time.monotonic() < until or len(at.struck) < plan.least_faults:
            await asyncio.sleep(plan.every_seconds * at.rng.uniform(0.3, 1.0))
            if under_way and not (at.rng.random() < 0.3 and len(under_way) < 2):
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                under_way = {task for task in under_way if not task.done()}
                continue
            name = at.rng.choice(plan.faults)
            if under_way and not FAULTS[name].beside:
                continue  # two of these would wait for each other
            seconds = at.rng.uniform(0.3, 1.0) * plan.every_seconds
            under_way.add(tasks.create_task(_one(at, name, seconds)))


async def _one(at: Field, name: str, seconds: float) -> None:
    """Strike and heal. What does not heal in its time is a finding, and no reason to know nothing of the rest."""
    try:
        await FAULTS[name].strike(at, seconds)
    except (AssertionError, TimeoutError) as error:
        at.wrong.append(f"{name} did not heal: {error}")


@asynccontextmanager
async def _doing(coroutine: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _report_progress(storm: Storm, at: Field, until: float) -> None:
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        # What people have noted is not garbage. Walking two million of it makes them, and the wires, stand still for a second.
        gc.collect(1)
        gc.freeze()
        left = max(0.0, until - time.monotonic())
        faults = len(at.struck)
        print(f"  {len(storm.diary.calls)} requests, {faults} faults, {left:.0f} s left", flush=True)


@asynccontextmanager
async def _cluster_of(
    plan: Plan, ids: list[str], folder: Path, stage: Stage, receiver: Receiver
) -> AsyncIterator[tuple[ProcessCluster, Network]]:
    """Members that run, and the network between them and before them."""
    often = SNAPSHOT_ENTRIES if plan.seconds <= LONG_SECONDS else LONG_SNAPSHOT_ENTRIES
    extra = {"snapshot_every_entries": often, "outbox": {"webhook_allow": [receiver.address]}}
    start = functools.partial(
        running_cluster, folder, plan.members, spaces=[SPACE_RULES], extra=extra, environment_of=stage.environment_of
    )  # fmt: skip
    if plan.network == "proxies":
        async with start(under_of=lambda _: stage.under) as cluster, on_wires(cluster) as network:
            yield cluster, network
        return
    with spaces_for(ids) as spaces:
        under = {member: (*space.enter, *stage.under) for member, space in spaces.of.items()}
        async with start(under_of=under.__getitem__, hosts=spaces.hosts) as cluster:
            yield cluster, spaces.network(cluster)


async def run(plan: Plan, folder: Path) -> Outcome:
    """The whole storm."""
    plan = replace(plan, faults=possible(plan.faults, plan.network))
    assert plan.faults, "this machine allows none of these faults"
    storm = Storm(Diary(), plan.seed, plan.people / plan.operations_per_second)
    rng = random.Random(f"storm {plan.seed}")
    receiver = Receiver("127.0.0.1" if plan.network == "proxies" else HERE, free_ports(1)[0], folder)
    connector = aiohttp.TCPConnector(limit=0)
    ids = [f"n{number + 1}" for number in range(plan.members)]
    async with contextlib.AsyncExitStack() as stack:
        stage = stack.enter_context(stage_for(folder, ids, plan.faults))
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        cluster, network = await stack.enter_async_context(_cluster_of(plan, ids, folder, stage, receiver))
        at = Field(cluster, network, rng, receiver=receiver, stage=stage)
        storm.up = at.up
        urls = {node.id: network.api_url(node.id) for node in cluster}
        direct = {node.id: node.url for node in cluster}
        people: list[Person] = [
            RawPerson(storm, f"raw{number}", session, urls)
            if number % 2
            else LibraryPerson(storm, f"lib{number}", direct)
            for number in range(plan.people)
        ]
        sights: list[Sight] = []
        began = time.monotonic()
        async with _doing(_watch(cluster, at, sights)), hearing(cluster, urls, receiver, plan.seed) as heard:
            async with asyncio.TaskGroup() as tasks:
                for person in people:
                    tasks.create_task(person.work())
                await asyncio.sleep(WARM_SECONDS)
                before = {node.id: judge.footing(node) for node in cluster}
                until = time.monotonic() + plan.seconds
                async with _doing(_report_progress(storm, at, until)):
                    await _strike(at, plan, until)
                await asyncio.sleep(WARM_SECONDS)
                storm.stopping.set()
            ended = time.monotonic()
            for person in people:
                if isinstance(person, LibraryPerson):
                    await person.close()
            print("  the storm is over; judging", flush=True)
            await heard.catch_up(plan.catch_up_seconds)
        wrong: list[str] = storm.diary.strange + at.wrong
        try:
            await cluster.wait_until_equal(SETTLE_SECONDS)
        except (AssertionError, TimeoutError) as error:
            wrong.append(f"the members do not agree after the storm: {error}")
        calls = list(storm.diary.calls)
        wrong += await judge.last_lists(cluster, storm, session, rng)
        wrong += heard.judge(storm.diary.operations)
        wrong_of_members, held = await judge.judge_members(cluster, before)
        wrong += wrong_of_members
        verdict = judge.judge_history(storm.diary.operations)
        verdict.violations += wrong
        storm.diary.calls = calls
    figures = _figures(calls, at.struck) | heard.figures() | _pace(plan, storm.diary, until)
    figures["memory_mib"] = held
    return Outcome(plan, began, ended, storm.diary, at.struck, sights, verdict, figures)


def _figures(calls: list[Any], struck: list[Struck]) -> dict[str, Any]:
    errors = Counter(
        f"{call.kind}: {call.status or 'no answer'} {call.code}".strip() for call in calls if not call.final
    )
    return {
        "requests": len(calls),
        "faults": dict(Counter(fault.kind for fault in struck)),
        **judge.availability(calls),
        "late": judge.late(calls),
        "latency_ms": judge.spread([call.seconds for call in calls if call.final]),
        "after_kill_of_leader": judge.spread(judge.recoveries(calls, struck, judge.LEADER_GONE)),
        "after_silence_of_leader": judge.spread(judge.recoveries(calls, struck, judge.LEADER_SILENT)),
        "after_handing_over": judge.spread(judge.recoveries(calls, struck, judge.HANDED_OVER)),
        "errors": dict(errors.most_common(20)),
    }


def _pace(plan: Plan, diary: Diary, until: float) -> dict[str, Any]:
    """Whether the load was what it is said to be: operations asked a second, in the median second of the storm."""
    rates = [diary.asked[second] for second in range(int(until - plan.seconds) + 1, int(until))]
    return {
        "clients": plan.people,
        "asked_per_second_wanted": plan.operations_per_second,
        "asked_per_second": statistics.median(rates) if rates else 0,
    }


def nines(share: float) -> str:
    """0.9995 is 3.3 nines."""
    return "all" if share >= 1 else f"{-math.log10(1 - share):.1f} nines"


def line(outcome: Outcome) -> str:
    """The verdict in one line."""
    figures, plan, violations = outcome.figures, outcome.plan, len(outcome.verdict.violations)
    raw, library = (
        f"{figures[share]:.4%} ({nines(figures[share])})" for share in ("raw_answered", "library_answered")
    )
    return (
        f"{'OK' if outcome.verdict.ok else f'VIOLATED: {violations} times'}: seed {plan.seed}, {plan.members} members, "
        f"{plan.seconds / 60:.1f} minutes, {sum(figures['faults'].values())} faults, {figures['requests']} requests "
        f"({figures['asked_per_second']:.0f} a second), raw {raw}, library {library}, {violations} violations"
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./scripts/chaos",
        description="Start a cluster of real processes, let people work on it, inject faults, and judge what they saw.",
        epilog="faults: "
        + ", ".join(FAULTS)
        + "; groups of them: "
        + ", ".join(f"{group} ({', '.join(names)})" for group, names in GROUPS.items())
        + ". The last line is the verdict; it exits 0 only when nothing was violated.",
    )
    parser.add_argument(
        "--minutes", type=float, default=2.0, metavar="M", help="how long faults go on (default 2)"
    )
    parser.add_argument("--nodes", type=int, choices=(3, 5), default=3, help="members (default 3)")
    parser.add_argument(
        "--faults", default="", metavar="LIST", help="only these, comma-separated (default: all)"
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="what decides the faults (default: a random one, printed)"
    )
    parser.add_argument(
        "--every", type=float, default=6.0, metavar="S", help="seconds between faults (default 6)"
    )
    parser.add_argument(
        "--network", choices=NETWORKS, default=NETWORKS[0],
        help="what members reach each other through: TCP proxies, or name spaces with nft, where packets are lost",
    )  # fmt: skip
    parser.add_argument("--one-at-a-time", action="store_true", help="never more than one member at a time")
    parser.add_argument(
        "--rate", type=float, default=300.0, metavar="N", help="operations a second (default 300)"
    )
    parser.add_argument("--people", type=int, default=16, metavar="N", help="clients (default 16)")
    parser.add_argument(
        "--report", type=Path, default=Path("build/chaos"), metavar="DIR",
        help="where report.html, timeline.png, history.jsonl and result.json go (default build/chaos)",
    )  # fmt: skip
    parser.add_argument(
        "--targets", action="store_true", help="no storm: measure how long people wait; see --targets --help"
    )
    parser.add_argument("--record", action="store_true", help="add this storm to docs/storms.jsonl")
    parser.add_argument(
        "--draw", action="store_true", help="no storm: draw docs/reliability.md from the records"
    )
    parser.add_argument(
        "--judge", type=Path, metavar="FILE", help="judge a history.jsonl again, and nothing else"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """0: every promise kept. 1: one was broken. 2: wrong usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    if "--targets" in words:
        return targets.main([word for word in words if word != "--targets"])
    given = _arguments(words)
    if given.draw:
        print(
            "docs/reliability.md is drawn anew" if recorded.redraw() else "docs/reliability.md is as recorded"
        )
        return 0
    if given.judge is not None:
        return _judge_again(given.judge)
    try:
        chosen = named(given.faults)
    except ValueError as error:
        print(f"scripts/chaos: {error}", file=sys.stderr)
        return 2
    if given.one_at_a_time:
        chosen = tuple(name for name in chosen if name in ONE_MEMBER)
    if given.network == "namespaces":
        if why := missing_spaces():
            print(f"scripts/chaos: {why}", file=sys.stderr)
            return 2
        live_apart()
    chosen = possible(chosen, given.network)
    if not chosen:
        print("scripts/chaos: this machine allows none of these faults", file=sys.stderr)
        return 2
    seed = secrets.randbelow(1 << 31) if given.seed is None else given.seed
    plan = Plan(
        given.minutes * 60, given.nodes, chosen, seed, given.every, not given.one_at_a_time, given.people, given.rate,
        network=given.network,
    )  # fmt: skip
    print(
        f"seed {seed}: {plan.members} members, {given.minutes:g} minutes, network of {plan.network}, faults {', '.join(chosen)}",
        flush=True,
    )
    keep_mounts_to_ourselves()
    with tempfile.TemporaryDirectory(prefix="deskraft-chaos-") as folder:
        outcome = asyncio.run(run(plan, Path(folder)))
    given.report.mkdir(parents=True, exist_ok=True)
    records.write(given.report / "history.jsonl", outcome.diary.operations)
    result = {
        "verdict": "ok" if outcome.verdict.ok else "violated",
        "plan": asdict(plan),
        "violations": outcome.verdict.violations,
        "checked": outcome.verdict.checked,
        **outcome.figures,
    }
    (given.report / "result.json").write_text(
        json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    if given.record:
        recorded.keep(result)
    write_report(given.report, outcome, line(outcome))
    for violation in outcome.verdict.violations[:5]:
        print(violation)
    print(f"report: {given.report / 'report.html'}")
    print(line(outcome))
    return 0 if outcome.verdict.ok else 1


def _judge_again(path: Path) -> int:
    verdict = judge.judge_history(records.read(path))
    for violation in verdict.violations[:5]:
        print(violation)
    print(
        f"{'OK' if verdict.ok else 'VIOLATED'}: {verdict.checked['operations']} operations, {len(verdict.violations)} violations"
    )
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
