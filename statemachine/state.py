"""The replicated state: `apply` takes the entries of the log, in order, and nothing else changes anything.

**Pure.** What `apply` does depends on the state and the payload alone. Time is the batch's stamp, kept from
running backwards; chance, hashing and time zones happened before the command was made.

**Refusals are values.** `apply` never raises for anything that a client or a damaged envelope can cause.
Bytes that are no envelope answer `malformed`; rules look first and change afterwards.

**Exactly once.** An outcome is remembered under (scope, key) and given again when the key comes back; the
order of the checks in `_decide` is what makes a retry safe: the memory comes before the deadline, the session
and the rules, all of which may have changed since the first time.

**Digest.** Each entry chains a hash over the one before, the index, the payload and the encoded outcomes.
Members whose code, state or log differ cannot agree on it for longer than one command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from statemachine import (
    baskets,
    bookings,
    calendars,
    cancelling,
    checkin,
    due,
    history,
    moves,
    notifications,
    outbox,
    people,
    series,
    snapshot,
    spaces,
    throttle,
    users,
    waitlist,
)
from statemachine.commands import (
    BirthCluster,
    BookSeat,
    BookSeries,
    BookTogether,
    CancelBooking,
    CancelBookingBecause,
    CancelSeries,
    CancelUnchanged,
    CheckIn,
    CloseSession,
    CreateSpace,
    Envelope,
    FoundCluster,
    JoinWaitlist,
    LeaveWaitlist,
    MoveBooking,
    OpenSession,
    PutSeat,
    RegisterUser,
    ReviseSpace,
    RotateSession,
    SetCheckIn,
    decode_batch,
    decode_envelope,
)
from statemachine.events import Event
from statemachine.feeds import CloseCalendar, OpenCalendar
from statemachine.limits import (
    MAX_CLIENT_KEYS,
    MAX_FINGERPRINT_BYTES,
    MAX_KEY_CHARS,
    MAX_KEYS_PER_SCOPE,
    MAX_SCOPE_CHARS,
)
from statemachine.occupancy import SeatDays
from statemachine.outbox_commands import (
    BeginFeed,
    ConfirmAddress,
    CreateWebhook,
    DropLetters,
    OpenSink,
    RemoveSink,
    ReplayLetters,
    ReviseWebhook,
    RotateWebhook,
    SetNotifications,
    SetSink,
    Settle,
)
from statemachine.outcomes import Code, Outcome, Remembered
from statemachine.people_commands import (
    ChangePassword,
    EndSessions,
    EndSessionsOf,
    EraseAccount,
    LogIn,
    NoteAct,
    NoteFailures,
    ResetPassword,
    SetBlocked,
    SetRole,
)
from statemachine.records import Booking, Session, Step, User
from statemachine.snapshot import FrozenState, SnapshotError
from statemachine.tables import DIGEST_BYTES, Entry, Tables, day_name, keep_class, key_name

__all__ = ["Applied", "FrozenState", "SnapshotError", "State", "restore"]

_DIGEST_PERSON = b"deskraft.entry.1"

_NOT_REMEMBERED: frozenset[Code] = frozenset(
    # What time, a log-in, a role or a newer look may turn into something else; a retry has to be able to find that out.
    # Over HTTP these are the 401, 403, 429 and 503, which no key keeps, the nodes' own internal retries, and
    # lists of bookings that are made anew each time.
    (
        "unauthenticated",
        "credentials-changed",
        "refresh-reused",
        "deadline-passed",
        "duplicate-id",
        "malformed",
        "too-many-keys",
        "not-born",
        "rules-changed",
        "forbidden",
        "affected-changed",
        "booking-changed",
        "outbox-moved",
        "too-many-addresses",
        "user-blocked",
        "password-change-needed",
    )
)

_Rule = Callable[[Tables, Entry, Envelope, Any], Outcome]

_RULES: dict[type, tuple[_Rule, bool]] = {  # the rule of each command, and whether it needs a living session
    BirthCluster: (users.birth_cluster, False),
    FoundCluster: (users.birth_cluster, False),
    RegisterUser: (users.register_user, False),
    OpenSession: (users.open_session, False),
    RotateSession: (users.rotate_session, False),
    CloseSession: (users.close_session, True),
    BookSeat: (bookings.book_seat, True),
    CancelBooking: (cancelling.cancel_booking, True),
    CreateSpace: (spaces.create_space, True),
    ReviseSpace: (spaces.revise_space, True),
    PutSeat: (spaces.put_seat, True),
    CancelBookingBecause: (cancelling.cancel_booking, True),
    CancelUnchanged: (cancelling.cancel_booking, True),
    BookTogether: (baskets.book_together, True),
    MoveBooking: (moves.move_booking, True),
    BookSeries: (series.book_series, True),
    CancelSeries: (series.cancel_series, True),
    LogIn: (people.log_in, False),
    ChangePassword: (people.change_password, True),
    EndSessions: (people.end_sessions, True),
    EndSessionsOf: (people.end_sessions_of, True),
    SetBlocked: (people.set_blocked, True),
    ResetPassword: (people.reset_password, True),
    SetRole: (people.set_role, True),
    EraseAccount: (people.erase_account, True),
    NoteFailures: (throttle.note_failures, False),
    NoteAct: (people.note_act, True),
    JoinWaitlist: (waitlist.join_waitlist, True),
    LeaveWaitlist: (waitlist.leave_waitlist, True),
    SetCheckIn: (checkin.set_check_in, True),
    CheckIn: (checkin.check_in, True),
    OpenCalendar: (calendars.open_calendar, True),
    CloseCalendar: (calendars.close_calendar, True),
    OpenSink: (outbox.open_sink, False),
    BeginFeed: (outbox.begin_feed, False),
    Settle: (outbox.settle, False),
    CreateWebhook: (outbox.create_webhook, True),
    ReviseWebhook: (outbox.revise_webhook, True),
    RotateWebhook: (outbox.rotate_webhook, True),
    SetSink: (outbox.set_sink, True),
    RemoveSink: (outbox.remove_sink, True),
    ReplayLetters: (outbox.replay_letters, True),
    DropLetters: (outbox.drop_letters, True),
    SetNotifications: (notifications.set_notifications, True),
    ConfirmAddress: (notifications.confirm_address, True),
}

_encode = msgspec.msgpack.Encoder().encode


class Applied(Struct):
    """What one entry did.

    `results` holds (request_id, scope, key, outcome) for every envelope in order; bytes that are no envelope
    have request_id 0. `events` holds (position, event) for every change in order.
    """

    results: list[tuple[int, str, str, Outcome]]
    events: list[tuple[int, Event]]


class State(Tables):
    """Users, sessions, spaces, bookings and remembered outcomes, as of the last entry applied."""

    def apply(self, index: int, payload: bytes) -> Applied:
        """Carry out one log entry. Indexes rise; entries that carry no commands never reach the state."""
        assert index > self.index, f"entry {index} after entry {self.index}"
        self.index = index
        self.occupancy.recent.index = index
        results: list[tuple[int, str, str, Outcome]] = []
        try:
            batch = decode_batch(payload)
        except ValueError:  # the bytes are the same on every member, so every member comes here
            entry = Entry(index, self.now_ms)
            results.append((0, "", "", entry.refuse("malformed")))
        else:
            if batch.stamp_ms > self.now_ms:
                self.now_ms = batch.stamp_ms
                self.expire()
            entry = Entry(index, self.now_ms)
            if self.erasing:
                people.erase_bookings(self, entry)
            due.carry_out(self, entry)
            for data in batch.envelopes:
                try:
                    envelope = decode_envelope(data)
                except ValueError:
                    results.append((0, "", "", entry.refuse("malformed")))
                    continue
                outcome = self._decide(envelope, entry)
                results.append((envelope.request_id, envelope.scope, envelope.key, outcome))
        if self.feed.is_open:
            outbox.make_room(self, entry.events, index)
            self.feed.extend(index, entry.events)
        self.digest = self._next_digest(payload, [result[3] for result in results])
        return Applied(results, entry.events)

    def _decide(self, envelope: Envelope, entry: Entry) -> Outcome:
        key = envelope.key
        scope = envelope.scope
        fingerprint = envelope.fingerprint
        if (
            not 0 < len(key) <= MAX_KEY_CHARS
            or len(scope) > MAX_SCOPE_CHARS
            or len(fingerprint) > MAX_FINGERPRINT_BYTES
        ):
            return entry.refuse("malformed")
        name = key_name(scope, key)
        known = self.outcomes.get(name)
        if known is not None:
            if known.fingerprint == fingerprint or not fingerprint or not known.fingerprint:
                return known.outcome
            return entry.refuse("key-reused")
        now_ms = self.now_ms
        if now_ms > envelope.deadline_ms:
            return entry.refuse("deadline-passed")
        command = envelope.command
        rule, needs_session = _RULES[type(command)]
        lasting, keep_ms = keep_class(envelope.keep_ms)
        if not self.born and rule is not users.birth_cluster:
            return entry.refuse("not-born")
        if needs_session:
            session = self.sessions.get(envelope.session_id)
            # Whose key it is must be whose session it is: who acts and whose allowance is spent are one.
            if session is None or session.user_id != scope:
                return entry.refuse("unauthenticated")
            if (
                self.standings
                and people.must_change_password(self, scope)
                and type(command) not in people.WITH_ONE_TIME_PASSWORD
            ):
                return entry.refuse("password-change-needed")
        if lasting and (
            len(self.keys_by_scope.get(scope, ())) >= MAX_KEYS_PER_SCOPE
            # Few outcomes are few keys of clients; the slower count is asked for only where it can matter.
            or (len(self.outcomes) >= MAX_CLIENT_KEYS and len(self.client_keys) >= MAX_CLIENT_KEYS)
        ):
            return entry.refuse("too-many-keys")
        outcome = rule(self, entry, envelope, command)
        if outcome.code not in _NOT_REMEMBERED:
            self.remember(name, Remembered(scope, key, fingerprint, lasting, now_ms + keep_ms, outcome))
        return outcome

    def _next_digest(self, payload: bytes, outcomes: list[Outcome]) -> bytes:
        head = self.digest + self.index.to_bytes(8, "big") + len(payload).to_bytes(8, "big")
        chain = blake2b(head, digest_size=DIGEST_BYTES, person=_DIGEST_PERSON)
        chain.update(payload)
        chain.update(_encode(outcomes))
        return chain.digest()

    @property
    def due_ms(self) -> int | None:
        """The earliest moment at which something happens by itself, when an entry with that stamp comes; None when nothing
        will.
        """
        if self.erasing:
            return self.now_ms  # what is left of an erased account goes with the next entries
        self.next_due(-1)
        return self.dues[0][0] if self.dues else None

    # --- reading --------------------------------------------------------------------------------------------

    def user_by_login_key(self, login_key: str) -> User | None:
        """The user whose canonical login this is."""
        user_id = self.users_by_login.get(login_key)
        return None if user_id is None else self.users[user_id]

    def session(self, session_id: str, now_ms: int) -> Session | None:
        """A session that is alive at `now_ms`."""
        session = self.sessions.get(session_id)
        return session if session is not None and session.expires_at_ms > now_ms else None

    def user_sessions(self, user_id: str) -> list[Session]:
        """The sessions of a user, oldest first."""
        return [self.sessions[session_id] for session_id in self.sessions_by_user.get(user_id, ())]

    def outcome_of(self, scope: str, key: str) -> Outcome | None:
        """The remembered outcome under an idempotency key."""
        known = self.outcomes.get(key_name(scope, key))
        return None if known is None else known.outcome

    def remembered(self, scope: str, key: str) -> Remembered | None:
        """What is remembered under an idempotency key, with its terms."""
        return self.outcomes.get(key_name(scope, key))

    def seat_cells(self, space_id: str, seat_id: str, day: int) -> int:
        """The taken cells of one UTC day of a seat: bit `i` is the cell `day * 288 + i`."""
        days: SeatDays | None = self.occupancy.seat(space_id, seat_id)
        return 0 if days is None else days.get(day, 0)

    def user_bookings(self, user_id: str) -> Sequence[str]:
        """The ids of all bookings of a user, oldest first."""
        return self.bookings_by_user.get(user_id, ())

    def user_bookings_on_day(self, user_id: str, day: int) -> Sequence[str]:
        """The ids of a user's live bookings that touch a UTC day, oldest first."""
        return tuple(self.live_by_day.get(day_name(user_id, day), ()))

    def history_of(self, booking: Booking) -> Sequence[Step]:
        """What has become of a booking, oldest first."""
        return history.steps_of(self, booking)

    # --- copies ---------------------------------------------------------------------------------------------

    def freeze(self) -> FrozenState:
        """The state as it is now, for a snapshot: copies no rows, encodes nothing; later applies do not
        change it.
        """
        return FrozenState(self)

    def checksum(self) -> bytes:
        """A hash over all primary tables in their order. Equal states, however they came to be, have equal
        ones.
        """
        return snapshot.checksum_of(self)


def restore(chunks: Iterable[bytes]) -> State:
    """The state that was frozen. Raises SnapshotError on anything wrong; never returns less than was written."""
    state = State()
    snapshot.fill(state, chunks)
    state.occupancy.recent.begin(state.index)
    return state
