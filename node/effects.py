"""What a core wants to happen outside: nothing of it before the frames that were taken with it are durable (`node.pipeline`)."""

from __future__ import annotations

from typing import NamedTuple

from node import messages as m
from node.requests import Failure
from statemachine.outcomes import Outcome


class Send(NamedTuple):
    """Effect: a message to a peer."""

    peer_id: str
    message: m.Message


class Answer(NamedTuple):
    """Effect: the outcome of a command of this node."""

    request_id: int
    outcome: Outcome


class Fail(NamedTuple):
    """Effect: a command of this node has no outcome."""

    request_id: int
    failure: Failure


class Changed(NamedTuple):
    """Effect: how a change of the configuration ended; `code` "" = it is so."""

    request_id: int
    code: str
    detail: str
    at_index: int


class ReadReady(NamedTuple):
    """Effect: the state may answer the read."""

    token: int
    read_index: int


Effect = Send | Answer | Fail | ReadReady | Changed


def without_overtaken(effects: list[Effect]) -> list[Effect]:
    """Leave out messages that only move a follower's commit index when entries for it follow in the same turn."""
    if len(effects) < 2:
        return effects
    followed: dict[str, tuple[int, int]] = {}
    kept: list[Effect] = []
    for effect in reversed(effects):
        if isinstance(effect, Send) and isinstance(effect.message, m.AppendEntries):
            message = effect.message
            place = (message.term, message.previous_index)
            if not message.entries and followed.get(effect.peer_id) == place:
                continue
            if message.entries:
                followed[effect.peer_id] = place
        kept.append(effect)
    kept.reverse()
    return kept
