"""What administrators do on the page, and what comes of it for others: each change is made by its form, and felt by somebody else.

All tests share a cluster; each has a space of its own, made by the page in the first of them and by a call in the others.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.pages import assert_accessible, assert_no_sideways_scroll, log_in
from tests.browser.people import PASSWORD, Person
from tests.integration.cluster import ADMIN_LOGIN, ADMIN_PASSWORD, ProcessCluster

CLUSTER = {"extra": {"outbox": {"webhook_allow": ["127.0.0.1"]}}}
MOSCOW = timezone(timedelta(hours=3))


def in_days(days: int, hour: int = 10) -> datetime:
    """An hour of a coming day in Moscow."""
    return (datetime.now(MOSCOW) + timedelta(days=days)).replace(hour=hour, minute=0, second=0, microsecond=0)


async def a_space(admin: Person, space_id: str, *seats: str) -> None:
    """A space that is open from eight to ten."""
    await admin.call(
        "POST",
        "/api/v1/admin/spaces",
        {
            "id": space_id,
            "name": f"Space {space_id}",
            "timezone": "Europe/Moscow",
            "opens": "08:00",
            "closes": "22:00",
            "slot_minutes": 60,
            "seats": [{"id": seat} for seat in seats],
        },
    )


async def as_admin(open_page: OpenPage, cluster: ProcessCluster, **options: Any) -> Page:
    """A page on which the administrator is logged in."""
    page = await open_page(next(iter(cluster)).url, **options)
    await log_in(page, ADMIN_LOGIN, ADMIN_PASSWORD)
    return page


async def show(page: Page, route: str) -> None:
    """Go to a view of the administrator's, and wait until it is drawn."""
    await page.evaluate("(hash) => { location.hash = hash; }", f"#/admin/{route}")
    await expect(page.locator("h1")).to_be_visible()
    await expect(page.locator("main [aria-busy]")).to_have_count(0)


def dialog(page: Page) -> Locator:
    """The dialog on top."""
    return page.locator("dialog[open]").last


async def send(page: Page, name: str) -> None:
    """Press a button of the dialog on top."""
    await dialog(page).get_by_role("button", name=name, exact=True).click()


async def test_a_space_is_made_with_seats_and_somebody_books_there(
    cluster: ProcessCluster, open_page: OpenPage
) -> None:
    page = await as_admin(open_page, cluster)
    await page.get_by_role("link", name="Administration").click()
    await page.get_by_role("button", name="New space").click()
    form = dialog(page)
    await form.locator("[name=name]").fill("Loft on the roof")
    await form.locator("[name=id]").fill("loft")
    await form.locator("[name=timezone]").fill("Europe/Moscow")
    await form.locator("[name=seats]").fill("L01-L03, Nook; L09-L07")
    await send(page, "Create")
    await expect(form.get_by_role("alert")).to_contain_text("L09-L07")  # told beside the form, which stays
    await assert_accessible(page)
    await form.locator("[name=seats]").fill("L01-L03, Nook")
    await send(page, "Create")
    await expect(page.get_by_role("heading", name="Loft on the roof")).to_be_visible()
    assert await page.locator("tr[data-seat]").evaluate_all("(all) => all.map((each) => each.dataset.seat)") == [
        "L01", "L02", "L03", "Nook",
    ]  # fmt: skip
    await page.get_by_role("button", name="Add seats").click()
    await dialog(page).locator("[name=seats]").fill("M1-M2")
    await dialog(page).locator("[name=zone]").fill("Attic")
    await dialog(page).get_by_role("checkbox", name="window").check()
    await send(page, "Add")
    await expect(page.locator("tr[data-seat=M2]")).to_contain_text("Attic")
    await page.get_by_role("button", name="Edit: Nook").click()
    await dialog(page).locator("[name=label]").fill("By the stairs")
    await send(page, "Save")
    await expect(page.locator("tr[data-seat=Nook]")).to_contain_text("By the stairs")
    ann = await Person.registered(cluster, "ann-loft")
    booking = await ann.book("Nook", in_days(1), space_id="loft")
    assert booking["seat_label"] == "By the stairs"


