"""A frozen view of the state, its encoding, and the strict way back.

**Freezing** copies no rows (`frozen.py`). Encoding goes on in small pieces while the living state moves ahead.

**Format.** A snapshot is a run of frames, each `length (4 bytes, big-endian) | chain (16) | body`. A body is
one msgpack array: first a header (format, version, index, digest, clock, number of rows of each table), then
the rows of the tables in a fixed order, then a trailer with a checksum over all of them. `chain` is a hash of
the body and the chain before it, and it is compared before the body is decoded: a flipped bit, a lost,
doubled, moved or foreign frame is found before anything is made of it. Frames carry their own length, so a
reader may cut the stream where it likes.

**Versions.** 3 has more tables than the five of the versions before it; what those wrote is read as it is, and the
other tables are empty then. 2 wrote sessions and outcomes in the order of `frozen.py`; 1 wrote them as they had come,
so the checksum of a file of version 1 is compared in the order of that time.

**Restoring** fills an empty state through the same methods that the rules use, checks what the rules promise
(no key twice, no overlap, no row without its owner), and at the end makes the state prove itself equal by
recomputing the checksum from its own tables. Whatever is wrong raises SnapshotError; the half-filled state is
thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

from statemachine.audit import AuditRecord
from statemachine.feeds import CalendarFeed
from statemachine.outcomes import Outcome, Remembered
from statemachine.pages import RUN_ITEMS
from statemachine.premises import SeatDetails, SpaceRules
from statemachine.records import (
    ERASED,
    Booking,
    CheckInRule,
    Expected,
    Failures,
    Series,
    Session,
    Space,
    Standing,
    Step,
    User,
)
from statemachine.tables import DIGEST_BYTES, Tables, key_name
from statemachine.waiters import Waiter

FORMAT = "deskraft.state"
VERSION = 3
OLD_VERSIONS = (1, 2)  # still read
CHUNK_BYTES = 64 * 1024  # a chunk is cut when it has grown to this; one large record may carry it further
MAX_BODY_BYTES = 8 * 1024 * 1024  # no record comes near; a longer body is damage
_LENGTH_BYTES = 4
_CHAIN_PERSON = b"deskraft.chain.1"
_SUM_PERSON = b"deskraft.sum.1"


class SnapshotError(Exception):
    """The bytes are not a whole snapshot that this code can read."""


class Header(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=0):
    """What the snapshot is of, and how many rows of each table follow."""

    format: str
    version: int
    index: int
    digest: bytes
    born: bool
    now_ms: int
    counts: tuple[int, ...]


class SpaceRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    """Spaces from the row `first` on."""

    first: int
    rows: list[Space]


class UserRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2):
    """Users from the row `first` on."""

    first: int
    rows: list[User]


class SessionRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3):
    """Sessions from the row `first` on."""

    first: int
    rows: list[Session]


class BookingRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=4):
    """Bookings from the row `first` on."""

    first: int
    rows: list[Booking]


class OutcomeRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=5):
    """Remembered outcomes from the row `first` on, in order of their expiry within each class of keys."""

    first: int
    rows: list[Remembered]


class SpaceRulesRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=7):
    """Rules of spaces from the row `first` on."""

    first: int
    rows: list[SpaceRules]


class SeatDetailsRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=8):
    """Details of seats from the row `first` on."""

    first: int
    rows: list[SeatDetails]


class StepRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=30):
    """Lines of the bookings' histories from the row `first` on, in the order of the log."""

    first: int
    rows: list[Step]


class SeriesRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=31):
    """Series of bookings from the row `first` on, in the order of the log."""

    first: int
    rows: list[Series]


class AuditRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=20):
    """What administrators did, from the row `first` on."""

    first: int
    rows: list[AuditRecord]


class StandingRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=21):
    """What is special about users, from the row `first` on, in the order of its changes."""

    first: int
    rows: list[Standing]


class FailureRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=22):
    """Failed log-ins from the row `first` on; those that are quiet for longest stand first."""

    first: int
    rows: list[Failures]


class WaiterRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=32):
    """Those who wait from the row `first` on, as they came."""

    first: int
    rows: list[Waiter]


class CheckInRuleRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=33):
    """In which spaces one has to check in, from the row `first` on."""

    first: int
    rows: list[CheckInRule]


class ExpectedRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=34):
    """Bookings that are not checked in yet, from the row `first` on."""

    first: int
    rows: list[Expected]


class CalendarRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=50):
    """Calendar feeds from the row `first` on."""

    first: int
    rows: list[CalendarFeed]


class Trailer(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=6):
    """The end: how many frames there are with this one, and `checksum_of` the state."""

    frames: int
    checksum: bytes


_Rows = (
    SpaceRows
    | SpaceRulesRows
    | SeatDetailsRows
    | UserRows
    | SessionRows
    | BookingRows
    | OutcomeRows
    | StepRows
    | SeriesRows
    | AuditRows
    | StandingRows
    | FailureRows
    | WaiterRows
    | CheckInRuleRows
    | ExpectedRows
    | CalendarRows
)
TABLES: dict[str, type[_Rows]] = {  # in the order of the stream: a row stands behind all that it needs
    "spaces": SpaceRows,
    "space_rules": SpaceRulesRows,
    "seat_details": SeatDetailsRows,
    "users": UserRows,
    "sessions": SessionRows,
    "bookings": BookingRows,
    "outcomes": OutcomeRows,
    "steps": StepRows,
    "series": SeriesRows,
    "audit": AuditRows,
    "standings": StandingRows,
    "failures": FailureRows,
    "waiters": WaiterRows,
    "check_in_rules": CheckInRuleRows,
    "expected": ExpectedRows,
    "calendars": CalendarRows,
}
OLD_TABLES = ("spaces", "users", "sessions", "bookings", "outcomes")  # all that the old versions had
_ROW_TYPES: tuple[type[_Rows], ...] = tuple(TABLES.values())

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Header | _Rows | Trailer)


class FrozenState:
    """The state at one index. It stays so whatever is applied; its memory goes when nobody holds it."""

    __slots__ = ("_born", "_now_ms", "_tables", "digest", "index")

    def __init__(self, tables: Tables) -> None:
        self.index = tables.index
        self.digest = tables.digest
        self._born = tables.born
        self._now_ms = tables.now_ms
        self._tables = tables.frozen_tables()

    def chunks(self) -> Iterator[bytes]:
        """The snapshot in pieces of about CHUNK_BYTES; each step does the work of one piece, or of looking in
        vain for rows, and is then empty. May be walked again.
        """
        header = self._header()
        checksum = _Checksum(header)
        frames = 1
        chain, frame = _frame(b"", _encoder.encode(header))
        yield frame
        for row_type, runs in zip(_ROW_TYPES, self._tables.tables(), strict=True):
            for first, count, rows in _row_pieces(runs):
                if not count:
                    yield b""
                    continue
                checksum.add(rows)
                frames += 1
                # An empty array is the last byte of an empty frame of rows: a counted one takes its place.
                body = _encoder.encode(row_type(first, []))[:-1] + b"\xdd" + count.to_bytes(4, "big") + rows
                chain, frame = _frame(chain, body)
                yield frame
        yield _frame(chain, _encoder.encode(Trailer(frames + 1, checksum.digest())))[1]

    def checksum(self) -> bytes:
        """A hash over the header and all rows, in order."""
        checksum = _Checksum(self._header())
        for runs in self._tables.tables():
            for _, _, rows in _row_pieces(runs):
                checksum.add(rows)
        return checksum.digest()

    def _header(self) -> Header:
        return Header(FORMAT, VERSION, self.index, self.digest, self._born, self._now_ms, self._tables.counts)


def checksum_of(tables: Tables) -> bytes:
    """A hash over the header and all rows of the primary tables, in order."""
    return FrozenState(tables).checksum()


def _old_checksum_of(tables: Tables, header: Header) -> bytes:
    """The checksum of a state that was just restored from a file of one of OLD_VERSIONS. In version 1 rows stood as its
    dictionaries do now, in the order of the file.
    """
    checksum = _Checksum(header)
    frozen = dict(zip(TABLES, tables.frozen_tables().tables(), strict=True))
    for name in OLD_TABLES:
        runs = frozen[name] if header.version > 1 else _runs_of(getattr(tables, name))
        for _, _, piece in _row_pieces(runs):
            checksum.add(piece)
    return checksum.digest()


