"""Where the command line keeps its log-ins: one private file in the user's own configuration folder.

A log-in belongs to the servers it was made on: its tokens are never sent to others, so that `--server` may
be pointed anywhere. The file is replaced as a whole (written beside it, synced, renamed), mode 0600 from
its first byte.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from client.answers import Session

FILE_NAME = "session.json"
MAX_LOGINS = 20  # the oldest ones fall out


class Login(Struct, frozen=True):
    """A session and the servers that it is for."""

    servers: list[str]
    session: Session


class _File(Struct, frozen=True):
    version: int
    logins: list[Login]


class LoginsError(Exception):
    """The file cannot be read or written; the message is one line."""


def default_path() -> Path:
    """`$XDG_CONFIG_HOME/deskraft/session.json`, or the same in the platform's usual place."""
    base = os.environ.get("XDG_CONFIG_HOME")
    folder = Path(base) / "deskraft" if base else Path(click.get_app_dir("deskraft"))
    return folder / FILE_NAME


class Logins:
    """The log-ins kept in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, servers: Iterable[str]) -> Session | None:
        """The latest log-in made on any of these servers."""
        wanted = set(servers)
        return next((login.session for login in self._load() if wanted & set(login.servers)), None)

    def keep(self, servers: Iterable[str], session: Session | None) -> None:
        """Put a log-in in the place of those that share a server with it; None only takes them away."""
        urls = list(dict.fromkeys(servers))
        others = [login for login in self._load() if not set(urls) & set(login.servers)]
        logins = others if session is None else [Login(urls, session), *others]
        self._save(logins[:MAX_LOGINS])

    def _load(self) -> list[Login]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LoginsError(f"{self._path}: cannot be read: {error.strerror}") from None
        try:
            return msgspec.json.decode(data, type=_File).logins
        except msgspec.DecodeError:
            raise LoginsError(f"{self._path}: damaged; delete it and log in again") from None

    def _save(self, logins: list[Login]) -> None:
        folder = self._path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, name = tempfile.mkstemp(prefix=f".{FILE_NAME}.", dir=folder)  # made with mode 0600
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(msgspec.json.encode(_File(1, logins)))
                    file.flush()
                    os.fsync(descriptor)
                Path(name).replace(self._path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise LoginsError(f"{self._path}: cannot be written: {error.strerror}") from None
