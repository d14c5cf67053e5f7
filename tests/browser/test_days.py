"""The page of the day in a real browser, on days that trip others: as many slots as the day has, each with a name of its own, in order,
by the clocks of the space; the browser's own zone plays no part.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.conftest import PASSWORD, Node
from tests.browser.chromium import CHROMIUM, NEEDED, Page, open_page

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason=NEEDED), pytest.mark.timeout(90)]
HEADS = "[...document.querySelectorAll('#grid thead th')].slice(1).map((each) => each.textContent)"
ROW = "[...document.querySelector('#grid tbody tr').cells].slice(1).map((each) => each.firstChild.className || 'free')"
NAMES = "[...document.querySelectorAll('#grid [aria-label]')].map((each) => each.getAttribute('aria-label'))"


@pytest.fixture
async def page(node: Node, tmp_path: Path) -> AsyncIterator[Page]:
    """The page in Honolulu, in English, with Alice logged in."""
    await node.register("alice")
    async with open_page(tmp_path / "profile", "Pacific/Honolulu") as opened:
        url = str(node.client.make_url("/"))
        await opened.open(url)
        await opened.wait_for("document.readyState === 'complete' && location.protocol === 'http:'")
        await opened.run("localStorage.setItem('language', 'en')")
        await opened.open(url)
        await opened.wait_for(
            "document.documentElement?.lang === 'en' && document.querySelector('#space option') !== null"
        )
        await opened.run(
            f"""byId = (id) => document.getElementById(id);
            byId('login').value = 'alice'; byId('password').value = {PASSWORD!r};
            byId('login-form').requestSubmit()"""
        )
        await opened.wait_for("document.querySelector('#grid tbody') !== null")
        yield opened


async def draw(page: Page, space: str, day: str) -> list[str]:
    """The day's page of a space; the names of its slots."""
    await page.run(
        f"""byId('grid').replaceChildren(); byId('space').value = {space!r}; byId('date').value = {day!r};
        byId('date').dispatchEvent(new Event('change'))"""
    )
    await page.wait_for("document.querySelector('#grid tbody') !== null && byId('notice').hidden")
    heads: list[str] = await page.run(HEADS)
    return heads


async def test_days_are_drawn_as_they_are(page: Page, node: Node) -> None:
    """What the page shows is what the call says, with the offset where the clocks change; no two slots of a seat have one name."""
    for space, day, count, piece in (
        ("berlin", "2027-03-28", 23, ["01:00 +01:00", "03:00 +02:00"]),
        ("berlin", "2027-10-31", 25, ["02:00 +02:00", "02:00 +01:00"]),
        ("york", "2027-11-07", 25, ["01:00 -04:00", "01:00 -05:00"]),
        ("howe", "2027-04-04", 49, ["01:30 +11:00", "01:30 +10:30"]),
        ("howe", "2027-10-03", 47, ["01:30 +10:30", "02:30 +11:00"]),
        ("kolkata", "2027-03-28", 18, ["09:00", "09:30", "10:00"]),
        ("berlin", "2028-02-29", 24, ["00:00", "01:00"]),
    ):
        heads = await draw(page, space, day)
        assert len(heads) == count, (space, day)
        at = heads.index(piece[0])
        assert heads[at : at + len(piece)] == piece
        answer = await node.get(f"/api/v1/spaces/{space}/availability?date={day}")
        told = [each["starts_at"][11:16] for each in (await answer.json())["slots"]]
        assert [head[:5] for head in heads] == told
        names = await page.run(NAMES)
        assert len(names) == len(set(names)), "a screen reader can tell them apart"
        assert len(await page.run(ROW)) == count


async def test_the_hour_that_comes_twice_is_booked_as_chosen(page: Page) -> None:
    """The first of two two o'clocks: the choice, the notice, the page afterwards and the list say which."""
    heads = await draw(page, "berlin", "2027-10-31")
    assert heads.index("02:00 +02:00") == 2
    await page.run("document.querySelector('#grid tbody tr').cells[3].firstChild.click()")
    said = "02:00–02:00 UTC+01:00 (Europe/Berlin, UTC+02:00)"
    assert said in await page.run("byId('choice-text').textContent")
    await page.run("byId('confirm').click()")
    await page.wait_for("byId('notice').textContent.startsWith('Booked')")
    assert said in await page.run("byId('notice').textContent")
    assert (await page.run(ROW))[:5] == ["free", "free", "mine", "free", "free"]
    await page.run("document.querySelector('[data-tab=\"mine\"]').click()")
    await page.wait_for("byId('list').children.length === 1")
    assert said in await page.run("byId('list').textContent")


async def test_a_night_is_one_booking_on_two_pages(page: Page) -> None:
    """Three hours from eleven in the evening before the clocks go forward: told to their end, and drawn on both days."""
    heads = await draw(page, "berlin", "2027-03-27")
    await page.run("byId('slots').value = '3'; byId('slots').dispatchEvent(new Event('input'))")
    await page.run(f"document.querySelector('#grid tbody tr').cells[{len(heads)}].firstChild.click()")
    said = "23:00–03:00 UTC+02:00 (Europe/Berlin, UTC+01:00)"
    assert said in await page.run("byId('choice-text').textContent")
    await page.run("byId('confirm').click()")
    await page.wait_for("byId('notice').textContent.startsWith('Booked')")
    assert said in await page.run("byId('notice').textContent"), "the page has reckoned as the node does"
    assert (await page.run(ROW))[-2:] == ["free", "mine"]
    await draw(page, "berlin", "2027-03-28")
    assert (await page.run(ROW))[:3] == ["mine", "mine", "free"]
