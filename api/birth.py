"""Giving birth to the cluster: the administrator and the first spaces, once.

Every node of `cluster.yml` proposes the same birth until it is done; the key `birth` and the state machine make sure that one
of the proposals counts. A node first takes a read index, so one that merely lags behind a living cluster proposes
nothing. The password is hashed once, whatever the number of attempts.
"""

from __future__ import annotations

import asyncio
import logging

from api.ids import uuid7
from api.logins import canonical_login
from api.passwords import PasswordHasher, refuse_weak
from api.problems import Refusal
from node.config import Bootstrap
from node.replica import OutcomeUnknownError, OverloadedError, Replica, UnavailableError
from statemachine.commands import FoundCluster, NewSpace

ATTEMPT_SECONDS = 2.0
PAUSE_SECONDS = 0.25
HASH_SECONDS = 30.0

_SCOPE = _KEY = "birth"
_FINGERPRINT = b"birth of cluster"  # one for all nodes, whose ids and salts differ

log = logging.getLogger("deskraft.birth")


def birth_command(
    admin_id: str, login: str, login_key: str, password_hash: str, spaces: tuple[NewSpace, ...]
) -> FoundCluster:
    """The command, from what has been made outside the state."""
    return FoundCluster(admin_id, login, login_key, password_hash, spaces)


def password_mistake(bootstrap: Bootstrap, password: str) -> str:
    """Why the administrator's login and password cannot be, as one line; empty when they can."""
    try:
        canonical_login(bootstrap.admin_login)
        refuse_weak(password, bootstrap.admin_login)
    except Refusal as refusal:
        return f"{bootstrap.admin_password_env}, {bootstrap.admin_login}: {refusal.detail}"
    return ""


async def give_birth(
    replica: Replica, bootstrap: Bootstrap, passwords: PasswordHasher, password: str
) -> None:
    """Return once the cluster is born, by this node or another. `password_mistake` has found none."""
    login, login_key = canonical_login(bootstrap.admin_login)
    command: FoundCluster | None = None
    while not replica.state.born:
        try:
            await replica.read_index(ATTEMPT_SECONDS)
            if replica.state.born:
                return
            if command is None:
                password_hash = await passwords.hash(password, HASH_SECONDS)
                command = birth_command(
                    uuid7(replica.now_ms()), login, login_key, password_hash, bootstrap.spaces
                )
            outcome = await replica.execute(
                command,
                scope=_SCOPE,
                key=_KEY,
                fingerprint=_FINGERPRINT,
                session_id="",
                timeout_seconds=ATTEMPT_SECONDS,
            )
            if outcome.code not in ("ok", "already-born", "deadline-passed"):
                raise RuntimeError(f"the cluster cannot be born from this cluster.yml: {outcome.code}")
            log.info("event=birth outcome=%s index=%d", outcome.code, outcome.index)
        except (UnavailableError, OutcomeUnknownError, OverloadedError):
            pass  # no leader yet, or it has just changed: the loop asks again until it is known
        if not replica.state.born:
            await asyncio.sleep(PAUSE_SECONDS)
