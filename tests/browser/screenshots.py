"""Behind `scripts/screenshots`: the pictures of the user's guide, taken from a real cluster in a real browser.

A cluster of three processes, `world` in it, and each screen as a visitor or the administrator sees it: light and dark, on a desktop and on a
phone, in Russian and in English. The pictures are small (WebP) and stand in docs/pictures, named <screen>.<language>[.dark|.phone].webp.
Their dates follow the day on which they are taken.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from playwright.async_api import Browser, Page, StorageState, async_playwright, expect

from tests.browser.booking import date_of
from tests.browser.pages import CHROMIUM, LOCALES, NEEDED, VIEWPORTS, log_in
from tests.browser.people import PASSWORD
from tests.browser.world import CLUSTER, World
from tests.integration.cluster import (
    ADMIN_LOGIN,
    ADMIN_PASSWORD,
    ROOT,
    NodeProcess,
    ProcessCluster,
    running_cluster,
)

PICTURES = ROOT / "docs" / "pictures"
QUALITY = 82
MOST_BYTES = 1_500_000  # of all pictures together
WAIT_MS = 20_000
LINES_MS = 180_000
PAUSE_SECONDS = 0.08


class Shot(NamedTuple):
    """A screen, as one kind of visitor sees it."""

    name: str
    route: str
    language: str
    kind: str = ""  # "", "dark" or "phone"
    admin: bool = False
    prepare: Callable[[Page], Awaitable[None]] | None = None

    @property
    def file(self) -> str:
        """Where the picture stands."""
        return ".".join(part for part in (self.name, self.language, self.kind, "webp") if part)


async def choose(page: Page) -> None:
    """Two hours of the evening are chosen, by their first and last."""
    row = page.locator(".book-row").filter(has=page.locator("b", has_text=re.compile("^A2$")))
    for hour in ("19:00", "20:00"):
        await row.locator(f"[data-hour='{hour}']").click()
    await expect(page.locator(".book-bar")).to_contain_text("A2 · 19:00–21:00")


def shots(world: World) -> list[Shot]:
    """All pictures, in the order in which they are taken."""
    tomorrow, next_day = (f"book?space=loft&date={date_of(world.at(days, 12))}" for days in (0, 1))
    found = []
    for language in ("ru", "en"):
        found += [
            Shot("book", tomorrow, language, prepare=choose),
            Shot("book", tomorrow, language, "phone", prepare=choose),
            Shot("mine", "mine", language),
            Shot("history", "history", language),
            Shot("account", "account", language),
            Shot("admin-plan", "admin/space?id=loft&tab=plan", language, admin=True),
            Shot(
                "admin-reports",
                f"admin/reports?from={date_of(world.at(0, 12))}&to={date_of(world.at(6, 12))}",
                language,
                admin=True,
            ),
        ]
    return [
        *found,
        Shot("book", next_day, "ru", "dark", prepare=choose),
        Shot("mine", "mine", "ru", "phone"),
        Shot("admin-people", "admin/people", "en", admin=True),
    ]


CLUSTER_SHOTS = (
    Shot("cluster", "cluster", "ru", admin=True),
    Shot("cluster", "cluster", "en", admin=True),
    Shot("cluster", "cluster", "en", "dark"),
    Shot("cluster", "cluster", "ru", "phone"),
)
READINGS = re.compile(r"(L[\d. ]+){20}")  # so many points of a line of load


class Visitors:
    """Opens pages for shots; each person logs in once, on the first of them."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._states: dict[bool, StorageState] = {}

    async def page(self, shot: Shot) -> Page:
        """The page of somebody of the shot's kind, logged in."""
        phone = shot.kind == "phone"
        context = await self._browser.new_context(
            locale=LOCALES[shot.language],
            viewport=VIEWPORTS["phone" if phone else "desktop"],
            has_touch=phone,
            is_mobile=phone,
            device_scale_factor=2 if phone else 1,
            color_scheme="dark" if shot.kind == "dark" else "light",
            timezone_id="Europe/Moscow",
            reduced_motion="reduce",
            storage_state=self._states.get(shot.admin),
        )
        context.set_default_timeout(WAIT_MS)
        page = await context.new_page()
        await page.goto(self._url)
        if shot.admin not in self._states:
            await log_in(page, *((ADMIN_LOGIN, ADMIN_PASSWORD) if shot.admin else ("masha", PASSWORD)))
            self._states[shot.admin] = await context.storage_state()
        await expect(page.locator("#account")).to_be_visible()
        return page


