"""What the tests of a person's own screens have in common: Alice looks at the page of a node in memory, whose clock stands still."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from playwright.async_api import Page, expect

from tests.api.conftest import PASSWORD, Node
from tests.browser.conftest import OpenPage
from tests.browser.pages import log_in

SUNDAY, MONDAY, TUESDAY = (
    "2026-11-22",
    "2026-11-23",
    "2026-11-24",
)  # it is three in the afternoon in Moscow, on the Sunday


async def called(node: Node, token: str, path: str, body: Any = None) -> Any:
    """What a POST answers; anything but a success fails the test."""
    answer = await node.post(path, body, token)
    assert answer.ok, f"{path}: {answer.status} {await answer.text()}"
    return None if answer.status == 204 else await answer.json()


def place(seat: str, day: str, hour: int, slots: int = 1) -> dict[str, Any]:
    """A wish in the first space."""
    return {"space_id": "hq", "seat_id": seat, "starts_at": f"{day}T{hour:02}:00:00+03:00", "slots": slots}


async def booked(node: Node, token: str, seat: str, day: str, hour: int, slots: int = 1) -> dict[str, Any]:
    """A booking, as the node answers it."""
    booking: dict[str, Any] = await called(node, token, "/api/v1/bookings", place(seat, day, hour, slots))
    return booking


async def set_clock(page: Page, node: Node) -> None:
    """The browser's clock is the node's."""
    await page.clock.set_fixed_time(datetime.fromtimestamp(node.replica.now_ms() / 1000))


async def own_screen(
    node: Node, open_page: OpenPage, route: str, host: str = "127.0.0.1", **options: Any
) -> Page:
    """One of the screens, with Alice logged in and all of it read."""
    page = await open_page("about:blank", **options)
    await set_clock(page, node)
    await page.goto(str(node.client.make_url(f"/#/{route}").with_host(host)))
    await log_in(page, "alice", PASSWORD)
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await expect(page.locator(".skeleton")).to_have_count(0)
    return page
