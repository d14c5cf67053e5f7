"""Those who use the whole product in a simulated world: regulars of a coworking, and the administrators who change it under them.

A person does one thing at a time, through whatever member answers, with a session that may have ended and a password that may have been
reset. What they choose from is what some member knows at that moment, which may be old: so dry runs are made of one state and
committed to another.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from msgspec.structs import replace

from statemachine.commands import (
    BookSeat,
    BookSeries,
    BookTogether,
    CancelBookingBecause,
    CancelSeries,
    CheckIn,
    Command,
    Consent,
    DayGrid,
    JoinWaitlist,
    LeaveWaitlist,
    MoveBooking,
    PutSeat,
    ReviseSpace,
)
from statemachine.limits import MAX_CELL
from statemachine.people_commands import (
    ChangePassword,
    EndSessions,
    EndSessionsOf,
    EraseAccount,
    LogIn,
    ResetPassword,
    SetBlocked,
    SetRole,
)
from statemachine.premises import CLOSED, Outage, Policy, SeatDetails, SpaceRules, SpecialDays, Then
from statemachine.records import Booking
from statemachine.spaces import affected_by_revision, affected_by_seat, rules_of, token_of
from statemachine.state import State
from tests.simulation.clients import FIRST_DAY
from tests.simulation.member import EPOCH_MS

ANNEX, CORNER = "annex", "corner"  # what everybody wants; and what begins so soon that one can check in
SEATS = ("S1", "S2")
LATER = FIRST_DAY + 20 * 288
DAYS = 3
OPENS, CLOSES = 8 * 60, 14 * 60
HOURS = (CLOSES - OPENS) // 60
SOON = EPOCH_MS // 300_000 + 1  # the first cell that begins within a run, or soon after
EPOCH_ORDINAL = 719_163  # of 1970-01-01, as `date.toordinal` has it
HEAD, DEPUTY = "admin", "deputy"  # the second is promoted and demoted
FOR_EVER_MS = 10**10


@dataclass
class Person:
    """What somebody knows of their own account."""

    id: str
    password: str = "hash"
    session: str = ""
    one_time: bool = False
    busy: bool = False
    gone: bool = False


Chosen = tuple[str, Command]  # kind and command


def opening_of(day: int) -> int:
    """The cell at which the annex opens on one of its days."""
    return LATER + 288 * day + OPENS // 5


def closed_days(rules: SpaceRules) -> list[int]:
    """On which of its days the annex is closed."""
    closed = {day for each in rules.special_days for day in range(each.first_day, each.last_day + 1)}
    return [day for day in range(DAYS) if LATER // 288 + day + EPOCH_ORDINAL in closed]


def windows_under(rules: SpaceRules) -> tuple[tuple[int, int], ...]:
    """The slots of the annex."""
    return tuple((opening_of(day), HOURS) for day in range(DAYS) if day not in closed_days(rules))


def account(person: Person, name: str, state: State, dice: random.Random) -> Chosen:
    """Log in, or do what a one-time password asks for."""
    if person.session:
        return "change-password", ChangePassword(person.password, f"own-{name}")
    user = state.users.get(person.id)
    if (
        dice.random() < 0.5 and user is not None
    ):  # told of a reset, or remembers a change that was never answered
        person.password = user.password_hash
    return "log-in", LogIn(f"s-{name}", person.id, person.password, "", FOR_EVER_MS, ())


def regular(person: Person, name: str, state: State, dice: random.Random) -> Chosen | None:
    """What one of the regulars does next."""
    grid = DayGrid(state.spaces[ANNEX].revision, 12, windows_under(rules_of(state, ANNEX)))
    mine = [
        booking
        for booking_id in state.user_bookings(person.id)
        if (booking := state.bookings[booking_id]).status == "confirmed" and booking.space_id == ANNEX
    ]
    roll = dice.random()
    if roll < 0.2:
        return "book-annex", _place(name, grid, dice)
    if roll < 0.32:
        return "basket", BookTogether(
            tuple(_place(f"{name}.{i}", grid, dice) for i in range(dice.randint(1, 3)))
        )
    if roll < 0.4:
        first = _place(f"{name}.0", grid, dice)
        items = tuple(
            replace(first, booking_id=f"{name}.{i}", start_cell=first.start_cell + 288 * i) for i in range(2)
        )
        return "series", BookSeries(name, "", dice.random() < 0.5, items)
    if roll < 0.58:
        want = _place(f"{name}.w", grid, dice)
        return "join", JoinWaitlist(name, replace(want, seat_id="") if dice.random() < 0.3 else want)
    if roll < 0.62:
        waiting = list(state.waiters_by_user.get(person.id, ()))
        return ("leave", LeaveWaitlist(dice.choice(waiting))) if waiting else None
    if roll < 0.66:
        return _at_the_corner(person, name, state, dice)
    if roll < 0.68:
        return "log-out-everywhere", EndSessions("")
    if roll < 0.69:
        return "erase", EraseAccount(person.password)
    if roll < 0.72:
        series = state.series_by_user.get(person.id)
        return ("rest", CancelSeries(dice.choice(series).id, "", name)) if series else None
    if not mine:
        return None
    target = dice.choice(mine)
    if roll < 0.9:
        return "cancel-annex", CancelBookingBecause(target.id, name)
    return "move", MoveBooking(target.revision, _place(target.id, grid, dice))


def _place(booking_id: str, grid: DayGrid, dice: random.Random) -> BookSeat:
    hour = min(dice.randrange(HOURS), dice.randrange(HOURS))  # the early ones are wanted most
    slots = dice.choice((1, 1, 2)) if hour + 2 <= HOURS else 1
    return BookSeat(
        booking_id, ANNEX, dice.choice(SEATS), opening_of(dice.choice((0, 0, 1, 2))) + 12 * hour, slots, grid
    )


def _at_the_corner(person: Person, name: str, state: State, dice: random.Random) -> Chosen:
    expected = [each for each in state.user_bookings(person.id) if each in state.expected]
    if expected:
        return "check-in", CheckIn(dice.choice(expected))
    grid = DayGrid(
        state.spaces[CORNER].revision, 1, ((SOON - SOON % 288, 288), (SOON - SOON % 288 + 288, 288))
    )
    return "book-corner", BookSeat(name, CORNER, SEATS[0], SOON + dice.randrange(2), 1, grid)


def administrator(
    person: Person, name: str, state: State, regulars: list[str], dice: random.Random
) -> tuple[Chosen | None, tuple[str, ...]]:
    """What an administrator does next, and the bookings that a dry run of it listed."""
    roll = dice.random()
    if roll < 0.16:
        user_id = dice.choice(regulars)
        standing = state.standings.get(user_id)
        blocked = standing is not None and standing.blocked_at_ms > 0
        if not blocked and dice.random() < 0.5:
            return None, ()  # rather let people in than keep them out
        return ("block", SetBlocked(user_id, not blocked)), ()
    if roll < 0.19:
        return ("reset", ResetPassword(dice.choice(regulars), f"one-time-{name}")), ()
    if roll < 0.21:
        return ("end-sessions", EndSessionsOf(dice.choice(regulars))), ()
    if roll < 0.25:
        if person.id != HEAD:
            return None, ()
        return ("role", SetRole(DEPUTY, "user" if state.users[DEPUTY].role == "admin" else "admin")), ()
    then: Then = dice.choice(("keep", "cancel"))
    change = _seat(name, state, then, dice) if roll < 0.6 else _space(name, state, then, dice)
    touched: list[Booking] | None
    if isinstance(change, PutSeat):
        touched = affected_by_seat(state, change.details, state.now_ms)
    else:
        touched = affected_by_revision(state, change, state.now_ms)
    listed = touched or []
    change = replace(change, consent=replace(change.consent, token=token_of(listed)))
    return ("seat" if isinstance(change, PutSeat) else "space", change), tuple(each.id for each in listed)


def _space(name: str, state: State, then: Then, dice: random.Random) -> ReviseSpace:
    space, rules = state.spaces[ANNEX], rules_of(state, ANNEX)
    title, closing = space.name, ()
    roll = dice.random()
    if roll < 0.2:
        title = name
    elif roll < 0.5:
        rules = replace(rules, policy=Policy(live_bookings=dice.choice((0, 2, 3))))
    else:
        closed = closed_days(rules)
        day = dice.randrange(DAYS)
        days = sorted(set(closed) ^ {day})
        first = LATER // 288 + EPOCH_ORDINAL
        rules = replace(
            rules, special_days=tuple(SpecialDays(first + each, first + each, CLOSED, "") for each in days)
        )
        if day not in closed:
            closing = ((opening_of(day), opening_of(day) + 12 * HOURS),)  # type: ignore[assignment]
    windows = windows_under(rules)
    consent = Consent("", then, name)
    return ReviseSpace(
        ANNEX,
        space.revision,
        title,
        space.timezone,
        space.slot_minutes,
        rules,
        closing,
        MAX_CELL,
        consent,
        windows,
    )


def _seat(name: str, state: State, then: Then, dice: random.Random) -> PutSeat:
    seat_id = dice.choice(SEATS)
    before = state.details_of(ANNEX, seat_id)
    roll = dice.random()
    retired = before is not None and before.retired
    outages = before.outages if before is not None else ()
    if retired or roll < 0.15:
        retired = not retired
    elif outages:
        outages = ()
    else:
        start = opening_of(dice.randrange(DAYS)) + 12 * dice.randrange(HOURS)
        outages = (Outage(start, start + 12 * dice.randint(1, 3), ""),)
    details = SeatDetails(ANNEX, seat_id, seat_id, retired=retired, outages=outages)
    return PutSeat(state.spaces[ANNEX].revision, False, details, Consent("", then, name))
