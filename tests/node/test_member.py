"""Whole members in one process: loopback links, real disks, the journal's threads. What the parts promise holds for the sum."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from node import core as core_module
from node import disk as disk_module
from node import storage
from node.config import Bootstrap, Config, NodeAddress
from node.disk import StorageError
from node.member import Member
from node.membership import Change
from node.replica import OutcomeUnknownError, UnavailableError
from node.secret import Secret
from statemachine.commands import Command
from statemachine.outcomes import Outcome
from tests.node.harness import BIRTH, register

BOUND_SECONDS = 20.0
SECRET = "0123456789" * 5


async def until(condition: Callable[[], object], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + BOUND_SECONDS
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.01)


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Trio:
    """Three members and their directories."""

    def __init__(self, folder: Path, snapshot_every: int = 50_000) -> None:
        self.folder = folder
        ids = ("n1", "n2", "n3")
        self.config = Config(
            cluster="desks",
            nodes={
                node_id: NodeAddress("127.0.0.1", port, "127.0.0.1", 1)
                for node_id, port in zip(ids, free_ports(3), strict=True)
            },
            data_dir=folder,
            secret_file=folder / "secret",
            snapshot_every_entries=snapshot_every,
            bootstrap=Bootstrap("admin", "PASSWORD", ()),
        )
        self.members: dict[str, Member] = {}
        self._keys = 0

    async def start(self, *node_ids: str) -> None:
        for node_id in node_ids or self.config.nodes:
            self.members[node_id] = await Member.open(
                config=self.config, node_id=node_id, data_dir=self.folder / node_id, secret=Secret([SECRET])
            )

    async def stop(self, *node_ids: str) -> None:
        for node_id in node_ids or tuple(self.members):
            await self.members.pop(node_id).stop()

    def leader(self) -> Member | None:
        return next((member for member in self.members.values() if member.status().role == "leader"), None)

    async def execute(self, node_id: str, command: Command, seconds: float = 5.0) -> Outcome:
        """As a client does: again with the same key while the outcome is unknown or nobody is there."""
        self._keys += 1
        key = f"key {self._keys}"
        async with asyncio.timeout(BOUND_SECONDS):
            while True:
                with suppress(OutcomeUnknownError, UnavailableError):
                    return await self.members[node_id].execute(
                        command, scope="x", key=key, fingerprint=b"f", session_id="", timeout_seconds=seconds
                    )
                await asyncio.sleep(0.01)

    async def born(self) -> None:
        assert (await self.execute(next(iter(self.members)), BIRTH)).ok

    async def equal(self) -> None:
        def same() -> bool:
            states = [member.status() for member in self.members.values()]
            return len({(status.applied_index, status.digest) for status in states}) == 1

        await until(same, "the same entry and digest on all members")

    def users(self, node_id: str) -> set[str]:
        return set(self.members[node_id].state.users)


@pytest.fixture
async def trio(tmp_path: Path) -> AsyncIterator[Trio]:
    trio = Trio(tmp_path)
    yield trio
    await trio.stop()


@pytest.fixture
async def snapshotting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Trio]:
    """Small segments, a snapshot every few entries, and a log in memory that reaches hardly further back."""
    monkeypatch.setattr(core_module, "TRIM_BEHIND_ENTRIES", 3)
    monkeypatch.setattr(storage.open_storage, "__defaults__", (256 << 10,))
    trio = Trio(tmp_path, snapshot_every=20)
    yield trio
    await trio.stop()


async def test_every_member_writes_and_reads(trio: Trio) -> None:
    """Through each member; what one acknowledged, a read index on every other one shows at once."""
    await trio.start()
    await trio.born()
    for number in range(9):
        writer, reader = f"n{number % 3 + 1}", f"n{(number + 1) % 3 + 1}"
        outcome = await trio.execute(writer, register(f"user{number}"))
        assert outcome.ok
        assert trio.members[writer].applied_index >= outcome.index
        index = await trio.members[reader].read_index(5.0)
        assert index >= outcome.index
        assert f"user{number}" in trio.users(reader)
    await trio.equal()
    await until(
        lambda: all(member.not_ready_because() is None for member in trio.members.values()), "all ready"
    )
    leader = trio.leader()
    assert leader is not None

    def acknowledged() -> bool:
        status = leader.status()
        return {member.match_index for member in status.members} == {status.commit_index}

    await until(acknowledged, "the last acknowledgement")
    assert all(member.reachable for member in leader.status().members)
    assert leader.statistics().journal_syncs > 0


async def test_who_waited_in_vain_leaves_nothing_behind(trio: Trio) -> None:
    """Open streams ask again and again, also of a cluster in which nothing happens for days."""
    await trio.start()
    await trio.born()
    member = trio.members["n1"]
    for _ in range(5):
        with pytest.raises(UnavailableError):
            await member.wait_until_applied(member.applied_index + 1_000, 0.01)
    assert not member._applied_waiters


async def test_many_commands_at_once_are_each_carried_out_once(trio: Trio) -> None:
    """Through all members together, each with an outcome of its own; they share entries."""
    await trio.start()
    await trio.born()
    before = trio.members["n1"].applied_index
    outcomes = await asyncio.gather(
        *(trio.execute(f"n{number % 3 + 1}", register(f"user{number}")) for number in range(300))
    )
    assert all(outcome.ok for outcome in outcomes)
    assert len({(outcome.index, outcome.position) for outcome in outcomes}) == 300
    assert trio.members["n1"].applied_index - before < 200
    await trio.equal()
    assert len(trio.users("n2")) == 301


async def test_a_graceful_stop_hands_leadership_over(trio: Trio) -> None:
    """The others have a leader before the one that stops is gone, and no command given meanwhile is lost."""
    await trio.start()
    await trio.born()
    old = trio.leader()
    assert old is not None
    others = [node_id for node_id in trio.members if node_id != old.node_id]
    term = old.status().term
    waiting = [
        asyncio.create_task(trio.execute(others[number % 2], register(f"user{number}")))
        for number in range(40)
    ]
    await old.hand_over()
    assert old.status().role != "leader"
    assert old.not_ready_because() == "this node is stopping"
    await trio.stop(old.node_id)
    assert all(outcome.ok for outcome in await asyncio.gather(*waiting))
    new = trio.leader()
    assert new is not None
    assert new.status().term == term + 1
    assert new.statistics().elections <= 1


async def test_a_restart_keeps_everything(trio: Trio) -> None:
    """All members stop and start again: the same state, and the idempotency keys with it."""
    await trio.start()
    await trio.born()
    for number in range(30):
        assert (await trio.execute("n1", register(f"user{number}"))).ok
    await trio.equal()
    digest, term = trio.members["n1"].status().digest, trio.members["n1"].status().term
    await trio.stop()
    await trio.start()
    await until(trio.leader, "a leader")
    await trio.members["n3"].read_index(10.0)
    await trio.equal()
    assert trio.members["n3"].status().digest == digest
    assert trio.members["n3"].status().term > term
    assert len(trio.users("n2")) == 31
    trio._keys -= 1
    again = await trio.execute("n2", register("user29"))
    assert again.ok, "the same key, the same outcome"


async def test_without_a_majority_nothing_is_confirmed(trio: Trio) -> None:
    """One of three alone: reads are unavailable, commands are unavailable or unknown, within their time; later all goes on."""
    await trio.start()
    await trio.born()
    await trio.equal()
    leader = trio.leader()
    assert leader is not None
    survivor = leader.node_id
    others = [node_id for node_id in trio.members if node_id != survivor]
    # They are cut off one after the other, the leader last but staying.
    await trio.stop(*others)
    member = trio.members[survivor]
    began = asyncio.get_running_loop().time()
    with pytest.raises(UnavailableError):
        await member.read_index(0.5)
    with pytest.raises((UnavailableError, OutcomeUnknownError)):
        await member.execute(
            register("alone"), scope="x", key="alone", fingerprint=b"f", session_id="", timeout_seconds=0.5
        )
    assert asyncio.get_running_loop().time() - began < 2.5
    await until(lambda: member.status().role != "leader", "stepping down")
    await until(lambda: member.not_ready_because() is not None, "not ready")
    await trio.start(*others)
    assert (await trio.execute(others[0], register("together"))).ok
    await trio.equal()


async def write_some(trio: Trio, count: int, prefix: str) -> None:
    node_id = next(iter(trio.members))
    for number in range(count):
        assert (await trio.execute(node_id, register(f"{prefix}{number}"))).ok
        # What the rules refuse stands in the log as well, and may be as long as a command may be.
        assert (await trio.execute(node_id, register(f"{prefix}{number}", "x" * 8_000))).code == "malformed"


async def test_a_snapshot_without_room_is_refused_in_words(
    trio: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for one is told why there is none; the member goes on, and tells the room that is left."""
    await trio.start()
    await trio.born()
    await trio.equal()
    (member, *_) = trio.members.values()
    monkeypatch.setattr(disk_module.RealDisk, "free_bytes", lambda _: 1 << 20)
    with pytest.raises(
        UnavailableError, match="the disk has 1 MiB left, and a snapshot waits until there are 64"
    ):
        await member.write_snapshot(5.0)
    assert member.statistics().disk_free_bytes == 1 << 20
    assert (await trio.execute(member.node_id, register("after"))).ok


