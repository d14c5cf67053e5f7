"""Signing in from a page: what the cookie is, who may use it, and everything that ends it."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import ClientResponse

from api.tokens import ACCESS_SECONDS, SESSION_MS, BrowserCookies
from node.secret import Secret
from tests.api.conftest import PASSWORD, SECRET, Node, expect_problem

SIGN_IN = "/api/v1/auth/browser"
TOKEN = "/api/v1/auth/browser/token"
MEMBER = "http://127.0.0.1:8002"
NAME = "deskraft-demo"
DAY_MS = 24 * 3600 * 1000


def page(node: Node, origin: str | None = None, cookie: str | None = None) -> dict[str, str]:
    """What a browser sends for a page of the node; the jar of the test's own client stays out of it."""
    node.client.session.cookie_jar.clear()
    headers = {"Origin": origin or str(node.client.make_url("/")).rstrip("/"), "Deskraft-Page": "1"}
    return headers | ({"Cookie": cookie} if cookie is not None else {})


async def sign_in(node: Node, login: str = "alice", origin: str | None = None) -> tuple[str, dict[str, Any]]:
    """The cookie as a browser sends it back, and the answer."""
    answer = await node.client.post(
        SIGN_IN, json={"login": login, "password": PASSWORD}, headers=page(node, origin)
    )
    assert answer.status == 200, await answer.text()
    return cookies_of(answer)[0].partition(";")[0], await answer.json()


def cookies_of(answer: ClientResponse) -> list[str]:
    return answer.headers.getall("Set-Cookie", [])


async def renew(node: Node, cookie: str | None, origin: str | None = None) -> ClientResponse:
    return await node.client.post(TOKEN, headers=page(node, origin, cookie))


@pytest.fixture
async def cookie(node: Node) -> str:
    """Alice's."""
    await node.register("alice")
    return (await sign_in(node))[0]


async def test_the_cookie_is_for_the_browser_alone(node: Node) -> None:
    await node.register("alice")
    answer = await node.client.post(
        SIGN_IN, json={"login": "alice", "password": PASSWORD}, headers=page(node)
    )
    session, device = cookies_of(answer)
    assert session.startswith(f"{NAME}=")
    assert session.endswith("; Max-Age=2592000; Path=/; HttpOnly; SameSite=Strict")
    assert device.startswith("deskraft-device-demo=")
    assert device.endswith("; HttpOnly; SameSite=Strict")
    said = await answer.json()
    assert set(said) == {"access_token", "token_type", "expires_in", "user"}, "nothing that lasts"
    assert said["user"]["login"] == "alice"
    assert said["expires_in"] == ACCESS_SECONDS
    assert (await node.get("/api/v1/me", said["access_token"])).status == 200


async def test_a_page_that_came_by_https_has_a_secure_cookie(node: Node, cookie: str) -> None:
    """Behind a proxy the host that is asked is the page's own."""
    headers = page(node, "https://desks.example") | {"Host": "desks.example"}
    answer = await node.client.post(SIGN_IN, json={"login": "alice", "password": PASSWORD}, headers=headers)
    assert answer.status == 200
    secure = cookies_of(answer)[0]
    assert secure.startswith(f"__Host-{NAME}=")
    assert secure.endswith("; Secure")
    assert "Path=/" in secure
    assert "Domain" not in secure
    plain = await node.client.post(TOKEN, headers=headers | {"Cookie": cookie})
    assert plain.status == 204, "a cookie that a neighbour may have planted counts for nothing there"
    kept = await node.client.post(TOKEN, headers=headers | {"Cookie": secure.partition(";")[0]})
    assert kept.status == 200


