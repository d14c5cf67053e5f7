"""The wall clocks of real nodes in the hand of a test: what waits for minutes in the world need not wait for them here.

Each node's Python finds `sitecustomize` in a folder of the test and adds to its wall clock what a file says. Nothing else is touched: timers
and elections go by the monotonic clock.
"""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

SITECUSTOMIZE = """
import os, time
real = time.time_ns
def shifted():
    with open(os.environ["TEST_CLOCK"]) as file:
        return real() + int(file.read())
time.time_ns = shifted
"""


class Clock:
    """The wall clocks of all members: those of the machine, and what the test adds to them."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._ahead = timedelta()
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
        self.environment = {"TEST_CLOCK": str(self._file), "PYTHONPATH": self._path(folder / "site")}
        self.jump(timedelta())

    @staticmethod
    def _path(site: Path) -> str:
        return os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))

    def now(self) -> datetime:
        """What the members' clocks show."""
        return datetime.fromtimestamp(time.time(), ZoneInfo("Europe/Moscow")) + self._ahead

    def jump(self, by: timedelta) -> None:
        """Set all clocks forward at one moment."""
        self._ahead += by
        new = self._file.with_suffix(".new")
        new.write_text(str(int(self._ahead.total_seconds() * 1e9)), encoding="utf-8")
        new.replace(self._file)

    def jump_to(self, moment: datetime) -> None:
        """Set all clocks to a later moment."""
        self.jump(moment - self.now())
