"""How long one has to wait after failed log-ins: counted in the replicated state, so that it holds on every node.

**Keys.** A failure counts under keys of three classes, told by the first letter. The rest of a key is a keyed hash made
by the node, so that the state tells neither logins nor addresses; whether a login exists makes no difference.

- `d…`: one login from one device that has logged in as it before (OWASP's *device cookies*, "Slow Down Online Guessing
  Attacks with Device Cookies"). Such a device answers for its own failures only, so strangers cannot lock it out.
- `n…`: one login from one coarse network address, for devices that are not known.
- `l…`: one login from anywhere, for devices that are not known: what a guesser gains by having many addresses.

**Delay.** The first failures are free; from then on each doubles the time until the next attempt, up to a cap that is
short: a stranger can slow down a user who logs in from a new device, and not shut them out for long. What the caps leave a
guesser is in `docs/operations.md`. All time is log time.

**Bounded.** MAX_FAILURE_ROWS keys are kept; when another comes, the one that has been quiet for longest is forgotten.
A key is forgotten by itself FORGET_MS after its last failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from statemachine.commands import Envelope
from statemachine.limits import MAX_FAILURE_ROWS, MAX_FAILURES_NOTED, MAX_ID_CHARS
from statemachine.outcomes import Outcome
from statemachine.people_commands import NoteFailures
from statemachine.people_events import LogInsFailed
from statemachine.records import Failures

if TYPE_CHECKING:
    from statemachine.tables import Entry, Tables

FORGET_MS = 3600 * 1000
MAX_COUNT = 1_000  # a row counts no further; every delay has reached its cap long before


class Terms(NamedTuple):
    """How many failures are free, how long one waits after the next, and at most."""

    free: int
    base_ms: int
    cap_ms: int


TERMS = {
    "d": Terms(5, 2_000, 60_000),
    "n": Terms(5, 2_000, 60_000),
    "l": Terms(20, 1_000, 15_000),
}


def delay_ms(key: str, count: int) -> int:
    """How long after its last failure the next attempt under a key may come."""
    terms = TERMS[key[0]]
    if count < terms.free:
        return 0
    return min(terms.cap_ms, terms.base_ms << min(count - terms.free, 16))


def note_failures(tables: Tables, entry: Entry, _envelope: Envelope, command: NoteFailures) -> Outcome:
    """Add what a node has counted."""
    noted = command.failures
    if not 0 < len(noted) <= MAX_FAILURES_NOTED or not all(_is_sound(*each) for each in noted):
        return entry.refuse("malformed")
    for key, count in noted:
        before = tables.failures.get(key)
        known = before.count if before is not None else 0
        tables.put_failures(Failures(key, min(MAX_COUNT, known + count), entry.now_ms))
    while len(tables.failures) > MAX_FAILURE_ROWS:
        tables.drop_oldest_failures()
    position = entry.record(LogInsFailed(len(noted), entry.now_ms))
    return Outcome("ok", entry.index, position)


def expire(tables: Tables) -> None:
    """Forget the keys that have been quiet for long enough."""
    rows = tables.failures
    while rows and rows[next(iter(rows))].last_ms + FORGET_MS <= tables.now_ms:
        tables.drop_oldest_failures()


def _is_sound(key: str, count: int) -> bool:
    return 1 < len(key) <= MAX_ID_CHARS and key[0] in TERMS and 0 < count <= MAX_COUNT
