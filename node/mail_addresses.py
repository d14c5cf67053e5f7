"""Which mail addresses are taken, and the codes that users confirm theirs by.

An address is plain ASCII, as RFC 5321 has it, without quotes or comments: what is taken here goes into headers and SMTP commands, and everything
that would need an escape there is refused instead. People whose address is written in another alphabet need SMTPUTF8 (RFC 6531), which
too few servers on the way have.

A code is made from the members' secret, the user and the address, so nothing is stored and every node knows it. It is good for that
user and that address alone, and does not run out: who shows it has read a mail to the address, which stays true.

Fifty bits, in ten characters of Crockford's Base32 (no I, L, O, U): whoever tries a thousand a second has tried half of them after
eighteen thousand years.
"""

from __future__ import annotations

import hmac
import re

from node.secret import Secret

CODE_CHARACTERS = 10
_PURPOSE = b"mail address code"
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


MAX_ADDRESS_CHARACTERS = 254  # RFC 5321, 4.5.3.1.3, without the angle brackets
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=.{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*", re.ASCII)


def is_address(text: str) -> bool:
    """Whether mail may be sent there."""
    return len(text) <= MAX_ADDRESS_CHARACTERS and _ADDRESS.fullmatch(text) is not None


class AddressCodes:
    """Makes and checks the codes."""

    def __init__(self, secret: Secret) -> None:
        self._keys = [secret.derive(_PURPOSE, kid) for kid in secret.kids]  # the active one is first

    def code(self, user_id: str, address: str) -> str:
        """Such as `7K2M9-QX4TD`."""
        return _code(self._keys[0], user_id, address)

    def confirms(self, given: str, user_id: str, address: str) -> bool:
        """Whether it is the code, under any line of the secret; however its letters are written."""
        read = given.upper().translate(_READ_AS).encode(errors="replace")
        # All are compared, so that the time tells nothing about which line it was.
        matches = [hmac.compare_digest(read, _plain(_code(key, user_id, address))) for key in self._keys]
        return any(matches)


def _plain(code: str) -> bytes:
    return code.replace("-", "").encode()


def _code(key: bytes, user_id: str, address: str) -> str:
    digest = hmac.digest(key, f"{user_id}\n{address}".encode(), "sha256")
    number = int.from_bytes(digest[:8], "big")
    letters = [_ALPHABET[number >> 5 * place & 31] for place in range(CODE_CHARACTERS)]
    return "".join(letters[:5]) + "-" + "".join(letters[5:])
