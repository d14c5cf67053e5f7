"""A receiver of webhooks as a program of its own: `python -m tests.chaos.ear HOST:PORT FILE`. Each delivery is in the file before it is answered.

So what is in the file was told, whatever becomes of this process; what was told and not yet answered is told again. Now and then it is
slow, and now and then it says that it cannot take anything now, as receivers do.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path

from aiohttp import web

SLOW_SHARE, SLOW_SECONDS = 0.002, 1.0
AWAY_SHARE = 0.002


async def serve(address: str, path: Path) -> None:
    """Until the process is killed."""
    with path.open("a", encoding="utf-8") as out:

        async def hear(request: web.Request) -> web.Response:
            body = await request.text()
            chance = random.random()
            if chance < AWAY_SHARE:
                return web.Response(status=503)
            out.write("\n" + json.dumps({"body": json.loads(body)}))
            out.flush()
            if chance > 1 - SLOW_SHARE:
                await asyncio.sleep(SLOW_SECONDS)
            return web.Response(status=204)

        app = web.Application()
        app.router.add_post("/hook", hear)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        host, _, port = address.rpartition(":")
        await web.TCPSite(runner, host, int(port)).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))
