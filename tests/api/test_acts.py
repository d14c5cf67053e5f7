"""Acts of administrators outside the state machine: done once under a key, whatever is lost between, and recorded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientResponse

from node.membership import Seat
from node.replica import UnavailableError
from tests.api.conftest import Node, expect_problem
from tests.api.test_members import MEMBERS, N4, SNAPSHOT, TRANSFER

KEYED: list[tuple[str, Any, Any, tuple[str, str]]] = [
    (MEMBERS, N4, N4 | {"id": "n5"}, ("asked-to-add-member", "member-added")),
    (f"{MEMBERS}/n2/promote", {}, None, ("asked-to-promote-member", "member-promoted")),
    (f"{MEMBERS}/n2/replace", {}, {"incarnation": "x"}, ("asked-to-replace-disk", "disk-given-up")),
    (TRANSFER, {"to": "n3"}, {"to": "n2"}, ("asked-to-transfer-leadership", "leadership-transferred")),
    (SNAPSHOT, {}, None, ("asked-for-snapshot", "snapshot-written")),
]


async def told(answer: ClientResponse) -> tuple[int, Any, str]:
    return answer.status, await answer.json(), answer.headers["Deskraft-Index"]


def lose_the_end(node: Node) -> Callable[[], None]:
    """The node is lost after the next change of members or leader: what comes of undoing that is called."""
    replica = node.replica
    originals = replica.change_members, replica.transfer_leadership

    def losing(original: Any) -> Any:
        async def act(*given: Any) -> Any:
            result = await original(*given)
            replica.failure = UnavailableError("nobody leads")
            return result

        return act

    replica.change_members, replica.transfer_leadership = map(losing, originals)  # type: ignore[method-assign]

    def undo() -> None:
        replica.change_members, replica.transfer_leadership = originals  # type: ignore[method-assign]
        replica.failure = None

    return undo


@pytest.mark.parametrize(("path", "body", "other", "records"), KEYED)
async def test_the_same_key_gets_the_same_answer(
    node: Node, path: str, body: Any, other: Any, records: tuple[str, str]
) -> None:
    admin = await node.admin()
    first = await told(await node.post(path, body, admin, Idempotency_Key="k"))
    assert first[0] in (200, 201), first
    done, leader = list(node.replica.changes), node.replica.leader_id
    node.replica.leader_id = "n1"
    assert await told(await node.post(path, body, admin, Idempotency_Key="k")) == first
    assert node.replica.changes == done
    assert node.replica.leader_id == "n1" or path != TRANSFER, leader
    audit = [(record.what, record.actor) for record in node.replica.state.audit]
    root = node.replica.state.user_by_login_key("admin")
    assert root is not None
    assert audit == [(what, root.id) for what in records]
    if other is not None:
        await expect_problem(await node.post(path, other, admin, Idempotency_Key="k"), 422, "key-reused")
    elsewhere = f"{MEMBERS}/n3/promote"
    await expect_problem(await node.post(elsewhere, {}, admin, Idempotency_Key="k"), 422, "key-reused")
    assert node.replica.changes == done


async def test_a_removal_is_repeated_by_its_key(node: Node) -> None:
    admin = await node.admin()
    headers = {"Authorization": f"Bearer {admin}", "Idempotency-Key": "k"}
    first = await told(await node.client.delete(f"{MEMBERS}/n3", headers=headers))
    assert (first[0], first[1]["changed"]) == (200, True)
    assert await told(await node.client.delete(f"{MEMBERS}/n3", headers=headers)) == first
    await expect_problem(await node.delete(f"{MEMBERS}/n3", admin), 404, "unknown-member")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", MEMBERS, N4, 201),
        ("DELETE", f"{MEMBERS}/n3", None, 200),
        ("POST", f"{MEMBERS}/n3/replace", {}, 200),
    ],
)
async def test_what_was_lost_between_is_learnt_by_the_key(
    node: Node, method: str, path: str, body: Any, status: int
) -> None:
    """The change was made and its end not recorded: repeated, it is not made twice, and is answered as made."""
    admin = await node.admin()
    headers = {"Authorization": f"Bearer {admin}", "Idempotency-Key": "k"}
    undo = lose_the_end(node)
    answer = await node.client.request(method, path, json=body, headers=headers)
    await expect_problem(answer, 503, "outcome-unknown")
    undo()
    index = node.replica.configuration_index
    again = await told(await node.client.request(method, path, json=body, headers=headers))
    assert (again[0], again[1]["changed"]) == (status, True)
    assert node.replica.configuration_index == index
    assert await told(await node.client.request(method, path, json=body, headers=headers)) == again


async def test_a_new_disk_is_spared_by_an_old_request(node: Node) -> None:
    """The first request gives up the disk of that moment, also when it is repeated after the next one has come."""
    admin = await node.admin()
    undo = lose_the_end(node)
    path = f"{MEMBERS}/n3/replace"
    await expect_problem(await node.post(path, {}, admin, Idempotency_Key="k"), 503, "outcome-unknown")
    undo()
    old = node.replica.configuration
    seats = tuple(
        Seat(seat.id, seat.raft, seat.api, voter=True, incarnation="new") if seat.id == "n3" else seat
        for seat in old.seats
    )
    node.replica.configuration = type(old)(old.founding, seats)
    assert (await node.post(path, {}, admin, Idempotency_Key="k")).status == 200
    assert node.replica.configuration.by_id["n3"].incarnation == "new"


async def test_leadership_goes_on_once(node: Node) -> None:
    admin = await node.admin()
    undo = lose_the_end(node)
    await expect_problem(await node.post(TRANSFER, {}, admin, Idempotency_Key="k"), 503, "outcome-unknown")
    undo()
    leader = node.replica.leader_id
    assert leader != "n1"
    again = await told(await node.post(TRANSFER, {}, admin, Idempotency_Key="k"))
    assert (again[1], node.replica.leader_id) == ({"leader_id": leader}, leader)


async def test_a_refusal_is_of_its_moment(node: Node) -> None:
    """It was the leader's and not the log's, so the same request may do better later; the key is claimed all the same."""
    admin = await node.admin()
    assert (await node.post(MEMBERS, N4, admin)).status == 201
    path = f"{MEMBERS}/n4/promote"
    await expect_problem(await node.post(path, {}, admin, Idempotency_Key="k"), 409, "not-caught-up")
    await expect_problem(await node.post(MEMBERS, N4, admin, Idempotency_Key="k"), 422, "key-reused")
    old = node.replica.configuration
    here = Seat("n4", N4["raft"], N4["api"], voter=False, incarnation="d4")
    node.replica.configuration = type(old)(old.founding, (*old.seats[:3], here))
    assert (await node.post(path, {}, admin, Idempotency_Key="k")).status == 200
    whats = [record.what for record in node.replica.state.audit if record.subject == "n4"]
    assert whats[2:] == ["asked-to-promote-member", "member-promoted"]


async def test_without_a_key_what_is_done_is_answered(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing could be asked again by a key, so a lost second record only stands in the node's log."""
    admin = await node.admin()
    undo = lose_the_end(node)
    with caplog.at_level(logging.WARNING, "deskraft.audit"):
        assert (await node.post(MEMBERS, N4, admin)).status == 201
    undo()
    assert [record.getMessage() for record in caplog.records] == [
        "event=unrecorded act=member-added subject=n4 reason=nobody leads"
    ]
    assert [record.what for record in node.replica.state.audit] == ["asked-to-add-member"]


async def test_nothing_is_done_that_cannot_be_recorded(node: Node) -> None:
    admin = await node.admin()
    execute = node.replica.execute

    async def unavailable(*given: Any, **named: Any) -> Any:
        raise UnavailableError("nobody leads")

    node.replica.execute = unavailable  # type: ignore[method-assign]
    await expect_problem(await node.post(MEMBERS, N4, admin), 503, "unavailable")
    node.replica.execute = execute  # type: ignore[method-assign]
    assert node.replica.changes == []


async def test_the_records_are_read_by_administrators(node: Node) -> None:
    admin = await node.admin()
    await node.post(MEMBERS, N4, admin)
    items = (await (await node.get("/api/v1/admin/audit?subject=n4", admin)).json())["items"]
    assert [item["what"] for item in items] == ["member-added", "asked-to-add-member"]
    assert items[0]["actor_login"] == "admin"
    assert items[0]["detail"] == '{"configuration_index":2,"changed":true}'
