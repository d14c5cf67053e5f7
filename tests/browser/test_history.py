"""The history in a real browser: filters that a reload keeps, pages, who did what and why, receipts, CSV in both languages, the calendar."""

from __future__ import annotations

import asyncio
import csv
import io
from urllib.parse import urlsplit

import pytest_asyncio
from playwright.async_api import Page, expect

from tests.api.conftest import Node
from tests.browser.conftest import OpenPage
from tests.browser.owners import MONDAY, SUNDAY, TUESDAY, booked, called, own_screen
from tests.browser.pages import assert_accessible, assert_no_sideways_scroll


@pytest_asyncio.fixture(loop_scope="module")
async def alice(node: Node) -> str:
    """Her token; she is the one who looks at the page."""
    return await node.user("alice")


async def downloaded(page: Page, name: str) -> str:
    """What the button of this name hands over."""
    async with page.expect_download() as coming:
        await page.get_by_role("button", name=name).click()
    path = await (await coming.value).path()
    return (await asyncio.to_thread(path.read_bytes)).decode()


async def test_each_row_tells_who_did_what_and_why(node: Node, open_page: OpenPage, alice: str) -> None:
    """Moved by her, cancelled by an administrator with a reason; the digest of the change is what the nodes say."""
    admin = await node.admin()
    booking = await booked(node, alice, "A1", MONDAY, 10)
    await called(node, alice, f"/api/v1/bookings/{booking['id']}/move", {"seat_id": "A2"})
    gone = await called(node, admin, f"/api/v1/bookings/{booking['id']}/cancel", {"reason": "a burst pipe"})
    page = await own_screen(node, open_page, "history")
    shown = page.locator(f'[data-booking="{booking["id"]}"]')
    await expect(shown).to_contain_text("cancelled")
    await shown.locator("summary").focus()
    await page.keyboard.press("Enter")
    steps = shown.locator(".steps li")
    await expect(steps).to_contain_text(["Booked", "Moved", "Cancelled"])
    await expect(steps.nth(1)).to_contain_text("you")
    await expect(steps.nth(1)).to_contain_text("Desk A1, Nov 23, 2026, 10:00–11:00 → Desk A2")
    await expect(steps.nth(2)).to_contain_text("an administrator")
    await expect(steps.nth(2)).to_contain_text("Reason: a burst pipe")
    await expect(shown.locator(".receipt")).to_contain_text(gone["revision"])
    await shown.get_by_role("button", name="Compare the nodes").click()
    index = gone["revision"].partition(".")[0]
    receipt = await (await node.get(f"/api/v1/cluster/receipts/{index}")).json()
    await expect(shown.locator(".receipt")).to_contain_text("Digests agree: 1 of 1")
    await expect(shown.locator(".digests")).to_contain_text(receipt["digest"])
    await assert_accessible(page)


async def test_filters_stay_and_pages_go_on(node: Node, open_page: OpenPage, alice: str) -> None:
    """By state, space and days; the address keeps them; more rows come by the keyboard, and what happens elsewhere is seen."""
    for hour in range(8, 22):
        for day in (MONDAY, TUESDAY):
            await booked(node, alice, "A1", day, hour)
    berlin = {"space_id": "berlin", "seat_id": "D1", "starts_at": f"{MONDAY}T10:00:00+01:00"}
    there = await called(node, alice, "/api/v1/bookings", berlin)
    await called(node, alice, f"/api/v1/bookings/{there['id']}/cancel")
    page = await own_screen(node, open_page, "history", language="ru", device="phone")
    rows = page.locator("details[data-booking]")
    await expect(rows).to_have_count(25)
    await assert_no_sideways_scroll(page)
    await page.get_by_role("button", name="Показать ещё").focus()
    await page.keyboard.press("Enter")
    await expect(rows).to_have_count(29)
    await expect(rows.nth(25).locator("summary")).to_be_focused()
    await page.get_by_label("Состояние").select_option("cancelled")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("Берлин, UTC+1")
    await page.get_by_label("Состояние").select_option("")
    await page.get_by_label("С", exact=True).fill(TUESDAY)
    await page.get_by_label("Коворкинг").select_option("hq")
    await expect(page.get_by_role("main")).to_contain_text("Показано 14 броней")
    await page.reload()
    await expect(page.get_by_role("main")).to_contain_text("Показано 14 броней")
    await expect(page.get_by_label("С", exact=True)).to_have_value(TUESDAY)
    await booked(node, alice, "A2", TUESDAY, 12)
    await expect(page.get_by_role("main")).to_contain_text("Показано 15 броней")
    await page.get_by_label("По", exact=True).fill(SUNDAY)
    await expect(page.get_by_role("main")).to_contain_text("Таких броней нет")


async def test_the_file_has_what_the_filters_leave(node: Node, open_page: OpenPage, alice: str) -> None:
    """RFC 4180 with a comma, or the semicolon that a Russian spreadsheet takes; a name that looks like a formula does not run."""
    admin = await node.admin()
    answer = await node.patch("/api/v1/admin/spaces/hq", {"name": '=cmd("x"); and, more'}, admin)
    assert answer.ok, await answer.text()
    first = await booked(node, alice, "A1", MONDAY, 10, 2)
    await booked(node, alice, "A2", TUESDAY, 10)
    page = await own_screen(node, open_page, "history")
    await page.get_by_label("To").fill(MONDAY)
    await expect(page.locator("details[data-booking]")).to_have_count(1)
    text = await downloaded(page, "Download CSV")
    assert text.startswith("\ufeffCoworking,Seat,")
    (line,) = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    assert line["Coworking"] == "'" + '=cmd("x"); and, more'
    assert (line["Booking id"], line["Begins"], line["State"]) == (
        first["id"],
        first["starts_at"],
        "confirmed",
    )
    await page.locator("#language").click()
    text = await downloaded(page, "Скачать CSV")
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), delimiter=";"))
    assert [each["Состояние"] for each in rows] == ["подтверждена"]


async def test_the_calendars_address_is_served_until_it_is_revoked(
    node: Node, open_page: OpenPage, alice: str
) -> None:
    booking = await booked(node, alice, "A1", MONDAY, 10)
    page = await own_screen(node, open_page, "history")
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.get_by_role("button", name="Make an address").click()
    field = page.get_by_label("Secret address")
    first = await field.input_value()
    await page.get_by_role("button", name="Copy").click()
    await expect(page.locator("#toasts")).to_contain_text("copied")
    assert await page.evaluate("navigator.clipboard.readText()") == first
    assert booking["id"] in await (await node.get(urlsplit(first).path)).text()
    await page.get_by_role("button", name="Another address").click()
    await page.get_by_role("dialog").get_by_role("button", name="Another address").click()
    await expect(field).not_to_have_value(first)
    second = await field.input_value()
    assert [(await node.get(urlsplit(each).path)).status for each in (first, second)] == [404, 200]
    await assert_accessible(page)
    await page.get_by_role("button", name="Revoke").click()
    await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    await expect(page.get_by_role("button", name="Make an address")).to_be_focused()
    assert (await node.get(urlsplit(second).path)).status == 404
