"""A backup over HTTP: for administrators, whole, and one at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from api import backups as served
from client.aio import Client
from client.backups import fetch
from client.errors import DeskraftError, NoNodeAnswers
from node import backups
from node.verification import examine_backup
from tests.api.conftest import Node, expect_problem

PATH = "/api/v1/cluster/backup"


async def test_only_administrators_may(node: Node) -> None:
    await expect_problem(await node.get(PATH), 401, "unauthenticated")
    await expect_problem(await node.get(PATH, await node.user()), 403, "forbidden")


async def test_the_file_holds_everything_up_to_its_index(node: Node, tmp_path: Path) -> None:
    admin = await node.admin()
    answer = await node.get(PATH, admin)
    data = await answer.read()
    assert (answer.status, answer.content_type) == (200, served.MEDIA_TYPE)
    path = tmp_path / "b"
    path.write_bytes(data)
    assert examine_backup(path).faults == []
    head, state = backups.read(path)
    assert str(head.index) == answer.headers["Deskraft-Index"]
    assert state.checksum() == node.replica.state.checksum()
    assert (
        answer.headers["Content-Disposition"] == f'attachment; filename="deskraft-demo-{head.index}.backup"'
    )
    assert (await node.get(PATH, admin)).status == 200


async def test_one_at_a_time(node: Node) -> None:
    admin = await node.admin()
    services = node.client.server.app[served_services()]  # type: ignore[union-attr]  # it is our own application
    services.chores.backup = True
    await expect_problem(await node.get(PATH, admin), 429, "overloaded")
    services.chores.backup = False
    assert (await (await node.get(PATH, admin)).read()).startswith(b"DSKBACK1")
    assert not services.chores.backup


def served_services() -> object:
    from api.app import SERVICES

    return SERVICES


class Cut:
    """Stands for a client whose node sends what the test says."""

    def __init__(self, *answers: bytes | DeskraftError) -> None:
        self.answers = list(answers)
        self.servers = tuple(f"http://n{number}" for number, _ in enumerate(answers, 1))

    async def cluster(self) -> object:
        class Seen:
            members: tuple[()] = ()
            leader_id = None

        return Seen()

    async def stream_backup(self, server: str, write: object) -> int:
        answer = self.answers.pop(0)
        if isinstance(answer, DeskraftError):
            raise answer
        for at in range(0, len(answer), 7):
            write(answer[at : at + 7])  # type: ignore[operator]
        return 5


async def test_a_transfer_that_was_cut_leaves_no_file(node: Node, tmp_path: Path) -> None:
    whole = await (await node.get(PATH, await node.admin())).read()
    path = tmp_path / "b"
    for broken in (whole[:-1], whole[: len(whole) // 2], b"", whole + b"x", b"x" + whole[1:]):
        path.write_bytes(b"older")
        with pytest.raises(NoNodeAnswers, match="cut short"):
            await fetch(_client(Cut(broken)), path)
        assert os.listdir(tmp_path) == ["b"]
        assert path.read_bytes() == b"older"
    taken = await fetch(_client(Cut(NoNodeAnswers({}), whole)), path)
    assert (path.read_bytes(), taken.server, taken.size_bytes) == (whole, "http://n2", len(whole))


def _client(cut: Cut) -> Client:
    return cut  # type: ignore[return-value]  # it has what is asked of it


async def test_what_happens_meanwhile_is_not_in_the_file(node: Node, tmp_path: Path) -> None:
    """The state is that of the index in the head, however long the file takes."""
    token, admin = await node.user(), await node.admin()
    answer = await node.get(PATH, admin)
    before = node.replica.state.checksum()
    data = await answer.content.read(1)
    body = {"space_id": "hq", "seat_id": "A1", "starts_at": "2026-12-01T10:00:00+03:00", "slots": 2}
    assert (await node.post("/api/v1/bookings", body, token)).status == 201
    path = tmp_path / "b"
    path.write_bytes(data + await answer.read())
    assert backups.read(path)[1].checksum() == before


async def test_who_took_a_backup_is_recorded(node: Node) -> None:
    """On all members, and in the file. Not for a look at the headers; not for a stale one, which no leader need be asked for."""
    admin = await node.admin()
    assert (await node.client.head(PATH, headers={"Authorization": f"Bearer {admin}"})).status == 200
    assert len(node.replica.state.audit) == 0
    await (await node.get(PATH, admin)).read()
    (record,) = node.replica.state.audit
    assert (record.what, record.subject) == ("backup-taken", "n1")
    await (await node.get(PATH + "?consistency=stale", admin)).read()
    assert len(node.replica.state.audit) == 1
