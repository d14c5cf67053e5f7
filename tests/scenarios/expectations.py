"""The sentences after `expect` and `run until`: each says whether it holds, and how things are."""

from __future__ import annotations

from collections.abc import Sequence

from node import messages as m
from node.core import Core
from tests.scenarios import words
from tests.scenarios.member import visible
from tests.scenarios.scenario import EXPECTATIONS, Play, Verdict

_sentence = EXPECTATIONS.sentence


def _standing(core: Core) -> str:
    if core.guard.leading:
        return f"{core.node_id} leads term {core.guard.term}"
    return f"{core.node_id} is a {core.role} in term {core.guard.term}, leader: {core.leader_id or 'unknown'}"


@_sentence("{member} leads[ term {term:number}]")
def leads(play: Play, member: str, term: int | None) -> Verdict:
    core = play.world.core(member)
    return Verdict(core.guard.leading and term in (None, core.guard.term), _standing(core))


@_sentence("{member} does not lead")
def does_not_lead(play: Play, member: str) -> Verdict:
    core = play.world.core(member)
    return Verdict(not core.guard.leading, _standing(core))


@_sentence("nobody leads")
def nobody_leads(play: Play) -> Verdict:
    cores = play.world.living()
    return Verdict(not any(core.guard.leading for core in cores), "; ".join(map(_standing, cores)))


@_sentence("somebody leads")
def somebody_leads(play: Play) -> Verdict:
    cores = play.world.living()
    return Verdict(any(core.guard.leading for core in cores), "; ".join(map(_standing, cores)))


@_sentence("{followers:members} follows/follow {leader:member}")
def follow(play: Play, followers: Sequence[str], leader: str) -> Verdict:
    cores = [play.world.core(node_id) for node_id in followers]
    holds = all(not core.guard.leading and core.leader_id == leader for core in cores)
    return Verdict(holds, "; ".join(map(_standing, cores)))


@_sentence("term {term:number} on {members}")
def in_term(play: Play, term: int, members: Sequence[str]) -> Verdict:
    cores = [play.world.core(node_id) for node_id in members]
    return Verdict(all(core.guard.term == term for core in cores), "; ".join(map(_standing, cores)))


@_sentence("all agree")
def all_agree(play: Play) -> Verdict:
    """All that live: one term, one log, all of it applied, one digest."""
    cores = play.world.living()
    points = {
        (core.guard.term, core.applied_index, core.journal.last_index, core.state.digest) for core in cores
    }
    applied = ", ".join(
        f"{core.node_id} applied {core.applied_index} of {core.journal.last_index} in term {core.guard.term}"
        for core in cores
    )
    return Verdict(len(points) == 1 and cores[0].applied_index == cores[0].journal.last_index, applied)


# What stands in logs.


def _where(play: Play, node_id: str, request: str) -> list[int]:
    """Indexes at which that command stands in a member's log."""
    key = play.envelopes[request][2].removeprefix(words.KEY)
    entries = play.world.core(node_id).journal.entries
    return [item[1] for item in entries if key in words.entry(item).partition("(")[2].rstrip(")").split("+")]


@_sentence("{members} has/have {request}[ {count:number} times/time]")
def have(play: Play, members: Sequence[str], request: str, count: int | None) -> Verdict:
    found = {node_id: len(_where(play, node_id, request)) for node_id in members}
    holds = all(number == count if count is not None else number > 0 for number in found.values())
    return Verdict(
        holds, "; ".join(f"{node_id} has {request} {number} times" for node_id, number in found.items())
    )


@_sentence("{members} lacks/lack {request}")
def lack(play: Play, members: Sequence[str], request: str) -> Verdict:
    found = {node_id: len(_where(play, node_id, request)) for node_id in members}
    return Verdict(
        not any(found.values()),
        "; ".join(f"{node_id} {'has' if number else 'lacks'} {request}" for node_id, number in found.items()),
    )


@_sentence("{member} has {request} on disk")
def on_disk(play: Play, member: str, request: str) -> Verdict:
    durable = play.world.members[member].durable_index
    places = _where(play, member, request)
    holds = any(index <= durable for index in places)
    return Verdict(
        holds, f"{member} has entries up to {durable} on disk; {request} is at {places or 'no place'}"
    )


@_sentence("{request} is not on the disk of {member}")
def not_on_disk(play: Play, request: str, member: str) -> Verdict:
    verdict: Verdict = on_disk(play, member, request)
    return Verdict(not verdict.holds, verdict.actual)


@_sentence("{request} is committed on {members}")
def committed(play: Play, request: str, members: Sequence[str]) -> Verdict:
    found = {
        node_id: any(
            index <= play.world.core(node_id).guard.commit_index for index in _where(play, node_id, request)
        )
        for node_id in members
    }
    return Verdict(
        all(found.values()),
        "; ".join(
            f"{request} is {'' if done else 'not '}committed on {node_id}" for node_id, done in found.items()
        ),
    )


@_sentence("{request} is not committed on {members}")
def not_committed(play: Play, request: str, members: Sequence[str]) -> Verdict:
    verdicts = [committed(play, request, [node_id]) for node_id in members]
    return Verdict(not any(one.holds for one in verdicts), "; ".join(one.actual for one in verdicts))


@_sentence("{member} log {text}")
def log_is(play: Play, member: str, text: str) -> Verdict:
    actual = words.log(play.world.core(member))
    return Verdict(actual == text, f"{member} log {actual}")


# Answers to clients.


def _outcome(play: Play, request: str) -> str:
    answer = play.world.answers.get(play.requests[request])
    if answer is None:
        return "waits"
    if isinstance(answer, str):
        return f"is {answer}"
    return "is done" if answer.ok else f"is refused {answer.code}"


