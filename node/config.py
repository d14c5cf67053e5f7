"""`cluster.yml`, read strictly: what gives a cluster its birth. And what a member that joins later has instead of it.

Why strict: a mistyped key that is silently ignored becomes a cluster with a default that nobody chose, and it
is found on the day of a failure. So every key is known, every value has one type and a range, and the first
mistake is one line that names the key: `cluster.yml: nodes.n2.api: duplicate address 127.0.0.1:8001`.

A member that joins a living cluster has no cluster.yml: its `Config` is made by `joining_config` from the cluster's own
record of its members (`Placed`), under the same rules for ids and addresses.

Nothing here opens a socket or touches the data directory. The reading of YAML itself is in
`config_values.py`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from node import membership
from node.config_outbox import OutboxConfig, take_outbox
from node.config_values import (
    Mistake,
    Section,
    read_document,
    refuse_type,
    shown,
    take_items,
    take_text,
    take_whole,
)
from statemachine.commands import NewSpace
from statemachine.records import CELL_SECONDS, Seat

VOTERS_ALLOWED = (3, 5)
DEFAULT_SNAPSHOT_EVERY_ENTRIES = 50_000
MAX_SNAPSHOT_EVERY_ENTRIES = 10_000_000
MAX_SPACES = 100
MAX_SEATS_IN_ALL = (
    2_000  # they are born in one command, which must stay far below the size limit of a log entry
)
MAX_BIRTH_BYTES = 192 << 10  # of that command's spaces; a command may have 256 KiB (node/requests.py)
CELL_MINUTES = CELL_SECONDS // 60
DAY_MINUTES = 24 * 60

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_NAME_RULE = "a lower-case Latin letter, then letters, digits, '-' or '_', 32 at most"
_SEAT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_SEAT_ID_RULE = (
    "Latin letters, digits, '.', '-' or '_', 32 at most; another name for people goes into {id, label}"
)
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOGIN = re.compile(r"(?:[A-Za-z0-9._@+-]{3,64}|[А-Яа-яЁё0-9._@+-]{3,64})")
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_CLOCK = re.compile(r"([0-9]{2}):([0-5][0-9])")


class ConfigError(Exception):
    """A mistake in cluster.yml; the message is one line that names the file and the key."""


@dataclass(frozen=True)
class NodeAddress:
    """Where one member listens: for its peers (`raft`) and for clients (`api`)."""

    raft_host: str
    raft_port: int
    api_host: str
    api_port: int

    @property
    def raft(self) -> str:
        """`host:port` of the peer link."""
        return _joined(self.raft_host, self.raft_port)

    @property
    def api(self) -> str:
        """`host:port` of the HTTP API."""
        return _joined(self.api_host, self.api_port)


@dataclass(frozen=True)
class Bootstrap:
    """Applied once, when the cluster is born. `admin_password_env` names an environment variable."""

    admin_login: str
    admin_password_env: str
    spaces: tuple[NewSpace, ...]


@dataclass(frozen=True)
class Config:
    """The whole of cluster.yml, or what a joining member has instead. Paths are absolute.

    With cluster.yml a node keeps its files in `data_dir / node_id`. A joining member has no `bootstrap`, and `joined_by` is the
    record that named it. `wants_vote` is false for a learner that is to stay one.
    """

    cluster: str
    nodes: dict[str, NodeAddress]
    data_dir: Path
    secret_file: Path
    snapshot_every_entries: int
    bootstrap: Bootstrap | None
    joined_by: membership.Placed | None = None
    wants_vote: bool = True
    outbox: OutboxConfig = field(default_factory=OutboxConfig)

    def reaches(self, member_id: str) -> tuple[str, int] | None:
        """Where cluster.yml says that this node reaches a member's peer port; None when it does not name that member.

        Who the members are is the cluster's own record. How one is reached may differ from machine to machine, so the file counts there.
        """
        address = self.nodes.get(member_id)
        if address is None or self.joined_by is not None:
            return None
        return address.raft_host, address.raft_port

    @property
    def birth(self) -> membership.Placed:
        """The configuration that a new directory begins with; later the log and its snapshots count."""
        if self.joined_by is not None:
            return self.joined_by
        addresses = {member_id: (address.raft, address.api) for member_id, address in self.nodes.items()}
        return membership.Placed(0, membership.birth(addresses))


def load_config(path: Path) -> Config:
    """Read and check cluster.yml. Raises `ConfigError` with one line that names the file and the key."""
    try:
        return _config(read_document(path), path.absolute().parent)
    except Mistake as mistake:
        where = f"{mistake.key}: " if mistake.key else ""
        raise ConfigError(f"{path.name}: {where}{mistake.text}") from None


def member_address(member_id: str, raft: str, api: str) -> NodeAddress:
    """A member's addresses as cluster.yml would take them. Raises `Mistake` with the key `id`, `raft` or `api`."""
    take_text("id", member_id, _NAME, _NAME_RULE)
    taken: set[tuple[str, int]] = set()
    return NodeAddress(*_address("raft", raft, taken), *_address("api", api, taken))


