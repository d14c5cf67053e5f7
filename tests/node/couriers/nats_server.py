"""A real `nats-server` with JetStream (Debian's package), on a port of its own, that can be stopped and started over the same data.

`scripts/test` installs it where it can. Where it is missing the tests fail if the package could have been installed, so that a machine that
runs all tests does run these; elsewhere (another system, no right to install) they are skipped and say why.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.integration.cluster import _die_with_parent, free_ports

START_SECONDS = 20.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.02


def program() -> str:
    """Where it is."""
    found = shutil.which("nats-server")
    if found is not None:
        return found
    if os.geteuid() == 0 and shutil.which("apt-cache"):
        known = subprocess.run(["apt-cache", "show", "nats-server"], capture_output=True, check=False)
        if known.returncode == 0:
            pytest.fail("nats-server is missing and can be installed: apt-get install nats-server")
    pytest.skip("nats-server is missing, and so is the right or the package to install it")


class NatsServer:
    """One server."""

    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        self.port = free_ports(1)[0]
        self.log = folder / "nats.log"
        self._command = [
            program(),
            "-a",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-js",
            "-sd",
            str(folder / "jetstream"),
        ]
        self._command += options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it and wait until it can be connected to."""
        process = self._spawn()
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, self.log.read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert time.monotonic() < deadline, self.log.read_text()
            await asyncio.sleep(POLL_SECONDS)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        return self._process

    def stop(self, with_signal: int = signal.SIGTERM) -> None:
        """End it and wait until it is gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(with_signal)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_SECONDS)


@asynccontextmanager
async def nats_server(folder: Path, *options: str) -> AsyncIterator[NatsServer]:
    """A server that has been started; gone at the end."""
    server = NatsServer(folder, options)
    await server.start()
    try:
        yield server
    finally:
        server.stop()
