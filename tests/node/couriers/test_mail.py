"""The courier of mails over the real state machine and a real mail server: who is told what, in which words, and once each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from node.config_outbox import Smtp
from node.couriers import Delivered, Delivery, Rejected, Result, Retry
from node.couriers.mail import MailCourier
from node.mail_addresses import AddressCodes
from node.secret import Secret
from statemachine.commands import CancelBookingBecause, Command, JoinWaitlist, MoveBooking, encode_batch
from statemachine.notices import Language, MailKind
from statemachine.outbox_commands import ConfirmAddress, SetNotifications
from statemachine.records import CELL_MS
from statemachine.sinks import Sink
from tests.node.couriers.mail_server import MailServer, Received, mail_server
from tests.statemachine.builders import FREE_CELL, HOUR, World

SECRET = Secret(["a secret of the tests that is long enough to be one"])
SINK = Sink("mail", "mail", "active", None, (0, 0), 0, 0, "1.0")
ALL: tuple[MailKind, ...] = ("confirmed", "moved", "cancelled", "released", "affected", "promoted")


@dataclass
class Post:
    """A world whose events go through the courier, one after the other."""

    world: World
    courier: MailCourier
    server: MailServer
    results: list[Result] = field(default_factory=list)

    async def do(self, command: Command, user: str = "ann") -> list[Received]:
        """Carry out a command; the mails that it brought."""
        assert self.world.do(command, scope=user, session=f"s-{user}").ok
        return await self.carry()

    async def carry(self) -> list[Received]:
        """Deliver what the last entry recorded."""
        before = len(self.server.received)
        state = self.world.state
        self.results = []
        for position, event in self.world.applied.events:
            place = (state.index, position)
            if self.courier.wants(SINK, place, event, state):
                delivery = Delivery(SINK, place, event, {}, 1, self.world.now_ms, state)
                self.results.append(await self.courier.deliver(delivery))
        return self.server.received[before:]

    async def listens(self, user: str, language: Language = "en", kinds: tuple[MailKind, ...] = ALL) -> None:
        """A user who has confirmed an address, and is told nothing of that."""
        address = f"{user}@example.com"
        (mail,) = await self.do(SetNotifications(address, language, kinds, 0), user)
        assert (mail.recipient, mail.has_event) == (address, False)
        assert AddressCodes(SECRET).code(user, address) in mail.message["Subject"]
        assert await self.do(ConfirmAddress(address), user) == []


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    async with mail_server() as server:
        smtp = Smtp("127.0.0.1", server.port, "none", "Дески <desk@example.org>")
        yield Post(World(), MailCourier("demo", smtp, SECRET), server)


async def test_a_booking_from_beginning_to_end(post: Post) -> None:
    await post.listens("ann")
    (booked,) = await post.do(post.world.booking("b1"))
    state = post.world.state
    move = MoveBooking(state.bookings["b1"].revision, post.world.booking("b1", "A2", FREE_CELL + HOUR))
    (moved,) = await post.do(move)
    (cancelled,) = await post.do(CancelBookingBecause("b1", "it is dark"), "root")
    subjects = [each.message["Subject"] for each in (booked, moved, cancelled)]
    assert subjects == [
        "Booked: A1, HQ – 15 January 2027, 13:00 (UTC+03:00)",
        "Moved: A2, HQ – 15 January 2027, 14:00 (UTC+03:00)",
        "Cancelled: A2, HQ – 15 January 2027, 14:00 (UTC+03:00)",
    ]
    events = [each.event for each in (booked, moved, cancelled)]
    assert [event["METHOD"] for event in events] == ["REQUEST", "REQUEST", "CANCEL"]
    assert len({event["UID"] for event in events}) == 1
    sequences = [event["SEQUENCE"] for event in events]
    assert sequences == sorted(set(sequences))
    assert "Reason: it is dark" in cancelled.body("plain")
    assert "An administrator has cancelled your booking." in cancelled.body("html")
    assert len({each.message["Message-ID"] for each in (booked, moved, cancelled)}) == 3
    assert len({each.message["References"] for each in (booked, moved, cancelled)}) == 1
    assert {each.sender for each in post.server.received} == {"desk@example.org"}


async def test_a_repeat_has_the_same_name(post: Post) -> None:
    await post.listens("ann")
    (first,) = await post.do(post.world.booking("b1"))
    post.world.now_ms += 60_000
    (again,) = await post.carry()
    assert again.message["Message-ID"] == first.message["Message-ID"]


async def test_nobody_is_told_before_they_have_confirmed(post: Post) -> None:
    (code,) = await post.do(SetNotifications("ann@example.com", "ru", ALL, 60))
    assert code.message["Content-Language"] == "ru" and "Код для вашего адреса" in code.message["Subject"]
    assert await post.do(post.world.booking("b1")) == []
    (again,) = await post.do(SetNotifications("ann@example.com", "en", ALL, 60))
    assert again.message["Message-ID"] != code.message["Message-ID"]
    assert await post.do(ConfirmAddress("ann@example.com")) == []
    (told,) = await post.do(post.world.booking("b2", "A2"))
    assert told.recipient == "ann@example.com"
    assert await post.do(SetNotifications("", "en", ALL, 0)) == []
    assert await post.do(post.world.booking("b3", "A3")) == []


async def test_only_what_one_wants_to_hear(post: Post) -> None:
    await post.listens("ann", kinds=("cancelled",))
    assert await post.do(post.world.booking("b1")) == []
    assert len(await post.do(CancelBookingBecause("b1", ""))) == 1
    assert await post.do(post.world.booking("b2"), "bob") == [], "of one's own bookings"


async def test_a_promotion_is_told_once(post: Post) -> None:
    await post.listens("bob", "ru")
    await post.listens("ann", kinds=("confirmed",))
    assert len(await post.do(post.world.booking("b1"))) == 1
    assert await post.do(JoinWaitlist("w1", post.world.booking("b2")), "bob") == []
    (told,) = await post.do(CancelBookingBecause("b1", ""))
    assert told.recipient == "bob@example.com"
    assert told.message["Subject"] == "Место ваше: A1, HQ – 15 января 2027 г., 13:00 (UTC+03:00)"
    assert told.event["METHOD"] == "REQUEST"
    assert await post.do(JoinWaitlist("w2", post.world.booking("b3")), "ann") == []
    cancelled, booked = await post.do(CancelBookingBecause("b2", ""), "root")
    assert (cancelled.recipient, booked.recipient) == ("bob@example.com", "ann@example.com")
    assert booked.message["Subject"].startswith("Booked: "), (
        "she has not asked to hear of promotions, but of bookings"
    )


async def test_a_reminder_comes_when_it_was_asked_for(post: Post) -> None:
    await post.listens("ann", kinds=())
    world = post.world
    assert await post.do(SetNotifications("ann@example.com", "en", (), 60)) == []
    assert await post.do(world.booking("b1")) == []
    world.now_ms = FREE_CELL * CELL_MS - 60 * 60_000 - 1
    world.raw(encode_batch(world.now_ms, []))
    assert await post.carry() == []
    world.now_ms += 1
    world.raw(encode_batch(world.now_ms, []))
    world.now_ms += 9 * 60_000  # the mail server was away
    (told,) = await post.carry()
    assert "Your booking begins in 51 minutes." in told.body("plain")
    assert told.message["Subject"].startswith("Soon: A1, HQ") and not told.has_event


async def test_what_the_server_says_is_what_becomes_of_it(post: Post) -> None:
    await post.listens("ann")
    post.server.refusals = {"RCPT": "550 5.1.1 <{}> unknown"}
    assert await post.do(post.world.booking("b1")) == []
    assert [type(each) for each in post.results] == [Rejected]
    post.server.refusals = {"RCPT": "450 4.2.1 <{}> greylisted"}
    await post.carry()
    (retry,) = post.results
    assert isinstance(retry, Retry) and not retry.away and "ann@" not in retry.why
    post.server.refusals = {}
    await post.carry()
    assert post.results == [Delivered()]
    await post.courier.close()


async def test_what_is_no_longer_wanted_is_done(post: Post) -> None:
    """Between `wants` and `deliver` the settings may change."""
    await post.listens("ann")
    world = post.world
    assert world.book("b1").ok
    state, (position, event) = world.state, world.applied.events[0]
    place = (state.index, position)
    assert world.do(SetNotifications("", "en", (), 0), scope="ann", session="s-ann").ok
    delivery = Delivery(SINK, place, event, {}, 1, world.now_ms, state)
    assert await post.courier.deliver(delivery) == Delivered()
    assert [each.has_event for each in post.server.received] == [False]
