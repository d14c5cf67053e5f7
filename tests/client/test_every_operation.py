"""Whatever the API can do, both clients and the command line can do.

Each operation of the OpenAPI document is called by its method of the client against a node of cardboard that refuses everything and
remembers what it was asked; the command line has a command for it. What has no method stands in `NO_METHOD` with its reason.

A call that is added to the API fails here until it is added to `METHODS` with its method and command.
"""

from __future__ import annotations

import contextlib
import functools
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click
import pytest

from api.app import API_CALLS
from api.console import main
from api.openapi import document
from client import aio, sync
from client.answers import Session, Wish
from client.errors import DeskraftError
from client.people import BlockingPeople, People
from client.premises import BlockingPremises, Premises
from client.sinks import BlockingSinks, Sinks
from client.webhooks import BlockingWebhooks, Webhooks
from tests.client.fake import FakeNode, fake_node

STARTS = datetime(2026, 12, 1, 7, tzinfo=UTC)
WISH = Wish("hq", "A1", date="2026-12-01", time="10:00")


class How(NamedTuple):
    """The method, dotted from the client; its arguments, `{server}` for the node; and the command."""

    method: str
    arguments: tuple[Any, ...]
    command: str


def how(method: str, *arguments: Any, command: str) -> How:
    """One row."""
    return How(method, arguments, command)


