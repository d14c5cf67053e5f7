"""The birth of the cluster as the API proposes it: once, by whichever node, and only after a look at what there is."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from api.birth import give_birth, password_mistake
from api.passwords import PasswordHasher
from node.replica import UnavailableError
from tests.api.conftest import BOOTSTRAP, CHEAP
from tests.api.fake_replica import FakeReplica


async def test_the_cluster_is_born_once_with_an_administrator_and_its_spaces(replica: FakeReplica) -> None:
    hasher = PasswordHasher(CHEAP)
    try:
        for _ in range(2):
            await give_birth(replica, BOOTSTRAP, hasher, "correct horse battery")
        admin = replica.state.user_by_login_key("admin")
        assert admin is not None
        assert (admin.role, len(replica.commands)) == ("admin", 1)
        assert await hasher.verify("correct horse battery", admin.password_hash, 5.0)
    finally:
        hasher.close()
    assert list(replica.state.spaces) == [space.id for space in BOOTSTRAP.spaces]


async def test_birth_waits_for_a_leader(replica: FakeReplica) -> None:
    replica.failure = UnavailableError("no leader")
    hasher = PasswordHasher(CHEAP)
    birth = asyncio.create_task(give_birth(replica, BOOTSTRAP, hasher, "correct horse battery"))
    await asyncio.sleep(0.1)
    assert not replica.state.born
    replica.failure = None
    await asyncio.wait_for(birth, 5)
    hasher.close()
    assert replica.state.born


def test_a_password_that_cannot_be_is_one_line_that_names_the_variable() -> None:
    assert password_mistake(BOOTSTRAP, "correct horse battery") == ""
    for password in ("short", "password", "adminadmin" * 20):
        mistake = password_mistake(BOOTSTRAP, password)
        assert mistake.startswith("DESKRAFT_ADMIN_PASSWORD, admin: ")
        assert "\n" not in mistake
    short = replace(BOOTSTRAP, admin_login="ab")
    assert "3 to 64" in password_mistake(short, "correct horse battery")
