"""How a node begins and ends as a process, as far as one can be seen alone: exit codes and the one line that explains them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from api.server import EXIT_FAILED, EXIT_STOPPED, EXIT_USAGE, serve
from node.config import Config, NodeAddress
from node.secret import Secret
from tests.api.conftest import BOOTSTRAP, CONFIG

ENV = BOOTSTRAP.admin_password_env


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv(ENV, "correct horse battery")
    Secret.create(tmp_path / "secret")
    nodes = {
        name: NodeAddress("127.0.0.1", _free_port(), "127.0.0.1", _free_port()) for name in ("n1", "n2", "n3")
    }
    return replace(CONFIG, nodes=nodes, secret_file=tmp_path / "secret")


async def test_a_missing_secret_and_a_weak_password_are_exit_2(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert await serve(replace(config, secret_file=tmp_path / "none"), "n1", tmp_path / "n1") == EXIT_USAGE
    assert "missing" in capfd.readouterr().err
    monkeypatch.setenv(ENV, "password")
    assert await serve(config, "n1", tmp_path / "n1") == EXIT_USAGE
    assert capfd.readouterr().err.startswith(f"deskraft node: {ENV}, admin: ")


async def test_a_port_in_use_is_exit_1(
    config: Config, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for taken in ("raft", "api"):
        with socket.socket() as other:
            address = config.nodes["n1"]
            other.bind(("127.0.0.1", address.raft_port if taken == "raft" else address.api_port))
            other.listen()
            assert await serve(config, "n1", tmp_path / taken) == EXIT_FAILED
        refusals = [line for line in capfd.readouterr().err.splitlines() if line.startswith("deskraft node:")]
        assert len(refusals) == 1
        assert "Address already in use" in refusals[0] and getattr(address, taken) in refusals[0]


async def test_a_lone_node_is_not_ready_and_ends_gracefully_at_a_signal(
    config: Config, tmp_path: Path
) -> None:
    running = asyncio.create_task(serve(config, "n1", tmp_path / "n1"))
    address = config.nodes["n1"]
    for _ in range(100):
        await asyncio.sleep(0.05)
        try:
            reader, writer = await asyncio.open_connection(address.api_host, address.api_port)
            break
        except ConnectionRefusedError:
            assert not running.done()
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 503")
    writer.close()
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 10) == EXIT_STOPPED
