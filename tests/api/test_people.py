"""One's own account and other people's, over HTTP: what holds at once, each refusal, and what repeated requests get."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import ClientResponse

from api import myself, people
from tests.api.conftest import PASSWORD, Node, expect_problem

ME, SESSIONS, EXPORT = "/api/v1/me", "/api/v1/me/sessions", "/api/v1/me/export"
CHANGE, EVERYWHERE = "/api/v1/me/password", "/api/v1/auth/logout-everywhere"
LOGIN, USERS, AUDIT = "/api/v1/auth/login", "/api/v1/admin/users", "/api/v1/admin/audit"
OTHER = "another horse"
TOMORROW_10 = "2026-11-23T10:00:00+03:00"


async def book(node: Node, token: str, seat: str = "A1", at: str = TOMORROW_10) -> dict[str, Any]:
    answer = await node.post(
        "/api/v1/bookings", {"space_id": "hq", "seat_id": seat, "starts_at": at, "slots": 1}, token
    )
    assert answer.status == 201, await answer.text()
    booking: dict[str, Any] = await answer.json()
    return booking


async def erase(node: Node, token: str, password: str = PASSWORD, **headers: str) -> ClientResponse:
    named = {"Authorization": f"Bearer {token}", **{name.replace("_", "-"): v for name, v in headers.items()}}
    return await node.client.delete(ME, json={"password": password}, headers=named)


async def act(node: Node, token: str, user_id: str, name: str, **headers: str) -> ClientResponse:
    return await node.post(f"{USERS}/{user_id}/{name}", None, token, **headers)


# --- one's own account ------------------------------------------------------------------------------------------


async def test_changing_the_password_ends_the_other_sessions(node: Node) -> None:
    mine = await node.user("alice")
    other = (await node.tokens("alice"))["access_token"]
    body = {"old_password": PASSWORD, "new_password": OTHER}
    answer = await node.post(CHANGE, body, mine, Idempotency_Key="k")
    assert answer.status == 204
    assert (await node.get(ME, mine)).status == 200
    await expect_problem(await node.get(ME, other), 401, "unauthenticated")
    await expect_problem(
        await node.post(LOGIN, {"login": "alice", "password": PASSWORD}), 401, "wrong-credentials"
    )
    assert await node.tokens("alice", OTHER)
    again = await node.post(CHANGE, body, mine, Idempotency_Key="k")
    assert (again.status, again.headers["Deskraft-Index"]) == (204, answer.headers["Deskraft-Index"])
    await expect_problem(
        await node.post(CHANGE, {**body, "new_password": "third horse"}, mine, Idempotency_Key="k"),
        422,
        "key-reused",
    )


async def test_a_password_is_not_changed_without_the_old_one_or_to_a_weak_one(node: Node) -> None:
    token = await node.user("alice")
    await expect_problem(
        await node.post(CHANGE, {"old_password": "guess", "new_password": OTHER}, token),
        403,
        "wrong-password",
    )
    weak = await node.post(CHANGE, {"old_password": PASSWORD, "new_password": "short"}, token)
    problem = await expect_problem(weak, 422, "weak-password")
    assert problem["errors"][0]["pointer"] == "/new_password"
    await expect_problem(await node.post(CHANGE, {"old_password": PASSWORD}, token), 422, "invalid-body")
    await expect_problem(
        await node.post(CHANGE, {"old_password": PASSWORD, "new_password": OTHER}), 401, "unauthenticated"
    )


async def test_sessions_are_listed_and_ended(node: Node) -> None:
    first = await node.user("alice")
    second = (await node.tokens("alice"))["access_token"]
    bob = await node.user("bobby")
    answer = await node.get(SESSIONS, first)
    items = (await answer.json())["items"]
    assert [item["current"] for item in items] == [True, False]
    gone = items[1]["id"]
    await expect_problem(await node.delete(f"{SESSIONS}/{gone}", bob), 404, "session-not-found")
    assert (await node.delete(f"{SESSIONS}/{gone}", first)).status == 204
    await expect_problem(await node.get(ME, second), 401, "unauthenticated")
    await expect_problem(await node.delete(f"{SESSIONS}/{gone}", first), 404, "session-not-found")
    await expect_problem(await node.delete(f"{SESSIONS}/{'x' * 65}", first), 404, "session-not-found")
    assert (await node.post(EVERYWHERE, None, first)).status == 204
    await expect_problem(await node.get(SESSIONS, first), 401, "unauthenticated")
    assert (await node.get(ME, bob)).status == 200


async def test_administrators_see_the_bookings_of_anybody(node: Node) -> None:
    alice, admin = await node.user("alice"), await node.admin()
    made = [(await book(node, alice, seat))["id"] for seat in ("A1", "A2")]
    who = (await (await node.get(ME, alice)).json())["id"]
    path = f"/api/v1/admin/users/{who}/bookings"
    page = await (await node.get(f"{path}?limit=1&when=upcoming", admin)).json()
    assert [each["id"] for each in page["items"]] == made[1:]
    rest = await (await node.get(f"{path}?cursor={page['next']}", admin)).json()
    assert [each["id"] for each in rest["items"]] == made[:1]
    await expect_problem(await node.get(path, alice), 403, "forbidden")
    await expect_problem(await node.get("/api/v1/admin/users/nobody/bookings", admin), 404, "user-not-found")


async def test_an_export_holds_everything_in_parts(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(myself, "MAX_EXPORTED_BOOKINGS", 2)
    monkeypatch.setattr(myself, "EXPORT_SLICE", 1)
    token = await node.user("alice")
    ids = [(await book(node, token, seat))["id"] for seat in ("A1", "A2", "A3")]
    answer = await node.get(EXPORT, token)
    part = await answer.json()
    assert part["profile"]["login"] == "alice"
    assert part["profile"]["sessions"] == len(part["sessions"]) == 1
    assert [booking["id"] for booking in part["bookings"]] == ids[:0:-1]
    rest = await (await node.get(f"{EXPORT}?cursor={part['next']}", token)).json()
    assert [booking["id"] for booking in rest["bookings"]] == ids[:1]
    assert rest["next"] is None
    assert "argon2" not in await answer.text()
    await expect_problem(await node.get(f"{EXPORT}?cursor=x", token), 422, "invalid-parameter")


async def test_an_export_holds_series_and_places_in_lines(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(myself, "MAX_EXPORTED_BOOKINGS", 2)
    place = {"space_id": "hq", "seat_id": "A1", "starts_at": TOMORROW_10}
    token, bob = await node.user("alice"), await node.user("bob")
    weekly = {**place, "rrule": "FREQ=WEEKLY;COUNT=2"}
    made = await (await node.post("/api/v1/series", weekly, token)).json()
    await book(node, bob, "A2")
    waiting = await (await node.post("/api/v1/waitlist", {**place, "seat_id": "A2"}, token)).json()
    last = (await book(node, token, "A3"))["id"]
    part = await (await node.get(EXPORT, token)).json()
    assert (part["bookings"][0]["id"], part["series"]) == (last, [])
    assert [each["id"] for each in part["waiting"]] == [waiting["id"]]
    rest = await (await node.get(f"{EXPORT}?cursor={part['next']}", token)).json()
    (series,) = rest["series"]
    assert (series["id"], series["rrule"]) == (made["id"], "FREQ=WEEKLY;COUNT=2")
    assert series["booking_ids"] == [each["booking"]["id"] for each in made["items"]]
    assert (await erase(node, token)).status == 204
    written = b"".join(node.replica.state.freeze().chunks())
    assert made["id"].encode() not in written
    assert waiting["id"] not in node.replica.state.waiters


async def test_an_erased_account_is_gone_and_its_login_free(node: Node) -> None:
    token = await node.user("alice")
    booking = await book(node, token)
    await expect_problem(await erase(node, token, "guess"), 403, "wrong-password")
    answer = await erase(node, token, Idempotency_Key="k")
    assert answer.status == 204
    again = await erase(node, token, Idempotency_Key="k")
    assert (again.status, again.headers["Deskraft-Index"]) == (204, answer.headers["Deskraft-Index"])
    await expect_problem(await node.get(ME, token), 401, "unauthenticated")
    await expect_problem(
        await node.post(LOGIN, {"login": "alice", "password": PASSWORD}), 401, "wrong-credentials"
    )
    admin = await node.admin()
    left = await (await node.get(f"/api/v1/bookings/{booking['id']}", admin)).json()
    assert (left["user_id"], left["status"]) == ("erased", "cancelled")
    written = b"".join(node.replica.state.freeze().chunks())
    assert b"alice" not in written
    await expect_problem(await node.get(f"{USERS}/{booking['user_id']}", admin), 404, "user-not-found")
    assert await node.register("alice") != booking["user_id"]
    (record,) = (await (await node.get(AUDIT, admin)).json())["items"]
    assert (record["what"], record["actor"], record["subject_login"]) == ("account-erased", "erased", None)


# --- administrators ---------------------------------------------------------------------------------------------


async def test_a_blocked_user_is_out_until_let_in(node: Node) -> None:
    admin, token = await node.admin(), await node.user("alice")
    alice = (await (await node.get(ME, token)).json())["id"]
    answer = await act(node, admin, alice, "block", Idempotency_Key="k")
    assert answer.status == 204
    await expect_problem(await node.get(ME, token), 401, "unauthenticated")
    await expect_problem(
        await node.post(LOGIN, {"login": "alice", "password": PASSWORD}), 403, "user-blocked"
    )
    await expect_problem(
        await node.post(LOGIN, {"login": "alice", "password": "guess"}), 401, "wrong-credentials"
    )
    again = await act(node, admin, alice, "block", Idempotency_Key="k")
    assert again.headers["Deskraft-Index"] == answer.headers["Deskraft-Index"]
    assert (await (await node.get(f"{USERS}/{alice}", admin)).json())[
        "blocked_at"
    ] == "2026-11-22T12:00:00.000+00:00"
    assert (await act(node, admin, alice, "unblock")).status == 204
    assert await node.tokens("alice")


async def test_a_one_time_password_only_opens_the_door_to_another(node: Node) -> None:
    admin, token = await node.admin(), await node.user("alice")
    alice = (await (await node.get(ME, token)).json())["id"]
    answer = await act(node, admin, alice, "reset-password", Idempotency_Key="k")
    once = (await answer.json())["one_time_password"]
    assert len(once) == 19
    again = await act(node, admin, alice, "reset-password", Idempotency_Key="k")
    assert (await again.json())["one_time_password"] == once, "made again, not kept"
    await expect_problem(await node.get(ME, token), 401, "unauthenticated")
    token = (await node.tokens("alice", once))["access_token"]
    assert (await node.get(ME, token)).status == 200
    await expect_problem(await node.get("/api/v1/bookings", token), 403, "password-change-needed")
    body = {"space_id": "hq", "seat_id": "A1", "starts_at": TOMORROW_10}
    await expect_problem(await node.post("/api/v1/bookings", body, token), 403, "password-change-needed")
    changed = await node.post(CHANGE, {"old_password": once, "new_password": OTHER}, token)
    assert changed.status == 204
    assert await book(node, token)
    await expect_problem(
        await act(node, admin, alice, "reset-password", Idempotency_Key="k"), 409, "password-changed-since"
    )
    other = await (await act(node, admin, alice, "reset-password")).json()
    assert other["one_time_password"] != once


async def test_roles_and_the_last_administrator(node: Node) -> None:
    admin, token = await node.admin(), await node.user("alice")
    alice = (await (await node.get(ME, token)).json())["id"]
    root = (await (await node.get(ME, admin)).json())["id"]
    for name in ("demote", "block"):
        await expect_problem(await act(node, admin, root, name), 409, "last-administrator")
    assert (await act(node, admin, alice, "promote")).status == 204
    assert (await node.get(USERS, token)).status == 200, "the same token, another role"
    assert (await act(node, token, root, "demote")).status == 204
    await expect_problem(await node.get(USERS, admin), 403, "forbidden")
    await expect_problem(await erase(node, token), 409, "last-administrator")


@pytest.mark.parametrize("name", ["block", "unblock", "end-sessions", "promote", "demote", "reset-password"])
async def test_acts_are_for_administrators_and_on_users(node: Node, name: str) -> None:
    admin, token = await node.admin(), await node.user("alice")
    alice = (await (await node.get(ME, token)).json())["id"]
    await expect_problem(await act(node, token, alice, name), 403, "forbidden")
    await expect_problem(await node.post(f"{USERS}/{alice}/{name}"), 401, "unauthenticated")
    await expect_problem(await act(node, admin, "nobody", name), 404, "user-not-found")
    await expect_problem(await act(node, admin, "x" * 65, name), 404, "user-not-found")


async def test_users_are_found_page_by_page(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = await node.admin()
    for number in range(5):
        await node.register(f"person{number}")
    await node.user("walter")
    monkeypatch.setattr(people, "MAX_SCANNED", 3)
    found, cursor = [], ""
    while cursor is not None:
        answer = await node.get(f"{USERS}?search=PERSON&limit=2{cursor and f'&cursor={cursor}'}", admin)
        page = await answer.json()
        assert ("Link" in answer.headers) == (page["next"] is not None)
        found += [item["login"] for item in page["items"]]
        cursor = page["next"]
    assert found == [f"person{number}" for number in range(5)]
    assert [
        item["login"] for item in (await (await node.get(f"{USERS}?role=admin", admin)).json())["items"]
    ] == ["admin"]
    for query in ("role=root", "blocked=maybe", "search=", "cursor=x", "limit=0", "nonsense=1"):
        await expect_problem(await node.get(f"{USERS}?{query}", admin), 422, "invalid-parameter")


async def test_the_audit_is_read_newest_first(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    admin, token = await node.admin(), await node.user("alice")
    alice = (await (await node.get(ME, token)).json())["id"]
    for name in ("block", "unblock") * 3:
        await act(node, admin, alice, name)
    await expect_problem(await node.get(AUDIT, await node.user("bobby")), 403, "forbidden")
    monkeypatch.setattr(people, "MAX_SCANNED", 4)
    numbers, cursor = [], ""
    while cursor is not None:
        page = await (await node.get(f"{AUDIT}?limit=3{cursor and f'&cursor={cursor}'}", admin)).json()
        numbers += [item["number"] for item in page["items"]]
        cursor = page["next"]
    assert numbers == [6, 5, 4, 3, 2, 1]
    page = await (await node.get(f"{AUDIT}?subject={alice}&limit=1", admin)).json()
    (item,) = page["items"]
    assert (item["what"], item["actor_login"], item["subject_login"]) == ("user-unblocked", "admin", "alice")
    assert (page["forgotten"], item["detail"]) == (0, "")
    assert (await (await node.get(f"{AUDIT}?subject=nobody", admin)).json())["items"] == []
    await expect_problem(await node.get(f"{AUDIT}?cursor=x", admin), 422, "invalid-parameter")
