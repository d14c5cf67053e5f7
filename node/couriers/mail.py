"""The courier of mails: who is told of an event, and the mail that tells them.

Whom an event is for is a rule of the state machine (`notifications.addressee`): confirmed addresses of those who want to hear of that
kind of event, and for a new address the code that confirms it. `letters` says it in words, `mime` makes it a mail, `smtp` sends it.
Here they meet.

The standard library takes some seven milliseconds to write a mail, which is long for the event loop of the node that leads; so that is done in a
thread, over records that nobody changes.

A mail is made anew for each attempt, from the event and from what spaces and seats are called then. Its `Message-ID` is made of the event's
place and time, so a repeat, after a failover or a lost answer, can be told from a second mail. (The place alone would come again in a
cluster that is started over under the same name.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from email.headerregistry import Address
from email.utils import parseaddr
from functools import partial

from node.config_outbox import Smtp
from node.couriers import Delivered, Delivery, Result, letters
from node.couriers.letters import Letter
from node.couriers.mime import CalendarPart, Sender, mail_of
from node.couriers.smtp import MailServer
from node.mail_addresses import AddressCodes
from node.secret import Secret
from statemachine.events import (
    BookingCancelled,
    BookingMoved,
    BookingReleased,
    Event,
    SeatBooked,
    WaiterPromoted,
)
from statemachine.notices import Notifications
from statemachine.notifications import addressee
from statemachine.outbox_events import BookingReminded, NotificationsSet
from statemachine.records import Booking
from statemachine.sinks import Place, Sink
from statemachine.state import State

_CHANGING = (SeatBooked, WaiterPromoted, BookingMoved, BookingCancelled, BookingReleased)
"""Events after which a calendar has to show something else."""


class MailCourier:
    """See `couriers.Courier`."""

    def __init__(self, cluster: str, smtp: Smtp, secret: Secret) -> None:
        name, address = parseaddr(smtp.sender)
        self._sender = Sender(Address(name, addr_spec=address), cluster)
        self._page_url = smtp.page_url
        self._codes = AddressCodes(secret)
        self._server = MailServer(smtp, self._sender.addr_spec)

    def wants(self, sink: Sink, place: Place, event: Event, state: State) -> bool:
        """Whether somebody is to be told."""
        return addressee(state, place, event) is not None

    async def deliver(self, delivery: Delivery) -> Result:
        """Make one attempt. What nobody is to be told (any more) is done."""
        settings = addressee(delivery.state, delivery.place, delivery.event)
        if settings is None:
            return Delivered()
        make = self._mail(delivery, settings)
        if make is None:
            return Delivered()
        return await self._server.send(settings.address, await asyncio.to_thread(make))

    async def close(self) -> None:
        """Nothing is kept between mails."""

    def _mail(self, delivery: Delivery, settings: Notifications) -> Callable[[], bytes] | None:
        """What makes the bytes, and needs the state no longer. None: there is nothing to tell."""
        letter = self._letter(delivery, settings)
        if letter is None:
            return None
        event, cluster = delivery.event, self._sender.cluster
        booking: Booking | None = getattr(event, "booking", None)
        calendar = None
        if booking is not None and isinstance(event, _CHANGING):
            calendar = CalendarPart(booking, delivery.state.spaces.get(booking.space_id), event.at_ms)
        return partial(
            mail_of,
            letters.with_footer(letter, cluster, self._page_url),
            self._sender,
            settings.address,
            f"{delivery.event_id}.{event.at_ms}",
            delivery.now_ms,
            thread="" if booking is None else f"booking.{booking.id}",
            calendar=calendar,
        )

    def _letter(self, delivery: Delivery, settings: Notifications) -> Letter | None:
        match delivery.event:
            case NotificationsSet():
                code = self._codes.code(settings.user_id, settings.address)
                return letters.with_code(settings.language, code)
            case BookingReminded(booking=booking):
                return letters.reminding(booking, delivery.state, settings.language, delivery.now_ms)
            case event:
                return letters.about(event, delivery.state, settings.language)
