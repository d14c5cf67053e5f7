"""Every planted defect, by name: the rows of docs/planted-defects.md.

The rows H1 to H21 are those of the measured defects of the consensus library; those called "invariant" are what the state machine and the
design promise. What is taken away is in `worlds`, `rules` and `directed`; here it is said what must then be found, and how.
"""

from __future__ import annotations

from tests.controls import directed, rules, worlds
from tests.controls.registry import Control, Directed, Elsewhere, InLogs, InWorld
from tests.simulation.world import Settings
from tests.statemachine import judges


def _anything() -> Settings:
    return Settings()


def _power_cuts() -> Settings:
    return Settings(faults=("slow_disk", "slow_disk", "crash_all"), fault_every_seconds=0.5)


def _restarts() -> Settings:
    return Settings(faults=("crash", "crash_all", "crash_in_call", "cut"), fault_every_seconds=0.4)


def _compactions() -> Settings:
    return Settings(
        faults=("snapshot", "crash", "crash_all", "crash_in_call"), fault_every_seconds=0.4, snapshot_every=20
    )


def _rot() -> Settings:
    return Settings(faults=("bit_rot", "snapshot"), fault_every_seconds=0.3, snapshot_every=30)


def _divided() -> Settings:
    return Settings(
        members=5,
        faults=("isolate", "halves", "one_way", "cut", "snapshot", "transfer", "crash"),
        fault_every_seconds=0.6,
        snapshot_every=20,
        trim_behind=1,
    )


def _calm() -> Settings:
    return Settings(faults=("cut", "pause"), fault_seconds=12.0, calm_seconds=6.0)


def _wrong_clocks() -> Settings:
    return Settings(faults=("skew", "skew", "transfer", "cut"), fault_every_seconds=0.8)


