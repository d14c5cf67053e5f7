"""Webhooks, as administrators make and tend them. What becomes of events is the outbox's (`node/outbox.py`).

A secret is shown in the answer to the request that made it, and to a repetition of that request under its `Idempotency-Key`; it can be shown again
there because it is made from a name that the state keeps (`node/couriers/signing.py`), and nowhere else.

A test event is sent by the node that is asked, at once and once; it does not pass through the log.
"""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import ThreadedResolver, web
from msgspec import UNSET

from api.answers import empty_answer, json_answer
from api.calls import Call
from api.exchange import Exchange
from api.ids import uuid7
from api.people import administrated
from api.problems import Refusal
from api.shapes import Body, EmptyBody
from api.timegrid import rfc3339_of_ms, zone_of
from api.webhook_shapes import (
    NewWebhookBody,
    RotateBody,
    WebhookChangeBody,
    WebhooksView,
    WebhookTestView,
    WebhookView,
    WebhookWithSecretView,
)
from node.cloudevents import place_text
from node.couriers import Delivered
from node.couriers.addresses import AllowedHosts, BadUrlError, refuse_entry, target_of
from node.couriers.signing import SigningKeys
from node.couriers.webhook import Message, PostFailedError, WebhookPoster, result_of
from node.secret import Secret
from statemachine.commands import Command
from statemachine.outbox_commands import CreateWebhook, RemoveSink, ReviseWebhook, RotateWebhook, SetSink
from statemachine.outcomes import Outcome
from statemachine.sinks import Sink, Webhook
from statemachine.state import State

TEST_TYPE = "deskraft.webhook.test"
LOOK_UP_SECONDS = (
    1.0  # for the addresses of a name that is entered; a slower one is judged when it is connected to
)
ANSWER_SECONDS = 0.1  # kept of the budget to tell what came of a test
HOUR_MS = 3_600_000


class WebhookTools:
    """What the calls about webhooks need beside the log."""

    def __init__(self, secret: Secret, webhook_allow: tuple[str, ...]) -> None:
        self.allowed = AllowedHosts.of(webhook_allow)
        self.keys = SigningKeys(secret)
        self.poster = WebhookPoster(self.allowed)

    async def check(self, url: str) -> None:
        """Refuse what could never be sent to. Raises `Refusal`."""
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                await refuse_entry(target_of(url), self.allowed, ThreadedResolver())
        except BadUrlError as error:
            raise Refusal("invalid-body", errors=[("/url", str(error))]) from None
        except TimeoutError:
            return


async def list_all(exchange: Exchange, _: None) -> web.Response:
    """All webhooks, the oldest first."""
    state, _user = await administrated(exchange)
    views = [_view(state, sink, sink.webhook) for sink in state.sinks.values() if sink.webhook is not None]
    return json_answer(WebhooksView(views, None), exchange.index)


async def get(exchange: Exchange, _: None) -> web.Response:
    """One webhook."""
    state, _user = await administrated(exchange)
    sink, webhook = _found(state, exchange)
    return json_answer(_view(state, sink, webhook), exchange.index)


async def create(exchange: Exchange, body: NewWebhookBody) -> web.Response:
    """Deliver events somewhere, from now on."""
    state, _user = await administrated(exchange)  # before a name is looked up for anybody
    _check_spaces(state, body.space_ids)
    tools = exchange.services.webhooks
    await tools.check(body.url)
    sink_id = uuid7(exchange.services.replica.now_ms())
    command = CreateWebhook(
        sink_id, body.url, body.description, body.types, body.space_ids, tools.keys.new_name()
    )
    outcome = await _carry_out(exchange, body, command)
    assert isinstance(outcome.result, Sink)
    location = (("Location", f"{_PATH}/{outcome.result.id}"),)
    return json_answer(_with_secret(exchange, outcome.result), exchange.index, status=201, extra=location)


