"""`scripts/run` behind its shell: which nodes it starts, whose data it touches, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.integration.cluster import ROOT, SPACES, free_ports

START_SECONDS = 60.0


class Launch:
    """Runs launch.py over a cluster.yml of its own, in this interpreter's environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.ports = free_ports(6)
        nodes = {
            f"n{i + 1}": {
                "raft": f"127.0.0.1:{self.ports[2 * i]}",
                "api": f"127.0.0.1:{self.ports[2 * i + 1]}",
            }
            for i in range(3)
        }
        admin = {"login": "admin", "password_env": "DESKRAFT_ADMIN_PASSWORD"}
        bootstrap = {"admin": admin, "spaces": SPACES}
        document = {"cluster": "test", "nodes": nodes, "data_dir": "data", "secret_file": "data/secret"}
        (folder / "cluster.yml").write_text(yaml.safe_dump(document | {"bootstrap": bootstrap}))
        self._output = folder / "output"
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, password: str | None = None) -> subprocess.Popen[str]:
        """Start it; its output goes to a file."""
        environment = {k: v for k, v in os.environ.items() if k != "DESKRAFT_ADMIN_PASSWORD"}
        if password is not None:
            environment["DESKRAFT_ADMIN_PASSWORD"] = password
        command = [
            sys.executable,
            str(ROOT / "scripts" / "launch.py"),
            "--config",
            str(self.folder / "cluster.yml"),
        ]
        with self._output.open("w") as output:
            process = subprocess.Popen(
                [*command, *arguments], stdout=output, stderr=subprocess.STDOUT, env=environment, text=True
            )
        self._started.append(process)
        return process

    def refused(self, *arguments: str) -> tuple[int, str]:
        """Exit status and last line of a start that ends by itself."""
        status = self.start(*arguments).wait(START_SECONDS)
        return status, self.output().splitlines()[-1]

    def output(self) -> str:
        """What the latest start has printed."""
        return self._output.read_text()

    def wait_for(self, reached: Callable[[], bool]) -> None:
        """Wait for a condition, within a bound."""
        give_up_at = time.monotonic() + START_SECONDS
        while not reached():
            assert self._started[-1].poll() is None, self.output()
            assert time.monotonic() < give_up_at, self.output()
            time.sleep(0.05)

    def end(self) -> None:
        """Stop whatever still runs."""
        for process in self._started:
            if process.poll() is None:
                process.terminate()
                process.wait(START_SECONDS)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """A launcher over an empty folder."""
    launcher = Launch(tmp_path)
    yield launcher
    launcher.end()


def test_start_stop_start_again(launch: Launch) -> None:
    """The password is shown once, Ctrl-C ends all with status 0, the data stays, a dead node is named."""
    process = launch.start()
    launch.wait_for(lambda: "Ctrl-C stops" in launch.output())
    assert "Password:      " in launch.output()
    assert all(f"http://127.0.0.1:{port}/" in launch.output() for port in launch.ports[1::2])
    assert (launch.data / "secret").stat().st_mode & 0o777 == 0o600
    status, line = launch.refused()
    assert (status, line) == (1, f"scripts/run: another scripts/run is using {launch.data}")
    process.send_signal(signal.SIGINT)
    assert process.wait(START_SECONDS) == 0
    assert launch.refused("--nodes", "5") == (
        2,
        f"scripts/run: {launch.data} holds a cluster of 3 nodes, not of 5: use --nodes 3, or start over with --fresh",
    )
    process = launch.start()
    launch.wait_for(lambda: "Ctrl-C stops" in launch.output())
    assert "with the password of the first start" in launch.output()
    assert "Password:" not in launch.output()
    victim = re.search(r"n2  http://.* \(process ([0-9]+)\)", launch.output())
    assert victim is not None
    os.kill(int(victim[1]), signal.SIGKILL)
    launch.wait_for(lambda: "n2 was killed by SIGKILL" in launch.output())
    process.terminate()
    assert process.wait(START_SECONDS) == 0


def test_a_port_in_use_is_one_line(launch: Launch) -> None:
    """Before anything is started or removed."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", launch.ports[3]))
        taken.listen()
        status, line = launch.refused("--fresh")
    expected = f"scripts/run: 127.0.0.1:{launch.ports[3]} (api of n2) cannot be used: Address already in use"
    assert (status, line) == (1, expected)


def test_fresh_removes_what_it_made_and_nothing_else(launch: Launch) -> None:
    """A stranger's folder and a link are left alone, with one line that says so."""
    launch.data.mkdir()
    (launch.data / "n1").mkdir()
    (launch.data / "n1" / "letters.txt").write_text("not a journal")
    status, line = launch.refused("--fresh")
    assert (status, line) == (
        2,
        f"scripts/run: {launch.data / 'n1'} was not made by scripts/run; move it away",
    )
    assert (launch.data / "n1" / "letters.txt").exists()
    (launch.data / "n1").rename(launch.folder / "elsewhere")
    (launch.data / "n1").symlink_to(launch.folder / "elsewhere")
    (launch.data / "run.json").write_text(json.dumps({"nodes": ["n1"], "ready_once": True}))
    status, line = launch.refused("--fresh")
    assert (status, line) == (1, f"scripts/run: {launch.data / 'n1'} is a link; remove it yourself")
    assert (launch.folder / "elsewhere" / "letters.txt").exists()


def test_a_mistake_in_the_file_is_one_line(launch: Launch) -> None:
    """The same line as `deskraft node` would give, before anything is made."""
    text = (launch.folder / "cluster.yml").read_text()
    (launch.folder / "cluster.yml").write_text(text.replace("cluster: test", "cluster: 7"))
    status, line = launch.refused()
    assert (status, line.startswith("scripts/run: cluster.yml: cluster: a text expected")) == (2, True)
    assert not launch.data.exists()


def test_a_node_that_dies_at_the_start_is_shown_with_its_log(launch: Launch) -> None:
    """A password that the nodes refuse: which node, how it ended, its own words; and nobody is left running."""
    assert launch.start(password="short").wait(START_SECONDS) == 1
    assert re.search(r"scripts/run: n[123] ended with status 2; the end of .*n[123]\.log:", launch.output())
    assert "8 to 128 characters" in launch.output()
    assert "short" not in launch.output()
