"""The rules of the outbox: how far each sink has been told, what is held back for it, and what it did not take.

**Why it is state.** Whoever leads delivers; when the leader dies, the next one goes on from the cursors that the log gave it, so nothing
that happened goes untold. It may tell the last few events again (at least once): each has a stable id, its place.

**Invariants.**
- Every event after a sink's cursor is still to be looked at; every event at or before it was delivered, was not wanted, is held back,
  is a dead letter, or is counted in `missed`, `dropped`, or was dropped by an administrator. So the cursor and the rows move in one command.
- A settlement names the turn that it was worked out from. Of two leaders that both believe to lead only one can settle a turn, and what a
  deposed one sends late changes nothing (`outbox-moved`).
- No cursor stands before `feed.lost_through`: what falls out of the feed before a sink has taken it is counted as missed, in the entry
  that pushed it out.
- All tables are bounded. A full table of held events stops the cursor of its own sink, by the runner's choice and by `outbox-moved` here.

What is delivered when, and when again, is the runner's to decide (`node/outbox.py`): a pause and its jitter travel in the command.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import structs

from statemachine import audit, policies
from statemachine.commands import Envelope
from statemachine.events import Event
from statemachine.limits import (
    FEED_EVENTS_KEPT,
    MAX_DEAD_LETTERS,
    MAX_HELD_EVENTS,
    MAX_ID_CHARS,
    MAX_OVERLAP_MS,
    MAX_SETTLED_ROWS,
    MAX_SINKS,
    MAX_STAMP_MS,
    MAX_TEXT_CHARS,
    MAX_URL_CHARS,
    MAX_WEBHOOK_TYPES,
    MAX_WHY_CHARS,
)
from statemachine.outbox_commands import (
    BeginFeed,
    CreateWebhook,
    DropLetters,
    OpenSink,
    RemoveSink,
    ReplayLetters,
    ReviseWebhook,
    RotateWebhook,
    SetSink,
    Settle,
)
from statemachine.outbox_events import SinkAct, SinkChanged
from statemachine.outcomes import Outcome
from statemachine.sinks import DeadLetter, Held, Letters, Place, Sink, Webhook, WebhookKey
from statemachine.tables import Entry, Tables

MAX_COUNTED_ATTEMPTS = 1_000
MAX_KEYS = 2  # of one webhook: the newest, and the one before it during the overlap


def make_room(tables: Tables, events: list[tuple[int, Event]], index: int) -> None:
    """Count what the feed is about to drop before a sink has taken it, and carry the cursor over it."""
    excess = len(tables.feed) + len(events) - FEED_EVENTS_KEPT
    if excess <= 0 or not tables.sinks:
        return
    going: list[Place] = [row[:2] for row in tables.feed.after(tables.feed.lost_through, excess)]
    going += [(index, position) for position, _ in events][: excess - len(going)]
    for sink in list(tables.sinks.values()):
        if sink.cursor < going[-1]:
            missed = sum(place > sink.cursor for place in going)
            tables.put_sink(structs.replace(sink, cursor=going[-1], missed=sink.missed + missed))


def begin_feed(tables: Tables, entry: Entry, _envelope: Envelope, _command: BeginFeed) -> Outcome:
    """Keep a feed from now on, on every member alike."""
    if not tables.feed.is_open:
        tables.feed.begin(entry.index)
        for sink in tables.sinks.values():
            tables.put_sink(structs.replace(sink, cursor=tables.feed.lost_through))
    return Outcome("ok", entry.index, len(entry.events))


def open_sink(tables: Tables, entry: Entry, _envelope: Envelope, command: OpenSink) -> Outcome:
    """Begin to deliver to the mail server or the broker of cluster.yml."""
    sink = tables.sinks.get(command.sink_id)
    if sink is not None and sink.kind == command.kind:
        return Outcome("ok", entry.index, len(entry.events), sink)
    if sink is not None or command.kind == "webhook" or not 0 < len(command.sink_id) <= MAX_ID_CHARS:
        return entry.refuse("malformed")
    if len(tables.sinks) >= MAX_SINKS:
        return entry.refuse("too-many-sinks")
    feed = tables.feed
    cursor = feed.lost_through if command.from_beginning else feed.last or feed.lost_through
    return _add(
        tables, entry, Sink(command.sink_id, command.kind, "active", None, cursor, 0, entry.now_ms, "")
    )


def settle(tables: Tables, entry: Entry, _envelope: Envelope, command: Settle) -> Outcome:
    """Write down what the runner has found out, all of it or nothing."""
    sink = tables.sinks.get(command.sink_id)
    if sink is None:
        return entry.refuse("sink-not-found")
    if command.turn != sink.turn:
        return entry.refuse("outbox-moved")
    if not _is_sound(tables, sink, command):
        return entry.refuse("malformed")
    held = tables.held[sink.id]
    known = {place: _event_of(tables, sink, place) for place in _places(command)}
    leaving = {*command.taken, *(bury.place for bury in command.buried)}
    coming = {hold.place for hold in command.held if known[hold.place] is not None}
    if len(held.keys() - leaving | coming) > MAX_HELD_EVENTS:
        return entry.refuse("outbox-moved")  # an administrator's replay has taken the room meanwhile
    for place in command.taken:
        tables.drop_held(sink.id, place)
    for hold in command.held:
        event = known[hold.place]
        if event is not None:
            tables.put_held(Held(sink.id, hold.place, event, hold.attempts, hold.due_ms, hold.why))
    dropped = 0
    for bury in command.buried:
        event = known[bury.place]
        if event is not None:
            tables.drop_held(sink.id, bury.place)
            letter = DeadLetter(sink.id, bury.place, event, bury.attempts, entry.now_ms, bury.why)
            dropped += _keep_letter(tables, letter)
    troubled_ms = (sink.troubled_ms or entry.now_ms) if command.trouble else 0
    changed = structs.replace(
        sink,
        cursor=max(sink.cursor, command.cursor),
        turn=sink.turn + 1,
        troubled_ms=troubled_ms,
        why=command.trouble or sink.why * (sink.state == "disabled"),
        delivered=sink.delivered + command.delivered + len(command.taken),
        dropped=sink.dropped + dropped,
    )
    position = len(entry.events)
    if command.gone and sink.state == "active":
        changed = structs.replace(changed, state="disabled", why=command.gone, revision=entry.revision)
        position = entry.record(SinkChanged(sink.id, "disabled", "", entry.now_ms))
    tables.put_sink(changed)
    return Outcome("ok", entry.index, position)


def _is_sound(tables: Tables, sink: Sink, command: Settle) -> bool:
    places = _places(command)
    tries = [(each.attempts, each.why) for each in command.held]
    tries += [(each.attempts, each.why) for each in command.buried]
    whys = [command.trouble, command.gone, *(why for _, why in tries)]
    last = tables.feed.last or tables.feed.lost_through
    return (
        command.cursor <= max(last, sink.cursor)
        and 0 <= command.delivered <= FEED_EVENTS_KEPT
        and len(places) <= MAX_SETTLED_ROWS
        and len(set(places)) == len(places)
        and all(place <= max(command.cursor, sink.cursor) for place in places)
        and all(len(why) <= MAX_WHY_CHARS for why in whys)
        and all(0 <= attempts <= MAX_COUNTED_ATTEMPTS for attempts, _ in tries)
        and all(0 <= each.due_ms <= MAX_STAMP_MS for each in command.held)
    )


def _places(command: Settle) -> list[Place]:
    return [*command.taken, *(each.place for each in command.held), *(each.place for each in command.buried)]


def _event_of(tables: Tables, sink: Sink, place: Place) -> Event | None:
    """The event that is to be held back or buried; None when the sink has nothing to do with it any more: it fell out of the feed."""
    held = tables.held[sink.id].get(place)
    if held is not None:
        return held.event
    if place <= sink.cursor:
        return None
    index, position = place
    for found in tables.feed.after((index, position - 1), 1):
        if found[:2] == place:
            return found[2]
    return None


def _keep_letter(tables: Tables, letter: DeadLetter) -> int:
    """Keep a dead letter; how many older ones had to go for it."""
    tables.put_dead_letter(letter)
    letters = tables.dead_letters[letter.sink_id]
    over = len(letters) - MAX_DEAD_LETTERS
    for place in list(letters)[: max(over, 0)]:
        tables.drop_dead_letter(letter.sink_id, place)
    return max(over, 0)


# --- administrators -----------------------------------------------------------------------------------------


def create_webhook(tables: Tables, entry: Entry, envelope: Envelope, command: CreateWebhook) -> Outcome:
    """A new webhook, told from now on."""
    actor_id = tables.sessions[envelope.session_id].user_id
    if not policies.is_administrator(tables, actor_id):
        return entry.refuse("forbidden")
    if (
        not 0 < len(command.sink_id) <= MAX_ID_CHARS
        or not _is_webhook(command)
        or not _is_key(command.key_name)
    ):
        return entry.refuse("malformed")
    if command.sink_id in tables.sinks:
        return entry.refuse("duplicate-id")
    if len(tables.sinks) >= MAX_SINKS:
        return entry.refuse("too-many-sinks")
    webhook = Webhook(
        command.url, command.description, command.types, (WebhookKey(command.key_name),), command.space_ids
    )
    cursor = tables.feed.last or tables.feed.lost_through
    sink = Sink(command.sink_id, "webhook", "active", webhook, cursor, 0, entry.now_ms, "")
    return _add(tables, entry, sink, actor_id)


def revise_webhook(tables: Tables, entry: Entry, envelope: Envelope, command: ReviseWebhook) -> Outcome:
    """Another address, description or choice of events."""
    if not _is_webhook(command):
        return entry.refuse("malformed")
    sink = _sink_of(tables, entry, envelope, command.sink_id)
    if isinstance(sink, Outcome):
        return sink
    if sink.webhook is None:
        return entry.refuse("not-a-webhook")
    webhook = Webhook(command.url, command.description, command.types, sink.webhook.keys, command.space_ids)
    return _change(tables, entry, envelope, structs.replace(sink, webhook=webhook), "revised")


def rotate_webhook(tables: Tables, entry: Entry, envelope: Envelope, command: RotateWebhook) -> Outcome:
    """Another key; receivers get the time to take it up."""
    if not _is_key(command.key_name) or not 0 <= command.overlap_ms <= MAX_OVERLAP_MS:
        return entry.refuse("malformed")
    sink = _sink_of(tables, entry, envelope, command.sink_id)
    if isinstance(sink, Outcome):
        return sink
    if sink.webhook is None:
        return entry.refuse("not-a-webhook")
    before = structs.replace(sink.webhook.keys[0], until_ms=entry.now_ms + command.overlap_ms)
    keys = (WebhookKey(command.key_name), before)[: MAX_KEYS if command.overlap_ms else 1]
    webhook = structs.replace(sink.webhook, keys=keys)
    return _change(tables, entry, envelope, structs.replace(sink, webhook=webhook), "rotated")


def set_sink(tables: Tables, entry: Entry, envelope: Envelope, command: SetSink) -> Outcome:
    """Pause or go on. What is so already stays so, and leaves no record."""
    sink = _sink_of(tables, entry, envelope, command.sink_id)
    if isinstance(sink, Outcome):
        return sink
    if command.state == "disabled":
        return entry.refuse("malformed")  # only a sink itself says that it wants nothing any more
    if sink.state == command.state:
        return Outcome("ok", entry.index, len(entry.events), sink)
    changed = structs.replace(sink, state=command.state, troubled_ms=0, why="")
    return _change(tables, entry, envelope, changed, "resumed" if command.state == "active" else "paused")


def remove_sink(tables: Tables, entry: Entry, envelope: Envelope, command: RemoveSink) -> Outcome:
    """Deliver nothing there any more."""
    sink = _sink_of(tables, entry, envelope, command.sink_id)
    if isinstance(sink, Outcome):
        return sink
    tables.drop_sink(sink.id)
    return Outcome("ok", entry.index, _tell(tables, entry, envelope, sink.id, "removed"), sink)


def replay_letters(tables: Tables, entry: Entry, envelope: Envelope, command: ReplayLetters) -> Outcome:
    """Hold dead letters back as if nothing had been tried: they are due at once."""
    sink = _sink_of(tables, entry, envelope, command.sink_id)
    if isinstance(sink, Outcome):
        return sink
    room = MAX_HELD_EVENTS - len(tables.held[sink.id])
    chosen = _chosen(tables, sink.id, command.places)[:room]
    for letter in chosen:
        tables.drop_dead_letter(sink.id, letter.place)
        tables.put_held(Held(sink.id, letter.place, letter.event, 0, entry.now_ms, letter.why))
    return _told_of_letters(tables, entry, envelope, Letters(sink.id, len(chosen)), "replayed")


def drop_letters(tables: Tables, entry: Entry, envelope: Envelope, command: DropLetters) -> Outcome:
    """Forget dead letters."""
    sink = _sink_of(tables, entry, envelope, command.sink_id)
    if isinstance(sink, Outcome):
        return sink
    chosen = _chosen(tables, sink.id, command.places)
    for letter in chosen:
        tables.drop_dead_letter(sink.id, letter.place)
    return _told_of_letters(tables, entry, envelope, Letters(sink.id, len(chosen)), "dropped")


def _chosen(tables: Tables, sink_id: str, places: Iterable[Place]) -> list[DeadLetter]:
    letters = tables.dead_letters[sink_id]
    wanted = dict.fromkeys(places)
    return [letters[place] for place in wanted if place in letters] if wanted else list(letters.values())


def _told_of_letters(
    tables: Tables, entry: Entry, envelope: Envelope, letters: Letters, what: SinkAct
) -> Outcome:
    if not letters.count:
        return Outcome("ok", entry.index, len(entry.events), letters)
    position = _tell(tables, entry, envelope, letters.sink_id, what, f"{letters.count} letters")
    return Outcome("ok", entry.index, position, letters)


def _sink_of(tables: Tables, entry: Entry, envelope: Envelope, sink_id: str) -> Sink | Outcome:
    """The sink that an administrator means, or the refusal."""
    if not policies.is_administrator(tables, tables.sessions[envelope.session_id].user_id):
        return entry.refuse("forbidden")
    return tables.sinks.get(sink_id) or entry.refuse("sink-not-found")


def _add(tables: Tables, entry: Entry, sink: Sink, actor_id: str = "") -> Outcome:
    sink = structs.replace(sink, revision=entry.revision)
    tables.put_sink(sink)
    position = entry.record(SinkChanged(sink.id, "created" if actor_id else "opened", actor_id, entry.now_ms))
    if actor_id:
        audit.record(tables, entry.index, position, actor_id, "sink-created", sink.id)
    return Outcome("ok", entry.index, position, sink)


def _change(tables: Tables, entry: Entry, envelope: Envelope, sink: Sink, what: SinkAct) -> Outcome:
    sink = structs.replace(sink, revision=entry.revision)
    tables.put_sink(sink)
    return Outcome("ok", entry.index, _tell(tables, entry, envelope, sink.id, what), sink)


def _tell(
    tables: Tables, entry: Entry, envelope: Envelope, sink_id: str, what: SinkAct, detail: str = ""
) -> int:
    actor_id = tables.sessions[envelope.session_id].user_id
    position = entry.record(SinkChanged(sink_id, what, actor_id, entry.now_ms))
    audit.record(tables, entry.index, position, actor_id, f"sink-{what}", sink_id, detail)
    return position


def _is_webhook(command: CreateWebhook | ReviseWebhook) -> bool:
    return (
        0 < len(command.url) <= MAX_URL_CHARS
        and len(command.description) <= MAX_TEXT_CHARS
        and len(command.types) <= MAX_WEBHOOK_TYPES
        and len(command.space_ids) <= MAX_WEBHOOK_TYPES
        and all(0 < len(each) <= MAX_ID_CHARS for each in (*command.types, *command.space_ids))
    )


def _is_key(name: str) -> bool:
    return 0 < len(name) <= MAX_ID_CHARS
