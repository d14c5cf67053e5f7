"""What a client shows to be known: short-lived access tokens and rotating refresh tokens.

An **access token** is a JWT (RFC 7519), HS256 and nothing else, 15 minutes long. It names a session; whether that
session still lives is asked of the replicated state, so that a log-out holds on every node at once. Verifying one
costs more than the rest of a request, so a verified token is remembered for 30 seconds; its `exp` is
looked at every time.

A **refresh token** is `session.generation.mac`. Nothing secret is stored: the mac is keyed with the cluster's
secret, so a lost answer can be given again, letter for letter. A token of an older generation is a reuse, which
the state machine finds and ends the session for.

A **browser's cookie** is `session.mac`, for as long as the session lives (`browser.py`).

Time is the cluster's clock, not the node's: tokens travel between nodes. Every line of the secret file verifies,
the active one signs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Any, NamedTuple

import jwt

from api.problems import Refusal
from node.secret import Secret
from statemachine.records import Session

ACCESS_SECONDS = 15 * 60
SESSION_MS = 30 * 24 * 3600 * 1000  # a session ends after so long without a refresh
VERIFIED_FOR_MS = 30_000
MAX_REMEMBERED_TOKENS = 20_000
MAX_TOKEN_CHARACTERS = 2048
MAX_COOKIE_CHARACTERS = 200
CLOCK_LEEWAY_SECONDS = 60  # the cluster's clock may step back a little when its leader changes

_ALGORITHM = "HS256"
_AUDIENCE = "deskraft"
_ACCESS_PURPOSE = b"access token"
_REFRESH_PURPOSE = b"refresh token"
_COOKIE_PURPOSE = b"browser cookie"
_MAC_BYTES = 24
_REQUIRED_CLAIMS = ["iss", "aud", "sub", "sid", "iat", "exp"]
_ID = re.compile(r"[0-9a-f-]{1,64}")
_GENERATION = re.compile(r"0|[1-9][0-9]{0,14}")


class Identity(NamedTuple):
    """Whom a verified access token speaks for."""

    user_id: str
    session_id: str
    expires_ms: int = 0  # when the token runs out; the session may live on


class _Verified(NamedTuple):
    identity: Identity
    expires_ms: int


class AccessTokens:
    """Issues and verifies access tokens. Memory: two generations of at most MAX_REMEMBERED_TOKENS each."""

    def __init__(self, secret: Secret, cluster: str) -> None:
        self._cluster = cluster
        self._active_kid = secret.active_kid
        self._keys = {kid: secret.derive(_ACCESS_PURPOSE, kid) for kid in secret.kids}
        self._codec = jwt.PyJWT()
        self._young: dict[str, _Verified] = {}
        self._old: dict[str, _Verified] = {}
        self._turned_ms = 0

    def issue(self, session: Session, issued_ms: int | None = None) -> str:
        """A token that begins now; without a time, the one since the last rotation: the same session gives the same token."""
        issued = (session.rotated_at_ms if issued_ms is None else issued_ms) // 1000
        claims = {
            "iss": self._cluster,
            "aud": _AUDIENCE,
            "sub": session.user_id,
            "sid": session.id,
            "iat": issued,
            "exp": issued + ACCESS_SECONDS,
        }
        key = self._keys[self._active_kid]
        return self._codec.encode(claims, key, algorithm=_ALGORITHM, headers={"kid": self._active_kid})

    def verify(self, token: str, now_ms: int) -> Identity:
        """Whose token it is. Raises `Refusal("unauthenticated")`, which never tells what exactly was wrong."""
        if (
            not 0 <= now_ms - self._turned_ms < VERIFIED_FOR_MS // 2
            or len(self._young) >= MAX_REMEMBERED_TOKENS
        ):
            # Half the time in each of two generations: nothing is remembered for longer than the whole.
            still_fresh = 0 <= now_ms - self._turned_ms < VERIFIED_FOR_MS
            self._old = self._young if still_fresh else {}
            self._young = {}
            self._turned_ms = now_ms
        verified = self._young.get(token) or self._old.get(token)
        if verified is None:
            verified = self._verify(token, now_ms)
            self._young[token] = verified
        if now_ms >= verified.expires_ms:
            raise Refusal("unauthenticated")
        return verified.identity

    def _verify(self, token: str, now_ms: int) -> _Verified:
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise Refusal("unauthenticated")
        try:
            header = jwt.get_unverified_header(token)
            kid = header.get("kid")
            key = self._keys.get(kid) if isinstance(kid, str) else None
            if key is None:
                raise Refusal("unauthenticated")
            claims: dict[str, Any] = self._codec.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                issuer=self._cluster,
                # Times are judged below, by the cluster's clock instead of this machine's.
                options={
                    "require": _REQUIRED_CLAIMS,
                    "verify_exp": False,
                    "verify_iat": False,
                    "strict_aud": True,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            # Besides its own errors PyJWT lets some of json and base64 through for hostile headers.
            raise Refusal("unauthenticated") from error
        issued, expires = claims["iat"], claims["exp"]
        user_id, session_id = claims["sub"], claims["sid"]
        if type(issued) is not int or type(expires) is not int:
            raise Refusal("unauthenticated")
        if not isinstance(user_id, str) or not isinstance(session_id, str) or not user_id or not session_id:
            raise Refusal("unauthenticated")
        if issued * 1000 > now_ms + CLOCK_LEEWAY_SECONDS * 1000 or expires - issued > ACCESS_SECONDS:
            raise Refusal("unauthenticated")
        return _Verified(Identity(user_id, session_id, expires * 1000), expires * 1000)


class RefreshTokens:
    """Writes and reads refresh tokens."""

    def __init__(self, secret: Secret) -> None:
        self._keys = [secret.derive(_REFRESH_PURPOSE, kid) for kid in secret.kids]  # the active one is first

    def issue(self, session: Session) -> str:
        """The refresh token of a session's present generation."""
        named = f"{session.id}.{session.generation}"
        return f"{named}.{_mac(self._keys[0], named)}"

    def read(self, token: str) -> tuple[str, int]:
        """Session id and generation. Raises `Refusal("refresh-invalid")`."""
        session_id, _, rest = token.partition(".")
        generation, _, mac = rest.partition(".")
        if not _ID.fullmatch(session_id) or not _GENERATION.fullmatch(generation) or not mac.isascii():
            raise Refusal("refresh-invalid")
        named = f"{session_id}.{generation}"
        if not any(hmac.compare_digest(_mac(key, named), mac) for key in self._keys):
            raise Refusal("refresh-invalid")
        return session_id, int(generation)


class BrowserCookies:
    """Writes and reads the cookies of pages (`browser.py`); their names are the cluster's, for a host may have nodes of several."""

    def __init__(self, secret: Secret, cluster: str) -> None:
        self._keys = [secret.derive(_COOKIE_PURPOSE, kid) for kid in secret.kids]  # the active one is first
        self.session_name = f"deskraft-{cluster}"
        self.device_name = f"deskraft-device-{cluster}"

    def issue(self, session_id: str) -> str:
        """The cookie of a session."""
        return f"{session_id}.{_mac(self._keys[0], session_id)}"

    def read(self, text: str) -> str | None:
        """The session that a cookie names, or None when it is none of ours."""
        session_id, _, mac = text.partition(".")
        if len(text) > MAX_COOKIE_CHARACTERS or not text.isascii():
            return None
        known = any(hmac.compare_digest(_mac(key, session_id), mac) for key in self._keys)
        return session_id if known else None


def _mac(key: bytes, text: str) -> str:
    digest = hashlib.blake2b(text.encode("ascii"), key=key, digest_size=_MAC_BYTES).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii")
