"""A letter as a mail: RFC 5322 and 2045–2047 by the standard library (`email.policy.SMTP`), text and HTML, and the booking for a calendar.

The calendar part is an iTIP message (RFC 5546) carried by mail (RFC 6047): `METHOD:REQUEST` for a booking that is, `METHOD:CANCEL` for one that is no
more. Why not PUBLISH: it is for those who only look on; programs show it as a foreign calendar or a one-time import, and most do not
apply a later one to what they have. REQUEST and CANCEL with one UID and a growing SEQUENCE are what Google Calendar, Outlook and Apple's
Calendar update and remove events by. Whoever gets the mail made the booking, so they take part already (`PARTSTAT=ACCEPTED`) and nobody
waits for their answer (`RSVP=FALSE`). The organizer is the address that the mail comes from, in all of them: a CANCEL from another is ignored.

The object stands there twice, as programs differ: among the alternatives, with its method in the type (RFC 6047, 2.4), for those that read
invitations; and as a file, for those that open attachments.

`Message-ID` is made of the event's name and time, so the same event has the same one however often it is sent. `Auto-Submitted` (RFC 3834) keeps
vacation answers away. There is no `List-Unsubscribe` (RFC 2369, RFC 8058): these are not
mails to a list but what a user has chosen, one by one, and each says how to choose otherwise; a link that works without a log-in would
let whoever a mail is forwarded to silence its owner.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from urllib.parse import quote

from node.couriers.letters import Fact, Letter
from node.ical import content, event_lines, parameter, text
from statemachine.records import Booking, Space

# Bytes above 127 would need the server's 8BITMIME; text of any language goes as quoted-printable or base64 instead.
POLICY = SMTP.clone(cte_type="7bit")


MAX_PLAIN_CHARACTERS = 66  # of a subject; with the name of the header 75 on the line
_CALENDAR_PARAMS = {"charset": "utf-8"}


@dataclass(frozen=True)
class Sender:
    """Who the mails come from."""

    address: Address
    cluster: str

    @property
    def addr_spec(self) -> str:
        """The address alone: the envelope's sender, and the organizer in calendars."""
        return self.address.addr_spec


@dataclass(frozen=True)
class CalendarPart:
    """The booking that a mail is about, as the event left it."""

    booking: Booking
    space: Space | None
    changed_ms: int

    @property
    def method(self) -> str:
        """Of iTIP."""
        return "REQUEST" if self.booking.status == "confirmed" else "CANCEL"


