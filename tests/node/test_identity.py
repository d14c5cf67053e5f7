"""Whose directory it is, which life of it, and with whom it was born: written once, and believed only when it is whole."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
from msgspec import json

from node import storage
from node.disk import Disk, RealDisk, StorageError
from node.membership import Placed
from tests.node.test_storage import (
    BIRTH,
    FOUNDED,
    SEGMENT_BYTES,
    as_version_1,
    cluster_yml,
    extend,
    reopened,
    write_snapshot,
)
from tests.simulation.disk import SimDisk, SimulatedCrashError

IDENTITY_1 = b'{"format":1,"cluster":"desks","node_id":"n1","voters":["n1","n2","n3"]}'


@pytest.fixture(params=["real", "simulated"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    return RealDisk(tmp_path) if request.param == "real" else SimDisk(random.Random(1))


def identified(
    disk: Disk, named: Placed = BIRTH, node_id: str = "n1", cluster: str = "desks"
) -> storage.Identity:
    return storage.read_identity(disk, cluster, node_id, named)


def test_a_directory_belongs_to_one_member_of_one_cluster(disk: Disk) -> None:
    """Another's directory, damage, another format, or no identity beside data is refused."""
    assert storage.is_new(disk)
    first = identified(disk)
    assert not storage.is_new(disk)
    assert identified(disk) == first
    assert (first.birth, first.known_index, len(first.incarnation)) == (BIRTH, 0, 32)
    with pytest.raises(StorageError, match="belongs to member n1 of cluster desks"):
        identified(disk, node_id="n2")
    with pytest.raises(StorageError, match="belongs to member"):
        identified(disk, cluster="tables")
    disk.create("identity.json").write_durably(IDENTITY_1.replace(b'"format":1', b'"format":9'), 0)
    with pytest.raises(StorageError, match="format 9"):
        identified(disk)
    disk.remove("identity.json")
    extend(reopened(disk), [2])
    with pytest.raises(StorageError, match="cannot be told"):
        identified(disk)


def test_every_directory_is_another_life() -> None:
    """The random name is what a wiped disk cannot have kept: no two directories share one."""
    assert len({identified(SimDisk(random.Random(0))).incarnation for _ in range(20)}) == 20


def test_every_flip_and_cut_of_an_identity_is_noticed() -> None:
    """A flipped bit must not look like another disk, other members or another owner: each stops the member."""
    disk = SimDisk(random.Random(0))
    identified(disk)
    whole = disk.read("identity.json")
    for position in range(len(whole)):
        for flip in (1 << position % 8, 0xFF):
            damaged = bytearray(whole)
            damaged[position] ^= flip
            disk.create("identity.json").write_durably(bytes(damaged), 0)
            with pytest.raises(StorageError):
                identified(disk)
    for length in range(len(whole)):
        disk.create("identity.json").write_durably(whole[:length], 0)
        with pytest.raises(StorageError, match="damaged"):
            identified(disk)


@pytest.mark.parametrize("before", [None, IDENTITY_1], ids=["a new directory", "format 1"])
def test_an_identity_is_written_whole_or_not_at_all(before: bytes | None) -> None:
    """A crash at each system call of the first start, or of the upgrade: it starts, and an incarnation that was handed out stays."""
    for call in range(8):
        disk = SimDisk(random.Random(call))
        if before is not None:
            disk.create("identity.json").write_durably(before, 0)
            disk.sync_directory()
        disk.crash_in = call
        handed_out = None
        with contextlib.suppress(SimulatedCrashError):
            handed_out = identified(disk)
        disk.crash()
        again = identified(disk)
        assert handed_out in (None, again)
        assert identified(disk) == again


