"""One mail over SMTP to a real server: how it is protected, and what each end means for the outbox."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.config_outbox import Security, Smtp
from node.couriers import Delivered, Rejected, Result, Retry
from node.couriers.smtp import MailServer as Client
from tests.node.couriers.mail_server import PASSWORD, USER, MailServer, authority, mail_server

MAIL = b"From: desk@example.org\r\nTo: ann@example.com\r\nSubject: x\r\n\r\n.leading dot\r\n"


def smtp(server: MailServer, security: Security = "none", ca_file: Path | None = None, **others: str) -> Smtp:
    return Smtp("127.0.0.1", server.port, security, "desk@example.org", ca_file=str(ca_file or ""), **others)


async def sent(given: Smtp) -> Result:
    return await Client(given, "desk@example.org").send("ann@example.com", MAIL)


async def test_a_mail_arrives_as_it_is() -> None:
    async with mail_server() as server:
        assert await sent(smtp(server)) == Delivered()
        (mail,) = server.received
    assert (mail.sender, mail.recipient) == ("desk@example.org", "ann@example.com")
    assert mail.data == MAIL


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_encrypted_and_logged_in(security: Security, tmp_path: Path) -> None:
    ca = authority(tmp_path)
    contexts = {security: ca.context}
    async with mail_server(auth=True, **contexts) as server:
        given = smtp(server, security, ca.ca_file, user=USER, password=PASSWORD)
        assert await sent(given) == Delivered()
        assert (server.encrypted, server.logged_in) == (1, 1)
        wrong = await sent(dataclasses.replace(given, password="wrong"))
        assert isinstance(wrong, Retry) and wrong.away and "535" in wrong.why
        assert "wrong" not in wrong.why
        assert len(server.received) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_that_is_not_right_gets_nothing(security: Security, tmp_path: Path) -> None:
    elsewhere, stranger = tmp_path / "a", tmp_path / "b"
    for folder in (elsewhere, stranger):
        folder.mkdir()
    other_name = authority(elsewhere, "mail.example.org")
    unknown = authority(stranger)
    for ca, trusted in ((other_name, other_name.ca_file), (unknown, other_name.ca_file), (unknown, None)):
        async with mail_server(**{security: ca.context}) as server:
            result = await sent(smtp(server, security, trusted))
            assert isinstance(result, Retry) and result.away, result
            assert "certificate" in result.why.lower() or "CERTIFICATE" in result.why
            assert server.received == []


async def test_an_offer_of_tls_that_is_missing_is_not_done_without() -> None:
    async with mail_server() as server:
        result = await sent(smtp(server, "starttls"))
        assert isinstance(result, Retry) and result.away and "STARTTLS" in result.why
        assert server.received == []


@pytest.mark.parametrize(
    ("refusals", "expected"),
    [
        ({"RCPT": "550 5.1.1 <{}>: no such user"}, "rejected"),
        ({"RCPT": "450 4.2.0 greylisted"}, "retry"),
        ({"RCPT": "421 4.3.2 closing"}, "away"),
        ({"MAIL": "550 5.7.1 not from here"}, "away"),
        ({"MAIL": "451 4.3.0 later"}, "away"),
        ({"DATA": "552 5.3.4 too large"}, "rejected"),
        ({"DATA": "451 4.3.0 later"}, "retry"),
        ({"DATA": "hang up"}, "retry"),
    ],
)
async def test_what_a_refusal_means(refusals: dict[str, str], expected: str) -> None:
    async with mail_server() as server:
        server.refusals = refusals
        result = await sent(smtp(server))
        if expected == "rejected":
            assert isinstance(result, Rejected)
        else:
            assert isinstance(result, Retry) and result.away == (expected == "away")
        assert result.why.isprintable() and "ann@example.com" not in result.why
        server.refusals = {}
        assert await sent(smtp(server)) == Delivered()


async def test_nobody_there() -> None:
    async with mail_server() as server:
        given = smtp(server)
    result = await sent(given)
    assert isinstance(result, Retry) and result.away and "cannot be reached" in result.why


async def test_an_address_that_would_be_two_commands_is_not_sent() -> None:
    async with mail_server() as server:
        client = Client(smtp(server), "desk@example.org")
        for address in (
            "ann@example.com>\r\nRCPT TO:<eve@example.com",
            "ann@example.com\nDATA",
            "",
            "пётр@example.com",
        ):
            result = await client.send(address, MAIL)
            assert isinstance(result, Rejected), address
        assert server.received == []


@asynccontextmanager
async def mute_server() -> AsyncIterator[tuple[MailServer, asyncio.Event]]:
    """Takes connections and says nothing; the event tells that one has ended."""
    ended = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        ended.set()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    kept = MailServer()
    kept.port = server.sockets[0].getsockname()[1]
    async with server:
        yield kept, ended


async def test_a_server_that_says_nothing_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.couriers.smtp.STEP_SECONDS", 0.1)
    async with mute_server() as (server, ended):
        result = await sent(smtp(server))
        assert isinstance(result, Retry) and result.away
        await asyncio.wait_for(ended.wait(), 5)


async def test_an_attempt_that_is_cancelled_leaves_no_connection() -> None:
    async with mute_server() as (server, ended):
        attempt = asyncio.create_task(sent(smtp(server)))
        await asyncio.wait([attempt], timeout=0.2)
        assert attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await asyncio.wait_for(ended.wait(), 5)
