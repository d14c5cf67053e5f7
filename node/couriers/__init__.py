"""Those who carry an event to a sink: one courier for each kind of sink.

A courier makes **one attempt** and says how it ended; everything else is the runner's (`node/outbox.py`): which
event, in which order, when again, how many at a time, the time limit (`DELIVERY_SECONDS`, after which the attempt is cancelled and
counts as `Retry`), and writing down what has become of it. A courier keeps nothing between attempts but connections.

**At least once.** After a change of leaders, or when an answer is lost, the same event comes again with the same `event_id`:
a courier hands that id on (`webhook-id`, `Nats-Msg-Id`, `Message-ID`), so that the receiver can drop the repeat.

**How an attempt ends:**

- `Delivered`: the sink has taken it.
- `Retry(why)`: this event failed; it is tried again with a growing pause, later events of the same subject wait behind it, others do
  not. After `MAX_ATTEMPTS` it is a dead letter. `after_ms` is the least pause that the sink asked for (Retry-After).
- `Retry(why, away=True)`: the *sink as a whole* cannot be reached or serves nobody (no connection, name not found, 502, 503, 504, 429,
  log-in refused by the mail server). Nothing is counted against the event: the sink is asked again with a growing pause, one event at a
  time, for as long as it takes, and nothing is written down but that it is in trouble. Use this wherever another event would fare no better.
- `Rejected(why)`: will never be taken (a mail address that does not exist, a message too large): a dead letter at once.
- `Gone(why)`: the sink wants nothing any more (410): it is disabled until an administrator enables it.

`why` is one line for administrators: no secrets, no bodies, at most `MAX_WHY_CHARS` (the rest is cut). An exception that a courier does not
catch counts as `Retry`, with a line in the node's log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from statemachine.events import Event
from statemachine.sinks import Place, Sink
from statemachine.state import State

DELIVERY_SECONDS = 10.0


@dataclass(frozen=True)
class Delivery:
    """One event for one sink.

    `event_id` is `"index.position"`; `cloud` the event as CloudEvents 1.0 JSON, as administrators see it; `event` the same as the
    state machine knows it. `attempt` counts from 1. `now_ms` is the cluster's clock. `state` is the local state, at the
    event or later: look everything up in it *before the first await* (an installed snapshot replaces it), and change nothing.
    """

    sink: Sink
    place: Place
    event: Event
    cloud: Mapping[str, Any]
    attempt: int
    now_ms: int
    state: State

    @property
    def event_id(self) -> str:
        """The stable name of the event."""
        return f"{self.place[0]}.{self.place[1]}"


@dataclass(frozen=True)
class Delivered:
    """The sink has taken it."""


@dataclass(frozen=True)
class Retry:
    """Not this time; see the module."""

    why: str
    after_ms: int | None = None
    away: bool = False


@dataclass(frozen=True)
class Rejected:
    """Never."""

    why: str


@dataclass(frozen=True)
class Gone:
    """The sink wants nothing any more."""

    why: str


Result = Delivered | Retry | Rejected | Gone


class Courier(Protocol):
    """Carries events to the sinks of one kind."""

    def wants(self, sink: Sink, place: Place, event: Event, state: State) -> bool:
        """Whether the event is for this sink at all. Cheap, without I/O; asked for every event, perhaps more than once."""
        ...

    async def deliver(self, delivery: Delivery) -> Result:
        """Make one attempt. Cancelled after `DELIVERY_SECONDS`; several run at once, never two of one subject."""
        ...

    async def close(self) -> None:
        """Let connections go; this node leads no more, or ends. `deliver` may be called again afterwards."""
        ...
