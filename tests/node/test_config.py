"""cluster.yml: what is right is read exactly, and every mistake is one line that names its key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node import membership
from node.config import (
    Config,
    ConfigError,
    NodeAddress,
    joining_config,
    load_config,
    member_address,
)
from node.config_outbox import OutboxConfig
from node.config_values import Mistake
from node.membership import Configuration, Placed
from statemachine.commands import NewSpace
from statemachine.records import Seat

GOOD = """\
cluster: demo
nodes:
  n1: {raft: "127.0.0.1:7001", api: "127.0.0.1:8001"}
  n2: {raft: "127.0.0.1:7002", api: "127.0.0.1:8002"}
  n3: {raft: "[::1]:7003", api: "desk3.example:8003"}
data_dir: data
secret_file: data/secret
bootstrap:
  admin: {login: admin, password_env: DESKRAFT_ADMIN_PASSWORD}
  spaces:
    - id: hq
      name: "Коворкинг на Мясницкой"
      timezone: Europe/Moscow
      opens: "08:00"
      closes: "24:00"
      slot_minutes: 60
      seats: [A1, {id: A2, label: "У окна"}]
"""


def _load(folder: Path, text: str) -> Config:
    path = folder / "cluster.yml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def _mistake(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        _load(folder, text)
    return str(caught.value)


def test_a_good_file_is_read_exactly(tmp_path: Path) -> None:
    """Every key arrives in its place, relative paths count from the folder of the file."""
    config = _load(tmp_path, GOOD)
    assert config.cluster == "demo"
    assert list(config.nodes) == ["n1", "n2", "n3"]
    assert config.nodes["n1"] == NodeAddress("127.0.0.1", 7001, "127.0.0.1", 8001)
    assert config.nodes["n3"].raft == "[::1]:7003"
    assert config.nodes["n3"].api == "desk3.example:8003"
    assert config.data_dir == tmp_path / "data"
    assert config.secret_file == tmp_path / "data" / "secret"
    assert config.snapshot_every_entries == 50_000
    assert config.bootstrap.admin_login == "admin"
    assert config.bootstrap.admin_password_env == "DESKRAFT_ADMIN_PASSWORD"
    seats = (Seat("A1", "A1"), Seat("A2", "У окна"))
    space = NewSpace("hq", "Коворкинг на Мясницкой", "Europe/Moscow", 480, 1440, 60, seats)
    assert config.bootstrap.spaces == (space,)


def test_paths_do_not_depend_on_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path to cluster.yml and an absolute data_dir both end where they should."""
    (tmp_path / "cluster.yml").write_text(
        GOOD.replace("data_dir: data", "data_dir: /srv/desk"), encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    config = load_config(Path("cluster.yml"))
    assert config.data_dir == Path("/srv/desk")
    assert config.secret_file == tmp_path / "data" / "secret"


def test_the_demo_of_the_repository_is_right() -> None:
    """The file that scripts/run starts from: three members, two spaces, more than twenty seats."""
    config = load_config(Path(__file__).parents[2] / "cluster.yml")
    assert list(config.nodes) == ["n1", "n2", "n3"]
    assert config.nodes["n2"].api == "127.0.0.1:8002"
    assert [len(space.seats) for space in config.bootstrap.spaces] == [16, 8]


def test_five_members_and_the_optional_key(tmp_path: Path) -> None:
    """Five voters are as welcome as three."""
    more = "".join(f'  n{i}: {{raft: "127.0.0.1:710{i}", api: "127.0.0.1:810{i}"}}\n' for i in (4, 5))
    text = GOOD.replace("data_dir:", f"{more}data_dir:") + "snapshot_every_entries: 1000\n"
    config = _load(tmp_path, text)
    assert len(config.nodes) == 5
    assert config.snapshot_every_entries == 1000


N2 = '  n2: {raft: "127.0.0.1:7002", api: "127.0.0.1:8002"}\n'
N4 = '  n4: {raft: "127.0.0.1:7004", api: "127.0.0.1:8004"}\n'
SPACE = "bootstrap.spaces[0]"

MISTAKES = [
    ("cluster: demo\n", "", "cluster: the key is missing"),
    ("cluster: demo", "cluster: 7", "cluster: a text expected, not a number (7); write it in quotes"),
    ("cluster: demo", "cluster: Demo Cluster", "cluster: 'Demo Cluster' is not allowed: a lower-case"),
    ("cluster: demo", "cluster:", "cluster: a text expected, but it is empty"),
    ("cluster: demo", "cluster: demo\nzone: red", "zone: unknown key; known here: cluster, nodes"),
    ("data_dir: data", "data-dir: data", "data-dir: unknown key; did you mean data_dir?"),
    ("data_dir: data", "data_dir: [data]", "data_dir: a text expected, not a list (['data'])"),
    ("secret_file: data/secret", 'secret_file: ""', "secret_file: 1 to 100 printable characters"),
    ("cluster: demo", "cluster: demo\ncluster: demo2", "cluster: the key is given twice (line 2)"),
    (N2, N2 + N2, "nodes.n2: the key is given twice (line 5)"),
    (N2, "", "nodes: 2 members: an even number survives no more failures than 1; use 3 or 5"),
    (N2, N2 + N4, "nodes: 4 members: an even number survives no more failures than 3; use 3 or 5"),
    ("127.0.0.1:8002", "127.0.0.1:8001", "nodes.n2.api: duplicate address 127.0.0.1:8001"),
    ("127.0.0.1:8002", "127.0.0.1:7002", "nodes.n2.api: duplicate address 127.0.0.1:7002"),
    ("127.0.0.1:8002", "127.0.0.1:80000", "nodes.n2.api: bad port '80000'"),
    ("127.0.0.1:8002", "127.0.0.1:0", "nodes.n2.api: bad port '0'"),
    ("127.0.0.1:8002", "127.0.0.1:-1", "nodes.n2.api: bad port '-1'"),
    ("127.0.0.1:8002", "127.0.0.1:http", "nodes.n2.api: bad port 'http'"),
    ("127.0.0.1:8002", "127.0.0.1", "nodes.n2.api: '127.0.0.1' is not \"host:port\""),
    ("127.0.0.1:8002", "::1:8002", "nodes.n2.api: an IPv6 address stands in brackets: [::1]"),
    ("127.0.0.1:8002", "256.1.1.1:8002", "nodes.n2.api: bad host '256.1.1.1'"),
    ("127.0.0.1:8002", "no/host:8002", "nodes.n2.api: bad host 'no/host'"),
    ("127.0.0.1:8002", "0.0.0.0:8002", "nodes.n2.api: 0.0.0.0 cannot be dialled"),
    ('"127.0.0.1:8002"', "8002", 'nodes.n2.api: a text "host:port" expected, not a number (8002)'),
    ("n2: {raft", "n2: {rafts", "nodes.n2.rafts: unknown key; did you mean raft?"),
    (', api: "127.0.0.1:8002"', "", "nodes.n2.api: the key is missing"),
    ("  n2:", "  N2:", "nodes.N2: 'N2' is not allowed"),
    ("  n2:", "  ../n2:", "nodes.../n2: '../n2' is not allowed"),
    ("  n2:", "  2:", "nodes: the key 2 is not a text"),
    ("login: admin", "login: ab", "bootstrap.admin.login: 'ab' is not allowed"),
    ("login: admin", "login: aдmin", "bootstrap.admin.login: 'aдmin' is not allowed"),
    ("password_env: DESKRAFT", "password_env: $DESKRAFT", "bootstrap.admin.password_env: '$DESKRAFT_ADMIN"),
    ("Europe/Moscow", "Europe/Moscou", f"{SPACE}.timezone: unknown time zone 'Europe/Moscou'"),
    ("Europe/Moscow", "Europe", f"{SPACE}.timezone: unknown time zone 'Europe'"),
    ("Europe/Moscow", "../../etc/passwd", f"{SPACE}.timezone: unknown time zone"),
    ('"08:00"', '"8:00"', f"{SPACE}.opens: '8:00' is not a time of day"),
    ('"08:00"', '"24:00"', f"{SPACE}.opens: '24:00' is not a time of day"),
    ('"08:00"', '"08:03"', f"{SPACE}.opens: '08:03' is not on a multiple of 5 minutes"),
    ('"24:00"', '"24:05"', f"{SPACE}.closes: '24:05' is not a time of day"),
    (
        '"24:00"',
        "22:00",
        f'{SPACE}.closes: a text such as "08:00" expected, not a number (1320); write it in',
    ),
    ('"24:00"', '"08:00"', f"{SPACE}.closes: '08:00' is not after opens"),
    ("slot_minutes: 60", "slot_minutes: 7", f"{SPACE}.slot_minutes: 7 is not a multiple of 5"),
    ("slot_minutes: 60", "slot_minutes: 0", f"{SPACE}.slot_minutes: 0 is not between 5 and 1440"),
    ("slot_minutes: 60", "slot_minutes: 1445", f"{SPACE}.slot_minutes: 1445 is not between"),
    ("slot_minutes: 60", "slot_minutes: 1000", f"{SPACE}.slot_minutes: a slot of 1000 minutes does not fit"),
    ("slot_minutes: 60", "slot_minutes: true", f"{SPACE}.slot_minutes: a whole number expected, not true or"),
    ("slot_minutes: 60", 'slot_minutes: "60"', f"{SPACE}.slot_minutes: a whole number expected, not a text"),
    ("slot_minutes: 60", "slot_minutes: 60.5", f"{SPACE}.slot_minutes: a whole number expected, not float"),
    ("[A1, {id: A2", "[A1, {id: A1", f"{SPACE}.seats[1]: duplicate seat A1"),
    ("[A1,", "[1,", f"{SPACE}.seats[0]: a text expected, not a number (1); write it in quotes"),
    ("[A1,", "[NO,", f"{SPACE}.seats[0]: a text expected, not true or false (False)"),
    ("[A1,", "[Стол1,", f"{SPACE}.seats[0]: 'Стол1' is not allowed: Latin letters"),
    ('label: "У окна"}', "colour: red}", f"{SPACE}.seats[1].label: the key is missing"),
    ('label: "У окна"}', 'label: "У окна", x: 1}', f"{SPACE}.seats[1].x: unknown key"),
    ('[A1, {id: A2, label: "У окна"}]', "[]", f"{SPACE}.seats: a space needs at least one seat"),
    ('[A1, {id: A2, label: "У окна"}]', "A1", f"{SPACE}.seats: a list expected, not a text ('A1')"),
    ("id: hq", "id: HQ", f"{SPACE}.id: 'HQ' is not allowed"),
    ("Коворкинг на", "Коворкинг\\n", f"{SPACE}.name: 1 to 100 printable characters expected"),
    ("cluster: demo", "cluster: demo\nsnapshot_every_entries: 0", "snapshot_every_entries: 0 is not between"),
    ("cluster: demo", "cluster: {demo", "line "),
    ("cluster: demo", "cluster: demo\n\tx: 1", "line 2, column 1: not readable as YAML"),
    ("cluster: demo", "cluster: !!python/object:os.system demo", "line 1, column 10: not readable as YAML"),
    ("cluster: demo", "cluster: 2026-13-45", "not readable as YAML: month must be in 1..12"),
    ("cluster: demo", "cluster: \x07", "not readable as YAML"),
    ("cluster: demo", "cluster: demo\n---\n", "line "),
]


@pytest.mark.parametrize(("old", "new", "expected"), MISTAKES, ids=[m[2][:60] for m in MISTAKES])
def test_every_mistake_is_one_line_that_names_the_key(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    """One change to a good file, one line back."""
    assert old in GOOD
    message = _mistake(tmp_path, GOOD.replace(old, new, 1))
    assert message.startswith(f"cluster.yml: {expected}")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "cluster.yml: the file is empty"),
        ("# nothing\n", "cluster.yml: the file is empty"),
        ("- a\n", "cluster.yml: a mapping expected, not a list (['a'])"),
        ("[" * 3000, "cluster.yml: not readable as YAML"),
        ("a: &a [*a]\n", "cluster.yml: a: unknown key"),
    ],
)
def test_a_file_that_is_no_mapping(tmp_path: Path, text: str, expected: str) -> None:
    """Not even the outer shape is right."""
    message = _mistake(tmp_path, text)
    assert "\n" not in message
    assert message.startswith(expected) or "the key is missing" in message


