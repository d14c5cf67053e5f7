"""People over real processes: what is decided through one node holds at once on the others, and outlives the leader."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from client.aio import Client
from client.errors import Refused
from tests.integration.cluster import (
    ADMIN_LOGIN,
    ADMIN_PASSWORD,
    NodeProcess,
    ProcessCluster,
    running_cluster,
)

PASSWORD = "a long pass phrase"
LONG_SECONDS = 7  # longer than an election takes
pytestmark = pytest.mark.timeout(120)


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[ProcessCluster]:
    """Three nodes, ready; at the end no log may hold a traceback."""
    async with running_cluster(tmp_path) as running:
        yield running
        running.assert_no_traceback()


class Person:
    """Somebody with a token, who asks whichever node they like. Every answer: status, code of the problem, body."""

    def __init__(self, session: aiohttp.ClientSession, token: str = "") -> None:
        self._session = session
        self.token = token
        self.retry_after = 0

    async def ask(self, method: str, url: str, body: Any = None, **headers: str) -> tuple[int, str, Any]:
        named = {**headers, **({"Authorization": f"Bearer {self.token}"} if self.token else {})}
        async with self._session.request(method, url, json=body, headers=named) as answer:
            self.retry_after = int(answer.headers.get("Retry-After", "0"))
            told = await answer.json(content_type=None) if await answer.read() else {}
            code = told.get("type", "").rpartition(":")[2] if answer.status >= 400 else ""
            return answer.status, code, told

    async def log_in(self, url: str, login: str, password: str = PASSWORD) -> tuple[int, str, Any]:
        status, code, told = await self.ask(
            "POST", f"{url}/api/v1/auth/login", {"login": login, "password": password}
        )
        if status == 200:
            self.token = told["access_token"]
        return status, code, told


async def test_a_block_holds_on_every_node_at_once(cluster: ProcessCluster) -> None:
    one, two, three = cluster.urls
    async with aiohttp.ClientSession() as session:
        admin, ann = Person(session), Person(session)
        body = {"login": "annie", "password": PASSWORD}
        status, _, user = await ann.ask("POST", f"{one}/api/v1/auth/register", body)
        assert status == 201
        assert (await ann.log_in(two, "annie"))[0] == 200
        assert (await admin.log_in(three, ADMIN_LOGIN, ADMIN_PASSWORD))[0] == 200
        acts = f"/api/v1/admin/users/{user['id']}"
        for blocker in (one, two, three):
            assert (await ann.log_in(blocker, "annie"))[0] == 200
            assert (await ann.ask("GET", f"{blocker}/api/v1/me"))[0] == 200
            assert (await admin.ask("POST", f"{blocker}{acts}/block"))[0] == 204
            for node in (one, two, three):  # the very next request, without waiting for any index
                assert (await ann.ask("GET", f"{node}/api/v1/me"))[:2] == (401, "unauthenticated")
            ann.token = ""
            assert (await ann.log_in(two, "annie"))[:2] == (403, "user-blocked")
            assert (await admin.ask("POST", f"{blocker}{acts}/unblock"))[0] == 204
        status, _, page = await admin.ask("GET", f"{two}/api/v1/admin/audit")
        assert status == 200
        assert [each["what"] for each in page["items"]] == ["user-unblocked", "user-blocked"] * 3
        assert {each["subject"] for each in page["items"]} == {user["id"]}


async def test_failed_log_ins_outlive_the_leader(cluster: ProcessCluster) -> None:
    """Until the delay is long enough to outlast an election; then the leader is killed, and the first answer of each of
    the others that is one must be that delay.
    """
    async with aiohttp.ClientSession() as session:
        stranger, ann = Person(session), Person(session)
        leader = await cluster.wait_for_leader()
        others = [node for node in cluster if node is not leader]
        body = {"login": "annie", "password": PASSWORD}
        assert (await ann.ask("POST", f"{leader.url}/api/v1/auth/register", body))[0] == 201
        status, _, tokens = await ann.log_in(others[0].url, "annie")
        assert status == 200

        async def delayed_for_long(node: NodeProcess) -> bool:
            code = (await stranger.log_in(node.url, "annie", "wrong one"))[1]
            assert code in ("too-many-attempts", "wrong-credentials"), code
            return code == "too-many-attempts" and stranger.retry_after >= LONG_SECONDS

        async def everywhere() -> bool:
            return all([await delayed_for_long(node) for node in cluster])

        await cluster.wait_until(everywhere, 40.0, "the nodes do not delay log-ins alike")
        delayed_until = time.monotonic() + LONG_SECONDS - 1
        leader.kill()
        for node in others:
            code = "unavailable"
            while code in ("unavailable", "outcome-unknown"):
                code = (await stranger.log_in(node.url, "annie", "wrong one"))[1]
            assert code == "too-many-attempts" or time.monotonic() > delayed_until, (node.node_id, code)
        known = {**body, "device_token": tokens["device_token"]}
        assert (await ann.ask("POST", f"{others[1].url}/api/v1/auth/login", known))[0] == 200, (
            "her own device"
        )
        assert (await ann.ask("GET", f"{others[0].url}/api/v1/me"))[0] == 200


async def test_the_client_library_knows_people(cluster: ProcessCluster) -> None:
    async with Client(cluster.urls) as admin, Client(cluster.urls) as ann:
        await admin.login(ADMIN_LOGIN, ADMIN_PASSWORD)
        user = await ann.register("annie", PASSWORD)
        first = await ann.login("annie", PASSWORD)
        again = await ann.login("annie", PASSWORD)
        assert first.device_token and again.device_token
        assert len(await ann.people.sessions()) == 2
        await ann.people.change_password(PASSWORD, "another pass phrase")
        (mine,) = await ann.people.sessions()
        assert mine.current
        assert [each.login async for each in admin.people.users(search="ann")] == ["annie"]
        assert await admin.people.find("ANNIE") == user.id
        once = await admin.people.reset_password(user.id)
        await ann.login("annie", once)
        with pytest.raises(Refused) as refused:
            await ann.people.export()
        assert refused.value.code == "password-change-needed"
        await ann.people.change_password(once, PASSWORD)
        export = await ann.people.export()
        assert (export.profile.id, export.bookings) == (user.id, [])
        await admin.people.promote(user.id)
        await admin.people.demote(user.id)
        await ann.people.erase(PASSWORD)
        assert ann.session is None
        page = await admin.people.audit_page(limit=3)
        assert [each.what for each in page.items] == ["account-erased", "user-demoted", "user-promoted"]
