"""What administrators do outside the state machine (members, leadership, snapshots, backups): recorded on all members, and done once under a key.

Such an act is no command, so the log neither judges nor remembers it. Two records of the audit (`NoteAct`, which is a command) stand
around it instead:

1. *Asked for*, before anything is done. Whether the session is an administrator's is judged by the log here. It claims the
   `Idempotency-Key`, so the key with another body is refused (`key-reused`), and it holds what the act aims at.
2. *Done*, after it. Its key is made of the place of the first record, so of many repetitions one is written, and it holds the answer.

A repeated request finds the second record and answers from it, on any member, after any failover. Where only the first is there (a node
was lost between, or the act was refused) it acts again. That is harmless, because an act says how things should be, and what
could mean something else by then was fixed when it was asked for first (`Aim`): the disk that is given up, who led. A refusal is the
leader's, of that moment, and leaves no second record: to repeat the request is to ask again.

So there is no act without a record, and a record without a second one tells that it was refused or that its end is not known.
The records are bounded (`MAX_AUDIT_RECORDS`); should an answer be forgotten within the 24 hours of its key, the act is done again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from msgspec import Struct

from api.exchange import Exchange
from api.problems import Refusal
from api.shapes import Body, EmptyBody
from node.replica import OutcomeUnknownError, OverloadedError, UnavailableError
from statemachine.audit import AuditRecord
from statemachine.people_commands import NoteAct
from statemachine.state import State

audit = logging.getLogger("deskraft.audit")

V = TypeVar("V", bound=Struct)


class Aim(Struct, frozen=True, omit_defaults=True):
    """What an act aimed at when it was asked for first.

    `entry`: the entry of the newest record of members. `disk`: the one of the member, "" when it has none; `known`: there was such a
    member. `leader`: who led.
    """

    entry: int = 0
    disk: str = ""
    known: bool = False
    leader: str = ""


@dataclass(frozen=True)
class Act:
    """An act by the names of its two records, and the id of what it is done to."""

    asked: str
    done: str
    subject: str


async def once(
    exchange: Exchange,
    body: Body,
    act: Act,
    aim: Aim,
    carry_out: Callable[[Aim], Awaitable[V]],
    kind: type[V],
) -> V:
    """Carry out the act, or answer as it ended the first time. `exchange.index` is then that of the answer."""
    key = exchange.idempotency_key()
    identity = exchange.identity()
    note = NoteAct(act.asked, act.subject, msgspec.json.encode(aim).decode())
    asked = await exchange.execute(
        note, scope=identity.user_id, key=key, body=body, session_id=identity.session_id
    )
    if not asked.ok:
        raise Refusal(asked.code)
    done_key = f"\n{asked.index}.{asked.position}"  # no client's key: those are printable
    if key is not None:
        state = (
            await exchange.read_state()
        )  # an outcome that is repeated may be older than the end of the act
        first = _record_at(state, asked.index, asked.position)
        aim = aim if first is None else msgspec.json.decode(first.detail, type=Aim)
        if (told := _answer(state, exchange, done_key, kind)) is not None:
            return told
    exchange.stage = "writing"
    view = await carry_out(aim)
    return await _ended(exchange, act, view, done_key, kind)


async def noted(exchange: Exchange, what: str, subject: str, detail: str, *, key: str | None = None) -> None:
    """Record an act. Raises `Refusal`, or what `Replica.execute` raises."""
    note, identity = NoteAct(what, subject, detail), exchange.identity()
    outcome = await exchange.execute(
        note, scope=identity.user_id, key=key, body=EmptyBody(), session_id=identity.session_id
    )
    if not outcome.ok:
        raise Refusal(outcome.code)


async def _ended(exchange: Exchange, act: Act, view: V, done_key: str, kind: type[V]) -> V:
    """Record how the act ended; of several ends of one act the first counts."""
    keyed = exchange.idempotency_key() is not None
    detail = msgspec.json.encode(view).decode()
    try:
        await noted(exchange, act.done, act.subject, detail, key=done_key if keyed else None)
    except (UnavailableError, OutcomeUnknownError, OverloadedError, Refusal) as error:
        if keyed:  # only the record makes a repetition answer alike: it is to be asked for again
            raise OutcomeUnknownError(str(error)) from None
        # What is done is done, and the first record tells of it. The session may have ended meanwhile, or this member.
        audit.warning("event=unrecorded act=%s subject=%s reason=%s", act.done, act.subject, error)
        return view
    state = exchange.services.replica.state
    return (_answer(state, exchange, done_key, kind) if keyed else None) or view


def _answer(state: State, exchange: Exchange, done_key: str, kind: type[V]) -> V | None:
    """The answer that the second record holds."""
    ended = state.outcome_of(exchange.identity().user_id, done_key)
    record = None if ended is None else _record_at(state, ended.index, ended.position)
    if ended is None or record is None:
        return None
    exchange.index = ended.index
    return msgspec.json.decode(record.detail, type=kind)


def _record_at(state: State, index: int, position: int) -> AuditRecord | None:
    """The record of one change; None when it is forgotten."""
    records = state.audit
    low, high = 0, len(records)
    while low < high:
        middle = (low + high) // 2
        (found,) = records.slice(middle, 1)
        if (found.index, found.position) < (index, position):
            low = middle + 1
        else:
            high = middle
    found_here = records.slice(low, 1)
    if found_here and (found_here[0].index, found_here[0].position) == (index, position):
        return found_here[0]
    return None
