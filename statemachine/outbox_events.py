"""What has happened to sinks and to what people want to hear; part of the vocabulary of `events.py`.

A *settlement* of the outbox is no event: it would have to be delivered, and that be settled, for ever. What it brings is counted in the
record of the sink.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from statemachine.records import Booking

SinkAct = Literal[
    "opened",
    "created",
    "revised",
    "rotated",
    "paused",
    "resumed",
    "disabled",
    "removed",
    "replayed",
    "dropped",
]


class SinkChanged(Struct, frozen=True, array_like=True, gc=False, tag="sink-changed"):
    """A sink was made or changed; `by_user_id` is empty when the cluster did it. No address: it may hold a secret."""

    sink_id: str
    what: SinkAct
    by_user_id: str
    at_ms: int


class NotificationsSet(Struct, frozen=True, array_like=True, gc=False, tag="notifications-set"):
    """A user wants to hear something else, or somewhere else; `confirm`: a code has to be mailed. The address stays in the record."""

    user_id: str
    confirm: bool
    at_ms: int


class AddressConfirmed(Struct, frozen=True, array_like=True, gc=False, tag="address-confirmed"):
    """Mails for a user go to their address from now on."""

    user_id: str
    at_ms: int


class BookingReminded(Struct, frozen=True, array_like=True, gc=False, tag="booking-reminded"):
    """A booking is about to begin, as long before as its user wants to be told."""

    booking: Booking
    at_ms: int


OutboxEvent = SinkChanged | NotificationsSet | AddressConfirmed | BookingReminded
