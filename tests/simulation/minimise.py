"""The smallest part of a plan of faults that still breaks the promise: delta debugging.

`ddmin` of Zeller and Hildebrandt ("Simplifying and Isolating Failure-Inducing Input", 2002): try halves and what is left without them, then
quarters, and so on, and keep whatever still fails *in the same manner* (`runs.kind_of`). The result is 1-minimal: no single fault can be left out
of it. Every source of chance has its own stream, so leaving out a fault moves nobody else's dice, though the course of things may of course differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Protocol

from tests.simulation.runs import Job, Result


class RunMany(Protocol):
    """Runs jobs side by side and gives their results in order."""

    def __call__(self, jobs: Sequence[Job], /) -> Iterable[Result]: ...


class Minimiser:
    """Shrinks the plan of one run that failed."""

    def __init__(
        self, failed: Result, run_many: RunMany, side_by_side: int, say: Callable[[str], None]
    ) -> None:
        self._failed = failed
        self._run_many = run_many
        self._side_by_side = side_by_side
        self._say = say
        self._smallest = failed
        self.runs = 0
        self._known: set[frozenset[int]] = set()  # parts that do not fail

    def _first_failing(self, parts: list[list[int]]) -> list[int] | None:
        """The first part that fails in the same manner."""
        untried = [part for part in parts if frozenset(part) not in self._known]
        for start in range(0, len(untried), self._side_by_side):
            some = untried[start : start + self._side_by_side]
            results = list(self._run_many([self._failed.job.with_only(part) for part in some]))
            self.runs += len(results)
            for part, result in zip(some, results, strict=True):
                if result.kind == self._failed.kind:
                    self._smallest = result
                    self._say(f"{len(part)} faults are enough ({self.runs} runs): {_listed(part)}")
                    return part
                self._known.add(frozenset(part))
        return None

    def minimise(self, numbers: list[int]) -> Result:
        """The result of the run with the fewest faults that was found; `job.only` names them."""
        self._say(f"{len(numbers)} faults happened before the violation: leaving out what it does not need")
        if self._first_failing([[]]) is not None:
            return self._smallest
        granularity = 2
        if (kept := self._first_failing([numbers])) is None:
            return (
                self._failed
            )  # only what happens after them makes it fail: cannot be, since nothing of it had happened
        while len(kept) >= 2:
            parts = _split(kept, granularity)
            rests = [[number for number in kept if number not in set(part)] for part in parts]
            found = self._first_failing(parts if granularity == 2 else [*parts, *rests])
            if found is not None:
                granularity = 2 if len(found) <= len(kept) // granularity + 1 else max(granularity - 1, 2)
                kept = found
            elif granularity >= len(kept):
                break
            else:
                granularity = min(2 * granularity, len(kept))
                self._say(f"{len(kept)} faults, in {granularity} parts ({self.runs} runs)")
        return self._smallest


def _split(numbers: list[int], parts: int) -> list[list[int]]:
    """In `parts` parts of about the same size."""
    edges = [len(numbers) * part // parts for part in range(parts + 1)]
    return [numbers[start:end] for start, end in pairwise(edges)]


def _listed(part: list[int]) -> str:
    return ",".join(map(str, part)) or "none"
