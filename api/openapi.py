"""The OpenAPI 3.1 document, made from the declarations of the calls and the types of their bodies.

Nothing is written twice: paths, parameters, statuses and problems come from `Call`, schemas from the structures
that really decode and encode. So the document cannot promise what the node does not do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from api import problems
from api.calls import CONSISTENCY, Call, Parameter
from api.exchange import MAX_KEY_CHARACTERS
from api.shapes import ProblemView

_IN_PATH = re.compile(r"\{(\w+)\}")
_COMMON_BODY_PROBLEMS = (
    "broken-json",
    "body-too-large",
    "unsupported-media-type",
    "invalid-body",
)


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
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call, reference_of)
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
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "headers": {
                "Deskraft-Index": {
                    "description": "The log index that the answer reflects.",
                    "schema": {"type": "integer", "minimum": 0},
                },
                "Deskraft-Digest": {
                    "description": (
                        "The digest of the state at that index, while the node remembers it; any member confirms it at "
                        "/api/v1/cluster/receipts/{index}."
                    ),
                    "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
                },
            },
        },
    }


def _is_structure(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _operation(call: Call, reference_of: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{call.method.lower()}_{call.handler.__module__.rpartition('.')[2]}_{call.handler.__name__}",
        "summary": call.summary,
        "tags": [call.handler.__module__.rpartition(".")[2]],
        "parameters": _parameters(call),
        "responses": _responses(call, reference_of),
    }
    if call.path.startswith(("/history", "/book", "/cancel")):
        operation["tags"] = ["names"]
        operation["operationId"] = f"{call.method.lower()}_{call.path.strip('/')}"
    if call.access == "user":
        operation["security"] = [{"bearer": []}]
    elif call.access == "optional":
        operation["security"] = [{}, {"bearer": []}]
    if call.body is not None:
        content = {"application/json": {"schema": reference_of[call.body]}}
        operation["requestBody"] = {"required": not call.body_optional, "content": content}
    return operation


def _parameters(call: Call) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _IN_PATH.findall(call.path)
    ]
    reads = call.method == "GET" and call.access != "node"
    parameters += [_in_query(parameter) for parameter in (*call.query, *((CONSISTENCY,) if reads else ()))]
    if call.method in ("POST", "PATCH") and call.keyed:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "Makes the call happen once; the same key and body get the same answer for 24 hours.",
                "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARACTERS},
            }
        )
    if call.access != "node":
        parameters.append(
            {
                "name": "Deskraft-Min-Index",
                "in": "header",
                "description": "Wait until the node reflects this log index.",
                "schema": {"type": "integer", "minimum": 0},
            }
        )
    return parameters


def _in_query(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _responses(call: Call, reference_of: dict[Any, Any]) -> dict[str, Any]:
    headers = {
        name: {"$ref": f"#/components/headers/{name}"} for name in ("Deskraft-Index", "Deskraft-Digest")
    }
    responses: dict[str, Any] = {}
    for status, kind in call.answers.items():
        answer: dict[str, Any] = {"description": call.summary, "headers": headers}
        if kind is not None:
            schema = reference_of.get(kind, {"type": "string"})
            answer["content"] = {call.media_type: {"schema": schema}}
            for media_type in call.other_media_types:
                answer["content"][media_type] = {"schema": {"type": "string"}}
        responses[str(status)] = answer
    codes = list(call.problems)
    codes += _COMMON_BODY_PROBLEMS if call.body is not None else ()
    codes += ["unauthenticated"] if call.access in ("user", "optional") else []
    codes += ["password-change-needed"] if call.access == "user" and not call.with_one_time_password else []
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(problems.KINDS[code].status, []).append(code)
    for status, names in sorted(by_status.items()):
        responses[str(status)] = {
            "description": "; ".join(
                f"`{problems.TYPE_PREFIX}{name}`: {problems.KINDS[name].title}" for name in names
            ),
            "headers": headers,
            "content": {problems.MEDIA_TYPE: {"schema": reference_of[ProblemView]}},
        }
    return responses
