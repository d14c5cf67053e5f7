"""My bookings in a real browser: given back and taken back, moved and moved back, one of a series and the rest of it, lines, checking in;
what happens elsewhere is seen without a reload; both languages, keyboard, phone and desktop.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.api.conftest import Node
from tests.browser.conftest import ANOTHER_MACHINE, OpenPage
from tests.browser.owners import MONDAY, SUNDAY, TUESDAY, booked, called, own_screen, place, set_clock
from tests.browser.pages import assert_accessible, assert_no_sideways_scroll

NAMES = {
    "en": {"cancel": "Cancel", "move": "Move", "back": "Take it back"},
    "ru": {"cancel": "Отменить", "move": "Перенести", "back": "Вернуть"},
}


@pytest_asyncio.fixture(loop_scope="module")
async def alice(node: Node) -> str:
    """Her token; she is the one who looks at the page."""
    return await node.user("alice")


@pytest_asyncio.fixture(loop_scope="module")
async def bob(node: Node) -> str:
    """The token of somebody else."""
    return await node.user("bob")


def row(page: Page, booking: dict[str, Any]) -> Locator:
    """The row of a booking, or of a place in a line."""
    return page.locator(f'[data-booking="{booking["id"]}"]')


@pytest.mark.parametrize(("language", "device"), [("ru", "phone"), ("en", "desktop")])
async def test_a_booking_is_given_back_and_taken_back(
    node: Node, open_page: OpenPage, alice: str, bob: str, language: str, device: str
) -> None:
    """The seat is free for others at once; taking it back books it anew, and says so when somebody was quicker."""
    booking = await booked(node, alice, "A1", MONDAY, 10, 2)
    names = NAMES[language]
    page = await own_screen(node, open_page, "mine", language=language, device=device)
    await expect(row(page, booking)).to_contain_text("10:00–12:00")
    await expect(row(page, booking)).to_contain_text({"ru": "Москва, UTC+3", "en": "Moscow, UTC+3"}[language])
    await assert_accessible(page)
    await assert_no_sideways_scroll(page)
    await row(page, booking).get_by_role("button", name=names["cancel"]).click()
    await expect(row(page, booking)).to_have_count(0)
    day = await (await node.get(f"/api/v1/spaces/hq/availability?date={MONDAY}")).json()
    assert set(day["seats"][0]["slots"]) == {"free"}

    await page.get_by_role("button", name=names["back"]).click()
    rows = page.locator("[data-booking]")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("10:00–12:00")

    await rows.get_by_role("button", name=names["cancel"]).click()
    await expect(rows).to_have_count(0)
    await booked(node, bob, "A1", MONDAY, 11)
    await page.get_by_role("button", name=names["back"]).click()
    await expect(page.get_by_role("alert")).to_contain_text(
        {"ru": "успели занять", "en": "somebody was quicker"}[language]
    )
    await expect(
        page.get_by_role("link", name={"ru": "Выбрать место", "en": "Choose a seat"}[language])
    ).to_be_visible()


async def test_a_booking_is_moved_and_moved_back(
    node: Node, open_page: OpenPage, alice: str, bob: str
) -> None:
    """Only what is free is offered; the dialog works by keyboard; what others take meanwhile is told with what is free instead."""
    booking = await booked(node, alice, "A1", MONDAY, 10, 2)
    await booked(node, bob, "A2", TUESDAY, 12)
    page = await own_screen(node, open_page, "mine")
    await row(page, booking).get_by_role("button", name="Move").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("radio", name="10:00")).to_be_checked()
    await expect(
        dialog.get_by_role("button", name="Move", exact=True)
    ).to_be_disabled()  # nothing would change
    await dialog.get_by_label("Day").fill(TUESDAY)
    await dialog.get_by_label("For how long").select_option("3")
    await dialog.get_by_role("radio", name="11:00").focus()
    await page.keyboard.press("Space")
    await expect(dialog.get_by_role("radio", name="Desk A2")).to_have_count(0)  # taken at twelve
    await dialog.get_by_role("radio", name="Desk A3").focus()
    await page.keyboard.press("Space")
    await expect(dialog).to_contain_text("It will be: Desk A3")
    await assert_accessible(page)

    await booked(node, bob, "A3", TUESDAY, 13)
    await dialog.get_by_role("button", name="Move", exact=True).click()
    await expect(dialog).to_contain_text("This seat has just been taken")
    await dialog.get_by_role("button", name="Desk B1 · 11:00–14:00").click()
    await expect(dialog).to_contain_text("It will be: Desk B1")
    await dialog.get_by_role("button", name="Move", exact=True).click()
    await expect(dialog).to_have_count(0)
    await expect(row(page, booking)).to_contain_text("11:00–14:00")
    await page.get_by_role("button", name="Take it back").click()
    await expect(row(page, booking)).to_contain_text("10:00–12:00")
    await expect(row(page, booking)).to_contain_text("Desk A1")


async def test_a_booking_that_changed_elsewhere_is_not_moved(
    node: Node, open_page: OpenPage, alice: str
) -> None:
    """What stands in the dialog was true when it was opened; the revision says whether it still is."""
    booking = await booked(node, alice, "A1", MONDAY, 10)
    page = await own_screen(node, open_page, "mine")
    await row(page, booking).get_by_role("button", name="Move").click()
    await page.get_by_role("dialog").get_by_role("radio", name="Desk A2").check(force=True)
    await called(node, alice, f"/api/v1/bookings/{booking['id']}/move", {"seat_id": "B1"})
    await page.get_by_role("dialog").get_by_role("button", name="Move", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("has changed meanwhile")
    await expect(row(page, booking)).to_contain_text("Desk B1")


async def test_one_of_a_series_and_the_rest_of_it(node: Node, open_page: OpenPage, alice: str) -> None:
    weekly = place("A1", MONDAY, 9) | {"rrule": "FREQ=WEEKLY;COUNT=4"}
    made = await called(node, alice, "/api/v1/series", weekly)
    first, second, third, fourth = (each["booking"] for each in made["items"])
    page = await own_screen(node, open_page, "mine")
    await expect(row(page, third)).to_contain_text("series, 3 of 4")
    await row(page, first).get_by_role("button", name="Cancel").click()
    await page.get_by_role("dialog").get_by_role("button", name="Keep them").click()
    await expect(page.locator("[data-booking]")).to_have_count(4)
    await row(page, second).get_by_role("button", name="Cancel").click()
    await page.get_by_role("dialog").get_by_role("button", name="Only this one").click()
    await expect(row(page, second)).to_have_count(0)
    await row(page, third).get_by_role("button", name="Cancel").click()
    await page.get_by_role("dialog").get_by_role("button", name="This and the later ones (2)").click()
    await expect(page.locator("#toasts")).to_contain_text("2 bookings are cancelled")
    await expect(page.locator("[data-booking]")).to_have_count(1)
    await expect(row(page, fourth)).to_have_count(0)


async def test_what_happens_elsewhere_is_seen_and_the_focus_stays(
    node: Node, open_page: OpenPage, alice: str, bob: str
) -> None:
    """Another device books and cancels; a place that was waited for becomes a booking."""
    booking = await booked(node, alice, "A1", TUESDAY, 10)
    taken = await booked(node, bob, "A2", TUESDAY, 15)
    waiting = await called(node, alice, "/api/v1/waitlist", place("A2", TUESDAY, 15))
    page = await own_screen(node, open_page, "mine")
    await expect(row(page, waiting)).to_contain_text("you are next")
    await row(page, booking).get_by_role("button", name="Move").focus()
    earlier = await booked(node, alice, "A3", MONDAY, 10)
    await expect(row(page, earlier)).to_be_visible()
    await expect(row(page, booking).get_by_role("button", name="Move")).to_be_focused()
    await called(node, bob, f"/api/v1/bookings/{taken['id']}/cancel")
    await expect(row(page, waiting)).to_have_count(0)
    await expect(page.locator("[data-booking]").last).to_contain_text("15:00–16:00")
    await called(node, alice, f"/api/v1/bookings/{booking['id']}/cancel")
    await expect(row(page, booking)).to_have_count(0)


async def test_a_line_is_left_after_a_question(node: Node, open_page: OpenPage, alice: str, bob: str) -> None:
    await booked(node, bob, "A2", TUESDAY, 15)
    waiting = await called(node, alice, "/api/v1/waitlist", place("A2", TUESDAY, 15))
    page = await own_screen(node, open_page, "mine", language="ru")
    await row(page, waiting).get_by_role("button", name="Выйти из очереди").click()
    await page.get_by_role("dialog").get_by_role("button", name="Нет").click()
    await expect(row(page, waiting)).to_be_visible()
    await row(page, waiting).get_by_role("button", name="Выйти из очереди").click()
    await page.get_by_role("dialog").get_by_role("button", name="Выйти из очереди").click()
    await expect(row(page, waiting)).to_have_count(0)


async def test_checking_in_is_offered_while_it_is_open(node: Node, open_page: OpenPage, alice: str) -> None:
    """From a quarter of an hour before, until the grace is over; then the row says that one is there."""
    admin = await node.admin()
    await called(node, admin, "/api/v1/admin/spaces/hq/checkin", {"grace_minutes": 15})
    booking = await booked(node, alice, "A1", SUNDAY, 16)
    page = await own_screen(node, open_page, "mine")
    await expect(row(page, booking)).to_contain_text("Check in from 15:45 to 16:15")
    await expect(row(page, booking).get_by_role("button", name="Check in")).to_have_count(0)
    node.replica.advance(50 * 60)
    await set_clock(page, node)
    await page.reload()
    await row(page, booking).get_by_role("button", name="Check in").click()
    await expect(row(page, booking)).to_contain_text("you have checked in")
    await expect(row(page, booking).get_by_role("button", name="Check in")).to_have_count(0)
    await page.reload()
    await expect(row(page, booking)).to_contain_text("you have checked in")


async def test_it_works_by_plain_http_from_another_machine(
    node: Node, open_page: OpenPage, alice: str
) -> None:
    """Browsers keep some of their functions for HTTPS and loopback; the page does without them."""
    booking = await booked(node, alice, "A1", MONDAY, 10)
    page = await own_screen(
        node, open_page, "mine", host=ANOTHER_MACHINE, errors_allowed=("Cross-Origin-Opener-Policy",)
    )
    assert not await page.evaluate("isSecureContext")
    await row(page, booking).get_by_role("button", name="Cancel").click()
    await expect(row(page, booking)).to_have_count(0)