async def revise(exchange: Exchange, body: WebhookChangeBody) -> web.Response:
    """Change a webhook, pause it, or let it go on."""
    state, _user = await administrated(exchange)
    sink, webhook = _found(state, exchange)
    command: Command
    if body.state is not UNSET:
        if body != WebhookChangeBody(state=body.state):
            raise Refusal("invalid-body", errors=[("/state", "stands alone")])
        command = SetSink(sink.id, body.state)
    else:
        url = webhook.url if body.url is UNSET else body.url
        space_ids = webhook.space_ids if body.space_ids is UNSET else body.space_ids
        description = webhook.description if body.description is UNSET else body.description
        types = webhook.types if body.types is UNSET else body.types
        _check_spaces(state, space_ids)
        if url != webhook.url:
            await exchange.services.webhooks.check(url)
        command = ReviseWebhook(sink.id, url, description, types, space_ids)
    outcome = await _carry_out(exchange, body, command)
    return _answer(exchange, outcome)


async def rotate(exchange: Exchange, body: RotateBody) -> web.Response:
    """Another secret; the one so far signs, too, for some hours."""
    name = exchange.services.webhooks.keys.new_name()
    command = RotateWebhook(_sink_id(exchange), name, body.overlap_hours * HOUR_MS)
    outcome = await _carry_out(exchange, body, command)
    assert isinstance(outcome.result, Sink)
    return json_answer(_with_secret(exchange, outcome.result), exchange.index)


async def remove(exchange: Exchange, _: None) -> web.Response:
    """Deliver nothing there any more."""
    await _carry_out(exchange, EmptyBody(), RemoveSink(_sink_id(exchange)))
    return empty_answer(exchange.index)


async def test(exchange: Exchange, _: EmptyBody) -> web.Response:
    """Send a test event, whatever the state of the webhook, and tell what came of it."""
    state, _user = await administrated(exchange)
    sink, webhook = _found(state, exchange)
    services = exchange.services
    now_ms = services.replica.now_ms()
    names = webhook.keys_at(now_ms)
    keys = [key for name in names if (key := services.webhooks.keys.raw(sink.id, name)) is not None]
    if not keys:
        raise Refusal("signing-key-lost")
    event_id = f"test-{uuid7(now_ms)}"
    message = Message(event_id, now_ms, _test_event(exchange, sink.id, event_id, now_ms))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    status, why = None, None
    try:
        async with asyncio.timeout(max(exchange.remaining_seconds() - ANSWER_SECONDS, 0)):
            answer = await services.webhooks.poster.post(webhook.url, message, keys)
        status, result = answer.status, result_of(answer)
        why = None if isinstance(result, Delivered) else result.why
    except PostFailedError as error:
        why = str(error)
    except TimeoutError:
        why = f"no answer within {loop.time() - begun:.1f} s"
    duration_ms = int(1000 * (loop.time() - begun))
    return json_answer(WebhookTestView(why is None, status, why, duration_ms), exchange.index)


def _test_event(exchange: Exchange, sink_id: str, event_id: str, now_ms: int) -> bytes:
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": event_id,
            "source": f"/deskraft/{exchange.services.config.cluster}",
            "type": TEST_TYPE,
            "subject": f"webhooks/{sink_id}",
            "time": rfc3339_of_ms(now_ms, zone_of("UTC")),
            "datacontenttype": "application/json",
            "data": {"webhook_id": sink_id},
        }
    )


def _sink_id(exchange: Exchange) -> str:
    """The id in the path, of a webhook: other sinks are tended elsewhere. This node may not know it yet."""
    sink_id = exchange.request.match_info["webhook_id"]
    sink = exchange.services.replica.state.sinks.get(sink_id)
    if not sink_id.isascii() or len(sink_id) > 64 or (sink is not None and sink.webhook is None):
        raise Refusal("sink-not-found")
    return sink_id


def _found(state: State, exchange: Exchange) -> tuple[Sink, Webhook]:
    sink = state.sinks.get(exchange.request.match_info["webhook_id"])
    if sink is None or sink.webhook is None:
        raise Refusal("sink-not-found")
    return sink, sink.webhook


def _check_spaces(state: State, space_ids: tuple[str, ...]) -> None:
    errors = [
        (f"/space_ids/{number}", "there is no such space")
        for number, space_id in enumerate(space_ids)
        if space_id not in state.spaces
    ]
    if errors:
        raise Refusal("invalid-body", errors=errors)


