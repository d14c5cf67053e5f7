"""JSON bodies, decoded strictly.

The good path is one pass of msgspec. Only when that fails is the body looked at again, to say whether it is broken
JSON (400) or good JSON of the wrong shape (422, with a JSON Pointer for every wrong field). Repeated keys are refused
too: two readers of such a body could understand different bookings.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from api.problems import Refusal
from api.shapes import Body

MAX_BODY_BYTES = 64 * 1024
MAX_ERRORS_SHOWN = 20

B = TypeVar("B", bound=Body)

_TAIL = re.compile(r" - at `\$?([^`]*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[([^\]]*)\]")


@lru_cache(maxsize=64)
def _decoder(kind: type[Body]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode_body(data: bytes, kind: type[B]) -> B:
    """The body as `kind`. Raises `Refusal` with 400 or 422."""
    try:
        body: B = _decoder(kind).decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _refusal(data, kind) from None
    _parse_strictly(data)  # finds repeated keys, of which msgspec silently takes the last
    return body


class _RepeatedKeyError(ValueError):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RepeatedKeyError(key)
            seen.add(key)
    return members


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_STRICT = json.JSONDecoder(object_pairs_hook=_unique_pairs, parse_constant=_refuse_constant)


def _parse_strictly(data: bytes) -> Any:
    try:
        return _STRICT.decode(data.decode("utf-8"))
    except _RepeatedKeyError as error:
        pointer = _pointer_step(error.key)
        raise Refusal("invalid-body", errors=[(pointer, "stands there more than once")]) from None
    except UnicodeDecodeError as error:
        raise Refusal("broken-json", f"Not UTF-8 at byte {error.start}.") from None
    except json.JSONDecodeError as error:
        detail = f"{error.msg} at line {error.lineno}, column {error.colno}."
        raise Refusal("broken-json", detail) from None
    except RecursionError:
        raise Refusal("broken-json", "Nested too deeply.") from None
    except ValueError as error:  # NaN, or a number of too many digits
        raise Refusal("broken-json", str(error)[:200]) from None


def _refusal(data: bytes, kind: type[Body]) -> Refusal:
    try:
        parsed = _parse_strictly(data)
    except Refusal as refusal:
        return refusal
    if not isinstance(parsed, dict):
        return Refusal("invalid-body", errors=[("", "must be an object")])
    errors: list[tuple[str, str]] = []
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name in parsed:
        if name not in fields:
            errors.append((_pointer_step(name), "is not known here"))
    for name, field in fields.items():
        if name not in parsed:
            if field.required:
                errors.append((_pointer_step(name), "is missing"))
            continue
        try:
            msgspec.convert(parsed[name], field.type)
        except (msgspec.ValidationError, RecursionError) as error:
            message = str(error)
            tail = _TAIL.search(message)
            pointer = _pointer_step(name) + (_pointer(tail[1]) if tail else "")
            errors.append((pointer, message[: tail.start()] if tail else message))
    if not errors:  # msgspec is stricter than json somewhere: a lone surrogate, for one
        return Refusal("broken-json", "A string in it is not Unicode text.")
    return Refusal("invalid-body", errors=errors[:MAX_ERRORS_SHOWN])


def _pointer(path: str) -> str:
    return "".join(_pointer_step(name or index) for name, index in _STEP.findall(path))


def _pointer_step(name: str) -> str:
    """One reference token, escaped as RFC 6901 asks, short and printable."""
    shown = name[:100].encode("utf-8", "replace").decode("utf-8")
    return "/" + shown.replace("~", "~0").replace("/", "~1")
