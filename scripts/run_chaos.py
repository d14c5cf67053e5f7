"""Behind `scripts/chaos`: the environment, then `tests.chaos.storm` in it."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from environment import PYTHON, ROOT, SetupError, ensure


def main() -> NoReturn:
    """Becomes the storm, or exits with 2 when it could not be run.

    Its place is taken, rather than a child started, so that Ctrl-C reaches the storm alone, which then ends its processes.
    """
    try:
        ensure(frozenset({"test"}))
    except SetupError as error:
        print(f"scripts/chaos: {error}", file=sys.stderr)
        sys.exit(2)
    sys.stdout.flush()
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [str(PYTHON), "-m", "tests.chaos.storm", *sys.argv[1:]]
    os.execve(PYTHON, command, {**os.environ, "PYTHONPATH": path})  # noqa: S606 - our own module


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
