"""Runs the nodes of one cluster.yml as children of this process, inside `.venv`; `scripts/run` hands over
to it.

What it makes in `data_dir`: the secret (kept for ever), `<id>/` and `<id>.log` for each node, and
`run.json`, which says which nodes it made, and so what `--fresh` may remove and which number of nodes the
data is for. While it runs it holds a lock on that file.

A node that dies is reported and not started again: what a crash looks like is for people to see.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the rooms beside this folder, whether or not they are installed

from node.config import Config, ConfigError, NodeAddress, load_config  # noqa: E402 - needs the path above
from node.secret import Secret, SecretError  # noqa: E402

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.2
TAIL_LINES = 15
MAX_LOG_BYTES = 16 * 1024 * 1024  # a longer log moves to <id>.log.1 at the next start
PASSWORD_RANDOM_BYTES = 12
PR_SET_PDEATHSIG = 1  # linux/prctl.h

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback is never behind a proxy


class LaunchError(Exception):
    """Why the cluster does not start, in words for the user. `status` is the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Child:
    """One node as a process."""

    node_id: str
    process: subprocess.Popen[bytes]
    log: Path
    reported: bool = False

    def ending(self) -> str:
        """How it ended, in words."""
        code = self.process.returncode
        if code is not None and code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with status {code}"


class Signals:
    """Counts requests to stop: the first is graceful, the second is not."""

    def __init__(self) -> None:
        self.count = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # started by nohup: the terminal may go
                signal.signal(number, self._note)

    def _note(self, _number: int, _frame: object) -> None:
        self.count += 1


def say(text: str) -> None:
    """A line of progress."""
    print(f"» {text}", flush=True)


# --- which nodes -----------------------------------------------------------------------------------


def chosen_config(path: Path, count: int | None) -> tuple[Path, Config]:
    """The file to give to the nodes, and what is in it; with more nodes than cluster.yml names, a derived one."""
    config = load_config(path)
    if count is None or count == len(config.nodes):
        return path, config
    if count < len(config.nodes):
        raise LaunchError(
            f"{path.name} names {len(config.nodes)} nodes; --nodes {count} would leave some out", 2
        )
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    last = list(config.nodes.values())[-1]
    for number in range(len(config.nodes) + 1, count + 1):
        beyond = number - len(config.nodes)
        document["nodes"][f"n{number}"] = {
            "raft": NodeAddress(last.raft_host, last.raft_port + beyond, "", 0).raft,
            "api": NodeAddress("", 0, last.api_host, last.api_port + beyond).api,
        }
    document["data_dir"] = str(config.data_dir)
    document["secret_file"] = str(config.secret_file)
    derived = config.data_dir / f"cluster-{count}.yml"
    derived.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
    derived.write_text(f"# Made by scripts/run --nodes {count} from {path.name}.\n{text}", encoding="utf-8")
    return derived, load_config(derived)


# --- the data --------------------------------------------------------------------------------------


class Record:
    """`run.json`: which nodes were made here, and whether the cluster has once been ready."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._data_dir = data_dir
        self._file: IO[str] = (data_dir / "run.json").open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LaunchError(f"another scripts/run is using {data_dir}") from None
        self._file.seek(0)
        text = self._file.read()
        told = json.loads(text) if text else {}
        self.nodes: list[str] = told.get("nodes", [])
        self.ready_once: bool = told.get("ready_once", False)

    def write(self) -> None:
        """Keep it."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps({"nodes": self.nodes, "ready_once": self.ready_once}))
        self._file.flush()

    def remove_nodes(self) -> None:
        """Remove the data and logs of the nodes that were made here, and nothing else."""
        for node_id in self.nodes:
            folder = self._data_dir / node_id
            if folder.is_symlink():
                raise LaunchError(f"{folder} is a link; remove it yourself")
            if folder.is_dir():
                shutil.rmtree(folder)
            for log in (self._data_dir / f"{node_id}.log", self._data_dir / f"{node_id}.log.1"):
                log.unlink(missing_ok=True)
        self.nodes, self.ready_once = [], False
        self.write()

    def settle(self, wanted: list[str]) -> None:
        """Refuse data of another set of nodes; otherwise remember this one."""
        if self.nodes and self.nodes != wanted:
            raise LaunchError(
                f"{self._data_dir} holds a cluster of {len(self.nodes)} nodes, not of {len(wanted)}: "
                f"use --nodes {len(self.nodes)}, or start over with --fresh",
                2,
            )
        if not self.nodes:
            strangers = [node_id for node_id in wanted if (self._data_dir / node_id).exists()]
            if strangers:
                raise LaunchError(
                    f"{self._data_dir / strangers[0]} was not made by scripts/run; move it away", 2
                )
        self.nodes = wanted
        self.write()