async def go(page: Page, shot: Shot) -> None:
    """Show the screen, drawn whole."""
    await page.evaluate("hash => { location.hash = hash; }", f"#/{shot.route}")
    await expect(
        page.locator(f".view-{shot.route.partition('?')[0].replace('/', '-')} :is(h1, [role=grid])").first
    ).to_be_visible()
    await expect(page.locator("main [aria-busy=true]")).to_have_count(0)


async def take(page: Page, shot: Shot, folder: Path) -> int:
    """Keep what is seen; the size of the picture."""
    await page.wait_for_load_state("load")
    picture = Image.open(io.BytesIO(await page.screenshot()))
    file = folder / shot.file
    picture.save(file, "WEBP", quality=QUALITY, method=6)
    print(f"{file.stat().st_size:>8,}  {shot.file}", flush=True)
    return file.stat().st_size


async def take_all(browser: Browser, cluster: ProcessCluster, folder: Path) -> int:
    """All pictures; the size of all together."""
    world = await World.made(cluster)
    leader = await cluster.wait_for_leader()
    serving = next(node for node in cluster if node is not leader)
    visitors = Visitors(browser, serving.url)
    size = 0
    spoken = ""
    for shot in sorted(shots(world), key=lambda each: each.language, reverse=True):
        if shot.language != spoken:
            await world.speak(spoken := shot.language)
        page = await visitors.page(shot)
        await go(page, shot)
        if shot.prepare is not None:
            await shot.prepare(page)
        size += await take(page, shot, folder)
        await page.context.close()
    return size + await take_cluster(visitors, cluster, leader, folder)


async def take_cluster(visitors: Visitors, cluster: ProcessCluster, leader: NodeProcess, folder: Path) -> int:
    """The cluster at work, and after the death of its leader."""
    pages = [await visitors.page(shot) for shot in CLUSTER_SHOTS]
    for page, shot in zip(pages, CLUSTER_SHOTS, strict=True):
        await go(page, shot)
    async with lively(cluster):
        for page in pages:
            await expect(page.locator(".sparkline .line").first).to_have_attribute(
                "d", READINGS, timeout=LINES_MS
            )
        size = sum([await take(page, shot, folder) for page, shot in zip(pages, CLUSTER_SHOTS, strict=True)])
        leader.kill()
        for page, shot in zip(pages[:2], CLUSTER_SHOTS, strict=False):
            await expect(page.locator("[data-health=worn]")).to_be_visible()
            await expect(page.locator(".ring [data-role=leader]")).to_be_visible()
            size += await take(page, shot._replace(name="cluster-failure"), folder)
    for page in pages:
        await page.context.close()
    return size


@asynccontextmanager
async def lively(cluster: ProcessCluster) -> AsyncIterator[None]:
    """People ask all members things meanwhile."""

    async def ask() -> None:
        turn = 0
        while True:
            for node in cluster:
                turn += 1
                if node.running and turn % 7:
                    with suppress(OSError):
                        async with cluster.session.get(f"{node.url}/api/v1/spaces") as answer:
                            await answer.read()
                await asyncio.sleep(PAUSE_SECONDS * (1 + turn % 5 / 5))

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking


async def main(folder: Path) -> int:
    """0: all are taken, and small enough."""
    if CHROMIUM is None:
        print(f"scripts/screenshots: {NEEDED}", file=sys.stderr)
        return 1
    expect.set_options(timeout=WAIT_MS)
    with tempfile.TemporaryDirectory(prefix="screenshots-") as name:
        async with running_cluster(Path(name), **CLUSTER) as cluster, async_playwright() as playwright:
            await cluster.wait_for_leader()
            browser = await playwright.chromium.launch(
                executable_path=CHROMIUM, chromium_sandbox=os.getuid() != 0
            )
            size = await take_all(browser, cluster, folder)
            await browser.close()
    print(f"{size:>8,}  together, of {MOST_BYTES:,} at most")
    return 0 if size <= MOST_BYTES else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="./scripts/screenshots", description="Take the pictures of the user's guide."
    )
    parser.add_argument("--folder", type=Path, default=PICTURES, help="where to (default: docs/pictures)")
    chosen: Path = parser.parse_args().folder.absolute()
    chosen.mkdir(parents=True, exist_ok=True)
    sys.exit(asyncio.run(main(chosen)))
