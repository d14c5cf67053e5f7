"""Behind `scripts/simulate`: the environment, then `tests.simulation.campaign` in it."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from environment import PYTHON, ROOT, SetupError, ensure


def main() -> NoReturn:
    """Becomes the campaign, or exits with 2 when it could not be run.

    Its place is taken, rather than a child started, so that Ctrl-C reaches the campaign alone, which then has the time to save its record.
    """
    try:
        ensure(frozenset({"test"}))
    except SetupError as error:
        print(f"scripts/simulate: {error}", file=sys.stderr)
        sys.exit(2)
    sys.stdout.flush()
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [str(PYTHON), "-m", "tests.simulation.campaign", *sys.argv[1:]]
    os.execve(PYTHON, command, {**os.environ, "PYTHONPATH": path})  # noqa: S606 - our own module


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
