"""Failed log-ins on this node, and how they get into the log: what holds everywhere without an fsync for each failure.

The counts and the delays are the state's (`statemachine/throttle.py`). A node adds to them what it has seen and not noted yet:

- The first failures under a key (NOTED_FROM) stay on the node. Most people who mistype do so once or twice, and a stranger
  who tries each of many logins a few times costs the log nothing.
- What goes to the log goes in commands of up to MAX_FAILURES_NOTED keys, one at a time and at least NOTE_EVERY_SECONDS apart. So
  failed log-ins cost a node at most four commands a second, whatever strangers do; between two of them the node
  counts for itself. Answers do not wait for it.
- While there is no leader the counts stay on the node, bounded (MAX_KEPT_KEYS), and are noted afterwards.

Attempts that are being verified count as failed once something has failed under their key: many at once win nothing.

Keys are keyed hashes of the login and of a coarse address (a /24 of IPv4, a /56 of IPv6), so the state holds neither. The address is
the one of the connection: behind a proxy all clients have one, and share its delays. `X-Forwarded-For` is not believed,
for anybody can write it.

**Devices.** A log-in gives a *device token*, which says that this client has logged in as this user before (OWASP's device
cookie). With it a client answers for its own failures only, and strangers cannot keep it waiting. It opens nothing.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import math
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from api.problems import Refusal
from node.replica import OutcomeUnknownError, OverloadedError, Replica, UnavailableError
from node.secret import Secret
from statemachine.limits import MAX_FAILURES_NOTED
from statemachine.people_commands import NoteFailures
from statemachine.state import State
from statemachine.throttle import FORGET_MS, delay_ms

NOTED_FROM = 3  # failures under one key before the node tells the others
NOTE_EVERY_SECONDS = 0.25
NOTE_TIMEOUT_SECONDS = 2.0
RETRY_NOTE_SECONDS = 1.0
MAX_KEPT_KEYS = 10_000  # the one that came first is forgotten
DEVICE_MS = 180 * 24 * 3600 * 1000
IPV4_PREFIX, IPV6_PREFIX = 24, 56
_KEY_BYTES = 12
_MAC_BYTES = 18
_THROTTLE_PURPOSE, _DEVICE_PURPOSE = b"login throttle", b"device token"

log = logging.getLogger("deskraft.api")


class _Seen:
    """What this node has seen under one key and the log does not know yet."""

    __slots__ = ("count", "last_ms", "trying")

    def __init__(self) -> None:
        self.count = 0
        self.last_ms = 0
        self.trying = 0


class Attempt:
    """One log-in that is being verified: to be ended by `failed` or `succeeded`, or by neither when it was no verdict."""

    __slots__ = ("_throttle", "keys")

    def __init__(self, throttle: LoginThrottle, keys: tuple[str, ...]) -> None:
        self._throttle = throttle
        self.keys = keys

    def __enter__(self) -> Attempt:
        self._throttle.begin(self.keys)
        return self

    def __exit__(self, *_: object) -> None:
        self._throttle.end(self.keys)

    def failed(self) -> None:
        """The password was wrong."""
        self._throttle.failed(self.keys)

    def to_forget(self) -> tuple[str, ...]:
        """The keys under which the log knows failures that a success makes good."""
        return self._throttle.known(self.keys)

    def succeeded(self) -> None:
        """The password was right."""
        self._throttle.succeeded(self.keys)


class LoginThrottle:
    """Counts, refuses and notes."""

    def __init__(self, replica: Replica, secret: Secret) -> None:
        self._replica = replica
        self._key = secret.derive(_THROTTLE_PURPOSE, secret.active_kid)
        self._seen: dict[str, _Seen] = {}
        self._due: dict[str, None] = {}
        self._noting: asyncio.Task[None] | None = None

    def attempt(self, state: State, login_key: str, address: str | None, device: str | None) -> Attempt:
        """An attempt, if it may be made now; `device` is a known one's name. Raises `Refusal("too-many-attempts")`."""
        if device is not None:
            keys: tuple[str, ...] = (self._name("d", login_key, device),)
        else:
            keys = (self._name("n", login_key, network_of(address)), self._name("l", login_key, ""))
        now_ms = self._replica.now_ms()
        wait_ms = max(self._until_ms(state, key) for key in keys) - now_ms
        if wait_ms > 0:
            seconds = math.ceil(wait_ms / 1000)
            detail = f"Too many log-ins have failed. The next may be tried in {seconds} seconds."
            raise Refusal("too-many-attempts", detail, headers={"Retry-After": str(seconds)})
        return Attempt(self, keys)

    def confirmation(self, state: State, session_id: str) -> Attempt:
        """An attempt to name one's own password again, within a session."""
        key = self._name("d", "session", session_id)
        wait_ms = self._until_ms(state, key) - self._replica.now_ms()
        if wait_ms > 0:
            raise Refusal("too-many-attempts", headers={"Retry-After": str(math.ceil(wait_ms / 1000))})
        return Attempt(self, (key,))

    async def close(self) -> None:
        """Note nothing any more."""
        if self._noting is not None:
            self._noting.cancel()
            await asyncio.gather(self._noting, return_exceptions=True)

    def begin(self, keys: tuple[str, ...]) -> None:
        """An attempt is being verified."""
        for key in keys:
            self._of(key).trying += 1

    def end(self, keys: tuple[str, ...]) -> None:
        """It is no longer."""
        for key in keys:
            seen = self._seen.get(key)
            if seen is not None:
                seen.trying = max(0, seen.trying - 1)
                if not seen.trying and not seen.count:
                    del self._seen[key]

    def failed(self, keys: tuple[str, ...]) -> None:
        """Count a failure, and note it once there are enough."""
        now_ms = self._replica.now_ms()
        for key in keys:
            seen = self._of(key)
            if seen.count and now_ms - seen.last_ms >= FORGET_MS:
                seen.count = 0
            seen.count += 1
            seen.last_ms = now_ms
            if seen.count >= NOTED_FROM or key in self._replica.state.failures:
                self._due[key] = None
        if self._due and (self._noting is None or self._noting.done()):
            self._noting = asyncio.create_task(self._note())

    def known(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the keys that the state knows failures of."""
        return tuple(key for key in keys if key in self._replica.state.failures)

    def succeeded(self, keys: tuple[str, ...]) -> None:
        """Forget the failures under these keys."""
        for key in keys:
            self._due.pop(key, None)
            seen = self._seen.get(key)
            if seen is not None:
                seen.count = 0

    def _until_ms(self, state: State, key: str) -> int:
        """When the next attempt under a key may be made."""
        count = last_ms = 0
        noted, seen = state.failures.get(key), self._seen.get(key)
        if noted is not None:
            count, last_ms = noted.count, noted.last_ms
        if seen is not None:
            count += seen.count
            last_ms = max(last_ms, seen.last_ms)
            if count and seen.trying:
                count += seen.trying
                last_ms = max(last_ms, self._replica.now_ms())
        return last_ms + delay_ms(key, count) if self._replica.now_ms() - last_ms < FORGET_MS else 0

    def _of(self, key: str) -> _Seen:
        seen = self._seen.get(key)
        if seen is None:
            while len(self._seen) >= MAX_KEPT_KEYS:
                oldest = next(iter(self._seen))
                del self._seen[oldest]
                self._due.pop(oldest, None)
            seen = self._seen[key] = _Seen()
        return seen

    def _name(self, kind: str, login_key: str, rest: str) -> str:
        text = f"{len(login_key)}:{login_key}{rest}"
        digest = hashlib.blake2b(text.encode(), key=self._key, digest_size=_KEY_BYTES, person=kind.encode())
        return kind + digest.hexdigest()

    async def _note(self) -> None:
        while self._due:
            keys = list(self._due)[:MAX_FAILURES_NOTED]
            told = {
                key: seen.count for key in keys if (seen := self._seen.get(key)) is not None and seen.count
            }
            if told:
                try:
                    await self._replica.execute(
                        NoteFailures(tuple((key, min(count, 1_000)) for key, count in told.items())),
                        scope="login-throttle",
                        key=None,
                        fingerprint=b"",
                        session_id="",
                        timeout_seconds=NOTE_TIMEOUT_SECONDS,
                    )
                except (UnavailableError, OverloadedError) as error:
                    log.debug("event=failures-not-noted reason=%s", error)
                    await asyncio.sleep(RETRY_NOTE_SECONDS)
                    continue
                except OutcomeUnknownError:
                    pass  # it may have been noted: to count a failure twice is worse than to lose a few
            self._noted(keys, told)
            await asyncio.sleep(NOTE_EVERY_SECONDS)

    def _noted(self, keys: list[str], told: dict[str, int]) -> None:
        for key in keys:
            seen = self._seen.get(key)
            left = 0
            if seen is not None:
                seen.count = left = max(0, seen.count - told.get(key, 0))
                if not left and not seen.trying:
                    del self._seen[key]
            if not left:
                self._due.pop(key, None)


class DeviceTokens:
    """Writes and reads device tokens: `session.mac`, bound to the user."""

    def __init__(self, secret: Secret) -> None:
        self._keys = [secret.derive(_DEVICE_PURPOSE, kid) for kid in secret.kids]  # the active one is first

    def issue(self, user_id: str, session_id: str) -> str:
        """The token of the device that opened a session: the same session gives the same token."""
        return f"{session_id}.{_mac(self._keys[0], user_id, session_id)}"

    def read(self, token: str | None, user_id: str, now_ms: int) -> str | None:
        """The name of the device, or None when the token is not one of this user's, or too old."""
        session_id, _, mac = (token or "").partition(".")
        if not mac.isascii() or not any(
            hmac.compare_digest(_mac(key, user_id, session_id), mac) for key in self._keys
        ):
            return None
        made_ms = int(session_id.replace("-", "")[:12], 16)  # a UUIDv7 begins with the time; ours, by the mac
        return session_id if now_ms - made_ms < DEVICE_MS else None


def network_of(address: str | None) -> str:
    """The coarse network of an address, or a word for those that have none."""
    try:
        parsed: IPv4Address | IPv6Address = ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    prefix = IPV4_PREFIX if isinstance(parsed, IPv4Address) else IPV6_PREFIX
    return str(ip_network(f"{parsed}/{prefix}", strict=False))


def _mac(key: bytes, user_id: str, session_id: str) -> str:
    digest = hashlib.blake2b(f"{user_id}\n{session_id}".encode(), key=key, digest_size=_MAC_BYTES).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii")
