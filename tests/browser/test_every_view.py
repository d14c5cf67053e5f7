"""Every view, looked at whole: axe-core finds nothing, and nothing is wider than a phone. And the three journeys of a person from beginning to end.

The views are those that the scripts declare, so that a new one is looked at too.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.booking import date_of
from tests.browser.conftest import OpenPage
from tests.browser.pages import assert_accessible, assert_no_sideways_scroll, log_in
from tests.browser.people import PASSWORD
from tests.browser.world import CLUSTER as CLUSTER  # how the fixture `cluster` is made here
from tests.browser.world import World
from tests.integration.cluster import ADMIN_LOGIN, ADMIN_PASSWORD, ProcessCluster

MAX_TABS = 60
VIEWS = Path(__file__).resolve().parents[2] / "api" / "web" / "views"
PATH = re.compile(r'^(?:export default \{)?\s*path: "([\w/-]+)"', re.MULTILINE)
SPACE_TABS = ("seats", "plan", "hours", "days", "rules", "general")
WORDS = {
    "ru": {"mine": "Мои бронирования", "history": "История", "cancelled": "отменена"},
    "en": {"mine": "My bookings", "history": "History", "cancelled": "cancelled"},
}


def routes() -> list[str]:
    """Where all views are."""
    paths = {path for file in VIEWS.glob("*.js") for path in PATH.findall(file.read_text(encoding="utf-8"))}
    assert {"book", "mine", "history", "account", "cluster", "admin/spaces"} <= paths
    spaces = [f"admin/space?id=loft&tab={tab}" for tab in SPACE_TABS]
    return sorted(paths - {"admin/space"}) + spaces


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(cluster: ProcessCluster) -> World:
    """Something is there to be seen."""
    return await World.made(cluster)


async def go(page: Page, route: str) -> None:
    """Show a view, drawn whole; what was shown before is gone."""
    await page.evaluate(
        """(hash) => {
            document.querySelector(".view")?.setAttribute("data-before", "");
            location.hash = hash;
        }""",
        f"#/{route}",
    )
    await expect(page.locator("[data-before]")).to_have_count(0)
    view = page.locator(f".view-{route.partition('?')[0].replace('/', '-')}")
    await expect(view.locator("h1").first).to_be_visible()
    if route.startswith("book"):
        await expect(view.locator("[role=gridcell]").first).to_be_visible()
    await expect(view.locator("[aria-busy=true]")).to_have_count(0)


@pytest.mark.parametrize(
    ("language", "device", "scheme"), [("ru", "phone", "light"), ("en", "desktop", "dark")]
)
@pytest.mark.timeout(240)
async def test_axe_finds_nothing_and_nothing_is_too_wide(
    cluster: ProcessCluster, world: World, open_page: OpenPage, language: str, device: str, scheme: str
) -> None:
    page = await open_page(next(iter(cluster)).url, language=language, device=device, scheme=scheme)
    await log_in(page, ADMIN_LOGIN, ADMIN_PASSWORD)
    found = []
    for route in [*routes(), f"book?space=loft&date={date_of(world.at(0, 12))}"]:
        await go(page, route)
        for judge in (assert_accessible, assert_no_sideways_scroll):
            try:
                await judge(page)
            except AssertionError as error:
                found.append(f"#/{route}: {error}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("language", "device", "seat"),
    [("ru", "desktop", "A2"), ("en", "desktop", "A2"), ("ru", "phone", "B3"), ("en", "phone", "B3")],
)
async def test_the_three_journeys(
    cluster: ProcessCluster, world: World, open_page: OpenPage, language: str, device: str, seat: str
) -> None:
    """A visitor looks, chooses and books, logging in on the way; sees it among the bookings and cancels; finds it in the history."""
    day = {"desktop": 8, "phone": 9}[device]
    hour = {"ru": "10:00", "en": "15:00"}[language]
    nodes = list(cluster)
    page = await open_page(
        f"{nodes[day % len(nodes)].url}/#/book?space=loft&date={date_of(world.at(day, 12))}",
        language=language,
        device=device,
    )
    words = WORDS[language]
    row = page.locator(".book-row").filter(has=page.locator("b", has_text=re.compile(f"^{seat}$")))
    cell = row.locator(f"[data-hour='{hour}']")
    await (cell.tap() if device == "phone" else cell.click())
    await page.locator(".book-bar button.main").click()
    form = page.locator("dialog form")
    await form.locator("[name=username]").fill("masha")
    await form.locator("[name=password]").fill(PASSWORD)
    await form.locator("button[type=submit]").click()
    await expect(cell).to_have_attribute("data-state", "mine")

    booked = page.locator("[data-booking]").filter(has_text=f"{hour}–").filter(has_text=seat)
    await page.locator("#nav").get_by_role("link", name=words["mine"]).click()
    await booked.locator("[data-act=cancel]").click()
    await expect(booked).to_have_count(0)
    await page.locator("#nav").get_by_role("link", name=words["history"]).click()
    await expect(booked).to_contain_text(words["cancelled"])
    await go(page, f"book?space=loft&date={date_of(world.at(day, 12))}")
    await expect(cell).to_have_attribute("data-state", "free")


async def tab_to(page: Page, selector: str) -> None:
    """Tab, and nothing else, until the focus is there."""
    for _ in range(MAX_TABS):
        if await page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"{MAX_TABS} presses of Tab do not lead to {selector}")


async def test_by_keys_alone_and_on_paper(cluster: ProcessCluster, world: World, open_page: OpenPage) -> None:
    """Log in, go to one's bookings, print them, move on to the history and open a story, without a mouse."""
    page = await open_page(f"{next(iter(cluster)).url}/#/cluster")
    await expect(page.locator("[data-health=well]")).to_be_visible()
    await tab_to(page, "#login")
    await page.keyboard.press("Enter")
    await tab_to(page, "dialog [name=username]")
    await page.keyboard.type("masha")
    await tab_to(page, "dialog [name=password]")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("#account")).to_be_visible()
    await tab_to(page, "#nav [data-view=mine]")
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-booking]").first).to_be_visible()
    await page.emulate_media(media="print")
    await expect(page.locator("[data-booking]").first).to_be_visible()
    await expect(page.locator("body")).to_contain_text("Лофт на Мясницкой")
    for gone in ("header", "#nav", "[data-act=cancel]"):
        await expect(page.locator(gone).first).to_be_hidden()
    await page.emulate_media(media="screen")
    await tab_to(page, "#nav [data-view=history]")
    await page.keyboard.press("Enter")
    await expect(page.locator("details[data-booking]").first).to_be_visible()
    await tab_to(page, "details[data-booking] summary")
    await page.keyboard.press("Enter")
    await expect(page.locator("details[open] .story")).not_to_be_empty()