async def test_a_closure_shows_whom_it_touches_and_waits_when_that_changes(
    cluster: ProcessCluster, open_page: OpenPage
) -> None:
    admin = await Person.administrator(cluster)
    await a_space(admin, "closing", "A1", "A2")
    ann = await Person.registered(cluster, "ann-closing")
    first = await ann.book("A1", in_days(2), space_id="closing")
    page = await as_admin(open_page, cluster)
    await show(page, "space?id=closing&tab=days")
    await page.locator("[name=first]").fill(f"{in_days(2):%Y-%m-%d}")
    await page.locator("[name=reason]").fill("A pipe has burst")
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(dialog(page)).to_contain_text("1 booking is touched, of 1 person.")
    await expect(dialog(page)).to_contain_text("ann-closing")
    await assert_accessible(page)
    bob = await Person.registered(cluster, "bob-closing")
    second = await bob.book("A2", in_days(2), space_id="closing")
    await dialog(page).get_by_role("radio", name="Cancel them").check()
    await send(page, "Do it, touching 1")
    await expect(dialog(page)).to_contain_text("The list has changed while you looked.")
    await expect(dialog(page).locator(f"[data-booking='{second['id']}']")).to_contain_text("new")
    await expect(dialog(page)).to_contain_text("2 bookings are touched, of 2 people.")
    assert (await ann.call("GET", f"/api/v1/bookings/{first['id']}"))["status"] == "confirmed"
    await dialog(page).get_by_role("radio", name="Cancel them").check()
    await send(page, "Do it, touching 2")
    await expect(page.locator(".admin-list")).to_contain_text("A pipe has burst")
    for who, booking in ((ann, first), (bob, second)):
        assert (await who.call("GET", f"/api/v1/bookings/{booking['id']}"))["status"] == "cancelled"
    history = await ann.call("GET", f"/api/v1/bookings/{first['id']}/history")
    assert "A pipe has burst" in str(history)


async def test_a_limit_is_set_and_felt(cluster: ProcessCluster, open_page: OpenPage) -> None:
    admin = await Person.administrator(cluster)
    await a_space(admin, "ruled", "A1", "A2")
    page = await as_admin(open_page, cluster)
    await show(page, "space?id=ruled&tab=rules")
    await expect(page.locator("[name=live_bookings]")).to_have_attribute("placeholder", "off")
    await page.locator("[name=live_bookings]").fill("1")
    await page.get_by_role("button", name="Save", exact=True).first.click()
    await expect(page.locator("#toasts")).to_contain_text("Saved.")
    await expect(page.locator("[name=live_bookings]")).to_have_value("1")
    await page.locator("[name=grace]").fill("15")
    await page.get_by_role("button", name="Save", exact=True).last.click()
    await expect(page.locator(".toast")).to_have_count(2)
    assert (await admin.call("GET", "/api/v1/spaces/ruled/checkin"))["grace_minutes"] == 15
    ann = await Person.registered(cluster, "ann-ruled")
    await ann.book("A1", in_days(1), space_id="ruled")
    body = {"space_id": "ruled", "seat_id": "A2", "starts_at": in_days(2).isoformat(), "slots": 1}
    async with cluster.session.post(
        f"{next(iter(cluster)).url}/api/v1/bookings",
        json=body,
        headers={"Authorization": f"Bearer {ann.token}"},
    ) as answer:
        assert (await answer.json())["type"].endswith(":too-many-live")


