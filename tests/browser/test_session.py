"""Being logged in, in real browsers: the cookie and the tabs that share it, all that ends it, and nodes that go while somebody works."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from playwright.async_api import BrowserContext, Page, Route, expect

from tests.browser.conftest import OpenPage
from tests.browser.pages import assert_accessible, log_in, log_out
from tests.browser.people import PASSWORD, Person
from tests.integration.cluster import ProcessCluster

CHIP = "#connection"
FROM_HERE = "fetch('/api/v1/auth/browser/token', {method: 'POST', headers: {'Deskraft-Page': '1'}}).then((each) => each.status)"


async def tab(context: BrowserContext, url: str) -> Page:
    """Another page of the same browser."""
    page = await context.new_page()
    await page.goto(url)
    await expect(page.locator("main h1").first).to_be_visible()
    return page


async def session_cookie(context: BrowserContext) -> dict[str, Any]:
    """The one cookie that is about a session."""
    (found,) = [each for each in await context.cookies() if each["name"] == "deskraft-test"]
    return dict(found)


async def test_a_script_finds_nothing_to_carry_away(cluster: ProcessCluster, open_page: OpenPage) -> None:
    """The cookie is out of its reach, nothing is stored, and nothing else than the two calls takes the cookie."""
    (node, *_) = cluster
    await Person.registered(cluster, "ada")
    page = await open_page(node.url)
    await log_in(page, "ada", PASSWORD)
    cookie = await session_cookie(page.context)
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert "deskraft" not in await page.evaluate("document.cookie")
    stored = await page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert "eyJ" not in stored
    assert cookie["value"] not in json.dumps(stored)
    assert await page.evaluate("fetch('/api/v1/me').then((each) => each.status)") == 401
    assert await page.evaluate(FROM_HERE) == 200


async def test_a_click_counts_while_the_page_still_loads(
    cluster: ProcessCluster, open_page: OpenPage
) -> None:
    """A button that is pressed before everything is there is the one that is released afterwards."""
    (node, *_) = cluster
    page = await open_page(node.url)
    loads = asyncio.Event()

    async def late(route: Route) -> None:
        await loads.wait()
        await route.continue_()

    await page.route("**/views/cluster.js", late)
    await page.reload(wait_until="commit")
    await expect(page.locator("#nav a")).not_to_have_count(0)
    await page.locator("#login").hover()
    await page.mouse.down()
    loads.set()
    await expect(page.locator("#nav [data-view=cluster]")).to_be_visible()
    await page.mouse.up()
    await expect(page.locator("dialog form [name=username]")).to_be_focused()


async def test_the_dialog_helps_people_and_their_password_managers(
    cluster: ProcessCluster, open_page: OpenPage
) -> None:
    """Autocomplete as managers look for it, paste works, a wrong password is said where it was typed; registering logs in."""
    (node, *_) = cluster
    page = await open_page(node.url)
    await page.locator("#login").click()
    form = page.locator("dialog form")
    name, password = form.locator("[name=username]"), form.locator("[name=password]")
    await expect(name).to_be_focused()
    await expect(name).to_have_attribute("autocomplete", "username")
    await expect(password).to_have_attribute("autocomplete", "current-password")
    await assert_accessible(page)
    await name.fill("grace")
    await password.fill("not hers at all")
    await password.press("Enter")
    await expect(form.get_by_role("alert")).to_have_text("Wrong login or password.")
    await form.get_by_role("button", name="Create an account").click()
    await expect(password).to_have_attribute("autocomplete", "new-password")
    await password.evaluate(
        """(field, text) => {
            const data = new DataTransfer();
            data.setData('text/plain', text);
            field.value = '';
            field.focus();
            if (field.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true})))
                document.execCommand('insertText', false, text);
        }""",
        PASSWORD,
    )
    await expect(password).to_have_value(PASSWORD)
    await password.press("Enter")
    await expect(page.locator("#who")).to_have_text("grace")
    await page.reload()
    await expect(page.locator("#who")).to_have_text("grace")


async def test_tabs_share_a_session_and_its_end(cluster: ProcessCluster, open_page: OpenPage) -> None:
    """Log in in one tab, and others are; nodes of one host know it too; log out in one, and none is."""
    first, second, _ = cluster
    await Person.registered(cluster, "ada-of-tabs")
    one = await open_page(first.url)
    two = await tab(one.context, first.url)
    elsewhere = await tab(one.context, second.url)
    await log_in(one, "ada-of-tabs", PASSWORD)
    await expect(two.locator("#account")).to_be_visible()
    await elsewhere.reload()
    await expect(elsewhere.locator("#account")).to_be_visible()
    for page in (one, two, elsewhere, one, two):  # each for itself: nothing rotates away under another
        assert await page.evaluate(FROM_HERE) == 200
        await page.reload()
        await expect(page.locator("#account")).to_be_visible()
    await log_out(two)
    for page in (one, elsewhere):
        await page.bring_to_front()
        await expect(page.locator("#login")).to_be_visible()
        await expect(page.get_by_role("alert")).to_contain_text("The session has ended")
    assert await one.evaluate(FROM_HERE) == 204


async def test_what_an_administrator_ends_is_over_at_once(
    cluster: ProcessCluster, open_page: OpenPage
) -> None:
    """Blocked on another node, without anything being asked by the page."""
    first, second, _ = cluster
    await Person.registered(cluster, "mallory")
    admin = await Person.administrator(cluster, second)
    page = await open_page(f"{first.url}/#/history")
    await page.locator("main").get_by_role("button", name="Log in").click()
    form = page.locator("dialog form")
    await form.locator("[name=username]").fill("mallory")
    await form.locator("[name=password]").fill(PASSWORD)
    await form.locator("button[type=submit]").click()
    await expect(page.locator("#account")).to_be_visible()
    (user,) = [
        each for each in (await admin.call("GET", "/api/v1/admin/users?limit=200"))["items"]
        if each["login"] == "mallory"
    ]  # fmt: skip
    await admin.call("POST", f"/api/v1/admin/users/{user['id']}/block", {})
    await expect(page.locator("#login")).to_be_visible()
    await expect(page.get_by_role("alert")).to_contain_text("The session has ended")
    await log_in_refused(page)


async def log_in_refused(page: Page) -> None:
    """The dialog says that the account is blocked."""
    await page.locator("#login").click()
    form = page.locator("dialog form")
    await form.locator("[name=username]").fill("mallory")
    await form.locator("[name=password]").fill(PASSWORD)
    await form.locator("button[type=submit]").click()
    await expect(form.get_by_role("alert")).to_have_text("This account is blocked.")


async def test_the_page_outlives_its_node(cluster: ProcessCluster, open_page: OpenPage) -> None:
    """The node that served it is killed: other views, a fresh token and a change of the account work through the others."""
    await cluster.wait_for_leader()
    first, second, third = cluster
    await Person.registered(cluster, "ada-of-kills", second)
    page = await open_page(first.url)
    await log_in(page, "ada-of-kills", PASSWORD)
    await expect(page.locator("[data-view=history]")).to_be_visible()
    first.kill()
    try:
        await page.locator("[data-view=history]").click()
        await expect(page.locator("main h1")).to_have_text("History")
        await page.locator("[data-view=cluster]").click()
        await expect(page.locator("main h1")).to_be_visible()
        await expect(page.locator(CHIP)).to_have_attribute("data-state", "live")
        status = await page.evaluate(
            f"""fetch('{second.url}/api/v1/auth/browser/token', {{method: 'POST', credentials: 'include',
            headers: {{'Deskraft-Page': '1'}}}}).then((each) => each.status)"""
        )
        assert status == 200, "the cookie is the host's, whatever the port"
        third.kill()
        await expect(page.locator(CHIP)).to_have_attribute("data-state", "read-only", timeout=20_000)
        await expect(page.locator(CHIP)).to_have_text("Read-only")
        await page.locator("[data-view=history]").click()  # one may look at what the node last knew
        await expect(page.locator("main h1")).to_have_text("History")
        await expect(page.locator("main")).to_contain_text(
            "You have not booked anything yet.", timeout=20_000
        )
        second.kill()
        await expect(page.locator(CHIP)).to_have_attribute("data-state", "reconnecting", timeout=20_000)
    finally:
        for node in cluster:
            if not node.running:
                node.start()
        await cluster.wait_until_ready()
    await expect(page.locator(CHIP)).to_have_attribute("data-state", "live", timeout=20_000)
    await page.locator("[data-view=mine]").click()
    await expect(page.locator("#account")).to_be_visible()


async def test_offline_and_back(cluster: ProcessCluster, open_page: OpenPage) -> None:
    """The chip says so, and what happened meanwhile is told afterwards."""
    (node, *_) = cluster
    await Person.registered(cluster, "ada-offline")
    page = await open_page(node.url)
    await log_in(page, "ada-offline", PASSWORD)
    await page.context.set_offline(True)
    await expect(page.locator(CHIP)).to_have_attribute("data-state", "reconnecting", timeout=20_000)
    await page.context.set_offline(False)
    await expect(page.locator(CHIP)).to_have_attribute("data-state", "live", timeout=20_000)
    await page.locator("[data-view=mine]").click()
    await expect(page.locator("main h1")).to_be_visible()
    await expect(page.locator("#account")).to_be_visible()


async def test_languages_are_switched_and_kept(cluster: ProcessCluster, open_page: OpenPage) -> None:
    """The browser's at first; the choice then, also after a reload."""
    (node, *_) = cluster
    page = await open_page(node.url, language="ru")
    await expect(page.locator("#login")).to_have_text("Войти")
    assert await page.evaluate("document.documentElement.lang") == "ru"
    await page.locator("#language").click()
    await expect(page.locator("#login")).to_have_text("Log in")
    await page.reload()
    await expect(page.locator("#login")).to_have_text("Log in")
    await page.locator("#theme").click()
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
    await page.reload()
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
