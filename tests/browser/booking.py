"""The booking screen as tests see it: its cells by their names, its bar, and days that are far from a midnight."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from playwright.async_api import Locator, Page, expect

MOSCOW = timedelta(hours=3)  # the spaces of the test clusters, all the year round


def day_after(days: int) -> datetime:
    """Midnight in Moscow so many days from today, as an instant."""
    today = (datetime.now(UTC) + MOSCOW).replace(hour=0, minute=0, second=0, microsecond=0)
    return today + timedelta(days=days) - MOSCOW


def date_of(day: datetime) -> str:
    """Its local date."""
    return (day + MOSCOW).date().isoformat()


async def open_day(page: Page, space: str, date: str) -> None:
    """Go there by the address, and wait until it is drawn."""
    await page.evaluate("hash => { location.hash = hash; }", f"#/book?space={space}&date={date}")
    await expect(page.get_by_role("grid")).to_have_attribute("data-day", f"{space} {date}")
    await expect(page.locator(".book-stage")).not_to_have_attribute("aria-busy", "true")


def cell(page: Page, name: str, state: str = "free") -> Locator:
    """A cell by its name, as `A3, 10:00`, in a state."""
    return page.get_by_role("gridcell", name=f"{name}, {state}", exact=True)


def bar(page: Page) -> Locator:
    """The bar at the lower edge."""
    return page.locator(".book-bar")


async def drag(page: Page, first: str, last: str) -> None:
    """With the mouse, over free cells."""
    for name, press in ((first, True), (last, False)):
        await cell(page, name).scroll_into_view_if_needed()
        box = await cell(page, name).bounding_box()
        assert box is not None
        await page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        if press:
            await page.mouse.down()
    await page.mouse.up()
