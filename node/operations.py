"""What an operator asks of a running member: another configuration, another leader.

The core asks the leader once (`core.change`); messages get lost and leaders change, so here a request is asked again until it is answered or
its time is over. That is safe because every change says what shall be, not what to do: one that is so already is not made again.
"""

from __future__ import annotations

import asyncio

import msgspec

from node.changes import CHANGED_MEANWHILE, NOT_LEADER
from node.driver import Driver
from node.effects import Changed
from node.membership import Change
from node.replica import ChangeRefusedError, OutcomeUnknownError, UnavailableError

ATTEMPT_SECONDS = 0.5
PAUSE_SECONDS = 0.05


class Operations:
    """The requests under way, by id."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, asyncio.Future[Changed]] = {}

    def ended(self, effect: Changed) -> None:
        """The core has an answer."""
        future = self._waiting.pop(effect.request_id, None)
        if future is not None and not future.done():
            future.set_result(effect)

    async def change(self, change: Change, timeout_seconds: float) -> int:
        """Index of the configuration by which it is so. Raises ChangeRefusedError, UnavailableError, OutcomeUnknownError."""
        deadline = self._loop.time() + timeout_seconds
        if change.kind == "replace" and not change.disk:
            seat = self._driver.core.applied_placed.configuration.by_id.get(change.member_id)
            change = msgspec.structs.replace(change, disk="" if seat is None else seat.incarnation)
        unsure = False  # whether an earlier attempt may have come to be
        why = "no leader is known"
        while (left := deadline - self._loop.time()) > 0:
            if self._driver.failed.done():
                break
            answer = await self._attempt(change, min(ATTEMPT_SECONDS, left))
            if answer is None:
                unsure, why = True, "the leader did not answer"
            elif answer.code == "":
                return answer.at_index
            elif answer.code == NOT_LEADER:
                unsure, why = unsure or answer.detail == CHANGED_MEANWHILE, answer.detail
            elif unsure and change.kind == "remove" and answer.code == "unknown-member":
                return self._driver.core.applied_placed.index  # our own earlier attempt did it
            else:
                raise ChangeRefusedError(answer.code, answer.detail)
            await asyncio.sleep(PAUSE_SECONDS)
        if unsure:
            raise OutcomeUnknownError(
                f"the change may or may not come to be ({why}); ask again to learn which"
            )
        raise UnavailableError(f"nothing was changed: {why}")

    async def _attempt(self, change: Change, seconds: float) -> Changed | None:
        request_id = self._driver.random.getrandbits(63)
        future: asyncio.Future[Changed] = self._loop.create_future()
        self._waiting[request_id] = future
        self._driver.core.change(request_id, change)
        self._driver.wake()
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return None
        finally:
            self._waiting.pop(request_id, None)

    async def transfer(self, to: str | None, timeout_seconds: float) -> str:
        """The leader there is afterwards. Raises ChangeRefusedError or UnavailableError."""
        deadline = self._loop.time() + timeout_seconds
        before = self._driver.core.leader_id
        try:
            await self.change(Change("transfer", to or ""), timeout_seconds)
        except OutcomeUnknownError as error:
            raise UnavailableError(str(error)) from None
        while self._loop.time() < deadline:
            leader_id = self._driver.core.leader_id
            if leader_id is not None and (leader_id == to if to else leader_id != before):
                return leader_id
            await asyncio.sleep(PAUSE_SECONDS / 5)
        raise UnavailableError("leadership was given up, and no other member has taken it yet")
