"""Behind `scripts/conformance`: the environment, then `tests.integration.conformance` in it."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from environment import PYTHON, ROOT, SetupError, ensure


def main() -> NoReturn:
    """Becomes the campaign, or exits with 2 when it could not be run."""
    try:
        ensure(frozenset({"test"}))
    except SetupError as error:
        print(f"scripts/conformance: {error}", file=sys.stderr)
        sys.exit(2)
    sys.stdout.flush()
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [str(PYTHON), "-m", "tests.integration.conformance", *sys.argv[1:]]
    os.execve(PYTHON, command, {**os.environ, "PYTHONPATH": path})  # noqa: S606 - our own module


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
