"""The rules of making and changing spaces and their seats: administrators only, one command for each change.

**Against an older look.** A change is made from what its maker saw: it names the revision of the space that it was
worked out from, and another one is `rules-changed`. Every change gives the space a new revision, so a booking whose
grid was made before it is resolved again.

**Accepted bookings.** A change may take away time or a seat that somebody has booked. Such bookings are *affected*:
confirmed, not over, and on a seat that is retired, in a range of its new outage, or in a range that the new hours close or
another zone gives other names.
Hours become ranges outside, where time zones are known, and travel in the command (`closing`); a booking that ends
beyond `until_cell`, which they do not reach, makes the ranges outdated. The command names the list that its maker has
seen by a token; when the list of this moment has another, nothing is done (`affected-changed`). So nothing happens to a
booking that nobody has looked at. Then all of them are kept as they are, valid to their end, or cancelled, each with an
event that gives the reason.

Overlap is not judged here: nothing here takes a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from itertools import pairwise

from statemachine import audit
from statemachine.cancelling import give_up
from statemachine.commands import Consent, CreateSpace, Envelope, PutSeat, ReviseSpace
from statemachine.events import BookingAffected, SeatRevised, SpaceCreated, SpaceRevised
from statemachine.limits import (
    MAX_AFFECTED,
    MAX_CELL,
    MAX_CLOSING_RANGES,
    MAX_ID_CHARS,
    MAX_OUTAGES,
    MAX_PLACE,
    MAX_REASON_CHARS,
    MAX_SEATS_PER_SPACE,
    MAX_SPACES,
    MAX_SPECIAL_DAYS,
    MAX_TEXT_CHARS,
)
from statemachine.outcomes import Outcome
from statemachine.premises import (
    DAYS_OF_WEEK,
    Affected,
    Hours,
    Limit,
    SeatDetails,
    SpaceChange,
    SpaceRules,
    seat_name,
)
from statemachine.records import CELL_MINUTES, CELL_MS, Booking, Seat, Space
from statemachine.refitting import are_windows_sound, offer_seat, refit, serve_all, take_along
from statemachine.tables import Entry, Tables
from statemachine.users import MINUTES_PER_DAY, is_space_sound

TOKEN_BYTES = 12
_TOKEN_PERSON = b"deskraft.touched"

Ranges = Sequence[tuple[int, int]]  # half-open, of cells, in order, not overlapping


def create_space(tables: Tables, entry: Entry, envelope: Envelope, command: CreateSpace) -> Outcome:
    """A new coworking with the same hours on every weekday."""
    actor = tables.sessions[envelope.session_id].user_id
    if tables.users[actor].role != "admin":
        return entry.refuse("forbidden")
    new = command.space
    if not is_space_sound(new):
        return entry.refuse("malformed")
    if new.id in tables.spaces:
        return entry.refuse("space-exists")
    if len(tables.spaces) >= MAX_SPACES:
        return entry.refuse("too-many-spaces")
    space = Space(
        new.id, new.name, new.timezone, new.opens_minutes, new.closes_minutes, new.slot_minutes, new.seats, entry.revision
    )  # fmt: skip
    tables.put_space(space)
    position = entry.record(SpaceCreated(space, entry.now_ms))
    audit.record(tables, entry.index, position, actor, "space-created", space.id)
    return Outcome("ok", entry.index, position, SpaceChange(space.id, "", space.revision, 0, 0))


def revise_space(tables: Tables, entry: Entry, envelope: Envelope, command: ReviseSpace) -> Outcome:
    """Another name, zone, slot length, hours, exceptions or policy; or retired, or back again."""
    actor = tables.sessions[envelope.session_id].user_id
    before = tables.spaces.get(command.space_id)
    refusal = _refusal_of_maker(tables, entry, actor, before, command.base_revision, command.consent)
    if refusal is not None:
        return refusal
    assert before is not None
    if not _is_revision_sound(command):
        return entry.refuse("malformed")
    touched = affected_by_revision(tables, command, entry.now_ms)
    if touched is None:
        return entry.refuse("rules-changed")
    refusal = _refusal_of_consent(entry, touched, command.consent)
    if refusal is not None:
        return refusal
    opens, closes = _span_of(command.rules.week, before)
    space = Space(
        before.id, command.name, command.timezone, opens, closes, command.slot_minutes, before.seats, entry.revision
    )  # fmt: skip
    was = rules_of(tables, before.id)
    tables.put_space(space)
    tables.put_space_rules(command.rules)
    anew = refit(tables, before, was, command.windows)
    position = entry.record(SpaceRevised(space, command.rules, actor, entry.now_ms))
    retired = command.rules.retired
    what = "space-revised" if retired == was.retired else "space-retired" if retired else "space-restored"
    _settle(tables, entry, actor, touched, command.consent)
    serve_all(tables, entry, anew)
    cancelled = len(touched) if command.consent.then == "cancel" else 0
    detail = _told(touched, cancelled, command.consent.reason)
    audit.record(tables, entry.index, position, actor, what, space.id, detail)
    change = SpaceChange(space.id, "", space.revision, len(touched), cancelled)
    return Outcome("ok", entry.index, position, change)


def put_seat(tables: Tables, entry: Entry, envelope: Envelope, command: PutSeat) -> Outcome:
    """A new seat, or what is known of one: label, zone, attributes, place, outages; or retired, or back again."""
    actor = tables.sessions[envelope.session_id].user_id
    details = command.details
    space = tables.spaces.get(details.space_id)
    refusal = _refusal_of_maker(tables, entry, actor, space, command.base_revision, command.consent)
    if refusal is not None:
        return refusal
    assert space is not None
    if not _are_details_sound(details):
        return entry.refuse("malformed")
    known = tables.occupancy.seat(space.id, details.seat_id) is not None
    if command.new and known:
        return entry.refuse("seat-exists")
    if not command.new and not known:
        return entry.refuse("unknown-seat")
    if command.new and sum(1 for _ in tables.occupancy.seat_ids(space.id)) >= MAX_SEATS_PER_SPACE:
        return entry.refuse("too-many-seats")
    touched = affected_by_seat(tables, details, entry.now_ms)
    refusal = _refusal_of_consent(entry, touched, command.consent)
    if refusal is not None:
        return refusal
    listed = any(seat.id == details.seat_id for seat in space.seats)
    freed = _freed(tables, details, listed=listed)
    revised = Space(
        space.id, space.name, space.timezone, space.opens_minutes, space.closes_minutes, space.slot_minutes,
        _seats_with(space.seats, details), entry.revision,
    )  # fmt: skip
    tables.put_space(revised)
    tables.put_space_rules(
        rules_of(tables, space.id)
    )  # from now on bookings look at what administrators have set
    tables.put_seat_details(details)
    take_along(tables, space)
    position = entry.record(SeatRevised(details, revised.revision, actor, entry.now_ms))
    _settle(tables, entry, actor, touched, command.consent)
    offer_seat(tables, entry, details, freed)
    cancelled = len(touched) if command.consent.then == "cancel" else 0
    what = "seat-added" if command.new else "seat-retired" if listed and details.retired else "seat-revised"
    detail = _told(touched, cancelled, command.consent.reason)
    audit.record(tables, entry.index, position, actor, what, f"{space.id}/{details.seat_id}", detail)
    change = SpaceChange(space.id, details.seat_id, revised.revision, len(touched), cancelled)
    return Outcome("ok", entry.index, position, change)


# --- what a change touches ----------------------------------------------------------------------------------


def affected_by_revision(tables: Tables, command: ReviseSpace, now_ms: int) -> list[Booking] | None:
    """The bookings that the change touches, by their start; None when one lies beyond what the change has judged."""
    space_id = command.space_id
    retires = command.rules.retired and not rules_of(tables, space_id).retired
    found = []
    for seat_id in tables.occupancy.seat_ids(space_id):
        for booking in live_bookings_of_seat(tables, space_id, seat_id, now_ms):
            if booking.end_cell > command.until_cell:
                return None
            if retires or _meets(booking, command.closing):
                found.append(booking)
    return _in_order(found)


def affected_by_seat(tables: Tables, details: SeatDetails, now_ms: int) -> list[Booking]:
    """The bookings that another state of the seat touches, by their start."""
    before = tables.details_of(details.space_id, details.seat_id)
    live = live_bookings_of_seat(tables, details.space_id, details.seat_id, now_ms)
    if details.retired:
        return [] if before is not None and before.retired else _in_order(live)
    fresh = without(_ranges_of(details), _ranges_of(before) if before is not None else [])
    return _in_order([booking for booking in live if _meets(booking, fresh)])


def live_bookings_of_seat(tables: Tables, space_id: str, seat_id: str, now_ms: int) -> list[Booking]:
    """The confirmed bookings of a seat that are not over."""
    days = tables.live_by_seat.get(seat_name(space_id, seat_id), {})
    return [
        booking
        for ids in days.values()
        for booking_id in ids
        if (booking := tables.bookings[booking_id]).end_cell * CELL_MS > now_ms
    ]


def token_of(touched: Sequence[Booking]) -> str:
    """The name of a list of bookings as they are now; empty for an empty one."""
    if not touched:
        return ""
    chain = blake2b(digest_size=TOKEN_BYTES, person=_TOKEN_PERSON)
    for booking in touched:
        chain.update(f"{booking.id} {booking.revision}\n".encode())
    return chain.hexdigest()


def without(ranges: Ranges, taken: Ranges) -> list[tuple[int, int]]:
    """What is left of some ranges when others are taken out of them."""
    left = []
    at = 0
    for start, end in ranges:
        while at < len(taken) and taken[at][1] <= start:
            at += 1
        here = at
        while here < len(taken) and taken[here][0] < end:
            if start < taken[here][0]:
                left.append((start, taken[here][0]))
            start = max(start, taken[here][1])
            here += 1
        if start < end:
            left.append((start, end))
    return left


def rules_of(tables: Tables, space_id: str) -> SpaceRules:
    """The rules of a space; those of one that nobody has changed are the plain ones."""
    return tables.space_rules.get(space_id) or SpaceRules(space_id)


def _meets(booking: Booking, ranges: Ranges) -> bool:
    return any(start < booking.end_cell and booking.start_cell < end for start, end in ranges)


def _in_order(bookings: list[Booking]) -> list[Booking]:
    return sorted(bookings, key=lambda booking: (booking.start_cell, booking.seat_id, booking.id))


# --- judging and settling -----------------------------------------------------------------------------------


def _refusal_of_maker(
    tables: Tables, entry: Entry, actor: str, space: Space | None, base_revision: str, consent: Consent
) -> Outcome | None:
    if tables.users[actor].role != "admin":
        return entry.refuse("forbidden")
    if space is None:
        return entry.refuse("unknown-space")
    if base_revision != space.revision:
        return entry.refuse("rules-changed")
    if len(consent.reason) > MAX_REASON_CHARS:
        return entry.refuse("malformed")
    return None


def _refusal_of_consent(entry: Entry, touched: list[Booking], consent: Consent) -> Outcome | None:
    token = token_of(touched)
    if token != consent.token:
        return entry.refuse("affected-changed", ground=Affected(len(touched), token))
    if len(touched) > MAX_AFFECTED:
        return entry.refuse("too-many-affected", ground=Limit(MAX_AFFECTED))
    return None


def _settle(tables: Tables, entry: Entry, actor: str, touched: list[Booking], consent: Consent) -> None:
    """Cancel the bookings, or tell that they are kept; an event for each."""
    for booking in touched:
        if consent.then == "keep":
            entry.record(BookingAffected(booking, consent.reason, entry.now_ms))
        else:
            give_up(tables, entry, booking, actor, consent.reason)


def _freed(tables: Tables, details: SeatDetails, *, listed: bool) -> Ranges:
    """When a seat can be had after a change and could not before, were nobody to have booked it."""
    before = tables.details_of(details.space_id, details.seat_id)
    if not listed:
        return ((0, MAX_CELL),)
    return () if before is None else without(_ranges_of(before), _ranges_of(details))


def _ranges_of(details: SeatDetails) -> Ranges:
    return [(each.start_cell, each.end_cell) for each in details.outages]


def _told(touched: list[Booking], cancelled: int, reason: str) -> str:
    if not touched:
        return reason
    fate = f"{cancelled} bookings cancelled" if cancelled else f"{len(touched)} bookings kept"
    return f"{fate}: {reason}" if reason else fate


def _seats_with(seats: tuple[Seat, ...], details: SeatDetails) -> tuple[Seat, ...]:
    """The list of seats with this one as it is now: in its place, at the end when it is new, gone when it is retired."""
    seat = Seat(details.seat_id, details.label)
    if details.retired:
        return tuple(each for each in seats if each.id != seat.id)
    if any(each.id == seat.id for each in seats):
        return tuple(seat if each.id == seat.id else each for each in seats)
    return (*seats, seat)


def _span_of(week: tuple[Hours, ...], space: Space) -> tuple[int, int]:
    """From the earliest opening to the latest closing of the week: what `opens` and `closes` of a space show."""
    opened = [hours for hours in week if not hours.closed]
    if not opened:
        return space.opens_minutes, space.closes_minutes
    return min(hours.opens_minutes for hours in opened), max(hours.closes_minutes for hours in opened)


# --- what a node may send -----------------------------------------------------------------------------------


def _is_revision_sound(command: ReviseSpace) -> bool:
    rules = command.rules
    policy = rules.policy
    limits = (
        policy.horizon_days, policy.longest_minutes, policy.live_bookings, policy.daily_bookings,
        policy.cancel_cutoff_minutes,
    )  # fmt: skip
    special = rules.special_days
    return (
        rules.space_id == command.space_id
        and _is_text(command.name)
        and _is_text(command.timezone)
        and CELL_MINUTES <= command.slot_minutes <= MINUTES_PER_DAY
        and command.slot_minutes % CELL_MINUTES == 0
        and len(rules.week) in (0, DAYS_OF_WEEK)
        and all(_are_hours(hours) for hours in rules.week)
        and len(special) <= MAX_SPECIAL_DAYS
        and all(0 < days.first_day <= days.last_day <= MAX_CELL for days in special)
        and all(one.last_day < other.first_day for one, other in pairwise(special))
        and all(_are_hours(days.hours) and len(days.reason) <= MAX_REASON_CHARS for days in special)
        and all(0 <= limit <= MAX_CELL for limit in limits)
        and len(command.closing) <= MAX_CLOSING_RANGES
        and _are_ranges(command.closing)
        and are_windows_sound(command.windows)
    )


def _are_details_sound(details: SeatDetails) -> bool:
    outages = details.outages
    return (
        0 < len(details.seat_id) <= MAX_ID_CHARS
        and _is_text(details.label)
        and len(details.zone) <= MAX_TEXT_CHARS
        and list(details.attributes) == sorted(set(details.attributes))
        and all(place is None or 0 <= place <= MAX_PLACE for place in (details.x, details.y))
        and len(outages) <= MAX_OUTAGES
        and _are_ranges(_ranges_of(details))
        and all(len(each.reason) <= MAX_REASON_CHARS for each in outages)
    )


def _are_hours(hours: Hours) -> bool:
    return 0 <= hours.opens_minutes <= MINUTES_PER_DAY and 0 <= hours.closes_minutes <= MINUTES_PER_DAY


def _are_ranges(ranges: Ranges) -> bool:
    at = 0
    for start, end in ranges:
        if not at <= start < end <= MAX_CELL:
            return False
        at = end
    return True


def _is_text(text: str) -> bool:
    return 0 < len(text) <= MAX_TEXT_CHARS
