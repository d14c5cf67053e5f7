"""Backup, restore and proof on real nodes: everything is there again, in a cluster that refuses the old one."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from client.aio import Client
from client.evidence import compare
from node.backups import INDEX_STRIDE
from tests.integration.cluster import ADMIN_LOGIN, ADMIN_PASSWORD, ROOT, ProcessCluster, running_cluster

COMMAND_SECONDS = 60


async def deskraft(cluster: ProcessCluster, *words: str, home: Path) -> tuple[int, str]:
    """One `deskraft` command: exit status, and all that it said."""
    environment = {
        **os.environ,
        "DESKRAFT_SERVER": ",".join(cluster.urls),
        "DESKRAFT_PASSWORD": ADMIN_PASSWORD,
        "XDG_CONFIG_HOME": str(home),
        "HOME": str(home),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "api.console", *words,
        cwd=ROOT, env=environment, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS)
    assert process.returncode is not None
    return process.returncode, output.decode()


async def booked(cluster: ProcessCluster) -> dict[str, str]:
    """A few bookings, one of them given back, by somebody new: status by id."""
    start = (datetime.now(UTC) + timedelta(days=3)).replace(hour=9, minute=0, second=0, microsecond=0)
    async with Client(cluster.urls) as client:
        await client.register("ada", "a long pass phrase")
        await client.login("ada", "a long pass phrase")
        made = [await client.book("hq", f"A{number}", start) for number in (1, 2, 3)]
        await client.cancel(made[0].id)
        return {booking.id: booking.status async for booking in client.history()}


async def test_backup_destroy_restore(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    backup = tmp_path / "all.backup"
    async with running_cluster(tmp_path) as cluster:
        before = await booked(cluster)
        code, said = await deskraft(cluster, "cluster", "backup", str(backup), home=home)
        assert code == 1 and "log in" in said.lower(), said
        assert not backup.exists()
        assert (await deskraft(cluster, "login", ADMIN_LOGIN, home=home))[0] == 0
        code, said = await deskraft(cluster, "cluster", "backup", str(backup), home=home)
        assert code == 0, said
        assert backup.stat().st_mode & 0o777 == 0o600
        code, said = await deskraft(cluster, "cluster", "verify", str(backup), "--json", home=home)
        assert code == 0 and json.loads(said)["examined"][0]["bookings"] == 3, said

        async with Client(cluster.urls) as client:  # after the backup: lost with the cluster
            await client.login("ada", "a long pass phrase")
            kept_session = client.session
            await client.register("late", "a long pass phrase")
        cluster.kill_all()
        old = tmp_path / "old"
        shutil.move(tmp_path / "data", old)

        config = ["--config", str(tmp_path / "cluster.yml")]
        code, said = await deskraft(cluster, "cluster", "restore", str(backup), *config, home=home)
        assert code == 0, said
        code, said = await deskraft(cluster, "cluster", "restore", str(backup), *config, home=home)
        assert code == 1 and "is not empty" in said
        for node in cluster:
            node.start()
        await cluster.wait_until_ready()
        index, _ = await cluster.wait_until_equal()
        assert index > INDEX_STRIDE

        async with Client(cluster.urls, session=kept_session) as client:
            again = await client.login("ada", "a long pass phrase")
            assert kept_session is not None and again.access_token != kept_session.access_token
            assert {booking.id: booking.status async for booking in client.history()} == before
            assert (await compare(client)).proved
        async with cluster.session.get(
            f"{cluster.urls[0]}/api/v1/me", headers={"Authorization": f"Bearer {kept_session.access_token}"}
        ) as answer:
            assert answer.status == 401  # sessions of before do not live again

        # A member of the old cluster comes back with its old disk.
        stranger = cluster["n3"]
        await stranger.terminate()
        shutil.move(stranger.data_dir, tmp_path / "n3-new")
        shutil.copytree(old / "n3", stranger.data_dir)
        stranger.start()
        rest = [cluster["n1"], cluster["n2"]]

        async def refused() -> bool:
            seen = await cluster.statuses(rest)
            return not stranger.alive or (
                len(seen) == 2
                and not any(m.reachable for s in seen.values() for m in s.members if m.id == "n3")
            )

        await cluster.wait_until(refused, 20, "the old member is not refused")
        async with Client([node.url for node in rest]) as client:
            await client.login("ada", "a long pass phrase")
            assert {booking.id: booking.status async for booking in client.history()} == before
        stranger.kill()
        shutil.rmtree(stranger.data_dir)
        shutil.move(tmp_path / "n3-new", stranger.data_dir)
        stranger.start()
        await cluster.wait_until_ready()
        await cluster.wait_until_equal()
        cluster.assert_no_traceback()


async def test_proof_of_running_members_and_of_their_files(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    async with running_cluster(tmp_path, extra={"snapshot_every_entries": 6}) as cluster:
        await booked(cluster)
        async with Client(cluster.urls) as client:
            await client.login("ada", "a long pass phrase")
            index, digest = client.last_receipt
        await cluster.wait_until_equal()
        code, said = await deskraft(cluster, "cluster", "verify", home=home)
        assert code == 0 and "PROVED: all 3 members" in said, said
        code, said = await deskraft(cluster, "cluster", "receipt", str(index), digest, home=home)
        assert code == 0, said
        code, said = await deskraft(cluster, "cluster", "receipt", str(index), "0" * 32, home=home)
        assert code == 1 and "NOT PROVED" in said, said
        code, said = await deskraft(
            cluster, "cluster", "verify", "--data-dir", str(tmp_path / "data"), home=home
        )
        assert code == 1 and said.count("in use by a running member") == 3, said

        await cluster["n3"].terminate()
        code, said = await deskraft(cluster, "cluster", "verify", home=home)
        assert code == 1 and "n3 does not answer" in said, said
        for node in (cluster["n1"], cluster["n2"]):
            await node.terminate()
        folders = tmp_path / "data"
        code, said = await deskraft(cluster, "cluster", "verify", "--data-dir", str(folders), home=home)
        assert code == 0 and said.endswith("PROVED.\n"), said

        snapshot = max((folders / "n2").glob("snapshot-*.dsk"))
        data = bytearray(snapshot.read_bytes())
        data[len(data) // 2] ^= 1
        snapshot.write_bytes(data)
        code, said = await deskraft(
            cluster, "cluster", "verify", "--data-dir", str(folders / "n2"), home=home
        )
        assert code == 1 and snapshot.name in said, said
        cluster.assert_no_traceback()
