"""The gate through which the cluster's configuration changes, on the leader (design: "Membership, made safe").

PySyncObj accepts two changes at once (H13), and two leaders follow. Here one change is made at a time, and only

    * by a leader that has applied an entry of its own term (otherwise an entry of its predecessor may still be undone: Ongaro's note of 2015
      on the bug in single-server changes),
    * when the newest configuration in the log has been applied,
    * when the voters that are heard of would be a majority of the voters afterwards,
    * for a promotion: when the learner has nearly everything and sits there with the disk that is meant.

A member that leads hands over before it is removed or replaced: the change is asked for again at the next leader.

By itself a leader writes three kinds of configuration: the founding one, the disk of whoever first comes to an open seat, and the promotion of
a learner that wants a vote and has caught up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.membership import (
    Change,
    Configuration,
    Introduction,
    Placed,
    RefusedChangeError,
    Seat,
    changed,
    encode_entry,
    pinned,
)

if TYPE_CHECKING:
    from node.core import Core

FOUNDING_GRACE_SECONDS = 1.0  # how long the first leader waits for voters that have not come yet
CAUGHT_UP_ENTRIES = 100  # a learner may lag so far when it is promoted: what a leader writes in a moment
HAND_OVER_SECONDS = 1.5  # for a transfer that an operator asked for, within the time that a request may take
LOOK_SECONDS = 0.1

NOT_LEADER = "not-leader"  # nothing was done; ask again (another leader, or a moment later)

CHANGED_MEANWHILE = "leadership changed meanwhile"  # it may come to be all the same

OnAnswer = Callable[[str, str, int], None]  # code, detail, index


@dataclass
class _Transfer:
    to: str | None
    deadline: float
    answers: list[OnAnswer]


class Changes:
    """See the module. Lives in every core; does something only while that core leads."""

    def __init__(self, core: Core, founding: str) -> None:
        self._core = core
        self._founding = founding  # the name that the cluster gets if this member founds it
        self._led_since: float | None = None
        self._look_at = 0.0
        self._waiting: list[tuple[int, int, OnAnswer]] = []  # (index, term) of the entry
        self._transfer: _Transfer | None = None

    # Asked for.

    def ask(self, change: Change, on_answer: OnAnswer, now: float) -> None:
        """Begin the change, or say at once why not. `on_answer` is called exactly once, perhaps at once."""
        core = self._core
        if not core.own_term_applied():
            on_answer(NOT_LEADER, "this member does not lead, or not long enough", 0)
            return
        try:
            if change.kind == "transfer":
                self._begin_transfer(change.member_id, on_answer, now)
                return
            latest = core.journal.placed
            try:
                wanted = changed(latest.configuration, change)
            except RefusedChangeError:
                self._refuse_unless_idle(latest)  # the refusal rests on an entry that may yet be undone
                raise
            if wanted == latest.configuration:
                self._wait(latest.index, on_answer)
                return
            self._refuse_unless_idle(latest)
            self._refuse_unless_safe(latest.configuration, wanted)
            self._refuse_while_alive(change)
        except RefusedChangeError as refused:
            on_answer(refused.code, refused.detail, 0)
            return
        if change.member_id == core.node_id and core.node_id not in _unchanged_voters(
            latest.configuration, wanted
        ):
            if self._transfer is None:
                self._transfer = _Transfer(None, now + HAND_OVER_SECONDS, [])
            on_answer(NOT_LEADER, "leadership is being handed over first", 0)
            return
        if self._propose(wanted):
            self._wait(core.journal.placed.index, on_answer)
        else:
            on_answer(NOT_LEADER, "leadership went at this moment", 0)

    def _wait(self, index: int, on_answer: OnAnswer) -> None:
        if index <= self._core.applied_index:
            on_answer("", "", index)
        else:
            self._waiting.append((index, self._core.guard.term, on_answer))

    def _refuse_unless_idle(self, latest: Placed) -> None:
        if latest.index > self._core.applied_index or not latest.configuration.founded:
            raise RefusedChangeError(
                "change-pending",
                f"the change of entry {latest.index} is not finished yet; try again in a moment",
            )

    def _refuse_unless_safe(self, old: Configuration, new: Configuration) -> None:
        """Refuse what would leave the voters that are heard of without a majority, and promotions that come too early."""
        core = self._core
        promoted = set(new.voters) - set(old.voters)
        for member_id in promoted:
            if not self._caught_up(new.by_id[member_id]):
                raise RefusedChangeError(
                    "not-caught-up",
                    f"{member_id} does not have nearly all entries yet, or is not heard; try again in a moment",
                )
        if new.voters == old.voters:
            return
        alive = [
            voter_id
            for voter_id in new.voters
            if voter_id == core.node_id
            or voter_id in promoted
            or (core.counts(voter_id) and core.reachable(voter_id))
        ]
        if len(alive) < new.majority:
            raise RefusedChangeError(
                "would-lose-quorum",
                f"of the {len(new.voters)} voters afterwards only {', '.join(alive) or 'none'} can be heard now, "
                f"and {new.majority} are needed",
            )

    def _refuse_while_alive(self, change: Change) -> None:
        core, member_id = self._core, change.member_id
        if change.kind == "replace" and member_id in core.present and core.reachable(member_id):
            raise RefusedChangeError(
                "member-alive", f"{member_id} is here with its data: stop it first, or remove it"
            )

    def _caught_up(self, seat: Seat) -> bool:
        core = self._core
        introduction = core.introductions.get(seat.id)
        return (
            introduction is not None
            and introduction.incarnation == seat.incarnation
            and core.reachable(seat.id)
            and core.guard.match_index(seat.id) >= max(1, core.journal.last_index - CAUGHT_UP_ENTRIES)
        )

    def _propose(self, configuration: Configuration) -> bool:
        """Whether it is in the log now: the same tick may have noticed that leadership is gone, and then it is nowhere."""
        core = self._core
        core.guard.engine.propose(encode_entry(configuration))
        core.guard.engine.tick()
        return core.guard.leading and core.journal.placed.configuration == configuration

    # By itself.

    def look(self, now: float) -> None:
        """Called at every turn."""
        core = self._core
        if not core.guard.leading:
            self._led_since = None
            self._give_up()
            return
        if self._led_since is None:
            self._led_since = now
        if self._waiting:
            self._answer_applied()
        if self._transfer is not None:
            self._try_transfer(self._transfer, now)
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        latest = core.journal.placed
        if core.draining or not core.own_term_applied() or latest.index > core.applied_index:
            return
        wanted = self._wanted(latest.configuration, now)
        if wanted != latest.configuration:
            self._propose(wanted)

    def _wanted(self, now_in_force: Configuration, now: float) -> Configuration:
        core = self._core
        met = {core.node_id: core.introduction()}
        for member_id in core.present:
            introduction = core.introductions[member_id]
            if introduction.founding not in ("", now_in_force.founding):
                if not now_in_force.founded:
                    return now_in_force  # the cluster was founded long ago, and this disk does not know of it
                continue
            met[member_id] = introduction
        if not now_in_force.founded:
            assert self._led_since is not None
            complete = all(voter_id in met for voter_id in now_in_force.voters)
            if not complete and now - self._led_since < FOUNDING_GRACE_SECONDS:
                return now_in_force
        with_disks = pinned(now_in_force, met, self._founding)
        if with_disks != now_in_force:
            return with_disks
        return self._with_promotion(now_in_force)

    def _with_promotion(self, old: Configuration) -> Configuration:
        for seat in old.seats:
            if not seat.voter and seat.id in self._core.wanting_votes:
                try:
                    wanted = changed(old, Change("promote", seat.id))
                    self._refuse_unless_safe(old, wanted)
                except RefusedChangeError:
                    continue  # not yet; looked at again in a moment
                return wanted
        return old

    def _answer_applied(self) -> None:
        core = self._core
        waiting, self._waiting = self._waiting, []
        for index, term, on_answer in waiting:
            if term != core.guard.term:
                on_answer(NOT_LEADER, CHANGED_MEANWHILE, 0)
            elif index <= core.applied_index:
                on_answer("", "", index)
            else:
                self._waiting.append((index, term, on_answer))

    def _give_up(self) -> None:
        """Leadership is gone: what was under way may come to be or not, and is asked for again."""
        waiting, self._waiting = self._waiting, []
        for _, _, on_answer in waiting:
            on_answer(NOT_LEADER, CHANGED_MEANWHILE, 0)
        if self._transfer is not None:
            transfer, self._transfer = self._transfer, None
            self._core.draining = self._core.stopping
            for on_answer in transfer.answers:
                on_answer("", "", 0)

    # Handing over.

    def _begin_transfer(self, to: str, on_answer: OnAnswer, now: float) -> None:
        core = self._core
        configuration = core.journal.placed.configuration
        if to and to not in configuration.by_id:
            raise RefusedChangeError("unknown-member", f"the cluster has no member {to}")
        if to and to not in configuration.voters:
            raise RefusedChangeError("not-a-voter", f"{to} is a learner and cannot lead")
        if to == core.node_id:
            on_answer("", "", 0)
            return
        candidates = (
            [to] if to else [voter_id for voter_id in configuration.voters if voter_id != core.node_id]
        )
        if not any(core.counts(voter_id) and core.reachable(voter_id) for voter_id in candidates):
            raise RefusedChangeError("not-caught-up", f"{to or 'no other voter'} cannot be heard now")
        if self._transfer is not None:
            raise RefusedChangeError("change-pending", "leadership is being handed over already")
        self._transfer = _Transfer(to or None, now + HAND_OVER_SECONDS, [on_answer])

    def _try_transfer(self, transfer: _Transfer, now: float) -> None:
        core = self._core
        if now < transfer.deadline:
            core.draining = True
            core.transfer_leadership(transfer.to)
            return
        self._transfer = None
        core.draining = core.stopping
        for on_answer in transfer.answers:
            on_answer("not-caught-up", "the other member did not take over in time; this one leads on", 0)


def _unchanged_voters(old: Configuration, new: Configuration) -> set[str]:
    return {seat.id for seat in new.seats if seat.voter and old.by_id.get(seat.id) == seat}


def admitted(latest: Configuration, applied: Configuration, introduction: Introduction | None) -> bool:
    """Whether a leader may send entries to a learner: its seat is committed, and the disk in it is known.

    An uncommitted seat must not get entries: a voter that is being replaced would hold, alone, an entry that says it is no voter, and
    with a longer log than all others neither let anybody be elected nor stand for election itself.
    """
    if introduction is None or introduction.member_id not in applied.by_id:
        return False
    seat = latest.by_id.get(introduction.member_id)
    return seat is not None and not seat.voter and seat.incarnation == introduction.incarnation
