"""One node as a process: its member, its HTTP site, and how both begin and end.

Ending gracefully, in this order: `/readyz` says 503 and every answer closes its connection, so that clients go
elsewhere; leadership is handed over; requests in flight are finished; the member stops. A second signal during that is
noted and changes nothing: each step is bounded.

Exit codes: 0 after a graceful stop, or when the cluster has removed this member; 1 when the member had to stop
(`Member.failed`), or the node cannot begin because of its disk or ports; 2 for a mistake in what it was given. Each of the latter
is one line.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import resource
import signal
import sys
from pathlib import Path

from aiohttp import web

from api.app import SERVICES, build_app
from api.birth import give_birth, password_mistake
from api.joining import Join, JoinError, config_of
from api.protocol import MAX_CONNECTIONS, ApiRunner
from api.streams import MAX_STREAMS
from node.config import Config
from node.config_outbox import with_passwords
from node.config_values import Mistake
from node.couriers.wiring import couriers_of
from node.disk import StorageError
from node.guard import FailStopError
from node.member import Member
from node.outbox_runner import OutboxRunner
from node.secret import Secret, SecretError

EXIT_STOPPED = 0
EXIT_FAILED = 1
EXIT_USAGE = 2

FINISH_SECONDS = 5.0  # for requests in flight when the node stops
STEP_ASIDE_SECONDS = 0.3  # in which answers end the connections that are in use, before the rest are cut
KEEPALIVE_SECONDS = 75.0
BACKLOG_CONNECTIONS = 1024
MAX_LINE_BYTES = 8190
FILES_KEPT_BACK = 256  # for the journal, snapshots and peers, whatever clients do

log = logging.getLogger("deskraft.node")


async def join_and_serve(join: Join) -> int:
    """Run one node that cluster.yml does not name: learn the members first. The exit code."""
    _log_to_stderr()
    loop = asyncio.get_running_loop()
    learning = loop.create_task(config_of(join))
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, learning.cancel)  # nothing has begun that would have to end
    await asyncio.wait([learning])
    if learning.cancelled():
        return EXIT_STOPPED
    error = learning.exception()
    if isinstance(error, JoinError):
        return _refuse(error.exit_code, str(error))
    return await serve(learning.result(), join.node_id, join.data_dir)


async def serve(config: Config, node_id: str, data_dir: Path) -> int:
    """Run one node until it is told to stop or must. The exit code."""
    _log_to_stderr()
    try:
        secret = Secret.load(config.secret_file)
    except SecretError as error:
        return _refuse(EXIT_USAGE, str(error))
    if config.bootstrap is not None:
        password = os.environ.get(config.bootstrap.admin_password_env, "")
        if password and (mistake := password_mistake(config.bootstrap, password)):
            return _refuse(EXIT_USAGE, mistake)
    try:
        couriers = couriers_of(config.cluster, with_passwords(config.outbox), secret)
    except Mistake as mistake:
        return _refuse(EXIT_USAGE, f"cluster.yml: {mistake.key}: {mistake.text}")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, _on_signal, signal_number, stop)
    try:
        member = await Member.open(config=config, node_id=node_id, data_dir=data_dir, secret=secret)
    except (StorageError, FailStopError) as error:
        return _refuse(EXIT_FAILED, str(error))
    except OSError as error:
        address = config.nodes[node_id].raft
        return _refuse(EXIT_FAILED, f"cannot open {data_dir} or listen on {address}: {_reason(error)}")
    outbox = asyncio.create_task(OutboxRunner(member, couriers, config.cluster, random.Random()).run())  # noqa: S311 - jitter
    try:
        return await _serve_member(config, node_id, secret, member, stop)
    finally:
        outbox.cancel()
        await asyncio.gather(outbox, return_exceptions=True)
        await member.stop()
        log.info("event=stopped node=%s", node_id)


async def _serve_member(
    config: Config, node_id: str, secret: Secret, member: Member, stop: asyncio.Event
) -> int:
    app = build_app(member, secret, config, node_id)
    connections = _connections_allowed()
    app[SERVICES].streams.limit = min(MAX_STREAMS, connections * 5 // 6)  # the rest is for requests
    runner = ApiRunner(
        app,
        member,
        handle_signals=False,
        access_log=None,
        keepalive_timeout=KEEPALIVE_SECONDS,
        shutdown_timeout=FINISH_SECONDS,
        max_line_size=MAX_LINE_BYTES,
        max_connections=connections,
    )
    address = config.nodes[node_id]
    birth: asyncio.Task[None] | None = None
    try:
        await runner.setup()
        host = address.api_host.strip("[]")
        await web.TCPSite(runner, host, address.api_port, backlog=BACKLOG_CONNECTIONS).start()
        log.info("event=started node=%s api=http://%s raft=%s", node_id, address.api, address.raft)
        birth = asyncio.create_task(_give_birth(config, member, app))
        failure = await _wait_for_the_end(member, birth, stop)
        if failure is not None:
            # Who is no member any more was told so by the others, and ends as it was asked to.
            return _refuse(EXIT_STOPPED if member.removed else EXIT_FAILED, failure)
        log.info("event=stopping node=%s", node_id)
        app[SERVICES].streams.close()  # first: their readers go on elsewhere while this node finishes
        await member.hand_over()
        await asyncio.sleep(STEP_ASIDE_SECONDS)
    except OSError as error:
        return _refuse(EXIT_FAILED, f"cannot listen on {address.api}: {_reason(error)}")
    else:
        return EXIT_STOPPED
    finally:
        if birth is not None:
            birth.cancel()
            await asyncio.gather(birth, return_exceptions=True)
        await runner.cleanup()  # finishes what is in flight, for FINISH_SECONDS at most


async def _wait_for_the_end(member: Member, birth: asyncio.Task[None], stop: asyncio.Event) -> str | None:
    """None when the node was told to stop, or the line that says why it must."""
    told = asyncio.create_task(stop.wait())
    waiting: set[asyncio.Future[object]] = {told, birth, member.failed}  # type: ignore[arg-type]  # a set of any results
    try:
        while True:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if member.failed.done():
                return member.failed.result()
            if told.done():
                return None
            error = birth.exception()
            if error is not None:
                return f"the cluster cannot be born: {error}"
            waiting.discard(birth)
    finally:
        told.cancel()


async def _give_birth(config: Config, member: Member, app: web.Application) -> None:
    if config.bootstrap is None:
        return  # a member that joined: what it joined is born
    password = os.environ.get(config.bootstrap.admin_password_env)
    if password:  # without one this node has data already, or the others were born without it
        await give_birth(member, config.bootstrap, app[SERVICES].passwords, password)


def _on_signal(signal_number: signal.Signals, stop: asyncio.Event) -> None:
    if stop.is_set():
        log.info("event=signal name=%s note=stopping-already", signal_number.name)
    stop.set()


def _connections_allowed() -> int:
    """How many connections of clients leave enough files to the rest of the node; asks the system for more first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + FILES_KEPT_BACK
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(FILES_KEPT_BACK // 4, min(MAX_CONNECTIONS, soft - FILES_KEPT_BACK))


def _reason(error: OSError) -> str:
    """Why, in the system's words; asyncio's own repeat the address."""
    return os.strerror(error.errno) if error.errno else str(error)


def _refuse(code: int, message: str) -> int:
    print(f"deskraft node: {message}", file=sys.stderr, flush=True)
    return code


def _log_to_stderr() -> None:
    """One line an event on standard error, unless whoever embeds the node has set up logging already."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