async def test_a_user_is_blocked_and_falls_out_elsewhere(
    cluster: ProcessCluster, open_page: OpenPage
) -> None:
    ann = await Person.registered(cluster, "ann-blocked")
    theirs = await open_page(list(cluster)[1].url)
    await log_in(theirs, ann.login, PASSWORD)
    page = await as_admin(open_page, cluster)
    await show(page, "people")
    await page.get_by_role("searchbox").fill("ann-blo")
    await page.get_by_role("link", name="ann-blocked").click()
    await page.get_by_role("button", name="Block", exact=True).click()
    await expect(dialog(page)).to_contain_text("2 sessions will end")
    await send(page, "Block")
    await expect(page.locator("h1")).to_contain_text("blocked")
    await theirs.evaluate("() => { location.hash = '#/mine'; }")
    await expect(theirs.locator("#login")).to_be_visible()
    await page.get_by_role("button", name="Unblock", exact=True).click()
    await send(page, "Unblock")
    await expect(page.get_by_role("button", name="Block", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Reset the password").click()
    await send(page, "Reset the password")
    shown = await dialog(page).locator(".secret").input_value()
    assert re.fullmatch(r"(\w{4}-){3}\w{4}", shown)
    for taken_away in (
        "",
        "Object.defineProperty(navigator, 'clipboard', { value: undefined })",
    ):  # as by plain HTTP
        await page.evaluate(taken_away)
        await dialog(page).get_by_role("button", name="Copy").click()
        copied = page.locator(".toast", has_text="Copied.")
        await copied.get_by_role("button", name="Close").click()  # over the dialog, and within reach
        await expect(copied).to_have_count(0)
    await send(page, "Noted, close")
    await log_in(theirs, ann.login, shown)
    await expect(theirs.locator(".toast", has_text="Change the one-time password first.")).to_be_visible()
    await expect(theirs).to_have_url(re.compile("#/account$"))
    await theirs.locator("[name=old]").fill(shown)
    await theirs.locator("[name=new]").fill("her very own words")
    await theirs.get_by_role("button", name="Change the password").click()
    await expect(theirs.locator(".toast", has_text="The password is changed.")).to_be_visible()
    await theirs.evaluate("() => { location.hash = '#/mine'; }")
    await expect(theirs.locator("main")).to_contain_text("Nothing is booked ahead.")
    await page.reload()
    await page.get_by_role("button", name="End sessions").click()
    await expect(dialog(page)).to_contain_text("1 session will end.")
    await send(page, "End sessions")
    await theirs.evaluate("() => { location.hash = '#/history'; }")
    await expect(theirs.locator("#login")).to_be_visible()
    await page.get_by_role("link", name="Audit").last.click()
    await expect(page.locator("[data-what=user-blocked]")).to_contain_text("admin blocked ann-blocked")


async def test_the_plan_is_drawn_by_keyboard_and_by_mouse(
    cluster: ProcessCluster, open_page: OpenPage
) -> None:
    admin = await Person.administrator(cluster)
    await a_space(admin, "drawn", "A1", "A2", "A3")
    page = await as_admin(open_page, cluster)
    await show(page, "space?id=drawn&tab=plan")
    await page.locator("[data-unplaced=A1]").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-seat=A1]")).to_be_focused()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Shift+ArrowRight", "ArrowLeft"):
        await page.keyboard.press(key)
    await expect(page.get_by_role("button", name="A1: column 7, row 2")).to_be_focused()
    await expect(page.get_by_role("status").filter(has_text="column 7")).to_be_visible()
    await page.locator("[data-unplaced=A2]").click()
    box = await page.locator("[data-seat=A2]").bounding_box()
    assert box
    await page.mouse.move(box["x"] + 20, box["y"] + 20)
    await page.mouse.down()
    await page.mouse.move(box["x"] + 20 + 3 * 48, box["y"] + 20 + 2 * 48, steps=4)
    await page.mouse.up()
    await assert_accessible(page)
    await page.get_by_role("button", name="Save the plan (2)").click()
    await expect(page.get_by_role("button", name="Save the plan (0)")).to_be_disabled()
    seats = (await admin.call("GET", "/api/v1/spaces/drawn"))["seats"]
    assert [(each["x"], each["y"]) for each in seats] == [(6, 1), (3, 2), (None, None)]


