"""A real browser for tests: Chromium by its own protocol (Chrome DevTools Protocol), over the websockets that aiohttp has anyway.

`open_page` starts a Chromium with a profile of its own, in a zone of the test's choice, and gives one page. Whatever the page throws or logs
as an error fails the test at the end. Where there is no Chromium the tests that need one are skipped, and say so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDED = "no Chromium on this machine (apt-get install chromium)"
START_SECONDS = 20.0
WAIT_SECONDS = 10.0
POLL_SECONDS = 0.05
OPTIONS = (
    "--headless",
    "--disable-gpu",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",  # nothing but the page under test
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)


class Page:
    """One page. Made by `open_page`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)
        self.errors: list[str] = []

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol, and its result."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=WAIT_SECONDS)
            self._note(message)
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    def _note(self, message: dict[str, Any]) -> None:
        told = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(told["exceptionDetails"])[:500])
        elif message.get("method") == "Runtime.consoleAPICalled" and told["type"] == "error":
            self.errors.append(json.dumps(told["args"])[:500])

    async def open(self, url: str) -> None:
        """Go there; it is not waited for."""
        await self.command("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = await self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, (script, answer)
        return answer["result"].get("value")

    async def wait_for(self, script: str) -> None:
        """Wait until an expression is true."""
        give_up_at = time.monotonic() + WAIT_SECONDS
        while not await self.run(script):
            if time.monotonic() > give_up_at:
                shown = await self.run("document.body.innerText")
                raise TimeoutError(
                    f"{script}: not within {WAIT_SECONDS} s; errors {self.errors}; the page: {shown}"
                )
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def open_page(profile: Path, timezone: str) -> AsyncIterator[Page]:
    """A page of a new Chromium whose clocks are those of `timezone`; the browser ends with the context."""
    assert CHROMIUM is not None, NEEDED
    sandbox = ("--no-sandbox",) if os.getuid() == 0 else ()  # the sandbox is not for root
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *OPTIONS,
        *sandbox,
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "LANGUAGE": "en"},
        start_new_session=True,
    )
    try:
        port = await _port_of(profile)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                (target,) = [each for each in await answer.json() if each["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                await page.command("Runtime.enable")
                await page.command("Page.enable")
                await page.command("Emulation.setTimezoneOverride", timezoneId=timezone)
                yield page
                assert not page.errors, page.errors
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGKILL)  # its own group: Chromium is many processes
        await process.wait()


async def _port_of(profile: Path) -> int:
    """Where the browser listens: it writes that down once it does."""
    file = profile / "DevToolsActivePort"
    give_up_at = time.monotonic() + START_SECONDS
    while not (file.exists() and "\n" in (text := file.read_text(encoding="ascii"))):
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"Chromium does not listen after {START_SECONDS} s")
        await asyncio.sleep(POLL_SECONDS)
    return int(text.split("\n", 1)[0])
