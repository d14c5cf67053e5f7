"""Real nodes for tests: `deskraft node` processes on free loopback ports, in a folder of their own.

Everything that waits, waits for a condition and gives up after a bound, with the reason and the ends of the
logs in the exception. Processes are signalled by their own pid only, and all of them are gone when the
context ends; the kernel takes them away even when the test process is killed.

    async with running_cluster(tmp_path) as cluster:
        leader = await cluster.wait_for_leader()
        leader.kill()
        await cluster.wait_for_leader()
        leader.start()
        await cluster.wait_until_equal()
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import yaml

from client.answers import Cluster
from node.secret import Secret

ROOT = Path(__file__).resolve().parents[2]
ADMIN_LOGIN = "admin"
ADMIN_PASSWORD = "correct-horse-battery"
READY_SECONDS = 40.0
LEADER_SECONDS = 20.0
EQUAL_SECONDS = 20.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.05
TAIL_LINES = 25
PR_SET_PDEATHSIG = 1  # linux/prctl.h
NODE_COMMAND = (sys.executable, "-m", "api.console", "node")
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING) ")
FIRST_PORT, LAST_PORT = 10_000, 32_000  # below the ports that the kernel gives to outgoing connections

SPACES: list[dict[str, Any]] = [
    {
        "id": "hq",
        "name": "Коворкинг на Мясницкой",
        "timezone": "Europe/Moscow",
        "opens": "08:00",
        "closes": "22:00",
        "slot_minutes": 60,
        "seats": [f"A{number}" for number in range(1, 17)],
    },
    {
        "id": "neva",
        "name": "Коворкинг у Невы",
        "timezone": "Europe/Moscow",
        "opens": "10:00",
        "closes": "24:00",
        "slot_minutes": 60,
        "seats": [f"W{number}" for number in range(1, 9)],
    },
]


class NodeProcess:
    """One member as a process that can be killed, stopped and started again over the same data."""

    def __init__(
        self, node_id: str, api: str, raft: str, folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.id = node_id
        self.api = api
        self.raft = raft
        self.url = f"http://{api}"
        self.data_dir = folder / "data" / node_id
        self.log = folder / f"{node_id}.log"
        self._config = folder / "cluster.yml"
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False
        self.options: tuple[str, ...] = ()  # of the command, at every start
        self.under: tuple[str, ...] = ()  # a command that starts it and becomes it, such as prlimit

    @property
    def pid(self) -> int:
        """Process id of the running node."""
        assert self._process is not None, f"{self.id} has not been started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process exists (it may be paused)."""
        return self._process is not None and self._process.poll() is None

    @property
    def running(self) -> bool:
        """Whether the process exists and is not paused."""
        return self.alive and not self._paused

    @property
    def exit_status(self) -> int | None:
        """Exit status of the last run; negative for a signal; None while it runs."""
        return None if self._process is None else self._process.poll()

    def _command(self) -> list[str]:
        """How the process is started."""
        return [*NODE_COMMAND, "--config", str(self._config), "--id", self.id]

    def start(self, *options: str) -> None:
        """Start the process; it is not waited for."""
        assert not self.alive, f"{self.id} runs already"
        command = self._command()
        with self.log.open("ab") as output:
            output.write(f"--- start {time.strftime('%H:%M:%S')}\n".encode())
            output.flush()
            self._process = subprocess.Popen(
                [*self.under, *command, *self.options, *options],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        self._paused = False

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        if self.alive:
            os.kill(self.pid, signal.SIGKILL)
            assert self._process is not None
            self._process.wait(STOP_SECONDS)
        self._paused = False

    def pause(self) -> None:
        """SIGSTOP: the process keeps its connections and says nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)
        self._paused = False

    def terminate_nowait(self) -> None:
        """SIGTERM, without waiting."""
        os.kill(self.pid, signal.SIGTERM)

    async def terminate(self) -> int:
        """SIGTERM, and wait for the graceful end; the exit status."""
        self.terminate_nowait()
        return await self.wait_for_exit()

    async def wait_for_exit(self, timeout_seconds: float = STOP_SECONDS) -> int:
        """Wait until the process has ended by itself; the exit status."""
        await self._until(lambda: not self.alive, timeout_seconds, "it does not end")
        assert self._process is not None
        return self._process.returncode

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The end of the log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def last_run(self) -> list[str]:
        """What the process has said since its last start."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return text.rpartition("--- start ")[2].splitlines()[1:]

    async def refuses_to_start(
        self, *options: str, environment: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Start it expecting that it ends by itself: exit status, and all that it wrote outside the log's format.

        The process is not this node's: a running one goes on meanwhile.
        """
        command = self._command()
        process = await asyncio.create_subprocess_exec(
            *command,
            *options,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment if environment is None else dict(environment),
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), STOP_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        said = [line for line in output.decode().splitlines() if not LOG_LINE.match(line)]
        return process.returncode, "\n".join(said)

    @property
    def environment(self) -> dict[str, str]:
        """The environment that the node is started with."""
        return dict(self._environment)

    async def _until(self, reached: Callable[[], bool], timeout_seconds: float, otherwise: str) -> None:
        give_up_at = time.monotonic() + timeout_seconds
        while not reached():
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"{self.id}: {otherwise} within {timeout_seconds} s\n{self.tail()}")
            await asyncio.sleep(POLL_SECONDS)


class JoiningProcess(NodeProcess):
    """A member that cluster.yml does not name: started with `--join`, and without the administrator's password."""

    def __init__(self, node_id: str, cluster: ProcessCluster) -> None:
        raft, api = free_ports(2)
        environment = {k: v for k, v in os.environ.items() if k != "DESKRAFT_ADMIN_PASSWORD"}
        folder = cluster.folder
        super().__init__(
            node_id, f"127.0.0.1:{api}", f"127.0.0.1:{raft}", folder, {**environment, "PYTHONUNBUFFERED": "1"}
        )
        self._secret = folder / "secret"
        self.join = ",".join(cluster.urls)

    def _command(self) -> list[str]:
        where = ["--raft", self.raft, "--api", self.api, "--data-dir", str(self.data_dir)]
        joining = ["--join", self.join, "--id", self.id, "--secret-file", str(self._secret)]
        return [*NODE_COMMAND, *joining, *where]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class ProcessCluster:
    """All members of one cluster, and what they say of it. Made by `running_cluster`."""

    def __init__(self, nodes: Iterable[NodeProcess], folder: Path, session: aiohttp.ClientSession) -> None:
        self.nodes = {node.id: node for node in nodes}
        self.everybody = list(self.nodes.values())  # also those that are no members any more
        self.folder = folder
        self.session = session

    @property
    def urls(self) -> list[str]:
        """Base URLs of all members."""
        return [node.url for node in self.nodes.values()]

    def __getitem__(self, node_id: str) -> NodeProcess:
        return self.nodes[node_id]

    def __iter__(self) -> Any:
        return iter(self.nodes.values())

    def include(self, node: NodeProcess) -> None:
        """One more member."""
        self.nodes[node.id] = node
        self.everybody.append(node)

    def exclude(self, node: NodeProcess) -> None:
        """It is no member any more; its process still ends with the cluster."""
        del self.nodes[node.id]

    def kill_all(self) -> None:
        """SIGKILL to every running member at one moment, before any of them can notice the end of another."""
        running = [node for node in self if node.alive]
        for node in running:
            os.kill(node.pid, signal.SIGKILL)
        for node in running:
            node.kill()

    async def status(self, node: NodeProcess, timeout_seconds: float = 1.0) -> Cluster | None:
        """What a node answers to GET /api/v1/cluster; None when it does not answer."""
        try:
            timeout = aiohttp.ClientTimeout(total=timeout_seconds)
            async with self.session.get(f"{node.url}/api/v1/cluster", timeout=timeout) as response:
                return msgspec.json.decode(await response.read(), type=Cluster)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    async def statuses(self, nodes: Iterable[NodeProcess] | None = None) -> dict[str, Cluster]:
        """The answers of all running nodes that answer, asked at once."""
        asked = [node for node in (self if nodes is None else nodes) if node.running]
        answers = await asyncio.gather(*(self.status(node) for node in asked))
        return {node.id: seen for node, seen in zip(asked, answers, strict=True) if seen is not None}

    async def wait_until_ready(
        self, nodes: Iterable[NodeProcess] | None = None, timeout_seconds: float = READY_SECONDS
    ) -> None:
        """Wait until /readyz of each of these nodes (all that run) is 200.

        A node that ends meanwhile is an error.
        """
        wanted = [node for node in self if node.running] if nodes is None else list(nodes)

        async def ready(node: NodeProcess) -> bool:
            if not node.alive:
                raise RuntimeError(f"{node.id} ended with status {node.exit_status}\n{node.tail()}")
            try:
                async with self.session.get(
                    f"{node.url}/readyz", timeout=aiohttp.ClientTimeout(total=3)
                ) as answer:
                    return answer.status == 200
            except (aiohttp.ClientError, TimeoutError, OSError):
                return False

        async def all_ready() -> bool:
            return all(await asyncio.gather(*(ready(node) for node in wanted)))

        await self.wait_until(all_ready, timeout_seconds, f"{[node.id for node in wanted]} are not ready")

    async def wait_for_leader(
        self, timeout_seconds: float = LEADER_SECONDS, not_: NodeProcess | None = None
    ) -> NodeProcess:
        """Wait until a running node leads and a majority of all members says so; that node."""
        found: list[NodeProcess] = []

        async def agreed() -> bool:
            seen = await self.statuses()
            for node_id, said in seen.items():
                followers = [
                    other for other in seen.values() if other.leader_id == node_id and other.term == said.term
                ]
                new = not_ is None or node_id != not_.id
                if said.role == "leader" and new and len(followers) * 2 > len(self.nodes):
                    found.append(self.nodes[node_id])
                    return True
            return False

        await self.wait_until(agreed, timeout_seconds, "nobody leads")
        return found[0]

    async def wait_until_equal(self, timeout_seconds: float = EQUAL_SECONDS) -> tuple[int, str]:
        """Wait until every running node stands at one index; fails at once when digests differ there."""
        ends: list[tuple[int, str]] = []

        async def equal() -> bool:
            running = [node for node in self if node.running]
            seen = await self.statuses(running)
            by_index: dict[int, set[str]] = {}
            for said in seen.values():
                by_index.setdefault(said.applied_index, set()).add(said.digest)
            assert all(len(digests) == 1 for digests in by_index.values()), f"digests differ: {seen}"
            if len(seen) < len(running) or len(by_index) != 1:
                return False
            ((index, (digest,)),) = by_index.items()
            ends.append((index, digest))
            return True

        await self.wait_until(equal, timeout_seconds, "the nodes are not at one index")
        return ends[0]

    async def wait_until(
        self, reached: Callable[[], Awaitable[bool]], timeout_seconds: float, otherwise: str
    ) -> None:
        """Wait for a condition; a TimeoutError names what was missing and shows the logs."""
        give_up_at = time.monotonic() + timeout_seconds
        while not await reached():
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"{otherwise} after {timeout_seconds} s\n{self.logs()}")
            await asyncio.sleep(POLL_SECONDS)

    def assert_no_traceback(self) -> None:
        """No node has ever written a traceback or an internal error into its log."""
        for node in self.everybody:
            text = node.log.read_text(encoding="utf-8", errors="replace")
            for sign in ("Traceback", "internal-error", "Exception ignored", "never retrieved"):
                at = text.find(sign)
                assert at < 0, f"{node.id}: {text[max(0, at - 500) : at + 3000]}"

    def logs(self) -> str:
        """The ends of all logs."""
        return "\n".join(
            f"=== {node.id} (exit status {node.exit_status})\n{node.tail()}" for node in self.everybody
        )


def free_ports(count: int) -> list[int]:
    """Distinct loopback ports that nobody uses now; all are held until the last is found."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            probe = socket.socket()
            try:
                probe.bind(("127.0.0.1", random.randint(FIRST_PORT, LAST_PORT)))
            except OSError:
                probe.close()
            else:
                held.append(probe)
        return [probe.getsockname()[1] for probe in held]
    finally:
        for probe in held:
            probe.close()


def write_config(
    folder: Path,
    count: int,
    spaces: list[dict[str, Any]],
    extra: Mapping[str, Any],
    hosts: Sequence[str] = (),
) -> dict[str, Any]:
    """cluster.yml and the secret in `folder`; the document as written. `hosts`: where the members are, if not on loopback."""
    ports = free_ports(2 * count)
    nodes = {
        f"n{number + 1}": {
            "raft": f"{host}:{ports[2 * number]}",
            "api": f"{host}:{ports[2 * number + 1]}",
        }
        for number, host in enumerate(hosts or ["127.0.0.1"] * count)
    }
    document: dict[str, Any] = {
        "cluster": "test",
        "nodes": nodes,
        "data_dir": "data",
        "secret_file": "secret",
        "bootstrap": {
            "admin": {"login": ADMIN_LOGIN, "password_env": "DESKRAFT_ADMIN_PASSWORD"},
            "spaces": spaces,
        },
        **extra,
    }
    (folder / "cluster.yml").write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    Secret.create(folder / "secret")
    return document


@asynccontextmanager
async def running_cluster(
    folder: Path,
    count: int = 3,
    *,
    spaces: list[dict[str, Any]] | None = None,
    extra: Mapping[str, Any] | None = None,
    wait_until_ready: bool = True,
    environment_of: Callable[[str], Mapping[str, str]] = lambda _: {},
    under_of: Callable[[str], tuple[str, ...]] = lambda _: (),
    hosts: Sequence[str] = (),
) -> AsyncIterator[ProcessCluster]:
    """A cluster of `count` fresh nodes in `folder`.

    `extra` adds keys to cluster.yml, as snapshot_every_entries; `environment_of` adds variables to the environment of a node; `under_of` is
    the command that it is started by (`NodeProcess.under`); `hosts` are the addresses of the nodes, if not loopback.
    """
    document = write_config(folder, count, SPACES if spaces is None else spaces, extra or {}, hosts)
    environment = {**os.environ, "DESKRAFT_ADMIN_PASSWORD": ADMIN_PASSWORD, "PYTHONUNBUFFERED": "1"}
    nodes = [
        NodeProcess(
            node_id, address["api"], address["raft"], folder, {**environment, **environment_of(node_id)}
        )
        for node_id, address in document["nodes"].items()
    ]
    for node in nodes:
        node.under = under_of(node.id)
    async with aiohttp.ClientSession() as session:
        cluster = ProcessCluster(nodes, folder, session)
        try:
            for node in nodes:
                node.start()
            if wait_until_ready:
                await cluster.wait_until_ready()
            yield cluster
        except BaseException as error:
            error.add_note(cluster.logs())
            raise
        finally:
            for node in cluster.everybody:
                node.kill()