async def test_of_two_administrators_the_second_is_told_what_the_first_did(
    cluster: ProcessCluster, open_page: OpenPage
) -> None:
    admin = await Person.administrator(cluster)
    await a_space(admin, "shared", "A1")
    pages = [await as_admin(open_page, cluster) for _ in range(2)]
    for page in pages:
        await show(page, "space?id=shared&tab=hours")
    await pages[0].get_by_label("Monday: Opens").fill("09:00")
    await pages[0].get_by_role("button", name="Save", exact=True).click()
    await expect(pages[0].locator("#toasts")).to_contain_text("Saved.")
    await pages[1].get_by_label("Sunday: Closes").fill("20:00")
    await pages[1].get_by_role("button", name="Save", exact=True).click()
    told = dialog(pages[1])
    await expect(told).to_contain_text("Somebody else changed it meanwhile")
    await expect(told).to_contain_text("Monday08:00–22:00 → 09:00–22:00")
    await expect(told).to_contain_text("admin")
    await assert_accessible(pages[1])
    await send(pages[1], "Apply mine, too")
    await expect(pages[1].locator("#toasts")).to_contain_text("Saved.")
    hours = (await admin.call("GET", "/api/v1/spaces/shared"))["hours"]
    assert (hours["mon"]["opens"], hours["sun"]["closes"]) == ("09:00", "20:00")


async def test_the_heat_map_has_numbers_and_a_csv(cluster: ProcessCluster, open_page: OpenPage) -> None:
    admin = await Person.administrator(cluster)
    await a_space(admin, "warm", "A1", "A2")
    await admin.book("A1", in_days(1), slots=2, space_id="warm")
    page = await as_admin(open_page, cluster)
    day = f"{in_days(1):%Y-%m-%d}"
    await show(page, f"reports?space=warm&from={day}&to={day}")
    row = page.locator("tr", has=page.get_by_role("rowheader", name="11:00"))
    await expect(row.get_by_role("cell", name="50%")).to_have_attribute("data-level", "3")
    await expect(page.locator("main")).to_contain_text("7% taken: 2 h of 28 h")
    await page.get_by_label("Cut").select_option("seat")
    await expect(page.get_by_role("rowheader", name="A2")).to_be_visible()
    async with page.expect_download() as download:
        await page.get_by_role("button", name="CSV").click()
    text = (await (await download.value).path()).read_text(encoding="utf-8")
    assert text.splitlines()[1].startswith("A1,A1,,,120,840,")


async def test_every_view_is_usable_on_a_phone_in_the_dark_and_in_russian(
    cluster: ProcessCluster, open_page: OpenPage
) -> None:
    page = await as_admin(open_page, cluster, device="phone", scheme="dark", language="ru")
    tabs = ("seats", "plan", "hours", "days", "rules", "general")
    views = ["spaces", *(f"space?id=hq&tab={tab}" for tab in tabs), "people", "audit", "reports", "webhooks"]
    for view in views:
        await show(page, view)
        await assert_accessible(page)
        await assert_no_sideways_scroll(page)


async def test_webhooks_are_made_paused_and_removed(cluster: ProcessCluster, open_page: OpenPage) -> None:
    page = await as_admin(open_page, cluster)
    await show(page, "webhooks")
    await page.get_by_role("button", name="New webhook").click()
    await dialog(page).locator("[name=url]").fill("http://10.0.0.1/hook")  # private, and not allowed
    await dialog(page).get_by_role("checkbox", name="bookings").check()
    await send(page, "Create")
    await expect(dialog(page).get_by_role("alert")).to_contain_text("url")
    await dialog(page).locator("[name=url]").fill("http://127.0.0.1:9/hook")
    await send(page, "Create")
    assert (await dialog(page).locator(".secret").input_value()).startswith("whsec_")
    await send(page, "Noted, close")
    await page.get_by_role("button", name="Test: http://127.0.0.1:9/hook").click()
    await expect(page.get_by_role("alert")).to_contain_text("Not delivered")
    await page.get_by_role("button", name="Pause").click()
    await expect(page.locator("[data-sink]")).to_contain_text("paused")
    await page.get_by_role("link", name="0 dead letters").click()
    await expect(page.locator("main")).to_contain_text("Everything was delivered.")
    await page.get_by_role("link", name="Back").click()
    await page.get_by_role("button", name="Remove").click()
    await send(page, "Remove")
    await expect(page.locator("main")).to_contain_text("Events are sent nowhere.")
