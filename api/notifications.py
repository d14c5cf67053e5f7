"""What one wants to hear by mail, and where: the settings, and the confirming of an address.

Nothing is mailed to an address before its user has shown the code that was mailed to it. The code is checked here, since it takes the
members' secret; the command that follows names the address that it was good for, and the log refuses it when the user has entered
another one meanwhile.
"""

from __future__ import annotations

from aiohttp import web

from api.answers import json_answer
from api.calls import Call
from api.exchange import Exchange
from api.people_shapes import ALL_KINDS, CodeBody, NotificationsBody, NotificationsView
from api.problems import Refusal
from api.shapes import Body
from node.mail_addresses import is_address
from statemachine.commands import Command
from statemachine.notices import Notifications
from statemachine.outbox_commands import ConfirmAddress, SetNotifications
from statemachine.state import State


async def get_notifications(exchange: Exchange, _: None) -> web.Response:
    """What I want to hear."""
    identity = exchange.identity()
    state = await exchange.read_state()
    user = exchange.user_of(state, identity)
    return json_answer(notifications_view(state, user.id), exchange.index)


async def set_notifications(exchange: Exchange, body: NotificationsBody) -> web.Response:
    """Say what I want to hear; another address is mailed a code."""
    if body.address is not None and not is_address(body.address):
        raise Refusal("invalid-body", errors=[("/address", "is not an address that mail can be sent to")])
    kinds = ALL_KINDS if body.kinds is None else tuple(body.kinds)
    if len(set(kinds)) != len(kinds):
        raise Refusal("invalid-body", errors=[("/kinds", "names one of them more than once")])
    command = SetNotifications(body.address or "", body.language, kinds, body.remind_minutes)
    return await _done(exchange, command, body)


async def confirm_address(exchange: Exchange, body: CodeBody) -> web.Response:
    """Show the code that was mailed to me."""
    identity = exchange.identity()
    state = await exchange.read_state()
    user = exchange.user_of(state, identity)
    settings = state.notifications.get(user.id)
    if settings is None or not settings.address:
        raise Refusal("not-found", "You have given no address.")
    if not exchange.services.address_codes.confirms(body.code, user.id, settings.address):
        raise Refusal("wrong-code")
    return await _done(exchange, ConfirmAddress(settings.address), body)


async def _done(exchange: Exchange, command: Command, body: Body) -> web.Response:
    identity = exchange.identity()
    outcome = await exchange.execute(
        command,
        scope=identity.user_id,
        key=exchange.idempotency_key(),
        body=body,
        session_id=identity.session_id,
    )
    if not outcome.ok:
        raise Refusal(outcome.code)
    assert isinstance(outcome.result, Notifications)
    return json_answer(_view(outcome.result, exchange.services.replica.state), exchange.index)


def notifications_view(state: State, user_id: str) -> NotificationsView:
    """What a user wants to hear; whoever has never said so hears nothing."""
    settings = state.notifications.get(user_id)
    if settings is None:
        return NotificationsView(None, False, "en", list(ALL_KINDS), 0, _available(state))
    return _view(settings, state)


def _view(settings: Notifications, state: State) -> NotificationsView:
    return NotificationsView(
        settings.address or None,
        settings.confirmed,
        settings.language,
        list(settings.kinds),
        settings.remind_minutes,
        _available(state),
    )


def _available(state: State) -> bool:
    return any(sink.kind == "mail" for sink in state.sinks.values())


_MINE = "/api/v1/me/notifications"
_WRITE_PROBLEMS = ("key-reused", "too-many-keys", "overloaded", "unavailable", "outcome-unknown")

CALLS = (
    Call(
        "GET",
        _MINE,
        "What I want to hear by mail",
        get_notifications,
        {200: NotificationsView},
        problems=("unavailable",),
    ),
    Call(
        "PUT",
        _MINE,
        "Say what I want to hear by mail",
        set_notifications,
        {200: NotificationsView},
        body=NotificationsBody,
        problems=("too-many-addresses", "too-many-notifications", *_WRITE_PROBLEMS),
    ),
    Call(
        "POST",
        _MINE + "/confirm",
        "Confirm my address by the code that was mailed to it",
        confirm_address,
        {200: NotificationsView},
        body=CodeBody,
        problems=("not-found", "wrong-code", "address-changed", *_WRITE_PROBLEMS),
    ),
)
