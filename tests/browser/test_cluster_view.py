"""The view of the cluster: what anybody sees, how the death of a member looks, and what administrators may do."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, Page, expect

from tests.api.conftest import Node
from tests.browser.conftest import OpenPage
from tests.browser.pages import assert_accessible, assert_no_sideways_scroll, log_in
from tests.integration.cluster import ADMIN_LOGIN, ADMIN_PASSWORD, ProcessCluster

READINGS = "import(document.querySelector('script[src*=\"app.js\"]').src.replace('app.js', 'views/cluster.readings.js'))"
BEFORE = 'deskraft_http_request_seconds_count{route="/book"} 10\n'
AFTER = """\
deskraft_http_request_seconds_bucket{route="/book",le="0.1"} 10
deskraft_http_request_seconds_bucket{route="/book",le="0.2"} 20
deskraft_http_request_seconds_bucket{route="/book",le="+Inf"} 20
deskraft_http_request_seconds_count{route="/book"} 30
deskraft_http_request_seconds_count{route="/api/v1/cluster"} 999
"""


def member(page: Page, node_id: str) -> Locator:
    return page.locator(f"[data-member={node_id}]")


async def test_loads_are_reckoned_from_counters(node: Node, open_page: OpenPage) -> None:
    """20 requests in 4 s, half of them within 0.1 s and all within 0.2: 95 % within 0.19 s. A process that has started anew tells nothing."""
    page = await open_page(str(node.client.make_url("/")))
    reckoned = await page.evaluate(
        f"""async ([before, after]) => {{
            const {{ counters, load }} = await {READINGS};
            const [one, other] = [before, after].map(counters);
            return [load(one, other, 4), load(other, one, 4), load(other, other, 2)];
        }}""",
        [BEFORE, AFTER],
    )
    assert reckoned[0] == {"perSecond": 5, "milliseconds": pytest.approx(190)}
    assert reckoned[1:] == [
        {"perSecond": None, "milliseconds": None},
        {"perSecond": 0, "milliseconds": None},
    ]


@pytest.mark.parametrize(
    ("language", "device", "scheme"), [("ru", "desktop", "light"), ("en", "phone", "dark")]
)
async def test_anybody_may_look(
    cluster: ProcessCluster, open_page: OpenPage, language: str, device: str, scheme: str
) -> None:
    leader = await cluster.wait_for_leader()
    page = await open_page(f"{leader.url}/#/cluster", language=language, device=device, scheme=scheme)
    await expect(page.locator("[data-health=well]")).to_be_visible()
    await expect(page.locator("[data-copies=equal]")).to_be_visible()
    await expect(member(page, leader.id).locator(".chip")).to_have_text(
        "лидер" if language == "ru" else "leader"
    )
    await expect(page.locator(".members button:visible")).to_have_count(0)
    await assert_no_sideways_scroll(page)
    await assert_accessible(page)


async def test_the_death_of_a_leader_is_seen(cluster: ProcessCluster, open_page: OpenPage) -> None:
    leader = await cluster.wait_for_leader()
    serving = next(node for node in cluster if node is not leader)
    page = await open_page(f"{serving.url}/#/cluster")
    await expect(page.locator("[data-health=well]")).to_be_visible()
    leader.kill()
    try:
        await expect(page.locator("[data-health=worn]")).to_contain_text(f"Silent: {leader.id}")
        await expect(member(page, leader.id)).to_have_attribute("data-role", "silent")
        successor = await cluster.wait_for_leader(not_=leader)
        await expect(page.locator(".ring .node[data-role=leader]")).to_contain_text(successor.id)
        await expect(page.locator(".sightings")).to_contain_text(f"{leader.id} fell silent")
        await expect(page.locator(".sightings")).to_contain_text(f"{successor.id} came to lead")
    finally:
        leader.start()
        await cluster.wait_until_ready()
    await expect(page.locator("[data-health=well]")).to_be_visible()
    await expect(member(page, leader.id)).to_have_attribute("data-role", "follower")


async def test_administrators_hand_leadership_over_and_have_snapshots_written(
    cluster: ProcessCluster, open_page: OpenPage
) -> None:
    leader = await cluster.wait_for_leader()
    heir = next(node for node in cluster if node is not leader)
    page = await open_page(f"{leader.url}/#/cluster")
    await log_in(page, ADMIN_LOGIN, ADMIN_PASSWORD)
    await expect(page.get_by_role("button", name=f"Make leader: {leader.id}")).to_be_hidden()
    await page.get_by_role("button", name=f"Make leader: {heir.id}").click()
    dialog = page.get_by_role("dialog", name=f"Hand leadership to {heir.id}?")
    await assert_accessible(page)
    await dialog.get_by_role("button", name="Make leader").click()
    await expect(page.locator("#toasts")).to_contain_text(f"{heir.id} leads now")
    assert await cluster.wait_for_leader(not_=leader) is heir
    await expect(member(page, heir.id)).to_have_attribute("data-role", "leader")
    await page.get_by_role("button", name=f"Snapshot: {heir.id}").click()
    await page.get_by_role("dialog").get_by_role("button", name="Snapshot").click()
    await expect(page.locator("#toasts")).to_contain_text(f"{heir.id}: the snapshot up to entry")
