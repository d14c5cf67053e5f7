"""One mail to one address over SMTP (RFC 5321), and what its end means for the outbox.

How the connection is protected is the operator's explicit choice (`smtp.security`) and never what a server offers: with `starttls` a server
that does not offer it gets nothing, for an attacker in between could have taken the offer away (RFC 3207, 6). Certificates and names are
always checked, against the machine's authorities or `smtp.ca_file`.

**Whose fault it is.** What fails before the server has been given this mail would fail for any other too: the sink is away. So is a refusal of
the sender, and 421, with which a server ends a connection. After that a 4yz reply is a matter of time, and a 5yz one is final for this
mail alone (RFC 5321, 4.2.1). A connection that breaks in the middle counts against the mail, or one mail that a server cannot digest
would hold back all the others for ever.

One connection for each mail, without a pool: a mail is rare, and what is not kept cannot be stale.
"""

from __future__ import annotations

import re
import ssl
from contextlib import suppress

import aiosmtplib
from aiosmtplib import SMTPException, SMTPResponseException

from node.config_outbox import Smtp
from node.couriers import Delivered, Rejected, Result, Retry
from node.mail_addresses import is_address

STEP_SECONDS = 8.0  # for one answer of the server; the runner bounds the whole attempt
QUIT_SECONDS = 1.0
SERVICE_NOT_AVAILABLE = 421
FIRST_PERMANENT = 500


class MailServer:
    """The server of cluster.yml."""

    def __init__(self, smtp: Smtp, sender: str) -> None:
        """`sender` is the address of the envelope."""
        self._smtp = smtp
        self._sender = sender
        self._tls = (
            None if smtp.security == "none" else ssl.create_default_context(cafile=smtp.ca_file or None)
        )

    async def send(self, recipient: str, data: bytes) -> Result:
        """Make one attempt."""
        if not is_address(recipient):
            return Rejected("what is kept as the address is none")
        client = self._client()
        try:
            try:
                await client.connect()
                await client.ehlo()
            except SMTPResponseException as error:
                return Retry(_why("the mail server does not let us in", error, recipient), away=True)
            except (SMTPException, OSError) as error:  # the library's own, TLS, and sockets
                return Retry(_why("the mail server cannot be reached", error, recipient), away=True)
            return await self._transact(client, recipient, data)
        finally:
            client.close()

    def _client(self) -> aiosmtplib.SMTP:
        smtp = self._smtp
        return aiosmtplib.SMTP(
            hostname=smtp.host,
            port=smtp.port,
            username=smtp.user or None,
            password=smtp.password if smtp.user else None,
            # The name of this machine would be asked of the resolver, which may take longer than the mail.
            local_hostname=self._sender.rpartition("@")[2],
            timeout=STEP_SECONDS,
            use_tls=smtp.security == "tls",
            start_tls=smtp.security == "starttls",
            tls_context=self._tls,
        )

    async def _transact(self, client: aiosmtplib.SMTP, recipient: str, data: bytes) -> Result:
        step = "the sender"
        try:
            await client.mail(self._sender)
            step = "the address"
            await client.rcpt(recipient)
            step = "the mail"
            await client.data(data)
        except SMTPResponseException as error:
            why = _why(f"the mail server refuses {step}", error, recipient)
            if step == "the sender" or error.code == SERVICE_NOT_AVAILABLE:
                return Retry(why, away=True)
            return Rejected(why) if error.code >= FIRST_PERMANENT else Retry(why)
        except (SMTPException, OSError) as error:
            return Retry(_why("the connection to the mail server broke", error, recipient))
        with suppress(SMTPException, OSError):  # it has the mail; how it says goodbye does not matter
            await client.quit(timeout=QUIT_SECONDS)
        return Delivered()


def _why(what: str, error: Exception, recipient: str) -> str:
    """One line without the address, which servers like to repeat: a reason outlives an account that is erased."""
    told = str(error) or type(error).__name__
    if isinstance(error, SMTPResponseException):
        told = f"{error.code} {error.message}"
    told = re.sub(re.escape(recipient), "(address)", " ".join(told.split()), flags=re.IGNORECASE)
    return f"{what}: {told}"
