"""Registering, logging in and out, refreshing: the contract's rows and what attackers would send."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import jwt
import msgspec
import pytest

from api.passwords import Cost, PasswordHasher
from api.problems import Refusal
from api.tokens import ACCESS_SECONDS, AccessTokens, RefreshTokens
from node.secret import Secret
from statemachine.records import Session
from tests.api.conftest import PASSWORD, SECRET, Node, expect_problem

ME = "/api/v1/me"
REGISTER, LOGIN = "/api/v1/auth/register", "/api/v1/auth/login"
REFRESH, LOGOUT = "/api/v1/auth/refresh", "/api/v1/auth/logout"


async def test_register_log_in_and_ask_who_i_am(node: Node) -> None:
    answer = await node.post(REGISTER, {"login": "Alice", "password": PASSWORD})
    user = await answer.json()
    assert (201, {"id": user["id"], "login": "Alice", "role": "user"}) == (answer.status, user)
    tokens = await node.tokens("alice")
    assert {"access_token", "token_type", "expires_in", "refresh_token", "device_token"} == set(tokens)
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
    answer = await node.get(ME, tokens["access_token"])
    assert (200, user) == (answer.status, await answer.json())


@pytest.mark.parametrize("other", ["alice", "ALICE", "Ａｌｉｃｅ"])
async def test_a_login_in_another_letter_case_or_width_is_the_same(node: Node, other: str) -> None:
    await node.register("Alice")
    answer = await node.post(REGISTER, {"login": other, "password": PASSWORD})
    await expect_problem(answer, 409, "login-taken")


async def test_cyrillic_look_alikes_of_a_latin_login_are_taken_with_it(node: Node) -> None:
    await node.register("cop")
    await expect_problem(
        await node.post(REGISTER, {"login": "сор", "password": PASSWORD}), 409, "login-taken"
    )
    await expect_problem(
        await node.post(REGISTER, {"login": "СОР", "password": PASSWORD}), 409, "login-taken"
    )


@pytest.mark.parametrize(
    "login",
    [
        "",
        "ab",
        "a" * 65,
        "аlice",
        "a b c",
        "a\x00bc",
        "al\u200bice",
        "李小龙",
        "a/b/c",
        "😀😀😀",
        "İİİ",
        "x" * 9999,
    ],
)
async def test_a_login_that_cannot_be(node: Node, login: str) -> None:
    answer = await node.post(REGISTER, {"login": login, "password": PASSWORD})
    problem = await expect_problem(answer, 422, "invalid-login")
    assert problem["errors"][0]["pointer"] == "/login"


@pytest.mark.parametrize(
    "password", ["", "short", "x" * 10_000, "aaaaaaaaaa", "PASSWORD", "Weak.Login", "пароль123", "я" * 129]
)
async def test_a_weak_password_is_refused(node: Node, password: str) -> None:
    answer = await node.post(REGISTER, {"login": "weak.login", "password": password})
    problem = await expect_problem(answer, 422, "weak-password")
    assert problem["errors"][0]["pointer"] == "/password"


async def test_wrong_password_and_unknown_login_answer_alike(node: Node) -> None:
    await node.register("alice")
    wrong = await expect_problem(
        await node.post(LOGIN, {"login": "alice", "password": "not it at all"}), 401, "wrong-credentials"
    )
    unknown = await expect_problem(
        await node.post(LOGIN, {"login": "nobody", "password": PASSWORD}), 401, "wrong-credentials"
    )
    impossible = await expect_problem(
        await node.post(LOGIN, {"login": "а b", "password": PASSWORD}), 401, "wrong-credentials"
    )
    assert wrong == unknown == impossible


async def test_a_storm_of_log_ins_is_bounded_and_the_rest_goes_on(node: Node) -> None:
    await node.register("alice")
    hasher = PasswordHasher(Cost(memory_kib=8192, passes=3, lanes=1))
    try:
        attempts = [hasher.hash(PASSWORD, 30.0) for _ in range(60)]
        results = await asyncio.gather(*attempts, return_exceptions=True)
    finally:
        hasher.close()
    refused = [result for result in results if isinstance(result, Exception)]
    assert {"overloaded"} == {getattr(error, "code", "") for error in refused}
    assert len(refused) == 28


async def test_the_real_parameters_hash_verify_and_outdate() -> None:
    hasher, cheap = PasswordHasher(), PasswordHasher(Cost(8, 1, 1))
    try:
        made = await hasher.hash(PASSWORD, 10.0)
        assert made.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert await hasher.verify(PASSWORD, made, 10.0)
        assert not await hasher.verify("another one", made, 10.0)
        assert not await hasher.verify("nobody has this password", None, 10.0)
        assert not hasher.is_outdated(made)
        assert hasher.is_outdated(await cheap.hash(PASSWORD, 10.0))
    finally:
        hasher.close()
        cheap.close()


async def test_log_in_renews_a_hash_made_with_other_parameters(node: Node) -> None:
    user_id = await node.register("alice")
    old = PasswordHasher(Cost(16, 1, 1))
    outdated = await old.hash(PASSWORD, 5.0)
    old.close()
    node.replica.state.users[user_id] = msgspec.structs.replace(
        node.replica.state.users[user_id], password_hash=outdated
    )
    await node.tokens("alice")
    assert "$m=8,t=1,p=1$" in node.replica.state.users[user_id].password_hash
    await node.tokens("alice")


# Refresh and log-out.


async def test_refresh_gives_new_tokens_and_the_old_one_ends_the_session(node: Node) -> None:
    await node.register("alice")
    first = await node.tokens("alice")
    node.replica.advance(5)
    answer = await node.post(REFRESH, {"refresh_token": first["refresh_token"]})
    second = await answer.json()
    assert answer.status == 200
    assert first["access_token"] != second["access_token"]
    assert (await node.get(ME, second["access_token"])).status == 200
    await expect_problem(
        await node.post(REFRESH, {"refresh_token": first["refresh_token"]}), 401, "refresh-reused"
    )
    await expect_problem(await node.get(ME, second["access_token"]), 401, "unauthenticated")
    await expect_problem(
        await node.post(REFRESH, {"refresh_token": second["refresh_token"]}), 401, "unauthenticated"
    )


async def test_a_repeated_refresh_with_its_key_gets_the_same_tokens(node: Node) -> None:
    await node.register("alice")
    first = await node.tokens("alice")
    node.replica.advance(5)
    body = {"refresh_token": first["refresh_token"]}
    once = await (await node.post(REFRESH, body, Idempotency_Key="r1")).json()
    node.replica.advance(5)
    again = await node.post(REFRESH, body, Idempotency_Key="r1")
    assert (200, once) == (again.status, await again.json())


async def test_forged_refresh_tokens(node: Node) -> None:
    await node.register("alice")
    tokens = await node.tokens("alice")
    session, generation, mac = tokens["refresh_token"].split(".")
    for token in (
        "",
        "x",
        f"{session}.{int(generation) + 1}.{mac}",
        f"{session}.{generation}.{mac[:-4]}AAAA",
        f"{session}.{generation}.я",
        tokens["access_token"],
        "..",
        f"{session}.-1.{mac}",
    ):
        await expect_problem(await node.post(REFRESH, {"refresh_token": token}), 401, "refresh-invalid")
    assert (await node.post(REFRESH, {"refresh_token": tokens["refresh_token"]})).status == 200


async def test_log_out_holds_for_reads_and_writes_at_once(node: Node) -> None:
    token = await node.user()
    answer = await node.post(LOGOUT, None, token)
    assert (answer.status, await answer.read()) == (204, b"")
    await expect_problem(await node.get(ME, token), 401, "unauthenticated")
    await expect_problem(await node.get("/history", token), 401, "unauthenticated")
    await expect_problem(await node.post("/cancel", {"booking_id": "x"}, token), 401, "unauthenticated")
    await expect_problem(await node.post(LOGOUT, None, token), 401, "unauthenticated")


async def test_log_out_with_a_key_may_be_repeated_and_takes_an_empty_object(node: Node) -> None:
    token = await node.user()
    assert (await node.post(LOGOUT, {}, token, Idempotency_Key="bye")).status == 204
    assert (await node.post(LOGOUT, {}, token, Idempotency_Key="bye")).status == 204
    await expect_problem(await node.post(LOGOUT, {"x": 1}, token), 422, "invalid-body")


# Idempotency.


async def test_register_and_log_in_with_a_key_answer_the_same_again(node: Node) -> None:
    body = {"login": "alice", "password": PASSWORD}
    once = await node.post(REGISTER, body, Idempotency_Key="k")
    again = await node.post(REGISTER, body, Idempotency_Key="k")
    assert (201, await once.json()) == (again.status, await again.json())
    one = await (await node.post(LOGIN, body, Idempotency_Key="l")).json()
    node.replica.advance(20)
    two = await node.post(LOGIN, body, Idempotency_Key="l")
    assert (200, one) == (two.status, await two.json())
    await expect_problem(await node.post(LOGIN, body, Idempotency_Key="k"), 422, "key-reused")


# Access tokens.


def _forged(claims: dict[str, Any], key: Any, algorithm: str | None = "HS256", kid: str | None = "") -> str:
    headers = {"kid": SECRET.active_kid if kid == "" else kid} if kid is not None else {}
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers)


def _forged_raw(claims: dict[str, Any], key: bytes) -> str:
    """Claims that PyJWT would not put into a token."""
    return jwt.PyJWS().encode(json.dumps(claims).encode(), key, "HS256", headers={"kid": SECRET.active_kid})


async def test_forged_tokens_are_refused_whatever_is_wrong_with_them(node: Node) -> None:
    token = await node.user()
    key = SECRET.derive(b"access token")
    good = jwt.decode(token, options={"verify_signature": False})
    assert (await node.get(ME, _forged(good, key))).status == 200  # the forger's tools work
    header, payload, signature = token.split(".")
    now = node.replica.now_ms() // 1000

    def unsigned(alg: str) -> str:
        head = (
            base64.urlsafe_b64encode(json.dumps({"alg": alg, "kid": SECRET.active_kid}).encode())
            .rstrip(b"=")
            .decode()
        )
        return f"{head}.{payload}."

    long_key = key * 2
    attacks = {
        "none": unsigned("none"),
        "None": unsigned("NONE"),
        "no signature": f"{header}.{payload}.",
        "wrong algorithm": _forged(good, long_key, "HS512"),
        "HS384": _forged(good, long_key, "HS384"),
        "wrong key": _forged(good, b"x" * 32),
        "another purpose": _forged(good, SECRET.derive(b"refresh token")),
        "no kid": _forged(good, key, kid=None),
        "unknown kid": _forged(good, key, kid="000000000000"),
        "wrong audience": _forged(good | {"aud": "other"}, key),
        "list of audiences": _forged(good | {"aud": ["deskraft", "other"]}, key),
        "wrong issuer": _forged(good | {"iss": "other"}, key),
        "expired": _forged(good | {"iat": now - 1000, "exp": now - 100}, key),
        "from the future": _forged(good | {"iat": now + 5000, "exp": now + 5900}, key),
        "too long a life": _forged(good | {"exp": now + 10**6}, key),
        "exp as text": _forged_raw(good | {"exp": str(now + 100)}, key),
        "exp as a fraction": _forged_raw(good | {"exp": now + 0.5}, key),
        "payload changed": f"{header}.{payload}x.{signature}",
        "another session": _forged(good | {"sid": "0198"}, key),
        "another user": _forged(good | {"sub": "0198"}, key),
        "empty": "",
        "junk": "a.b.c",
        "too long": token + "A" * 3000,
    }
    for claim in ("iss", "aud", "exp", "sub", "sid", "iat"):
        attacks[f"no {claim}"] = _forged({k: v for k, v in good.items() if k != claim}, key)
    for name, attack in attacks.items():
        answer = await node.get(ME, attack)
        assert answer.status == 401, name
        await expect_problem(answer, 401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    refresh = (await node.tokens("alice"))["refresh_token"]
    await expect_problem(await node.get(ME, refresh), 401, "unauthenticated")


@pytest.mark.parametrize("value", ["", "Bearer", "Basic YTpi", "bearer  ", "Token x", "Bearer " + "x" * 5000])
async def test_odd_authorization_headers(node: Node, value: str) -> None:
    await expect_problem(await node.get(ME, Authorization=value), 401, "unauthenticated")


async def test_no_token_at_all_is_401_before_the_body_is_looked_at(node: Node) -> None:
    for path in ("/book", "/cancel", "/api/v1/bookings", "/api/v1/auth/logout", "/api/v1/bookings/x/cancel"):
        await expect_problem(await node.post(path, b"{"), 401, "unauthenticated")
    for path in ("/history", "/api/v1/bookings", "/api/v1/bookings/x", ME):
        await expect_problem(await node.get(path), 401, "unauthenticated")


async def test_a_token_ends_with_its_time_even_when_it_is_remembered(node: Node) -> None:
    token = await node.user()
    node.replica.advance(ACCESS_SECONDS - 5)
    assert (await node.get(ME, token)).status == 200
    node.replica.advance(5)
    await expect_problem(await node.get(ME, token), 401, "unauthenticated")


async def test_tokens_survive_the_rotation_of_the_secret() -> None:
    old_line, new_line = "the old line of the secret, long enough", "the new line of the secret, long enough"
    before, during, after = Secret([old_line]), Secret([new_line, old_line]), Secret([new_line])
    now_ms = int(time.time() * 1000)
    session = Session("0a", "0b", 3, now_ms, now_ms, now_ms + 1000, "1.0")
    token, refresh = AccessTokens(before, "demo").issue(session), RefreshTokens(before).issue(session)
    assert AccessTokens(during, "demo").verify(token, now_ms)[:2] == ("0b", "0a")
    assert RefreshTokens(during).read(refresh) == ("0a", 3)
    with pytest.raises(Refusal, match="unauthenticated"):
        AccessTokens(after, "demo").verify(token, now_ms)
    with pytest.raises(Refusal, match="refresh-invalid"):
        RefreshTokens(after).read(refresh)
