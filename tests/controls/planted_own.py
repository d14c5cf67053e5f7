"""Defects of our own that were found and mended, brought back."""

from __future__ import annotations

from tests.controls import kinds, regressions, worlds
from tests.controls.registry import Control, Directed, InWorld

OWN: list[Control] = [
    Control(
        "fetched-snapshots-stay",
        "found 34",
        "a snapshot that was being fetched when the newest was written stays on the disk for good",
        "`Pipeline._look_after_snapshots` drops what nobody fetches any more",
        "it does not",
        InWorld(kinds.compactions, patch=worlds.keep_what_was_fetched),
        "though nobody fetches any",
    ),
    Control(
        "stepping-down-in-sight",
        "found 16",
        "a leader that steps down still sees the others, and campaigns without a pre-vote",
        "F6, `Guard._state_changed` hides them in the same moment",
        "they stay in sight until the end of the turn",
        Directed(regressions.who_steps_down_is_quiet),
        "toppled",
    ),
    Control(
        "segments-dropped-together",
        "found 15",
        "segments are removed together, with one sync of the directory for all: names survive in any order",
        "`SegmentedLog._drop_oldest`: one removal, one sync",
        "removals are not synced one by one",
        Directed(regressions.old_segments_go_one_by_one),
        "expected|missing",
    ),
    Control(
        "recovery-not-synced",
        "found 14",
        "what recovery read from the page cache is relied upon",
        "`SegmentedLog.recover` syncs it first",
        "it does not",
        Directed(regressions.what_recovery_read_stays),
        "relied upon",
    ),
]
