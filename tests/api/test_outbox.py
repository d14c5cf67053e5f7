"""Sinks and dead letters for administrators, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from statemachine.outbox_commands import Bury, Settle
from statemachine.outcomes import Outcome
from tests.api.conftest import Node, expect_problem
from tests.api.test_calendars import book

SINKS = "/api/v1/admin/sinks"
HOOK = {"url": "https://hooks.example.org/in", "types": ["deskraft.booking"], "description": "doors"}


async def created(node: Node, token: str) -> str:
    answer = await node.post("/api/v1/admin/webhooks", HOOK, token)
    assert answer.status == 201, await answer.text()
    return str((await answer.json())["id"])


async def settled(node: Node, sink_id: str, **fields: Any) -> Outcome:
    sink = node.replica.state.sinks[sink_id]
    values = {
        "cursor": sink.cursor,
        "delivered": 0,
        "taken": (),
        "held": (),
        "buried": (),
        "trouble": "",
        "gone": "",
    }
    command = Settle(sink_id, sink.turn, **(values | fields))
    terms: dict[str, Any] = {"key": None, "fingerprint": b"", "session_id": "", "timeout_seconds": 2}
    return await node.replica.execute(command, scope="outbox:", **terms)


@pytest.fixture(autouse=True)
def no_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of examples are looked up nowhere."""

    async def resolve(*_: Any, **__: Any) -> list[Any]:
        raise OSError("no such name here")

    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", resolve)


async def test_sinks_are_shown_paused_and_forgotten(node: Node) -> None:
    token = await node.admin()
    sink_id = await created(node, token)
    path = f"{SINKS}/{sink_id}"
    view = await (await node.get(path, token)).json()
    assert (view["kind"], view["state"], view["behind"], view["url"]) == ("webhook", "active", 1, HOOK["url"])
    for act, state in (("pause", "paused"), ("resume", "active")):
        assert (await (await node.post(f"{path}/{act}", None, token)).json())["state"] == state
    listed = await (await node.get(SINKS, token)).json()
    assert [each["id"] for each in listed["items"]] == [sink_id]
    assert (await node.delete(path, token)).status == 204
    await expect_problem(await node.get(path, token), 404, "sink-not-found")
    audit = await (await node.get("/api/v1/admin/audit", token)).json()
    assert [record["what"] for record in audit["items"]] == [
        f"sink-{what}" for what in ("removed", "resumed", "paused", "created")
    ]


async def test_dead_letters_are_shown_replayed_and_dropped(node: Node) -> None:
    token = await node.admin()
    sink_id = await created(node, token)
    places = []
    for seat in ("A1", "A2"):
        await book(node, token, seat)
        places.append(node.replica.state.feed.last)
    buried = tuple(Bury(place, 12, "answered 500") for place in places)
    assert (await settled(node, sink_id, cursor=places[-1], buried=buried)).ok
    path = f"{SINKS}/{sink_id}/dead-letters"
    page = await (await node.get(f"{path}?limit=1", token)).json()
    (letter,) = page["items"]
    assert (letter["why"], letter["event"]["type"]) == ("answered 500", "deskraft.booking.confirmed")
    rest = await (await node.get(f"{path}?cursor={page['next']}", token)).json()
    assert [each["id"] for each in rest["items"]] == [f"{places[1][0]}.{places[1][1]}"]
    assert await (await node.post(f"{path}/replay", {"ids": [letter["id"]]}, token)).json() == {"count": 1}
    assert await (await node.post(f"{path}/drop", None, token)).json() == {"count": 1}
    view = await (await node.get(f"{SINKS}/{sink_id}", token)).json()
    assert (view["held"], view["dead_letters"], view["next_attempt_at"] is not None) == (1, 0, True)
    metrics = await (await node.get("/metrics")).text()
    assert f'deskraft_outbox_held{{sink="{sink_id}",kind="webhook"}} 1' in metrics


async def test_no_letters_are_not_all_letters(node: Node) -> None:
    """Only whoever leaves the ids out means all of them."""
    token = await node.admin()
    sink_id = await created(node, token)
    await book(node, token, "A1")
    place = node.replica.state.feed.last
    assert (await settled(node, sink_id, cursor=place, buried=(Bury(place, 12, "answered 500"),))).ok
    for ids in ([], None, ["1180.0\n"], ["1180"], "1180.0"):
        for act in ("drop", "replay"):
            answer = await node.post(f"{SINKS}/{sink_id}/dead-letters/{act}", {"ids": ids}, token)
            problem = await expect_problem(answer, 422, "invalid-body")
            assert problem["errors"][0]["pointer"].startswith("/ids"), problem
    view = await (await node.get(f"{SINKS}/{sink_id}", token)).json()
    assert (view["held"], view["dead_letters"]) == (0, 1)


async def test_only_administrators_see_sinks(node: Node) -> None:
    token, root = await node.user(), await node.admin()
    path = f"{SINKS}/{await created(node, root)}"
    for read in (SINKS, path, f"{path}/dead-letters"):
        await expect_problem(await node.get(read, token), 403, "forbidden")
        await expect_problem(await node.get(read), 401, "unauthenticated")
    for write, body in (
        ("pause", None),
        ("resume", None),
        ("dead-letters/drop", None),
    ):
        await expect_problem(await node.post(f"{path}/{write}", body, token), 403, "forbidden")
    await expect_problem(await node.delete(path, token), 403, "forbidden")