async def test_snapshots_are_written_and_old_files_go(snapshotting: Trio) -> None:
    """With the log they bound the disk; a restart from them has everything."""
    trio = snapshotting
    await trio.start()
    await trio.born()
    await write_some(trio, 120, "user")
    await until(
        lambda: all(member.statistics().snapshots_written >= 3 for member in trio.members.values()),
        "snapshots",
    )
    for node_id in trio.members:

        def dropped(folder: Path = trio.folder / node_id) -> bool:
            names = sorted(path.name for path in folder.iterdir())
            segments = [name for name in names if name.endswith(".seg")]
            return (
                "journal-0000000001.seg" not in segments and sum(name.endswith(".dsk") for name in names) == 2
            )

        await until(dropped, "old files gone")
    await trio.equal()
    digest = trio.members["n1"].status().digest
    await trio.stop()
    await trio.start()
    await trio.members["n2"].read_index(10.0)
    await trio.equal()
    assert trio.members["n2"].status().digest == digest
    assert len(trio.users("n3")) == 121


@pytest.mark.parametrize("emptied", [False, True])
async def test_a_member_that_was_away_gets_a_snapshot(snapshotting: Trio, emptied: bool) -> None:
    """Away for longer than the log reaches back: it converges while the others serve, and restarts.

    With an empty directory it is refused first, and stops; replaced by an operator, it does the same and votes again.
    """
    trio = snapshotting
    await trio.start()
    await trio.born()
    away = next(node_id for node_id, member in trio.members.items() if member is not trio.leader())
    await trio.equal()
    await trio.stop(away)
    if emptied:
        shutil.rmtree(trio.folder / away)
    await write_some(trio, 90, "user")
    await until(
        lambda: all(member.statistics().snapshots_written >= 2 for member in trio.members.values()),
        "snapshots",
    )
    await trio.start(away)
    if emptied:
        async with asyncio.timeout(BOUND_SECONDS):
            assert f"deskraft cluster replace {away}" in await trio.members[away].failed
        await trio.stop(away)
        operator = next(iter(trio.members.values()))
        await operator.change_members(Change("replace", away), 5.0)
        await trio.start(away)
    assert (await trio.execute(away, register("through-it"))).ok
    await until(lambda: trio.members[away].statistics().snapshots_installed >= 1, "an installed snapshot")
    await write_some(trio, 5, "later")
    await trio.equal()
    assert len(trio.users(away)) == 97
    await until(lambda: trio.members[away].status().role == "follower", "a voter again")
    await trio.stop(away)
    await trio.start(away)
    await trio.equal()
    assert len(trio.users(away)) == 97