async def test_the_cookie_opens_nothing_else(node: Node, cookie: str) -> None:
    for method, path in (("GET", "/api/v1/me"), ("POST", "/api/v1/auth/logout"), ("DELETE", "/api/v1/me")):
        answer = await node.client.request(method, path, headers=page(node, cookie=cookie))
        await expect_problem(answer, 401, "unauthenticated")
    assert (await renew(node, cookie)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example", "Deskraft-Page": "1"},
        {"Origin": "null", "Deskraft-Page": "1"},
        {"Origin": "http://127.0.0.1:9", "Deskraft-Page": "1"},
        {"Origin": "http://127.0.0.1:8002.evil.example", "Deskraft-Page": "1"},
        {"Origin": "http://[", "Deskraft-Page": "1"},
        {"Origin": MEMBER},
        {"Origin": MEMBER, "Deskraft-Page": "yes"},
        {"Deskraft-Page": "1"},
        {"Referer": MEMBER + "/", "Deskraft-Page": "1"},
    ],
)
async def test_nobody_else_gets_in(node: Node, cookie: str, headers: dict[str, str]) -> None:
    """Another site, another port of the same host, a form, a program without an origin."""
    for path, body in ((TOKEN, None), (SIGN_IN, {"login": "alice", "password": PASSWORD})):
        answer = await node.client.post(path, json=body, headers=headers | {"Cookie": cookie})
        await expect_problem(answer, 403, "foreign-page")
        assert not cookies_of(answer)
        assert "Access-Control-Allow-Credentials" not in answer.headers or headers["Origin"] == MEMBER


async def test_browsers_ask_first_and_hear_yes_for_members_alone(node: Node) -> None:
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "deskraft-page"}
    answer = await node.client.options(TOKEN, headers=wanted | {"Origin": MEMBER})
    assert answer.headers["Access-Control-Allow-Origin"] == MEMBER
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert "Deskraft-Page" in answer.headers["Access-Control-Allow-Headers"]
    answer = await node.client.options(TOKEN, headers=wanted | {"Origin": "https://evil.example"})
    assert not {"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"} & set(answer.headers)
    answer = await node.client.options("/api/v1/bookings", headers=wanted | {"Origin": MEMBER})
    assert "Access-Control-Allow-Credentials" not in answer.headers, "no other call takes a cookie"


async def test_the_page_of_another_member_shares_the_cookie(node: Node, cookie: str) -> None:
    answer = await renew(node, cookie, MEMBER)
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == MEMBER
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"


async def test_nobody_is_no_error(node: Node) -> None:
    answer = await renew(node, None)
    assert answer.status == 204
    assert not cookies_of(answer)


@pytest.mark.parametrize(
    "text", ["", "x", ".", "a.b", "я.я", "a" * 500, '"', "%00", "018f0000-0000-7000-8000-000000000000."]
)
async def test_a_forged_cookie_is_nobody_and_is_taken_back(node: Node, cookie: str, text: str) -> None:
    answer = await renew(node, f"{NAME}={text}")
    assert answer.status == 204
    assert all(each.startswith(f"{NAME}=; Max-Age=0; Path=/") for each in cookies_of(answer))
    assert (await renew(node, cookie[:-1] + ("A" if cookie[-1] != "A" else "B"))).status == 204


async def test_tabs_do_not_disturb_each_other(node: Node, cookie: str) -> None:
    """However often and however late it is exchanged, the same cookie goes on, past the day on which the session is prolonged."""
    for _ in range(3):
        assert (await renew(node, cookie)).status == 200
    node.replica.clock_ms += DAY_MS + 1
    answers = [await renew(node, cookie) for _ in range(2)]
    assert [each.status for each in answers] == [200, 200]
    assert [len(cookies_of(each)) for each in answers] == [1, 0], "prolonged once"
    for each in answers:
        assert (await node.get("/api/v1/me", (await each.json())["access_token"])).status == 200


async def test_it_lives_while_it_is_used_and_ends_when_it_is_not(node: Node, cookie: str) -> None:
    for _ in range(3):
        node.replica.clock_ms += SESSION_MS - DAY_MS
        assert (await renew(node, cookie)).status == 200
    node.replica.clock_ms += SESSION_MS + 1
    answer = await renew(node, cookie)
    assert answer.status == 204
    assert cookies_of(answer) == [f"{NAME}=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict"]


