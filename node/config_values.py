"""How a hand-written YAML file is taken apart strictly: the tools behind `config.py`.

The text is composed into YAML nodes first, where repeated keys are still visible, then constructed by the
safe constructor. A `Section` hands its keys out one by one and, when closed, refuses whatever nobody asked
for. Every mistake is one bounded line under the full name of its key, such as `nodes.n2.api`.
"""

from __future__ import annotations

import difflib
import re
import reprlib
from pathlib import Path
from typing import Any, NoReturn

import yaml

MAX_FILE_BYTES = 1024 * 1024
MAX_TEXT_CHARACTERS = 100


class Mistake(Exception):  # noqa: N818 - `load_config` turns it into its ConfigError
    """What is wrong, and under which key ("" for the whole file)."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(key, text)
        self.key = key
        self.text = text


def read_document(path: Path) -> object:
    """The YAML document as plain values. Repeated keys are refused, which `yaml.safe_load` would let pass."""
    loader: yaml.SafeLoader | None = None
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise Mistake("", f"larger than {MAX_FILE_BYTES} bytes")
        loader = yaml.SafeLoader(data.decode("utf-8"))
        root = loader.get_single_node()
        if root is None:
            raise Mistake("", "the file is empty")
        _refuse_repeated_keys(root, "", set())
        return loader.construct_document(root)
    except OSError as error:
        raise Mistake("", f"cannot be read: {error.strerror}: {path}") from None
    except UnicodeDecodeError as error:
        raise Mistake("", f"not UTF-8 (byte {error.start})") from None
    except yaml.YAMLError as error:
        raise Mistake("", _yaml_mistake(error)) from None
    except (
        ValueError,
        RecursionError,
    ) as error:  # a date such as 2026-13-45; a file made of ten thousand brackets
        raise Mistake("", f"not readable as YAML: {_one_line(str(error))}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _yaml_mistake(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"not readable as YAML: {_one_line(str(error))}"
    mark = error.problem_mark or error.context_mark
    where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
    return f"{where}not readable as YAML: {_one_line(error.problem or error.context or 'syntax error')}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _refuse_repeated_keys(node: yaml.Node, key: str, seen: set[int]) -> None:
    if id(node) in seen:  # an alias; it was looked at where its anchor stands
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            _refuse_repeated_keys(item, f"{key}[{position}]", seen)
    elif isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for name_node, value_node in node.value:
            name = str(name_node.value) if isinstance(name_node, yaml.ScalarNode) else "?"
            inner = f"{key}.{name}" if key else name
            if name in names:
                raise Mistake(inner, f"the key is given twice (line {name_node.start_mark.line + 1})")
            names.add(name)
            _refuse_repeated_keys(value_node, inner, seen)


def shown(value: object) -> str:
    """A bounded, one-line picture of a value (aliases can make a small file huge when printed)."""
    return _one_line(reprlib.repr(value))


def refuse_type(key: str, expected: str, value: object) -> NoReturn:
    """Say what was expected and what was found; quotes cure most of it."""
    if value is None:
        raise Mistake(key, f"{expected} expected, but it is empty")
    kind = {dict: "a mapping", list: "a list", str: "a text", bool: "true or false", int: "a number"}.get(
        type(value)
    )
    hint = (
        "; write it in quotes" if expected.startswith("a text") and not isinstance(value, dict | list) else ""
    )
    raise Mistake(key, f"{expected} expected, not {kind or type(value).__name__} ({shown(value)}){hint}")


def take_text(key: str, value: object, pattern: re.Pattern[str] | None = None, rule: str = "") -> str:
    """A short printable text, whole in `pattern` when one is given; `rule` says the pattern in words."""
    if not isinstance(value, str):
        refuse_type(key, "a text", value)
    if not value.strip() or len(value) > MAX_TEXT_CHARACTERS or not value.isprintable():
        raise Mistake(key, f"1 to {MAX_TEXT_CHARACTERS} printable characters expected, not {shown(value)}")
    if pattern is not None and pattern.fullmatch(value) is None:
        raise Mistake(key, f"{shown(value)} is not allowed: {rule}")
    return value


def take_whole(key: str, value: object, low: int, high: int) -> int:
    """A whole number in a range (`true` is none)."""
    if not isinstance(value, int) or isinstance(value, bool):
        refuse_type(key, "a whole number", value)
    if not low <= value <= high:
        raise Mistake(key, f"{shown(value)} is not between {low} and {high}")
    return value


def take_items(key: str, value: object) -> list[object]:
    """A list."""
    if not isinstance(value, list):
        refuse_type(key, "a list", value)
    return value


class Section:
    """A mapping being taken apart. `close` refuses what nobody asked for."""

    def __init__(self, key: str, value: object) -> None:
        if not isinstance(value, dict):
            refuse_type(key, "a mapping", value)
        for name in value:
            if not isinstance(name, str):
                raise Mistake(key, f"the key {shown(name)} is not a text; write it in quotes")
        self._key = key
        self._left: dict[str, Any] = dict(value)
        self._known: list[str] = []

    def key(self, name: str) -> str:
        """Full name of a key of this mapping, as the operator would look for it."""
        return f"{self._key}.{name}" if self._key else name

    def take(self, name: str) -> tuple[str, object]:
        """Full name and value of a required key."""
        self._known.append(name)
        if name not in self._left:
            self._refuse_unknown_like(name)
            raise Mistake(self.key(name), "the key is missing")
        return self.key(name), self._left.pop(name)

    def take_optional(self, name: str) -> tuple[str, object] | None:
        """Like `take`; None when the key is absent."""
        self._known.append(name)
        return (self.key(name), self._left.pop(name)) if name in self._left else None

    def close(self) -> None:
        """Refuse the first key that is left."""
        for name in self._left:
            close = difflib.get_close_matches(name, self._known, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; known here: {', '.join(self._known)}"
            raise Mistake(self.key(_one_line(name)[:MAX_TEXT_CHARACTERS]), f"unknown key{hint}")

    def _refuse_unknown_like(self, missing: str) -> None:
        """A mistyped key is both unknown and missing; the first of the two tells more."""
        for name in difflib.get_close_matches(missing, self._left, n=1):
            raise Mistake(self.key(_one_line(name)), f"unknown key; did you mean {missing}?")