class BadDisk:
    """Lets durable writes below one folder fail with an error, or be delayed, at the system call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.error = 0
        self.refused = 0
        write = disk_module.RealFile.write_durably

        def write_durably(file: disk_module.RealFile, data: bytes, offset_bytes: int) -> None:
            name = Path(f"/proc/self/fd/{file._descriptor}").readlink()
            if self.error and folder in name.parents:
                self.refused += 1
                raise OSError(self.error, os.strerror(self.error))
            write(file, data, offset_bytes)

        monkeypatch.setattr(disk_module.RealFile, "write_durably", write_durably)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("role", ["leader", "follower"])
async def test_a_disk_error_stops_the_member_and_confirms_nothing(
    trio: Trio, monkeypatch: pytest.MonkeyPatch, error: int, role: str
) -> None:
    """`failed` says why; what was pending ends as unknown; the others go on; after a repair and a restart it converges."""
    await trio.start()
    await trio.born()
    await trio.equal()
    leader = trio.leader()
    assert leader is not None
    victim = (
        leader.node_id
        if role == "leader"
        else next(node_id for node_id in trio.members if node_id != leader.node_id)
    )
    member = trio.members[victim]
    disk = BadDisk(monkeypatch, trio.folder / victim)
    disk.error = error
    with pytest.raises(OutcomeUnknownError):
        await member.execute(
            register("pending"),
            scope="x",
            key="pending",
            fingerprint=b"f",
            session_id="",
            timeout_seconds=5.0,
        )
    async with asyncio.timeout(BOUND_SECONDS):
        reason = await asyncio.shield(member.failed)
    assert os.strerror(error) in reason
    assert disk.refused == 1, "after the first error nothing is written"
    assert member.not_ready_because() == reason
    with pytest.raises(UnavailableError):
        await member.execute(
            register("late"), scope="x", key="late", fingerprint=b"f", session_id="", timeout_seconds=1.0
        )
    with pytest.raises(UnavailableError):
        await member.read_index(1.0)
    await trio.stop(victim)
    other = next(iter(trio.members))
    assert (await trio.execute(other, register("meanwhile"))).ok
    disk.error = 0
    await trio.start(victim)
    await trio.members[victim].read_index(10.0)
    await trio.equal()
    assert "meanwhile" in trio.users(victim)


async def test_a_directory_serves_one_member(trio: Trio) -> None:
    """A second one in it is refused at once, and so is another member's directory; neither harms the first."""
    await trio.start("n1")
    with pytest.raises(StorageError, match="in use"):
        await trio.start("n1")
    await trio.stop("n1")
    with pytest.raises(StorageError, match="belongs to member n1"):
        await Member.open(
            config=trio.config, node_id="n2", data_dir=trio.folder / "n1", secret=Secret([SECRET])
        )
    await trio.start("n1")


