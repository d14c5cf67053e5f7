"""The tables of the outbox: sinks, what is held back for each, and what could not be delivered. No rules here."""

from __future__ import annotations

from msgspec.structs import replace

from statemachine.feed import without_user
from statemachine.sinks import DeadLetter, Held, Place, Sink
from statemachine.table_base import TableBase


class OutboxTables(TableBase):
    """Sinks with their held events and dead letters, each as they came."""

    def __init__(self) -> None:
        super().__init__()
        self.sinks: dict[str, Sink] = {}
        self.held: dict[str, dict[Place, Held]] = {}  # by sink; every sink has its own
        self.dead_letters: dict[str, dict[Place, DeadLetter]] = {}  # the same; oldest first

    def put_sink(self, sink: Sink) -> None:
        """Add a sink, or replace the record."""
        self.sinks[sink.id] = sink
        self.held.setdefault(sink.id, {})
        self.dead_letters.setdefault(sink.id, {})

    def drop_sink(self, sink_id: str) -> None:
        """Forget a sink and all that is kept for it."""
        del self.sinks[sink_id], self.held[sink_id], self.dead_letters[sink_id]

    def put_held(self, held: Held) -> None:
        """Hold an event back, or replace the record."""
        self.held[held.sink_id][held.place] = held

    def drop_held(self, sink_id: str, place: Place) -> None:
        """Hold an event back no longer."""
        self.held[sink_id].pop(place, None)

    def put_dead_letter(self, letter: DeadLetter) -> None:
        """Keep what could not be delivered, as the newest."""
        letters = self.dead_letters[letter.sink_id]
        letters.pop(letter.place, None)
        letters[letter.place] = letter

    def drop_dead_letter(self, sink_id: str, place: Place) -> None:
        """Forget what could not be delivered."""
        del self.dead_letters[sink_id][place]

    def forget_undelivered(self, user_id: str) -> None:
        """Take a user out of what is still to be delivered, or was not."""
        for held_rows in self.held.values():
            for place, held in held_rows.items():
                held_rows[place] = replace(held, event=without_user(held.event, user_id))
        for letters in self.dead_letters.values():
            for place, letter in letters.items():
                letters[place] = replace(letter, event=without_user(letter.event, user_id))
