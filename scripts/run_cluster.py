"""Behind `scripts/run`: makes the environment, then hands over to `launch.py` inside it.

Standard library only.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from environment import ROOT, SetupError, ensure

EXAMPLES = """\
examples:
  ./scripts/run              three nodes; a second run keeps the data
  ./scripts/run --fresh      the same, from nothing
  ./scripts/run --nodes 5    five nodes (over the data of three this is refused)

Ctrl-C stops all nodes. The administrator's password is taken from DESKRAFT_ADMIN_PASSWORD (the name is set in
cluster.yml), or made and printed at the first start."""


def main() -> NoReturn:
    """Parse, install, and become the launcher."""
    parser = argparse.ArgumentParser(
        prog="./scripts/run",
        description="Install Deskraft into .venv, start the nodes of cluster.yml on this machine, and wait.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--nodes", type=int, choices=(3, 5), help="how many nodes (default: those of cluster.yml)"
    )
    parser.add_argument("--fresh", action="store_true", help="start over: remove the data of the nodes first")
    parser.add_argument("--config", type=Path, default=ROOT / "cluster.yml", help="default: %(default)s")
    chosen = parser.parse_args()
    try:
        python = ensure()
    except SetupError as error:
        print(f"scripts/run: {error}", file=sys.stderr)
        sys.exit(2)
    arguments = ["--config", str(chosen.config.absolute())]
    arguments += ["--fresh"] if chosen.fresh else []
    arguments += ["--nodes", str(chosen.nodes)] if chosen.nodes else []
    launcher = str(Path(__file__).with_name("launch.py"))
    os.execv(python, [str(python), launcher, *arguments])  # noqa: S606 - the interpreter that was just made


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
