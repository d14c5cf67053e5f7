"""The OpenAPI 3.1 document, made from the declarations of the calls and the types of their bodies.

Nothing is written twice: paths, parameters, statuses and problems come from `Call`, schemas from the structures
that really decode and encode. So the document cannot promise what the node does not do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from api import examples, problems
from api.calls import PAGE_HEADER, Call, Parameter
from api.exchange import IF_MATCH_PATTERN, MAX_INDEX_DIGITS, MAX_KEY_CHARACTERS
from api.shapes import ProblemView

_IN_PATH = re.compile(r"\{(\w+)\}")
_ALWAYS = ("invalid-parameter", "unavailable")  # an unknown parameter, an index that is not reached
_BODY_PROBLEMS = (
    "broken-json", "bad-request", "request-timeout", "body-too-large", "unsupported-media-type", "invalid-body",
)  # fmt: skip
_WRITE_PROBLEMS = (
    "overloaded", "unavailable", "outcome-unknown", "not-born", "deadline-passed", "duplicate-id",
)  # fmt: skip
_KEY_PROBLEMS = ("key-reused", "too-many-keys")
_HEADERS: dict[str, dict[str, Any]] = {
    "Deskraft-Index": {
        "description": "The log index that the answer reflects.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "Deskraft-Digest": {
        "description": (
            "The digest of the state at that index, while the node remembers it; any member confirms it at "
            "/api/v1/cluster/receipts/{index}."
        ),
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    },
    "ETag": {
        "description": "Names these bytes, for `If-None-Match`; of one resource it begins with the revision, for `If-Match`.",
        "schema": {"type": "string", "pattern": '^"[0-9a-f.-]{1,64}"$'},
    },
    "Link": {
        "description": 'With `rel="next"`: the whole address of the next page, where there is one (RFC 8288).',
        "schema": {"type": "string"},
    },
    "Location": {"description": "The address of what was made.", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds after which asking again may help.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "How to say who one is.",
        "required": True,
        "schema": {"type": "string", "const": "Bearer"},
    },
    "Deprecation": {
        "description": "Since when the call is deprecated (RFC 9745).",
        "required": True,
        "schema": {"type": "string"},
    },
    "Set-Cookie": {"description": "What the browser keeps or forgets.", "schema": {"type": "string"}},
    "Sunset": {
        "description": "From when on it may be gone (RFC 8594).",
        "required": True,
        "schema": {"type": "string"},
    },
}


def document(calls: Sequence[Call], cluster: str) -> dict[str, Any]:
    """The whole document as plain values."""
    kinds: list[Any] = [ProblemView]
    for call in calls:
        kinds += [kind for kind in (call.body, *call.answers.values()) if _is_structure(kind)]
    kinds = list(dict.fromkeys(kinds))
    references, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    reference_of = dict(zip(kinds, references, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call, calls, reference_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Deskraft",
            "version": "1",
            "summary": f"Book a desk on any node of the cluster {cluster}.",
            "description": (
                "Times are RFC 3339 with an offset. Errors are application/problem+json. Every answer carries "
                "Deskraft-Index. Reads are linearizable unless `consistency=stale` asks otherwise."
            ),
        },
        "servers": [{"url": "/", "description": "The node that is asked; any of them will do."}],
        "paths": paths,
        "components": {
            "schemas": components,
            "examples": {code: _example_of(code) for code in problems.KINDS},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": f"deskraft-{cluster}"},
            },
            "headers": _HEADERS,
        },
    }


def _example_of(code: str) -> dict[str, Any]:
    kind = problems.KINDS[code]
    return {"summary": kind.title, "value": msgspec.json.decode(problems.Refusal(code).encode())}


def _is_structure(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def operation_id(call: Call) -> str:
    """The name of a call: stable, because programs are generated from it."""
    if call.path.startswith(("/history", "/book", "/cancel")):
        return f"{call.method.lower()}_{call.path.strip('/')}"
    return f"{call.method.lower()}_{call.handler.__module__.rpartition('.')[2]}_{call.handler.__name__}"


def _operation(call: Call, calls: Sequence[Call], reference_of: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": operation_id(call),
        "summary": call.summary,
        "tags": [call.handler.__module__.rpartition(".")[2]],
        "parameters": _parameters(call),
        "responses": _responses(call, calls, reference_of),
    }
    if call.path.startswith(("/history", "/book", "/cancel")):
        operation["tags"] = ["names"]
    if call.deprecated is not None:
        operation["deprecated"] = True
    if call.access == "user":
        operation["security"] = [{"bearer": []}]
    elif call.access == "optional":
        operation["security"] = [{}, {"bearer": []}]
    elif call.access == "page":
        operation["security"] = [{}, {"cookie": []}]
    if call.body is not None:
        content: dict[str, Any] = {"schema": reference_of[call.body]}
        if (example := examples.BODIES.get(call.body.__name__)) is not None:
            content["example"] = example
        operation["requestBody"] = {
            "required": not call.body_optional, "content": {"application/json": content},
        }  # fmt: skip
    return operation


def _parameters(call: Call) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": examples.PATHS.get(name, ("An id.", None))[0],
            "schema": {"type": "string"},
        }
        for name in _IN_PATH.findall(call.path)
    ]
    parameters += [_in_query(parameter) for parameter in call.parameters.values()]
    if call.takes_key:
        schema = {
            "type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARACTERS, "pattern": "^[\\x20-\\x7e]+$",
        }  # fmt: skip
        text = "Makes the call happen once; the same key and body get the same answer for 24 hours."
        parameters.append(_in_header("Idempotency-Key", text, schema))
    if call.matched:
        text = "The ETag of what is changed: refuse (412) when it is another by now."
        parameters.append(
            _in_header("If-Match", text, {"type": "string", "pattern": f"^{IF_MATCH_PATTERN}$"})
        )
    if call.tagged:
        text = "The ETag of an earlier answer: 304 when it would be the same."
        parameters.append(_in_header("If-None-Match", text, {"type": "string"}))
    if call.access == "page":
        text = "The page that asks: a member's own, or one of the host that is asked. Browsers set it."
        parameters.append(_in_header("Origin", text, {"type": "string"}) | {"required": True})
        text = "That a page of the cluster asks, and no form of another site."
        parameters.append(
            _in_header(PAGE_HEADER, text, {"type": "string", "const": "1"}) | {"required": True}
        )
    schema = {"type": "integer", "minimum": 0, "maximum": 10**MAX_INDEX_DIGITS - 1}
    parameters.append(
        _in_header("Deskraft-Min-Index", "Wait until the node reflects this log index.", schema)
    )
    return parameters


def _in_header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _in_query(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _responses(call: Call, calls: Sequence[Call], reference_of: dict[Any, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, kind in call.answers.items():
        named = ["ETag"] if call.tagged and status == 200 else []
        named += ["Link"] if call.paged else []
        named += ["Location"] if status == 201 else []
        named += ["Set-Cookie"] if call.access == "page" else []
        answer: dict[str, Any] = {"description": call.summary, "headers": _headers(call, *named)}
        if "ETag" in named:
            answer["headers"]["ETag"] = {**_HEADERS["ETag"], "required": True}
        if kind is not None:
            schema = reference_of.get(kind, {"type": "string"})
            answer["content"] = {call.media_type: {"schema": schema}}
            for media_type in call.other_media_types:
                answer["content"][media_type] = {"schema": {"type": "string"}}
        if status == 201 and (links := _links(call, kind, calls)):
            answer["links"] = links
        responses[str(status)] = answer
    if call.tagged:
        responses["304"] = {
            "description": "The same as what `If-None-Match` names.", "headers": _headers(call, "ETag"),
        }  # fmt: skip
    for status, codes in sorted(problems_of(call).items()):
        named = ["Retry-After"] if any(problems.KINDS[code].retry for code in codes) else []
        named += ["WWW-Authenticate"] if status == 401 else []
        types = [problems.TYPE_PREFIX + code for code in codes]
        responses[str(status)] = {
            "description": "; ".join(
                f"`{problems.TYPE_PREFIX}{code}`: {problems.KINDS[code].title}" for code in codes
            ),
            "headers": _headers(call, *named),
            "content": {
                problems.MEDIA_TYPE: {
                    "schema": {
                        "allOf": [reference_of[ProblemView], {"properties": {"type": {"enum": types}}}]
                    },
                    "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
                }
            },
        }
    return responses


def _headers(call: Call, *more: str) -> dict[str, Any]:
    dated = ("Deprecation", "Sunset", "Link") if call.deprecated is not None else ()
    names = dict.fromkeys(("Deskraft-Index", "Deskraft-Digest", *dated, *more))
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def problems_of(call: Call) -> dict[int, list[str]]:
    """The codes that a call may be refused with, by status: those it names, and those that come with what it is."""
    writes = call.method != "GET"
    codes = [*call.problems, *_ALWAYS]
    codes += _BODY_PROBLEMS if call.body is not None else ()
    codes += _WRITE_PROBLEMS if writes else ()
    codes += _KEY_PROBLEMS if call.takes_key else ()
    codes += ["revision-changed"] if call.matched else []
    codes += ["unauthenticated"] if call.access in ("user", "optional") else []
    asked = call.access in ("user", "optional") and not call.with_one_time_password
    codes += ["password-change-needed"] if asked else []
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(problems.KINDS[code].status, []).append(code)
    return by_status


def _links(call: Call, kind: Any, calls: Sequence[Call]) -> dict[str, Any]:
    """What can be done next with what was made: the calls below this one whose path parameters the answer tells.

    A parameter is the field of its own name; the last one may be `id`.
    """
    fields = set(kind.__struct_fields__) if _is_structure(kind) else set()
    links: dict[str, Any] = {}
    for other in calls:
        given: dict[str, str] = {}
        for name in (wanted := _IN_PATH.findall(other.path)):
            if name in fields:
                given[name] = f"$response.body#/{name}"
            elif name == wanted[-1] and "id" in fields and other.path.startswith(f"{call.path}/{{{name}}}"):
                given[name] = "$response.body#/id"
        if wanted and len(given) == len(wanted) and other.path.startswith(_family(call.path)):
            links[operation_id(other)] = {"operationId": operation_id(other), "parameters": given}
    return links


def _family(path: str) -> str:
    """The path up to its first parameter: calls below it are about the same kind of thing."""
    return path.partition("{")[0].rstrip("/")
