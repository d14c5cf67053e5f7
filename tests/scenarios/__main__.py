"""Play scenarios and tell what happens: `python -m tests.scenarios [--update] [--sentences] [NAME…]`.

With names, each is played with its narrative: every step, and below it the messages that arrived. Without, all are played, one line each.
`--sentences` prints the language for README.md. `--update` writes tables and logs that differ anew; look at the difference before you keep it.
"""

from __future__ import annotations

import sys

from tests.scenarios import clients, expectations, operators, steps
from tests.scenarios.scenario import FOLDER, Scenario, ScenarioError, all_scenarios, reference

__all__ = ["clients", "expectations", "operators", "steps"]


def main(arguments: list[str]) -> int:
    """The number of the end: 1 when a scenario failed."""
    if "--sentences" in arguments:
        print("\n".join(reference()))
        return 0
    update = "--update" in arguments
    names = [argument.removesuffix(".txt") for argument in arguments if not argument.startswith("-")]
    failed = 0
    for path in [FOLDER / f"{name}.txt" for name in names] or all_scenarios():
        scenario = Scenario(path)
        print(f"{path.stem}: {scenario.title}")
        try:
            scenario.play(update=update, tell=print if names else None)
        except ScenarioError as error:
            failed += 1
            print(error, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
