"""What a node has under way that takes longer than other requests: each kind is bounded, so that chores cannot crowd out bookings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from api.problems import Refusal

MAX_REPORTS = 2  # at work at a time


@dataclass
class Chores:
    """Of one node."""

    backup: bool = False  # one is being sent
    reports: int = 0

    @contextmanager
    def report(self) -> Iterator[None]:
        """While a report is made. Raises `Refusal` when enough are."""
        if self.reports >= MAX_REPORTS:
            raise Refusal("overloaded", "Enough reports are being made on this node. Ask another, or later.")
        self.reports += 1
        try:
            yield
        finally:
            self.reports -= 1
