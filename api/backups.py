"""Taking a backup: the whole state of this node at one index, as one file streamed over HTTP.

The state is frozen after a linearizable read, so everything acknowledged before the request is in the file. Freezing copies
nothing; the file is encoded piece by piece between other requests, as fast as the client takes it and no faster than
PAUSE_SECONDS allow. While it lasts, what changes costs a little memory more (`statemachine.frozen`), so one backup
at a time is served, and none for ever.

The answer begins within the time of a request and may go on beyond it. A node that fails in between cuts the connection; the
file's end then lacks its seal, so that a part never passes for the whole (`node.backups`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator

from aiohttp import web

from api.acts import noted
from api.answers import content_answer
from api.calls import Call
from api.chores import Chores
from api.exchange import Exchange
from api.members import administrator
from api.problems import Refusal
from node import backups

PAUSE_SECONDS = 0.002  # after each piece, for everybody else
MAX_BACKUP_SECONDS = 3600.0  # then the connection is cut
MEDIA_TYPE = "application/vnd.deskraft.backup"

audit = logging.getLogger("deskraft.audit")


async def backup(exchange: Exchange, _: None) -> web.Response:
    """The state of the cluster as a file."""
    user = await administrator(exchange)
    services = exchange.services
    if services.chores.backup:
        raise Refusal("overloaded", "A backup is being fetched from this node. Ask another, or later.")
    if exchange.request.method == "GET" and exchange.query.get("consistency") != "stale":
        # On all members, and in the file itself. A stale one may be the last that can be had of a cluster without a leader.
        await noted(exchange, "backup-taken", services.node_id, "")
    head, frozen = services.replica.backup()
    audit.info("event=backup by=%s index=%d", user.login, head.index)
    name = f"deskraft-{head.cluster}-{head.index}.backup"
    extra = (("Content-Disposition", f'attachment; filename="{name}"'),)
    answer = content_answer(b"", MEDIA_TYPE, head.index, extra=extra)
    answer.headers["Cache-Control"] = "no-store"
    answer.body = _paced(services.chores, backups.pieces(head, frozen))
    return answer


async def _paced(chores: Chores, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + MAX_BACKUP_SECONDS
    chores.backup = True
    try:
        for piece in pieces:
            if loop.time() > give_up_at:
                raise ConnectionError(f"the backup was not taken within {MAX_BACKUP_SECONDS:.0f} s")
            if piece:
                yield piece
            await asyncio.sleep(PAUSE_SECONDS)
    finally:
        chores.backup = False


CALLS = (
    Call(
        "GET",
        "/api/v1/cluster/backup",
        "The whole state as a file",
        backup,
        {200: bytes},
        problems=("forbidden", "overloaded", "unavailable", "outcome-unknown"),
        media_type=MEDIA_TYPE,
        streamed=True,
    ),
)
