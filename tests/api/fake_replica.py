"""A cluster of one in memory: the `Replica` that the API is tested against.

It applies real log entries to a real `State`; only consensus is missing. Its clock stands still until told to move, and
its failures are switched on by the test. Its record of members has the three of the tests' cluster.yml and changes by the rules of
`node.membership`, one index for each change.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from itertools import count

from node.backups import BackupHead
from node.membership import Change, Configuration, Placed, RefusedChangeError, Seat, changed
from node.receipts import Receipts
from node.replica import (
    ChangeRefusedError,
    ChangeResult,
    ClusterStatus,
    MemberStatus,
    Role,
    Statistics,
    UnavailableError,
)
from node.sightings import Sighting, Sightings
from statemachine.commands import (
    KEEP_CLIENT_KEY_MS,
    KEEP_NODE_KEY_MS,
    Command,
    Envelope,
    encode_batch,
    encode_envelope,
)
from statemachine.outcomes import Outcome
from statemachine.state import FrozenState, State


class FakeReplica:
    """Implements `node.replica.Replica`."""

    def __init__(self, now: str = "2026-11-22T12:00:00+00:00") -> None:
        self.state = State()
        self.receipts = Receipts(0, self.state.digest)
        self.clock_ms = 0
        self.set_clock(now)
        self.stopping = False
        self.failure: Exception | None = None  # raised by execute and read_index
        self.failure_after: Exception | None = None  # raised by execute once the command is applied
        self.hang_seconds = 0.0  # how long execute and read_index sleep, whatever the timeout says
        self.commands: list[Command] = []
        self.reads = 0
        self.not_ready: str | None = None
        self.configuration = Configuration(
            "f0",
            tuple(
                Seat(
                    f"n{i}",
                    f"127.0.0.1:{7000 + i}",
                    f"127.0.0.1:{8000 + i}",
                    voter=True,
                    incarnation=f"{i:032x}",
                )
                for i in (1, 2, 3)
            ),
        )
        self.configuration_index = 1
        self.seen = Sightings("n1", self.now_ms)
        self.leader_id = "n1"
        self.changes: list[Change] = []
        self.change_failure: Exception | None = None  # raised by the three calls of operators
        self._request_ids = count(1)

    def set_clock(self, now: str) -> None:
        """Set the cluster's clock to an instant in RFC 3339."""
        self.clock_ms = int(datetime.fromisoformat(now).timestamp() * 1000)

    def advance(self, seconds: float) -> None:
        """Move the clock on."""
        self.clock_ms += int(seconds * 1000)

    @property
    def applied_index(self) -> int:
        return self.state.index

    def now_ms(self) -> int:
        return max(self.clock_ms, self.state.now_ms)

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
        if self.hang_seconds:
            await asyncio.sleep(self.hang_seconds)
        if self.failure is not None:
            raise self.failure
        self.commands.append(command)
        request_id = next(self._request_ids)
        envelope = Envelope(
            request_id,
            scope,
            key or f"node-{request_id}",
            fingerprint,
            KEEP_CLIENT_KEY_MS if key else KEEP_NODE_KEY_MS,
            self.now_ms() + int(timeout_seconds * 1000),
            session_id,
            command,
        )
        applied = self.state.apply(
            self.state.index + 1, encode_batch(self.now_ms(), [encode_envelope(envelope)])
        )
        self.receipts.note(self.state.index, self.state.digest)
        await asyncio.sleep(0)
        if self.failure_after is not None:
            raise self.failure_after
        return applied.results[0][3]

    async def read_index(self, timeout_seconds: float) -> int:
        self.reads += 1
        if self.hang_seconds:
            await asyncio.sleep(self.hang_seconds)
        if self.failure is not None:
            raise self.failure
        return self.state.index

    def receipt(self, index: int) -> bytes | None:
        return self.receipts.at(index)

    @property
    def oldest_receipt(self) -> int:
        return self.receipts.oldest

    async def wait_until_applied(self, index: int, timeout_seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while self.state.index < index:
            if asyncio.get_running_loop().time() >= deadline:
                raise UnavailableError(f"index {index} is not applied yet")
            await asyncio.sleep(0.005)

    async def change_members(self, change: Change, timeout_seconds: float) -> ChangeResult:
        self.changes.append(change)
        await self._obstruct()
        try:
            new = changed(self.configuration, change)
        except RefusedChangeError as error:
            raise ChangeRefusedError(error.code, error.detail) from None
        if new != self.configuration:
            self.configuration = new
            self.configuration_index += 1
        return ChangeResult(self.configuration_index)

    async def transfer_leadership(self, to: str | None, timeout_seconds: float) -> str:
        await self._obstruct()
        target = to or next(each for each in self.configuration.voters if each != self.leader_id)
        if target not in self.configuration.by_id:
            raise ChangeRefusedError("unknown-member", f"the cluster has no member {target}")
        self.leader_id = target
        return target

    async def write_snapshot(self, timeout_seconds: float) -> int:
        await self._obstruct()
        return self.state.index

    async def _obstruct(self) -> None:
        if self.hang_seconds:
            await asyncio.sleep(self.hang_seconds)
        if self.change_failure is not None:
            raise self.change_failure

    def backup(self) -> tuple[BackupHead, FrozenState]:
        placed = Placed(self.configuration_index, self.configuration)
        return BackupHead("demo", "n1", self.now_ms(), self.state.index, 1, placed), self.state.freeze()

    def status(self) -> ClusterStatus:
        index, digest = self.state.index, self.state.digest.hex()
        members = [
            MemberStatus(
                seat.id,
                seat.raft,
                seat.api,
                self._role_of(seat),
                True,
                index if seat.id == "n1" else None,
                seat.voter,
                seat.incarnation,
            )
            for seat in self.configuration.seats
        ]
        role: Role = "leader" if self.leader_id == "n1" else "follower"
        return ClusterStatus(
            "demo",
            "n1",
            role,
            self.leader_id,
            1,
            index,
            index,
            digest,
            members,
            self.configuration_index,
            self.configuration.founding,
        )

    def _role_of(self, seat: Seat) -> Role:
        if seat.id == self.leader_id:
            return "leader"
        return "follower" if seat.voter else "learner"

    def sightings(self) -> list[Sighting]:
        return self.seen.newest_first()

    def not_ready_because(self) -> str | None:
        return self.not_ready

    def statistics(self) -> Statistics:
        return Statistics(0, 0, 0.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0)