async def _carry_out(exchange: Exchange, body: Body, command: Command) -> Outcome:
    identity = exchange.identity()
    outcome = await exchange.execute(
        command,
        scope=identity.user_id,
        key=exchange.idempotency_key() if exchange.call.takes_key else None,
        body=body,
        session_id=identity.session_id,
    )
    if not outcome.ok:
        raise Refusal(outcome.code)
    return outcome


def _answer(exchange: Exchange, outcome: Outcome) -> web.Response:
    assert isinstance(outcome.result, Sink)
    assert outcome.result.webhook is not None
    state = exchange.services.replica.state
    return json_answer(_view(state, outcome.result, outcome.result.webhook), exchange.index)


def _with_secret(exchange: Exchange, sink: Sink) -> WebhookWithSecretView:
    assert sink.webhook is not None
    secret = exchange.services.webhooks.keys.shown(sink.id, sink.webhook.keys[0].name)
    if secret is None:  # a repetition, long after the line of the secret file has gone
        raise Refusal("signing-key-lost")
    view = _view(exchange.services.replica.state, sink, sink.webhook)
    return WebhookWithSecretView(**msgspec.structs.asdict(view), secret=secret)


def _view(state: State, sink: Sink, webhook: Webhook) -> WebhookView:
    until_ms = webhook.keys[1].until_ms if len(webhook.keys) > 1 else 0
    return WebhookView(
        id=sink.id,
        url=webhook.url,
        description=webhook.description,
        types=webhook.types,
        space_ids=webhook.space_ids,
        state=sink.state,
        created_at=_instant(sink.created_at_ms),
        told_through=place_text(sink.cursor),
        delivered=sink.delivered,
        waiting=len(state.held.get(sink.id, ())),
        dead_letters=len(state.dead_letters.get(sink.id, ())),
        missed=sink.missed,
        dropped=sink.dropped,
        troubled_since=_instant(sink.troubled_ms) if sink.troubled_ms else None,
        why=sink.why or None,
        old_secret_until=_instant(until_ms) if until_ms else None,
    )


def _instant(at_ms: int) -> str:
    return rfc3339_of_ms(at_ms, zone_of("UTC"))


_PATH = "/api/v1/admin/webhooks"
_ONE = f"{_PATH}/{{webhook_id}}"
_READ_PROBLEMS = ("forbidden", "unavailable")
_WRITE_PROBLEMS = ("forbidden", "key-reused", "too-many-keys", "overloaded", "unavailable", "outcome-unknown")

CALLS = (
    Call("GET", _PATH, "Webhooks", list_all, {200: WebhooksView}, problems=_READ_PROBLEMS),
    Call(
        "POST",
        _PATH,
        "Deliver events to an address",
        create,
        {201: WebhookWithSecretView},
        body=NewWebhookBody,
        problems=("too-many-sinks", *_WRITE_PROBLEMS),
    ),
    Call("GET", _ONE, "One webhook", get, {200: WebhookView}, problems=("sink-not-found", *_READ_PROBLEMS)),
    Call(
        "PATCH",
        _ONE,
        "Change a webhook, pause it or let it go on",
        revise,
        {200: WebhookView},
        body=WebhookChangeBody,
        problems=("sink-not-found", *_WRITE_PROBLEMS),
    ),
    Call(
        "DELETE",
        _ONE,
        "Deliver nothing there any more",
        remove,
        {204: None},
        problems=("sink-not-found", *_WRITE_PROBLEMS),
    ),
    Call(
        "POST",
        f"{_ONE}/rotate",
        "Another secret",
        rotate,
        {200: WebhookWithSecretView},
        body=RotateBody,
        body_optional=True,
        problems=("sink-not-found", "signing-key-lost", *_WRITE_PROBLEMS),
    ),
    Call(
        "POST",
        f"{_ONE}/test",
        "Send a test event now",
        test,
        {200: WebhookTestView},
        body=EmptyBody,
        body_optional=True,
        keyed=False,
        problems=("sink-not-found", "signing-key-lost", *_READ_PROBLEMS),
    ),
)
