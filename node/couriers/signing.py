"""Signatures of webhooks by the rules of Standard Webhooks 1.0, and the secrets behind them.

No secret of an endpoint is stored anywhere. It is made from the members' shared secret (node/secret.py), the endpoint's id
and a *key name* that the replicated state keeps: the id of a line of the secret file and a random salt, `kid.salt`. So every
member can sign after a failover; a snapshot or a backup gives nothing to whoever reads it; and a repeated creation (the same
Idempotency-Key) is answered with the same secret. Rotation is a new salt; for a grace period both keys sign, and the receiver takes
whichever of the two it knows. The price: when the operator takes a line out of the secret file, the endpoints whose key was
made from it cannot be signed for until they are rotated; their deliveries wait and say so.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections.abc import Iterable

from node.secret import Secret

PREFIX = "whsec_"
SALT_BYTES = 12
_PURPOSE = b"webhook signing"
_KEY_NAME = re.compile(r"([0-9a-f]{12})\.([0-9a-f]{24})")


class SigningKeys:
    """Makes the secrets of endpoints from their key names."""

    def __init__(self, secret: Secret) -> None:
        self._active_kid = secret.active_kid
        self._keys = {kid: secret.derive(_PURPOSE, kid) for kid in secret.kids}

    def new_name(self) -> str:
        """The name of a key that is to be, under the line that is active now."""
        return f"{self._active_kid}.{secrets.token_hex(SALT_BYTES)}"

    def raw(self, endpoint_id: str, key_name: str) -> bytes | None:
        """The 32 bytes that sign; None when their line is no longer in the secret file."""
        match = _KEY_NAME.fullmatch(key_name)
        key = self._keys.get(match[1]) if match else None
        return None if key is None else hmac.digest(key, f"{endpoint_id} {key_name}".encode(), "sha256")

    def shown(self, endpoint_id: str, key_name: str) -> str | None:
        """The secret as its receiver gets it: `whsec_` and base64."""
        raw = self.raw(endpoint_id, key_name)
        return None if raw is None else PREFIX + base64.b64encode(raw).decode()


def signature_header(message_id: str, timestamp_seconds: int, payload: bytes, keys: Iterable[bytes]) -> str:
    """`webhook-signature`: one `v1,<base64>` for each key, separated by spaces."""
    signed = f"{message_id}.{timestamp_seconds}.".encode() + payload
    digests = (hmac.digest(key, signed, "sha256") for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
