"""A history as lines of JSON, so that it can be judged again. Each line is one operation of `tests.checking.history`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.checking.history import Answer, Ask, Book, Cancel, Listed, Operation, ReadSeat, ReadUser

_ASKS: dict[str, type[Book | Cancel | ReadSeat | ReadUser]] = {
    kind.__name__: kind for kind in (Book, Cancel, ReadSeat, ReadUser)
}


def write(path: Path, operations: Iterable[Operation]) -> None:
    """All of them, in the order in which they were asked."""
    with path.open("w", encoding="utf-8") as out:
        for operation in operations:
            out.write(json.dumps(_row(operation), ensure_ascii=False) + "\n")


def read(path: Path) -> list[Operation]:
    """What `write` wrote."""
    with path.open(encoding="utf-8") as lines:
        return [_operation(json.loads(line)) for line in lines]


def _row(operation: Operation) -> dict[str, Any]:
    answer: Any = operation.answer
    if isinstance(answer, frozenset):
        answer = sorted(answer)
    return {
        "number": operation.number,
        "process": operation.process,
        "invoked": operation.invoked,
        "returned": None if math.isinf(operation.returned) else operation.returned,
        "ask": [type(operation.ask).__name__, *operation.ask],
        "answer": str(answer)
        if isinstance(answer, int)
        else answer,  # bitmaps are larger than JSON's numbers
        "bits": isinstance(answer, int),
        "level": operation.level,
        "floor": operation.floor,
        "index": operation.index,
        "position": operation.position,
    }


def _operation(row: dict[str, Any]) -> Operation:
    name, *fields = row["ask"]
    ask: Ask = _ASKS[name](*fields)
    answer: Answer | None = row["answer"]
    if row["bits"]:
        answer = int(row["answer"])
    elif isinstance(row["answer"], list):
        answer = frozenset(Listed(*entry) for entry in row["answer"])
    return Operation(
        row["number"],
        row["process"],
        row["invoked"],
        math.inf if row["returned"] is None else row["returned"],
        ask,
        answer,
        row["level"],
        row["floor"],
        row["index"],
        row["position"],
    )
