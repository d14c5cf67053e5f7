"""A server that answers a constant with the same library and the same loop as a node: what a request costs at the least.

Prints its port and serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import web

_BODY = b'{"status":"confirmed"}'


async def _answer(_: web.Request) -> web.Response:
    return web.Response(body=_BODY, content_type="application/json")


async def _serve() -> None:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", _answer)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=75.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(_serve())
