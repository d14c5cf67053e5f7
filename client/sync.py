"""The blocking client: the calls of `aio.Client` for programs without an event loop.

    with Client("http://127.0.0.1:8001") as client:
        client.login("ada", "a long pass phrase")
        for booking in client.history():
            print(booking.starts_at, booking.seat_id)

A thread of its own runs the event loop, so that connections stay open and the other nodes are learned
between the calls. May be used from several threads at once.

Every call has the parameters, the answer and the exceptions of its namesake in `aio.Client`; an asynchronous iterator is an
iterator here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from client import aio
from client.answers import Session
from client.blocking import Blocking, call, items
from client.calling import DEFAULT_DEADLINE_SECONDS
from client.people import BlockingPeople
from client.premises import BlockingPremises
from client.sinks import BlockingSinks
from client.webhooks import BlockingWebhooks

T = TypeVar("T")


class Client(Blocking):
    """See `aio.Client` for what each call does; close it, or use it as a context manager."""

    def __init__(
        self,
        servers: Sequence[str] | str,
        *,
        session: Session | None = None,
        on_session: Callable[[Session | None], None] | None = None,
        devices: Mapping[str, str] | None = None,
        deadline_seconds: float = DEFAULT_DEADLINE_SECONDS,
    ) -> None:
        self._client = aio.Client(
            servers,
            session=session,
            on_session=on_session,
            devices=devices,
            deadline_seconds=deadline_seconds,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="deskraft-client", daemon=True)
        self._thread.start()
        super().__init__(self._client, self._run)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections and end the thread. Harmless when repeated."""
        if self._loop.is_closed():
            return
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C in the waiting thread: the call must not go on behind its back
            future.cancel()
            raise

    @property
    def servers(self) -> tuple[str, ...]:
        """Base URLs of every server known."""
        return self._client.servers

    @property
    def session(self) -> Session | None:
        """The log-in, or None."""
        return self._client.session

    @property
    def min_index(self) -> int:
        """The highest log index that an answer has reflected."""
        return self._client.min_index

    @property
    def last_receipt(self) -> tuple[int, str]:
        """Index and digest of the last answer."""
        return self._client.last_receipt

    @property
    def people(self) -> BlockingPeople:
        """One's own account beyond logging in, and, for administrators, other people's."""
        return BlockingPeople(self._client.people, self._run)

    @property
    def webhooks(self) -> BlockingWebhooks:
        """Where events are delivered to, for administrators."""
        return BlockingWebhooks(self._client.webhooks, self._run)

    @property
    def sinks(self) -> BlockingSinks:
        """Sinks of every kind and their dead letters, for administrators."""
        return BlockingSinks(self._client.sinks, self._run)

    @property
    def premises(self) -> BlockingPremises:
        """The administrators' calls that shape spaces and seats."""
        return BlockingPremises(self._client.premises, self._run)

    register = call(aio.Client.register)
    login = call(aio.Client.login)
    refresh = call(aio.Client.refresh)
    logout = call(aio.Client.logout)
    me = call(aio.Client.me)

    spaces = call(aio.Client.spaces)
    space = call(aio.Client.space)
    availability = call(aio.Client.availability)
    seat_day = call(aio.Client.seat_day)
    check_in_rule = call(aio.Client.check_in_rule)
    occupancy = call(aio.Client.occupancy)
    occupancy_csv = call(aio.Client.occupancy_csv)

    events = items(aio.Client.events)
    events_page = call(aio.Client.events_page)

    book = call(aio.Client.book)
    book_local = call(aio.Client.book_local)
    basket = call(aio.Client.basket)
    move = call(aio.Client.move)
    cancel = call(aio.Client.cancel)
    check_in = call(aio.Client.check_in)
    steps = call(aio.Client.steps)
    booking = call(aio.Client.booking)
    bookings = items(aio.Client.bookings)
    bookings_page = call(aio.Client.bookings_page)
    history = items(aio.Client.history)
    history_page = call(aio.Client.history_page)
    plan = call(aio.Client.plan)
    series = call(aio.Client.series)
    series_page = call(aio.Client.series_page)
    cancel_series = call(aio.Client.cancel_series)
    wait_for = call(aio.Client.wait_for)
    waiting = call(aio.Client.waiting)
    waitings = call(aio.Client.waitings)
    leave_waitlist = call(aio.Client.leave_waitlist)
    open_calendar = call(aio.Client.open_calendar)
    calendar = call(aio.Client.calendar)
    close_calendar = call(aio.Client.close_calendar)
    set_grace = call(aio.Client.set_grace)

    cluster = call(aio.Client.cluster)
    cluster_as_seen_by = call(aio.Client.cluster_as_seen_by)
    receipt = call(aio.Client.receipt)
    sightings = call(aio.Client.sightings)
    add_member = call(aio.Client.add_member)
    promote_member = call(aio.Client.promote_member)
    remove_member = call(aio.Client.remove_member)
    replace_member = call(aio.Client.replace_member)
    transfer_leadership = call(aio.Client.transfer_leadership)
    write_snapshot = call(aio.Client.write_snapshot)
    stream_backup = call(aio.Client.stream_backup)
