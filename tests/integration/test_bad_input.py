"""Bad input over real nodes: each with its status and problem `type`, and no node is impressed.

One cluster serves the whole table. The coworking in Berlin is open around the clock, so that the hours which clocks skip or
repeat there are within its opening hours.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import random
import time
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import pytest

from node.secret import Secret
from tests.integration.cluster import SPACES, ProcessCluster, running_cluster
from tests.integration.raw import PASSWORD, Raw, Said, seed_of_run, slot

SPREE: dict[str, Any] = {
    "id": "spree",
    "name": "Coworking an der Spree",
    "timezone": "Europe/Berlin",
    "opens": "00:00",
    "closes": "24:00",
    "slot_minutes": 30,
    "seats": ["S1", "S2"],
}
DAY = "2027-03-01"
BODY_LIMIT_BYTES = 64 * 1024
BOOKINGS, REGISTER, LOGIN = "/api/v1/bookings", "/api/v1/auth/register", "/api/v1/auth/login"


class Case(NamedTuple):
    """One request and what must be answered. `body` is JSON, or bytes sent as they are."""

    name: str
    status: int
    code: str
    path: str
    body: Any
    method: str = "POST"
    headers: dict[str, str] = {}  # noqa: RUF012 - a NamedTuple's default, never changed


def _spree(day: str, at: str, **more: Any) -> dict[str, Any]:
    return {"seat": "S1", "date": day, "time": at, **more}


def _spree_instant(text: str) -> dict[str, Any]:
    return {"space_id": "spree", "seat_id": "S1", "starts_at": text}


BODIES = [
    Case("broken JSON", 400, "broken-json", BOOKINGS, b'{"space_id": "hq",'),
    Case("nothing", 400, "broken-json", BOOKINGS, b""),
    Case("not UTF-8", 400, "broken-json", BOOKINGS, b'{"space_id": "\xff"}'),
    Case("nested too deeply", 400, "broken-json", BOOKINGS, b"[" * 30_000),
    Case("NaN", 400, "broken-json", BOOKINGS, b'{"space_id": NaN}'),
    Case("a list", 422, "invalid-body", BOOKINGS, []),
    Case("null", 422, "invalid-body", BOOKINGS, b"null"),
    Case("wrong types", 422, "invalid-body", BOOKINGS, {"space_id": 1, "seat_id": [], "starts_at": True}),
    Case("unknown field", 422, "invalid-body", BOOKINGS, slot(DAY, 10) | {"price": 1}),
    Case("missing field", 422, "invalid-body", BOOKINGS, {"space_id": "hq", "seat_id": "A1"}),
    Case("a key twice", 422, "invalid-body", "/cancel", b'{"booking_id": "x", "booking_id": "y"}'),
    Case("over the limit", 413, "body-too-large", BOOKINGS, b" " * (BODY_LIMIT_BYTES + 1)),
    Case("another media type", 415, "unsupported-media-type", BOOKINGS, b"{}", headers={"Content-Type": "text/xml"}),
    Case("slots 0", 422, "invalid-body", BOOKINGS, slot(DAY, 10) | {"slots": 0}),
    Case("slots -1", 422, "invalid-body", BOOKINGS, slot(DAY, 10) | {"slots": -1}),
    Case("slots 10**9", 422, "invalid-body", BOOKINGS, slot(DAY, 10) | {"slots": 10**9}),
    Case("slots 10**400", 422, "invalid-body", BOOKINGS, slot(DAY, 10) | {"slots": 10**400}),
    Case("slots 1.5", 422, "invalid-body", BOOKINGS, slot(DAY, 10) | {"slots": 1.5}),
    Case("slots true", 422, "invalid-body", BOOKINGS, slot(DAY, 10) | {"slots": True}),
    Case("no offset", 422, "invalid-body", BOOKINGS, slot(DAY, 10) | {"starts_at": f"{DAY}T10:00:00"}),
    Case("another century", 422, "invalid-body", BOOKINGS, slot("2201-01-01", 10)),
]  # fmt: skip
PLACES = [
    Case("unknown seat", 422, "unknown-seat", BOOKINGS, slot(DAY, 10, "Z9")),
    Case("unknown space", 422, "unknown-space", BOOKINGS, slot(DAY, 10, "A1", "moon")),
    Case("unknown seat by its short name", 422, "unknown-seat", "/book", {"seat": "Z9", "date": DAY, "time": "10:00"}),
    Case("look-alike seat", 422, "unknown-seat", BOOKINGS, slot(DAY, 10, "\u04101")),
    Case("off the grid", 422, "off-grid", BOOKINGS, slot(DAY, 10) | {"starts_at": f"{DAY}T10:20:00+03:00"}),
    Case("off by a second", 422, "off-grid", BOOKINGS, slot(DAY, 10) | {"starts_at": f"{DAY}T10:00:01+03:00"}),
    Case("past", 422, "past", BOOKINGS, slot("2020-03-02", 10)),
    Case("before the opening", 422, "closed", BOOKINGS, slot(DAY, 7)),
    Case("at the closing", 422, "closed", BOOKINGS, slot(DAY, 22)),
    Case("past the closing", 422, "off-grid", BOOKINGS, slot(DAY, 21) | {"slots": 2}),
    Case("an hour that is skipped", 422, "nonexistent-time", "/book", _spree("2027-03-28", "02:30")),
    Case("an hour that comes twice", 422, "ambiguous-time", "/book", _spree("2027-10-31", "02:30")),
    Case("no such day", 422, "invalid-body", "/book", _spree("2027-02-29", "10:00")),
    Case("no such hour", 422, "invalid-body", "/book", _spree(DAY, "25:00")),
    Case("the first of two hours", 201, "", BOOKINGS, _spree_instant("2027-10-31T02:30:00+02:00")),
    Case("the second of two hours", 201, "", BOOKINGS, _spree_instant("2027-10-31T02:30:00+01:00")),
    Case("the same instant again", 409, "seat-taken", BOOKINGS, _spree_instant("2027-10-31T01:30:00Z")),
    Case("across the jump", 201, "", "/book", _spree("2027-03-28", "01:30", slots=2)),
    Case("what the jump joined", 409, "seat-taken", "/book", _spree("2027-03-28", "03:00")),
    Case("no such booking", 404, "booking-not-found", "/cancel", {"booking_id": "nothing"}),
    Case("no such address", 404, "not-found", "/api/v1/nothing", {}),
    Case("wrong method", 405, "method-not-allowed", "/history", {}),
    Case("unknown parameter", 422, "invalid-parameter", "/history?colour=red", None, "GET"),
    Case("page over the limit", 422, "invalid-parameter", "/history?limit=201", None, "GET"),
    Case("foreign cursor", 422, "invalid-parameter", "/history?cursor=1.x", None, "GET"),
    Case("space not there", 404, "not-found", f"/api/v1/spaces/moon/availability?date={DAY}", None, "GET"),
    Case("bad key", 422, "invalid-parameter", BOOKINGS, slot(DAY, 10), headers={"Idempotency-Key": "x" * 256}),
    Case("bad index", 422, "invalid-parameter", "/history", None, "GET", {"Deskraft-Min-Index": "-1"}),
]  # fmt: skip


def _person(login: str, password: str = PASSWORD) -> dict[str, str]:
    return {"login": login, "password": password}


PEOPLE = [
    Case("short password", 422, "weak-password", REGISTER, _person("eve", "1234567")),
    Case("common password", 422, "weak-password", REGISTER, _person("eve", "12345678")),
    Case("password is the login", 422, "weak-password", REGISTER, _person("eve-eve-eve", "Eve-Eve-Eve")),
    Case("one character repeated", 422, "weak-password", REGISTER, _person("eve", "a" * 20)),
    Case("password of 10 kB", 422, "weak-password", REGISTER, _person("eve", "pass word " * 1000)),
    Case("log-in with 10 kB", 422, "invalid-body", LOGIN, _person("ada", "pass word " * 1000)),
    Case("the same login", 409, "login-taken", REGISTER, _person("ada")),
    Case("another case", 409, "login-taken", REGISTER, _person("ADA")),
    Case("full-width letters", 409, "login-taken", REGISTER, _person("\uff41\uff44\uff41")),
    Case("Latin and Cyrillic", 422, "invalid-login", REGISTER, _person("\u0430da")),
    Case("Cyrillic look-alike", 409, "login-taken", REGISTER, _person("\u0441\u043e\u0440")),
    Case("zero-width space", 422, "invalid-login", REGISTER, _person("a\u200bda")),
    Case("right-to-left mark", 422, "invalid-login", REGISTER, _person("ada\u202e")),
    Case("emoji", 422, "invalid-login", REGISTER, _person("ada\U0001f600")),
    Case("too short", 422, "invalid-login", REGISTER, _person("ab")),
    Case("65 characters", 422, "invalid-login", REGISTER, _person("a" * 65)),
    Case("lone surrogate", 400, "broken-json", REGISTER, b'{"login": "\\ud800ab", "password": "a long pass"}'),
    Case("unknown person", 401, "wrong-credentials", LOGIN, _person("nobody")),
    Case("wrong password", 401, "wrong-credentials", LOGIN, _person("ada", "another long pass")),
    Case("log-in in another case", 200, "", LOGIN, _person("Ada")),
    Case("forged refresh token", 401, "refresh-invalid", "/api/v1/auth/refresh", {"refresh_token": "x.0.y"}),
]  # fmt: skip


def _check(case: Case, said: Said) -> None:
    assert (said.status, said.code) == (case.status, case.code), (case.name, said)
    assert said.index > 0, case.name
    if said.status >= 400:
        assert said.headers["Content-Type"] == "application/problem+json", case.name
        assert said.body["status"] == said.status
        assert said.body["title"] and said.body["detail"], case.name
    if case.code == "invalid-body":
        assert all(error["detail"] for error in said.body["errors"]), case.name
        assert said.body["errors"], case.name
    if said.status == 401:
        assert said.headers["WWW-Authenticate"] == "Bearer", case.name


async def _ask(raw: Raw, cluster: ProcessCluster, number: int, case: Case) -> None:
    node = list(cluster)[number % 3]
    options: dict[str, Any] = {"data": case.body} if isinstance(case.body, bytes) else {"body": case.body}
    _check(case, await raw.ask(node, case.method, case.path, headers=case.headers, **options))


def _forged(token: str, secret: Secret) -> dict[str, str]:
    """Tokens that must not open anything, by what is wrong with them."""
    header, claims = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})
    key = secret.derive(b"access token", secret.active_kid)
    kid = {"kid": header["kid"]}
    assert jwt.encode(claims, key, "HS256", kid) == token, (
        "the forgeries differ from a good token in one thing each"
    )
    past = int(time.time()) - 3600
    signed, mac = token.rsplit(".", 1)
    unsigned = signed.split(".")[1]

    def b64(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    hidden = f"{b64({'alg': 'nOnE', **kid})}.{unsigned}"
    without_kid = f"{b64({'alg': 'HS256', 'typ': 'JWT'})}.{unsigned}"
    own_mac = base64.urlsafe_b64encode(hmac.digest(key, without_kid.encode(), hashlib.sha256)).rstrip(b"=")
    return {
        "none": jwt.encode(claims, None, "none", kid),
        "none in odd letters": f"{hidden}.",
        "another algorithm": jwt.encode(claims, key, "HS512", kid),
        "another key": jwt.encode(claims, b"k" * 32, "HS256", kid),
        "an empty key": jwt.encode(claims, b"\0" * 32, "HS256", kid),
        "key of another purpose": jwt.encode(
            claims, secret.derive(b"refresh token", secret.active_kid), "HS256", kid
        ),
        "no kid": f"{without_kid}.{own_mac.decode()}",
        "unknown kid": jwt.encode(claims, key, "HS256", {"kid": "../../secret"}),
        "expired": jwt.encode(claims | {"iat": past, "exp": past + 900}, key, "HS256", kid),
        "for ever": jwt.encode(claims | {"exp": past + 10**9}, key, "HS256", kid),
        "from the future": jwt.encode(
            claims | {"iat": past + 10**6, "exp": past + 10**6 + 900}, key, "HS256", kid
        ),
        "another cluster": jwt.encode(claims | {"iss": "other"}, key, "HS256", kid),
        "another audience": jwt.encode(claims | {"aud": "other"}, key, "HS256", kid),
        "a session that never was": jwt.encode(claims | {"sid": "none"}, key, "HS256", kid),
        "cut": token[:-2],
        "without signature": f"{signed}.",
        "not base64": "a.b.c",
        "flipped": f"{signed}.{'B' if mac[0] == 'A' else 'A'}{mac[1:]}",
        "huge": token + "A" * 5000,
    }


@pytest.mark.filterwarnings("ignore:The HMAC key")  # forging HS512 with a key made for HS256
async def test_each_mistake_has_its_answer(tmp_path: Path) -> None:
    """The table above, over all three nodes in turn: status, `type`, pointers; forged tokens; another person's booking; after
    a log-out the token is worth nothing on any node. Nothing of it reaches a log as a traceback or changes a booking.
    """
    rng = random.Random(seed_of_run())
    async with running_cluster(tmp_path, spaces=[*SPACES, SPREE]) as cluster:
        nodes = list(cluster)
        ada = await Raw(cluster.session).sign_in(nodes, "ada", rng=rng)
        bob = await Raw(cluster.session).sign_in(nodes, "cop", rng=rng)  # "сор" in Cyrillic looks the same
        nobody = Raw(cluster.session)
        for number, case in enumerate(BODIES + PLACES):
            await _ask(ada, cluster, number, case)
        for number, case in enumerate(PEOPLE):
            await _ask(nobody, cluster, number, case)
        await _of_other_people(cluster, ada, bob)
        await _with_bad_tokens(cluster, ada)
        kept = {node.id: await ada.all_bookings(node) for node in nodes}
        assert len(kept["n1"]) == 4, "three that the table books, and one of the next part"
        assert kept["n1"] == kept["n2"] == kept["n3"]
        assert (await ada.post(nodes[0], "/api/v1/auth/logout")).status == 204
        for node in nodes:
            said = await ada.get(node, "/history")
            assert (said.status, said.code) == (401, "unauthenticated"), node.id
        await cluster.wait_until_equal()
        cluster.assert_no_traceback()


async def _of_other_people(cluster: ProcessCluster, ada: Raw, bob: Raw) -> None:
    """Another person's booking is as unknown as one that does not exist, in every call, even with a known key."""
    n1, n2, n3 = cluster
    mine = await ada.post(n1, BOOKINGS, slot(DAY, 12), key="mine")
    assert mine.status == 201, mine
    path = f"{BOOKINGS}/{mine.body['id']}"
    for node, method, where, body in (
        (n2, "GET", path, None),
        (n3, "POST", f"{path}/cancel", {}),
        (n1, "POST", "/cancel", {"booking_id": mine.body["id"]}),
    ):
        said = await bob.ask(node, method, where, body)
        unknown = where.replace(mine.body["id"], "01a2046e-5d16-7bb3-96cd-f726d460853e")
        other = await bob.ask(node, method, unknown, {"booking_id": "none"} if where == "/cancel" else body)
        assert (said.status, said.code, said.body) == (404, "booking-not-found", other.body)
    same_key = await bob.post(n2, BOOKINGS, slot(DAY, 12), key="mine")
    assert (same_key.status, same_key.code) == (409, "seat-taken"), "keys of different people are different"
    assert (await ada.get(n3, path)).body["status"] == "confirmed"
    page = await bob.get(n2, f"/api/v1/spaces/hq/availability?date={DAY}")
    shown = {state for seat in page.body["seats"] for state in seat["slots"]}
    assert shown == {"free", "taken"}, "a stranger's booking is taken, not mine"


