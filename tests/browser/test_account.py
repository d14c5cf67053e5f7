"""The account in a real browser: the password, the other devices, a copy of one's data, the look, and the end of it."""

from __future__ import annotations

import asyncio
import json

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.api.conftest import PASSWORD, Node, expect_problem
from tests.browser.conftest import OpenPage
from tests.browser.owners import MONDAY, booked, own_screen
from tests.browser.pages import assert_accessible, assert_no_sideways_scroll

ME = "/api/v1/me"


@pytest_asyncio.fixture(loop_scope="module")
async def alice(node: Node) -> str:
    """Her token on another device."""
    return await node.user("alice")


@pytest.mark.parametrize(("language", "device"), [("ru", "phone"), ("en", "desktop")])
async def test_another_password_ends_the_other_sessions(
    node: Node, open_page: OpenPage, alice: str, language: str, device: str
) -> None:
    """It can be pasted; what the server finds too weak is told in words; this session goes on."""
    names = {
        "en": ("Present password", "New password", "Change the password", "one of the most used", "This is not your password"),
        "ru": ("Нынешний пароль", "Новый пароль", "Сменить пароль", "из самых распространённых", "Это не ваш пароль"),
    }  # fmt: skip
    old_name, new_name, change, common, wrong = names[language]
    page = await own_screen(node, open_page, "account", language=language, device=device)
    await expect(page.locator("[data-session]")).to_have_count(2)
    await assert_accessible(page)
    await assert_no_sideways_scroll(page)
    old, new = page.get_by_label(old_name), page.get_by_label(new_name)
    await expect(old).to_have_attribute("autocomplete", "current-password")
    await expect(new).to_have_attribute("autocomplete", "new-password")
    await old.fill(PASSWORD)
    await new.fill("password123")
    await page.get_by_role("button", name=change).click()
    await expect(page.locator(".card.password").get_by_role("alert")).to_contain_text(common)
    await new.fill("a longer pass phrase")
    await old.fill("not this one")
    await page.get_by_role("button", name=change).click()
    await expect(page.locator(".card.password").get_by_role("alert")).to_contain_text(wrong)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.evaluate(f"navigator.clipboard.writeText('{PASSWORD}')")
    await old.fill("")
    await page.keyboard.press("Control+v")
    await expect(old).to_have_value(PASSWORD)
    await page.get_by_role("button", name=change).click()
    await expect(page.locator("[data-session]")).to_have_count(1)
    await expect(old).to_have_value("")
    await expect_problem(await node.get(ME, alice), 401, "unauthenticated")
    await node.tokens("alice", "a longer pass phrase")


async def test_a_session_elsewhere_is_ended_and_then_all(node: Node, open_page: OpenPage, alice: str) -> None:
    page = await own_screen(node, open_page, "account")
    elsewhere = page.locator("[data-session]", has_text="Another device")
    await expect(page.locator("[data-session]", has_text="you are here")).to_have_count(1)
    await elsewhere.get_by_role("button", name="End").click()
    await expect(elsewhere).to_have_count(0)
    await expect_problem(await node.get(ME, alice), 401, "unauthenticated")
    other = str((await node.tokens("alice"))["access_token"])
    await page.get_by_role("button", name="Log out everywhere").click()
    await page.get_by_role("dialog").get_by_role("button", name="Log out everywhere").click()
    await expect(page.locator("#login")).to_be_visible()
    await expect(page.get_by_role("alert")).to_have_count(0)  # it was wanted
    await expect_problem(await node.get(ME, other), 401, "unauthenticated")


async def test_a_copy_of_all_that_is_kept(node: Node, open_page: OpenPage, alice: str) -> None:
    booking = await booked(node, alice, "A1", MONDAY, 10)
    page = await own_screen(node, open_page, "account")
    async with page.expect_download() as coming:
        await page.get_by_role("button", name="Download my data").click()
    path = await (await coming.value).path()
    whole = json.loads(await asyncio.to_thread(path.read_bytes))
    assert (whole["profile"]["login"], whole["next"]) == ("alice", None)
    assert [each["id"] for each in whole["bookings"]] == [booking["id"]]


async def test_the_account_is_erased_only_on_purpose(node: Node, open_page: OpenPage, alice: str) -> None:
    """Both the login and the password have to be typed; afterwards nobody is logged in, and the booking is gone."""
    await booked(node, alice, "A1", MONDAY, 10)
    page = await own_screen(node, open_page, "account", language="ru")
    await page.get_by_role("button", name="Удалить…").click()
    dialog = page.get_by_role("dialog")
    erase = dialog.get_by_role("button", name="Удалить навсегда")
    await dialog.get_by_label("Чтобы подтвердить").fill("bob")
    await dialog.get_by_label("Пароль").fill("not this one")
    await expect(erase).to_be_disabled()
    await dialog.get_by_label("Чтобы подтвердить").fill("alice")
    await assert_accessible(page)
    await erase.click()
    await expect(dialog.get_by_role("alert")).to_contain_text("Это не ваш пароль")
    await dialog.get_by_label("Пароль").fill(PASSWORD)
    await erase.click()
    await expect(page.locator("#login")).to_be_visible()
    await expect(page.get_by_role("alert")).to_have_count(0)  # it was wanted
    await expect_problem(
        await node.post("/api/v1/auth/login", {"login": "alice", "password": PASSWORD}),
        401,
        "wrong-credentials",
    )
    day = await (await node.get(f"/api/v1/spaces/hq/availability?date={MONDAY}")).json()
    assert set(day["seats"][0]["slots"]) == {"free"}


async def test_language_and_theme_are_kept(node: Node, open_page: OpenPage, alice: str) -> None:
    page = await own_screen(node, open_page, "account")
    await page.get_by_label("Theme").select_option("dark")
    await page.get_by_role("combobox", name="Language").select_option("ru")
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Учётная запись")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await assert_accessible(page)
    await page.get_by_role("combobox", name="Тема").select_option("auto")
    await page.reload()
    await expect(page.get_by_role("combobox", name="Тема")).to_have_value("auto")
    assert await page.locator("html").get_attribute("data-theme") is None
