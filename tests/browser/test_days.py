"""The booking screen on days that trip others: as many slots as the day has, each with a name of its own, in order, by the clocks of the
space; the browser's own zone plays no part.
"""

from __future__ import annotations

import pytest_asyncio
from playwright.async_api import Page, expect

from tests.api.conftest import PASSWORD, Node
from tests.browser.booking import bar, drag, open_day
from tests.browser.conftest import OpenPage
from tests.browser.pages import log_in

HEADS = "[...document.querySelectorAll('[role=columnheader]')].slice(1).map((each) => each.textContent)"
ROW = "[...document.querySelector('.book-row').querySelectorAll('[role=gridcell]')].map((each) => each.dataset.state)"
NAMES = "[...document.querySelectorAll('[role=gridcell]')].map((each) => each.getAttribute('aria-label'))"


@pytest_asyncio.fixture(loop_scope="module")
async def page(node: Node, open_page: OpenPage) -> Page:
    """The page in Honolulu, in English, with Alice logged in."""
    await node.register("alice")
    opened = await open_page(str(node.client.make_url("/")), timezone="Pacific/Honolulu")
    await log_in(opened, "alice", PASSWORD)
    await expect(opened.get_by_role("grid")).to_be_visible()
    return opened


async def draw(page: Page, space: str, day: str) -> list[str]:
    """The day's page of a space; the names of its slots, without the next morning."""
    await open_day(page, space, day)
    heads: list[str] = await page.evaluate(HEADS)
    return [head for head in heads if head[0].isdigit()]


async def test_days_are_drawn_as_they_are(page: Page, node: Node) -> None:
    """What the page shows is what the call says, with the offset where the clocks change; no two slots of a seat have one name."""
    for space, day, count, piece in (
        ("berlin", "2027-03-28", 23, ["01:00 +01:00", "03:00 +02:00"]),
        ("berlin", "2027-10-31", 25, ["02:00 +02:00", "02:00 +01:00"]),
        ("york", "2027-11-07", 25, ["01:00 -04:00", "01:00 -05:00"]),
        ("howe", "2027-04-04", 49, ["01:30 +11:00", "01:30 +10:30"]),
        ("howe", "2027-10-03", 47, ["01:30 +10:30", "02:30 +11:00"]),
        ("kolkata", "2027-03-28", 18, ["09:00", "09:30", "10:00"]),
        ("berlin", "2028-02-29", 24, ["00:00", "01:00"]),
    ):
        heads = await draw(page, space, day)
        assert len(heads) == count, (space, day)
        at = heads.index(piece[0])
        assert heads[at : at + len(piece)] == piece
        answer = await node.get(f"/api/v1/spaces/{space}/availability?date={day}")
        told = [each["starts_at"][11:16] for each in (await answer.json())["slots"]]
        assert [head[:5] for head in heads] == told
        names = await page.evaluate(NAMES)
        assert len(names) == len(set(names)), "a screen reader can tell them apart"


async def test_the_hour_that_comes_twice_is_booked_as_chosen(page: Page) -> None:
    """The first of two two o'clocks: the bar, the toast, the grid afterwards and the list say which."""
    await draw(page, "berlin", "2027-10-31")
    await page.get_by_role("gridcell", name="Desk D1, 02:00 +02:00, free").click()
    said = "02:00–02:00 UTC+1 (Berlin, UTC+2)"
    await expect(bar(page)).to_contain_text(said)
    await bar(page).get_by_role("button", name="Book", exact=True).click()
    await expect(page.locator(".toast")).to_contain_text(said)
    assert (await page.evaluate(ROW))[:5] == ["free", "free", "mine", "free", "free"]
    await page.locator("[data-view=mine]").click()
    await expect(page.locator("[data-booking]")).to_contain_text("02:00–02:00 UTC+1")
    await expect(page.locator("[data-booking]")).to_contain_text("Berlin, UTC+2")


async def test_a_night_is_one_booking_on_two_pages(page: Page) -> None:
    """Three hours from eleven in the evening before the clocks go forward: told to their end, and drawn on both days."""
    heads = await draw(page, "berlin", "2027-03-27")
    await drag(page, "Desk D1, 23:00", "Desk D1, Sun 01:00 +01:00")
    said = "23:00–03:00 UTC+2 (Berlin, UTC+1)"
    await expect(bar(page)).to_contain_text(said)
    await bar(page).get_by_role("button", name="Book", exact=True).click()
    await expect(page.locator(".toast")).to_contain_text(said)  # the page has reckoned as the node does
    assert (await page.evaluate(ROW))[len(heads) - 2 : len(heads) + 3] == [
        "free",
        "mine",
        "mine",
        "mine",
        "free",
    ]
    await draw(page, "berlin", "2027-03-28")
    assert (await page.evaluate(ROW))[:3] == ["mine", "mine", "free"]
