"""The keys `smtp`, `nats` and `outbox` of cluster.yml: read exactly, every mistake one line that names its key."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from node.config import ConfigError, load_config
from node.config_outbox import Nats, OutboxConfig, Smtp, with_passwords
from node.config_values import Mistake
from tests.node.test_config import GOOD

FULL = (
    GOOD
    + """\
smtp:
  host: mail.example.org
  security: tls
  user: desk
  password_env: DESKRAFT_SMTP_PASSWORD
  from: "Коворкинг <desk@example.org>"
  page_url: "https://desk.example.org/"
nats:
  servers: ["nats://127.0.0.1:4222", "tls://broker.example.org:4222"]
  stream: DESKS
  prefix: town.desks
  user: desk
  password_env: DESKRAFT_NATS_PASSWORD
outbox:
  webhook_allow: [Hooks.internal, "127.0.0.1:9000", 10.0.0.0/8, "::1"]
"""
)
SMTP = Smtp(
    "mail.example.org",
    465,
    "tls",
    "Коворкинг <desk@example.org>",
    "desk",
    "DESKRAFT_SMTP_PASSWORD",
    page_url="https://desk.example.org",
)
NATS = Nats(
    ("nats://127.0.0.1:4222", "tls://broker.example.org:4222"),
    "DESKS",
    "town.desks",
    "desk",
    "DESKRAFT_NATS_PASSWORD",
)


def _outbox(folder: Path, text: str) -> OutboxConfig:
    path = folder / "cluster.yml"
    path.write_text(text, encoding="utf-8")
    return load_config(path).outbox


def test_without_the_keys_there_is_nothing(tmp_path: Path) -> None:
    """All three are optional."""
    assert _outbox(tmp_path, GOOD) == OutboxConfig(None, None, ())


def test_the_keys_are_read_exactly(tmp_path: Path) -> None:
    """Every key arrives in its place; ports follow from the security."""
    allow = ("hooks.internal", "127.0.0.1:9000", "10.0.0.0/8", "::1")
    assert _outbox(tmp_path, FULL) == OutboxConfig(SMTP, NATS, allow)
    bare = (
        GOOD
        + 'smtp: {host: localhost, security: none, from: "a@b.example"}\nnats: {servers: ["nats://h:1"]}\n'
    )
    expected = OutboxConfig(Smtp("localhost", 25, "none", "a@b.example"), Nats(("nats://h:1",)))
    assert _outbox(tmp_path, bare) == expected
    assert expected.nats is not None
    assert (expected.nats.stream, expected.nats.prefix) == ("DESKRAFT", "deskraft")


def test_authorities_of_the_mail_server_are_read_at_once(tmp_path: Path) -> None:
    """A path that is wrong is found at the start and not at the first mail; it counts from the folder of the file."""
    text = GOOD + 'smtp: {host: localhost, from: "a@b.example", ca_file: ca.pem}\n'
    with pytest.raises(
        ConfigError, match=r"smtp\.ca_file: no certificates can be read from .*ca\.pem: No such file"
    ):
        _outbox(tmp_path, text)
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match=r"smtp\.ca_file: no certificates can be read from .*ca\.pem: "):
        _outbox(tmp_path, text)
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    smtp = _outbox(tmp_path, text).smtp
    assert smtp is not None and smtp.ca_file == str(tmp_path / "ca.pem")


def test_passwords_come_from_the_environment_and_are_not_shown(tmp_path: Path) -> None:
    """A node needs them, other readers of the file do not; none of them stands in a log line."""
    config = _outbox(tmp_path, FULL)
    environment = {"DESKRAFT_SMTP_PASSWORD": "s3cret", "DESKRAFT_NATS_PASSWORD": "t0p"}
    ready = with_passwords(config, environment)
    assert ready.smtp is not None and ready.nats is not None
    assert (ready.smtp.password, ready.nats.password) == ("s3cret", "t0p")
    assert "s3cret" not in repr(ready) and "t0p" not in repr(ready)
    with pytest.raises(Mistake, match="the environment variable DESKRAFT_NATS_PASSWORD is not set") as caught:
        with_passwords(config, {"DESKRAFT_SMTP_PASSWORD": "s3cret"})
    assert caught.value.key == "nats.password_env"
    assert with_passwords(OutboxConfig(), {}) == OutboxConfig()


MISTAKES = [
    ("host: mail.example.org", "host: mail/x", "smtp.host: 'mail/x' is not allowed: a host name or"),
    ("  host: mail.example.org\n", "", "smtp.host: the key is missing"),
    ("security: tls", "security: ssl", "smtp.security: 'ssl' is none of none, starttls, tls"),
    ("security: tls", "security: none", "smtp.security: a password is not sent without TLS"),
    ("security: tls", "security: tls\n  port: 0", "smtp.port: 0 is not between 1 and 65535"),
    ("<desk@example.org>", "", "smtp.from: 'Коворкинг ' is no mail address"),
    (
        "<desk@example.org>",
        "<стол@example.org>",
        "smtp.from: 'Коворкинг <стол@example.org>' is no mail address",
    ),
    ("<desk@example.org>", "<desk@>", "smtp.from: 'Коворкинг <desk@>' is no mail address"),
    ("https://desk.example.org/", "desk.example.org", "smtp.page_url: 'desk.example.org' is no address"),
    ("  user: desk\n", "", "smtp.user: the key is missing; password_env stands beside it"),
    ("  password_env: DESKRAFT_SMTP_PASSWORD\n", "", "smtp.password_env: the key is missing; user"),
    ("DESKRAFT_SMTP_PASSWORD", "$X", "smtp.password_env: '$X' is not allowed"),
    ("page_url", "pageurl", "smtp.pageurl: unknown key; did you mean page_url?"),
    ("nats://127.0.0.1:4222", "127.0.0.1:4222", "nats.servers[0]: '127.0.0.1:4222' is no address"),
    ("nats://127", "nats://u:p@127", "nats.servers[0]: a password does not stand in the file"),
    ("stream: DESKS", "stream: a.b", "nats.stream: 'a.b' is not allowed"),
    ("prefix: town.desks", "prefix: town.>", "nats.prefix: 'town.>' is not allowed"),
    ("10.0.0.0/8", "10.0.0.1/8", "outbox.webhook_allow[2]: '10.0.0.1/8' is no host name"),
    ("Hooks.internal", "300.1.1.1", "outbox.webhook_allow[0]: '300.1.1.1' is no host name"),
    ("webhook_allow", "webhooks", "outbox.webhooks: unknown key; did you mean webhook_allow?"),
]


@pytest.mark.parametrize(("old", "new", "expected"), MISTAKES, ids=[m[2][:60] for m in MISTAKES])
def test_every_mistake_is_one_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """One change to a good file, one line back."""
    assert old in FULL
    with pytest.raises(ConfigError) as caught:
        _outbox(tmp_path, FULL.replace(old, new, 1))
    assert str(caught.value).startswith(f"cluster.yml: {expected}")
    assert "\n" not in str(caught.value)