ENGINE: list[Control] = [
    Control(
        "journal-never-synced",
        "H1",
        "the journal is written and never synced",
        "`node/segments.py`: each frame is synced before the next",
        "writes to the journal are not synced",
        InWorld(_power_cuts, worlds.journal_never_synced),
        "missing|another|damaged|stopped|disagree|did not|first entry",
    ),
    Control(
        "vote-not-kept",
        "H1",
        "a damaged or lost vote file means term 0 and no vote: two leaders in one term",
        "`node/journal.py`: term and vote are operations of the same journal",
        "they are not written",
        InWorld(_restarts, worlds.vote_not_kept, budget=100),
        "two leaders|another|missing|stopped|disagree",
    ),
    Control(
        "vote-lost-at-restart",
        "H1",
        "the same, in a chosen order",
        "`node/journal.py`",
        "a voter comes back without its vote",
        Elsewhere("tests/node/test_elections.py::test_a_vote_survives_a_restart", "keep_votes"),
    ),
    Control(
        "no-checksums",
        "H1",
        "no checksums: what the disk changed is believed",
        "`node/segments.py`: header and payload have checksums",
        "a frame is believed by its magic number and its length",
        InWorld(_rot, patch=worlds.no_checksums),
        "damaged disk",
    ),
    Control(
        "compaction-in-place",
        "H2",
        "compaction rewrites the journal in place: killed in the middle, its tail is lost",
        "`node/segments.py`: nothing that was synced is written again; old segments go whole",
        "after a snapshot the open segment is cleared and written anew",
        InWorld(_compactions, worlds.compaction_in_place),
        "missing|another|damaged|stopped|begins|expected",
    ),
    Control(
        "acks-without-term",
        "H3",
        "an acknowledgement of an old term counts in a new one: acknowledged writes are lost",
        "F1, `Guard.on_append_answer`",
        "old acknowledgements are counted",
        Elsewhere("tests/node/test_replication.py::test_an_old_acknowledgement_does_not_commit"),
    ),
    Control(
        "matching-entries-truncated",
        "H4",
        "a follower cuts off what matches, and each acknowledgement rewinds the leader",
        "F2, `Guard._strip`",
        "nothing is stripped, and the next index goes back",
        InWorld(_anything, worlds.matching_entries_truncated),
        "committed|missing|another",
    ),
    Control(
        "resent-message-truncates",
        "H4",
        "the same, in a chosen order",
        "F2, `Guard._strip`",
        "nothing is stripped",
        Elsewhere("tests/node/test_replication.py::test_a_resent_message_never_truncates_what_matches"),
    ),
    Control(
        "effects-before-sync",
        "H5, invariant 4",
        "acknowledgements, votes and answers leave before anything is durable",
        "F7, the gate of the driver",
        "nothing waits for the disk",
        InWorld(_power_cuts, worlds.effects_before_sync),
        "missing|another|two leaders|stopped|before entry|stale",
    ),
    Control(
        "leader-reads-unproven",
        "H6",
        "a deposed leader answers reads from its own state",
        "F8, `node/reads.py`",
        "who believes that it leads asks nobody",
        InWorld(_anything, worlds.leader_reads_unproven),
        "stale read|missing",
    ),
    Control(
        "deposed-leader-reads",
        "H6",
        "the same, in a chosen order",
        "F8, `node/reads.py`",
        "who believes that it leads asks nobody",
        Elsewhere("tests/node/test_reads.py::test_a_deposed_leader_answers_no_read"),
    ),
    Control(
        "reads-without-index",
        "H6",
        "members answer reads from what they happen to have applied",
        "`node/reads.py`",
        "reads wait for no index",
        InWorld(_anything, worlds.reads_without_index),
        "stale read|missing",
    ),
    Control(
        "fresh-leader-reads",
        "H6",
        "a new leader's commit index may lie behind what its predecessor answered",
        "`Core.own_term_applied`",
        "it tells its commit index at once",
        InWorld(_restarts, worlds.fresh_leader_reads, budget=60),
        "stale read|missing",
    ),
    Control(
        "rule-raises",
        "H7, invariant 3",
        "a method that raises is tried again at every tick, with what it has changed: all members stand still",
        "refusals are values; `node.core` applies, not the library",
        "one refusal raises, and the entry is tried again",
        InWorld(_calm, worlds.rule_raises),
        "never answered|did not converge|born|login",
    ),
    Control(
        "request-ids-restart",
        "H8",
        "request numbers begin again at 1: somebody else's answer is taken for one's own",
        "`node/member.py`: random request ids of 63 bits; `node/requests.py`",
        "each member counts from 1, and again after a restart",
        InWorld(_restarts, worlds.request_ids_restart),
        "answered|before entry|twice",
    ),
    Control(
        "lost-command-never-ends",
        "H8",
        "a forwarded command or its answer is lost: the caller never hears of it",
        "F9, `node/requests.py`: sent again to the next leader, ended at its deadline",
        "neither",
        Directed(directed.a_lost_command_ends),
        "never hears",
    ),
    Control(
        "retry-applied-twice",
        "H8, invariant 5",
        "a retry is carried out a second time",
        "the memory of outcomes, `State._decide`",
        "a known key is not looked up",
        InLogs(rules.NoLookup, judges.repetitions),
        "took effect|after",
    ),
    Control(
        "hostile-entry",
        "H9",
        "whoever can send an entry runs code on every member",
        "`node/engine.py`: payloads are bytes; `_check_entries` refuses the other kinds",
        "the library's pickle is back and kinds are not checked",
        Directed(directed.a_hostile_entry_runs_nothing),
        "ran code",
    ),
    Control(
        "no-pre-vote",
        "H10",
        "a member that was cut off comes back many terms ahead and topples a healthy leader",
        "F6, `node/election.py`",
        "the library sees its peers and campaigns by its own timer",
        Elsewhere(
            "tests/node/test_elections.py::test_a_member_that_was_cut_off_does_not_come_back_with_a_later_term"
        ),
    ),
    Control(
        "no-check-quorum",
        "H10",
        "a leader without a majority goes on believing for half a minute",
        "`LEADER_FALLBACK_SECONDS`, `node/engine.py`",
        "the stock 30 seconds",
        Directed(directed.a_cut_off_leader_gives_up),
        "second leader",
    ),
    Control(
        "disagreement-clears-journal",
        "H11",
        "a dump and a journal that do not fit exactly: the journal is cleared",
        "`RaftJournal.align`",
        "the stock comparison",
        InWorld(_compactions, patch=worlds.disagreement_clears_journal),
        "missing|another|stopped|before entry|disagree",
    ),
    Control(
        "damaged-dump-is-empty",
        "H11, invariant 7",
        "a damaged dump is an empty state, and its member may lead",
        "`storage.open_storage`: the member stops",
        "the damage is swallowed",
        InWorld(_rot, patch=worlds.damaged_dump_is_empty),
        "damaged disk",
    ),
    Control(
        "damaged-install-acknowledged",
        "H11",
        "an installation that failed is acknowledged as a success",
        "F3b, `SnapshotReceiver.publish`: the whole file is checked first",
        "errors of loading are swallowed",
        Directed(directed.a_damaged_install_is_no_success),
        "empty state",
    ),
    Control(
        "large-entries-in-pieces",
        "H12",
        "an entry over the batch size takes a path that breaks it",
        "batches are bounded far below the 4 MiB of a message, `node/engine.py`; the path is an assertion",
        "the stock 64 KiB",
        Directed(directed.no_entry_is_cut_in_pieces),
        "H12|pickled",
    ),
    Control(
        "snapshot-message-commits",
        "H15",
        "a message about a snapshot raises the commit index over a tail that nobody has compared",
        "F3, `Guard._outgoing_append`: such messages never leave",
        "an offer of a snapshot is taken as the stock message",
        InWorld(_divided, worlds.snapshot_message_commits, budget=60),
        "committed|missing|another",
    ),
    Control(
        "commit-index-believed-whole",
        "H15",
        "the leader's commit index is believed for the whole of the follower's log",
        "F3, `Guard.on_append_entries`",
        "the commit index is handed on as it came",
        Directed(directed.a_tail_nobody_compared_stays_uncommitted),
        "committed through",
    ),
    Control(
        "every-rejection-rewinds",
        "H16",
        "rejections of messages that were on the way together cancel the walk back: a follower never catches up",
        "F10, `Guard.on_append_answer`",
        "each rejection is taken at its word",
        Elsewhere("tests/node/test_replication.py::test_a_divergent_follower_catches_up_under_load"),
    ),
    Control(
        "not-yet-storm",
        "H17",
        "while a follower waits for a snapshot the leader talks to it without pause",
        "F11, `Guard._outgoing_append`: it is hidden from the library",
        "it stays in sight",
        Directed(directed.a_lagging_member_costs_little),
        "messages in one moment",
    ),
    Control(
        "journal-without-snapshot",
        "H18",
        "a journal that was trimmed, without a dump, starts as an empty state",
        "`storage.open_storage`: the member stops",
        "it is read as it stands",
        Directed(directed.a_journal_without_its_snapshot_stops),
        "of 300 entries",
    ),
    Control(
        "votes-without-voter",
        "H21",
        "one vote delivered three times makes a leader of two among five",
        "F5, `Guard.on_vote`",
        "votes are counted plainly",
        Elsewhere("tests/node/test_elections.py::test_one_vote_delivered_three_times_elects_nobody_of_five"),
    ),
]

