"""How a member that cluster.yml does not name begins: it asks the living cluster who belongs to it.

Over an empty directory the node asks the given addresses for `GET /api/v1/cluster` and begins with the newest record that it is
told, provided that the record names it at the addresses where it is to listen and expects its disk (an open seat). The record is
only where to begin: what counts comes with the log, over links that the secret authenticates. Over existing data nobody is
asked: the directory knows what it joined, and a node must start while all others are down.

A member of cluster.yml with an empty directory and no password uses the same question to learn whether the cluster exists already: then
it was replaced, and there is nothing to give birth to.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec
from msgspec import Struct

from node.config import Config, NodeAddress, joining_config
from node.config_outbox import OutboxConfig
from node.config_values import Mistake
from node.membership import Configuration, Placed, Seat, Verdict, why_stopped
from node.replica import ClusterStatus

EXIT_FAILED = 1
EXIT_USAGE = 2
JOIN_SECONDS = 60.0  # how long a node asks when nobody answers; its supervisor starts it again
UNLISTED_SECONDS = 5.0  # a node that answers may not have applied our addition yet
ASK_SECONDS = 2.5
PAUSE_SECONDS = 0.5
PROGRESS_SECONDS = 5.0
MAX_ANSWER_BYTES = 1 << 20

_IDENTITY = "identity.json"  # what `node.storage` makes first of all in a new directory

log = logging.getLogger("deskraft.joining")


class JoinError(Exception):
    """The node cannot begin; `exit_code` says whose mistake it is, the text is one line."""

    def __init__(self, exit_code: int, text: str) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Join:
    """What `deskraft node --join` was given. `servers` are base URLs; of `file`, the others' cluster.yml, only the outbox counts."""

    servers: tuple[str, ...]
    node_id: str
    address: NodeAddress
    data_dir: Path
    secret_file: Path
    wants_vote: bool
    file: Config | None = None


class _Known(Struct):
    """What is needed of an identity file; `node.storage` reads it strictly later."""

    cluster: str
    node_id: str
    birth: Placed | None = None


async def config_of(join: Join) -> Config:
    """The configuration to start with. Raises JoinError."""
    known = _known(join.data_dir)
    if known is None:
        cluster, placed = await _told(join)
    elif known.birth is None:
        raise JoinError(
            EXIT_FAILED, "the directory was made before members could join: start it with its cluster.yml"
        )
    else:
        cluster, placed = known.cluster, known.birth
    if join.file is not None and join.file.cluster != cluster:
        text = f"--config is of the cluster {join.file.cluster!r}; this member belongs to {cluster!r}"
        raise JoinError(EXIT_USAGE, text)
    own = (join.node_id, join.address)
    outbox = OutboxConfig() if join.file is None else join.file.outbox
    try:
        return joining_config(
            cluster, placed, own, join.data_dir, join.secret_file, outbox, wants_vote=join.wants_vote
        )
    except Mistake as mistake:
        raise JoinError(EXIT_FAILED, f"the record of the members cannot be used: {mistake.text}") from None


async def exists(config: Config, node_id: str) -> bool:
    """Whether another node of cluster.yml says that the cluster has been founded. Asked once, without patience."""
    urls = [f"http://{address.api}" for other, address in config.nodes.items() if other != node_id]
    async with aiohttp.ClientSession() as session:
        answers = await asyncio.gather(*(_ask(session, url) for url in urls))
    return any(
        isinstance(said, ClusterStatus) and said.cluster == config.cluster and said.founding
        for said in answers
    )


def _known(data_dir: Path) -> _Known | None:
    try:
        raw = (data_dir / _IDENTITY).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JoinError(EXIT_FAILED, f"{data_dir / _IDENTITY} cannot be read: {error.strerror}") from None
    try:
        return msgspec.json.decode(raw, type=_Known)
    except ValueError as error:  # msgspec's own, or a text that is not UTF-8
        raise JoinError(EXIT_FAILED, f"{_IDENTITY} is damaged: {error}") from None


