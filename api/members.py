"""What administrators change of the cluster itself: its members, its leader, its snapshots.

A change of members is an entry of the log, but no command of the state machine. `acts.once` frames it with records in the state,
which make an `Idempotency-Key` hold and leave an audit on all members.

Whether the asking session is an administrator's is judged after a linearizable read, so that nobody else can spend the log, and again
by the log when the act is recorded; every decision leaves one line in the node's own log as well (logger `deskraft.audit`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from aiohttp import web

from api.acts import Act, Aim, once
from api.answers import json_answer
from api.calls import Call
from api.exchange import Exchange
from api.problems import Refusal
from api.shapes import (
    AddMemberBody,
    Body,
    ChangeView,
    EmptyBody,
    LeaderView,
    ReplaceBody,
    SnapshotView,
    TransferBody,
)
from node.config import member_address
from node.config_values import Mistake
from node.membership import Change, ChangeKind
from node.replica import ChangeRefusedError, OutcomeUnknownError, UnavailableError
from statemachine.records import User

CHANGE_PROBLEMS = (
    "unknown-member",
    "change-pending",
    "not-caught-up",
    "would-lose-quorum",
    "member-exists",
    "address-taken",
    "too-many-members",
    "too-many-voters",
    "member-alive",
    "not-a-voter",
    "change-refused",
)

_RECORDS: dict[ChangeKind, tuple[str, str]] = {
    "add": ("asked-to-add-member", "member-added"),
    "promote": ("asked-to-promote-member", "member-promoted"),
    "remove": ("asked-to-remove-member", "member-removed"),
    "replace": ("asked-to-replace-disk", "disk-given-up"),
}

audit = logging.getLogger("deskraft.audit")


async def add(exchange: Exchange, body: AddMemberBody) -> web.Response:
    """Make a member: a learner at first."""
    user = await administrator(exchange)
    try:
        address = member_address(body.id, body.raft, body.api)
    except Mistake as mistake:
        raise Refusal("invalid-body", errors=[("/" + mistake.key, mistake.text)]) from None
    return await _change(exchange, user, body, Change("add", body.id, address.raft, address.api))


async def promote(exchange: Exchange, body: EmptyBody) -> web.Response:
    """Let a learner vote."""
    user = await administrator(exchange)
    return await _change(exchange, user, body, Change("promote", exchange.request.match_info["id"]))


async def remove(exchange: Exchange, _: None) -> web.Response:
    """End a membership."""
    user = await administrator(exchange)
    return await _change(exchange, user, EmptyBody(), Change("remove", exchange.request.match_info["id"]))


async def replace(exchange: Exchange, body: ReplaceBody) -> web.Response:
    """Give up a member's disk and wait for another one."""
    user = await administrator(exchange)
    change = Change("replace", exchange.request.match_info["id"], disk=body.incarnation or "")
    return await _change(exchange, user, body, change)


async def transfer(exchange: Exchange, body: TransferBody) -> web.Response:
    """Have another member lead."""
    user = await administrator(exchange)
    replica = exchange.services.replica

    async def carry_out(aim: Aim) -> LeaderView:
        leader_id = replica.status().leader_id
        if body.to is None and leader_id and aim.leader not in ("", leader_id):
            return LeaderView(leader_id)  # somebody else leads since it was asked for
        with _audited(user, "transfer", body.to or "-"):
            leader_id = await replica.transfer_leadership(body.to, exchange.remaining_seconds())
        _note(user, "transfer", leader_id, "ok")
        return LeaderView(leader_id)

    act = Act("asked-to-transfer-leadership", "leadership-transferred", body.to or "")
    aim = Aim(leader=replica.status().leader_id or "")
    view = await once(exchange, body, act, aim, carry_out, LeaderView)
    return json_answer(view, exchange.index)


async def snapshot(exchange: Exchange, body: EmptyBody) -> web.Response:
    """Write a snapshot on this node."""
    user = await administrator(exchange)
    replica, node_id = exchange.services.replica, exchange.services.node_id

    async def carry_out(_: Aim) -> SnapshotView:
        with _audited(user, "snapshot", node_id):
            index = await replica.write_snapshot(exchange.remaining_seconds())
        _note(user, "snapshot", node_id, "ok", index)
        return SnapshotView(node_id, index)

    act = Act("asked-for-snapshot", "snapshot-written", node_id)
    view = await once(exchange, body, act, Aim(), carry_out, SnapshotView)
    return json_answer(view, exchange.index)


async def administrator(exchange: Exchange) -> User:
    """The user, when it is an administrator. Raises `Refusal`."""
    identity = exchange.identity()
    user = exchange.user_of(await exchange.read_state(), identity)
    if user.role != "admin":
        raise Refusal("forbidden", "Only administrators may do this.")
    return user