def mail_of(
    letter: Letter,
    sender: Sender,
    recipient: str,
    event_name: str,
    now_ms: int,
    *,
    thread: str = "",
    calendar: CalendarPart | None = None,
) -> bytes:
    """The bytes of the mail. `event_name` and `thread` are names without spaces that make the ids of the mail and of what it belongs to.

    Raises ValueError for a recipient that is no address.
    """
    message = EmailMessage(policy=POLICY)
    message["To"] = Address(addr_spec=recipient)
    message["Date"] = format_datetime(datetime.fromtimestamp(now_ms // 1000, UTC))
    message["Message-ID"] = _message_id(event_name, sender)
    if thread:
        message["References"] = _message_id(thread, sender)  # mail programs show what has one together
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"  # Exchange, which does not look at the header of the standard
    message.set_content(plain_of(letter))
    message.add_alternative(html_of(letter), subtype="html")
    if calendar is not None:
        data = calendar_of(calendar, sender, recipient)
        message.add_alternative(
            data, maintype="text", subtype="calendar", params=_CALENDAR_PARAMS | {"method": calendar.method}
        )
        message.add_attachment(data, maintype="application", subtype="ics", filename="booking.ics")
    message["Content-Language"] = letter.language  # set at last: it would have gone into the first part
    phrase = sender.address.display_name
    shown = (
        f"{_encoded('From', phrase)} <{sender.addr_spec}>" if _needs_encoding(phrase) else str(sender.address)
    )
    head = f"From: {shown}\r\nSubject: {_encoded('Subject', letter.subject)}\r\n"
    return head.encode("ascii") + message.as_bytes()


def _encoded(header: str, value: str) -> str:
    """A text by RFC 2047, as the value of a header; written here because `EmailMessage` must not see it.

    A name may look like an encoded word, which `EmailMessage` would decode, line breaks and all; and folding there loses or adds
    spaces between encoded words (CPython issue 92081). `Header` takes the text as it is and encodes all of it.
    """
    if not _needs_encoding(value):
        return value
    return Header(value, "utf-8", header_name=header).encode(linesep="\r\n")


def _needs_encoding(value: str) -> bool:
    return not value.isascii() or "=?" in value or len(value) > MAX_PLAIN_CHARACTERS


def _message_id(name: str, sender: Sender) -> str:
    return f"<{name}.{sender.cluster}.deskraft@{sender.address.domain}>"


def calendar_of(part: CalendarPart, sender: Sender, recipient: str) -> bytes:
    """The iTIP message."""
    organizer = f"ORGANIZER;CN={parameter(sender.address.display_name or sender.addr_spec)}:{_mailto(sender.addr_spec)}"
    attendee = (
        f"ATTENDEE;CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=ACCEPTED;RSVP=FALSE:{_mailto(recipient)}"
    )
    return content(
        [
            "BEGIN:VCALENDAR",
            "VERSION:2.0",
            f"PRODID:-//Deskraft//{text(sender.cluster)}//EN",
            "CALSCALE:GREGORIAN",
            f"METHOD:{part.method}",
            *event_lines(part.booking, part.space, sender.cluster, part.changed_ms, (organizer, attendee)),
            "END:VCALENDAR",
        ]
    )


def _mailto(address: str) -> str:
    """RFC 6068."""
    return f"mailto:{quote(address, safe='@!$*+')}"


def plain_of(letter: Letter) -> str:
    """The text form."""
    blocks = [letter.opening]
    if letter.code:
        blocks.append(f"    {letter.code}")
    if letter.facts:
        blocks.append(_lines(letter.facts))
    if letter.struck:
        blocks.append(f"{letter.before}:\n" + _lines(letter.struck))
    blocks += letter.remarks
    if letter.page:
        blocks.append("{}: {}".format(*letter.page))
    if letter.footer:
        blocks.append(f"-- \n{letter.footer}")
    return "\n\n".join(blocks) + "\n"


def _lines(facts: Sequence[Fact]) -> str:
    return "\n".join(f"{fact.name}: {fact.value}" for fact in facts)


def html_of(letter: Letter) -> str:
    """The HTML form: no image, no style sheet, no script, nothing that is fetched from anywhere."""
    body = [f"<p>{_safe(letter.opening)}</p>"]
    if letter.code:
        body.append(
            f'<p style="font-size:1.5em;letter-spacing:.1em"><strong>{_safe(letter.code)}</strong></p>'
        )
    body += _table(letter.facts, "<td>{}</td>")
    if letter.struck:
        body.append(f'<p style="color:#666">{_safe(letter.before)}:</p>')
        body += _table(letter.struck, '<td style="color:#666"><s>{}</s></td>')
    body += [f"<p>{_safe(remark)}</p>" for remark in letter.remarks]
    if letter.page:
        name, url = letter.page
        body.append(f'<p><a href="{_safe(url)}">{_safe(name)}</a></p>')
    if letter.footer:
        body.append(f'<hr><p style="color:#666;font-size:.85em">{_safe(letter.footer)}</p>')
    return (
        f'<!DOCTYPE html>\n<html lang="{letter.language}">\n<head><meta charset="utf-8"><title>{_safe(letter.subject)}</title></head>\n'
        '<body style="font-family:sans-serif;line-height:1.4">\n' + "\n".join(body) + "\n</body>\n</html>\n"
    )


def _table(facts: Sequence[Fact], cell: str) -> list[str]:
    if not facts:
        return []
    head = '<th scope="row" style="text-align:left;padding-right:1em;vertical-align:top">{}</th>'
    rows = [f"<tr>{head.format(_safe(name))}{cell.format(_safe(value))}</tr>" for name, value in facts]
    return ["<table>", *rows, "</table>"]


def _safe(value: str) -> str:
    return html.escape(value, quote=True)