def ensure_secret(path: Path) -> None:
    """Make the secret when it is missing; refuse one that cannot be used."""
    if path.exists():
        Secret.load(path)
    else:
        Secret.create(path)
        say(f"made {path}")


def refuse_taken_ports(nodes: Mapping[str, NodeAddress]) -> None:
    """One clear line instead of three nodes that die of it."""
    for node_id, address in nodes.items():
        for kind, host, port in (
            ("raft", address.raft_host, address.raft_port),
            ("api", address.api_host, address.api_port),
        ):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, port))
                except OSError as error:
                    name = address.raft if kind == "raft" else address.api
                    raise LaunchError(
                        f"{name} ({kind} of {node_id}) cannot be used: {error.strerror}"
                    ) from None


# --- the processes ---------------------------------------------------------------------------------


def start(node_id: str, config_path: Path, log: Path, environment: Mapping[str, str]) -> Child:
    """Start one node with its output going to its log."""
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))
    command = [sys.executable, "-m", "api.console", "node", "--config", str(config_path), "--id", node_id]
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own words
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C is for this process, which passes it on as SIGTERM
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
    return Child(node_id, process, log)


def _die_with_parent() -> None:
    """Have the kernel send SIGTERM to the node when the launcher is killed, so that none is left behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def tail(log: Path) -> str:
    """The end of a log, indented."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
    return "\n".join(f"    {line}" for line in lines) or "    (it is empty)"


def wait_until_ready(children: list[Child], nodes: Mapping[str, NodeAddress], signals: Signals) -> bool:
    """Wait until every node answers /readyz with 200. False when it was asked to stop meanwhile."""
    give_up_at = time.monotonic() + READY_SECONDS
    waiting = {child.node_id: child for child in children}
    reasons: dict[str, str] = {}
    while waiting:
        for node_id, child in list(waiting.items()):
            if child.process.poll() is not None:
                child.reported = True
                raise LaunchError(f"{node_id} {child.ending()}; the end of {child.log}:\n{tail(child.log)}")
            reason = _not_ready_because(nodes[node_id].api)
            if reason is None:
                say(f"{node_id} is ready")
                del waiting[node_id]
            else:
                reasons[node_id] = reason
        if signals.count:
            return False
        if waiting and time.monotonic() > give_up_at:
            told = "\n".join(
                f"  {node_id}: {reasons[node_id]}; the end of {child.log}:\n{tail(child.log)}"
                for node_id, child in waiting.items()
            )
            raise LaunchError(f"not ready after {READY_SECONDS:.0f} s:\n{told}")
        if waiting:
            time.sleep(POLL_SECONDS)
    return True


def _not_ready_because(api: str) -> str | None:
    try:
        with _direct.open(f"http://{api}/readyz", timeout=3):
            return None
    except urllib.error.HTTPError as error:
        with error:
            try:
                return str(json.loads(error.read(65_536)).get("detail", error.reason))
            except ValueError:
                return f"status {error.code}"
    except OSError as error:
        return f"no answer ({error})"


def stop(children: list[Child], signals: Signals) -> bool:
    """SIGTERM to all, wait; SIGKILL for what is left, or at a second Ctrl-C. Whether all ended gracefully."""
    for child in children:
        if child.process.poll() is None:
            child.process.terminate()
    asked = signals.count
    give_up_at = time.monotonic() + STOP_SECONDS
    graceful = True
    while alive := [child for child in children if child.process.poll() is None]:
        if time.monotonic() > give_up_at or signals.count > asked:
            for child in alive:
                say(f"{child.node_id} does not end; killing it")
                child.process.kill()
                child.process.wait()
            graceful = False
        time.sleep(0.05)
    for child in children:
        early = child.process.returncode == -signal.SIGTERM  # it had not begun yet
        if not child.reported and child.process.returncode != 0 and not early:
            say(f"{child.node_id} {child.ending()}; see {child.log}")
            graceful = False
    return graceful