async def test_a_token_ends_and_the_cookie_gives_another(node: Node, cookie: str) -> None:
    token = (await (await renew(node, cookie)).json())["access_token"]
    node.replica.clock_ms += ACCESS_SECONDS * 1000
    await expect_problem(await node.get("/api/v1/me", token), 401, "unauthenticated")
    token = (await (await renew(node, cookie)).json())["access_token"]
    assert (await node.get("/api/v1/me", token)).status == 200


async def test_whatever_ends_a_session_ends_the_cookie(node: Node) -> None:
    admin = await node.admin()
    for number, end in enumerate(("logout", "logout-everywhere", "session", "password", "block", "erase")):
        login = f"person{number}"
        user_id = await node.register(login)
        cookie, said = await sign_in(node, login)
        token = said["access_token"]
        listed = (await (await node.get("/api/v1/me/sessions", token)).json())["items"]
        assert [each["current"] for each in listed] == [True], "it is listed as any other"
        match end:
            case "logout" | "logout-everywhere":
                answer = await node.post(f"/api/v1/auth/{end}", token=token)
            case "session":
                other = (await node.tokens(login))["access_token"]
                answer = await node.delete(f"/api/v1/me/sessions/{listed[0]['id']}", other)
            case "password":
                other = (await node.tokens(login))["access_token"]
                body = {"old_password": PASSWORD, "new_password": "another phrase"}
                answer = await node.post("/api/v1/me/password", body, other)
            case "block":
                answer = await node.post(f"/api/v1/admin/users/{user_id}/block", {}, admin)
            case _:
                answer = await node.client.delete(
                    "/api/v1/me",
                    json={"password": PASSWORD},
                    headers={"Authorization": f"Bearer {token}"},
                )
        assert answer.status == 204, (end, await answer.text())
        await expect_problem(await node.get("/api/v1/me", token), 401, "unauthenticated")
        assert (await renew(node, cookie)).status == 204, end


async def test_who_is_blocked_or_wrong_gets_no_cookie(node: Node) -> None:
    user_id = await node.register("alice")
    body = {"login": "alice", "password": "not this one"}
    answer = await node.client.post(SIGN_IN, json=body, headers=page(node))
    await expect_problem(answer, 401, "wrong-credentials")
    assert not cookies_of(answer)
    await node.post(f"/api/v1/admin/users/{user_id}/block", {}, await node.admin())
    answer = await node.client.post(SIGN_IN, json=body | {"password": PASSWORD}, headers=page(node))
    assert answer.status == 403
    assert not cookies_of(answer)


async def test_a_repeated_sign_in_is_one_session(node: Node) -> None:
    await node.register("alice")
    headers = page(node) | {"Idempotency-Key": "once"}
    body = {"login": "alice", "password": PASSWORD}
    answers = [await node.client.post(SIGN_IN, json=body, headers=headers) for _ in range(2)]
    assert cookies_of(answers[0]) == cookies_of(answers[1])


async def test_a_role_of_today_is_told(node: Node, cookie: str) -> None:
    user_id = (await (await renew(node, cookie)).json())["user"]["id"]
    await node.post(f"/api/v1/admin/users/{user_id}/promote", {}, await node.admin())
    assert (await (await renew(node, cookie)).json())["user"]["role"] == "admin"


def test_cookies_last_through_a_rotation_of_the_secret() -> None:
    """Every line of the file verifies; a stranger's does not."""
    old, new = "an old line of the secret, long enough", "a new line of the secret, long enough"
    before = BrowserCookies(Secret([old]), "demo")
    after = BrowserCookies(Secret([new, old]), "demo")
    assert after.read(before.issue("s1")) == "s1"
    assert before.read(after.issue("s1")) is None
    assert BrowserCookies(SECRET, "demo").read(before.issue("s1")) is None