def test_one_member_and_none(tmp_path: Path) -> None:
    """A single voter survives no failure, and the message says so."""
    head, tail = GOOD.split("nodes:\n")
    rest = tail[tail.index("data_dir") :]
    one = '  n1: {raft: "127.0.0.1:7001", api: "127.0.0.1:8001"}\n'
    expected = "cluster.yml: nodes: 1 member survives no failure; use 3 or 5"
    assert _mistake(tmp_path, f"{head}nodes:\n{one}{rest}") == expected
    assert _mistake(tmp_path, f"{head}nodes: {{}}\n{rest}") == "cluster.yml: nodes: no members; use 3 or 5"


def test_repeated_space(tmp_path: Path) -> None:
    """Two spaces of one id."""
    space = GOOD[GOOD.index("    - id: hq") :]
    assert _mistake(tmp_path, GOOD + space) == "cluster.yml: bootstrap.spaces[1].id: duplicate space hq"


def test_a_missing_unreadable_or_broken_file(tmp_path: Path) -> None:
    """The file system's own refusals are one line too."""
    for path in (tmp_path / "cluster.yml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read") as caught:
            load_config(path)
        assert str(path) in str(caught.value)
    (tmp_path / "latin.yml").write_bytes("cluster: Москва".encode("cp1251"))
    with pytest.raises(ConfigError, match=r"latin\.yml: not UTF-8 \(byte 9\)"):
        load_config(tmp_path / "latin.yml")
    (tmp_path / "large.yml").write_bytes(os.urandom(16) + b"#" * 1024 * 1024)
    with pytest.raises(ConfigError, match=r"large\.yml: larger than 1048576 bytes"):
        load_config(tmp_path / "large.yml")