def _runs_of(table: dict[str, Any]) -> Iterator[list[Any]]:
    rows = iter(table.values())
    while run := list(islice(rows, RUN_ITEMS)):
        yield run


def table_checksums(tables: Tables) -> dict[str, bytes]:
    """A hash over the rows of each primary table by itself: to find where two states differ."""
    found = {}
    for name, runs in zip(TABLES, tables.frozen_tables().tables(), strict=True):
        checksum = blake2b(digest_size=DIGEST_BYTES, person=_SUM_PERSON)
        for _, _, rows in _row_pieces(runs):
            checksum.update(rows)
        found[name] = checksum.digest()
    return found


def fill(tables: Tables, chunks: Iterable[bytes]) -> None:
    """Fill empty tables from a snapshot. Raises SnapshotError; the tables are then good for nothing."""
    assert tables.index == 0, "only empty tables can be filled"
    try:
        _fill(tables, chunks)
    except ValueError as error:  # msgspec's errors and bad text
        raise SnapshotError(f"snapshot: {error}") from error


def _fill(tables: Tables, chunks: Iterable[bytes]) -> None:
    header: Header | None = None
    trailer: Trailer | None = None
    stage = 0  # the tag of the last frame: it never falls, and rows of a table come in their order
    frames = 0
    loaded = [0] * len(_ROW_TYPES)
    for body in _bodies(chunks):
        frames += 1
        piece = _decoder.decode(body)
        _require(trailer is None, "something follows the trailer")
        if header is None:
            _require(isinstance(piece, Header), "does not begin with a header")
            assert isinstance(piece, Header)
            _require(piece.format == FORMAT, "of another format")
            _require(
                piece.version in (*OLD_VERSIONS, VERSION),
                f"of version {piece.version}; this code reads 1 to {VERSION}",
            )
            _require(len(piece.digest) == DIGEST_BYTES, "with a digest of the wrong length")
            header = piece
        elif isinstance(piece, Trailer):
            trailer = piece
        else:
            _require(not isinstance(piece, Header), "a second header")
            assert not isinstance(piece, Header)
            tag = _ROW_TYPES.index(type(piece)) + 1
            _require(tag >= stage, "tables out of order")
            _require(piece.first == loaded[tag - 1] and len(piece.rows) > 0, "rows out of order")
            stage = tag
            loaded[tag - 1] += len(piece.rows)
            _LOADERS[type(piece)](tables, piece.rows)
    if header is None or trailer is None:
        raise SnapshotError("snapshot: cut short")
    _require(trailer.frames == frames, "frames are missing")
    names = TABLES if header.version == VERSION else OLD_TABLES
    _require(_counts_of(names, loaded) == header.counts, "rows are missing")
    tables.index = header.index
    tables.digest = header.digest
    tables.born = header.born
    tables.now_ms = header.now_ms
    _find_erasing(tables)
    checksum = checksum_of(tables) if header.version == VERSION else _old_checksum_of(tables, header)
    _require(checksum == trailer.checksum, "the restored state is not the one that was written")


def _load_spaces(tables: Tables, rows: list[Space]) -> None:
    for space in rows:
        _require(space.id not in tables.spaces, "a space twice")
        tables.put_space(space)


def _counts_of(names: Iterable[str], loaded: list[int]) -> tuple[int, ...]:
    counts = dict(zip(TABLES, loaded, strict=True))
    return tuple(counts[name] for name in names)


def _load_space_rules(tables: Tables, rows: list[SpaceRules]) -> None:
    for rules in rows:
        _require(rules.space_id not in tables.space_rules, "rules of a space twice")
        _require(rules.space_id in tables.spaces, "rules of no space")
        tables.put_space_rules(rules)


def _load_seat_details(tables: Tables, rows: list[SeatDetails]) -> None:
    for details in rows:
        _require(tables.details_of(details.space_id, details.seat_id) is None, "details of a seat twice")
        space = tables.spaces.get(details.space_id)
        if space is None:
            raise SnapshotError("snapshot: details of no space")
        listed = any(seat.id == details.seat_id for seat in space.seats)
        _require(listed != details.retired, "details of no seat")
        tables.put_seat_details(details)


