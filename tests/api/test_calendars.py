"""Calendar feeds, read by a parser that is not ours."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import icalendar
import pytest

from api import ical
from api.calendars import FeedSecrets, hash_of
from node.ical import folded, sequence_of
from node.ical import text as escaped
from node.secret import Secret
from statemachine.feeds import CalendarFeed
from tests.api.conftest import Node, expect_problem

ME = "/api/v1/me/calendar"


async def opened(node: Node, token: str, **headers: str) -> str:
    answer = await node.post(ME, {}, token, **headers)
    assert answer.status == 201, await answer.text()
    view = await answer.json()
    assert view["url"].endswith(view["path"]) and view["url"].startswith("http://")
    return str(view["path"])


async def events(node: Node, path: str) -> dict[str, Any]:
    answer = await node.get(path)
    assert (answer.status, answer.content_type) == (200, "text/calendar")
    calendar = icalendar.Calendar.from_ical(await answer.read())
    assert not calendar.errors
    found = {str(event["UID"]): event for event in calendar.walk("VEVENT")}
    assert all(not event.errors for event in found.values())
    return found


async def book(node: Node, token: str, seat: str = "A1", day: int = 1) -> dict[str, Any]:
    body = {"space_id": "hq", "seat_id": seat, "starts_at": f"2026-12-{day:02}T10:00:00+03:00", "slots": 2}
    answer = await node.post("/api/v1/bookings", body, token)
    assert answer.status == 201, await answer.text()
    booking: dict[str, Any] = await answer.json()
    return booking


async def test_a_feed_shows_ones_own_bookings_to_whoever_has_the_address(node: Node) -> None:
    token, other = await node.user(), await node.user("bob")
    booking = await book(node, token)
    await book(node, other, "A2")
    found = await events(node, await opened(node, token))
    (event,) = found.values()
    assert event["UID"] == f"{booking['id']}@demo.deskraft"
    assert event["SUMMARY"] == "Desk A1 – Коворкинг" and event["LOCATION"] == "Коворкинг, Desk A1"
    assert event["DTSTART"].dt == datetime(2026, 12, 1, 7, tzinfo=UTC)
    assert event["DTEND"].dt == datetime(2026, 12, 1, 9, tzinfo=UTC)
    assert (event["STATUS"], event["TRANSP"]) == ("CONFIRMED", "OPAQUE")
    assert event["SEQUENCE"] == int(booking["revision"].split(".")[0])


async def test_cancelled_and_moved_ones_keep_their_name_and_grow_in_sequence(node: Node) -> None:
    token = await node.user()
    path = await opened(node, token)
    one, two = await book(node, token), await book(node, token, day=2)
    before = await events(node, path)
    await node.post(f"/api/v1/bookings/{one['id']}/cancel", {}, token)
    move = {"seat_id": "A3", "starts_at": "2026-12-03T10:00:00+03:00", "slots": 1}
    moved = await node.post(f"/api/v1/bookings/{two['id']}/move", move, token)
    assert moved.status == 200, await moved.text()
    after = await events(node, path)
    assert before.keys() == after.keys()
    for uid in before:
        assert after[uid]["SEQUENCE"] > before[uid]["SEQUENCE"]
    cancelled, elsewhere = after[f"{one['id']}@demo.deskraft"], after[f"{two['id']}@demo.deskraft"]
    assert (cancelled["STATUS"], cancelled["TRANSP"]) == ("CANCELLED", "TRANSPARENT")
    assert elsewhere["DTSTART"].dt == datetime(2026, 12, 3, 7, tzinfo=UTC)
    node.replica.advance(ical.CANCELLED_DAYS * 86_400 + 60)
    assert list(await events(node, path)) == [f"{two['id']}@demo.deskraft"]
    node.replica.advance(ical.PAST_DAYS * 86_400)
    assert not await events(node, path)


async def test_nothing_new_is_not_sent_again(node: Node) -> None:
    token = await node.user()
    path = await opened(node, token)
    await book(node, token)
    first = await node.get(path)
    tag = first.headers["ETag"]
    node.replica.advance(60)
    for given in (tag, f'"x", W/{tag}', "*"):
        again = await node.get(path, **{"If-None-Match": given})
        assert (again.status, again.headers["ETag"], await again.read()) == (304, tag, b"")
    await book(node, token, day=2)
    changed = await node.get(path, **{"If-None-Match": tag})
    assert changed.status == 200 and changed.headers["ETag"] != tag
    calendar = icalendar.Calendar.from_ical(await changed.read())
    assert calendar["REFRESH-INTERVAL"].to_ical() == b"PT1H"
    assert str(calendar["NAME"]) == "Deskraft demo"


async def test_an_address_can_be_taken_back(node: Node) -> None:
    token = await node.user()
    await expect_problem(await node.get(ME, token), 404, "not-found")
    first = await opened(node, token)
    assert (await (await node.get(ME, token)).json())["path"] == first
    second = await opened(node, token)
    await expect_problem(await node.get(first), 404, "not-found")
    assert (await node.get(second)).status == 200
    for _ in range(2):
        assert (await node.delete(ME, token)).status == 204
    await expect_problem(await node.get(second), 404, "not-found")
    await expect_problem(await node.post(ME, {}), 401, "unauthenticated")


async def test_a_repeated_request_gets_the_same_address(node: Node) -> None:
    token = await node.user()
    key = {"Idempotency-Key": "k1"}
    assert await opened(node, token, **key) == await opened(node, token, **key)


async def test_the_state_holds_no_secret(node: Node) -> None:
    token = await node.user()
    secret = (await opened(node, token)).removeprefix("/calendar/").removesuffix(".ics")
    assert len(secret) == 43
    written = b"".join(node.replica.state.freeze().chunks())
    assert secret.encode() not in written
    assert hash_of(secret) in written


@pytest.mark.parametrize("name", ["x", "a" * 43, "a" * 44, "%00" * 43, "..%2f..%2fme"])
async def test_guesses_get_nothing(node: Node, name: str) -> None:
    await expect_problem(await node.get(f"/calendar/{name}.ics"), 404, "not-found")


async def test_a_blocked_users_feed_is_silent(node: Node) -> None:
    token = await node.user()
    path = await opened(node, token)
    (feed,) = node.replica.state.calendars.values()
    admin = await node.admin()
    blocked = await node.post(f"/api/v1/admin/users/{feed.user_id}/block", {}, admin)
    if blocked.status == 404:
        pytest.skip("users cannot be blocked over HTTP yet")
    await expect_problem(await node.get(path), 404, "not-found")


def test_a_secret_survives_the_rotation_of_the_members_secret() -> None:
    old, new = "an old secret of the tests, long enough", "a new secret of the tests, long enough"
    secret = FeedSecrets(Secret([old])).new("f1")
    feed = CalendarFeed("ann", "f1", hash_of(secret), 0, "1.0")
    assert FeedSecrets(Secret([new, old])).of(feed) == secret
    assert FeedSecrets(Secret([new])).of(feed) is None


def test_any_text_survives_folding_and_escaping() -> None:
    """Lines are at most 75 octets, cut between characters, and read back as they were."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(200):
        text = (
            "".join(chance.choice('aЖ漢😀,;\\\n: "') for _ in range(chance.randrange(1, 120))).strip() or "x"
        )
        lines = [
            "BEGIN:VCALENDAR",
            "BEGIN:VEVENT",
            f"SUMMARY:{escaped(text)}",
            "END:VEVENT",
            "END:VCALENDAR",
        ]
        data = b"".join(folded(line) for line in lines)
        assert all(len(line) <= 75 for line in data.split(b"\r\n"))
        assert all(line.decode() is not None for line in data.split(b"\r\n"))
        (event,) = icalendar.Calendar.from_ical(data).walk("VEVENT")
        assert str(event["SUMMARY"]) == text


def test_sequences_fit() -> None:
    assert sequence_of("4711.3") == 4711
    assert sequence_of(f"{10**12}.0") == 2**31 - 1
