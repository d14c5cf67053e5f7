"""Behind `scripts/simulate`: the environment, then `tests.simulation.campaign` in it."""

from __future__ import annotations

import subprocess
import sys

from environment import PYTHON, ROOT, SetupError, ensure


def main() -> int:
    """Exit status of the campaign, or 2 when it could not be run."""
    try:
        ensure(frozenset({"test"}))
    except SetupError as error:
        print(f"scripts/simulate: {error}", file=sys.stderr)
        return 2
    command = [str(PYTHON), "-m", "tests.simulation.campaign", *sys.argv[1:]]
    return subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603 - our own module


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
