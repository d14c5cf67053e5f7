"""The shared secret: read only when it is private and long enough, rotated by lines, never shown."""

from __future__ import annotations

import hmac
import os
import pickle
import stat
from pathlib import Path

import pytest

from node.secret import Secret, SecretError

OLD = "old-" + "0" * 40
NEW = "new-" + "1" * 40


def _file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_a_created_secret_is_private_random_and_loads_again(tmp_path: Path) -> None:
    """What one member makes, another reads to the same keys."""
    path = tmp_path / "data" / "secret"
    made = Secret.create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]
    loaded = Secret.load(path)
    assert loaded.kids == made.kids
    assert loaded.derive(b"peers") == made.derive(b"peers")
    other = Secret.create(tmp_path / "other")
    assert other.derive(b"peers") != made.derive(b"peers")


def test_create_never_replaces(tmp_path: Path) -> None:
    """A second create leaves the first one's file as it was."""
    path = tmp_path / "secret"
    Secret.create(path)
    before = path.read_bytes()
    with pytest.raises(SecretError, match="it is there already"):
        Secret.create(path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_the_first_line_is_active_and_every_line_is_accepted(tmp_path: Path) -> None:
    """Rotation: a key of the old line is found under its kid after the new line has moved to the top."""
    before = Secret.load(_file(tmp_path, f"{OLD}\n"))
    during = Secret.load(_file(tmp_path, f"# rotated in autumn\n\n{NEW}\n  {OLD}  \n"))
    assert len(during.kids) == 2
    assert during.active_kid == during.kids[0] != before.active_kid
    assert during.derive(b"tokens", before.active_kid) == before.derive(b"tokens")
    assert during.derive(b"tokens") == Secret([NEW]).derive(b"tokens")
    with pytest.raises(KeyError):
        before.derive(b"tokens", during.active_kid)


def test_keys_are_hkdf_sha256_of_rfc_5869() -> None:
    """Checked against the two steps of the RFC written out, and different for every purpose."""
    secret = Secret([OLD])
    extracted = hmac.digest(b"deskraft secret v1", OLD.encode(), "sha256")
    assert secret.derive(b"tokens") == hmac.digest(extracted, b"tokens\x01", "sha256")
    assert len(secret.derive(b"tokens")) == 32
    assert len({secret.derive(b"tokens"), secret.derive(b"peers"), secret.derive(b"refresh")}) == 3
    for purpose in (b"", b"kid"):
        with pytest.raises(AssertionError):
            secret.derive(purpose)


def test_nothing_of_it_is_shown() -> None:
    """Neither printing nor pickling lets a line or a key out."""
    secret = Secret([OLD, NEW])
    for text in (repr(secret), str(secret), f"{secret}"):
        assert OLD not in text
        assert NEW not in text
        assert secret.derive(b"tokens").hex() not in text
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no secret in it"),
        ("# only a comment\n\n", "no secret in it"),
        ("x" * 31, "secret 1 is shorter than 32 characters"),
        (f"{OLD}\nshort\n", "secret 2 is shorter than 32 characters"),
        (f"{OLD}\n{OLD}\n", "secret 2 is there twice"),
        ("\n".join(f"{i:032}" for i in range(17)), "17 secrets in it; at most 16"),
        ("x" * 70_000, "larger than 65536 bytes"),
    ],
)
def test_an_unusable_secret_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    """The message names the file and the reason, and holds nothing of the contents."""
    path = _file(tmp_path, text)
    with pytest.raises(SecretError) as caught:
        Secret.load(path)
    assert str(caught.value) == f"secret file {path}: {expected}"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o660, 0o700])
def test_a_secret_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """Wider than 0600 is refused with the command that mends it; narrower is welcome."""
    path = _file(tmp_path, OLD, mode)
    with pytest.raises(SecretError, match=f"permissions {mode:04o} are wider than 0600; run: chmod 600"):
        Secret.load(path)
    path.chmod(0o400)
    assert Secret.load(path).kids == Secret([OLD]).kids


def test_a_missing_file_a_folder_and_a_pipe(tmp_path: Path) -> None:
    """What is not a file is refused at once; a pipe does not make the node wait."""
    with pytest.raises(SecretError, match="it is missing"):
        Secret.load(tmp_path / "absent")
    with pytest.raises(SecretError, match="it is not a file"):
        Secret.load(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(SecretError, match="it is not a file"):
        Secret.load(tmp_path / "pipe")
    (tmp_path / "binary").write_bytes(b"\xff" * 40)
    (tmp_path / "binary").chmod(0o600)
    with pytest.raises(SecretError, match="not UTF-8 text"):
        Secret.load(tmp_path / "binary")
