"""What happens by itself when its time has come.

Time is in the log alone: nothing happens because a clock went on, but because an entry carries a stamp. The leader makes an
empty entry when something is due and no other entry comes (`node/core.py`), and `carry_out` does what is due at the stamp of *any*
entry, before its commands: so it happens once, on every member at the same index, whoever leads. At most MAX_DUE_PER_ENTRY
things are done in one entry; what is left is due still, and the leader makes another one.
"""

from __future__ import annotations

from statemachine.checkin import nobody_came
from statemachine.events import WaitingEnded
from statemachine.limits import MAX_DUE_PER_ENTRY
from statemachine.notifications import remind
from statemachine.table_dues import REMINDER_DUE, WAITER_DUE
from statemachine.tables import Entry, Tables


def carry_out(tables: Tables, entry: Entry) -> None:
    """Do what is due, the earliest first."""
    for _ in range(MAX_DUE_PER_ENTRY):
        due = tables.next_due(entry.now_ms)
        if due is None:
            return
        subject_id = due[len(WAITER_DUE) :]
        if due.startswith(WAITER_DUE):
            waiter = tables.waiters[subject_id]
            tables.drop_waiter(waiter)
            if waiter.status == "waiting":
                entry.record(WaitingEnded(waiter, "expired", entry.now_ms))
        elif due.startswith(REMINDER_DUE):
            remind(tables, entry, subject_id)
        else:
            nobody_came(tables, entry, subject_id)
