"""What is told of the page; apart from `page`, which needs a browser's driver."""

from __future__ import annotations

from msgspec import Struct


class PageFigures(Struct):
    """One thing that the page does, so many times: CPU of its main thread, as medians and the worst."""

    name: str
    times: int
    scripting_ms: float
    drawing_ms: float  # style, layout, paint
    longest_task_ms: float
    worst_scripting_ms: float
    worst_task_ms: float
    shown_after_ms: float | None = None  # from the answer to whoever booked until it is seen here
