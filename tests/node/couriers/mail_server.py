"""A real SMTP server in the test's own loop (aiosmtpd), with STARTTLS, TLS and AUTH, that keeps what it gets and refuses what it is told to."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import icalendar
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "desk", "a password of the mail server"


@dataclass(frozen=True)
class Received:
    """A mail as it came, with its envelope."""

    sender: str
    recipient: str
    data: bytes
    message: EmailMessage

    def body(self, kind: str) -> str:
        """The text of the form "plain" or "html"."""
        part = self.message.get_body((kind,))
        assert part is not None
        text: str = part.get_content()
        return text.replace("\r\n", "\n")

    @property
    def event(self) -> Any:
        """The `VEVENT` of the calendar part, read by somebody else's parser; both copies must be the same."""
        parts = [
            part.get_payload(decode=True)
            for part in self.message.walk()
            if part.get_content_type() in ("text/calendar", "application/ics")
        ]
        assert len(parts) == 2 and parts[0] == parts[1]
        assert isinstance(parts[0], bytes)
        calendar = icalendar.Calendar.from_ical(parts[0])
        (event,) = calendar.walk("VEVENT")
        assert not calendar.errors and not event.errors
        (inline,) = [each for each in self.message.walk() if each.get_content_type() == "text/calendar"]
        assert inline.get_param("method") == calendar["METHOD"]
        event["METHOD"] = calendar["METHOD"]
        return event

    @property
    def has_event(self) -> bool:
        """Whether there is anything for a calendar."""
        return any(part.get_content_type() == "text/calendar" for part in self.message.walk())


def received(sender: str, recipient: str, data: bytes) -> Received:
    """A mail, parsed."""
    message = message_from_bytes(data, policy=default)
    assert isinstance(message, EmailMessage) and not message.defects
    return Received(sender, recipient, data, message)


class MailServer:
    """What has come, and what is to be answered instead of 250."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.refusals: dict[str, str] = {}  # by command, such as {"RCPT": "550 no such user"}
        self.logged_in = 0
        self.encrypted = 0
        self.port = 0
        self._news = asyncio.Event()

    # The hooks of aiosmtpd.

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "MAIL" in self.refusals:
            return self.refusals["MAIL"]
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "RCPT" in self.refusals:
            return self.refusals["RCPT"].format(address)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.refusals.get("DATA") == "hang up":
            assert server.transport is not None
            server.transport.abort()
            return "250 never heard"
        if "DATA" in self.refusals:
            return self.refusals["DATA"]
        assert isinstance(envelope.content, bytes) and envelope.mail_from is not None
        for recipient in envelope.rcpt_tos:
            self.received.append(received(envelope.mail_from, recipient, envelope.content))
        self.logged_in += bool(session.authenticated)
        assert server.transport is not None
        self.encrypted += server.transport.get_extra_info("sslcontext") is not None
        self._news.set()
        return "250 OK"

    async def until(self, found: Callable[[Received], bool], seconds: float = 20.0) -> Received:
        """The first mail that is so, when it has come."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    for each in self.received:
                        if found(each):
                            return each
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            subjects = [(each.recipient, each.message["Subject"]) for each in self.received]
            raise AssertionError(f"no such mail came; these did: {subjects}") from None


def _log_in(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (
        USER.encode(),
        PASSWORD.encode(),
    )
    return AuthResult(success=good, handled=good)  # not handled: the library answers 535 itself


@dataclass(frozen=True)
class Authority:
    """Who signs the server's certificate, and the certificate."""

    ca_file: Path
    context: ssl.SSLContext


def authority(folder: Path, name: str = "127.0.0.1") -> Authority:
    """A new one, with a certificate for `name`."""
    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(name).configure_cert(context)
    path = folder / "mail-ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return Authority(path, context)


@asynccontextmanager
async def mail_server(
    *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None, auth: bool = False
) -> AsyncIterator[MailServer]:
    """A server on a free port of loopback."""
    kept = MailServer()

    def protocol() -> SMTP:
        with warnings.catch_warnings():
            # The library knows TLS by STARTTLS alone, and warns of AUTH without it where the connection is TLS from its start.
            warnings.simplefilter("ignore", UserWarning)
            return SMTP(
                kept,
                hostname="mail.test",
                tls_context=starttls,
                require_starttls=starttls is not None,
                authenticator=_log_in if auth else None,
                auth_required=auth,
                auth_require_tls=starttls is not None,
                enable_SMTPUTF8=False,
            )

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=tls)
    kept.port = server.sockets[0].getsockname()[1]
    try:
        yield kept
    finally:
        server.close()
        await server.wait_closed()
