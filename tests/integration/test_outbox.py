"""Leaders are killed under load, and a webhook receiver hears of every booking that there is, and of no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration import telling

KILLS, BOOKINGS = 5, 240


@pytest.mark.timeout(300)
async def test_everything_committed_is_told_through_five_kills_of_the_leader(tmp_path: Path) -> None:
    verdict = await telling.run(tmp_path, KILLS, BOOKINGS, print)
    print(verdict)
    assert verdict.complaints == ()
    assert verdict.committed == verdict.received >= BOOKINGS
