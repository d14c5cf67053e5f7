"""Every kind of fault that a storm may have, by the name that `--faults` takes, and what each needs of the machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.faults import clocks, crowds, damage, descriptors, disks, operators, processes, wires
from tests.chaos.faults.field import Field, Struck
from tests.chaos.faults.stage import (
    Stage,
    missing_clocks,
    missing_disks,
    missing_files,
    missing_tracing,
    staged,
)

__all__ = ["FAULTS", "GROUPS", "ONE_MEMBER", "Field", "Kind", "Struck", "named", "possible", "stage_for"]


@dataclass(frozen=True)
class Kind:
    """One kind of fault."""

    strike: Callable[[Field, float], Awaitable[None]]  # with how many seconds to last
    one_member: bool = True  # never more than one member at a time
    beside: bool = True  # may strike while another lasts
    missing: Callable[[], str] = lambda: ""  # why this machine does not allow it; "" when it does
    network: str = ""  # the only one that can do it; "": each can


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
    "delay": Kind(wires.delay, network="proxies"),
    "loss": Kind(wires.loss, network="namespaces"),
    "throttle": Kind(wires.throttle),
    "reconnect": Kind(wires.break_connections),
    "drop-clients": Kind(wires.drop_clients),
    "streams": Kind(crowds.streams, missing=crowds.missing_descriptors),
    "receiver": Kind(crowds.receiver),
    "replace": Kind(operators.replace, beside=False),
    "hand-over": Kind(operators.hand_over),
    "skew": Kind(clocks.skew, missing=missing_clocks),
    "disk-full": Kind(disks.full, missing=missing_disks),
    "disk-error": Kind(disks.error, missing=missing_tracing),
    "disk-slow": Kind(disks.slow, missing=missing_tracing),
    "torn-tail": Kind(damage.torn_tail),
    "damaged-journal": Kind(damage.damaged_journal, beside=False),
    "damaged-snapshot": Kind(damage.damaged_snapshot, beside=False),
    "connections": Kind(descriptors.connections, missing=missing_files),
    "no-descriptors": Kind(descriptors.no_descriptors, missing=missing_files),
}
GROUPS = {  # names for several
    "partition": ("isolate", "halves", "bridge", "one-way"),
    "drop": ("drop-clients", "reconnect", "loss"),
    "restart": ("rolling", "transfer"),
    "clock": ("skew",),
    "disk": ("disk-full", "disk-error", "disk-slow"),
    "damage": ("torn-tail", "damaged-journal", "damaged-snapshot"),
    "descriptors": ("connections", "no-descriptors"),
}
ONE_MEMBER = frozenset(name for name, kind in FAULTS.items() if kind.one_member)


def named(words: str) -> tuple[str, ...]:
    """The faults of a comma-separated list of their names and those of groups; all of them for none. Raises ValueError: no such fault."""
    wanted = [word.strip() for word in words.split(",") if word.strip()]
    if unknown := [word for word in wanted if word not in FAULTS and word not in GROUPS]:
        raise ValueError(
            f"no such fault: {', '.join(unknown)}; there are {', '.join(FAULTS)}, and the groups {', '.join(GROUPS)}"
        )
    return tuple(dict.fromkeys(name for word in wanted for name in GROUPS.get(word, (word,)))) or tuple(
        FAULTS
    )


def possible(names: tuple[str, ...], network: str = "proxies") -> tuple[str, ...]:
    """Those that this machine and this kind of network allow; each of the others is said, once, and why."""
    found = []
    for name in names:
        kind = FAULTS[name]
        if kind.network not in ("", network):
            print(f"without {name}: it needs --network {kind.network}", flush=True)
        elif why := kind.missing():
            print(f"without {name}: {why}", flush=True)
        else:
            found.append(name)
    return tuple(found)


def stage_for(folder: Path, members: list[str], names: tuple[str, ...]) -> AbstractContextManager[Stage]:
    """What has to stand before the members start, so that these faults can strike."""
    needs = {FAULTS[name].missing for name in names}
    return staged(
        folder,
        members,
        clocks=missing_clocks in needs,
        disks=missing_disks in needs,
        files=missing_files in needs,
    )
