"""Where the command line keeps its log-ins: one private file in the user's own configuration folder.

A log-in belongs to the servers it was made on: its tokens are never sent to others, so that `--server` may
be pointed anywhere. Logging out ends the session and leaves the *device token*, which opens nothing: with
it the next log-in is not kept waiting by strangers who guess at one's password (`Session.device_token`).

The file is replaced as a whole (written beside it, synced, renamed), mode 0600 from its first byte.
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
MAX_DEVICES = 20  # of one cluster: people who share an account of the machine


class Login(Struct, frozen=True):
    """A session, or None after logging out, the servers that it is for, and the device tokens of who logged in on them."""

    servers: list[str]
    session: Session | None
    devices: dict[str, str] = {}


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
        return next((login.session for login in self._of(servers) if login.session is not None), None)

    def devices(self, servers: Iterable[str]) -> dict[str, str]:
        """The device tokens of those who have logged in on any of these servers, by login."""
        return _devices(self._of(servers))

    def keep(self, servers: Iterable[str], session: Session | None) -> None:
        """Put a log-in in the place of those that share a server with it; None: nobody is logged in there now."""
        urls = list(dict.fromkeys(servers))
        devices = _devices(self._of(urls))
        if session is not None and session.device_token:
            devices.pop(session.login, None)
            devices[session.login] = session.device_token  # the newest at the end
        self._put(urls, session, dict(list(devices.items())[-MAX_DEVICES:]))

    def forget_device(self, servers: Iterable[str], login: str) -> None:
        """Leave no trace of that login."""
        urls = list(dict.fromkeys(servers))
        devices = _devices(self._of(urls))
        devices.pop(login, None)
        session = self.find(urls)
        self._put(urls, session if session is not None and session.login != login else None, devices)

    def _of(self, servers: Iterable[str]) -> list[Login]:
        wanted = set(servers)
        return [login for login in self._load() if wanted & set(login.servers)]

    def _put(self, urls: list[str], session: Session | None, devices: dict[str, str]) -> None:
        others = [login for login in self._load() if not set(urls) & set(login.servers)]
        fresh = [Login(urls, session, devices)] if session is not None or devices else []
        self._save([*fresh, *others][:MAX_LOGINS])

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


def _devices(logins: Iterable[Login]) -> dict[str, str]:
    """All their device tokens; the first list is the latest, so it has the last word."""
    found: dict[str, str] = {}
    for login in reversed(list(logins)):
        if login.session is not None and login.session.device_token:
            found[login.session.login] = login.session.device_token  # of a file from before `devices`
        found |= login.devices
    return found
