"""The keys `smtp`, `nats` and `outbox` of cluster.yml: how this node delivers events to the world.

All optional. Unlike the rest of cluster.yml they do not give birth to anything: each node reads them at its start, and
those of the node that leads count, so they should be the same everywhere. Passwords never stand in the file: `password_env` names the environment
variable that has one, and a node where it is not set does not start (`with_passwords`; other readers of the file need none).
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parseaddr
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from node.config_values import Mistake, Section, refuse_type, shown, take_items, take_text, take_whole
from node.couriers.addresses import AllowedHosts
from node.mail_addresses import is_address

Security = Literal["none", "starttls", "tls"]
_SECURITIES: tuple[Security, ...] = ("none", "starttls", "tls")
DEFAULT_PORTS: dict[Security, int] = {"none": 25, "starttls": 587, "tls": 465}
MAX_ALLOWED_HOSTS = 100
MAX_NATS_SERVERS = 9
MAX_NATS_REPLICAS = 5  # JetStream's own limit
MAX_DUPLICATE_MINUTES = 24 * 60  # the broker keeps the ids of that time in memory

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENV_RULE = "the name of an environment variable expected"
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?")
_HOST_RULE = "a host name or an IP address expected"
_SUBJECT = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_STREAM = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Smtp:
    """A mail server. `sender` is what stands in From; `page_url` the web page that mails link to, without a final slash ("": no links).

    `user` is empty when the server asks for no log-in; `ca_file` names the authorities that may have signed the server's certificate, "" those of
    the machine.
    """

    host: str
    port: int
    security: Security
    sender: str
    user: str = ""
    password_env: str = ""
    password: str = field(default="", repr=False)
    page_url: str = ""
    ca_file: str = ""


@dataclass(frozen=True)
class NatsTls:
    """Files of PEM for `tls://` servers: whose certificates are trusted (None: the system's), and who we are (None: nobody asks)."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True)
class Nats:
    """NATS servers with JetStream. Events go to `<prefix>.<cluster>.<type of the event without "deskraft.">` in the stream `stream`, which
    drops what comes twice within `duplicate_minutes` and is kept by `replicas` servers when it is made here.
    """

    servers: tuple[str, ...]
    stream: str = "DESKRAFT"
    prefix: str = "deskraft"
    user: str = ""
    password_env: str = ""
    password: str = field(default="", repr=False)
    duplicate_minutes: int = 60
    replicas: int = 1
    tls: NatsTls = field(default_factory=lambda: NatsTls())


@dataclass(frozen=True)
class OutboxConfig:
    """All three. `webhook_allow` are the names, addresses and networks that webhooks may lead to although they are private."""

    smtp: Smtp | None = None
    nats: Nats | None = None
    webhook_allow: tuple[str, ...] = ()


def take_outbox(top: Section, folder: Path) -> OutboxConfig:
    """Take the three keys from the top of cluster.yml; relative paths count from `folder`. Raises `Mistake`."""
    smtp = top.take_optional("smtp")
    nats = top.take_optional("nats")
    outbox = top.take_optional("outbox")
    return OutboxConfig(
        None if smtp is None else _smtp(*smtp, folder),
        None if nats is None else _nats(*nats, folder),
        () if outbox is None else _webhook_allow(*outbox),
    )


def with_passwords(config: OutboxConfig, environment: Mapping[str, str] = os.environ) -> OutboxConfig:
    """The same with its passwords. Raises `Mistake` for a variable that is not set."""

    def password(key: str, name: str) -> str:
        if name and not environment.get(name):
            raise Mistake(f"{key}.password_env", f"the environment variable {name} is not set")
        return environment[name] if name else ""

    smtp, nats = config.smtp, config.nats
    return replace(
        config,
        smtp=smtp and replace(smtp, password=password("smtp", smtp.password_env)),
        nats=nats and replace(nats, password=password("nats", nats.password_env)),
    )


def _smtp(key: str, value: object, folder: Path) -> Smtp:
    section = Section(key, value)
    host = take_text(*section.take("host"), _HOST, _HOST_RULE)
    security: Security = "starttls"
    given = section.take_optional("security")
    if given is not None:
        security = _security(*given)
    port = section.take_optional("port")
    sender_key, sender_value = section.take("from")
    sender = take_text(sender_key, sender_value)
    _refuse_sender(sender_key, sender)
    user, password_env = _log_in(section)
    page_url = _optional_text(section, "page_url", _page_url)
    ca_file = _optional_text(section, "ca_file", lambda key, text: _authorities(key, folder / text))
    section.close()
    if user and security == "none":
        raise Mistake(section.key("security"), "a password is not sent without TLS; use starttls or tls")
    port_number = DEFAULT_PORTS[security] if port is None else take_whole(*port, 1, 65535)
    return Smtp(host, port_number, security, sender, user, password_env, page_url=page_url, ca_file=ca_file)


def _refuse_sender(key: str, sender: str) -> None:
    name, address = parseaddr(sender)
    if not is_address(address) or not name.isprintable():
        raise Mistake(key, f'{shown(sender)} is no mail address; "Desk <desk@example.org>" expected')


def _authorities(key: str, path: Path) -> str:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # not there, or not PEM (ssl.SSLError is one)
        reason = error.strerror or error.args[0] if error.args else "unreadable"
        raise Mistake(key, f"no certificates can be read from {path}: {reason}") from None
    return str(path)


def _security(key: str, value: object) -> Security:
    for known in _SECURITIES:
        if value == known:
            return known
    raise Mistake(key, f"{shown(value)} is none of {', '.join(_SECURITIES)}")


def _page_url(key: str, text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise Mistake(key, f"{shown(text)} is no address of a page such as https://desk.example.org")
    return text.rstrip("/")


def _nats(key: str, value: object, folder: Path) -> Nats:
    section = Section(key, value)
    servers_key, servers_value = section.take("servers")
    servers = tuple(
        _nats_server(f"{servers_key}[{i}]", item)
        for i, item in enumerate(take_items(servers_key, servers_value))
    )
    if not 1 <= len(servers) <= MAX_NATS_SERVERS:
        raise Mistake(servers_key, f"1 to {MAX_NATS_SERVERS} servers expected, not {len(servers)}")
    rule = "letters, digits, '-', '_'"
    stream = section.take_optional("stream")
    prefix = section.take_optional("prefix")
    minutes = section.take_optional("duplicate_minutes")
    replicas = section.take_optional("replicas")
    user, password_env = _log_in(section)
    tls = _nats_tls(section, folder)
    section.close()
    plain = [server for server in servers if not server.startswith("tls://") and not _is_loopback(server)]
    if plain and (user or tls != NatsTls()):
        raise Mistake(
            servers_key, f"neither a password nor a certificate goes without TLS; use tls:// in {plain[0]}"
        )
    return Nats(
        servers,
        Nats.stream if stream is None else take_text(*stream, _STREAM, f"{rule}, 64 at most"),
        Nats.prefix if prefix is None else take_text(*prefix, _SUBJECT, f"{rule}, and dots in between"),
        user,
        password_env,
        duplicate_minutes=Nats.duplicate_minutes
        if minutes is None
        else take_whole(*minutes, 1, MAX_DUPLICATE_MINUTES),
        replicas=Nats.replicas if replicas is None else take_whole(*replicas, 1, MAX_NATS_REPLICAS),
        tls=tls,
    )


def _nats_tls(section: Section, folder: Path) -> NatsTls:
    files = {
        name: folder / take_text(*given)
        for name in ("ca_file", "cert_file", "key_file")
        if (given := section.take_optional(name)) is not None
    }
    for name, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if name in files and other not in files:
            raise Mistake(section.key(other), f"the key is missing; {name} stands beside it")
    return NatsTls(files.get("ca_file"), files.get("cert_file"), files.get("key_file"))


def _is_loopback(server: str) -> bool:
    host = urlsplit(server).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _nats_server(key: str, value: object) -> str:
    text = take_text(key, value)
    parts = urlsplit(text)
    if (
        parts.scheme not in ("nats", "tls")
        or not parts.hostname
        or parts.path
        or parts.query
        or parts.fragment
    ):
        raise Mistake(key, f"{shown(text)} is no address of a server such as nats://127.0.0.1:4222")
    if parts.username is not None or parts.password is not None:
        raise Mistake(key, "a password does not stand in the file; use user and password_env")
    return text


def _webhook_allow(key: str, value: object) -> tuple[str, ...]:
    section = Section(key, value)
    taken = section.take_optional("webhook_allow")
    section.close()
    if taken is None:
        return ()
    inner, items = taken
    allowed = tuple(_allowed(f"{inner}[{i}]", item) for i, item in enumerate(take_items(inner, items)))
    if len(allowed) > MAX_ALLOWED_HOSTS:
        raise Mistake(inner, f"at most {MAX_ALLOWED_HOSTS} expected, not {len(allowed)}")
    return allowed


def _allowed(key: str, value: object) -> str:
    """`host`, `host:port`, an address, a network: in lower case, as `AllowedHosts` takes them."""
    text = take_text(key, value).lower()
    try:
        AllowedHosts.of((text,))
    except ValueError:
        raise Mistake(
            key, f"{shown(text)} is no host name, IP address, network such as 10.0.0.0/8 or host:port"
        ) from None
    return text


def _log_in(section: Section) -> tuple[str, str]:
    """User and the name of the password's variable, both or neither."""
    user = section.take_optional("user")
    password_env = section.take_optional("password_env")
    if user is None and password_env is None:
        return "", ""
    if user is None:
        raise Mistake(section.key("user"), "the key is missing; password_env stands beside it")
    if password_env is None:
        raise Mistake(section.key("password_env"), "the key is missing; user stands beside it")
    return take_text(*user), take_text(*password_env, _ENV_NAME, _ENV_RULE)


def _optional_text(section: Section, name: str, check: Callable[[str, str], str]) -> str:
    given = section.take_optional(name)
    if given is None:
        return ""
    key, value = given
    if not isinstance(value, str):
        refuse_type(key, "a text", value)
    return check(key, take_text(key, value))
