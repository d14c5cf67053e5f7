"""What administrators do about sinks of every kind: look at them, pause them, see to dead letters. Webhooks are made in `webhooks.py`.

Every act is one command of the log, judged and recorded there.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from msgspec import UNSET

from api.answers import empty_answer, json_answer
from api.bookings import next_link
from api.calls import CURSOR, DEFAULT_LIMIT, LIMIT, Call, Handler
from api.exchange import Exchange
from api.outbox_shapes import (
    CountView,
    LettersBody,
    LettersView,
    LetterView,
    SinksView,
    SinkView,
)
from api.people import administrated
from api.problems import Refusal, parameter_refusal
from api.shapes import Body, EmptyBody
from api.timegrid import rfc3339_of_ms, zone_of
from node.cloudevents import cloud_event, place_from, place_text, story_of
from statemachine.commands import Command
from statemachine.outbox_commands import (
    DropLetters,
    Place,
    RemoveSink,
    ReplayLetters,
    SetSink,
)
from statemachine.outcomes import Outcome
from statemachine.sinks import Letters, Sink
from statemachine.state import State


async def sinks(exchange: Exchange, _: None) -> web.Response:
    """All sinks."""
    state, _user = await administrated(exchange)
    return json_answer(SinksView([sink_view(state, each) for each in state.sinks.values()]), exchange.index)


async def sink(exchange: Exchange, _: None) -> web.Response:
    """One sink."""
    state, _user = await administrated(exchange)
    return json_answer(sink_view(state, _found(exchange, state)), exchange.index)


async def pause(exchange: Exchange, body: EmptyBody) -> web.Response:
    """Deliver nothing until it is resumed."""
    return _shown(exchange, await _executed(exchange, body, SetSink(_sink_id(exchange), "paused")))


async def resume(exchange: Exchange, body: EmptyBody) -> web.Response:
    """Go on from where it stands: after a pause, or after it said that it is gone."""
    return _shown(exchange, await _executed(exchange, body, SetSink(_sink_id(exchange), "active")))


async def remove(exchange: Exchange, _: None) -> web.Response:
    """Forget a sink with all that waits for it."""
    await _executed(exchange, EmptyBody(), RemoveSink(_sink_id(exchange)))
    return empty_answer(exchange.index)


async def letters(exchange: Exchange, _: None) -> web.Response:
    """A page of dead letters."""
    state, _user = await administrated(exchange)
    found = _found(exchange, state)
    after: Place = (-1, 0)
    if "cursor" in exchange.query:
        given = place_from(exchange.query["cursor"])
        if given is None:
            raise parameter_refusal("cursor", "is not one that this call has given")
        after = given
    limit = exchange.query.get("limit", DEFAULT_LIMIT)
    rows = [row for place, row in sorted(state.dead_letters[found.id].items()) if place > after]
    cluster = exchange.services.config.cluster
    items = []
    for row in rows[:limit]:
        story = story_of(row.event)
        event = cloud_event(cluster, row.place, story, story)
        items.append(LetterView(place_text(row.place), row.attempts, _instant(row.at_ms), row.why, event))
    cursor = items[-1].id if len(rows) > limit else None
    extra = [("Link", next_link(exchange, cursor))] if cursor else []
    return json_answer(LettersView(items, cursor), exchange.index, extra=extra)


async def replay(exchange: Exchange, body: LettersBody) -> web.Response:
    """Try dead letters again."""
    return await _to_letters(exchange, body, lambda places: ReplayLetters(_sink_id(exchange), places))


async def drop(exchange: Exchange, body: LettersBody) -> web.Response:
    """Forget dead letters."""
    return await _to_letters(exchange, body, lambda places: DropLetters(_sink_id(exchange), places))


async def _to_letters(
    exchange: Exchange, body: LettersBody, made: Callable[[tuple[Place, ...]], Command]
) -> web.Response:
    places = () if body.ids is UNSET else tuple(_place(each, at) for at, each in enumerate(body.ids))
    outcome = await _executed(exchange, body, made(places))
    assert isinstance(outcome.result, Letters)
    return json_answer(CountView(outcome.result.count), exchange.index)


def _place(event_id: str, at: int) -> Place:
    place = place_from(event_id)
    if place is None:  # the pattern lets a line end through
        raise Refusal("invalid-body", errors=[(f"/ids/{at}", "is not the id of an event")])
    return place


def sink_view(state: State, sink: Sink) -> SinkView:
    """A sink as administrators see it, without its keys."""
    held = state.held.get(sink.id, {})
    return SinkView(
        id=sink.id,
        kind=sink.kind,
        state=sink.state,
        created_at=_instant(sink.created_at_ms),
        cursor=place_text(sink.cursor),
        behind=state.feed.count_after(sink.cursor),
        held=len(held),
        dead_letters=len(state.dead_letters.get(sink.id, ())),
        delivered=sink.delivered,
        missed=sink.missed,
        dropped=sink.dropped,
        troubled_since=_instant(sink.troubled_ms) if sink.troubled_ms else None,
        why=sink.why,
        next_attempt_at=_instant(min(row.due_ms for row in held.values())) if held else None,
        revision=sink.revision,
        url=sink.webhook.url if sink.webhook is not None else None,
    )


def _shown(exchange: Exchange, outcome: Outcome) -> web.Response:
    view = sink_view(exchange.services.replica.state, _sink_in(outcome))
    return json_answer(view, exchange.index)


def _sink_in(outcome: Outcome) -> Sink:
    assert isinstance(outcome.result, Sink)
    return outcome.result


def _found(exchange: Exchange, state: State) -> Sink:
    found = state.sinks.get(exchange.request.match_info["sink_id"])
    if found is None:
        raise Refusal("sink-not-found")
    return found


def _sink_id(exchange: Exchange) -> str:
    sink_id = exchange.request.match_info["sink_id"]
    if not sink_id.isascii() or len(sink_id) > 64:
        raise Refusal("sink-not-found")  # no id of ours; the log need not see it
    return sink_id


def _instant(at_ms: int) -> str:
    return rfc3339_of_ms(at_ms, zone_of("UTC"))


async def _executed(exchange: Exchange, body: Body, command: Command) -> Outcome:
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
    return outcome


_READ = ("forbidden", "unavailable")
_WRITE = ("forbidden", "key-reused", "too-many-keys", "overloaded", "unavailable", "outcome-unknown")
_SINKS = "/api/v1/admin/sinks"
_SINK = f"{_SINKS}/{{sink_id}}"


def _act(
    name: str,
    summary: str,
    handler: Handler,
    body: type[Body],
    answer: type,
    problems: tuple[str, ...] = (),
) -> Call:
    return Call(
        "POST",
        f"{_SINK}/{name}",
        summary,
        handler,
        {200: answer},
        body=body,
        body_optional=True,
        problems=("sink-not-found", *problems, *_WRITE),
    )


CALLS = (
    Call("GET", _SINKS, "Where events are delivered to", sinks, {200: SinksView}, problems=_READ),
    Call("GET", _SINK, "One sink", sink, {200: SinkView}, problems=("sink-not-found", *_READ)),
    Call(
        "DELETE",
        _SINK,
        "Forget a sink with all that waits for it",
        remove,
        {204: None},
        problems=("forbidden", "sink-not-found", "overloaded", "unavailable", "outcome-unknown"),
    ),
    _act("pause", "Deliver nothing for now", pause, EmptyBody, SinkView),
    _act("resume", "Go on from where it stands", resume, EmptyBody, SinkView),
    Call(
        "GET",
        f"{_SINK}/dead-letters",
        "What a sink did not take",
        letters,
        {200: LettersView},
        query=(LIMIT, CURSOR),
        problems=("sink-not-found", "invalid-parameter", *_READ),
    ),
    _act("dead-letters/replay", "Try dead letters again", replay, LettersBody, CountView),
    _act("dead-letters/drop", "Forget dead letters", drop, LettersBody, CountView),
)
