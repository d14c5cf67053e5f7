"""Every refusal that leaves the node, in one table.

A client decides by `type`; people read `title` and `detail`. `type` is the URN `urn:deskraft:problem:<code>`
(RFC 9457 allows any URI; a URN promises no page that would have to be served for ever). The code is stable;
titles and details may be reworded.

The codes that a state machine's `Outcome` carries stand in the same table, so a new one without a status is
found by a test and not by a user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

TYPE_PREFIX = "urn:deskraft:problem:"
MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1


@dataclass(frozen=True)
class Kind:
    """HTTP status and words of one code. `retry` adds `Retry-After`."""

    status: int
    title: str
    detail: str = ""
    retry: bool = False


KINDS: dict[str, Kind] = {
    # Found before the log is asked.
    "broken-json": Kind(400, "The body is not JSON"),
    "bad-request": Kind(400, "The request cannot be read"),
    "unauthenticated": Kind(
        401, "Log in first", "The access token is missing, expired, forged or logged out."
    ),
    "wrong-credentials": Kind(401, "Wrong login or password", "No user has this login and password."),
    "refresh-invalid": Kind(401, "The refresh token is not valid", "Log in again."),
    "wrong-password": Kind(403, "This is not your password", "Nothing was done."),
    "password-changed-since": Kind(
        409, "The user has another password by now", "The one-time password was replaced meanwhile."
    ),
    "forbidden": Kind(403, "Not allowed"),
    "foreign-page": Kind(
        403,
        "That is not a page of this cluster",
        "`Origin` must be a member's, and `Deskraft-Page: 1` be there.",
    ),
    "not-found": Kind(404, "Nothing is here"),
    "method-not-allowed": Kind(405, "This address does not take that method"),
    "request-timeout": Kind(408, "The request did not arrive in time"),
    "not-applied-yet": Kind(409, "The log has not come that far here", "Ask again later.", retry=True),
    "forgotten": Kind(410, "That is too long ago", "What this node remembers of the past is limited."),
    "revision-changed": Kind(412, "It has changed", "`If-Match` names another revision. Look again."),
    "body-too-large": Kind(413, "The body is too large"),
    "unsupported-media-type": Kind(415, "The body must be application/json"),
    "expectation-failed": Kind(417, "The expectation cannot be met"),
    "invalid-body": Kind(422, "The body is not what this call takes"),
    "invalid-parameter": Kind(422, "A parameter is not what this call takes"),
    "invalid-login": Kind(422, "This login cannot be used"),
    "weak-password": Kind(422, "This password is too weak"),
    "report-too-large": Kind(422, "That is too much for one report"),
    "nonexistent-time": Kind(422, "This local time does not exist on that day"),
    "ambiguous-time": Kind(422, "This local time exists twice on that day"),
    "space-needed": Kind(422, "Name the space", "More than one space has this seat."),
    "too-many-attempts": Kind(429, "Too many failed log-ins", retry=True),
    "overloaded": Kind(429, "Too much at once", "Nothing was done. Retry after a moment.", retry=True),
    "internal": Kind(500, "The node failed to answer"),
    "unavailable": Kind(
        503, "The cluster cannot answer now", "Nothing was done. Retry, or ask another node.", retry=True
    ),
    "outcome-unknown": Kind(
        503,
        "It is not known whether this happened",
        "Repeat the request with the same Idempotency-Key to learn its outcome.",
        retry=True,
    ),
    # Decided by the leader when members are to be changed (node.membership, node.changes).
    "unknown-member": Kind(404, "The cluster has no such member"),
    "change-pending": Kind(
        409, "Another change of the members is under way", "Nothing was done.", retry=True
    ),
    "not-caught-up": Kind(409, "The member has not caught up", "Nothing was done.", retry=True),
    "would-lose-quorum": Kind(409, "Without this member no majority would be left"),
    "member-exists": Kind(409, "There is a member of this name"),
    "address-taken": Kind(409, "Another member has this address"),
    "too-many-members": Kind(409, "The cluster has as many members as it can"),
    "too-many-voters": Kind(409, "The cluster has as many voters as it can"),
    "member-alive": Kind(409, "The member is here with its data"),
    "not-a-voter": Kind(409, "A learner cannot lead"),
    "change-refused": Kind(409, "The change is refused"),
    # Decided by the log (statemachine.outcomes.Code).
    "already-born": Kind(409, "The cluster has been born"),
    "not-born": Kind(503, "The cluster has not been born yet", retry=True),
    "deadline-passed": Kind(503, "It came too late to be carried out", "Nothing was done.", retry=True),
    "malformed": Kind(500, "The node sent a command that cannot be read"),
    "key-reused": Kind(
        422, "This Idempotency-Key belongs to another request", "Use a new key for a new request."
    ),
    "too-many-keys": Kind(429, "Too many Idempotency-Keys are remembered for this user", retry=True),
    "login-taken": Kind(409, "This login is taken", "Choose another login."),
    "credentials-changed": Kind(401, "The password has just been changed", "Log in again."),
    "refresh-reused": Kind(
        401, "This refresh token was used before", "The session has been ended for safety. Log in again."
    ),
    "too-many-calendars": Kind(409, "No more calendar feeds can be given"),
    "too-many-users": Kind(409, "No more users can be registered"),
    "unknown-space": Kind(422, "There is no such space"),
    "unknown-seat": Kind(422, "There is no such seat"),
    "rules-changed": Kind(503, "The rules of the space are changing", "Nothing was done.", retry=True),
    "space-exists": Kind(409, "There is a space of this id", "A retired space keeps its id."),
    "seat-exists": Kind(409, "The space has a seat of this id", "A retired seat keeps its id."),
    "too-many-spaces": Kind(409, "No more spaces can be made"),
    "too-many-seats": Kind(409, "No more seats can be added to this space"),
    "affected-changed": Kind(
        409,
        "Accepted bookings are touched",
        "Nothing was done. Look at `affected`, and repeat with its `token` and what shall become of them.",
    ),
    "change-too-wide": Kind(409, "The change reaches too far", "Nothing was done."),
    "too-many-affected": Kind(
        409, "Too many bookings to cancel at once", "Nothing was done. Change less at a time, or keep them."
    ),
    "beyond-horizon": Kind(409, "That is too far ahead", "The space takes bookings `limit` days ahead."),
    "too-long": Kind(422, "That is too long", "A booking of this space takes `limit` minutes at most."),
    "too-many-live": Kind(409, "You have too many bookings", "`limit` of them may lie ahead in this space."),
    "too-many-that-day": Kind(
        409, "You have too many bookings that day", "`limit` of them are allowed in this space."
    ),
    "seated-elsewhere": Kind(
        409, "You have another seat then", "One seat at a time is allowed in this space."
    ),
    "too-late-to-cancel": Kind(
        409,
        "It is too late to cancel",
        "This space takes bookings back until `limit` minutes before they begin.",
    ),
    "out-of-service": Kind(409, "The seat is out of service then", "See `alternatives` for free ones."),
    "off-grid": Kind(
        422,
        "This is not a slot of that day",
        "A booking starts on a slot boundary and ends within the opening hours.",
    ),
    "closed": Kind(422, "The space is closed then"),
    "past": Kind(422, "That slot has begun already"),
    "seat-taken": Kind(409, "The seat is taken then", "See `alternatives` for free ones."),
    "booking-not-found": Kind(404, "You have no such booking"),
    "booking-completed": Kind(409, "The booking is over", "A completed booking cannot be cancelled."),
    "too-early-to-check-in": Kind(
        409, "It is too early to check in", "One can check in from 15 minutes before the start."
    ),
    "waiting-not-found": Kind(404, "You do not wait for that"),
    "too-many-waiting": Kind(409, "You wait for as many places as one may", "Leave a line first."),
    "waitlist-full": Kind(409, "The line for this place is full"),
    "series-not-found": Kind(404, "You have no such series"),
    "booking-cancelled": Kind(409, "The booking was given up", "It has no place that could be moved."),
    "booking-begun": Kind(409, "The booking has begun", "A booking that has begun cannot be moved."),
    "booking-changed": Kind(503, "The booking is being changed", "Nothing was done.", retry=True),
    "too-many-changes": Kind(409, "The booking has been changed too often", "Cancel it and book anew."),
    "user-blocked": Kind(403, "This user is blocked", "Ask an administrator."),
    "password-change-needed": Kind(
        403, "Change the password first", "It is a one-time password: nothing else can be done with it."
    ),
    "last-administrator": Kind(
        409, "This is the last administrator", "Promote somebody else first; a blocked one does not count."
    ),
    "user-not-found": Kind(404, "There is no such user"),
    "session-not-found": Kind(404, "You have no such session"),
    "sink-not-found": Kind(404, "There is no such sink"),
    "not-a-webhook": Kind(409, "This sink is not a webhook", "cluster.yml says how it is reached."),
    "signing-key-lost": Kind(
        409,
        "This webhook cannot be signed for",
        "Its secret was made from a line that is no longer in the secret file. Rotate it.",
    ),
    "too-many-sinks": Kind(409, "No more sinks can be made"),
    "outbox-moved": Kind(503, "The outbox is being changed", "Nothing was done.", retry=True),
    "too-many-notifications": Kind(409, "No more people can be notified"),
    "too-many-addresses": Kind(429, "Too many codes were mailed for you", "Try again tomorrow.", retry=True),
    "address-changed": Kind(
        409, "This is not the address that the code was mailed to", "Ask for another code."
    ),
    "wrong-code": Kind(422, "This is not the code that was mailed", "Nothing was done."),
    "duplicate-id": Kind(503, "An identifier was used twice", "Nothing was done. Retry.", retry=True),
}


class Refusal(Exception):  # noqa: N818 - it is an answer, not a failure of the node
    """Raised by a handler to answer with a problem.

    `errors` are pairs of a JSON Pointer into the body and what is wrong there; `members` are further members of the
    problem object; `headers` are added to the answer.
    """

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        errors: Sequence[tuple[str, str]] = (),
        members: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        assert code in KINDS, code
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.errors = errors
        self.members = members
        self.headers = dict(headers or {})
        if KINDS[code].retry:
            self.headers.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
        if KINDS[code].status == 401:
            self.headers.setdefault("WWW-Authenticate", "Bearer")

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return KINDS[self.code].status

    def encode(self) -> bytes:
        """The problem object as JSON."""
        kind = KINDS[self.code]
        problem: dict[str, Any] = {
            "type": TYPE_PREFIX + self.code,
            "title": kind.title,
            "status": kind.status,
            "detail": self.detail or kind.detail or kind.title,
        }
        if self.errors:
            problem["errors"] = [{"pointer": pointer, "detail": detail} for pointer, detail in self.errors]
        if self.members:
            problem.update(self.members)
        return msgspec.json.encode(problem)


def parameter_refusal(name: str, detail: str) -> Refusal:
    """A query parameter or a header that is not what the call takes; `parameter` names it."""
    return Refusal("invalid-parameter", f"{name}: {detail}", members={"parameter": name})
