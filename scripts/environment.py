"""The project's own `.venv`, made and kept up to date by every script. Standard library only.

The environment is installed again when `pyproject.toml` or the interpreter has changed, and only then: a
stamp in `.venv` holds a hash of both and the extras that are installed. A lock on the project's folder
keeps two scripts that start together from installing over each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "deskraft-stamp.json"


class _Stamp(NamedTuple):
    """What is installed: a hash of pyproject.toml and the interpreter, and the extras."""

    fingerprint: str
    extras: list[str]


class SetupError(Exception):
    """The environment cannot be made; the message is fit for the user."""


def become(script: str, module: str, arguments: list[str]) -> NoReturn:
    """Run a module of the project in its environment, or exit with 2 when there can be none.

    Our place is taken, rather than a child started, so that Ctrl-C reaches the module alone, which then has the time to end what it began.
    """
    try:
        ensure(frozenset({"test"}))
        sys.stdout.flush()
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        command = [str(PYTHON), "-m", module, *arguments]
        os.execve(PYTHON, command, {**os.environ, "PYTHONPATH": path})  # noqa: S606 - our own module
    except SetupError as error:
        print(f"{script}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def ensure(extras: frozenset[str] = frozenset()) -> Path:
    """Make `.venv` or bring it up to date, and return its interpreter. Raises `SetupError`."""
    with _locked(ROOT):
        wanted = _fingerprint()
        stamp = _read_stamp()
        installed = frozenset(stamp.extras)
        if stamp.fingerprint == wanted and extras <= installed:
            return PYTHON
        if not _works(PYTHON):
            say("making .venv")
            _checked(
                [sys.executable, "-m", "venv", "--clear", str(VENV)],
                "the virtual environment could not be made; on Debian and Ubuntu: apt install python3-venv",
            )
        everything = extras | installed
        target = f".[{','.join(sorted(everything))}]" if everything else "."
        say(f"installing {target} into .venv (a minute or two the first time)")
        STAMP.unlink(missing_ok=True)
        _checked(
            [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--editable", target],
            "the installation failed; pip's own words are above",
        )
        STAMP.write_text(json.dumps([wanted, *sorted(everything)]))
        return PYTHON


def ensure_program(name: str, what_for: str) -> None:
    """Install a program of Debian's package of the same name when it is missing; say so when that is not possible."""
    if shutil.which(name) is not None:
        return
    if os.geteuid() == 0 and shutil.which("apt-get") is not None:
        say(f"installing {name} by apt-get, for {what_for}")
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", name]):
            subprocess.run(["apt-get", *words], env=quiet, check=False)  # noqa: S603, S607 - the system's own; its words are shown
        if shutil.which(name) is not None:
            return
    say(f"{name} is missing, for {what_for}; on Debian and Ubuntu: sudo apt-get install {name}")


def say(text: str) -> None:
    """A line of progress."""
    print(f"» {text}", flush=True)


def _fingerprint() -> str:
    described = f"{sys.version_info[:2]} {ROOT}\n".encode() + (ROOT / "pyproject.toml").read_bytes()
    return hashlib.sha256(described).hexdigest()


def _read_stamp() -> _Stamp:
    try:
        fingerprint, *extras = json.loads(STAMP.read_text())
    except (OSError, ValueError, TypeError):  # no stamp, or half of one: install again
        return _Stamp("", [])
    return _Stamp(fingerprint, extras) if _works(PYTHON) else _Stamp("", [])


def _works(python: Path) -> bool:
    """Whether the environment is whole: an interpreter that starts and knows pip."""
    if not python.exists():
        return False
    outcome = subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True, check=False)  # noqa: S603
    return outcome.returncode == 0


def _checked(command: list[str], otherwise: str) -> None:
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:  # noqa: S603 - our own words only
        raise SetupError(otherwise)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another script that is installing")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
