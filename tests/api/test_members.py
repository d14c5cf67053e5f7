"""Changing the cluster itself over HTTP: who may, what is answered, every refusal, and what a new member changes for browsers."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from aiohttp import ClientResponse

from api import members
from api.openapi import document
from api.origins import LOOK_AGAIN_SECONDS
from node.membership import MAX_MEMBERS, MAX_VOTERS, Seat
from node.replica import ChangeRefusedError, OutcomeUnknownError, UnavailableError
from tests.api.conftest import Node, expect_problem

MEMBERS = "/api/v1/cluster/members"
TRANSFER = "/api/v1/cluster/transfer"
SNAPSHOT = "/api/v1/cluster/snapshot"
N4 = {"id": "n4", "raft": "127.0.0.1:7004", "api": "127.0.0.1:8004"}
EVERY_CALL: list[tuple[str, str, Any]] = [
    ("POST", MEMBERS, N4),
    ("POST", f"{MEMBERS}/n2/promote", None),
    ("DELETE", f"{MEMBERS}/n2", None),
    ("POST", f"{MEMBERS}/n2/replace", None),
    ("POST", TRANSFER, None),
    ("POST", SNAPSHOT, None),
]


async def ask(node: Node, method: str, path: str, body: Any, token: str | None) -> ClientResponse:
    if method == "DELETE":
        return await node.delete(path, token)
    return await node.post(path, body, token)


async def view(answer: ClientResponse, status: int = 200) -> dict[str, Any]:
    assert answer.status == status, await answer.text()
    said: dict[str, Any] = await answer.json()
    return said


async def recorded(node: Node) -> dict[str, dict[str, Any]]:
    """The members that GET /api/v1/cluster shows, by id."""
    cluster = await (await node.get("/api/v1/cluster")).json()
    return {member["id"]: member for member in cluster["members"]}


@pytest.mark.parametrize(("method", "path", "body"), EVERY_CALL)
async def test_only_administrators_may(node: Node, method: str, path: str, body: Any) -> None:
    await expect_problem(await ask(node, method, path, body, None), 401, "unauthenticated")
    await expect_problem(await ask(node, method, path, body, await node.user()), 403, "forbidden")
    assert node.replica.changes == []
    assert (await ask(node, method, path, body, await node.admin())).status in {200, 201}


async def test_a_member_is_added_promoted_replaced_and_removed(node: Node) -> None:
    admin = await node.admin()
    answer = await node.post(MEMBERS, N4, admin)
    assert await view(answer, 201) == {"configuration_index": 2, "changed": True}
    assert answer.headers["Location"] == "/api/v1/cluster"
    learner = (await recorded(node))["n4"]
    assert (learner["voter"], learner["incarnation"], learner["role"]) == (False, "", "learner")
    assert await view(await node.post(MEMBERS, N4, admin)) == {"configuration_index": 2, "changed": False}

    await expect_problem(await node.post(f"{MEMBERS}/n4/promote", None, admin), 409, "not-caught-up")
    configuration = node.replica.configuration
    seats = [*configuration.seats[:3], Seat("n4", N4["raft"], N4["api"], voter=False, incarnation="d4")]
    node.replica.configuration = type(configuration)(configuration.founding, tuple(seats))
    assert (await view(await node.post(f"{MEMBERS}/n4/promote", None, admin)))["changed"]
    assert not (await view(await node.post(f"{MEMBERS}/n4/promote", {}, admin)))["changed"]
    assert (await recorded(node))["n4"]["voter"]

    assert (await view(await node.post(f"{MEMBERS}/n4/replace", None, admin)))["changed"]
    assert (await recorded(node))["n4"]["incarnation"] == ""
    assert (await view(await node.delete(f"{MEMBERS}/n4", admin)))["changed"]
    assert sorted(await recorded(node)) == ["n1", "n2", "n3"]
    await expect_problem(await node.delete(f"{MEMBERS}/n4", admin), 404, "unknown-member")


async def test_a_repeated_replace_does_not_hit_the_new_disk(node: Node) -> None:
    """The body names the disk that is given up; when another one has come meanwhile, nothing is done."""
    admin = await node.admin()
    disk = (await recorded(node))["n3"]["incarnation"]
    body = {"incarnation": disk}
    assert (await view(await node.post(f"{MEMBERS}/n3/replace", body, admin)))["changed"]
    before = node.replica.configuration_index
    again = await view(await node.post(f"{MEMBERS}/n3/replace", body, admin))
    assert (again["changed"], node.replica.configuration_index) == (False, before)
    await expect_problem(
        await node.post(f"{MEMBERS}/n9/replace", {"incarnation": "x"}, admin), 404, "unknown-member"
    )


@pytest.mark.parametrize(
    ("changed", "pointer", "said"),
    [
        ({"id": "N4"}, "/id", "'N4' is not allowed"),
        ({"id": "n4/../x"}, "/id", "is not allowed"),
        ({"raft": "127.0.0.1"}, "/raft", 'is not "host:port"'),
        ({"raft": "127.0.0.1:0"}, "/raft", "bad port"),
        ({"api": "0.0.0.0:8004"}, "/api", "cannot be dialled"),
        ({"api": "::1:8004"}, "/api", "stands in brackets"),
        ({"api": "127.0.0.1:7004"}, "/api", "duplicate address 127.0.0.1:7004"),
        ({"raft": 7004}, "/raft", "Expected `str`"),
        ({"voter": True}, "/voter", "is not known here"),
        ({"api": "h" * 400 + ":1"}, "/api", "length <= 300"),
    ],
)
async def test_ids_and_addresses_are_judged_as_in_cluster_yml(
    node: Node, changed: dict[str, Any], pointer: str, said: str
) -> None:
    answer = await node.post(MEMBERS, N4 | changed, await node.admin())
    problem = await expect_problem(answer, 422, "invalid-body")
    (error,) = problem["errors"]
    assert (error["pointer"], said in error["detail"]) == (pointer, True), problem
    assert node.replica.changes == []


async def test_addresses_are_kept_as_they_are_compared(node: Node) -> None:
    admin = await node.admin()
    body = {"id": "n4", "raft": "Desk-4.Example:7001", "api": "[0:0::1]:8001"}
    await view(await node.post(MEMBERS, body, admin), 201)
    change = node.replica.changes[0]
    assert (change.raft, change.api) == ("desk-4.example:7001", "[::1]:8001")


async def test_refusals_of_the_record(node: Node) -> None:
    """What the rules of `node.membership` refuse, with the statuses of the table."""
    admin = await node.admin()
    await expect_problem(await node.post(MEMBERS, N4 | {"id": "n2"}, admin), 409, "member-exists")
    taken = await node.post(MEMBERS, N4 | {"raft": "127.0.0.1:8001"}, admin)
    problem = await expect_problem(taken, 409, "address-taken")
    assert problem["detail"] == "127.0.0.1:8001 belongs to n1"
    for path in ("promote", "replace"):
        await expect_problem(await node.post(f"{MEMBERS}/n9/{path}", None, admin), 404, "unknown-member")
    configuration = node.replica.configuration
    lonely = tuple(seat for seat in configuration.seats if seat.id == "n1")
    node.replica.configuration = type(configuration)("f0", lonely)
    await expect_problem(await node.delete(f"{MEMBERS}/n1", admin), 409, "would-lose-quorum")
    await expect_problem(await node.post(f"{MEMBERS}/n1/replace", None, admin), 409, "would-lose-quorum")
    many = tuple(
        Seat(f"m{i:02}", f"h:{i + 1}", f"h:{i + 100}", voter=True, incarnation="d")
        for i in range(MAX_MEMBERS)
    )
    node.replica.configuration = type(configuration)("f0", many)
    await expect_problem(await node.post(MEMBERS, N4, admin), 409, "too-many-members")
    voters = (*many[:MAX_VOTERS], Seat("n4", "h:90", "h:91", voter=False, incarnation="d"))
    node.replica.configuration = type(configuration)("f0", voters)
    await expect_problem(await node.post(f"{MEMBERS}/n4/promote", None, admin), 409, "too-many-voters")


@pytest.mark.parametrize(
    ("failure", "status", "code", "retry"),
    [
        (ChangeRefusedError("change-pending", "entry 7 is not applied yet"), 409, "change-pending", "1"),
        (ChangeRefusedError("not-caught-up", "n4 is 70 entries behind"), 409, "not-caught-up", "1"),
        (ChangeRefusedError("would-lose-quorum", "n2 is not reachable"), 409, "would-lose-quorum", None),
        (ChangeRefusedError("unknown-member", "the cluster has no member n2"), 404, "unknown-member", None),
        (ChangeRefusedError("phase-of-the-moon", "not today"), 409, "change-refused", None),
        (ChangeRefusedError("not-leader", "n3 leads"), 503, "unavailable", "1"),
        (UnavailableError("leadership is being handed over"), 503, "unavailable", "1"),
    ],
)
async def test_refusals_of_the_moment(
    node: Node, failure: Exception, status: int, code: str, retry: str | None
) -> None:
    admin = await node.admin()
    node.replica.change_failure = failure
    paths = {"not-caught-up": (TRANSFER,), "would-lose-quorum": (f"{MEMBERS}/n2/replace",)}
    for path in paths.get(code, (f"{MEMBERS}/n2/replace", TRANSFER)):
        answer = await node.post(path, None, admin)
        problem = await expect_problem(answer, status, code)
        assert answer.headers.get("Retry-After") == retry
        assert str(failure) in problem["detail"]


async def test_an_unknown_outcome_is_said_to_be_one(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    admin = await node.admin()
    node.replica.change_failure = OutcomeUnknownError("the leader is gone")
    await expect_problem(await node.post(MEMBERS, N4, admin), 503, "outcome-unknown")
    node.replica.change_failure = None
    hang = 5.0
    original = node.replica.change_members

    async def slow(*given: Any) -> Any:
        node.replica.hang_seconds = hang
        return await original(*given)

    node.replica.change_members = slow  # type: ignore[method-assign]  # the read before it must not hang
    with caplog.at_level(logging.INFO, "deskraft.audit"):
        await expect_problem(await node.delete(f"{MEMBERS}/n2", admin), 503, "outcome-unknown")
    line = "event=membership change=remove member=n2 by=admin outcome=outcome-unknown index=0"
    assert [record.getMessage() for record in caplog.records if record.name == "deskraft.audit"] == [line]


async def test_leadership_is_transferred(node: Node) -> None:
    admin = await node.admin()
    assert await view(await node.post(TRANSFER, {"to": "n3"}, admin)) == {"leader_id": "n3"}
    assert (await view(await node.post(TRANSFER, None, admin)))["leader_id"] != "n3"
    await expect_problem(await node.post(TRANSFER, {"to": "n9"}, admin), 404, "unknown-member")
    await expect_problem(await node.post(TRANSFER, {"to": ""}, admin), 422, "invalid-body")


async def test_a_snapshot_is_written(node: Node) -> None:
    admin = await node.admin()
    answer = await node.post(SNAPSHOT, None, admin)
    # One record before it, one after.
    assert await view(answer) == {"node_id": "n1", "index": node.replica.state.index - 1}
    node.replica.change_failure = UnavailableError("the snapshot takes longer")
    await expect_problem(await node.post(SNAPSHOT, None, admin), 503, "unavailable")


async def test_every_decision_is_one_line_of_the_log(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    admin = await node.admin()
    with caplog.at_level(logging.INFO, "deskraft.audit"):
        await node.post(MEMBERS, N4, admin)
        await node.post(MEMBERS, N4, admin)
        await node.post(f"{MEMBERS}/n9/promote", None, admin)
        await node.post(TRANSFER, {"to": "n2"}, admin)
    assert [record.getMessage() for record in caplog.records] == [
        "event=membership change=add member=n4 by=admin outcome=ok index=2",
        "event=membership change=add member=n4 by=admin outcome=so-already index=2",
        "event=membership change=promote member=n9 by=admin outcome=unknown-member index=0",
        "event=membership change=transfer member=n2 by=admin outcome=ok index=0",
    ]


async def test_pages_of_new_members_are_let_in(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """CORS and the page's policy follow the cluster's record, not cluster.yml."""
    monkeypatch.setattr("api.origins.LOOK_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr("api.origins.LOOK_EVERY_SECONDS", 0.0)
    allowed = "Access-Control-Allow-Origin"
    origin = "http://localhost:8004"
    assert allowed not in (await node.get("/livez", Origin=origin)).headers
    await view(await node.post(MEMBERS, N4, await node.admin()), 201)
    assert (await node.get("/livez", Origin=origin)).headers[allowed] == origin
    assert "http://127.0.0.1:8004" in (await node.get("/")).headers["Content-Security-Policy"]
    await view(await node.delete(f"{MEMBERS}/n4", await node.admin()))
    assert allowed not in (await node.get("/livez", Origin=origin)).headers
    assert LOOK_AGAIN_SECONDS > 0
    wanted = {"Access-Control-Request-Method": "DELETE", "Origin": "http://127.0.0.1:8002"}
    answer = await node.client.options(f"{MEMBERS}/n4", headers=wanted)
    assert answer.headers["Access-Control-Allow-Methods"] == "DELETE, OPTIONS"


def test_the_document_tells_every_call_and_refusal() -> None:
    paths = document(members.CALLS, "test")["paths"]
    assert len(paths) == len(EVERY_CALL)
    told = ""
    for operations in paths.values():
        for operation in operations.values():
            assert operation["security"] == [{"bearer": []}]
            assert {"401", "403", "503"} <= set(operation["responses"])
            assert "Idempotency-Key" in {each["name"] for each in operation["parameters"]}
            told += str(operation["responses"])
    for code in members.CHANGE_PROBLEMS:
        assert f"urn:deskraft:problem:{code}`" in told, code
