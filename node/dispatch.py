"""One sink, as the leader's outbox works on it: what to try now, and what to write down. Without I/O; see `node/outbox.py`.

What is known for good stands in the replicated state: the cursor, what is held back, the dead letters (`statemachine/outbox.py`). Here is
only what the leader has found out since the last settlement, and all of it is bounded: at most MAX_AHEAD events that have been
looked at and not passed, at most MAX_WIDTH attempts in flight.

**Order.** Events of one subject are started one after the other: not while an earlier one is in flight, has failed and is not settled, or is
held back. An event that became a dead letter lets later ones of its subject go only when that is in the log; else another leader, who
does not know of it, could deliver it after them.

**A sink that is away** (`Retry.away`) is asked again with a growing pause, one event at a time. Nothing is counted against the event,
and nothing is written but, once, that the sink is in trouble: a sink can be away for days and cost no entries. A sink that merely fails gets
fewer attempts at once, and its events are held back one by one.

**Lazily.** Events that nobody wants move the cursor with the next delivery, or when LAZY_EVENTS of them have been passed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from node.cloudevents import story_of
from node.couriers import Delivered, Gone, Rejected, Result, Retry
from statemachine.events import Event
from statemachine.feed import Place
from statemachine.limits import MAX_HELD_EVENTS, MAX_SETTLED_ROWS, MAX_WHY_CHARS
from statemachine.outbox_commands import Bury, HoldBack, Settle
from statemachine.sinks import Held, Sink
from statemachine.state import State

MAX_AHEAD = 256  # wanted events after the cursor; beyond, the sink has to take some first
MAX_EXAMINED = 2_000  # events looked at in one turn
MAX_WIDTH = 8  # attempts in flight
MAX_ATTEMPTS = 12  # about a day; then an event is a dead letter
RETRY_BASE_MS, RETRY_GROWTH, RETRY_CAP_MS = 5_000, 3, 6 * 3600 * 1000
AWAY_BASE_SECONDS, AWAY_CAP_SECONDS = 1.0, 60.0
JITTER = (0.8, 1.2)  # of every pause, so that sinks that failed together do not come back together
LAZY_EVENTS = 2_000

Wants = Callable[[Sink, Place, Event, State], bool]


@dataclass(frozen=True)
class Flight:
    """One attempt."""

    sink_id: str
    place: Place
    event: Event
    subject: str
    attempt: int
    revision: str  # of the sink when it began


class Dispatch:
    """See the module. Made for a sink when a node begins to lead, forgotten when it leads no more."""

    def __init__(self, sink: Sink, rng: random.Random, away_cap_seconds: float = AWAY_CAP_SECONDS) -> None:
        self.sink_id = sink.id
        self._rng = rng
        self._away_cap_seconds = away_cap_seconds
        self._turn = sink.turn
        self._revision = sink.revision
        self._erasures = -1  # of accounts, when events were looked at last
        self._examined = sink.cursor
        self._passed = 0  # unwanted events since the cursor moved last
        self._ahead: dict[
            Place, tuple[Event, str]
        ] = {}  # wanted, after the cursor, in order; with their subjects
        self._flying: dict[Place, Flight] = {}
        self._results: dict[Place, tuple[Flight, Result]] = {}  # that the log does not know yet
        self._included: tuple[Place, ...] = ()  # those of them that stand in the last settlement
        self._settling = False
        self._width = 1
        self._away = 0  # times in a row that nobody was there
        self._quiet_until = float("-inf")
        self._trouble = sink.why if sink.troubled_ms else ""
        self._gone = ""
        self._held_known: tuple[int, int] = (-1, -1)
        self._held_order: list[tuple[Place, str]] = []

    @property
    def in_flight(self) -> int:
        """Attempts under way."""
        return len(self._flying)

    @property
    def kept(self) -> int:
        """Events and results in memory: bounded, however long the sink takes."""
        return len(self._ahead) + len(self._results)

    # --- what to try ----------------------------------------------------------------------------------------

    def look(self, state: State, through: int, wants: Wants, now_ms: int, now: float) -> list[Flight]:
        """What to start now. Events of entries after `through` are left alone: the caller cannot vouch for them yet."""
        sink = state.sinks[self.sink_id]
        if state.feed.erasures != self._erasures:  # who is erased is named no more, and has another subject
            self._erasures = state.feed.erasures
            self._ahead.clear()
            self._examined, self._passed, self._held_known = sink.cursor, 0, (-1, -1)
        self._catch_up(sink, state.held[sink.id])
        if sink.state != "active":
            return []
        self._examine(state, sink, through, wants)
        starting: list[Flight] = []
        if self._gone or now < self._quiet_until or len(self._flying) >= self._width:
            return starting
        busy = {flight.subject for flight in self._flying.values()}
        room = self._width - len(self._flying)
        self._choose_held(state.held[sink.id], busy, now_ms, starting, room)
        for place, (event, subject) in self._ahead.items():
            if len(starting) >= room:
                break
            known = self._results.get(place)
            if subject in busy or (known is not None and isinstance(known[1], Delivered)):
                continue
            busy.add(
                subject
            )  # what comes behind waits, for a failure until it is settled; what came before does not
            if known is None and place not in self._flying:
                starting.append(Flight(self.sink_id, place, event, subject, 1, self._revision))
        self._flying.update({flight.place: flight for flight in starting})
        return starting

    def _choose_held(
        self, held: dict[Place, Held], busy: set[str], now_ms: int, starting: list[Flight], room: int
    ) -> None:
        """The first of each subject that is due; whatever comes behind one of them is `busy` from then on."""
        for place, subject in self._held_order:
            known = self._results.get(place)
            if subject in busy or (known is not None and isinstance(known[1], Delivered)):
                continue
            busy.add(subject)
            row = held[place]
            due = known is None and place not in self._flying and row.due_ms <= now_ms
            if due and len(starting) < room:
                flight = Flight(self.sink_id, place, row.event, subject, row.attempts + 1, self._revision)
                starting.append(flight)

    def _catch_up(self, sink: Sink, held: dict[Place, Held]) -> None:
        """Forget what the state knows by now."""
        if sink.revision != self._revision:  # disabled, resumed: both in one turn, perhaps
            self._revision, self._gone = sink.revision, ""
        if sink.turn != self._turn:
            # Ours was applied, or another leader's: then ours never will be, and what we knew is tried again.
            for place in self._included:
                self._results.pop(place, None)
            self._included = ()
            self._turn = sink.turn
        if self._held_known != (sink.turn, len(held)):
            self._held_known = (sink.turn, len(held))
            self._held_order = [(place, story_of(held[place].event).subject) for place in sorted(held)]
        passed = [place for place in self._ahead if place <= sink.cursor]
        for place in passed:
            del self._ahead[place]
        if passed or self._examined < sink.cursor:
            self._passed = 0
        self._examined = max(self._examined, sink.cursor)
        for place in [each for each in self._results if each <= sink.cursor and each not in held]:
            del self._results[place]  # removed, or fallen out of the feed

    def _examine(self, state: State, sink: Sink, through: int, wants: Wants) -> None:
        if len(self._ahead) >= MAX_AHEAD:
            return
        for index, position, event in state.feed.after(self._examined, MAX_EXAMINED):
            if index > through or len(self._ahead) >= MAX_AHEAD:
                return
            place = (index, position)
            self._examined = place
            if wants(sink, place, event, state):
                self._ahead[place] = (event, story_of(event).subject)
            else:
                self._passed += 1

    # --- what became of it ----------------------------------------------------------------------------------

    def ended(self, flight: Flight, result: Result, now: float) -> None:
        """An attempt has ended."""
        if self._flying.pop(flight.place, None) is not flight:
            return
        if isinstance(result, Retry) and result.away:
            if now >= self._quiet_until:  # else another attempt of the same moment has said so
                pause = min(self._away_cap_seconds, AWAY_BASE_SECONDS * 2.0 ** min(self._away, 16))
                pause = max(pause, (result.after_ms or 0) / 1000)
                self._quiet_until = now + pause * self._rng.uniform(*JITTER)
                self._away += 1
            self._trouble = _line(result.why) or "away"
            self._width = 1
        elif isinstance(result, Gone):
            if flight.revision == self._revision:  # of what the sink was before it says nothing
                self._gone = _line(result.why) or "gone"
        else:
            self._away = 0
            self._trouble = ""
            good = isinstance(result, Delivered)
            self._width = min(MAX_WIDTH, self._width * 2) if good else max(1, self._width // 2)
            self._results[flight.place] = (flight, result)

    def settlement(self, state: State, now_ms: int) -> Settle | None:
        """What to write down now, if anything; `settled` has to follow."""
        if self._settling:
            return None
        sink = state.sinks[self.sink_id]
        sheet = _Sheet(self._rng, now_ms, MAX_HELD_EVENTS - len(state.held[sink.id]))
        included = self._settle_held(state.held[sink.id], sheet)
        cursor = self._settle_ahead(sink, sheet, included)
        active = sink.state == "active"
        trouble = self._trouble if active else ""
        if not (
            sheet.rows
            or sheet.delivered
            or (active and bool(trouble) != bool(sink.troubled_ms))
            or (active and self._gone)
            or (cursor > sink.cursor and self._passed >= LAZY_EVENTS)
        ):
            return None
        self._settling = True
        self._included = tuple(included)
        return Settle(
            sink.id,
            sink.turn,
            cursor,
            sheet.delivered,
            tuple(sheet.taken),
            tuple(sheet.held),
            tuple(sheet.buried),
            trouble,
            self._gone if active else "",
        )

    def settled(self) -> None:
        """The command has ended, one way or the other: the state shows which."""
        self._settling = False

    def _settle_held(self, held: dict[Place, Held], sheet: _Sheet) -> list[Place]:
        """Whether an event is held back is asked of the state: it may have been put there while its attempt was in flight."""
        included = []
        for place in [each for each in self._results if each in held][:MAX_SETTLED_ROWS]:
            flight, result = self._results[place]
            if held[place].attempts + 1 != flight.attempt:
                del self._results[place]  # of another time: it was settled otherwise meanwhile, or replayed
                continue
            included.append(place)
            if isinstance(result, Delivered):
                sheet.taken.append(place)
                sheet.room += 1
            else:
                sheet.fail(flight, result, was_held=True)
        return included

    def _settle_ahead(self, sink: Sink, sheet: _Sheet, included: list[Place]) -> Place:
        """Pass over what needs no more looking at, up to the first event that does; the new cursor."""
        leaving = {*sheet.taken, *(bury.place for bury in sheet.buried)}
        waiting = {subject for place, subject in self._held_order if place not in leaving}
        cursor = sink.cursor
        for place, (_, subject) in self._ahead.items():
            known = self._results.get(place)
            if sheet.rows >= MAX_SETTLED_ROWS:
                return cursor
            if known is None:
                if place in self._flying or subject not in waiting or sheet.room <= 0:
                    return cursor
                sheet.room -= 1
                sheet.held.append(HoldBack(place, 0, sheet.now_ms, ""))
            else:
                flight, result = known
                if isinstance(result, Delivered):
                    sheet.delivered += 1
                elif sheet.fail(flight, result, was_held=False):
                    waiting.add(subject)
                else:
                    return cursor
                included.append(place)
            cursor = place
        return max(cursor, self._examined)


class _Sheet:
    """A settlement while it is written."""

    def __init__(self, rng: random.Random, now_ms: int, room: int) -> None:
        self._rng = rng
        self.now_ms = now_ms
        self.room = room
        self.delivered = 0
        self.taken: list[Place] = []
        self.held: list[HoldBack] = []
        self.buried: list[Bury] = []

    @property
    def rows(self) -> int:
        return len(self.taken) + len(self.held) + len(self.buried)

    def fail(self, flight: Flight, result: Result, *, was_held: bool) -> bool:
        """Hold the event back, or bury it; False when it would have to be held back and there is no room."""
        assert isinstance(result, Retry | Rejected)
        why = _line(result.why)
        if isinstance(result, Rejected) or flight.attempt >= MAX_ATTEMPTS:
            self.buried.append(Bury(flight.place, flight.attempt, why))
            self.room += was_held
            return True
        if not was_held and self.room <= 0:
            return False
        self.room -= not was_held
        pause_ms = min(RETRY_CAP_MS, RETRY_BASE_MS * RETRY_GROWTH ** (flight.attempt - 1))
        pause_ms = max(int(pause_ms * self._rng.uniform(*JITTER)), result.after_ms or 0)
        self.held.append(HoldBack(flight.place, flight.attempt, self.now_ms + pause_ms, why))
        return True


def _line(text: str) -> str:
    return " ".join(text.split())[:MAX_WHY_CHARS]
