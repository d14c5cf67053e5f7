"""Find the seeds that show the planted defects, and pin them.

    python -m tests.controls.search NAME --seeds 200     one control: tries seeds until one shows it, and says what it showed
    python -m tests.controls.search --all --pin          all controls in worlds; writes seeds.json and the table in docs/

A seed names a world only as long as the code that draws from it stays as it is. When the product or the simulator changes, the controls
go through their whole budget and still find the defects; `--all --pin` then brings the table up to date.
"""

from __future__ import annotations

import argparse
import re
import sys
import time

from tests.controls.planted import CONTROLS
from tests.controls.registry import CAUGHT, Control, InWorld, pin
from tests.controls.table import write


def complaint(by: InWorld, seed: int, *, guarded: bool) -> str | None:
    """What a world of that seed complains of, None when it complains of nothing."""
    try:
        by.run(seed, guarded=guarded)
    except CAUGHT as error:
        return str(error) or type(error).__name__
    return None


def search(control: Control, by: InWorld, seeds: int) -> tuple[int, str] | None:
    """The first seed that shows the defect, and how; None when none does."""
    for seed in range(seeds):
        found = complaint(by, seed, guarded=False)
        if found is not None and re.search(control.says, found):
            return seed, found
        if found is not None:
            print(f"{control.name}: seed {seed} complains of something else: {found}")
    return None


def main() -> int:
    """0 when every control asked for was found within its budget."""
    parser = argparse.ArgumentParser(prog="python -m tests.controls.search", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--all", action="store_true", help="all controls that are caught in worlds")
    parser.add_argument("--seeds", type=int, help="how many seeds to try (else the budget of each control)")
    parser.add_argument(
        "--pin", action="store_true", help="write the seeds found to seeds.json and the table to docs/"
    )
    arguments = parser.parse_args()
    wanted = [control for name, control in CONTROLS.items() if (arguments.all or name in arguments.names)]
    missed = 0
    for control in wanted:
        if not isinstance(control.by, InWorld):
            if not arguments.all:
                print(f"{control.name} is not caught in worlds: {type(control.by).__name__}")
            continue
        begun = time.monotonic()
        found = search(control, control.by, arguments.seeds or control.by.budget)
        took = f"{time.monotonic() - begun:.1f} s"
        if found is None:
            missed += 1
            print(f"{control.name}: NOT FOUND ({took})")
            continue
        print(f"{control.name}: seed {found[0]}: {found[1][:140]} ({took})")
        if arguments.pin:
            pin(control.name, found[0])
    if arguments.pin:
        write()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
