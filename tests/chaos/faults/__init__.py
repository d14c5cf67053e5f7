"""Every kind of fault that a storm may have, by the name that `--faults` takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.chaos.faults import crowds, operators, processes, wires
from tests.chaos.faults.field import Field, Struck

__all__ = ["FAULTS", "ONE_MEMBER", "Field", "Kind", "Struck"]


@dataclass(frozen=True)
class Kind:
    """One kind of fault."""

    strike: Callable[[Field, float], Awaitable[None]]  # with how many seconds to last
    one_member: bool = True  # never more than one member at a time
    beside: bool = True  # may strike while another lasts


FAULTS: dict[str, Kind] = {
    "kill": Kind(processes.kill),
    "kill-leader": Kind(processes.kill_leader),
    "kill-majority": Kind(processes.kill_majority, one_member=False, beside=False),
    "kill-all": Kind(processes.kill_all, one_member=False, beside=False),
    "pause": Kind(processes.pause),
    "rolling": Kind(processes.rolling, beside=False),
    "transfer": Kind(processes.transfer, beside=False),
    "isolate": Kind(wires.isolate),
    "halves": Kind(wires.halves),
    "bridge": Kind(wires.bridge, one_member=False, beside=False),
    "one-way": Kind(wires.one_way),
    "delay": Kind(wires.delay),
    "throttle": Kind(wires.throttle),
    "reconnect": Kind(wires.break_connections),
    "drop-clients": Kind(wires.drop_clients),
    "streams": Kind(crowds.streams),
    "receiver": Kind(crowds.receiver),
    "replace": Kind(operators.replace, beside=False),
    "hand-over": Kind(operators.hand_over),
}
ONE_MEMBER = frozenset(name for name, kind in FAULTS.items() if kind.one_member)
