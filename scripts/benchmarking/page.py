"""The web page in a real Chromium: what the main thread works to draw a large day for the first time, and to show one change of somebody else.

The browser's own trace is read, in CPU time of the main thread, so that what else the machine does counts little. *Scripting* is what its developer
tools call so: compiling, evaluating, functions, microtasks (where most of an asynchronous page happens) and the collection of garbage; what a
script makes the browser lay out at once counts as scripting too. Tracing itself costs a little, and is in the figures.

Each first render is that of a new visitor, with nothing cached or compiled. Each change is a booking made on another node and shown in the grid by
the page's stream of events; how long that takes from the answer on is the cluster's part too.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from playwright.async_api import Browser, Page, async_playwright

from scripts.benchmarking.page_figures import PageFigures
from scripts.benchmarking.people import Asker, SetupFailedError
from scripts.benchmarking.processes import Nodes
from scripts.launch import say

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SEATS, HOURS = 200, 14
SPACE: dict[str, Any] = {
    "id": "large",
    "name": "Large",
    "timezone": "Europe/Moscow",
    "opens": "08:00",
    "closes": "22:00",
    "slot_minutes": 60,
    "seats": [f"S{number:03}" for number in range(1, SEATS + 1)],
}
VISITORS, CHANGES = 7, 20
DRAW_SECONDS = 30.0
POLL_SECONDS = 0.25  # each look is a little scripting too
PASSWORD = "correct horse of the page"  # noqa: S105 - of users who live as long as the measurement
CATEGORIES = [
    "devtools.timeline",
    "disabled-by-default-devtools.timeline",
    "toplevel",
    "v8",
    "blink.user_timing",
]
SCRIPTING = {
    "EvaluateScript",
    "FunctionCall",
    "RunMicrotasks",
    "TimerFire",
    "FireAnimationFrame",
    "EventDispatch",
    "XHRReadyStateChange",
}
SCRIPTING |= {
    "v8.compile",
    "v8.compileModule",
    "v8.evaluateModule",
    "v8.produceCache",
    "MinorGC",
    "MajorGC",
    "V8.GCScavenger",
}
DRAWING = {
    "UpdateLayoutTree",
    "RecalculateStyles",
    "Layout",
    "PrePaint",
    "UpdateLayerTree",
    "Paint",
    "Layerize",
    "Commit",
    "HitTest",
}
CELLS = "document.querySelectorAll('[role=gridcell]').length"
SETTLED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
SHOWN = """(name) => {
  const cell = [...document.querySelectorAll('[role=gridcell]')].find((each) => each.getAttribute('aria-label').startsWith(name));
  window.shown = new Promise((seen) => {
    const look = (_, observer) => { if (cell.dataset.state === 'taken') { observer.disconnect(); seen(); } };
    new MutationObserver(look).observe(cell, { attributes: true });
  });
}"""


class _Work(NamedTuple):
    scripting_ms: float
    drawing_ms: float
    longest_task_ms: float


async def run(folder: Path) -> list[PageFigures]:
    """Measure both."""
    with Nodes(folder, [SPACE]) as nodes:
        say(f"page: {SEATS} seats × {HOURS} hours in Chromium")
        day = datetime.now(UTC).date() + timedelta(days=1)
        asker = Asker(nodes.addresses[1])
        header = await _logged_in(asker)
        await _fill(asker, header, day.isoformat())
        url = "http://{}:{}/#/book?space=large&date={}".format(*nodes.addresses[0], day.isoformat())
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=CHROMIUM, chromium_sandbox=os.getuid() != 0
            )
            drawn = [await _first_render(browser, url) for _ in range(VISITORS)]
            changed, waits = await _changes(browser, url, asker, header, day.isoformat())
            await browser.close()
        asker.close()
    return [
        _figures("first render", drawn),
        _figures("change of another", changed, sorted(waits)[len(waits) // 2]),
    ]


def _figures(name: str, works: list[_Work], shown_after_ms: float | None = None) -> PageFigures:
    scripting, drawing, longest = (sorted(values) for values in zip(*works, strict=True))
    middle = len(works) // 2
    return PageFigures(
        name,
        len(works),
        scripting[middle],
        drawing[middle],
        longest[middle],
        scripting[-1],
        longest[-1],
        shown_after_ms,
    )


async def _logged_in(asker: Asker) -> bytes:
    body = {"login": "page", "password": PASSWORD}
    status, _ = await asker.ask("POST", "/api/v1/auth/register", body)
    if status != 201:
        raise SetupFailedError(f"register: {status}")
    status, tokens = await asker.ask("POST", "/api/v1/auth/login", body)
    if status != 200:
        raise SetupFailedError(f"login: {status}")
    return f"Authorization: Bearer {tokens['access_token']}\r\n".encode()


async def _book(asker: Asker, header: bytes, seat: int, day: str, hour: int) -> None:
    body = {"space_id": "large", "seat_id": f"S{seat:03}", "starts_at": f"{day}T{hour:02}:00:00+03:00"}
    status, answer = await asker.ask("POST", "/api/v1/bookings", body, header)
    if status != 201:
        raise SetupFailedError(f"book: {status} {answer}")


async def _fill(asker: Asker, header: bytes, day: str) -> None:
    """A lively day: every other seat has a booking already."""
    for seat in range(2, SEATS + 1, 2):
        await _book(asker, header, seat, day, 8 + seat % HOURS)


async def _drawn(page: Page, url: str) -> None:
    """Go there; the day is drawn whole."""
    await page.goto(url)
    give_up_at = time.monotonic() + DRAW_SECONDS
    while await page.evaluate(CELLS) < SEATS * HOURS:
        if time.monotonic() > give_up_at:
            raise SetupFailedError(f"the page does not draw the day within {DRAW_SECONDS} s")
        await asyncio.sleep(POLL_SECONDS)
    await page.evaluate(SETTLED)


async def _visitor(browser: Browser) -> Page:
    context = await browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 800})
    return await context.new_page()


async def _traced(browser: Browser, page: Page, doing: Callable[[], Awaitable[None]]) -> _Work:
    """What the main thread works meanwhile."""
    await browser.start_tracing(page=page, categories=CATEGORIES)
    await doing()
    return work_of(json.loads(await browser.stop_tracing())["traceEvents"])


def work_of(events: list[dict[str, Any]]) -> _Work:
    """A trace in figures. Of events within each other the outermost counts; `tts` and `tdur` are the thread's CPU time in microseconds."""
    main = {
        (each["pid"], each["tid"])
        for each in events
        if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    spans = [each for each in events if each.get("ph") == "X" and (each["pid"], each["tid"]) in main]
    spans.sort(key=lambda each: (each["pid"], each["ts"], -each.get("dur", 0)))
    sums = {"scripting": 0.0, "drawing": 0.0}
    outer_until: dict[int, float] = {}
    longest = 0.0
    for each in spans:
        took_ms = each.get("tdur", each.get("dur", 0)) / 1000
        if each["name"].endswith("RunTask"):
            longest = max(longest, took_ms)
        kind = "scripting" if each["name"] in SCRIPTING else "drawing" if each["name"] in DRAWING else None
        if kind is None or each["ts"] < outer_until.get(each["pid"], 0):
            continue
        outer_until[each["pid"]] = each["ts"] + each.get("dur", 0)
        sums[kind] += took_ms
    return _Work(sums["scripting"], sums["drawing"], longest)


async def _first_render(browser: Browser, url: str) -> _Work:
    page = await _visitor(browser)
    work = await _traced(browser, page, lambda: _drawn(page, url))
    await page.context.close()
    return work


async def _changes(
    browser: Browser, url: str, asker: Asker, header: bytes, day: str
) -> tuple[list[_Work], list[float]]:
    """One booking after the other, each on a seat and at an hour that was free."""
    page = await _visitor(browser)
    await _drawn(page, url)
    works, waits = [], []

    async def change(seat: int, hour: int) -> None:
        asker.close()  # the node may have closed it, for nothing was asked while the trace was read
        await _book(asker, header, seat, day, hour)
        answered = time.perf_counter()
        async with asyncio.timeout(DRAW_SECONDS):
            await page.evaluate("window.shown")
        waits.append((time.perf_counter() - answered) * 1000)
        await page.evaluate(SETTLED)

    for number in range(CHANGES + 1):
        seat, hour = 1 + 2 * number, 8 + number % HOURS
        await page.evaluate(SHOWN, f"S{seat:03}, {hour:02}:00")
        works.append(await _traced(browser, page, partial(change, seat, hour)))
    await page.context.close()
    return works[1:], waits[1:]  # without the first: the stream may not have been open yet