@_sentence("{request} is done")
def done(play: Play, request: str) -> Verdict:
    actual = _outcome(play, request)
    return Verdict(actual == "is done", f"{request} {actual}")


@_sentence("{request} is booked")
def booked(play: Play, request: str) -> Verdict:
    verdict: Verdict = done(play, request)
    return Verdict(verdict.holds, verdict.actual)


@_sentence("{request} is refused {code:word}")
def refused(play: Play, request: str, code: str) -> Verdict:
    actual = _outcome(play, request)
    return Verdict(actual == f"is refused {code}", f"{request} {actual}")


@_sentence("{request} is unknown")
def unknown(play: Play, request: str) -> Verdict:
    actual = _outcome(play, request)
    return Verdict(actual == "is unknown", f"{request} {actual}")


@_sentence("{request} is unavailable")
def unavailable(play: Play, request: str) -> Verdict:
    actual = _outcome(play, request)
    return Verdict(actual == "is unavailable", f"{request} {actual}")


@_sentence("{request} waits")
def request_waits(play: Play, request: str) -> Verdict:
    actual = _outcome(play, request)
    return Verdict(actual == "waits", f"{request} {actual}")


@_sentence("the bookings on {members} are {text}")
def bookings(play: Play, members: Sequence[str], text: str) -> Verdict:
    wanted = set() if text == "none" else set(text.replace(",", " ").replace(" and ", " ").split())
    held = {
        node_id: sorted(
            booking for booking in visible(play.world.core(node_id).state) if booking.startswith("c")
        )
        for node_id in members
    }
    holds = all(set(ids) == wanted for ids in held.values())
    return Verdict(
        holds, "; ".join(f"{node_id}: {', '.join(ids) or 'none'}" for node_id, ids in held.items())
    )


# Reads.


def _seen(play: Play, read: str) -> str:
    seen = play.world.reads.get(play.reads[read])
    if seen is None:
        return "waits"
    return f"saw {', '.join(sorted(name for name in seen if name.startswith('c'))) or 'no booking'}"


@_sentence("{read} waits")
def read_waits(play: Play, read: str) -> Verdict:
    return Verdict(play.reads[read] not in play.world.reads, f"{read} {_seen(play, read)}")


@_sentence("{read} is answered")
def read_answered(play: Play, read: str) -> Verdict:
    return Verdict(play.reads[read] in play.world.reads, f"{read} {_seen(play, read)}")


@_sentence("{read} saw {request}")
def read_saw(play: Play, read: str, request: str) -> Verdict:
    return Verdict(request in play.world.reads.get(play.reads[read], ()), f"{read} {_seen(play, read)}")


@_sentence("{read} did not see {request}")
def read_did_not_see(play: Play, read: str, request: str) -> Verdict:
    seen = play.world.reads.get(play.reads[read])
    return Verdict(seen is not None and request not in seen, f"{read} {_seen(play, read)}")


# Messages on the way, and members that do not live.


@_sentence("{kind}[ from {a:member}][ to {b:member}]")
def on_the_way(play: Play, kind: str, a: str | None, b: str | None) -> Verdict:
    count = sum(map(words.matches(kind, a, b), play.world.wire))
    return Verdict(count > 0, f"{count} {kind}")


@_sentence("{count:number} {kind}[ from {a:member}][ to {b:member}]")
def so_many(play: Play, count: int, kind: str, a: str | None, b: str | None) -> Verdict:
    actual = sum(map(words.matches(kind, a, b), play.world.wire))
    return Verdict(actual == count, f"{actual} {kind}")


@_sentence("{member} has to fetch a snapshot from {leader:member}")
def needs_snapshot(play: Play, member: str, leader: str) -> Verdict:
    needy = sorted(play.world.core(leader).guard.needs_snapshot)
    return Verdict(member in needy, f"{leader} sees these behind its log: {', '.join(needy) or 'nobody'}")


@_sentence("{member} asks for the snapshot from byte {offset:number} on")
def asks_from(play: Play, member: str, offset: int) -> Verdict:
    """Held back or on the way."""
    asked = [
        message.offset_bytes
        for sender, _, message in play.world.wire + play.world.held
        if sender == member and isinstance(message, m.SnapshotWant)
    ]
    return Verdict(offset in asked, f"{member} asks for the snapshot from these bytes on: {asked}")


@_sentence("{member} is up")
def is_up(play: Play, member: str) -> Verdict:
    one = play.world.members[member]
    return Verdict(one.core is not None, one.stopped_because or ("up" if one.core else "down"))


@_sentence("{member} stopped: {text}")
def stopped(play: Play, member: str, text: str) -> Verdict:
    why = play.world.members[member].stopped_because
    return Verdict(text in why, f"{member} stopped: {why}" if why else f"{member} did not stop")


@_sentence("the alarm of {member} says: {text}")
def alarm(play: Play, member: str, text: str) -> Verdict:
    actual = play.world.core(member).alarm
    return Verdict(text in actual, actual or "no alarm")


@_sentence("{member} sees its clock as an outlier")
def outlier(play: Play, member: str) -> Verdict:
    clock = play.world.core(member).clock
    return Verdict(clock.is_outlier(), f"{clock.skew_ms():+.0f} ms from the median")


@_sentence("the cluster's clock on {members} is right")
def clock_right(play: Play, members: Sequence[str]) -> Verdict:
    off = {node_id: play.world.core(node_id).now_ms() - play.world.wall_ms() for node_id in members}
    return Verdict(
        all(abs(one) < 1000 for one in off.values()),
        "; ".join(f"{node_id} {one:+} ms" for node_id, one in off.items()),
    )