RULES: list[Control] = [
    Control(
        "local-clock",
        "invariant 1",
        "rules look at the clock of the machine",
        "time is the stamp in the entry, `State.apply`",
        "each member's clock is another few minutes ahead",
        InLogs(rules.LocalClock, judges.partings),
        "part",
    ),
    Control(
        "odd-outcome",
        "invariant 1",
        "members whose code differs answer differently",
        "the digest covers every outcome, `State._next_digest`",
        "one member says `past` where the other says `closed`",
        InLogs(rules.OddOutcome, judges.partings),
        "part",
    ),
    Control(
        "clock-runs-back",
        "invariant 1",
        "a stamp before the last one turns time back",
        "`State.apply`: time never runs backwards",
        "the stamp is taken as it is",
        InLogs(rules.ClockRunsBack, judges.departures),
    ),
    Control(
        "set-iteration",
        "invariant 1",
        "the order of a set of text is another one in every process",
        "tables are dictionaries in the order of the log; nothing walks over a set",
        "alternatives come out of a set",
        Directed(directed.members_walk_in_one_order),
        "two digests",
    ),
    Control(
        "stamps-by-own-clock",
        "invariant 1 (time)",
        "one leader with a wrong clock ends every key and session",
        "`node/clock.py`: the median of the members' clocks; outliers do not lead",
        "a leader stamps by its own clock",
        InWorld(_wrong_clocks, worlds.stamps_by_own_clock),
        "ahead",
    ),
    Control(
        "no-overlap-check",
        "invariant 2",
        "two live bookings of a seat overlap",
        "`Occupancy.claim`",
        "it never sees that a cell is taken",
        InLogs(rules.NoOverlapCheck, judges.departures),
        "hold|instead",
    ),
    Control(
        "no-overlap-check-in-clusters",
        "invariant 2",
        "the same, seen by the judge of whole clusters",
        "`Occupancy.claim`",
        "it never sees that a cell is taken",
        InWorld(_calm, worlds.blind_occupancy),
        "overlap|two bookings of one seat",
    ),
    Control(
        "midnight-lost",
        "invariant 2",
        "a booking over midnight holds only its first day",
        "`Occupancy.claim`: one mask for each day",
        "the second day is left out",
        InLogs(rules.LostMidnight, judges.departures),
    ),
    Control(
        "cells-kept",
        "invariant 2",
        "a cancelled booking goes on holding its seat",
        "`Tables.end_booking`",
        "cells are not given back",
        InLogs(rules.KeepsCells, judges.departures),
    ),
    Control(
        "cells-claimed-first",
        "invariant 3",
        "a refusal has taken cells before it refused",
        "rules look first and change after, `book_seat`",
        "refused requests hold their cells",
        InLogs(rules.ClaimsFirst, judges.departures),
        "bitmap",
    ),
    Control(
        "session-ended-first",
        "invariant 3",
        "a refusal has changed a table before it refused",
        "rules look first and change after, `cancel_booking`",
        "a refused cancellation ends a session",
        InLogs(rules.EndsSessionFirst, judges.changing_refusals),
        "changed",
    ),
    Control(
        "outcomes-not-kept",
        "invariant 5",
        "outcomes are forgotten at once",
        "`Tables.remember`",
        "nothing is kept",
        InLogs(rules.NoMemory, judges.repetitions),
    ),
    Control(
        "outcomes-not-in-snapshot",
        "invariant 5",
        "a member that comes from a snapshot carries commands out again",
        "outcomes are a primary table, `statemachine/snapshot.py`",
        "a snapshot holds none",
        InLogs(rules.ForgetsAtSnapshot, judges.partings),
        "part",
    ),
    Control(
        "keys-live-for-ever",
        "invariant 5",
        "keys and sessions never end",
        "`Tables.expire`",
        "nothing expires",
        InLogs(rules.NeverExpires, judges.departures),
    ),
    Control(
        "expiry-ahead-of-log",
        "invariant 5",
        "keys end by a clock that is ahead of the log",
        "`Tables.expire` looks at log time",
        "a clock half an hour ahead",
        InLogs(rules.ExpiresByWallClock, judges.departures),
    ),
    Control(
        "expiry-by-wall-clock",
        "invariant 5",
        "each member ends keys by its own clock: a retry is answered here and carried out there",
        "`Tables.expire` looks at log time",
        "the wall clock of the member",
        InWorld(_wrong_clocks, worlds.expiry_by_wall_clock),
        "digest|disagree|differs|answered",
    ),
    Control(
        "keys-unlimited",
        "invariant 6",
        "one person fills the memory of keys",
        "`MAX_KEYS_PER_SCOPE`",
        "no limit",
        Directed(directed.keys_are_limited),
        "keys",
    ),
    Control(
        "sessions-unlimited",
        "invariant 6",
        "one person opens sessions without end",
        "`MAX_SESSIONS_PER_USER`",
        "no limit",
        Directed(directed.sessions_are_limited),
        "sessions",
    ),
    Control(
        "users-unlimited",
        "invariant 6",
        "registrations without end",
        "`MAX_USERS`",
        "no limit",
        Directed(directed.users_are_limited),
        "registered",
    ),
    Control(
        "offers-not-free",
        "alternatives",
        "what is offered instead is taken as well",
        "`Occupancy.free_neighbours`",
        "neighbours are offered unseen",
        InLogs(rules.HopefulOffers, judges.empty_offers),
        "offered",
    ),
    Control(
        "digests-not-compared",
        "invariant 7",
        "a member whose state went astray goes on answering",
        "`Core._compare_digests`",
        "nobody compares",
        Directed(directed.a_member_gone_astray_stops),
        "goes on",
    ),
]

CONTROLS: dict[str, Control] = {control.name: control for control in [*ENGINE, *RULES]}
