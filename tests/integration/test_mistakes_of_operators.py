"""Damaged files, wrong configuration and strangers on the peer port, over real processes.

What cannot be trusted is refused with one line on standard error and the documented exit status, while the others serve.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import random
import shutil
import socket
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import yaml

from node.links import Hello
from node.membership import Introduction
from node.secret import Secret
from node.segments import HEADER_BYTES
from tests.integration.cluster import LOG_LINE, NodeProcess, ProcessCluster, running_cluster
from tests.integration.load import under_load
from tests.integration.raw import Raw, seed_of_run, slot

FAILED, USAGE = 1, 2  # docs/operations.md, "Exit codes"
DAY = "2027-03-01"
FLOOD = 200
STRANGER_SECONDS = 5.0  # a handshake may take 2


def _others(cluster: ProcessCluster, node: NodeProcess) -> list[NodeProcess]:
    return [other for other in cluster if other is not node]


async def _both_serve(ada: Raw, nodes: list[NodeProcess], hour: int) -> None:
    """Reads and writes on each of them."""
    for number, node in enumerate(nodes):
        said = await ada.settle(
            [node],
            "/api/v1/bookings",
            slot(DAY, hour, f"A{number + 1}"),
            f"{hour}-{node.id}",
            rng=random.Random(hour),
        )
        assert said.status == 201, said
        assert (await ada.get(node, "/history")).status == 200


def _is_one_line(node: NodeProcess, output: str, *words: str) -> None:
    """`output` is what a process wrote outside the format of its log: one line that says it all."""
    lines = output.splitlines()
    assert len(lines) == 1, f"{node.id}: {output}"
    assert lines[0].startswith("deskraft node: "), lines[0]
    assert "Traceback" not in output
    for word in words:
        assert word in lines[0], lines[0]


def _flip(path: Path, offset: int, bit: int = 4) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        (old,) = file.read(1)
        file.seek(offset)
        file.write(bytes([old ^ 1 << bit]))


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink()


def _end_of_frames(path: Path) -> int:
    return len(path.read_bytes().rstrip(b"\0"))


async def test_damaged_files_are_refused_and_the_others_serve(tmp_path: Path) -> None:
    """One flipped bit in the middle of a stopped member's journal, in its newest snapshot, in its identity, a snapshot cut
    short, a journal that is gone: each is refused with one line and status 1, and changes nothing on the disk; the others
    serve; with the bytes back as they were it starts and becomes equal.
    """
    rng = random.Random(seed_of_run())
    async with running_cluster(tmp_path, extra={"snapshot_every_entries": 20}) as cluster:
        async with under_load(cluster, 3, rng.randrange(1 << 30)) as load:
            await load.progress(90)
        ada = await Raw(cluster.session).sign_in(list(cluster), "ada", rng=rng)
        victim = rng.choice(list(cluster))
        victim.kill()
        await cluster.wait_for_leader()
        good = tmp_path / "good"
        shutil.copytree(victim.data_dir, good)
        journal = sorted(victim.data_dir.glob("journal-*.seg"))[-1]
        snapshot = sorted(victim.data_dir.glob("snapshot-*.dsk"))[-1]
        inside = rng.randrange(0, _end_of_frames(journal) - 4 * HEADER_BYTES)
        damages: list[tuple[str, Path, Callable[[], Any]]] = [
            ("journal, first header", journal, lambda: _flip(journal, 3)),
            ("journal, somewhere", journal, lambda: _flip(journal, inside)),
            ("snapshot, somewhere", snapshot, lambda: _flip(snapshot, rng.randrange(40, snapshot.stat().st_size))),
            ("snapshot cut short", snapshot, lambda: os.truncate(snapshot, snapshot.stat().st_size - 1)),
            ("identity", victim.data_dir / "identity.json", lambda: _flip(victim.data_dir / "identity.json", 12)),
            ("no identity", victim.data_dir, lambda: _remove(victim.data_dir / "identity.json")),
            ("no journal", victim.data_dir, lambda: _remove(*victim.data_dir.glob("journal-*.seg"))),
        ]  # fmt: skip
        for number, (name, _, damage) in enumerate(damages):
            damage()
            before = {
                path.name: path.read_bytes()
                for path in victim.data_dir.iterdir()
                if path.suffix in {".seg", ".dsk"}
            }
            status, output = await victim.refuses_to_start()
            assert status == FAILED, (name, output)
            _is_one_line(victim, output)
            print(f"{name}: {output}")
            after = {
                path.name: path.read_bytes()
                for path in victim.data_dir.iterdir()
                if path.suffix in {".seg", ".dsk"}
            }
            assert after == before, name
            await _both_serve(ada, _others(cluster, victim), 8 + number)
            shutil.rmtree(victim.data_dir)
            shutil.copytree(good, victim.data_dir)
        victim.start()
        await cluster.wait_until_ready()
        await cluster.wait_until_equal()
        await load.check()
        cluster.assert_no_traceback()


def _edited(cluster: ProcessCluster, change: Callable[[Any], Any]) -> Path:
    document = yaml.safe_load((cluster.folder / "cluster.yml").read_text(encoding="utf-8"))
    path = cluster.folder / "other" / "cluster.yml"
    path.parent.mkdir(exist_ok=True)
    document = change(document) or document
    path.write_text(
        document if isinstance(document, str) else yaml.safe_dump(document, allow_unicode=True),
        encoding="utf-8",
    )
    return path


MISTAKES: list[tuple[str, Callable[[Any], Any]]] = [
    ("clutser", lambda doc: doc.update(clutser=doc.pop("cluster"))),
    ("nodes.n1.api", lambda doc: doc["nodes"]["n1"].update(api="127.0.0.1:99999")),
    ("duplicate address", lambda doc: doc["nodes"]["n2"].update(api=doc["nodes"]["n1"]["api"])),
    ("4 members", lambda doc: doc["nodes"].update(n4={"raft": "127.0.0.1:1", "api": "127.0.0.1:2"})),
    ("data_dir", lambda doc: doc.pop("data_dir") and None),
    ("not readable as YAML", lambda _: "nodes: [1, 2"),
]


async def test_wrong_settings_are_one_line(tmp_path: Path) -> None:
    """A wrong cluster.yml names the key; a secret that is missing, open to others or short, an unknown id, a missing or weak
    password, a taken port, a second process on the same data, another member's data: one line, the documented status, no
    traceback, and the living cluster is not touched.
    """
    rng = random.Random(seed_of_run())
    async with running_cluster(tmp_path) as cluster:
        ada = await Raw(cluster.session).sign_in(list(cluster), "ada", rng=rng)
        n1, n2, _ = cluster
        fresh = str(tmp_path / "fresh")
        for words, change in MISTAKES:
            config = _edited(cluster, change)
            status, output = await n1.refuses_to_start("--config", str(config), "--data-dir", fresh)
            assert status == USAGE, (words, output)
            _is_one_line(n1, output, "cluster.yml", words)
        for words, prepare in (
            ("missing", lambda path: path.unlink(missing_ok=True)),
            ("0600", lambda path: (path.write_text("s" * 40), path.chmod(0o644))),
            ("shorter", lambda path: (path.write_text("short"), path.chmod(0o600))),
        ):
            config = _edited(cluster, lambda _: None)
            prepare(config.parent / "secret")
            status, output = await n1.refuses_to_start("--config", str(config), "--data-dir", fresh)
            assert status == USAGE, (words, output)
            _is_one_line(n1, output, "secret", words)
        for words, status, options, password in (
            ("no n9", USAGE, ("--id", "n9"), None),
            # Empty and without a password, while the others say that the cluster exists: perhaps it was replaced, so it goes on.
            ("listen", FAILED, ("--data-dir", fresh), ""),
            ("DESKRAFT_ADMIN_PASSWORD", USAGE, ("--data-dir", fresh), "12345678"),
            ("in use", FAILED, (), None),
            ("in use", FAILED, ("--id", "n2", "--data-dir", str(n1.data_dir)), None),
            ("listen", FAILED, ("--data-dir", fresh), None),
        ):
            environment = (
                n1.environment if password is None else n1.environment | {"DESKRAFT_ADMIN_PASSWORD": password}
            )
            ended, output = await n1.refuses_to_start(*options, environment=environment)
            assert ended == status, (words, output)
            _is_one_line(n1, output, words)
        await _both_serve(ada, list(cluster), 10)
        n2.kill()
        ended, output = await n1.refuses_to_start("--data-dir", str(n2.data_dir))
        assert ended == FAILED
        _is_one_line(n1, output, "n2")
        host, port = n2.api.split(":")
        with socket.create_server((host, int(port))):
            ended, output = await n2.refuses_to_start()
            assert ended == FAILED
            _is_one_line(n2, output, n2.api)
        n2.start()
        await cluster.wait_until_ready()
        await cluster.wait_until_equal()
        cluster.assert_no_traceback()


async def test_a_member_with_another_secret_never_joins(tmp_path: Path) -> None:
    """It says why in its log and stays not ready, the others count it as away and go on; with the right secret it joins."""
    rng = random.Random(seed_of_run())
    async with running_cluster(tmp_path) as cluster:
        ada = await Raw(cluster.session).sign_in(list(cluster), "ada", rng=rng)
        stranger = rng.choice(list(cluster))
        others = _others(cluster, stranger)
        assert await stranger.terminate() == 0
        config = _edited(cluster, lambda _: None)
        Secret.create(config.parent / "secret")
        stranger.start("--config", str(config), "--data-dir", str(stranger.data_dir))

        async def says_why() -> bool:
            assert stranger.alive, stranger.tail()
            told = any("are cluster and secret_file the same there" in line for line in stranger.last_run())
            return told and all("unauthenticated" in node.log.read_text(encoding="utf-8") for node in others)

        await cluster.wait_until(says_why, 20, "nobody says why")
        await _both_serve(ada, others, 9)
        assert (await ada.get(stranger, "/readyz")).status == 503
        for node in others:
            seen = await cluster.status(node)
            assert seen is not None
            assert [member.id for member in seen.members if not member.reachable] == [stranger.id]
        forgery = await ada.get(stranger, "/history?consistency=stale")
        assert forgery.status == 401, "tokens of the cluster are not its tokens"
        stranger.kill()
        stranger.start()
        await cluster.wait_until_ready()
        await cluster.wait_until_equal()
        cluster.assert_no_traceback()


def _garbage(rng: random.Random, target: NodeProcess, sender: NodeProcess) -> list[bytes]:
    """What strangers send."""
    introduction = Introduction(sender.id, rng.randbytes(16).hex(), "", 0, sender.raft)
    hello = msgspec.msgpack.encode(Hello(2, "test", target.id, "0" * 12, rng.randbytes(32), introduction))
    whole = struct.pack("<H", len(hello)) + hello + rng.randbytes(32)
    return [
        rng.randbytes(rng.randrange(1, 4000)),
        whole,
        whole[: rng.randrange(1, len(whole))],
        whole + bytes(4) + rng.randbytes(16),
        struct.pack("<H", 512) + rng.randbytes(544),
        struct.pack("<H", 0) + bytes(32) + rng.randbytes(100),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(500),
        pickle.dumps({"type": "append_entries", "term": 10**9, "commit_index": 10**9}),
        struct.pack("<I", 100) + pickle.dumps(["readonly"]),
        b"\xff" * 100_000,
        b"",
    ]


async def _speak(host: str, port: int, data: bytes, reset: bool) -> bytes:
    """Send it and return everything that came back until the node closed (or we reset)."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(data)
        if reset:
            writer.transport.abort()
            return b""
        return await asyncio.wait_for(reader.read(), STRANGER_SECONDS)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_strangers_on_the_peer_port_change_nothing(tmp_path: Path) -> None:
    """Random bytes, half and whole hellos without the secret, HTTP, TLS, pickles, and 200 silent connections at once, on every
    peer port while people book: not one byte of an answer, every connection closed by the node, the leader and the term
    stay, and so does the log of the cluster.
    """
    rng = random.Random(seed_of_run())
    async with running_cluster(tmp_path) as cluster:
        nodes = list(cluster)
        async with under_load(cluster, 2, rng.randrange(1 << 30)) as load:
            await load.progress(10)
            before = await cluster.statuses()
            with ExitStack() as silent:
                for number in range(FLOOD):
                    host, port = nodes[number % 3].raft.split(":")
                    silent.enter_context(socket.create_connection((host, int(port)), 5))
                told = await asyncio.gather(
                    *(
                        _speak("127.0.0.1", int(node.raft.split(":")[1]), data, rng.random() < 0.2)
                        for node in nodes
                        for data in _garbage(rng, node, nodes[nodes.index(node) - 1])
                    )
                )
                assert set(told) == {b""}, "a stranger was told something"
                await load.progress(20)
            after = await cluster.statuses()
        for node in nodes:
            seen, was = after[node.id], before[node.id]
            assert (seen.term, seen.leader_id) == (was.term, was.leader_id), node.id
            assert all(member.reachable for member in seen.members), node.id
            assert "unauthenticated connections" in node.log.read_text(encoding="utf-8")
            assert len(node.last_run()) < 60, "strangers do not fill the log"
            assert all(LOG_LINE.match(line) for line in node.last_run()), node.tail()
        began = time.monotonic()
        leader = await cluster.wait_for_leader()
        leader.kill()
        leader.start()
        await cluster.wait_until_ready()
        assert time.monotonic() - began < 15
        await load.check()
        cluster.assert_no_traceback()


async def test_a_flood_does_not_keep_a_member_out(tmp_path: Path) -> None:
    """Strangers who connect again and again to every peer port cannot keep a member that comes back from joining."""
    async with running_cluster(tmp_path) as cluster:
        stop = asyncio.Event()
        came = 0

        async def knock(node: NodeProcess) -> None:
            nonlocal came
            host, port = node.raft.split(":")
            while not stop.is_set():
                try:
                    _, writer = await asyncio.open_connection(host, int(port))
                except OSError:
                    await asyncio.sleep(0.05)
                    continue
                came += 1
                writer.write(b"\x00")
                await asyncio.sleep(0.5)
                writer.close()

        async with asyncio.TaskGroup() as strangers:
            for number in range(FLOOD):
                strangers.create_task(knock(list(cluster)[number % 3]))
            try:
                leader = await cluster.wait_for_leader()
                leader.kill()
                await cluster.wait_for_leader()
                leader.start()
                await cluster.wait_until_ready()
                await cluster.wait_until_equal()
            finally:
                stop.set()
        print(f"{came} strangers came")
        cluster.assert_no_traceback()
