"""What makes the outbox run on a member: tasks, time limits, commands. What is done when is decided in `node/outbox.py`.

A defect in here or in a courier must not end a node that takes bookings: it is logged, what was under way is given up, and the outbox
begins anew from the replicated cursors.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Coroutine, Mapping
from typing import Protocol

from node.cloudevents import Data, cloud_event, story_of
from node.couriers import DELIVERY_SECONDS, Courier, Result, Retry
from node.outbox import Abandon, Confirm, Deliver, Execute, Outbox
from node.replica import OutcomeUnknownError, OverloadedError, UnavailableError
from statemachine.commands import Command
from statemachine.events import Event
from statemachine.feed import Place
from statemachine.outcomes import Outcome
from statemachine.sinks import SinkKind
from statemachine.state import State

log = logging.getLogger("deskraft.outbox")

LOOK_SECONDS = 0.05  # between two turns: the least time from a booking to its mail
COMMAND_SECONDS = 2.0
BEGIN_ANEW_SECONDS = 5.0  # after a defect
TELL_MISSED_SECONDS = 60.0  # between two lines about the same sink
SCOPE = "outbox:"  # under which the outcomes of its commands are remembered, for seconds


class Ground(Protocol):
    """What the outbox stands on: a member."""

    @property
    def state(self) -> State:
        """See `node.replica.Replica`."""
        ...

    @property
    def tells(self) -> bool:
        """Whether this member leads, has applied an entry of its own term and is not about to hand over."""
        ...

    def now_ms(self) -> int:
        """See `node.replica.Replica`."""
        ...

    async def execute(
        self,
        command: Command,
        *,
        scope: str,
        key: str | None,
        fingerprint: bytes,
        session_id: str,
        timeout_seconds: float,
    ) -> Outcome:
        """See `node.replica.Replica`."""
        ...

    async def read_index(self, timeout_seconds: float) -> int:
        """See `node.replica.Replica`."""
        ...


class OutboxRunner:
    """See the module. `run` goes on until it is cancelled."""

    def __init__(
        self, ground: Ground, couriers: Mapping[SinkKind, Courier], cluster: str, rng: random.Random
    ) -> None:
        self._ground = ground
        self._couriers = couriers
        self._cluster = cluster
        self._rng = rng
        self.outbox = self._new_outbox()
        self._tasks: set[asyncio.Task[None]] = set()
        self._missed: dict[str, tuple[int, float]] = {}  # by sink: how many were told of, and when

    def _new_outbox(self) -> Outbox:
        wants = {kind: courier.wants for kind, courier in self._couriers.items()}
        return Outbox(wants, self._render, self._rng)

    def _render(self, place: Place, event: Event) -> Data:
        story = story_of(event)
        return cloud_event(self._cluster, place, story, story)

    async def run(self) -> None:
        """Take turns until cancelled."""
        try:
            while True:
                try:
                    await self._turn()
                except Exception:
                    log.exception("the outbox begins anew: this is a defect of the program")
                    await self._let_go()
                    self.outbox = self._new_outbox()
                    await asyncio.sleep(BEGIN_ANEW_SECONDS)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await self._let_go()

    async def _turn(self) -> None:
        ground = self._ground
        for action in self.outbox.turn(ground.tells, ground.state, ground.now_ms(), time.monotonic()):
            match action:
                case Deliver():
                    self._spawn(self._deliver(action))
                case Execute():
                    self._spawn(self._execute(action))
                case Confirm():
                    self._spawn(self._confirm())
                case Abandon():
                    await self._let_go()
        if self.outbox.leading:
            self._tell_what_is_missed()

    def _spawn(self, coroutine: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, action: Deliver) -> None:
        sink, flight = action.delivery.sink, action.flight
        result: Result
        try:
            async with asyncio.timeout(DELIVERY_SECONDS):
                result = await self._couriers[sink.kind].deliver(action.delivery)
        except TimeoutError:
            result = Retry(f"no end within {DELIVERY_SECONDS:g} s")
        except Exception as error:
            log.exception("the courier of %s failed over event %s", sink.id, action.delivery.event_id)
            result = Retry(f"this node failed: {type(error).__name__}")
        self.outbox.delivered(flight, result, time.monotonic())

    async def _execute(self, action: Execute) -> None:
        good = False
        try:
            outcome = await self._ground.execute(
                action.command,
                scope=SCOPE,
                key=None,
                fingerprint=b"",
                session_id="",
                timeout_seconds=COMMAND_SECONDS,
            )
            good = outcome.ok
            if outcome.code == "malformed":
                log.error(
                    "a settlement of %s cannot be read: this is a defect of the program", action.sink_id
                )
        except (UnavailableError, OutcomeUnknownError, OverloadedError):
            good = False  # the state will show what has become of it
        self.outbox.executed(action.sink_id, good, time.monotonic())

    async def _confirm(self) -> None:
        index: int | None = None
        with contextlib.suppress(UnavailableError):  # asked again with the next turn
            index = await self._ground.read_index(COMMAND_SECONDS)
        self.outbox.confirmed(index)

    def _tell_what_is_missed(self) -> None:
        """A line in the log of the leader when a sink has fallen out of the kept feed."""
        now = time.monotonic()
        for sink in self._ground.state.sinks.values():
            missed, told_at = self._missed.get(sink.id, (sink.missed, float("-inf")))
            if sink.missed > missed and sink.state == "active" and now - told_at > TELL_MISSED_SECONDS:
                log.error("sink %s is too far behind: %d events were not delivered", sink.id, sink.missed)
                missed, told_at = sink.missed, now
            self._missed[sink.id] = (missed, told_at)

    async def _let_go(self) -> None:
        """End all attempts, and let the couriers' connections go."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for courier in self._couriers.values():
            await courier.close()
