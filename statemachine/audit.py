"""What administrators did: one record for every administrative command, in the state itself.

**Why in the state.** A line in one node's log is on one disk, and a node that is lost takes it along. A record in
the state is written by the very command that it tells of: there is no act without a record and no record
without an act, on every member and in every snapshot.

**Order.** Records stand in the order of the log, by `index.position` of the change that they tell of. Each has a
`number` besides, counted from 1 since the cluster was born and never used twice: it is the cursor of pages, and
a gap before the oldest one says how many have been forgotten.

**Bounded.** MAX_AUDIT_RECORDS are kept; when another comes, the oldest is forgotten. Readers see that
from the numbers. Texts longer than their limits are cut: a record must never be what an act fails for.

**No names.** Actors and subjects are ids; what they are called is looked up when the record is read. So a person who
erases their account leaves the fact and not the name. Whoever writes `detail` keeps names out of it, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from statemachine.limits import MAX_AUDIT_DETAIL_CHARS, MAX_AUDIT_RECORDS, MAX_ID_CHARS

if TYPE_CHECKING:
    from statemachine.tables import Tables


class AuditRecord(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One administrative act. `what` is in the past tense, as "user-blocked"; `subject` is the id of what it was done to."""

    number: int
    index: int
    position: int
    at_ms: int
    actor: str
    what: str
    subject: str
    detail: str


def record(
    state: Tables, index: int, position: int, actor: str, what: str, subject: str, detail: str = ""
) -> None:
    """Note an act that was just carried out; `index` and `position` are those of its outcome."""
    if len(state.audit) >= MAX_AUDIT_RECORDS:
        state.audit.drop_first()
    state.add_audit(
        AuditRecord(
            state.audit_count + 1,
            index,
            position,
            state.now_ms,
            actor[:MAX_ID_CHARS],
            what[:MAX_ID_CHARS],
            subject[:MAX_ID_CHARS],
            detail[:MAX_AUDIT_DETAIL_CHARS],
        )
    )
