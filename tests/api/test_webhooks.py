"""Webhooks over HTTP: who may, what is refused at once, the secret that is shown once, and the test event."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from standardwebhooks.webhooks import Webhook

from api.app import build_app
from node.config_outbox import OutboxConfig
from node.secret import Secret
from tests.api.conftest import CHEAP, CONFIG, SECRET, Node, _Server, expect_problem, give_birth
from tests.api.fake_replica import FakeReplica
from tests.node.couriers.receiver import Received, answering, hang, receiving

HOOKS = "/api/v1/admin/webhooks"
URL = "https://8.8.8.8/hook"
ALLOWING = replace(CONFIG, outbox=OutboxConfig(webhook_allow=("127.0.0.1",)))


@pytest.fixture
async def allowing(replica: FakeReplica) -> AsyncIterator[Node]:
    """A node whose operator allows loopback."""
    await give_birth(replica)
    app = build_app(
        replica, SECRET, ALLOWING, "n1", password_cost=CHEAP, budget_seconds=0.4, request_seconds=0.6
    )
    async with TestClient(_Server(app, replica)) as client:
        yield Node(client, replica)


async def create(node: Node, token: str, url: str = URL, **given: Any) -> dict[str, Any]:
    answer = await node.post(HOOKS, {"url": url, **given}, token)
    assert answer.status == 201, await answer.text()
    made: dict[str, Any] = await answer.json()
    assert answer.headers["Location"] == f"{HOOKS}/{made['id']}"
    return made


async def body_of(node: Node, path: str, token: str) -> dict[str, Any]:
    answer = await node.get(path, token)
    assert answer.status == 200, await answer.text()
    body: dict[str, Any] = await answer.json()
    return body


def key_of(secret: str, sent: Received) -> bool:
    """Whether the reference library signs what was sent as it was signed; the clock of these tests stands still."""
    at = datetime.fromtimestamp(int(sent.headers["webhook-timestamp"]), UTC)
    return Webhook(secret).sign(sent.id, at, sent.body.decode()) in sent.headers["webhook-signature"].split(
        " "
    )


async def test_a_life_of_a_webhook(node: Node) -> None:
    admin = await node.admin()
    made = await create(node, admin, description="Billing", types=["deskraft.booking"], space_ids=["hq"])
    assert made["secret"].startswith("whsec_") and made["state"] == "active"
    path = f"{HOOKS}/{made['id']}"
    shown = await body_of(node, path, admin)
    assert {**shown, "secret": made["secret"]} == made
    assert (shown["url"], shown["types"], shown["space_ids"]) == (URL, ["deskraft.booking"], ["hq"])
    assert (await body_of(node, HOOKS, admin))["items"] == [shown]
    changed = await (await node.patch(path, {"types": [], "description": ""}, admin)).json()
    assert (changed["types"], changed["description"], changed["space_ids"]) == ([], "", ["hq"])
    for state in ("paused", "active", "active"):
        assert (await (await node.patch(path, {"state": state}, admin)).json())["state"] == state
    problem = await expect_problem(
        await node.patch(path, {"state": "active", "url": URL}, admin), 422, "invalid-body"
    )
    assert problem["errors"][0]["pointer"] == "/state"
    assert (await node.delete(path, admin)).status == 204
    await expect_problem(await node.get(path, admin), 404, "sink-not-found")
    for answer in (
        await node.patch(path, {"state": "paused"}, admin),
        await node.post(f"{path}/rotate", None, admin),
        await node.post(f"{path}/test", None, admin),
        await node.delete(path, admin),
    ):
        await expect_problem(answer, 404, "sink-not-found")


async def test_the_secret_is_shown_to_the_request_that_made_it_alone(node: Node) -> None:
    admin = await node.admin()
    answers = [await node.post(HOOKS, {"url": URL}, admin, Idempotency_Key="k") for _ in range(2)]
    first, again = [await answer.json() for answer in answers]
    assert first == again
    path = f"{HOOKS}/{first['id']}"
    rotations = [
        await (await node.post(f"{path}/rotate", {"overlap_hours": 1}, admin, Idempotency_Key="r")).json()
        for _ in range(2)
    ]
    assert rotations[0]["secret"] == rotations[1]["secret"] != first["secret"]
    assert rotations[0]["old_secret_until"].startswith("2026-11-22T13:00:00")
    ended = await (await node.post(f"{path}/rotate", {"overlap_hours": 0}, admin)).json()
    assert ended["old_secret_until"] is None
    assert "secret" not in await body_of(node, path, admin)


async def test_users_may_nothing(node: Node) -> None:
    admin, user = await node.admin(), await node.user()
    path = f"{HOOKS}/{(await create(node, admin))['id']}"
    for answer in (
        await node.get(HOOKS, user),
        await node.get(path, user),
        await node.post(HOOKS, {"url": URL}, user),
        await node.patch(path, {"state": "paused"}, user),
        await node.delete(path, user),
        await node.post(f"{path}/rotate", None, user),
        await node.post(f"{path}/test", None, user),
    ):
        await expect_problem(answer, 403, "forbidden")
    await expect_problem(await node.get(HOOKS), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"url": "http://127.0.0.1/"}, "/url"),
        ({"url": "http://localhost:8001/"}, "/url"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "/url"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "/url"),
        ({"url": "https://user:word@8.8.8.8/"}, "/url"),
        ({"url": "ftp://8.8.8.8/"}, "/url"),
        ({"url": "https://8.8.8.8/" + "a" * 1024}, "/url"),
        ({"url": URL, "types": ["booking"]}, "/types/0"),
        ({"url": URL, "types": ["deskraft"]}, "/types/0"),
        ({"url": URL, "types": ["deskraft."]}, "/types/0"),
        ({"url": URL, "space_ids": ["nowhere"]}, "/space_ids/0"),
        ({}, "/url"),
    ],
)
async def test_what_is_refused_at_once(node: Node, body: dict[str, Any], pointer: str) -> None:
    admin = await node.admin()
    problem = await expect_problem(await node.post(HOOKS, body, admin), 422, "invalid-body")
    assert problem["errors"][0]["pointer"] == pointer
    made = await create(node, admin)
    if body:
        changed = await node.patch(f"{HOOKS}/{made['id']}", body, admin)
        await expect_problem(changed, 422, "invalid-body")


async def test_a_test_event_is_sent_at_once_and_once(allowing: Node) -> None:
    admin = await allowing.admin()
    async with receiving() as receiver:
        made = await create(allowing, admin, receiver.url)
        path = f"{HOOKS}/{made['id']}"
        told = await (await allowing.post(f"{path}/test", None, admin)).json()
        assert (told["delivered"], told["status"], told["why"]) == (True, 204, None)
        (sent,) = receiver.received
        assert b'"deskraft.webhook.test"' in sent.body and sent.id.startswith("test-")
        assert key_of(made["secret"], sent)
        rotated = await (await allowing.post(f"{path}/rotate", None, admin)).json()
        await allowing.post(f"{path}/test", None, admin)
        assert key_of(made["secret"], receiver.received[1]) and key_of(
            rotated["secret"], receiver.received[1]
        )
        await allowing.post(f"{path}/rotate", {"overlap_hours": 0}, admin)
        await allowing.post(f"{path}/test", None, admin)
        assert not key_of(rotated["secret"], receiver.received[2])
        for behave, status, why in (
            (answering(302, Location="/other"), 302, "redirect"),
            (answering(410), 410, "Gone"),
            (hang, None, "no answer"),
        ):
            receiver.behave = behave
            answer = await allowing.post(f"{path}/test", None, admin)
            told = await answer.json()
            assert (answer.status, told["delivered"], told["status"]) == (200, False, status)
            assert why in told["why"]
        assert (await body_of(allowing, path, admin))["state"] == "active"


async def test_without_the_line_of_the_secret_file_there_is_no_signature(allowing: Node) -> None:
    admin = await allowing.admin()
    path = f"{HOOKS}/{(await create(allowing, admin))['id']}"
    other = Secret(["another line, that has taken the place of the first"])
    from api.app import SERVICES
    from api.webhooks import WebhookTools

    services = allowing.client.app[SERVICES]  # type: ignore[union-attr, index]
    object.__setattr__(services, "webhooks", WebhookTools(other, ()))
    await expect_problem(await allowing.post(f"{path}/test", None, admin), 409, "signing-key-lost")
    assert (await allowing.post(f"{path}/rotate", None, admin)).status == 200
