"""What holds for every call: bad HTTP, limits, failures of the cluster, time limits, headers, CORS, the document."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
from typing import Any, get_args

import pytest
from aiohttp import web

from api.app import API_CALLS, build_app
from api.bodies import MAX_BODY_BYTES
from api.problems import KINDS
from api.protocol import ApiRunner
from node.replica import OutcomeUnknownError, OverloadedError, UnavailableError
from statemachine.outcomes import Code
from tests.api.conftest import CONFIG, PASSWORD, SECRET, Node, expect_problem
from tests.api.fake_replica import FakeReplica

BOOKINGS = "/api/v1/bookings"
LOGIN = "/api/v1/auth/login"
AT_TEN = {"space_id": "hq", "seat_id": "A1", "starts_at": "2026-12-01T10:00:00+03:00"}


def test_every_code_of_the_state_machine_has_its_words() -> None:
    assert set(get_args(Code)) - {"ok"} <= set(KINDS)


# Bodies.


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "broken-json"),
        (b"{", 400, "broken-json"),
        (b'{"login": "a", }', 400, "broken-json"),
        (b"{'login': 'a'}", 400, "broken-json"),
        (b'{"login": "alice", "password": "xxxxxxxx"} x', 400, "broken-json"),
        (b'{"login": NaN, "password": "x"}', 400, "broken-json"),
        (b'{"login": Infinity, "password": "x"}', 400, "broken-json"),
        (b'{"login": 1, "password"', 400, "broken-json"),
        (b'\xef\xbb\xbf{"login": "alice", "password": "x"}', 400, "broken-json"),
        (b'{"login": "\xff", "password": "x"}', 400, "broken-json"),
        (b'{"login": "\\ud800", "password": "x"}', 400, "broken-json"),
        (b'{"\\ud800": "x"}', 422, "invalid-body"),
        (b'{"login": "a", "password": ' + b"9" * 6000 + b"}", 400, "broken-json"),
        (b"[" * 30_000, 400, "broken-json"),
        (b'{"login": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", 400, "broken-json"),
        (b'{"login": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}", 400, "broken-json"),
        (b"[]", 422, "invalid-body"),
        (b"null", 422, "invalid-body"),
        (b'"text"', 422, "invalid-body"),
        (b"{}", 422, "invalid-body"),
        (b'{"login": 1, "password": "x"}', 422, "invalid-body"),
        (b'{"login": null, "password": "x"}', 422, "invalid-body"),
        (b'{"login": "alice", "password": "x", "role": "admin"}', 422, "invalid-body"),
        (b'{"login": "alice", "login": "bob", "password": "xxxxxxxx"}', 422, "invalid-body"),
        (b'{"login": "alice", "password": ["x", "x"]}', 422, "invalid-body"),
    ],
)  # fmt: skip
async def test_bodies_that_are_none(node: Node, body: bytes, status: int, code: str) -> None:
    for path in (LOGIN, "/api/v1/auth/register"):
        await expect_problem(await node.post(path, body), status, code)


async def test_a_body_over_the_limit_is_413_however_it_is_sent(node: Node) -> None:
    body = b'{"login": "' + b"x" * MAX_BODY_BYTES + b'"}'
    await expect_problem(await node.post(LOGIN, body), 413, "body-too-large")

    async def chunks() -> Any:
        for _ in range(80):
            yield b" " * 1024

    answer = await node.client.post(LOGIN, data=chunks(), headers={"Content-Type": "application/json"})
    await expect_problem(answer, 413, "body-too-large")
    packed = gzip.compress(b" " * 10_000_000)
    answer = await node.post(LOGIN, packed, Content_Encoding="gzip")
    await expect_problem(answer, 413, "body-too-large")


async def test_a_body_that_is_not_gzip_although_it_says_so(node: Node) -> None:
    answer = await node.post(LOGIN, b"{}{}{}{}", Content_Encoding="gzip")
    assert answer.status == 400


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "application/json; charset=utf-16",
        "multipart/form-data; boundary=x",
    ],
)
async def test_other_media_types_are_415(node: Node, media_type: str) -> None:
    answer = await node.post(LOGIN, b"{}", Content_Type=media_type)
    await expect_problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize("media_type", ["application/json; charset=UTF-8", "Application/JSON"])
async def test_the_same_media_type_in_other_words(node: Node, media_type: str) -> None:
    answer = await node.post(LOGIN, b"{}", Content_Type=media_type)
    await expect_problem(answer, 422, "invalid-body")


async def test_unknown_addresses_and_methods(node: Node) -> None:
    for path in (
        "/nothing",
        "/api/v1",
        "/api/v1/bookings/x/y",
        "/book/",
        "/web/../app.py",
        "/web/%2e%2e/app.py",
    ):
        await expect_problem(await node.get(path), 404, "not-found")
    answer = await node.get("/book")
    await expect_problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == "POST, OPTIONS"
    for method in ("PUT", "DELETE", "PATCH", "TRACE"):
        answer = await node.client.request(method, BOOKINGS)
        await expect_problem(answer, 405, "method-not-allowed")
    answer = await node.client.head("/api/v1/spaces")
    assert (answer.status, await answer.read()) == (200, b"")
    answer = await node.client.options(BOOKINGS)
    assert (answer.status, answer.headers["Allow"]) == (204, "POST, GET, HEAD, OPTIONS")


async def test_broken_http_gets_a_short_answer_and_no_version(node: Node) -> None:
    port = node.client.port
    assert port is not None
    requests = (
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"y" * 20_000 + b"\r\n\r\n",
        b"POST /book HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /book HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    )
    for request in requests:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400")), answer[:100]
        assert b"application/problem+json" in answer, answer
        assert b"Python" not in answer and b"aiohttp" not in answer


async def test_a_connection_over_the_limit_is_told_so_and_closed(replica: FakeReplica) -> None:
    runner = ApiRunner(build_app(replica, SECRET, CONFIG, "n1"), replica, max_connections=2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    await asyncio.sleep(0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = await asyncio.wait_for(reader.read(), 5)
    assert (
        answer.startswith(b"HTTP/1.1 503 ") and b"problem+json" in answer and b"Retry-After: 1\r\n" in answer
    )
    writer.close()
    held.pop()[1].close()
    await asyncio.sleep(0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 200")
    for _, open_writer in (*held, (reader, writer)):
        open_writer.close()
    await runner.cleanup()


async def test_an_unknown_expectation_is_417_and_100_continue_is_met(node: Node) -> None:
    answer = await node.client.post(
        LOGIN, data=b"{}", headers={"Expect": "magic", "Content-Type": "application/json"}
    )
    await expect_problem(answer, 417, "expectation-failed")
    answer = await node.client.post(
        LOGIN, data=b"{}", headers={"Content-Type": "application/json"}, expect100=True
    )
    await expect_problem(answer, 422, "invalid-body")


# The cluster's failures.


async def test_failures_of_the_cluster_become_the_right_problems(node: Node) -> None:
    token = await node.user()
    replica = node.replica
    for failure, status, code in (
        (UnavailableError("no leader"), 503, "unavailable"),
        (OutcomeUnknownError("lost"), 503, "outcome-unknown"),
        (OverloadedError("queue full"), 429, "overloaded"),
    ):
        replica.failure = failure
        answer = await node.post(BOOKINGS, AT_TEN, token)
        await expect_problem(answer, status, code)
        assert int(answer.headers["Retry-After"]) >= 1
    replica.failure = UnavailableError("no quorum")
    for path in (
        "/history",
        "/api/v1/spaces",
        "/api/v1/spaces/hq/availability?date=2026-12-01",
        "/api/v1/me",
    ):
        await expect_problem(await node.get(path, token), 503, "unavailable")
        separator = "&" if "?" in path else "?"
        assert (await node.get(f"{path}{separator}consistency=stale", token)).status == 200
    for path in ("/livez", "/metrics", "/api/v1/cluster", "/openapi.json", "/docs", "/"):
        assert (await node.get(path)).status == 200


async def test_an_unknown_outcome_is_learnt_by_repeating_with_the_key(node: Node) -> None:
    token = await node.user()
    node.replica.failure_after = OutcomeUnknownError("the leader died")
    await expect_problem(
        await node.post(BOOKINGS, AT_TEN, token, Idempotency_Key="k"), 503, "outcome-unknown"
    )
    node.replica.failure_after = None
    assert (await node.post(BOOKINGS, AT_TEN, token, Idempotency_Key="k")).status == 201
    assert len((await (await node.get("/history", token)).json())["items"]) == 1


async def test_every_request_is_answered_in_time_even_when_the_cluster_hangs(node: Node) -> None:
    token = await node.user()
    node.replica.hang_seconds = 30
    loop = asyncio.get_running_loop()
    began = loop.time()
    write, read = await asyncio.gather(node.post(BOOKINGS, AT_TEN, token), node.get("/history", token))
    assert loop.time() - began < 1.5
    await expect_problem(write, 503, "outcome-unknown")
    await expect_problem(read, 503, "unavailable")


async def test_a_body_that_never_ends_is_408(node: Node) -> None:
    port = node.client.port
    assert port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2.0)
    writer.close()
    assert head.startswith(b"HTTP/1.1 408")


async def test_an_unexpected_failure_is_a_problem_with_an_incident(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    token = await node.user()
    node.replica.failure = ZeroDivisionError("a mistake")
    with caplog.at_level(logging.ERROR, "deskraft.api"):
        problem = await expect_problem(await node.get("/history", token), 500, "internal")
        assert "a mistake" not in json.dumps(problem)
        await expect_problem(await node.post(BOOKINGS, AT_TEN, token), 503, "outcome-unknown")
    assert len(caplog.records) == 2
    assert problem["incident"] in caplog.text and "ZeroDivisionError" in caplog.text


# Indexes and consistency.


async def test_min_index_waits_and_gives_up_as_unavailable(node: Node) -> None:
    token = await node.user()
    index = node.replica.state.index
    assert (await node.get("/history", token, Deskraft_Min_Index=str(index))).status == 200
    waiting = asyncio.create_task(node.get("/history", token, Deskraft_Min_Index=str(index + 1)))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    booked = await node.post(BOOKINGS, AT_TEN, token)
    answer = await waiting
    assert (booked.status, answer.status) == (201, 200)
    assert len((await answer.json())["items"]) == 1
    assert int(answer.headers["Deskraft-Index"]) >= int(booked.headers["Deskraft-Index"]) == index + 1
    await expect_problem(
        await node.get("/history", token, Deskraft_Min_Index=str(index + 99)), 503, "unavailable"
    )


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "9" * 40, "١", "0x1"])
async def test_odd_min_indexes(node: Node, value: str) -> None:
    problem = await expect_problem(
        await node.get("/api/v1/spaces", Deskraft_Min_Index=value), 422, "invalid-parameter"
    )
    assert problem["parameter"] == "Deskraft-Min-Index"


async def test_a_read_takes_a_read_index_unless_stale_will_do(node: Node) -> None:
    reads = node.replica.reads
    await node.get("/api/v1/spaces")
    assert reads + 1 == node.replica.reads
    await node.get("/api/v1/spaces?consistency=stale")
    assert reads + 1 == node.replica.reads
    await node.get("/api/v1/spaces?consistency=linearizable")
    assert reads + 2 == node.replica.reads


# What the node says about itself.


async def test_a_node_tells_what_it_has_seen(node: Node) -> None:
    node.replica.seen.leader("n2", 7)
    node.replica.seen.leader(None, 8)
    node.replica.advance(5)
    node.replica.seen.peer("n3", True, 8)
    told = await (await node.get("/api/v1/cluster/sightings")).json()
    assert told["node_id"] == "n1"
    items = [(each["at"][11:19], each["kind"], each["member_id"], each["term"]) for each in told["items"]]
    assert items == [
        ("12:00:05", "heard", "n3", 8),
        ("12:00:00", "no-leader", None, 8),
        ("12:00:00", "leads", "n2", 7),
        ("12:00:00", "started", "n1", 0),
    ]


async def test_liveness_readiness_and_cluster(node: Node) -> None:
    assert await (await node.get("/livez")).json() == {"status": "alive"}
    assert await (await node.get("/readyz")).json() == {"status": "ready"}
    node.replica.not_ready = "no leader is known"
    problem = await expect_problem(await node.get("/readyz"), 503, "unavailable")
    assert problem["detail"] == "no leader is known"
    node.replica.not_ready = None
    answer = await node.get("/api/v1/cluster")
    cluster = await answer.json()
    names = {
        "cluster",
        "node_id",
        "role",
        "leader_id",
        "term",
        "commit_index",
        "applied_index",
        "digest",
        "members",
        "configuration_index",
        "founding",
    }
    assert names == set(cluster)
    shown = {"id", "raft", "api", "role", "reachable", "match_index", "voter", "incarnation"}
    assert shown == set(cluster["members"][0])
    assert str(cluster["applied_index"]) == answer.headers["Deskraft-Index"]


async def test_a_stopping_node_is_not_ready_and_closes_connections(node: Node) -> None:
    node.replica.stopping = True
    answer = await node.get("/readyz")
    await expect_problem(answer, 503, "unavailable")
    assert answer.headers["Connection"].lower() == "close"


async def test_metrics_are_prometheus_text(node: Node) -> None:
    await node.get("/api/v1/spaces")
    await node.get("/nothing/at/all")
    answer = await node.get("/metrics")
    text = await answer.text()
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'deskraft_http_requests_total{route="/api/v1/spaces",method="GET",status="200"} 1' in text
    assert 'deskraft_http_request_seconds_bucket{route="/api/v1/spaces",le="+Inf"} 1' in text
    assert "deskraft_leader 1" in text and "nothing" not in text
    sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?[0-9.e+-]+')
    for line in text.splitlines():
        assert line.startswith("# ") or sample.fullmatch(line), line


# Headers.


async def test_security_headers_and_no_version(node: Node) -> None:
    for path in ("/", "/docs", "/favicon.ico", "/web/nothing.js", "/api/v1/spaces", "/nothing"):
        answer = await node.get(path)
        assert answer.headers["Server"] == "deskraft"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Deskraft-Index"].isdigit()
    page = await node.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy and "http://127.0.0.1:8002" in policy
    for path in ("/", "/docs"):
        text = await (await node.get(path)).text()
        assert not re.search(r"<style|style=|<script(?![^>]* src=)|\son\w+=|https?://", text), path


async def test_cors_is_for_the_members_alone(node: Node) -> None:
    wanted = {"Access-Control-Request-Method": "POST", "Origin": "http://127.0.0.1:8002"}
    answer = await node.client.options(BOOKINGS, headers=wanted)
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "http://127.0.0.1:8002"
    assert "Idempotency-Key" in answer.headers["Access-Control-Allow-Headers"]
    answer = await node.get("/api/v1/spaces", Origin="http://127.0.0.1:8003")
    assert "Deskraft-Index" in answer.headers["Access-Control-Expose-Headers"]
    answer = await node.client.options(BOOKINGS, headers=wanted | {"Origin": "https://evil.example"})
    assert not [
        name
        for name in answer.headers
        if name.startswith("Access-Control-") and name != "Access-Control-Max-Age"
    ]


# The document.


async def test_the_document_has_every_call_and_its_references_lead_somewhere(node: Node) -> None:
    document = await (await node.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    for call in API_CALLS:
        operation = document["paths"][call.path][call.method.lower()]
        assert {str(status) for status in call.answers} <= set(operation["responses"])
    operations = [op for path in document["paths"].values() for op in path.values()]
    assert len(operations) == len({op["operationId"] for op in operations})
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        found: Any = document
        for step in reference.split("/"):
            found = found[step]
        assert found
    booking = document["components"]["schemas"]["BookingBody"]
    assert {"space_id", "seat_id", "starts_at"} == set(booking["required"])
    assert booking["additionalProperties"] is False


async def test_the_document_keeps_its_word_about_a_booking(node: Node) -> None:
    token = await node.user()
    document = await (await node.get("/openapi.json")).json()
    made = await (await node.post(BOOKINGS, AT_TEN, token)).json()
    assert set(document["components"]["schemas"]["BookingView"]["properties"]) == set(made)
    assert PASSWORD not in json.dumps(document)
