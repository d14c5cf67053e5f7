"""The network of the kernel's own: each member lives in a network name space, all of them on one bridge, and nft drops packets.

What proxies cannot do: packets are lost, acknowledgements too, and TCP does with it what it does in the world: it sends again after
longer and longer times, and a connection over a cut that heals is not at once what it was. A wire is here the direction of packets
from one address to another, judged where they arrive.

Everything is below the name space of this process, which `live_apart` makes, so nothing of the machine's own network is touched or
reached, and nothing stays behind when this process ends, however it does.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.wires import API, Network, Weather, Wire
from tests.integration.cluster import ProcessCluster

CLONE_NEWNET = 0x4000_0000  # linux/sched.h
NET = "10.71.0"
HERE = f"{NET}.254"  # clients, and the receiver of webhooks
TOOL_SECONDS = 20.0
RESET_MS = 100  # whoever sends something within that time is reset
BURST_BYTES = 1 << 17  # a slow wire takes that much at once: a packet between name spaces can have 64 KB
RULES = f"""
table inet chaos {{
    set silent {{ type ipv4_addr; }}
    set broken {{ type ipv4_addr; flags timeout; timeout {RESET_MS}ms; }}
    chain weather {{ }}
    chain arriving {{
        type filter hook input priority 0;
        ip saddr @silent drop
        meta l4proto tcp ip saddr @broken reject with tcp reset
        jump weather
    }}
}}
"""
TRY = "ip link set lo up && ip link add chaos type bridge && nft add table inet chaos"


def missing() -> str:
    """What this machine lacks for name spaces with nft: tried; "" when nothing."""
    if lacking := [name for name in ("ip", "nft", "nsenter", "unshare") if shutil.which(name) is None]:
        return f"there is no {lacking[0]} (on Debian and Ubuntu: apt install iproute2 nftables util-linux)"
    tried = subprocess.run(
        ["unshare", "--net", "sh", "-c", TRY],
        capture_output=True,
        text=True,
        timeout=TOOL_SECONDS,
        check=False,
    )
    return f"no network name space can be made here ({tried.stderr.strip()})" if tried.returncode else ""


def live_apart() -> None:
    """This process, and those that it starts, have a network of their own from now on. To be called before there are threads."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no network name space can be made")
    _tool("ip", "link", "set", "lo", "up")


class Space:
    """The name space of one member, at one address of the bridge."""

    def __init__(self, member: str, address: str) -> None:
        self.address = address
        self._file = _new_space()
        self.enter = (
            "nsenter",
            f"--net=/proc/{os.getpid()}/fd/{self._file}",
        )  # a command that becomes the next
        self._weather: dict[str, Weather] = {}
        port = f"to-{member}"
        _tool("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", self.enter[1][6:])
        _tool("ip", "link", "set", port, "master", "chaos", "up")
        _tool(*self.enter, "ip", "address", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _tool(*self.enter, "ip", "link", "set", device, "up")
        self.rule(RULES)

    def rule(self, text: str) -> None:
        """Lines for nft, all of them or none."""
        _tool(*self.enter, "nft", "-f", "-", said=text)

    def suffer(self, source: str, weather: Weather) -> None:
        """What becomes of packets of that source from now on."""
        self._weather[source] = weather
        lines = ["flush chain inet chaos weather"]
        for address, each in self._weather.items():
            begin = f"add rule inet chaos weather ip saddr {address}"
            if each.loss:
                lines.append(f"{begin} numgen random mod 1000 < {round(each.loss * 1000)} drop")
            if each.bytes_per_second:
                rate = f"{round(each.bytes_per_second)} bytes/second burst {BURST_BYTES} bytes"
                lines.append(f"{begin} limit rate over {rate} drop")
        self.rule("\n".join(lines))

    def close(self) -> None:
        """The name space ends with the last process in it."""
        os.close(self._file)


class PacketWire:
    """Packets of one source that arrive in a name space."""

    def __init__(self, sender: str, receiver: str, source: str, space: Space, address: str) -> None:
        self.sender = sender
        self.receiver = receiver
        self.address = address
        self._source = source
        self._space = space
        self._weather = Weather()
        self._holds = 0

    @property
    def weather(self) -> Weather:
        """What happens to packets now."""
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        assert not weather.delay_seconds, "packets are not delayed: nft cannot"
        self._weather = weather
        self._space.suffer(self._source, weather)

    def hold(self) -> None:
        """They are dropped."""
        self._holds += 1
        if self._holds == 1:
            self._space.rule(f"add element inet chaos silent {{ {self._source} }}")

    def let_go(self) -> None:
        """After the last hold, they arrive again, when they are sent again."""
        self._holds -= 1
        if not self._holds:
            self._space.rule(f"delete element inet chaos silent {{ {self._source} }}")

    def break_connections(self) -> None:
        """Whoever sends is told that there is no such connection; the other side learns it when it sends."""
        self._space.rule(f"add element inet chaos broken {{ {self._source} }}")


class Spaces:
    """The name spaces of all members. Made by `spaces_for`."""

    def __init__(self, members: list[str]) -> None:
        self.of = {member: Space(member, f"{NET}.{number + 1}") for number, member in enumerate(members)}

    @property
    def hosts(self) -> list[str]:
        """The addresses of the members, in their order."""
        return [space.address for space in self.of.values()]

    def network(self, cluster: ProcessCluster) -> Network:
        """Its wires."""
        wires: list[Wire] = []
        for receiver, space in self.of.items():
            node = cluster[receiver]
            wires += [
                PacketWire(sender, receiver, other.address, space, node.raft)
                for sender, other in self.of.items()
                if sender != receiver
            ]
            wires.append(PacketWire(API, receiver, HERE, space, node.api))
        return Network(wires)


@contextmanager
def spaces_for(members: list[str]) -> Iterator[Spaces]:
    """A bridge in the name space of this process (`live_apart`), and a name space for each member on it."""
    _tool("ip", "link", "add", "chaos", "type", "bridge")
    _tool("ip", "address", "add", f"{HERE}/24", "dev", "chaos")
    _tool("ip", "link", "set", "chaos", "up")
    made = Spaces(members)
    try:
        yield made
    finally:
        for space in made.of.values():
            space.close()
        _tool("ip", "link", "delete", "chaos")


def _new_space() -> int:
    """A network name space that lives as long as this file is open, or a process is in it."""
    found: list[int] = []

    def make() -> None:
        if ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0:  # of this thread alone
            found.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    assert found, "no network name space can be made"
    return found[0]


def _tool(*command: str, said: str = "") -> None:
    done = subprocess.run(
        command, input=said, capture_output=True, text=True, timeout=TOOL_SECONDS, check=False
    )
    if done.returncode:
        raise OSError(f"{' '.join(command)} {said}: {done.stderr.strip()}")
