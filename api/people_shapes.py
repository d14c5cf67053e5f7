"""What travels over HTTP about people: their own account, their sessions, and what administrators see of both."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from api.series import SeriesRecordView
from api.shapes import Body, BookingView
from api.waitlist import WaitingView
from node.mail_addresses import MAX_ADDRESS_CHARACTERS
from statemachine.limits import MAX_REMIND_MINUTES
from statemachine.notices import Language, MailKind
from statemachine.records import Role

ALL_KINDS: tuple[MailKind, ...] = ("confirmed", "moved", "cancelled", "released", "affected", "promoted")
MAX_CODE_CHARACTERS = 32  # with room for how people write one

GivenPassword = Annotated[str, Meta(max_length=1024)]


class ChangePasswordBody(Body, frozen=True):
    """The password so far, and another one."""

    old_password: GivenPassword
    new_password: Annotated[str, Meta(description="8 to 128 characters, not a common one.")]


class EraseBody(Body, frozen=True):
    """The password, so that nobody erases an account whose screen was left open."""

    password: GivenPassword


class SessionView(Struct, frozen=True):
    """One log-in. `current` is the one that asks."""

    id: str
    created_at: str
    refreshed_at: str
    expires_at: str
    current: bool


class SessionsView(Struct, frozen=True):
    """All log-ins of the user, oldest first."""

    items: list[SessionView]


class ProfileView(Struct, frozen=True):
    """A user as themselves and administrators see them."""

    id: str
    login: str
    role: Role
    created_at: str
    blocked_at: str | None
    password_change_needed: bool
    sessions: int


class ProfilesView(Struct, frozen=True):
    """A page of users, in the order in which they registered."""

    items: list[ProfileView]
    next: str | None


class NotificationsBody(Body, frozen=True):
    """What I want to hear. It replaces what I wanted before."""

    address: Annotated[
        Annotated[str, Meta(max_length=MAX_ADDRESS_CHARACTERS)] | None,
        Meta(description="Of mail, in ASCII; null: nothing is mailed.", examples=["ann@example.com"]),
    ]
    language: Language
    kinds: Annotated[
        Annotated[list[MailKind], Meta(max_length=len(ALL_KINDS))] | None,
        Meta(description="Each once; left out or null: all of them."),
    ] = None
    remind_minutes: Annotated[
        int, Meta(ge=0, le=MAX_REMIND_MINUTES, description="Before the start of a booking; 0: no reminder.")
    ] = 0


class CodeBody(Body, frozen=True):
    """The code that was mailed to the address."""

    code: Annotated[str, Meta(max_length=MAX_CODE_CHARACTERS, examples=["7K2M9-QX4TD"])]


class NotificationsView(Struct, frozen=True):
    """What I want to hear. Mails come when the address is `confirmed`; `available` is whether this cluster sends any."""

    address: str | None
    confirmed: bool
    language: Language
    kinds: list[MailKind]
    remind_minutes: int
    available: bool


class ExportView(Struct, frozen=True):
    """What the cluster keeps of a user. Bookings come newest first; `next` is the cursor of the following part, which
    has the rest of them. A series comes with the first of its bookings.
    """

    profile: ProfileView
    notifications: NotificationsView
    sessions: list[SessionView]
    bookings: list[BookingView]
    series: list[SeriesRecordView]
    waiting: list[WaitingView]
    next: str | None


class OneTimePasswordView(Struct, frozen=True):
    """The password to hand to the user, who can only change it."""

    user_id: str
    one_time_password: str


class AuditRecordView(Struct, frozen=True):
    """One administrative act. `id` names the change; logins are those of today, null when there is none any more."""

    id: str
    number: int
    at: str
    actor: str
    actor_login: str | None
    what: str
    subject: str
    subject_login: str | None
    detail: str


class AuditView(Struct, frozen=True):
    """A page of the audit, newest first. `forgotten` is how many older records the cluster no longer keeps."""

    items: list[AuditRecordView]
    forgotten: int
    next: str | None