def joining_config(
    cluster: str,
    joined_by: membership.Placed,
    own: tuple[str, NodeAddress],
    data_dir: Path,
    secret_file: Path,
    outbox: OutboxConfig,
    *,
    wants_vote: bool,
) -> Config:
    """What a member that joins has instead of cluster.yml. `own` is its id and where it listens, `outbox` what it was given of such a file.

    Raises `Mistake` for a record that no Deskraft node writes.
    """
    node_id, address = own
    seats = joined_by.configuration.seats
    nodes = {seat.id: member_address(seat.id, seat.raft, seat.api) for seat in seats}
    nodes[node_id] = address
    return Config(
        cluster=take_text("cluster", cluster, _NAME, _NAME_RULE),
        nodes=nodes,
        data_dir=data_dir.absolute(),
        secret_file=secret_file.absolute(),
        snapshot_every_entries=DEFAULT_SNAPSHOT_EVERY_ENTRIES,
        bootstrap=None,
        joined_by=joined_by,
        wants_vote=wants_vote,
        outbox=outbox,
    )


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _config(document: object, folder: Path) -> Config:
    top = Section("", document)
    cluster = take_text(*top.take("cluster"), _NAME, _NAME_RULE)
    nodes = _nodes(*top.take("nodes"))
    data_dir = folder / take_text(*top.take("data_dir"))
    secret_file = folder / take_text(*top.take("secret_file"))
    every = top.take_optional("snapshot_every_entries")
    snapshot_every = (
        DEFAULT_SNAPSHOT_EVERY_ENTRIES if every is None else take_whole(*every, 1, MAX_SNAPSHOT_EVERY_ENTRIES)
    )
    bootstrap = _bootstrap(*top.take("bootstrap"))
    outbox = take_outbox(top, folder)
    top.close()
    return Config(cluster, nodes, data_dir, secret_file, snapshot_every, bootstrap, outbox=outbox)


def _nodes(key: str, value: object) -> dict[str, NodeAddress]:
    section = Section(key, value)
    names = list(value) if isinstance(value, dict) else []
    _refuse_voters(key, len(names))
    taken: set[tuple[str, int]] = set()
    nodes = {}
    for name in names:
        inner, entry = section.take(name)
        take_text(inner, name, _NAME, _NAME_RULE)
        addresses = Section(inner, entry)
        raft = _address(*addresses.take("raft"), taken)
        api = _address(*addresses.take("api"), taken)
        addresses.close()
        nodes[name] = NodeAddress(*raft, *api)
    return nodes


def _refuse_voters(key: str, count: int) -> None:
    if count in VOTERS_ALLOWED:
        return
    if count == 0:
        raise Mistake(key, "no members; use 3 or 5")
    if count == 1:
        raise Mistake(key, "1 member survives no failure; use 3 or 5")
    if count % 2 == 0:
        raise Mistake(
            key,
            f"{count} members: an even number survives no more failures than {count - 1}; use 3 or 5",
        )
    raise Mistake(
        key, f"{count} members: every write would wait for more of them than it needs to; use 3 or 5"
    )


def _address(key: str, value: object, taken: set[tuple[str, int]]) -> tuple[str, int]:
    if not isinstance(value, str):
        refuse_type(key, 'a text "host:port"', value)
    host, colon, port_text = value.rpartition(":")
    if not colon or not host:
        raise Mistake(key, f'{shown(value)} is not "host:port"')
    if not re.fullmatch(r"[0-9]{1,5}", port_text) or not 1 <= int(port_text) <= 65535:
        raise Mistake(key, f"bad port {shown(port_text)}: a number from 1 to 65535 expected")
    address = (_host(key, host), int(port_text))
    if address in taken:
        raise Mistake(key, f"duplicate address {_joined(*address)}")
    taken.add(address)
    return address


def _host(key: str, text: str) -> str:
    bracketed = text.startswith("[") and text.endswith("]")
    try:
        ip = ipaddress.ip_address(text[1:-1] if bracketed else text)
    except ValueError:
        if bracketed or not _HOST_NAME.fullmatch(text) or re.fullmatch(r"[0-9.]+", text):
            raise Mistake(
                key, f"bad host {shown(text)}: a name, an IPv4 address or [an IPv6 address] expected"
            ) from None
        return text.lower()
    if ip.version == 6 and not bracketed:
        raise Mistake(key, f"an IPv6 address stands in brackets: [{ip}]")
    if ip.is_unspecified or ip.is_multicast:
        raise Mistake(key, f"{ip} cannot be dialled by the other members; name one address of this machine")
    return str(ip)


