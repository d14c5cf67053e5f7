"""What travels over HTTP about people: their own account, their sessions, and what administrators see of both."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from api.shapes import Body, BookingView
from api.waitlist import WaitingView
from statemachine.records import Role

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


class SeriesExportView(Struct, frozen=True):
    """A series: what it was made from, and which bookings it made."""

    id: str
    rrule: str
    created_at: str
    booking_ids: list[str]


class ExportView(Struct, frozen=True):
    """What the cluster keeps of a user. Bookings come newest first; `next` is the cursor of the following part, which
    has the rest of them. A series comes with the first of its bookings.
    """

    profile: ProfileView
    sessions: list[SessionView]
    bookings: list[BookingView]
    series: list[SeriesExportView]
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
