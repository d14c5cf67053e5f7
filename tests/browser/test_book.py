"""The journey "book" in a real browser: by mouse, by keys, by thumb; against others, against a node that dies, across a reload."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from playwright.async_api import Page, Route, expect

from tests.browser.booking import bar, cell, date_of, day_after, drag, open_day
from tests.browser.conftest import OpenPage
from tests.browser.pages import assert_accessible, assert_no_sideways_scroll, log_in
from tests.browser.people import PASSWORD, Person
from tests.integration.cluster import NodeProcess, ProcessCluster

DAY = day_after(3)
MAX_TABS = 40  # to the grid, from the beginning of the page


async def visit(
    open_page: OpenPage,
    node: NodeProcess,
    login: str = "",
    space: str = "hq",
    day: datetime = DAY,
    **visitor: Any,
) -> Page:
    """The booking screen on a day; logged in when there is a login."""
    page = await open_page(f"{node.url}/#/book?space={space}&date={date_of(day)}", **visitor)
    if login:
        await log_in(page, login, PASSWORD)
    await expect(page.get_by_role("grid")).to_have_attribute("data-day", f"{space} {date_of(day)}")
    return page


def at(hour: int, day: datetime = DAY) -> datetime:
    """An hour of a day by the clocks of Moscow."""
    return day + timedelta(hours=hour)


async def bookings_of(person: Person) -> list[dict[str, Any]]:
    """What a person has ahead, asked of a node."""
    items: list[dict[str, Any]] = (await person.call("GET", "/api/v1/bookings?status=confirmed"))["items"]
    return items


async def press(page: Page, name: str) -> None:
    """A button of the bar."""
    await bar(page).get_by_role("button", name=name, exact=True).click()


async def test_see_drag_book_and_undo(cluster: ProcessCluster, open_page: OpenPage) -> None:
    """A visitor looks and chooses, makes an account when it is asked for, has the seat, and gives it back by "Undo"."""
    (node, *_) = cluster
    page = await visit(open_page, node)
    await drag(page, "A3, 10:00", "A3, 11:00")
    await expect(bar(page)).to_contain_text("A3 · 10:00–12:00 (Moscow, UTC+3)")
    await assert_accessible(page)
    await press(page, "Book")
    form = page.locator("dialog form")
    await page.get_by_text("Create an account").click()
    await form.locator("[name=username]").fill("mouse")
    await form.locator("[name=password]").fill(PASSWORD)
    await form.locator("button[type=submit]").click()
    await expect(cell(page, "A3, 10:00", "yours")).to_be_visible()
    await expect(cell(page, "A3, 11:00", "yours")).to_be_visible()
    toast = page.locator(".toast", has_text="Booked: A3 · 10:00–12:00 (Moscow, UTC+3)")
    await assert_accessible(page)
    await toast.get_by_role("button", name="Undo").click()
    await expect(cell(page, "A3, 10:00")).to_be_visible()
    await expect(page.locator(".toast", has_text="Given back")).to_be_visible()


async def test_by_keys_alone(cluster: ProcessCluster, open_page: OpenPage) -> None:
    """Tab to the grid, arrows, Shift+arrows, Enter; in Russian. Home, End and Page keys go where they say."""
    (node, *_) = cluster
    keys = await Person.registered(cluster, "keys")
    page = await visit(open_page, node, "keys", language="ru")
    for _ in range(MAX_TABS):
        if await page.evaluate("document.activeElement.getAttribute('role') === 'gridcell'"):
            break
        await page.keyboard.press("Tab")
    await expect(cell(page, "A1, 08:00", "свободно")).to_be_focused()
    for key, name in (
        ("End", "A1, 21:00"),
        ("PageDown", "A11, 21:00"),
        ("Control+Home", "A1, 08:00"),
        ("ArrowDown", "A2, 08:00"),
        ("ArrowRight", "A2, 09:00"),
    ):
        await page.keyboard.press(key)
        await expect(cell(page, name, "свободно")).to_be_focused()
    await page.keyboard.press("Shift+ArrowRight")
    await page.keyboard.press("Shift+ArrowRight")
    await page.keyboard.press("Shift+ArrowLeft")
    await expect(bar(page)).to_contain_text("A2 · 09:00–11:00 (Москва, UTC+3)")
    await expect(cell(page, "A2, 10:00", "свободно")).to_have_attribute("aria-selected", "true")
    await page.keyboard.press("Enter")
    await expect(cell(page, "A2, 10:00", "ваше")).to_be_visible()
    assert [each["seat_id"] for each in await bookings_of(keys)] == ["A2"]
    await expect(page.locator(".toast", has_text="Забронировано: A2")).to_be_visible()
    await page.keyboard.press("Enter")  # one's own: to the bar, and from there to another time
    await expect(bar(page)).to_contain_text("Ваша бронь")
    await bar(page).get_by_role("button", name="Перенести").press("Enter")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Shift+ArrowRight")
    await page.keyboard.press("Enter")
    await expect(cell(page, "A3, 10:00", "ваше")).to_be_visible()
    await expect(cell(page, "A2, 10:00", "свободно")).to_be_visible()


async def test_by_thumb(cluster: ProcessCluster, open_page: OpenPage) -> None:
    """On a phone: two taps choose, a third takes; nothing scrolls sideways; the shortest way is one tap and the button."""
    (node, *_) = cluster
    thumb = await Person.registered(cluster, "thumb")
    page = await visit(open_page, node, "thumb", device="phone", scheme="dark")
    await assert_no_sideways_scroll(page)
    await cell(page, "A4, 12:00").tap()
    await cell(page, "A4, 14:00").tap()
    await expect(bar(page)).to_contain_text("A4 · 12:00–15:00")
    await assert_no_sideways_scroll(page)
    await assert_accessible(page)
    await bar(page).get_by_role("button", name="Book", exact=True).tap()
    await expect(cell(page, "A4, 13:00", "yours")).to_be_visible()
    await page.get_by_label("From").select_option(label="16:00")
    await page.get_by_role("button", name="Any free seat").tap()
    await bar(page).get_by_role("button", name="Book", exact=True).tap()
    await expect(cell(page, "A1, 16:00", "yours")).to_be_visible()
    assert len(await bookings_of(thumb)) == 2


async def test_two_want_one_seat(cluster: ProcessCluster, open_page: OpenPage) -> None:
    """Both press at once: one has it; the other is told, and takes what is offered with one press."""
    names = ("left", "right")
    people = [await Person.registered(cluster, name) for name in names]
    pages = [await visit(open_page, node, name) for node, name in zip(list(cluster)[:2], names, strict=True)]
    for page in pages:
        await cell(page, "A5, 10:00").click()
    # As soon as one of them has it, the other's button is gone: then it is told without asking.
    now = "document.querySelector('.book-bar[data-mode=choice] .main')?.click()"
    await asyncio.gather(*(page.evaluate(now) for page in pages))
    for page in pages:
        await expect(
            cell(page, "A5, 10:00", "yours").or_(page.get_by_role("heading", name="A5 was just taken"))
        ).to_be_visible()
    has = [len(await bookings_of(person)) for person in people]
    assert sorted(has) == [0, 1]
    loser = pages[has.index(0)]
    await expect(bar(loser).get_by_role("heading")).to_have_text("A5 was just taken")
    await assert_accessible(loser)
    await bar(loser).get_by_role("button", name="A5 · 11:00–12:00").click()
    await expect(cell(loser, "A5, 11:00", "yours")).to_be_visible()
    await expect(cell(pages[has.index(1)], "A5, 11:00", "taken")).to_be_visible()


async def test_what_others_do_is_seen_cell_by_cell(cluster: ProcessCluster, open_page: OpenPage) -> None:
    """Somebody books through another node: the cell turns, the grid stays; a choice that is gone becomes an offer."""
    (node, other, _) = cluster
    bob = await Person.registered(cluster, "bob", other)
    page = await visit(open_page, node)
    await page.evaluate("document.querySelector('.book-row').dataset.kept = ''")
    await cell(page, "A6, 10:00").click()
    booking = await bob.book("A6", at(10))
    await expect(cell(page, "A6, 10:00", "taken")).to_be_visible()
    await expect(bar(page)).to_contain_text("A6 was just taken")
    await bob.call("POST", f"/api/v1/bookings/{booking['id']}/move", {"seat_id": "A7"})
    await expect(cell(page, "A7, 10:00", "taken")).to_be_visible()
    await expect(cell(page, "A6, 10:00")).to_be_visible()
    assert await page.locator(".book-row[data-kept]").count() == 1, "nothing was drawn anew"


async def test_the_node_dies_in_the_middle(cluster: ProcessCluster, open_page: OpenPage) -> None:
    """It hangs with the request in its hands and is killed: another one books, once."""
    leader = await cluster.wait_for_leader()
    serving, witness = [node for node in cluster if node is not leader]
    person = await Person.registered(cluster, "survivor", witness)
    page = await visit(open_page, serving, "survivor")
    await cell(page, "A8, 10:00").click()
    serving.pause()
    await press(page, "Book")
    await expect(cell(page, "A8, 10:00", "booking")).to_be_visible()
    serving.kill()
    await expect(cell(page, "A8, 10:00", "yours")).to_be_visible()
    assert len(await bookings_of(person)) == 1
    serving.start()
    await cluster.wait_until_ready()


async def test_a_reload_in_the_middle_books_once(cluster: ProcessCluster, open_page: OpenPage) -> None:
    """The answer is lost with the page: the page that comes after asks with the same key."""
    (node, *_) = cluster
    person = await Person.registered(cluster, "hasty")
    page = await visit(open_page, node, "hasty")
    arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def swallow(route: Route) -> None:
        await route.fetch()
        arrived.set_result(None)

    await page.route("**/api/v1/bookings", swallow, times=1)
    await cell(page, "A9, 10:00").click()
    await bar(page).get_by_role("button", name="Book", exact=True).dblclick()
    await arrived
    await page.reload()
    await expect(page.locator(".toast", has_text="Booked: A9 · 10:00–11:00")).to_be_visible()
    await expect(cell(page, "A9, 10:00", "yours")).to_be_visible()
    assert len(await bookings_of(person)) == 1
    assert await page.evaluate("sessionStorage.getItem('pending:book')") is None


async def test_waiting_for_a_taken_seat(cluster: ProcessCluster, open_page: OpenPage) -> None:
    """A taken cell offers what is free nearby and the line; who stands in line has the seat when it is given back."""
    (node, other, _) = cluster
    bob = await Person.registered(cluster, "holder", other)
    await Person.registered(cluster, "waiter")
    booking = await bob.book("A10", at(10))
    page = await visit(open_page, node, "waiter")
    await cell(page, "A10, 10:00", "taken").click()
    await expect(bar(page).get_by_role("button", name="A10 · 11:00–12:00")).to_be_visible()
    await press(page, "Wait for this seat")
    await expect(page.locator(".toast", has_text="You stand in line: A10 · 10:00–11:00")).to_be_visible()
    await expect(cell(page, "A10, 10:00", "taken, you wait for it")).to_be_visible()
    await bob.call("POST", f"/api/v1/bookings/{booking['id']}/cancel")
    await expect(cell(page, "A10, 10:00", "yours")).to_be_visible()
    await expect(page.locator(".toast", has_text="is yours: A10 · 10:00–11:00")).to_be_visible()


async def test_when_nothing_is_free_any_seat_is_waited_for(
    cluster: ProcessCluster, open_page: OpenPage
) -> None:
    """The shortest way finds nothing at that hour: it says so, with the next hour and the line, and logging in comes before joining it."""
    (node, *_) = cluster
    holder = await Person.registered(cluster, "all-eight")
    await Person.registered(cluster, "patient")
    places = [
        {"space_id": "neva", "seat_id": f"W{number}", "starts_at": at(18).isoformat()}
        for number in range(1, 9)
    ]
    await holder.call("POST", "/api/v1/bookings/basket", {"items": places})
    page = await visit(open_page, node, space="neva")
    await page.get_by_label("From").select_option(label="18:00")
    await page.get_by_role("button", name="Any free seat").click()
    await expect(bar(page).get_by_role("heading")).to_have_text("No seat is free at these hours")
    await press(page, "Wait for any seat")
    form = page.locator("dialog form")
    await form.locator("[name=username]").fill("patient")
    await form.locator("[name=password]").fill(PASSWORD)
    await form.locator("button[type=submit]").click()
    await expect(page.locator(".toast", has_text="You stand in line: Any seat · ")).to_be_visible()


async def test_own_cells_move_and_cancel_and_repeat(cluster: ProcessCluster, open_page: OpenPage) -> None:
    """One's own cell moves, back too, and is cancelled; a weekly series says what became of each date."""
    (node, other, _) = cluster
    bob = await Person.registered(cluster, "bystander", other)
    await bob.book("A11", at(10, day_after(10)))
    person = await Person.registered(cluster, "owner")
    await person.book("A12", at(10), slots=2)
    page = await visit(open_page, node, "owner")
    await cell(page, "A12, 11:00", "yours").click()
    await press(page, "Move")
    await drag(page, "A12, 12:00", "A12, 13:00")
    await press(page, "Move here")
    await expect(cell(page, "A12, 13:00", "yours")).to_be_visible()
    await page.locator(".toast", has_text="Moved").get_by_role("button", name="Undo").click()
    await expect(cell(page, "A12, 10:00", "yours")).to_be_visible()
    await expect(cell(page, "A12, 13:00")).to_be_visible()
    await cell(page, "A12, 10:00", "yours").click()
    await press(page, "Cancel booking")
    await expect(cell(page, "A12, 10:00")).to_be_visible()
    await cell(page, "A11, 10:00").click()
    await bar(page).get_by_label("Repeat").select_option("3")
    await press(page, "Book")
    await expect(bar(page).get_by_role("heading")).to_have_text("2 of 3 days booked")
    await expect(bar(page).get_by_role("listitem")).to_have_count(3)
    await press(page, "Cancel all")
    await expect(cell(page, "A11, 10:00")).to_be_visible()
    assert await bookings_of(person) == []