async def _with_bad_tokens(cluster: ProcessCluster, ada: Raw) -> None:
    nodes = list(cluster)
    secret = Secret.load(cluster.folder / "secret")
    forged = {"none at all": "", **_forged(ada.token, secret)}
    calls = (("GET", "/history", None), ("POST", BOOKINGS, slot(DAY, 15)), ("GET", "/api/v1/me", None))
    for number, (name, token) in enumerate(forged.items()):
        for method, path, body in calls:
            said = await Raw(cluster.session, token).ask(nodes[number % 3], method, path, body)
            _check(Case(f"token: {name}", 401, "unauthenticated", path, body), said)
    for scheme in ("Basic", "bearer x", "Token"):
        said = await Raw(cluster.session).get(
            nodes[0], "/api/v1/me", headers={"Authorization": f"{scheme} {ada.token}"}
        )
        assert said.status == 401, scheme


async def test_a_hundred_guesses_at_a_password(tmp_path: Path) -> None:
    """A node that is asked to check a storm of wrong passwords answers 401 and then 429 with Retry-After, every one of them
    within the time of a request; bookings on the same node go on meanwhile, and its owner may still come in from a known device.
    """
    rng = random.Random(seed_of_run())
    async with running_cluster(tmp_path) as cluster:
        n1, n2, _ = cluster
        ada = await Raw(cluster.session).sign_in([n2], "ada", rng=rng)
        guesses = [
            asyncio.create_task(
                Raw(cluster.session).post(n1, LOGIN, _person("ada", f"guess number {number}"))
            )
            for number in range(100)
        ]
        booked = [await ada.post(n1, BOOKINGS, slot(DAY, 8 + number)) for number in range(10)]
        assert [said.status for said in booked] == [201] * 10
        ends = await asyncio.gather(*guesses)
        assert {(said.status, said.code) for said in ends} <= {
            (401, "wrong-credentials"),
            (429, "overloaded"),
            (429, "too-many-attempts"),
        }
        assert any(said.status == 429 for said in ends)
        assert all("Retry-After" in said.headers for said in ends if said.status == 429)
        assert max(said.seconds for said in [*ends, *booked]) < 3
        known = {**_person("ada"), "device_token": ada.device_token}
        assert (await Raw(cluster.session).post(n2, LOGIN, known)).status == 200
        cluster.assert_no_traceback()
