"""Behind `scripts/test`: the environment, then every check, each under its heading, then one verdict."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

from environment import PYTHON, ROOT, VENV, SetupError, ensure, ensure_program

FRESH_SEEDS = 200
SHOW_EVERY_SECONDS = 0.5
# Tests that know no clock, or only bounds that are far away: they take all cores. Where time counts, tests have the machine for themselves.
_ROOMS = ("statemachine", "checking", "scenarios", "simulation", "controls", "api", "node", "docs")
TIMELESS = [*(f"tests/{room}" for room in _ROOMS), "tests/chaos/test_sabotage.py"]
HELP = """\
usage: ./scripts/test [PYTEST ARGUMENT…]

Installs all that the tests need into .venv, nats-server, chromium, faketime and strace by apt-get where that is possible,
and runs every one of them: ruff (rules and format), mypy (strict),
import-linter (the layers), pytest, and 200 fresh seeds of a simulated minute, which take what the others leave of the cores and are shown when
they are done. Arguments go to pytest, for example:

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
        ensure_program("faketime", "storms with wrong clocks")
        ensure_program("strace", "storms with failing disks")
    except SetupError as error:
        print(f"scripts/test: {error}", file=sys.stderr)
        return 2
    binaries = VENV / "bin"
    checks = [
        ("ruff check", [str(binaries / "ruff"), "check", "."]),
        ("ruff format", [str(binaries / "ruff"), "format", "--check", "."]),
        ("mypy --strict", [str(binaries / "mypy")]),
        ("import-linter", [str(binaries / "lint-imports")]),
        ("pytest", [str(PYTHON), "-m", "pytest", *(arguments or [f"--ignore={path}" for path in TIMELESS])]),
    ]
    if not arguments:
        spread = ["-n", "auto", "--dist", "worksteal", *TIMELESS]
        checks.append(("pytest of what knows no clock, on all cores", [str(PYTHON), "-m", "pytest", *spread]))
    verdicts = []
    with _fresh_seeds() if not arguments else nullcontext() as seeds:
        for name, command in checks:
            _head(name)
            begun = time.monotonic()
            passed = subprocess.run(command, cwd=ROOT, check=False).returncode == 0  # noqa: S603 - pytest's own arguments
            verdicts.append((name, passed, time.monotonic() - begun))
        if seeds is not None:
            name = f"simulation, {FRESH_SEEDS} fresh seeds"
            _head(name)
            begun = time.monotonic()
            passed = seeds.shown_to_the_end()
            verdicts.append((name, passed, time.monotonic() - begun))
    _head("verdict")
    for name, passed, seconds in verdicts:
        print(f"{'passed' if passed else 'FAILED'}  {name}  ({seconds:.1f} s)")
    failed = [name for name, passed, _ in verdicts if not passed]
    print(f"FAILED: {', '.join(failed)}" if failed else "All checks passed.")
    return 1 if failed else 0


def _head(name: str) -> None:
    print(f"\n=== {name} {'=' * (90 - len(name))}", flush=True)


class _Seeds:
    """The simulation, which knows no clock: it runs beside everything else, on what the others leave of the cores."""

    def __init__(self, output: IO[str]) -> None:
        self._output = output
        command = [str(PYTHON), "-m", "tests.simulation.campaign", "--seeds", str(FRESH_SEEDS), "--minimise"]
        self.process = subprocess.Popen(  # noqa: S603 - our own module
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        if hasattr(os, "SCHED_IDLE"):  # Linux; its own processes inherit this. Elsewhere it shares the cores
            os.sched_setscheduler(self.process.pid, os.SCHED_IDLE, os.sched_param(0))
            # Idle counts within one session; between sessions, such as those of the nodes, their groups are weighed (sched(7)).
            with suppress(OSError):  # no such groups, or a /proc that is read only: then it shares
                Path(f"/proc/{self.process.pid}/autogroup").write_text("19", encoding="ascii")

    def shown_to_the_end(self) -> bool:
        """Show what it says until it ends; whether nothing was violated."""
        with open(self._output.name, encoding="utf-8") as shown:
            while self.process.poll() is None:
                sys.stdout.write(shown.read())
                sys.stdout.flush()
                time.sleep(SHOW_EVERY_SECONDS)
            sys.stdout.write(shown.read())
        return self.process.returncode == 0


@contextmanager
def _fresh_seeds() -> Iterator[_Seeds]:
    with tempfile.NamedTemporaryFile("w", prefix="deskraft-seeds-", encoding="utf-8") as output:
        seeds = _Seeds(output)
        try:
            yield seeds
        finally:
            if seeds.process.poll() is None:
                seeds.process.send_signal(signal.SIGINT)
                seeds.process.wait()


if __name__ == "__main__":
    # Who starts this in the background may have told it to ignore Ctrl-C; tests send that signal to their own processes, which inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
