"""The sentences about who belongs to the cluster: joining, changes that an operator asks for, lost disks."""

from __future__ import annotations

from collections.abc import Sequence

from node import changes
from node.membership import Change
from tests.scenarios import words
from tests.scenarios.scenario import EXPECTATIONS, STEPS, Play, ScenarioError, Verdict

_step, _expectation = STEPS.sentence, EXPECTATIONS.sentence


@_step("{member} is asked to {kind:change} {who:member} as {operation}")
def ask_change(play: Play, member: str, kind: str, who: str, operation: str) -> None:
    """Of the members: one change, asked for once, through any member."""
    if operation in play.operations:
        raise ScenarioError(f"there is a {operation} already")
    play.submitted += 1
    play.operations[operation] = play.submitted
    addresses = (f"{who}:7000", f"{who}:8000") if kind == "add" else ("", "")
    play.world.core(member).change(play.submitted, Change(kind, who, *addresses))  # type: ignore[arg-type]  # a blank's words
    play.world.members[member].turn()


@_step("{member} joins through {other:member}[ as a {learner:learner}]")
def joins(play: Play, member: str, other: str, learner: str | None) -> None:
    """A new member starts with an empty disk and the configuration that another one shows it."""
    play.world.join(member, other, wants_vote=learner is None)


@_step("a learner may lack {number} entries")
def may_lack(play: Play, number: int) -> None:
    """When it is promoted; usually 100."""
    play.world.patch(changes, "CAUGHT_UP_ENTRIES", number)


@_step("{member} loses its disk")
def loses_disk(play: Play, member: str) -> None:
    """A stopped member; its next start makes a new one, with another incarnation."""
    one = play.world.members[member]
    if one.core is not None:
        raise ScenarioError(f"{member} is up; crash it first")
    one.wipe()


def _ended(play: Play, operation: str) -> str:
    changed = play.world.changes.get(play.operations[operation])
    if changed is None:
        return "waits"
    return f"is refused {changed.code}" if changed.code else "is done"


@_expectation("{operation} is done")
def change_done(play: Play, operation: str) -> Verdict:
    actual = _ended(play, operation)
    return Verdict(actual == "is done", f"{operation} {actual}")


@_expectation("{operation} is refused {code:word}")
def change_refused(play: Play, operation: str, code: str) -> Verdict:
    actual = _ended(play, operation)
    return Verdict(actual == f"is refused {code}", f"{operation} {actual}")


@_expectation("{operation} waits")
def change_waits(play: Play, operation: str) -> Verdict:
    actual = _ended(play, operation)
    return Verdict(actual == "waits", f"{operation} {actual}")


@_expectation("the configuration on {members} is {text}")
def configuration_is(play: Play, members: Sequence[str], text: str) -> Verdict:
    """Of the newest in the log, committed or not."""
    actual = {
        node_id: words.members(play.world.core(node_id).journal.placed.configuration) for node_id in members
    }
    return Verdict(
        set(actual.values()) == {text}, "; ".join(f"{node_id}: {held}" for node_id, held in actual.items())
    )


@_expectation("the applied configuration on {members} is {text}")
def applied_is(play: Play, members: Sequence[str], text: str) -> Verdict:
    """Of the newest that is committed and carried out."""
    actual = {
        node_id: words.members(play.world.core(node_id).applied_placed.configuration) for node_id in members
    }
    return Verdict(
        set(actual.values()) == {text}, "; ".join(f"{node_id}: {held}" for node_id, held in actual.items())
    )


@_expectation("{member} is a learner")
def is_learner(play: Play, member: str) -> Verdict:
    role = play.world.core(member).role
    return Verdict(role == "learner", f"{member} is a {role}")


@_expectation("{members} is/are founded")
def founded(play: Play, members: Sequence[str]) -> Verdict:
    """The founding configuration is committed and carried out."""
    named = {node_id: play.world.core(node_id).applied_placed.configuration.founded for node_id in members}
    return Verdict(
        all(named.values()),
        ", ".join(f"{node_id}: {'yes' if one else 'no'}" for node_id, one in named.items()),
    )