async def test_the_plan_and_the_filters(cluster: ProcessCluster, open_page: OpenPage) -> None:
    """Seats with places stand on the plan in the state of the chosen hours; filters leave what is asked for."""
    (node, *_) = cluster
    admin = await Person.administrator(cluster)
    for number, attributes in ((1, ["monitor"]), (2, ["monitor", "quiet"]), (3, [])):
        await admin.call(
            "PATCH",
            f"/api/v1/admin/spaces/neva/seats/W{number}",
            {"x": number, "y": 0, "attributes": attributes},
        )
    await admin.book("W1", at(12), space_id="neva")
    page = await visit(open_page, node, space="neva")
    await page.get_by_label("From").select_option(label="12:00")
    desks = page.locator(".book-desk")
    await expect(desks).to_have_count(3)
    await expect(desks.first).to_have_attribute("data-state", "taken")
    await desks.nth(1).click()
    await expect(bar(page)).to_contain_text("W2 · 12:00–13:00")
    await page.get_by_role("checkbox", name="quiet").check()
    await expect(page.get_by_role("rowheader")).to_have_count(1)
    await page.get_by_role("checkbox", name="quiet").uncheck()
    await admin.call("PATCH", "/api/v1/admin/spaces/neva/seats/W3", {"label": "By the stairs"})
    await expect(page.get_by_role("rowheader", name="By the stairs")).to_be_visible()
    await expect(bar(page)).to_contain_text("W2 · 12:00–13:00")  # the choice has outlived the new table
    await expect(cell(page, "W2, 12:00")).to_have_attribute("aria-selected", "true")
    await open_day(page, "neva", date_of(day_after(4)))
    await expect(cell(page, "W1, 12:00")).to_be_visible()