def _load_users(tables: Tables, rows: list[User]) -> None:
    for user in rows:
        _require(user.id not in tables.users and user.login_key not in tables.users_by_login, "a user twice")
        _require(bool(user.login_key) == bool(user.password_hash), "a user who is half erased")
        tables.put_user(user)


def _load_sessions(tables: Tables, rows: list[Session]) -> None:
    for session in rows:
        _require(session.id not in tables.sessions, "a session twice")
        _require(session.user_id in tables.users, "a session of nobody")
        tables.add_session(session)


def _load_bookings(tables: Tables, rows: list[Booking]) -> None:
    for booking in rows:
        start, end = booking.start_cell, booking.end_cell
        days = tables.occupancy.seat(booking.space_id, booking.seat_id)
        if days is None:
            raise SnapshotError("snapshot: a booking of no seat")
        _require(booking.id not in tables.bookings, "a booking twice")
        _require(booking.user_id in tables.users or booking.user_id == ERASED, "a booking of nobody")
        _require(0 <= start < end, "a booking of no time")
        if booking.status == "confirmed":
            _require(tables.occupancy.claim(days, start, end), "two bookings of one seat and time")
        tables.add_booking(booking)


def _load_outcomes(tables: Tables, rows: list[Remembered]) -> None:
    for remembered in rows:
        name = key_name(remembered.scope, remembered.key)
        _require(name not in tables.outcomes, "an idempotency key twice")
        tables.remember(name, _sharing(tables, remembered))


def _load_audit(tables: Tables, rows: list[AuditRecord]) -> None:
    for record in rows:
        _require(not len(tables.audit) or record.number == tables.audit_count + 1, "an audit with gaps")
        tables.add_audit(record)


def _load_standings(tables: Tables, rows: list[Standing]) -> None:
    for standing in rows:
        _require(standing.user_id not in tables.standings, "a standing twice")
        _require(standing.user_id in tables.users, "a standing of nobody")
        tables.put_standing(standing)


def _load_failures(tables: Tables, rows: list[Failures]) -> None:
    for failures in rows:
        _require(failures.key not in tables.failures, "a throttle key twice")
        tables.put_failures(failures)


def _find_erasing(tables: Tables) -> None:
    """Who is being erased follows from who is erased and has bookings; the order is that of the erasures."""
    erased = [user for user_id in tables.bookings_by_user if not (user := tables.users[user_id]).login_key]
    for user in sorted(erased, key=lambda user: [int(part) for part in user.revision.split(".")]):
        tables.erasing[user.id] = None


def _sharing(tables: Tables, remembered: Remembered) -> Remembered:
    """The same, with the booking of the tables in it when that is the one it answered: a record is kept once, as it
    is in a state that applied the log. It spares a third of the memory of a restored state.
    """
    outcome = remembered.outcome
    booking = outcome.result
    if not isinstance(booking, Booking) or (known := tables.bookings.get(booking.id)) != booking:
        return remembered
    shared = Outcome(outcome.code, outcome.index, outcome.position, known, outcome.alternatives)
    terms = (remembered.scope, remembered.key, remembered.fingerprint, remembered.lasting)
    return Remembered(*terms, remembered.expires_at_ms, shared)


def _load_steps(tables: Tables, rows: list[Step]) -> None:
    for step in rows:
        _require(step.booking_id in tables.bookings, "the history of no booking")
        tables.add_step(step)


def _load_series(tables: Tables, rows: list[Series]) -> None:
    for series in rows:
        _require(series.id not in tables.series, "a series twice")
        _require(all(each in tables.bookings for each in series.booking_ids), "a series of no bookings")
        tables.add_series(series)


def _load_waiters(tables: Tables, rows: list[Waiter]) -> None:
    for waiter in rows:
        _require(waiter.id not in tables.waiters, "somebody waits twice")
        _require(waiter.user_id in tables.users, "nobody waits")
        tables.put_waiter(waiter)