async def _change(exchange: Exchange, user: User, body: Body, change: Change) -> web.Response:
    replica = exchange.services.replica
    status = replica.status()
    member = next((each for each in status.members if each.id == change.member_id), None)
    disk = change.disk or (member.incarnation if member is not None else "")
    aim = Aim(status.configuration_index, disk if change.kind == "replace" else "", member is not None)

    async def carry_out(aim: Aim) -> ChangeView:
        wanted = msgspec.structs.replace(change, disk=aim.disk)
        try:
            with _audited(user, change.kind, change.member_id):
                result = await replica.change_members(wanted, exchange.remaining_seconds())
        except Refusal as refusal:
            if change.kind == "remove" and refusal.code == "unknown-member" and aim.known:
                # It is gone since this was asked for.
                return ChangeView(replica.status().configuration_index, True)
            raise
        changed = result.index > aim.entry
        _note(user, change.kind, change.member_id, "ok" if changed else "so-already", result.index)
        exchange.index = max(result.index, replica.applied_index)
        return ChangeView(result.index, changed)

    act = Act(*_RECORDS[change.kind], change.member_id)
    view = await once(exchange, body, act, aim, carry_out, ChangeView)
    status_code = 201 if view.changed and change.kind == "add" else 200
    extra = (("Location", "/api/v1/cluster"),) if status_code == 201 else ()
    return json_answer(view, exchange.index, status=status_code, extra=extra)


@contextmanager
def _audited(user: User, change: str, member_id: str) -> Iterator[None]:
    """However it ends other than well, the log tells; a refusal becomes a problem."""
    try:
        yield
    except ChangeRefusedError as error:
        _note(user, change, member_id, error.code)
        raise _refusal(error) from None
    except UnavailableError:
        _note(user, change, member_id, "unavailable")
        raise
    except (OutcomeUnknownError, asyncio.CancelledError):  # the gate's time limit cancels
        _note(user, change, member_id, "outcome-unknown")
        raise


def _refusal(error: ChangeRefusedError) -> Refusal:
    if error.code == "not-leader":  # the leader changed once more than there was time to ask
        return Refusal("unavailable", error.detail)
    if (
        error.code not in CHANGE_PROBLEMS
    ):  # a rule that this table does not know yet is a refusal all the same
        return Refusal("change-refused", f"{error.detail} ({error.code})")
    return Refusal(error.code, error.detail)


def _note(user: User, change: str, member_id: str, outcome: str, index: int = 0) -> None:
    audit.info(
        "event=membership change=%s member=%s by=%s outcome=%s index=%d",
        change, member_id, user.login, outcome, index,
    )  # fmt: skip


_PROBLEMS = ("forbidden", "unavailable", "outcome-unknown")
_MEMBER = "/api/v1/cluster/members/{id}"

CALLS = (
    Call(
        "POST",
        "/api/v1/cluster/members",
        "Add a member",
        add,
        {201: ChangeView, 200: ChangeView},
        body=AddMemberBody,
        problems=(
            "member-exists",
            "address-taken",
            "too-many-members",
            "change-pending",
            "change-refused",
            *_PROBLEMS,
        ),
    ),
    Call(
        "POST",
        _MEMBER + "/promote",
        "Let a learner vote",
        promote,
        {200: ChangeView},
        body=EmptyBody,
        body_optional=True,
        problems=(
            "unknown-member",
            "not-caught-up",
            "too-many-voters",
            "change-pending",
            "change-refused",
            *_PROBLEMS,
        ),
    ),
    Call(
        "DELETE",
        _MEMBER,
        "Remove a member",
        remove,
        {200: ChangeView},
        problems=("unknown-member", "would-lose-quorum", "change-pending", "change-refused", *_PROBLEMS),
    ),
    Call(
        "POST",
        _MEMBER + "/replace",
        "Replace the disk of a member",
        replace,
        {200: ChangeView},
        body=ReplaceBody,
        body_optional=True,
        problems=(
            "unknown-member",
            "would-lose-quorum",
            "member-alive",
            "change-pending",
            "change-refused",
            *_PROBLEMS,
        ),
    ),
    Call(
        "POST",
        "/api/v1/cluster/transfer",
        "Have another member lead",
        transfer,
        {200: LeaderView},
        body=TransferBody,
        body_optional=True,
        problems=(
            "unknown-member",
            "not-caught-up",
            "not-a-voter",
            "change-pending",
            "change-refused",
            *_PROBLEMS,
        ),
    ),
    Call(
        "POST",
        "/api/v1/cluster/snapshot",
        "Write a snapshot on this node",
        snapshot,
        {200: SnapshotView},
        body=EmptyBody,
        body_optional=True,
        problems=_PROBLEMS,
    ),
)
