"""The bell of the page: one's own events as they happen, each once, also when the node that told them goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from playwright.async_api import expect

from tests.api.conftest import Node
from tests.browser.conftest import OpenPage
from tests.browser.owners import MONDAY, booked, called, own_screen
from tests.browser.pages import assert_accessible, log_in, log_out
from tests.browser.people import PASSWORD, Person
from tests.integration.cluster import ProcessCluster

TOMORROW = (datetime.now(UTC) + timedelta(days=1)).replace(hour=9, minute=0, second=0, microsecond=0)


async def test_it_rings_once_for_each_event_and_goes_on_at_another_node(
    cluster: ProcessCluster, open_page: OpenPage
) -> None:
    leader = await cluster.wait_for_leader()
    serving, other = [node for node in cluster if node is not leader]
    alice = await Person.registered(cluster, "alice", other)
    bob = await Person.registered(cluster, "bob", other)
    page = await open_page(serving.url, timezone="Pacific/Honolulu")
    await log_in(page, "alice", PASSWORD)
    await expect(page.locator("#bell")).to_be_visible()
    count, items = page.locator("#bell-count"), page.locator("#bell-list li")
    await bob.book("A1", TOMORROW + timedelta(hours=5))
    await alice.book("A1", TOMORROW)
    await expect(count).to_have_text("1")
    await page.locator("#bell").click()
    await expect(items).to_contain_text(["12:00–13:00 (Moscow, UTC+3)"])
    await page.locator("#bell").click()
    assert await serving.terminate() == 0
    await alice.book("A1", TOMORROW + timedelta(hours=1))
    await expect(count).to_have_text("1")
    serving.start()
    await cluster.wait_until_ready()
    await page.locator("#bell").click()
    await expect(count).to_be_empty()
    await page.locator("#language").click()
    await expect(items).to_contain_text(["Забронировано", "Забронировано"])
    await log_out(page)
    await expect(page.locator("#bell")).to_be_hidden()
    assert await page.evaluate("sessionStorage.getItem('bell')") is None


async def test_it_says_why_and_closes_as_people_expect(node: Node, open_page: OpenPage) -> None:
    """An administrator's reason stands in it, also after a reload; Escape gives the focus back, a click elsewhere closes it."""
    alice, admin = await node.user("alice"), await node.admin()
    page = await own_screen(node, open_page, "mine")
    booking = await booked(node, alice, "A1", MONDAY, 10)
    await called(node, admin, f"/api/v1/bookings/{booking['id']}/cancel", {"reason": "a burst pipe"})
    await expect(page.get_by_role("button", name="Notifications: 2 new")).to_be_visible()
    await expect(page.locator("#bell-said")).to_contain_text("Cancelled: Desk A1")
    await page.reload()
    bell, panel = page.locator("#bell"), page.locator("#bell-panel")
    await bell.click()
    told = panel.get_by_role("listitem").first
    await expect(told).to_contain_text("10:00–11:00 (Moscow, UTC+3). Reason: a burst pipe")
    await expect(told).to_contain_text("15:00 (Moscow, UTC+3)")
    await assert_accessible(page)
    await page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()
    await expect(bell).to_be_focused()
    await bell.click()
    await page.get_by_role("heading", level=1).click()
    await expect(panel).to_be_hidden()
