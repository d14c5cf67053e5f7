"""What tests of the page have in common: the kinds of visitors, logging in, and the judgement of axe-core."""

from __future__ import annotations

import shutil
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDED = "no Chromium on this machine (apt-get install chromium)"
LOCALES = {"ru": "ru-RU", "en": "en-GB"}
VIEWPORTS: dict[str, Any] = {
    "desktop": {"width": 1280, "height": 800},
    "phone": {"width": 360, "height": 740},
}
SHOWN_NODES = 3


async def log_in(page: Page, login: str, password: str) -> None:
    """By the page's own dialog, as people do."""
    await page.locator("#login").click()
    form = page.locator("dialog form")
    await form.locator("[name=username]").fill(login)
    await form.locator("[name=password]").fill(password)
    await form.locator("button[type=submit]").click()
    await expect(page.locator("#account")).to_be_visible()


async def log_out(page: Page) -> None:
    """By the menu of the account."""
    await page.locator("#account").click()
    await page.locator("#logout").click()
    await expect(page.locator("#login")).to_be_visible()


AT_REST = """() => Promise.all(document.getAnimations()
    .filter((each) => each.effect.getComputedTiming().endTime !== Infinity)
    .map((each) => each.finished.catch(() => {})))"""  # what fades in has its colours at the end


async def assert_accessible(page: Page) -> None:
    """axe-core, with all its rules, finds nothing in what is shown now, once it has come to rest.

    It is evaluated by the debugger, which the page's content security policy does not bind: the page is judged as it is served.
    """
    await page.evaluate(AT_REST)
    results = (await Axe().run(page)).response
    assert results["passes"], "nothing was looked at"
    told = [
        f"{each['id']} ({each['impact']}): {each['help']}\n  "
        + "\n  ".join(node["html"] + " — " + node["failureSummary"] for node in each["nodes"][:SHOWN_NODES])
        for each in results["violations"]
    ]
    assert not told, "\n".join(told)


async def assert_no_sideways_scroll(page: Page) -> None:
    """The page itself is no wider than the window; tables may scroll within their boxes."""
    widths = await page.evaluate(
        "[document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]"
    )
    assert widths[0] <= widths[1], f"{widths[0]} px wide in a window of {widths[1]} px"
