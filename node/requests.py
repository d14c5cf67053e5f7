"""Commands on their way into the log, on the node that took them and on the leader.

`Requests` keeps what this node has promised to carry out. A command goes to the leader (here or one hop away), and is *sent again
to the next leader* whenever leadership or the connection changes: the idempotency key inside it makes that safe. Its answer is not sent back:
this node applies the same entry itself and finds its own request id in it, which is also what makes the caller's
next read see the write. At its deadline a command that may be in some log ends as *unknown*, one that was refused everywhere as *unavailable*.

`LeaderQueue` is where commands wait on the leader until the next entry is made: one entry carries all that waited (group commit).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

from node.guard import ProtocolError
from node.messages import Forward, Message, Refused

MAX_PENDING = 8_192  # commands of this node's own clients; beyond: overloaded
MAX_QUEUED = 32_768  # commands waiting on the leader; beyond: overloaded
MAX_QUEUED_BYTES = 32 << 20
MAX_COMMAND_BYTES = 256 << 10
MAX_BATCH_COMMANDS = 2_048
MAX_BATCH_BYTES = 1 << 20
REFUSED_RETRY_SECONDS = 0.02  # after a refusal, unless a new leader is heard of first

Failure = Literal["unavailable", "unknown", "overloaded"]


class _Pending:
    __slots__ = ("deadline", "envelope", "maybe_logged", "overloaded", "sent_to")

    def __init__(self, envelope: bytes, deadline: float, maybe_logged: bool) -> None:
        self.envelope = envelope
        self.deadline = deadline
        self.sent_to: tuple[str, int] | None = None  # (leader, term) of the attempt under way
        self.maybe_logged = maybe_logged  # some attempt was neither refused nor answered
        self.overloaded = False


class Requests:
    """This node's own commands, by request id."""

    def __init__(
        self, send: Callable[[str, Message], None], submit: Callable[[list[int], list[bytes]], Refused | None]
    ) -> None:
        self._send = send
        self._submit = submit
        self._pending: dict[int, _Pending] = {}
        self._unsent: list[int] = []
        self._retry_at = 0.0
        self._target: tuple[str, int] | None = None
        self.failed: list[tuple[int, Failure]] = []  # filled here, taken by the driver

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, request_id: int, envelope: bytes, deadline: float, *, maybe_logged: bool = False) -> bool:
        """Take a command; False when too many are pending. `maybe_logged`: an earlier attempt may be in a log."""
        if len(self._pending) >= MAX_PENDING:
            return False
        self._pending[request_id] = _Pending(envelope, deadline, maybe_logged)
        self._unsent.append(request_id)
        return True

    def done(self, request_id: int) -> bool:
        """The command's entry was applied here; True when it was one of ours and nobody has answered it yet."""
        return self._pending.pop(request_id, None) is not None

    def remaining(self, now: float) -> list[tuple[int, bytes, float]]:
        """(request id, envelope, seconds left) of all pending: a snapshot that was installed may hold the answers."""
        return [
            (request_id, pending.envelope, pending.deadline - now)
            for request_id, pending in self._pending.items()
        ]

    def on_refused(self, message: Refused, now: float) -> None:
        """The member we sent these to did not take them; another attempt of the same command may still be in a log."""
        for request_id in message.request_ids:
            pending = self._pending.get(request_id)
            if pending is not None and pending.sent_to is not None:
                pending.sent_to = None
                pending.overloaded = message.overloaded
                self._unsent.append(request_id)
        self._retry_at = now + REFUSED_RETRY_SECONDS

    def link_changed(self, peer_id: str) -> None:
        """The connection to a peer broke: what was sent over it may be lost."""
        if self._target is not None and self._target[0] == peer_id:
            self._forget_attempts()

    def _forget_attempts(self) -> None:
        self._target = None
        for request_id, pending in self._pending.items():
            if pending.sent_to is not None:
                pending.sent_to = None
                pending.maybe_logged = True
                self._unsent.append(request_id)

    def look(self, leader_id: str | None, term: int, node_id: str, linked: set[str], now: float) -> None:
        """Called at every turn: send what is unsent to the leader, and again when it changed."""
        target = None if leader_id is None else (leader_id, term)
        if self._target is not None and target != self._target:
            self._forget_attempts()
        if not self._unsent or target is None or now < self._retry_at:
            return
        if leader_id is None or (leader_id != node_id and leader_id not in linked):
            return
        self._target = target
        unsent, self._unsent = self._unsent, []
        ids: list[int] = []
        envelopes: list[bytes] = []
        size_bytes = 0
        for request_id in unsent:
            pending = self._pending.get(request_id)
            if pending is None or pending.sent_to is not None:
                continue
            if pending.deadline <= now:
                continue  # one attempt more would only make its end uncertain; `expire` is about to end it
            pending.sent_to = target
            ids.append(request_id)
            envelopes.append(pending.envelope)
            size_bytes += len(pending.envelope)
            if size_bytes >= MAX_BATCH_BYTES:
                self._deliver(leader_id, node_id, ids, envelopes, now)
                ids, envelopes, size_bytes = [], [], 0
        if ids:
            self._deliver(leader_id, node_id, ids, envelopes, now)

    def _deliver(
        self, leader_id: str, node_id: str, ids: list[int], envelopes: list[bytes], now: float
    ) -> None:
        if leader_id != node_id:
            self._send(leader_id, Forward(ids, envelopes))
            return
        refused = self._submit(ids, envelopes)
        if refused is not None:
            self.on_refused(refused, now)

    def expire(self, now: float) -> None:
        """End what is past its deadline. Called a few times a second."""
        over = [request_id for request_id, pending in self._pending.items() if pending.deadline <= now]
        for request_id in over:
            pending = self._pending.pop(request_id)
            if pending.maybe_logged or pending.sent_to is not None:
                self.failed.append((request_id, "unknown"))
            else:
                self.failed.append((request_id, "overloaded" if pending.overloaded else "unavailable"))


