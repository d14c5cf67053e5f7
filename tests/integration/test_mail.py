"""Mails of a real cluster through a real mail server, with STARTTLS and a log-in: who is told what, also while leaders die."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import icalendar
import pytest

from client.aio import Client
from client.errors import Refused
from tests.integration.cluster import ADMIN_LOGIN, ADMIN_PASSWORD, ProcessCluster, running_cluster
from tests.node.couriers.mail_server import PASSWORD, USER, MailServer, Received, authority, mail_server

PHRASE = "a long pass phrase"
MAIL_SECONDS = 30.0
REMINDER_SECONDS = 90.0  # reminders are asked for in whole minutes
SPACES = [
    {
        "id": "hq",
        "name": "Коворкинг на Мясницкой",
        "timezone": "Europe/Moscow",
        "opens": "00:00",
        "closes": "24:00",
        "slot_minutes": 5,
        "seats": ["A1", "A2", "A3"],
    }
]
CODE = re.compile(r"^ {4}([0-9A-Z]{5}-[0-9A-Z]{5})$", re.MULTILINE)


async def mail(
    server: MailServer, to: str, subject: str, booking_id: str = "", seconds: float = MAIL_SECONDS
) -> Received:
    """The mail to somebody whose subject begins so, about a booking."""

    def is_it(each: Received) -> bool:
        text = str(each.message["Subject"])
        return each.recipient == to and text.startswith(subject) and booking_id in each.body("plain")

    return await server.until(is_it, seconds)


async def person(cluster: ProcessCluster, login: str) -> Client:
    client = Client(cluster.urls)
    await client.register(login, PHRASE)
    await client.login(login, PHRASE)
    return client


async def test_mails_of_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca = authority(tmp_path)
    monkeypatch.setenv("DESKRAFT_SMTP_PASSWORD", PASSWORD)
    async with mail_server(starttls=ca.context, auth=True) as server:
        smtp = {
            "host": "127.0.0.1",
            "port": server.port,
            "security": "starttls",
            "from": "Дески <desk@example.org>",
            "user": USER,
            "password_env": "DESKRAFT_SMTP_PASSWORD",
            "ca_file": ca.ca_file.name,
            "page_url": "https://desk.example.org",
        }
        async with running_cluster(tmp_path, spaces=SPACES, extra={"smtp": smtp}) as cluster:
            ann, bob = await person(cluster, "ann"), await person(cluster, "bob")
            async with ann, bob:
                await _confirming(ann, server)
                due = await _ask_for_a_reminder(ann)
                await _booking(ann, server, cluster)
                await _waiting_and_an_administrator(ann, bob, server, cluster)
                await _a_dying_leader(ann, server, cluster)
                reminder = await mail(server, "ann@example.com", "Soon", due, REMINDER_SECONDS)
                assert "Your booking begins in " in reminder.body("plain") and not reminder.has_event
            assert server.encrypted == server.logged_in == len({each.data for each in server.received})
            ids = [each.message["Message-ID"] for each in server.received]
            assert len(ids) - len(set(ids)) <= 2, "repeats are rare, and can be told by their name"
            cluster.assert_no_traceback()


async def _confirming(ann: Client, server: MailServer) -> None:
    """Nothing but the code before the address is confirmed."""
    settings = await ann.people.set_notifications("ann@example.com", "en")
    assert settings.available and not settings.confirmed
    code_mail = await mail(server, "ann@example.com", "Code for your address")
    unheard = await ann.book("hq", "A3", _in(days=9))
    match = CODE.search(code_mail.body("plain"))
    assert match is not None
    with pytest.raises(Refused):
        await ann.people.confirm_address("00000-00000")
    assert (await ann.people.confirm_address(match[1])).confirmed
    await ann.cancel(unheard.id)
    await mail(server, "ann@example.com", "Cancelled", unheard.id)
    about = [each.message["Subject"] for each in server.received if unheard.id in each.body("plain")]
    assert len(about) == 1, f"what happened before the address was confirmed is not told: {about}"


def _in(**time: float) -> datetime:
    """A time on the slots, that far ahead."""
    at = datetime.now(UTC) + timedelta(**time)
    return at.replace(minute=at.minute - at.minute % 5, second=0, microsecond=0)


async def _ask_for_a_reminder(ann: Client) -> str:
    """Book a slot that begins soon, to be reminded of at the next full minute but one at the latest; the booking's id."""
    start = _in(minutes=15)
    settings = await ann.people.notifications()
    minutes = int((start - datetime.now(UTC) - timedelta(seconds=8)).total_seconds()) // 60
    await ann.people.set_notifications(settings.address, "en", ["cancelled", "moved", "confirmed"], minutes)
    return (await ann.book("hq", "A3", start)).id


