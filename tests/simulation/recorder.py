"""A run in words: who led when, elections, commits, deaths, faults, and the messages that matter.

A recorder only looks on, so the run is the same with it and without it: a campaign runs without, and runs a seed again with one when it has
something to tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import merge
from typing import TYPE_CHECKING

from node import messages as m
from tests.simulation.plan import Fault

if TYPE_CHECKING:
    from tests.simulation.member import SimNode
    from tests.simulation.world import World

COMMITS_TOGETHER_SECONDS = 0.1
DOWN = "down"


@dataclass
class Span:
    """What a member was from `start` until the next span."""

    start: float
    role: str
    term: int


@dataclass
class Struck:
    """A fault that was carried out, and whom it met."""

    at: float
    fault: Fault
    victims: tuple[str, ...]


@dataclass
class _Seen:
    boots: int
    role: str
    term: int
    commit: int
    commit_line: int = -1  # which line of the recorder tells of its commits
    commit_from: int = 0


class Recorder:
    """Implements `world.Observer`."""

    def __init__(self) -> None:
        self._world: World
        self.spans: dict[str, list[Span]] = {}
        self.struck: list[Struck] = []
        self._seen: dict[str, _Seen] = {}
        self._lines: list[tuple[float, str]] = []

    def begins(self, world: World) -> None:
        """Before anything happens."""
        self._world = world

    def _say(self, now: float, node_id: str, text: str) -> None:
        self._lines.append((now, f"{node_id}  {text}"))

    def looked(self, node: SimNode) -> None:
        """A member has made a step."""
        core = node.core
        assert core is not None
        now, node_id, guard = node.world.now, node.node_id, core.guard
        role, term, commit = str(core.role), guard.term, guard.commit_index
        seen = self._seen.get(node_id)
        if seen is None or seen.role == DOWN:
            self._say(
                now,
                node_id,
                f"starts (life {node.boots}) in term {term}, log {core.journal.first_index}..{core.journal.last_index}, applied {core.applied_index}",
            )
            seen = self._seen[node_id] = _Seen(node.boots, "", term, commit)
        elif seen.boots != node.boots:
            self._say(now, node_id, f"has installed a snapshot, applied {core.applied_index}")
            seen.boots, seen.commit = node.boots, commit
        if (role, term) != (seen.role, seen.term):
            leader = core.leader_id or "nobody yet"
            what = {"leader": "LEADS", "candidate": "stands for election in"}.get(
                role, f"follows {leader} in"
            )
            self._say(now, node_id, f"{what} term {term}")
            self.spans.setdefault(node_id, []).append(Span(now, role, term))
            seen.role, seen.term, seen.commit_line = role, term, -1
        if commit > seen.commit:
            self._committed(node_id, seen, commit, now)

    def _committed(self, node_id: str, seen: _Seen, commit: int, now: float) -> None:
        if seen.commit_line >= 0 and now - self._lines[seen.commit_line][0] < COMMITS_TOGETHER_SECONDS:
            began = self._lines[seen.commit_line][0]
            self._lines[seen.commit_line] = (began, f"{node_id}  commits {seen.commit_from}..{commit}")
        else:
            seen.commit_from, seen.commit_line = seen.commit + 1, len(self._lines)
            self._say(now, node_id, f"commits {seen.commit_from}..{commit}")
        seen.commit = commit

    def died(self, node: SimNode) -> None:
        """A member's process has ended."""
        now = node.world.now
        self._say(now, node.node_id, f"is down{': ' + node.stopped_because if node.stopped_because else ''}")
        self.spans.setdefault(node.node_id, []).append(Span(now, DOWN, 0))
        self._seen[node.node_id] = _Seen(node.boots, DOWN, 0, 0)

    def fault(self, fault: Fault, victim_id: str) -> None:
        """A fault of the plan begins; its line is in the trace of the world."""
        everybody = self._world.ids if fault.kind == "crash_all" else ()
        victims = dict.fromkeys((victim_id, *fault.group, *everybody))
        self.struck.append(Struck(fault.at, fault, tuple(victims)))

    def sent(self, a: str, b: str, payload: bytes) -> None:
        """A message was put on its way."""
        if (text := _said(m.decode(payload))) is not None:
            self._say(self._world.now, a, f"-> {b}  {text}")

    def lines(self, since: float = 0.0) -> list[str]:
        """The run in words, from that moment on."""
        together = merge(self._lines, self._world.trace.lines, key=lambda line: line[0])
        return [f"{moment:9.4f}  {text}" for moment, text in together if moment >= since]


def _said(message: m.Message) -> str | None:
    """The messages that matter, in words; None for the everyday ones."""
    match message:
        case m.RequestVote():
            return f"vote for me in term {message.term} (my log ends {message.last_log_index} of term {message.last_log_term})"
        case m.Vote():
            return f"has my vote in term {message.term}"
        case m.PreVote():
            return f"would you vote for me in term {message.term}?"
        case m.PreVoteAnswer(granted=True):
            return "I would"
        case m.TimeoutNow():
            return f"lead in my place, after term {message.term}"
        case m.TermNotice():
            return f"it is term {message.term} by now"
        case m.AppendAnswer(success=False) | m.AppendAnswer(reset=True):
            return f"send again from {message.next_index} (term {message.term})"
        case m.Refused():
            return f"{len(message.request_ids)} requests not taken{' (overloaded)' if message.overloaded else ''}"
        case m.SnapshotOffer():
            return f"take the snapshot {message.name} ({message.size_bytes} bytes)"
        case m.SnapshotWant():
            return f"{message.name} from byte {message.offset_bytes}, please"
    return None
