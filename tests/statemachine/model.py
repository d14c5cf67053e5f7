"""The rules once more, as plainly as they can be said: sets of cells, linear searches, no index, no cleverness.

It shares with the state machine only the shapes of commands. It answers with codes, and a random log must make both
say the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from statemachine.commands import (
    BirthCluster,
    BookSeat,
    CancelBooking,
    CloseSession,
    Envelope,
    OpenSession,
    RegisterUser,
    RotateSession,
)

CELL_MS = 300_000
FORGETTABLE = {
    "unauthenticated",
    "deadline-passed",
    "malformed",
    "too-many-keys",
    "credentials-changed",
    "refresh-reused",
    "duplicate-id",
    "not-born",
    "rules-changed",
}


@dataclass
class Taken:
    seat: tuple[str, str]
    user: str
    cells: range
    live: bool = True


@dataclass
class Model:
    now_ms: int = 0
    born: bool = False
    seats: dict[str, set[str]] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)  # user -> password hash
    logins: set[str] = field(default_factory=set)
    sessions: dict[str, tuple[str, int, int]] = field(default_factory=dict)  # id -> user, generation, end
    bookings: dict[str, Taken] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[bytes, int, str]] = field(
        default_factory=dict
    )  # fingerprint, end, code

    def tick(self, stamp_ms: int) -> None:
        self.now_ms = max(self.now_ms, stamp_ms)
        self.sessions = {sid: session for sid, session in self.sessions.items() if session[2] > self.now_ms}
        self.keys = {name: known for name, known in self.keys.items() if known[1] > self.now_ms}

    def decide(self, envelope: Envelope, revisions: dict[str, str]) -> str:
        name = (envelope.scope, envelope.key)
        if name in self.keys:
            fingerprint, _, code = self.keys[name]
            if fingerprint and envelope.fingerprint and fingerprint != envelope.fingerprint:
                return "key-reused"
            return code
        if self.now_ms > envelope.deadline_ms:
            return "deadline-passed"
        code = self.carry_out(envelope, revisions)
        if code not in FORGETTABLE:
            kept = 15_000 if envelope.keep_ms <= 15_000 else 86_400_000
            self.keys[name] = (envelope.fingerprint, self.now_ms + kept, code)
        return code

    def carry_out(self, envelope: Envelope, revisions: dict[str, str]) -> str:
        command = envelope.command
        match command:
            case BirthCluster():
                return self.birth(command)
            case _ if not self.born:
                return "not-born"
            case RegisterUser():
                if command.login_key in self.logins:
                    return "login-taken"
                if command.user_id in self.hashes:
                    return "duplicate-id"
                self.hashes[command.user_id] = command.password_hash
                self.logins.add(command.login_key)
                return "ok"
            case OpenSession():
                if self.hashes.get(command.user_id) != command.verified_hash:
                    return "credentials-changed"
                if command.session_id in self.sessions:
                    return "duplicate-id"
                self.hashes[command.user_id] = command.new_hash or command.verified_hash
                self.sessions[command.session_id] = (command.user_id, 0, self.now_ms + command.lifetime_ms)
                return "ok"
            case RotateSession():
                return self.rotate(command)
        if envelope.session_id not in self.sessions:
            return "unauthenticated"
        user = self.sessions[envelope.session_id][0]
        if user != envelope.scope:
            return "unauthenticated"
        match command:
            case CloseSession():
                del self.sessions[envelope.session_id]
                return "ok"
            case BookSeat():
                return self.book(command, user, revisions)
            case CancelBooking():
                return self.cancel(command, user)
            case _:
                raise AssertionError(f"the logs of the model hold no {type(command).__name__}")

    def birth(self, command: BirthCluster) -> str:
        if self.born:
            return "already-born"
        self.born = True
        self.hashes[command.admin_id] = command.admin_password_hash
        self.logins.add(command.admin_login_key)
        self.seats = {space.id: {seat.id for seat in space.seats} for space in command.spaces}
        return "ok"

    def rotate(self, command: RotateSession) -> str:
        if command.target_session_id not in self.sessions:
            return "unauthenticated"
        user, generation, _ = self.sessions[command.target_session_id]
        if command.generation > generation:
            return "unauthenticated"
        if command.generation < generation:
            del self.sessions[command.target_session_id]
            return "refresh-reused"
        self.sessions[command.target_session_id] = (user, generation + 1, self.now_ms + command.lifetime_ms)
        return "ok"

    def book(self, command: BookSeat, user: str, revisions: dict[str, str]) -> str:
        if command.space_id not in self.seats:
            return "unknown-space"
        if command.grid.rules_revision != revisions[command.space_id]:
            return "rules-changed"
        if command.seat_id not in self.seats[command.space_id]:
            return "unknown-seat"
        step = command.grid.slot_cells
        slots = [first + number * step for first, count in command.grid.windows for number in range(count)]
        wanted = [command.start_cell + number * step for number in range(command.slots)]
        if not wanted:
            return "off-grid"
        if not any(slot <= command.start_cell < slot + step for slot in slots):
            return "closed"
        if any(slot not in slots for slot in wanted):
            return "off-grid"
        if command.start_cell * CELL_MS <= self.now_ms:
            return "past"
        if command.booking_id in self.bookings:
            return "duplicate-id"
        cells = range(command.start_cell, command.start_cell + command.slots * step)
        seat = (command.space_id, command.seat_id)
        if any(
            other.live and other.seat == seat and set(other.cells) & set(cells)
            for other in self.bookings.values()
        ):
            return "seat-taken"
        self.bookings[command.booking_id] = Taken(seat, user, cells)
        return "ok"

    def cancel(self, command: CancelBooking, user: str) -> str:
        booking = self.bookings.get(command.booking_id)
        if booking is None or (booking.user != user and user != "root"):
            return "booking-not-found"
        if not booking.live:
            return "ok"
        if booking.cells.stop * CELL_MS <= self.now_ms:
            return "booking-completed"
        booking.live = False
        return "ok"
