"""The bell of the page: one's own events as they happen, each once, also when the node that told them goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from playwright.async_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.pages import log_in, log_out
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
