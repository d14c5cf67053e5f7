"""One request on its way through the node: what a handler may ask for.

The order is always the same. The gate (`gate.py`) has found the call; a handler gets the decoded body, asks for the
identity or the state, and answers. A linearizable read takes a read index first and judges the session on that
state, so that a log-out holds everywhere at once; a write is judged inside `apply`.

`state` must not be kept across an `await`: an installed snapshot replaces it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from api.bodies import MAX_BODY_BYTES, decode_body
from api.calls import Call
from api.problems import Refusal, parameter_refusal
from api.shapes import Body
from api.tokens import Identity
from statemachine.commands import Command
from statemachine.outcomes import Outcome
from statemachine.records import User
from statemachine.state import State

if TYPE_CHECKING:
    from api.services import Services

MAX_KEY_CHARACTERS = 255
MAX_INDEX_DIGITS = 18
MAX_AUTHORIZATION_CHARACTERS = 4096
IF_MATCH_PATTERN = r'(?:\*|"[0-9a-f.-]{1,64}")'

_ETAG = re.compile(r'"([0-9a-f.]{1,40})(?:-[0-9a-f]{1,23})?"')

_encode = msgspec.json.Encoder().encode


class Exchange:
    """A request, its deadline and the services of the node."""

    __slots__ = ("_deadline", "_identity", "_loop", "call", "index", "query", "request", "services", "stage")

    def __init__(self, services: Services, request: web.Request, call: Call, deadline: float) -> None:
        self.services = services
        self.request = request
        self.call = call
        self.query: dict[str, Any] = {}
        self.index = 0  # the log index that the answer reflects; 0 stands for the one applied at its end
        self.stage = "waiting"  # or "receiving", "writing", "written": what a failure now would mean
        self._loop = asyncio.get_running_loop()
        self._deadline = deadline
        self._identity: Identity | None = None

    def remaining_seconds(self) -> float:
        """What is left of the budget; never negative."""
        return max(0.0, self._deadline - self._loop.time())

    # Reading the request.

    def read_query(self) -> None:
        """Parse the query as the call declares it. Raises `Refusal` for anything else."""
        if self.request.rel_url.raw_query_string:
            known = self.call.parameters
            for name, text in self.request.query.items():
                if name not in known:
                    raise parameter_refusal(name[:50], "is not a parameter of this call")
                if name in self.query:
                    raise parameter_refusal(name, "stands there more than once")
                self.query[name] = known[name].parse(text)
        for parameter in self.call.query:
            if parameter.required and parameter.name not in self.query:
                raise parameter_refusal(parameter.name, "is missing")

    async def read_body(self) -> Body | None:
        """The decoded body, or None for a call that takes none. Raises `Refusal` (400, 408, 413, 415, 422)."""
        kind = self.call.body
        if kind is None:
            return None
        length = self.request.content_length
        if length is not None and length > MAX_BODY_BYTES:
            raise Refusal(
                "body-too-large", f"The limit is {MAX_BODY_BYTES} bytes.", headers={"Connection": "close"}
            )
        self.stage = "receiving"
        data = await self.request.read()
        self.stage = "waiting"
        if not data and self.call.body_optional:
            return kind()
        if self.request.headers.get("Content-Type") != "application/json":
            self._refuse_media_type()
        return decode_body(data, kind)

    def _refuse_media_type(self) -> None:
        if (
            self.request.content_type != "application/json"
            or (self.request.charset or "utf-8").lower() != "utf-8"
        ):
            raise Refusal("unsupported-media-type", headers={"Accept-Post": "application/json"})

    def idempotency_key(self) -> str | None:
        """The client's key, or None. Raises `Refusal`."""
        keys = self.request.headers.getall("Idempotency-Key", ())
        if not keys:
            return None
        key = keys[0]
        if (
            len(keys) > 1
            or not 1 <= len(key) <= MAX_KEY_CHARACTERS
            or not (key.isascii() and key.isprintable())
        ):
            detail = f"must be 1 to {MAX_KEY_CHARACTERS} printable ASCII characters, given once"
            raise parameter_refusal("Idempotency-Key", detail)
        return key

    def if_match(self) -> str | None:
        """The revision that `If-Match` names; None without one, or for any. Raises `Refusal`.

        What stands behind the revision in an ETag tells of views (`views.etag`), and a change is not made to a view.
        """
        text = ",".join(self.request.headers.getall("If-Match", ("*",))).strip()
        if text == "*":
            return None
        found = _ETAG.fullmatch(text)
        if found is None:
            raise parameter_refusal("If-Match", 'must be one ETag such as "12.0", or *')
        return found[1]

    def identity(self) -> Identity:
        """Whom the access token speaks for; whether the session lives is not judged here."""
        if self._identity is None:
            self._identity = self._read_identity()
        return self._identity

    def _read_identity(self) -> Identity:
        values = self.request.headers.getall("Authorization", ())
        if len(values) != 1 or len(values[0]) > MAX_AUTHORIZATION_CHARACTERS:
            raise Refusal("unauthenticated")
        scheme, _, token = values[0].partition(" ")
        if scheme.lower() != "bearer":
            raise Refusal("unauthenticated")
        return self.services.access_tokens.verify(token.strip(), self.services.replica.now_ms())

    def identity_if_given(self) -> Identity | None:
        """Like `identity`, or None without an `Authorization` header. A bad token is refused even so."""
        return self.identity() if "Authorization" in self.request.headers else None

    # Asking the cluster.

    async def wait_for_min_index(self) -> None:
        """Honour `Deskraft-Min-Index`. Raises `Refusal` or UnavailableError."""
        text = self.request.headers.get("Deskraft-Min-Index")
        if text is None:
            return
        if not (text.isascii() and text.isdigit() and len(text) <= MAX_INDEX_DIGITS):
            raise parameter_refusal("Deskraft-Min-Index", "must be a log index")
        index = int(text)
        if index > self.services.replica.applied_index:
            await self.services.replica.wait_until_applied(index, self.remaining_seconds())

    async def read_state(self) -> State:
        """The state to answer a read from: linearizable, or the local one when the client asked for that."""
        replica = self.services.replica
        if self.query.get("consistency") != "stale":
            await replica.read_index(self.remaining_seconds())
        self.index = replica.applied_index
        return replica.state

    def user_of(self, state: State, identity: Identity) -> User:
        """The user of a living session, who may make this call. Raises `Refusal`."""
        session = state.session(identity.session_id, self.services.replica.now_ms())
        if session is None or session.user_id != identity.user_id:
            raise Refusal("unauthenticated")
        standing = state.standings.get(session.user_id) if state.standings else None
        if standing is not None and standing.must_change and not self.call.with_one_time_password:
            raise Refusal("password-change-needed")
        return state.users[session.user_id]

    async def execute(
        self, command: Command, *, scope: str, key: str | None, body: Body, session_id: str
    ) -> Outcome:
        """Have the command carried out once; refusals that mean "not now" for every call are raised."""
        self.stage = "writing"
        outcome = await self._execute(command, scope, key, body, session_id)
        self.stage = "written" if outcome.ok else "waiting"
        self.index = outcome.index
        if outcome.code in _REFUSED_ALIKE:
            raise Refusal(outcome.code)
        return outcome

    async def _execute(
        self, command: Command, scope: str, key: str | None, body: Body, session_id: str
    ) -> Outcome:
        services = self.services
        outcome: Outcome | None = None
        # While the secret is being rotated the key may have been used under another line: ask for each, the
        # active one first. A reused key changes nothing, so asking again is harmless.
        for kid_key in services.fingerprint_keys if key is not None else services.fingerprint_keys[:1]:
            fingerprint = b"" if key is None else self._fingerprint(kid_key, body)
            outcome = await services.replica.execute(
                command,
                scope=scope,
                key=key,
                fingerprint=fingerprint,
                session_id=session_id,
                timeout_seconds=self.remaining_seconds(),
            )
            if outcome.code != "key-reused":
                break
        assert outcome is not None
        return outcome

    def _fingerprint(self, kid_key: bytes, body: Body) -> bytes:
        path = self.request.rel_url.raw_path.encode()
        text = b"\n".join((self.request.method.encode(), path, _encode(body)))
        return hashlib.blake2b(text, key=kid_key, digest_size=16).digest()


_REFUSED_ALIKE = frozenset(
    {
        "password-change-needed",
        "not-born",
        "deadline-passed",
        "malformed",
        "key-reused",
        "too-many-keys",
        "unauthenticated",
        "duplicate-id",
    }
)