def _load_check_in_rules(tables: Tables, rows: list[CheckInRule]) -> None:
    for rule in rows:
        _require(
            rule.space_id in tables.spaces and rule.space_id not in tables.check_in_rules,
            "a rule of no space",
        )
        tables.put_check_in_rule(rule)


def _load_expected(tables: Tables, rows: list[Expected]) -> None:
    for expected in rows:
        booking = tables.bookings.get(expected.booking_id)
        if booking is None or booking.status != "confirmed" or booking.id in tables.expected:
            raise SnapshotError("snapshot: nobody can be expected")
        tables.put_expected(expected)


def _load_calendars(tables: Tables, rows: list[CalendarFeed]) -> None:
    for feed in rows:
        _require(feed.user_id not in tables.calendars, "two calendar feeds of one user")
        _require(feed.secret_hash not in tables.calendars_by_hash, "one address of two calendar feeds")
        _require(feed.user_id in tables.users, "a calendar feed of nobody")
        tables.add_calendar(feed)


_LOADERS: dict[type[_Rows], Callable[[Tables, Any], None]] = {
    SpaceRows: _load_spaces,
    SpaceRulesRows: _load_space_rules,
    SeatDetailsRows: _load_seat_details,
    UserRows: _load_users,
    SessionRows: _load_sessions,
    BookingRows: _load_bookings,
    OutcomeRows: _load_outcomes,
    StepRows: _load_steps,
    SeriesRows: _load_series,
    AuditRows: _load_audit,
    StandingRows: _load_standings,
    FailureRows: _load_failures,
    WaiterRows: _load_waiters,
    CheckInRuleRows: _load_check_in_rules,
    ExpectedRows: _load_expected,
    CalendarRows: _load_calendars,
}


class _Checksum:
    """A hash over the header's facts and the rows; how the rows are cut into pieces does not matter to it."""

    def __init__(self, header: Header) -> None:
        head = _encoder.encode(header)
        self._hash = blake2b(head, digest_size=DIGEST_BYTES, person=_SUM_PERSON)

    def add(self, rows: bytes) -> None:
        self._hash.update(rows)

    def digest(self) -> bytes:
        return self._hash.digest()


def _row_pieces(runs: Iterator[list[Any]]) -> Iterator[tuple[int, int, bytes]]:
    """Encoded rows in pieces of about CHUNK_BYTES: (number of the first row, count, bytes).

    The length is looked at after every run of rows, not after each row. An empty run that finds nothing waiting
    is passed on as a piece without rows.
    """
    first = 0
    piece = bytearray()
    count = 0
    for run in runs:
        for row in run:
            _encoder.encode_into(row, piece, -1)
        count += len(run)
        if len(piece) >= CHUNK_BYTES or not run:
            yield first, count, bytes(piece)
            first += count
            count = 0
            piece.clear()
    if count:
        yield first, count, bytes(piece)


def _frame(chain: bytes, body: bytes) -> tuple[bytes, bytes]:
    """The next link of the chain, and the frame that carries the body."""
    assert len(body) <= MAX_BODY_BYTES
    link = blake2b(chain + body, digest_size=DIGEST_BYTES, person=_CHAIN_PERSON).digest()
    return link, len(body).to_bytes(_LENGTH_BYTES, "big") + link + body


def _bodies(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The bodies of a stream of frames, wherever it was cut, each compared with its chain."""
    waiting = bytearray()
    chain = b""
    head = _LENGTH_BYTES + DIGEST_BYTES
    for chunk in chunks:
        waiting += chunk
        while len(waiting) >= head:
            length = int.from_bytes(waiting[:_LENGTH_BYTES], "big")
            _require(length <= MAX_BODY_BYTES, "a frame too long")
            if len(waiting) < head + length:
                break
            link = bytes(waiting[_LENGTH_BYTES:head])
            body = bytes(waiting[head : head + length])
            del waiting[: head + length]
            chain, _ = _frame(chain, body)
            _require(chain == link, "damaged, or not in order")
            yield body
    _require(not waiting, "cut short")


def _require(holds: bool, complaint: str) -> None:
    if not holds:
        raise SnapshotError(f"snapshot: {complaint}")
