"""Rules of the product taken away while simulated people use it: one function per promise."""

from __future__ import annotations

import pytest

from statemachine import baskets, cancelling, people, policies, series, spaces
from statemachine.bookings import claim, confirm, fault_of
from statemachine.commands import BookSeat, Consent, JoinWaitlist
from statemachine.events import SessionEnd
from statemachine.outcomes import Outcome
from statemachine.records import Space
from statemachine.tables import Entry, Tables
from statemachine.waitlist import promote
from tests.controls.registry import DamageError
from tests.simulation.people import HEAD
from tests.simulation.settings import Settings
from tests.statemachine.builders import World


def busy() -> Settings:
    """People all the time, and few faults: the rules alone are on trial."""
    return Settings(
        faults=("cut", "pause"),
        fault_seconds=12.0,
        calm_seconds=6.0,
        operation_every_seconds=0.5,
        product_every_seconds=0.02,
    )


def lists_are_not_compared(patch: pytest.MonkeyPatch) -> None:
    """A change is committed whatever bookings it touches by now."""
    patch.setattr(spaces, "_refusal_of_consent", lambda *_: None)


def nobody_is_told(patch: pytest.MonkeyPatch) -> None:
    """Bookings that a change touches are neither cancelled nor told of."""
    patch.setattr(spaces, "_settle", lambda *_: None)


def anybody_administers(patch: pytest.MonkeyPatch) -> None:
    """A change of a space asks for no role."""
    as_it_is = spaces._refusal_of_maker

    def of_anybody(
        tables: Tables, entry: Entry, _actor: str, space: Space | None, base: str, consent: Consent
    ) -> Outcome | None:
        return as_it_is(tables, entry, HEAD, space, base, consent)

    patch.setattr(spaces, "_refusal_of_maker", of_anybody)


def no_policy_binds(patch: pytest.MonkeyPatch) -> None:
    """Nobody counts what a user has."""
    patch.setattr(policies, "breach_by_booking", lambda *_, **__: None)


def blocking_ends_nothing(patch: pytest.MonkeyPatch) -> None:
    """Who is blocked goes on with the sessions that there are."""
    as_it_is = people._end_sessions

    def but_not_those(
        tables: Tables, entry: Entry, user_id: str, reason: SessionEnd, *, but: str = ""
    ) -> int:
        return len(entry.events) if reason == "blocked" else as_it_is(tables, entry, user_id, reason, but=but)

    patch.setattr(people, "_end_sessions", but_not_those)


def one_time_passwords_are_good(patch: pytest.MonkeyPatch) -> None:
    """A one-time password is good for everything."""
    patch.setattr(people, "must_change_password", lambda *_: False)


def baskets_in_part(patch: pytest.MonkeyPatch) -> None:
    """What is free of a basket is booked before the rest is looked at."""
    as_it_is = baskets.book_all

    def in_part(tables: Tables, entry: Entry, user_id: str, items: tuple[BookSeat, ...]) -> Outcome:
        first = items[0]
        allowed = policies.breach_by_booking(tables, entry, user_id, first) is None
        if len(items) > 1 and allowed and fault_of(tables, entry, first) is None and claim(tables, first):
            confirm(tables, entry, user_id, first)
            rest = as_it_is(tables, entry, user_id, items[1:])
            if not rest.ok:
                return rest
        return as_it_is(tables, entry, user_id, items)

    for module in (baskets, series):
        patch.setattr(module, "book_all", in_part)


def the_last_is_first(patch: pytest.MonkeyPatch) -> None:
    """Who came last to the line is served first."""

    def offer(
        tables: Tables, entry: Entry, space_id: str, seat_id: str, start_cell: int, end_cell: int
    ) -> None:
        around = tables.waiting_around(space_id, start_cell, end_cell)
        for waiter in sorted(around, key=lambda each: each.place_in_line, reverse=True):
            want = waiter.want
            if want.seat_id in ("", seat_id) and want.start_cell < end_cell and start_cell < waiter.end_cell:
                promote(tables, entry, waiter, seat_id)

    patch.setattr(cancelling, "offer", offer)


def the_line_is_in_order(guarded: bool, patch: pytest.MonkeyPatch) -> None:
    """Two wait for the same place; who came first must get it."""
    if not guarded:
        the_last_is_first(patch)
    world = World()
    world.booked("taken", user="bob")
    for user in ("ann", "root"):
        want = world.booking(f"for-{user}")
        assert world.do(JoinWaitlist(f"w-{user}", want), scope=user, session=f"s-{user}").ok
    assert world.cancel("taken", user="bob").ok
    if world.state.waiters["w-ann"].status != "promoted":
        raise DamageError("the second was served before the first")


def cancelling_tells_no_line(patch: pytest.MonkeyPatch) -> None:
    """What is given back is for whoever comes next."""
    patch.setattr(cancelling, "offer", lambda *_: None)


def changes_tell_no_line(patch: pytest.MonkeyPatch) -> None:
    """A seat that is back, and hours that are, are for whoever comes next."""
    patch.setattr(spaces, "offer_seat", lambda *_: None)
    patch.setattr(spaces, "serve_all", lambda *_: None)
