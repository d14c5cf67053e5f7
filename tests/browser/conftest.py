"""A real browser for tests: Debian's Chromium, driven by Playwright; the page is served by a cluster of three real processes.

A module has one browser and, when it asks for `cluster`, one cluster; `CLUSTER = {…}` in the module gives arguments of `running_cluster`.
Days that need a clock of their own ask for `node` instead: a node in memory, whose clock stands still. `open_page` gives pages of visitors
who share nothing. Whatever a page throws, logs as an error or forbids by its content security policy fails the test at the end; refused
calls do not, for a taken seat and a dead node are what tests are about. Without Chromium every test here is skipped, and says so.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient
from playwright.async_api import Browser, ConsoleMessage, Page, ViewportSize, async_playwright, expect

from api.app import build_app
from tests.api.conftest import CHEAP, CONFIG, SECRET, Node, _Server, give_birth
from tests.api.fake_replica import FakeReplica
from tests.browser.pages import CHROMIUM, LOCALES, NEEDED, VIEWPORTS
from tests.integration.cluster import ProcessCluster, running_cluster

WAIT_MS = 20_000
REFUSED = "Failed to load resource:"  # how Chromium logs a call that was answered by a problem, or by nobody
ANOTHER_MACHINE = (
    "desk.test"  # is this machine too, but a browser trusts plain HTTP from it no more than from any other
)
OPTIONS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    f"--host-resolver-rules=MAP {ANOTHER_MACHINE} 127.0.0.1",
)

expect.set_options(timeout=WAIT_MS)
OpenPage = Callable[..., Awaitable[Page]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What lives as long as a module runs on the module's loop, and so do the tests."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)
            item.add_marker(pytest.mark.skipif(CHROMIUM is None, reason=NEEDED))
            item.add_marker(pytest.mark.timeout(90))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium; each page gets a profile of its own within it."""
    async with async_playwright() as playwright:
        sandboxed = os.getuid() != 0  # the sandbox is not for root
        launched = await playwright.chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=sandboxed, args=OPTIONS
        )
        yield launched
        await launched.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ProcessCluster]:
    """Three real members, shared by the tests of a module: each brings people of its own, and leaves all members alive."""
    folder = tmp_path_factory.mktemp("cluster")
    async with running_cluster(folder, **getattr(request.module, "CLUSTER", {})) as running:
        await running.wait_for_leader()
        yield running
        running.assert_no_traceback()


@pytest.fixture
def replica() -> FakeReplica:
    """The state behind `node`; its clock is the test's."""
    return FakeReplica()


@pytest_asyncio.fixture(loop_scope="module")
async def node(replica: FakeReplica) -> AsyncIterator[Node]:
    """A node in memory: not a cluster, but any day one likes."""
    await give_birth(replica)
    app = build_app(replica, SECRET, CONFIG, "n1", password_cost=CHEAP)
    async with TestClient(_Server(app, replica)) as client:
        yield Node(client, replica)


@pytest_asyncio.fixture(loop_scope="module")
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    """`await open_page(url, language="en", device="desktop", scheme="light", timezone="Europe/Moscow")`: the page of a new visitor.

    `errors_allowed`: pieces of console errors that this visitor is to see; more keywords go to Playwright's `new_context`.
    """
    errors: list[str] = []
    async with AsyncExitStack() as stack:

        async def opened(
            url: str,
            *,
            language: str = "en",
            device: str = "desktop",
            scheme: str = "light",
            timezone: str = "Europe/Moscow",
            errors_allowed: tuple[str, ...] = (),
            **options: Any,
        ) -> Page:
            phone = device == "phone"
            context = await browser.new_context(
                locale=LOCALES[language],
                viewport=ViewportSize(**VIEWPORTS[device]),
                has_touch=phone,
                is_mobile=phone,
                device_scale_factor=2 if phone else 1,
                color_scheme=scheme,
                timezone_id=timezone,
                reduced_motion="reduce",  # nothing is seen half-way
                **options,
            )
            await stack.enter_async_context(context)
            context.set_default_timeout(WAIT_MS)
            page = await context.new_page()

            def note(text: str) -> None:
                if not any(each in text for each in errors_allowed):
                    errors.append(text)

            def logged(message: ConsoleMessage) -> None:
                refused = message.text.startswith(REFUSED) and "/web/" not in message.location["url"]
                if message.type == "error" and not refused:
                    note(f"{message.text} ({message.location['url']}:{message.location['lineNumber']})")

            page.on("console", logged)
            page.on("pageerror", lambda error: note(f"{error.message}\n{error.stack}"))
            await page.goto(url)
            return page

        yield opened
    assert not errors, "\n".join(errors)