async def _booking(ann: Client, server: MailServer, cluster: ProcessCluster) -> None:
    """Booked, moved, cancelled: one event for calendars, the same as in the feed."""
    booking = await ann.book("hq", "A1", _in(days=1))
    booked = await mail(server, "ann@example.com", "Booked", booking.id)
    await ann.move(booking.id, seat_id="A2")
    moved = await mail(server, "ann@example.com", "Moved", booking.id)
    await ann.cancel(booking.id)
    cancelled = await mail(server, "ann@example.com", "Cancelled", booking.id)
    events = [each.event for each in (booked, moved, cancelled)]
    assert [event["METHOD"] for event in events] == ["REQUEST", "REQUEST", "CANCEL"]
    assert events[0]["SEQUENCE"] < events[1]["SEQUENCE"] < events[2]["SEQUENCE"]
    assert "https://desk.example.org" in booked.body("html")
    feed = (await ann.open_calendar()).path
    headers = {"Deskraft-Min-Index": str(ann.min_index)}
    async with cluster.session.get(cluster.urls[0] + str(feed), headers=headers) as answer:
        found = icalendar.Calendar.from_ical(await answer.read()).walk("VEVENT")
    in_feed = {str(event["UID"]): int(event["SEQUENCE"]) for event in found}
    assert in_feed[str(events[2]["UID"])] == events[2]["SEQUENCE"]


async def _waiting_and_an_administrator(
    ann: Client, bob: Client, server: MailServer, cluster: ProcessCluster
) -> None:
    """Bob gets the place that he waited for, in Russian, and an administrator takes it."""
    settings = await bob.people.set_notifications("bob@example.com", "ru")
    code = CODE.search((await mail(server, "bob@example.com", "Код для вашего адреса")).body("plain"))
    assert code is not None and not settings.confirmed
    await bob.people.confirm_address(code[1])
    start = _in(days=2)
    hers = await ann.book("hq", "A1", start)
    await bob.wait_for("hq", "A1", starts_at=start)
    await ann.cancel(hers.id)
    promoted = await mail(server, "bob@example.com", "Место ваше")
    assert promoted.event["METHOD"] == "REQUEST" and "Europe/Moscow, UTC+03:00" in promoted.body("plain")
    (his,) = [each async for each in bob.history()]
    async with Client(cluster.urls) as admin:
        await admin.login(ADMIN_LOGIN, ADMIN_PASSWORD)
        await admin.cancel(his.id, reason="Санитарный день")
    told = await mail(server, "bob@example.com", "Отменено", his.id)
    assert "Администратор отменил вашу бронь." in told.body("plain")
    assert "Причина: Санитарный день" in told.body("plain")
    assert [each.recipient for each in server.received if his.id in each.body("plain")] == [
        "bob@example.com"
    ] * 2


async def _a_dying_leader(ann: Client, server: MailServer, cluster: ProcessCluster) -> None:
    """The mail server is away, the leader dies, and what happened is told all the same; what is refused for good is not tried for ever."""
    server.refusals = {"MAIL": "451 4.3.0 try again later"}
    booking = await ann.book("hq", "A2", _in(days=3))
    leader = await cluster.wait_for_leader()
    leader.kill()
    await cluster.wait_for_leader()
    server.refusals = {}
    await mail(server, "ann@example.com", "Booked", booking.id)
    leader.start()
    await cluster.wait_until_ready()