METHODS = {
    "POST /api/v1/auth/register": how("register", "ada", "pw", command="register"),
    "POST /api/v1/auth/login": how("login", "ada", "pw", command="login"),
    "POST /api/v1/auth/refresh": how("refresh", command="history"),  # by itself, in every command
    "POST /api/v1/auth/logout": how("logout", command="logout"),
    "POST /api/v1/auth/logout-everywhere": how("people.log_out_everywhere", command="sessions"),
    "GET /api/v1/admin/webhooks": how("webhooks.all", command="webhook list"),
    "POST /api/v1/admin/webhooks": how("webhooks.create", "https://a.example/", command="webhook add"),
    "GET /api/v1/admin/webhooks/{webhook_id}": how("webhooks.get", "w1", command="webhook show"),
    "PATCH /api/v1/admin/webhooks/{webhook_id}": how("webhooks.pause", "w1", command="webhook pause"),
    "DELETE /api/v1/admin/webhooks/{webhook_id}": how("webhooks.remove", "w1", command="webhook remove"),
    "POST /api/v1/admin/webhooks/{webhook_id}/rotate": how("webhooks.rotate", "w1", command="webhook rotate"),
    "POST /api/v1/admin/webhooks/{webhook_id}/test": how("webhooks.test", "w1", command="webhook test"),
    "GET /api/v1/admin/sinks": how("sinks.all", command="sink list"),
    "GET /api/v1/admin/sinks/{sink_id}": how("sinks.get", "mail", command="sink show"),
    "DELETE /api/v1/admin/sinks/{sink_id}": how("sinks.remove", "mail", command="sink remove"),
    "POST /api/v1/admin/sinks/{sink_id}/pause": how("sinks.pause", "mail", command="sink pause"),
    "POST /api/v1/admin/sinks/{sink_id}/resume": how("sinks.resume", "mail", command="sink resume"),
    "GET /api/v1/admin/sinks/{sink_id}/dead-letters": how("sinks.letters", "mail", command="sink letters"),
    "POST /api/v1/admin/sinks/{sink_id}/dead-letters/replay": how("sinks.replay", "mail", command="sink replay"),
    "POST /api/v1/admin/sinks/{sink_id}/dead-letters/drop": how("sinks.drop", "mail", command="sink drop"),
    "GET /api/v1/me": how("me", command="whoami"),
    "DELETE /api/v1/me": how("people.erase", "pw", command="erase"),
    "POST /api/v1/me/password": how("people.change_password", "old", "new", command="password"),
    "GET /api/v1/me/sessions": how("people.sessions", command="sessions"),
    "DELETE /api/v1/me/sessions/{session_id}": how("people.end_session", "s1", command="sessions"),
    "GET /api/v1/me/export": how("people.export", command="export"),
    "GET /api/v1/me/notifications": how("people.notifications", command="notifications"),
    "PUT /api/v1/me/notifications": how("people.set_notifications", None, "en", command="notifications set"),
    "POST /api/v1/me/notifications/confirm": how(
        "people.confirm_address", "7K2M9-QX4TD", command="notifications confirm"
    ),
    "POST /api/v1/me/calendar": how("open_calendar", command="calendar"),
    "GET /api/v1/me/calendar": how("calendar", command="calendar"),
    "DELETE /api/v1/me/calendar": how("close_calendar", command="calendar"),
    "GET /api/v1/admin/users": how("people.users", command="user list"),
    "GET /api/v1/admin/users/{user_id}": how("people.user", "u1", command="user show"),
    "GET /api/v1/admin/users/{user_id}/bookings": how("people.bookings", "u1", command="user bookings"),
    "POST /api/v1/admin/users/{user_id}/block": how("people.block", "u1", command="user block"),
    "POST /api/v1/admin/users/{user_id}/unblock": how("people.unblock", "u1", command="user unblock"),
    "POST /api/v1/admin/users/{user_id}/end-sessions": how(
        "people.end_sessions", "u1", command="user end-sessions"
    ),
    "POST /api/v1/admin/users/{user_id}/promote": how("people.promote", "u1", command="user promote"),
    "POST /api/v1/admin/users/{user_id}/demote": how("people.demote", "u1", command="user demote"),
    "POST /api/v1/admin/users/{user_id}/reset-password": how("people.reset_password", "u1", command="user reset"),
    "GET /api/v1/admin/audit": how("people.audit_page", command="audit"),
    "GET /api/v1/spaces": how("spaces", command="seats"),
    "GET /api/v1/spaces/{space_id}": how("space", "hq", command="seats"),
    "GET /api/v1/spaces/{space_id}/availability": how("availability", "hq", "2026-12-01", command="seats"),
    "GET /api/v1/spaces/{space_id}/checkin": how("check_in_rule", "hq", command="grace"),
    "POST /api/v1/admin/spaces/{space_id}/checkin": how("set_grace", "hq", 15, command="grace"),
    "GET /api/v1/spaces/{space_id}/seats/{seat_id}/day": how("seat_day", "hq", "A1", "2026-12-01", command="taken"),
    "GET /api/v1/admin/spaces": how("premises.spaces", command="space list"),
    "POST /api/v1/admin/spaces": how("premises.create", "hq", command="space create"),
    "GET /api/v1/admin/spaces/{space_id}": how("premises.space", "hq", command="space show"),
    "PATCH /api/v1/admin/spaces/{space_id}": how("premises.revise", "hq", command="space policy"),
    "POST /api/v1/admin/spaces/{space_id}/days": how("premises.set_days", "hq", "2026-12-31", command="space close"),
    "POST /api/v1/admin/spaces/{space_id}/seats": how("premises.add_seat", "hq", "N1", command="space seat add"),
    "PATCH /api/v1/admin/spaces/{space_id}/seats/{seat_id}": how("premises.revise_seat", "hq", "N1", command="space seat set"),
    "POST /api/v1/bookings": how("book", "hq", "A1", STARTS, command="book"),
    "GET /api/v1/bookings": how("bookings", command="history"),
    "GET /api/v1/bookings/{booking_id}": how("booking", "b1", command="steps"),
    "POST /api/v1/bookings/{booking_id}/cancel": how("cancel", "b1", command="cancel"),
    "POST /api/v1/bookings/basket": how("basket", [WISH], command="basket"),
    "POST /api/v1/bookings/{booking_id}/move": how("move", "b1", command="move"),
    "GET /api/v1/bookings/{booking_id}/history": how("steps", "b1", command="steps"),
    "POST /api/v1/bookings/{booking_id}/checkin": how("check_in", "b1", command="checkin"),
    "POST /api/v1/series": how("plan", WISH, "FREQ=WEEKLY;COUNT=2", command="series book"),
    "GET /api/v1/series": how("series_page", command="series list"),
    "GET /api/v1/series/{series_id}": how("series", "s1", command="series show"),
    "POST /api/v1/series/{series_id}/cancel": how("cancel_series", "s1", command="series cancel"),
    "POST /api/v1/waitlist": how("wait_for", "hq", command="waitlist join"),
    "GET /api/v1/waitlist": how("waitings", command="waitlist show"),
    "GET /api/v1/waitlist/{waiting_id}": how("waiting", "w1", command="waitlist show"),
    "POST /api/v1/waitlist/{waiting_id}/leave": how("leave_waitlist", "w1", command="waitlist leave"),
    "POST /book": how("book_local", "A1", "2026-12-01", "10:00", command="book"),
    "GET /api/v1/events": how("events", command="events"),
    "GET /history": how("history", command="history"),
    "GET /api/v1/cluster": how("cluster", command="cluster status"),
    "POST /api/v1/cluster/members": how("add_member", "n4", "h:1", "h:2", command="cluster add"),
    "POST /api/v1/cluster/members/{id}/promote": how("promote_member", "n4", command="cluster promote"),
    "DELETE /api/v1/cluster/members/{id}": how("remove_member", "n4", command="cluster remove"),
    "POST /api/v1/cluster/members/{id}/replace": how("replace_member", "n4", command="cluster replace"),
    "POST /api/v1/cluster/transfer": how("transfer_leadership", command="cluster transfer"),
    "POST /api/v1/cluster/snapshot": how("write_snapshot", "{server}", command="cluster snapshot"),
    "GET /api/v1/cluster/receipts/{index}": how("receipt", 7, command="cluster receipt"),
    "GET /api/v1/cluster/sightings": how("sightings", command="cluster sightings"),
    "GET /api/v1/cluster/backup": how("stream_backup", "{server}", len, command="cluster backup"),
    "GET /api/v1/admin/reports/occupancy": how("occupancy", "hq", "2026-12-01", "2026-12-02", command="report"),
}  # fmt: skip
NEEDED = {
    "premises.create": {
        "name": "n", "timezone": "Europe/Moscow", "opens": "08:00", "closes": "22:00", "slot_minutes": 60, "seats": ["A1"],
    },
    "move": {"seat_id": "A2"},
}  # fmt: skip
ENDING = {"logout", "refresh", "people.log_out_everywhere", "people.erase"}
NO_METHOD = {
    "POST /cancel": "another name of POST /api/v1/bookings/{booking_id}/cancel",
    "POST /api/v1/auth/browser": "for pages: it sets a cookie, which is of no use to programs",
    "POST /api/v1/auth/browser/token": "for pages: it takes that cookie",
    "GET /livez": "for the supervisor of the process, by a plain request",
    "GET /readyz": "for load balancers and probes, by a plain request",
    "GET /metrics": "for Prometheus",
    "GET /calendar/{secret}.ics": "for calendar programs, which know nothing but the address",
}


