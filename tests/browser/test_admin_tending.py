"""What administrators tend on the page, before a node in memory: its clock stands still, and its dead letters are made."""

from __future__ import annotations

import pytest_asyncio
from playwright.async_api import Page, expect

from statemachine.outbox_commands import Bury
from tests.api.conftest import PASSWORD, Node
from tests.api.test_calendars import book
from tests.api.test_outbox import settled
from tests.browser.conftest import OpenPage
from tests.browser.pages import assert_accessible, log_in
from tests.browser.test_admin import dialog, send, show


@pytest_asyncio.fixture(loop_scope="module")
async def page(node: Node, open_page: OpenPage) -> Page:
    """The page, with an administrator who has a password."""
    user_id = await node.register("root")
    answer = await node.post(f"/api/v1/admin/users/{user_id}/promote", None, await node.admin())
    assert answer.status == 204
    opened = await open_page(str(node.client.make_url("/")))
    await log_in(opened, "root", PASSWORD)
    return opened


async def test_dead_letters_are_sent_again_and_forgotten(node: Node, page: Page) -> None:
    token = await node.admin()
    hook = {"url": "https://93.184.216.34/in", "types": ["deskraft.booking"]}
    sink_id = (await (await node.post("/api/v1/admin/webhooks", hook, token)).json())["id"]
    places = []
    for seat in ("A1", "A2", "A3"):
        await book(node, token, seat)
        places.append(node.replica.state.feed.last)
    buried = tuple(Bury(place, 12, "answered 500") for place in places)
    assert (await settled(node, sink_id, cursor=places[-1], buried=buried)).ok
    await show(page, "webhooks")
    await page.get_by_role("link", name="3 dead letters").click()
    await expect(page.locator(".admin-list > li")).to_have_count(3)
    await expect(page.locator(".admin-list")).to_contain_text("answered 500")
    await assert_accessible(page)
    await page.get_by_role("checkbox").first.check()
    await page.get_by_role("button", name="Send again").click()
    await expect(dialog(page)).to_contain_text("Send the chosen ones: 1.")
    await send(page, "Send again")
    await expect(page.locator(".admin-list > li")).to_have_count(2)
    await page.get_by_role("button", name="Forget").click()
    await expect(dialog(page)).to_contain_text("Forget all: 2. They cannot be brought back.")
    await send(page, "Forget")
    await expect(page.locator("main")).to_contain_text("Everything was delivered.")
    assert (len(node.replica.state.held[sink_id]), len(node.replica.state.dead_letters[sink_id])) == (1, 0)


async def test_a_seat_is_out_of_service_for_a_time_by_the_clocks_of_its_space(node: Node, page: Page) -> None:
    """Ten o'clock of New York is typed, with a browser in Moscow; the booking that it touches is kept."""
    alice = await node.user("alice")
    body = {"space_id": "york", "seat_id": "Y1", "starts_at": "2027-07-01T10:00:00-04:00"}
    assert (await node.post("/api/v1/bookings", body, alice)).status == 201
    await show(page, "space?id=york&tab=seats")
    await page.get_by_role("button", name="Outages: Desk Y1").click()
    form = dialog(page)
    for name, value in (
        ("first", "2027-07-01"),
        ("opens", "10:00"),
        ("last", "2027-07-01"),
        ("closes", "24:00"),
    ):
        await form.locator(f"[name={name}]").fill(value)
    await form.locator("[name=reason]").fill("A new lamp")
    await send(page, "Take out of service")
    await expect(dialog(page)).to_contain_text("1 booking is touched, of 1 person.")
    await send(page, "Do it, touching 1")
    row = page.locator("tr[data-seat=Y1]")
    await expect(row).to_contain_text("Jul 1, 2027, 10:00–Jul 2, 2027, 00:00")
    details = node.replica.state.details_of("york", "Y1")
    assert details is not None
    assert [each.reason for each in details.outages] == ["A new lamp"]
    page_of = await (await node.get("/api/v1/bookings", alice)).json()
    assert page_of["items"][0]["status"] == "confirmed"
    await page.get_by_role("button", name="Outages: Desk Y1").click()
    await dialog(page).get_by_role("button", name="Remove").click()
    await expect(dialog(page)).to_contain_text("No booking is touched.")
    await send(page, "Do it")
    await expect(row).not_to_contain_text("10:00")


async def test_seats_and_spaces_are_retired_and_brought_back_by_keyboard(node: Node, page: Page) -> None:
    await show(page, "space?id=hq&tab=seats")
    await page.get_by_role("button", name="Retire: Desk A3").press("Enter")
    await expect(dialog(page)).to_contain_text("No booking is touched.")
    await dialog(page).get_by_role("button", name="Do it").press("Enter")
    await expect(page.locator("tr[data-seat=A3]")).to_have_count(0)
    await page.get_by_role("button", name="Bring back: Desk A3").press("Enter")
    await expect(page.locator("tr[data-seat=A3]")).to_be_visible()
    await show(page, "space?id=kolkata&tab=general")
    await page.get_by_role("button", name="Save").press("Enter")
    await expect(page.locator("#toasts")).to_contain_text("Nothing has changed.")
    await page.get_by_role("textbox", name="Name").fill("Kolkata by the river")
    await page.get_by_role("button", name="Save").press("Enter")
    await expect(page.get_by_role("heading", name="Kolkata by the river")).to_be_visible()
    await expect(page.get_by_role("button", name="Save")).to_be_focused()  # drawn anew, and still there
    await page.get_by_role("button", name="Retire").press("Enter")
    await dialog(page).get_by_role("button", name="Do it").press("Enter")
    await expect(page.locator("h1")).to_contain_text("retired")
    spaces = (await (await node.get("/api/v1/spaces")).json())["items"]
    assert "kolkata" not in [each["id"] for each in spaces]
    await page.get_by_role("button", name="Bring back").press("Enter")
    await expect(page.locator("h1")).not_to_contain_text("retired")


async def test_the_audit_goes_on_and_is_filtered(node: Node, page: Page) -> None:
    token = await node.admin()
    for number in range(60):
        await node.patch("/api/v1/admin/spaces/hq/seats/A1", {"label": f"Desk {number}"}, token)
    await show(page, "audit")
    await expect(page.locator(".admin-audit > li")).to_have_count(50)
    await page.get_by_role("button", name="Show more").click()
    await expect(page.locator(".admin-audit > li")).to_have_count(61)
    await expect(page.locator(".admin-audit > li").last).to_contain_text("admin made root an administrator")
    await page.get_by_label("About").select_option("people")
    await expect(page.locator(".admin-audit > li")).to_have_count(1)
    await expect(page.locator("main")).to_contain_text("This is where the audit begins.")
