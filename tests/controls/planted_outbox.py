"""What the outbox promises to sinks, each broken under the faults of `told`."""

from __future__ import annotations

from tests.controls import told
from tests.controls.registry import Control, InWorld
from tests.controls.told import hurried

OUTBOX = [
    Control(
        "cursor-before-delivery",
        "the outbox",
        "the cursor moves before the delivery: what a sink has not taken is never told",
        "a cursor passes what is settled, `Dispatch._settle_ahead`",
        "what was looked at counts as settled",
        InWorld(hurried, patch=told.advance_the_cursor_before_delivery, budget=8),
        "never told",
    ),
    Control(
        "cursor-not-replicated",
        "the outbox",
        "the next leader does not know how far sinks were told, and goes on from now",
        "cursors are state, `statemachine/outbox.py`",
        "a new leader begins with the newest event",
        InWorld(hurried, patch=told.keep_the_cursor_to_oneself, budget=8),
        "never told",
    ),
    Control(
        "nothing-waits-for-held",
        "the outbox",
        "what is held back is overtaken by later events of its subject",
        "a subject with a held event is busy, `Dispatch._choose_held`",
        "nothing waits for it",
        InWorld(hurried, patch=told.forget_who_is_held_back, budget=8),
        "another order",
    ),
]
