"""What one wants to hear by mail: the settings over HTTP, and the code that confirms an address."""

from __future__ import annotations

from typing import Any

import pytest

from node.mail_addresses import AddressCodes
from statemachine.limits import MAX_ADDRESSES_PER_DAY, MAX_REMIND_MINUTES
from tests.api.conftest import SECRET, Node, expect_problem

ME = "/api/v1/me/notifications"
ANN = "ann@example.com"
KINDS = ["confirmed", "moved", "cancelled", "released", "affected", "promoted"]


def body(address: str | None = ANN, **others: Any) -> dict[str, Any]:
    return {"address": address, "language": "ru", **others}


async def person(node: Node, login: str = "alice") -> tuple[str, str]:
    """Id and token of a new user."""
    user_id = await node.register(login)
    return user_id, str((await node.tokens(login))["access_token"])


async def told(node: Node, token: str) -> dict[str, Any]:
    answer = await node.get(ME, token)
    assert answer.status == 200, await answer.text()
    view: dict[str, Any] = await answer.json()
    return view


async def test_nobody_is_told_anything_at_first(node: Node) -> None:
    _, token = await person(node)
    assert await told(node, token) == {
        "address": None,
        "confirmed": False,
        "language": "en",
        "kinds": KINDS,
        "remind_minutes": 0,
        "available": False,
    }
    await expect_problem(await node.get(ME), 401, "unauthenticated")
    await expect_problem(await node.put(ME, body()), 401, "unauthenticated")


async def test_an_address_counts_once_its_code_is_shown(node: Node) -> None:
    user_id, token = await person(node)
    answer = await node.put(ME, body(kinds=["cancelled", "promoted"], remind_minutes=60), token)
    assert answer.status == 200, await answer.text()
    expected = {
        "address": ANN,
        "confirmed": False,
        "language": "ru",
        "kinds": ["cancelled", "promoted"],
        "remind_minutes": 60,
        "available": False,
    }
    assert await answer.json() == expected == await told(node, token)
    await expect_problem(await node.post(f"{ME}/confirm", {"code": "00000-00000"}, token), 422, "wrong-code")
    code = AddressCodes(SECRET).code(user_id, ANN)
    for given in (code, code.lower().replace("-", "")):  # the second time it is so already
        confirmed = await node.post(f"{ME}/confirm", {"code": given}, token)
        assert confirmed.status == 200, await confirmed.text()
        assert await confirmed.json() == {**expected, "confirmed": True} == await told(node, token)
    kept = await node.put(ME, body(kinds=[]), token)
    assert (await kept.json())["confirmed"], "the same address stays confirmed"
    moved = await node.put(ME, body("ann@example.org"), token)
    assert not (await moved.json())["confirmed"]
    await expect_problem(await node.post(f"{ME}/confirm", {"code": code}, token), 422, "wrong-code")
    gone = await node.put(ME, body(None), token)
    assert (await gone.json())["address"] is None
    await expect_problem(await node.post(f"{ME}/confirm", {"code": code}, token), 404, "not-found")


async def test_a_code_is_of_no_use_to_another_user(node: Node) -> None:
    user_id, token = await person(node)
    _, other = await person(node, "bob")
    for each in (token, other):
        assert (await node.put(ME, body(), each)).status == 200
    code = AddressCodes(SECRET).code(user_id, ANN)
    await expect_problem(await node.post(f"{ME}/confirm", {"code": code}, other), 422, "wrong-code")


async def test_codes_are_not_mailed_without_end(node: Node) -> None:
    _, token = await person(node)
    for number in range(MAX_ADDRESSES_PER_DAY):
        assert (await node.put(ME, body(f"victim{number}@example.com"), token)).status == 200
    await expect_problem(await node.put(ME, body("one.more@example.com"), token), 429, "too-many-addresses")
    assert (await told(node, token))["address"] == f"victim{MAX_ADDRESSES_PER_DAY - 1}@example.com"
    node.replica.advance(86_400)
    token = str((await node.tokens("alice"))["access_token"])
    assert (await node.put(ME, body("one.more@example.com"), token)).status == 200


async def test_a_repeated_request_sends_one_code(node: Node) -> None:
    _, token = await person(node)
    for _ in range(MAX_ADDRESSES_PER_DAY + 2):
        assert (await node.put(ME, body(), token, **{"Idempotency-Key": "k1"})).status == 200


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        (body("ann"), "/address"),
        (body("ann@example.com\r\nBcc: eve@example.com"), "/address"),
        (body(""), "/address"),
        (body("a" * 300 + "@example.com"), "/address"),
        (body(kinds=["confirmed", "confirmed"]), "/kinds"),
        (body(kinds=["everything"]), "/kinds/0"),
        (body(remind_minutes=MAX_REMIND_MINUTES + 1), "/remind_minutes"),
        (body(remind_minutes=-1), "/remind_minutes"),
        ({"address": None, "language": "de"}, "/language"),
        ({"language": "ru"}, "/address"),
        (body(more=1), "/more"),
    ],
)
async def test_what_is_not_taken(node: Node, given: dict[str, Any], pointer: str) -> None:
    _, token = await person(node)
    problem = await expect_problem(await node.put(ME, given, token), 422, "invalid-body")
    assert [each["pointer"] for each in problem["errors"]] == [pointer]


async def test_export_has_them_and_erasing_removes_them(node: Node) -> None:
    user_id, token = await person(node)
    await node.put(ME, body(), token)
    export = await (await node.get("/api/v1/me/export", token)).json()
    assert export["notifications"] == await told(node, token)
    erased = await node.client.delete(
        "/api/v1/me", json={"password": "correct horse"}, headers={"Authorization": f"Bearer {token}"}
    )
    assert erased.status == 204, await erased.text()
    assert user_id not in node.replica.state.notifications
    assert ANN.encode() not in b"".join(node.replica.state.freeze().chunks())
