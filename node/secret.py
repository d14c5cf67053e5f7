"""The secret that the members of a cluster share, and the keys made from it.

One file, mode 0600, one secret a line (`#` begins a comment line). The **first line is active**: it signs.
**Every line is accepted**: it verifies. So a secret is rotated without a pause: add the new line *below* on
every member, then move it to the top on every member, then take the old one away, restarting one member
after the other in each step.

No key of one purpose can stand in for another: each is HKDF-SHA256 (RFC 5869) of the line with the purpose
as `info`. A line is named by its `kid`, which is derived in the same way and so tells nothing about the
line itself.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

MIN_LINE_CHARACTERS = 32
MAX_LINES = 16
MAX_FILE_BYTES = 64 * 1024
DERIVED_BYTES = 32
CREATED_RANDOM_BYTES = 48

_SALT = b"deskraft secret v1"
_KID_PURPOSE = b"kid"
_KID_BYTES = 6


class SecretError(Exception):
    """The secret cannot be used; the message is one line and never holds any part of the secret."""


class Secret:
    """Key material of the cluster. Made by `load` or `create`; its representation shows key ids only."""

    __slots__ = ("_extracted", "active_kid", "kids")

    def __init__(self, lines: Sequence[str]) -> None:
        """Take the lines themselves, the active one first. Raises `SecretError`."""
        if not lines:
            raise SecretError("no secret in it")
        if len(lines) > MAX_LINES:
            raise SecretError(f"{len(lines)} secrets in it; at most {MAX_LINES}")
        extracted: dict[str, bytes] = {}
        for number, line in enumerate(lines, start=1):
            if len(line) < MIN_LINE_CHARACTERS:
                raise SecretError(f"secret {number} is shorter than {MIN_LINE_CHARACTERS} characters")
            pseudorandom_key = hmac.digest(_SALT, line.encode("utf-8"), "sha256")
            kid = _expand(pseudorandom_key, _KID_PURPOSE)[:_KID_BYTES].hex()
            if kid in extracted:
                raise SecretError(f"secret {number} is there twice")
            extracted[kid] = pseudorandom_key
        self._extracted = extracted
        self.kids: tuple[str, ...] = tuple(extracted)
        self.active_kid: str = self.kids[0]

    @classmethod
    def load(cls, path: Path) -> Secret:
        """Read the file. Raises `SecretError`: missing, open to others, or no usable secret in it."""
        try:
            text = _read_private(path).decode("utf-8")
            lines = [line.strip() for line in text.splitlines()]
            return cls([line for line in lines if line and not line.startswith("#")])
        except UnicodeDecodeError:
            raise SecretError(f"secret file {path}: not UTF-8 text") from None
        except SecretError as error:
            raise SecretError(f"secret file {path}: {error}") from None

    @classmethod
    def create(cls, path: Path) -> Secret:
        """Make a file with one random secret, mode 0600, whole or not at all; never over another."""
        line = secrets.token_urlsafe(CREATED_RANDOM_BYTES)
        made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                _write_private(made, f"{line}\n".encode())
                os.link(made, path)  # unlike a rename, a link refuses to replace
            finally:
                made.unlink(missing_ok=True)
            _sync_folder(path.parent)
        except FileExistsError:
            raise SecretError(f"secret file {path}: it is there already") from None
        except OSError as error:
            raise SecretError(f"secret file {path}: cannot be made: {error.strerror}") from None
        return cls([line])

    def derive(self, purpose: bytes, kid: str | None = None) -> bytes:
        """32 bytes of key for one purpose, from the active line or from the line named `kid`.

        HKDF-SHA256, RFC 5869, with `purpose` as info. Raises KeyError for a `kid` that is not in `kids`.
        """
        assert purpose not in (b"", _KID_PURPOSE), "a key needs a purpose, and the kid is public"
        return _expand(self._extracted[self.active_kid if kid is None else kid], purpose)

    def __repr__(self) -> str:
        return f"Secret(kids={self.kids!r})"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not for serializing")


def _expand(pseudorandom_key: bytes, info: bytes) -> bytes:
    """HKDF-Expand of RFC 5869, section 2.3, for its first block, which is all of the 32 bytes needed here."""
    assert hashlib.sha256().digest_size == DERIVED_BYTES
    return hmac.digest(pseudorandom_key, info + b"\x01", "sha256")


def _read_private(path: Path) -> bytes:
    """Contents of a file that nobody else may read. The open file is checked, so none can slip in between."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        raise SecretError("it is missing" if missing else f"cannot be read: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SecretError("it is not a file")
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o177:
            raise SecretError(f"permissions {mode:04o} are wider than 0600; run: chmod 600 {path}")
        if status.st_size > MAX_FILE_BYTES:
            raise SecretError(f"larger than {MAX_FILE_BYTES} bytes")
        return os.read(descriptor, MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