def _bootstrap(key: str, value: object) -> Bootstrap:
    section = Section(key, value)
    admin = Section(*section.take("admin"))
    login_rule = "3 to 64 letters of one script (Latin or Cyrillic), digits and ._@+-"
    login = take_text(*admin.take("login"), _LOGIN, login_rule)
    password_env = take_text(
        *admin.take("password_env"), _ENV_NAME, "the name of an environment variable expected"
    )
    admin.close()
    spaces_key, spaces_value = section.take("spaces")
    spaces = tuple(
        _space(f"{spaces_key}[{i}]", item) for i, item in enumerate(take_items(spaces_key, spaces_value))
    )
    section.close()
    if not 1 <= len(spaces) <= MAX_SPACES:
        raise Mistake(spaces_key, f"1 to {MAX_SPACES} spaces expected, not {len(spaces)}")
    _refuse_repeats((space.id for space in spaces), lambda i: f"{spaces_key}[{i}].id", "space")
    seats = sum(len(space.seats) for space in spaces)
    if seats > MAX_SEATS_IN_ALL:
        raise Mistake(
            spaces_key, f"{seats} seats in all; at most {MAX_SEATS_IN_ALL} can be born with the cluster"
        )
    size_bytes = len(msgspec.msgpack.encode(spaces))
    if size_bytes > MAX_BIRTH_BYTES:
        raise Mistake(
            spaces_key,
            f"{size_bytes} bytes of names and labels; at most {MAX_BIRTH_BYTES} can be born at once",
        )
    return Bootstrap(login, password_env, spaces)


def _refuse_repeats(ids: Iterable[str], key_of: Callable[[int], str], noun: str) -> None:
    seen: set[str] = set()
    for position, item in enumerate(ids):
        if item in seen:
            raise Mistake(key_of(position), f"duplicate {noun} {item}")
        seen.add(item)


def _space(key: str, value: object) -> NewSpace:
    section = Section(key, value)
    space_id = take_text(*section.take("id"), _NAME, _NAME_RULE)
    name = take_text(*section.take("name"))
    timezone = _timezone(*section.take("timezone"))
    opens = _clock(*section.take("opens"), DAY_MINUTES - CELL_MINUTES)
    closes_key, closes_value = section.take("closes")
    closes = _clock(closes_key, closes_value, DAY_MINUTES)
    slot_key, slot_value = section.take("slot_minutes")
    slot = take_whole(slot_key, slot_value, CELL_MINUTES, DAY_MINUTES)
    seats = _seats(*section.take("seats"))
    section.close()
    if closes <= opens:
        raise Mistake(closes_key, f"{shown(closes_value)} is not after opens")
    if slot % CELL_MINUTES:
        raise Mistake(slot_key, f"{slot} is not a multiple of {CELL_MINUTES} minutes")
    if slot > closes - opens:
        raise Mistake(
            slot_key, f"a slot of {slot} minutes does not fit the {closes - opens} minutes of opening time"
        )
    return NewSpace(space_id, name, timezone, opens, closes, slot, seats)


def _timezone(key: str, value: object) -> str:
    name = take_text(key, value)
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: "Europe" is a folder of the database
        raise Mistake(
            key, f"unknown time zone {shown(name)}; an IANA name such as Europe/Moscow expected"
        ) from None
    return name


def _clock(key: str, value: object, latest: int) -> int:
    """Minutes after midnight. YAML 1.1 reads an unquoted 22:00 as the number 1320, which is named as such."""
    if not isinstance(value, str):
        refuse_type(key, 'a text such as "08:00"', value)
    match = _CLOCK.fullmatch(value)
    minutes = int(match[1]) * 60 + int(match[2]) if match else -1
    if not 0 <= minutes <= latest:
        end = f"{latest // 60:02}:{latest % 60:02}"
        raise Mistake(key, f'{shown(value)} is not a time of day from "00:00" to "{end}"')
    if minutes % CELL_MINUTES:
        raise Mistake(key, f"{shown(value)} is not on a multiple of {CELL_MINUTES} minutes")
    return minutes


def _seats(key: str, value: object) -> tuple[Seat, ...]:
    seats = []
    for position, item in enumerate(take_items(key, value)):
        inner = f"{key}[{position}]"
        if isinstance(item, dict):
            section = Section(inner, item)
            seats.append(
                Seat(
                    take_text(*section.take("id"), _SEAT_ID, _SEAT_ID_RULE), take_text(*section.take("label"))
                )
            )
            section.close()
        else:
            seat_id = take_text(inner, item, _SEAT_ID, _SEAT_ID_RULE)
            seats.append(Seat(seat_id, seat_id))
    if not seats:
        raise Mistake(key, "a space needs at least one seat")
    _refuse_repeats((seat.id for seat in seats), lambda i: f"{key}[{i}]", "seat")
    return tuple(seats)
