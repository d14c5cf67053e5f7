"""What people want to hear of their bookings: the records. The rules are in `notifications.py`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Language = Literal["ru", "en"]
MailKind = Literal["confirmed", "moved", "cancelled", "released", "affected", "promoted"]


class Notifications(
    Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag="notifications"
):
    """What a user wants to hear. Nothing is mailed to an address before it is `confirmed`, but the code that confirms it.

    `remind_minutes` before the start of a booking there is a reminder (0: none). `asked` codes were asked for since
    `asked_since_ms`.
    """

    user_id: str
    address: str
    language: Language
    kinds: tuple[MailKind, ...]
    remind_minutes: int
    confirmed: bool
    asked: int
    asked_since_ms: int
    revision: str


class Reminder(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A booking whose user is to be reminded."""

    booking_id: str
    due_ms: int
