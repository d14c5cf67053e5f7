"""Failed log-ins: what a stranger meets, what the user meets, and what the log has to carry for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from api import throttle
from api.ids import uuid7
from api.problems import Refusal
from api.throttle import DeviceTokens, LoginThrottle, network_of
from node.replica import UnavailableError
from node.secret import Secret
from statemachine.people_commands import LogIn, NoteFailures
from tests.api.conftest import PASSWORD, SECRET, Node, expect_problem
from tests.api.fake_replica import FakeReplica

LOGIN, CHANGE = "/api/v1/auth/login", "/api/v1/me/password"
WAIT_SECONDS = 5.0


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():  # noqa: ASYNC110 - what is waited for is the state, which tells nobody
            await asyncio.sleep(0.005)


def noted(replica: FakeReplica) -> list[tuple[str, int]]:
    return [
        each for command in replica.commands if isinstance(command, NoteFailures) for each in command.failures
    ]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "NOTE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(throttle, "RETRY_NOTE_SECONDS", 0.01)


async def fail(node: Node, login: str, times: int) -> None:
    for _ in range(times):
        answer = await node.post(LOGIN, {"login": login, "password": "wrong one"})
        await expect_problem(answer, 401, "wrong-credentials")


@pytest.mark.parametrize("login", ["alice", "nobody"])
async def test_the_delay_is_the_same_whether_or_not_a_login_exists(node: Node, login: str) -> None:
    await node.register("alice")
    await node.register("bobby")
    await fail(node, login, 5)
    for seconds in (2, 4, 8):
        answer = await node.post(LOGIN, {"login": login, "password": PASSWORD})
        await expect_problem(answer, 429, "too-many-attempts")
        assert answer.headers["Retry-After"] == str(seconds)
        node.replica.advance(seconds)
        await fail(node, login, 1)
    assert await node.tokens("bobby")


async def test_the_log_holds_hashes_and_only_from_the_third_failure_on(node: Node) -> None:
    await node.register("alice")
    await fail(node, "alice", 2)
    await asyncio.sleep(0)
    assert noted(node.replica) == []
    await fail(node, "alice", 1)
    await until(lambda: len(node.replica.state.failures) == 2)
    assert sorted(row.count for row in node.replica.state.failures.values()) == [3, 3]
    assert all("alice" not in key for key in node.replica.state.failures)
    await fail(node, "alice", 1)
    await until(lambda: {row.count for row in node.replica.state.failures.values()} == {4})
    await node.tokens("alice")
    assert not node.replica.state.failures, "the log-in made them good"


async def test_a_known_device_is_not_kept_waiting_by_strangers(node: Node) -> None:
    await node.register("alice")
    await node.register("bobby")
    mine = (await node.tokens("alice"))["device_token"]
    bobs = (await node.tokens("bobby"))["device_token"]
    await fail(node, "alice", 5)
    body = {"login": "alice", "password": PASSWORD}
    await expect_problem(await node.post(LOGIN, body), 429, "too-many-attempts")
    for other in (bobs, "x.y", "", mine[:-1]):
        answer = await node.post(LOGIN, {**body, "device_token": other})
        await expect_problem(answer, 429, "too-many-attempts")
    assert (await node.post(LOGIN, {**body, "device_token": mine})).status == 200
    for _ in range(5):
        answer = await node.post(LOGIN, {**body, "password": "wrong one", "device_token": mine})
        await expect_problem(answer, 401, "wrong-credentials")
    answer = await node.post(LOGIN, {**body, "device_token": mine})
    await expect_problem(answer, 429, "too-many-attempts")


async def test_what_was_noted_holds_on_another_node_and_what_was_not_is_kept(node: Node) -> None:
    """Without a leader a node counts for itself, and tells when there is one; another node then refuses, too."""
    await node.register("alice")
    here = LoginThrottle(node.replica, SECRET)
    other = LoginThrottle(node.replica, SECRET)
    state = node.replica.state
    node.replica.failure = UnavailableError("no leader")
    for _ in range(5):
        with here.attempt(state, "alice", "192.0.2.7", None) as attempt:
            attempt.failed()
    with pytest.raises(Refusal):
        here.attempt(state, "alice", "192.0.2.99", None)
    here.attempt(
        state, "alice", "198.51.100.1", None
    )  # another network; fewer than the login's own allowance
    other.attempt(state, "alice", "192.0.2.7", None)
    node.replica.failure = None
    await until(lambda: {row.count for row in node.replica.state.failures.values()} == {5})
    with pytest.raises(Refusal):
        other.attempt(node.replica.state, "alice", "192.0.2.7", None)
    await here.close()
    await other.close()


async def test_many_failures_are_few_commands(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "NOTED_FROM", 1)
    here = LoginThrottle(node.replica, SECRET)
    for number in range(200):
        with here.attempt(node.replica.state, f"login{number}", "192.0.2.7", None) as attempt:
            attempt.failed()
    await until(lambda: len(node.replica.state.failures) == 400)
    assert len([each for each in node.replica.commands if isinstance(each, NoteFailures)]) == 7
    await here.close()


async def test_many_attempts_at_once_count_once_something_has_failed(node: Node) -> None:
    here = LoginThrottle(node.replica, SECRET)
    state = node.replica.state
    with here.attempt(state, "alice", None, None) as attempt:
        attempt.failed()
    open_ones = [here.attempt(state, "alice", None, None).__enter__() for _ in range(4)]
    with pytest.raises(Refusal):
        here.attempt(state, "alice", None, None)
    for each in open_ones:
        each.__exit__()
    here.attempt(state, "alice", None, None)
    await here.close()


async def test_what_a_node_keeps_is_bounded(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MAX_KEPT_KEYS", 10)
    here = LoginThrottle(node.replica, SECRET)
    for number in range(50):
        with here.attempt(node.replica.state, f"login{number}", None, None) as attempt:
            attempt.failed()
    assert len(here._seen) <= 10
    await here.close()


async def test_the_old_password_cannot_be_guessed_within_a_session(node: Node) -> None:
    token = await node.user("alice")
    body = {"old_password": "guess", "new_password": "another horse"}
    for _ in range(5):
        await expect_problem(await node.post(CHANGE, body, token), 403, "wrong-password")
    await expect_problem(await node.post(CHANGE, body, token), 429, "too-many-attempts")
    assert await node.tokens("alice"), "log-ins are not delayed by that"


async def test_a_log_in_is_one_command(node: Node) -> None:
    await node.register("alice")
    before = len(node.replica.commands)
    await node.tokens("alice")
    (command,) = node.replica.commands[before:]
    assert isinstance(command, LogIn)
    assert command.forget == ()


def test_device_tokens_are_of_one_user_and_end() -> None:
    tokens, now_ms = DeviceTokens(SECRET), 1_800_000_000_000
    session = uuid7(now_ms)
    token = tokens.issue("u1", session)
    assert tokens.read(token, "u1", now_ms) == session
    assert tokens.read(token, "u2", now_ms) is None
    assert tokens.read(token, "u1", now_ms + throttle.DEVICE_MS) is None
    assert (
        DeviceTokens(Secret(["another secret that is long enough to be one"])).read(token, "u1", now_ms)
        is None
    )
    for wrong in (None, "", ".", token + "x", "é.é", token.replace(".", "")):
        assert tokens.read(wrong, "u1", now_ms) is None


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/56"),
        ("fe80::1%eth0", "fe80::/56"),
        (None, "unknown"),
        ("nonsense", "unknown"),
    ],
)
def test_networks_are_coarse(address: str | None, network: str) -> None:
    assert network_of(address) == network
