"""The processes that are measured: three nodes in a folder of their own, and servers that answer a constant.

They are started as `scripts/run` starts them, signalled by their own pid only, and go when this process goes.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import yaml

from node.config import load_config
from node.secret import Secret
from scripts import launch

ROOT = Path(__file__).resolve().parents[2]
FIRST_PORT, LAST_PORT = 10_000, 32_000  # below the ports that the kernel gives to outgoing connections
PASSWORD_ENV = "DESKRAFT_BENCH_ADMIN_PASSWORD"  # noqa: S105 - the name of a variable
REFERENCE_TURNS = 500
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_UTIME_FIELD = 11  # of /proc/<pid>/stat, counted behind the name, which may hold anything


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used, of all its threads; ticks of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[_UTIME_FIELD]) + int(fields[_UTIME_FIELD + 1])) / _TICKS_PER_SECOND


def free_ports(count: int) -> list[int]:
    """Distinct loopback ports that nobody uses now; all are held until the last is found."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            probe = socket.socket()
            try:
                probe.bind(("127.0.0.1", random.randint(FIRST_PORT, LAST_PORT)))  # noqa: S311 - no secret
            except OSError:
                probe.close()
            else:
                held.append(probe)
        return [probe.getsockname()[1] for probe in held]
    finally:
        for probe in held:
            probe.close()


def write_cluster(folder: Path, spaces: list[dict[str, Any]]) -> Path:
    """cluster.yml of three nodes on free ports, and their secret; the path of the file."""
    ports = free_ports(6)
    document = {
        "cluster": "bench",
        "nodes": {
            f"n{i + 1}": {"raft": f"127.0.0.1:{ports[2 * i]}", "api": f"127.0.0.1:{ports[2 * i + 1]}"}
            for i in range(3)
        },
        "data_dir": "data",
        "secret_file": "secret",
        "bootstrap": {"admin": {"login": "admin", "password_env": PASSWORD_ENV}, "spaces": spaces},
    }
    path = folder / "cluster.yml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    Secret.create(folder / "secret")
    return path


class Nodes:
    """Three members as processes."""

    def __init__(self, folder: Path, spaces: list[dict[str, Any]]) -> None:
        self._folder = folder
        self._path = write_cluster(folder, spaces)
        self.config = load_config(self._path)
        self.addresses = [(node.api_host, node.api_port) for node in self.config.nodes.values()]
        self._environment = {**os.environ, PASSWORD_ENV: secrets.token_urlsafe(12)}
        self._signals = launch.Signals()
        self._children: list[launch.Child] = []
        self._killed: set[str] = set()
        self._spent_seconds = 0.0  # by processes that are gone

    def __enter__(self) -> Nodes:
        try:
            for node_id in self.config.nodes:
                self._children.append(self._start(node_id))
            self._wait_until_ready()
        except BaseException:
            self._kill_all()
            raise
        return self

    def _wait_until_ready(self) -> None:
        if not launch.wait_until_ready(self._children, self.config.nodes, self._signals):
            raise KeyboardInterrupt

    def _start(self, node_id: str) -> launch.Child:
        return launch.start(node_id, self._path, self._folder / f"{node_id}.log", self._environment)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill_all()

    def _kill_all(self) -> None:
        for child in self._children:
            if child.process.poll() is None:
                child.process.kill()
                child.process.wait()

    def interrupted(self) -> bool:
        """Whether Ctrl-C or the like has come."""
        return self._signals.count > 0

    def cpu_seconds(self) -> float:
        """CPU of all nodes since their start."""
        return self._spent_seconds + sum(cpu_seconds(child.process.pid) for child in self._alive())

    def _alive(self) -> list[launch.Child]:
        return [child for child in self._children if child.process.poll() is None]

    def dead(self) -> list[str]:
        """Who has died without having been killed, and how."""
        return [
            f"{child.node_id} {child.ending()}; the end of its log:\n{launch.tail(child.log)}"
            for child in self._children
            if child.process.poll() is not None and child.node_id not in self._killed
        ]

    def kill(self, number: int) -> None:
        """SIGKILL."""
        child = self._children[number]
        self._killed.add(child.node_id)
        self._spent_seconds += cpu_seconds(child.process.pid)
        child.process.send_signal(signal.SIGKILL)
        child.process.wait()

    def signal(self, number: int, what: signal.Signals) -> None:
        """Send a node another signal."""
        self._children[number].process.send_signal(what)

    def restart(self, number: int) -> None:
        """Start a killed node over its data; it is not waited for."""
        node_id = self._children[number].node_id
        self._children[number] = self._start(node_id)
        self._killed.discard(node_id)


class Constants:
    """Three servers that answer a constant, as many as there are nodes."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self.addresses: list[tuple[str, int]] = []

    def __enter__(self) -> Constants:
        for _ in range(3):
            process = subprocess.Popen(
                [sys.executable, "-m", "scripts.benchmarking.constant"],
                cwd=ROOT,
                stdin=subprocess.PIPE,  # it ends when this pipe does
                stdout=subprocess.PIPE,
            )
            self._processes.append(process)
        for process in self._processes:
            self.addresses.append(("127.0.0.1", int(_line(process.stdout))))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()

    def cpu_seconds(self) -> float:
        """CPU of all of them since their start."""
        return sum(cpu_seconds(process.pid) for process in self._processes)


def _line(stream: IO[bytes] | None) -> bytes:
    assert stream is not None
    return stream.readline()


def disk_sync_ms(folder: Path, count: int = 200) -> list[float]:
    """How long fdatasync takes after appending 4 KiB, in milliseconds, sorted: what durability costs here."""
    path = folder / "sync-probe"
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(count):
            file.write(bytes(4096))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    path.unlink()
    return sorted(took)


def python_work_ms() -> float:
    """CPU time of a fixed piece of Python. A machine that others share is slower from one minute to the next, and this tells."""
    began = time.process_time()
    for turn in range(REFERENCE_TURNS):
        table = {f"{turn}:{number}": [number] for number in range(1_000)}
        assert sum(len(key) + value[0] for key, value in table.items()) > 0
    return (time.process_time() - began) * 1000
