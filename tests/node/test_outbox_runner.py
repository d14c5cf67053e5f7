"""The outbox on a loop: attempts end in time, a courier that breaks ends nothing, and who leads no more lets go."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from node import outbox_runner
from node.couriers import Delivered, Delivery, Result
from node.outbox_runner import OutboxRunner
from statemachine.commands import Command
from statemachine.outcomes import Outcome
from tests.node.outbox_world import book, only_bookings, with_hooks
from tests.statemachine.builders import World

SOON_SECONDS = 20.0


class FakeGround:
    """A member over one state."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.state = world.state
        self.tells = True

    def now_ms(self) -> int:
        return self.world.now_ms

    async def execute(self, command: Command, **_: object) -> Outcome:
        return self.world.do(command, scope="outbox:")

    async def read_index(self, timeout_seconds: float) -> int:
        return self.state.index


class FakeCourier:
    """Hangs at first, breaks then, and takes everything from the third attempt on."""

    def __init__(self) -> None:
        self.attempts = 0
        self.closed = 0
        self.taken: list[tuple[int, int]] = []
        self.wants = only_bookings

    async def deliver(self, delivery: Delivery) -> Result:
        self.attempts += 1
        if self.attempts == 1:
            await asyncio.Event().wait()
        if self.attempts == 2:
            raise RuntimeError("broken")
        self.taken.append(delivery.place)
        return Delivered()

    async def close(self) -> None:
        self.closed += 1


async def test_attempts_end_and_what_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_runner, "DELIVERY_SECONDS", 0.05)
    monkeypatch.setattr(outbox_runner, "LOOK_SECONDS", 0.01)
    world = with_hooks("hook")
    places = [book(world), book(world)]
    ground, courier = FakeGround(world), FakeCourier()
    task = asyncio.create_task(OutboxRunner(ground, {"webhook": courier}, "demo", random.Random(1)).run())
    try:
        async with asyncio.timeout(SOON_SECONDS):
            while len(courier.taken) < 2:
                world.now_ms += 1_000
                await asyncio.sleep(0.01)
            ground.tells = False
            while not courier.closed:  # noqa: ASYNC110 - the runner tells nobody
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert sorted(courier.taken) == places
    assert courier.attempts == 4
