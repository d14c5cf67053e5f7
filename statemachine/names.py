"""What rows are looked up by: one text for several parts, so that two different rows cannot have the same one."""

from __future__ import annotations

from statemachine.commands import KEEP_CLIENT_KEY_MS, KEEP_NODE_KEY_MS
from statemachine.records import CELLS_PER_DAY


def key_name(scope: str, key: str) -> str:
    """One text for a scope and a key; the length in front keeps two pairs from having the same one."""
    return f"{len(scope)}:{scope}{key}"


def keep_class(keep_ms: int) -> tuple[bool, int]:
    """Whether a key is a client's, and how long it is kept: the class that keeps at least as long as asked."""
    if keep_ms <= KEEP_NODE_KEY_MS:
        return False, KEEP_NODE_KEY_MS
    return True, KEEP_CLIENT_KEY_MS


def day_name(user_id: str, day: int) -> str:
    """The name of a user's UTC day."""
    return f"{day}:{user_id}"


def space_days(space_id: str, start_cell: int, end_cell: int) -> list[str]:
    """The names of the UTC days of a space that `[start_cell, end_cell)` touches."""
    return [
        day_name(space_id, day)
        for day in range(start_cell // CELLS_PER_DAY, (end_cell - 1) // CELLS_PER_DAY + 1)
    ]