def test_format_1_is_upgraded_where_it_stands(disk: Disk) -> None:
    """An incarnation is made and the configuration taken from cluster.yml, after the same look at the voters as before."""
    disk.create("identity.json").write_durably(IDENTITY_1, 0)
    with pytest.raises(StorageError, match=r"born with n1, n2, n3 and cluster\.yml names n1, n2, n3, n4, n5"):
        identified(disk, cluster_yml("n1", "n2", "n3", "n4", "n5"))
    with pytest.raises(StorageError, match="without --join"):
        identified(disk, Placed(7, FOUNDED))
    assert disk.read("identity.json") == IDENTITY_1, "who is refused changes nothing"
    upgraded = identified(disk)
    assert (upgraded.format, upgraded.birth) == (2, BIRTH)
    assert json.decode(disk.read("identity.json"))["incarnation"] == upgraded.incarnation
    assert identified(disk) == upgraded


def test_a_joining_member_keeps_the_configuration_that_it_was_given(disk: Disk) -> None:
    """It knows of an entry that its log does not hold yet; what it is told at a later start changes nothing."""
    first = identified(disk, Placed(70, FOUNDED))
    assert first.known_index == 70
    assert identified(disk, Placed(90, BIRTH.configuration)) == first == identified(disk)
    opened = storage.open_storage(disk, first, SEGMENT_BYTES)
    assert opened.journal.placed == Placed(70, FOUNDED)
    assert storage.check_members(opened, first, Placed(90, BIRTH.configuration)) == ""


def test_other_voters_are_refused_until_the_log_names_the_members(disk: Disk) -> None:
    """Members that count different majorities could each confirm without the other; a founded log is asked instead of the file."""
    first = identified(disk)
    opened = storage.open_storage(disk, first, SEGMENT_BYTES)
    assert storage.check_members(opened, first, cluster_yml("n3", "n1", "n2")) == ""
    five = cluster_yml("n1", "n2", "n3", "n4", "n5")
    assert identified(disk, five) == first
    with pytest.raises(StorageError, match=r"born with n1, n2, n3 and cluster\.yml names n1, n2, n3, n4, n5"):
        storage.check_members(opened, first, five)
    extend(opened, range(2, 61))
    write_snapshot(disk, opened, 40, Placed(30, FOUNDED))
    founded = storage.open_storage(disk, first, SEGMENT_BYTES)
    assert storage.check_members(founded, first, BIRTH) == ""
    for named in (five, cluster_yml("n1", "n2", "n3", raft_port=7001)):
        warning = storage.check_members(founded, first, named)
        assert "not the members of the cluster" in warning
        assert "n2 (n2:7000)" in warning


def test_members_may_move_before_the_log_names_them(disk: Disk) -> None:
    """Until then only the ids of the voters are held fast: the addresses of cluster.yml count."""
    first = identified(disk)
    moved = cluster_yml("n1", "n2", "n3", raft_port=7001)
    again = identified(disk, moved)
    assert (again.incarnation, again.birth) == (first.incarnation, moved)
    assert storage.open_storage(disk, again, SEGMENT_BYTES).journal.placed == moved


def test_a_directory_of_an_older_program_opens_as_it_was(disk: Disk) -> None:
    """Identity of format 1, snapshot of version 1 and the journal behind it: nothing is lost, and the members are those of cluster.yml."""
    opened = reopened(disk)
    extend(opened, range(2, 61))
    name = write_snapshot(disk, opened, 40)
    older = as_version_1(disk.read(name))
    disk.create(name).write_durably(older, 0)
    disk.create("identity.json").write_durably(IDENTITY_1, 0)
    identity = identified(disk)
    again = storage.open_storage(disk, identity, SEGMENT_BYTES)
    assert again.head is not None
    assert (again.head.last_index, again.journal.last_index) == (40, 60)
    assert again.journal.placed == BIRTH
    assert storage.check_members(again, identity, BIRTH) == ""
    write_snapshot(disk, again, 60, again.journal.placed_at(60))
    newer = storage.open_storage(disk, identified(disk), SEGMENT_BYTES)
    assert newer.head is not None
    assert newer.head.placed == BIRTH