@functools.cache
def operations() -> dict[str, re.Pattern[str]]:
    """Every operation of the document, with what its requests look like."""
    paths = document(API_CALLS, "test")["paths"]
    return {
        f"{method.upper()} {path}": re.compile(f"{method.upper()} " + re.sub(r"\\{\w+\\}", r"[^/]+", re.escape(path)))
        for path, methods in paths.items()
        for method in methods
    }  # fmt: skip


def _session() -> Session:
    return Session("ada", "access", time.time() + 900, "refresh", "key")


def test_every_operation_has_a_method_or_a_reason() -> None:
    """A new call of the API needs its methods, and a command."""
    assert set(operations()) == set(METHODS) | set(NO_METHOD)


@pytest.fixture
async def refusing() -> AsyncIterator[FakeNode]:
    """A node that knows nothing: 404 to everything."""
    async with fake_node() as node:
        yield node


def _method(client: Any, name: str) -> Any:
    for part in name.split("."):
        client = getattr(client, part)
    return client


def _arguments(row: How, url: str) -> tuple[Any, ...]:
    return tuple(url if argument == "{server}" else argument for argument in row.arguments)


def _was_asked(node: FakeNode, operation: str) -> bool:
    return any(operations()[operation].fullmatch(f"{seen.method} {seen.path}") for seen in node.seen)


def _rows() -> list[list[tuple[str, How]]]:
    """Rows for one client each: what ends the session has one of its own."""
    quiet = [row for row in METHODS.items() if row[1].method not in ENDING]
    return [quiet, *([row] for row in METHODS.items() if row[1].method in ENDING)]


async def test_each_method_calls_its_operation(refusing: FakeNode) -> None:
    """The asynchronous client, all of it."""
    for rows in _rows():
        async with aio.Client(refusing.url, session=_session(), deadline_seconds=2) as client:
            for operation, row in rows:
                refusing.seen.clear()
                with contextlib.suppress(DeskraftError):
                    called = _method(client, row.method)(
                        *_arguments(row, refusing.url), **NEEDED.get(row.method, {})
                    )
                    if hasattr(called, "__aiter__"):
                        await anext(called)
                    else:
                        await called
                assert _was_asked(refusing, operation), f"{row.method} does not call {operation}"


def test_the_blocking_client_has_them_all(node: FakeNode) -> None:
    """The same by the blocking client."""
    for rows in _rows():
        with sync.Client(node.url, session=_session(), deadline_seconds=2) as client:
            for operation, row in rows:
                node.seen.clear()
                with contextlib.suppress(DeskraftError):
                    called = _method(client, row.method)(
                        *_arguments(row, node.url), **NEEDED.get(row.method, {})
                    )
                    if hasattr(called, "__next__"):
                        next(called)
                assert _was_asked(node, operation), f"{row.method} does not call {operation}"


@pytest.mark.parametrize("words", sorted({row.command for row in METHODS.values()}))
def test_the_command_line_has_them_all(words: str) -> None:
    """Each command there is, and explains itself."""
    command: click.Command | None = main
    context = click.Context(main)
    for word in words.split():
        assert isinstance(command, click.Group), words
        command = command.get_command(context, word)
    assert command is not None, words
    assert command.help, words


def test_the_names_are_documented() -> None:
    """Each method says what it does, and so does the blocking call that is made of it."""
    kinds: dict[str, tuple[type, type]] = {
        "": (aio.Client, sync.Client),
        "people": (People, BlockingPeople),
        "premises": (Premises, BlockingPremises),
        "webhooks": (Webhooks, BlockingWebhooks),
        "sinks": (Sinks, BlockingSinks),
    }
    for row in METHODS.values():
        group, _, name = row.method.rpartition(".")
        asynchronous, blocking = (getattr(kind, name).__doc__ for kind in kinds[group])
        assert asynchronous, row.method
        assert asynchronous == blocking, row.method
