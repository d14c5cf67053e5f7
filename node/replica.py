"""The port through which `api` meets the cluster.

`Replica` is what a request handler may do; `node.member.Member` is the real one, and tests of the API bring their
own. All times are seconds, all indexes are log indexes.
"""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

from node.backups import BackupHead
from node.membership import Change
from node.sightings import Sighting
from statemachine.commands import Command
from statemachine.outcomes import Outcome
from statemachine.state import FrozenState, State

Role = Literal["leader", "follower", "candidate", "learner"]


class UnavailableError(Exception):
    """Nothing was executed: no leader, no quorum, not caught up, or the node is stopping. Retry elsewhere or later."""


class OutcomeUnknownError(Exception):
    """The command may or may not take effect. Retry with the same idempotency key to learn which."""


class OverloadedError(Exception):
    """Nothing was executed: a queue is at its limit. Retry after a moment."""


class ChangeRefusedError(Exception):
    """Nothing was changed; `code` is stable (see `node.membership.RefusedChangeError`), the text is for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class ChangeResult(Struct, frozen=True):
    """The change is in force. `index` is that of the configuration that holds it, old when it was so already."""

    index: int


class MemberStatus(Struct, frozen=True):
    """One member of the cluster's own record, as this node sees it.

    `match_index` is known on the leader and for the node itself. `incarnation` names the disk that is meant; "" is an open
    seat: the first disk that comes to it is written down.
    """

    id: str
    raft: str
    api: str
    role: Role | None
    reachable: bool
    match_index: int | None
    voter: bool = True
    incarnation: str = ""


class ClusterStatus(Struct, frozen=True):
    """The answer of `GET /api/v1/cluster`; `applied_index` and `digest` are read together.

    `members` is the newest configuration that this node has applied, `configuration_index` the index of its entry and
    `founding` its founding name ("" before the first leader has written it).
    """

    cluster: str
    node_id: str
    role: Role
    leader_id: str | None
    term: int
    commit_index: int
    applied_index: int
    digest: str
    members: list[MemberStatus]
    configuration_index: int = 0
    founding: str = ""


class Statistics(Struct, frozen=True):
    """Counters and gauges of the node for `/metrics`; counters only grow while the process lives."""

    journal_bytes: int
    journal_syncs: int
    journal_sync_seconds: float
    entries_applied: int
    commands_applied: int
    snapshots_written: int
    snapshots_installed: int
    elections: int
    leader_changes: int
    read_rounds: int
    commands_pending: int
    snapshot_index: int
    disk_free_bytes: int
    clock_skew_seconds: float


class Replica(Protocol):
    """One node's view of the replicated state."""

    @property
    def state(self) -> State:
        """The local state machine. Never keep it across an `await`: an installed snapshot replaces it."""
        ...

    @property
    def applied_index(self) -> int:
        """The index that `state` reflects."""
        ...

    @property
    def stopping(self) -> bool:
        """Whether a graceful stop has begun."""
        ...

    def now_ms(self) -> int:
        """The cluster's clock (median of the voters' clocks), never behind the state's."""
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
        """Carry out one command exactly once and wait until this node has applied it.

        Without `key` the node makes one for its own retries. Raises UnavailableError, OutcomeUnknownError or
        OverloadedError; every answer of the state machine, refusals included, is returned.
        """
        ...

    async def read_index(self, timeout_seconds: float) -> int:
        """Wait until `state` reflects everything acknowledged before the call (a linearizable read); its index.

        Raises UnavailableError.
        """
        ...

    def receipt(self, index: int) -> bytes | None:
        """The digest of the state when entry `index` had been applied; None for what is forgotten or not applied yet."""
        ...

    @property
    def oldest_receipt(self) -> int:
        """The lowest index that `receipt` knows."""
        ...

    async def wait_until_applied(self, index: int, timeout_seconds: float) -> None:
        """Wait until `applied_index >= index`. Raises UnavailableError."""
        ...

    async def change_members(self, change: Change, timeout_seconds: float) -> ChangeResult:
        """Have the leader change who belongs to the cluster, and wait until the change is applied there.

        A change that is in force already is not made again. Raises ChangeRefusedError, UnavailableError or OutcomeUnknownError.
        """
        ...

    async def transfer_leadership(self, to: str | None, timeout_seconds: float) -> str:
        """Have that voter lead, or the most caught-up other one; the id of the leader that there is now.

        Raises ChangeRefusedError or UnavailableError.
        """
        ...

    async def write_snapshot(self, timeout_seconds: float) -> int:
        """Have this node write a snapshot of what it has applied; the index of it, or of the one it had already.

        Raises UnavailableError when it takes longer; the writing goes on.
        """
        ...

    def backup(self) -> tuple[BackupHead, FrozenState]:
        """The state as it is now, and what a backup of it says of itself. Costs nothing until it is walked."""
        ...

    def status(self) -> ClusterStatus:
        """What this node knows of the cluster now, without asking anybody."""
        ...

    def sightings(self) -> list[Sighting]:
        """What this node has seen happen to the cluster since its process began, newest first."""
        ...

    def not_ready_because(self) -> str | None:
        """None when this node can serve (born, a leader known, lag bounded, reads work), or why not."""
        ...

    def statistics(self) -> Statistics:
        """Counters and gauges now."""
        ...