async def test_a_taken_port_is_an_error_and_leaves_nothing_behind(trio: Trio) -> None:
    """The directory is given free again, so the member starts when the port is."""
    address = trio.config.nodes["n1"]
    with socket.create_server((address.raft_host, address.raft_port)), pytest.raises(OSError):
        await trio.start("n1")
    await trio.start("n1")


async def test_a_corrupt_journal_stops_the_start(trio: Trio) -> None:
    """A flipped byte in the middle of what was synced: the message names the file, and nothing is changed."""
    await trio.start()
    await trio.born()
    for number in range(10):
        assert (await trio.execute("n1", register(f"user{number}"))).ok
    await trio.stop("n1")
    (path,) = (trio.folder / "n1").glob("journal-*.seg")
    data = bytearray(path.read_bytes())
    data[200] ^= 0x10
    path.write_bytes(data)
    for _ in range(2):
        with pytest.raises(StorageError, match=path.name):
            await trio.start("n1")
    assert path.read_bytes() == bytes(data)


async def test_what_was_certainly_not_executed_is_not_called_unknown(trio: Trio) -> None:
    """Alone from the start, a member has nobody to send to: each command ends as unavailable, whenever it was given."""
    await trio.start("n1")

    async def one(delay: float) -> str:
        await asyncio.sleep(delay)
        try:
            await trio.members["n1"].execute(
                BIRTH, scope="x", key=None, fingerprint=b"", session_id="", timeout_seconds=0.2
            )
        except (UnavailableError, OutcomeUnknownError) as error:
            return type(error).__name__
        return "executed"

    assert set(await asyncio.gather(*(one(number * 0.02) for number in range(12)))) == {"UnavailableError"}


async def test_an_unexpected_error_of_the_core_stops_the_member(
    trio: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An assertion that fails in a turn is a contradiction like any other: `failed` says so, and the others go on."""
    await trio.start()
    await trio.born()
    victim = trio.leader()
    assert victim is not None
    step = core_module.Core.step

    def broken(core: core_module.Core) -> None:
        if core.node_id == victim.node_id:
            raise AssertionError("a contradiction")
        step(core)

    monkeypatch.setattr(core_module.Core, "step", broken)
    async with asyncio.timeout(3.0):
        assert "a contradiction" in await asyncio.shield(victim.failed)


async def test_a_snapshot_that_cannot_be_written_stops_the_member(
    snapshotting: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed sync of a snapshot is a failed disk: no half file gets a name, and a restart has everything."""
    trio = snapshotting
    await trio.start()
    await trio.born()
    sync = disk_module.RealFile.sync
    broken = trio.folder / "n2"

    def failing(file: disk_module.RealFile) -> None:
        if broken in Path(f"/proc/self/fd/{file._descriptor}").readlink().parents:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(file)

    with monkeypatch.context() as patched:
        patched.setattr(disk_module.RealFile, "sync", failing)
        await write_some(trio, 15, "user")
        async with asyncio.timeout(BOUND_SECONDS):
            assert os.strerror(errno.EIO) in await asyncio.shield(trio.members["n2"].failed)
    assert not list(broken.glob("*.dsk"))
    await trio.stop("n2")
    await trio.start("n2")
    await trio.equal()
    assert len(trio.users("n2")) == 16
