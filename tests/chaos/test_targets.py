"""What `./scripts/chaos --targets` makes of its samples."""

from __future__ import annotations

from typing import Any

from tests.chaos.targets import spread_ms, table


def _result(members: int, median_ms: float) -> dict[str, Any]:
    seen = {"count": 50, "median_ms": median_ms, "p90_ms": 150.2, "p99_ms": 170.0, "max_ms": 180.4}
    row = {
        "seen": {"first write": seen},
        "rates_per_second": {},
        "library_failed": 0,
        "library_calls": 1200,
        "met": True,
    }
    return {"members": members, "rows": {"kill": row}}


def test_a_spread_is_in_milliseconds() -> None:
    """The 90th of a hundred is one that was seen; a single sample is all of them."""
    assert spread_ms([0.001 * number for number in range(1, 101)]) == {
        "count": 100,
        "median_ms": 50.5,
        "p90_ms": 91.0,
        "p99_ms": 100.0,
        "max_ms": 100.0,
    }
    assert spread_ms([0.25])["p90_ms"] == 250.0


def test_clusters_of_different_sizes_stand_side_by_side() -> None:
    """A row for each thing that was seen, with what is to be reached, and whether it was."""
    lines = table([_result(3, 81.4), _result(5, 151.0)]).splitlines()
    assert lines[0] == "| What | To reach | 3 voters | 5 voters |"
    assert lines[2:] == [
        "| SIGKILL of the leader: first write | ≤ 150 / – / 500 | 81 / 150 / 180 (50 times) | **missed:** 151 / 150 / 180 (50 times) |"
    ]
