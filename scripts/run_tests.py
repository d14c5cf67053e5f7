"""Behind `scripts/test`: the environment, then every check, each under its heading, then one verdict."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

from environment import PYTHON, ROOT, VENV, SetupError, ensure, ensure_program

FRESH_SEEDS = 200
# Rooms whose tests know no clock: they take all cores. Where time counts, tests have the machine for themselves.
TIMELESS = [f"tests/{room}" for room in ("statemachine", "checking", "scenarios", "simulation", "controls")]
HELP = """\
usage: ./scripts/test [PYTEST ARGUMENT…]

Installs all that the tests need into .venv, nats-server and chromium by apt-get where that is possible, and runs every
one of them: ruff (rules and format), mypy (strict),
import-linter (the layers), pytest, and 200 fresh seeds of a simulated minute on all cores. Arguments go to pytest, for example:

  ./scripts/test tests/node -k secret

and then there is no simulation.

Exits 0 only when every check has passed."""


def main(arguments: Sequence[str]) -> int:
    """Run all checks; the number of the worst end, 0 or 1, or 2 when they could not be run."""
    if arguments and arguments[0] in ("-h", "--help"):
        print(HELP)
        return 0
    try:
        ensure(frozenset({"test"}))
        ensure_program("nats-server", "the tests of the broker")
        ensure_program("chromium", "the tests of the web page")
    except SetupError as error:
        print(f"scripts/test: {error}", file=sys.stderr)
        return 2
    binaries = VENV / "bin"
    checks = [
        ("ruff check", [str(binaries / "ruff"), "check", "."]),
        ("ruff format", [str(binaries / "ruff"), "format", "--check", "."]),
        ("mypy --strict", [str(binaries / "mypy")]),
        ("import-linter", [str(binaries / "lint-imports")]),
        ("pytest", [str(PYTHON), "-m", "pytest", *(arguments or [f"--ignore={room}" for room in TIMELESS])]),
    ]
    if not arguments:
        seeds = ["-m", "tests.simulation.campaign", "--seeds", str(FRESH_SEEDS), "--minimise"]
        spread = ["-n", "auto", "--dist", "worksteal", *TIMELESS]
        checks.append(
            ("pytest of rules and simulation, on all cores", [str(PYTHON), "-m", "pytest", *spread])
        )
        checks.append((f"simulation, {FRESH_SEEDS} fresh seeds", [str(PYTHON), *seeds]))
    verdicts = []
    for name, command in checks:
        print(f"\n=== {name} {'=' * (90 - len(name))}", flush=True)
        begun = time.monotonic()
        passed = subprocess.run(command, cwd=ROOT, check=False).returncode == 0  # noqa: S603 - pytest's own arguments
        verdicts.append((name, passed, time.monotonic() - begun))
    print(f"\n=== verdict {'=' * 83}")
    for name, passed, seconds in verdicts:
        print(f"{'passed' if passed else 'FAILED'}  {name}  ({seconds:.1f} s)")
    failed = [name for name, passed, _ in verdicts if not passed]
    print(f"FAILED: {', '.join(failed)}" if failed else "All checks passed.")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