async def _told(join: Join) -> tuple[str, Placed]:
    """The cluster's name and its newest record, once it names this node. Raises JoinError."""
    log.info("event=joining node=%s via=%s", join.node_id, ",".join(join.servers))
    began = progress_at = time.monotonic()
    unlisted_since: float | None = None
    async with aiohttp.ClientSession() as session:
        while True:
            answers = await asyncio.gather(*(_ask(session, url) for url in join.servers))
            newest, reasons = _newest(dict(zip(join.servers, answers, strict=True)))
            now = time.monotonic()
            if newest is not None:
                if _names(newest, join):
                    return newest.cluster, _placed(newest)
                unlisted_since = now if unlisted_since is None else unlisted_since
                if now - unlisted_since >= UNLISTED_SECONDS:
                    raise JoinError(EXIT_USAGE, _how_to_add(join))
                reasons = (
                    f"{newest.node_id} does not know {join.node_id} (entry {newest.configuration_index})"
                )
            elif now - began >= JOIN_SECONDS:
                raise JoinError(EXIT_FAILED, f"nobody to join: {reasons}")
            if now - progress_at >= PROGRESS_SECONDS:
                progress_at = now
                log.info("event=joining node=%s waiting: %s", join.node_id, reasons)
            await asyncio.sleep(PAUSE_SECONDS)


def _newest(answers: dict[str, ClusterStatus | str]) -> tuple[ClusterStatus | None, str]:
    """The newest record of a founded cluster, and why the others gave none. Raises JoinError for two clusters."""
    founded: list[ClusterStatus] = []
    reasons: list[str] = []
    for url, said in answers.items():
        if isinstance(said, str):
            reasons.append(f"{url}: {said}")
        elif not said.founding:
            reasons.append(f"{url}: the cluster has not been founded yet")
        else:
            founded.append(said)
    if len({(said.cluster, said.founding) for said in founded}) > 1:
        raise JoinError(EXIT_USAGE, "the nodes of --join belong to different clusters")
    newest = max(founded, key=lambda said: said.configuration_index, default=None)
    return newest, "; ".join(reasons)


def _names(record: ClusterStatus, join: Join) -> bool:
    """Whether the record names this node, as it is. Raises JoinError when it names another one by its id."""
    member = {each.id: each for each in record.members}.get(join.node_id)
    if member is None:
        return False
    if (member.raft, member.api) != (join.address.raft, join.address.api):
        raise JoinError(
            EXIT_USAGE,
            f"{join.node_id} is a member at {member.raft} (peers) and {member.api} (API): start it with "
            f"--raft {member.raft} --api {member.api}, or remove it and add it anew",
        )
    if member.incarnation:
        verdict = Verdict("other-disk", final=True, index=record.configuration_index)
        raise JoinError(EXIT_FAILED, why_stopped(join.node_id, verdict, had_data=False))
    return True


def _how_to_add(join: Join) -> str:
    return (
        f"the cluster has no member {join.node_id}: add it first, with deskraft cluster add {join.node_id} "
        f"--raft {join.address.raft} --api {join.address.api} --server {','.join(join.servers)}"
    )


def _placed(record: ClusterStatus) -> Placed:
    seats = (Seat(each.id, each.raft, each.api, each.voter, each.incarnation) for each in record.members)
    configuration = Configuration(record.founding, tuple(sorted(seats, key=lambda seat: seat.id)))
    return Placed(record.configuration_index, configuration)


async def _ask(session: aiohttp.ClientSession, url: str) -> ClusterStatus | str:
    """What that node knows of the cluster, or why nothing is known of that."""
    try:
        timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
        async with session.get(f"{url}/api/v1/cluster", timeout=timeout, allow_redirects=False) as answer:
            if answer.status != 200:
                return f"status {answer.status}"
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    return "this is no deskraft node"
            return msgspec.json.decode(body, type=ClusterStatus)
    except TimeoutError:
        return "no answer in time"
    except (aiohttp.ClientError, OSError) as error:
        return f"no connection ({type(error).__name__})"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "this is no deskraft node"
