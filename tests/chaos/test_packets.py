"""Wires of name spaces and nft do what they say to real packets, and a storm runs over them.

A process of its own does it, for a process can go and live in a name space of its own, and cannot come back.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.packets import HERE, RESET_MS, PacketWire, Space, live_apart, missing, spaces_for
from tests.chaos.wires import API, Weather
from tests.integration.cluster import ROOT
from tests.integration.raw import seed_of_run

FAULTS = "isolate,halves,one-way,loss,throttle,reconnect,drop-clients,kill"
ECHO = """
import socketserver, sys

class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)

socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer((sys.argv[1], 7000), Echo)
print("there", flush=True)
server.serve_forever()
"""
SHORT_SECONDS = 0.5  # nothing came
LONG_SECONDS = 20.0  # it should have come


class Talk:
    """A connection to the echo."""

    def __init__(self, address: str) -> None:
        self._socket = socket.create_connection((address, 7000), LONG_SECONDS)
        self._count = 0

    def heard(self, timeout_seconds: float = LONG_SECONDS) -> bool:
        """Whether what is sent now comes back in time; what was sent before may come back too."""
        self._count += 1
        self._socket.sendall(b"%d\n" % self._count)
        give_up_at = time.monotonic() + timeout_seconds
        while (left := give_up_at - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], left)[0]:
                return False
            said = self._socket.recv(1 << 12)
            if not said:
                raise ConnectionResetError
            if said.endswith(b"%d\n" % self._count):
                return True
        return False


@contextmanager
def echo(space: Space) -> Iterator[None]:
    """The echo's process."""
    command = [*space.enter, sys.executable, "-c", ECHO, space.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None and server.stdout.readline() == b"there\n"
            yield
        finally:
            server.kill()


def try_wires() -> None:
    """A client here, a server in a name space: silence, what waited, slowness, loss, resets."""
    with spaces_for(["n1", "n2"]) as spaces, echo(spaces.of["n1"]):
        space = spaces.of["n1"]
        wire = PacketWire(API, "n1", HERE, space, f"{space.address}:7000")
        other = PacketWire("n2", "n1", spaces.of["n2"].address, space, "")
        talk = Talk(space.address)
        assert talk.heard()
        other.hold()
        assert talk.heard(), "another's wire is silent"
        wire.hold()
        wire.hold()
        assert not talk.heard(SHORT_SECONDS)
        wire.let_go()
        assert not talk.heard(SHORT_SECONDS), "one of two holds is left"
        wire.let_go()
        assert talk.heard(), "what was dropped is sent again"

        wire.weather = Weather(loss=0.999)
        assert not talk.heard(SHORT_SECONDS)
        wire.weather = Weather(loss=0.2)
        assert talk.heard()
        wire.weather = Weather(bytes_per_second=300e3)
        assert talk.heard()
        wire.weather = Weather()

        wire.break_connections()
        with pytest.raises(ConnectionError):
            talk.heard()
        time.sleep(2 * RESET_MS / 1000)  # resets end by themselves
        assert Talk(space.address).heard()


def in_a_process_of_its_own(*command: str) -> str:
    """What it says; it must end well."""
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=150, check=False
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_packets_are_dropped_and_come_again() -> None:
    """By the kernel's own means."""
    if why := missing():
        pytest.skip(why)
    in_a_process_of_its_own("-m", "tests.chaos.test_packets")


def test_a_storm_over_packets(tmp_path: Path) -> None:
    """Members in name spaces; every promise kept."""
    if why := missing():
        pytest.skip(why)
    options = [
        "--minutes",
        "0.25",
        "--every",
        "3",
        "--rate",
        "100",
        "--faults",
        FAULTS,
        "--report",
        str(tmp_path),
    ]
    said = in_a_process_of_its_own(
        "-m", "tests.chaos.storm", "--network", "namespaces", "--seed", str(seed_of_run()), *options
    )
    assert said.splitlines()[-1].startswith("OK: ")


if __name__ == "__main__":
    live_apart()
    try_wires()
