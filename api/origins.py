"""The origins of the members' pages: who may call this node from a browser, and whom this node's page may call.

The cluster's own record of its members decides, so a member that joins is let in without a restart of the others. The
record is looked at once a second at most, and at once when an origin is not known: the page of a member that has just been added.
"""

from __future__ import annotations

import time

from node.replica import Replica

LOOK_EVERY_SECONDS = 1.0
LOOK_AGAIN_SECONDS = 0.05  # for an origin that is not known; strangers cause no more work than that

_LOOPBACK_NAMES = {"127.0.0.1": "localhost", "[::1]": "localhost"}


class Origins:
    """The origins as of the newest record that this node has applied."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._record: tuple[str, ...] = ()
        self._origins: frozenset[str] = frozenset()
        self._looked_at = float("-inf")

    def current(self) -> frozenset[str]:
        """All of them, not older than LOOK_EVERY_SECONDS."""
        self._look(LOOK_EVERY_SECONDS)
        return self._origins

    def allows(self, origin: str) -> bool:
        """Whether a page from there may read this node's answers."""
        if origin in self.current():
            return True
        self._look(LOOK_AGAIN_SECONDS)
        return origin in self._origins

    def _look(self, age_seconds: float) -> None:
        now = time.monotonic()
        if now - self._looked_at < age_seconds:
            return
        self._looked_at = now
        record = tuple(member.api for member in self._replica.status().members)
        if record != self._record:
            self._record = record
            self._origins = frozenset(origin for api in record for origin in _origins_of(api))


def _origins_of(api: str) -> list[str]:
    """The origins of one member's page; a loopback address is also reached by its name."""
    origins = [f"http://{api}"]
    host, _, port = api.rpartition(":")
    if host in _LOOPBACK_NAMES:
        origins.append(f"http://{_LOOPBACK_NAMES[host]}:{port}")
    return origins