def watch(children: list[Child], signals: Signals) -> None:
    """Until asked to stop, or until nobody is left: say which node has died."""
    while not signals.count:
        for child in children:
            if child.process.poll() is not None and not child.reported:
                child.reported = True
                say(f"{child.node_id} {child.ending()}; the end of {child.log}:\n{tail(child.log)}")
                command = " ".join(str(part) for part in child.process.args)  # type: ignore[union-attr]  # a list, above
                say(f"it is not started again by itself; to do so: {command}")
        if all(child.reported for child in children):
            raise LaunchError("no node is left")
        time.sleep(POLL_SECONDS)


# --- the whole -------------------------------------------------------------------------------------


def password_works(api: str, login: str, password: str) -> bool:
    """Whether the cluster was born with this password and not with that of an earlier, unfinished start."""
    request = urllib.request.Request(
        f"http://{api}/api/v1/auth/login",
        data=json.dumps({"login": login, "password": password}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with _direct.open(request, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        with error:
            return error.code != 401
    except OSError:
        return True


def administrator(config: Config, made_password: str | None, first_time: bool) -> str:
    """How to log in as administrator. A password that was made here is shown; one that was given is not."""
    login = config.bootstrap.admin_login
    if not first_time:
        return f"{login}, with the password of the first start"
    if made_password is None:
        return f"{login}, with the password in {config.bootstrap.admin_password_env}"
    if password_works(next(iter(config.nodes.values())).api, login, made_password):
        return f"{login}\nPassword:      {made_password}   (made for you and shown this once: keep it)"
    return f"{login}, with the password of an earlier start; when it is lost: --fresh"


def announce(config: Config, children: list[Child], made_password: str | None, first_time: bool) -> None:
    """What a person needs to go on."""
    print("\nDeskraft is ready.\n")
    for child in children:
        print(f"  {child.node_id}  http://{config.nodes[child.node_id].api}/   (process {child.process.pid})")
    print(f"\nAdministrator: {administrator(config, made_password, first_time)}")
    servers = ",".join(f"http://{address.api}" for address in config.nodes.values())
    print(f"Log in with:   .venv/bin/deskraft login {config.bootstrap.admin_login} --server {servers}")
    print(f"\nLogs: {config.data_dir}/<id>.log. Ctrl-C stops all nodes.\n", flush=True)


def launch(path: Path, count: int | None, fresh: bool) -> int:
    """Start, wait, announce, watch, stop. The exit status."""
    config_path, config = chosen_config(path, count)
    record = Record(config.data_dir)
    refuse_taken_ports(config.nodes)
    if fresh:
        record.remove_nodes()
        say("removed the data of the nodes")
    record.settle(list(config.nodes))
    ensure_secret(config.secret_file)
    environment = dict(os.environ)
    made_password = None
    if not record.ready_once and not environment.get(config.bootstrap.admin_password_env):
        made_password = secrets.token_urlsafe(PASSWORD_RANDOM_BYTES)
        environment[config.bootstrap.admin_password_env] = made_password
    signals = Signals()
    say(f"starting {', '.join(config.nodes)}")
    children: list[Child] = []
    try:
        for node_id in config.nodes:
            log = config.data_dir / f"{node_id}.log"
            children.append(start(node_id, config_path, log, environment))
        if wait_until_ready(children, config.nodes, signals):
            announce(config, children, made_password, first_time=not record.ready_once)
            record.ready_once = True
            record.write()
            watch(children, signals)
        say("stopping")
    except LaunchError:
        if made_password is not None and not record.ready_once:
            say(f"the administrator's password was to be {made_password}")
        raise
    finally:
        graceful = stop(children, signals)
    say("stopped")
    return 0 if graceful else 1


def main() -> int:
    """Parse and launch; a mistake is one line and exit status 2, a failure exit status 1."""
    parser = argparse.ArgumentParser(prog="./scripts/run")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--nodes", type=int)
    parser.add_argument("--fresh", action="store_true")
    chosen = parser.parse_args()
    try:
        return launch(chosen.config, chosen.nodes, chosen.fresh)
    except LaunchError as error:
        print(f"scripts/run: {error}", file=sys.stderr)
        return error.status
    except (ConfigError, SecretError) as error:
        print(f"scripts/run: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
