"""The OpenAPI document: it is one, it says what a program needs, and its examples are what the node takes."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from api import examples, problems
from api.app import API_CALLS
from api.bodies import decode_body
from api.calls import Call
from api.openapi import document, operation_id
from api.shapes import EmptyBody
from tests.api.conftest import Node

DOCUMENT: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document(API_CALLS, "test")))
WITH_BODY = [call for call in API_CALLS if call.body is not None]


def operation(call: Call) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][call.path][call.method.lower()]
    return found


def test_a_validator_finds_nothing() -> None:
    assert [str(error) for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_names_are_unique_and_made_for_programs() -> None:
    names = [operation_id(call) for call in API_CALLS]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z][a-z_]+", name) for name in names), names


@pytest.mark.parametrize("call", API_CALLS, ids=operation_id)
def test_a_call_tells_what_may_come_of_it(call: Call) -> None:
    """Every answer is described and carries its headers; every refusal is problem+json, of types that the table has."""
    told = operation(call)
    assert told["summary"] and told["tags"]
    assert all(each["description"] for each in told["parameters"])
    for status, answer in told["responses"].items():
        assert answer["description"]
        assert "Deskraft-Index" in answer["headers"]
        if int(status) < 400:
            continue
        assert list(answer["content"]) == [problems.MEDIA_TYPE]
        content = answer["content"][problems.MEDIA_TYPE]
        types = content["schema"]["allOf"][1]["properties"]["type"]["enum"]
        codes = [each.removeprefix(problems.TYPE_PREFIX) for each in types]
        assert {problems.KINDS[code].status for code in codes} == {int(status)}
        assert list(content["examples"]) == codes
        retry = any(problems.KINDS[code].retry for code in codes)
        assert ("Retry-After" in answer["headers"]) == retry
    expected = {"422", "503"}
    expected |= {"401"} if call.access in ("user", "optional") else set()
    expected |= {"400", "408", "413", "415"} if call.body is not None else set()
    expected |= {"304"} if call.tagged else set()
    expected |= {"412"} if call.matched else set()
    assert expected <= set(told["responses"])
    assert "500" not in told["responses"]


@pytest.mark.parametrize("call", WITH_BODY, ids=operation_id)
def test_an_example_of_a_body_is_taken(call: Call) -> None:
    assert call.body is not None
    example = operation(call)["requestBody"]["content"]["application/json"]["example"]
    taken = decode_body(msgspec.json.encode(example), call.body)
    assert call.body is EmptyBody or taken is not None


def test_every_parameter_of_a_path_is_told() -> None:
    named = {name for call in API_CALLS for name in re.findall(r"\{(\w+)\}", call.path)}
    assert named == set(examples.PATHS)


def test_no_example_is_left_over() -> None:
    assert set(examples.BODIES) == {call.body.__name__ for call in API_CALLS if call.body is not None}


def test_what_is_made_leads_on() -> None:
    """OpenAPI links: a program that has made a booking knows which calls take its id."""
    links = DOCUMENT["paths"]["/api/v1/bookings"]["post"]["responses"]["201"]["links"]
    assert links["get_bookings_get"]["parameters"] == {"booking_id": "$response.body#/id"}
    assert {"post_bookings_cancel", "post_moves_move", "get_moves_history"} <= set(links)
    seats = DOCUMENT["paths"]["/api/v1/admin/spaces/{space_id}/seats"]["post"]["responses"]["201"]["links"]
    assert seats["patch_shaping_revise_seat"]["parameters"] == {
        "space_id": "$response.body#/space_id",
        "seat_id": "$response.body#/seat_id",
    }


async def test_the_reader_asks_nobody_but_the_node(node: Node) -> None:
    """No script, style, font or request of its page leads elsewhere, and the policy of the answer would forbid it."""
    answer = await node.get("/docs")
    page = await answer.text()
    named = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert any(re.fullmatch(r"/web/[0-9a-f]{12}/docs.js", each) for each in named)
    assert all(each.startswith("/") and not each.startswith("//") for each in named)
    scripts = [each for each in named if each.startswith("/web/")]
    texts = [page, *[await (await node.get(each)).text() for each in scripts]]
    for text in texts:
        assert "://" not in text
        assert "@import" not in text
    fetched = re.findall(r"fetch\(([^)]*)\)", "".join(texts))
    assert fetched == ['"/openapi.json"']
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'; style-src 'self'" in policy