def test_labels_too_long_to_be_born_at_once(tmp_path: Path) -> None:
    """All spaces are born in one command, whose size is bounded; the file is refused, not the birth."""
    seats = ", ".join(f'{{id: A{number}, label: "{"Д" * 100}"}}' for number in range(1, 1001))
    text = GOOD.replace('[A1, {id: A2, label: "У окна"}]', f"[{seats}]")
    assert "at most 196608 can be born at once" in _mistake(tmp_path, text)


def test_the_birth_of_cluster_yml_and_of_a_joining_member(tmp_path: Path) -> None:
    """cluster.yml: all of its nodes vote, entry 0. Joining: the record that named it, and its own addresses to listen on."""
    born = _load(tmp_path, GOOD).birth
    assert (born.index, born.configuration.founding) == (0, "")
    assert [(seat.id, seat.voter, seat.incarnation) for seat in born.configuration.seats] == [
        (node_id, True, "") for node_id in ("n1", "n2", "n3")
    ]
    record = Placed(
        57, Configuration("f0", (membership.Seat("n1", "h1:1", "h1:2", voter=True, incarnation="d1"),))
    )
    own = ("n4", member_address("n4", "H4:1", "h4:2"))
    config = joining_config("demo", record, own, tmp_path, tmp_path / "s", OutboxConfig(), wants_vote=False)
    assert (config.birth, config.bootstrap, config.wants_vote) == (record, None, False)
    assert {node_id: address.raft for node_id, address in config.nodes.items()} == {
        "n1": "h1:1",
        "n4": "h4:1",
    }
    for bad in (("demo", Placed(1, membership.birth({"n1": ("0.0.0.0:1", "h:2")}))), ("Demo", record)):
        with pytest.raises(Mistake):
            joining_config(*bad, own, tmp_path, tmp_path / "s", OutboxConfig(), wants_vote=True)


@pytest.mark.parametrize(
    ("given", "key"),
    [(("N4", "h:1", "h:2"), "id"), (("n4", "h", "h:2"), "raft"), (("n4", "h:1", "h:1"), "api")],
)
def test_a_member_is_named_by_the_rules_of_cluster_yml(given: tuple[str, str, str], key: str) -> None:
    with pytest.raises(Mistake) as mistake:
        member_address(*given)
    assert mistake.value.key == key