class LeaderQueue:
    """Commands that wait on the leader for the next entry, with whom to tell when leadership goes first."""

    def __init__(self) -> None:
        self._queue: deque[tuple[str, int, bytes]] = deque()
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, origin: str, request_ids: list[int], envelopes: list[bytes]) -> Refused | None:
        """Take commands of a member, or refuse all of them when there is no room. Raises ProtocolError."""
        if len(request_ids) != len(envelopes) or any(len(data) > MAX_COMMAND_BYTES for data in envelopes):
            # One command over its limit would make an entry that neither a frame nor a message can carry.
            raise ProtocolError(f"{origin} forwarded commands without ids or over the limit")
        size_bytes = sum(map(len, envelopes))
        if len(self._queue) + len(envelopes) > MAX_QUEUED or self._size_bytes + size_bytes > MAX_QUEUED_BYTES:
            return Refused(request_ids, overloaded=True)
        self._queue.extend(
            (origin, request_id, envelope)
            for request_id, envelope in zip(request_ids, envelopes, strict=True)
        )
        self._size_bytes += size_bytes
        return None

    def take_batch(self) -> list[bytes]:
        """The next entry's envelopes, oldest first, within the limits of a batch."""
        batch: list[bytes] = []
        size_bytes = 0
        while self._queue and len(batch) < MAX_BATCH_COMMANDS and size_bytes < MAX_BATCH_BYTES:
            _, _, envelope = self._queue.popleft()
            size_bytes += len(envelope)
            batch.append(envelope)
        self._size_bytes -= size_bytes
        return batch

    def refuse_all(self) -> list[tuple[str, Refused]]:
        """Leadership went: who must be told about which commands."""
        by_origin: dict[str, list[int]] = {}
        for origin, request_id, _ in self._queue:
            by_origin.setdefault(origin, []).append(request_id)
        self._queue.clear()
        self._size_bytes = 0
        return [(origin, Refused(ids, overloaded=False)) for origin, ids in by_origin.items()]
