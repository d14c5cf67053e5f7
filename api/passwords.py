"""Passwords: what is good enough, and hashing that cannot starve the node.

argon2id with explicit parameters, at the OWASP minimum (Password Storage Cheat Sheet: m=19 MiB, t=2, p=1). A hash
takes tens of milliseconds of a core, so it runs in a thread of its own (argon2-cffi releases the interpreter lock), and
the queue before that thread is bounded: beyond the bound the answer is 429, while bookings go on.

A log-in with an unknown login verifies against a dummy hash, so that the time taken does not tell whether the login
exists. Failed log-ins are counted in the state (`throttle.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import argon2

from api.problems import Refusal

MIN_CHARACTERS = 8
MAX_CHARACTERS = 128
MAX_BYTES = 1024
HASHING_THREADS = 1
MAX_WAITING = 32  # about a second of hashing on a small core

T = TypeVar("T")

# The most used passwords of at least eight characters, Latin and typed on a Russian keyboard.
_COMMON_TEXT = """
12345678 123456789 1234567890 0123456789 123123123 987654321 87654321 11223344 1q2w3e4r 1q2w3e4r5t 1qaz2wsx q1w2e3r4
qwertyui qwertyuiop qwerty12 qwerty123 qwerty1234 qwerty12345 qazwsxedc asdfghjk asdfghjkl zxcvbnm1 password password1
password12 password123 passw0rd p@ssw0rd p@ssword pa55word iloveyou sunshine princess football baseball superman trustno1
starwars whatever computer michelle jennifer corvette mercedes butterfly letmein1 welcome1 welcome123 changeme admin123
admin1234 administrator abcd1234 abc12345 abcdefgh a1b2c3d4 qwer1234 1234qwer zaq12wsx q1w2e3r4t5 123qweasd 1qazxsw2
access14 internet samsung1 deskraft deskraft1 coworking йцукенгш йцукенгшщз йцукенгшщзх пароль123 пароль12 парольпароль
привет123 123456йцукен любовь123 наташа123 gfhjkm123 ghbdtn123 ghjcnjgfhjkm vfhbyf123 rfnthbyf
"""
COMMON = frozenset(_COMMON_TEXT.split())


@dataclass(frozen=True)
class Cost:
    """argon2id parameters."""

    memory_kib: int = 19_456
    passes: int = 2
    lanes: int = 1


def refuse_weak(password: str, login: str, pointer: str = "/password") -> None:
    """Raise `Refusal("weak-password")` unless the password may be used."""
    reason = _weakness(password, login)
    if reason:
        raise Refusal("weak-password", f"The password {reason}.", errors=[(pointer, reason)])


def _weakness(password: str, login: str) -> str:
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        return f"must have {MIN_CHARACTERS} to {MAX_CHARACTERS} characters"
    if len(password.encode()) > MAX_BYTES:
        return f"must have at most {MAX_BYTES} bytes in UTF-8"
    folded = password.casefold()
    if folded == login.casefold():
        return "must not be the login"
    if folded in COMMON:
        return "is one of the most used ones"
    if len(set(folded)) == 1:
        return "must not repeat one character"
    return ""


class PasswordHasher:
    """Hashes and verifies off the event loop, with a bounded queue."""

    def __init__(self, cost: Cost | None = None) -> None:
        cost = cost or Cost()
        self._argon2 = argon2.PasswordHasher(
            time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes, type=argon2.Type.ID
        )
        self._pool = ThreadPoolExecutor(HASHING_THREADS, thread_name_prefix="argon2")
        self._waiting = 0
        self._dummy_hash = ""

    @property
    def waiting(self) -> int:
        """Hashes asked for and not done."""
        return self._waiting

    async def hash(self, password: str, timeout_seconds: float) -> str:
        """An argon2id string. Raises `Refusal("overloaded")`."""
        return await self._run(lambda: self._argon2.hash(password), timeout_seconds)

    async def verify(self, password: str, password_hash: str | None, timeout_seconds: float) -> bool:
        """Whether the password is the one; None stands for an unknown login. Raises `Refusal("overloaded")`."""
        return await self._run(lambda: self._verify(password, password_hash), timeout_seconds)

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._argon2.check_needs_rehash(password_hash)

    def close(self) -> None:
        """Let go of the thread; hashes still waiting are dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password: str, password_hash: str | None) -> bool:
        if not self._dummy_hash:  # made by whichever log-in comes first, so it tells nothing either
            self._dummy_hash = self._argon2.hash("nobody has this password")
        known = password_hash is not None
        try:
            return self._argon2.verify(password_hash or self._dummy_hash, password) and known
        except argon2.exceptions.VerifyMismatchError:
            return False

    async def _run(self, work: Callable[[], T], timeout_seconds: float) -> T:
        if self._waiting >= MAX_WAITING:
            raise Refusal("overloaded", "Too many passwords are being checked. Retry after a moment.")
        self._waiting += 1
        try:
            future = asyncio.get_running_loop().run_in_executor(self._pool, work)
            async with asyncio.timeout(max(0.0, timeout_seconds)):
                return await future  # cancelled by the timeout, it is not begun when its turn comes
        except TimeoutError:
            raise Refusal(
                "overloaded", "The password was not checked in time. Retry after a moment."
            ) from None
        finally:
            self._waiting -= 1
